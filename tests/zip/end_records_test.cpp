// Z02 to Z14 of hostile-inputs 2b: where an archive ends, and which archive that is.
#include <gtest/gtest.h>

#include "base/fail.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

Bytes joined(const Bytes& a, const Bytes& b) {
  Bytes both = a;
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

TEST(ZipEndRecords, Z02_NothingAtAllIsNoArchive) {
  const Verdict verdict = judge({});
  EXPECT_EQ(verdict.text(), "kind ZIP-NONE at 0x0: file is empty\n");
  EXPECT_EQ(verdict.code, ErrorCode::not_a_checkpoint);
}

TEST(ZipEndRecords, Z02_OneToTwentyOneBytesAreTooFewWhateverTheyHold) {
  const Bytes good = base_zip().build();
  for (std::size_t size = 1; size < 22; ++size) {
    const std::string expected =
        "kind ZIP-NONE at 0x0: file is too short for a zip archive, expected at least 22 bytes, found " +
        std::to_string(size) + "\n";
    EXPECT_EQ(judge(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))).text(), expected);
    EXPECT_EQ(judge(repeated(size, 0)).text(), expected);
  }
}

TEST(ZipEndRecords, Z02_ZerosAreNamedAsAnInterruptedSave) {
  EXPECT_EQ(judge(repeated(22, 0)).text(), "kind ZIP-NONE at 0x0: all 22 bytes are zero\n");
  EXPECT_EQ(judge(repeated(4096, 0)).text(), "kind ZIP-NONE at 0x0: all 4096 bytes are zero\n");
}

TEST(ZipEndRecords, Z02_OtherBytesAreNoArchive) {
  EXPECT_EQ(judge(repeated(300, 'x')).text(), "kind ZIP-NONE at 0x0: no end record in 300 bytes: not a zip archive\n");
  // Beyond the usual reach too, where the search goes on backwards.
  EXPECT_EQ(judge(repeated(3 << 20, 'x')).text(),
            "kind ZIP-NONE at 0x0: no end record in 3145728 bytes: not a zip archive\n");
}

TEST(ZipEndRecords, AnEmptyArchiveHasNoRecordsAndNoOddities) {
  TorchZip zip;
  const Verdict with_zip64 = judge(zip.build());
  EXPECT_EQ(with_zip64.text(), "");
  EXPECT_TRUE(with_zip64.fully_explained());
  zip.zip64_end = false;
  const Verdict without = judge(zip.build());
  EXPECT_EQ(without.text(), "");
  EXPECT_EQ(without.explained_bytes, 22);
  EXPECT_TRUE(without.archive->entries().empty());
  EXPECT_EQ(without.archive->find("base/data.pkl"), nullptr);
}

TEST(ZipEndRecords, A06_AMissingZip64EndRecordIsAnOrdinaryZipFile) {
  TorchZip zip = base_zip();
  zip.zip64_end = false;
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
}

TEST(ZipEndRecords, Z03_BytesBehindTheArchiveAreOddWhereverTheirEndIs) {
  TorchZip zip = base_zip();
  const Bytes good = zip.build();
  for (const std::size_t count : {1u, 2u, 21u, 22u, 23u, 100u, 65535u, 65536u, 70000u, 1u << 20, 3u << 20, 16u << 20}) {
    for (const char value : {'\0', 'P'}) {
      zip.trailing = repeated(count, static_cast<std::uint8_t>(value));
      const Verdict verdict = judge(zip.build());
      EXPECT_EQ(verdict.text(), "warning zip ZIP-TRAILING at " + hex(good.size()) + ": " + std::to_string(count) +
                                    (count == 1 ? " byte" : " bytes") + " behind the end of the archive\n");
      EXPECT_EQ(verdict.explained_bytes, good.size()) << count;
    }
  }
}

TEST(ZipEndRecords, Z03_TheSearchForAnEndRecordIsBounded) {
  TorchZip zip = base_zip();
  zip.trailing = repeated((16 << 20) + 66000, 0);
  EXPECT_EQ(judge(zip.build()).code, ErrorCode::truncated);
}

