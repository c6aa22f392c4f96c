// Which records make a checkpoint, and what the small ones may say (hostile-inputs Z28, Z33, Z44 to Z48).
#include "checkpoint/zip_container.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/test_source.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::checkpoint {
namespace {

using namespace std::string_view_literals;
using test::TestSource;
using test::TorchZip;

// What the container says of an archive, from a mapping and by reading, which must be the same.
struct Verdict {
  bool ok = false;
  ErrorCode code = ErrorCode::io;
  FormatInfo format;
  std::string text;  // the error, or the findings line by line: "warning zip ZIP-NO-VERSION version at 0x5: ..."
  std::unique_ptr<ZipContainer> container;
};

std::string line(const Finding& finding) {
  std::string text =
      std::string(to_string(finding.severity)) + " " + std::string(to_string(finding.category)) + " " + finding.code;
  if (finding.record) text += " " + *finding.record;
  return text + ": " + finding.message;
}

Verdict judge_once(const test::Bytes& bytes, const LoadOptions& options, TestSource::Access access) {
  Verdict verdict;
  std::vector<Finding> oddities;
  std::vector<Finding> findings;
  auto archive = zip::Archive::open(std::make_shared<TestSource>(bytes, access), {}, oddities).value();
  Result<std::unique_ptr<ZipContainer>> container =
      ZipContainer::open(std::move(archive), options, verdict.format, findings);
  if (!container) {
    verdict.code = container.error().code;
    verdict.text = line(container.error().finding);
    EXPECT_EQ(container.error().finding.file, "test.pt");
    return verdict;
  }
  verdict.ok = true;
  verdict.container = *std::move(container);
  for (const Finding& finding : findings) verdict.text += (verdict.text.empty() ? "" : "\n") + line(finding);
  return verdict;
}

Verdict judge(const test::Bytes& bytes, const LoadOptions& options = {}) {
  const Verdict read = judge_once(bytes, options, TestSource::Access::read_only);
  Verdict mapped = judge_once(bytes, options, TestSource::Access::mapped);
  EXPECT_EQ(read.text, mapped.text);
  EXPECT_EQ(read.ok, mapped.ok);
  return mapped;
}
Verdict judge(TorchZip& zip, const LoadOptions& options = {}) {
  return judge(zip.build(), options);
}

// So many bytes of a storage.
Result<std::shared_ptr<Memory>> memory_of(const Verdict& verdict, std::string_view key, std::uint64_t size_bytes = 4) {
  StorageRequest request;
  request.key = key;
  request.location = "cpu";
  request.numel = size_bytes;
  return verdict.container->memory(request, size_bytes);
}

// The usual records in a root of another name, but for those left out.
TorchZip zip_of(std::string root, std::vector<std::pair<std::string, std::string>> records) {
  TorchZip zip(std::move(root));
  for (const auto& [name, data] : records) zip.add(name, data);
  return zip;
}

TEST(ZipContainer, TheUsualFileHasNothingToSay) {
  TorchZip zip = test::base_zip();
  const Verdict verdict = judge(zip);
  ASSERT_TRUE(verdict.ok) << verdict.text;
  EXPECT_EQ(verdict.text, "");
  EXPECT_EQ(verdict.format.kind, FileKind::torch_zip);
  EXPECT_EQ(verdict.format.root, "base");
  EXPECT_EQ(verdict.format.version, 3);
  EXPECT_EQ(verdict.format.byteorder, "little");
  EXPECT_EQ(verdict.format.size_bytes, zip.places().size_bytes);
  EXPECT_EQ(verdict.container->data_offset(*verdict.container->pickle()), zip.place("data.pkl").data);
}

TEST(ZipContainer, OpeningReadsSmallRecordsAndNoStorage) {
  std::vector<Finding> findings;
  FormatInfo format;
  // The tail that finds the end records would cover a file of this size.
  TorchZip large = test::base_zip();
  large.add("data/2", test::repeated(200000, 1));
  const test::Bytes bytes = large.build();
  const auto source = std::make_shared<TestSource>(bytes, TestSource::Access::read_only);
  source->fail_within(large.place("data/0").local, large.place("data/1").descriptor_end);
  auto archive = zip::Archive::open(source, {}, findings).value();
  const auto container = ZipContainer::open(std::move(archive), {}, format, findings);
  ASSERT_TRUE(container) << to_string(container.error());
  ASSERT_TRUE((*container)->read_pickle(*(*container)->pickle()));
  EXPECT_LT(source->bytes_read(), 70000u);
}

TEST(ZipContainer, Z45_VersionsAreOneToTen) {
  for (const char* good : {"1", "3\n", "10\n", "2"}) {
    TorchZip zip = zip_of("base", {{"data.pkl", "N."}, {"version", good}});
    EXPECT_TRUE(judge(zip).ok) << good;
  }
  const std::pair<std::string_view, std::string_view> bad[] = {{"", ""},
                                                               {"-1", "-1"},
                                                               {"0", "0"},
                                                               {"11\n", "11"},
                                                               {"12345678901234567890123", "12345678901234567890123"},
                                                               {"3\0evil"sv, "3\\x00evil"},
                                                               {"3\n\n", "3\\n"},
                                                               {" 3", " 3"},
                                                               {"+3", "+3"},
                                                               {"0x3", "0x3"},
                                                               {"3.0", "3.0"},
                                                               {"x", "x"}};
  for (const auto& [text, shown] : bad) {
    TorchZip zip = zip_of("base", {{"data.pkl", "N."}, {"version", std::string(text)}});
    const Verdict verdict = judge(zip);
    EXPECT_EQ(verdict.code, ErrorCode::corrupt);
    EXPECT_EQ(verdict.text,
              "error zip ZIP-VERSION version: archive version is not one that exists, expected 1 to 10, "
              "found '" +
                  std::string(shown) + "'");
  }
  TorchZip huge = zip_of("base", {{"data.pkl", "N."}, {"version", std::string(1 << 20, '3')}});
  EXPECT_EQ(judge(huge).text,
            "error zip ZIP-TEXT-SIZE version: record is too long for what it is, expected at most 64 bytes, found "
            "1048576");
}

TEST(ZipContainer, Z45_TwoVersionRecordsMustAgree) {
  TorchZip same = zip_of("base", {{"data.pkl", "N."}, {"version", "3\n"}, {".data/version", "3\n"}});
  EXPECT_EQ(judge(same).text, "");
  TorchZip differ = zip_of("base", {{"data.pkl", "N."}, {"version", "3\n"}, {".data/version", "4\n"}});
  const Verdict verdict = judge(differ);
  EXPECT_EQ(verdict.code, ErrorCode::ambiguous);
  EXPECT_EQ(verdict.text,
            "error ambig ZIP-TWO-VERSIONS .data/version: records '.data/version' and 'version' differ: '4\\n' and "
            "'3\\n'");
  TorchZip other_place = zip_of("base", {{"data.pkl", "N."}, {".data/version", "10\n"}});
  EXPECT_EQ(judge(other_place).format.version, 10);
}

TEST(ZipContainer, Z45_AMissingVersionIsAWarning) {
  TorchZip zip = zip_of("base", {{"data.pkl", "N."}});
  const Verdict verdict = judge(zip);
  EXPECT_TRUE(verdict.ok);
  EXPECT_EQ(verdict.format.version, 0);
  EXPECT_EQ(verdict.text, "warning zip ZIP-NO-VERSION: there is no version record: torch.load refuses such a file");
}

TEST(ZipContainer, Z46_ByteordersAreTwoWords) {
  for (const auto& [text, shown] : {std::pair("LITTLE"sv, "LITTLE"sv), std::pair("little\n"sv, "little\\n"sv),
                                    std::pair("middle"sv, "middle"sv), std::pair(""sv, ""sv)}) {
    TorchZip zip = zip_of("base", {{"data.pkl", "N."}, {"byteorder", std::string(text)}, {"version", "3\n"}});
    const Verdict verdict = judge(zip);
    EXPECT_EQ(verdict.code, ErrorCode::corrupt);
    EXPECT_EQ(verdict.text,
              "error zip ZIP-BYTEORDER byteorder: byte order is unknown, expected 'little' or 'big', found '" +
                  std::string(shown) + "'");
  }
  TorchZip absent = zip_of("base", {{"data.pkl", "N."}, {"version", "3\n"}});
  EXPECT_EQ(judge(absent).format.byteorder, "little");
  TorchZip big = zip_of("base", {{"data.pkl", "N."}, {"byteorder", "big"}, {"version", "3\n"}});
  const Verdict verdict = judge(big);
  EXPECT_TRUE(verdict.ok) << verdict.text;
  EXPECT_EQ(verdict.format.byteorder, "big");
  EXPECT_EQ(verdict.text, "");
}

TEST(ZipContainer, StorageAlignmentIsANumber) {
  TorchZip zip = zip_of("base", {{"data.pkl", "N."}, {".storage_alignment", "4096"}, {"version", "3\n"}});
  EXPECT_EQ(judge(zip).format.storage_alignment, 4096u);
  for (const char* wrong : {"0", "", "64 ", "x"}) {
    TorchZip odd = zip_of("base", {{"data.pkl", "N."}, {".storage_alignment", wrong}, {"version", "3\n"}});
    const Verdict verdict = judge(odd);
    EXPECT_TRUE(verdict.ok);
    EXPECT_EQ(verdict.format.storage_alignment, 64u);
    EXPECT_EQ(verdict.text,
              "warning zip ZIP-ALIGNMENT .storage_alignment: storage alignment is no positive number, "
              "found '" +
                  std::string(wrong) + "'");
  }
}

TEST(ZipContainer, Z33_ForeignFoldersAreLeftOutWithAWarning) {
  TorchZip zip = test::base_zip();
  zip.add_full_name("__MACOSX/._base", as_byte_span("x"));
  zip.add_full_name("readme.txt", as_byte_span("x"));
  const Verdict verdict = judge(zip);
  EXPECT_TRUE(verdict.ok);
  EXPECT_EQ(verdict.text,
            "warning zip ZIP-FOREIGN-FOLDER __MACOSX/._base: 2 records lie outside the root folder 'base/', first "
            "'__MACOSX/._base'");
}

TEST(ZipContainer, Z33_RecordsMayLieInNoFolderOrInAFolderOfAFolder) {
  TorchZip none("");
  none.add_full_name("data.pkl", as_byte_span("N."));
  none.add_full_name("version", as_byte_span("3\n"));
  Verdict verdict = judge(none);
  EXPECT_TRUE(verdict.ok);
  EXPECT_EQ(verdict.format.root, "");
  EXPECT_EQ(verdict.text, "warning zip ZIP-NO-ROOT: records lie in no root folder: torch.load refuses such a file");

  TorchZip deep = zip_of("outer/model", {{"data.pkl", "N."}, {"version", "3\n"}});
  deep.add_full_name("outer/", {});
  verdict = judge(deep);
  EXPECT_TRUE(verdict.ok);
  EXPECT_EQ(verdict.format.root, "outer/model");
  EXPECT_EQ(
      verdict.text,
      "warning zip ZIP-DEEP-ROOT: the root folder 'outer/model' lies in another folder: torch.load refuses such a "
      "file");
}

TEST(ZipContainer, Z48_TwoPicklesAreAmbiguous) {
  TorchZip zip = test::base_zip();
  zip.add_full_name("other/data.pkl", as_byte_span("N."));
  Verdict verdict = judge(zip);
  EXPECT_EQ(verdict.code, ErrorCode::ambiguous);
  EXPECT_EQ(verdict.text,
            "error ambig ZIP-TWO-PICKLES other/data.pkl: 'base/data.pkl' and 'other/data.pkl' could both be the "
            "checkpoint's pickle");
  TorchZip top = test::base_zip();
  top.add_full_name("data.pkl", as_byte_span("N."));
  EXPECT_EQ(judge(top).code, ErrorCode::ambiguous);
  // One that lies deeper belongs to something inside the checkpoint.
  TorchZip inner = test::base_zip();
  inner.add("extra/data.pkl", "N.");
  EXPECT_TRUE(judge(inner).ok);
}

TEST(ZipContainer, Z48_ANonexistentPickleIsNamed) {
  TorchZip missing = zip_of("base", {{"data/0", "x"}, {"version", "3\n"}});
  Verdict verdict = judge(missing);
  EXPECT_EQ(verdict.code, ErrorCode::corrupt);
  EXPECT_EQ(verdict.text, "error zip ZIP-NO-PICKLE data.pkl: there is no record 'data.pkl' beside 'version'");
  TorchZip folder = zip_of("base", {{"data.pkl/", ""}, {"version", "3\n"}});
  EXPECT_EQ(judge(folder).text, "error zip ZIP-NO-PICKLE data.pkl: 'data.pkl' is a folder, expected a record");
  TorchZip empty("base");
  EXPECT_EQ(judge(empty).text, "error zip ZIP-NO-PICKLE: the archive is empty, expected a record 'data.pkl'");
}

TEST(ZipContainer, Z28_NamesInAnotherCaseAreFoundWithOneWarning) {
  TorchZip zip("BASE");
  zip.add("DATA.PKL", "N.").add("BYTEORDER", "little").add("DATA/0", test::repeated(4, 1)).add("VERSION", "3\n");
  const Verdict verdict = judge(zip);
  ASSERT_TRUE(verdict.ok) << verdict.text;
  EXPECT_EQ(verdict.format.root, "BASE");
  EXPECT_EQ(verdict.format.version, 3);
  EXPECT_EQ(verdict.text,
            "warning zip ZIP-NAME-CASE DATA.PKL: record names differ from torch's in upper and lower case, first "
            "'DATA.PKL'");
  EXPECT_TRUE(memory_of(verdict, "0"));
}

TEST(ZipContainer, S01_KeysAreExactInCaseToo) {
  TorchZip zip = zip_of("base", {{"data.pkl", "N."}, {"data/a", "1234"}, {"data/10", "1234"}, {"version", "3\n"}});
  const Verdict verdict = judge(zip);
  EXPECT_TRUE(memory_of(verdict, "a"));
  for (const char* key : {"A", "", "00", "+10", "0x10", "1", "10 ", "../data.pkl", "a/"}) {
    const auto missing = memory_of(verdict, key);
    ASSERT_FALSE(missing) << key;
    EXPECT_EQ(missing.error().finding.message,
              "storage '" + std::string(key) + "' has no record 'data/" + std::string(key) + "'");
    EXPECT_EQ(missing.error().finding.code, "STORE-MISSING");
    EXPECT_EQ(missing.error().finding.category, Category::store);
  }
  EXPECT_EQ(memory_of(verdict, "1").error().finding.hint, "the nearest records are data/a, data/10");
}

TEST(ZipContainer, T09_ARecordMustBeAsLongAsItsStorage) {
  TorchZip zip = test::base_zip();
  const Verdict verdict = judge(zip);
  EXPECT_TRUE(memory_of(verdict, "0", 32));
  for (const std::uint64_t size : {std::uint64_t{31}, std::uint64_t{33}, std::uint64_t{0}}) {
    const auto wrong = memory_of(verdict, "0", size);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().finding.message,
              "record 'data/0' does not fit its storage, expected " + std::to_string(size) + " bytes, found 32");
    EXPECT_EQ(wrong.error().finding.code, "STORE-SIZE");
  }
}

