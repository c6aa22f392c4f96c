#include "checksum/crc32.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <random>
#include <string_view>
#include <vector>

#include "checksum/crc32_algebra.hpp"

namespace rushlight::checksum {
namespace {

using std::string_view_literals::operator""sv;

// By the definition, a bit at a time.
std::uint32_t crc32_by_bits(ByteSpan bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1 ^ 0xEDB88320U : crc >> 1;
  }
  return ~crc;
}

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Runs the indices backwards and counts them.
class CountingExecutor final : public Executor {
 public:
  explicit CountingExecutor(unsigned concurrency) : concurrency_(concurrency) {}
  [[nodiscard]] unsigned concurrency() const noexcept override { return concurrency_; }
  void run(std::size_t count, void (*task)(void*, std::size_t), void* context) noexcept override {
    ++jobs;
    tasks += count;
    while (count-- > 0) task(context, count);
  }
  std::size_t jobs = 0;
  std::size_t tasks = 0;

 private:
  unsigned concurrency_;
};

TEST(Crc32, OfTheCheckStringIsThePublishedValue) {
  EXPECT_EQ(crc32(as_byte_span("123456789"sv)), 0xCBF43926U);
  EXPECT_EQ(crc32({}), 0U);
  EXPECT_EQ(crc32(as_byte_span("\0"sv)), 0xD202EF8DU);
}

TEST(Crc32, EqualsTheDefinitionAtEverySmallLengthAndAlignment) {
  const std::vector<std::byte> bytes = random_bytes(400, 1);
  for (std::size_t start = 0; start < 17; ++start) {
    for (std::size_t length = 0; length < 300; ++length) {
      const ByteSpan part = ByteSpan(bytes).subspan(start, length);
      ASSERT_EQ(crc32(part), crc32_by_bits(part)) << start << " " << length;
    }
  }
}

TEST(Crc32, EqualsTheDefinitionOverAMebibyte) {
  const std::vector<std::byte> bytes = random_bytes((1 << 20) + 13, 2);
  EXPECT_EQ(crc32(bytes), crc32_by_bits(bytes));
}

TEST(Crc32, GoesOnWhereAnEarlierPieceEnded) {
  const std::vector<std::byte> bytes = random_bytes(1000, 3);
  const ByteSpan all = bytes;
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    ASSERT_EQ(crc32(all.subspan(cut), crc32(all.first(cut))), crc32(all)) << cut;
  }
}

TEST(Crc32, AnEmptyPieceChangesNothing) {
  const std::byte one{};
  EXPECT_EQ(crc32({}, 0x12345678U), 0x12345678U);
  EXPECT_EQ(crc32(ByteSpan(&one, 0), 0x12345678U), 0x12345678U);
}

TEST(Crc32, TheImplementationHasAName) {
  const std::string_view name = crc32_implementation();
  EXPECT_TRUE(name == "isa-l" || name == "libdeflate") << name;
}

TEST(Crc32Parallel, EqualsTheSerialOneAroundThePieceSize) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  const std::vector<std::byte> bytes = random_bytes(3 * kPiece + 5, 4);
  const std::unique_ptr<Executor> pool = make_thread_pool(3);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kPiece - 1, kPiece, kPiece + 1, 2 * kPiece, 3 * kPiece - 1, 3 * kPiece + 5}) {
    const ByteSpan part = ByteSpan(bytes).first(size);
    EXPECT_EQ(crc32_parallel(part, pool.get()), crc32(part)) << size;
    EXPECT_EQ(crc32_parallel(part, nullptr), crc32(part)) << size;
  }
}

TEST(Crc32Parallel, GivesEveryWholePieceToTheExecutor) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  const std::vector<std::byte> bytes = random_bytes(3 * kPiece + 5, 5);
  CountingExecutor several(4);
  EXPECT_EQ(crc32_parallel(bytes, &several), crc32(bytes));
  EXPECT_EQ(several.jobs, 1U);
  EXPECT_EQ(several.tasks, 3U);
  CountingExecutor one(1);
  EXPECT_EQ(crc32_parallel(bytes, &one), crc32(bytes));
  EXPECT_EQ(one.jobs, 0U);
}

