#include "cuda/matrix_descriptor.hpp"

namespace rushlight::cuda::emulation {
namespace {

std::uint32_t field(std::uint64_t descriptor, int lowest, int bits) {
  return static_cast<std::uint32_t>(descriptor >> lowest & ((std::uint64_t{1} << bits) - 1));
}

}  // namespace

MatrixDescriptor decode(std::uint64_t descriptor) {
  MatrixDescriptor matrix;
  matrix.start = field(descriptor, 0, 14) * 16;
  matrix.stride_bytes = field(descriptor, 32, 14) * 16;
  const std::uint32_t mode = field(descriptor, 62, 2);
  if (mode == 0) {
    matrix.complaint = "a descriptor without swizzle";
    return matrix;
  }
  matrix.row_bytes = mode == 1 ? 128 : mode == 2 ? 64 : 32;
  // Eight rows are a pattern. Where one begins in the middle, the base offset would say so.
  const std::uint32_t pattern = 8 * matrix.row_bytes;
  if (field(descriptor, 14, 2) != 0 || field(descriptor, 30, 2) != 0 || field(descriptor, 46, 3) != 0 ||
      field(descriptor, 52, 10) != 0) {
    matrix.complaint = "a descriptor with bits that mean nothing";
  } else if (field(descriptor, 49, 3) != 0) {
    matrix.complaint = "a descriptor with a base offset";
  } else if (matrix.start % pattern >= matrix.row_bytes) {
    matrix.complaint = "a descriptor that begins inside a pattern of the swizzle";
  } else if (matrix.stride_bytes % pattern != 0) {
    matrix.complaint = "a descriptor whose stride is not whole patterns";
  }
  return matrix;
}

std::uint32_t byte_of(const MatrixDescriptor& matrix, std::uint32_t column, std::uint32_t byte) {
  const std::uint32_t plain = matrix.start + column / 8 * matrix.stride_bytes + column % 8 * matrix.row_bytes + byte;
  // Units of 16 bytes change places within `row_bytes` of each line of 128, by the number of the line.
  const std::uint32_t units = matrix.row_bytes / 16;
  const std::uint32_t unit = plain / 16;
  const std::uint32_t line = plain / 128;
  const std::uint32_t place = unit / units * units + ((unit % units) ^ (line % units));
  return place * 16 + plain % 16;
}

}  // namespace rushlight::cuda::emulation
