// Z16 to Z39 of hostile-inputs 2b as far as the central directory decides: sizes, flags, methods, names, overlaps.
#include <gtest/gtest.h>

#include <array>

#include "base/fail.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

// A zip64 extra field of the given values.
Bytes zip64_field(const std::vector<std::uint64_t>& values) {
  return extra_field(zip::kExtraZip64, bytes_of(values));
}

TEST(ZipDirectory, Z16_ASaturatedFieldWithoutItsZip64TwinIsRefused) {
  for (const int field : {0, 1, 2}) {
    TorchZip zip = base_zip();
    zip.record("data/0").central = [=](zip::CentralEntry& entry) {
      (field == 0 ? entry.size_bytes : field == 1 ? entry.compressed_bytes : entry.header_offset) = 0xFFFFFFFF;
    };
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "zip ZIP-ZIP64 base/data/0 at " + hex(zip.place("data/0").central + 46 + 11) +
                        ": no zip64 extra field, though a field of the central entry refers to one\n");
  }
}

TEST(ZipDirectory, Z16_TwoZip64FieldsAreRefused) {
  TorchZip zip = base_zip();
  RecordPlan& record = zip.record("data/0");
  record.central = [](zip::CentralEntry& entry) { entry.size_bytes = 0xFFFFFFFF; };
  Bytes twice = zip64_field({32});
  const Bytes second = zip64_field({32});
  twice.insert(twice.end(), second.begin(), second.end());
  record.central_extra = twice;
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-ZIP64 base/data/0 at " + hex(zip.place("data/0").central + 46 + 11 + 12) +
                      ": second zip64 extra field in one central entry\n");
}

TEST(ZipDirectory, Z16_AZip64FieldHasExactlyTheLengthThatIsCalledFor) {
  for (const std::size_t length : {0u, 4u, 7u, 9u, 16u}) {
    TorchZip zip = base_zip();
    RecordPlan& record = zip.record("data/0");
    record.central = [](zip::CentralEntry& entry) { entry.size_bytes = 0xFFFFFFFF; };
    Bytes content(length);
    if (length >= 8) put<std::uint64_t>(content, 0, 32);
    record.central_extra = extra_field(zip::kExtraZip64, content);
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "zip ZIP-ZIP64 base/data/0 at " + hex(zip.place("data/0").central + 46 + 11 + 2) +
                        ": zip64 extra field (id 0x1) has a wrong length, expected 8, found " + std::to_string(length) +
                        "\n");
  }
  // A field that nothing refers to would be read by some and ignored by others.
  TorchZip zip = base_zip();
  zip.record("data/0").central_extra = zip64_field({32});
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-ZIP64 base/data/0 at " + hex(zip.place("data/0").central + 46 + 11 + 2) +
                      ": zip64 extra field (id 0x1) has a wrong length, expected 0, found 8\n");
}

TEST(ZipDirectory, Z16_AnExtraFieldThatOverrunsItsBlockIsRefused) {
  TorchZip zip = base_zip();
  Bytes overrun = extra_field(0x5455, to_bytes("12345"));
  put<std::uint16_t>(overrun, 2, 6);
  zip.record("data/0").central_extra = overrun;
  std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-EXTRA base/data/0 at " + hex(zip.place("data/0").central + 46 + 11) +
                      ": extra field does not fit its block, 9 bytes of 9 are left\n");
  zip.record("data/0").central_extra = repeated(3, 0);
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-EXTRA base/data/0 at " + hex(zip.place("data/0").central + 46 + 11) +
                      ": extra field does not fit its block, 3 bytes of 3 are left\n");
}

TEST(ZipDirectory, A08_ForeignExtraFieldsAreAccepted) {
  TorchZip zip = base_zip();
  Bytes extra = extra_field(0x5455, to_bytes("12345"));
  const Bytes owner = extra_field(0x7875, to_bytes("\x01\x04uid4\x04gid4"));
  extra.insert(extra.end(), owner.begin(), owner.end());
  zip.record("data/0").central_extra = extra;
  EXPECT_EQ(judge(zip.build()).text(), "");
}

