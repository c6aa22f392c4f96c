// Precision::int8: kernels and steps against sums of integers written out, calibrate(), and what cannot be a code.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/networks.hpp"
#include "runtime/step_times.hpp"
#include "rushlight/session.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::Int8Call;
using runtime::cpu::Int8Kernel;
using runtime::cpu::Int8Kernels;
using runtime::cpu::QuantiseCall;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct NamedKernels {
  std::string name;
  const Int8Kernels* kernels;
};

std::vector<NamedKernels> all_kernels() {
  std::vector<NamedKernels> all = {{"baseline", &runtime::cpu::baseline_kernels().int8}};
#if defined(__x86_64__)
  const CpuFeatures features = detect_cpu_features();
  if (features.avx2) all.push_back({"avx2", &runtime::cpu::avx2_kernels().int8});
  if (features.avx512) all.push_back({"avx512", &runtime::cpu::avx512_kernels().int8});
  if (features.avx512_vnni) all.push_back({"avx512_vnni", &runtime::cpu::avx512_vnni_kernels()});
#endif
  return all;
}

// Codes as a kernel reads them: bytes, or words of 16 bits.
void put_code(std::vector<std::byte>& memory, std::size_t place, std::size_t per_unit, int code) {
  const std::size_t size = 4 / per_unit;
  std::memcpy(memory.data() + place * size, &code, size);  // little-endian, as x86 is
}

// A call with random codes, and its outputs written out.
class RandomProducts {
 public:
  RandomProducts(const Int8Kernels& kernels, const Int8Kernel& kernel, std::mt19937& random, bool extremes)
      : per_unit_(kernels.codes_per_unit), width_(kernel.width) {
    const auto below = [&](std::size_t limit) { return random() % limit; };
    rows_ = 1 + below(40);
    segments_ = 1 + below(3);
    length_ = 1 + below(180);
    const std::size_t panels = 1 + below(3);
    columns_ = (panels - 1) * width_ + 1 + below(width_);
    has_bias_ = below(2) == 0;
    has_residual_ = below(2) == 0;
    is_bounded_ = below(2) == 0;
    const std::size_t padded = panels * width_;
    codes_.resize(segments_ * rows_ * length_ * 4);
    weights_.resize(panels * segments_ * length_ * width_ * 4);
    const std::size_t codes = codes_.size() / (4 / per_unit_);
    for (std::size_t i = 0; i < codes; ++i) {
      const int code = extremes ? 255 : static_cast<int>(below(256));
      code_values_.push_back(code);
      put_code(codes_, i, per_unit_, code);
    }
    const std::size_t weights = weights_.size() / (4 / per_unit_);
    for (std::size_t i = 0; i < weights; ++i) {
      const int weight = extremes ? (below(2) == 0 ? 127 : -127) : static_cast<int>(below(255)) - 127;
      weight_values_.push_back(weight);
      put_code(weights_, i, per_unit_, weight);
    }
    std::uniform_real_distribution<float> numbers(-2, 2);
    for (std::size_t o = 0; o < padded; ++o) {
      starts_.push_back(static_cast<std::int32_t>(random() % 100000) - 50000);
      scales_.push_back(std::ldexp(numbers(random), -12));
      bias_.push_back(numbers(random));
    }
    residual_.resize(rows_ * columns_);
    for (float& value : residual_) value = numbers(random);
  }

