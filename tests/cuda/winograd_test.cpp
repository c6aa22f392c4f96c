// Winograd's algorithm: which layers go through it, and that they come out as by the direct way.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "cuda/emulate_work.hpp"
#include "cuda/step_case.hpp"
#include "cuda/winograd_choice.hpp"

namespace rushlight::cuda {
namespace {

using emulation::Emulator;
using emulation::Order;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Relative to the largest output.
constexpr double kStrict = 5e-6;
constexpr double kOfF4 = 5e-5;

struct LayerShape {
  std::int64_t n = 1;
  std::int64_t h = 1;
  std::int64_t w = 1;
  std::int64_t channels = 1;
  std::int64_t outputs = 1;
  IntPair padding = 1;
  bool bias = true;
  bool residual = false;
  bool in_place = false;
  std::int64_t input_gap = 0;
  std::int64_t output_gap = 0;
};

runtime::ConvStep add_layer(StepCaseBuilder& b, const LayerShape& s) {
  const std::int64_t out_h = s.h + 2 * s.padding.h - 2;
  const std::int64_t out_w = s.w + 2 * s.padding.w - 2;
  runtime::ConvStep step;
  step.input = b.tensor(s.n, s.h, s.w, s.channels, s.channels + s.input_gap);
  step.weights = b.constant({s.outputs, 3, 3, s.channels});
  if (s.bias) step.bias = b.constant({s.outputs});
  if (s.residual) step.epilogue.residual = b.tensor(s.n, out_h, out_w, s.outputs, s.outputs + s.output_gap);
  step.output = s.in_place ? b.tensor_on(step.epilogue.residual)
                           : b.output(s.n, out_h, out_w, s.outputs, s.outputs + s.output_gap);
  step.kernel = 3;
  step.stride = 1;
  step.padding = s.padding;
  step.dilation = 1;
  step.epilogue.activation.kind = s.residual ? runtime::Activation::Kind::relu : runtime::Activation::Kind::hardswish;
  return step;
}

// The memory afterwards, the same for any order of threads and blocks.
std::vector<float> emulate(const StepCase& step_case, const CallOptions& options) {
  const Needs needs = find_needs(step_case.plan, options).value();
  const std::vector<float> before = memory_for(step_case, needs);
  std::vector<float> memory = before;
  const std::vector<Call> calls =
      make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), options).value();
  EXPECT_TRUE(std::holds_alternative<WinogradInputArguments>(calls.at(0).work));
  EXPECT_EQ(calls.size() % 3, 0U);
  std::vector<float> first;
  for (const Order order : {Order::forward, Order::backward, Order::shuffled}) {
    std::copy(before.begin(), before.end(), memory.begin());
    Emulator emulator(order);
    for (const Call& call : calls) emulation::emulate(call.work, emulator);
    EXPECT_EQ(emulator.failure(), "") << step_case.name;
    if (first.empty()) first = memory;
    EXPECT_EQ(std::memcmp(first.data(), memory.data(), memory.size() * sizeof(float)), 0) << step_case.name;
  }
  return first;
}

void expect_is_its_definition(StepCase step_case, std::int64_t images_at_a_time) {
  const Expected expected = compute_naively(step_case);
  for (const WinogradTile tile : {WinogradTile::outputs2, WinogradTile::outputs4}) {
    step_case.tolerance = tile == WinogradTile::outputs4 ? kOfF4 : kStrict;
    const CallOptions options{.processors = 4, .winograd = WinogradChoice{tile, images_at_a_time}};
    EXPECT_EQ(judge(step_case, expected, emulate(step_case, options)), "")
        << "tiles of " << winograd_outputs(tile) << " outputs";
  }
}

TEST(CudaWinograd, LayersAreTheirDefinition) {
  std::uint64_t seed = 1;
  std::vector<LayerShape> shapes = {
      {.h = 8, .w = 8, .channels = 16, .outputs = 32, .padding = 0},
      {.h = 9, .w = 7, .channels = 3, .outputs = 20, .residual = true, .in_place = true},
      {.n = 2, .h = 5, .w = 6, .channels = 33, .outputs = 17, .bias = false, .residual = true},
      {.h = 6, .w = 6, .channels = 8, .outputs = 16, .residual = true, .input_gap = 3, .output_gap = 5},
      {.h = 3, .w = 3, .channels = 4, .outputs = 16, .padding = {2, 0}},
      {.h = 1, .w = 1, .channels = 4, .outputs = 16, .padding = {3, 1}},  // tiles that lie in the padding alone
  };
  for (const std::int64_t size : {1, 2, 3, 4, 5}) {
    shapes.push_back({.h = size, .w = 6 - size, .channels = 4, .outputs = 16});
  }
  for (const LayerShape& shape : shapes) {
    StepCaseBuilder b("winograd " + std::to_string(seed), seed);
    ++seed;
    const runtime::ConvStep step = add_layer(b, shape);
    expect_is_its_definition(b.build(step, kStrict), shape.n);
  }
}

TEST(CudaWinograd, ImagesGoThroughScratchAFewAtATime) {
  for (const std::int64_t at_a_time : {1, 2, 3}) {
    StepCaseBuilder b("images", 20);
    const runtime::ConvStep step =
        add_layer(b, {.n = 3, .h = 5, .w = 5, .channels = 4, .outputs = 16, .residual = true, .output_gap = 4});
    StepCase step_case = b.build(step, kStrict);
    const CallOptions options{.winograd = WinogradChoice{WinogradTile::outputs2, at_a_time}};
    EXPECT_EQ(find_needs(step_case.plan, options).value().scratch_bytes,
              static_cast<std::uint64_t>(at_a_time * 9 * 16 * (4 + 16)) * sizeof(float));
    expect_is_its_definition(std::move(step_case), at_a_time);
  }
}

