// Archives beyond the 32-bit limits: 4 GiB in sparse files (A03, A04), more than 65,535 records; and archives with very
// many records, whatever their names.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/fail.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// A file in the temporary directory, removed in the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("rushlight-" + std::to_string(::getpid()) + "-" + name)) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // False where the file system fills holes with blocks.
  [[nodiscard]] bool is_sparse() const {
    struct stat status {};
    return ::stat(path_.c_str(), &status) == 0 && status.st_blocks * 512 < 64 << 20;
  }

 private:
  std::filesystem::path path_;
};

// A file of which [begin, end) is known to be zeros: they need not be read, nor fill the page cache.
class HoleSource final : public Source {
 public:
  HoleSource(std::shared_ptr<const Source> file, std::uint64_t begin, std::uint64_t end)
      : file_(std::move(file)), begin_(begin), end_(end) {}
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return file_->size_bytes(); }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset < begin_ || offset + out.size() > end_) return file_->read_at(offset, out);
    std::fill(out.begin(), out.end(), std::byte{0});
    return {};
  }

 private:
  std::shared_ptr<const Source> file_;
  std::uint64_t begin_;
  std::uint64_t end_;
};

struct Opened {
  std::shared_ptr<const zip::Archive> archive;
  std::string said;
};

Opened open_path(const std::filesystem::path& path, FileAccess access) {
  auto source = open_file(path, access);
  if (!source) return {nullptr, line(source.error())};
  std::vector<Finding> oddities;
  auto archive = zip::Archive::open(*source, {}, oddities);
  if (!archive) return {nullptr, line(archive.error())};
  std::string said;
  for (const Finding& finding : oddities) said += line(finding) + "\n";
  return {*archive, said};
}

// The archive written to a sparse file, or a reason to skip.
std::string write_sparse(TorchZip& zip, const TemporaryFile& file) {
  if (!zip.write_file(file.path())) return "the temporary directory does not take a file of this size";
  if (!file.is_sparse()) return "the temporary directory has no sparse files";
  return "";
}

TEST(ZipLarge, A03_A04_RecordsOfAndBehind4GiBAreFoundByTheDirectoryAlone) {
  TorchZip zip("archive");
  zip.add("data.pkl", base_pickle());
  zip.add_hole("data/0", 4 * kGiB + 4096);  // long: 64-bit sizes
  zip.add("data/1", "behind 4 GiB");        // short, at a 64-bit offset: a descriptor of 24 bytes all the same
  zip.add("empty", "");
  zip.add("version", "3\n");
  const TemporaryFile file("4gib");
  if (const std::string reason = write_sparse(zip, file); !reason.empty()) GTEST_SKIP() << reason;
  ASSERT_EQ(zip.place("data/1").descriptor_end - zip.place("data/1").data_end, 24);
  ASSERT_EQ(zip.place("data.pkl").descriptor_end - zip.place("data.pkl").data_end, 16);
  for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
    const Opened opened = open_path(file.path(), access);
    ASSERT_NE(opened.archive, nullptr) << opened.said;
    EXPECT_EQ(opened.said, "");
    for (const RecordPlan& plan : zip.records()) {
      const zip::Entry* entry = opened.archive->find(plan.name);
      ASSERT_NE(entry, nullptr);
      EXPECT_EQ(entry->header_offset, zip.place(plan.name).local);
      auto extent = opened.archive->data_extent(*entry);
      ASSERT_TRUE(extent) << line(extent.error());
      EXPECT_EQ(extent->begin, zip.place(plan.name).data);
      EXPECT_EQ(extent->end, zip.place(plan.name).data_end);
    }
    auto record = opened.archive->read(*opened.archive->find("archive/data/1"), 100);
    ASSERT_TRUE(record);
    EXPECT_EQ(as_text(record->span()), "behind 4 GiB");
  }
  // Once through all of it: 4 GiB of zeros with their CRC.
  auto source = open_file(file.path(), FileAccess::pread);
  ASSERT_TRUE(source);
  std::vector<Finding> oddities;
  auto opened = zip::Archive::open(
      std::make_shared<HoleSource>(*source, zip.place("data/0").data, zip.place("data/0").data_end), {}, oddities);
  ASSERT_TRUE(opened);
  const auto threads = make_thread_pool(2);
  auto audit = (*opened)->audit(threads.get(), nullptr);
  ASSERT_TRUE(audit) << line(audit.error());
  for (const Finding& finding : audit->findings) ADD_FAILURE() << line(finding);
  EXPECT_EQ(audit->explained_bytes, zip.places().size_bytes);
  EXPECT_EQ(audit->checked_bytes, base_pickle().size() + 4 * kGiB + 4096 + 12 + 2);
}

