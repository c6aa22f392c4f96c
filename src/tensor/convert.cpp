// ElementCast and Tensor::to(DType): element conversion with the semantics of torch's Tensor.to.
//
// Each element is widened exactly to one of six carriers and narrowed from there, so 22 sources and 22 targets need
// 22 + 6 x 22 short loops instead of 462. Blocks of elements pass through two small buffers that stay in the cache.
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "base/fail.hpp"
#include "base/float_codes.hpp"
#include "base/no_memory.hpp"
#include "tensor/element_cast.hpp"
#include "tensor/strided_reader.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

constexpr std::size_t kBlock = 1024;  // elements
constexpr std::size_t kWidest = 2 * sizeof(double);

using ComplexFloat = std::complex<float>;
using ComplexDouble = std::complex<double>;

// --- from a float to an integer ---
//
// C++ leaves values that do not fit undefined. torch on x86-64 does what CVTTSD2SI does (Intel SDM vol. 2): NaN and
// whatever does not fit the register give its smallest number. int8, int16, uint16 and int32 go through 32 bits, all
// others through 64; the rest is cut off, so that -1.0 becomes 255 as uint8.

// The smallest number takes the place of what does not fit before the conversion and not after it: no branches.

std::int32_t truncate_32(double value) noexcept {
  const bool fits = value > -2147483649.0 && value < 2147483648.0;
  return static_cast<std::int32_t>(fits ? value : -2147483648.0);
}

std::int64_t truncate_64(double value) noexcept {
  const bool fits = value >= -0x1p63 && value < 0x1p63;
  return static_cast<std::int64_t>(fits ? value : -0x1p63);
}

// The upper half of uint64 is reached by moving it down first, as compilers do.
std::uint64_t truncate_u64(double value) noexcept {
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  const bool upper = value >= 0x1p63;
  return static_cast<std::uint64_t>(truncate_64(upper ? value - 0x1p63 : value)) ^ (upper ? kTop : 0);
}

template <class Int>
Int truncate(double value) noexcept {
  if constexpr (std::is_same_v<Int, std::uint64_t>) return truncate_u64(value);
  if constexpr (std::is_same_v<Int, std::int8_t> || std::is_same_v<Int, std::int16_t> ||
                std::is_same_v<Int, std::uint16_t> || std::is_same_v<Int, std::int32_t>) {
    return static_cast<Int>(truncate_32(value));
  }
  return static_cast<Int>(truncate_64(value));
}

// --- targets ---
//
// How one carrier becomes one element. Complex numbers lose their imaginary part on the way to anything real.

template <class Carrier>
constexpr bool kIsComplex = std::is_same_v<Carrier, ComplexFloat> || std::is_same_v<Carrier, ComplexDouble>;

template <class Carrier>
auto real_part(Carrier value) noexcept {
  if constexpr (kIsComplex<Carrier>) {
    return value.real();
  } else {
    return value;
  }
}

struct ToBool {
  using Stored = std::uint8_t;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    return value != Carrier{} ? 1 : 0;  // NaN is true, and so is an imaginary number
  }
};

template <class Int>
struct ToInt {
  using Stored = Int;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    const auto real = real_part(value);
    if constexpr (std::is_integral_v<decltype(real)>) {
      return static_cast<Int>(real);  // modulo 2^n, by definition since C++20
    } else {
      return truncate<Int>(static_cast<double>(real));
    }
  }
};

template <class Float>
struct ToFloat {
  using Stored = Float;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    return static_cast<Float>(real_part(value));
  }
};

// Codes of 8 and 16 bits are made from a float: doubles and integers are rounded twice, as in torch.
template <auto kNarrow>
struct ToCode {
  using Stored = decltype(kNarrow(0.0F));
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    return kNarrow(static_cast<float>(real_part(value)));
  }
};
using ToF16 = ToCode<f32_to_f16>;
using ToBf16 = ToCode<f32_to_bf16>;

// The real and the imaginary part, each converted by itself.
template <class Part>
struct ToComplex {
  using Stored = std::array<typename Part::Stored, 2>;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    if constexpr (kIsComplex<Carrier>) {
      return {Part::from(value.real()), Part::from(value.imag())};
    } else {
      return {Part::from(value), Part::from(Carrier{})};
    }
  }
};

using Store = void (*)(const std::byte* carriers, std::size_t count, std::byte* out) noexcept;

template <class Target, class Carrier>
void store(const std::byte* carriers, std::size_t count, std::byte* out) noexcept {
  using Stored = typename Target::Stored;
  const auto* from = reinterpret_cast<const Carrier*>(carriers);
  for (std::size_t i = 0; i < count; ++i) {
    const Stored element = Target::from(from[i]);
    std::memcpy(out + i * sizeof element, &element, sizeof element);
  }
}

