// Arrays and scalars of NumPy from the calls that make them. Their bytes stand in the pickle itself.
// Sources: numpy/_core/src/multiarray/methods.c (array_reduce, array_setstate, array_reduce_ex_picklebuffer),
// scalartypes.c.src (gentype_reduce), descriptor.c (arraydescr_setstate), numpy/_core/numeric.py (_frombuffer).
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/float_codes.hpp"
#include "base/quote.hpp"
#include "checkpoint/arguments.hpp"
#include "pickle/literals.hpp"
#include "tensor/computed_memory.hpp"
#include "tensor/layout.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;
using pickle::ObjectKind;

constexpr std::string_view kArrayClass = "numpy.ndarray";
constexpr std::string_view kArrayState = "numpy.ndarray state";
constexpr std::string_view kDtypeState = "numpy.dtype state";
// How much of a structured dtype its text says, and how many fields are searched for a name: arrays by the thousand may
// have one dtype of a thousand fields.
constexpr std::size_t kTextBytes = 200;
constexpr std::size_t kSearchedFields = 64;

// What the state of an array holds, behind its version, which the oldest ones lack.
struct StateParts {
  std::size_t shape, dtype, fortran_order, data;
};
constexpr StateParts parts_of_state(std::size_t size) noexcept {
  const std::size_t first = size == 5 ? 1 : 0;
  return {first, first + 1, first + 2, first + 3};
}

}  // namespace

// --- dtypes
// -----------------------------------------------------------------------------------------------------------

// nullopt for what is no dtype known here: classes of elements that other packages define, codes and versions newer
// than the table. What numpy.dtype would not take itself is an error.
Result<std::optional<ValueBuilder::NumpyDType>> ValueBuilder::numpy_dtype(ObjectId id) {
  if (const auto known_dtype = numpy_dtypes_.find(id); known_dtype != numpy_dtypes_.end()) return known_dtype->second;
  RUSHLIGHT_TRY_ASSIGN(std::optional<NumpyDType> dtype, bare_numpy_dtype(id));
  if (dtype && dtype->names != pickle::kNoObject) dtype->text = text_of_fields(*dtype);
  numpy_dtypes_.emplace(id, dtype);
  return dtype;
}

// The same with a text as if it had no fields.
Result<std::optional<ValueBuilder::NumpyDType>> ValueBuilder::bare_numpy_dtype(ObjectId id) {
  constexpr std::optional<NumpyDType> kUnknown;
  if (kind_of(id) != ObjectKind::call) return kUnknown;
  const std::optional<KnownGlobal> callee = known(callee_of(id));
  if (!callee || callee->meaning != Meaning::numpy_dtype) return kUnknown;
  const Arguments arguments(*this, id, "numpy.dtype", graph_.items(graph_.arguments(id)));
  RUSHLIGHT_TRY(arguments.count(1, 3));
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    // Python 2's NumPy wrote 0 and 1.
    const ObjectKind kind = kind_of(arguments[i]);
    if (kind != ObjectKind::boolean && kind != ObjectKind::integer) {
      return arguments.wrong_type(i, i == 1 ? "align" : "copy", "bool");
    }
  }
  NumpyDType dtype;
  if (kind_of(arguments[0]) == ObjectKind::global || kind_of(arguments[0]) == ObjectKind::call) {
    // The elements of a record array are structured; other classes are of other packages.
    if (kind_of(arguments[0]) == ObjectKind::call || names_[arguments[0]].dotted != "numpy.record") return kUnknown;
  } else {
    if (!is_text(arguments[0])) return arguments.wrong_type(0, "type", "str");
    const std::optional<NumpyTypeCode> code = parse_type_code(text(arguments[0]));
    if (!code) return kUnknown;
    dtype.code = *code;
  }
  const std::span<const ObjectId> states = graph_.states(id);
  if (states.size() > 1) return kUnknown;
  if (!states.empty()) {
    RUSHLIGHT_TRY_ASSIGN(const bool known_version, apply_dtype_state(id, states[0], dtype));
    if (!known_version) return kUnknown;
  }
  if (dtype.text.empty()) dtype.text = dtype.code.text();
  return std::optional(std::move(dtype));
}

