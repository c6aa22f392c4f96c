// Tensor::to(DType): element conversion with the semantics of torch's Tensor.to.
//
// Each element is widened exactly to one of six carriers and narrowed from there, so 22 sources and 17 targets need
// 22 + 6 x 17 short loops instead of 374. Blocks of elements pass through two small buffers that stay in the cache.
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "base/fail.hpp"
#include "base/float_codes.hpp"
#include "tensor/strided_reader.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

constexpr std::size_t kBlock = 1024;  // elements
constexpr std::size_t kWidest = 2 * sizeof(double);

using ComplexFloat = std::complex<float>;
using ComplexDouble = std::complex<double>;

// --- from a float to an integer
// --------------------------------------------------------------------------------------- C++ leaves values that do not
// fit undefined. torch on x86-64 does what CVTTSD2SI does (Intel SDM vol. 2): NaN and whatever does not fit the
// register give its smallest number. int8, int16 and int32 go through 32 bits, all others through 64; the rest is cut
// off, so that -1.0 becomes 255 as uint8.

std::int32_t truncate_32(double value) noexcept {
  if (!(value > -2147483649.0 && value < 2147483648.0)) return std::numeric_limits<std::int32_t>::min();
  return static_cast<std::int32_t>(value);
}

std::int64_t truncate_64(double value) noexcept {
  if (!(value >= -0x1p63 && value < 0x1p63)) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(value);
}

// The upper half of uint64 is reached by moving it down first, as compilers do.
std::uint64_t truncate_u64(double value) noexcept {
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  if (value >= 0x1p63) return static_cast<std::uint64_t>(truncate_64(value - 0x1p63)) ^ kTop;
  return static_cast<std::uint64_t>(truncate_64(value));
}

template <class Int>
Int truncate(double value) noexcept {
  if constexpr (std::is_same_v<Int, std::uint64_t>) return truncate_u64(value);
  if constexpr (std::is_same_v<Int, std::int8_t> || std::is_same_v<Int, std::int16_t> ||
                std::is_same_v<Int, std::int32_t>) {
    return static_cast<Int>(truncate_32(value));
  }
  return static_cast<Int>(truncate_64(value));
}

// --- targets
// ---------------------------------------------------------------------------------------------------------- How one
// carrier becomes one element. Complex numbers lose their imaginary part on the way to anything real.

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

// Doubles and integers pass through a float on their way to 16 bits and are rounded twice, as in torch.
struct ToF16 {
  using Stored = std::uint16_t;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    return f32_to_f16(static_cast<float>(real_part(value)));
  }
};

struct ToBf16 {
  using Stored = std::uint16_t;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    return f32_to_bf16(static_cast<float>(real_part(value)));
  }
};

// A pair of Half: the real and the imaginary part, each converted by itself.
template <class Half>
struct ToComplex {
  using Stored = std::array<typename Half::Stored, 2>;
  template <class Carrier>
  static Stored from(Carrier value) noexcept {
    if constexpr (kIsComplex<Carrier>) {
      return {Half::from(value.real()), Half::from(value.imag())};
    } else {
      return {Half::from(value), Half::from(Carrier{})};
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
    default:
      return nullptr;
  }
}

// --- sources
// ----------------------------------------------------------------------------------------------------------

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
template <float (*kWiden)(std::uint16_t)>
struct Code16 {
  float operator()(std::uint16_t code) const noexcept { return kWiden(code); }
};
template <float (*kWiden)(std::uint8_t)>
struct Code8 {
  float operator()(std::uint8_t code) const noexcept { return kWiden(code); }
};
template <float (*kWiden)(std::uint16_t)>
struct CodePair {
  ComplexFloat operator()(std::array<std::uint16_t, 2> codes) const noexcept {
    return {kWiden(codes[0]), kWiden(codes[1])};
  }
};
template <class Real>
struct Pair {
  std::complex<Real> operator()(std::array<Real, 2> parts) const noexcept { return {parts[0], parts[1]}; }
};

struct Reading {
  Load load = nullptr;
  Store store = nullptr;
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
      return reading<std::uint16_t, float, Code16<f16_to_f32>>(to);
    case DType::bf16:
      return reading<std::uint16_t, float, Code16<bf16_to_f32>>(to);
    case DType::f32:
      return reading<float, float, Cast<float>>(to);
    case DType::f64:
      return reading<double, double, Cast<double>>(to);
    case DType::c32:
      return reading<std::array<std::uint16_t, 2>, ComplexFloat, CodePair<f16_to_f32>>(to);
    case DType::bc32:
      return reading<std::array<std::uint16_t, 2>, ComplexFloat, CodePair<bf16_to_f32>>(to);
    case DType::c64:
      return reading<std::array<float, 2>, ComplexFloat, Pair<float>>(to);
    case DType::c128:
      return reading<std::array<double, 2>, ComplexDouble, Pair<double>>(to);
    case DType::f8_e5m2:
      return reading<std::uint8_t, float, Code8<f8_e5m2_to_f32>>(to);
    case DType::f8_e4m3fn:
      return reading<std::uint8_t, float, Code8<f8_e4m3fn_to_f32>>(to);
    case DType::f8_e5m2fnuz:
      return reading<std::uint8_t, float, Code8<f8_e5m2fnuz_to_f32>>(to);
    case DType::f8_e4m3fnuz:
      return reading<std::uint8_t, float, Code8<f8_e4m3fnuz_to_f32>>(to);
    case DType::f8_e8m0fnu:
      return reading<std::uint8_t, float, Code8<f8_e8m0fnu_to_f32>>(to);
    default:
      return {};
  }
}

Error no_such_conversion(DType from, DType to) {
  const std::string source(to_string(from));
  const std::string target(to_string(to));
  return Error::of({.category = Category::unsup,
                    .code = "TENSOR-CONVERT",
                    .message = "no conversion from " + source + " to " + target,
                    .found = source,
                    .expected = target});
}

}  // namespace

Result<Tensor> Tensor::to(DType to) const {
  if (dtype() == to) return contiguous();
  const Reading how = find_reading(dtype(), to);
  if (how.store == nullptr) return no_such_conversion(dtype(), to);
  if (impl_) RUSHLIGHT_TRY(check_copy(*impl_, to, kMaxCopyBytes));
  // The bytes first: nothing is allocated for a storage that cannot be read.
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, bytes());
  RUSHLIGHT_TRY_ASSIGN(Tensor converted, Impl::make_dense(to, shape(), options()));
  if (numel() == 0) return converted;
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> out, converted.mutable_bytes());

  const bool as_it_lies = is_contiguous() && !options().conj && !options().neg;
  const std::size_t from_bytes = rushlight::size_bytes(dtype());
  const std::size_t to_bytes = rushlight::size_bytes(to);
  StridedReader reader(from.data(), dtype(), shape(), strides(), options().conj, options().neg);
  alignas(64) std::array<std::byte, kBlock * kWidest> gathered;
  alignas(64) std::array<std::byte, kBlock * kWidest> carriers;
  const auto total = static_cast<std::size_t>(numel());
  for (std::size_t done = 0; done < total; done += kBlock) {
    const std::size_t count = std::min(kBlock, total - done);
    const std::byte* elements = gathered.data();
    if (as_it_lies) {
      elements = from.data() + done * from_bytes;
    } else {
      reader.read(gathered.data(), count);
    }
    how.load(elements, count, carriers.data());
    how.store(carriers.data(), count, out.data() + done * to_bytes);
  }
  return converted;
}

}  // namespace rushlight
