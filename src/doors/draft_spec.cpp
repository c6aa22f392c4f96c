#include "rushlight/draft_spec.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "rushlight/model.hpp"

namespace rushlight {
namespace doors {
namespace {

// More layers than this are no sequence that a person would correct by hand.
constexpr std::size_t kMostLayers = 4096;
// Pools are tried after every subset of the last so many convolutions.
constexpr std::size_t kMostPools = 8;

// The tensors below one name.
struct Group {
  std::string name;  // "features.0"; empty for a lone layer
  std::vector<std::string> tensors;
  std::unordered_map<std::string, Shape> shapes;  // by short name: "weight"

  [[nodiscard]] const Shape* find(std::string_view parameter) const {
    const auto found = shapes.find(std::string(parameter));
    return found == shapes.end() ? nullptr : &found->second;
  }
};

std::vector<Group> groups_of(const StateDict& state) {
  std::vector<Group> groups;
  std::unordered_map<std::string, std::size_t> places;
  for (const auto& [name, tensor] : state) {
    const std::size_t dot = name.rfind('.');
    const std::string prefix = dot == std::string::npos ? std::string() : name.substr(0, dot);
    const auto [place, is_new] = places.try_emplace(prefix, groups.size());
    if (is_new) groups.push_back({prefix, {}, {}});
    Group& group = groups[place->second];
    group.tensors.push_back(name);
    const std::span<const std::int64_t> shape = tensor.shape();
    group.shapes.emplace(dot == std::string::npos ? name : name.substr(dot + 1), Shape(shape.begin(), shape.end()));
  }
  return groups;
}

enum class Kind : std::uint8_t { conv, transposed, norm, layer_norm, linear, embedding, recurrent, prelu };

struct DraftLayer {
  Kind kind;
  std::string word;         // "conv2d"
  std::string name;         // of the group
  std::string attributes;   // `, "padding": 1`
  std::size_t spatial = 0;  // of a convolution
  Shape kernel;
  std::int64_t out = 0;  // channels or features
};

std::string json_name(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += letter;
  }
  return result + "\"";
}

class Drafter {
 public:
  Drafter(const StateDict& state, const DraftSpecOptions& options) : state_(state), options_(options) {}

  Result<SpecDraft> draft() {
    for (const Group& group : groups_of(state_)) {
      if (layers_.size() >= kMostLayers || !add(group)) {
        for (const std::string& name : group.tensors) draft_.unread.push_back(name);
      }
    }
    if (layers_.empty()) {
      return Error::of({.category = Category::unsup,
                        .code = "DRAFT-LAYERS",
                        .message = "no tensor looks like the weight of a layer",
                        .hint = "`rushlight list` shows what the file holds"});
    }
    assume("layers run one after the other, in the order of the state dict: branches and sums are not in it");
    choose_sizes();
    write();
    check();
    return std::move(draft_);
  }

 private:
  void assume(std::string text) {
    if (std::find(draft_.assumptions.begin(), draft_.assumptions.end(), text) == draft_.assumptions.end()) {
      draft_.assumptions.push_back(std::move(text));
    }
  }

  [[nodiscard]] static std::string dims(std::size_t spatial) { return std::to_string(spatial) + "d"; }

  bool add(const Group& group) {
    const Shape* weight = group.find("weight");
    if (group.find("running_mean") != nullptr) return add_batch_norm(group, *group.find("running_mean"));
    if (group.find("weight_ih_l0") != nullptr) return add_recurrent(group);
    if (weight == nullptr) return false;
    const Shape* bias = group.find("bias");
    if (weight->size() >= 3 && weight->size() <= 5) return add_conv(group, *weight, bias != nullptr);
    if (weight->size() == 2) return add_linear(group, *weight, bias != nullptr);
    if (weight->size() == 1) return add_vector(group, *weight, bias != nullptr);
    return false;
  }

  bool add_batch_norm(const Group& group, const Shape& mean) {
    if (mean.size() != 1) return false;
    std::size_t spatial = 2;
    if (!layers_.empty()) spatial = layers_.back().kind == Kind::linear ? 1 : std::max<std::size_t>(last_spatial(), 1);
    std::string attributes = group.find("weight") == nullptr ? ", \"affine\": false" : "";
    assume("batch norms have torch's eps of 1e-5");
    layers_.push_back({Kind::norm, "batchnorm" + dims(spatial), group.name, attributes, 0, {}, mean[0]});
    return true;
  }

