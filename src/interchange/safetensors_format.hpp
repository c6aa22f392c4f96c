// What the reader and the writer of safetensors agree on. format-spec/09-interchange.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "rushlight/dtype.hpp"

namespace rushlight::interchange {

inline constexpr std::size_t kSafetensorsLengthBytes = 8;                    // of the header, before it
inline constexpr std::uint64_t kSafetensorsMaxHeaderBytes = 100'000'000;     // more no reader takes
inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";  // among the names of tensors

struct SafetensorsDType {
  std::string_view name;
  std::uint32_t bits = 0;
  std::optional<DType> dtype;  // none: known, and torch has no such dtype
};
// By their position tensors are sorted.
inline constexpr SafetensorsDType kSafetensorsDTypes[] = {
#define RUSHLIGHT_SAFETENSORS_DTYPE(name, bits, dtype) {name, bits, DType::dtype},
#define RUSHLIGHT_SAFETENSORS_UNSUPPORTED(name) {name, 0, std::nullopt},
#include "interchange/safetensors_dtypes.def"
};

}  // namespace rushlight::interchange
