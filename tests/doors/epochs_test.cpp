#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/load_model.hpp"
#include "rushlight/save.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;

Value with_epoch(std::int64_t epoch) {
  return Value::dict(std::vector<std::pair<Value, Value>>{{Value("epoch"), Value(epoch)}});
}

TEST(ListEpochs, SortsByWhatFilesSayAndElseByTheirNames) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(save(with_epoch(10), folder / "last.ckpt"));
  ASSERT_TRUE(save(with_epoch(9), folder / "first.pt"));
  ASSERT_TRUE(save(Value(std::int64_t{1}), folder / "net3_epoch_12.pth"));
  ASSERT_TRUE(save(Value(std::int64_t{1}), folder / "plain.pt"));
  test::write_file(folder / "notes.txt", "no checkpoint");
  fs::create_directory(folder / "more.pt");
  const std::vector<EpochFile> files = list_epochs(folder.path()).value();
  std::vector<std::pair<std::string, std::int64_t>> found;
  for (const EpochFile& file : files) found.emplace_back(file.path.filename().string(), file.epoch.value_or(-1));
  EXPECT_EQ(found, (std::vector<std::pair<std::string, std::int64_t>>{
                       {"plain.pt", -1}, {"first.pt", 9}, {"last.ckpt", 10}, {"net3_epoch_12.pth", 12}}));
}

TEST(ListEpochs, WhatCannotBeReadIsNamed) {
  const test::TemporaryFolder folder;
  test::write_file(folder / "bad.pt", "PK no more");
  const Result<std::vector<EpochFile>> bad = list_epochs(folder.path());
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().finding.file.find("bad.pt"), std::string::npos);
  const Result<std::vector<EpochFile>> none = list_epochs(folder / "nowhere");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::io);
  EXPECT_EQ(none.error().finding.message, "cannot read the folder: No such file or directory");
}

}  // namespace
}  // namespace rushlight
