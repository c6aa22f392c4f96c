/// \file
/// NdArray: a numpy.ndarray that a pickle holds, beside the tensors of a training checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rushlight/export.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// How the elements of an array lie in its bytes.
enum class ArrayOrder : std::uint8_t {
  c,         ///< the last dimension runs fastest
  fortran,   ///< the first dimension runs fastest
  permuted,  ///< C order of the dimensions in another order; the strides say which
};
/// NumPy's letters: "C", "F", "K".
RUSHLIGHT_API std::string_view to_string(ArrayOrder order) noexcept;

/// A numpy.ndarray, or a scalar of NumPy that no plain value stands for (numpy.datetime64): as the pickle has it, with
/// what is needed to write it again. It is no tensor: torch.load gives NumPy's own class, and a state dict leaves it
/// out.
struct RUSHLIGHT_API NdArray {
  /// NumPy's `dtype.str`: "<f4", ">i8", "|b1", "<U5", "<M8[ns]", "|O". Of structured elements the fields, one level
  /// deep: "[('a', '<f4'), ('b', '<i8', (2,))]"; the whole dtype is then the value's attribute "dtype".
  std::string dtype{};
  std::uint64_t item_bytes = 0;  ///< of one element; 0 too for empty strings
  Shape shape{};
  ArrayOrder order = ArrayOrder::c;
  Strides strides{};  ///< of the elements in `data`, in elements
  /// The bytes as they were stored, in the byte order of `dtype`. None where the elements are Python objects: those are
  /// the value's items, in C order whatever `order` says.
  std::optional<Storage> data{};
  /// The elements as a tensor, in this machine's byte order; none where torch has no such dtype.
  std::optional<Tensor> tensor{};
  bool is_scalar = false;  ///< a scalar, of no dimensions: its class is another one than that of arrays
};

}  // namespace rushlight
