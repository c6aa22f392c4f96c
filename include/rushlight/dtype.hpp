/// \file
/// Element types: one table, dtypes.def, behind all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "rushlight/export.hpp"

namespace rushlight {

/// Every element type torch can save. The order is that of dtypes.def and is no file format: never store it.
enum class DType : std::uint8_t {
#define RUSHLIGHT_DTYPE(id, name, brief, bytes, packed, code, storage, kind) id,
#include "rushlight/dtypes.def"
};

enum class DTypeKind : std::uint8_t { boolean, integer, natural, real, complex, quantized, bits };

/// One row of dtypes.def.
struct DTypeInfo {
  DType dtype;
  std::string_view name;           ///< torch's: "float32"
  std::string_view brief;          ///< ours, for listings: "f32"
  std::uint32_t size_bytes;        ///< of one storage unit
  std::uint32_t packed;            ///< logical values in one unit: 1, or 2, 4, 8 for sub-byte types
  int scalar_type;                 ///< c10::ScalarType
  std::string_view storage_class;  ///< "FloatStorage"; empty for dtypes that only UntypedStorage carries
  DTypeKind kind;
};

RUSHLIGHT_API const DTypeInfo& info(DType dtype) noexcept;
RUSHLIGHT_API std::size_t dtype_count() noexcept;
/// The row at a position of the table, for loops over all dtypes; index < dtype_count().
RUSHLIGHT_API const DTypeInfo& dtype_at(std::size_t index) noexcept;
/// "float32" (canonical names only: torch pickles no alias).
RUSHLIGHT_API std::optional<DType> dtype_from_name(std::string_view torch_name) noexcept;
/// "FloatStorage".
RUSHLIGHT_API std::optional<DType> dtype_from_storage_class(std::string_view name) noexcept;

inline std::string_view to_string(DType dtype) noexcept {
  return info(dtype).name;
}
inline std::uint32_t size_bytes(DType dtype) noexcept {
  return info(dtype).size_bytes;
}

/// The DType of a C++ type, for Tensor::values<T>() and from_values().
template <class T>
struct dtype_of;
template <>
struct dtype_of<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct dtype_of<std::int8_t> {
  static constexpr DType value = DType::i8;
};
template <>
struct dtype_of<std::uint16_t> {
  static constexpr DType value = DType::u16;
};
template <>
struct dtype_of<std::int16_t> {
  static constexpr DType value = DType::i16;
};
template <>
struct dtype_of<std::uint32_t> {
  static constexpr DType value = DType::u32;
};
template <>
struct dtype_of<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<std::uint64_t> {
  static constexpr DType value = DType::u64;
};
template <>
struct dtype_of<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::f64;
};

}  // namespace rushlight
