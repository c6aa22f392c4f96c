#include "rushlight/edit.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "open/name_pattern.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/text.hpp"
#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"
#include "value/children.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

Error wrong_edit(ErrorCode code, std::string_view id, std::string message, std::string hint = {}) {
  return Error::of(code, {.category = Category::argument,
                          .code = std::string(id),
                          .message = std::move(message),
                          .hint = std::move(hint)});
}

bool fits(std::string_view pattern, std::string_view name) {
  return pattern.empty() || (open::is_glob(pattern) ? open::matches_glob(pattern, name) : pattern == name);
}

bool is_float(DType dtype) noexcept {
  return info(dtype).kind == DTypeKind::real && dtype != DType::f4_e2m1fn_x2 && dtype != DType::f8_e8m0fnu;
}

// The elements of both, in double, compared: what a cast did to a tensor.
Status measure(const Tensor& before, const Tensor& after, CastReport& report) {
  RUSHLIGHT_TRY_ASSIGN(const Tensor old_values, before.to(DType::f64));
  std::optional<Tensor> plain;
  if (after.options().quantizer) {
    RUSHLIGHT_TRY_ASSIGN(plain, after.dequantize());
  }
  RUSHLIGHT_TRY_ASSIGN(const Tensor new_values, (plain ? *plain : after).to(DType::f64));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const double> a, old_values.values<double>());
  RUSHLIGHT_TRY_ASSIGN(const std::span<const double> b, new_values.values<double>());
  double sum = 0;
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) ++report.changed;
    if (!std::isfinite(a[i])) continue;
    if (!std::isfinite(b[i])) {
      ++report.overflowed;
      continue;
    }
    const double d = std::abs(b[i] - a[i]);
    report.max_abs = std::max(report.max_abs, d);
    sum += a[i] * a[i];
    difference += d * d;
  }
  report.elements = static_cast<std::int64_t>(a.size());
  report.rel_l2 = sum > 0 ? std::sqrt(difference / sum) : 0;
  return {};
}

// Weights as int8 with a scale for each index of the first dimension, as torch's per-channel quantised tensors.
Result<Tensor> quantized(const Tensor& tensor) {
  RUSHLIGHT_TRY_ASSIGN(const Tensor values, tensor.to(DType::f32));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> from, values.values<float>());
  const auto channels = static_cast<std::size_t>(tensor.shape()[0]);
  const std::size_t each = channels == 0 ? 0 : from.size() / channels;
  std::vector<double> scales(channels, 1);
  std::vector<std::int8_t> codes(from.size());
  for (std::size_t c = 0; c < channels; ++c) {
    float largest = 0;
    for (std::size_t i = 0; i < each; ++i) {
      if (std::isfinite(from[c * each + i])) largest = std::max(largest, std::abs(from[c * each + i]));
    }
    if (largest > 0) scales[c] = static_cast<double>(largest) / 127;
    for (std::size_t i = 0; i < each; ++i) {
      const double code = std::nearbyint(static_cast<double>(from[c * each + i]) / scales[c]);
      codes[c * each + i] = static_cast<std::int8_t>(std::isnan(code) ? 0 : std::clamp(code, -128.0, 127.0));
    }
  }
  Quantizer quantizer;
  quantizer.scheme = Quantizer::Scheme::per_channel_affine;
  quantizer.axis = 0;
  const Shape one_dim = {tensor.shape()[0]};
  RUSHLIGHT_TRY_ASSIGN(quantizer.scales, Tensor::from_values<double>(scales, one_dim));
  RUSHLIGHT_TRY_ASSIGN(quantizer.zero_points, Tensor::zeros(DType::i64, one_dim));
  Shape shape(tensor.shape().begin(), tensor.shape().end());
  RUSHLIGHT_TRY_ASSIGN(const Tensor made, Tensor::from_values<std::int8_t>(codes, shape));
  TensorOptions options;
  options.quantizer = std::make_shared<const Quantizer>(std::move(quantizer));
  Strides strides = contiguous_strides(shape);
  return Tensor::view(made.storage(), DType::qi8, std::move(shape), std::move(strides), 0, std::move(options));
}

class Editor {
 public:
  Editor(const Checkpoint& checkpoint, const EditOptions& options) : checkpoint_(checkpoint), options_(options) {}

