#include "rushlight/error.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/fail.hpp"

namespace rushlight {
namespace {

Finding finding(std::string message) {
  return {.category = Category::crc, .code = "CRC-MISMATCH", .message = std::move(message)};
}

TEST(Finding, PrintsFileRecordAndOffsetBeforeTheMessage) {
  Finding f = finding("crc-32 mismatch, expected b337254f, found 72bacc51");
  EXPECT_EQ(to_string(f), "crc-32 mismatch, expected b337254f, found 72bacc51");
  f.offset = 0x11c0;
  EXPECT_EQ(to_string(f), "at 0x11c0: crc-32 mismatch, expected b337254f, found 72bacc51");
  f.record = "data/14";
  EXPECT_EQ(to_string(f), "data/14 at 0x11c0: crc-32 mismatch, expected b337254f, found 72bacc51");
  f.file = "model.pt";
  EXPECT_EQ(to_string(f), "model.pt: data/14 at 0x11c0: crc-32 mismatch, expected b337254f, found 72bacc51");
  f.record.reset();
  EXPECT_EQ(to_string(f), "model.pt at 0x11c0: crc-32 mismatch, expected b337254f, found 72bacc51");
  f.offset.reset();
  EXPECT_EQ(to_string(f), "model.pt: crc-32 mismatch, expected b337254f, found 72bacc51");
}

TEST(Finding, PrintsTheOffsetInTheRecordFirstAndThatInTheFileBehindIt) {
  Finding f = finding("global 'os.system' is not on the allow-list");
  f.file = "model.pt";
  f.record = "data.pkl";
  f.record_offset = 0x1f3;
  EXPECT_EQ(to_string(f), "model.pt: data.pkl at 0x1f3: global 'os.system' is not on the allow-list");
  f.offset = 0x233;
  EXPECT_EQ(to_string(f),
            "model.pt: data.pkl at 0x1f3 (0x233 in the file): global 'os.system' is not on the allow-list");
  EXPECT_EQ(to_string(Error::of(f)), to_string(f));
}

TEST(Finding, PrintsAnOffsetOfZero) {
  Finding f = finding("wrong");
  f.file = "x";
  f.offset = 0;
  EXPECT_EQ(to_string(f), "x at 0x0: wrong");
}

TEST(Error, TakesItsClassFromTheCategoryUnlessTold) {
  const auto class_of = [](Category category) {
    return Error::of({.category = category, .code = "X", .message = "x"}).code;
  };
  EXPECT_EQ(class_of(Category::kind), ErrorCode::not_a_checkpoint);
  EXPECT_EQ(class_of(Category::trunc), ErrorCode::truncated);
  EXPECT_EQ(class_of(Category::zip), ErrorCode::corrupt);
  EXPECT_EQ(class_of(Category::ambig), ErrorCode::ambiguous);
  EXPECT_EQ(class_of(Category::unsup), ErrorCode::unsupported);
  EXPECT_EQ(class_of(Category::limit), ErrorCode::limit_exceeded);
  EXPECT_EQ(class_of(Category::pkl), ErrorCode::corrupt);
  EXPECT_EQ(class_of(Category::global), ErrorCode::forbidden);
  EXPECT_EQ(class_of(Category::type), ErrorCode::corrupt);
  EXPECT_EQ(class_of(Category::tensor), ErrorCode::corrupt);
  EXPECT_EQ(class_of(Category::store), ErrorCode::corrupt);
  EXPECT_EQ(class_of(Category::crc), ErrorCode::checksum_mismatch);
  EXPECT_EQ(class_of(Category::mani), ErrorCode::checksum_mismatch);
  EXPECT_EQ(class_of(Category::sig), ErrorCode::checksum_mismatch);
  EXPECT_EQ(class_of(Category::changed), ErrorCode::io);
  EXPECT_EQ(class_of(Category::io), ErrorCode::io);
  EXPECT_EQ(class_of(Category::model), ErrorCode::mismatch);
  EXPECT_EQ(class_of(Category::device), ErrorCode::device);
  EXPECT_EQ(class_of(Category::argument), ErrorCode::invalid_argument);
  const Error told = Error::of(ErrorCode::not_found, {.category = Category::io, .code = "X", .message = "x"});
  EXPECT_EQ(told.code, ErrorCode::not_found);
  EXPECT_EQ(told.finding.category, Category::io);
}

TEST(Error, EveryEnumeratorHasANameOfItsOwn) {
  // The lower-case names are the JSON contract (cli.md 1).
  std::set<std::string_view> codes;
  for (int i = 0; i <= static_cast<int>(ErrorCode::cancelled); ++i) codes.insert(to_string(static_cast<ErrorCode>(i)));
  EXPECT_EQ(codes.size(), 15U);
  std::set<std::string_view> categories;
  for (int i = 0; i <= static_cast<int>(Category::argument); ++i) {
    categories.insert(to_string(static_cast<Category>(i)));
  }
  EXPECT_EQ(categories, (std::set<std::string_view>{"kind", "trunc", "zip", "ambig", "unsup", "limit", "pkl", "global",
                                                    "type", "tensor", "store", "crc", "mani", "sig", "changed", "io",
                                                    "model", "device", "argument"}));
  EXPECT_EQ(to_string(Severity::note), "note");
  EXPECT_EQ(to_string(Severity::warning), "warning");
  EXPECT_EQ(to_string(Severity::error), "error");
  EXPECT_EQ(to_string(ErrorCode::checksum_mismatch), "checksum_mismatch");
}

TEST(Fail, HexIsLowerCaseAndAsShortAsItCanBe) {
  EXPECT_EQ(hex(0), "0x0");
  EXPECT_EQ(hex(0x1f3), "0x1f3");
  EXPECT_EQ(hex(~std::uint64_t{0}), "0xffffffffffffffff");
}

TEST(Fail, Hex8KeepsLeadingZeros) {
  EXPECT_EQ(hex8(0), "00000000");
  EXPECT_EQ(hex8(0xb337254fU), "b337254f");
  EXPECT_EQ(hex8(0x0000000aU), "0000000a");
}

TEST(Fail, WithFileAndWithRecordFillOnlyWhatIsMissing) {
  Error error = with_record(with_file(Error::of(finding("wrong")), "outer\n.pt"), "data/0");
  EXPECT_EQ(error.finding.file, "outer\\n.pt");
  EXPECT_EQ(error.finding.record, "data/0");
  error = with_record(with_file(std::move(error), "other.pt"), "data/1");
  EXPECT_EQ(error.finding.file, "outer\\n.pt");
  EXPECT_EQ(error.finding.record, "data/0");
}

TEST(Fail, APathIsNeverCut) {
  const std::string path(1000, 'p');
  EXPECT_EQ(with_file(Error::of(finding("wrong")), path).finding.file, path);
}

}  // namespace
}  // namespace rushlight
