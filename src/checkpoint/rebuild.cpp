// Tensors from the calls that make them. Sources: torch/_utils.py, torch/_tensor.py, torch/nn/parameter.py.
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/arguments.hpp"
#include "checkpoint/legacy_stream.hpp"
#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;
using pickle::ObjectKind;

// torch nests at most a type around a parameter around a device around a tensor.
constexpr int kMaxNesting = 8;

}  // namespace

Result<NodeId> ValueBuilder::create_tensor(ObjectId call) {
  if (values_.graph().tensors.size() >= options_.limits.tensors) {
    return failure(
        Category::limit, "LIMIT-TENSORS", call,
        "there are more tensors than the limit tensors, expected at most " + std::to_string(options_.limits.tensors));
  }
  Result<Rebuilt> rebuilt = rebuild(call);
  if (!rebuilt) return of_tensor(std::move(rebuilt).error(), call);
  const NodeId node = rebuilt->composite ? values_.composite(*std::move(rebuilt->composite))
                                         : values_.tensor(std::move(rebuilt->tensor));
  if (!rebuilt->class_name.empty()) values_.set_class(node, rebuilt->class_name);
  // The state came before the call, so its node exists; it is filled later like all others.
  // A composite tensor's attributes are its parts.
  const bool has_state = rebuilt->state != pickle::kNoObject && kind_of(rebuilt->state) != ObjectKind::none;
  if (has_state && values_.kind(node) == ValueKind::tensor) values_.set_state(node, nodes_[rebuilt->state]);
  return node;
}

Result<ValueBuilder::Rebuilt> ValueBuilder::rebuild(ObjectId call) {
  const ObjectId callable = callee_of(call);
  return rebuild_by(*names_[callable].known, names_[callable].dotted, call, graph_.items(graph_.arguments(call)), 0);
}

Result<ValueBuilder::Rebuilt> ValueBuilder::rebuild_by(const KnownGlobal& known, std::string_view callee, ObjectId call,
                                                       std::span<const ObjectId> items, int nesting) {
  const Arguments arguments(*this, call, callee, items, nesting);
  switch (known.meaning) {
    case Meaning::rebuild_tensor:
    case Meaning::rebuild_tensor_v2:
    case Meaning::rebuild_tensor_v3: {
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, rebuild_strided(known.meaning, arguments));
      return Rebuilt{.tensor = std::move(tensor)};
    }
    case Meaning::rebuild_meta_tensor: {
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, rebuild_meta(arguments));
      return Rebuilt{.tensor = std::move(tensor)};
    }
    case Meaning::rebuild_parameter:
    case Meaning::rebuild_parameter_with_state: {
      const bool has_state = known.meaning == Meaning::rebuild_parameter_with_state;
      RUSHLIGHT_TRY(has_state ? arguments.count(4, 4) : arguments.count(3, 3));
      RUSHLIGHT_TRY_ASSIGN(Rebuilt rebuilt, any_tensor_of(arguments, 0, "data"));
      TensorOptions options = rebuilt.options();
      // The flag of the outer call counts: the inner tensor never requires a gradient.
      RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(1, "requires_grad"));
      options.tensor_class = TensorClass::parameter;
      RUSHLIGHT_TRY(arguments.hooks(2));
      if (has_state) RUSHLIGHT_TRY(arguments.state(3));
      RUSHLIGHT_TRY(set_options(rebuilt, options));
      rebuilt.state = has_state ? arguments[3] : pickle::kNoObject;
      return rebuilt;
    }
    case Meaning::rebuild_device_tensor: {
      RUSHLIGHT_TRY(arguments.count(4, 4));
      RUSHLIGHT_TRY_ASSIGN(const Tensor data, tensor_of(arguments, 0, "data"));
      RUSHLIGHT_TRY_ASSIGN(const DType dtype, arguments.dtype(1, "dtype"));
      if (dtype != data.dtype())
        return arguments.wrong_type(1, "dtype", "torch." + std::string(to_string(data.dtype())));
      RUSHLIGHT_TRY(arguments.device(2));
      TensorOptions options = data.options();
      RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(3, "requires_grad"));
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, with_options(data, options));
      return Rebuilt{.tensor = std::move(tensor)};
    }
    case Meaning::numpy_tensor: {
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, rebuild_from_numpy(arguments));
      return Rebuilt{.tensor = std::move(tensor)};
    }
    case Meaning::rebuild_from_type:
    case Meaning::rebuild_from_type_v2:
      return rebuild_typed(arguments);
    case Meaning::quantized_tensor: {
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, rebuild_quantized(arguments));
      return Rebuilt{.tensor = std::move(tensor)};
    }
    case Meaning::wrapper_subclass: {
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, rebuild_wrapper(arguments));
      return Rebuilt{.tensor = std::move(tensor)};
    }
    case Meaning::sparse_tensor:
    case Meaning::sparse_csr_tensor: {
      RUSHLIGHT_TRY_ASSIGN(CompositeTensor tensor,
                           rebuild_sparse(arguments, known.meaning == Meaning::sparse_csr_tensor));
      return Rebuilt{.composite = std::move(tensor)};
    }
    case Meaning::nested_tensor: {
      RUSHLIGHT_TRY_ASSIGN(CompositeTensor tensor, rebuild_nested(arguments));
      return Rebuilt{.composite = std::move(tensor)};
    }
    case Meaning::jagged_tensor: {
      RUSHLIGHT_TRY_ASSIGN(CompositeTensor tensor, rebuild_jagged(arguments));
      return Rebuilt{.composite = std::move(tensor)};
    }
    case Meaning::tensor_class:
    case Meaning::old_tensor_class:
    case Meaning::parameter_class:
      return rebuild_object(known, arguments);
    case Meaning::tensor_id: {
      RUSHLIGHT_TRY(arguments.count(1, 1));
      RUSHLIGHT_TRY_ASSIGN(const std::int64_t id, arguments.integer(0, "id"));
      RUSHLIGHT_TRY_ASSIGN(StorageProvider::Keyed found, provider_.keyed(std::to_string(id)));
      if (!found.tensor) return arguments.wrong_type(0, "id", "that of a tensor");
      return Rebuilt{.tensor = *std::move(found.tensor)};
    }
    default:
      break;
  }
  // Only as the function of _rebuild_from_type: a name with a meaning, but not this one.
  return failure(Category::type, "TYPE-CALLABLE", call, std::string(callee) + " makes no tensor", std::string(callee));
}