// (version, byte order, subarray, names, fields, item size, alignment[, flags[, metadata]]); false for other versions.
Result<bool> ValueBuilder::apply_dtype_state(ObjectId call, ObjectId state_id, NumpyDType& dtype) {
  constexpr std::int64_t kNewestVersion = 4;
  if (kind_of(state_id) != ObjectKind::tuple) {
    const std::string found = describe(state_id);
    return failure(Category::type, "TYPE-BUILD", state_id,
                   std::string(kDtypeState) + ", expected a tuple, found " + found, found, "tuple");
  }
  const Arguments state(*this, call, kDtypeState, graph_.items(state_id));
  if (state.size() < 7 || state.size() > 9) return false;
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t version, state.integer(0, "version"));
  if (version < 0 || version > kNewestVersion) return false;
  NumpyTypeCode& code = dtype.code;

  const std::string_view order = is_text(state[1]) ? text(state[1]) : std::string_view();
  if (order.size() != 1 || std::string_view("<>|=").find(order[0]) == std::string_view::npos) {
    const std::string found = is_text(state[1]) ? rushlight::quoted(order) : describe(state[1]);
    return failure(Category::type, "TYPE-ARGUMENT", call,
                   std::string(kDtypeState) + ": argument 1 (byte order), expected '<', '>' or '|', found " + found,
                   found, "'<', '>' or '|'");
  }
  if (code.swap_unit() > 1) code.order = order[0] == '>' ? '>' : '<';

  if (const ObjectId names = state[3]; kind_of(names) != ObjectKind::none) {
    if (kind_of(names) != ObjectKind::tuple) return state.wrong_type(3, "names", "a tuple of str or None");
    if (kind_of(state[4]) != ObjectKind::dict) return state.wrong_type(4, "fields", "a dict");
    dtype.names = names;
    dtype.fields = state[4];
  }
  dtype.subarray = kind_of(state[2]) == ObjectKind::none ? pickle::kNoObject : state[2];

  RUSHLIGHT_TRY_ASSIGN(const std::int64_t item_bytes, state.integer(5, "item size"));
  const std::uint64_t unit = code.kind == 'U' ? code.swap_unit() : 1;
  const bool sized = code.kind == 'S' || code.kind == 'U' || code.kind == 'V';
  if (sized && item_bytes != -1) {
    constexpr std::int64_t kMostItemBytes = 0x7FFFFFFF;
    if (item_bytes < 0 || item_bytes > kMostItemBytes || static_cast<std::uint64_t>(item_bytes) % unit != 0) {
      const std::string found = std::to_string(item_bytes);
      return failure(Category::tensor, "TENSOR-NUMPY-DTYPE", call,
                     std::string(kDtypeState) + ": elements of '" + code.text() + "' cannot take " + found + " bytes",
                     found);
    }
    code.item_bytes = static_cast<std::uint64_t>(item_bytes);
  }
  dtype.text = code.text();

  const bool has_metadata = state.size() == 9 && kind_of(state[8]) != ObjectKind::none;
  const bool is_time = code.kind == 'M' || code.kind == 'm';
  dtype.is_whole = dtype.names == pickle::kNoObject && dtype.subarray == pickle::kNoObject && !has_metadata;
  if (has_metadata && is_time) RUSHLIGHT_TRY(apply_time_unit(state, dtype));
  return true;
}