TEST(ZipContainer, S07_UnusedRecordsAreNoted) {
  TorchZip zip = test::base_zip();
  zip.add("data/99", "hidden")
      .add("notes.txt", "x")
      .add(".data/serialization_id", "1")
      .add(".rushlight/manifest.json", "{}");
  const Verdict verdict = judge(zip);
  ASSERT_TRUE(memory_of(verdict, "0", 32));
  std::vector<Finding> findings;
  verdict.container->report_unused(findings);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(line(findings[0]),
            "note ambig ZIP-UNUSED-RECORD data/1: 3 records belong to no tensor: 'data/1' (32 bytes), 'data/99' (6 "
            "bytes), 'notes.txt' (1 bytes)");
}

TEST(ZipContainer, TheTensorsFolderOfTorch14IsFound) {
  TorchZip zip = zip_of("base", {{"version", "1\n"}, {"data.pkl", "N."}, {"tensors/94081", "1234"}});
  const Verdict verdict = judge(zip);
  EXPECT_TRUE(memory_of(verdict, "94081"));
  EXPECT_EQ(verdict.format.torch, "1.4");
}

TEST(ZipContainer, RecordsTellWhichTorchWroteThem) {
  const std::pair<const char*, std::vector<std::pair<std::string, std::string>>> files[] = {
      {"1.4", {{"version", "1\n"}, {"data.pkl", "N."}, {"tensors/9", "x"}}},
      {"1.5", {{"version", "2\n"}, {"data.pkl", "N."}, {"data/9", "x"}}},
      {"1.13-2.0", {{"data.pkl", "N."}, {"data/0", "x"}, {"version", "3\n"}}},
      {"1.6-1.8", {{"data.pkl", "N."}, {"data/94081", "x"}, {"version", "3\n"}}},
      {"2.1-2.6", {{"data.pkl", "N."}, {"byteorder", "little"}, {"version", "3\n"}, {".data/serialization_id", "1"}}},
      {">=2.7",
       {{"data.pkl", "N."},
        {".format_version", "1"},
        {".storage_alignment", "64"},
        {"byteorder", "little"},
        {"version", "3\n"},
        {".data/serialization_id", "1"}}},
      {"", {{"data.pkl", "N."}, {"byteorder", "little"}, {"version", "3\n"}}},
  };
  for (const auto& [release, records] : files) {
    TorchZip zip = zip_of("base", records);
    EXPECT_EQ(judge(zip).format.torch, release);
  }
  TorchZip archive = zip_of("archive", {{"data.pkl", "N."}, {"data/0", "x"}, {"version", "3\n"}});
  EXPECT_EQ(judge(archive).format.torch, "1.9-2.0");
}