TEST(ZipLarge, TheZip64LimitIsOneByteBelow4GiB) {
  // torch's writer changes over at 0xFFFFFFFF, which the 32-bit fields could not tell from "see zip64".
  for (const std::uint64_t size : {4 * kGiB - 2, 4 * kGiB - 1, 4 * kGiB}) {
    TorchZip zip("archive");
    zip.add_hole("data/0", size).add("data/1", "x");
    const TemporaryFile file("limit");
    if (const std::string reason = write_sparse(zip, file); !reason.empty()) GTEST_SKIP() << reason;
    const Opened opened = open_path(file.path(), FileAccess::mapped);
    ASSERT_NE(opened.archive, nullptr) << opened.said;
    EXPECT_EQ(opened.archive->entries()[0].size_bytes, size);
    EXPECT_EQ(opened.archive->entries()[0].zip64, size >= 4 * kGiB - 1);
    EXPECT_TRUE(opened.archive->data_extent(opened.archive->entries()[0]));
    EXPECT_TRUE(opened.archive->data_extent(opened.archive->entries()[1]));
  }
}

TEST(ZipLarge, Z25_AShortDescriptorBehind4GiBIsAmbiguous) {
  // What naive offset arithmetic expects there.
  TorchZip zip("archive");
  zip.add_hole("data/0", 4 * kGiB).add("data/1", "x").add("data/2", "y");
  zip.record("data/1").descriptor_form = DescriptorForm::signed_32;
  const TemporaryFile file("short");
  if (const std::string reason = write_sparse(zip, file); !reason.empty()) GTEST_SKIP() << reason;
  const Opened opened = open_path(file.path(), FileAccess::mapped);
  ASSERT_NE(opened.archive, nullptr) << opened.said;
  auto extent = opened.archive->data_extent(opened.archive->entries()[1]);
  ASSERT_FALSE(extent);
  EXPECT_EQ(line(extent.error()), "ambig ZIP-DESCRIPTOR archive/data/1 at " + hex(zip.place("data/1").data_end) +
                                      ": data descriptor has a wrong length, expected 24, found 16");
}

TEST(ZipLarge, ADirectoryBehind4GiBIsFoundByTheZip64EndRecordOnly) {
  TorchZip zip("archive");
  zip.add_hole("data/0", 5 * kGiB);
  const TemporaryFile file("directory");
  if (const std::string reason = write_sparse(zip, file); !reason.empty()) GTEST_SKIP() << reason;
  const Opened opened = open_path(file.path(), FileAccess::pread);
  ASSERT_NE(opened.archive, nullptr) << opened.said;
  EXPECT_EQ(opened.archive->entries()[0].size_bytes, 5 * kGiB);
  // Without zip64 end records there is no way to say where.
  zip.zip64_end = false;
  ASSERT_EQ(write_sparse(zip, file), "");
  const Opened refused = open_path(file.path(), FileAccess::pread);
  EXPECT_EQ(refused.archive, nullptr);
  EXPECT_EQ(refused.said, "zip ZIP-END64-MISSING at " + hex(zip.places().end) +
                              ": end record refers to a zip64 end record, and no locator for one stands before it");
}

