// What the writers of .npy, .npz and safetensors do to the file system when they are given a path.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "interchange/writer_tensors.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;
using test::counted_tensor;
using test::FaultySystemCalls;

StateDict state_of(const Tensor& tensor) {
  StateDict state;
  state.insert("w", tensor);
  state.insert("layer.\xC3\xA9", counted_tensor(DType::boolean, {5}));
  return state;
}

struct Format {
  const char* name;
  std::function<Status(const Tensor& tensor, const fs::path& path, bool overwrite, Progress* progress)> write;
};
const std::vector<Format>& formats() {
  static const std::vector<Format> all = {
      {"safetensors",
       [](const Tensor& tensor, const fs::path& path, bool overwrite, Progress* progress) {
         return write_safetensors(state_of(tensor), path,
                                  {.metadata = {{"format", "pt"}}, .overwrite = overwrite, .progress = progress});
       }},
      {"npz",
       [](const Tensor& tensor, const fs::path& path, bool overwrite, Progress* progress) {
         return write_npz(state_of(tensor), path, {.overwrite = overwrite, .progress = progress});
       }},
      {"npz compressed",
       [](const Tensor& tensor, const fs::path& path, bool overwrite, Progress* progress) {
         return write_npz(state_of(tensor), path, {.compressed = true, .overwrite = overwrite, .progress = progress});
       }},
      {"npy",
       [](const Tensor& tensor, const fs::path& path, bool overwrite, Progress* progress) {
         return write_npy(tensor, path, {.overwrite = overwrite, .progress = progress});
       }},
  };
  return all;
}
Status write(const Format& format, const fs::path& path, bool overwrite = true, Progress* progress = nullptr) {
  return format.write(counted_tensor(DType::f32, {7, 300}), path, overwrite, progress);
}
// What is known of the size before anything is deflated.
bool reserves(const Format& format) {
  return std::string_view(format.name) != "npz compressed";
}
std::string code_of(const Status& status) {
  return status ? "ok" : status.error().finding.code;
}
std::size_t files_in(const test::TemporaryFolder& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder.path()), {}));
}

TEST(WrittenFile, RoomForAllOfItIsReservedBeforeItIsWritten) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const test::TemporaryFolder folder;
    const FaultySystemCalls calls({});
    ASSERT_TRUE(write(format, folder / "f"));
    const std::vector<std::string>& log = calls.log();
    const auto reserved = std::ranges::find(log, "fallocate");
    ASSERT_EQ(reserved != log.end(), reserves(format));
    if (!reserves(format)) continue;
    EXPECT_EQ(calls.reserved_bytes(), fs::file_size(folder / "f"));
    EXPECT_LT(reserved, std::ranges::find(log, "write"));
    EXPECT_EQ(std::ranges::count(log, "ftruncate"), 0) << "not a byte too many";
  }
}

TEST(WrittenFile, MoreArraysThan16BitsCountAreReservedWithTheirZip64Records) {
  StateDict state;
  for (int i = 0; i < 66'000; ++i) state.insert(std::to_string(i), Tensor());
  const test::TemporaryFolder folder;
  const FaultySystemCalls calls({});
  ASSERT_TRUE(write_npz(state, folder / "f"));
  EXPECT_EQ(calls.reserved_bytes(), fs::file_size(folder / "f"));
}

TEST(WrittenFile, AFullDiskIsFoundBeforeTheWork) {
  for (const Format& format : formats()) {
    if (!reserves(format)) continue;
    SCOPED_TRACE(format.name);
    const test::TemporaryFolder folder;
    test::write_file(folder / "f", "old");
    const FaultySystemCalls calls({.fail_at = 0, .error_number = ENOSPC, .only = "fallocate"});
    EXPECT_EQ(code_of(write(format, folder / "f")), "IO-SPACE");
    EXPECT_EQ(std::ranges::count(calls.log(), "write"), 0);
    EXPECT_EQ(test::read_file(folder / "f"), "old");
    EXPECT_EQ(files_in(folder), 1U);
  }
}

TEST(WrittenFile, FileSystemsThatReserveNothingGetTheSameFile) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const test::TemporaryFolder folder;
    ASSERT_TRUE(write(format, folder / "reserved"));
    for (const int error_number : {EOPNOTSUPP, ENOSYS}) {
      const FaultySystemCalls calls({.fail_at = 0, .error_number = error_number, .only = "fallocate"});
      ASSERT_TRUE(write(format, folder / "f"));
    }
    EXPECT_EQ(test::read_file(folder / "f"), test::read_file(folder / "reserved"));
  }
}

TEST(WrittenFile, WhatAFormatCannotHoldIsRefusedBeforeTheFileSystemIsAsked) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const test::TemporaryFolder folder;
    const FaultySystemCalls calls({});
    EXPECT_FALSE(format.write(counted_tensor(DType::qi8, {2}), folder / "f", true, nullptr));
    EXPECT_EQ(calls.count(), 0);
  }
}

TEST(WrittenFile, AFileThatIsNotToBeReplacedStays) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const test::TemporaryFolder folder;
    ASSERT_TRUE(write(format, folder / "f", false));
    const std::string whole = test::read_file(folder / "f");
    test::write_file(folder / "f", "old");
    {
      const FaultySystemCalls calls({});
      EXPECT_EQ(code_of(write(format, folder / "f", false)), "IO-EXISTS");
      EXPECT_EQ(std::ranges::count(calls.log(), "write"), 0) << "found before the work";
    }
    EXPECT_EQ(test::read_file(folder / "f"), "old");
    EXPECT_EQ(files_in(folder), 1U);
    ASSERT_TRUE(write(format, folder / "f"));
    EXPECT_EQ(test::read_file(folder / "f"), whole);
  }
}

// Another program, which makes the same file while it is written.
class OtherProgram final : public Progress {
 public:
  explicit OtherProgram(fs::path path) : path_(std::move(path)) {}
  bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override {
    test::write_file(path_, "another program's");
    return true;
  }

 private:
  fs::path path_;
};

TEST(WrittenFile, AFileThatComesMeanwhileStaysToo) {
  for (const Format& format : formats()) {
    // Without renameat2() the new file gets its name by a link.
    for (const bool by_link : {false, true}) {
      SCOPED_TRACE(std::string(format.name) + (by_link ? ", by a link" : ""));
      const test::TemporaryFolder folder;
      OtherProgram other(folder / "f");
      const FaultySystemCalls calls(
          {.fail_at = by_link ? 0 : -1, .error_number = ENOSYS, .only = "renameat_noreplace"});
      EXPECT_EQ(code_of(write(format, folder / "f", false, &other)), "IO-EXISTS");
      EXPECT_EQ(test::read_file(folder / "f"), "another program's");
      EXPECT_EQ(files_in(folder), 1U);
    }
  }
}

}  // namespace
}  // namespace rushlight