TEST(ZipContainer, Z44_F10_OtherKindsOfArchivesAreNamed) {
  struct Row {
    FileKind kind;
    const char* record;
    bool has_pickle;
  };
  constexpr Row kRows[] = {
      {FileKind::torchscript, "constants.pkl", true},
      {FileKind::torchscript, "model.json", false},
      {FileKind::torchscript_mobile, "bytecode.pkl", true},
      {FileKind::pt2, "archive_format", false},
      {FileKind::pt2, "serialized_exported_program.json", false},
      {FileKind::torch_package, ".data/extern_modules", false},
  };
  for (const Row& row : kRows) {
    TorchZip zip = test::base_zip();
    zip.add(row.record, "x");
    const Verdict verdict = judge(zip);
    EXPECT_EQ(verdict.format.kind, row.kind) << row.record;
    EXPECT_EQ(verdict.ok, row.has_pickle) << row.record;
    if (row.has_pickle) {
      EXPECT_EQ(verdict.container->pickle()->name, "base/data.pkl");
    } else {
      // torch.load would read this one.
      EXPECT_EQ(verdict.code, ErrorCode::ambiguous);
      EXPECT_EQ(verdict.text, "error ambig ZIP-TWO-KINDS base/data.pkl: 'base/data.pkl' and 'base/" +
                                  std::string(row.record) + "' belong to archives of two kinds");
    }
    TorchZip alone = zip_of("base", {{row.record, "x"}, {"version", "3\n"}});
    const Verdict without = judge(alone);
    EXPECT_EQ(without.format.kind, row.kind) << row.record;
    EXPECT_EQ(without.ok, !row.has_pickle) << row.record;
  }
}

