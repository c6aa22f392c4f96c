// Tensor::dequantize(). What it should give was computed with PyTorch 1.13.1, printed with all its digits.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "rushlight/tensor.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

Tensor codes(DType dtype, const std::vector<std::byte>& bytes, Shape shape, Quantizer quantizer) {
  const Tensor plain = Tensor::from_bytes(bytes, dtype, shape).value();
  TensorOptions options;
  options.quantizer = std::make_shared<const Quantizer>(std::move(quantizer));
  return Tensor::Impl::view(plain.storage(), dtype, shape, contiguous_strides(shape), 0, options).value();
}
template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span<const T>(values));
  return {bytes.begin(), bytes.end()};
}
Quantizer per_tensor(double scale, std::int64_t zero_point) {
  Quantizer quantizer;
  quantizer.scale = scale;
  quantizer.zero_point = zero_point;
  return quantizer;
}
std::vector<float> values_of(const Tensor& tensor) {
  const Result<Tensor> real = tensor.dequantize();
  EXPECT_TRUE(real) << to_string(real.error());
  if (!real) return {};
  EXPECT_EQ(real->dtype(), DType::f32);
  EXPECT_EQ(Shape(real->shape().begin(), real->shape().end()), Shape(tensor.shape().begin(), tensor.shape().end()));
  const auto values = real->values<float>().value();
  return {values.begin(), values.end()};
}

TEST(Quantizer, OneScaleForAll) {
  EXPECT_EQ(values_of(codes(DType::qi8, bytes_of<std::int8_t>({-128, -1, 0, 1, 100, 127}), {6}, per_tensor(0.1, 3))),
            (std::vector<float>{-13.100000381469727F, -0.4000000059604645F, -0.30000001192092896F,
                                -0.20000000298023224F, 9.699999809265137F, 12.40000057220459F}));
  EXPECT_EQ(
      values_of(codes(DType::qu8, bytes_of<std::uint8_t>({0, 1, 7, 128, 200, 255}), {2, 3}, per_tensor(0.3, 128))),
      (std::vector<float>{-0x1.333334p+5F, -0x1.30cccep+5F, -0x1.226668p+5F, 0.0F, 0x1.59999ap+4F, 0x1.30cccep+5F}));
  EXPECT_EQ(
      values_of(codes(DType::qi32, bytes_of<std::int32_t>({-5, 0, 7, 123456789}), {4}, per_tensor(0.001, -7))),
      (std::vector<float>{0.0020000000949949026F, 0.007000000216066837F, 0.014000000432133675F, 123456.8046875F}));
  // Where code - zero point does not fit 32 bits, torch wraps; here it is the difference.
  EXPECT_EQ(values_of(codes(DType::qi32, bytes_of<std::int32_t>({std::numeric_limits<std::int32_t>::max()}), {1},
                            per_tensor(1, -1))),
            std::vector<float>{2147483648.0F});
}

TEST(Quantizer, OneScaleForEachChannel) {
  Quantizer rows;
  rows.scheme = Quantizer::Scheme::per_channel_affine;
  rows.scales = Tensor::from_values<double>(std::vector<double>{0.1, 0.7}, {2}).value();
  rows.zero_points = Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{5, 200}, {2}).value();
  const std::vector<std::byte> bytes = bytes_of<std::uint8_t>({0, 1, 7, 128, 200, 255});
  EXPECT_EQ(values_of(codes(DType::qu8, bytes, {2, 3}, rows)),
            (std::vector<float>{-0.5F, -0.4000000059604645F, 0.20000000298023224F, -50.400001525878906F, 0.0F, 38.5F}));
  Quantizer columns = rows;
  columns.axis = 1;
  columns.scales = Tensor::from_values<double>(std::vector<double>{0.1, 0.7, 0.3}, {3}).value();
  columns.zero_points = Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{5, 200, 0}, {3}).value();
  EXPECT_EQ(values_of(codes(DType::qu8, bytes, {2, 3}, columns)),
            (std::vector<float>{-0.5F, -139.3000030517578F, 2.0999999046325684F, 12.300000190734863F, 0.0F, 76.5F}));
  Quantizer real = rows;
  real.scheme = Quantizer::Scheme::per_channel_affine_float_qparams;
  real.scales = Tensor::from_values<float>(std::vector<float>{0.1F, 0.7F}, {2}).value();
  real.zero_points = Tensor::from_values<float>(std::vector<float>{0.5F, -2.25F}, {2}).value();
  EXPECT_EQ(values_of(codes(DType::qu8, bytes, {2, 3}, real)),
            (std::vector<float>{-0.05000000074505806F, 0.05000000074505806F, 0.6500000357627869F, 91.17499542236328F,
                                141.5749969482422F, 180.0749969482422F}));
}

TEST(Quantizer, ViewsAreReadInCOrder) {
  const Tensor rows = codes(DType::qi8, bytes_of<std::int8_t>({1, 2, 3, 4, 5, 6}), {2, 3}, per_tensor(0.5, 1));
  const Tensor columns =
      Tensor::Impl::view(rows.storage(), DType::qi8, Shape{3, 2}, Strides{1, 3}, 0, rows.options()).value();
  EXPECT_EQ(values_of(columns), (std::vector<float>{0, 1.5F, 0.5F, 2, 1, 2.5F}));
}

TEST(Quantizer, WhatIsNotQuantizedOrWronglyIsRefused) {
  const Result<Tensor> plain = Tensor::zeros(DType::f32, {2}).value().dequantize();
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(plain.error().finding.message, "the tensor of float32 is not quantised");
  // A caller's own quantizer, which no file could have brought.
  Quantizer wrong;
  wrong.scheme = Quantizer::Scheme::per_channel_affine;
  wrong.axis = 1;
  EXPECT_EQ(codes(DType::qi8, bytes_of<std::int8_t>({1, 2}), {2}, wrong).dequantize().error().finding.message,
            "the axis lies outside of the shape");
  wrong.axis = 0;
  EXPECT_EQ(codes(DType::qi8, bytes_of<std::int8_t>({1, 2}), {2}, wrong).dequantize().error().finding.message,
            "scales, expected 2 values, found [0]");
}

TEST(Quantizer, CodesThatRepeatAFewBytesAreNotUnfolded) {
  const Tensor one = codes(DType::qi8, bytes_of<std::int8_t>({1}), {1}, per_tensor(1, 0));
  const Tensor many =
      Tensor::Impl::view(one.storage(), DType::qi8, Shape{std::int64_t{1} << 36}, Strides{0}, 0, one.options()).value();
  const Result<Tensor> real = many.dequantize();
  ASSERT_FALSE(real);
  EXPECT_EQ(real.error().code, ErrorCode::limit_exceeded);
}

}  // namespace
}  // namespace rushlight