  [[nodiscard]] std::size_t last_spatial() const {
    for (std::size_t i = layers_.size(); i-- > 0;) {
      if (layers_[i].spatial > 0) return layers_[i].spatial;
    }
    return 0;
  }

  // What the layers so far give; 0 when there is none.
  [[nodiscard]] std::int64_t channels() const { return layers_.empty() ? 0 : layers_.back().out; }

  bool add_conv(const Group& group, const Shape& weight, bool bias) {
    const std::size_t spatial = weight.size() - 2;
    const Shape kernel(weight.begin() + 2, weight.end());
    DraftLayer layer{Kind::conv, "conv" + dims(spatial), group.name, bias ? "" : ", \"bias\": false", spatial, kernel,
                     weight[0]};
    const std::int64_t before = channels();
    if (before != 0 && weight[1] != before) {
      if (weight[0] == before) {
        layer.kind = Kind::transposed;
        layer.word = "convtranspose" + dims(spatial);
        layer.out = weight[1];
        const std::int64_t k = kernel[0];
        const std::int64_t stride = k == 1 ? 1 : 2;
        layer.attributes +=
            ", \"stride\": " + std::to_string(stride) + ", \"padding\": " + std::to_string(k > 2 ? (k - 1) / 2 : 0);
        assume("convolutions whose first size fits the layer before are transposed ones, of stride 2");
      } else if (weight[1] > 0 && before % weight[1] == 0 && weight[0] % (before / weight[1]) == 0) {
        layer.attributes += ", \"groups\": " + std::to_string(before / weight[1]);
      } else {
        assume(rushlight::quoted(group.name) + " takes " + std::to_string(weight[1]) +
               " channels, the layer before gives " + std::to_string(before) + ": it belongs elsewhere");
      }
    }
    layers_.push_back(std::move(layer));
    return true;
  }

  bool add_linear(const Group& group, const Shape& weight, bool bias) {
    const bool embedding = layers_.empty() && !bias && group.name.find("emb") != std::string::npos;
    if (embedding) {
      layers_.push_back({Kind::embedding, "embedding", group.name, "", 0, {}, weight[1]});
      assume(rushlight::quoted(group.name) + " is an embedding, going by its name");
      return true;
    }
    layers_.push_back({Kind::linear, "linear", group.name, bias ? "" : ", \"bias\": false", 0, {weight[1]}, weight[0]});
    return true;
  }

  bool add_vector(const Group& group, const Shape& weight, bool bias) {
    const bool named = group.name.find("relu") != std::string::npos || group.name.find("act") != std::string::npos;
    if (!bias && (weight[0] == 1 || named)) {
      layers_.push_back({Kind::prelu, "prelu", group.name, "", 0, {}, channels()});
      return true;
    }
    if (layers_.empty() || channels() != weight[0]) return false;
    layers_.push_back({Kind::layer_norm, "layernorm", group.name, bias ? "" : ", \"bias\": false", 0, {}, weight[0]});
    assume("vectors without running statistics are layer norms");
    return true;
  }

  bool add_recurrent(const Group& group) {
    const Shape* in = group.find("weight_ih_l0");
    const Shape* state = group.find("weight_hh_l0");
    if (state == nullptr || in->size() != 2 || state->size() != 2 || (*state)[1] < 1) return false;
    const std::int64_t hidden = (*state)[1];
    const std::int64_t gates = (*in)[0] / hidden;
    if ((*in)[0] % hidden != 0 || (gates != 1 && gates != 3 && gates != 4)) return false;
    std::int64_t layers = 0;
    while (group.find("weight_ih_l" + std::to_string(layers)) != nullptr) ++layers;
    const bool both = group.find("weight_ih_l0_reverse") != nullptr;
    std::string attributes = ", \"input_size\": " + std::to_string((*in)[1]) +
                             ", \"hidden_size\": " + std::to_string(hidden) +
                             ", \"num_layers\": " + std::to_string(layers) + ", \"batch_first\": true";
    if (both) attributes += ", \"bidirectional\": true";
    if (group.find("bias_ih_l0") == nullptr) attributes += ", \"bias\": false";
    assume("recurrent layers take the batch first");
    layers_.push_back({Kind::recurrent,
                       gates == 4   ? "lstm"
                       : gates == 3 ? "gru"
                                    : "rnn",
                       group.name,
                       attributes,
                       0,
                       {},
                       hidden * (both ? 2 : 1)});
    return true;
  }