// (metadata or None, (unit, multiple, divisor, events)).
Status ValueBuilder::apply_time_unit(const Arguments& state, NumpyDType& dtype) {
  const auto wrong = [&] { return state.wrong_type(8, "metadata", "a pair with a unit of time"); };
  if (kind_of(state[8]) != ObjectKind::tuple || graph_.items(state[8]).size() != 2) return wrong();
  const std::span<const ObjectId> pair = graph_.items(state[8]);
  if (kind_of(pair[1]) != ObjectKind::tuple || graph_.items(pair[1]).size() != 4) return wrong();
  const std::span<const ObjectId> unit = graph_.items(pair[1]);
  ObjectId word = unit[0];
  // Protocol 2 spells bytes as a call. Roles may not be known yet.
  const std::optional<KnownGlobal> callee = kind_of(word) == ObjectKind::call ? known(callee_of(word)) : std::nullopt;
  if (callee && callee->meaning == Meaning::codecs_encode) {
    const std::span<const ObjectId> encoded = graph_.items(graph_.arguments(word));
    if (!encoded.empty()) word = encoded[0];
  }
  const bool has_word = is_text(word) || kind_of(word) == ObjectKind::bytes;
  if (!has_word || kind_of(unit[1]) != ObjectKind::integer) return wrong();
  const bool no_metadata =
      kind_of(pair[0]) == ObjectKind::none || (kind_of(pair[0]) == ObjectKind::dict && graph_.pairs(pair[0]).empty());
  dtype.is_whole = no_metadata;
  if (text(word) == "generic") return {};
  if (!is_time_unit(text(word))) return wrong();
  const std::int64_t multiple = graph_.integer(unit[1]);
  dtype.text += "[" + (multiple == 1 ? std::string() : std::to_string(multiple)) + std::string(text(word)) + "]";
  return {};
}

// "[('a', '<f4'), ('b', '<i8', (2,))]", as numpy.dtype.descr; fields with fields of their own as bytes, "|V12".
std::string ValueBuilder::text_of_fields(const NumpyDType& dtype) {
  const std::span<const ObjectId> names = graph_.items(dtype.names);
  std::span<const ObjectId> pairs = graph_.pairs(dtype.fields);
  pairs = pairs.first(std::min(pairs.size(), 2 * kSearchedFields));
  std::string text = "[";
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += ", ";
    if (text.size() > kTextBytes) {
      text += "...";
      break;
    }
    const std::string_view name = is_text(names[i]) ? this->text(names[i]) : std::string_view("?");
    text += "(" + rushlight::quoted(name, kTextBytes) + ", " + text_of_field(name, pairs) + ")";
  }
  return text + "]";
}

std::string ValueBuilder::text_of_field(std::string_view name, std::span<const ObjectId> pairs) {
  const std::string unknown = "?";
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (!is_text(pairs[i]) || text(pairs[i]) != name) continue;
    const ObjectId field = pairs[i + 1];
    if (kind_of(field) != ObjectKind::tuple || graph_.items(field).empty()) return unknown;
    const Result<std::optional<NumpyDType>> dtype = bare_numpy_dtype(graph_.items(field)[0]);
    if (!dtype || !*dtype) return unknown;
    if ((*dtype)->subarray == pickle::kNoObject) return "'" + (*dtype)->text + "'";
    // (base, shape)
    const ObjectId subarray = (*dtype)->subarray;
    if (kind_of(subarray) != ObjectKind::tuple || graph_.items(subarray).size() != 2) return unknown;
    const Result<std::optional<NumpyDType>> base = bare_numpy_dtype(graph_.items(subarray)[0]);
    if (!base || !*base) return unknown;
    const Arguments parts(*this, graph_.items(field)[0], "numpy.dtype subarray", graph_.items(subarray));
    std::vector<std::int64_t> sizes;
    if (!parts.integers(1, "shape", sizes)) return unknown;
    std::string shape = "(";
    for (const std::int64_t size : sizes) shape += (shape.size() > 1 ? ", " : "") + std::to_string(size);
    return "'" + (*base)->text + "', " + shape + (sizes.size() == 1 ? ",)" : ")");
  }
  return unknown;
}

// --- which calls are understood
// ---------------------------------------------------------------------------------------

