// Sparse and nested tensors: their indices checked, and the strided tensors that sparse ones stand for. What to_dense()
// should give was computed with PyTorch 1.13.1, but where a comment says otherwise.
#include "rushlight/composite_tensor.hpp"

#include <gtest/gtest.h>

#include <complex>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

using Longs = std::vector<std::int64_t>;

Tensor longs(const Longs& values, Shape shape) {
  return Tensor::from_values<std::int64_t>(values, std::move(shape)).value();
}
Tensor floats(const std::vector<float>& values, Shape shape) {
  return Tensor::from_values<float>(values, std::move(shape)).value();
}
std::vector<float> counting(int count) {
  std::vector<float> values;
  for (int i = 1; i <= count; ++i) values.push_back(static_cast<float>(i));
  return values;
}
CompositeTensor sparse(Layout layout, Shape shape, std::vector<Tensor> parts) {
  Result<CompositeTensor> tensor = CompositeTensor::sparse(layout, std::move(shape), std::move(parts));
  EXPECT_TRUE(tensor) << to_string(tensor.error());
  return *tensor;
}
std::vector<float> dense(const CompositeTensor& tensor) {
  const Result<Tensor> made = tensor.to_dense();
  EXPECT_TRUE(made) << to_string(made.error());
  if (!made) return {};
  EXPECT_EQ(Shape(made->shape().begin(), made->shape().end()), tensor.shape());
  const auto values = made->values<float>().value();
  return {values.begin(), values.end()};
}
std::string checked(const CompositeTensor& tensor) {
  const Status status = tensor.check_indices();
  if (status) return "ok";
  EXPECT_EQ(status.error().finding.category, Category::tensor);
  return status.error().finding.code + ": " + status.error().finding.message;
}

const Longs kPointers = {0, 2, 3};
const Longs kPlaces = {0, 2, 1};

TEST(CompositeTensor, CooAddsUpWhatIsThereTwice) {
  const Tensor indices = longs({0, 1, 1, 0, 2, 0, 0, 2}, {2, 4});
  EXPECT_EQ(dense(sparse(Layout::sparse_coo, {2, 3}, {indices, floats(counting(4), {4})})),
            (std::vector<float>{0, 0, 5, 5, 0, 0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_coo, {2, 3, 2}, {indices, floats({1, 10, 2, 20, 3, 30, 4, 40}, {4, 2})})),
            (std::vector<float>{0, 0, 0, 0, 5, 50, 5, 50, 0, 0, 0, 0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_coo, {2, 2}, {longs({}, {2, 0}), floats({}, {0})})), std::vector<float>(4, 0));
}

TEST(CompositeTensor, CompressedLayoutsAreMadeDense) {
  const auto parts = [](std::vector<float> values, Shape shape) {
    return std::vector<Tensor>{longs(kPointers, {3}), longs(kPlaces, {3}), floats(values, std::move(shape))};
  };
  EXPECT_EQ(dense(sparse(Layout::sparse_csr, {2, 3}, parts(counting(3), {3}))), (std::vector<float>{1, 0, 2, 0, 3, 0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_csc, {3, 2}, parts(counting(3), {3}))), (std::vector<float>{1, 0, 0, 3, 2, 0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_bsr, {4, 6}, parts(counting(12), {3, 2, 2}))),
            (std::vector<float>{1, 2, 0, 0, 5, 6, 3, 4, 0, 0, 7, 8, 0, 0, 9, 10, 0, 0, 0, 0, 11, 12, 0, 0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_bsc, {6, 4}, parts(counting(12), {3, 2, 2}))),
            (std::vector<float>{1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 9, 10, 0, 0, 11, 12, 5, 6, 0, 0, 7, 8, 0, 0}));
  // Blocks that are not square.
  EXPECT_EQ(dense(sparse(Layout::sparse_bsr, {4, 9}, parts(counting(18), {3, 2, 3}))),
            (std::vector<float>{1, 2, 3, 0,  0,  0,  7, 8, 9, 4, 5, 6, 0,  0,  0,  10, 11, 12,
                                0, 0, 0, 13, 14, 15, 0, 0, 0, 0, 0, 0, 16, 17, 18, 0,  0,  0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_bsc, {6, 6}, parts(counting(18), {3, 2, 3}))),
            (std::vector<float>{1, 2, 3, 0,  0,  0,  4, 5, 6, 0, 0, 0, 0,  0,  0,  13, 14, 15,
                                0, 0, 0, 16, 17, 18, 7, 8, 9, 0, 0, 0, 10, 11, 12, 0,  0,  0}));
  // Hybrid values, which 1.13 refuses: each value is a row of two.
  EXPECT_EQ(dense(sparse(Layout::sparse_csr, {2, 3, 2}, parts({1, 10, 2, 20, 3, 30}, {3, 2}))),
            (std::vector<float>{1, 10, 0, 0, 2, 20, 0, 0, 3, 30, 0, 0}));
}