  void check(const Int8Kernel& kernel) {
    std::vector<const float*> pointers;
    for (std::size_t s = 0; s < segments_; ++s) {
      for (std::size_t r = 0; r < rows_; ++r) {
        pointers.push_back(reinterpret_cast<const float*>(codes_.data() + (s * rows_ + r) * length_ * 4));
      }
    }
    std::vector<float> output(rows_ * (columns_ + 1), -7.0F);
    Int8Call call;
    call.rows = pointers.data();
    call.row_pitch = call.row_count = rows_;
    call.segments = segments_;
    call.segment_length = length_;
    call.weights = reinterpret_cast<const float*>(weights_.data());
    call.start = starts_.data();
    call.scale = scales_.data();
    call.bias = has_bias_ ? bias_.data() : nullptr;
    call.panel_count = (columns_ + width_ - 1) / width_;
    call.columns = columns_;
    call.output = output.data();
    call.output_stride = columns_ + 1;
    call.residual = has_residual_ ? residual_.data() : nullptr;
    call.residual_stride = columns_;
    if (is_bounded_) call.bounds = {.active = true, .low = 0, .high = 6};
    kernel.run(call);
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t o = 0; o < columns_; ++o) {
        ASSERT_EQ(expected(r, o), output[r * (columns_ + 1) + o]) << "row " << r << ", output " << o;
      }
      ASSERT_EQ(-7.0F, output[r * (columns_ + 1) + columns_]) << "behind row " << r;
    }
  }

 private:
  [[nodiscard]] float expected(std::size_t row, std::size_t output) const {
    std::int64_t sum = starts_[output];
    const std::size_t panel = output / width_ * segments_ * length_ * width_ + output % width_;
    for (std::size_t s = 0; s < segments_; ++s) {
      for (std::size_t i = 0; i < length_; ++i) {
        for (std::size_t k = 0; k < per_unit_; ++k) {
          const std::size_t code = ((s * rows_ + row) * length_ + i) * per_unit_ + k;
          const std::size_t weight = (panel + (s * length_ + i) * width_) * per_unit_ + k;
          sum += std::int64_t{code_values_[code]} * weight_values_[weight];
        }
      }
    }
    float y = static_cast<float>(sum) * scales_[output];
    if (has_bias_) y += bias_[output];
    if (has_residual_) y += residual_[row * columns_ + output];
    return is_bounded_ ? std::min(std::max(y, 0.0F), 6.0F) : y;
  }

  std::size_t per_unit_;
  std::size_t width_;
  std::size_t rows_ = 0;
  std::size_t segments_ = 0;
  std::size_t length_ = 0;
  std::size_t columns_ = 0;
  bool has_bias_ = false;
  bool has_residual_ = false;
  bool is_bounded_ = false;
  std::vector<std::byte> codes_;
  std::vector<std::byte> weights_;
  std::vector<int> code_values_;
  std::vector<int> weight_values_;
  std::vector<std::int32_t> starts_;
  std::vector<float> scales_;
  std::vector<float> bias_;
  std::vector<float> residual_;
};

TEST(Int8Kernels, SumsAreThoseOfIntegersOnEveryInstructionSet) {
  for (const NamedKernels& all : all_kernels()) {
    SCOPED_TRACE(all.name);
    for (const Int8Kernel& kernel : all.kernels->gemm) {
      if (kernel.run == nullptr) continue;
      SCOPED_TRACE(std::to_string(kernel.width) + " wide");
      std::mt19937 random(7);
      for (int i = 0; i < 40; ++i) {
        // Every fourth with the largest codes: sums of pairs that 16 bits do not hold.
        RandomProducts(*all.kernels, kernel, random, i % 4 == 0).check(kernel);
        if (HasFatalFailure()) return;
      }
    }
  }
}

std::vector<int> codes_of(const NamedKernels& all, const std::vector<float>& values, float inverse_scale,
                          unsigned zero_point, bool& odd) {
  QuantiseCall call;
  call.input = values.data();
  call.rows = 1;
  call.channels = values.size();
  call.input_stride = values.size();
  const std::size_t per_unit = all.kernels->codes_per_unit;
  call.output_pitch = (values.size() + per_unit - 1) / per_unit;
  std::vector<std::byte> codes(call.output_pitch * 4 + 1, std::byte{0xEE});
  call.output = codes.data();
  call.inverse_scale = inverse_scale;
  call.zero_point = zero_point;
  call.low = -static_cast<float>(zero_point);
  call.high = 255 + call.low;
  odd = all.kernels->quantise(call);
  EXPECT_EQ(std::byte{0xEE}, codes.back());
  std::vector<int> result;
  const std::size_t size = 4 / per_unit;
  for (std::size_t i = 0; i < values.size(); ++i) {
    int code = 0;
    std::memcpy(&code, codes.data() + i * size, size);
    result.push_back(code);
  }
  return result;
}

