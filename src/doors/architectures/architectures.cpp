#include "rushlight/architectures.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/architectures/families.hpp"

namespace rushlight {
namespace {

using doors::Net;

struct Row {
  ArchitectureInfo info;
  void (*build)(Net& net);
};

// One line each, so that the members of a family can be compared.
// clang-format off
constexpr Row kRows[] = {
    {{"alexnet", "alexnet", 224}, [](Net& n) { doors::alexnet(n); }},
    {{"convnext_base", "convnext", 224}, [](Net& n) { doors::convnext(n, {3, 3, 27, 3}); }},
    {{"convnext_large", "convnext", 224}, [](Net& n) { doors::convnext(n, {3, 3, 27, 3}); }},
    {{"convnext_small", "convnext", 224}, [](Net& n) { doors::convnext(n, {3, 3, 27, 3}); }},
    {{"convnext_tiny", "convnext", 224}, [](Net& n) { doors::convnext(n, {3, 3, 9, 3}); }},
    {{"densenet121", "densenet", 224}, [](Net& n) { doors::densenet(n, {6, 12, 24, 16}); }},
    {{"densenet161", "densenet", 224}, [](Net& n) { doors::densenet(n, {6, 12, 36, 24}); }},
    {{"densenet169", "densenet", 224}, [](Net& n) { doors::densenet(n, {6, 12, 32, 32}); }},
    {{"densenet201", "densenet", 224}, [](Net& n) { doors::densenet(n, {6, 12, 48, 32}); }},
    {{"efficientnet_b0", "efficientnet", 224}, [](Net& n) { doors::efficientnet(n, 1.0, 1e-5); }},
    {{"efficientnet_b1", "efficientnet", 240}, [](Net& n) { doors::efficientnet(n, 1.1, 1e-5); }},
    {{"efficientnet_b2", "efficientnet", 288}, [](Net& n) { doors::efficientnet(n, 1.2, 1e-5); }},
    {{"efficientnet_b3", "efficientnet", 300}, [](Net& n) { doors::efficientnet(n, 1.4, 1e-5); }},
    {{"efficientnet_b4", "efficientnet", 380}, [](Net& n) { doors::efficientnet(n, 1.8, 1e-5); }},
    {{"efficientnet_b5", "efficientnet", 456}, [](Net& n) { doors::efficientnet(n, 2.2, 1e-3); }},
    {{"efficientnet_b6", "efficientnet", 528}, [](Net& n) { doors::efficientnet(n, 2.6, 1e-3); }},
    {{"efficientnet_b7", "efficientnet", 600}, [](Net& n) { doors::efficientnet(n, 3.1, 1e-3); }},
    {{"efficientnet_v2_l", "efficientnet", 480}, [](Net& n) { doors::efficientnet_v2(n, doors::EfficientNetV2::l); }},
    {{"efficientnet_v2_m", "efficientnet", 480}, [](Net& n) { doors::efficientnet_v2(n, doors::EfficientNetV2::m); }},
    {{"efficientnet_v2_s", "efficientnet", 384}, [](Net& n) { doors::efficientnet_v2(n, doors::EfficientNetV2::s); }},
    {{"googlenet", "googlenet", 224}, [](Net& n) { doors::googlenet(n); }},
    {{"inception_v3", "inception", 299}, [](Net& n) { doors::inception_v3(n); }},
    {{"maxvit_t", "maxvit", 224}, [](Net& n) { doors::maxvit(n); }},
    {{"mnasnet0_5", "mnasnet", 224}, [](Net& n) { doors::mnasnet(n); }},
    {{"mnasnet0_75", "mnasnet", 224}, [](Net& n) { doors::mnasnet(n); }},
    {{"mnasnet1_0", "mnasnet", 224}, [](Net& n) { doors::mnasnet(n); }},
    {{"mnasnet1_3", "mnasnet", 224}, [](Net& n) { doors::mnasnet(n); }},
    {{"mobilenet_v2", "mobilenetv2", 224}, [](Net& n) { doors::mobilenet_v2(n); }},
    {{"mobilenet_v3_large", "mobilenetv3", 224}, [](Net& n) { doors::mobilenet_v3_large(n); }},
    {{"mobilenet_v3_small", "mobilenetv3", 224}, [](Net& n) { doors::mobilenet_v3_small(n); }},
    {{"regnet_x_16gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 6, 13, 1}, false); }},
    {{"regnet_x_1_6gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 4, 10, 2}, false); }},
    {{"regnet_x_32gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 7, 13, 1}, false); }},
    {{"regnet_x_3_2gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 6, 15, 2}, false); }},
    {{"regnet_x_400mf", "regnet", 224}, [](Net& n) { doors::regnet(n, {1, 2, 7, 12}, false); }},
    {{"regnet_x_800mf", "regnet", 224}, [](Net& n) { doors::regnet(n, {1, 3, 7, 5}, false); }},
    {{"regnet_x_8gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 5, 15, 1}, false); }},
    {{"regnet_y_128gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 7, 17, 1}, true); }},
    {{"regnet_y_16gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 4, 11, 1}, true); }},
    {{"regnet_y_1_6gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 6, 17, 2}, true); }},
    {{"regnet_y_32gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 5, 12, 1}, true); }},
    {{"regnet_y_3_2gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 5, 13, 1}, true); }},
    {{"regnet_y_400mf", "regnet", 224}, [](Net& n) { doors::regnet(n, {1, 3, 6, 6}, true); }},
    {{"regnet_y_800mf", "regnet", 224}, [](Net& n) { doors::regnet(n, {1, 3, 8, 2}, true); }},
    {{"regnet_y_8gf", "regnet", 224}, [](Net& n) { doors::regnet(n, {2, 4, 10, 1}, true); }},
    {{"resnet101", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 23, 3}}); }},
    {{"resnet152", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 8, 36, 3}}); }},
    {{"resnet18", "resnet", 224}, [](Net& n) { doors::resnet(n, {.bottleneck = false, .depths = {2, 2, 2, 2}}); }},
    {{"resnet34", "resnet", 224}, [](Net& n) { doors::resnet(n, {.bottleneck = false, .depths = {3, 4, 6, 3}}); }},
    {{"resnet50", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 6, 3}}); }},
    {{"resnext101_32x8d", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 23, 3}}); }},
    {{"resnext101_64x4d", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 23, 3}}); }},
    {{"resnext50_32x4d", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 6, 3}}); }},
    {{"wide_resnet101_2", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 23, 3}}); }},
    {{"wide_resnet50_2", "resnet", 224}, [](Net& n) { doors::resnet(n, {.depths = {3, 4, 6, 3}}); }},
    {{"shufflenet_v2_x0_5", "shufflenetv2", 224}, [](Net& n) { doors::shufflenet_v2(n); }},
    {{"shufflenet_v2_x1_0", "shufflenetv2", 224}, [](Net& n) { doors::shufflenet_v2(n); }},
    {{"shufflenet_v2_x1_5", "shufflenetv2", 224}, [](Net& n) { doors::shufflenet_v2(n); }},
    {{"shufflenet_v2_x2_0", "shufflenetv2", 224}, [](Net& n) { doors::shufflenet_v2(n); }},
    {{"squeezenet1_0", "squeezenet", 224}, [](Net& n) { doors::squeezenet(n, 7, "FFFPFFFFPF"); }},
    {{"squeezenet1_1", "squeezenet", 224}, [](Net& n) { doors::squeezenet(n, 3, "FFPFFPFFFF"); }},
    {{"swin_b", "swin_transformer", 224}, [](Net& n) { doors::swin(n, {2, 2, 18, 2}, 7, false); }},
    {{"swin_s", "swin_transformer", 224}, [](Net& n) { doors::swin(n, {2, 2, 18, 2}, 7, false); }},
    {{"swin_t", "swin_transformer", 224}, [](Net& n) { doors::swin(n, {2, 2, 6, 2}, 7, false); }},
    {{"swin_v2_b", "swin_transformer", 256}, [](Net& n) { doors::swin(n, {2, 2, 18, 2}, 8, true); }},
    {{"swin_v2_s", "swin_transformer", 256}, [](Net& n) { doors::swin(n, {2, 2, 18, 2}, 8, true); }},
    {{"swin_v2_t", "swin_transformer", 256}, [](Net& n) { doors::swin(n, {2, 2, 6, 2}, 8, true); }},
    {{"vgg11", "vgg", 224}, [](Net& n) { doors::vgg(n, {1, 1, 2, 2, 2}, false); }},
    {{"vgg11_bn", "vgg", 224}, [](Net& n) { doors::vgg(n, {1, 1, 2, 2, 2}, true); }},
    {{"vgg13", "vgg", 224}, [](Net& n) { doors::vgg(n, {2, 2, 2, 2, 2}, false); }},
    {{"vgg13_bn", "vgg", 224}, [](Net& n) { doors::vgg(n, {2, 2, 2, 2, 2}, true); }},
    {{"vgg16", "vgg", 224}, [](Net& n) { doors::vgg(n, {2, 2, 3, 3, 3}, false); }},
    {{"vgg16_bn", "vgg", 224}, [](Net& n) { doors::vgg(n, {2, 2, 3, 3, 3}, true); }},
    {{"vgg19", "vgg", 224}, [](Net& n) { doors::vgg(n, {2, 2, 4, 4, 4}, false); }},
    {{"vgg19_bn", "vgg", 224}, [](Net& n) { doors::vgg(n, {2, 2, 4, 4, 4}, true); }},
    {{"vit_b_16", "vision_transformer", 224}, [](Net& n) { doors::vit(n, 16, 12, 12); }},
    {{"vit_b_32", "vision_transformer", 224}, [](Net& n) { doors::vit(n, 32, 12, 12); }},
    {{"vit_h_14", "vision_transformer", 224}, [](Net& n) { doors::vit(n, 14, 32, 16); }},
    {{"vit_l_16", "vision_transformer", 224}, [](Net& n) { doors::vit(n, 16, 24, 16); }},
    {{"vit_l_32", "vision_transformer", 224}, [](Net& n) { doors::vit(n, 32, 24, 16); }},
    {{"deeplabv3_mobilenet_v3_large", "deeplabv3", 520}, [](Net& n) { doors::deeplabv3_mobilenet_v3_large(n); }},
    {{"deeplabv3_resnet101", "deeplabv3", 520}, [](Net& n) { doors::deeplabv3_resnet(n, {3, 4, 23, 3}); }},
    {{"deeplabv3_resnet50", "deeplabv3", 520}, [](Net& n) { doors::deeplabv3_resnet(n, {3, 4, 6, 3}); }},
    {{"fcn_resnet101", "fcn", 520}, [](Net& n) { doors::fcn_resnet(n, {3, 4, 23, 3}); }},
    {{"fcn_resnet50", "fcn", 520}, [](Net& n) { doors::fcn_resnet(n, {3, 4, 6, 3}); }},
    {{"lraspp_mobilenet_v3_large", "lraspp", 520}, [](Net& n) { doors::lraspp_mobilenet_v3_large(n); }},
};
// clang-format on

constexpr auto kInfos = [] {
  std::array<ArchitectureInfo, std::size(kRows)> infos{};
  for (std::size_t i = 0; i < infos.size(); ++i) infos[i] = kRows[i].info;
  return infos;
}();

// The weights of each family's first layer: a look at them spares a guess the graphs of most families.
struct Stem {
  std::string_view family;
  std::string_view name;
};
constexpr Stem kStems[] = {
    {"alexnet", "features.0.weight"},
    {"convnext", "features.0.0.weight"},
    {"deeplabv3", "backbone.0.0.weight"},
    {"deeplabv3", "backbone.conv1.weight"},
    {"densenet", "features.conv0.weight"},
    {"efficientnet", "features.0.0.weight"},
    {"fcn", "backbone.conv1.weight"},
    {"googlenet", "conv1.conv.weight"},
    {"inception", "Conv2d_1a_3x3.conv.weight"},
    {"lraspp", "backbone.0.0.weight"},
    {"maxvit", "stem.0.0.weight"},
    {"mnasnet", "layers.0.weight"},
    {"mobilenetv2", "features.0.0.weight"},
    {"mobilenetv3", "features.0.0.weight"},
    {"regnet", "stem.0.weight"},
    {"resnet", "conv1.weight"},
    {"shufflenetv2", "conv1.0.weight"},
    {"squeezenet", "features.0.weight"},
    {"swin_transformer", "features.0.0.weight"},
    {"vgg", "features.0.weight"},
    {"vision_transformer", "conv_proj.weight"},
};
bool has_stem(std::string_view family, const StateDict& weights) {
  return std::any_of(std::begin(kStems), std::end(kStems),
                     [&](const Stem& stem) { return stem.family == family && weights.find(stem.name) != nullptr; });
}

constexpr std::string_view kTransformInput = "transform_input";

bool takes_transform(std::string_view name) noexcept {
  return name == "googlenet" || name == "inception_v3";
}

const Row* find_row(std::string_view name) noexcept {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.info.name == name; });
  return row == std::end(kRows) ? nullptr : row;
}