  Result<EditReport> run() {
    RUSHLIGHT_TRY_ASSIGN(inspection_, inspect(checkpoint_, options_.limits));
    Grafter grafter;
    root_ = grafter.graft(builder_, checkpoint_.root());
    view_ = std::shared_ptr<const ValueGraph>(std::shared_ptr<void>(), &builder_.graph());
    RUSHLIGHT_TRY(cast());
    RUSHLIGHT_TRY(drop());
    RUSHLIGHT_TRY(rename());
    for (const NodeId dict : changed_) builder_.graph().rebuild_index(dict, builder_.memo());
    report_.value = Value(std::move(builder_).finish(), root_);
    return set();
  }

 private:
  [[nodiscard]] NodeId node_at(const Path& path) const {
    NodeId node = root_;
    for (const PathStep& step : path) {
      node = find_child(*view_, node, step);
      if (node == kNoNode) break;
    }
    return node;
  }

  // --- casts ---
  const CastRule* rule_for(const TensorEntry& entry) {
    for (std::size_t i = 0; i < options_.casts.size(); ++i) {
      const CastRule& rule = options_.casts[i];
      if (!fits(rule.match, entry.name)) continue;
      used_[i] = true;
      const DType dtype = entry.tensor.dtype();
      if (rule.from ? dtype == *rule.from : is_float(dtype)) return dtype == rule.to ? nullptr : &rule;
    }
    return nullptr;
  }

  void cannot_cast(const TensorEntry& entry, std::string why) {
    report_.findings.push_back({.severity = Severity::warning,
                                .category = Category::unsup,
                                .code = "EDIT-NOT-CAST",
                                .message = rushlight::quoted(entry.name) + " stays as it is: " + std::move(why),
                                .tensors = {entry.name}});
  }

  // The storage of a tensor in another dtype: all of it, once, so that what shares it goes on sharing.
  Result<Storage> cast_storage(const Tensor& tensor, DType to) {
    const auto key = std::pair(tensor.storage().memory().get(), to);
    if (const auto known = cast_storages_.find(key); known != cast_storages_.end()) return known->second;
    const std::uint64_t units = tensor.storage().size_bytes() / size_bytes(tensor.dtype());
    RUSHLIGHT_TRY_ASSIGN(const Tensor whole,
                         Tensor::view(tensor.storage(), tensor.dtype(), {static_cast<std::int64_t>(units)}, {1}, 0));
    RUSHLIGHT_TRY_ASSIGN(const Tensor made, whole.to(to));
    done_bytes_ += tensor.storage().size_bytes();
    if (options_.progress != nullptr &&
        !options_.progress->on_progress("cast", done_bytes_, std::max(done_bytes_, inspection_.tensor_bytes))) {
      return Error::of(ErrorCode::cancelled,
                       {.category = Category::io, .code = "CANCELLED", .message = "casting was cancelled"});
    }
    cast_storages_.emplace(key, made.storage());
    return made.storage();
  }

  Result<Tensor> cast_tensor(const Tensor& tensor, DType to) {
    TensorOptions kept = tensor.options();
    if (to == DType::qi8) {
      RUSHLIGHT_TRY_ASSIGN(Tensor made, quantized(tensor));
      kept.quantizer = made.options().quantizer;
      kept.conj = kept.neg = kept.requires_grad = false;
      kept.tensor_class = TensorClass::tensor;
      return Tensor::view(made.storage(), DType::qi8, Shape(made.shape().begin(), made.shape().end()),
                          Strides(made.strides().begin(), made.strides().end()), 0, std::move(kept));
    }
    RUSHLIGHT_TRY_ASSIGN(Storage storage, cast_storage(tensor, to));
    const DTypeKind kind = info(to).kind;
    if (kind != DTypeKind::real && kind != DTypeKind::complex) kept.requires_grad = false;
    return Tensor::view(std::move(storage), to, Shape(tensor.shape().begin(), tensor.shape().end()),
                        Strides(tensor.strides().begin(), tensor.strides().end()), tensor.storage_offset(),
                        std::move(kept));
  }