TEST(ZipDirectory, Zip64FieldsWithSmallValuesAreRead) {
  TorchZip zip = base_zip();
  (void)zip.build();
  const std::uint64_t local = zip.place("data/0").local;
  RecordPlan& record = zip.record("data/0");
  record.central = [](zip::CentralEntry& entry) {
    entry.size_bytes = entry.compressed_bytes = entry.header_offset = 0xFFFFFFFF;
    entry.disk = 0xFFFF;
  };
  Bytes values = bytes_of(std::vector<std::uint64_t>{32, 32, local});
  values.resize(28);
  record.central_extra = extra_field(zip::kExtraZip64, values);
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.archive->find("base/data/0")->zip64);
  EXPECT_FALSE(verdict.archive->find("base/data/1")->zip64);
  EXPECT_EQ(verdict.archive->find("base/data/0")->size_bytes, 32);
  values[24] = std::byte{1};
  record.central_extra = extra_field(zip::kExtraZip64, values);
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK base/data/0 at " + hex(zip.place("data/0").central + 34) +
                      ": archive is spread over several files: the record lies on disk 1\n");
}

TEST(ZipDirectory, Z17_Z18_StoredSizesThatDifferAreRefusedWithBoth) {
  for (const std::uint64_t compressed : {0u, 8u, 33u}) {
    TorchZip zip = base_zip();
    RecordPlan& record = zip.record("data/0");
    record.central = [](zip::CentralEntry& entry) { entry.size_bytes = entry.compressed_bytes = 0xFFFFFFFF; };
    record.central_extra = zip64_field({32, compressed});
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "zip ZIP-STORED-SIZE base/data/0 at " + hex(zip.place("data/0").central + 20) +
                        ": stored sizes differ, " + std::to_string(compressed) +
                        " bytes in the file and 32 bytes of content\n");
  }
}

TEST(ZipDirectory, Z23_EncryptionPatchesAndReservedFlagsAreUnsupported) {
  struct Case {
    std::uint16_t flag;
    const char* said;
  };
  for (const Case& one :
       {Case{0x0001, "record is encrypted, flag bit 0x1"}, Case{0x0041, "record is encrypted, flag bit 0x1"},
        Case{0x0020, "record is a patch to another file, flag bit 0x20"},
        Case{0x0040, "record uses strong encryption, flag bit 0x40"},
        Case{0x2000, "record has masked headers, flag bit 0x2000"},
        Case{0x0010, "record sets a reserved flag, flag bit 0x10"},
        Case{0x8000, "record sets a reserved flag, flag bit 0x8000"}}) {
    TorchZip zip = base_zip();
    zip.record("data/0").central = [&](zip::CentralEntry& entry) {
      entry.flags = static_cast<std::uint16_t>(entry.flags | one.flag);
    };
    const Verdict verdict = judge(zip.build());
    EXPECT_EQ(verdict.text(),
              "unsup ZIP-FLAGS base/data/0 at " + hex(zip.place("data/0").central + 8) + ": " + one.said + "\n");
    EXPECT_EQ(verdict.code, ErrorCode::unsupported);
  }
}

TEST(ZipDirectory, Z24_OtherMethodsAreUnsupportedByNumberAndName) {
  struct Case {
    std::uint16_t method;
    const char* name;
  };
  for (const Case& one : {Case{1, "shrink"},    Case{2, "reduce"},       Case{6, "implode"},
                          Case{9, "deflate64"}, Case{10, "dcl implode"}, Case{12, "bzip2"},
                          Case{14, "lzma"},     Case{16, "cmpsc"},       Case{18, "terse"},
                          Case{19, "lz77"},     Case{20, "zstd"},        Case{93, "zstd"},
                          Case{94, "mp3"},      Case{95, "xz"},          Case{96, "jpeg"},
                          Case{97, "wavpack"},  Case{98, "ppmd"},        Case{99, "aes encryption"},
                          Case{7, "unknown"},   Case{0xFFFF, "unknown"}}) {
    TorchZip zip = base_zip();
    zip.record("data/0").central = [&](zip::CentralEntry& entry) { entry.method = one.method; };
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "unsup ZIP-METHOD base/data/0 at " + hex(zip.place("data/0").central + 10) +
                        ": compression method " + std::to_string(one.method) + " (" + one.name +
                        "), only stored and deflate are read\n");
  }
}