TEST(Crc32Combine, EqualsTheCrcOfTheWholeAtEveryCut) {
  const std::vector<std::byte> bytes = random_bytes(700, 6);
  const ByteSpan all = bytes;
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    ASSERT_EQ(crc32_combine(crc32(all.first(cut)), crc32(all.subspan(cut)), all.size() - cut), crc32(all)) << cut;
  }
}

TEST(Crc32Combine, OfLongRunsOfZerosEqualsTheirCrc) {
  const std::vector<std::byte> zeros(std::size_t{3} << 20);
  EXPECT_EQ(crc32_combine(crc32(as_byte_span("head"sv)), crc32(zeros), zeros.size()),
            crc32(zeros, crc32(as_byte_span("head"sv))));
}

TEST(Crc32Combine, IsAssociativeAtLengthsBeyondAnyFile) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 1000; ++i) {
    const auto a = static_cast<std::uint32_t>(random());
    const auto b = static_cast<std::uint32_t>(random());
    const auto c = static_cast<std::uint32_t>(random());
    const std::uint64_t b_bytes = random() >> 2;
    const std::uint64_t c_bytes = random() >> 2;
    ASSERT_EQ(crc32_combine(crc32_combine(a, b, b_bytes), c, c_bytes),
              crc32_combine(a, crc32_combine(b, c, c_bytes), b_bytes + c_bytes));
  }
}

TEST(Crc32Algebra, XGeneratesTheWholeGroup) {
  EXPECT_EQ(power(kX, kOrderOfX), kOne);
  for (const std::uint64_t factor : {3U, 5U, 17U, 257U, 65537U}) EXPECT_NE(power(kX, kOrderOfX / factor), kOne);
}

TEST(Crc32Algebra, TimesXIsMultiplicationByX) {
  std::mt19937 random(8);
  for (int i = 0; i < 1000; ++i) {
    const auto a = static_cast<std::uint32_t>(random());
    ASSERT_EQ(times_x(a), multiply(a, kX));
    ASSERT_EQ(multiply(a, kOne), a);
    const auto b = static_cast<std::uint32_t>(random());
    ASSERT_EQ(multiply(a, b), multiply(b, a));
  }
}

TEST(Crc32Algebra, TheLogarithmUndoesThePower) {
  EXPECT_FALSE(logarithm_of(0));
  for (const std::uint32_t k : {0U, 1U, 2U, 31U, 32U, 65536U, 65537U, 0x7FFFFFFFU, 0xFFFFFFFDU, 0xFFFFFFFEU}) {
    EXPECT_EQ(logarithm_of(power_of_x(k)), k);
  }
  std::mt19937 random(9);
  for (int i = 0; i < 2000; ++i) {
    const std::uint32_t a = static_cast<std::uint32_t>(random()) | 1U;
    const std::optional<std::uint32_t> k = logarithm_of(a);
    ASSERT_TRUE(k);
    ASSERT_EQ(power_of_x(*k), a);
  }
}

TEST(LocateFlippedBit, FindsEveryBitOfEverySmallMessage) {
  for (std::size_t size = 1; size <= 40; ++size) {
    std::vector<std::byte> message = random_bytes(size, static_cast<unsigned>(size));
    const std::uint32_t good = crc32_by_bits(message);
    for (std::size_t byte = 0; byte < size; ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        const std::byte flip{static_cast<unsigned char>(1U << bit)};
        message[byte] ^= flip;
        const std::optional<BitPosition> found = locate_flipped_bit(good ^ crc32_by_bits(message), size);
        message[byte] ^= flip;
        ASSERT_TRUE(found) << size << " " << byte << " " << bit;
        ASSERT_EQ(found->byte, byte);
        ASSERT_EQ(found->bit, bit);
      }
    }
  }
}