  Status cast() {
    used_.assign(options_.casts.size(), false);
    std::unordered_set<NodeId> done;
    for (const TensorEntry& entry : inspection_.tensors) {
      const CastRule* const rule = rule_for(entry);
      if (rule == nullptr) continue;
      const NodeId node = node_at(entry.path);
      if (node == kNoNode || builder_.kind(node) != ValueKind::tensor || !done.insert(node).second) continue;
      if (entry.path.size() >= 2 && is_part_of_composite(entry.path)) {
        cannot_cast(entry, "it is a part of a sparse or nested tensor");
        continue;
      }
      if (entry.tensor.device() == Device::meta() || !builder_.graph().extra_class(node).empty()) {
        cannot_cast(entry, "only its class knows what it stands for");
        continue;
      }
      if (rule->to == DType::qi8 && entry.tensor.dim() < 2) continue;
      Result<Tensor> made = cast_tensor(entry.tensor, rule->to);
      if (!made) {
        if (made.error().code != ErrorCode::unsupported) return std::move(made).error();
        cannot_cast(entry, made.error().finding.message);
        continue;
      }
      CastReport report{.name = entry.name, .from = entry.tensor.dtype(), .to = rule->to};
      if (info(rule->to).kind != DTypeKind::complex) RUSHLIGHT_TRY(measure(entry.tensor, *made, report));
      report_.casts.push_back(std::move(report));
      builder_.replace_tensor(node, *std::move(made));
    }
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (used_[i] || options_.casts[i].match.empty()) continue;
      return nothing_fits(options_.casts[i].match);
    }
    return {};
  }

  bool is_part_of_composite(const Path& path) const {
    const NodeId parent = node_at(Path(path.begin(), path.end() - 1));
    return parent != kNoNode && view_->nodes[parent].kind == ValueKind::composite;
  }

  Error nothing_fits(std::string_view pattern) const {
    std::vector<std::string> names;
    for (const TensorEntry& entry : inspection_.tensors) names.push_back(entry.name);
    std::string hint;
    for (const std::string& name : nearest(pattern, names))
      hint += (hint.empty() ? "did you mean " : " or ") + rushlight::quoted(name);
    return wrong_edit(ErrorCode::not_found, "EDIT-NO-MATCH", "nothing is called " + rushlight::quoted(pattern),
                      std::move(hint));
  }

  // --- leaving out ---
  // Whether a name, or the name of something it stands in, fits one of the patterns; which of them.
  bool is_dropped(std::string_view name, std::vector<bool>& used) const {
    bool any = false;
    for (std::size_t i = 0; i < options_.drop.size(); ++i) {
      if (!fits(options_.drop[i], name)) continue;
      used[i] = true;
      any = true;
    }
    return any;
  }

  Status drop() {
    if (options_.drop.empty()) return {};
    std::vector<bool> used(options_.drop.size());
    // By the names of the tensors and values in listings, which for modules are not their paths; and by paths, for what
    // holds them.
    std::map<std::pair<NodeId, NodeId>, bool> gone;  // parent and child
    for (const auto& [name, path] : listed()) {
      if (path->empty() || !is_dropped(name, used)) continue;
      const NodeId parent = node_at(Path(path->begin(), path->end() - 1));
      const NodeId child = node_at(*path);
      if (parent != kNoNode && child != kNoNode && gone.emplace(std::pair(parent, child), true).second) {
        report_.dropped.emplace_back(name);
      }
    }
    std::vector<NodeId> above;
    const Value root(view_, root_);
    RUSHLIGHT_TRY(walk(
        root,
        [&](const WalkItem& item) {
          above.resize(item.path.size());
          const NodeId node = item.value->identity();
          bool enter = true;
          if (!item.path.empty()) {
            const auto key = std::pair(above.back(), node);
            if (gone.contains(key)) {
              enter = false;
            } else if (const std::string name = to_string(item.path); is_dropped(name, used)) {
              gone.emplace(key, true);
              report_.dropped.push_back(name);
              enter = false;
            }
          }
          above.push_back(node);
          return enter;
        },
        options_.limits.visited_nodes));
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i]) return nothing_fits(options_.drop[i]);
    }
    for (const auto& [place, unused] : gone) RUSHLIGHT_TRY(remove(place.first, place.second));
    return {};
  }

  std::vector<std::pair<std::string_view, const Path*>> listed() const {
    std::vector<std::pair<std::string_view, const Path*>> all;
    for (const TensorEntry& entry : inspection_.tensors) all.emplace_back(entry.name, &entry.path);
    for (const CompositeEntry& entry : inspection_.composites) all.emplace_back(entry.name, &entry.path);
    for (const ValueEntry& entry : inspection_.values) all.emplace_back(entry.name, &entry.path);
    return all;
  }

  // From a dict, list or set, or from the attributes of an object.
  Status remove(NodeId parent, NodeId child) {
    ValueGraph& graph = builder_.graph();
    bool found = remove_from(parent, child);
    for (const NodeId attributes : graph.attributes(parent)) found = remove_from(attributes, child) || found;
    if (const OtherState other = other_state(graph, parent); !found && other.node != kNoNode) {
      found = remove_from(other.node, child);
    }
    if (found) return {};
    return wrong_edit(ErrorCode::invalid_argument, "EDIT-DROP",
                      "a part of a " + std::string(to_string(graph[parent].kind)) + " cannot be left out");
  }

  bool remove_from(NodeId container, NodeId child) {
    ValueGraph& graph = builder_.graph();
    const ValueKind kind = graph[container].kind;
    if (kind == ValueKind::tuple || kind == ValueKind::size || kind == ValueKind::frozenset) return false;
    bool found = false;
    if (!graph.entries(container).empty()) {
      Children& entries = graph.children_of_entries(container);
      std::uint32_t kept = 0;
      for (std::uint32_t i = 0; i + 1 < entries.count; i += 2) {
        if (entries.data[i + 1] == child) {
          found = true;
          continue;
        }
        entries.data[kept] = entries.data[i];
        entries.data[kept + 1] = entries.data[i + 1];
        kept += 2;
      }
      entries.count = kept;
    }
    if (!graph.items(container).empty()) {
      Children& items = graph.nodes[container].children;
      const auto end = std::remove(items.data, items.data + items.count, child);
      found = found || end != items.data + items.count;
      items.count = static_cast<std::uint32_t>(end - items.data);
    }
    if (found) changed_.insert(container);
    return found;
  }

  // --- other names ---
  Status rename() {
    if (!options_.rename) return {};
    ValueGraph& graph = builder_.graph();
    const auto count = static_cast<NodeId>(graph.nodes.size());
    for (NodeId dict = 0; dict < count; ++dict) {
      const std::span<const NodeId> entries = graph.entries(dict);
      bool holds_tensors = false;
      for (std::size_t i = 1; i < entries.size(); i += 2) {
        const ValueKind kind = graph[entries[i]].kind;
        holds_tensors = holds_tensors || kind == ValueKind::tensor || kind == ValueKind::composite;
      }
      if (holds_tensors) RUSHLIGHT_TRY(rename_in(dict));
    }
    return {};
  }

  Status rename_in(NodeId dict) {
    std::set<std::string, std::less<>> names;
    const std::size_t count = builder_.graph().entries(dict).size();
    for (std::size_t i = 0; i < count; i += 2) {
      const NodeId key = builder_.graph().entries(dict)[i];
      if (builder_.kind(key) != ValueKind::string) continue;
      const std::string old_name(builder_.graph()[key].text.view());
      std::string new_name = options_.rename(old_name);
      if (!names.insert(new_name).second) {
        return wrong_edit(ErrorCode::invalid_argument, "EDIT-RENAME",
                          "two keys would both become " + rushlight::quoted(new_name) + ", the second of them " +
                              rushlight::quoted(old_name));
      }
      if (new_name == old_name) continue;
      const NodeId renamed = builder_.string(new_name);
      builder_.graph().children_of_entries(dict).data[i] = renamed;
      changed_.insert(dict);
      report_.renamed.emplace_back(old_name, std::move(new_name));
    }
    return {};
  }

  // --- values ---
  Result<EditReport> set() {
    if (options_.set.empty()) return std::move(report_);
    ValueEditor editor(report_.value);
    for (const auto& [path, value] : options_.set) {
      RUSHLIGHT_TRY(editor.set(path, value));
      report_.set.push_back(path);
    }
    report_.value = editor.value();
    return std::move(report_);
  }

  const Checkpoint& checkpoint_;
  const EditOptions& options_;
  Inspection inspection_;
  ValueGraphBuilder builder_;
  std::shared_ptr<const ValueGraph> view_;
  NodeId root_ = kNoNode;
  std::vector<bool> used_;  // by rule
  std::map<std::pair<const Memory*, DType>, Storage> cast_storages_;
  std::uint64_t done_bytes_ = 0;
  std::set<NodeId> changed_;
  EditReport report_;
};

}  // namespace

Result<EditReport> edit(const Checkpoint& checkpoint, const EditOptions& options) {
  return or_no_memory([&]() -> Result<EditReport> { return Editor(checkpoint, options).run(); });
}

}  // namespace rushlight