TEST(ZipDirectory, Z27_ARecordListedTwiceIsAmbiguous) {
  // The same entry twice.
  TorchZip zip = base_zip();
  zip.record("data/1").directory_copies = 2;
  std::string said = judge(zip.build()).text();
  std::uint64_t second = zip.place("data/1").central;
  const std::uint64_t entry_bytes = 46 + 11;
  EXPECT_EQ(said, "ambig ZIP-DUPLICATE base/data/1 at " + hex(second) + ": record is listed twice, at " +
                      hex(second - entry_bytes) + " and at " + hex(second) +
                      ": readers differ in which of them they take\n");
  // Two records of one name, of the same and of another size.
  for (const char* text : {"01234567890123456789012345678901", "short"}) {
    zip = base_zip();
    zip.add("data/0", text);
    const Bytes bytes = zip.build();
    said = judge(bytes).text();
    second = zip.places().records[5].central;
    EXPECT_EQ(said, "ambig ZIP-DUPLICATE base/data/0 at " + hex(second) + ": record is listed twice, at " +
                        hex(zip.places().records[2].central) + " and at " + hex(second) +
                        ": readers differ in which of them they take\n");
  }
}

TEST(ZipDirectory, Z28_Z29_NamesThatSomeReaderTakesForOneAreAmbiguous) {
  struct Case {
    const char* first;
    const char* second;
    const char* shown_first;
    const char* shown_second;
  };
  const std::vector<Case> cases = {
      {"data/x", "DATA/x", "base/data/x", "base/DATA/x"},
      {"data/x", "data/X", "base/data/x", "base/data/X"},
      {"data/x", "data/x.", "base/data/x", "base/data/x."},
      {"data/x", "data/x ", "base/data/x", "base/data/x "},
      {"data/x", "data. /x", "base/data/x", "base/data. /x"},
      {"x", "x/", "base/x", "base/x/"},
      // e acute: composed, and with a combining accent. n tilde under case too.
      {"\u00e9", "e\u0301", "base/\u00e9", "base/e\u0301"},
      {"\u00d1", "n\u0303", "base/\u00d1", "base/n\u0303"},
      // Two marks: composed in part, in either order.
      {"\u1e69", "s\u0323\u0307", "base/\u1e69", "base/s\u0323\u0307"},
      {"\u1e69", "s\u0307\u0323", "base/\u1e69", "base/s\u0307\u0323"},
      // Hangul with two and with three letters; a character that stands for another.
      {"\uac00", "\u1100\u1161", "base/\uac00", "base/\u1100\u1161"},
      {"\uac01", "\u1100\u1161\u11a8", "base/\uac01", "base/\u1100\u1161\u11a8"},
      {"\u212b", "\u00c5", "base/\u212b", "base/\u00c5"},
  };
  for (const Case& one : cases) {
    TorchZip zip = base_zip();
    zip.add(one.first, "");
    zip.add(one.second, "");
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "ambig ZIP-DUPLICATE " + std::string(one.shown_second) + " at " +
                        hex(zip.places().records[6].central) + ": record names '" + one.shown_first + "' at " +
                        hex(zip.places().records[5].central) + " and '" + one.shown_second + "' at " +
                        hex(zip.places().records[6].central) + " are one name to some readers\n");
  }
}

TEST(ZipDirectory, NamesThatOnlyLookAlikeAreTwo) {
  TorchZip zip = base_zip();
  zip.add("data/\u0430", "Cyrillic").add("data/a", "Latin").add("data/\u00e9", "acute").add("data/e", "plain");
  zip.add("data/.x", "")
      .add("data/x", "")
      .add("data/a b", "")
      .add("data/ab", "")
      .add("data/\uac00", "")
      .add("data/\uac01", "");
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_EQ(content(verdict, "base/data/\u0430"), "Cyrillic");
  EXPECT_EQ(content(verdict, "base/data/a"), "Latin");
}

TEST(ZipDirectory, Z28_ARecordIsFoundByItsExactNameAndOnRequestByAnotherCase) {
  TorchZip zip = base_zip();
  zip.add("DATA/X", "upper");
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_EQ(verdict.archive->find("base/data/x"), nullptr);
  EXPECT_EQ(verdict.archive->find("base/data/0 "), nullptr);
  EXPECT_EQ(verdict.archive->find(""), nullptr);
  ASSERT_NE(verdict.archive->find("base/DATA/X"), nullptr);
  EXPECT_EQ(verdict.archive->find_ignoring_case("Base/data/x"), verdict.archive->find("base/DATA/X"));
  EXPECT_EQ(verdict.archive->find_ignoring_case("base/data/y"), nullptr);
}