// One value spreads over its tile, and must not.
TEST(CudaWinograd, WhatIsNotFiniteReachesTheOutputsOfItsWindowsAlone) {
  for (const float special : {kNaN, kInfinity, -kInfinity, 1e38F}) {
    StepCaseBuilder b("a special value " + std::to_string(special), 30);
    const runtime::ConvStep step = add_layer(b, {.h = 8, .w = 9, .channels = 4, .outputs = 16});
    b.values(step.input)[(3 * 9 + 4) * 4 + 2] = special;
    StepCase step_case = b.build(step, kStrict);
    if (std::abs(special) > 1e37F) {
      // So that what is finite stays it.
      for (float& weight : std::span(step_case.memory).subspan(step_case.constant_floats[0], 16 * 9 * 4)) {
        weight = weight > 0 ? 0.25F : -0.25F;
      }
    }
    if (special != 1e38F) {
      expect_is_its_definition(std::move(step_case), 1);
      continue;
    }
    // Beside 1e38 everything else is less than a rounding; what must not come is an infinity.
    for (const WinogradTile tile : {WinogradTile::outputs2, WinogradTile::outputs4}) {
      const std::vector<float> memory = emulate(step_case, {.winograd = WinogradChoice{tile, 1}});
      const Expected expected = compute_naively(step_case);
      for (std::size_t i = 0; i < step_case.memory.size(); ++i) {
        ASSERT_TRUE(!expected.is_output[i] || std::isfinite(memory[i]));
      }
    }
  }
}

TEST(CudaWinograd, WeightsThatAreNotFiniteReachTheirChannelAlone) {
  StepCaseBuilder b("a weight of NaN", 31);
  const runtime::ConvStep step = add_layer(b, {.h = 6, .w = 6, .channels = 4, .outputs = 16, .padding = 0});
  StepCase step_case = b.build(step, kStrict);
  step_case.memory[step_case.constant_floats[0] + 5 * 36 + 7] = kNaN;
  step_case.memory[step_case.constant_floats[0] + 6 * 36 + 8] = kInfinity;
  expect_is_its_definition(std::move(step_case), 1);
}

TEST(CudaWinograd, TilesCoverEveryOutputOnce) {
  for (const WinogradTile tile : {WinogradTile::outputs2, WinogradTile::outputs4}) {
    for (const std::int32_t height : {1, 2, 3, 4, 5, 8, 9}) {
      const std::int32_t width = 10 - height;
      const int side = winograd_outputs(tile);
      WinogradTiles tiles;
      tiles.images = 3;
      tiles.window.output = {height, width};
      tiles.rows = Divisor64(winograd_tiles(tile, height));
      tiles.columns = Divisor64(winograd_tiles(tile, width));
      std::vector<int> covered(static_cast<std::size_t>(3 * height * width), 0);
      for (std::int64_t number = 0; number < tiles_of(tiles); ++number) {
        const WinogradPlace place = winograd_place(tiles, side, number);
        ASSERT_LT(place.image, 3);
        for (std::int32_t h = place.h; h < std::min(height, place.h + side); ++h) {
          for (std::int32_t w = place.w; w < std::min(width, place.w + side); ++w) {
            ++covered[static_cast<std::size_t>((place.image * height + h) * width + w)];
          }
        }
      }
      for (const int count : covered) ASSERT_EQ(count, 1);
    }
  }
}

runtime::PlannedTensor images(std::int64_t n, std::int64_t size, std::int64_t channels) {
  runtime::PlannedTensor tensor;
  tensor.n = n;
  tensor.h = tensor.w = size;
  tensor.c = tensor.row_stride = channels;
  return tensor;
}

TEST(CudaWinograd, WideLayersOfLargePicturesAreChosen) {
  runtime::ConvStep step;
  step.kernel = 3;
  step.stride = step.dilation = step.padding = 1;
  bool on_tensor_cores = false;
  const auto choose = [&](std::int64_t n, std::int64_t size, std::int64_t channels, Precision precision) {
    return choose_winograd(step, images(n, size, channels), images(n, size, channels), precision, on_tensor_cores);
  };
  EXPECT_EQ(choose(32, 28, 256, Precision::strict)->tile, WinogradTile::outputs2);
  EXPECT_EQ(choose(32, 28, 256, Precision::fast)->tile, WinogradTile::outputs4);
  EXPECT_FALSE(choose(32, 56, 32, Precision::strict));  // the transforms' bytes
  EXPECT_FALSE(choose(1, 7, 512, Precision::strict));   // tiles of products nearly empty
  EXPECT_FALSE(choose(1, 14, 64, Precision::fast));     // three starts for one
  EXPECT_FALSE(choose(32, 28, 256, Precision::bf16));
  // Scratch is what L2 holds, or one image.
  const WinogradChoice many = choose(64, 56, 256, Precision::fast).value();
  EXPECT_LT(many.images_at_a_time, 64);
  EXPECT_LE(winograd_floats(many, images(64, 56, 256), images(64, 56, 256)), std::int64_t{8} << 20);
  on_tensor_cores = true;
  EXPECT_FALSE(choose(32, 28, 256, Precision::strict));
  EXPECT_EQ(choose(32, 28, 256, Precision::fast)->tile, WinogradTile::outputs4);
  on_tensor_cores = false;
  step.stride = 2;
  EXPECT_FALSE(choose(32, 28, 256, Precision::fast));
  step.stride = 1;
  step.groups = 2;
  EXPECT_FALSE(choose(32, 28, 256, Precision::fast));
  step.groups = 1;
  step.dilation = {1, 2};
  EXPECT_FALSE(choose(32, 28, 256, Precision::fast));
}

}  // namespace
}  // namespace rushlight::cuda