Result<Tensor> ValueBuilder::rebuild_strided(Meaning meaning, const Arguments& arguments) {
  const bool v1 = meaning == Meaning::rebuild_tensor;
  const bool v3 = meaning == Meaning::rebuild_tensor_v3;
  RUSHLIGHT_TRY(v1 ? arguments.count(4, 4) : v3 ? arguments.count(7, 8) : arguments.count(6, 7));
  if (!is_storage(arguments[0])) return arguments.wrong_type(0, "storage", "a storage");
  RUSHLIGHT_TRY_ASSIGN(const StorageUse use, storage_of(arguments[0]));
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t offset, arguments.integer(1, "storage_offset"));
  RUSHLIGHT_TRY(arguments.integers(2, "size", shape_));
  RUSHLIGHT_TRY(arguments.integers(3, "stride", strides_));
  TensorOptions options;
  if (!v1) {
    RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(4, "requires_grad"));
    RUSHLIGHT_TRY(arguments.hooks(5));
  }
  DType dtype = use.request.dtype;
  if (v3) {
    RUSHLIGHT_TRY_ASSIGN(dtype, arguments.dtype(6, "dtype"));
  }
  const Storage& storage = storages_.as_dtype(use.index, dtype);
  if (v3) {
    // An untyped storage is bytes, and its last element may be cut; a typed one is whole elements of both dtypes.
    if (!use.request.untyped && storage.size_bytes() % size_bytes(dtype) != 0) {
      return failure(Category::tensor, "TENSOR-DTYPE-SIZE", arguments.call(),
                     "a storage of " + std::to_string(use.request.numel) + " " +
                         std::string(to_string(use.request.dtype)) + " is no whole number of " +
                         std::string(to_string(dtype)));
    }
  }
  const std::size_t metadata = v3 ? 7 : 6;
  if (!v1 && arguments.size() > metadata) RUSHLIGHT_TRY(arguments.bits(metadata, options));
  return Tensor::Impl::view(storage, dtype, shape_, strides_, offset, options);
}

Result<Tensor> ValueBuilder::rebuild_meta(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(4, 4));
  RUSHLIGHT_TRY_ASSIGN(const DType dtype, arguments.dtype(0, "dtype"));
  RUSHLIGHT_TRY(arguments.integers(1, "size", shape_));
  RUSHLIGHT_TRY(arguments.integers(2, "stride", strides_));
  TensorOptions options;
  RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(3, "requires_grad"));
  return meta_tensor(dtype, 0, options);
}

