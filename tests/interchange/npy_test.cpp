#include "rushlight/npy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <complex>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"
#include "support/test_source.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using test::TemporaryFolder;
using test::TestSource;

fs::path golden(const std::string& name) {
  return fs::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "interchange" / "npy" / name;
}

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}

// Element i in C order is i - 2, (i - 2) / 2, (i - 2) / 2 - i j, or i % 2 == 1: see make_npy.py.
void expect_elements(const Tensor& tensor) {
  const DTypeKind kind = info(tensor.dtype()).kind;
  const Tensor widened = tensor.to(DType::c128).value();
  const auto bytes = widened.bytes().value();
  std::vector<std::complex<double>> have(bytes.size() / 16);
  if (!bytes.empty()) std::memcpy(have.data(), bytes.data(), bytes.size());
  ASSERT_EQ(have.size(), static_cast<std::size_t>(tensor.numel()));
  for (std::size_t i = 0; i < have.size(); ++i) {
    const double n = static_cast<double>(i);
    std::complex<double> want = n - 2;
    if (kind == DTypeKind::boolean) want = static_cast<double>(i % 2);
    if (kind == DTypeKind::real) want = (n - 2) / 2;
    if (kind == DTypeKind::complex) want = {(n - 2) / 2, -n};
    if (kind == DTypeKind::natural && i < 2)
      want = std::ldexp(1.0, static_cast<int>(8 * size_bytes(tensor.dtype()))) + n - 2;
    EXPECT_EQ(have[i], want) << i;
  }
}

TEST(Npy, ArraysOfEveryTypeThatNumpySavedAreReadInBothByteOrders) {
  const std::vector<std::pair<std::string, DType>> types = {
      {"b1", DType::boolean}, {"i1", DType::i8},  {"u1", DType::u8},  {"i2", DType::i16},  {"u2", DType::u16},
      {"i4", DType::i32},     {"u4", DType::u32}, {"i8", DType::i64}, {"u8", DType::u64},  {"f2", DType::f16},
      {"f4", DType::f32},     {"f8", DType::f64}, {"c8", DType::c64}, {"c16", DType::c128}};
  for (const auto& [name, dtype] : types) {
    SCOPED_TRACE(name);
    for (const std::string& file : {name + ".npy", name + "_big_endian.npy"}) {
      if (size_bytes(dtype) == 1 && file != name + ".npy") continue;
      const auto array = read_npy(golden(file));
      ASSERT_TRUE(array) << to_string(array.error());
      EXPECT_EQ(array->dtype(), dtype);
      EXPECT_EQ(shape_of(*array), (Shape{2, 3}));
      EXPECT_TRUE(array->is_contiguous());
      expect_elements(*array);
    }
  }
}

TEST(Npy, FortranOrderBecomesStrides) {
  const Tensor array = read_npy(golden("fortran.npy")).value();
  EXPECT_EQ(shape_of(array), (Shape{2, 3, 4}));
  EXPECT_EQ(Strides(array.strides().begin(), array.strides().end()), (Strides{1, 2, 6}));
  expect_elements(array);
  const Tensor swapped = read_npy(golden("fortran_big_endian.npy")).value();
  EXPECT_EQ(Strides(swapped.strides().begin(), swapped.strides().end()), (Strides{1, 3}));
  expect_elements(swapped);
}

TEST(Npy, ScalarsEmptyArraysAndManyDimensionsAreRead) {
  const Tensor scalar = read_npy(golden("scalar.npy")).value();
  EXPECT_EQ(scalar.dim(), 0);
  EXPECT_EQ(scalar.values<double>().value()[0], -1.0);
  const Tensor empty = read_npy(golden("empty.npy")).value();
  EXPECT_EQ(shape_of(empty), (Shape{0, 7}));
  EXPECT_EQ(empty.numel(), 0);
  const Tensor many = read_npy(golden("many_dims.npy")).value();
  EXPECT_EQ(shape_of(many), (Shape{1, 2, 1, 3, 1, 1, 2, 1, 1, 1}));
  expect_elements(many);
  EXPECT_EQ(shape_of(read_npy(golden("vector.npy")).value()), Shape{5});
}

TEST(Npy, AllThreeVersionsOfTheFormatAreRead) {
  for (const char* name : {"f4.npy", "version2.npy", "version3.npy"}) {
    expect_elements(read_npy(golden(name)).value());
  }
}

