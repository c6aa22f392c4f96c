/// \file
/// Pictures: IDX sets, PGM and PPM files, and how pixels become input.
#pragma once

#include <filesystem>

#include "rushlight/graph.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// IDX files as of the MNIST sets (yann.lecun.com/exdb/mnist): images uint8 [N, H, W], labels uint8 [N].
RUSHLIGHT_API Result<Tensor> read_idx(const std::filesystem::path& path, const Limits& limits = {});

/// One picture as uint8 [C, H, W]; PGM and PPM, binary or text, 8 or 16 bits. Other formats are ErrorCode::unsupported
/// by name.
RUSHLIGHT_API Result<Tensor> read_image(const std::filesystem::path& path, const Limits& limits = {});

/// Pixels [N, C, H, W] of any real dtype to float32 [N, C, H, W]. What is left out is added: [H, W] is one grey
/// picture, [C, H, W] with 1 or 3 channels one picture, any other [N, H, W] a set of grey ones. Three channels become
/// one by PIL's "L" weights, one becomes three, when `channels` asks for it (0: as they are). `preprocessing` has no
/// mean and std, one of each for all channels, or one a channel; computed in float32, as torchvision does.
RUSHLIGHT_API Result<Tensor> to_input(const Tensor& pixels, const Preprocessing& preprocessing,
                                      std::int64_t channels = 0);

}  // namespace rushlight