// Of the geometry in shape_ and strides_, over a storage as large as the elements reach. Where that overflows, any size
// will do for the error to be found.
Result<Tensor> ValueBuilder::meta_tensor(DType dtype, std::int64_t storage_offset, const TensorOptions& options) const {
  std::uint64_t units = 1;
  for (std::size_t i = 0; i < shape_.size() && i < strides_.size(); ++i) {
    if (shape_[i] == 0) units = 0;
    if (shape_[i] <= 0 || strides_[i] < 0 || units == 0) continue;
    const auto step = checked_mul(static_cast<std::uint64_t>(shape_[i] - 1), static_cast<std::uint64_t>(strides_[i]));
    const auto sum = step ? checked_add(units, *step) : std::nullopt;
    if (!sum) break;
    units = *sum;
  }
  if (storage_offset > 0) units = checked_add(units, static_cast<std::uint64_t>(storage_offset)).value_or(0);
  const std::uint64_t bytes = checked_mul(units, std::uint64_t{size_bytes(dtype)}).value_or(0);
  return Tensor::Impl::view(Storage(make_meta_memory(bytes)), dtype, shape_, strides_, storage_offset, options);
}

// _rebuild_from_type_v2(function, type, arguments, state): a tensor with attributes, or of a subclass.
Result<ValueBuilder::Rebuilt> ValueBuilder::rebuild_typed(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(4, 4));
  if (arguments.nesting() == kMaxNesting) return arguments.too_deep();
  if (kind_of(arguments[0]) != ObjectKind::global) return arguments.wrong_type(0, "function", "a rebuild function");
  if (kind_of(arguments[1]) != ObjectKind::global) return arguments.wrong_type(1, "type", "a tensor class");
  if (kind_of(arguments[2]) != ObjectKind::tuple) return arguments.wrong_type(2, "arguments", "a tuple");
  const FoundName& function = names_[arguments[0]];
  if (!function.known || function.known->meaning == Meaning::rebuild_from_type ||
      function.known->meaning == Meaning::rebuild_from_type_v2) {
    return arguments.wrong_type(0, "function", "a rebuild function");
  }
  RUSHLIGHT_TRY(arguments.state(3));
  RUSHLIGHT_TRY_ASSIGN(Rebuilt rebuilt, rebuild_by(*function.known, function.dotted, arguments.call(),
                                                   graph_.items(arguments[2]), arguments.nesting() + 1));
  const FoundName& type = names_[arguments[1]];
  const bool plain =
      type.known && (type.known->meaning == Meaning::tensor_class || type.known->meaning == Meaning::old_tensor_class ||
                     type.known->meaning == Meaning::nested_class);
  TensorOptions options = rebuilt.options();
  if (type.known && type.known->meaning == Meaning::parameter_class) {
    options.tensor_class = TensorClass::parameter;
  } else if ((type.known && type.known->meaning == Meaning::buffer_class) || (plain && is_buffer(arguments[3]))) {
    options.tensor_class = TensorClass::buffer;
  } else if (!type.known) {
    rebuilt.class_name = type.dotted;  // reported among the unknown globals
  } else if (!plain) {
    return arguments.wrong_type(1, "type", "a tensor class");
  }
  RUSHLIGHT_TRY(set_options(rebuilt, options));
  rebuilt.state = arguments[3];
  return rebuilt;
}

// nn.Buffer is a plain tensor with an attribute (torch/nn/parameter.py).
bool ValueBuilder::is_buffer(ObjectId state) const {
  if (kind_of(state) != ObjectKind::dict) return false;
  const std::span<const ObjectId> pairs = graph_.pairs(state);
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (is_text(pairs[i]) && text(pairs[i]) == "_is_buffer") {
      return kind_of(pairs[i + 1]) == ObjectKind::boolean && graph_.boolean(pairs[i + 1]);
    }
  }
  return false;
}

