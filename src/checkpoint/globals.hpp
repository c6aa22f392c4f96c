// What the names in a pickle mean: the allow-list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/torch_release.hpp"
#include "rushlight/dtype.hpp"

namespace rushlight::checkpoint {

// What a name stands for. Functions make an object when they are called with REDUCE; classes also with NEWOBJ.
enum class Meaning : std::uint8_t {
  // Python
  ordered_dict,   // dict, its class name kept
  counter,        // the same
  set,            // (iterable)
  frozenset,      // (iterable)
  bytearray,      // (), (bytes) or (str, "latin-1")
  bytes,          // (): how protocol 2 spells b""
  complex,        // (re, im)
  codecs_encode,  // (str, "latin1"): how protocol 2 spells bytes
  // tensors
  rebuild_tensor,                // (storage, offset, size, stride), torch <= 0.3
  rebuild_tensor_v2,             // (storage, offset, size, stride, requires_grad, hooks[, metadata])
  rebuild_tensor_v3,             // (storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
  rebuild_parameter,             // (tensor, requires_grad, hooks)
  rebuild_parameter_with_state,  // (tensor, requires_grad, hooks, state)
  rebuild_meta_tensor,           // (dtype, size, stride, requires_grad)
  rebuild_device_tensor,         // (tensor, dtype, device, requires_grad)
  rebuild_from_type_v2,          // (function, type, arguments, state)
  rebuild_from_type,             // the same before torch 1.10
  tensor_class,       // torch.Tensor: a type argument, or an object with BUILD (storage, offset, size, stride)
  old_tensor_class,   // torch.FloatTensor ...: the same, of one dtype
  parameter_class,    // torch.nn.Parameter: the same, or (tensor[, requires_grad])
  buffer_class,       // torch.nn.Buffer: a type argument
  quantized_tensor,   // (storage, offset, size, stride, quantizer, requires_grad, hooks)
  sparse_tensor,      // (layout, parts and size)
  sparse_csr_tensor,  // the same, torch 1.9 to 1.13
  nested_tensor,      // (buffer, sizes, strides, offsets)
  jagged_tensor,      // ({name: part})
  nested_class,       // a type argument
  wrapper_subclass,   // (class, dtype, size, strides, offset, layout, device, requires_grad)
  nested_file,        // torch.storage._load_from_bytes: a whole file inside the pickle
  // TorchScript
  script_class,  // `__torch__....`: a class of the archive's own code
  typed_value,   // (value[, type as text]): stands for its first argument
  tensor_id,     // (int): a tensor of the table beside the pickle, torch 1.1 and 1.2
  numpy_tensor,  // (array, dtype, device, requires_grad)
  // NumPy
  numpy_reconstruct,  // (class, shape, code), then BUILD
  numpy_frombuffer,   // (bytes, dtype, shape, order[, axes])
  numpy_scalar,       // (dtype, bytes)
  numpy_dtype,        // (code[, align[, copy]]), then BUILD
  numpy_object,       // random generators: opaque
  // tensors that stay opaque, with a finding that says what they are
  old_sparse_class,  // torch.sparse.FloatTensor ...: objects of torch before 0.4
  // storages, in persistent ids
  storage_class,          // of one dtype
  untyped_storage_class,  // bytes
  // descriptions
  size,        // (ints)
  device,      // (type[, index])
  dtype,       // a value
  get_layout,  // (name)
  name_only,   // a value without further meaning: qschemes, layouts, sub-byte dtypes
};

struct KnownGlobal {
  Meaning meaning = Meaning::name_only;
  DType dtype = DType::f32;  // of Meaning::dtype, storage_class and old_tensor_class
  ReleaseRange torch;        // that take the name under torch.load(weights_only=True)
};

// Exact match of both names, which must be Python 3's; nullopt for everything beyond the allow-list.
std::optional<KnownGlobal> find_global(std::string_view module, std::string_view name) noexcept;

// "module.name", after the renaming that Python 3 does for pickles of protocol 0 to 2 (`__builtin__ long` is
// `builtins.int`).
struct PythonName {
  std::string_view module;
  std::string_view name;
};
PythonName python3_name(std::string_view module, std::string_view name, int protocol) noexcept;
// The way back: what Python 3 writes at protocols 0 to 2.
PythonName python2_name(std::string_view module, std::string_view name) noexcept;
std::string dotted(PythonName name);

// Rows of globals.def, for tests and the specification.
struct GlobalRow {
  std::string_view module;
  std::string_view name;
  KnownGlobal known;
};
std::size_t global_row_count() noexcept;
const GlobalRow& global_row(std::size_t index) noexcept;

}  // namespace rushlight::checkpoint
