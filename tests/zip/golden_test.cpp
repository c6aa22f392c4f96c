// Files that PyTorch and other writers made: every one of them is explained to its last byte, and torch's own are
// written again from their records, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/fail.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

Bytes contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return to_bytes(text);
}

// The golden files that begin like a zip archive, by their path below golden/. Sorted.
std::map<std::string, Bytes> golden_archives() {
  std::map<std::string, Bytes> found;
  const fs::path root = RUSHLIGHT_GOLDEN_DIR;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    Bytes bytes = contents(entry.path());
    if (!zip::has_signature(bytes, zip::LocalHeader::kSignature)) continue;
    found.emplace(fs::relative(entry.path(), root).generic_string(), std::move(bytes));
  }
  return found;
}

// Which of them are odd, and how. All others say nothing and are explained whole.
const std::map<std::string, std::string>& odd_archives() {
  static const std::map<std::string, std::string> odd = {
      {"format/container/crc_off.pt",
       "note crc CRC-NOT-COMPUTED crc_off/data.pkl at 0x40: no record has a crc-32, the field holds 0 everywhere: "
       "nothing says whether the bytes are right\n"},
      {"format/container/skip_data.pt",
       "warning crc CRC-NOT-COMPUTED skip_data/data/0 at 0x640: 11 records of 17 without a crc-32, the field holds 0: "
       "nothing says whether their bytes are right\n"},
      {"format/container/rezipped_directories.pt",
       "warning zip ZIP-DIRECTORIES at 0x6ba: archive lists 3 directories besides its records\n"},
      {"format/container/trailing_bytes.pt",
       "warning zip ZIP-TRAILING at 0x119b: 100 bytes behind the end of the archive\n"},
      {"format/quirks/trailing_64k.pt",
       "warning zip ZIP-TRAILING at 0xa17: 70000 bytes behind the end of the archive\n"},
      {"format/quirks/comment.pt", "warning zip ZIP-COMMENT at 0xa17: archive comment of 5 bytes\n"},
      {"format/quirks/crc_mismatch.pt",
       "crc CRC-MISMATCH q/data/0 at 0x3c0: crc-32 mismatch, stored 3f0328b7, computed 91087b23\n"},
      {"format/quirks/local_name.pt",
       "ambig ZIP-LOCAL-NAME q/data.pkl at 0x1e: local header names another record than the central directory, "
       "expected 'q/data.pkl', found 'Q/data.pkl'\n"},
      {"format/quirks/backslash.pt",
       "ambig ZIP-NAME q\\\\data.pkl at 0x767: record name 'q\\\\data.pkl' has a backslash, which some readers take "
       "for "
       "a slash\n"},
      {"format/quirks/duplicate_same.pt",
       "ambig ZIP-DUPLICATE q/data/0 at 0x920: record is listed twice, at 0x8ea and at 0x920: readers differ in which "
       "of them they take\n"},
      {"format/quirks/duplicate_other.pt",
       "ambig ZIP-DUPLICATE q/data/0 at 0x920: record is listed twice, at 0x8ea and at 0x920: readers differ in which "
       "of them they take\n"},
      {"format/quirks/encrypted_flag.pt", "unsup ZIP-FLAGS q/data/0 at 0x832: record is encrypted, flag bit 0x1\n"},
      {"format/quirks/truncated_1.pt",
       "trunc ZIP-TRUNCATED at 0xa16: end record missing: the file ends after 2582 bytes, behind the central "
       "directory, all 11 records before it are complete\n"},
      {"format/quirks/truncated_half.pt",
       "trunc ZIP-TRUNCATED at 0x50b: central directory missing: the file ends after 1291 bytes, in record 'q/data/2', "
       "the last complete record is 'q/data/1' (6 records in all)\n"},
      {"format/quirks/zip64_end_differs.pt",
       "ambig ZIP-END64-MISMATCH at 0xa11: end record and zip64 end record disagree on the directory's offset, "
       "expected 7, found 1848\n"},
      // Several archives in one file: the layer above opens each through a window.
      {"format/container/dcp/__0_0.distcp",
       "ambig ZIP-TWO-ENDS at 0x5ec6: two end records, at 0x5ec6 and at 0x64ef: readers differ in which of them they "
       "follow\n"},
      {"format/container/dcp_two_ranks/__0_0.distcp",
       "ambig ZIP-TWO-ENDS at 0x613: two end records, at 0x613 and at 0xc3c: readers differ in which of them they "
       "follow\n"},
      {"format/container/dcp_two_ranks/__1_0.distcp",
       "ambig ZIP-TWO-ENDS at 0x1752: two end records, at 0x1752 and at 0x1d7b: readers differ in which of them they "
       "follow\n"},
  };
  return odd;
}

