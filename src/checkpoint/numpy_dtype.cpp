#include "checkpoint/numpy_dtype.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace rushlight::checkpoint {
namespace {

using namespace std::string_view_literals;

struct FixedType {
  char kind;
  std::uint64_t item_bytes;
  std::optional<DType> dtype;
  std::string_view scalar;
};
constexpr std::array kFixedTypes = {
    FixedType{'b', 1, DType::boolean, "numpy.bool_"},
    FixedType{'i', 1, DType::i8, "numpy.int8"},
    FixedType{'i', 2, DType::i16, "numpy.int16"},
    FixedType{'i', 4, DType::i32, "numpy.int32"},
    FixedType{'i', 8, DType::i64, "numpy.int64"},
    FixedType{'u', 1, DType::u8, "numpy.uint8"},
    FixedType{'u', 2, DType::u16, "numpy.uint16"},
    FixedType{'u', 4, DType::u32, "numpy.uint32"},
    FixedType{'u', 8, DType::u64, "numpy.uint64"},
    FixedType{'f', 2, DType::f16, "numpy.float16"},
    FixedType{'f', 4, DType::f32, "numpy.float32"},
    FixedType{'f', 8, DType::f64, "numpy.float64"},
    FixedType{'c', 8, DType::c64, "numpy.complex64"},
    FixedType{'c', 16, DType::c128, "numpy.complex128"},
    // The long double of the writer's machine, with its padding.
    FixedType{'f', 12, std::nullopt, "numpy.longdouble"},
    FixedType{'f', 16, std::nullopt, "numpy.longdouble"},
    FixedType{'c', 24, std::nullopt, "numpy.clongdouble"},
    FixedType{'c', 32, std::nullopt, "numpy.clongdouble"},
    FixedType{'M', 8, std::nullopt, "numpy.datetime64"},
    FixedType{'m', 8, std::nullopt, "numpy.timedelta64"},
    // Pointers, of machines of 64 and of 32 bits; the pickle holds the objects.
    FixedType{'O', 8, std::nullopt, "numpy.object_"},
    FixedType{'O', 4, std::nullopt, "numpy.object_"},
};

const FixedType* find_fixed(char kind, std::uint64_t item_bytes) noexcept {
  const auto* const found = std::find_if(kFixedTypes.begin(), kFixedTypes.end(), [&](const FixedType& type) {
    return type.kind == kind && type.item_bytes == item_bytes;
  });
  return found == kFixedTypes.end() ? nullptr : found;
}

constexpr std::uint64_t kBytesPerCharacter = 4;  // of U: UTF-32

}  // namespace

std::uint32_t NumpyTypeCode::swap_unit() const noexcept {
  switch (kind) {
    case 'i':
    case 'u':
    case 'f':
    case 'M':
    case 'm':
      return static_cast<std::uint32_t>(item_bytes);
    case 'c':
      return static_cast<std::uint32_t>(item_bytes / 2);
    case 'U':
      return kBytesPerCharacter;
    default:
      return 1;
  }
}

std::string NumpyTypeCode::text() const {
  std::string text{order, kind};
  if (kind != 'O') text += std::to_string(kind == 'U' ? item_bytes / kBytesPerCharacter : item_bytes);
  return text;
}

std::optional<NumpyTypeCode> parse_type_code(std::string_view text) noexcept {
  NumpyTypeCode code;
  code.order = '<';  // dtypes without a state, which NumPy does not write: the order of this machine
  if (!text.empty() && "<>|="sv.find(text[0]) != std::string_view::npos) {
    if (text[0] == '>') code.order = '>';
    text.remove_prefix(1);
  }
  if (text.empty()) return std::nullopt;
  code.kind = text[0];
  text.remove_prefix(1);
  std::uint64_t number = 0;
  if (!text.empty()) {
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  } else if ("SUVO"sv.find(code.kind) == std::string_view::npos) {
    return std::nullopt;
  } else if (code.kind == 'O') {
    number = 8;
  }
  // NumPy's sizes of elements are C ints.
  if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()) / kBytesPerCharacter) {
    return std::nullopt;
  }
  code.item_bytes = code.kind == 'U' ? number * kBytesPerCharacter : number;
  const bool sized = "SUV"sv.find(code.kind) != std::string_view::npos;
  if (!sized && find_fixed(code.kind, code.item_bytes) == nullptr) return std::nullopt;
  if (code.swap_unit() == 1) code.order = '|';
  return code;
}

std::optional<DType> torch_dtype(const NumpyTypeCode& code) noexcept {
  const FixedType* const type = find_fixed(code.kind, code.item_bytes);
  return type != nullptr ? type->dtype : std::nullopt;
}

std::string_view scalar_class(const NumpyTypeCode& code) noexcept {
  if (code.kind == 'S') return "numpy.bytes_";
  if (code.kind == 'U') return "numpy.str_";
  const FixedType* const type = find_fixed(code.kind, code.item_bytes);
  return type != nullptr ? type->scalar : "numpy.void";
}

bool is_time_unit(std::string_view word) noexcept {
  constexpr std::array kUnits = {"Y"sv,  "M"sv,  "W"sv,  "D"sv,  "h"sv,  "m"sv, "s"sv,
                                 "ms"sv, "us"sv, "ns"sv, "ps"sv, "fs"sv, "as"sv};
  return std::find(kUnits.begin(), kUnits.end(), word) != kUnits.end();
}

}  // namespace rushlight::checkpoint
