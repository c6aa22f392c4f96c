// Averages over whole images: output[image][channel] from input[image][pixel][channel].
//
// One block makes 128 channels of one image (32 where they are moved one by one): each of its eight warps takes every
// eighth pixel, each lane four neighbouring channels of it, and the eight sums of a channel meet in shared memory, in
// the order of the warps. A thread an output would add up all pixels of an image alone, with most of the GPU idle.
//
// Bytes moved: 4 for each input, read once in whole lines, and 4 for each output.
// Accuracy: sums in double, one rounding.
// Tests: CudaGlobalPool.*
#pragma once

#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/lanes.cuh"

namespace rushlight::cuda {

struct GlobalAvgPoolArguments {
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t input_stride = 0;  // floats from pixel to pixel
  std::int64_t output_stride = 0;
  std::int64_t images = 0;
  std::int32_t pixels = 0;  // of an image
  std::int32_t channels = 0;
  bool moves_quads = false;  // four channels at once: multiples of four, at multiples of 16 bytes
  Divisor64 channel_groups;  // blocks of an image: see global_pool_channels()
};

inline constexpr int kGlobalPoolThreads = 256;
inline constexpr int kGlobalPoolWarps = kGlobalPoolThreads / kWarpThreads;

template <int Width>
struct GlobalPoolShared {
  double sums[kGlobalPoolWarps][kWarpThreads * Width];
};

// Channels of a block.
RUSHLIGHT_HOST_DEVICE constexpr int global_pool_channels(bool moves_quads) {
  return kWarpThreads * (moves_quads ? 4 : 1);
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const GlobalAvgPoolArguments& a) {
  return {a.images * a.channel_groups.divisor(), kGlobalPoolThreads};
}

// Which image and channels a block works for.
struct GlobalPoolShare {
  std::int64_t image = 0;
  std::int32_t channel = 0;  // the first
};
RUSHLIGHT_HOST_DEVICE inline GlobalPoolShare global_pool_share(const GlobalAvgPoolArguments& a, std::int64_t block) {
  const std::int64_t image = a.channel_groups.quotient(block);
  return {image,
          static_cast<std::int32_t>(a.channel_groups.remainder(block, image)) * global_pool_channels(a.moves_quads)};
}

template <int Width, class Block>
RUSHLIGHT_KERNEL void global_avg_pool_kernel(Block& block, GlobalPoolShared<Width>& shared,
                                             const GlobalAvgPoolArguments& a) {
  const GlobalPoolShare share = global_pool_share(a, block.index());
  const int warp = block.thread() / kWarpThreads;
  const int lane = block.thread() % kWarpThreads;
  const std::int32_t channel = share.channel + lane * Width;
  if (channel < a.channels) {
    const float* const input = a.input + share.image * a.pixels * a.input_stride + channel;
    double sums[Width] = {};
    for (std::int32_t pixel = warp; pixel < a.pixels; pixel += kGlobalPoolWarps) {
      const Lanes<Width> values = load_lanes<Width>(input + pixel * a.input_stride);
      RUSHLIGHT_UNROLL
      for (int i = 0; i < Width; ++i) sums[i] += static_cast<double>(values.at[i]);
    }
    RUSHLIGHT_UNROLL
    for (int i = 0; i < Width; ++i) shared.sums[warp][lane * Width + i] = sums[i];
  }
  block.sync();
  const int place = block.thread();
  if (place >= kWarpThreads * Width || share.channel + place >= a.channels) return;
  double sum = 0;
  for (int i = 0; i < kGlobalPoolWarps; ++i) sum += shared.sums[i][place];
  a.output[share.image * a.output_stride + share.channel + place] =
      static_cast<float>(sum / static_cast<double>(a.pixels));
}

}  // namespace rushlight::cuda