// What is of a version or a dtype beyond the table stays opaque; what is wrong with the others, making them says.
Role ValueBuilder::role_of_numpy(Meaning meaning, ObjectId call) {
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  const auto is_known = [&](ObjectId dtype) {
    const Result<std::optional<NumpyDType>> found = numpy_dtype(dtype);
    return !found || found->has_value();
  };
  switch (meaning) {
    case Meaning::numpy_scalar: {
      if (arguments.empty()) return Role::numpy_scalar;
      const Result<std::optional<NumpyDType>> dtype = numpy_dtype(arguments[0]);
      // A scalar around an object is that object's business.
      const bool opaque = dtype && (!dtype->has_value() || (*dtype)->code.kind == 'O');
      return opaque ? Role::opaque : Role::numpy_scalar;
    }
    case Meaning::numpy_frombuffer:
      return arguments.size() < 2 || is_known(arguments[1]) ? Role::ndarray : Role::opaque;
    default:
      break;
  }
  if (!graph_.items(call).empty() || !graph_.pairs(call).empty()) return Role::ndarray;  // refused
  const std::span<const ObjectId> states = graph_.states(call);
  if (states.size() != 1) return Role::opaque;
  const bool own_class =
      !arguments.empty() && kind_of(arguments[0]) == ObjectKind::global && names_[arguments[0]].dotted == kArrayClass;
  if (kind_of(states[0]) != ObjectKind::tuple) return own_class ? Role::ndarray : Role::opaque;
  const std::span<const ObjectId> state = graph_.items(states[0]);
  if (state.size() != 4 && state.size() != 5) return Role::opaque;
  const bool newer = state.size() == 5 && kind_of(state[0]) == ObjectKind::integer && graph_.integer(state[0]) != 0 &&
                     graph_.integer(state[0]) != 1;
  return !newer && is_known(state[parts_of_state(state.size()).dtype]) ? Role::ndarray : Role::opaque;
}

// Of an array of objects, the list; of others, their dtype where its text does not say all of it. The values that hang
// on an array.
ValueBuilder::NumpyParts ValueBuilder::numpy_parts(ObjectId call) {
  NumpyParts parts;
  ObjectId dtype_id = pickle::kNoObject;
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  const Meaning meaning = known(callee_of(call))->meaning;
  if (meaning == Meaning::numpy_reconstruct) {
    if (graph_.states(call).empty() || kind_of(graph_.states(call)[0]) != ObjectKind::tuple) return parts;
    const std::span<const ObjectId> state = graph_.items(graph_.states(call)[0]);
    if (state.size() != 4 && state.size() != 5) return parts;
    const StateParts at = parts_of_state(state.size());
    dtype_id = state[at.dtype];
    if (kind_of(state[at.data]) == ObjectKind::list) parts.objects = state[at.data];
  } else {
    const std::size_t at = meaning == Meaning::numpy_frombuffer ? 1 : 0;
    if (arguments.size() <= at) return parts;
    dtype_id = arguments[at];
  }
  const Result<std::optional<NumpyDType>> dtype = numpy_dtype(dtype_id);
  if (dtype && *dtype && !(*dtype)->is_whole) parts.dtype = dtype_id;
  return parts;
}

// --- arrays
// -----------------------------------------------------------------------------------------------------------

Result<NodeId> ValueBuilder::create_ndarray(ObjectId call) {
  if (++ndarrays_ + values_.graph().tensors.size() > options_.limits.tensors) {
    return failure(Category::limit, "LIMIT-TENSORS", call,
                   "there are more tensors and arrays than the limit tensors, expected at most " +
                       std::to_string(options_.limits.tensors));
  }
  Result<NdArray> array = make_ndarray(call);
  if (!array) return of_tensor(std::move(array).error(), call, "array");
  const bool reconstructed = known(callee_of(call))->meaning == Meaning::numpy_reconstruct;
  return values_.ndarray(reconstructed ? class_of_call(call) : std::string(kArrayClass), *std::move(array));
}