template <class Carrier>
Store find_store(DType to) noexcept {
  switch (to) {
    case DType::boolean:
      return store<ToBool, Carrier>;
    case DType::u8:
      return store<ToInt<std::uint8_t>, Carrier>;
    case DType::i8:
      return store<ToInt<std::int8_t>, Carrier>;
    case DType::u16:
      return store<ToInt<std::uint16_t>, Carrier>;
    case DType::i16:
      return store<ToInt<std::int16_t>, Carrier>;
    case DType::u32:
      return store<ToInt<std::uint32_t>, Carrier>;
    case DType::i32:
      return store<ToInt<std::int32_t>, Carrier>;
    case DType::u64:
      return store<ToInt<std::uint64_t>, Carrier>;
    case DType::i64:
      return store<ToInt<std::int64_t>, Carrier>;
    case DType::f16:
      return store<ToF16, Carrier>;
    case DType::bf16:
      return store<ToBf16, Carrier>;
    case DType::f32:
      return store<ToFloat<float>, Carrier>;
    case DType::f64:
      return store<ToFloat<double>, Carrier>;
    case DType::c32:
      return store<ToComplex<ToF16>, Carrier>;
    case DType::bc32:
      return store<ToComplex<ToBf16>, Carrier>;
    case DType::c64:
      return store<ToComplex<ToFloat<float>>, Carrier>;
    case DType::c128:
      return store<ToComplex<ToFloat<double>>, Carrier>;
    case DType::f8_e5m2:
      return store<ToCode<f32_to_f8_e5m2>, Carrier>;
    case DType::f8_e4m3fn:
      return store<ToCode<f32_to_f8_e4m3fn>, Carrier>;
    case DType::f8_e5m2fnuz:
      return store<ToCode<f32_to_f8_e5m2fnuz>, Carrier>;
    case DType::f8_e4m3fnuz:
      return store<ToCode<f32_to_f8_e4m3fnuz>, Carrier>;
    case DType::f8_e8m0fnu:
      return store<ToCode<f32_to_f8_e8m0fnu>, Carrier>;
    default:
      return nullptr;
  }
}

// --- sources ---

using Load = void (*)(const std::byte* elements, std::size_t count, std::byte* carriers) noexcept;

template <class Stored, class Carrier, class Widen>
void load(const std::byte* elements, std::size_t count, std::byte* carriers) noexcept {
  auto* to = reinterpret_cast<Carrier*>(carriers);
  for (std::size_t i = 0; i < count; ++i) {
    Stored element;
    std::memcpy(&element, elements + i * sizeof element, sizeof element);
    to[i] = Widen()(element);
  }
}

struct BoolByte {
  std::int64_t operator()(std::uint8_t byte) const noexcept { return byte != 0 ? 1 : 0; }
};
template <class Carrier>
struct Cast {
  template <class Stored>
  Carrier operator()(Stored value) const noexcept {
    return static_cast<Carrier>(value);
  }
};
template <auto kWiden>
struct Code {
  template <class Stored>
  float operator()(Stored code) const noexcept {
    return kWiden(code);
  }
};
template <auto kWiden>
struct NumberOrZero {
  float operator()(std::uint8_t code) const noexcept {
    const float value = kWiden(code);
    return std::isnan(value) ? 0.0F : value;
  }
};
template <auto kWiden>
struct CodePair {
  ComplexFloat operator()(std::array<std::uint16_t, 2> codes) const noexcept {
    return {kWiden(codes[0]), kWiden(codes[1])};
  }
};
// Processors make a NaN quiet when they widen it, and torch lets them.
float widen_f16(std::uint16_t code) noexcept {
  const bool is_nan = (code & 0x7FFFU) > 0x7C00U;
  return f16_to_f32(is_nan ? static_cast<std::uint16_t>(code | 0x0200U) : code);
}
template <class Real>
struct Pair {
  std::complex<Real> operator()(std::array<Real, 2> parts) const noexcept { return {parts[0], parts[1]}; }
};

struct Reading {
  Load load = nullptr;
  Store store = nullptr;  // none: there is no such conversion
};

template <class Stored, class Carrier, class Widen>
Reading reading(DType to) noexcept {
  static_assert(sizeof(Carrier) <= kWidest);
  return {load<Stored, Carrier, Widen>, find_store<Carrier>(to)};
}

template <class Int>
Reading reading_integer(DType to) noexcept {
  using Carrier = std::conditional_t<std::is_same_v<Int, std::uint64_t>, std::uint64_t, std::int64_t>;
  return reading<Int, Carrier, Cast<Carrier>>(to);
}

// The 8-bit floats with a single NaN. torch's headers spell that NaN as a constant, so the compiler and not the
// processor worked out which integer it becomes: 0.
template <auto kWiden>
Reading reading_single_nan(DType to) noexcept {
  const DTypeKind kind = info(to).kind;
  if (kind == DTypeKind::integer || kind == DTypeKind::natural) {
    return reading<std::uint8_t, float, NumberOrZero<kWiden>>(to);
  }
  return reading<std::uint8_t, float, Code<kWiden>>(to);
}

