// How names fold, and the table they are found by.
#include "zip/names.hpp"

#include <gtest/gtest.h>

#include "zip/archive.hpp"
#include "zip/siphash.hpp"

namespace rushlight::zip {
namespace {

std::string folded(std::string_view name) {
  std::string out;
  fold_name(name, out);
  return out;
}

TEST(ZipNames, AsciiNamesFoldToLowerCaseWithoutTrailingDotsAndSpaces) {
  EXPECT_EQ(folded("Base/DATA/0"), "base/data/0");
  EXPECT_EQ(folded("base. ./x .. "), "base/x");
  EXPECT_EQ(folded("base/.data/version"), "base/.data/version");
  EXPECT_EQ(folded("base/a.b c.d"), "base/a.b c.d");
  EXPECT_EQ(folded("base/folder/"), "base/folder");
  EXPECT_EQ(folded("base/... /x"), "base//x");
  EXPECT_EQ(folded("[{@`"), "[{@`");  // the neighbours of the letters
  EXPECT_EQ(folded(""), "");
}

TEST(ZipNames, OtherNamesFoldByTheirDecomposition) {
  EXPECT_EQ(folded("\u00c9"), folded("e\u0301"));
  EXPECT_EQ(folded("\u1e69"), folded("s\u0307\u0323"));
  EXPECT_EQ(folded("\u01d5"), folded("u\u0308\u0304"));  // two steps
  EXPECT_EQ(folded("\uac01"), folded("\u1100\u1161\u11a8"));
  EXPECT_EQ(folded("\U0001109a"), folded("\U00011099\U000110ba"));  // beyond 16 bits
  EXPECT_NE(folded("e\u0301"), folded("e\u0300"));
  EXPECT_NE(folded("\u00df"), folded("ss"));  // compatibility is no equality
  EXPECT_NE(folded("\u0430"), folded("a"));   // nor is looking alike
  EXPECT_NE(folded("a\u0301b"), folded("ab\u0301"));
  EXPECT_EQ(folded("\u00e9. "), folded("\u00e9"));
}

TEST(ZipNames, BytesThatAreNotUtf8FoldToThemselves) {
  EXPECT_EQ(folded("\xff"), folded("\xff"));
  EXPECT_NE(folded("\xff"), folded("\xfe"));
  EXPECT_NE(folded("\xc3"), folded("\u00c3"));
  EXPECT_NE(folded("\xed\xa0\x80"), folded("\xed\xa0\x81"));
  EXPECT_NE(folded("x\xf0\x9f"), folded("x\xf0\x9e"));
}

TEST(ZipNames, FaultsAreFoundAtTheirFirstByte) {
  EXPECT_EQ(name_fault("archive/data.pkl").what, nullptr);
  EXPECT_EQ(name_fault("archive/data/").what, nullptr);
  EXPECT_EQ(name_fault("a:b/data.pkl").what, std::string("begins with a drive letter"));
  EXPECT_EQ(name_fault("ab:c/data.pkl").what, nullptr);
  EXPECT_EQ(name_fault("1:c/data.pkl").what, nullptr);
  EXPECT_EQ(name_fault("...pt/data.pkl").what, nullptr);
  EXPECT_EQ(name_fault("a/..b/c..").what, nullptr);
  EXPECT_EQ(name_fault("a/b\\..\\c").position, 3);
  EXPECT_TRUE(name_fault("a//b").ambiguous);
  EXPECT_FALSE(name_fault("a/../b").ambiguous);
}

TEST(ZipNames, SipHashGivesTheValuesOfItsReference) {
  // SipHash-1-3 of the bytes 00 01 02 ... with the key 00 .. 0f, as OpenBSD's and Rust's implementations give it.
  std::byte bytes[16];
  for (int i = 0; i < 16; ++i) bytes[i] = std::byte(i);
  const auto hash = [&](std::size_t count) {
    return siphash_1_3(ByteSpan(bytes, count), 0x0706050403020100, 0x0F0E0D0C0B0A0908);
  };
  EXPECT_EQ(hash(0), 0xABAC0158050FC4DC);
  EXPECT_EQ(hash(1), 0xC9F49BF37D57CA93);
  EXPECT_EQ(hash(8), 0x369095118D299A8E);
  EXPECT_EQ(hash(15), 0xD320D86D2A519956);
}

TEST(ZipNames, TheIndexFindsWhatWasPutInAndNothingElse) {
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("archive/data/" + std::to_string(i));
  std::vector<Entry> entries(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) entries[i].name = names[i];
  for (const std::uint64_t key : {0ull, 1ull, ~0ull}) {
    NameIndex index;
    ASSERT_TRUE(index.prepare(entries.size(), key));
    for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(index.insert(entries, i), i);
    for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(index.find(entries, names[i]), i);
    EXPECT_EQ(index.find(entries, "archive/data/5000"), entries.size());
    EXPECT_EQ(index.find(entries, "ARCHIVE/Data/17"), 17);
  }
  NameIndex empty;
  ASSERT_TRUE(empty.prepare(0, 0));
  EXPECT_EQ(empty.find({}, "x"), 0);
}

}  // namespace
}  // namespace rushlight::zip