// Objects of tensor classes themselves, as torch before 0.4 wrote them: an empty object, and a BUILD state of
// (storage, offset, size, stride), or for variables (data, -, hooks, requires_grad, -) or (requires_grad, -, hooks).
// Source: torch/_tensor.py, Tensor.__setstate__.
Result<ValueBuilder::Rebuilt> ValueBuilder::rebuild_object(const KnownGlobal& known, const Arguments& made) {
  const bool parameter = known.meaning == Meaning::parameter_class;
  RUSHLIGHT_TRY(parameter ? made.count(0, 2) : made.count(0, 0));
  TensorOptions options;
  std::optional<Tensor> tensor;
  if (parameter) {
    options.tensor_class = TensorClass::parameter;
    options.requires_grad = true;
    if (made.size() > 0) {
      RUSHLIGHT_TRY_ASSIGN(tensor, tensor_of(made, 0, "data"));
    }
    if (made.size() > 1) {
      RUSHLIGHT_TRY_ASSIGN(options.requires_grad, made.boolean(1, "requires_grad"));
    }
  }
  for (const ObjectId state_id : graph_.states(made.call())) {
    const std::string callee = std::string(made.callee()) + " state";
    if (kind_of(state_id) != ObjectKind::tuple) {
      const std::string found = describe(state_id);
      return failure(Category::type, "TYPE-BUILD", state_id, callee + ", expected a tuple, found " + found, found,
                     "tuple");
    }
    const Arguments state(*this, made.call(), callee, graph_.items(state_id), made.nesting());
    if (state.size() == 4) {
      RUSHLIGHT_TRY_ASSIGN(tensor, rebuild_strided(Meaning::rebuild_tensor, state));
      if (known.meaning == Meaning::old_tensor_class && tensor->dtype() != known.dtype) {
        return state.wrong_type(0, "storage", "one of " + std::string(to_string(known.dtype)));
      }
    } else if (parameter && state.size() == 5) {
      RUSHLIGHT_TRY_ASSIGN(tensor, tensor_of(state, 0, "data"));
      RUSHLIGHT_TRY_ASSIGN(options.requires_grad, state.boolean(3, "requires_grad"));
      RUSHLIGHT_TRY(state.hooks(2));
    } else if (parameter && state.size() == 3) {
      RUSHLIGHT_TRY_ASSIGN(options.requires_grad, state.boolean(0, "requires_grad"));
      RUSHLIGHT_TRY(state.hooks(2));
    } else {
      RUSHLIGHT_TRY(state.count(4, parameter ? 5 : 4));
    }
  }
  if (!tensor) {
    const DType dtype = known.meaning == Meaning::old_tensor_class ? known.dtype : DType::f32;
    RUSHLIGHT_TRY_ASSIGN(tensor, Tensor::zeros(dtype, {0}));
  }
  RUSHLIGHT_TRY_ASSIGN(Tensor with, with_options(*tensor, options));
  return Rebuilt{.tensor = std::move(with)};
}

Result<Tensor> ValueBuilder::tensor_of(const Arguments& arguments, std::size_t position, std::string_view what) {
  RUSHLIGHT_TRY_ASSIGN(Rebuilt rebuilt, any_tensor_of(arguments, position, what));
  if (rebuilt.composite) return arguments.wrong_type(position, what, "a strided tensor");
  return std::move(rebuilt.tensor);
}

Result<ValueBuilder::Rebuilt> ValueBuilder::any_tensor_of(const Arguments& arguments, std::size_t position,
                                                          std::string_view what) {
  const ObjectId id = arguments[position];
  if (kind_of(id) == ObjectKind::persistent && roles_[id] == Role::keyed) {
    RUSHLIGHT_TRY_ASSIGN(StorageProvider::Keyed found, keyed(id));
    if (!found.tensor) return arguments.wrong_type(position, what, "a tensor");
    return Rebuilt{.tensor = *std::move(found.tensor)};
  }
  if (kind_of(id) != ObjectKind::call || roles_[id] != Role::tensor) {
    return arguments.wrong_type(position, what, "a tensor");
  }
  // Made already, where it is a value of its own too.
  if (nodes_[id] != kNoNode) {
    const ValueGraph& graph = values_.graph();
    const ValueNode& node = graph[nodes_[id]];
    if (node.kind == ValueKind::composite) return Rebuilt{.composite = graph.composites[node.index]};
    return Rebuilt{.tensor = graph.tensors[node.index]};
  }
  if (arguments.nesting() == kMaxNesting) return arguments.too_deep();
  const ObjectId callable = callee_of(id);
  RUSHLIGHT_TRY(check_additions(id, Role::tensor));
  return rebuild_by(*names_[callable].known, names_[callable].dotted, id, graph_.items(graph_.arguments(id)),
                    arguments.nesting() + 1);
}

Result<Tensor> ValueBuilder::with_options(const Tensor& tensor, TensorOptions options) {
  return Tensor::Impl::view(tensor.storage(), tensor.dtype(), tensor.shape(), tensor.strides(), tensor.storage_offset(),
                            std::move(options));
}