  // Whether an activation follows layer i: behind the norm that follows it, and not at the end.
  [[nodiscard]] bool is_followed_by_relu(std::size_t i) const {
    const Kind kind = layers_[i].kind;
    if (i + 1 == layers_.size() || kind == Kind::embedding || kind == Kind::recurrent || kind == Kind::prelu)
      return false;
    const Kind next = layers_[i + 1].kind;
    if (next == Kind::norm || next == Kind::layer_norm || next == Kind::prelu) return false;
    return true;
  }

  // The convolutions before the first Linear, as positions in layers_.
  [[nodiscard]] std::vector<std::size_t> convolutions(std::size_t end) const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < end; ++i) {
      if (layers_[i].spatial > 0) found.push_back(i);
    }
    return found;
  }

  // The side that `size` becomes, 0 when it does not fit. padded: kernels keep their input's size.
  [[nodiscard]] std::int64_t side_after(std::int64_t size, const std::vector<std::size_t>& convs, bool padded,
                                        std::uint32_t pools) const {
    for (std::size_t i = 0; i < convs.size(); ++i) {
      const std::int64_t k = layers_[convs[i]].kernel.back();
      size = size + (padded ? k / 2 * 2 : 0) - k + 1;
      if ((pools >> i & 1U) != 0) size /= 2;
      if (size < 1) return 0;
    }
    return size;
  }

  // Where convolutions meet a Linear its input counts what is left of the picture: that decides paddings and pools.
  void choose_sizes() {
    std::size_t linear = 0;
    while (linear < layers_.size() && layers_[linear].kind != Kind::linear) ++linear;
    const std::vector<std::size_t> convs = convolutions(linear);
    const bool transposed = std::any_of(layers_.begin(), layers_.end(),
                                        [](const DraftLayer& layer) { return layer.kind == Kind::transposed; });
    spatial_ = convs.empty() ? 0 : layers_[convs.front()].spatial;
    if (convs.empty()) return;
    assume("convolutions have stride 1");
    if (linear == layers_.size() || transposed) {
      assume("convolutions are padded so that sizes stay, and nothing is pooled");
      return;
    }
    flatten_before_ = linear;
    const std::int64_t features = layers_[linear].kernel[0];
    const std::int64_t last = layers_[convs.back()].out;
    if (last < 1 || features % last != 0 || spatial_ > 2) {
      assume(rushlight::quoted(layers_[linear].name) + " takes " + std::to_string(features) +
             " features, which no whole picture of " + std::to_string(last) + " channels has");
      return;
    }
    const std::int64_t pixels = features / last;
    if (pixels == 1) {
      global_pool_ = true;
      pools_ = 0;
      assume("the last convolution is averaged over its picture before the first linear layer");
      return;
    }
    search(convs, pixels, spatial_);
  }

  void search(const std::vector<std::size_t>& convs, std::int64_t pixels, std::size_t spatial) {
    std::vector<std::int64_t> sides = {28, 32, 224, 64, 96, 128, 48, 56, 112, 227, 256, 299, 100, 50, 20};
    if (!options_.input.empty()) sides = {options_.input.back()};
    const std::size_t free = std::min(convs.size(), kMostPools);
    const std::uint32_t all = (std::uint32_t{1} << free) - 1;
    for (const std::int64_t side : sides) {
      for (std::uint32_t skipped = 0; skipped <= all; ++skipped) {
        for (const bool padded : {true, false}) {
          // Fewer skipped pools first, the earlier ones skipped first.
          const std::uint32_t pools = (all & ~skipped) << (convs.size() - free);
          std::int64_t left = side_after(side, convs, padded, pools);
          const std::int64_t area = spatial == 2 ? left * left : left;
          if (left == 0 || area != pixels) continue;
          padded_ = padded;
          pools_ = pools;
          side_ = side;
          assume("pictures are " + std::to_string(side) + (spatial == 2 ? " x " + std::to_string(side) : " long") +
                 (options_.input.empty() ? ", since that fits the first linear layer" : ", as given"));
          assume(padded ? "convolutions are padded so that sizes stay" : "convolutions have no padding");
          assume("max pools of 2 stand behind " +
                 std::string(skipped == 0 && free == convs.size() ? "each convolution" : "some convolutions"));
          return;
        }
      }
    }
    assume("no usual size of pictures, padding and pools gives the " + std::to_string(pixels) +
           " pixels that the first linear layer takes: give the input's shape");
  }

