// The layer as it is built on a machine without libpng and libjpeg-turbo.
#include <gtest/gtest.h>

#include <string>

#include "rushlight/image.hpp"

namespace rushlight {
namespace {

Error error_of(const std::string& bytes) {
  const Result<Tensor> pixels = decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())));
  EXPECT_FALSE(pixels);
  return pixels ? Error() : pixels.error();
}

TEST(WithoutLibraries, PngAndJpegSayWhatToInstall) {
  const Error png = error_of("\x89PNG\r\n\x1A\n....");
  EXPECT_EQ(png.code, ErrorCode::unsupported);
  EXPECT_EQ(png.finding.message, "PNG pictures are not built into this version");
  EXPECT_EQ(png.finding.hint,
            "build it with libpng (Debian: libpng-dev), or convert the picture: convert picture.png picture.ppm");
  const Error jpeg = error_of("\xFF\xD8\xFF\xE0....");
  EXPECT_EQ(jpeg.code, ErrorCode::unsupported);
  EXPECT_EQ(jpeg.finding.message, "JPEG pictures are not built into this version");
  EXPECT_EQ(jpeg.finding.hint,
            "build it with libjpeg-turbo (Debian: libjpeg62-turbo-dev), or convert the picture: convert picture.jpg "
            "picture.ppm");
}

TEST(WithoutLibraries, PgmIsRead) {
  const std::string bytes = "P5 2 1 255 ab";
  EXPECT_TRUE(decode_image(std::as_bytes(std::span(bytes.data(), bytes.size()))));
}

}  // namespace
}  // namespace rushlight