TEST(CompositeTensor, BatchesOfCompressedMatricesAreMadeDense) {
  const std::vector<Tensor> parts = {longs({0, 2, 3, 0, 1, 3}, {2, 3}), longs({0, 2, 1, 2, 0, 1}, {2, 3}),
                                     floats(counting(6), {2, 3})};
  EXPECT_EQ(dense(sparse(Layout::sparse_csr, {2, 2, 3}, parts)),
            (std::vector<float>{1, 0, 2, 0, 3, 0, 0, 0, 4, 5, 6, 0}));
  EXPECT_EQ(dense(sparse(Layout::sparse_csc, {2, 3, 2}, parts)),
            (std::vector<float>{1, 0, 0, 3, 2, 0, 0, 5, 0, 6, 4, 0}));
}

// Values 100, 2, 60, 100 (200 first where nothing is negative), of which the first and last, and the two others, meet.
template <class T>
std::vector<T> added(DType dtype, const std::vector<T>& values) {
  const Tensor stored = Tensor::from_bytes(std::as_bytes(std::span<const T>(values)), dtype, {4}).value();
  const CompositeTensor tensor = sparse(Layout::sparse_coo, {2, 3}, {longs({0, 1, 1, 0, 2, 0, 0, 2}, {2, 4}), stored});
  const Tensor made = tensor.to_dense().value();
  EXPECT_EQ(made.dtype(), dtype);
  std::vector<T> out(6);
  std::memcpy(out.data(), made.bytes().value().data(), 6 * sizeof(T));
  return out;
}
TEST(CompositeTensor, EveryDtypeAddsAsItsOwn) {
  EXPECT_EQ(added<std::uint8_t>(DType::u8, {200, 2, 60, 100}), (std::vector<std::uint8_t>{0, 0, 44, 62, 0, 0}));
  EXPECT_EQ(added<std::int8_t>(DType::i8, {100, 2, 60, 100}), (std::vector<std::int8_t>{0, 0, -56, 62, 0, 0}));
  EXPECT_EQ(added<std::int16_t>(DType::i16, {100, 2, 60, 100}), (std::vector<std::int16_t>{0, 0, 200, 62, 0, 0}));
  EXPECT_EQ(added<std::int32_t>(DType::i32, {100, 2, 60, 100}), (std::vector<std::int32_t>{0, 0, 200, 62, 0, 0}));
  EXPECT_EQ(added<std::int64_t>(DType::i64, {100, 2, 60, 100}), (std::vector<std::int64_t>{0, 0, 200, 62, 0, 0}));
  EXPECT_EQ(added<double>(DType::f64, {100, 2, 60, 100}), (std::vector<double>{0, 0, 200, 62, 0, 0}));
  EXPECT_EQ(added<std::complex<float>>(DType::c64, {{100, 1}, 2, 60, {100, 2}}),
            (std::vector<std::complex<float>>{0, 0, {200, 3}, 62, 0, 0}));
  EXPECT_EQ(added<std::complex<double>>(DType::c128, {{100, 1}, 2, 60, {100, 2}}),
            (std::vector<std::complex<double>>{0, 0, {200, 3}, 62, 0, 0}));
  // Wider than 1.13 knows: unsigned arithmetic.
  EXPECT_EQ(added<std::uint16_t>(DType::u16, {65000, 2, 60, 1000}), (std::vector<std::uint16_t>{0, 0, 464, 62, 0, 0}));
  EXPECT_EQ(added<std::uint32_t>(DType::u32, {4294967295u, 2, 60, 3}), (std::vector<std::uint32_t>{0, 0, 2, 62, 0, 0}));
  EXPECT_EQ(added<std::int64_t>(DType::i64, {std::numeric_limits<std::int64_t>::max(), 2, 60, 1})[2],
            std::numeric_limits<std::int64_t>::min());
  // 100, 2, 60, 100 and 200, 62.
  EXPECT_EQ(added<std::uint16_t>(DType::f16, {0x5640, 0x4000, 0x5380, 0x5640}),
            (std::vector<std::uint16_t>{0, 0, 0x5A40, 0x53C0, 0, 0}));
  EXPECT_EQ(added<std::uint16_t>(DType::bf16, {0x42C8, 0x4000, 0x4270, 0x42C8}),
            (std::vector<std::uint16_t>{0, 0, 0x4348, 0x4278, 0, 0}));
  EXPECT_EQ(added<std::uint8_t>(DType::boolean, {1, 0, 1, 1}), (std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0}));
}

