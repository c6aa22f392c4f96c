#include "cuda/self_check.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::cuda {
namespace {

// A 3x3 convolution with padding, a bias and a residual: more than one tile of rows and of columns, but for the largest
// tiles, of which it has columns in every quarter; the last tiles and the last slab not full, and more slabs than a
// pipeline has stages.
constexpr int kSize = 9;  // pixels of a side, in and out
constexpr int kPixels = kSize * kSize;
constexpr int kChannels = 28;
constexpr int kOutputs = 200;
constexpr int kTaps = 9;
constexpr int kDepth = kTaps * kChannels;
constexpr std::int32_t kSlabs = ceil_div(kDepth, kMmaSlab);
constexpr std::size_t kOutputFloats = std::size_t{kPixels} * kOutputs;

// What lies where in the memory, in floats: all multiples of four. The outputs of one instance follow those of another.
constexpr std::size_t kInputAt = 0;
constexpr std::size_t kWeightsAt = kInputAt + std::size_t{kPixels} * kChannels;
// In place of the plain weights comes whatever form a kind has; the largest has each tile twice.
constexpr int kPaddedOutputs = ceil_div(kOutputs, kWarpgroupColumns) * kWarpgroupColumns;
constexpr std::size_t kBiasAt = kWeightsAt + std::size_t{kPaddedOutputs} * kSlabs * kMmaSlab * 2;
constexpr std::size_t kResidualAt = kBiasAt + kOutputs;
constexpr std::size_t kPartialAt = kResidualAt + kOutputFloats;
constexpr std::int32_t kSplits = 2;
constexpr std::size_t kOutputsAt = kPartialAt + kSplits * kOutputFloats;

// What an output may be.
struct Answer {
  double value = 0;
  double allowed = 0;
};

struct Problem {
  std::vector<float> operands;  // up to the partial sums
  std::vector<Answer> answers;
};

// By the definition. Whole numbers are small enough that every kind multiplies and adds them exactly, in whatever
// order. Those with fractions have more bits than TF32, so that a part that 3xTF32 leaves out shows.
Problem make_problem(bool with_fractions) {
  Problem problem;
  std::uint32_t state = 1;
  const auto next = [&](int largest) {
    state = state * 1664525U + 1013904223U;  // the generator of "Numerical Recipes"; its upper bits are the better ones
    const int whole = static_cast<int>(state >> 24) % (2 * largest + 1) - largest;
    const float fraction = static_cast<float>(state >> 10 & 0x3FFFU) * 0x1p-17F;
    return static_cast<float>(whole) + (with_fractions ? fraction : 0.0F);
  };
  std::vector<float>& values = problem.operands;
  while (values.size() < kWeightsAt) values.push_back(next(8));
  while (values.size() < kBiasAt) values.push_back(next(4));
  while (values.size() < kPartialAt) values.push_back(next(100));

  // All but the last of the operands' bits, and the roundings of some sums.
  const double relative = with_fractions ? 0x1p-19 : 0;
  problem.answers.resize(kOutputFloats);
  for (int pixel = 0; pixel < kPixels; ++pixel) {
    for (int output = 0; output < kOutputs; ++output) {
      const auto at = static_cast<std::size_t>(pixel * kOutputs + output);
      double sum = 0;
      double magnitude = 0;
      const auto add = [&](double product) {
        sum += product;
        magnitude += std::abs(product);
      };
      for (int tap = 0; tap < kTaps; ++tap) {
        const int h = pixel / kSize + tap / 3 - 1;
        const int w = pixel % kSize + tap % 3 - 1;
        if (h < 0 || h >= kSize || w < 0 || w >= kSize) continue;
        const float* const input = &values[kInputAt + static_cast<std::size_t>((h * kSize + w) * kChannels)];
        const float* const weights = &values[kWeightsAt + static_cast<std::size_t>((output * kTaps + tap) * kChannels)];
        for (int channel = 0; channel < kChannels; ++channel) {
          add(static_cast<double>(input[channel]) * static_cast<double>(weights[channel]));
        }
      }
      add(static_cast<double>(values[kBiasAt + static_cast<std::size_t>(output)]));
      add(static_cast<double>(values[kResidualAt + at]));
      problem.answers[at] = {sum, relative * magnitude};
    }
  }
  return problem;
}

// Every instance once, and one with its depth split.
std::vector<ProductChoice> choices_of(ProductKind kind) {
  std::vector<ProductChoice> choices;
  for (const MmaInstance& instance : mma_instances(kind)) choices.push_back({kind, instance, 1, kSlabs});
  choices.push_back({kind, {MmaAccess::chunks, MmaTileName::rows64_columns64}, kSplits, ceil_div(kSlabs, kSplits)});
  return choices;
}

std::vector<Work> calls_at(float* base, const std::vector<ProductChoice>& choices) {
  GemmArguments a;
  a.input = base + kInputAt;
  a.bias = base + kBiasAt;
  a.residual = base + kResidualAt;
  a.input_stride = kChannels;
  a.residual_stride = a.output_stride = kOutputs;
  a.rows = kPixels;
  a.columns = kOutputs;
  a.depth = kDepth;
  a.window.input = a.window.output = {kSize, kSize};
  a.window.kernel = {3, 3};
  a.window.padding = {1, 1};
  a.window.output_pixels = Divisor64(kPixels);
  a.window.output_width = Divisor32(kSize);
  a.channels = Divisor32(kChannels);
  a.kernel_width = Divisor32(3);
  std::vector<Work> calls;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    a.output = base + kOutputsAt + i * kOutputFloats;
    a.stores_quads = allows_quads(a);
    MmaCall call = mma_call(a, choices[i], base + kWeightsAt, base + kPartialAt);
    call.arguments.is_check = true;
    calls.emplace_back(call);
    if (choices[i].splits > 1) calls.emplace_back(split_sum(a, choices[i], base + kPartialAt));
  }
  return calls;
}

