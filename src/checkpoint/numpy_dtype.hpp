// NumPy's names of element types, as numpy.dtype writes them into pickles.
// Source: numpy/_core/src/multiarray/descriptor.c, arraydescr_reduce and arraydescr_setstate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rushlight/dtype.hpp"

namespace rushlight::checkpoint {

// "f4", "U5": a letter and, of most, a number.
struct NumpyTypeCode {
  char kind = 'V';               // b i u f c, S (bytes), U (text), V (void), O (object), M (datetime), m (timedelta)
  char order = '|';              // '<', '>', or '|' where there is none to speak of
  std::uint64_t item_bytes = 0;  // of one element

  // The bytes that are reversed together in the other byte order.
  [[nodiscard]] std::uint32_t swap_unit() const noexcept;
  // NumPy's `dtype.str`: "<f4", "|b1", "<U5".
  [[nodiscard]] std::string text() const;
};

// nullopt for what is no type code known here.
[[nodiscard]] std::optional<NumpyTypeCode> parse_type_code(std::string_view text) noexcept;

// What torch calls it.
[[nodiscard]] std::optional<DType> torch_dtype(const NumpyTypeCode& code) noexcept;

// "numpy.float32": the class of its scalars.
[[nodiscard]] std::string_view scalar_class(const NumpyTypeCode& code) noexcept;

// Whether a word is a unit of datetime64 and timedelta64: "ns", "D".
[[nodiscard]] bool is_time_unit(std::string_view word) noexcept;

}  // namespace rushlight::checkpoint
