#include "image/jpeg.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "image/exif_builder.hpp"
#include "image/libraries.hpp"

namespace rushlight {
namespace {

using namespace std::string_literals;

class Jpeg : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::is_built_in("jpeg")) GTEST_SKIP() << "SKIPPED: built without libjpeg-turbo";
  }
};

std::string golden(const std::string& name) {
  std::ifstream file(RUSHLIGHT_GOLDEN_DIR "/images/" + name, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

Result<Tensor> decode(const std::string& bytes, ReadImageOptions options = {}) {
  return decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())), options);
}

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}
std::vector<std::uint8_t> values_of(const Tensor& tensor) {
  const std::span<const std::uint8_t> values = tensor.values<std::uint8_t>().value();
  return {values.begin(), values.end()};
}

std::string problem(const std::string& bytes, ReadImageOptions options = {}) {
  const Result<Tensor> pixels = decode(bytes, options);
  if (pixels) return "no problem";
  return std::string(to_string(pixels.error().finding.category)) + ": " + pixels.error().finding.message;
}

std::string segment(unsigned char marker, const std::string& data) {
  const std::size_t size = data.size() + 2;
  return std::string{'\xFF', static_cast<char>(marker), static_cast<char>(size >> 8), static_cast<char>(size & 255)} +
         data;
}
// Behind the two bytes that begin every file.
std::string with_segments(std::string bytes, const std::string& segments) {
  return bytes.insert(2, segments);
}

// Where the segment with this marker begins.
std::size_t find_segment(const std::string& bytes, unsigned char marker) {
  for (std::size_t at = 2; at + 4 <= bytes.size();) {
    if (static_cast<unsigned char>(bytes[at + 1]) == marker) return at;
    at += 2 + 256 * static_cast<unsigned char>(bytes[at + 2]) + static_cast<unsigned char>(bytes[at + 3]);
  }
  ADD_FAILURE() << "no such segment";
  return 0;
}
constexpr unsigned char kFrame = 0xC0;
constexpr unsigned char kScan = 0xDA;

TEST_F(Jpeg, ExifTurnsThePicture) {
  const std::string picture = golden("gray.jpg");
  const Tensor plain = decode(picture).value();
  const auto turned = [&](unsigned orientation, const test::ExifForm& form) {
    return decode(with_segments(picture, segment(0xE1, "Exif\0\0"s + test::exif(orientation, form)))).value();
  };
  EXPECT_EQ(shape_of(plain), (Shape{1, 47, 61}));
  for (const unsigned orientation : {0U, 1U, 9U}) EXPECT_EQ(values_of(turned(orientation, {})), values_of(plain));
  for (const unsigned orientation : {2U, 3U, 4U}) EXPECT_EQ(shape_of(turned(orientation, {})), (Shape{1, 47, 61}));
  for (const unsigned orientation : {5U, 6U, 7U, 8U}) EXPECT_EQ(shape_of(turned(orientation, {})), (Shape{1, 61, 47}));
  EXPECT_EQ(values_of(turned(6, {.big_endian = true})), values_of(turned(6, {.type = 4})));
  // Its top is at the right of what is stored, so the first row is the first column, from the bottom.
  EXPECT_EQ(values_of(turned(6, {}))[0], values_of(plain)[46 * 61]);
  EXPECT_EQ(values_of(turned(6, {}))[46], values_of(plain)[0]);
}

TEST_F(Jpeg, ExifInSeveralSegmentsIsJoinedAndXmpCountsWhereThereIsNone) {
  const std::string picture = golden("gray.jpg");
  const std::string exif = test::exif(6);
  const std::string xmp = segment(0xE1, "http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>8</tiff:Orientation>"s);
  const auto shape = [&](const std::string& segments) {
    return shape_of(decode(with_segments(picture, segments)).value());
  };
  EXPECT_EQ(shape(segment(0xE1, "Exif\0\0"s + exif.substr(0, 15)) + segment(0xE1, "Exif\0\0"s + exif.substr(15))),
            (Shape{1, 61, 47}));
  EXPECT_EQ(shape(xmp), (Shape{1, 61, 47}));
  EXPECT_EQ(shape(xmp + segment(0xE1, "Exif\0\0"s + test::exif(1))), (Shape{1, 47, 61}));
  EXPECT_EQ(shape_of(decode(with_segments(picture, xmp), {.upright = false}).value()), (Shape{1, 47, 61}));
}

TEST_F(Jpeg, OtherKindsAreUnsupportedByName) {
  std::string deep = golden("gray.jpg");
  const std::size_t frame = find_segment(deep, kFrame);
  deep[frame + 4] = 12;
  EXPECT_EQ(problem(deep), "unsup: JPEG pictures of this kind are not built: Unsupported JPEG data precision 12");
  EXPECT_EQ(decode(deep).error().code, ErrorCode::unsupported);
  std::string lossless = golden("gray.jpg");
  lossless[frame + 1] = '\xC3';
  EXPECT_EQ(problem(lossless),
            "unsup: JPEG pictures of this kind are not built: Unsupported JPEG process: SOF type "
            "0xc3");
  // Two of its three components, in the frame and in the scan.
  std::string two = golden("full_chroma.jpg");
  const std::size_t of_three = find_segment(two, kFrame);
  two[of_three + 3] = static_cast<char>(two[of_three + 3] - 3);
  two[of_three + 9] = 2;
  two.erase(of_three + 16, 3);
  const std::size_t scan = find_segment(two, kScan);
  two[scan + 3] = static_cast<char>(two[scan + 3] - 2);
  two[scan + 4] = 2;
  two.erase(scan + 9, 2);
  EXPECT_EQ(problem(two), "unsup: JPEG pictures of 2 components are not built, only of 1, 3 and 4");
}

