#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "rushlight/image.hpp"

namespace rushlight {
namespace {

using Values = std::vector<int>;

Tensor pixels(const std::vector<std::uint8_t>& values, Shape shape) {
  return Tensor::from_values<std::uint8_t>(values, std::move(shape)).value();
}
// 0, 1, 2, ... in one channel.
Tensor counted(std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(height * width));
  std::iota(values.begin(), values.end(), std::uint8_t{0});
  return pixels(values, {1, height, width});
}
// 12 x 3 pixels without any pattern.
Tensor tall() {
  std::vector<std::uint8_t> values;
  for (unsigned y = 0; y < 12; ++y) {
    for (unsigned x = 0; x < 3; ++x) {
      values.push_back(static_cast<std::uint8_t>(37 * y * y + 91 * x * x * x + 53 * x * y + 11));
    }
  }
  return pixels(values, {1, 12, 3});
}

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}
Values changed(const Tensor& from, const ImageTransform& transform) {
  const Result<Tensor> result = resize_and_crop(from, transform);
  if (!result) {
    ADD_FAILURE() << to_string(result.error());
    return {};
  }
  const std::span<const std::uint8_t> values = result->values<std::uint8_t>().value();
  return {values.begin(), values.end()};
}
ImageTransform to_size(ResizeTo size, Interpolation interpolation, Resampling resampling = Resampling::pil) {
  ImageTransform transform;
  transform.resize = size;
  transform.interpolation = interpolation;
  transform.resampling = resampling;
  return transform;
}
ImageTransform to_crop(IntPair size) {
  ImageTransform transform;
  transform.center_crop = size;
  return transform;
}

// torchvision 0.29 with Pillow 13.0: v2.Resize((h, w), interpolation)(Image.fromarray(...)).
TEST(Resize, EqualsPilsToTheLastBit) {
  EXPECT_EQ(changed(tall(), to_size({14, 2}, Interpolation::bicubic)),
            (Values{36,  188, 88,  159, 134, 99,  113, 81,  87,  136, 106, 181, 109, 93,
                    119, 171, 110, 237, 74,  145, 148, 112, 216, 153, 153, 168, 93,  166}));
  EXPECT_EQ(changed(tall(), to_size({5, 2}, Interpolation::bilinear)),
            (Values{90, 142, 106, 121, 113, 158, 123, 152, 153, 159}));
  EXPECT_EQ(changed(tall(), to_size({5, 7}, Interpolation::nearest)),
            (Values{48,  48,  192, 192, 192, 114, 114, 88, 88,  82,  82,  82,  110, 110, 63,  63,  216, 216,
                    216, 147, 147, 75,  75,  78,  78,  78, 115, 115, 127, 127, 236, 236, 236, 123, 123}));
}

// Down the columns first: what is rounded and cut off between the passes differs.
TEST(Resize, GoesDownFirstWherePillowDoes) {
  EXPECT_EQ(changed(tall(), to_size({4, 7}, Interpolation::bicubic)),
            (Values{64, 76, 105, 132, 137, 133, 133, 117, 113, 101, 97,  120, 148, 158,
                    68, 88, 135, 178, 175, 159, 154, 140, 146, 160, 170, 159, 145, 139}));
}

// v2.Resize((5, 7), interpolation, antialias=...)(torch.from_numpy(...)[None]) of torch 2.15.
TEST(Resize, EqualsThatOfTensors) {
  const auto tensor = [](Interpolation interpolation, bool smooth) {
    return changed(tall(), to_size({5, 7}, interpolation, smooth ? Resampling::tensor : Resampling::tensor_not_smooth));
  };
  EXPECT_EQ(tensor(Interpolation::bicubic, true),
            (Values{50,  65,  104, 140, 147, 144, 144, 117, 113, 102, 95,  109, 127, 134, 91,  99,  115, 135,
                    155, 172, 179, 79,  98,  147, 187, 171, 141, 130, 147, 150, 159, 165, 161, 154, 151}));
  EXPECT_EQ(tensor(Interpolation::bicubic, false),
            (Values{9,   44,  117, 177, 181, 155, 147, 83,  83,  82,  86,  101, 118, 125, 128, 122, 107, 100,
                    111, 128, 136, 63,  66,  69,  81,  102, 121, 131, 116, 130, 158, 181, 178, 163, 156}));
  EXPECT_EQ(tensor(Interpolation::bilinear, true),
            (Values{61,  72,  105, 139, 141, 143, 144, 109, 108, 104, 100, 114, 128, 133, 98,  104, 121, 138,
                    151, 166, 170, 91,  103, 140, 176, 160, 144, 138, 143, 147, 158, 170, 163, 155, 153}));
  EXPECT_EQ(tensor(Interpolation::bilinear, false),
            (Values{37,  56,  110, 165, 158, 150, 148, 88,  88,  88,  88,  102, 116, 121, 116, 116, 115, 114,
                    128, 142, 147, 71,  74,  84,  94,  108, 121, 126, 130, 137, 157, 178, 169, 160, 157}));
  const Values nearest = {11,  11,  11,  102, 102, 227, 227, 159, 159, 159, 100, 100, 75,  75,  91,  91, 91, 138,
                          138, 219, 219, 32,  32,  32,  238, 238, 222, 222, 192, 192, 192, 248, 248, 82, 82};
  EXPECT_EQ(tensor(Interpolation::nearest, true), nearest);
  EXPECT_EQ(tensor(Interpolation::nearest, false), nearest);
}