TEST(Npy, TheArraysOfTheGoldenSetAreRead) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container")) {
    if (entry.path().extension() != ".npy") continue;
    const auto array = read_npy(entry.path());
    EXPECT_TRUE(array) << to_string(array.error());
    ++count;
  }
  EXPECT_GE(count, 10U);
}

// Byte for byte what numpy.save writes of the same array.
TEST(Npy, WhatIsWrittenIsWhatNumpyWrites) {
  const TemporaryFolder folder;
  for (const char* name : {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16",
                           "scalar", "empty", "vector", "many_dims"}) {
    const fs::path original = golden(std::string(name) + ".npy");
    const Tensor array = read_npy(original).value();
    const Status written = write_npy(array, folder / "copy.npy");
    ASSERT_TRUE(written) << to_string(written.error());
    EXPECT_EQ(read_file(folder / "copy.npy"), read_file(original)) << name;
  }
  // In C order and little-endian, whatever it came from.
  for (const auto& [from, want] : {std::pair("f8_big_endian.npy", "f8.npy"), {"c8_big_endian.npy", "c8.npy"}}) {
    ASSERT_TRUE(write_npy(read_npy(golden(from)).value(), folder / "copy.npy"));
    EXPECT_EQ(read_file(folder / "copy.npy"), read_file(golden(want)));
  }
}

TEST(Npy, StridedTensorsAreWrittenInCOrderUnlessTheirColumnsLieTogether) {
  const TemporaryFolder folder;
  const Tensor array = read_npy(golden("fortran.npy")).value();
  ASSERT_TRUE(write_npy(array, folder / "fortran.npy"));
  EXPECT_EQ(read_file(folder / "fortran.npy"), read_file(golden("fortran.npy")));
  // The middle dimension outermost.
  const Tensor permuted = Tensor::view(array.storage(), array.dtype(), {2, 3, 4}, {1, 8, 2}, 0).value();
  ASSERT_TRUE(write_npy(permuted, folder / "permuted.npy"));
  const Tensor copy = read_npy(folder / "permuted.npy").value();
  EXPECT_TRUE(copy.is_contiguous());
  const Tensor expected = permuted.contiguous().value();
  EXPECT_TRUE(std::ranges::equal(copy.bytes().value(), expected.bytes().value()));
}

TEST(Npy, T23_BoolsAreWrittenAsZeroAndOne) {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes = {std::byte{0}, std::byte{1}, std::byte{2}, std::byte{255}};
  ASSERT_TRUE(write_npy(Tensor::from_bytes(bytes, DType::boolean, {4}).value(), folder / "bools.npy"));
  EXPECT_EQ(read_file(folder / "bools.npy").substr(128), std::string("\0\1\1\1", 4));
}

TEST(Npy, TypesThatNumpyLacksLeaveNoFile) {
  const TemporaryFolder folder;
  const Status refused = write_npy(Tensor::zeros(DType::bf16, {2}).value(), folder / "bf16.npy");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().finding.message, "NumPy has no dtype for bfloat16");
  EXPECT_FALSE(fs::exists(folder / "bf16.npy"));
}

// --- hostile files
// ----------------------------------------------------------------------------------------------------

std::string with_header(const std::string& dict, const std::string& data) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(dict.size() & 0xFF);
  file += static_cast<char>(dict.size() >> 8);
  return file + dict + data;
}

std::string with_shape(const std::string& shape, const std::string& data) {
  return with_header("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}", data);
}

Result<Tensor> read(const std::string& file, TestSource::Access access = TestSource::Access::read_only) {
  const auto bytes = std::as_bytes(std::span(file));
  return read_npy(std::make_shared<TestSource>(std::vector<std::byte>(bytes.begin(), bytes.end()), access));
}

std::string refusal(const std::string& file) {
  const auto array = read(file);
  return array ? "accepted" : to_string(array.error());
}

TEST(Npy, FilesThatAreNoArraysAreNamed) {
  EXPECT_EQ(refusal(""), "test.pt at 0x0: the file is empty, expected a NumPy array");
  EXPECT_EQ(refusal("PK\x03\x04 and more"),
            "test.pt at 0x0: no NumPy array: the file does not begin with '\\x93NUMPY'");
  EXPECT_EQ(read("<html></html>").error().code, ErrorCode::not_a_checkpoint);
  EXPECT_EQ(refusal(std::string("\x93NUMPY\x04\x00\x00\x00\x00\x00", 12)),
            "test.pt at 0x6: version 4.0 of the .npy format, expected 1.0, 2.0 or 3.0");
  EXPECT_EQ(refusal(std::string("\x93NUMPY\x01\x01\x00\x00\x00\x00", 12)),
            "test.pt at 0x6: version 1.1 of the .npy format, expected 1.0, 2.0 or 3.0");
}