Result<NdArray> ValueBuilder::make_ndarray(ObjectId call) {
  const FoundName& callee = names_[callee_of(call)];
  const Arguments arguments(*this, call, callee.dotted, graph_.items(graph_.arguments(call)));
  NdArray array;
  if (callee.known->meaning == Meaning::numpy_frombuffer) {
    RUSHLIGHT_TRY(arguments.count(4, 5));
    RUSHLIGHT_TRY(arguments.integers(2, "shape", array.shape));
    RUSHLIGHT_TRY(apply_order(arguments, array));
    RUSHLIGHT_TRY(fill_ndarray(arguments, 1, 0, array));
    return array;
  }
  RUSHLIGHT_TRY(arguments.count(3, 3));
  if (kind_of(arguments[0]) != ObjectKind::global) return arguments.wrong_type(0, "class", "a class of arrays");
  const ObjectId state_id = graph_.states(call)[0];
  if (kind_of(state_id) != ObjectKind::tuple) {
    const std::string found = describe(state_id);
    return failure(Category::type, "TYPE-BUILD", state_id,
                   std::string(kArrayState) + ", expected a tuple, found " + found, found, "tuple");
  }
  const Arguments state(*this, call, kArrayState, graph_.items(state_id));
  const StateParts at = parts_of_state(state.size());
  if (at.shape == 1) RUSHLIGHT_TRY(state.integer(0, "version"));
  RUSHLIGHT_TRY(state.integers(at.shape, "shape", array.shape));
  RUSHLIGHT_TRY_ASSIGN(const bool fortran, state.boolean(at.fortran_order, "fortran_order"));
  RUSHLIGHT_TRY(checked_numel(array.shape));
  array.strides.resize(array.shape.size());
  if (fortran) {
    array.order = ArrayOrder::fortran;
    const Shape reversed(array.shape.rbegin(), array.shape.rend());
    fill_contiguous_strides(reversed, array.strides);
    std::reverse(array.strides.begin(), array.strides.end());
  } else {
    fill_contiguous_strides(array.shape, array.strides);
  }
  RUSHLIGHT_TRY(fill_ndarray(state, at.dtype, at.data, array));
  return array;
}

// _frombuffer(buffer, dtype, shape, order[, axes]): with order 'K' the shape is that before its axes change places.
Status ValueBuilder::apply_order(const Arguments& arguments, NdArray& array) {
  RUSHLIGHT_TRY(checked_numel(array.shape));
  const std::string_view order = is_text(arguments[3]) ? text(arguments[3]) : std::string_view();
  const bool has_axes = arguments.size() == 5 && kind_of(arguments[4]) != ObjectKind::none;
  const std::size_t dims = array.shape.size();
  array.strides.resize(dims);
  if (order == "F") {
    array.order = ArrayOrder::fortran;
    const Shape reversed(array.shape.rbegin(), array.shape.rend());
    fill_contiguous_strides(reversed, array.strides);
    std::reverse(array.strides.begin(), array.strides.end());
    return {};
  }
  fill_contiguous_strides(array.shape, array.strides);
  if (order == "C") return {};
  if (order != "K" || !has_axes) {
    const std::string found = is_text(arguments[3]) ? rushlight::quoted(order) : describe(arguments[3]);
    return failure(
        Category::type, "TYPE-ARGUMENT", arguments.call(),
        std::string(arguments.callee()) + ": argument 3 (order), expected 'C', 'F', or 'K' with axes, found " + found,
        found, "'C', 'F', or 'K' with axes");
  }
  std::vector<std::int64_t> axes;
  RUSHLIGHT_TRY(arguments.integers(4, "axes", axes));
  std::vector<bool> seen(dims);
  bool permutes = axes.size() == dims;
  for (std::size_t i = 0; i < axes.size() && permutes; ++i) {
    permutes = axes[i] >= 0 && static_cast<std::size_t>(axes[i]) < dims && !seen[static_cast<std::size_t>(axes[i])];
    if (permutes) seen[static_cast<std::size_t>(axes[i])] = true;
  }
  if (!permutes) return arguments.wrong_type(4, "axes", "each axis once");
  array.order = ArrayOrder::permuted;
  const Shape shape = array.shape;
  const Strides strides = array.strides;
  for (std::size_t i = 0; i < dims; ++i) {
    array.shape[i] = shape[static_cast<std::size_t>(axes[i])];
    array.strides[i] = strides[static_cast<std::size_t>(axes[i])];
  }
  return {};
}

