// Mutants must be what they are meant to be, or the fuzzers test the outermost check alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checksum/crc32.hpp"
#include "fuzz/mutators.hpp"
#include "fuzz/packed_files.hpp"
#include "pickle/machine.hpp"
#include "support/legacy_builder.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;

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

Bytes mutant_of(const Bytes& bytes, std::size_t max_size, unsigned seed, PlainMutation mutate,
                decltype(&mutate_checkpoint) mutator = mutate_checkpoint) {
  std::vector<std::uint8_t> buffer(max_size);
  std::transform(bytes.begin(), bytes.end(), buffer.begin(),
                 [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  const std::size_t size = mutator(buffer.data(), bytes.size(), max_size, seed, mutate);
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

// --- pickles
// ----------------------------------------------------------------------------------------------------------

TEST(PickleMutator, MostMutantsAreOpcodesToTheEnd) {
  const Bytes base = base_pickle();
  unsigned whole = 0;
  std::set<std::string> different;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    // Plain mutation spoils the first opcode.
    const Bytes mutant = mutant_of(base, kMaxSize, seed, flip_first_byte, mutate_pickle);
    const auto text = pickle::disassemble(mutant);
    whole += text ? 1 : 0;
    if (text) different.insert(*text);
  }
  // A third is mutated plainly, and a few lose their STOP or get a length that lies.
  EXPECT_GT(whole, kSeeds / 2);
  EXPECT_GT(different.size(), kSeeds / 4);
}

TEST(PickleMutator, GoesOnBehindTheFirstPickleAndKeepsTheTail) {
  LegacyFile file;
  file.object.text("object").stop();
  const Bytes bytes = file.add("0", to_bytes("\xff storage"), 1).build();
  unsigned behind = 0;
  unsigned with_tail = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const Bytes mutant = mutant_of(bytes, kMaxSize, seed, flip_first_byte, mutate_pickle);
    const std::string text(as_text(mutant));
    behind += text.starts_with(as_text(file.magic.bytes())) && mutant != bytes ? 1 : 0;
    with_tail += text.ends_with("storage") ? 1 : 0;
  }
  EXPECT_GT(behind, kSeeds / 4);
  EXPECT_GT(with_tail, kSeeds / 2);
}

// --- the other containers
// ---------------------------------------------------------------------------------------------

TEST(HeaderMutator, TheLengthFitsTheText) {
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  Bytes bytes = bytes_of(std::vector<std::uint64_t>{header.size()});
  for (const char c : header + "x") bytes.push_back(static_cast<std::byte>(c));
  const auto grow = [](std::uint8_t* data, std::size_t size, std::size_t max_size) {
    if (size < max_size) data[size] = ' ';
    return std::min(size + 1, max_size);
  };
  unsigned fit = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const Bytes mutant = mutant_of(bytes, kMaxSize, seed, grow, mutate_header);
    fit += get<std::uint64_t>(mutant, 0) == header.size() + 1 ? 1 : 0;
  }
  EXPECT_GT(fit, kSeeds * 4 / 10);
}

TEST(TarMutator, HeadersFitTheirMembers) {
  TarFile tar;
  const Bytes bytes = tar.add("pickle", base_pickle()).add("storages", to_bytes("x")).build();
  unsigned fit = 0;
  unsigned different = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const Bytes mutant = mutant_of(bytes, kMaxSize, seed, flip_first_byte, mutate_tar);
    ASSERT_GE(mutant.size(), 512u);
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) {
      sum += i >= 148 && i < 156 ? unsigned{' '} : std::to_integer<unsigned>(mutant[i]);
    }
    fit += sum == std::stoul(std::string(as_text(mutant).substr(148, 6)), nullptr, 8) ? 1 : 0;
    different += mutant != bytes ? 1 : 0;
  }
  EXPECT_GT(fit, kSeeds * 4 / 10);
  EXPECT_GT(different, kSeeds / 2);
}

TEST(PackedFiles, ComeBackAsTheyWere) {
  const std::vector<PackedFile> files = {{"a", "one"}, {"", ""}, {"b", std::string(3000, 'x')}};
  const std::string packed = pack_files(files);
  EXPECT_EQ(unpack_files(as_byte_span(packed)), files);
  // Any bytes are some files.
  EXPECT_EQ(unpack_files(as_byte_span(std::string_view("\x05"
                                                       "ab"))),
            (std::vector<PackedFile>{{"ab", ""}}));
  EXPECT_EQ(unpack_files(as_byte_span(std::string_view("\x01"
                                                       "a\xff\xff"
                                                       "bc"))),
            (std::vector<PackedFile>{{"a", "bc"}}));
  EXPECT_TRUE(unpack_files({}).empty());
}