TEST(Int8Kernels, ValuesAreRoundedToEvenAndStayWithinTheRange) {
  for (const NamedKernels& all : all_kernels()) {
    SCOPED_TRACE(all.name);
    bool odd = true;
    EXPECT_EQ((std::vector<int>{10, 10, 12, 12, 14, 10, 8, 8, 6, 0, 0, 255, 255, 255, 10, 11}),
              codes_of(all,
                       {0, 0.25F, 0.75F, 1, 1.75F, -0.25F, -0.75F, -1.25F, -1.75F, -5, -1e30F, 122.5F, 123, 3e38F,
                        -0.0F, 0.5F},
                       2, 10, odd));
    EXPECT_FALSE(odd);
    for (std::size_t count = 1; count <= 70; ++count) {
      std::vector<float> values(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
      std::vector<int> expected(count);
      for (std::size_t i = 0; i < count; ++i) expected[i] = static_cast<int>(i) + 3;
      EXPECT_EQ(expected, codes_of(all, values, 1, 3, odd));
      EXPECT_FALSE(odd);
      for (const float strange : {kNan, kInf, -kInf}) {
        for (const std::size_t place : {std::size_t{0}, count / 2, count - 1}) {
          std::vector<float> with = values;
          with[place] = strange;
          static_cast<void>(codes_of(all, with, 1, 3, odd));
          EXPECT_TRUE(odd) << strange << " at " << place << " of " << count;
        }
      }
    }
  }
}

TEST(Int8Kernels, ShortRowsAreCodedAsLongOnes) {
  for (const NamedKernels& all : all_kernels()) {
    SCOPED_TRACE(all.name);
    const std::size_t per_unit = all.kernels->codes_per_unit;
    for (std::size_t channels = 1; channels <= 20; ++channels) {
      constexpr std::size_t kRows = 700;
      std::vector<float> values(kRows * channels);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = unit(9, i) * 300 - 20;
      for (const bool with_nan : {false, true}) {
        if (with_nan) values[values.size() * 2 / 3] = kNan;
        QuantiseCall call;
        call.input = values.data();
        call.rows = kRows;
        call.channels = call.input_stride = channels;
        call.output_pitch = (channels + per_unit - 1) / per_unit + 1;
        std::vector<std::byte> codes(kRows * call.output_pitch * 4, std::byte{0xEE});
        call.output = codes.data();
        call.zero_point = 7;
        call.low = -7;
        call.high = 248;
        EXPECT_EQ(with_nan, all.kernels->quantise(call));
        if (with_nan) continue;
        for (std::size_t row = 0; row < kRows; ++row) {
          const std::byte* const from = codes.data() + row * call.output_pitch * 4;
          for (std::size_t c = 0; c < channels; ++c) {
            int code = 0;
            std::memcpy(&code, from + c * 4 / per_unit, 4 / per_unit);
            const float value = std::min(std::max(values[row * channels + c], -7.0F), 248.0F);
            ASSERT_EQ(static_cast<int>(std::nearbyint(value)) + 7, code) << row << ", " << c;
          }
          ASSERT_EQ(std::byte{0xEE}, from[(call.output_pitch - 1) * 4]) << "behind row " << row;
        }
      }
    }
  }
}

// --- steps ---

// Every instruction set, and on the last one every way to multiply codes.
std::vector<std::shared_ptr<const runtime::Backend>> int8_backends() {
  auto backends = cpu_backends();
  for (const auto way : {runtime::cpu::NarrowWay::widen, runtime::cpu::NarrowWay::dot}) {
    if (auto backend = runtime::cpu::make_backend(Isa::avx512, way)) backends.push_back(*std::move(backend));
  }
  return backends;
}

Calibration ranges(const Model& model, float low, float high) {
  Calibration calibration;
  for (const Node& node : model.graph().nodes()) calibration.layers[node.name] = {.low = low, .high = high};
  return calibration;
}

// The definition: codes of the input, codes of each output's weights, sums of integers, and then floats.
class ByDefinition {
 public:
  ByDefinition(float low, float high) {
    scale_ = static_cast<float>((static_cast<double>(high) - static_cast<double>(low)) / 255);
    zero_point_ = static_cast<int>(std::nearbyint(-static_cast<double>(low) / static_cast<double>(scale_)));
  }

  [[nodiscard]] int code(float x) const {
    const float scaled =
        std::min(std::max(x * (1 / scale_), -static_cast<float>(zero_point_)), static_cast<float>(255 - zero_point_));
    return static_cast<int>(std::nearbyint(scaled));
  }

  // `weights` of one output and `inputs`, in the same order; padding is 0.
  [[nodiscard]] float output(std::span<const float> weights, std::span<const float> inputs, float bias) const {
    float most = 0;
    for (const float weight : weights) most = std::max(most, std::fabs(weight));
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      sum += std::int64_t{code(inputs[i])} * static_cast<int>(std::nearbyint(weights[i] * (127 / most)));
    }
    return static_cast<float>(sum) * (scale_ * (most / 127)) + bias;
  }

 private:
  float scale_ = 1;
  int zero_point_ = 0;
};

