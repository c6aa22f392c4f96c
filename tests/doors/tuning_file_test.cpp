// Tunings in files; what they say is tested in tests/runtime.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "rushlight/tuning.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

constexpr char kText[] = "rushlight tuning 1\nmachine a\nconv3x3 x : direct\n";

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(TuningFile, ComesBackAsItWas) {
  const TemporaryFolder folder;
  const Result<Tuning> tuning = Tuning::parse(kText);
  ASSERT_TRUE(tuning);
  write(folder / "a.tuning", "what was there");
  ASSERT_TRUE(save_tuning(*tuning, folder / "a.tuning"));
  const Result<Tuning> read = load_tuning(folder / "a.tuning");
  ASSERT_TRUE(read);
  EXPECT_EQ(tuning->text(), read->text());
  EXPECT_EQ(1U, read->size());
}

TEST(TuningFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  const Result<Tuning> none = load_tuning(folder / "none");
  ASSERT_FALSE(none);
  EXPECT_EQ(ErrorCode::not_found, none.error().code);
  write(folder / "odd", "{tuning: 1}");
  const Result<Tuning> odd = load_tuning(folder / "odd");
  ASSERT_FALSE(odd);
  EXPECT_EQ(ErrorCode::mismatch, odd.error().code);
  EXPECT_EQ("TUNING-FORMAT", odd.error().finding.code);
  EXPECT_EQ("tuning, line 1: expected 'rushlight tuning 1', found '{tuning: 1}'", odd.error().finding.message);
  EXPECT_EQ((folder / "odd").string(), odd.error().finding.file);
  write(folder / "long", kText);
  Limits limits;
  limits.json_bytes = 10;
  const Result<Tuning> large = load_tuning(folder / "long", limits);
  ASSERT_FALSE(large);
  EXPECT_EQ(ErrorCode::limit_exceeded, large.error().code);
  EXPECT_EQ("tuning has more than 10 bytes", large.error().finding.message);
  ASSERT_FALSE(load_tuning(folder.path()));
  const Status unwritten = save_tuning(Tuning(), folder / "no" / "folder");
  ASSERT_FALSE(unwritten);
  EXPECT_EQ(ErrorCode::not_found, unwritten.error().code);
}

}  // namespace
}  // namespace rushlight::test