TEST(ZipDirectory, Z29_Z31_Z32_NamesThatLeaveTheirFolderOrMisleadAreRefused) {
  using namespace std::string_literals;
  struct Case {
    std::string name;
    std::string category;
    std::string shown;
    std::string what;
    std::uint64_t position;
  };
  const std::vector<Case> cases = {
      {"", "zip", "", "is empty", 0},
      {"../x", "zip", "../x", "leaves its folder by '..'", 0},
      {"base/../x", "zip", "base/../x", "leaves its folder by '..'", 5},
      {"base/..", "zip", "base/..", "leaves its folder by '..'", 5},
      {"/abs", "zip", "/abs", "is an absolute path", 0},
      {"/", "zip", "/", "is an absolute path", 0},
      {"C:x", "zip", "C:x", "begins with a drive letter", 0},
      {"c:/base/x", "zip", "c:/base/x", "begins with a drive letter", 0},
      {"base\\x", "ambig", "base\\\\x", "has a backslash, which some readers take for a slash", 4},
      {"./base/x", "ambig", "./base/x", "has the component '.'", 0},
      {"base/./x", "ambig", "base/./x", "has the component '.'", 5},
      {"base//x", "ambig", "base//x", "has an empty component", 5},
      {"base/a\0b"s, "zip", "base/a\\x00b", "has a control character", 6},
      {"base/\x1b[2J", "zip", "base/\\x1b[2J", "has a control character", 5},
      {"base/a\nb", "zip", "base/a\\nb", "has a control character", 6},
      {"base/\x7f", "zip", "base/\\x7f", "has a control character", 5},
      {"base/\xff", "zip", "base/\\xff", "is not UTF-8, though its flags say so", 0},
      {"base/\xed\xa0\x80", "zip", "base/\\ud800", "is not UTF-8, though its flags say so", 0},
  };
  for (const Case& one : cases) {
    TorchZip zip = base_zip();
    zip.add_full_name(one.name, as_byte_span("content"));
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, one.category + " ZIP-NAME " + (one.shown.empty() ? "" : one.shown + " ") + "at " +
                        hex(zip.places().records[5].central + 46 + one.position) + ": record name '" + one.shown +
                        "' " + one.what + "\n");
  }
}

TEST(ZipDirectory, Z31_ANameBeyondTheLimitIsRefusedAndPrintedCut) {
  TorchZip zip = base_zip();
  zip.add_full_name("base/" + std::string(506, 'n'), {});
  EXPECT_EQ(judge(zip.build()).text(), "");
  for (const std::size_t length : {512u, 65535u}) {
    zip = base_zip();
    zip.add_full_name("base/" + std::string(length - 5, 'n'), {});
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "limit LIMIT-RECORD-NAME-BYTES base/" + std::string(195, 'n') + "... at " +
                        hex(zip.places().records[5].central + 28) +
                        ": record name is longer than limits.record_name_bytes allows, expected at most 511 bytes, "
                        "found " +
                        std::to_string(length) + "\n");
  }
}

TEST(ZipDirectory, ANameThatIsNotAsciiAndDoesNotSayUtf8IsOdd) {
  for (const char* name : {"base/\u00e9", "base/\x82"}) {
    TorchZip zip = base_zip();
    zip.add_full_name(name, as_byte_span("x"));
    const auto plain = [](auto& header) { header.flags = zip::kFlagDescriptor; };
    zip.records()[5].local = plain;
    zip.records()[5].central = plain;
    const std::string said = judge(zip.build()).text();
    const std::string shown = name[5] == '\x82' ? "base/\\x82" : name;
    EXPECT_EQ(said, "warning zip ZIP-NAME-ENCODING " + shown + " at " + hex(zip.places().records[5].central + 46) +
                        ": record name '" + shown + "' is not ASCII and its flags do not say UTF-8\n");
  }
}