std::vector<float> conv_by_definition(const Conv2d& op, const Model& model, const Tensor& input,
                                      const ByDefinition& definition) {
  const std::vector<float> x = floats_of(input);
  const std::vector<float> w = floats_of(*model.state_dict().find("op.weight"));
  const std::vector<float> bias = floats_of(*model.state_dict().find("op.bias"));
  const auto in = input.shape();
  const Shape in_shape(in.begin(), in.end());
  const Shape out = model.graph().infer_shapes(std::span(&in_shape, 1)).value().back();
  const std::int64_t in_group = op.in_channels / op.groups;
  const std::int64_t depth = in_group * op.kernel_size.h * op.kernel_size.w;
  std::vector<float> y;
  std::vector<float> window(static_cast<std::size_t>(depth));
  for (std::int64_t n = 0; n < out[0]; ++n) {
    for (std::int64_t o = 0; o < out[1]; ++o) {
      const std::int64_t group = o / (op.out_channels / op.groups);
      for (std::int64_t h = 0; h < out[2]; ++h) {
        for (std::int64_t column = 0; column < out[3]; ++column) {
          std::size_t place = 0;
          for (std::int64_t c = 0; c < in_group; ++c) {
            for (std::int64_t kh = 0; kh < op.kernel_size.h; ++kh) {
              for (std::int64_t kw = 0; kw < op.kernel_size.w; ++kw) {
                const std::int64_t ih = h * op.stride.h - op.padding.amount.h + kh * op.dilation.h;
                const std::int64_t iw = column * op.stride.w - op.padding.amount.w + kw * op.dilation.w;
                const bool inside = ih >= 0 && ih < in[2] && iw >= 0 && iw < in[3];
                const std::int64_t at = ((n * in[1] + group * in_group + c) * in[2] + ih) * in[3] + iw;
                window[place++] = inside ? x[static_cast<std::size_t>(at)] : 0.0F;
              }
            }
          }
          y.push_back(definition.output(
              std::span(w).subspan(static_cast<std::size_t>(o * depth), static_cast<std::size_t>(depth)), window,
              bias[static_cast<std::size_t>(o)]));
        }
      }
    }
  }
  return y;
}

void expect_definition(const Conv2d& op, const Shape& shape, float low, float high) {
  SCOPED_TRACE(std::to_string(op.in_channels) + " -> " + std::to_string(op.out_channels) + " k" +
               std::to_string(op.kernel_size.h) + "x" + std::to_string(op.kernel_size.w) + " groups " +
               std::to_string(op.groups));
  const Model model = made_up_model(graph_of(op));
  const Calibration calibration = ranges(model, low, high);
  const Tensor input = made_up("input", shape);
  const std::vector<float> expected = conv_by_definition(op, model, input, ByDefinition(low, high));
  for (const auto& backend : int8_backends()) {
    SCOPED_TRACE(backend->name());
    const auto found = run_on(*backend, model, std::span(&input, 1), nullptr, Precision::int8, &calibration);
    ASSERT_EQ(expected, found[0]);
  }
}

Conv2d conv(std::int64_t in, std::int64_t out, IntPair kernel, std::int64_t groups = 1) {
  Conv2d op;
  op.in_channels = in;
  op.out_channels = out;
  op.kernel_size = kernel;
  op.padding = Padding(kernel.h / 2, kernel.w / 2);
  op.groups = groups;
  return op;
}

TEST(Int8Conv, GivesTheSameBitsAsTheDefinitionOnEveryInstructionSet) {
  expect_definition(conv(16, 24, 3), {2, 16, 7, 9}, -0.5F, 0.5F);
  expect_definition(conv(3, 20, 7), {1, 3, 15, 13}, -0.4F, 0.3F);       // taps in one run
  expect_definition(conv(33, 70, 1), {2, 33, 9, 8}, -1, 1);             // no whole units
  expect_definition(conv(17, 19, 3), {1, 17, 6, 6}, -0.25F, 0.5F);      // nor whole panels
  expect_definition(conv(24, 48, 3, 3), {1, 24, 8, 8}, -0.5F, 0.25F);   // groups of eight
  expect_definition(conv(130, 64, {1, 3}), {1, 130, 5, 6}, 0, 0.125F);  // values that the range leaves out
  expect_definition(conv(64, 33, 1), {1, 64, 9, 9}, -0.5F, 0.5F);       // whole lines of tiles
  expect_definition(conv(128, 48, 3), {2, 128, 5, 7}, -0.5F, 0.25F);
  expect_definition(conv(128, 32, 1, 2), {3, 128, 6, 6}, -0.5F, 0.5F);
  Conv2d strided = conv(8, 40, 3);
  strided.stride = {2, 1};
  strided.dilation = {1, 2};
  expect_definition(strided, {3, 8, 11, 12}, -0.5F, 0.5F);
  // Windows that tiles read in place: lines that run on and lines that do not, blocks within images and across them.
  expect_definition(conv(64, 48, 3), {5, 64, 7, 7}, -0.5F, 0.5F);
  expect_definition(conv(64, 20, 3), {2, 64, 5, 48}, -0.5F, 0.25F);
  expect_definition(conv(100, 32, 3), {1, 100, 30, 33}, -0.25F, 0.5F);
  expect_definition(conv(3, 48, 3), {2, 3, 19, 37}, -0.5F, 0.5F);
  expect_definition(conv(4, 64, 5), {2, 4, 70, 71}, -0.5F, 0.5F);
  expect_definition(conv(64, 32, {3, 1}), {2, 64, 9, 15}, -0.5F, 0.5F);
  Conv2d wide_border = conv(64, 32, 3);
  wide_border.padding = 5;
  expect_definition(wide_border, {1, 64, 4, 6}, -0.5F, 0.5F);
  Conv2d sparse = conv(64, 32, 3);
  sparse.stride = {2, 3};
  sparse.dilation = {2, 1};
  sparse.padding = 0;
  expect_definition(sparse, {3, 64, 19, 50}, -0.5F, 0.5F);
}