TEST(ZipLarge, MoreThan65535RecordsAreCountedByZip64) {
  TorchZip zip("archive");
  for (int i = 0; i < 66002; ++i) zip.add("data/" + std::to_string(i), "x");
  const Bytes bytes = zip.build();
  EXPECT_EQ(get<std::uint16_t>(bytes, zip.places().end + 10), 0xFFFF);
  const Verdict verdict = judge(bytes);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
  EXPECT_EQ(verdict.archive->entries().size(), 66002);
  EXPECT_EQ(verdict.archive->find("archive/data/66001"), &verdict.archive->entries()[66001]);
  EXPECT_EQ(verdict.archive->find("archive/data/66002"), nullptr);
}

// Processor seconds that open() takes: the least of three, so that other programs do not matter.
double seconds_to_open(const Bytes& bytes, std::optional<ErrorCode> expected = std::nullopt) {
  double least = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t begin = std::clock();
    std::vector<Finding> oddities;
    auto archive = zip::Archive::open(Source::from_memory(bytes), {}, oddities);
    least = std::min(least, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
    EXPECT_EQ(archive.has_value(), !expected.has_value());
    EXPECT_EQ(archive ? ErrorCode::io : archive.error().code, expected.value_or(ErrorCode::io));
  }
  return least;
}

TEST(ZipLarge, OpeningIsLinearWhateverTheNames) {
  const std::string long_name(200, 'a');
  const auto archive_of = [&](int kind, int records) {
    TorchZip zip(kind == 2 ? "mod\u00e8le" : "archive");
    for (int i = 0; i < records; ++i) {
      const std::string number = std::to_string(i);
      zip.add(kind == 0   ? "data/" + number
              : kind == 1 ? long_name + number + long_name
                          : "donn\u00e9es/" + number,
              "x");
    }
    return zip.build();
  };
  for (const int kind : {0, 1, 2}) {
    const double few = seconds_to_open(archive_of(kind, 4000));
    const double many = seconds_to_open(archive_of(kind, 40000));
    // Ten times the records, and a clock of coarse steps; what is quadratic takes a hundred times as long.
    EXPECT_LT(many, 30 * few + 0.05) << few;
  }
}

TEST(ZipLarge, HostileEndsOfFilesAreSearchedInBoundedTime) {
  // An optimised build takes a tenth of a second at most (the goal is 2); one with sanitizers may take its time.
  constexpr double kBound = 10;
  // Nothing but end record signatures, each with a comment that reaches the end of the file.
  Bytes ends(std::size_t{2} << 20);
  for (std::size_t at = 0; at + 22 <= ends.size(); at += 22) {
    put<std::uint32_t>(ends, at, zip::EndRecord::kSignature);
    put<std::uint16_t>(ends, at + 20, static_cast<std::uint16_t>(std::min<std::size_t>(ends.size() - at - 22, 0xFFFF)));
  }
  EXPECT_LT(seconds_to_open(ends, ErrorCode::ambiguous), kBound);
  // A truncated archive full of descriptors that are none.
  Bytes marks(std::size_t{32} << 20);
  for (std::size_t at = 0; at + 4 <= marks.size(); at += 4) put<std::uint32_t>(marks, at, zip::Descriptor::kSignature);
  TorchZip zip("base");
  zip.add("data/0", "x");
  const Bytes head = zip.build();
  std::copy_n(head.begin(), static_cast<std::ptrdiff_t>(zip.place("data/0").data), marks.begin());
  EXPECT_LT(seconds_to_open(marks, ErrorCode::truncated), kBound);
  // A truncated archive of a million empty records.
  Bytes records;
  TorchZip empty("r");
  empty.alignment = 0;
  empty.add("r", "");
  const Bytes one = empty.build();
  records.reserve(std::size_t{40} << 20);
  while (records.size() < std::size_t{32} << 20) {
    records.insert(records.end(), one.begin(), one.begin() + static_cast<std::ptrdiff_t>(empty.place("r").data_end));
  }
  EXPECT_LT(seconds_to_open(records, ErrorCode::truncated), kBound);
}

}  // namespace
}  // namespace rushlight::test
