#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "image/picture_file.hpp"
#include "rushlight/image.hpp"

namespace rushlight {
namespace {

using namespace std::string_literals;

std::string problem(const std::string& bytes, ErrorCode code) {
  const PictureFile file(bytes);
  const Result<Tensor> tensor = read_idx(file.path());
  if (tensor) return "no problem";
  EXPECT_EQ(tensor.error().code, code);
  EXPECT_EQ(tensor.error().finding.file, file.path().string());
  return tensor.error().finding.message;
}

TEST(Idx, ImagesAndLabelsOfTheTestSetHaveTheirShapes) {
  const Tensor images = read_idx(RUSHLIGHT_GOLDEN_DIR "/fashion/images-1000.idx3-ubyte").value();
  EXPECT_EQ(images.dtype(), DType::u8);
  EXPECT_EQ(Shape(images.shape().begin(), images.shape().end()), (Shape{1000, 28, 28}));
  const Tensor labels = read_idx(RUSHLIGHT_GOLDEN_DIR "/fashion/labels-1000.idx1-ubyte").value();
  ASSERT_EQ(Shape(labels.shape().begin(), labels.shape().end()), (Shape{1000}));
  const std::span<const std::uint8_t> values = labels.values<std::uint8_t>().value();
  // The first labels of Fashion-MNIST's test set.
  EXPECT_EQ(std::vector<int>(values.begin(), values.begin() + 8), (std::vector<int>{9, 2, 1, 1, 6, 1, 4, 6}));
}

TEST(Idx, ElementsStandInTheirOrder) {
  const PictureFile file("\0\0\x08\x02\0\0\0\x02\0\0\0\x03"s + "abcdef");
  const Tensor tensor = read_idx(file.path()).value();
  EXPECT_EQ(Shape(tensor.shape().begin(), tensor.shape().end()), (Shape{2, 3}));
  EXPECT_EQ(tensor.values<std::uint8_t>().value()[5], 'f');
}

TEST(Idx, ASetMayBeEmpty) {
  const PictureFile file("\0\0\x08\x03\0\0\0\0\0\0\0\x1c\0\0\0\x1c"s);
  EXPECT_EQ(read_idx(file.path()).value().numel(), 0);
}

TEST(Idx, DamageIsNamed) {
  EXPECT_EQ(problem("", ErrorCode::truncated), "the file is empty");
  EXPECT_EQ(problem("\0\0"s, ErrorCode::truncated), "the IDX header ends early, the file has 2 bytes");
  EXPECT_EQ(problem("\0\0\x08\x02\0\0\0\x02\0\0"s, ErrorCode::truncated),
            "the IDX header ends early, the file has 10 bytes");
  EXPECT_EQ(problem("hello", ErrorCode::not_a_checkpoint),
            "no IDX file: it begins with 68656c6c, expected 000008 and the number of dimensions");
  EXPECT_EQ(problem("\0\0\x07\x01"s, ErrorCode::not_a_checkpoint),
            "no IDX file: it begins with 00000701, expected 000008 and the number of dimensions");
  EXPECT_EQ(problem("\0\0\x0D\x01\0\0\0\x01\0\0\0\0"s, ErrorCode::unsupported),
            "IDX elements of type float32 are not built, only uint8");
  EXPECT_EQ(problem("\x1F\x8B\x08\0"s, ErrorCode::unsupported), "the file is compressed with gzip");
  EXPECT_EQ(problem("\0\0\x08\0"s, ErrorCode::limit_exceeded), "the IDX file claims 0 dimensions, expected 1 to 64");
  EXPECT_EQ(problem("\0\0\x08\xFF"s, ErrorCode::limit_exceeded),
            "the IDX file claims 255 dimensions, expected 1 to 64");
  EXPECT_EQ(problem("\0\0\x08\x01\0\0\0\x05"s + "abcd", ErrorCode::truncated),
            "the IDX elements have 4 bytes, expected 5");
  EXPECT_EQ(problem("\0\0\x08\x01\0\0\0\x03"s + "abcd", ErrorCode::corrupt),
            "the IDX elements have 4 bytes, expected 3");
}

// 2^96 elements: the product must not wrap around to what is there.
TEST(Idx, SizesThatOverflowAreNoSmallSet) {
  const std::string huge = "\x80\0\0\0"s;
  EXPECT_EQ(problem("\0\0\x08\x03"s + huge + huge + huge, ErrorCode::truncated),
            "the IDX elements have 0 bytes, expected more than 64 bits count");
  EXPECT_EQ(problem("\0\0\x08\x02"s + huge + huge, ErrorCode::truncated),
            "the IDX elements have 0 bytes, expected 4611686018427387904");
}

TEST(Idx, EveryCutOfAFileIsRefused) {
  const std::string good = "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"s + "abcdef";
  for (std::size_t length = 0; length < good.size(); ++length) {
    const PictureFile file(good.substr(0, length));
    EXPECT_FALSE(read_idx(file.path())) << length;
  }
}

TEST(Idx, AMissingFileIsNotFound) {
  const Result<Tensor> tensor = read_idx("/nonexistent/images");
  ASSERT_FALSE(tensor);
  EXPECT_EQ(tensor.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace rushlight
