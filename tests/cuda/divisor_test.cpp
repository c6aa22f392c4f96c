#include "cuda/kernels/divisor.cuh"

#include <gtest/gtest.h>

#include <random>

namespace rushlight::cuda {
namespace {

TEST(CudaDivisor, LogarithmsRoundUp) {
  EXPECT_EQ(ceil_log2(1), 0);
  EXPECT_EQ(ceil_log2(2), 1);
  EXPECT_EQ(ceil_log2(3), 2);
  EXPECT_EQ(ceil_log2(4), 2);
  EXPECT_EQ(ceil_log2(5), 3);
  EXPECT_EQ(ceil_log2((std::uint64_t{1} << 62) + 1), 63);
  EXPECT_EQ(ceil_log2(std::uint64_t{1} << 63), 63);
}

template <class Divisor, class T>
void check(T d, T n) {
  const Divisor divisor(d);
  ASSERT_EQ(divisor.quotient(n), n / d) << n << " / " << d;
  ASSERT_EQ(divisor.remainder(n, n / d), n % d) << n << " % " << d;
}

// Where a wrong multiplier shows: around multiples of the divisor, the largest above all.
template <class Divisor, class T>
void check_around_multiples(T d, T last) {
  for (const T multiple : {T{0}, d, static_cast<T>(last / d / 2 * d), static_cast<T>(last / d * d)}) {
    for (const T step : {T{-1}, T{0}, T{1}}) {
      const bool overflows = step == 1 && multiple == last;
      if (!overflows && multiple + step >= 0) check<Divisor, T>(d, static_cast<T>(multiple + step));
    }
  }
  check<Divisor, T>(d, last);
}

TEST(CudaDivisor, Of32BitsDividesAllSmallNumbers) {
  for (std::int32_t d = 1; d <= 300; ++d) {
    for (std::int32_t n = 0; n <= 1000; ++n) check<Divisor32, std::int32_t>(d, n);
  }
}

TEST(CudaDivisor, Of32BitsDividesAroundMultiples) {
  constexpr std::int32_t kLast = std::numeric_limits<std::int32_t>::max();
  std::mt19937_64 random(1);
  for (std::int32_t d = 1; d < 70'000; ++d) check_around_multiples<Divisor32, std::int32_t>(d, kLast);
  for (int i = 0; i < 100'000; ++i) {
    check_around_multiples<Divisor32, std::int32_t>(1 + static_cast<std::int32_t>(random() % kLast), kLast);
  }
  check_around_multiples<Divisor32, std::int32_t>(kLast, kLast);
}

TEST(CudaDivisor, Of64BitsDividesAllSmallNumbers) {
  for (std::int64_t d = 1; d <= 300; ++d) {
    for (std::int64_t n = 0; n <= 1000; ++n) check<Divisor64, std::int64_t>(d, n);
  }
}

TEST(CudaDivisor, Of64BitsDividesAroundMultiples) {
  constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();
  std::mt19937_64 random(2);
  for (int bits = 1; bits < 63; ++bits) {
    for (const std::int64_t step : {-1, 0, 1}) {
      check_around_multiples<Divisor64, std::int64_t>((std::int64_t{1} << bits) + step, kLast);
    }
    for (int i = 0; i < 2000; ++i) {
      const auto d = 1 + static_cast<std::int64_t>(random() >> (64 - bits));
      check_around_multiples<Divisor64, std::int64_t>(d, kLast);
      check<Divisor64, std::int64_t>(d, static_cast<std::int64_t>(random() >> 1));
    }
  }
  check_around_multiples<Divisor64, std::int64_t>(kLast, kLast);
}

TEST(CudaDivisor, OfZeroKeepsItsValueForCounts) {
  EXPECT_EQ(Divisor32(0).divisor(), 0);
  EXPECT_EQ(Divisor64(0).divisor(), 0);
}

}  // namespace
}  // namespace rushlight::cuda
