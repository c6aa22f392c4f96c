// Netpbm's grey and colour pictures: PGM (P2, P5) and PPM (P3, P6), as netpbm.sourceforge.net/doc/pgm.html has them.
#pragma once

#include "image/file_bytes.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::image {

// True for "P2", "P3", "P5" and "P6" followed by white space or a comment.
[[nodiscard]] bool is_pnm(ByteSpan bytes) noexcept;

// uint8 [1 or 3, H, W]: samples are scaled to 0..255 where maxval is another number. Of several pictures in one file
// the first is read.
[[nodiscard]] Result<Tensor> read_pnm(const FileBytes& file, const Limits& limits);

}  // namespace rushlight::image
