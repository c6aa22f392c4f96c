// Pictures as Pillow 13 decodes them, and what torchvision 0.29 makes of them: all of tests/golden/images.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cmath>
#include <string>
#include <vector>

#include "image/libraries.hpp"
#include "rushlight/image.hpp"
#include "rushlight/npy.hpp"

namespace rushlight {
namespace {

const std::string kFolder = RUSHLIGHT_GOLDEN_DIR "/images/";

bool is_built(std::string_view file) {
  if (file.ends_with(".png")) return test::is_built_in("png");
  if (file.ends_with(".jpg")) return test::is_built_in("jpeg");
  return true;
}

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}

class GoldenImages : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(simdjson::padded_string::load(kFolder + "INDEX.json").get(text_), simdjson::SUCCESS);
    ASSERT_EQ(parser_.parse(text_).get(index_), simdjson::SUCCESS);
  }
  simdjson::padded_string text_;
  simdjson::dom::parser parser_;
  simdjson::dom::element index_;
};

// Exactly, but for JPEG: decoders differ in the last bits of the transform (README of the set).
TEST_F(GoldenImages, DecodeAsPilDecodesThem) {
  std::size_t compared = 0;
  for (const simdjson::dom::element row : index_["files"]) {
    const std::string file(row["file"].get_string().value());
    if (!is_built(file)) continue;
    SCOPED_TRACE(file);
    const Tensor want = read_npy(kFolder + std::string(row["decoded"].get_string().value())).value();
    const Result<Tensor> read = read_image(kFolder + file, {.channels = 3});
    ASSERT_TRUE(read) << to_string(read.error());
    const Tensor& have = *read;
    const std::int64_t height = want.shape()[0];
    const std::int64_t width = want.shape()[1];
    ASSERT_EQ(shape_of(have), (Shape{3, height, width}));
    const int tolerance = !file.ends_with(".jpg") ? 0 : file == "gray.jpg" ? 1 : 2;
    const std::span<const std::uint8_t> wanted = want.values<std::uint8_t>().value();
    const std::span<const std::uint8_t> values = have.values<std::uint8_t>().value();
    const auto plane = static_cast<std::size_t>(height * width);
    for (std::size_t i = 0; i < plane; ++i) {
      for (std::size_t c = 0; c < 3; ++c) {
        ASSERT_LE(std::abs(values[c * plane + i] - wanted[i * 3 + c]), tolerance) << "pixel " << i << ", channel " << c;
      }
    }
    ++compared;
  }
  EXPECT_GE(compared, is_built(".png") && is_built(".jpg") ? 15U : 2U);
}

Interpolation interpolation_of(std::string_view name) {
  if (name == "nearest") return Interpolation::nearest;
  return name == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
}

// Pixel for pixel, where the README asks for 1/255: that would be 0.017 here. The last bit of the numbers differs,
// since ToDtype multiplies by 1/255 where ToTensor, and to_input(), divide by 255.
TEST_F(GoldenImages, AreTransformedAsTorchvisionDoes) {
  if (!is_built(".png")) GTEST_SKIP() << "SKIPPED: built without libpng";
  std::size_t compared = 0;
  for (const simdjson::dom::element row : index_["cases"]) {
    SCOPED_TRACE(row["name"].get_string().value());
    const simdjson::dom::element steps = row["steps"];
    ImageTransform transform;
    if (steps["resize"].is_array()) {
      transform.resize = {steps["resize"].at(0).get_int64().value(), steps["resize"].at(1).get_int64().value()};
    } else if (!steps["resize"].is_null()) {
      transform.resize = steps["resize"].get_int64().value();
    }
    if (!steps["center_crop"].is_null()) transform.center_crop = steps["center_crop"].get_int64().value();
    transform.interpolation = interpolation_of(steps["interpolation"].get_string().value());
    if (steps["resized_by"].get_string().value() != "PIL") {
      transform.resampling = steps["antialias"].get_bool().value() ? Resampling::tensor : Resampling::tensor_not_smooth;
    }
    transform.preprocessing.scale = steps["scale"].get_double().value();
    for (const double mean : steps["mean"]) transform.preprocessing.mean.push_back(mean);
    for (const double std : steps["std"]) transform.preprocessing.std.push_back(std);

    const Tensor pixels =
        read_image(kFolder + std::string(row["source"].get_string().value()), {.channels = 3}).value();
    const Result<Tensor> made = transform_image(pixels, transform);
    ASSERT_TRUE(made) << to_string(made.error());
    const Tensor want = read_npy(kFolder + std::string(row["output"].get_string().value())).value();
    Shape shape = shape_of(want);
    shape.insert(shape.begin(), 1);
    ASSERT_EQ(shape_of(*made), shape);
    const std::span<const float> wanted = want.values<float>().value();
    const std::span<const float> values = made->values<float>().value();
    for (std::size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(values[i], wanted[i], 1e-6) << i;
    ++compared;
  }
  EXPECT_EQ(compared, 32U);
}

}  // namespace
}  // namespace rushlight