Result<Graph> build(const Row& row, const StateDict& weights, bool transform_input) {
  Net net(weights, transform_input);
  row.build(net);
  return net.graph.build();
}

Error unknown(std::string_view name) {
  std::vector<std::string> names;
  for (const ArchitectureInfo& info : kInfos) names.emplace_back(info.name);
  std::string hint;
  for (const std::string& near : nearest(name, names, 3)) hint += (hint.empty() ? "nearest: " : ", ") + near;
  if (hint.empty()) {
    for (const std::string& each : names) hint += (hint.empty() ? "there are " : ", ") + each;
  }
  return Error::of({.category = Category::argument,
                    .code = "MODEL-ARCH",
                    .message = "architecture " + quoted(name) + " is none of the " + std::to_string(names.size()) +
                               " that are built in",
                    .hint = std::move(hint)});
}

// Buffers that no graph reads. The strict load knows better where they belong; this is for a comparison of names.
bool is_buffer(std::string_view name) noexcept {
  return name.ends_with("num_batches_tracked") || name.ends_with("relative_position_index") ||
         name.ends_with("relative_coords_table");
}

bool is_ignored(std::string_view name, const std::vector<std::string>& ignored) {
  return std::any_of(ignored.begin(), ignored.end(), [&](const std::string& prefix) {
    return name.size() > prefix.size() && name.starts_with(prefix) && name[prefix.size()] == '.';
  });
}

