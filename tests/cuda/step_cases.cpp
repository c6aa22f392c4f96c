#include <cmath>
#include <limits>
#include <utility>

#include "cuda/step_case.hpp"

namespace rushlight::cuda {
namespace {

using runtime::kNone;
using runtime::TensorId;

// The bar for one layer in strict fp32, relative to the largest output.
constexpr double kStrict = 5e-6;
// One rounding of a result that was computed in double.
constexpr double kRounded = 1.2e-7;
// Nothing but comparisons, moves and single additions.
constexpr double kExact = 0;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr runtime::Activation kRelu{.kind = runtime::Activation::Kind::relu};

// Half of them none or ReLU, which are the most frequent.
runtime::Activation random_activation(StepCaseBuilder& b) {
  using Kind = runtime::Activation::Kind;
  if (b.flip()) return runtime::Activation::relu_if(b.flip());
  const auto kind = static_cast<Kind>(b.pick(static_cast<int>(Kind::clamp), static_cast<int>(Kind::gelu)));
  if (kind == Kind::clamp) return {.kind = kind, .low = -0.75F, .high = 1.5F};
  return {.kind = kind};
}

std::int64_t windows(std::int64_t size, std::int64_t padding, std::int64_t kernel, std::int64_t dilation,
                     std::int64_t stride) {
  return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

struct ConvShape {
  std::int64_t n = 1;
  std::int64_t h = 1;
  std::int64_t w = 1;
  std::int64_t channels = 1;  // of one group, in
  std::int64_t outputs = 1;   // of one group
  std::int64_t groups = 1;
  IntPair kernel = 1;
  IntPair stride = 1;
  IntPair padding = 0;
  IntPair dilation = 1;
  bool bias = true;
  bool residual = false;
  bool in_place = false;  // the output on the residual
  runtime::Activation activation = {};
  std::int64_t input_gap = 0;  // floats between rows that belong to somebody else
  std::int64_t output_gap = 0;
};

std::string text(const ConvShape& s) {
  const auto pair = [](IntPair p) { return std::to_string(p.h) + "x" + std::to_string(p.w); };
  return "conv " + std::to_string(s.n) + "x" + pair({s.h, s.w}) + "x" + std::to_string(s.channels) + " -> " +
         std::to_string(s.outputs) + " groups " + std::to_string(s.groups) + " k" + pair(s.kernel) + " s" +
         pair(s.stride) + " p" + pair(s.padding) + " d" + pair(s.dilation) + (s.bias ? " bias" : "") +
         (s.residual ? " residual" : "") + (s.in_place ? " in place" : "") + " activation " +
         std::to_string(static_cast<int>(s.activation.kind)) + " gaps " + std::to_string(s.input_gap) + ", " +
         std::to_string(s.output_gap);
}

StepCase conv_case(const ConvShape& s, std::uint64_t seed) {
  StepCaseBuilder b(text(s), seed);
  const std::int64_t out_h = windows(s.h, s.padding.h, s.kernel.h, s.dilation.h, s.stride.h);
  const std::int64_t out_w = windows(s.w, s.padding.w, s.kernel.w, s.dilation.w, s.stride.w);
  const std::int64_t in_c = s.channels * s.groups;
  const std::int64_t out_c = s.outputs * s.groups;
  runtime::ConvStep step;
  step.input = b.tensor(s.n, s.h, s.w, in_c, in_c + s.input_gap);
  step.weights = b.constant({out_c, s.kernel.h, s.kernel.w, s.channels});
  if (s.bias) step.bias = b.constant({out_c});
  if (s.residual) step.epilogue.residual = b.tensor(s.n, out_h, out_w, out_c, out_c + s.output_gap);
  step.output =
      s.in_place ? b.tensor_on(step.epilogue.residual) : b.output(s.n, out_h, out_w, out_c, out_c + s.output_gap);
  step.kernel = s.kernel;
  step.stride = s.stride;
  step.padding = s.padding;
  step.dilation = s.dilation;
  step.groups = s.groups;
  step.epilogue.activation = s.activation;
  return b.build(step, kStrict);
}

StepCase linear_case(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, std::uint64_t seed,
                     std::int64_t gap = 0) {
  StepCaseBuilder b("linear " + std::to_string(rows) + " x " + std::to_string(inputs) + " -> " +
                        std::to_string(outputs) + " gap " + std::to_string(gap),
                    seed);
  runtime::LinearStep step;
  step.input = b.tensor(rows, 1, 1, inputs, inputs + gap);
  step.weights = b.constant({outputs, inputs});
  if (b.flip()) step.bias = b.constant({outputs});
  if (b.flip()) step.epilogue.residual = b.tensor(rows, 1, 1, outputs, outputs + b.pick(0, 5));
  step.output = b.output(rows, 1, 1, outputs);
  step.epilogue.activation = random_activation(b);
  return b.build(step, kStrict);
}

// Between rows of a pooling's tensors: such as leave fours together, and such as do not.
std::int64_t pool_gap(StepCaseBuilder& b) {
  return b.flip() ? 4 * b.pick(0, 1) : b.pick(0, 3);
}

struct PoolShape {
  std::int64_t n = 1;
  std::int64_t h = 1;
  std::int64_t w = 1;
  std::int64_t c = 1;
  IntPair kernel = 1;
  IntPair stride = 1;
  IntPair padding = 0;
  IntPair dilation = 1;
};
PoolShape random_pool(StepCaseBuilder& b, bool dilates) {
  PoolShape s;
  s.n = b.pick(1, 3);
  s.c = b.flip() ? b.pick(1, 9) : 4 * b.pick(1, 9);
  s.kernel = {b.pick(1, 4), b.pick(1, 4)};
  s.stride = {b.pick(1, 4), b.pick(1, 4)};
  s.padding = {b.pick(0, s.kernel.h / 2), b.pick(0, s.kernel.w / 2)};
  if (dilates) s.dilation = {b.pick(1, 2), b.pick(1, 2)};
  s.h = b.pick(s.dilation.h * (s.kernel.h - 1) + 1, 12);
  s.w = b.pick(s.dilation.w * (s.kernel.w - 1) + 1, 12);
  return s;
}
// With ceil_mode one more window may begin inside the input or its left padding.
std::int64_t pool_windows(std::int64_t size, std::int64_t padding, std::int64_t kernel, std::int64_t dilation,
                          std::int64_t stride, bool ceil_mode) {
  const std::int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  std::int64_t count = room / stride + 1;
  if (ceil_mode && room % stride != 0 && count * stride < size + padding) ++count;
  return count;
}

StepCase max_pool_case(std::uint64_t seed) {
  StepCaseBuilder b("max pool " + std::to_string(seed), seed);
  const PoolShape s = random_pool(b, true);
  const bool ceil_mode = b.flip();
  runtime::MaxPoolStep step;
  step.input = b.tensor(s.n, s.h, s.w, s.c, s.c + pool_gap(b));
  for (float& value : b.values(step.input)) {
    const std::int64_t luck = b.pick(0, 30);
    if (luck == 0) value = kNaN;
    if (luck == 1) value = -kInfinity;
  }
  step.output =
      b.output(s.n, pool_windows(s.h, s.padding.h, s.kernel.h, s.dilation.h, s.stride.h, ceil_mode),
               pool_windows(s.w, s.padding.w, s.kernel.w, s.dilation.w, s.stride.w, ceil_mode), s.c, s.c + pool_gap(b));
  step.kernel = s.kernel;
  step.stride = s.stride;
  step.padding = s.padding;
  step.dilation = s.dilation;
  return b.build(step, kExact);
}

StepCase avg_pool_case(std::uint64_t seed) {
  StepCaseBuilder b("avg pool " + std::to_string(seed), seed);
  const PoolShape s = random_pool(b, false);
  const bool ceil_mode = b.flip();
  runtime::AvgPoolStep step;
  step.input = b.tensor(s.n, s.h, s.w, s.c, s.c + pool_gap(b));
  step.output = b.output(s.n, pool_windows(s.h, s.padding.h, s.kernel.h, 1, s.stride.h, ceil_mode),
                         pool_windows(s.w, s.padding.w, s.kernel.w, 1, s.stride.w, ceil_mode), s.c, s.c + pool_gap(b));
  step.kernel = s.kernel;
  step.stride = s.stride;
  step.padding = s.padding;
  step.count_include_pad = b.flip();
  step.divisor_override = b.pick(0, 3) == 0 ? b.pick(1, 9) : 0;
  return b.build(step, kRounded);
}

// Windows that lie in the padding alone. Torch forbids such paddings; the plan does not.
StepCase padding_only_case(bool count_include_pad, std::uint64_t seed) {
  StepCaseBuilder b("avg pool of padding", seed);
  runtime::AvgPoolStep step;
  step.input = b.tensor(1, 3, 2, 5);
  step.output = b.output(1, 6, 5, 5);
  step.kernel = 2;
  step.stride = 1;
  step.padding = 2;
  step.count_include_pad = count_include_pad;
  return b.build(step, kRounded);
}

StepCase adaptive_case(std::int64_t size_h, std::int64_t size_w, std::int64_t bins_h, std::int64_t bins_w,
                       std::int64_t channels, std::uint64_t seed) {
  StepCaseBuilder b("adaptive pool " + std::to_string(size_h) + "x" + std::to_string(size_w) + " to " +
                        std::to_string(bins_h) + "x" + std::to_string(bins_w),
                    seed);
  runtime::AdaptiveAvgPoolStep step;
  step.input = b.tensor(2, size_h, size_w, channels);
  step.output = b.output(2, bins_h, bins_w, channels);
  return b.build(step, kRounded);
}

StepCase add_case(std::uint64_t seed) {
  StepCaseBuilder b("add " + std::to_string(seed), seed);
  const std::int64_t n = b.pick(1, 3);
  const std::int64_t h = b.pick(1, 9);
  const std::int64_t w = b.pick(1, 9);
  const std::int64_t c = b.pick(1, 40);
  const bool gaps = b.flip();
  runtime::AddStep step;
  step.a = b.tensor(n, h, w, c, gaps ? c + b.pick(0, 4) : c);
  step.b = b.tensor(n, h, w, c, gaps ? c + b.pick(0, 4) : c);
  const std::int64_t where = b.pick(0, 2);
  step.output = where == 0 ? b.tensor_on(step.a) : where == 1 ? b.tensor_on(step.b) : b.output(n, h, w, c);
  b.values(step.a)[0] = kNaN;
  step.relu = b.flip();
  return b.build(step, kExact);
}

StepCase relu_case(std::int64_t elements, bool in_place, std::uint64_t seed) {
  StepCaseBuilder b("relu of " + std::to_string(elements) + (in_place ? " in place" : ""), seed);
  runtime::ReluStep step;
  step.input = b.tensor(1, 1, 1, elements);
  b.values(step.input)[0] = kNaN;
  b.values(step.input).back() = -kInfinity;
  step.output = in_place ? b.tensor_on(step.input) : b.output(1, 1, 1, elements);
  return b.build(step, kExact);
}

StepCase norm_case(std::uint64_t seed) {
  StepCaseBuilder b("norm " + std::to_string(seed), seed);
  const std::int64_t n = b.pick(1, 4);
  const std::int64_t h = b.pick(1, 5);
  const std::int64_t w = b.pick(1, 5);
  const std::int64_t c = b.pick(1, 70);
  runtime::NormStep step;
  step.input = b.tensor(n, h, w, c, c + b.pick(0, 3));
  step.mean = b.constant({c});
  step.scale = b.constant({c});
  step.shift = b.constant({c});
  step.output = b.flip() ? b.tensor_on(step.input) : b.output(n, h, w, c);
  step.relu = b.flip();
  return b.build(step, 4e-7);
}

// Sizes and, for each operand, whether it repeats itself along the dimension.
StepCase broadcast_case(const std::vector<std::int64_t>& shape, const std::vector<bool>& a_repeats,
                        const std::vector<bool>& b_repeats, std::uint64_t seed) {
  std::string name = "broadcast";
  std::int64_t elements = 1;
  runtime::BroadcastAddStep step;
  step.shape = shape;
  const auto strides = [&](const std::vector<bool>& repeats) {
    std::vector<std::int64_t> result(shape.size(), 0);
    std::int64_t stride = 1;
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      if (repeats[dim]) continue;
      result[dim] = shape[dim] == 1 ? 0 : stride;
      stride *= shape[dim];
    }
    return std::pair(result, stride);
  };
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    name += " " + std::to_string(shape[dim]) + (a_repeats[dim] ? "a" : "") + (b_repeats[dim] ? "b" : "");
    elements *= shape[dim];
  }
  StepCaseBuilder b(name, seed);
  const auto [a_strides, a_elements] = strides(a_repeats);
  const auto [b_strides, b_elements] = strides(b_repeats);
  step.a_strides = a_strides;
  step.b_strides = b_strides;
  step.a = b.tensor(1, 1, 1, a_elements);
  step.b = b.tensor(1, 1, 1, b_elements);
  step.output = b.output(1, 1, 1, elements);
  step.relu = b.flip();
  return b.build(step, kExact);
}

struct SoftmaxShape {
  std::int64_t outer = 1;
  std::int64_t axis = 1;
  std::int64_t inner = 1;
  bool in_place = false;
  float special = 0;  // put among the values where it is not 0
};

StepCase softmax_case(const SoftmaxShape& s, std::uint64_t seed) {
  StepCaseBuilder b("softmax " + std::to_string(s.outer) + " x " + std::to_string(s.axis) + " x " +
                        std::to_string(s.inner) + (s.in_place ? " in place" : "") +
                        (s.special == 0 ? "" : " with a " + std::to_string(s.special)),
                    seed);
  runtime::SoftmaxStep step;
  step.input = b.tensor(s.outer, 1, 1, s.axis * s.inner);
  for (float& value : b.values(step.input)) value = value * 20 + 80;  // beyond what exp() alone would bear
  if (s.special != 0) b.values(step.input)[3] = s.special;
  step.output = s.in_place ? b.tensor_on(step.input) : b.output(s.outer, 1, 1, s.axis * s.inner);
  step.outer = s.outer;
  step.axis = s.axis;
  step.inner = s.inner;
  return b.build(step, 1e-6);
}

StepCase layout_case(std::int64_t images, std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  StepCaseBuilder b("layout " + std::to_string(images) + " x " + std::to_string(rows) + " x " + std::to_string(columns),
                    seed);
  runtime::LayoutStep step;
  step.input = b.tensor(images, 1, 1, rows * columns);
  step.output = b.output(images, 1, 1, rows * columns);
  step.images = images;
  step.rows = rows;
  step.columns = columns;
  return b.build(step, kExact);
}

StepCase copy_case(std::int64_t elements, std::uint64_t seed) {
  StepCaseBuilder b("copy of " + std::to_string(elements), seed);
  runtime::CopyStep step;
  step.input = b.tensor(elements, 1, 1, 1);
  step.output = b.output(1, 1, 1, elements);
  return b.build(step, kExact);
}

}  // namespace

