// Division by a number that is known before the kernel starts: a multiplication and a shift.
//
// GPUs have no divider for integers; the compiler's division costs some 20 instructions for 32 bits and 70 for 64.
// Granlund and Montgomery, "Division by invariant integers using multiplication" (1994), theorem 4.2: for 0 <= n < 2^N
// and m = ceil(2^p / d) with p = N + ceil(log2 d), n / d = (n * m) >> p. Here N = 31 and 63, so that m fits 32 and 64
// bits.
// Tests: CudaDivisor.*
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

// The number of bits that hold n - 1: ceil(log2 n) for n >= 1.
RUSHLIGHT_HOST_DEVICE constexpr int ceil_log2(std::uint64_t n) {
  int bits = 0;
  while (bits < 64 && (std::uint64_t{1} << bits) < n) ++bits;
  return bits;
}

// For numerators in [0, 2^31) and divisors in [1, 2^31). A divisor of 0 is kept as it is, and must not divide.
class Divisor32 {
 public:
  Divisor32() = default;
  RUSHLIGHT_HOST_DEVICE explicit constexpr Divisor32(std::int32_t divisor)
      : divisor_(divisor),
        shift_(31 + ceil_log2(static_cast<std::uint64_t>(divisor))),
        multiplier_(static_cast<std::uint32_t>(ceil_div<std::uint64_t>(
            std::uint64_t{1} << shift_, divisor == 0 ? 1 : static_cast<std::uint64_t>(divisor)))) {}

  RUSHLIGHT_HOST_DEVICE constexpr std::int32_t quotient(std::int32_t n) const {
    return static_cast<std::int32_t>((static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)) * multiplier_) >>
                                     shift_);
  }
  RUSHLIGHT_HOST_DEVICE constexpr std::int32_t remainder(std::int32_t n, std::int32_t quotient) const {
    return n - quotient * divisor_;
  }
  RUSHLIGHT_HOST_DEVICE constexpr std::int32_t divisor() const { return divisor_; }

 private:
  std::int32_t divisor_ = 1;
  std::int32_t shift_ = 31;
  std::uint32_t multiplier_ = std::uint32_t{1} << 31;
};

// For numerators in [0, 2^63) and divisors in [1, 2^63); 0 as above.
class Divisor64 {
 public:
  Divisor64() = default;
  explicit constexpr Divisor64(std::int64_t divisor) : divisor_(divisor) {
    const std::uint64_t d = static_cast<std::uint64_t>(divisor);
    const int log2 = ceil_log2(d);
    if (log2 == 0) return;
    // ceil(2^p / d) for p = 63 + log2, by long division: 2^p does not fit 64 bits.
    std::uint64_t quotient = 0;
    std::uint64_t rest = 1;  // of the bits of 2^p that have been brought down so far
    for (int bit = 63 + log2; bit > 0; --bit) {
      rest <<= 1;  // below 2 d, and so below 2^64
      quotient <<= 1;
      if (rest >= d) {
        rest -= d;
        quotient |= 1;
      }
    }
    multiplier_ = quotient + (rest != 0 ? 1 : 0);
    shift_ = log2 - 1;  // beyond the 64 bits that the high half of the product leaves out
  }

  RUSHLIGHT_HOST_DEVICE std::int64_t quotient(std::int64_t n) const {
    if (divisor_ == 1) return n;
    return static_cast<std::int64_t>(high_product(static_cast<std::uint64_t>(n), multiplier_) >> shift_);
  }
  RUSHLIGHT_HOST_DEVICE std::int64_t remainder(std::int64_t n, std::int64_t quotient) const {
    return n - quotient * divisor_;
  }
  RUSHLIGHT_HOST_DEVICE std::int64_t divisor() const { return divisor_; }

 private:
  RUSHLIGHT_HOST_DEVICE static std::uint64_t high_product(std::uint64_t a, std::uint64_t b) {
#if defined(__CUDA_ARCH__)
    return __umul64hi(a, b);
#else
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
#endif
  }

  std::int64_t divisor_ = 1;
  std::int32_t shift_ = 0;
  std::uint64_t multiplier_ = 0;
};

}  // namespace rushlight::cuda