TEST(ZipDirectory, AUnicodePathFieldMayOnlyRepeatTheName) {
  TorchZip zip = base_zip();
  Bytes field = repeated(5, 1);
  const Bytes name = to_bytes("base/data/0");
  field.insert(field.end(), name.begin(), name.end());
  zip.record("data/0").central_extra = extra_field(zip::kExtraUnicodePath, field);
  EXPECT_EQ(judge(zip.build()).text(), "");
  field.back() = std::byte{'1'};
  zip.record("data/0").central_extra = extra_field(zip::kExtraUnicodePath, field);
  std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-NAME-UNICODE base/data/0 at " + hex(zip.place("data/0").central + 46 + 11) +
                      ": Unicode path extra field names another record, expected 'base/data/0', found 'base/data/1'\n");
  zip.record("data/0").central_extra = extra_field(zip::kExtraUnicodePath, repeated(3, 1));
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-NAME-UNICODE base/data/0 at " + hex(zip.place("data/0").central + 46 + 11) +
                      ": Unicode path extra field names another record, expected 'base/data/0', found ''\n");
}

TEST(ZipDirectory, Z32_LinksAndDevicesAreRefused) {
  struct Case {
    std::uint32_t mode;
    const char* what;
  };
  for (const Case& one : {Case{0120777, "a symbolic link"}, Case{0060600, "a block device"},
                          Case{0020600, "a character device"}, Case{0010600, "a FIFO"}, Case{0140600, "a socket"}}) {
    for (const unsigned host : {3u, 19u}) {
      TorchZip zip = base_zip();
      zip.record("data/0").central = [&](zip::CentralEntry& entry) {
        entry.made_by = static_cast<std::uint16_t>(host << 8 | 20);
        entry.external_attributes = one.mode << 16;
      };
      const std::string said = judge(zip.build()).text();
      EXPECT_EQ(said, "zip ZIP-FILE-TYPE base/data/0 at " + hex(zip.place("data/0").central + 38) + ": record is " +
                          one.what + ", not a regular file\n");
    }
  }
}

TEST(ZipDirectory, A08_RegularFilesOfUnixAreAccepted) {
  TorchZip zip = base_zip();
  zip.alignment = 0;  // another writer's file: no padding, so no word about what torch would write
  for (RecordPlan& record : zip.records()) {
    record.central = [](zip::CentralEntry& entry) {
      entry.made_by = 0x0314;
      entry.external_attributes = 0100644u << 16;
    };
  }
  EXPECT_EQ(judge(zip.build()).text(), "");
}

TEST(ZipDirectory, DirectoriesAreOddAndListed) {
  TorchZip zip("base");
  zip.add_full_name("base/", {}).add_full_name("base/data/", {}).add("data/0", "x");
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "warning zip ZIP-DIRECTORIES at " + hex(zip.places().records[0].central) +
                                ": archive lists 2 directories besides its records\n");
  EXPECT_TRUE(verdict.fully_explained());
  EXPECT_TRUE(verdict.archive->entries()[0].is_directory());
  EXPECT_FALSE(verdict.archive->entries()[2].is_directory());
}

TEST(ZipDirectory, ADirectoryWithContentIsAmbiguous) {
  TorchZip zip = base_zip();
  zip.add_full_name("base/folder/", as_byte_span("hidden"));
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-NAME base/folder/ at " + hex(zip.places().records[5].central + 46) +
                      ": record name 'base/folder/' ends in a slash like a directory, yet the record has 6 bytes\n");
}

TEST(ZipDirectory, Z34_TwoNamesForOneLocalHeaderOverlap) {
  TorchZip zip = base_zip();
  zip.add("data/2", zip.record("data/0").data);
  zip.record("data/2").in_file = false;
  zip.record("data/2").same_place_as = "data/0";
  const std::string said = judge(zip.build()).text();
  const std::uint64_t local = zip.place("data/0").local;
  EXPECT_EQ(said, "ambig ZIP-OVERLAP base/data/2 at " + hex(local) +
                      ": records overlap, 'base/data/0' takes at least [" + hex(local) + ", " +
                      hex(local + 30 + 11 + 32) + ") and 'base/data/2' begins at " + hex(local) + "\n");
}