TEST(FilesMutator, ChangesOneFileAndLeavesTheOthers) {
  const std::vector<PackedFile> files = {{"index", "{}"}, {"shard", std::string(100, 's')}};
  const Bytes bytes = to_bytes(pack_files(files));
  unsigned one = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const auto mutant = unpack_files(mutant_of(bytes, kMaxSize, seed, flip_first_byte, mutate_files));
    if (mutant.size() == 2) one += (mutant[0] != files[0]) != (mutant[1] != files[1]) ? 1 : 0;
  }
  EXPECT_GT(one, kSeeds / 2);
}

// --- pictures
// ------------------------------------------------------------------------------------------------------

// A header and an end, with their checksums.
constexpr std::string_view kPngWithoutPixels(
    "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0\x3A\x7E\x9B\x55\0\0\0\0IEND\xAE\x42\x60\x82", 45);

TEST(PictureMutator, ChecksumsOfChunksAreMadeToFit) {
  const Bytes bytes = to_bytes(kPngWithoutPixels);
  unsigned right = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const Bytes mutant = mutant_of(bytes, kMaxSize, seed, flip_first_byte, mutate_picture);
    if (mutant == bytes || mutant.size() < 20) continue;
    const auto at = [&](std::size_t i) { return byte_swapped(load_le<std::uint32_t>(mutant.data() + i)); };
    const std::uint32_t size = at(8);
    if (mutant.size() < 20 + std::size_t{size}) continue;
    const std::uint32_t crc = checksum::crc32(ByteSpan(mutant).subspan(12, 4 + std::size_t{size}));
    right += crc == at(16 + std::size_t{size}) ? 1 : 0;
  }
  EXPECT_GT(right, kSeeds / 2);
}

TEST(PictureMutator, SegmentsAreMadeToFit) {
  const std::string jpeg =
      "\xFF\xD8\xFF\xE0\0\x04"
      "ab"
      "\xFF\xDA\0\x03"
      "s"
      "coded\xFF\xD9"s;
  unsigned ends = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const Bytes mutant = mutant_of(to_bytes(jpeg), kMaxSize, seed, flip_first_byte, mutate_picture);
    ends += as_text(mutant).starts_with("\xFF\xD8\xFF") && as_text(mutant).ends_with("\xFF\xD9") ? 1 : 0;
  }
  EXPECT_GT(ends, kSeeds / 2);
}

// --- all of them
// ------------------------------------------------------------------------------------------------------

TEST(Mutators, StayWithinTheLargestSize) {
  TarFile tar;
  const std::vector<Bytes> inputs = {base_zip().build(), base_pickle(), tar.add("pickle", base_pickle()).build(),
                                     to_bytes(pack_files({{"a", "b"}})), to_bytes(kPngWithoutPixels)};
  for (const auto mutator :
       {mutate_checkpoint, mutate_pickle, mutate_header, mutate_tar, mutate_files, mutate_picture, mutate_any}) {
    for (const Bytes& bytes : inputs) {
      for (unsigned seed = 1; seed <= kSeeds / 10; ++seed) {
        (void)mutant_of(bytes, bytes.size(), seed, fill_all, mutator);
        (void)mutant_of(bytes, bytes.size() + 100, seed, fill_all, mutator);
      }
    }
  }
}

TEST(Mutators, TakeAnyBytes) {
  for (const auto mutator :
       {mutate_checkpoint, mutate_pickle, mutate_header, mutate_tar, mutate_files, mutate_picture, mutate_any}) {
    for (const char* bytes : {"", "x", "\x93NUMPY", "\x93NUMPY\1\1\1\1\1\1\1", "12345678{", "\x80\2(", "PK\3\4",
                              "\x89PNG\r\n\x1A\n", "\xFF\xD8\xFF", "\xFF\xD8\xFF\xDA\x01\x02\x03\xFF"}) {
      for (unsigned seed = 1; seed <= 64; ++seed) (void)mutant_of(to_bytes(bytes), 64, seed, fill_all, mutator);
    }
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