Status ValueBuilder::set_options(Rebuilt& rebuilt, TensorOptions options) {
  if (rebuilt.composite) {
    rebuilt.composite = rebuilt.composite->with_options(std::move(options));
    return {};
  }
  RUSHLIGHT_TRY_ASSIGN(rebuilt.tensor, with_options(rebuilt.tensor, std::move(options)));
  return {};
}

bool ValueBuilder::is_storage(ObjectId id) const {
  const ObjectKind kind = kind_of(id);  // of Role::keyed it may be a tensor, which storage_of() finds out
  return kind == ObjectKind::persistent || (kind == ObjectKind::call && roles_[id] == Role::storage);
}

Result<ValueBuilder::StorageUse> ValueBuilder::storage_of(ObjectId id) {
  if (kind_of(id) == ObjectKind::call) return nested_storage(id);
  if (roles_[id] == Role::keyed) return keyed_storage(id);
  RUSHLIGHT_TRY_ASSIGN(const StorageRequest request, parse_storage(id));
  Result<std::uint32_t> index = storages_.find(request);
  if (!index) {
    Error error = std::move(index).error();
    // Where reading fails (map_location), the record's own place says more.
    if (error.finding.category == Category::store) bytes_.place.fill(error.finding, graph_.offset(id));
    return error;
  }
  return StorageUse{&storages_[*index], *index, request};
}

Result<ValueBuilder::StorageUse> ValueBuilder::keyed_storage(ObjectId persistent) {
  const std::string_view key = text(graph_.persistent_argument(persistent));
  const auto [known, is_new] = keyed_storages_.try_emplace(key, 0);
  if (is_new) {
    RUSHLIGHT_TRY_ASSIGN(StorageProvider::Keyed found, keyed(persistent));
    if (!found.storage) {
      return failure(Category::type, "TYPE-PERSISTENT-ID", persistent,
                     "a storage was expected, and key " + quoted(key) + " is that of a tensor");
    }
    known->second = storages_.add(*std::move(found.storage), found.dtype);
  }
  const StorageTable::Entry& entry = storages_[known->second];
  return StorageUse{&entry, known->second, entry.request};
}

// torch.storage._load_from_bytes(bytes): how pickle.dump() writes a storage, as a whole legacy file.
Result<ValueBuilder::StorageUse> ValueBuilder::nested_storage(ObjectId call) {
  constexpr int kDeepest = 1;  // a storage holds no pickle in turn
  const std::string_view callee = names_[callee_of(call)].dotted;
  const std::span<const ObjectId> items = graph_.items(graph_.arguments(call));
  const Arguments arguments(*this, call, callee, items);
  RUSHLIGHT_TRY(arguments.count(1, 1));
  // The text behind _codecs.encode(text, "latin1") tells two files apart, not the call.
  ObjectId content = items[0];
  if (kind_of(content) == ObjectKind::call && roles_[content] == Role::bytes) {
    const std::span<const ObjectId> encoded = graph_.items(graph_.arguments(content));
    if (!encoded.empty()) content = encoded[0];
  }
  const auto [known, is_new] = nested_files_.try_emplace(content, 0);
  if (is_new) {
    if (file_depth_ == kDeepest) {
      return failure(Category::limit, "LIMIT-NESTED-FILES", call, "files are nested deeper than torch nests them");
    }
    RUSHLIGHT_TRY_ASSIGN(const std::string_view bytes, bytes_of(items[0], call, callee));
    // Tensors outlive the pickle: the file inside it is kept by itself.
    const auto copy = std::make_shared<const std::string>(bytes);
    Result<LegacyStream::NestedStorage> storage = LegacyStream::read_storage(
        Source::from_memory(as_byte_span(*copy), "a file inside the pickle", copy), options_, file_depth_ + 1);
    if (!storage) {
      Error error = std::move(storage).error();
      error.finding.message = std::string(callee) + ": " + std::move(error.finding.message);
      error.finding.file.clear();
      error.finding.record.reset();
      error.finding.offset.reset();
      error.finding.record_offset.reset();
      bytes_.place.fill(error.finding, graph_.offset(call));
      return error;
    }
    known->second = storages_.add(std::move(storage->storage), storage->dtype);
  }
  const StorageTable::Entry& entry = storages_[known->second];
  return StorageUse{&entry, known->second, entry.request};
}

