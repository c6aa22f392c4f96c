#include "image/orientation.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "image/exif_builder.hpp"

namespace rushlight::image {
namespace {

using namespace std::string_literals;

int of_exif(const std::string& exif, std::string_view xmp = {}) {
  return orientation_of({as_byte_span(exif), xmp});
}

// The eight pictures of the EXIF standard: rows of "abc" and "def", as they are to be seen.
TEST(Orientation, EachOfTheEightIsTurnedAsPilDoes) {
  const std::vector<std::uint8_t> letters = {'a', 'b', 'c', 'd', 'e', 'f'};
  const Tensor stored = Tensor::from_values<std::uint8_t>(letters, {1, 2, 3}).value();
  const auto seen = [&](int orientation) {
    const Tensor turned = upright(stored, orientation).value();
    const std::span<const std::uint8_t> values = turned.values<std::uint8_t>().value();
    std::string text;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0 && i % static_cast<std::size_t>(turned.shape()[2]) == 0) text += ' ';
      text += static_cast<char>(values[i]);
    }
    return text;
  };
  EXPECT_EQ(seen(1), "abc def");
  EXPECT_EQ(seen(2), "cba fed");
  EXPECT_EQ(seen(3), "fed cba");
  EXPECT_EQ(seen(4), "def abc");
  EXPECT_EQ(seen(5), "ad be cf");
  EXPECT_EQ(seen(6), "da eb fc");
  EXPECT_EQ(seen(7), "fc eb da");
  EXPECT_EQ(seen(8), "cf be ad");
  EXPECT_EQ(seen(0), "abc def");
  EXPECT_EQ(seen(9), "abc def");
}

TEST(Orientation, ChannelsAreTurnedEachByItself) {
  const std::vector<std::uint8_t> values = {1, 2, 3, 4};
  const Tensor turned = upright(Tensor::from_values<std::uint8_t>(values, {2, 1, 2}).value(), 3).value();
  const std::span<const std::uint8_t> found = turned.values<std::uint8_t>().value();
  EXPECT_EQ(std::vector<int>(found.begin(), found.end()), (std::vector<int>{2, 1, 4, 3}));
}

TEST(Orientation, ExifIsReadInBothByteOrdersAndIntegerTypes) {
  for (const bool big_endian : {false, true}) {
    EXPECT_EQ(of_exif(test::exif(6, {.big_endian = big_endian, .type = 3})), 6);
    EXPECT_EQ(of_exif(test::exif(6, {.big_endian = big_endian, .type = 4})), 6);
    EXPECT_EQ(of_exif(test::exif(6, {.big_endian = big_endian, .type = 8})), 6) << "with a sign";
    EXPECT_EQ(of_exif("Exif\0\0"s + test::exif(8, {.big_endian = big_endian})), 8);
  }
  EXPECT_EQ(of_exif(test::exif(6, {.count = 2})), 6) << "the first of two";
}

TEST(Orientation, WhatCannotBeReadSaysNothing) {
  EXPECT_EQ(of_exif(""), kUpright);
  EXPECT_EQ(of_exif("Exif\0\0"s), kUpright);
  EXPECT_EQ(of_exif(test::exif(6, {.type = 2})), kUpright) << "a text";
  EXPECT_EQ(of_exif(test::exif(6, {.count = 3})), kUpright);
  const std::string good = test::exif(6);
  for (std::size_t length = 0; length < 22; ++length) {
    EXPECT_EQ(of_exif(good.substr(0, length)), kUpright) << length;
  }
  std::string elsewhere = good;
  elsewhere.replace(4, 4, "\xFF\xFF\xFF\xFF");
  EXPECT_EQ(of_exif(elsewhere), kUpright);
  std::string many = good;
  many.replace(8, 2, "\xFF\xFF");
  EXPECT_EQ(of_exif(many), 6) << "65,535 entries are claimed, one is there";
}

TEST(Orientation, XmpStatesItInTwoForms) {
  EXPECT_EQ(of_exif("", R"(<x tiff:Orientation="3" y="1">)"), 3);
  EXPECT_EQ(of_exif("", "<tiff:Orientation>8</tiff:Orientation>"), 8);
  EXPECT_EQ(of_exif("", R"(tiff:OrientationX tiff:Orientation="" tiff:Orientation="5")"), 5);
  EXPECT_EQ(of_exif("", "tiff:Orientation='5'"), kUpright);
  EXPECT_EQ(of_exif("", "tiff:Orientation=\""), kUpright);
  EXPECT_EQ(of_exif(test::exif(6), R"(tiff:Orientation="3")"), 6) << "EXIF counts before XMP";
}

}  // namespace
}  // namespace rushlight::image