TEST(ZipEndRecords, Z03_BytesBehindTheArchiveThatLookLikeAnEndRecordByChanceAreSkipped) {
  std::string said;
  TorchZip zip = base_zip();
  // Four bytes of an end record and 22 that are none.
  zip.trailing = joined(to_bytes("PK\5\6"), repeated(100, 0x41));
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "warning zip ZIP-TRAILING at " + hex(zip.places().end + 22) +
                      ": 104 bytes behind the end of the archive\n");
  // Many of them: the search stays linear.
  zip.trailing.clear();
  while (zip.trailing.size() < 300000) zip.trailing = joined(zip.trailing, to_bytes("PK\5\6\x01\x02\x03\x04"));
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.code, ErrorCode::truncated) << verdict.text();
}

TEST(ZipEndRecords, AnArchiveCommentIsOddAndExplained) {
  TorchZip zip = base_zip();
  zip.comment = "hello";
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(),
            "warning zip ZIP-COMMENT at " + hex(zip.places().end + 22) + ": archive comment of 5 bytes\n");
  EXPECT_TRUE(verdict.fully_explained());
  zip.comment = std::string(65535, 'c');
  EXPECT_TRUE(judge(zip.build()).fully_explained());
}

TEST(ZipEndRecords, Z05_BytesBeforeTheArchiveAreOddWhenTheOffsetsAgree) {
  for (const std::size_t count : {std::size_t{4}, std::size_t{64}, std::size_t{1} << 20}) {
    TorchZip zip = base_zip();
    const std::size_t good_bytes = zip.build().size();
    zip.prefix = repeated(count, 'p');
    const std::string said = std::to_string(count) + " bytes before the archive";
    const Verdict moved = judge(zip.build());
    EXPECT_EQ(moved.text(), "warning zip ZIP-PREFIX at 0x0: " + said + "\n");
    EXPECT_EQ(moved.explained_bytes, good_bytes);
    EXPECT_EQ(moved.archive->find("base/version")->header_offset, zip.place("version").local);
    EXPECT_EQ(content(moved, "base/version"), "3\n");

    zip.prefix_in_offsets = true;
    const Verdict counted = judge(zip.build());
    EXPECT_EQ(counted.text(), "warning zip ZIP-PREFIX at 0x0: " + said + ", counted by its offsets\n");
    EXPECT_EQ(content(counted, "base/version"), "3\n");
  }
}

TEST(ZipEndRecords, Z05_ThePrefixIsFoundWithoutZip64EndRecordToo) {
  TorchZip zip = base_zip();
  zip.zip64_end = false;
  zip.prefix = repeated(6, 1);
  EXPECT_EQ(judge(zip.build()).text(), "warning zip ZIP-PREFIX at 0x0: 6 bytes before the archive\n");
}

TEST(ZipEndRecords, Z05_AMovedArchiveWhoseLocatorDidNotMoveAlikeIsAmbiguous) {
  TorchZip zip = base_zip();
  zip.prefix = repeated(64, 'p');
  zip.locator = [](zip::End64Locator& locator) { locator.end64_offset += 64; };
  const Bytes bytes = zip.build();
  EXPECT_EQ(judge(bytes).text(), "ambig ZIP-END64-LOCATOR at " + hex(zip.places().locator + 8) +
                                     ": zip64 locator points beside the zip64 end record, expected " +
                                     hex(zip.places().end64 - 64) + ", found " + hex(zip.places().end64) + "\n");
}

TEST(ZipEndRecords, Z05_ASignatureInThePrefixThatLeadsNowhereIsNoSecondArchive) {
  // Self-extracting programs hold the signatures they look for.
  TorchZip zip = base_zip();
  zip.prefix = joined(to_bytes("program PK\5\6, PK\5\6"), repeated(100, 0x41));
  EXPECT_EQ(judge(zip.build()).text(), "warning zip ZIP-PREFIX at 0x0: 118 bytes before the archive\n");
}

