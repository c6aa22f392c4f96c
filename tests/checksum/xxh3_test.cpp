#include "checksum/xxh3.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#define XXH_INLINE_ALL  // the reference: compiled here, not the library's
#include <xxhash.h>

#include "base/cpu_features.hpp"

namespace rushlight::checksum {
namespace {

using std::string_view_literals::operator""sv;

std::string reference(ByteSpan bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return to_hex(std::as_bytes(std::span(canonical.digest)));
}

std::vector<std::byte> random_bytes(std::size_t count) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(Xxh3, PrintsAsXxhsumDoes) {
  // printf '' | xxhsum -H2; printf abc | xxhsum -H2
  EXPECT_EQ(to_hex(xxh3_128({})), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hex(xxh3_128(as_byte_span("abc"sv))), "06b05ab6733a618578af5f94892f3950");
}

TEST(Xxh3, EqualsTheReferenceAcrossItsLengthClasses) {
  // XXH3 has paths of its own at 0, 1-3, 4-8, 9-16, 17-128, 129-240 and beyond; blocks are 1,024 bytes.
  const std::vector<std::byte> bytes = random_bytes(5000);
  for (std::size_t length = 0; length < 2200; ++length) {
    const ByteSpan part = ByteSpan(bytes).subspan(length % 7, length);
    ASSERT_EQ(to_hex(xxh3_128(part)), reference(part)) << length;
  }
}

TEST(Xxh3Stream, EqualsTheWholeHoweverItIsCut) {
  const std::vector<std::byte> bytes = random_bytes(100'000);
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    Xxh3Stream stream;
    ByteSpan left = bytes;
    while (!left.empty()) {
      const std::size_t take = std::min<std::size_t>(left.size(), random() % (round < 25 ? 700 : 20'000));
      stream.update(left.first(take));
      left = left.subspan(take);
    }
    ASSERT_EQ(stream.digest(), xxh3_128(bytes));
  }
}

TEST(Xxh3Stream, TellsADigestOfWhatCameSoFarAndGoesOn) {
  Xxh3Stream stream;
  EXPECT_EQ(stream.digest(), xxh3_128({}));
  stream.update(as_byte_span("ab"sv));
  EXPECT_EQ(stream.digest(), xxh3_128(as_byte_span("ab"sv)));
  Xxh3Stream moved = std::move(stream);
  moved.update({});
  moved.update(as_byte_span("c"sv));
  EXPECT_EQ(moved.digest(), xxh3_128(as_byte_span("abc"sv)));
}

TEST(Xxh3, IsTheFastOne) {
  // The library's plain entry points are compiled for the baseline: 4 GB/s where the dispatched ones reach 33 to 80.
  if (xxh3_implementation() != "dispatched"sv) GTEST_SKIP() << "this libxxhash has no dispatched entry points";
  if (usable_isa() == Isa::baseline) GTEST_SKIP() << "this processor has no AVX2";
  const std::vector<std::byte> bytes = random_bytes(std::size_t{1} << 20);
  double best_gb_per_second = 0;
  for (int i = 0; i < 200 && best_gb_per_second < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Xxh3Digest digest = xxh3_128(bytes);
    Xxh3Stream stream;
    stream.update(bytes);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    ASSERT_EQ(digest, stream.digest());
    best_gb_per_second = std::max(best_gb_per_second, 2 * static_cast<double>(bytes.size()) / took.count());
  }
  EXPECT_GE(best_gb_per_second, 10);
}

TEST(ToHex, IsLowerCaseAndTwoDigitsAByte) {
  EXPECT_EQ(to_hex({}), "");
  EXPECT_EQ(to_hex(as_byte_span("\x00\x0a\xff"sv)), "000aff");
}

}  // namespace
}  // namespace rushlight::checksum
