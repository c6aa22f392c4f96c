#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "interchange/npz.hpp"
#include "interchange/writer_tensors.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/golden_files.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_sink.hpp"
#include "support/test_source.hpp"

namespace rushlight::interchange {
namespace {

namespace fs = std::filesystem;
using test::counted_tensor;
using test::TestSink;
using test::TestSource;
using test::view_of;

fs::path folder() {
  return fs::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "interchange" / "npz";
}

std::string written(const std::vector<NamedTensor>& tensors, const NpzOptions& options = {}) {
  return test::written_by([&](Sink& sink) { return write_npz(tensors, sink, options); });
}
std::string refusal(const std::vector<NamedTensor>& tensors, const NpzOptions& options = {}) {
  return test::refusal_of([&](Sink& sink) { return write_npz(tensors, sink, options); });
}
Npz read(const std::string& file) {
  Result<Npz> read = read_npz(TestSource::of(file), {});
  EXPECT_TRUE(read) << to_string(read.error());
  return read ? *std::move(read) : Npz{};
}
std::string elements(const Tensor& tensor) {
  const Result<Tensor> dense = tensor.contiguous();
  return std::string(as_text(dense->bytes().value()));
}
void expect_same(const Npz& file, const std::vector<NamedTensor>& tensors) {
  EXPECT_TRUE(file.findings.empty());
  ASSERT_EQ(file.arrays.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    SCOPED_TRACE(tensors[i].name);
    EXPECT_EQ(file.arrays[i].name, tensors[i].name);
    ASSERT_TRUE(file.arrays[i].tensor);
    const Tensor& read = *file.arrays[i].tensor;
    EXPECT_EQ(read.dtype(), tensors[i].tensor.dtype());
    EXPECT_TRUE(std::ranges::equal(read.shape(), tensors[i].tensor.shape()));
    EXPECT_EQ(elements(read), elements(tensors[i].tensor));
    EXPECT_EQ(read.storage().integrity(), read.numel() > 0 ? Integrity::verified : Integrity::not_checked);
  }
}
bool is_numpys(DType dtype) {
  const DTypeKind kind = info(dtype).kind;
  if (kind == DTypeKind::complex) return dtype == DType::c64 || dtype == DType::c128;
  if (kind == DTypeKind::real) return dtype == DType::f16 || dtype == DType::f32 || dtype == DType::f64;
  return kind == DTypeKind::boolean || kind == DTypeKind::integer || kind == DTypeKind::natural;
}

// --- the bytes of numpy.savez
// ---------------------------------------------------------------------------------------------------------

TEST(NpzWriter, TheGoldenFilesAreThoseOfTheManifest) {
  test::expect_files_of_manifest(folder(), 3);
}

TEST(NpzWriter, StoredArraysHaveTheBytesOfNumpySavez) {
  std::vector<NamedTensor> tensors;
  for (const auto& [code, dtype] : {std::pair("?", DType::boolean),
                                    {"u1", DType::u8},
                                    {"i1", DType::i8},
                                    {"u2", DType::u16},
                                    {"i2", DType::i16},
                                    {"u4", DType::u32},
                                    {"i4", DType::i32},
                                    {"u8", DType::u64},
                                    {"i8", DType::i64},
                                    {"f2", DType::f16},
                                    {"f4", DType::f32},
                                    {"f8", DType::f64},
                                    {"c8", DType::c64},
                                    {"c16", DType::c128}}) {
    tensors.push_back({code, counted_tensor(dtype, {2, 3})});
  }
  EXPECT_EQ(written(tensors), test::read_file(folder() / "dtypes.npz"));
  EXPECT_EQ(written({}), test::read_file(folder() / "nothing.npz"));
}

TEST(NpzWriter, ColumnsThatLieTogetherAreWrittenInFortranOrderAsNumpyDoes) {
  const std::vector<NamedTensor> tensors = {
      {"transposed", view_of(counted_tensor(DType::f32, {3, 4}), {4, 3}, {1, 4})},
      {"permuted", view_of(counted_tensor(DType::i16, {2, 3, 4}), {3, 2, 4}, {4, 12, 1})},
      {"scalar", counted_tensor(DType::f64, {})},
      {"no elements", counted_tensor(DType::f32, {7, 0})},
      {"layer.1/weight", counted_tensor(DType::f32, {1, 5})},
      {"\xC3\xA9", counted_tensor(DType::i64, {130})},
  };
  const std::string file = written(tensors);
  EXPECT_EQ(file, test::read_file(folder() / "layouts.npz"));
  EXPECT_NE(file.find("'fortran_order': True, 'shape': (4, 3)"), std::string::npos);
  expect_same(read(file), tensors);
}

// --- reading it back
// ---------------------------------------------------------------------------------------------------------

TEST(NpzWriter, WhatIsWrittenIsReadAgainStoredOrCompressedOnAnyNumberOfThreads) {
  std::mt19937 random(3);
  const std::unique_ptr<Executor> threads = make_thread_pool(3);
  for (int round = 0; round < 40; ++round) {
    std::vector<NamedTensor> tensors;
    const std::size_t count = random() % 12;
    for (std::size_t i = 0; i < count; ++i) {
      const DType dtype = dtype_at(random() % dtype_count()).dtype;
      if (!is_numpys(dtype)) continue;
      Shape shape(random() % 4);
      for (std::int64_t& size : shape) size = static_cast<std::int64_t>(random() % 9);
      Tensor tensor = counted_tensor(dtype, shape);
      const Strides strides = contiguous_strides(shape);
      if (random() % 2 == 0) {
        tensor = view_of(tensor, {shape.rbegin(), shape.rend()}, {strides.rbegin(), strides.rend()});
      }
      tensors.push_back({"t" + std::to_string(i), tensor});
    }
    for (const bool compressed : {false, true}) {
      const std::string file = written(tensors, {.compressed = compressed});
      EXPECT_EQ(file, written(tensors, {.compressed = compressed, .executor = threads.get()}));
      expect_same(read(file), tensors);
    }
  }
}

TEST(NpzWriter, CompressedArraysAreSmallerAndThoseThatDoNotShrinkAreStored) {
  std::mt19937 random(5);
  std::vector<std::byte> noise(100'000);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(random());
  const std::vector<NamedTensor> tensors = {{"plain", counted_tensor(DType::f32, {100, 100})},
                                            {"noise", Tensor::from_bytes(noise, DType::u8, {100'000}).value()}};
  const std::string file = written(tensors, {.compressed = true});
  EXPECT_LT(file.size(), 105'000U);
  std::vector<Finding> oddities;
  const auto archive = zip::Archive::open(TestSource::of(file), {}, oddities).value();
  EXPECT_EQ(archive->entries()[0].method, zip::Method::deflated);
  EXPECT_EQ(archive->entries()[1].method, zip::Method::stored);
  const zip::Audit audit = archive->audit(nullptr, nullptr).value();
  EXPECT_TRUE(audit.findings.empty() && oddities.empty());
  EXPECT_EQ(audit.explained_bytes, file.size());
  expect_same(read(file), tensors);
}

TEST(NpzWriter, LargeViewsGoThroughASmallBuffer) {
  const Tensor large = view_of(counted_tensor(DType::f32, {2, 1000, 300}), {1000, 2, 300}, {300, 300'000, 1});
  TestSink sink;
  ASSERT_TRUE(write_npz(std::vector<NamedTensor>{{"t", large}}, sink, {}));
  EXPECT_LE(sink.longest_write(), std::size_t{1} << 20);
  expect_same(read(sink.text()), {{"t", large}});
}

// A file whose zeros are holes.
class SparseSink final : public Sink {
 public:
  explicit SparseSink(const fs::path& path) : file_(path, std::ios::binary | std::ios::trunc), path_(path) {}
  Status write(std::span<const std::byte> bytes) override {
    if (bytes.size() >= 4096 && bytes[0] == std::byte{0} &&
        std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0) {
      file_.seekp(static_cast<std::streamoff>(bytes.size()), std::ios::cur);
    } else {
      file_.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    return {};
  }

 private:
  std::ofstream file_;
  fs::path path_;
};

TEST(NpzWriter, LargeArraysAndFarOnesStandInZip64Fields) {
#if defined(__SANITIZE_THREAD__)
  std::cout << "SKIPPED: ThreadSanitizer keeps four times the 4 GiB in shadow memory\n";
  GTEST_SKIP();
#endif
  constexpr std::uint64_t kBytes = (std::uint64_t{1} << 32) + 5;
  void* zeros = mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (zeros == MAP_FAILED) {
    std::cout << "SKIPPED: no address space of 4 GiB\n";
    GTEST_SKIP();
  }
  const test::TemporaryFolder temporary;
  {
    const Tensor large = Tensor::from_blob(zeros, kBytes, DType::u8, {static_cast<std::int64_t>(kBytes)}).value();
    StateDict tensors;
    tensors.insert("large", large);
    tensors.insert("far", counted_tensor(DType::i32, {5}));
    {
      SparseSink sink(temporary / "large.npz");
      ASSERT_TRUE(write_npz(tensors, sink));
    }
    // A file has the same size reserved, with all that zip64 adds.
    const test::FaultySystemCalls full_disk({.fail_at = 0, .error_number = ENOSPC, .only = "fallocate"});
    EXPECT_FALSE(write_npz(tensors, temporary / "full.npz"));
    EXPECT_EQ(full_disk.reserved_bytes(), fs::file_size(temporary / "large.npz"));
  }
  munmap(zeros, kBytes);
  std::vector<Finding> oddities;
  const auto archive = zip::Archive::open(open_file(temporary / "large.npz").value(), {}, oddities);
  ASSERT_TRUE(archive) << to_string(archive.error());
  EXPECT_TRUE(oddities.empty());
  const auto entries = (*archive)->entries();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].size_bytes, kBytes + 128);
  EXPECT_GT(entries[1].header_offset, kBytes);
  for (const zip::Entry& entry : entries) EXPECT_TRUE((*archive)->data_extent(entry)) << entry.name;
  const Npz file = read_npz(open_file(temporary / "large.npz").value(), {}).value();
  EXPECT_EQ(elements(*file.arrays[1].tensor), elements(counted_tensor(DType::i32, {5})));
}

TEST(NpzWriter, MoreArraysThan16BitsCountAreReadAgain) {
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < 66'000; ++i) tensors.push_back({std::to_string(i), Tensor()});
  const Npz file = read(written(tensors));
  ASSERT_EQ(file.arrays.size(), tensors.size());
  EXPECT_EQ(file.arrays.back().name, "65999");
}

// --- what the format cannot hold
// ---------------------------------------------------------------------------------------------------------

TEST(NpzWriter, DtypesThatNumpyDoesNotHaveAreRefusedByName) {
  int refused = 0;
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    if (is_numpys(row.dtype)) {
      EXPECT_EQ(refusal({{"w", counted_tensor(row.dtype, {2})}}), "accepted") << row.name;
      continue;
    }
    EXPECT_EQ(refusal({{"w", counted_tensor(row.dtype, {2})}}),
              "NPY-DTYPE: tensor 'w': NumPy has no dtype for " + std::string(row.name));
    ++refused;
  }
  EXPECT_EQ(refused, 19);
  EXPECT_EQ(refusal({{"w", counted_tensor(DType::f32, {2}).to(Device::meta()).value()}}),
            "TENSOR-META: tensor 'w': on the meta device it has a shape and no data");
}

TEST(NpzWriter, NamesThatAnArchiveShouldNotHaveAreRefused) {
  const auto named = [](std::string name) { return refusal({{std::move(name), Tensor()}}); };
  EXPECT_EQ(named("a\xFF"), "NPZ-NAME: tensor 'a\\xff': its name is no UTF-8");
  EXPECT_EQ(named("../up"), "NPZ-NAME: tensor '../up': its name as a record of an archive leaves its folder by '..'");
  EXPECT_EQ(named("/etc/x"), "NPZ-NAME: tensor '/etc/x': its name as a record of an archive is an absolute path");
  EXPECT_EQ(named("a\nb"), "NPZ-NAME: tensor 'a\\nb': its name as a record of an archive has a control character");
  EXPECT_TRUE(named(std::string(70'000, 'n')).ends_with("longer than the 65535 bytes of an archive's names"));
  EXPECT_EQ(refusal({{"Weight", Tensor()}, {"weight", Tensor()}}),
            "NPZ-DUPLICATE: tensor 'weight': its name stands twice, or differs from another only in what some readers "
            "of archives ignore");
}

TEST(NpzWriter, ViewsThatRepeatAByteForTerabytesAreRefusedBeforeAnythingIsWritten) {
  const Tensor bomb = view_of(counted_tensor(DType::u8, {1}), {std::int64_t{1} << 40}, {0});
  EXPECT_TRUE(refusal({{"bomb", bomb}}).starts_with("LIMIT-WRITE: "));
}

// --- sinks and files
// ---------------------------------------------------------------------------------------------------------

TEST(NpzWriter, AFailingSinkEndsItAndIsNotAskedAgain) {
  const std::vector<NamedTensor> tensors = {{"a", counted_tensor(DType::f32, {8})},
                                            {"b", view_of(counted_tensor(DType::u8, {8}), {4}, {2})}};
  for (const bool compressed : {false, true}) {
    const std::string whole = written(tensors, {.compressed = compressed});
    for (std::size_t room = 0; room < whole.size(); ++room) {
      TestSink sink(room);
      const Status status = write_npz(tensors, sink, {.compressed = compressed});
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().finding.code, "TEST-FULL");
      EXPECT_EQ(sink.failures(), 1);
      EXPECT_TRUE(whole.starts_with(sink.text()));
    }
  }
}

class StoppingProgress final : public Progress {
 public:
  explicit StoppingProgress(bool go_on) : go_on_(go_on) {}
  bool on_progress(std::string_view, std::uint64_t done, std::uint64_t total) override {
    EXPECT_LE(done, total);
    is_done_ = done == total;
    return go_on_;
  }
  [[nodiscard]] bool is_done() const { return is_done_; }

 private:
  bool go_on_;
  bool is_done_ = false;
};

TEST(NpzWriter, ToldAboutProgressItCanBeStoppedAndLeavesTheOldFile) {
  StateDict tensors;
  tensors.insert("t", counted_tensor(DType::u8, {3, 2'000'000}));
  tensors.insert("u", view_of(counted_tensor(DType::u8, {3, 2'000'000}), {1'000'000, 3}, {2, 2'000'000}));
  const test::TemporaryFolder temporary;
  for (const bool compressed : {false, true}) {
    StoppingProgress whole(true);
    ASSERT_TRUE(write_npz(tensors, temporary / "a.npz", {.compressed = compressed, .progress = &whole}));
    EXPECT_TRUE(whole.is_done());
    test::write_file(temporary / "b.npz", "old");
    StoppingProgress stopping(false);
    const Status status = write_npz(tensors, temporary / "b.npz", {.compressed = compressed, .progress = &stopping});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::cancelled);
    EXPECT_EQ(test::read_file(temporary / "b.npz"), "old");
  }
}

TEST(NpzWriter, AnArrayAloneIsAFileOfItsOwn) {
  const Tensor transposed = view_of(counted_tensor(DType::f32, {3, 4}), {4, 3}, {1, 4});
  TestSink sink;
  ASSERT_TRUE(write_npy(transposed, sink));
  const test::TemporaryFolder temporary;
  ASSERT_TRUE(write_npy(transposed, temporary / "t.npy"));
  EXPECT_EQ(test::read_file(temporary / "t.npy"), sink.text());
  EXPECT_NE(test::read_file(folder() / "layouts.npz").find(sink.text()), std::string::npos);
  const Tensor read = read_npy(temporary / "t.npy").value();
  EXPECT_EQ(elements(read), elements(transposed));
}

}  // namespace
}  // namespace rushlight::interchange