TEST(ZipEndRecords, Z06_TwoArchivesBehindEachOtherAreAmbiguous) {
  std::string said;
  TorchZip zip = base_zip();
  const Bytes good = zip.build();
  const std::uint64_t end = zip.places().end;
  EXPECT_EQ(judge(joined(good, good)).text(), "ambig ZIP-TWO-ENDS at " + hex(end) + ": two end records, at " +
                                                  hex(end) + " and at " + hex(good.size() + end) +
                                                  ": readers differ in which of them they follow\n");
  // Also when the offsets of the second count from the start of the file.
  zip.prefix = good;
  zip.prefix_in_offsets = true;
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-TWO-ENDS at " + hex(end) + ": two end records, at " + hex(end) + " and at " +
                      hex(zip.places().end) + ": readers differ in which of them they follow\n");
  // And when the first of the two is empty.
  TorchZip empty;
  empty.zip64_end = false;
  EXPECT_EQ(judge(joined(empty.build(), good)).text(), "ambig ZIP-TWO-ENDS at 0x0: two end records, at 0x0 and at " +
                                                           hex(22 + end) +
                                                           ": readers differ in which of them they follow\n");
}

TEST(ZipEndRecords, AnArchiveWithinARecordOfAnotherIsNoSecondArchive) {
  const Bytes inner = base_zip().build();
  TorchZip zip = base_zip();
  zip.add("data/weights/model.pt", inner);
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_EQ(content(verdict, "base/data/weights/model.pt"), as_text(inner));
}

TEST(ZipEndRecords, ACutArchiveThatHoldsAWholeOneIsNotMistakenForIt) {
  const Bytes inner = base_zip().build();
  TorchZip zip = base_zip();
  zip.add("data/weights/model.pt", inner);
  Bytes bytes = zip.build();
  bytes.resize(zip.place("data/weights/model.pt").data_end);
  EXPECT_EQ(judge(bytes).text(), "trunc ZIP-TRUNCATED at " + hex(bytes.size()) +
                                     ": central directory missing: the file ends after " +
                                     std::to_string(bytes.size()) +
                                     " bytes, in record 'base/data/weights/model.pt', the last complete record is "
                                     "'base/version' (5 records in all)\n");
}

TEST(ZipEndRecords, Z07_AnEndRecordWithinTheCommentIsAmbiguous) {
  TorchZip hidden;
  hidden.zip64_end = false;
  const Bytes empty_end = hidden.build();
  TorchZip zip = base_zip();
  zip.comment = std::string(as_text(empty_end));
  Bytes bytes = zip.build();
  const std::uint64_t end = zip.places().end;
  const std::string both = "ambig ZIP-TWO-ENDS at " + hex(end) + ": two end records, at " + hex(end) + " and at " +
                           hex(end + 22) + ": readers differ in which of them they follow\n";
  EXPECT_EQ(judge(bytes).text(), both);

  // The second one may describe the very same directory.
  TorchZip same = base_zip();
  same.zip64_end = false;
  const Bytes good = same.build();
  same.comment = std::string(as_text(ByteSpan(good).subspan(same.places().end)));
  bytes = same.build();
  EXPECT_EQ(judge(bytes).text(), "ambig ZIP-TWO-ENDS at " + hex(same.places().end) + ": two end records, at " +
                                     hex(same.places().end) + " and at " + hex(same.places().end + 22) +
                                     ": readers differ in which of them they follow\n");

  // Or be broken: a reader that looks for the last signature stumbles, others do not.
  zip.comment = std::string("PK\5\6", 4) + std::string(18, '\0');
  zip.comment[16] = '\x7f';
  bytes = zip.build();
  EXPECT_EQ(judge(bytes).text(), both);
}

TEST(ZipEndRecords, Z08_ACommentThatIsTooLongForTheFileIsRefused) {
  std::string said;
  TorchZip zip = base_zip();
  zip.comment = "four";
  zip.end = [](zip::EndRecord& end) { end.comment_bytes = 5; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-COMMENT-SIZE at " + hex(zip.places().end + 20) +
                      ": archive comment of 5 bytes does not fit, 4 bytes are left\n");
  zip.comment.clear();
  zip.end = [](zip::EndRecord& end) { end.comment_bytes = 0xFFFF; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-COMMENT-SIZE at " + hex(zip.places().end + 20) +
                      ": archive comment of 65535 bytes does not fit, 0 bytes are left\n");
}

