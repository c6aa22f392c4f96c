// torchvision/models/efficientnet.py
#include <cmath>
#include <vector>

#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

struct Stage {
  bool fused;
  bool expands;
  std::int64_t kernel;
  std::int64_t stride;
  int layers;
};
constexpr Stage kB[] = {{false, false, 3, 1, 1}, {false, true, 3, 2, 2}, {false, true, 5, 2, 2}, {false, true, 3, 2, 3},
                        {false, true, 5, 1, 3},  {false, true, 5, 2, 4}, {false, true, 3, 1, 1}};
constexpr Stage kV2S[] = {{true, false, 3, 1, 2}, {true, true, 3, 2, 4},  {true, true, 3, 2, 4},
                          {false, true, 3, 2, 6}, {false, true, 3, 1, 9}, {false, true, 3, 2, 15}};
constexpr Stage kV2M[] = {{true, false, 3, 1, 3}, {true, true, 3, 2, 5},   {true, true, 3, 2, 5},
                          {false, true, 3, 2, 7}, {false, true, 3, 1, 14}, {false, true, 3, 2, 18},
                          {false, true, 3, 1, 5}};
constexpr Stage kV2L[] = {{true, false, 3, 1, 4},  {true, true, 3, 2, 7},   {true, true, 3, 2, 7},
                          {false, true, 3, 2, 10}, {false, true, 3, 1, 19}, {false, true, 3, 2, 25},
                          {false, true, 3, 1, 7}};

Edge fused_block(Net& net, const std::string& name, Edge x, const Stage& stage, std::int64_t stride, double eps) {
  const std::string first = name + ".block.0";
  const std::string last = stage.expands ? name + ".block.1" : first;
  Edge y = net.conv_norm(first, x, {.kernel = stage.kernel, .stride = stride}, SiLU{}, eps);
  if (stage.expands) y = net.conv_norm(last, y, {}, {}, eps);
  return stride == 1 && net.keeps_channels(first + ".0", false, last + ".0") ? net.add(name + ".add", y, x) : y;
}

void build(Net& net, std::span<const Stage> stages, double eps) {
  Edge x = net.image("features.0.0");
  x = net.conv_norm("features.0", x, {.kernel = 3, .stride = 2}, SiLU{}, eps);
  int index = 1;
  for (const Stage& stage : stages) {
    const std::string name = "features." + std::to_string(index++) + ".";
    for (int i = 0; i < stage.layers; ++i) {
      const std::int64_t stride = i == 0 ? stage.stride : 1;
      if (stage.fused) {
        x = fused_block(net, name + std::to_string(i), x, stage, stride, eps);
        continue;
      }
      x = net.mobile_block(name + std::to_string(i), x,
                           {.kernel = stage.kernel,
                            .stride = stride,
                            .expands = stage.expands,
                            .activation = SiLU{},
                            .squeeze_activation = SiLU{},
                            .gate = Sigmoid{},
                            .eps = eps});
    }
  }
  x = net.conv_norm("features." + std::to_string(index), x, {}, SiLU{}, eps);
  net.logits(net.linear("classifier.1", net.pooled("avgpool", x)));
}

}  // namespace

void efficientnet(Net& net, double depth_mult, double eps) {
  std::vector<Stage> stages(std::begin(kB), std::end(kB));
  for (Stage& stage : stages) stage.layers = static_cast<int>(std::ceil(stage.layers * depth_mult));
  build(net, stages, eps);
}

void efficientnet_v2(Net& net, EfficientNetV2 size) {
  std::span<const Stage> stages = kV2S;
  if (size == EfficientNetV2::m) stages = kV2M;
  if (size == EfficientNetV2::l) stages = kV2L;
  build(net, stages, 1e-3);
}

}  // namespace rushlight::doors