TEST(Resize, OneNumberIsTheShorterSide) {
  const auto size = [](std::int64_t height, std::int64_t width, ResizeTo to) {
    const Shape shape = shape_of(resize_and_crop(counted(height, width), to_size(to, Interpolation::bilinear)).value());
    return IntPair(shape[2], shape[3]);
  };
  EXPECT_EQ(size(10, 15, 7), IntPair(7, 10)) << "int(7 * 15 / 10)";
  EXPECT_EQ(size(15, 10, 7), IntPair(10, 7));
  EXPECT_EQ(size(9, 9, 4), IntPair(4, 4));
  EXPECT_EQ(size(10, 15, {3, 2}), IntPair(3, 2));
  EXPECT_EQ(size(10, 15, 10), IntPair(10, 15));
}

TEST(CenterCrop, TakesTheMiddle) {
  EXPECT_EQ(changed(counted(3, 3), to_crop(1)), (Values{4}));
  EXPECT_EQ(changed(counted(4, 4), to_crop(2)), (Values{5, 6, 9, 10}));
  EXPECT_EQ(changed(counted(2, 3), to_crop({2, 1})), (Values{1, 4}));
}

// Where the rest is odd its half is rounded to an even number, as Python's round() does: 0.5 to 0, 1.5 to 2, 2.5 to 2.
TEST(CenterCrop, RoundsHalvesToEven) {
  EXPECT_EQ(changed(counted(1, 2), to_crop(1)), (Values{0}));
  EXPECT_EQ(changed(counted(1, 4), to_crop(1)), (Values{2}));
  EXPECT_EQ(changed(counted(1, 6), to_crop(1)), (Values{2}));
  EXPECT_EQ(changed(counted(1, 8), to_crop(1)), (Values{4}));
}

TEST(CenterCrop, AddsZerosWhereThePictureIsSmaller) {
  EXPECT_EQ(changed(pixels({7}, {1, 1, 1}), to_crop({1, 4})), (Values{0, 7, 0, 0}));
  EXPECT_EQ(changed(pixels({7}, {1, 1, 1}), to_crop({3, 1})), (Values{0, 7, 0}));
  EXPECT_EQ(changed(pixels({1, 2, 3}, {1, 1, 3}), to_crop({3, 1})), (Values{0, 2, 0}));
}

// The part that is cropped is computed alone: it must be what the whole would have there.
TEST(Transform, CropsWhatTheWholePictureWouldHave) {
  for (const Resampling resampling : {Resampling::pil, Resampling::tensor, Resampling::tensor_not_smooth}) {
    for (const Interpolation interpolation :
         {Interpolation::nearest, Interpolation::bilinear, Interpolation::bicubic}) {
      for (const ResizeTo size : {ResizeTo(9, 8), ResizeTo(20, 2), ResizeTo(5, 40)}) {
        ImageTransform both = to_size(size, interpolation, resampling);
        both.center_crop = {4, 3};
        const Tensor whole = resize_and_crop(tall(), to_size(size, interpolation, resampling)).value();
        EXPECT_EQ(changed(tall(), both), changed(whole, to_crop({4, 3})));
      }
    }
  }
}

TEST(Transform, NormalisesAfterwards) {
  ImageTransform transform = ImageTransform::imagenet();
  EXPECT_EQ(transform.resize, ResizeTo(256));
  EXPECT_EQ(transform.center_crop, IntPair(224));
  const Tensor grey = pixels(std::vector<std::uint8_t>(300 * 300, 128), {1, 300, 300});
  transform.channels = 3;
  const Tensor input = transform_image(grey, transform).value();
  EXPECT_EQ(shape_of(input), (Shape{1, 3, 224, 224}));
  const std::span<const float> values = input.values<float>().value();
  // ToTensor and Normalize of torchvision 0.29
  EXPECT_EQ(values.front(), 0.07406463F);
  EXPECT_EQ(values[224 * 224], 0.2051822F);
  EXPECT_EQ(values.back(), 0.42649257F);
}