// The values that hang on an array, once they are all there.
Status ValueBuilder::hang_on_ndarray(ObjectId call) {
  const NumpyParts parts = numpy_parts(call);
  if (parts.objects != pickle::kNoObject) {
    for (const ObjectId item : graph_.items(parts.objects)) values_.append(nodes_[call], nodes_[item]);
  }
  if (parts.dtype != pickle::kNoObject) {
    const NodeId attributes = values_.dict();
    // A string is hashable: it cannot fail.
    (void)values_.set_item(attributes, values_.string("dtype"), nodes_[parts.dtype]);
    values_.set_state(nodes_[call], attributes);
  }
  return {};
}

// The elements, of which shape, order and strides are known.
Status ValueBuilder::fill_ndarray(const Arguments& parts, std::size_t dtype_at, std::size_t data_at, NdArray& array) {
  RUSHLIGHT_TRY_ASSIGN(const std::optional<NumpyDType> dtype, numpy_dtype(parts[dtype_at]));
  if (!dtype) return parts.wrong_type(dtype_at, "dtype", "a numpy.dtype");  // find_roles() left such calls opaque
  array.dtype = dtype->text;
  array.item_bytes = dtype->code.item_bytes;
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t numel, checked_numel(array.shape));
  const ObjectId data = parts[data_at];
  if (kind_of(data) == ObjectKind::list) {
    // Structured elements are pickled one by one where a field of theirs holds objects.
    const bool holds_objects = dtype->code.kind == 'O' || dtype->code.kind == 'V';
    if (!holds_objects) return parts.wrong_type(data_at, "data", "bytes");
    const std::size_t count = graph_.items(data).size();
    if (count == static_cast<std::uint64_t>(numel)) return {};
    return numpy_size_error(parts.call(), array, std::to_string(numel) + " objects", std::to_string(count));
  }
  if (dtype->code.kind == 'O') return parts.wrong_type(data_at, "data", "a list");
  RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<PickleMemory> memory, pickled_memory(parts, data_at));
  const auto size_bytes = checked_mul(static_cast<std::uint64_t>(numel), dtype->code.item_bytes);
  if (!size_bytes) {
    return failure(Category::tensor, "TENSOR-OVERFLOW", parts.call(),
                   "sizes " + shape_text(array.shape) + " overflow a 64-bit count", shape_text(array.shape));
  }
  if (memory->size_bytes() != *size_bytes) {
    return numpy_size_error(parts.call(), array, std::to_string(*size_bytes) + " bytes",
                            std::to_string(memory->size_bytes()));
  }
  array.data = Storage(memory);
  if (const std::optional<DType> known_to_torch = torch_dtype(dtype->code)) {
    const std::uint32_t unit = dtype->code.order == '>' ? dtype->code.swap_unit() : 1;
    RUSHLIGHT_TRY_ASSIGN(array.tensor, Tensor::Impl::view(Storage(swapped(memory, unit)), *known_to_torch, array.shape,
                                                          array.strides, 0, {}));
  }
  return {};
}

Error ValueBuilder::numpy_size_error(ObjectId call, const NdArray& array, const std::string& expected,
                                     const std::string& found) const {
  return failure(Category::tensor, "TENSOR-NUMPY-SIZE", call,
                 "an array of " + shape_text(array.shape) + " and dtype " + array.dtype + " takes " + expected +
                     ", found " + found,
                 found, expected);
}