// The device is lost with what a kernel of this kind did.
Error device_lost(ProductKind kind, Error error) {
  Finding& finding = error.finding;
  finding.message = "the check of the tensor cores for " + std::string(to_string(kind)) + ": " + finding.message;
  finding.hint = std::string("start again with ") +
                 (is_of_warpgroups(kind) ? "RUSHLIGHT_WGMMA=off" : "RUSHLIGHT_TENSOR_CORES=off") +
                 " in the environment, or run on the CPU";
  return error;
}

Result<bool> multiplies_right(ProductKind kind, const Problem& problem, const CallRunner& run,
                              const std::function<bool()>& is_usable) {
  const std::vector<ProductChoice> choices = choices_of(kind);
  std::vector<float> memory = problem.operands;
  memory.resize(kOutputsAt + choices.size() * kOutputFloats, std::numeric_limits<float>::quiet_NaN());
  const std::span<float> weights = std::span(memory).subspan(kWeightsAt, std::size_t{kOutputs} * kDepth);
  RUSHLIGHT_TRY_ASSIGN(const Tensor plain, Tensor::from_values<float>(weights, {kOutputs, kDepth}));
  RUSHLIGHT_TRY_ASSIGN(const Tensor packed, in_form(plain, weight_form(kind, kDepth)));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, packed.bytes());
  std::memcpy(weights.data(), bytes.data(), bytes.size());

  Status status = run(memory, [&](float* base) { return calls_at(base, choices); });
  if (!status) {
    if (status.error().code == ErrorCode::out_of_memory) return std::move(status).error();
    if (!is_usable()) return device_lost(kind, std::move(status).error());
    return false;
  }
  for (std::size_t i = 0; i < choices.size() * kOutputFloats; ++i) {
    const Answer& answer = problem.answers[i % kOutputFloats];
    if (!(std::abs(static_cast<double>(memory[kOutputsAt + i]) - answer.value) <= answer.allowed)) return false;
  }
  return true;
}

}  // namespace

Result<TensorCores> check_tensor_cores(const TensorCores& wanted, const CallRunner& run,
                                       const std::function<bool()>& is_usable) {
  TensorCores found;
  if (wanted == found) return found;
  const Problem whole_numbers = make_problem(false);
  const Problem fractions = make_problem(true);
  for (const ProductKind kind : kProductKinds) {
    if (!wanted.of(kind)) continue;
    const Problem& problem = has_three_products(kind) ? fractions : whole_numbers;
    RUSHLIGHT_TRY_ASSIGN(found.of(kind), multiplies_right(kind, problem, run, is_usable));
  }
  return found;
}

std::string missing_tensor_cores(const TensorCores& wanted, const TensorCores& found) {
  std::string missing;
  for (const ProductKind kind : kProductKinds) {
    if (!wanted.of(kind) || found.of(kind)) continue;
    missing += missing.empty() ? " without tensor cores for " : ", ";
    missing += to_string(kind);
  }
  return missing;
}

}  // namespace rushlight::cuda