bool may_be(const Shape& expected, std::span<const std::int64_t> found) noexcept {
  if (expected.empty()) return true;  // of any shape
  if (expected.size() != found.size()) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (expected[i] != -1 && expected[i] != found[i]) return false;
  }
  return true;
}

// How many names are missing, left over, or of another shape.
std::size_t misfits(const Graph& graph, const StateDict& weights) {
  std::size_t count = 0;
  std::unordered_set<std::string> expected;
  for (ParameterSpec& parameter : graph.parameters()) {
    const Tensor* tensor = weights.find(parameter.name);
    if (tensor == nullptr || !may_be(parameter.shape, tensor->shape())) ++count;
    expected.insert(std::move(parameter.name));
  }
  for (const auto& [name, tensor] : weights) {
    if (!expected.contains(name) && !is_buffer(name) && !is_ignored(name, graph.ignored())) ++count;
  }
  return count;
}

}  // namespace

std::span<const ArchitectureInfo> architectures() noexcept {
  return kInfos;
}

const ArchitectureInfo* find_architecture(std::string_view name) noexcept {
  const Row* row = find_row(name);
  return row == nullptr ? nullptr : &kInfos[static_cast<std::size_t>(row - std::begin(kRows))];
}

Result<Graph> architecture_graph(std::string_view arch, const StateDict& weights) {
  const std::size_t colon = arch.find(':');
  const std::string_view name = arch.substr(0, colon);
  const Row* row = find_row(name);
  if (row == nullptr) return unknown(name);
  bool transform_input = false;
  if (colon != std::string_view::npos) {
    const std::string_view option = arch.substr(colon + 1);
    if (option != kTransformInput || !takes_transform(name)) {
      return Error::of({.category = Category::argument,
                        .code = "MODEL-ARCH",
                        .message = "architecture " + quoted(name) + " has no option " + quoted(option),
                        .hint = takes_transform(name) ? std::string(name) + ":" + std::string(kTransformInput) : ""});
    }
    transform_input = true;
  }
  return build(*row, weights, transform_input);
}