// The bytes behind one object, once: however many arrays share them, they cost their size once.
Result<std::shared_ptr<PickleMemory>> ValueBuilder::pickled_memory(const Arguments& parts, std::size_t position) {
  ObjectId id = parts[position];
  // A bytearray, as protocols below 5 make one of bytes.
  if (kind_of(id) == ObjectKind::call && roles_[id] == Role::bytearray) {
    const std::span<const ObjectId> made_of = graph_.items(graph_.arguments(id));
    if (made_of.size() == 1) id = made_of[0];
  }
  const ObjectKind kind = kind_of(id);
  ObjectId content = id;
  std::shared_ptr<const std::string> decoded;
  if (kind == ObjectKind::call && roles_[id] == Role::bytes) {
    // The text behind _codecs.encode(text, "latin1") tells two contents apart, not the call.
    const std::span<const ObjectId> encoded = graph_.items(graph_.arguments(id));
    if (!encoded.empty()) content = encoded[0];
    if (const auto known_memory = pickled_.find(content); known_memory != pickled_.end()) return known_memory->second;
    if (known(callee_of(id))->meaning == Meaning::codecs_encode) {
      const std::string_view callee = names_[callee_of(id)].dotted;
      RUSHLIGHT_TRY(Arguments(*this, id, callee, encoded).count(2, 2));
      RUSHLIGHT_TRY_ASSIGN(std::string bytes, decoded_latin1(encoded[0], encoded[1], id, callee));
      decoded = std::make_shared<const std::string>(std::move(bytes));
    } else {
      RUSHLIGHT_TRY(bytes_of(id, id, parts.callee()));
      decoded = std::make_shared<const std::string>();
    }
  } else if (kind == ObjectKind::bytes || kind == ObjectKind::bytearray || kind == ObjectKind::byte_string) {
    if (const auto known_memory = pickled_.find(content); known_memory != pickled_.end()) return known_memory->second;
    // Those that the stream does not hold as they are live as long as its objects only.
    if (!is_borrowed(text(id))) decoded = std::make_shared<const std::string>(text(id));
  } else if (kind == ObjectKind::call && roles_[id] == Role::bytearray && graph_.items(graph_.arguments(id)).empty()) {
    decoded = std::make_shared<const std::string>();
  } else {
    return parts.wrong_type(position, "data", "bytes");
  }
  const ByteSpan bytes = decoded ? as_byte_span(*decoded) : as_byte_span(text(id));
  const std::shared_ptr<const void> owner = decoded ? std::shared_ptr<const void>(decoded) : bytes_.owner;
  const auto memory = std::make_shared<PickleMemory>(owner, bytes, bytes_.storage_record, bytes_.integrity);
  pickled_.emplace(content, memory);
  return memory;
}

std::shared_ptr<Memory> ValueBuilder::swapped(const std::shared_ptr<Memory>& memory, std::uint32_t unit) {
  if (unit == 1) return memory;
  std::shared_ptr<Memory>& known_memory = swapped_[{memory.get(), unit}];
  if (!known_memory) known_memory = make_swapped_memory(memory, unit);
  return known_memory;
}

// A tensor of a device without a storage torch could read, as torch up to 2.5 wrote it: (array, dtype, device,
// requires_grad). What torch's own dtypes have and NumPy's do not, it made a wider dtype first.
Result<Tensor> ValueBuilder::rebuild_from_numpy(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(4, 4));
  RUSHLIGHT_TRY(check_additions(arguments[0], Role::ndarray));
  RUSHLIGHT_TRY_ASSIGN(const NdArray array, make_ndarray(arguments[0]));
  RUSHLIGHT_TRY_ASSIGN(const DType dtype, arguments.dtype(1, "dtype"));
  RUSHLIGHT_TRY(arguments.device(2));
  if (!array.tensor) return arguments.wrong_type(0, "data", "an array of numbers");
  Tensor tensor = *array.tensor;
  if (tensor.dtype() != dtype) {
    RUSHLIGHT_TRY_ASSIGN(tensor, tensor.to(dtype));
  }
  TensorOptions options = tensor.options();
  RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(3, "requires_grad"));
  return with_options(tensor, options);
}

