#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "interchange/safetensors.hpp"
#include "interchange/writer_tensors.hpp"
#include "rushlight/interchange.hpp"
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
  return fs::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "interchange" / "safetensors";
}

std::string written(const std::vector<NamedTensor>& tensors, const SafetensorsOptions& options = {}) {
  return test::written_by([&](Sink& sink) { return write_safetensors(tensors, sink, options); });
}
std::string refusal(const std::vector<NamedTensor>& tensors, const SafetensorsOptions& options = {}) {
  return test::refusal_of([&](Sink& sink) { return write_safetensors(tensors, sink, options); });
}
Result<Safetensors> read(const std::string& file) {
  return read_safetensors(TestSource::of(file), {});
}

// --- the bytes of the package
// ---------------------------------------------------------------------------------------------------------

TEST(SafetensorsWriter, TheGoldenFilesAreThoseOfTheManifest) {
  test::expect_files_of_manifest(folder(), 4);
}

TEST(SafetensorsWriter, EveryDtypeStandsWhereThePackagePutsIt) {
  std::vector<NamedTensor> tensors;
  for (const char letter : {'b', 'a'}) {
    for (std::size_t i = 0; i < dtype_count(); ++i) {
      const DTypeInfo& row = dtype_at(i);
      if (row.kind == DTypeKind::quantized || row.kind == DTypeKind::bits) continue;
      if (row.kind == DTypeKind::complex && row.dtype != DType::c64) continue;
      tensors.push_back({letter + ("." + std::string(row.name)), counted_tensor(row.dtype, {2, 4})});
    }
  }
  ASSERT_EQ(tensors.size(), 40U);
  EXPECT_EQ(written(tensors), test::read_file(folder() / "dtypes.safetensors"));
  std::reverse(tensors.begin(), tensors.end());
  EXPECT_EQ(written(tensors), test::read_file(folder() / "dtypes.safetensors")) << "the order given changes nothing";
}

TEST(SafetensorsWriter, NamesAndMetadataAreEscapedAsThePackageDoes) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, shape] :
       {std::pair<std::string, Shape>("b\"q\\\n\t\x7f\x01\xC3\xA9\xE2\x80\xA8/\xF0\x9F\x98\x80", {2}),
        {"B", {}},
        {"a", {0, 3}},
        {"", {1}},
        {"\xC3\xA9", {1}},
        {"aa", {2, 2}}}) {
    tensors.push_back({name, counted_tensor(DType::f32, shape)});
  }
  SafetensorsOptions options;
  options.metadata.emplace_back("fo\"r\nmat", std::string("p\x00t\x1f\xC3\xA9\b\f\r/\\", 11));
  EXPECT_EQ(written(tensors, options), test::read_file(folder() / "names.safetensors"));
  EXPECT_EQ(written({}), test::read_file(folder() / "empty.safetensors"));
}

TEST(SafetensorsWriter, ViewsAreWrittenInCOrderAndSharedStoragesOnceForEachName) {
  const Tensor matrix = counted_tensor(DType::i16, {3, 4});
  const Tensor numbers = counted_tensor(DType::c64, {3});
  const std::vector<NamedTensor> tensors = {
      {"transposed", view_of(matrix, {4, 3}, {1, 4})},
      {"every_other", view_of(counted_tensor(DType::u8, {10}), {5}, {2})},
      {"expanded", view_of(counted_tensor(DType::f64, {1, 3}), {4, 3}, {0, 1})},
      {"conj", view_of(numbers, {3}, {1}, 0, {.conj = true})},
      {"shared", matrix},
  };
  EXPECT_EQ(written(tensors, {.metadata = {{"format", "pt"}}}), test::read_file(folder() / "strided.safetensors"));
}

// --- reading it back
// ---------------------------------------------------------------------------------------------------------

