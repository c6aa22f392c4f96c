#include "rushlight/edit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
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
#include "tensor/computed_memory.hpp"
#include "tensor/element_cast.hpp"
#include "tensor/element_stream.hpp"
#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"
#include "value/children.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

constexpr std::size_t kBlock = 1024;  // elements
constexpr std::size_t kWidestElement = 16;

Error wrong_edit(ErrorCode code, std::string_view id, std::string message, std::string hint = {}) {
  return Error::of(code, {.category = Category::argument,
                          .code = std::string(id),
                          .message = std::move(message),
                          .hint = std::move(hint)});
}

// A name fits itself, though it may look like a glob: state[0].
bool fits(std::string_view pattern, std::string_view name) {
  return pattern.empty() || pattern == name || (open::is_glob(pattern) && open::matches_glob(pattern, name));
}

bool is_float(DType dtype) noexcept {
  return info(dtype).kind == DTypeKind::real && dtype != DType::f4_e2m1fn_x2 && dtype != DType::f8_e8m0fnu;
}

// What a cast does to the elements of one tensor, in double.
class Measure {
 public:
  explicit Measure(CastReport& report) noexcept : report_(report) {}

  void add(double before, double after) noexcept {
    ++report_.elements;
    if (before != after && !(std::isnan(before) && std::isnan(after))) ++report_.changed;
    if (!std::isfinite(before)) return;
    if (!std::isfinite(after)) {
      ++report_.overflowed;
      return;
    }
    const double d = std::abs(after - before);
    report_.max_abs = std::max(report_.max_abs, d);
    sum_ += before * before;
    difference_ += d * d;
  }
  void finish() noexcept { report_.rel_l2 = sum_ > 0 ? std::sqrt(difference_ / sum_) : 0; }

 private:
  CastReport& report_;
  double sum_ = 0;
  double difference_ = 0;
};

// An expanded view repeats its elements, perhaps without end: then those that are stored are measured.
Result<ElementStream> stored_elements(const Tensor& tensor) {
  const std::uint64_t units = tensor.storage().size_bytes() / size_bytes(tensor.dtype());
  if (static_cast<std::uint64_t>(tensor.numel()) <= units) return ElementStream::open(tensor);
  RUSHLIGHT_TRY_ASSIGN(const Tensor whole,
                       Tensor::view(tensor.storage(), tensor.dtype(), {static_cast<std::int64_t>(units)}, {1}, 0));
  return ElementStream::open(whole);
}

// Elements of a tensor on the host are cast to `to` and compared, piece by piece.
Status measure_cast(const Tensor& tensor, DType to, CastReport& report) {
  RUSHLIGHT_TRY_ASSIGN(const ElementCast cast, ElementCast::find(tensor.dtype(), to));
  RUSHLIGHT_TRY_ASSIGN(const ElementCast widen_before, ElementCast::find(tensor.dtype(), DType::f64));
  RUSHLIGHT_TRY_ASSIGN(const ElementCast widen_after, ElementCast::find(to, DType::f64));
  RUSHLIGHT_TRY_ASSIGN(ElementStream elements, stored_elements(tensor));
  Measure measure(report);
  std::array<std::byte, kBlock * kWidestElement> narrow;
  std::array<double, kBlock> before;
  std::array<double, kBlock> after;
  for (ByteSpan piece = elements.next(); !piece.empty(); piece = elements.next()) {
    while (!piece.empty()) {
      const std::size_t count = std::min(kBlock, piece.size() / cast.from_bytes());
      cast.run(piece.data(), count, narrow.data());
      widen_before.run(piece.data(), count, reinterpret_cast<std::byte*>(before.data()));
      widen_after.run(narrow.data(), count, reinterpret_cast<std::byte*>(after.data()));
      for (std::size_t i = 0; i < count; ++i) measure.add(before[i], after[i]);
      piece = piece.subspan(count * cast.from_bytes());
    }
  }
  measure.finish();
  return {};
}

// Gives `take` all elements of a tensor as float32, in C order.
Status each_float(const Tensor& tensor, const std::function<void(std::size_t index, float value)>& take) {
  RUSHLIGHT_TRY_ASSIGN(const ElementCast cast, ElementCast::find(tensor.dtype(), DType::f32));
  RUSHLIGHT_TRY_ASSIGN(ElementStream elements, ElementStream::open(tensor));
  std::array<float, kBlock> values;
  std::size_t index = 0;
  for (ByteSpan piece = elements.next(); !piece.empty(); piece = elements.next()) {
    while (!piece.empty()) {
      const std::size_t count = std::min(kBlock, piece.size() / cast.from_bytes());
      cast.run(piece.data(), count, reinterpret_cast<std::byte*>(values.data()));
      for (std::size_t i = 0; i < count; ++i) take(index++, values[i]);
      piece = piece.subspan(count * cast.from_bytes());
    }
  }
  return {};
}