std::vector<StepCase> conv_cases() {
  std::vector<StepCase> cases;
  std::uint64_t seed = 100;
  // Sizes around the edges of tiles, slabs and quads.
  for (const std::int64_t channels : {1, 3, 4, 15, 16, 17, 20}) {
    cases.push_back(
        conv_case({.h = 9, .w = 8, .channels = channels, .outputs = 33, .kernel = 3, .padding = 1}, seed++));
  }
  for (const std::int64_t outputs : {1, 4, 31, 32, 63, 64, 65, 132}) {
    cases.push_back(
        conv_case({.h = 8, .w = 8, .channels = 8, .outputs = outputs, .residual = true, .activation = kRelu}, seed++));
  }
  for (const std::int64_t width : {1, 63, 64, 65, 127, 128, 129}) {
    cases.push_back(
        conv_case({.h = 1, .w = width, .channels = 4, .outputs = 36, .kernel = {1, 3}, .padding = {0, 1}}, seed++));
  }
  // One corner each.
  cases.push_back(
      conv_case({.h = 7, .w = 7, .channels = 16, .outputs = 16, .residual = true, .in_place = true}, seed++));
  cases.push_back(conv_case({.h = 6, .w = 6, .channels = 8, .outputs = 8, .kernel = 3, .bias = false}, seed++));
  cases.push_back(conv_case(
      {.n = 3, .h = 14, .w = 14, .channels = 4, .outputs = 8, .kernel = 7, .stride = 2, .padding = 3}, seed++));
  cases.push_back(conv_case({.h = 5, .w = 5, .channels = 8, .outputs = 8, .stride = 2}, seed++));  // 1x1, not plain
  cases.push_back(conv_case({.h = 3, .w = 3, .channels = 8, .outputs = 8, .stride = 2, .padding = 1}, seed++));
  cases.push_back(conv_case({.h = 3, .w = 3, .channels = 8, .outputs = 40, .padding = 2}, seed++));  // all-padding
  cases.push_back(conv_case(
      {.h = 12, .w = 12, .channels = 4, .outputs = 4, .kernel = 3, .padding = {4, 3}, .dilation = {4, 3}}, seed++));
  cases.push_back(conv_case(
      {.h = 10, .w = 9, .channels = 1, .outputs = 1, .groups = 40, .kernel = 3, .padding = 1, .activation = kRelu},
      seed++));  // depthwise
  cases.push_back(conv_case({.h = 5,
                             .w = 6,
                             .channels = 1,
                             .outputs = 2,
                             .groups = 9,
                             .kernel = 3,
                             .stride = 2,
                             .padding = 1,
                             .residual = true},
                            seed++));  // with a multiplier
  cases.push_back(conv_case({.h = 5, .w = 6, .channels = 4, .outputs = 20, .groups = 3, .kernel = 3, .padding = 1},
                            seed++));  // grouped, in tiles
  cases.push_back(conv_case({.h = 5, .w = 6, .channels = 3, .outputs = 17, .groups = 2, .kernel = {2, 3}}, seed++));
  cases.push_back(
      conv_case({.h = 9, .w = 7, .channels = 8, .outputs = 36, .kernel = 3, .input_gap = 4, .output_gap = 8},
                seed++));  // slices of wider tensors
  cases.push_back(conv_case(
      {.h = 9, .w = 7, .channels = 8, .outputs = 36, .kernel = 3, .residual = true, .input_gap = 3, .output_gap = 5},
      seed++));
  cases.push_back(conv_case({.n = 9, .h = 1, .w = 1, .channels = 8, .outputs = 6}, seed++));
  cases.push_back(conv_case({.n = 2, .h = 1, .w = 1, .channels = 8, .outputs = 6}, seed++));  // few rows
  // Depthwise: each window and stride with a shape of its own, strips that end where lines do and that do not, channels
  // in fours and not, one corner each.
  for (const std::int64_t kernel : {3, 5}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const std::int64_t width : {7, 8, 9, 11}) {
        cases.push_back(conv_case({.h = 6,
                                   .w = width,
                                   .groups = 8,
                                   .kernel = kernel,
                                   .stride = stride,
                                   .padding = kernel / 2,
                                   .activation = kRelu},
                                  seed++));
      }
    }
  }
  for (const std::int64_t channels : {2, 4, 31, 32, 36}) {
    cases.push_back(conv_case({.n = 2, .h = 5, .w = 5, .groups = channels, .kernel = 3, .padding = 1}, seed++));
  }
  cases.push_back(conv_case({.h = 2, .w = 2, .groups = 4, .kernel = 5, .padding = 4}, seed++));  // mostly padding
  cases.push_back(
      conv_case({.h = 9, .w = 9, .groups = 8, .kernel = 3, .padding = 2, .dilation = 2, .bias = false}, seed++));
  cases.push_back(conv_case({.h = 9, .w = 9, .groups = 8, .kernel = {3, 5}, .stride = {2, 1}, .padding = 1}, seed++));
  cases.push_back(
      conv_case({.h = 9, .w = 9, .groups = 8, .kernel = 7, .padding = 3, .residual = true, .in_place = true}, seed++));
  cases.push_back(conv_case(
      {.h = 6, .w = 6, .groups = 8, .kernel = 3, .padding = 1, .residual = true, .in_place = true, .input_gap = 4},
      seed++));
  cases.push_back(conv_case(
      {.h = 6, .w = 6, .groups = 8, .kernel = 3, .padding = 1, .residual = true, .input_gap = 1, .output_gap = 4},
      seed++));
  // At random.
  for (int i = 0; i < 60; ++i) {
    StepCaseBuilder random("", seed);
    ConvShape s;
    s.n = random.pick(1, 3);
    s.groups = random.pick(0, 2) == 0 ? random.pick(2, 5) : 1;
    s.channels = random.pick(1, 24);
    s.outputs = random.pick(1, 70);
    if (random.pick(0, 4) == 0) {  // depthwise
      s.groups = random.flip() ? random.pick(2, 40) : 4 * random.pick(1, 10);
      s.channels = s.outputs = 1;
    }
    s.kernel = {random.pick(1, 4), random.pick(1, 4)};
    s.stride = {random.pick(1, 3), random.pick(1, 3)};
    s.padding = {random.pick(0, 3), random.pick(0, 3)};
    s.dilation = {random.pick(1, 2), random.pick(1, 2)};
    s.h = random.pick(s.dilation.h * (s.kernel.h - 1) + 1, 12);
    s.w = random.pick(s.dilation.w * (s.kernel.w - 1) + 1, 12);
    s.bias = random.flip();
    s.residual = random.flip();
    s.in_place = s.residual && random.flip();
    s.activation = random_activation(random);
    s.input_gap = random.flip() ? random.pick(0, 8) : 0;
    s.output_gap = random.flip() ? random.pick(0, 8) : 0;
    cases.push_back(conv_case(s, seed++));
  }
  return cases;
}

