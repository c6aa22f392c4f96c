#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "rushlight/image.hpp"

namespace rushlight {
namespace {

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}

Tensor pixels(const std::vector<std::uint8_t>& values, Shape shape) {
  return Tensor::from_values<std::uint8_t>(values, std::move(shape)).value();
}
std::vector<float> floats(const Tensor& tensor) {
  const std::span<const float> values = tensor.values<float>().value();
  return {values.begin(), values.end()};
}

TEST(ToInput, AddsTheDimensionsThatAreLeftOut) {
  EXPECT_EQ(shape_of(to_input(pixels(std::vector<std::uint8_t>(6), {2, 3}), {}).value()), (Shape{1, 1, 2, 3}));
  EXPECT_EQ(shape_of(to_input(pixels(std::vector<std::uint8_t>(18), {3, 2, 3}), {}).value()), (Shape{1, 3, 2, 3}));
  EXPECT_EQ(shape_of(to_input(pixels(std::vector<std::uint8_t>(6), {1, 2, 3}), {}).value()), (Shape{1, 1, 2, 3}));
  EXPECT_EQ(shape_of(to_input(pixels(std::vector<std::uint8_t>(30), {5, 2, 3}), {}).value()), (Shape{5, 1, 2, 3}));
  EXPECT_EQ(shape_of(to_input(pixels(std::vector<std::uint8_t>(48), {2, 4, 2, 3}), {}).value()), (Shape{2, 4, 2, 3}));
}

// torchvision: ToTensor divides in float32, Normalize subtracts and divides in float32.
TEST(ToInput, NormalisesInFloat32AsTorchvisionDoes) {
  const Tensor input = to_input(pixels({0, 128, 255}, {3, 1, 1}),
                                {.scale = 255, .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}})
                           .value();
  // (torch.tensor([0., 128., 255.]) / 255 - mean) / std in torch 1.13
  EXPECT_EQ(floats(input), (std::vector<float>{-2.1179039478302F, 0.20518219470978F, 2.6400001049042F}));
}

TEST(ToInput, OneMeanServesAllChannels) {
  const Tensor input = to_input(pixels({10, 20, 30}, {3, 1, 1}), {.scale = 10, .mean = {1}, .std = {0.5}}).value();
  EXPECT_EQ(floats(input), (std::vector<float>{0, 2, 4}));
}

// (R * 19595 + G * 38470 + B * 7471 + 0x8000) >> 16, as libImaging/Convert.c has it. The last ones sit on
// edges of the rounding: each of the weights, one more or one less, would give another grey.
TEST(ToInput, ColourBecomesGreyByPilsWeights) {
  struct Case {
    std::uint8_t r, g, b;
    float grey;
  };
  for (const Case& one :
       {Case{255, 0, 0, 76}, Case{0, 255, 0, 150}, Case{0, 0, 255, 29}, Case{255, 255, 255, 255}, Case{1, 2, 3, 2},
        Case{200, 100, 50, 124}, Case{0, 0, 0, 0}, Case{17, 230, 91, 150}, Case{0, 0, 250, 28}, Case{0, 1, 201, 24},
        Case{0, 8, 86, 14}, Case{0, 12, 4, 8}, Case{1, 53, 185, 53}, Case{1, 63, 230, 63}}) {
    const Tensor input = to_input(pixels({one.r, one.g, one.b}, {3, 1, 1}), {}, 1).value();
    EXPECT_EQ(shape_of(input), (Shape{1, 1, 1, 1}));
    EXPECT_EQ(floats(input)[0], one.grey) << int{one.r} << " " << int{one.g} << " " << int{one.b};
  }
}

TEST(ToInput, GreyBecomesThreeEqualChannels) {
  EXPECT_EQ(floats(to_input(pixels({7, 9}, {1, 1, 2}), {.scale = 1, .mean = {1, 2, 3}}, 3).value()),
            (std::vector<float>{6, 8, 5, 7, 4, 6}));
}

TEST(ToInput, ColourPlanesOfEachItemStayTogether) {
  const Tensor batch = pixels({255, 255, 0, 0, 0, 0, 0, 0, 0, 255, 0, 255}, {2, 3, 1, 2});
  EXPECT_EQ(floats(to_input(batch, {}, 1).value()), (std::vector<float>{76, 76, 0, 179}));
}

TEST(ToInput, OtherDtypesAreConverted) {
  const std::vector<float> values = {0.25F, -1.5F};
  EXPECT_EQ(floats(to_input(Tensor::from_values<float>(values, {1, 2}).value(), {.scale = 0.5}).value()),
            (std::vector<float>{0.5F, -3.0F}));
  const std::vector<std::int64_t> integers = {300, -2};
  EXPECT_EQ(floats(to_input(Tensor::from_values<std::int64_t>(integers, {1, 2}).value(), {}).value()),
            (std::vector<float>{300, -2}));
}

TEST(ToInput, StridedPixelsAreReadInTheirOrder) {
  const Tensor dense = pixels({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor turned = Tensor::view(dense.storage(), DType::u8, {3, 2}, {1, 3}, 0).value();
  EXPECT_EQ(floats(to_input(turned, {}).value()), (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST(ToInput, AnEmptySetIsAnEmptyInput) {
  EXPECT_EQ(shape_of(to_input(pixels({}, {0, 28, 28}), {}).value()), (Shape{0, 1, 28, 28}));
}

// Found by fuzzing: a step of four gigabytes for the channels of pictures that are not there.
TEST(ToInput, AnEmptySetMayClaimAnyNumberOfChannels) {
  const Shape shape = {0, std::int64_t{1} << 40, 2, 3};
  EXPECT_EQ(shape_of(to_input(pixels({}, shape), {.scale = 255, .mean = {0.5}, .std = {0.5}}).value()), shape);
}

TEST(ToInput, RefusesWhatItCannotDo) {
  const auto problem = [](const Tensor& tensor, const Preprocessing& preprocessing, std::int64_t channels = 0) {
    const Result<Tensor> input = to_input(tensor, preprocessing, channels);
    if (input) return std::string("no problem");
    EXPECT_EQ(input.error().code, ErrorCode::invalid_argument);
    return input.error().finding.message;
  };
  const Tensor colour = pixels(std::vector<std::uint8_t>(3), {3, 1, 1});
  EXPECT_EQ(problem(pixels({1}, {1}), {}), "pixels: expected [N, C, H, W], or less, found [1]");
  EXPECT_EQ(problem(colour, {}, 4), "pixels: expected 4 channels, found 3 in [3, 1, 1]");
  EXPECT_EQ(problem(colour, {}, -1), "channels: expected at least 0, found -1");
  EXPECT_EQ(problem(colour, {.scale = 0}), "scale: expected a number other than 0");
  EXPECT_EQ(problem(colour, {.scale = NAN}), "scale: expected a number other than 0");
  EXPECT_EQ(problem(colour, {.mean = {1, 2}}), "mean: expected 1 or 3 numbers, found 2");
  EXPECT_EQ(problem(colour, {.mean = {1, 2, 3}}, 1), "mean: expected 1 number, found 3");
  EXPECT_EQ(problem(colour, {.std = {1, 0, 1}}), "std: expected numbers other than 0");
  EXPECT_EQ(problem(colour, {.mean = {INFINITY}}), "mean: expected numbers");
}

}  // namespace
}  // namespace rushlight
