// Most mutants must be archives, or the fuzzer tests the container alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fuzz/mutators.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"

namespace rushlight::test {
namespace {

constexpr std::size_t kMaxSize = 65536;
constexpr unsigned kSeeds = 2000;

std::size_t flip_first_byte(std::uint8_t* data, std::size_t size, std::size_t /*max_size*/) {
  if (size > 0) data[0] ^= 1;
  return size;
}

std::size_t fill_all(std::uint8_t* data, std::size_t size, std::size_t max_size) {
  std::fill(data + size, data + max_size, std::uint8_t{'N'});
  return max_size;
}

Bytes mutant_of(const Bytes& bytes, std::size_t max_size, unsigned seed, PlainMutation mutate) {
  std::vector<std::uint8_t> buffer(max_size);
  std::transform(bytes.begin(), bytes.end(), buffer.begin(),
                 [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  const std::size_t size = mutate_checkpoint(buffer.data(), bytes.size(), max_size, seed, mutate);
  EXPECT_LE(size, max_size);
  const auto span = std::as_bytes(std::span(buffer).first(size));
  return {span.begin(), span.end()};
}

// What an audit says of an archive whose records can all be read; nothing for other bytes.
struct Sound {
  std::size_t records = 0;
  std::size_t mismatches = 0;
};
std::optional<Sound> sound(const Bytes& bytes) {
  std::vector<Finding> oddities;
  const auto archive = zip::Archive::open(std::make_shared<TestSource>(bytes), {}, oddities);
  if (!archive) return std::nullopt;
  const zip::Audit audit = (*archive)->audit(nullptr, nullptr).value();
  Sound found;
  for (const zip::RecordAudit& record : audit.records) {
    if (!record.crc) return std::nullopt;
    ++found.records;
    if (record.crc->state == zip::CrcState::mismatch) ++found.mismatches;
  }
  return found;
}

TEST(CheckpointMutator, HalfOfTheMutantsAreSoundArchives) {
  const Bytes base = base_zip().build();
  unsigned archives = 0;
  unsigned damaged = 0;
  unsigned shorter = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    // Plain mutation spoils the first local header: what is sound was written anew.
    const std::optional<Sound> mutant = sound(mutant_of(base, kMaxSize, seed, flip_first_byte));
    if (!mutant) continue;
    EXPECT_LE(mutant->mismatches, 1u);
    ++archives;
    damaged += mutant->mismatches > 0 ? 1 : 0;
    shorter += mutant->records == 4 ? 1 : 0;
  }
  EXPECT_GT(archives, kSeeds * 4 / 10);
  EXPECT_LT(archives, kSeeds * 6 / 10);
  EXPECT_GT(damaged, 0u);
  EXPECT_GT(shorter, 0u);
}

TEST(CheckpointMutator, DamageElsewhereStays) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  bytes[zip.place("data/1").data] ^= std::byte{1};
  unsigned kept = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const std::optional<Sound> mutant = sound(mutant_of(bytes, kMaxSize, seed, flip_first_byte));
    kept += mutant && mutant->mismatches > 0 ? 1 : 0;
  }
  EXPECT_GT(kept, kSeeds * 3 / 10);
}

TEST(CheckpointMutator, StaysWithinTheLargestSize) {
  const Bytes base = base_zip().build();
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    (void)mutant_of(base, base.size(), seed, fill_all);
    (void)mutant_of(base, base.size() + 100, seed, fill_all);
  }
}

TEST(CheckpointMutator, OtherBytesAreMutatedPlainly) {
  for (const Bytes& bytes : {Bytes(), to_bytes("x"), to_bytes("PK\x03\x04 no archive")}) {
    for (unsigned seed = 1; seed <= 16; ++seed) {
      Bytes expected = bytes;
      if (!expected.empty()) expected[0] ^= std::byte{1};
      EXPECT_EQ(mutant_of(bytes, kMaxSize, seed, flip_first_byte), expected);
    }
  }
}

}  // namespace
}  // namespace rushlight::test