TEST(ZipDirectory, Z34_ARecordWithinAnothersDataOverlaps) {
  // data/9's data is a whole record; a central entry points into it.
  TorchZip inner("base");
  inner.zip64_end = false;
  inner.add("data/8", "inner");
  Bytes record = inner.build();
  record.resize(inner.places().directory);
  TorchZip zip = base_zip();
  zip.add("data/9", record);
  zip.add("data/8", "inner");
  (void)zip.build();
  const std::uint64_t data = zip.place("data/9").data;
  zip.record("data/8").in_file = false;
  zip.record("data/8").central = [=](zip::CentralEntry& entry) {
    entry.header_offset = static_cast<std::uint32_t>(data);
  };
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-OVERLAP base/data/8 at " + hex(data) +
                      ": records overlap, 'base/data/9' takes at least [" + hex(zip.place("data/9").local) + ", " +
                      hex(zip.place("data/9").local + 30 + 11 + record.size()) + ") and 'base/data/8' begins at " +
                      hex(data) + "\n");
}

TEST(ZipDirectory, Z39_AnOverlapBombIsRefusedWithoutInflatingAnything) {
  // Fifield's construction: one kernel of deflated zeros, quoted by every record before it.
  TorchZip zip("bomb");
  zip.descriptors = false;
  zip.alignment = 0;
  zip.add("kernel", repeated(1 << 20, 0));
  zip.record("kernel").deflate = true;
  for (int i = 0; i < 200; ++i) {
    zip.add("f" + std::to_string(i), repeated(1 << 20, 0));
    RecordPlan& record = zip.records().back();
    record.deflate = true;
    record.in_file = false;
    record.same_place_as = "bomb/kernel";
  }
  const Bytes bytes = zip.build();
  EXPECT_LT(bytes.size(), 42000);
  const std::string said = judge(bytes).text();
  EXPECT_EQ(said.substr(0, 46), "ambig ZIP-OVERLAP bomb/f0 at 0x0: records over") << said;
}

TEST(ZipDirectory, Z35_ARecordThatReachesTheDirectoryOrBeyondIsRefused) {
  struct Case {
    std::function<void(zip::CentralEntry&)> change;
    std::uint64_t bytes;
    std::uint64_t offset;
  };
  TorchZip zip = base_zip();
  (void)zip.build();
  const ArchivePlaces good = zip.places();
  const std::uint64_t local = zip.place("version").local;
  const std::vector<Case> cases = {
      // data over the directory, over the end record, behind the end of the file
      {[](zip::CentralEntry& entry) { entry.size_bytes = entry.compressed_bytes = 300; }, 300, local},
      {[](zip::CentralEntry& entry) { entry.size_bytes = entry.compressed_bytes = 0xFFFFFFFE; }, 0xFFFFFFFE, local},
      {[&](zip::CentralEntry& entry) { entry.header_offset = static_cast<std::uint32_t>(good.directory); }, 2,
       good.directory},
      {[&](zip::CentralEntry& entry) { entry.header_offset = static_cast<std::uint32_t>(good.end); }, 2, good.end},
      {[&](zip::CentralEntry& entry) { entry.header_offset = static_cast<std::uint32_t>(good.size_bytes + 1); }, 2,
       good.size_bytes + 1},
      {[&](zip::CentralEntry& entry) { entry.header_offset = 0xFFFFFFFE; }, 2, 0xFFFFFFFE},
  };
  for (const Case& one : cases) {
    zip.record("version").central = one.change;
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, "zip ZIP-RECORD-RANGE base/version at " + hex(zip.place("version").central + 42) + ": record of " +
                        std::to_string(one.bytes) + " bytes at offset " + hex(one.offset) +
                        " does not end before the central directory at " + hex(good.directory) + "\n");
  }
  // 64-bit values that wrap around.
  RecordPlan& version = zip.record("version");
  version.central = [](zip::CentralEntry& entry) { entry.header_offset = 0xFFFFFFFF; };
  version.central_extra = zip64_field({~0ull - 10});
  std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-RECORD-RANGE base/version at " + hex(zip.place("version").central + 42) +
                      ": record of 2 bytes at offset 0xfffffffffffffff5 does not end before the central directory at " +
                      hex(zip.places().directory) + "\n");
  version.central = [](zip::CentralEntry& entry) { entry.size_bytes = entry.compressed_bytes = 0xFFFFFFFF; };
  version.central_extra = zip64_field({~0ull - 10, ~0ull - 10});
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-RECORD-RANGE base/version at " + hex(zip.place("version").central + 42) +
                      ": record of 18446744073709551605 bytes at offset " + hex(local) +
                      " does not end before the central directory at " + hex(zip.places().directory) + "\n");
}

