#include "image/png.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "image/exif_builder.hpp"
#include "image/libraries.hpp"
#include "image/png_builder.hpp"

namespace rushlight {
namespace {

using namespace std::string_literals;
using test::big_endian;
using test::kPngSignature;
using test::png;
using test::png_chunk;
using test::png_header;

using Values = std::vector<int>;

class Png : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::is_built_in("png")) GTEST_SKIP() << "SKIPPED: built without libpng";
  }
};

Result<Tensor> decode(const std::string& bytes, ReadImageOptions options = {}) {
  return decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())), options);
}

Values read(const std::string& bytes, const Shape& shape, ReadImageOptions options = {}) {
  const Result<Tensor> pixels = decode(bytes, options);
  if (!pixels) {
    ADD_FAILURE() << to_string(pixels.error());
    return {};
  }
  EXPECT_EQ(Shape(pixels->shape().begin(), pixels->shape().end()), shape);
  const std::span<const std::uint8_t> values = pixels->values<std::uint8_t>().value();
  return {values.begin(), values.end()};
}

struct Problem {
  std::string text;  // category and message
  std::optional<std::uint64_t> offset;
  friend bool operator==(const Problem&, const Problem&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Problem& problem) {
    return out << problem.text << " at " << problem.offset.value_or(999999);
  }
};
Problem problem(const std::string& bytes, ReadImageOptions options = {}) {
  const Result<Tensor> pixels = decode(bytes, options);
  if (pixels) return {"no problem", {}};
  const Finding& finding = pixels.error().finding;
  EXPECT_EQ(finding.file, "memory");
  return {std::string(to_string(finding.category)) + ": " + finding.message, finding.offset};
}

// What PIL's convert("RGB") and convert("L") make of each kind: tests/golden/images has pictures it decoded.
TEST_F(Png, GreySamplesOfEveryDepthSpanTheRange) {
  EXPECT_EQ(read(png(png_header(5, 1, 1, 0), "\0\xA8"s), {1, 1, 5}), (Values{255, 0, 255, 0, 255}));
  EXPECT_EQ(read(png(png_header(4, 1, 2, 0), "\0\x1B"s), {1, 1, 4}), (Values{0, 85, 170, 255}));
  EXPECT_EQ(read(png(png_header(3, 1, 4, 0), "\0\x3C\xF0"s), {1, 1, 3}), (Values{51, 204, 255}));
  EXPECT_EQ(read(png(png_header(3, 1, 8, 0), "\0\x03\x80\xFF"s), {1, 1, 3}), (Values{3, 128, 255}));
}

TEST_F(Png, GreyOf16BitsIsCutOffAndColourLosesItsLowByte) {
  EXPECT_EQ(read(png(png_header(4, 1, 16, 0), "\0\0\x01\0\xFF\x01\0\x80\x80"s), {1, 1, 4}), (Values{1, 255, 255, 255}));
  EXPECT_EQ(read(png(png_header(1, 1, 16, 2), "\0\0\x80\x01\0\x80\0"s), {3, 1, 1}), (Values{0, 1, 128}));
  EXPECT_EQ(read(png(png_header(1, 1, 16, 4), "\0\x12\x80\xFF\xFF"s), {1, 1, 1}), (Values{18}));
}

TEST_F(Png, AlphaIsLeftOut) {
  EXPECT_EQ(read(png(png_header(2, 1, 8, 4), "\0\x05\0\xC8\x80"s), {1, 1, 2}), (Values{5, 200}));
  EXPECT_EQ(read(png(png_header(2, 1, 8, 6), "\0\x01\x02\x03\0\x04\x05\x06\xFF"s), {3, 1, 2}),
            (Values{1, 4, 2, 5, 3, 6}));
  // A transparent colour as well.
  EXPECT_EQ(read(png(png_header(1, 1, 8, 2), "\0\x01\x02\x03"s, png_chunk("tRNS", "\0\x01\0\x02\0\x03"s)), {3, 1, 1}),
            (Values{1, 2, 3}));
}

TEST_F(Png, PalettesBecomeColours) {
  const std::string palette = png_chunk("PLTE", "\x09\x08\x07\x06\x05\x04"s);
  EXPECT_EQ(read(png(png_header(3, 1, 1, 3), "\0\x40"s, palette), {3, 1, 3}), (Values{9, 6, 9, 8, 5, 8, 7, 4, 7}));
  // Transparency is left out; what the palette lacks is black.
  EXPECT_EQ(read(png(png_header(2, 1, 8, 3), "\0\x01\xC8"s, palette + png_chunk("tRNS", "\0\0"s)), {3, 1, 2}),
            (Values{6, 0, 5, 0, 4, 0}));
}

TEST_F(Png, ColourManagementIsNotApplied) {
  EXPECT_EQ(read(png(png_header(1, 1, 8, 2), "\0\x10\x20\x30"s, png_chunk("gAMA", big_endian(100000))), {3, 1, 1}),
            (Values{16, 32, 48}));
}