  [[nodiscard]] std::string padding_of(const DraftLayer& layer) const {
    if (layer.kind != Kind::conv || !padded_) return "";
    std::string list;
    bool any = false;
    bool same = true;
    for (const std::int64_t k : layer.kernel) {
      list += (list.empty() ? "" : ", ") + std::to_string(k / 2);
      any = any || k / 2 > 0;
      same = same && k == layer.kernel.front();
    }
    if (!any) return "";
    return ", \"padding\": " + (same ? std::to_string(layer.kernel.front() / 2) : "[" + list + "]");
  }

  void write() {
    std::vector<std::string> lines;
    const std::vector<std::size_t> convs = convolutions(flatten_before_.value_or(layers_.size()));
    bool relus = false;
    std::size_t conv = 0;
    bool pool_waits = false;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const DraftLayer& layer = layers_[i];
      if (flatten_before_ == i) {
        if (global_pool_) lines.push_back("{\"adaptiveavgpool" + dims(spatial_) + "\": 1}");
        lines.emplace_back("\"flatten\"");
      }
      lines.push_back("{\"" + layer.word + "\": " + json_name(layer.name) + padding_of(layer) + layer.attributes + "}");
      if (layer.spatial > 0 && conv < convs.size() && convs[conv] == i) {
        pool_waits = (pools_ >> conv & 1U) != 0;
        ++conv;
      }
      if (is_followed_by_relu(i)) {
        lines.emplace_back("\"relu\"");
        relus = true;
      }
      const bool block_ends = i + 1 == layers_.size() || is_followed_by_relu(i) || layers_[i].kind == Kind::prelu;
      if (pool_waits && block_ends) {
        lines.push_back("{\"maxpool" + dims(spatial_) + "\": 2}");
        pool_waits = false;
      }
    }
    if (relus) assume("layers are followed by relu, the last one is not");
    std::string text = "{\"schema\": 1";
    if (const std::string input = input_text(); !input.empty()) text += ", \"input\": " + input;
    text += ",\n \"layers\": [\n";
    for (std::size_t i = 0; i < lines.size(); ++i) text += "  " + lines[i] + (i + 1 < lines.size() ? ",\n" : "]}\n");
    draft_.spec = std::move(text);
  }

  // One item: channels from the first weight, sides as they were chosen.
  [[nodiscard]] std::string input_text() const {
    Shape shape = options_.input;
    const DraftLayer& first = layers_.front();
    if (shape.empty() && first.kind == Kind::linear) shape = first.kernel;
    if (shape.empty() && first.kind == Kind::conv) {
      const Tensor* weight = state_.find(first.name.empty() ? "weight" : first.name + ".weight");
      shape.push_back(weight->shape()[1]);
      for (std::size_t i = 0; i < first.spatial; ++i) shape.push_back(side_ > 0 ? side_ : -1);
    }
    if (shape.empty()) return "";
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
  }

  void check() {
    const Result<Graph> graph = Graph::from_spec(draft_.spec);
    if (!graph) return assume("the draft does not fit itself: " + graph.error().finding.message);
    LoadReport report;
    const Result<Model> model = Model::create(*graph, state_, &report, Strict::no);
    if (!model) return assume("the weights do not fit the draft: " + model.error().finding.message);
    draft_.fits = report.missing.empty() && draft_.unread.empty();
  }

  const StateDict& state_;
  const DraftSpecOptions& options_;
  SpecDraft draft_;
  std::vector<DraftLayer> layers_;
  std::optional<std::size_t> flatten_before_;
  std::size_t spatial_ = 0;
  std::int64_t side_ = 0;
  std::uint32_t pools_ = 0;  // bit i: behind convolution i
  bool padded_ = true;
  bool global_pool_ = false;
};

}  // namespace
}  // namespace doors

Result<SpecDraft> draft_spec(const StateDict& state, const DraftSpecOptions& options) {
  return doors::Drafter(state, options).draft();
}

}  // namespace rushlight