TEST(ZipGolden, EveryArchiveIsExplainedToItsLastByteOrOddAsListed) {
  const auto archives = golden_archives();
  ASSERT_GT(archives.size(), 500);
  std::size_t odd = 0;
  for (const auto& [path, bytes] : archives) {
    const Verdict verdict = judge(bytes);
    const auto listed = odd_archives().find(path);
    if (listed != odd_archives().end()) {
      EXPECT_EQ(verdict.text(), listed->second) << path;
      odd += 1;
    } else {
      EXPECT_EQ(verdict.text(), "") << path;
      EXPECT_TRUE(verdict.fully_explained()) << path;
    }
  }
  EXPECT_EQ(odd, odd_archives().size());
}

TEST(ZipGolden, Z05_SixBytesBeforeTheArchiveAreOdd) {
  const Verdict verdict = judge(contents(RUSHLIGHT_GOLDEN_DIR "/format/quirks/leading_bytes.pt"));
  EXPECT_EQ(verdict.text(), "warning zip ZIP-PREFIX at 0x0: 6 bytes before the archive\n");
}

TEST(ZipGolden, ALocalHeaderWithoutSignatureIsNamed) {
  const Verdict verdict = judge(contents(RUSHLIGHT_GOLDEN_DIR "/format/quirks/local_signature.pt"));
  EXPECT_EQ(verdict.text(),
            "ambig ZIP-LOCAL-SIGNATURE q/data.pkl at 0x0: no local header where the central directory says one is\n");
}

// Archives that torch did not write, or that were damaged after it did.
bool is_torchs_own(const std::string& path) {
  static const std::vector<std::string> foreign = {
      "format/container/rezipped_stored.pt", "format/quirks/alignment_wrong.pt", "format/quirks/crc_mismatch.pt",
      "format/quirks/local_name.pt",         "format/quirks/no_zip64_end.pt",
  };
  return !path.ends_with(".npz") && std::find(foreign.begin(), foreign.end(), path) == foreign.end();
}

// An archive as torch's writer would write the same records at the same time.
Bytes rewritten(const zip::Archive& archive) {
  TorchZip zip;
  const auto alignment = std::find_if(archive.entries().begin(), archive.entries().end(), [](const zip::Entry& entry) {
    return entry.name.ends_with("/.storage_alignment");
  });
  if (alignment != archive.entries().end()) {
    auto text = archive.read(*alignment, 20);
    if (text) zip.alignment = std::stoull(std::string(as_text(text->span())));
  }
  for (const zip::Entry& entry : archive.entries()) {
    auto content = archive.read(entry, 1 << 30);
    if (!content) return {};
    zip.add_full_name(entry.name, content->span());
    const auto original = zip::decode<zip::LocalHeader>(archive.source()->mapping().subspan(entry.header_offset));
    RecordPlan& plan = zip.records().back();
    plan.local = [=](zip::LocalHeader& local) {  // 0 but for TorchScript archives up to 1.2
      local.time = original.time;
      local.date = original.date;
    };
    plan.central = [=, &entry](zip::CentralEntry& central) {
      central.time = original.time;
      central.date = original.date;
      if (entry.crc == 0) central.crc = 0;  // written without CRC
    };
    if (entry.crc == 0) plan.descriptor = [](zip::Descriptor64& descriptor) { descriptor.crc = 0; };
  }
  return zip.build();
}

TEST(ZipGolden, TorchFilesAreWrittenAgainByteForByteFromTheirRecords) {
  std::size_t equal = 0;
  std::string different;
  for (const auto& [path, bytes] : golden_archives()) {
    std::vector<Finding> oddities;
    auto archive = zip::Archive::open(Source::from_memory(bytes), {}, oddities);
    if (!archive || !oddities.empty()) continue;
    const auto entries = (*archive)->entries();
    const bool stored = std::all_of(entries.begin(), entries.end(),
                                    [](const zip::Entry& entry) { return entry.method == zip::Method::stored; });
    if (!stored || !is_torchs_own(path)) continue;
    if (rewritten(**archive) == bytes) {
      equal += 1;
    } else {
      different += path + "\n";
    }
  }
  EXPECT_EQ(different, "");
  EXPECT_GT(equal, 450);
}

}  // namespace
}  // namespace rushlight::test