Reading find_reading(DType from, DType to) noexcept {
  switch (from) {
    case DType::boolean:
      return reading<std::uint8_t, std::int64_t, BoolByte>(to);
    case DType::u8:
      return reading_integer<std::uint8_t>(to);
    case DType::i8:
      return reading_integer<std::int8_t>(to);
    case DType::u16:
      return reading_integer<std::uint16_t>(to);
    case DType::i16:
      return reading_integer<std::int16_t>(to);
    case DType::u32:
      return reading_integer<std::uint32_t>(to);
    case DType::i32:
      return reading_integer<std::int32_t>(to);
    case DType::u64:
      return reading_integer<std::uint64_t>(to);
    case DType::i64:
      return reading_integer<std::int64_t>(to);
    case DType::f16:
      return reading<std::uint16_t, float, Code<widen_f16>>(to);
    case DType::bf16:
      return reading<std::uint16_t, float, Code<bf16_to_f32>>(to);
    case DType::f32:
      return reading<float, float, Cast<float>>(to);
    case DType::f64:
      return reading<double, double, Cast<double>>(to);
    case DType::c32:
      return reading<std::array<std::uint16_t, 2>, ComplexFloat, CodePair<widen_f16>>(to);
    case DType::bc32:
      return reading<std::array<std::uint16_t, 2>, ComplexFloat, CodePair<bf16_to_f32>>(to);
    case DType::c64:
      return reading<std::array<float, 2>, ComplexFloat, Pair<float>>(to);
    case DType::c128:
      return reading<std::array<double, 2>, ComplexDouble, Pair<double>>(to);
    case DType::f8_e5m2:
      return reading<std::uint8_t, float, Code<f8_e5m2_to_f32>>(to);
    case DType::f8_e4m3fn:
      return reading<std::uint8_t, float, Code<f8_e4m3fn_to_f32>>(to);
    case DType::f8_e5m2fnuz:
      return reading_single_nan<f8_e5m2fnuz_to_f32>(to);
    case DType::f8_e4m3fnuz:
      return reading_single_nan<f8_e4m3fnuz_to_f32>(to);
    case DType::f8_e8m0fnu:
      return reading_single_nan<f8_e8m0fnu_to_f32>(to);
    default:
      return {};
  }
}

Error no_such_conversion(DType from, DType to) {
  const std::string source(to_string(from));
  const std::string target(to_string(to));
  std::string hint;
  if (info(from).kind == DTypeKind::quantized) {
    hint = "elements of " + source + " are codes: dequantise first, value = scale x (code - zero point)";
  } else if (info(to).kind == DTypeKind::quantized) {
    hint = "elements of " + target + " are codes: to make them takes a scale and a zero point";
  }
  return Error::of({.category = Category::unsup,
                    .code = "TENSOR-CONVERT",
                    .message = "no conversion from " + source + " to " + target,
                    .found = source,
                    .expected = target,
                    .hint = std::move(hint)});
}

}  // namespace

Result<ElementCast> ElementCast::find(DType from, DType to) {
  const Reading how = find_reading(from, to);
  if (how.store == nullptr) return no_such_conversion(from, to);
  return ElementCast(how.load, how.store, size_bytes(from), size_bytes(to));
}

void ElementCast::run(const std::byte* from, std::size_t count, std::byte* out) const noexcept {
  alignas(64) std::array<std::byte, kBlock * kWidest> carriers;
  for (std::size_t done = 0; done < count; done += kBlock) {
    const std::size_t block = std::min(kBlock, count - done);
    load_(from + done * from_bytes_, block, carriers.data());
    store_(carriers.data(), block, out + done * to_bytes_);
  }
}

Result<Tensor> Tensor::to(DType to) const {
  return or_no_memory([&]() -> Result<Tensor> {
    if (dtype() == to) return contiguous();
    RUSHLIGHT_TRY_ASSIGN(const ElementCast cast, ElementCast::find(dtype(), to));
    if (impl_) RUSHLIGHT_TRY(check_copy(*impl_, to, kMaxCopyBytes));
    // The bytes first: nothing is allocated for a storage that cannot be read.
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, bytes());
    RUSHLIGHT_TRY_ASSIGN(Tensor converted, Impl::make_dense(to, shape(), options()));
    if (numel() == 0) return converted;
    RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> out, converted.mutable_bytes());

    const auto total = static_cast<std::size_t>(numel());
    if (is_contiguous() && !options().conj && !options().neg) {
      cast.run(from.data(), total, out.data());
      return converted;
    }
    StridedReader reader(from.data(), dtype(), shape(), strides(), options().conj, options().neg);
    alignas(64) std::array<std::byte, kBlock * kWidest> gathered;
    for (std::size_t done = 0; done < total; done += kBlock) {
      const std::size_t count = std::min(kBlock, total - done);
      reader.read(gathered.data(), count);
      cast.run(gathered.data(), count, out.data() + done * cast.to_bytes());
    }
    return converted;
  });
}

}  // namespace rushlight