Result<StorageProvider::Keyed> ValueBuilder::keyed(ObjectId persistent) const {
  Result<StorageProvider::Keyed> found = provider_.keyed(text(graph_.persistent_argument(persistent)));
  if (!found) bytes_.place.fill(found.error().finding, graph_.offset(persistent));
  return found;
}

// ("storage", class, key, location, numel), exactly; in the legacy format with a view or None behind it:
// torch/serialization.py, the two functions persistent_load.
Result<StorageRequest> ValueBuilder::parse_storage(ObjectId persistent) {
  const ObjectId argument = graph_.persistent_argument(persistent);
  const auto wrong = [&](Category category, std::string_view what, std::string_view expected, std::string found) {
    return failure(category, category == Category::unsup ? "TYPE-PERSISTENT-KIND" : "TYPE-PERSISTENT-ID", persistent,
                   "persistent id" + std::string(what) + ", expected " + std::string(expected) + ", found " + found,
                   found, std::string(expected));
  };
  if (kind_of(argument) != ObjectKind::tuple) {
    return wrong(Category::type, "", "a tuple of 5", describe(argument));
  }
  const std::span<const ObjectId> parts = graph_.items(argument);
  const PersistentIds ids = provider_.persistent_ids();
  const bool legacy = ids == PersistentIds::legacy;
  if (!legacy && !parts.empty() && is_text(parts[0]) && text(parts[0]) == "module") {
    return wrong(Category::unsup, " of kind 'module' (a class with its source text)", "'storage'", "'module'");
  }
  if (parts.size() != 5 && !((legacy || ids == PersistentIds::script) && parts.size() == 6)) {
    return wrong(Category::type, "", legacy ? "a tuple of 6" : "a tuple of 5",
                 "a tuple of " + std::to_string(parts.size()));
  }
  if (!is_text(parts[0])) return wrong(Category::type, " part 0 (kind)", "'storage'", describe(parts[0]));
  if (text(parts[0]) != "storage") return wrong(Category::type, " part 0 (kind)", "'storage'", quoted(text(parts[0])));
  StorageRequest request;
  const std::optional<KnownGlobal> storage_class = known(parts[1]);
  if (storage_class && storage_class->meaning == Meaning::storage_class) {
    request.dtype = storage_class->dtype;
  } else if (storage_class && storage_class->meaning == Meaning::untyped_storage_class) {
    request.untyped = true;
  } else {
    return wrong(Category::type, " part 1 (class)", "a storage class", describe(parts[1]));
  }
  const bool numbered = ids == PersistentIds::package && kind_of(parts[2]) == ObjectKind::integer;
  if (!is_text(parts[2]) && !numbered) return wrong(Category::type, " part 2 (key)", "str", describe(parts[2]));
  if (!is_text(parts[3])) return wrong(Category::type, " part 3 (location)", "str", describe(parts[3]));
  if (kind_of(parts[4]) != ObjectKind::integer) {
    return wrong(Category::type, " part 4 (numel)", "int", describe(parts[4]));
  }
  if (graph_.integer(parts[4]) < 0) {
    return wrong(Category::store, " part 4 (numel)", "0 or more", std::to_string(graph_.integer(parts[4])));
  }
  request.key = numbered ? values_.graph().arena.copy(std::to_string(graph_.integer(parts[2]))) : text(parts[2]);
  request.location = text(parts[3]);
  request.numel = static_cast<std::uint64_t>(graph_.integer(parts[4]));
  if (parts.size() == 6 && kind_of(parts[5]) != ObjectKind::none) {
    if (kind_of(parts[5]) != ObjectKind::tuple) {
      return wrong(Category::type, " part 5 (view)", "None or a tuple", describe(parts[5]));
    }
    const std::span<const ObjectId> view = graph_.items(parts[5]);
    const bool is_view = view.size() == 3 && is_text(view[0]) && kind_of(view[1]) == ObjectKind::integer &&
                         kind_of(view[2]) == ObjectKind::integer && graph_.integer(view[1]) >= 0 &&
                         graph_.integer(view[2]) >= 0;
    if (!is_view) {
      return wrong(Category::type, " part 5 (view)", "a key, an offset and a size of 0 or more", "another tuple");
    }
    request.view = StorageRequest::View{text(view[0]), static_cast<std::uint64_t>(graph_.integer(view[1])),
                                        static_cast<std::uint64_t>(graph_.integer(view[2]))};
  }
  return request;
}

}  // namespace rushlight::checkpoint
