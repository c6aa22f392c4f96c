// Tensors as the calls that make them. Sources: torch/_tensor.py (_reduce_ex_internal), torch/nn/parameter.py,
// torch/serialization.py (persistent_id).
#include <algorithm>
#include <array>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/object_maker.hpp"
#include "rushlight/device.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;
using pickle::ObjectKind;

// Calls that may stand for the tensor they made in what is written now. The others are forms of old releases and of
// other containers.
bool is_current(Meaning meaning) noexcept {
  switch (meaning) {
    case Meaning::rebuild_tensor:
    case Meaning::rebuild_tensor_v2:
    case Meaning::rebuild_tensor_v3:
    case Meaning::rebuild_parameter:
    case Meaning::rebuild_parameter_with_state:
    case Meaning::rebuild_meta_tensor:
    case Meaning::rebuild_device_tensor:
    case Meaning::rebuild_from_type_v2:
    case Meaning::rebuild_from_type:
    case Meaning::quantized_tensor:
    case Meaning::sparse_tensor:
    case Meaning::sparse_csr_tensor:
    case Meaning::nested_tensor:
    case Meaning::wrapper_subclass:
    case Meaning::numpy_tensor:
      return true;
    default:
      return false;
  }
}

bool has_state(Meaning meaning) noexcept {
  return meaning == Meaning::rebuild_parameter_with_state || meaning == Meaning::rebuild_from_type_v2 ||
         meaning == Meaning::rebuild_from_type;
}

bool same_tensor(const Tensor& a, const Tensor& b) noexcept {
  return a.shares_storage_with(b) && a.storage_offset() == b.storage_offset() && a.dtype() == b.dtype() &&
         std::ranges::equal(a.shape(), b.shape()) && std::ranges::equal(a.strides(), b.strides());
}

}  // namespace

// Whether the call still says what the node is: with the attributes it had.
bool ObjectMaker::is_spelt(const Source& source, ObjectId object, NodeId node) const {
  const pickle::ObjectGraph& from = source.pickle->graph;
  if (!source.spells_tensors || from.kind(object) != ObjectKind::call) return false;
  const std::optional<KnownGlobal> callee = known(source, from.callable(object));
  if (!callee || !is_current(callee->meaning)) return false;
  if (graph_[node].kind == ValueKind::composite) return true;
  const std::span<const ObjectId> arguments = from.items(from.arguments(object));
  NodeId state = kNoNode;
  if (has_state(callee->meaning) && arguments.size() == 4 && from.kind(arguments[3]) != ObjectKind::none) {
    state = source.nodes[arguments[3]];
  }
  return graph_.state(node) == state;
}

Result<ObjectId> ObjectMaker::tensor_object(NodeId node) {
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(node, object));
  if (source != nullptr && is_spelt(*source, object, node)) return adopted_shell(*source, object);
  const Tensor& tensor = graph_.tensors[graph_[node].index];
  const NodeExtra* const extra = graph_.extra(node);
  if (extra != nullptr && !extra->class_name.empty()) {
    return cannot_write(node, "of a subclass of torch.Tensor only what a file held can be, with the attributes it had");
  }
  const TensorOptions& options = tensor.options();
  if (options.tensor_class != TensorClass::parameter) {
    RUSHLIGHT_TRY_ASSIGN(Making making, making_of(tensor, node));
    return with_class(std::move(making), options.tensor_class, options.requires_grad, node);
  }
  // The flag of the outer call counts; the tensor inside never requires a gradient.
  TensorOptions inner = options;
  inner.requires_grad = false;
  inner.tensor_class = TensorClass::tensor;
  RUSHLIGHT_TRY_ASSIGN(const Tensor data, Tensor::view(tensor.storage(), tensor.dtype(),
                                                       Shape(tensor.shape().begin(), tensor.shape().end()),
                                                       Strides(tensor.strides().begin(), tensor.strides().end()),
                                                       tensor.storage_offset(), std::move(inner)));
  RUSHLIGHT_TRY_ASSIGN(const ObjectId made, plain_tensor(data, node));
  Making making{.function = {}, .arguments = {made}};
  return with_class(std::move(making), TensorClass::parameter, options.requires_grad, node);
}

// Around what makes the tensor: its class and its attributes.
Result<ObjectId> ObjectMaker::with_class(Making making, TensorClass tensor_class, bool requires_grad, NodeId node) {
  const NodeId attributes = graph_.state(node);
  ObjectId state = pickle::kNoObject;
  if (attributes != kNoNode && graph_[node].kind == ValueKind::tensor) {
    RUSHLIGHT_TRY_ASSIGN(state, object_of(attributes));
  }
  if (tensor_class == TensorClass::parameter) {
    making.arguments.push_back(kept(objects_.boolean(requires_grad)));
    making.arguments.push_back(empty_ordered_dict());
    if (state != pickle::kNoObject) making.arguments.push_back(state);
    const bool plain = state == pickle::kNoObject;
    return call(global("torch._utils", plain ? "_rebuild_parameter" : "_rebuild_parameter_with_state"),
                making.arguments);
  }
  if (state == pickle::kNoObject) return call(making.function, making.arguments);
  const std::array outer = {making.function, global("torch", "Tensor"), tuple(making.arguments), state};
  return call(global("torch._tensor", "_rebuild_from_type_v2"), outer);
}