TEST(ZipEndRecords, Z08_ACommentThatIsTooShortLeavesBytesBehindTheArchive) {
  std::string said;
  TorchZip zip = base_zip();
  zip.comment = "four";
  zip.end = [](zip::EndRecord& end) { end.comment_bytes = 3; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "warning zip ZIP-COMMENT at " + hex(zip.places().end + 22) + ": archive comment of 3 bytes\n" +
                      "warning zip ZIP-TRAILING at " + hex(zip.places().end + 25) +
                      ": 1 byte behind the end of the archive\n");
}

TEST(ZipEndRecords, Z10_AMiscountIsRefusedWithBothCounts) {
  for (const bool zip64 : {true, false}) {
    for (const int wrong : {-1, +1, -5}) {
      TorchZip zip = base_zip();
      zip.zip64_end = zip64;
      zip.end64 = [&](zip::End64Record& end) {
        end.entries = end.entries_on_disk = static_cast<std::uint64_t>(5 + wrong);
      };
      zip.end = [&](zip::EndRecord& end) { end.entries = end.entries_on_disk = static_cast<std::uint16_t>(5 + wrong); };
      const Bytes bytes = zip.build();
      const std::uint64_t field = zip64 ? zip.places().end64 + 32 : zip.places().end + 10;
      EXPECT_EQ(judge(bytes).text(),
                "zip ZIP-END-COUNT at " + hex(field) +
                    ": end record miscounts the records of the central directory, expected 5, found " +
                    std::to_string(5 + wrong) + "\n");
    }
  }
}

TEST(ZipEndRecords, Z10_ASaturatedCountWithoutZip64IsTheCountItSays) {
  std::string said;
  TorchZip zip = base_zip();
  zip.zip64_end = false;
  zip.end = [](zip::EndRecord& end) { end.entries = end.entries_on_disk = 0xFFFF; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-END-COUNT at " + hex(zip.places().end + 10) +
                      ": end record counts 65535 records, too many for a directory of " +
                      std::to_string(zip.places().directory_end - zip.places().directory) + " bytes\n");
}

TEST(ZipEndRecords, Z11_AbsurdCountsAndSizesAreRefusedBeforeAnythingIsAllocated) {
  const auto with = [](std::function<void(zip::End64Record&)> change) {
    TorchZip zip = base_zip();
    zip.end64 = std::move(change);
    zip.end = [](zip::EndRecord& end) {
      end.entries = end.entries_on_disk = 0xFFFF;
      end.directory_bytes = end.directory_offset = 0xFFFFFFFF;
    };
    const Bytes bytes = zip.build();
    return std::pair(judge(bytes).text(), zip.places());
  };
  auto [said, places] = with([](zip::End64Record& end) { end.entries = end.entries_on_disk = 1ull << 32; });
  EXPECT_EQ(said, "limit LIMIT-ARCHIVE-ENTRIES at " + hex(places.end64 + 32) +
                      ": archive declares more records than limits.archive_entries allows, expected at most 1048576, "
                      "found 4294967296\n");
  std::tie(said, places) = with([](zip::End64Record& end) { end.entries = end.entries_on_disk = 1ull << 63; });
  EXPECT_EQ(said, "limit LIMIT-ARCHIVE-ENTRIES at " + hex(places.end64 + 32) +
                      ": archive declares more records than limits.archive_entries allows, expected at most 1048576, "
                      "found 9223372036854775808\n");
  std::tie(said, places) = with([](zip::End64Record& end) { end.entries = end.entries_on_disk = 1 << 20; });
  EXPECT_EQ(said, "zip ZIP-END-COUNT at " + hex(places.end64 + 32) +
                      ": end record counts 1048576 records, too many for a directory of " +
                      std::to_string(places.directory_end - places.directory) + " bytes\n");
  std::tie(said, places) = with([](zip::End64Record& end) { end.directory_bytes = 1ull << 63; });
  EXPECT_EQ(said, "zip ZIP-DIRECTORY-RANGE at " + hex(places.end64 + 40) +
                      ": central directory of 9223372036854775808 bytes at offset " + std::to_string(places.directory) +
                      " does not fit before the end record of a file of " + std::to_string(places.size_bytes) +
                      " bytes\n");
  std::tie(said, places) = with([](zip::End64Record& end) {
    end.directory_bytes = ~0ull - 10;
    end.directory_offset = 100;
  });
  EXPECT_EQ(said, "zip ZIP-DIRECTORY-RANGE at " + hex(places.end64 + 40) +
                      ": central directory of 18446744073709551605 bytes at offset 100 does not fit before the end "
                      "record of a file of " +
                      std::to_string(places.size_bytes) + " bytes\n");
  std::tie(said, places) = with([](zip::End64Record& end) { end.directory_offset = ~0ull; });
  EXPECT_EQ(said, "zip ZIP-DIRECTORY-RANGE at " + hex(places.end64 + 40) + ": central directory of " +
                      std::to_string(places.directory_end - places.directory) +
                      " bytes at offset 18446744073709551615 does not fit before the end record of a file of " +
                      std::to_string(places.size_bytes) + " bytes\n");
}

