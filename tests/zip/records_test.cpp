// Each structure of a zip file, byte by byte, both ways.
#include "zip/records.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

namespace rushlight::zip {
namespace {

std::vector<std::byte> raw(std::initializer_list<unsigned> values) {
  std::vector<std::byte> bytes;
  for (const unsigned value : values) bytes.push_back(std::byte(value));
  return bytes;
}

template <class Record>
void expect_both_ways(const Record& record, const std::vector<std::byte>& bytes) {
  const auto encoded = encode(record);
  EXPECT_EQ(std::vector<std::byte>(encoded.begin(), encoded.end()), bytes);
  EXPECT_TRUE(has_signature(bytes, Record::kSignature));
  EXPECT_EQ(encode(decode<Record>(bytes)), encoded);
}

TEST(ZipRecords, LocalHeader) {
  expect_both_ways(LocalHeader{.version_needed = 0x0201,
                               .flags = 0x0403,
                               .method = 0x0605,
                               .time = 0x0807,
                               .date = 0x0A09,
                               .crc = 0x0E0D0C0B,
                               .compressed_bytes = 0x1211100F,
                               .size_bytes = 0x16151413,
                               .name_bytes = 0x1817,
                               .extra_bytes = 0x1A19},
                   raw({'P', 'K', 3,  4,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                        12,  13,  14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26}));
}

TEST(ZipRecords, CentralEntry) {
  expect_both_ways(CentralEntry{.made_by = 0x0201,
                                .version_needed = 0x0403,
                                .flags = 0x0605,
                                .method = 0x0807,
                                .time = 0x0A09,
                                .date = 0x0C0B,
                                .crc = 0x100F0E0D,
                                .compressed_bytes = 0x14131211,
                                .size_bytes = 0x18171615,
                                .name_bytes = 0x1A19,
                                .extra_bytes = 0x1C1B,
                                .comment_bytes = 0x1E1D,
                                .disk = 0x201F,
                                .internal_attributes = 0x2221,
                                .external_attributes = 0x26252423,
                                .header_offset = 0x2A292827},
                   raw({'P', 'K', 1,  2,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                        20,  21,  22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42}));
}

TEST(ZipRecords, EndRecord) {
  expect_both_ways(EndRecord{.disk = 0x0201,
                             .directory_disk = 0x0403,
                             .entries_on_disk = 0x0605,
                             .entries = 0x0807,
                             .directory_bytes = 0x0C0B0A09,
                             .directory_offset = 0x100F0E0D,
                             .comment_bytes = 0x1211},
                   raw({'P', 'K', 5, 6, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}));
}

TEST(ZipRecords, Zip64EndRecordAndLocator) {
  expect_both_ways(End64Record{.record_bytes = 0x0807060504030201,
                               .made_by = 0x0A09,
                               .version_needed = 0x0C0B,
                               .disk = 0x100F0E0D,
                               .directory_disk = 0x14131211,
                               .entries_on_disk = 0x1C1B1A1918171615,
                               .entries = 0x24232221201F1E1D,
                               .directory_bytes = 0x2C2B2A2928272625,
                               .directory_offset = 0x34333231302F2E2D},
                   raw({'P', 'K', 6,  6,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                        16,  17,  18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
                        35,  36,  37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52}));
  expect_both_ways(End64Locator{.disk = 0x04030201, .end64_offset = 0x0C0B0A0908070605, .disks = 0x100F0E0D},
                   raw({'P', 'K', 6, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}));
}

TEST(ZipRecords, Descriptors) {
  expect_both_ways(Descriptor{.crc = 0x04030201, .compressed_bytes = 0x08070605, .size_bytes = 0x0C0B0A09},
                   raw({'P', 'K', 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  expect_both_ways(
      Descriptor64{.crc = 0x04030201, .compressed_bytes = 0x0C0B0A0908070605, .size_bytes = 0x14131211100F0E0D},
      raw({'P', 'K', 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}));
}

TEST(ZipRecords, ASignatureNeedsFourBytes) {
  EXPECT_FALSE(has_signature(raw({'P', 'K', 3}), LocalHeader::kSignature));
  EXPECT_FALSE(has_signature({}, LocalHeader::kSignature));
  EXPECT_FALSE(has_signature(raw({'P', 'K', 3, 5}), LocalHeader::kSignature));
}

TEST(ZipRecords, ExtraFieldsAreWalkedToTheirEndOrToTheFirstThatDoesNotFit) {
  const auto two = raw({0x46, 0x42, 2, 0, 'Z', 'Z', 1, 0, 0, 0});
  ExtraReader reader(two);
  const auto first = reader.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, kExtraPadding);
  EXPECT_EQ(as_text(first->bytes), "ZZ");
  EXPECT_EQ(first->position, 0);
  const auto second = reader.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->id, kExtraZip64);
  EXPECT_TRUE(second->bytes.empty());
  EXPECT_EQ(second->position, 6);
  EXPECT_FALSE(reader.next());
  EXPECT_TRUE(reader.at_end());

  for (const auto& bad : {raw({0x46, 0x42, 3, 0, 'Z', 'Z'}), raw({0x46, 0x42, 3}), raw({0x46})}) {
    ExtraReader cut(bad);
    EXPECT_FALSE(cut.next());
    EXPECT_FALSE(cut.at_end());
    EXPECT_EQ(cut.position(), 0);
  }
}

}  // namespace
}  // namespace rushlight::zip
