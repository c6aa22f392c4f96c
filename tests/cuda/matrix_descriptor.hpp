// What a matrix descriptor of wgmma says, read as the PTX manual words it and not as the kernels make it: the
// instruction's view of shared memory for the emulation.
#pragma once

#include <cstdint>
#include <string>

namespace rushlight::cuda::emulation {

struct MatrixDescriptor {
  std::uint32_t start = 0;         // in bytes, of the window of shared memory
  std::uint32_t stride_bytes = 0;  // from eight columns to the next eight
  std::uint32_t row_bytes = 0;     // how wide the swizzle's rows are: 32, 64 or 128
  std::string complaint;           // what the manual does not allow, or this reader does not know; empty is good
};
[[nodiscard]] MatrixDescriptor decode(std::uint64_t descriptor);

// Where the byte of a column's k lies that is `byte` bytes from the first one of the instruction.
[[nodiscard]] std::uint32_t byte_of(const MatrixDescriptor& matrix, std::uint32_t column, std::uint32_t byte);

}  // namespace rushlight::cuda::emulation