TEST(Int8Conv, TilesReadWindowsInPlaceWhereThatIsLessWork) {
  const auto backend = runtime::cpu::make_backend(Isa::avx512, runtime::cpu::NarrowWay::amx);
  if (!backend) GTEST_SKIP() << "SKIPPED: " << backend.error().finding.message;
  for (const Conv2d& op : {conv(64, 48, 3), conv(100, 32, 3), conv(3, 48, 3), conv(4, 64, 5)}) {
    const Model model = made_up_model(graph_of(op));
    const Calibration calibration = ranges(model, -1, 1);
    const runtime::Network network{model.graph(), model.state_dict()};
    runtime::StepTimes times;
    runtime::RunOptions options;
    options.precision = Precision::int8;
    options.calibration = &calibration;
    options.step_times = &times;
    const Shape shape = {2, op.in_channels, 19, 37};
    const auto weights = (*backend)->make_weights(network).value();
    ASSERT_TRUE((*backend)->compile(network, std::span(&shape, 1), weights, options));
    EXPECT_TRUE(std::ranges::any_of(times.steps, [](const runtime::TimedStep& step) {
      return step.algorithm == "int8, amx, in place";
    })) << op.in_channels;
  }
}

TEST(Int8Conv, WhatHasNoCodesIsComputedInFloats) {
  // Depthwise, groups of few channels, weights that are no numbers.
  for (const Conv2d& op : {conv(16, 16, 3, 16), conv(12, 24, 3, 4)}) {
    const Model model = made_up_model(graph_of(op));
    const Calibration none;
    const Tensor input = made_up("input", {1, op.in_channels, 9, 9});
    for (const auto& backend : int8_backends()) {
      const auto strict = run_on(*backend, model, std::span(&input, 1));
      EXPECT_EQ(strict, run_on(*backend, model, std::span(&input, 1), nullptr, Precision::int8, &none));
    }
  }
  const Linear op{.in_features = 8, .out_features = 3};
  std::vector<float> weights = values_for("op.weight", {3, 8});
  weights[5] = kInf;
  const Model model = model_of(op, {{"weight", tensor_of(weights, {3, 8})}, {"bias", tensor_of({1, 2, 3}, {3})}});
  const Calibration calibration = ranges(model, -1, 1);
  const Tensor input = made_up("input", {2, 8});
  for (const auto& backend : int8_backends()) {
    const auto found = run_on(*backend, model, std::span(&input, 1), nullptr, Precision::int8, &calibration);
    EXPECT_EQ(run_on(*backend, model, std::span(&input, 1)), found);
  }
}

// Pixels of channels that fill no units, and a row that is no whole number of lines either.
TEST(Int8Linear, GivesTheSameBitsAsTheDefinitionBehindFlatten) {
  for (const Shape& shape : {Shape{5, 7, 2, 3}, {2, 3, 9, 11}, {70, 13, 4, 4}, {1, 33, 2, 2}, {3, 64, 3, 3}}) {
    const std::int64_t depth = shape[1] * shape[2] * shape[3];
    SCOPED_TRACE(depth);
    // A window of one pixel changes no value; it reads pixels whose channels are neighbours.
    const Sequential layers{MaxPool2d{.kernel_size = 1}, Flatten{}, Linear{depth, 35}};
    const Model model = made_up_model(layers.graph({shape[1], shape[2], shape[3]}).value());
    const Tensor input = made_up("input", shape);
    const Calibration calibration = ranges(model, -0.5F, 0.25F);
    const ByDefinition definition(-0.5F, 0.25F);
    const std::vector<float> x = floats_of(input);
    const std::vector<float> w = floats_of(*model.state_dict().find("2.weight"));
    const std::vector<float> bias = floats_of(*model.state_dict().find("2.bias"));
    const auto row = static_cast<std::size_t>(depth);
    std::vector<float> expected;
    for (std::size_t n = 0; n < x.size() / row; ++n) {
      for (std::size_t o = 0; o < bias.size(); ++o) {
        expected.push_back(
            definition.output(std::span(w).subspan(o * row, row), std::span(x).subspan(n * row, row), bias[o]));
      }
    }
    for (const auto& backend : int8_backends()) {
      SCOPED_TRACE(backend->name());
      const auto found = run_on(*backend, model, std::span(&input, 1), nullptr, Precision::int8, &calibration);
      ASSERT_EQ(expected, found[0]);
    }
  }
}