TEST(CompositeTensor, WhatHasNoDenseFormSaysSo) {
  const std::vector<std::byte> bytes(4);
  const Tensor codes = Tensor::from_bytes(bytes, DType::f8_e4m3fn, {4}).value();
  const Result<Tensor> made =
      sparse(Layout::sparse_coo, {2, 3}, {longs({0, 1, 1, 0, 2, 0, 0, 2}, {2, 4}), codes}).to_dense();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unsupported);
  EXPECT_EQ(made.error().finding.message, "there is no strided tensor for a sparse_coo tensor of float8_e4m3fn");
  const CompositeTensor nested =
      CompositeTensor::nested(Layout::jagged, {floats(counting(4), {4}), longs({0, 4}, {2})}).value();
  EXPECT_EQ(nested.to_dense().error().finding.message, "there is no strided tensor for a jagged tensor of float32");
}

TEST(CompositeTensor, AHugeShapeIsNotMadeDense) {
  const CompositeTensor huge =
      sparse(Layout::sparse_coo, {std::int64_t{1} << 40}, {longs({5}, {1, 1}), floats({1}, {1})});
  EXPECT_EQ(checked(huge), "ok");
  const Result<Tensor> made = huge.to_dense();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(made.error().finding.message, "a strided tensor of [1099511627776] takes more than 4294967296 bytes");
  EXPECT_EQ(sparse(Layout::sparse_coo, {3}, {longs({1}, {1, 1}), floats({1}, {1})}).to_dense(11).error().code,
            ErrorCode::limit_exceeded);
}

TEST(CompositeTensor, TheFirstWrongIndexOfCooIsNamed) {
  const auto with = [](Longs indices) {
    return sparse(Layout::sparse_coo, {2, 3}, {longs(indices, {2, 2}), floats({1, 2}, {2})});
  };
  EXPECT_EQ(checked(with({0, 1, 2, 0})), "ok");
  EXPECT_EQ(checked(with({0, 2, 3, 0})), "TENSOR-SPARSE-INDEX: indices 1, expected from 0 to 1, found 2");
  EXPECT_EQ(checked(with({0, 1, 3, -1})), "TENSOR-SPARSE-INDEX: indices 2, expected from 0 to 2, found 3");
  EXPECT_EQ(checked(with({0, 1, 2, std::numeric_limits<std::int64_t>::min()})),
            "TENSOR-SPARSE-INDEX: indices 3, expected from 0 to 2, found -9223372036854775808");
  EXPECT_EQ(with({0, 2, 3, 0}).to_dense().error().finding.code, "TENSOR-SPARSE-INDEX");
}

TEST(CompositeTensor, TheFirstWrongIndexOfCompressedLayoutsIsNamed) {
  const auto with = [](Longs pointers, Longs places, Layout layout = Layout::sparse_csr) {
    const Shape shape = layout == Layout::sparse_csr ? Shape{2, 3} : Shape{3, 2};
    return checked(sparse(layout, shape, {longs(pointers, {3}), longs(places, {3}), floats({1, 2, 3}, {3})}));
  };
  EXPECT_EQ(with({0, 2, 3}, {0, 2, 1}), "ok");
  EXPECT_EQ(with({1, 2, 3}, {0, 2, 1}), "TENSOR-SPARSE-INDEX: crow_indices 0, expected 0, found 1");
  EXPECT_EQ(with({0, 4, 3}, {0, 2, 1}), "TENSOR-SPARSE-INDEX: crow_indices 1, expected from 0 to 3, found 4");
  EXPECT_EQ(with({0, -1, 3}, {0, 2, 1}), "TENSOR-SPARSE-INDEX: crow_indices 1, expected from 0 to 3, found -1");
  EXPECT_EQ(with({0, 2, 1}, {0, 2, 1}), "TENSOR-SPARSE-INDEX: crow_indices 2, expected from 2 to 3, found 1");
  EXPECT_EQ(with({0, 1, 2}, {0, 2, 1}), "TENSOR-SPARSE-INDEX: crow_indices 2, expected 3, found 2");
  EXPECT_EQ(with({0, std::numeric_limits<std::int64_t>::max(), 3}, {0, 2, 1}),
            "TENSOR-SPARSE-INDEX: crow_indices 1, expected from 0 to 3, found 9223372036854775807");
  EXPECT_EQ(with({0, 2, 3}, {0, 3, 1}), "TENSOR-SPARSE-INDEX: col_indices 1, expected from 1 to 2, found 3");
  EXPECT_EQ(with({0, 2, 3}, {-1, 2, 1}), "TENSOR-SPARSE-INDEX: col_indices 0, expected from 0 to 2, found -1");
  // Not sorted, and one place twice.
  EXPECT_EQ(with({0, 2, 3}, {2, 0, 1}), "TENSOR-SPARSE-INDEX: col_indices 1, expected from 3 to 2, found 0");
  EXPECT_EQ(with({0, 2, 3}, {1, 1, 1}), "TENSOR-SPARSE-INDEX: col_indices 1, expected from 2 to 2, found 1");
  EXPECT_EQ(with({0, 2, 3}, {0, 2, 4}, Layout::sparse_csc),
            "TENSOR-SPARSE-INDEX: row_indices 2, expected from 0 to 2, found 4");
  // In a batch, positions count through.
  EXPECT_EQ(checked(sparse(
                Layout::sparse_csr, {2, 2, 3},
                {longs({0, 2, 3, 0, 1, 3}, {2, 3}), longs({0, 2, 1, 2, 0, 7}, {2, 3}), floats(counting(6), {2, 3})})),
            "TENSOR-SPARSE-INDEX: col_indices 5, expected from 1 to 2, found 7");
  // Blocks are counted, not their elements.
  EXPECT_EQ(checked(sparse(Layout::sparse_bsr, {4, 6},
                           {longs({0, 2, 3}, {3}), longs({0, 3, 1}, {3}), floats(counting(12), {3, 2, 2})})),
            "TENSOR-SPARSE-INDEX: col_indices 1, expected from 1 to 2, found 3");
}