TEST_F(Png, FiltersAreUndone) {
  // Sub, Up, Average and Paeth of rows that all are 10, 20, 40.
  EXPECT_EQ(read(png(png_header(3, 5, 8, 0),
                     "\x01\x0A\x0A\x14"
                     "\x02\0\0\0"
                     "\x03\x05\x05\x0A"
                     "\x04\0\0\0"
                     "\0\x0A\x14\x28"s),
                 {1, 5, 3}),
            (Values{10, 20, 40, 10, 20, 40, 10, 20, 40, 10, 20, 40, 10, 20, 40}));
}

// Adam7 of 3 x 3 pixels: passes 1, 4 (x 2), 5 (row 2, x 0 and 2), 6 (x 1, rows 0 and 2), 7 (row 1).
TEST_F(Png, InterlacedPicturesArePutTogether) {
  const std::string rows =
      "\0\x01"
      "\0\x03"
      "\0\x07\x09"
      "\0\x02"
      "\0\x08"
      "\0\x04\x05\x06"s;
  EXPECT_EQ(read(png(png_header(3, 3, 8, 0, 1), rows), {1, 3, 3}), (Values{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(Png, TheCallerChoosesGreyOrColour) {
  const std::string colour = png(png_header(2, 1, 8, 2), "\0\xC8\x64\x32\x01\x02\x03"s);
  EXPECT_EQ(read(colour, {1, 1, 2}, {.channels = 1}), (Values{124, 2}));
  EXPECT_EQ(read(colour, {3, 1, 2}, {.channels = 3}), (Values{200, 1, 100, 2, 50, 3}));
  EXPECT_EQ(read(png(png_header(2, 1, 8, 0), "\0\x07\x09"s), {3, 1, 2}, {.channels = 3}), (Values{7, 9, 7, 9, 7, 9}));
  EXPECT_EQ(decode(colour, {.channels = 2}).error().finding.message, "channels: expected 0, 1 or 3, found 2");
}

TEST_F(Png, MetadataTurnThePicture) {
  const std::string rows = "\0\x01\x02\x03\0\x04\x05\x06"s;
  const Values turned = {4, 1, 5, 2, 6, 3};
  const std::string header = png_header(3, 2, 8, 0);
  EXPECT_EQ(read(png(header, rows, png_chunk("eXIf", test::exif(6))), {1, 3, 2}), turned);
  EXPECT_EQ(read(png(header, rows, {}, png_chunk("eXIf", test::exif(6))), {1, 3, 2}), turned) << "behind the data";
  const std::string xmp = png_chunk("iTXt", "XML:com.adobe.xmp\0\0\0\0\0<a tiff:Orientation=\"6\"/>"s);
  EXPECT_EQ(read(png(header, rows, xmp), {1, 3, 2}), turned);
  EXPECT_EQ(read(png(header, rows, png_chunk("eXIf", test::exif(1)) + xmp), {1, 2, 3}), (Values{1, 2, 3, 4, 5, 6}))
      << "EXIF counts before XMP";
  EXPECT_EQ(read(png(header, rows, xmp), {1, 2, 3}, {.upright = false}), (Values{1, 2, 3, 4, 5, 6}));
}

TEST_F(Png, WhatStandsBehindTheEndIsNotRead) {
  EXPECT_EQ(read(png(png_header(1, 1, 8, 0), "\0\x05"s) + "more", {1, 1, 1}), (Values{5}));
}

TEST_F(Png, HeadersThatDoNotExistAreRefused) {
  const auto of = [](const std::string& header) { return problem(png(header, "\0\x05"s)); };
  EXPECT_EQ(of(png_header(0, 1, 8, 0)), (Problem{"kind: width: expected 1 to 2147483647, found 0", 8}));
  EXPECT_EQ(of(png_header(1, 0x80000000U, 8, 0)),
            (Problem{"kind: height: expected 1 to 2147483647, found 2147483648", 8}));
  EXPECT_EQ(of(png_header(1, 1, 3, 0)), (Problem{"kind: colour type 0 with 3 bits a sample does not exist", 8}));
  EXPECT_EQ(of(png_header(1, 1, 4, 2)), (Problem{"kind: colour type 2 with 4 bits a sample does not exist", 8}));
  EXPECT_EQ(of(png_header(1, 1, 16, 3)), (Problem{"kind: colour type 3 with 16 bits a sample does not exist", 8}));
  EXPECT_EQ(of(png_header(1, 1, 8, 5)), (Problem{"kind: colour type 5 with 8 bits a sample does not exist", 8}));
  EXPECT_EQ(of(png_header(1, 1, 8, 0, 2)),
            (Problem{"kind: compression, filter and interlace method: expected 0, 0 and 0 or 1, found 0, 0 and 2", 8}));
  EXPECT_EQ(of(png_chunk("IHDR", "short")), (Problem{"kind: IHDR: expected 13 bytes, found 5", 8}));
  EXPECT_EQ(of(png_chunk("gAMA", big_endian(1))), (Problem{"kind: expected the chunk IHDR, found gAMA", 8}));
}

TEST_F(Png, DamageIsNamedWithItsPlace) {
  const std::string good = png(png_header(2, 1, 8, 0), "\0\x05\x06"s);
  ASSERT_EQ(good.size(), 8U + 25 + 12 + 14 + 12);
  EXPECT_EQ(problem(good.substr(0, 8)), (Problem{"trunc: the picture ends early: no IEND chunk", 8}));
  EXPECT_EQ(problem(good.substr(0, good.size() - 12)), (Problem{"trunc: the picture ends early: no IEND chunk", 59}));
  EXPECT_EQ(problem(good.substr(0, 40)), (Problem{"trunc: the picture ends early: no IEND chunk", 33}));
  EXPECT_EQ(problem(good.substr(0, 50)),
            (Problem{"trunc: the picture ends early: chunk IDAT needs 26 bytes, found 17", 33}));
  std::string flipped = good;
  flipped[45] = static_cast<char>(flipped[45] ^ 1);
  EXPECT_EQ(problem(flipped).text.substr(0, 45), "kind: chunk IDAT is damaged: crc-32, expected");
  EXPECT_EQ(problem(flipped).offset, 33U);
  std::string renamed = good;
  renamed[38] = '\x1B';
  EXPECT_EQ(problem(renamed), (Problem{"kind: expected the name of a chunk, four letters, found 'I\\x1bAT'", 33}));
  EXPECT_EQ(problem(std::string(kPngSignature) + png_header(1, 1, 8, 0) + png_chunk("IEND", "")),
            (Problem{"kind: the picture has no data: no IDAT chunk", 45}));
  EXPECT_EQ(problem(png(png_header(1, 1, 8, 3), "\0\0"s, png_chunk("PLTE", "abcd"))),
            (Problem{"kind: PLTE: expected 1 to 256 colours of 3 bytes, found 4 bytes", 33}));
  EXPECT_EQ(problem(png(png_header(1, 1, 8, 3), "\0\0"s)),
            (Problem{"kind: the picture has no palette: no PLTE chunk before its data", 33}));
}

// Frames that are right around data that are not.
TEST_F(Png, DataThatCannotBeDecodedAreRefused) {
  EXPECT_EQ(problem(png(png_header(2, 2, 8, 0), "\0\x05\x06"s)).text,
            "kind: the picture cannot be decoded: Not enough image data");
  EXPECT_EQ(problem(png(png_header(2, 1, 8, 0), "\x07\x05\x06"s)).text,
            "kind: the picture cannot be decoded: bad adaptive filter value");
  const std::string garbage =
      std::string(kPngSignature) + png_header(1, 1, 8, 0) + png_chunk("IDAT", "garbage") + png_chunk("IEND", "");
  EXPECT_EQ(problem(garbage).text, "kind: the picture cannot be decoded: IDAT: incorrect header check");
  EXPECT_EQ(problem(png(png_header(1, 1, 8, 0), "\0\0"s, png_chunk("CRIT", "?"))).text,
            "kind: the picture cannot be decoded: CRIT: unhandled critical chunk");
}

// A header of 25 bytes asks for 2^62 pixels: refused before memory is taken, whatever the limits are.
TEST_F(Png, AHeaderCannotClaimMemoryThatTheFileDoesNotJustify) {
  const std::string huge = png(png_header(0x7FFFFFFF, 0x7FFFFFFF, 16, 6), "\0"s);
  EXPECT_EQ(problem(huge), (Problem{"limit: the picture has 2147483647 x 2147483647 pixels, limits.image_pixels allows "
                                    "268435456",
                                    16}));
  EXPECT_EQ(decode(huge).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(problem(huge, {.limits = Limits::off()}),
            (Problem{"trunc: the picture ends early: 2147483647 x 2147483647 pixels cannot come from 12 compressed "
                     "bytes",
                     69}));
  ReadImageOptions narrow;
  narrow.limits.image_pixels = 5;
  EXPECT_EQ(problem(png(png_header(3, 2, 8, 0), "\0abc\0def"s), narrow).text,
            "limit: the picture has 3 x 2 pixels, limits.image_pixels allows 5");
  narrow.limits.image_pixels = 6;
  EXPECT_TRUE(decode(png(png_header(3, 2, 8, 0), "\0abc\0def"s), narrow).has_value());
}

TEST_F(Png, EveryCutAndEveryFlippedBitIsRefused) {
  const std::string good = png(png_header(2, 2, 8, 2), "\0abcdef\0ghijkl"s);
  ASSERT_TRUE(decode(good).has_value());
  for (std::size_t length = 0; length < good.size(); ++length) EXPECT_FALSE(decode(good.substr(0, length))) << length;
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode(flipped)) << bit;
  }
}

}  // namespace
}  // namespace rushlight