Graph small_net() {
  return Sequential{conv(3, 32, 3),
                    ReLU{},
                    conv(32, 40, 3),
                    ReLU{},
                    MaxPool2d{.kernel_size = 2},
                    conv(40, 64, 1),
                    SiLU{},
                    Flatten{},
                    Linear{64 * 36, 30},
                    ReLU{},
                    Linear{30, 10}}
      .graph({3, 12, 12})
      .value();
}

TEST(Int8, SameBitsForAnyThreadsAndPlacesInABatch) {
  const Model model = made_up_model(small_net());
  const Tensor batch = made_up("batch", {7, 3, 12, 12});
  const Calibration calibration = calibrate(model, std::span(&batch, 1)).value();
  EXPECT_EQ(5U, calibration.layers.size());
  const auto pool = make_thread_pool(3);
  for (const auto& backend : int8_backends()) {
    SCOPED_TRACE(backend->name());
    const auto alone = run_on(*backend, model, std::span(&batch, 1), nullptr, Precision::int8, &calibration);
    EXPECT_EQ(alone, run_on(*backend, model, std::span(&batch, 1), pool.get(), Precision::int8, &calibration));
    for (std::int64_t i = 0; i < 7; ++i) {
      const Tensor item = Tensor::view(batch.storage(), DType::f32, {1, 3, 12, 12}, {432, 144, 12, 1}, i * 432).value();
      const auto one = run_on(*backend, model, std::span(&item, 1), nullptr, Precision::int8, &calibration);
      EXPECT_TRUE(std::equal(one[0].begin(), one[0].end(), alone[0].begin() + i * 10)) << "item " << i;
    }
  }
}

TEST(Int8, IsCloseToFloats) {
  const Model model = made_up_model(small_net());
  const Tensor batch = made_up("batch", {4, 3, 12, 12});
  const Calibration calibration = calibrate(model, std::span(&batch, 1)).value();
  SessionOptions options;
  options.precision = Precision::int8;
  options.calibration = &calibration;
  const std::vector<float> expected = floats_of(model.session().value().run(batch).value());
  const std::vector<float> found = floats_of(model.session(Device::cpu(), options).value().run(batch).value());
  expect_close(expected, found, 0.05);
  EXPECT_NE(expected, found);
}

TEST(Int8, NaNAndInfinitiesReachTheOutputsThatTheyBelongToAndNoOthers) {
  for (const Conv2d& op : {conv(8, 20, 3), conv(8, 20, 1), conv(3, 20, 5), conv(16, 24, 3, 2), conv(64, 80, 1),
                           conv(64, 40, 3), conv(3, 48, 3)}) {
    const Model model = made_up_model(graph_of(op));
    const Calibration calibration = ranges(model, -1, 1);
    const Shape shape = {2, op.in_channels, 9, 10};
    std::vector<float> values = values_for("input", shape);
    const Tensor plain = tensor_of(values, shape);
    const auto place = [&](std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
      return static_cast<std::size_t>(((n * op.in_channels + c) * 9 + h) * 10 + w);
    };
    values[place(0, 1, 2, 3)] = kNan;
    values[place(1, 0, 7, 8)] = kInf;
    values[place(1, 2, 4, 2)] = -kInf;
    values[place(1, 1, 4, 3)] = kInf;
    const Tensor odd = tensor_of(values, shape);
    const auto reference = runtime::reference::make_backend().value();
    const std::vector<float> expected = run_on(*reference, model, std::span(&odd, 1))[0];
    for (const auto& backend : int8_backends()) {
      SCOPED_TRACE(backend->name());
      const auto usual = run_on(*backend, model, std::span(&plain, 1), nullptr, Precision::int8, &calibration)[0];
      const auto found = run_on(*backend, model, std::span(&odd, 1), nullptr, Precision::int8, &calibration)[0];
      for (std::size_t i = 0; i < expected.size(); ++i) {
        if (std::isnan(expected[i])) {
          ASSERT_TRUE(std::isnan(found[i])) << i;
        } else if (std::isinf(expected[i])) {
          ASSERT_EQ(expected[i], found[i]) << i;
        } else {
          ASSERT_EQ(usual[i], found[i]) << i;
        }
      }
    }
  }
}