TEST(Npy, AFileCutAtAnyByteIsTruncated) {
  for (const char* name : {"f4.npy", "version2.npy"}) {
    const std::string file = read_file(golden(name));
    for (std::size_t length = 0; length < file.size(); ++length) {
      for (const auto access : {TestSource::Access::read_only, TestSource::Access::mapped}) {
        const auto array = read(file.substr(0, length), access);
        ASSERT_FALSE(array) << length;
        EXPECT_EQ(array.error().code, length == 0 ? ErrorCode::not_a_checkpoint : ErrorCode::truncated) << length;
      }
    }
  }
  const std::string file = read_file(golden("f4.npy"));
  EXPECT_EQ(refusal(file.substr(0, 5)), "test.pt at 0x5: the file ends within the header's first 10 bytes");
  EXPECT_EQ(refusal(file.substr(0, 50)), "test.pt at 0x8: the header takes 118 bytes, 40 are left in the file");
  EXPECT_EQ(refusal(file.substr(0, 140)),
            "test.pt at 0x80: an array of [2, 3] float32 does not fit the 12 bytes behind the header");
}

TEST(Npy, BytesBehindTheArrayAreRefused) {
  EXPECT_EQ(refusal(with_shape("(1,)", "12345")), "test.pt at 0x45: 1 bytes follow the array");
  EXPECT_EQ(read(with_shape("(1,)", "12345")).error().code, ErrorCode::ambiguous);
  EXPECT_TRUE(read(with_shape("(1,)", "1234")));
}

TEST(Npy, HugeShapesAskForNoMemory) {
  EXPECT_EQ(refusal(with_shape("(1099511627776,)", "1234")),
            "test.pt at 0x4d: an array of [1099511627776] float32 does not fit the 4 bytes behind the header");
  EXPECT_EQ(refusal(with_shape("(4294967296, 4294967296)", "")),
            "test.pt at 0x0: sizes [4294967296, 4294967296] overflow a 64-bit count");
  EXPECT_EQ(refusal(with_shape("(-1,)", "")), "test.pt at 0x0: the size of dimension 0 is -1, expected 0 or more");
  EXPECT_EQ(refusal(with_shape("(9223372036854775807,)", "")),
            "test.pt at 0x53: an array of [9223372036854775807] float32 does not fit the 0 bytes behind the header");
  const Tensor empty = read(with_shape("(0, 9223372036854775807)", "")).value();
  EXPECT_EQ(empty.numel(), 0);
}

TEST(Npy, HugeHeadersAreALimit) {
  std::string file("\x93NUMPY\x02\x00", 8);
  file += std::string("\xff\xff\xff\xff", 4);
  EXPECT_EQ(refusal(file + std::string(100, ' ')),
            "test.pt at 0x8: the header takes 4294967295 bytes, expected at most 65535");
  EXPECT_EQ(read(file).error().code, ErrorCode::limit_exceeded);
}

TEST(Npy, OffsetsOfMistakesInTheHeaderCountFromTheFile) {
  EXPECT_EQ(refusal(with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "")),
            "test.pt at 0x14: object arrays hold pickles instead of elements and are refused");
  EXPECT_EQ(refusal(with_header("{'shape': (1,)}", "1234")),
            "test.pt at 0xa: the header is no array description: key 'descr' is missing");
}

TEST(Npy, SourcesThatFailAreReported) {
  const std::string file = read_file(golden("f4.npy"));
  const auto bytes = std::as_bytes(std::span(file));
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{20}, std::uint64_t{130}}) {
    const auto source = std::make_shared<TestSource>(std::vector<std::byte>(bytes.begin(), bytes.end()));
    source->fail_within(at, at + 1);
    const auto array = read_npy(source);
    ASSERT_FALSE(array);
    EXPECT_EQ(array.error().code, ErrorCode::io);
    EXPECT_EQ(array.error().finding.file, "test.pt");
  }
}

TEST(Npy, MissingFilesAndFoldersAreNamed) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_npy(folder / "nothing.npy").error().code, ErrorCode::not_found);
  EXPECT_FALSE(read_npy(folder.path()));
  EXPECT_FALSE(write_npy(Tensor(), folder / "no" / "such" / "folder.npy"));
}

}  // namespace
}  // namespace rushlight