TEST(ZipEndRecords, Z12_EndRecordsThatDisagreeAreAmbiguous) {
  struct Case {
    std::function<void(zip::EndRecord&)> change;
    std::uint64_t field;
    std::string what;
  };
  std::string said;
  TorchZip zip = base_zip();
  (void)zip.build();
  const std::uint64_t directory_bytes = zip.places().directory_end - zip.places().directory;
  const std::uint64_t directory = zip.places().directory;
  const std::vector<Case> cases = {
      {[](zip::EndRecord& end) { end.entries = end.entries_on_disk = 4; }, 8,
       "the number of records on this disk, expected 5, found 4"},
      {[](zip::EndRecord& end) { end.directory_bytes -= 46; }, 12,
       "the directory's size, expected " + std::to_string(directory_bytes) + ", found " +
           std::to_string(directory_bytes - 46)},
      {[](zip::EndRecord& end) { end.directory_offset += 1; }, 16,
       "the directory's offset, expected " + std::to_string(directory) + ", found " + std::to_string(directory + 1)},
      {[](zip::EndRecord& end) { end.disk = 1; }, 4, "the disk number, expected 0, found 1"},
      {[](zip::EndRecord& end) { end.directory_disk = 1; }, 6, "the directory's disk, expected 0, found 1"},
  };
  for (const Case& one : cases) {
    zip.end = one.change;
    said = judge(zip.build()).text();
    EXPECT_EQ(said, "ambig ZIP-END64-MISMATCH at " + hex(zip.places().end + one.field) +
                        ": end record and zip64 end record disagree on " + one.what + "\n");
  }
}

TEST(ZipEndRecords, Z12_SaturatedFieldsReferToTheZip64EndRecordWhateverItHolds) {
  TorchZip zip = base_zip();
  zip.end = [](zip::EndRecord& end) {
    end.disk = end.directory_disk = end.entries = end.entries_on_disk = 0xFFFF;
    end.directory_bytes = end.directory_offset = 0xFFFFFFFF;
  };
  EXPECT_EQ(judge(zip.build()).text(), "");
}

TEST(ZipEndRecords, Z13_ALocatorThatPointsBesideTheZip64EndRecordIsAmbiguous) {
  TorchZip zip = base_zip();
  const auto with_offset = [&](std::uint64_t offset) {
    zip.locator = [=](zip::End64Locator& locator) { locator.end64_offset = offset; };
    return judge(zip.build()).text();
  };
  (void)zip.build();
  const std::uint64_t end64 = zip.places().end64;
  const auto expected = [&](std::uint64_t found) {
    return "ambig ZIP-END64-LOCATOR at " + hex(zip.places().locator + 8) +
           ": zip64 locator points beside the zip64 end record, expected " + hex(end64) + ", found " + hex(found) +
           "\n";
  };
  EXPECT_EQ(with_offset(end64 + 1), expected(end64 + 1));
  EXPECT_EQ(with_offset(end64 - 1), expected(end64 - 1));
  EXPECT_EQ(with_offset(1 << 30), expected(1 << 30));
  EXPECT_EQ(with_offset(~0ull), expected(~0ull));
}