TEST(Int8, NaNGoesThroughResidualsAndActivations) {
  GraphBuilder builder;
  const Edge x = builder.input("x", {-1, 8, 6, 6});
  const Edge a = builder.apply("a", conv(8, 8, 3), x);
  builder.output("y", builder.apply("", ReLU{}, builder.apply("", Add{}, a, x)));
  const Model model = made_up_model(builder.build().value());
  const Calibration calibration = ranges(model, -1, 1);
  std::vector<float> values = values_for("input", {1, 8, 6, 6});
  values[3 * 36 + 14] = kNan;
  values[35] = kInf;
  const Tensor input = tensor_of(values, {1, 8, 6, 6});
  const auto reference = runtime::reference::make_backend().value();
  const std::vector<float> expected = run_on(*reference, model, std::span(&input, 1))[0];
  for (const auto& backend : int8_backends()) {
    const auto found = run_on(*backend, model, std::span(&input, 1), nullptr, Precision::int8, &calibration)[0];
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(std::isnan(expected[i]), std::isnan(found[i])) << i;
      ASSERT_EQ(std::isinf(expected[i]), std::isinf(found[i])) << i;
    }
  }
}

// --- sessions ---

TEST(Int8Session, NeedsACalibrationThatKnowsItsLayers) {
  const Model model = made_up_model(small_net());
  SessionOptions options;
  options.precision = Precision::int8;
  const auto missing = model.session(Device::cpu(), options);
  ASSERT_FALSE(missing);
  EXPECT_EQ("CALIBRATION-MISSING", missing.error().finding.code);
  EXPECT_EQ("precision int8 needs a calibration: the ranges of what its layers read", missing.error().finding.message);
  EXPECT_EQ("calibrate() finds them, and `rushlight calibrate`", missing.error().finding.hint);

  Calibration other = ranges(model, -1, 1);
  other.layers.erase("2");
  options.calibration = &other;
  const auto unknown = model.session(Device::cpu(), options);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(ErrorCode::mismatch, unknown.error().code);
  EXPECT_EQ("the calibration has no range for layer '2'", unknown.error().finding.message);
  EXPECT_EQ("it belongs to another network: calibrate this one", unknown.error().finding.hint);

  const Calibration good = ranges(model, -1, 1);
  options.calibration = &good;
  options.implementation = Implementation::reference;
  const auto reference = model.session(Device::cpu(), options);
  ASSERT_FALSE(reference);
  EXPECT_EQ(ErrorCode::unsupported, reference.error().code);
  EXPECT_EQ("reference: precision int8 is computed on the cpu alone, and not by the reference",
            reference.error().finding.message);
}

TEST(Int8Session, RefusesRangesThatAreNone) {
  const Model model = made_up_model(small_net());
  SessionOptions options;
  options.precision = Precision::int8;
  Calibration calibration = ranges(model, -1, 1);
  options.calibration = &calibration;
  for (const ActivationRange& range : {ActivationRange{kNan, 1, 0, 0}, ActivationRange{-1, kInf, 0, 0},
                                       ActivationRange{0.5F, 1, 0, 0}, ActivationRange{-2, -1, 0, 0}}) {
    calibration.layers["2"] = range;
    const auto session = model.session(Device::cpu(), options);
    ASSERT_FALSE(session);
    EXPECT_EQ("CALIBRATION-RANGE", session.error().finding.code);
  }
  EXPECT_EQ("the calibration's range for layer '2': expected a finite one that holds 0, found -2 to -1",
            model.session(Device::cpu(), options).error().finding.message);
}

TEST(Int8Session, KeepsItsCalibration) {
  const Model model = made_up_model(small_net());
  SessionOptions options;
  options.precision = Precision::int8;
  auto calibration = std::make_unique<Calibration>(ranges(model, -1, 1));
  options.calibration = calibration.get();
  Session session = model.session(Device::cpu(), options).value();
  calibration.reset();
  EXPECT_TRUE(session.run(made_up("batch", {3, 3, 12, 12})));  // another plan
}

// --- calibrate() ---

TEST(Calibrate, ALayerThatReadsNothingFiniteIsAnError) {
  const Model model = model_of(Linear{.in_features = 2, .out_features = 1},
                               {{"weight", tensor_of({1, 1}, {1, 2})}, {"bias", tensor_of({0}, {1})}});
  const Tensor sample = tensor_of({kNan, kInf}, {1, 2});
  const auto calibration = calibrate(model, std::span(&sample, 1));
  ASSERT_FALSE(calibration);
  EXPECT_EQ("layer 'op' read no finite number: what the samples become there is NaN or infinite",
            calibration.error().finding.message);
}