TEST(Transform, BecomesGreyBeforeItIsResized) {
  // The greys of (1, 0, 0) and (0, 0, 4) are both 0; that of what lies between them, (1, 0, 2), would be 1.
  const Tensor colour = pixels({1, 0, 0, 0, 0, 4}, {3, 1, 2});
  ImageTransform transform = to_size({1, 1}, Interpolation::bilinear);
  transform.preprocessing = {};
  ASSERT_EQ(changed(colour, transform), (Values{1, 0, 2}));
  ASSERT_EQ(to_input(pixels({1, 0, 2}, {3, 1, 1}), {}, 1).value().values<float>().value()[0], 1);
  transform.channels = 1;
  const Tensor input = transform_image(colour, transform).value();
  EXPECT_EQ(shape_of(input), (Shape{1, 1, 1, 1}));
  EXPECT_EQ(input.values<float>().value()[0], 0);
}

TEST(Transform, SeveralPicturesMakeABatch) {
  ImageTransform transform = to_size({1, 1}, Interpolation::nearest);
  transform.preprocessing = {};
  const std::vector<Tensor> pictures = {pixels({7}, {1, 1, 1}), pixels({9, 8}, {1, 2, 1})};
  const Tensor batch = transform_images(pictures, transform).value();
  EXPECT_EQ(shape_of(batch), (Shape{2, 1, 1, 1}));
  const std::span<const float> values = batch.values<float>().value();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()), (std::vector<float>{7, 8}));

  const Result<Tensor> unlike = transform_images(pictures, {});
  ASSERT_FALSE(unlike);
  EXPECT_EQ(unlike.error().code, ErrorCode::mismatch);
  EXPECT_EQ(unlike.error().finding.message,
            "pictures of one batch: expected [1, 1, 1, 1] as of the first, found [1, 1, 2, 1] at 1");
  EXPECT_EQ(transform_images({}, {}).error().finding.message, "pictures: expected at least one");
}

TEST(Transform, RefusesWhatItCannotDo) {
  const auto problem = [](const Tensor& from, const ImageTransform& transform, const Limits& limits = {}) {
    const Result<Tensor> result = transform_image(from, transform, limits);
    if (result) return std::string("no problem");
    return std::string(to_string(result.error().code)) + ": " + result.error().finding.message;
  };
  const ImageTransform crop = to_crop(1);
  EXPECT_EQ(problem(Tensor::zeros(DType::f32, {1, 2, 2}).value(), crop),
            "invalid_argument: pixels: only uint8 ones are resized and cropped, found float32");
  EXPECT_EQ(problem(pixels({}, {0, 3, 2, 2}), crop),
            "invalid_argument: pixels: there is nothing to resize or crop in [0, 3, 2, 2]");
  EXPECT_EQ(problem(pixels({1}, {1}), crop), "invalid_argument: pixels: expected [N, C, H, W], or less, found [1]");
  EXPECT_EQ(problem(counted(2, 2), to_crop({-1, 2})),
            "invalid_argument: crop: expected sizes of 1 to 2147483647, found -1 x 2");
  EXPECT_EQ(problem(counted(2, 2), to_size({0, 2}, Interpolation::nearest)),
            "invalid_argument: resize: expected sizes of 1 to 2147483647, found 0 x 2");
  EXPECT_EQ(problem(counted(1, 200), to_size(std::int64_t{1} << 30, Interpolation::nearest)),
            "invalid_argument: resize: a picture of 1 x 200 pixels has no size with 1073741824 at its shorter side");
}

// A picture of one row would become very long.
TEST(Transform, WhatIsMadeHasLimitsToo) {
  Limits limits;
  limits.image_pixels = 1000;
  const auto problem = [&](const ImageTransform& transform) {
    const Result<Tensor> result = resize_and_crop(counted(1, 200), transform, limits);
    if (result) return std::string("no problem");
    EXPECT_EQ(result.error().code, ErrorCode::limit_exceeded);
    return result.error().finding.message;
  };
  EXPECT_EQ(problem(to_size(3, Interpolation::bilinear)),
            "the resized picture has 3 x 600 pixels, limits.image_pixels allows 1000");
  ImageTransform cropped = to_size(2, Interpolation::bilinear);
  cropped.center_crop = {2, 501};
  EXPECT_EQ(problem(cropped), "the cropped picture has 2 x 501 pixels, limits.image_pixels allows 1000");
  cropped.center_crop = {2, 500};
  EXPECT_EQ(problem(cropped), "no problem");
  const Result<Tensor> between = resize_and_crop(counted(60, 60), to_size({10, 20}, Interpolation::bilinear), limits);
  ASSERT_FALSE(between);
  EXPECT_EQ(between.error().finding.message,
            "the picture between the two passes has 60 x 20 pixels, limits.image_pixels allows 1000");
}

}  // namespace
}  // namespace rushlight