std::vector<StepCase> linear_cases() {
  std::vector<StepCase> cases;
  std::uint64_t seed = 1000;
  for (const std::int64_t rows : {1, 2, 7, 8, 9, 63, 64, 65, 130}) {
    cases.push_back(linear_case(rows, 36, 37, seed++));
    cases.push_back(linear_case(rows, 33, 10, seed++, 3));
  }
  for (const std::int64_t inputs : {1, 4, 31, 127, 128, 129, 132, 257, 784}) {
    cases.push_back(linear_case(1, inputs, 10, seed++));
    cases.push_back(linear_case(12, inputs, 10, seed++));
  }
  for (const std::int64_t outputs : {1, 3, 4, 5, 33, 128}) cases.push_back(linear_case(3, 16, outputs, seed++));
  return cases;
}

std::vector<StepCase> pool_cases() {
  std::vector<StepCase> cases;
  for (std::uint64_t seed = 2000; seed < 2040; ++seed) {
    cases.push_back(max_pool_case(seed));
    cases.push_back(avg_pool_case(seed));
  }
  std::uint64_t seed = 2100;
  cases.push_back(padding_only_case(true, seed++));
  cases.push_back(padding_only_case(false, seed++));
  for (const std::int64_t channels : {1, 4, 31, 33, 124, 128, 132}) {
    cases.push_back(adaptive_case(7, 7, 1, 1, channels, seed++));
  }
  cases.push_back(adaptive_case(1, 1, 1, 1, 8, seed++));
  cases.push_back(adaptive_case(2, 3, 1, 1, 8, seed++));  // fewer pixels than warps
  cases.push_back(adaptive_case(7, 5, 3, 4, 8, seed++));
  cases.push_back(adaptive_case(7, 5, 3, 4, 5, seed++));
  cases.push_back(adaptive_case(3, 2, 7, 6, 4, seed++));  // more bins than places
  cases.push_back(adaptive_case(8, 8, 8, 8, 3, seed++));
  cases.push_back(adaptive_case(13, 1, 6, 1, 2, seed++));
  return cases;
}

