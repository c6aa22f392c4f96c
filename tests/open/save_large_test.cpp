// A checkpoint beyond 4 GiB, written again: what it costs in memory, and that the new file is sound.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "rushlight/edit.hpp"
#include "rushlight/save.hpp"
#include "support/pickle_builder.hpp"
#include "support/temporary_folder.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"

namespace rushlight::test {
namespace {

constexpr std::int64_t kElements = (std::int64_t{1} << 30) + 16;  // of float32: just over 4 GiB

// Sanitizers keep shadow memory and blocks that were freed: what they take says nothing of ours.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeasures = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr bool kMeasures = false;
#else
constexpr bool kMeasures = true;
#endif
#else
constexpr bool kMeasures = true;
#endif

// Memory of this process that belongs to no file, in bytes; 0 where that cannot be told.
std::uint64_t anonymous_bytes() {
  if (!kMeasures) return 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    unsigned long long kib = 0;
    if (std::sscanf(line.c_str(), "RssAnon: %llu kB", &kib) == 1) return kib * 1024;
  }
  return 0;
}

// Keeps the beginning and the end, and counts.
class EndsSink final : public Sink {
 public:
  Status write(std::span<const std::byte> bytes) override {
    size_bytes_ += bytes.size();
    end_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size() > kKept ? 0 : bytes.size());
    if (end_.size() > 4 * kKept) end_.erase(0, end_.size() - 2 * kKept);
    most_anonymous_ = std::max(most_anonymous_, anonymous_bytes());
    return {};
  }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] const std::string& end() const noexcept { return end_; }
  [[nodiscard]] std::uint64_t most_anonymous_bytes() const noexcept { return most_anonymous_; }

 private:
  static constexpr std::size_t kKept = std::size_t{64} << 10;
  std::uint64_t size_bytes_ = 0;
  std::string end_;
  std::uint64_t most_anonymous_ = 0;
};

TEST(SaveLarge, MemoryIsThatOfTheMetadata) {
  const TemporaryFolder folder;
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().text("w").tensor("FloatStorage", "0", std::array{kElements}).setitem().stop();
  TorchZip zip("large");
  zip.add("data.pkl", pickle.bytes()).add("byteorder", "little").add("data/0", Bytes{});
  zip.record("data/0").hole_bytes = static_cast<std::uint64_t>(kElements) * 4;
  zip.add("version", "3\n");
  const std::filesystem::path path = folder / "large.pt";
  ASSERT_TRUE(zip.write_file(path));
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  if (status.st_blocks * 512 > 64 << 20) GTEST_SKIP() << "SKIPPED: this file system fills holes with blocks";
  const Result<Checkpoint> checkpoint = Checkpoint::open(path);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()["w"].as_tensor()->numel(), kElements);
  const std::uint64_t before = anonymous_bytes();
  if (before == 0) std::puts("memory is not measured: a sanitizer takes its own, or /proc does not say it");
  EndsSink sink;
  const Result<SaveReport> report = save(*checkpoint, sink);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->size_bytes, sink.size_bytes());
  // The same bytes as the file's, as far as they can be kept.
  EXPECT_EQ(sink.size_bytes(), std::filesystem::file_size(path));
  EXPECT_NE(sink.end().find("PK\x06\x06"), std::string::npos);
  if (before > 0) {
    EXPECT_LT(sink.most_anonymous_bytes(), before + (std::uint64_t{32} << 20));
  }
  // In half the bytes: the new elements are made on their way.
  EditOptions options;
  options.casts = {{.match = {}, .from = {}, .to = DType::bf16}};
  const Result<EditReport> edited = edit(*checkpoint, options);
  ASSERT_TRUE(edited) << to_string(edited.error());
  EXPECT_EQ(edited->casts.at(0).elements, kElements);
  EXPECT_EQ(edited->casts.at(0).changed, 0);
  EndsSink narrow;
  const Result<SaveReport> saved = save(edited->value, narrow);
  ASSERT_TRUE(saved) << to_string(saved.error());
  EXPECT_GT(narrow.size_bytes(), static_cast<std::uint64_t>(kElements) * 2);
  EXPECT_LT(narrow.size_bytes(), static_cast<std::uint64_t>(kElements) * 2 + 4096);
  if (before > 0) {
    EXPECT_LT(narrow.most_anonymous_bytes(), before + (std::uint64_t{32} << 20));
  }
}

}  // namespace
}  // namespace rushlight::test