std::vector<Shape> architecture_input_shapes(std::string_view arch, const Graph& graph) {
  const ArchitectureInfo* info = find_architecture(arch.substr(0, arch.find(':')));
  if (info == nullptr) return {};
  std::vector<Shape> shapes;
  for (const Port& port : graph.inputs()) {
    Shape shape = port.shape;
    shape.resize(4, -1);
    const Shape given = {1, 3, info->input_size.h, info->input_size.w};
    for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = shape[i] == -1 ? given[i] : shape[i];
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::vector<const ArchitectureInfo*> architectures_like(const StateDict& weights) {
  // A net with another head, or a torso without one, is still of its kind.
  constexpr std::size_t kMostMisfits = 10;  // percent
  constexpr std::size_t kMostNames = 5000;  // the deepest has a third of it
  constexpr std::size_t kFewestNames = 8;   // AlexNet without its head has ten
  std::vector<const ArchitectureInfo*> best;
  if (weights.size() < kFewestNames || weights.size() > kMostNames) return best;
  std::size_t fewest = weights.size() * kMostMisfits / 100 + 1;
  for (const Row& row : kRows) {
    if (!has_stem(row.info.family, weights)) continue;
    const Result<Graph> graph = build(row, weights, false);
    if (!graph) continue;  // shapes that no member of the family has
    const std::size_t count = misfits(*graph, weights);
    if (count >= weights.size() || count > fewest) continue;
    if (count < fewest) best.clear();
    fewest = count;
    best.push_back(find_architecture(row.info.name));
  }
  return best;
}

}  // namespace rushlight