TEST(Calibrate, FindsWhatLayersRead) {
  const Model model = model_of(Linear{.in_features = 2, .out_features = 1},
                               {{"weight", tensor_of({1, 1}, {1, 2})}, {"bias", tensor_of({0}, {1})}});
  const Tensor samples[] = {tensor_of({0.5F, 2}, {1, 2}), tensor_of({-3, kNan, kInf, 1}, {2, 2})};
  CalibrateOptions options;
  options.choice = RangeChoice::min_max;
  const Calibration calibration = calibrate(model, samples, options).value();
  EXPECT_EQ(3, calibration.items);
  ASSERT_EQ(1U, calibration.layers.size());
  const ActivationRange& range = calibration.layers.at("op");
  EXPECT_EQ(-3, range.low);
  EXPECT_EQ(2, range.high);
  EXPECT_EQ(-3, range.least);
  EXPECT_EQ(2, range.most);
}

TEST(Calibrate, RangesHoldZero) {
  const Model model = model_of(Linear{.in_features = 2, .out_features = 1},
                               {{"weight", tensor_of({1, 1}, {1, 2})}, {"bias", tensor_of({0}, {1})}});
  const Tensor above = tensor_of({5, 6}, {1, 2});
  const Calibration positive = calibrate(model, std::span(&above, 1)).value();
  EXPECT_EQ(0, positive.layers.at("op").low);
  const Tensor zeros = tensor_of({0, 0}, {1, 2});
  const Calibration nothing = calibrate(model, std::span(&zeros, 1)).value();
  SessionOptions options;
  options.precision = Precision::int8;
  options.calibration = &nothing;
  EXPECT_EQ(7.0F, floats_of(model.session(Device::cpu(), options).value().run(tensor_of({3, 4}, {1, 2})).value())[0]);
}

TEST(Calibrate, CutsOffWhatIsFarOut) {
  const Model model =
      model_of(Linear{.in_features = 1000, .out_features = 1},
               {{"weight", tensor_of(std::vector<float>(1000, 1), {1, 1000})}, {"bias", tensor_of({0}, {1})}});
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = unit(3, i);
  values[500] = 4;
  const Tensor sample = tensor_of(values, {1, 1000});
  const ActivationRange least = calibrate(model, std::span(&sample, 1)).value().layers.at("op");
  EXPECT_EQ(4, least.most);
  EXPECT_EQ(4, least.high) << "one value of a thousand costs more than finer codes gain";
  std::vector<float> many;
  for (int i = 0; i < 1000; ++i) many.insert(many.end(), values.begin(), values.begin() + 500);
  many.insert(many.end(), values.begin() + 500, values.begin() + 1000);
  many.resize(501000, 0.5F);
  const Tensor large = tensor_of(many, {501, 1000});
  const ActivationRange cut = calibrate(model, std::span(&large, 1)).value().layers.at("op");
  EXPECT_LT(cut.high, 4) << "one of half a million does not";
  EXPECT_GE(cut.high, 1);
}

TEST(Calibrate, DoesNotDependOnBatchesAndThreads) {
  const Model model = made_up_model(small_net());
  const Tensor batch = made_up("batch", {9, 3, 12, 12});
  CalibrateOptions options;
  const Calibration once = calibrate(model, std::span(&batch, 1), options).value();
  options.batch = 2;
  options.threads = 2;
  EXPECT_EQ(once.layers, calibrate(model, std::span(&batch, 1), options).value().layers);
}

TEST(Calibrate, SaysWhatIsWrong) {
  const Model model = made_up_model(small_net());
  const auto message = [&](std::span<const Tensor> samples, const CalibrateOptions& options = {}) {
    const auto result = calibrate(model, samples, options);
    return result ? std::string("nothing") : result.error().finding.message;
  };
  EXPECT_EQ("there are no samples", message({}));
  const Tensor number = tensor_of({1}, {});
  EXPECT_EQ("a sample is a single number, not a batch", message(std::span(&number, 1)));
  const Tensor narrow = made_up("x", {1, 3, 12, 11});
  EXPECT_EQ("input 'input': expected shape [?, 3, 12, 12], found [1, 3, 12, 11]", message(std::span(&narrow, 1)));
  EXPECT_EQ("batch: expected at least 1, found 0", message(std::span(&narrow, 1), {.batch = 0}));
  class Stop final : public Progress {
   public:
    bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
  } stop;
  const Tensor good = made_up("x", {1, 3, 12, 12});
  const auto stopped = calibrate(model, std::span(&good, 1), {.progress = &stop});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(ErrorCode::cancelled, stopped.error().code);
}

}  // namespace
}  // namespace rushlight::test