TEST(ZipEndRecords, Z13_ALocatorThatPointsAtASecondZip64EndRecordIsAmbiguous) {
  TorchZip zip = base_zip();
  const Bytes good = zip.build();
  const ArchivePlaces places = zip.places();
  // A copy of the zip64 end record as a record's data; the locator points there.
  const ByteSpan end64 = ByteSpan(good).subspan(places.end64, zip::End64Record::kBytes);
  zip.add("data/2", end64);
  (void)zip.build();
  const std::uint64_t copy = zip.place("data/2").data;
  zip.locator = [=](zip::End64Locator& locator) { locator.end64_offset = copy; };
  const Bytes bytes = zip.build();
  EXPECT_EQ(judge(bytes).text(), "ambig ZIP-END64-LOCATOR at " + hex(zip.places().locator + 8) +
                                     ": zip64 locator points beside the zip64 end record, expected " +
                                     hex(zip.places().end64) + ", found " + hex(copy) + "\n");
}

TEST(ZipEndRecords, Z13_AnExtensibleZip64EndRecordIsRefusedSinceItCouldHideAnother) {
  std::string said;
  TorchZip zip = base_zip();
  zip.end64 = [](zip::End64Record& end) { end.record_bytes = 44 + 56; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-END64-SIZE at " + hex(zip.places().end64 + 4) +
                      ": zip64 end record states a wrong size, expected 44, found 100\n");
}

TEST(ZipEndRecords, Z14_BytesBetweenTheEndRecordsAreAmbiguous) {
  std::string said;
  TorchZip zip = base_zip();
  zip.before_end64 = repeated(32, 0);
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-END-GAP at " + hex(zip.places().directory_end) + ": 32 bytes at [" +
                      hex(zip.places().directory_end) + ", " + hex(zip.places().end64) +
                      ") between the central directory and the zip64 end record\n");
  zip.before_end64.clear();
  zip.before_locator = repeated(1, 0);
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-END-GAP at " + hex(zip.places().end64 + 56) + ": 1 byte at [" +
                      hex(zip.places().end64 + 56) + ", " + hex(zip.places().locator) +
                      ") between the zip64 end record and its locator\n");
  // Without the locator in its place the zip64 end record counts as unexplained.
  zip.before_locator.clear();
  zip.before_end = repeated(3, 0);
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-END-GAP at " + hex(zip.places().directory_end) + ": 79 bytes at [" +
                      hex(zip.places().directory_end) + ", " + hex(zip.places().end) +
                      ") between the central directory and the end record\n");
  zip.zip64_end = false;
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-END-GAP at " + hex(zip.places().directory_end) + ": 3 bytes at [" +
                      hex(zip.places().directory_end) + ", " + hex(zip.places().end) +
                      ") between the central directory and the end record\n");
}

TEST(ZipEndRecords, Z14_ALongGapIsRefusedUnread) {
  TorchZip zip = base_zip();
  zip.before_end64 = repeated(std::size_t{3} << 20, 0);
  const auto source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);
  std::vector<Finding> oddities;
  EXPECT_FALSE(zip::Archive::open(source, {}, oddities));
  EXPECT_LT(source->bytes_read(), 200000);
}

TEST(ZipEndRecords, AMissingZip64EndRecordBeforeItsLocatorIsRefused) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  put<std::uint32_t>(bytes, zip.places().end64, 0);
  EXPECT_EQ(judge(bytes).text(), "zip ZIP-END64-MISSING at " + hex(zip.places().locator) +
                                     ": no zip64 end record before its locator, which points at offset " +
                                     std::to_string(zip.places().end64) + "\n");
}