TEST(SafetensorsWriter, WhatIsWrittenIsReadAgain) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<NamedTensor> tensors;
    const int count = static_cast<int>(random() % 12);
    for (int i = 0; i < count; ++i) {
      const DTypeInfo& row = dtype_at(random() % dtype_count());
      if (row.kind == DTypeKind::quantized || row.kind == DTypeKind::bits || row.dtype == DType::c128 ||
          row.dtype == DType::c32 || row.dtype == DType::bc32) {
        continue;
      }
      Shape shape(1 + random() % 4);
      for (std::int64_t& size : shape) size = static_cast<std::int64_t>(random() % 5);
      tensors.push_back({"t" + std::to_string(i), counted_tensor(row.dtype, shape)});
    }
    SafetensorsOptions options;
    if (round % 2 == 1) options.metadata = {{"z", "1"}, {"a", "\x01"}};
    const Result<Safetensors> back = read(written(tensors, options));
    ASSERT_TRUE(back) << to_string(back.error());
    EXPECT_EQ(back->metadata, options.metadata) << "in the order given";
    ASSERT_EQ(back->tensors.size(), tensors.size());
    for (const NamedTensor& named : tensors) {
      const auto found = std::find_if(back->tensors.begin(), back->tensors.end(),
                                      [&](const NamedTensor& other) { return other.name == named.name; });
      ASSERT_NE(found, back->tensors.end());
      EXPECT_EQ(found->tensor.dtype(), named.tensor.dtype());
      EXPECT_TRUE(std::ranges::equal(found->tensor.shape(), named.tensor.shape()));
      EXPECT_TRUE(std::ranges::equal(found->tensor.bytes().value(), named.tensor.bytes().value()));
    }
  }
}

TEST(SafetensorsWriter, AnyByteOfABoolButZeroIsOne) {
  const std::vector<std::byte> bytes = {std::byte{0}, std::byte{1}, std::byte{2}, std::byte{255}};
  const Tensor odd = Tensor::from_bytes(bytes, DType::boolean, {4}).value();
  const std::string file = written({{"b", odd}});
  EXPECT_EQ(file.substr(file.size() - 4), std::string("\0\1\1\1", 4));
}

TEST(SafetensorsWriter, LargeViewsGoThroughASmallBuffer) {
  const Tensor large = view_of(counted_tensor(DType::f32, {1200, 1100}), {1100, 1200}, {1, 1100});
  TestSink sink;
  ASSERT_TRUE(write_safetensors(std::vector<NamedTensor>{{"t", large}}, sink, {}));
  EXPECT_LE(sink.longest_write(), std::size_t{1} << 20);
  const Tensor copy = large.contiguous().value();
  const std::string elements(as_text(copy.bytes().value()));
  EXPECT_EQ(sink.text().substr(sink.text().size() - elements.size()), elements);
}

// --- what the format cannot hold
// ---------------------------------------------------------------------------------------------------------

TEST(SafetensorsWriter, WhatTheFormatCannotHoldIsRefusedByName) {
  const auto one = [](Tensor tensor, std::string name = "w") {
    return refusal({{std::move(name), std::move(tensor)}});
  };
  EXPECT_EQ(one(counted_tensor(DType::c128, {2})),
            "SAFETENSORS-DTYPE: tensor 'w': safetensors has no dtype for complex128");
  EXPECT_EQ(one(counted_tensor(DType::c32, {2})),
            "SAFETENSORS-DTYPE: tensor 'w': safetensors has no dtype for complex32");
  EXPECT_EQ(one(counted_tensor(DType::bits16, {2})),
            "SAFETENSORS-DTYPE: tensor 'w': safetensors has no dtype for bits16");
  EXPECT_EQ(one(counted_tensor(DType::qi8, {2})), "SAFETENSORS-DTYPE: tensor 'w': safetensors has no dtype for qint8");
  EXPECT_EQ(one(counted_tensor(DType::f4_e2m1fn_x2, {})),
            "SAFETENSORS-SHAPE: tensor 'w': it has no dimension, and the format counts the two values of its byte in "
            "one");
  EXPECT_EQ(one(counted_tensor(DType::f32, {2}).to(Device::meta()).value()),
            "TENSOR-META: tensor 'w': on the meta device it has a shape and no data");
  EXPECT_EQ(one(Tensor(), "__metadata__"),
            "SAFETENSORS-NAME: tensor '__metadata__': its name is that of the format's own metadata");
  EXPECT_EQ(one(Tensor(), "a\xFF"),
            "SAFETENSORS-NAME: tensor 'a\\xff': its name is no UTF-8, and the format has no other names");
  EXPECT_EQ(refusal({{"a", Tensor()}, {"b", Tensor()}, {"a", Tensor()}}),
            "SAFETENSORS-DUPLICATE: tensor 'a': its name stands twice");
  EXPECT_EQ(refusal({}, {.metadata = {{"k", "a"}, {"k", "b"}}}),
            "SAFETENSORS-DUPLICATE: key 'k' stands twice in the metadata");
  EXPECT_EQ(refusal({}, {.metadata = {{"k", "\xFF"}}}), "SAFETENSORS-METADATA: the metadata of 'k' is no UTF-8");
}