TEST(ZipDirectory, Z38_ADeflatedSizeThatDeflateCannotReachIsRefusedUnseen) {
  TorchZip zip = base_zip();
  zip.add("data/2", repeated(1000, 0));
  RecordPlan& record = zip.record("data/2");
  record.deflate = true;
  const std::uint64_t compressed = deflated(record.data).size();
  record.central = [](zip::CentralEntry& entry) { entry.size_bytes = 0xFFFFFFFE; };
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-DEFLATE-SIZE base/data/2 at " + hex(zip.place("data/2").central + 24) + ": " +
                      std::to_string(compressed) +
                      " deflated bytes cannot become 4294967294, at most 1032 times as many\n");
}

TEST(ZipDirectory, AnEntryWithoutSignatureOrRoomIsRefused) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const std::uint64_t central = zip.place("data/0").central;
  put<std::uint16_t>(bytes, central, 0);
  EXPECT_EQ(judge(bytes).text(),
            "zip ZIP-CENTRAL-SIGNATURE at " + hex(central) + ": central entry 2 has no signature, " +
                std::to_string(zip.places().directory_end - central) + " bytes of the directory are left\n");
  bytes = zip.build();
  const std::uint64_t last = zip.place("version").central;
  put<std::uint16_t>(bytes, last + 32, 1);
  EXPECT_EQ(judge(bytes).text(), "zip ZIP-CENTRAL-SIZE at " + hex(last) +
                                     ": central entry 4 of 59 bytes runs past the end of the directory, 58 bytes are "
                                     "left\n");
  // A digital signature behind the last entry (APPNOTE 4.3.13) is no entry.
  zip.record("version").central_comment = std::string("PK\5\5\0\0", 6);
  zip.record("version").central = [](zip::CentralEntry& entry) { entry.comment_bytes = 0; };
  const std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-CENTRAL-SIGNATURE at " + hex(zip.place("version").central + 58) +
                      ": central entry 5 has no signature, 6 bytes of the directory are left\n");
}

TEST(ZipDirectory, CommentsOfEntriesAreAccepted) {
  TorchZip zip = base_zip();
  zip.record("data/0").central_comment = "a comment";
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
}

TEST(ZipDirectory, RecordsMayComeInAnyOrder) {
  // The directory lists them backwards: cut out and put together again.
  TorchZip forwards("base");
  forwards.add("a", "first").add("b", "second").add("c", "third");
  Bytes bytes = forwards.build();
  const std::uint64_t directory = forwards.places().directory;
  const std::size_t entry_bytes = 46 + 6;
  Bytes reversed(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(directory));
  for (const std::size_t i : {2u, 1u, 0u}) {
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(directory + i * entry_bytes);
    reversed.insert(reversed.end(), begin, begin + static_cast<std::ptrdiff_t>(entry_bytes));
  }
  reversed.insert(reversed.end(), bytes.begin() + static_cast<std::ptrdiff_t>(forwards.places().directory_end),
                  bytes.end());
  const Verdict verdict = judge(reversed);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
  EXPECT_EQ(verdict.archive->entries()[0].name, "base/c");
  EXPECT_EQ(content(verdict, "base/a"), "first");
  EXPECT_EQ(content(verdict, "base/c"), "third");
}

TEST(ZipDirectory, TheEntriesAreAsStored) {
  TorchZip zip = base_zip();
  const Verdict verdict = judge(zip.build());
  ASSERT_TRUE(verdict.opened());
  ASSERT_EQ(verdict.archive->entries().size(), 5);
  for (std::size_t i = 0; i < 5; ++i) {
    const zip::Entry& entry = verdict.archive->entries()[i];
    const RecordPlan& plan = zip.records()[i];
    EXPECT_EQ(entry.name, plan.name);
    EXPECT_EQ(entry.size_bytes, plan.data.size());
    EXPECT_EQ(entry.compressed_bytes, plan.data.size());
    EXPECT_EQ(entry.crc, plain_crc32(plan.data));
    EXPECT_EQ(entry.flags, 0x0808);
    EXPECT_EQ(entry.method, zip::Method::stored);
    EXPECT_EQ(entry.header_offset, zip.places().records[i].local);
    EXPECT_EQ(entry.directory_offset, zip.places().records[i].central);
    EXPECT_EQ(verdict.archive->find(plan.name), &entry);
  }
}

}  // namespace
}  // namespace rushlight::test