Result<ObjectId> ObjectMaker::plain_tensor(const Tensor& tensor, NodeId node) {
  RUSHLIGHT_TRY_ASSIGN(const Making making, making_of(tensor, node));
  return call(making.function, making.arguments);
}

Result<ObjectMaker::Making> ObjectMaker::making_of(const Tensor& tensor, NodeId node) {
  const TensorOptions& options = tensor.options();
  if (options.quantizer) return making_of_quantized(tensor, node);
  const ObjectId requires_grad = kept(objects_.boolean(options.requires_grad));
  if (tensor.device() == Device::meta()) {
    return Making{global("torch._utils", "_rebuild_meta_tensor_no_storage"),
                  {global("torch", to_string(tensor.dtype())), integers(tensor.shape()), integers(tensor.strides()),
                   requires_grad}};
  }
  RUSHLIGHT_TRY_ASSIGN(const ObjectId storage, persistent_of(tensor, node));
  const bool v3 = info(tensor.dtype()).storage_class.empty();
  Making making{global("torch._utils", v3 ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2"),
                {storage, kept(objects_.integer(tensor.storage_offset())), integers(tensor.shape()),
                 integers(tensor.strides()), requires_grad, empty_ordered_dict()}};
  if (v3) making.arguments.push_back(global("torch", to_string(tensor.dtype())));
  if (options.conj || options.neg) {
    const ObjectId bits = kept(objects_.container(ObjectKind::dict));
    std::vector<ObjectId> pairs;
    if (options.conj) pairs.insert(pairs.end(), {constant("conj"), kept(objects_.boolean(true))});
    if (options.neg) pairs.insert(pairs.end(), {constant("neg"), kept(objects_.boolean(true))});
    keep(objects_.add_pairs(bits, pairs));
    making.arguments.push_back(bits);
  }
  return making;
}

Result<ObjectMaker::Making> ObjectMaker::making_of_quantized(const Tensor& tensor, NodeId node) {
  const Quantizer& quantizer = *tensor.options().quantizer;
  std::vector<ObjectId> parameters;
  if (quantizer.is_per_channel()) {
    // Float parameters too are written under the name of the plain scheme.
    const bool symmetric = quantizer.scheme == Quantizer::Scheme::per_channel_symmetric;
    RUSHLIGHT_TRY_ASSIGN(const ObjectId scales, plain_tensor(quantizer.scales, node));
    RUSHLIGHT_TRY_ASSIGN(const ObjectId zero_points, plain_tensor(quantizer.zero_points, node));
    parameters = {global("torch", symmetric ? "per_channel_symmetric" : "per_channel_affine"), scales, zero_points,
                  kept(objects_.integer(quantizer.axis))};
  } else {
    parameters = {global("torch", to_string(quantizer.scheme)), kept(objects_.real(quantizer.scale)),
                  kept(objects_.integer(quantizer.zero_point))};
  }
  RUSHLIGHT_TRY_ASSIGN(const ObjectId storage, persistent_of(tensor, node));
  return Making{
      global("torch._utils", "_rebuild_qtensor"),
      {storage, kept(objects_.integer(tensor.storage_offset())), integers(tensor.shape()), integers(tensor.strides()),
       tuple(parameters), kept(objects_.boolean(tensor.options().requires_grad)), empty_ordered_dict()}};
}

Result<ObjectId> ObjectMaker::composite_object(NodeId node) {
  const CompositeTensor& tensor = graph_.composites[graph_[node].index];
  const auto changed = [&](const CompositeTensor::Component& component) {
    const NodeId part = graph_.attribute(node, component.first);
    return part == kNoNode || graph_[part].kind != ValueKind::tensor ||
           !same_tensor(graph_.tensors[graph_[part].index], component.second);
  };
  if (std::ranges::any_of(tensor.components(), changed)) {
    return cannot_write(node, "a part of a sparse or nested tensor was changed, and the others would not fit it",
                        "replace the whole: CompositeTensor::sparse() makes one");
  }
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(node, object));
  if (source != nullptr && is_spelt(*source, object, node)) return adopted_shell(*source, object);
  std::vector<ObjectId> parts;
  for (const auto& [name, part] : tensor.components()) {
    RUSHLIGHT_TRY_ASSIGN(const ObjectId made, plain_tensor(part, node));
    parts.push_back(made);
  }
  Making making;
  if (tensor.is_sparse()) {
    const std::array sizes = {integers(tensor.shape())};
    parts.push_back(call(global("torch", "Size"), sizes));
    if (tensor.layout() == Layout::sparse_coo) parts.push_back(kept(objects_.boolean(tensor.is_coalesced())));
    const std::array layout = {fresh_text("torch." + std::string(to_string(tensor.layout())))};
    making = {global("torch._utils", "_rebuild_sparse_tensor"),
              {call(global("torch.serialization", "_get_layout"), layout), tuple(parts)}};
  } else if (tensor.layout() == Layout::strided) {
    making = {global("torch._utils", "_rebuild_nested_tensor"), std::move(parts)};
  } else {
    return cannot_write(node, "of jagged nested tensors only what a file held can be");
  }
  const TensorOptions& options = tensor.options();
  if (options.tensor_class != TensorClass::parameter) return call(making.function, making.arguments);
  const std::array inner = {call(making.function, making.arguments)};
  return with_class({.function = {}, .arguments = {inner.begin(), inner.end()}}, TensorClass::parameter,
                    options.requires_grad, node);
}

