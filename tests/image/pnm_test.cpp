#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "image/picture_file.hpp"
#include "rushlight/image.hpp"

namespace rushlight {
namespace {

using namespace std::string_literals;

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}

std::vector<int> read(const std::string& bytes, const Shape& shape) {
  const PictureFile file(bytes);
  const Result<Tensor> tensor = read_image(file.path());
  if (!tensor) {
    ADD_FAILURE() << tensor.error().finding.message;
    return {};
  }
  EXPECT_EQ(tensor->dtype(), DType::u8);
  EXPECT_EQ(shape_of(*tensor), shape);
  const std::span<const std::uint8_t> values = tensor->values<std::uint8_t>().value();
  return {values.begin(), values.end()};
}

struct Problem {
  ErrorCode code;
  std::string message;
  std::optional<std::uint64_t> offset;
};
Problem problem(const std::string& bytes) {
  const PictureFile file(bytes);
  const Result<Tensor> tensor = read_image(file.path());
  if (tensor) return {ErrorCode::io, "no problem", {}};
  return {tensor.error().code, tensor.error().finding.message, tensor.error().finding.offset};
}

using Values = std::vector<int>;

TEST(Pnm, BinaryGreyIsOnePlane) {
  EXPECT_EQ(read("P5\n3 2\n255\n\x01\x02\x03\x04\x05\xFF"s, {1, 2, 3}), (Values{1, 2, 3, 4, 5, 255}));
}

TEST(Pnm, BinaryColourBecomesThreePlanes) {
  EXPECT_EQ(read("P6 2 1 255 RGBrgb", {3, 1, 2}), (Values{'R', 'r', 'G', 'g', 'B', 'b'}));
}

TEST(Pnm, TextFormsSayTheSame) {
  EXPECT_EQ(read("P2\n3 2\n255\n1 2 3\n4 5 255", {1, 2, 3}), (Values{1, 2, 3, 4, 5, 255}));
  EXPECT_EQ(read("P3 2 1 255 1 2 3 4 5 6\n", {3, 1, 2}), (Values{1, 4, 2, 5, 3, 6}));
}

TEST(Pnm, CommentsMayStandBetweenNumbers) {
  EXPECT_EQ(read("P5# made by hand\n#\n 2 # wide\n1\n# max\n255\n\x09\n"s, {1, 1, 2}), (Values{9, 10}));
  EXPECT_EQ(read("P2 2 1 255 7 # seven\r8", {1, 1, 2}), (Values{7, 8}));
}

// The byte after the one white space is the first sample, also when it looks like a space or a comment.
TEST(Pnm, SamplesMayLookLikeWhiteSpace) {
  EXPECT_EQ(read("P5 2 1 255  #", {1, 1, 2}), (Values{' ', '#'}));
}

TEST(Pnm, OtherMaxvalsAreScaled) {
  EXPECT_EQ(read("P2 4 1 3 0 1 2 3", {1, 1, 4}), (Values{0, 85, 170, 255}));
  EXPECT_EQ(read("P5 2 1 1 \x00\x01"s, {1, 1, 2}), (Values{0, 255}));
  EXPECT_EQ(read("P5 3 1 65535 \x00\x00\xFF\xFF\x80\x80"s, {1, 1, 3}), (Values{0, 255, 128}));
  EXPECT_EQ(read("P6 1 1 256 \x00\x80\x01\x00\x00\x00"s, {3, 1, 1}), (Values{128, 255, 0}));
}

TEST(Pnm, OfSeveralPicturesTheFirstIsRead) {
  EXPECT_EQ(read("P5 1 1 255 aP5 1 1 255 b", {1, 1, 1}), (Values{'a'}));
}

TEST(Pnm, DamageIsNamedWithItsPlace) {
  const auto check = [](const std::string& bytes, ErrorCode code, const std::string& message, std::uint64_t offset) {
    const Problem found = problem(bytes);
    EXPECT_EQ(found.code, code) << bytes;
    EXPECT_EQ(found.message, message);
    EXPECT_EQ(found.offset, offset) << bytes;
  };
  check("P5 ", ErrorCode::truncated, "width: expected a number, found the end of the file", 3);
  check("P5 2", ErrorCode::truncated, "height: expected a number, found the end of the file", 4);
  check("P5 x 2 255 ", ErrorCode::corrupt, "width: expected a number, found another character", 3);
  check("P5 -1 2 255 ", ErrorCode::corrupt, "width: expected a number, found another character", 3);
  check("P5 0 2 255 ", ErrorCode::corrupt, "width: expected 1 to 999999999, found 0", 3);
  check("P5 2 0 255 ", ErrorCode::corrupt, "height: expected 1 to 999999999, found 0", 5);
  check("P5 2 2 0 ", ErrorCode::corrupt, "maxval: expected 1 to 65535, found 0", 7);
  check("P5 2 2 65536 ", ErrorCode::corrupt, "maxval: expected 1 to 65535, found 65536", 7);
  check("P5 99999999999999999999999 2 255 ", ErrorCode::corrupt,
        "width: expected 1 to 999999999, found more than 999999999", 3);
  check("P5 2 1 255", ErrorCode::truncated, "expected a white space after maxval", 10);
  check("P5 2 1 255x", ErrorCode::corrupt, "expected a white space after maxval", 10);
  check("P5 2 2 255 abc", ErrorCode::truncated, "the picture ends early: 4 samples need at least 4 bytes, found 3", 11);
  check("P5 1 1 256 a", ErrorCode::truncated, "the picture ends early: 1 samples need at least 2 bytes, found 1", 11);
  check("P2 2 2 255 1 2 3", ErrorCode::truncated, "sample: expected a number, found the end of the file", 16);
  check("P2 1 1 255 256", ErrorCode::corrupt, "sample: expected 0 to 255, found 256", 11);
  check("P5 2 1 100 \x64\x65", ErrorCode::corrupt, "a sample of 101 exceeds maxval 100", 12);
  check("P5 1 1 300 \x01\x2D", ErrorCode::corrupt, "a sample of 301 exceeds maxval 300", 11);
}

// 10^18 samples claimed by 30 bytes.
TEST(Pnm, AHeaderCannotClaimMemoryThatTheFileDoesNotJustify) {
  EXPECT_EQ(problem("P6 999999999 999999999 65535 x").message,
            "the picture ends early: 2999999994000000003 samples need at least 5999999988000000006 bytes, found 1");
  EXPECT_EQ(problem("P2 999999999 999999999 255 1").code, ErrorCode::truncated);
}

TEST(ReadImage, OtherFormatsAreNamed) {
  const auto named = [](const std::string& bytes) {
    const Problem found = problem(bytes);
    EXPECT_EQ(found.code, ErrorCode::unsupported);
    return found.message;
  };
  const std::string rest = " pictures are not built, only PNG, JPEG, PGM and PPM";
  EXPECT_EQ(named("GIF89a...."), "GIF" + rest);
  EXPECT_EQ(named("RIFF\x10\0\0\0WEBPVP8 "s), "WebP" + rest);
  EXPECT_EQ(named("BM......"), "BMP" + rest);
  EXPECT_EQ(named("II*\0...."s), "TIFF" + rest);
  EXPECT_EQ(named("P4\n8 1\n\xFF"), "PBM" + rest);
  EXPECT_EQ(named("P7\nWIDTH 1\n"), "PAM" + rest);
  EXPECT_EQ(named("Pf\n1 1\n-1.0\n"), "PFM" + rest);
}

TEST(ReadImage, WhatIsNoPictureIsCalledSo) {
  EXPECT_EQ(problem("hello").message, "no picture: expected PNG, JPEG, PGM or PPM");
  EXPECT_EQ(problem("P5").message, "no picture: expected PNG, JPEG, PGM or PPM");
  EXPECT_EQ(problem("P58 2 2 255 ").code, ErrorCode::not_a_checkpoint);
  EXPECT_EQ(problem("").message, "the file is empty");
}

TEST(ReadImage, EveryCutOfAPictureIsRefused) {
  for (const std::string& good : {"P5\n3 2\n255\nabcdef"s, "P6\n1 2\n300\n\0\1\0\2\0\3\0\4\0\5\0\6"s}) {
    for (std::size_t length = 0; length < good.size(); ++length) {
      const PictureFile file(good.substr(0, length));
      EXPECT_FALSE(read_image(file.path())) << length;
    }
  }
}

TEST(Pnm, SizesMeetTheLimit) {
  const PictureFile file("P5 3 2 255 abcdef");
  ReadImageOptions options;
  options.limits.image_pixels = 5;
  const Result<Tensor> pixels = read_image(file.path(), options);
  ASSERT_FALSE(pixels);
  EXPECT_EQ(pixels.error().finding.message, "the picture has 3 x 2 pixels, limits.image_pixels allows 5");
  options.limits.image_pixels = 6;
  EXPECT_TRUE(read_image(file.path(), options));
}

}  // namespace
}  // namespace rushlight