TEST_F(Jpeg, AHeaderCannotClaimMemoryThatTheFileDoesNotJustify) {
  std::string huge = golden("gray.jpg");
  const std::size_t frame = find_segment(huge, kFrame);
  for (const std::size_t i : {5U, 7U}) huge[frame + i] = '\xFD';
  EXPECT_EQ(problem(huge), "limit: the picture has 64829 x 64815 pixels, limits.image_pixels allows 268435456");
  EXPECT_EQ(decode(huge).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(problem(huge, {.limits = Limits::off()}),
            "trunc: the picture ends early: 64829 x 64815 pixels cannot come from 1235 bytes");
  std::string flat = golden("gray.jpg");
  flat[frame + 5] = flat[frame + 6] = 0;
  EXPECT_EQ(problem(flat), "kind: the picture cannot be decoded: Empty JPEG image (DNL not supported)");
  for (const std::size_t i : {5U, 6U, 7U, 8U}) huge[frame + i] = '\xFF';
  EXPECT_EQ(problem(huge),
            "unsup: JPEG pictures of this kind are not built: Maximum supported image dimension is 65500 "
            "pixels");
}

TEST_F(Jpeg, DamageIsRefusedWhereOthersMakePixelsUp) {
  const std::string good = golden("baseline.jpg");
  EXPECT_EQ(problem(good.substr(0, good.size() - 2)), "trunc: the picture ends early: no end marker");
  EXPECT_EQ(problem(good.substr(0, 1000)), "trunc: the picture ends early: no end marker");
  EXPECT_EQ(decode(good.substr(0, 1000)).error().finding.offset, 1000U);
  EXPECT_EQ(problem(good.substr(0, 1000) + "\xFF\xD9"),
            "kind: the picture cannot be decoded: Corrupt JPEG data: premature end of data segment");
  std::string zeros = good;
  const std::size_t scan = find_segment(good, kScan);
  zeros.replace(scan + 100, 300, std::string(300, '\xFE'));
  EXPECT_NE(problem(zeros), "no problem");
  std::string no_tables = good;
  no_tables.erase(2, find_segment(good, kFrame) - 2);
  EXPECT_EQ(problem(no_tables), "kind: the picture cannot be decoded: Quantization table 0x00 was not defined");
  EXPECT_EQ(problem("\xFF\xD8\xFF"), "trunc: the picture ends early: no end marker");
  EXPECT_EQ(problem("\xFF\xD8\xFF\xD9"), "kind: the picture cannot be decoded: JPEG datastream contains no image");
}

// Honest cameras write such files; PIL reads them as well.
TEST_F(Jpeg, BytesBetweenSegmentsAndBehindTheEndHurtNoPixel) {
  const std::string good = golden("baseline.jpg");
  const std::vector<std::uint8_t> pixels = values_of(decode(good).value());
  EXPECT_EQ(values_of(decode(good + "more").value()), pixels);
  std::string apart = good;
  apart.insert(find_segment(good, kFrame), "\0\0"s);
  EXPECT_EQ(values_of(decode(apart).value()), pixels);
}

// Each scan of a progressive picture costs a walk over all of it, and takes a few bytes.
TEST_F(Jpeg, ScansAreCounted) {
  const std::string good = golden("progressive.jpg");
  // The first of them once more: from its header to the next marker that is neither a stuffed byte nor a restart.
  const std::size_t begin = good.find("\xFF\xDA");
  std::size_t end = begin + 2;
  while (good[end] != '\xFF' || good[end + 1] == '\0') ++end;
  std::string many = good;
  for (int i = 0; i < 200; ++i) many.insert(end, good, begin, end - begin);
  EXPECT_EQ(problem(many), "limit: the picture has more than 200 scans");
}

TEST_F(Jpeg, EveryCutIsRefused) {
  for (const char* name : {"gray.jpg", "progressive.jpg"}) {
    const std::string good = golden(name);
    ASSERT_TRUE(decode(good).has_value());
    for (std::size_t length = 0; length < good.size(); ++length) {
      ASSERT_FALSE(decode(good.substr(0, length))) << name << " " << length;
    }
  }
}

// A flipped bit may make other pixels: JPEG has no checksums. Whatever comes out has the size that the header says.
TEST_F(Jpeg, EveryFlippedBitGivesAPictureOrAnError) {
  const std::string good = golden("gray.jpg");
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    ReadImageOptions options;
    options.limits.image_pixels = 1 << 20;
    const Result<Tensor> pixels = decode(flipped, options);
    if (!pixels) {
      ++refused;
      EXPECT_FALSE(pixels.error().finding.message.empty());
    } else {
      EXPECT_EQ(pixels->dim(), 3);
    }
  }
  EXPECT_GT(refused, 500U);
}

}  // namespace
}  // namespace rushlight