std::vector<StepCase> element_cases() {
  std::vector<StepCase> cases;
  std::uint64_t seed = 3000;
  for (int i = 0; i < 20; ++i) cases.push_back(add_case(seed++));
  for (int i = 0; i < 20; ++i) cases.push_back(norm_case(seed++));
  for (const std::int64_t elements : {1, 31, 32, 33, 255, 256, 257, 1000}) {
    cases.push_back(relu_case(elements, false, seed++));
    cases.push_back(relu_case(elements, true, seed++));
    cases.push_back(copy_case(elements, seed++));
  }
  cases.push_back(broadcast_case({}, {}, {}, seed++));
  cases.push_back(broadcast_case({2, 3, 4, 5}, {false, false, true, true}, {false, false, false, false}, seed++));
  cases.push_back(broadcast_case({2, 3, 4, 5}, {true, false, true, false}, {false, true, false, true}, seed++));
  cases.push_back(broadcast_case({4, 1, 6}, {false, false, true}, {true, false, false}, seed++));
  cases.push_back(broadcast_case({3, 300}, {true, true}, {false, false}, seed++));
  cases.push_back(broadcast_case({2, 1, 3, 2, 1, 2, 3, 2}, {false, true, true, false, true, true, false, true},
                                 {true, false, false, true, false, false, true, false}, seed++));
  return cases;
}