// A storage saved by itself is its persistent id.
Result<ObjectId> ObjectMaker::storage_object(NodeId node) {
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(node, object));
  if (source != nullptr && source->spells_tensors && source->pickle->graph.kind(object) == ObjectKind::persistent) {
    return adopted_shell(*source, object);
  }
  const ValueGraph::TypedStorage& storage = graph_.storages[graph_[node].index];
  const std::string_view class_name = info(storage.dtype).storage_class;
  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t index, index_of(storage.storage, storage.dtype, class_name.empty(), node));
  const ObjectId storage_class =
      class_name.empty() ? global("torch.storage", "UntypedStorage") : global("torch", class_name);
  return storage_persistent(index, constant("storage"), storage_class, constant(storage.storage.recorded_device()));
}

Result<ObjectId> ObjectMaker::persistent_of(const Tensor& tensor, NodeId node) {
  const std::string_view class_name = info(tensor.dtype()).storage_class;
  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t index, index_of(tensor.storage(), tensor.dtype(), class_name.empty(), node));
  const ObjectId storage_class =
      class_name.empty() ? global("torch.storage", "UntypedStorage") : global("torch", class_name);
  // Of a tensor that was moved to a device here, the file has nothing to say.
  const std::string_view recorded = tensor.storage().recorded_device();
  const ObjectId location = recorded.find(':') == std::string_view::npos
                                ? constant(recorded)
                                : kept(objects_.text(ObjectKind::string, recorded));
  return storage_persistent(index, constant("storage"), storage_class, location);
}

Result<ObjectId> ObjectMaker::storage_persistent(std::uint32_t index, ObjectId word, ObjectId storage_class,
                                                 ObjectId location) {
  MadeStorage& storage = storages_[index];
  if (storage.key == pickle::kNoObject) storage.key = kept(objects_.text(ObjectKind::string, {}));
  std::vector<ObjectId> parts = {word, storage_class, storage.key, location,
                                 kept(objects_.integer(static_cast<std::int64_t>(storage.numel)))};
  // The legacy container names slices of storages here; it has written none since 0.4.
  if (options_.persistent_ids == PersistentIds::legacy) parts.push_back(kept(objects_.none()));
  const ObjectId made = kept(objects_.persistent(tuple(parts)));
  persistent_.emplace(made, index);
  return made;
}

Result<std::uint32_t> ObjectMaker::index_of(const Storage& storage, DType dtype, bool untyped, NodeId node) {
  const auto [known, is_new] =
      storage_index_.try_emplace(storage.memory().get(), static_cast<std::uint32_t>(storages_.size()));
  if (is_new) {
    const DType unit = untyped ? DType::u8 : dtype;
    if (storage.size_bytes() % size_bytes(unit) != 0) {
      return cannot_write(node,
                          "its storage of " + std::to_string(storage.size_bytes()) +
                              " bytes does not hold whole elements of " + std::string(to_string(dtype)),
                          "copy the tensor first");
    }
    storages_.push_back({.storage = storage,
                         .dtype = unit,
                         .untyped = untyped,
                         .numel = storage.size_bytes() / size_bytes(unit),
                         .first_key = {}});
    return known->second;
  }
  const MadeStorage& first = storages_[known->second];
  const bool both_bytes = first.dtype == DType::u8 && (untyped || dtype == DType::u8);
  if (storage.size_bytes() == 0 || both_bytes || (first.untyped == untyped && first.dtype == dtype)) {
    return known->second;
  }
  return cannot_write(node,
                      "two tensors view one storage, as " + std::string(to_string(first.dtype)) + " and as " +
                          (untyped ? std::string("bytes") : std::string(to_string(dtype))) +
                          ", which torch does not save either",
                      "copy one of them first");
}

}  // namespace rushlight::checkpoint