TEST(SafetensorsWriter, ViewsThatRepeatAByteForTerabytesAreRefusedBeforeAnythingIsWritten) {
  const Tensor bomb = view_of(counted_tensor(DType::u8, {1}), {std::int64_t{1} << 40}, {0});
  EXPECT_EQ(refusal({{"bomb", bomb}}),
            "LIMIT-WRITE: the tensors repeat their 1 stored bytes too often to be written out, expected at most "
            "68719476752 bytes in all, found 1099511627776");
}

TEST(SafetensorsWriter, HeadersThatNoReaderTakesAreRefused) {
  const std::string name(60'000'000, 'n');
  EXPECT_EQ(refusal({{name + "a", Tensor()}, {name + "b", Tensor()}}),
            "SAFETENSORS-HEADER-SIZE: the header takes 120000112 bytes, expected at most 100000000, more than which no "
            "reader takes");
}

// --- sinks, progress, files
// ---------------------------------------------------------------------------------------------------------

TEST(SafetensorsWriter, AFailingSinkEndsItAndIsNotAskedAgain) {
  const std::vector<NamedTensor> tensors = {{"a", counted_tensor(DType::f32, {8})},
                                            {"b", counted_tensor(DType::u8, {8})}};
  const std::string whole = written(tensors);
  for (std::size_t room = 0; room < whole.size(); ++room) {
    TestSink sink(room);
    const Status status = write_safetensors(tensors, sink, {});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().finding.code, "TEST-FULL");
    EXPECT_EQ(sink.failures(), 1);
    EXPECT_TRUE(whole.starts_with(sink.text()));
  }
}

class CountingProgress final : public Progress {
 public:
  explicit CountingProgress(int stop_at = -1) : stop_at_(stop_at) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ(phase, "write");
    EXPECT_GE(done, done_);
    EXPECT_LE(done, total);
    done_ = done;
    total_ = total;
    return calls_++ != stop_at_;
  }
  [[nodiscard]] bool is_done() const { return calls_ > 0 && done_ == total_; }
  [[nodiscard]] int calls() const { return calls_; }

 private:
  int stop_at_;
  int calls_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

TEST(SafetensorsWriter, ToldAboutProgressItCanBeStoppedAndLeavesTheOldFile) {
  StateDict tensors;
  tensors.insert("t", counted_tensor(DType::u8, {3, 5'000'000}));
  const test::TemporaryFolder temporary;
  CountingProgress whole;
  ASSERT_TRUE(write_safetensors(tensors, temporary / "a.safetensors", {.progress = &whole}));
  EXPECT_TRUE(whole.is_done());
  EXPECT_GE(whole.calls(), 3);
  test::write_file(temporary / "b.safetensors", "old");
  CountingProgress stopped(1);
  const Status status = write_safetensors(tensors, temporary / "b.safetensors", {.progress = &stopped});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_EQ(test::read_file(temporary / "b.safetensors"), "old");
}

TEST(SafetensorsWriter, AFileHasTheBytesThatASinkGets) {
  StateDict tensors;
  tensors.insert("b", counted_tensor(DType::f32, {2, 3}));
  tensors.insert("a", counted_tensor(DType::boolean, {5}));
  TestSink sink;
  ASSERT_TRUE(write_safetensors(tensors, sink, {.metadata = {{"format", "pt"}}}));
  const test::TemporaryFolder temporary;
  ASSERT_TRUE(write_safetensors(tensors, temporary / "file", {.metadata = {{"format", "pt"}}}));
  EXPECT_EQ(test::read_file(temporary / "file"), sink.text());
}

}  // namespace
}  // namespace rushlight::interchange