// Weights as int8 with a scale for each index of the first dimension, as torch's per-channel quantised tensors.
Result<Tensor> quantized(const Tensor& tensor, CastReport& report) {
  const auto channels = static_cast<std::size_t>(tensor.shape()[0]);
  const Shape shape(tensor.shape().begin(), tensor.shape().end());
  RUSHLIGHT_TRY_ASSIGN(const Tensor made, Tensor::zeros(DType::i8, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> codes, made.mutable_bytes());
  const std::size_t each = channels == 0 ? 0 : codes.size() / channels;
  std::vector<double> scales(channels, 0);
  RUSHLIGHT_TRY(each_float(tensor, [&](std::size_t i, float value) {
    double& largest = scales[i / each];
    if (std::isfinite(value)) largest = std::max(largest, static_cast<double>(std::abs(value)));
  }));
  for (double& scale : scales) scale = scale > 0 ? scale / 127 : 1;
  Measure measure(report);
  RUSHLIGHT_TRY(each_float(tensor, [&](std::size_t i, float value) {
    const double scale = scales[i / each];
    const double nearest = std::nearbyint(static_cast<double>(value) / scale);
    const double code = std::isnan(nearest) ? 0 : std::clamp(nearest, -128.0, 127.0);
    codes[i] = static_cast<std::byte>(static_cast<std::int8_t>(code));
    measure.add(static_cast<double>(value), static_cast<double>(static_cast<float>(code * scale)));
  }));
  measure.finish();
  Quantizer quantizer;
  quantizer.scheme = Quantizer::Scheme::per_channel_affine;
  quantizer.axis = 0;
  const Shape one_dim = {tensor.shape()[0]};
  RUSHLIGHT_TRY_ASSIGN(quantizer.scales, Tensor::from_values<double>(scales, one_dim));
  RUSHLIGHT_TRY_ASSIGN(quantizer.zero_points, Tensor::zeros(DType::i64, one_dim));
  TensorOptions options;
  options.quantizer = std::make_shared<const Quantizer>(std::move(quantizer));
  return Tensor::view(made.storage(), DType::qi8, shape, contiguous_strides(shape), 0, std::move(options));
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

  // The storage of a tensor in another dtype, all of it, so that what shares it goes on sharing. Its bytes are made
  // when they are read.
  Result<Storage> cast_storage(const Tensor& tensor, DType to) {
    const auto key = std::pair(tensor.storage().memory().get(), to);
    if (const auto known = cast_storages_.find(key); known != cast_storages_.end()) return known->second;
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> made, make_cast_memory(tensor.storage().memory(), tensor.dtype(), to));
    return cast_storages_.emplace(key, Storage(std::move(made))).first->second;
  }

  Result<Tensor> cast_tensor(const Tensor& tensor, DType to, CastReport& report) {
    TensorOptions kept = tensor.options();
    if (to == DType::qi8) {
      RUSHLIGHT_TRY_ASSIGN(Tensor made, quantized(tensor, report));
      kept.quantizer = made.options().quantizer;
      kept.conj = kept.neg = kept.requires_grad = false;
      kept.tensor_class = TensorClass::tensor;
      return Tensor::view(made.storage(), DType::qi8, Shape(made.shape().begin(), made.shape().end()),
                          Strides(made.strides().begin(), made.strides().end()), 0, std::move(kept));
    }
    RUSHLIGHT_TRY_ASSIGN(Storage storage, cast_storage(tensor, to));
    const DTypeKind kind = info(to).kind;
    if (kind != DTypeKind::complex) RUSHLIGHT_TRY(measure_cast(tensor, to, report));
    if (kind != DTypeKind::real && kind != DTypeKind::complex) kept.requires_grad = false;
    return Tensor::view(std::move(storage), to, Shape(tensor.shape().begin(), tensor.shape().end()),
                        Strides(tensor.strides().begin(), tensor.strides().end()), tensor.storage_offset(),
                        std::move(kept));
  }

  Status report_progress(const Tensor& tensor) {
    done_bytes_ += tensor.size_bytes();
    if (options_.progress == nullptr ||
        options_.progress->on_progress("cast", done_bytes_, std::max(done_bytes_, inspection_.tensor_bytes))) {
      return {};
    }
    return Error::of(ErrorCode::cancelled,
                     {.category = Category::io, .code = "CANCELLED", .message = "casting was cancelled"});
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
      CastReport report{.name = entry.name, .from = entry.tensor.dtype(), .to = rule->to};
      RUSHLIGHT_TRY_ASSIGN(const Tensor here, entry.tensor.to(Device::cpu()));
      Result<Tensor> made = cast_tensor(here, rule->to, report);
      if (!made) {
        if (made.error().code != ErrorCode::unsupported) return std::move(made).error();
        cannot_cast(entry, made.error().finding.message);
        continue;
      }
      RUSHLIGHT_TRY(report_progress(here));
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