std::vector<StepCase> softmax_cases() {
  std::vector<StepCase> cases;
  std::uint64_t seed = 4000;
  for (const std::int64_t axis : {1, 2, 10, 31, 32, 33, 255, 1000}) {
    cases.push_back(softmax_case({.outer = 5, .axis = axis, .in_place = axis % 2 == 0}, seed++));
    cases.push_back(softmax_case({.outer = 2, .axis = axis, .inner = 7, .in_place = axis % 2 == 1}, seed++));
  }
  cases.push_back(softmax_case({.outer = 1, .axis = 10, .in_place = true}, seed++));
  cases.push_back(softmax_case({.outer = 3, .axis = 4, .inner = 300}, seed++));
  for (const float special : {kNaN, kInfinity, -kInfinity}) {
    cases.push_back(softmax_case({.outer = 2, .axis = 40, .special = special}, seed++));
    cases.push_back(softmax_case({.outer = 2, .axis = 4, .inner = 3, .special = special}, seed++));
  }
  return cases;
}

std::vector<StepCase> layout_cases() {
  std::vector<StepCase> cases;
  std::uint64_t seed = 5000;
  for (const std::int64_t rows : {1, 3, 15, 16, 31, 32, 33, 70}) {
    for (const std::int64_t columns : {1, 16, 33, 64, 100}) cases.push_back(layout_case(2, rows, columns, seed++));
  }
  return cases;
}

std::vector<StepCase> all_step_cases() {
  std::vector<StepCase> cases;
  for (const auto& make :
       {conv_cases, linear_cases, pool_cases, element_cases, softmax_cases, layout_cases, mlp_cases}) {
    for (StepCase& step_case : make()) cases.push_back(std::move(step_case));
  }
  return cases;
}

}  // namespace rushlight::cuda