TEST(ZipContainer, Z49_ZipFilesOfOthersAreNamed) {
  TorchZip npz("");
  npz.add_full_name("w.npy", as_byte_span("x"));
  Verdict verdict = judge(npz);
  EXPECT_EQ(verdict.format.kind, FileKind::npz);
  EXPECT_EQ(verdict.text,
            "error unsup KIND-UNSUPPORTED w.npy: the file is a NumPy .npz archive, which is not read here");
  TorchZip holder("");
  holder.add_full_name("weights/model.pth", as_byte_span("x"));
  verdict = judge(holder);
  EXPECT_EQ(verdict.code, ErrorCode::not_a_checkpoint);
  EXPECT_EQ(verdict.text,
            "error kind KIND-ZIP weights/model.pth: the file is a zip archive that holds other checkpoints, first "
            "'weights/model.pth'");
  TorchZip document("");
  document.add_full_name("[Content_Types].xml", as_byte_span("x"));
  EXPECT_EQ(judge(document).text,
            "error kind KIND-ZIP [Content_Types].xml: the file is a zip archive without 'data.pkl', so torch.save did "
            "not write it; its first record is '[Content_Types].xml'");
}

TEST(ZipContainer, P45_ThePickleHasALimitOfBytes) {
  TorchZip zip = test::base_zip();
  LoadOptions options;
  options.limits.pickle_bytes = 10;
  const Verdict verdict = judge(zip, options);
  ASSERT_TRUE(verdict.ok);
  const auto pickle = verdict.container->read_pickle(*verdict.container->pickle());
  ASSERT_FALSE(pickle);
  EXPECT_EQ(pickle.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(pickle.error().finding.code, "LIMIT-PICKLE-BYTES");
}

TEST(ZipContainer, Z42_ADamagedSmallRecordIsRefused) {
  for (const char* name : {"version", "byteorder"}) {
    TorchZip zip = test::base_zip();
    test::Bytes bytes = zip.build();
    bytes[zip.place(name).data] ^= std::byte{1};
    EXPECT_EQ(judge(bytes).code, ErrorCode::checksum_mismatch) << name;
    LoadOptions options;
    options.checksums = Checksums::ignore;
    EXPECT_NE(judge(bytes, options).code, ErrorCode::checksum_mismatch) << name;
  }
  TorchZip zip = test::base_zip();
  test::Bytes bytes = zip.build();
  bytes[zip.place("data.pkl").data + 9] ^= std::byte{1};
  const Verdict damaged = judge(bytes);
  EXPECT_EQ(damaged.container->read_pickle(*damaged.container->pickle()).error().code, ErrorCode::checksum_mismatch);
}

TEST(ZipContainer, CheckingAllAtOpenFindsDamageAnywhere) {
  TorchZip zip = test::base_zip();
  LoadOptions options;
  options.checksums = Checksums::all_at_open;
  Verdict verdict = judge(zip, options);
  ASSERT_TRUE(verdict.ok);
  EXPECT_EQ(memory_of(verdict, "0", 32).value()->integrity(), Integrity::verified);
  test::Bytes bytes = zip.build();
  bytes[zip.place("data/1").data] ^= std::byte{1};
  verdict = judge(bytes, options);
  EXPECT_EQ(verdict.code, ErrorCode::checksum_mismatch);
  EXPECT_TRUE(verdict.text.starts_with("error crc CRC-MISMATCH data/1: crc-32 mismatch, stored ")) << verdict.text;
}

}  // namespace
}  // namespace rushlight::checkpoint