// The difference a flipped bit makes, without the message: that of the byte it lies in, behind which `after` bytes
// follow that are the same in both.
std::uint32_t difference_of_a_flip(unsigned bit, std::uint64_t after) {
  const std::byte zero{};
  const std::byte flipped{static_cast<unsigned char>(1U << bit)};
  return crc32_combine(crc32_by_bits({&zero, 1}) ^ crc32_by_bits({&flipped, 1}), 0, after);
}

TEST(LocateFlippedBit, FindsBitsOfMessagesUpToHalfAGibibyte) {
  std::mt19937_64 random(10);
  constexpr std::uint64_t kMost = (std::uint64_t{1} << 29) - 1;
  for (int i = 0; i < 400; ++i) {
    const std::uint64_t size = i < 100 ? kMost : 1 + random() % kMost;
    const std::uint64_t byte = i == 0 ? 0 : i == 1 ? size - 1 : random() % size;
    const unsigned bit = static_cast<unsigned>(random() % 8);
    const std::optional<BitPosition> found = locate_flipped_bit(difference_of_a_flip(bit, size - 1 - byte), size);
    ASSERT_TRUE(found) << size << " " << byte << " " << bit;
    ASSERT_EQ(found->byte, byte);
    ASSERT_EQ(found->bit, bit);
  }
}

TEST(LocateFlippedBit, IsSilentWhereTheAnswerWouldNotBeUnique) {
  EXPECT_TRUE(locate_flipped_bit(difference_of_a_flip(0, 100), (std::uint64_t{1} << 29) - 1));
  EXPECT_FALSE(locate_flipped_bit(difference_of_a_flip(0, 100), std::uint64_t{1} << 29));
  EXPECT_FALSE(locate_flipped_bit(difference_of_a_flip(0, 100), ~std::uint64_t{0}));
}

TEST(LocateFlippedBit, IsSilentWithoutADifferenceAndWithoutAMessage) {
  EXPECT_FALSE(locate_flipped_bit(0, 100));
  EXPECT_FALSE(locate_flipped_bit(1, 0));
}

TEST(LocateFlippedBit, DoesNotPlaceABitBeyondTheMessage) {
  // The flip of a longer message's first bit is explained there, and nowhere in a shorter one.
  EXPECT_TRUE(locate_flipped_bit(difference_of_a_flip(3, 99), 100));
  EXPECT_FALSE(locate_flipped_bit(difference_of_a_flip(3, 99), 99));
  // Bits are read from the least significant on, so this one stands directly before the 99 bytes.
  EXPECT_FALSE(locate_flipped_bit(difference_of_a_flip(7, 99), 99));
  EXPECT_TRUE(locate_flipped_bit(difference_of_a_flip(7, 99), 100));
}

TEST(LocateFlippedBit, IsSilentAboutOtherDamageOfSmallRecords) {
  std::mt19937 random(11);
  std::vector<std::byte> message = random_bytes(4096, 12);
  const std::uint32_t good = crc32(message);
  int explained = 0;
  constexpr int kTrials = 3000;
  for (int i = 0; i < kTrials; ++i) {
    std::vector<std::byte> damaged = message;
    const std::size_t flips = 2 + random() % 5;
    for (std::size_t flip = 0; flip < flips; ++flip) {
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1U << random() % 8);
    }
    const std::uint32_t difference = good ^ crc32(damaged);
    if (difference != 0 && locate_flipped_bit(difference, damaged.size())) ++explained;
  }
  // By chance 4096 in 2^29, and now and then two flips hit the same bit and leave a single one.
  EXPECT_LE(explained, 3);
}

TEST(LocateFlippedBit, TakesLessThanFiveMilliseconds) {
  constexpr int kTimes = 20;
  const auto start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < kTimes; ++i) {
    ASSERT_TRUE(locate_flipped_bit(difference_of_a_flip(i % 8, 123'456'789 + i), (std::uint64_t{1} << 29) - 1));
  }
  const auto each = (std::chrono::steady_clock::now() - start) / kTimes;
  EXPECT_LT(each, std::chrono::milliseconds(5));
}

}  // namespace
}  // namespace rushlight::checksum