TEST(ZipEndRecords, ADirectoryThatIsNotWhereItShouldBeIsRefused) {
  std::string said;
  TorchZip zip = base_zip();
  zip.zip64_end = false;
  zip.end = [](zip::EndRecord& end) { end.directory_offset -= 1; };
  (void)zip.build();
  // The directory ends where the end record begins and is found from there; the offset then speaks of one byte before
  // the archive, where no local header is.
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-DIRECTORY-OFFSET at " + hex(zip.places().end + 16) +
                      ": end record misplaces the central directory, expected " + hex(zip.places().directory) +
                      ", found " + hex(zip.places().directory - 1) + "\n");
  zip.end = [](zip::EndRecord& end) { end.directory_bytes -= 1; };
  (void)zip.build();
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "ambig ZIP-END-GAP at " + hex(zip.places().end - 1) + ": 1 byte at [" + hex(zip.places().end - 1) +
                      ", " + hex(zip.places().end) + ") between the central directory and the end record\n");
  zip.end = [](zip::EndRecord& end) {
    end.directory_bytes -= 1;
    end.directory_offset -= 1;
  };
  (void)zip.build();
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "zip ZIP-DIRECTORY-MISSING at " + hex(zip.places().directory - 1) + ": no central directory at " +
                      hex(zip.places().directory - 1) + ", where the end record says it begins\n");
}

TEST(ZipEndRecords, ArchivesOfSeveralFilesAreUnsupported) {
  std::string said;
  TorchZip zip = base_zip();
  zip.zip64_end = false;
  zip.end = [](zip::EndRecord& end) { end.disk = 3; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().end + 4) +
                      ": archive is spread over several files: the disk number is 3\n");
  zip.end = [](zip::EndRecord& end) { end.directory_disk = 3; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().end + 6) +
                      ": archive is spread over several files: the directory's disk is 3\n");
  zip.end = [](zip::EndRecord& end) { end.entries_on_disk = 1; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().end + 8) +
                      ": archive is spread over several files: the number of records on this disk, of 5, is 1\n");
  zip = base_zip();
  zip.locator = [](zip::End64Locator& locator) { locator.disks = 2; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().locator + 16) +
                      ": archive is spread over several files: the number of disks is 2\n");
  zip.locator = [](zip::End64Locator& locator) { locator.disk = 1; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().locator + 4) +
                      ": archive is spread over several files: the zip64 end record's disk is 1\n");
  zip.locator = nullptr;
  const auto all_saturated = [](zip::EndRecord& end) {
    end.disk = end.directory_disk = end.entries = end.entries_on_disk = 0xFFFF;
  };
  zip.end = all_saturated;
  zip.end64 = [](zip::End64Record& end) { end.disk = 1; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().end64 + 16) +
                      ": archive is spread over several files: the disk number is 1\n");
  zip.end64 = [](zip::End64Record& end) { end.directory_disk = 1; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().end64 + 20) +
                      ": archive is spread over several files: the directory's disk is 1\n");
  zip.end64 = [](zip::End64Record& end) { end.entries_on_disk = 1; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "unsup ZIP-MULTI-DISK at " + hex(zip.places().end64 + 24) +
                      ": archive is spread over several files: the number of records on this disk, of 5, is 1\n");
}

TEST(ZipEndRecords, ALocatorThatCountsNoDisksIsOdd) {
  std::string said;
  TorchZip zip = base_zip();
  zip.locator = [](zip::End64Locator& locator) { locator.disks = 0; };
  said = judge(zip.build()).text();
  EXPECT_EQ(said, "warning zip ZIP-DISKS at " + hex(zip.places().locator + 16) +
                      ": zip64 locator counts no disks, expected 1, found 0\n");
}

TEST(ZipEndRecords, ADirectoryBeyondTheLimitIsRefusedUnread) {
  zip::OpenOptions options;
  TorchZip zip = base_zip();
  const Bytes bytes = zip.build();
  const std::uint64_t directory_bytes = zip.places().directory_end - zip.places().directory;
  options.limits.central_directory_bytes = directory_bytes - 1;
  EXPECT_EQ(judge(bytes, options).text(),
            "limit LIMIT-CENTRAL-DIRECTORY-BYTES at " + hex(zip.places().directory) +
                ": central directory has more bytes than limits.central_directory_bytes allows, expected at most " +
                std::to_string(directory_bytes - 1) + ", found " + std::to_string(directory_bytes) + "\n");
  options.limits.central_directory_bytes = directory_bytes;
  options.limits.archive_entries = 4;
  EXPECT_EQ(judge(bytes, options).code, ErrorCode::limit_exceeded);
  options.limits.archive_entries = 5;
  EXPECT_EQ(judge(bytes, options).text(), "");
}

}  // namespace
}  // namespace rushlight::test
