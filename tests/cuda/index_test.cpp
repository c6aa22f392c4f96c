// Index arithmetic of the kernels: what each block and thread takes, and where it finds it.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "cuda/kernels/depthwise.cuh"
#include "cuda/kernels/direct_conv.cuh"
#include "cuda/kernels/elementwise.cuh"
#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/global_pool.cuh"
#include "cuda/kernels/lanes.cuh"
#include "cuda/kernels/layout.cuh"
#include "cuda/kernels/pool.cuh"
#include "cuda/kernels/row_product.cuh"
#include "cuda/kernels/softmax.cuh"

namespace rushlight::cuda {
namespace {

template <class Tile>
class CudaTile : public testing::Test {};
using Tiles = testing::Types<Tile128x64, Tile64x64, Tile64x32>;
TYPED_TEST_SUITE(CudaTile, Tiles);

TYPED_TEST(CudaTile, QuadsCoverATileOnce) {
  using Tile = TypeParam;
  std::vector<int> covered(Tile::kRows * Tile::kColumns, 0);
  for (int thread = 0; thread < Tile::kThreads; ++thread) {
    for (int r = 0; r < Tile::kRowQuads * 4; ++r) {
      for (int c = 0; c < Tile::kColumnQuads * 4; ++c) {
        const int row = quad_row<Tile>(thread, r / 4) + r % 4;
        const int column = quad_column<Tile>(thread, c / 4) + c % 4;
        ASSERT_LT(row, Tile::kRows);
        ASSERT_LT(column, Tile::kColumns);
        ++covered[static_cast<std::size_t>(row * Tile::kColumns + column)];
      }
    }
    // Quads of neighbouring columns are loaded and stored as one.
    for (int q = 0; q < Tile::kColumnQuads; ++q) EXPECT_EQ(quad_column<Tile>(thread, q) % 4, 0);
    for (int q = 0; q < Tile::kRowQuads; ++q) EXPECT_EQ(quad_row<Tile>(thread, q) % 4, 0);
  }
  for (const int count : covered) ASSERT_EQ(count, 1);
}

template <class Tile, int Width>
void expect_slabs_are_loaded_once() {
  using Share = SlabShare<Tile, Width>;
  const auto check = [](int rows, int passes) {
    std::vector<int> covered(static_cast<std::size_t>(rows * Tile::kDepth), 0);
    for (int thread = 0; thread < Tile::kThreads; ++thread) {
      for (int pass = 0; pass < passes; ++pass) {
        for (int i = 0; i < Width; ++i) {
          ASSERT_LT(Share::k(thread) + i, Tile::kDepth);
          ASSERT_LT(Share::row(thread, pass), rows);
          ++covered[static_cast<std::size_t>(Share::row(thread, pass) * Tile::kDepth + Share::k(thread) + i)];
        }
      }
    }
    for (const int count : covered) ASSERT_EQ(count, 1);
  };
  check(Tile::kRows, Share::kInputPasses);
  check(Tile::kColumns, Share::kWeightPasses);
}

TYPED_TEST(CudaTile, ThreadsLoadASlabOnce) {
  expect_slabs_are_loaded_once<TypeParam, 1>();
  expect_slabs_are_loaded_once<TypeParam, 4>();
}

TYPED_TEST(CudaTile, LinesOfSharedMemoryAreAlignedAndFit) {
  using Tile = TypeParam;
  EXPECT_EQ(Tile::kRowPitch % 4, 0);
  EXPECT_EQ(Tile::kColumnPitch % 4, 0);
  EXPECT_LE(sizeof(GemmShared<Tile>), 48U * 1024);  // what a block has without asking for more
}

TYPED_TEST(CudaTile, BlocksCoverAllOutputsOfAllGroupsOnce) {
  using Tile = TypeParam;
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    GemmArguments a;
    a.rows = 1 + static_cast<std::int64_t>(random() % 400);
    a.columns = 1 + static_cast<std::int32_t>(random() % 150);
    a.groups = 1 + static_cast<std::int32_t>(random() % 3);
    std::vector<int> covered(static_cast<std::size_t>(a.rows * a.columns * a.groups), 0);
    for (std::int64_t block = 0; block < gemm_grid<Tile>(a).blocks; ++block) {
      const TileOrigin origin = tile_origin<Tile>(a, block);
      ASSERT_LT(origin.row, a.rows);
      ASSERT_LT(origin.column, a.columns);
      ASSERT_LT(origin.group, a.groups);
      for (std::int64_t row = origin.row; row < std::min<std::int64_t>(a.rows, origin.row + Tile::kRows); ++row) {
        for (int column = origin.column; column < std::min(a.columns, origin.column + Tile::kColumns); ++column) {
          ++covered[static_cast<std::size_t>((row * a.groups + origin.group) * a.columns + column)];
        }
      }
    }
    for (const int count : covered) ASSERT_EQ(count, 1);
  }
}

TYPED_TEST(CudaTile, NothingToDoIsAnEmptyGrid) {
  GemmArguments a;
  a.columns = 5;
  EXPECT_EQ(gemm_grid<TypeParam>(a).blocks, 0);
}

Window random_window(std::mt19937& random) {
  const auto pick = [&](std::int32_t low, std::int32_t high) {
    return low + static_cast<std::int32_t>(random() % static_cast<unsigned>(high - low + 1));
  };
  Window window;
  window.input = {pick(1, 20), pick(1, 20)};
  window.output = {pick(1, 20), pick(1, 20)};
  window.kernel = {pick(1, 5), pick(1, 5)};
  window.stride = {pick(1, 4), pick(1, 4)};
  window.padding = {pick(0, 4), pick(0, 4)};
  window.dilation = {pick(1, 3), pick(1, 3)};
  window.output_pixels = Divisor64(std::int64_t{window.output.h} * window.output.w);
  window.output_width = Divisor32(window.output.w);
  return window;
}

TEST(CudaWindow, OriginsFollowFromImageRowAndColumn) {
  std::mt19937 random(4);
  for (int round = 0; round < 50; ++round) {
    const Window window = random_window(random);
    std::int64_t pixel = 0;
    for (std::int64_t image = 0; image < 3; ++image) {
      for (std::int32_t h = 0; h < window.output.h; ++h) {
        for (std::int32_t w = 0; w < window.output.w; ++w, ++pixel) {
          const WindowOrigin origin = window_origin(window, pixel);
          ASSERT_EQ(origin.image_pixel, image * window.input.h * window.input.w);
          ASSERT_EQ(origin.h, h * window.stride.h - window.padding.h);
          ASSERT_EQ(origin.w, w * window.stride.w - window.padding.w);
        }
      }
    }
  }
}

TEST(CudaWindow, PixelsBeyondTheReachOf32BitsAreFound) {
  Window window;
  window.input = {1000, 2000};
  window.output = {500, 1000};
  window.stride = {2, 2};
  window.padding = {1, 3};
  window.output_pixels = Divisor64(500'000);
  window.output_width = Divisor32(1000);
  const std::int64_t image = 20'000;
  const WindowOrigin origin = window_origin(window, image * 500'000 + 499 * 1000 + 999);
  EXPECT_EQ(origin.image_pixel, image * 2'000'000);
  EXPECT_EQ(origin.h, 997);
  EXPECT_EQ(origin.w, 1995);
  EXPECT_EQ(pixel_number(window, origin, 998, 1999), 40'000'000'000 + 998 * 2000 + 1999);
}

TEST(CudaWindow, InsideIsInside) {
  Window window;
  window.input = {3, 4};
  for (std::int32_t h = -2; h < 6; ++h) {
    for (std::int32_t w = -2; w < 6; ++w) {
      EXPECT_EQ(is_inside(window, h, w), h >= 0 && h <= 2 && w >= 0 && w <= 3) << h << ", " << w;
    }
  }
}

TEST(CudaWindow, TapsComeRowByRowWithChannelsInnermost) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    GemmArguments a;
    a.window = random_window(random);
    const auto channels = static_cast<std::int32_t>(1 + random() % 40);
    a.channels = Divisor32(channels);
    a.kernel_width = Divisor32(a.window.kernel.w);
    std::int32_t k = 0;
    for (std::int32_t h = 0; h < a.window.kernel.h; ++h) {
      for (std::int32_t w = 0; w < a.window.kernel.w; ++w) {
        for (std::int32_t channel = 0; channel < channels; ++channel, ++k) {
          const Tap tap = tap_of(a, k);
          ASSERT_EQ(tap.h, h * a.window.dilation.h);
          ASSERT_EQ(tap.w, w * a.window.dilation.w);
          ASSERT_EQ(tap.channel, channel);
        }
      }
    }
  }
}

TEST(CudaLanes, FourAreMovedAsOneAndOneAlone) {
  alignas(16) const float from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  alignas(16) float to[8] = {};
  store_lanes(to, load_lanes<4>(from + 4));
  store_lanes(to + 4, load_written_lanes<4>(from));
  EXPECT_EQ(std::vector<float>(to, to + 8), (std::vector<float>{5, 6, 7, 8, 1, 2, 3, 4}));
  store_lanes(to + 1, load_lanes<1>(from + 6));
  store_lanes(to + 3, load_written_lanes<1>(from + 7));
  EXPECT_EQ(std::vector<float>(to, to + 4), (std::vector<float>{5, 7, 7, 8}));
}

TEST(CudaDepthwise, StripsCoverEveryOutputOnce) {
  std::mt19937 random(6);
  for (int round = 0; round < 60; ++round) {
    DepthwiseCall call;
    DepthwiseArguments& a = call.arguments;
    a.window = random_window(random);
    call.window = static_cast<DepthwiseWindow>(round % 6);
    call.long_strips = round % 4 < 2;
    const bool singles = call.window == DepthwiseWindow::any_singles;
    a.channels = static_cast<std::int32_t>((1 + random() % 12) * (singles ? 1 : 4));
    const std::int64_t images = 1 + static_cast<std::int64_t>(random() % 3);
    a.lines = images * a.window.output.h;
    set_shares(call);
    std::vector<int> covered(static_cast<std::size_t>(a.lines * a.window.output.w * a.channels), 0);
    with_shape(call, [&]<class Shape>(Shape) {
      for (std::int64_t element = 0; element < elements_of(a); ++element) {
        const DepthwiseShare share = depthwise_share<Shape>(a, element);
        ASSERT_LT(share.image, images);
        ASSERT_LT(share.row, a.window.output.h);
        ASSERT_LE(share.channel + Shape::kWidth, a.channels);
        const std::int64_t line = share.image * a.window.output.h + share.row;
        for (int p = 0; p < Shape::kStrip && share.column + p < a.window.output.w; ++p) {
          for (int i = 0; i < Shape::kWidth; ++i) {
            const std::int64_t pixel = line * a.window.output.w + share.column + p;
            ++covered[static_cast<std::size_t>(pixel * a.channels + share.channel + i)];
          }
        }
      }
    });
    for (const int count : covered) ASSERT_EQ(count, 1);
  }
}

TEST(CudaDepthwise, LinesOfTheInputAreFoundBeyond32Bits) {
  DepthwiseArguments a;
  a.window.input = {1000, 2000};
  a.input_stride = 64;
  constexpr std::uintptr_t kBase = 256;
  a.input = reinterpret_cast<const float*>(kBase);
  const DepthwiseShare share{.image = 100, .row = 0, .column = 0, .channel = 8};
  const auto bytes = reinterpret_cast<std::uintptr_t>(input_line(a, share, 7));
  EXPECT_EQ(bytes, kBase + (std::uint64_t{100'007} * 2000 * 64 + 8) * sizeof(float));
}

TEST(CudaGlobalPool, BlocksCoverAllChannelsOfAllImagesOnce) {
  for (const bool moves_quads : {false, true}) {
    for (const std::int32_t channels : {4, 32, 36, 128, 132, 300}) {
      GlobalAvgPoolArguments a;
      a.images = 3;
      a.channels = channels;
      a.moves_quads = moves_quads;
      const int in_block = global_pool_channels(moves_quads);
      a.channel_groups = Divisor64(ceil_div(channels, in_block));
      std::vector<int> covered(static_cast<std::size_t>(3 * channels), 0);
      for (std::int64_t block = 0; block < grid_of(a).blocks; ++block) {
        const GlobalPoolShare share = global_pool_share(a, block);
        for (int i = 0; i < in_block && share.channel + i < channels; ++i) {
          ++covered[static_cast<std::size_t>(share.image * channels + share.channel + i)];
        }
      }
      for (const int count : covered) ASSERT_EQ(count, 1) << channels << " channels";
    }
  }
}

TEST(CudaPool, AdaptiveBinsAreTorchs) {
  for (std::int32_t size = 1; size < 40; ++size) {
    for (std::int32_t bins = 1; bins < 40; ++bins) {
      for (std::int32_t i = 0; i < bins; ++i) {
        const Extent bin = adaptive_bin(i, size, bins);
        ASSERT_EQ(bin.begin, i * size / bins);
        ASSERT_EQ(bin.end, static_cast<std::int32_t>(std::ceil((i + 1.0) * size / bins)));
        ASSERT_LT(bin.begin, bin.end);
        ASSERT_LE(bin.end, size);
      }
    }
  }
  const Extent last = adaptive_bin(2'000'000'000, 2'000'000'001, 2'000'000'001);
  EXPECT_EQ(last.begin, 2'000'000'000);
  EXPECT_EQ(last.end, 2'000'000'001);
}

TEST(CudaPool, AverageExtentsClipToPaddingThenToInput) {
  // size 5, padding 1: places -1 .. 5 are padded input.
  EXPECT_EQ(average_extent(-1, 3, 5, 1).inside.begin, 0);
  EXPECT_EQ(average_extent(-1, 3, 5, 1).inside.end, 2);
  EXPECT_EQ(average_extent(-1, 3, 5, 1).padded_size, 3);
  EXPECT_EQ(average_extent(3, 3, 5, 1).inside.end, 5);
  EXPECT_EQ(average_extent(3, 3, 5, 1).padded_size, 3);
  EXPECT_EQ(average_extent(4, 3, 5, 1).padded_size, 2);  // ceil_mode: the window overhangs the padding
  EXPECT_EQ(average_extent(4, 3, 5, 1).inside.end, 5);
}

// Which elements one grid takes, by the loop that kernels use.
struct CountingBlock {
  std::int64_t block = 0;
  std::int64_t blocks = 0;
  int number = 0;
  [[nodiscard]] std::int64_t index() const { return block; }
  [[nodiscard]] std::int64_t count() const { return blocks; }
  [[nodiscard]] int thread() const { return number; }
};

TEST(CudaElements, EveryElementIsTakenOnceHoweverFewTheBlocks) {
  for (const std::int64_t elements : {0, 1, 255, 256, 257, 1000, 5000}) {
    for (const std::int64_t blocks : {std::int64_t{1}, std::int64_t{3}, grid_for_elements(elements).blocks}) {
      if (blocks == 0) continue;
      std::vector<int> covered(static_cast<std::size_t>(elements), 0);
      for (std::int64_t block = 0; block < blocks; ++block) {
        for (int thread = 0; thread < kElementThreads; ++thread) {
          for_each_element(CountingBlock{block, blocks, thread}, elements,
                           [&](std::int64_t i) { ++covered[static_cast<std::size_t>(i)]; });
        }
      }
      for (const int count : covered) ASSERT_EQ(count, 1) << elements << " elements, " << blocks << " blocks";
    }
  }
}

TEST(CudaElements, GridsStayWithinWhatCudaAllows) {
  EXPECT_EQ(grid_for_elements(0).blocks, 0);
  EXPECT_EQ(grid_for_elements(1).blocks, 1);
  EXPECT_EQ(grid_for_elements(257).blocks, 2);
  EXPECT_EQ(grid_for_elements(std::int64_t{1} << 50).blocks, kElementBlocks);
  SoftmaxArguments softmax;
  softmax.outer = std::int64_t{1} << 40;
  softmax.inner = Divisor64(1);
  EXPECT_EQ(grid_of(softmax).blocks, kElementBlocks);
  LayoutArguments layout;
  layout.images = std::int64_t{1} << 40;
  layout.rows = Divisor64(64);
  layout.columns = Divisor64(64);
  EXPECT_EQ(grid_of(layout).blocks, kMaxBlocks);
}

TEST(CudaRowProduct, EachColumnHasOneWarp) {
  RowProductArguments a;
  a.gemm.columns = 10;
  const Grid grid = grid_of(a);
  EXPECT_EQ(grid.blocks, 3);
  std::vector<int> lanes(12, 0);
  for (std::int64_t block = 0; block < grid.blocks; ++block) {
    for (int thread = 0; thread < grid.threads; ++thread) {
      const RowProductShare share = row_product_share(block, thread);
      EXPECT_EQ(share.lane, thread % 32);
      ++lanes[static_cast<std::size_t>(share.column)];
    }
  }
  for (const int count : lanes) EXPECT_EQ(count, 32);
}

TEST(CudaLayout, TilesCoverAllImages) {
  LayoutArguments a;
  a.images = 3;
  a.rows = Divisor64(70);
  a.columns = Divisor64(33);
  std::vector<int> covered(3 * 70 * 33, 0);
  for (std::int64_t number = 0; number < layout_tile_count(a); ++number) {
    const LayoutTile tile = layout_tile(a, number);
    for (std::int64_t row = tile.row; row < std::min<std::int64_t>(70, tile.row + kLayoutTile); ++row) {
      for (std::int64_t column = tile.column; column < std::min<std::int64_t>(33, tile.column + kLayoutTile);
           ++column) {
        ++covered[static_cast<std::size_t>((tile.image * 70 + row) * 33 + column)];
      }
    }
  }
  for (const int count : covered) ASSERT_EQ(count, 1);
}

TEST(CudaBroadcast, OffsetsWalkBothOperands) {
  BroadcastArguments a;
  a.dims = 3;
  const std::int64_t sizes[] = {2, 3, 4};
  const std::int64_t a_strides[] = {0, 4, 1};
  const std::int64_t b_strides[] = {3, 1, 0};
  for (int i = 0; i < 3; ++i) {
    a.sizes[i] = Divisor64(sizes[i]);
    a.a_strides[i] = a_strides[i];
    a.b_strides[i] = b_strides[i];
  }
  std::int64_t element = 0;
  for (std::int64_t i = 0; i < 2; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) {
      for (std::int64_t k = 0; k < 4; ++k, ++element) {
        const BroadcastOffsets offsets = broadcast_offsets(a, element);
        EXPECT_EQ(offsets.a, j * 4 + k);
        EXPECT_EQ(offsets.b, i * 3 + j);
      }
    }
  }
}

}  // namespace
}  // namespace rushlight::cuda