// --- scalars
// ----------------------------------------------------------------------------------------------------------

Result<NodeId> ValueBuilder::create_numpy_scalar(ObjectId call) {
  const Arguments arguments(*this, call, names_[callee_of(call)].dotted, graph_.items(graph_.arguments(call)));
  RUSHLIGHT_TRY(arguments.count(2, 2));
  RUSHLIGHT_TRY_ASSIGN(const std::optional<NumpyDType> dtype, numpy_dtype(arguments[0]));
  if (!dtype) return arguments.wrong_type(0, "dtype", "a numpy.dtype");
  const NumpyTypeCode& code = dtype->code;
  RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<PickleMemory> memory, pickled_memory(arguments, 1));
  if (memory->size_bytes() != code.item_bytes) {
    const std::string found = std::to_string(memory->size_bytes());
    const std::string expected = std::to_string(code.item_bytes);
    return failure(Category::tensor, "TENSOR-NUMPY-SIZE", call,
                   "a scalar of dtype " + dtype->text + " takes " + expected + " bytes, found " + found, found,
                   expected);
  }
  const NodeId node = scalar_node(code, as_text(memory->unaligned()));
  if (node != kNoNode) return values_.numpy_scalar(node, scalar_class(code), dtype->text);
  NdArray array{.dtype = dtype->text, .item_bytes = code.item_bytes, .data = Storage(memory)};
  array.is_scalar = true;
  return values_.ndarray(scalar_class(code), std::move(array));
}

// kNoNode for what no plain value stands for.
NodeId ValueBuilder::scalar_node(const NumpyTypeCode& code, std::string_view stored) {
  std::string bytes(stored);
  if (const std::uint32_t unit = code.swap_unit(); code.order == '>' && unit > 1) {
    for (std::size_t i = 0; i + unit <= bytes.size(); i += unit) {
      std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                   bytes.begin() + static_cast<std::ptrdiff_t>(i + unit));
    }
  }
  const auto load = [&]<class T>(T, std::size_t at) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  const std::optional<DType> dtype = torch_dtype(code);
  if (dtype) {
    switch (*dtype) {
      case DType::boolean:
        return values_.boolean(bytes[0] != 0);
      case DType::f16:
        return values_.real(static_cast<double>(f16_to_f32(load(std::uint16_t{}, 0))));
      case DType::f32:
        return values_.real(static_cast<double>(load(float{}, 0)));
      case DType::f64:
        return values_.real(load(double{}, 0));
      case DType::c64:
        return values_.complex(static_cast<double>(load(float{}, 0)), static_cast<double>(load(float{}, 4)));
      case DType::c128:
        return values_.complex(load(double{}, 0), load(double{}, 8));
      default:
        if (code.kind == 'u') bytes.push_back('\0');  // two's complement has a sign
        return values_.big_integer(bytes);
    }
  }
  // Strings of a fixed size are filled up with zeros, which do not count.
  if (code.kind == 'S') {
    const std::size_t last = bytes.find_last_not_of('\0');
    return values_.bytes(std::string_view(bytes).substr(0, last == std::string::npos ? 0 : last + 1));
  }
  if (code.kind != 'U') return kNoNode;
  std::string text;
  std::size_t text_bytes = 0;  // up to and with the last character that is not zero
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    const auto character = load(std::uint32_t{}, i);
    if (character > 0x10FFFF) return kNoNode;
    pickle::append_utf8(text, character);
    if (character != 0) text_bytes = text.size();
  }
  return values_.string(std::string_view(text).substr(0, text_bytes));
}

}  // namespace rushlight::checkpoint
