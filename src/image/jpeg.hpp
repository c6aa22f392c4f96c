// JPEG (ITU-T T.81), through libjpeg-turbo where the build has it.
#pragma once

#include "image/file_bytes.hpp"
#include "rushlight/image.hpp"

namespace rushlight::image {

[[nodiscard]] bool is_jpeg(ByteSpan bytes) noexcept;

// uint8 [1 or 3, H, W], turned upright where the options say so; their channels are not looked at.
[[nodiscard]] Result<Tensor> read_jpeg(const FileBytes& file, const ReadImageOptions& options);

}  // namespace rushlight::image