TEST(CompositeTensor, NestedTensorsLieWithinTheirBuffer) {
  const auto strided = [](Longs sizes, Longs strides, Longs offsets) {
    return checked(CompositeTensor::nested(Layout::strided, {floats(counting(8), {8}), longs(sizes, {2, 2}),
                                                             longs(strides, {2, 2}), longs(offsets, {2})})
                       .value());
  };
  EXPECT_EQ(strided({2, 2, 1, 4}, {2, 1, 4, 1}, {0, 4}), "ok");
  const std::string beyond = strided({2, 2, 1, 4}, {2, 1, 4, 1}, {0, 5});
  EXPECT_NE(beyond.find(": tensor 1 of the nested one: "), std::string::npos) << beyond;
  for (const std::string& wrong :
       {strided({-2, 2, 1, 4}, {2, 1, 4, 1}, {0, 4}), strided({2, 2, 1, 4}, {-2, 1, 4, 1}, {0, 4}),
        strided({2, 2, 1, 4}, {2, 1, 4, 1}, {-1, 4}),
        strided({std::numeric_limits<std::int64_t>::max(), 2, 1, 4}, {2, 1, 4, 1}, {0, 4})}) {
    EXPECT_NE(wrong.find(": tensor 0 of the nested one: "), std::string::npos) << wrong;
  }
  const auto jagged = [](Longs offsets, Longs lengths) {
    std::vector<Tensor> parts = {floats(counting(6), {6}), longs(offsets, {static_cast<std::int64_t>(offsets.size())})};
    if (!lengths.empty()) parts.push_back(longs(lengths, {static_cast<std::int64_t>(lengths.size())}));
    return checked(CompositeTensor::nested(Layout::jagged, std::move(parts)).value());
  };
  EXPECT_EQ(jagged({0, 2, 6}, {}), "ok");
  EXPECT_EQ(jagged({0, 2, 6}, {1, 4}), "ok");
  EXPECT_EQ(jagged({0, 2, 7}, {}), "TENSOR-SPARSE-INDEX: offsets 2, expected from 2 to 6, found 7");
  EXPECT_EQ(jagged({0, 3, 2}, {}), "TENSOR-SPARSE-INDEX: offsets 2, expected from 3 to 6, found 2");
  EXPECT_EQ(jagged({-1, 3, 6}, {}), "TENSOR-SPARSE-INDEX: offsets 0, expected from 0 to 6, found -1");
  EXPECT_EQ(jagged({0, 2, 6}, {3, 4}), "TENSOR-SPARSE-INDEX: lengths 0, expected from 0 to 2, found 3");
  EXPECT_EQ(jagged({0, 2, 6}, {1, -1}), "TENSOR-SPARSE-INDEX: lengths 1, expected from 0 to 4, found -1");
  EXPECT_EQ(jagged({0, 2, 6}, {1, 1, 1}), "TENSOR-SPARSE-INDEX: lengths 2, expected from 0 to 0, found 1");
}

TEST(CompositeTensor, IndicesThatRepeatAFewBytesAreNotUnfolded) {
  const Tensor one = longs({0}, {1});
  const Tensor repeated =
      Tensor::Impl::view(one.storage(), DType::i64, Shape{1, std::int64_t{1} << 36}, Strides{0, 0}, 0).value();
  const Tensor value = floats({1}, {1});
  const Tensor values =
      Tensor::Impl::view(value.storage(), DType::f32, Shape{std::int64_t{1} << 36}, Strides{0}, 0).value();
  const CompositeTensor bomb = sparse(Layout::sparse_coo, {3}, {repeated, values});
  const Status status = bomb.check_indices();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(bomb.to_dense().error().code, ErrorCode::limit_exceeded);
}

}  // namespace
}  // namespace rushlight
