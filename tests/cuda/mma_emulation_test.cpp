// Products on tensor cores against their definition, emulated.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "cuda/emulate_step.hpp"
#include "cuda/emulate_work.hpp"

namespace rushlight::cuda {
namespace {

constexpr TensorCores kAll = kAllTensorCores;
// The bar for one layer, relative to the largest output (precision.hpp's names, runtime.md's numbers).
double tolerance_of(ProductKind kind) {
  return has_three_products(kind) ? 5e-6 : 1e-2;
}

// The convolutions and Linears that gemm.cuh would multiply: neither depthwise nor of very few rows.
struct Product {
  StepCase step_case;
  GemmArguments arguments;  // over memory that is gone
};
std::vector<Product> products() {
  std::vector<Product> found;
  std::vector<StepCase> cases = conv_cases();
  for (StepCase& step_case : linear_cases()) cases.push_back(std::move(step_case));
  for (StepCase& step_case : cases) {
    const Needs needs = find_needs(step_case.plan, {}).value();
    std::vector<float> memory = memory_for(step_case, needs);
    const std::vector<Call> calls =
        make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), {}).value();
    const auto* gemm = std::get_if<GemmCall>(&calls.at(0).work);
    if (gemm != nullptr) found.push_back({std::move(step_case), gemm->arguments});
  }
  return found;
}

// The case by one instance, its depth split among so many blocks or as many as it has slabs for.
std::vector<float> emulate_product(const Product& product, const MmaInstance& instance, ProductKind kind,
                                   std::int32_t splits) {
  const StepCase& step_case = product.step_case;
  ProductChoice choice{.kind = kind, .instance = instance};
  const std::int32_t slabs = slabs_of(product.arguments);
  choice.slabs_of_split = ceil_div(slabs, splits);
  choice.splits = ceil_div(slabs, choice.slabs_of_split);
  const auto weights_id = std::visit(
      [](const auto& step) -> runtime::ConstantId {
        if constexpr (requires { step.weights; }) return step.weights;
        return runtime::kNone;
      },
      step_case.plan.steps[0].work);
  const WeightForm form = weight_form(kind, product.arguments.depth);
  // The step's own needs, for its bias, and those of the choice.
  Needs needs = find_needs(step_case.plan, {}).value();
  const WeightCopy weights{weights_id, form};
  if (form != WeightForm::plain) needs.weights.push_back(weights);
  needs.scratch_bytes = partial_bytes(product.arguments, choice);
  return emulate_calls(step_case.name, memory_for(step_case, needs), [&](float* base) {
    const Addresses addresses = addresses_of(step_case, needs, base);
    const std::vector<Call> calls = make_calls(step_case.plan, addresses, {}).value();
    const GemmArguments a = std::get<GemmCall>(calls.at(0).work).arguments;
    auto* const partial = reinterpret_cast<float*>(addresses.scratch);
    std::vector<Work> works{mma_call(a, choice, addresses.weights.at(weights), partial)};
    if (choice.splits > 1) works.emplace_back(split_sum(a, choice, partial));
    return works;
  });
}

std::string judge_by(const StepCase& step_case, double tolerance, const std::vector<float>& memory) {
  StepCase with_tolerance = step_case;
  with_tolerance.tolerance = tolerance;
  return judge(with_tolerance, compute_naively(step_case), memory);
}

bool same_bits(const StepCase& step_case, const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), step_case.memory.size() * sizeof(float)) == 0;
}

// Each kind goes through all cases, and meets each of its instances in turn: all instances of a case have the same
// bits, split or not.
class EmulatedTensorCores : public testing::TestWithParam<ProductKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EmulatedTensorCores, testing::ValuesIn(kProductKinds),
                         [](const auto& kind) { return "Kind" + std::to_string(static_cast<int>(kind.param)); });

TEST_P(EmulatedTensorCores, ProductsAreTheirDefinitionInEveryInstance) {
  const ProductKind kind = GetParam();
  const std::vector<MmaInstance> instances = mma_instances(kind);
  std::map<std::pair<MmaAccess, MmaTileName>, int> runs;
  std::size_t turn = 0;
  for (const Product& product : products()) {
    if (!has_instance_for(kind, product.arguments)) continue;
    const bool chunks = allows_chunks(product.arguments);
    MmaInstance instance = instances.back();
    if (chunks) instance = instances[turn++ % instances.size()];
    const std::vector<float> memory = emulate_product(product, instance, kind, 1);
    EXPECT_EQ(judge_by(product.step_case, tolerance_of(kind), memory), "");
    ++runs[{instance.access, instance.tile}];
  }
  for (const MmaInstance& instance : instances) EXPECT_GT((runs[{instance.access, instance.tile}]), 5);
}

TEST_P(EmulatedTensorCores, ProductsHaveTheSameBitsInEveryInstance) {
  const ProductKind kind = GetParam();
  int compared = 0;
  const std::vector<Product> all = products();
  for (std::size_t i = 0; i < all.size(); i += 9) {
    if (!has_instance_for(kind, all[i].arguments)) continue;
    std::vector<float> first;
    for (const MmaInstance& instance : mma_instances(kind)) {
      if (instance.access == MmaAccess::chunks && !allows_chunks(all[i].arguments)) continue;
      const std::vector<float> memory = emulate_product(all[i], instance, kind, 1);
      if (first.empty()) first = memory;
      EXPECT_TRUE(same_bits(all[i].step_case, first, memory)) << all[i].step_case.name;
      ++compared;
    }
  }
  EXPECT_GT(compared, is_of_warpgroups(kind) ? 9 : 20);
}

TEST_P(EmulatedTensorCores, SplitProductsAreTheirDefinition) {
  const ProductKind kind = GetParam();
  int split = 0;
  const std::vector<Product> all = products();
  for (std::size_t i = 0; i < all.size(); i += 4) {
    if (slabs_of(all[i].arguments) < 2 || !has_instance_for(kind, all[i].arguments)) continue;
    // The last of those with chunks is the smallest tile.
    std::vector<MmaInstance> instances = mma_instances(kind);
    if (allows_chunks(all[i].arguments)) std::erase(instances, MmaInstance{});
    const MmaInstance instance = instances.back();
    for (const std::int32_t splits : {2, 3}) {
      EXPECT_EQ(judge_by(all[i].step_case, tolerance_of(kind), emulate_product(all[i], instance, kind, splits)), "");
    }
    ++split;
  }
  EXPECT_GT(split, 5);
}

// A warpgroup is dealt the same k for each of its instructions, so that the same numbers meet in the same order. The
// emulation adds them so; whether tensor cores do, nobody promises.
TEST(EmulatedWarpgroups, AddWhatWarpsAddInTheSameOrder) {
  int compared = 0;
  for (const Product& product : products()) {
    if (!has_instance_for(ProductKind::wgmma_bf16, product.arguments) || slabs_of(product.arguments) < 2) continue;
    const MmaInstance instance{MmaAccess::chunks, MmaTileName::rows64_columns64};
    for (const auto& [warps, warpgroups] : {std::pair(ProductKind::bf16, ProductKind::wgmma_bf16),
                                            {ProductKind::fp16, ProductKind::wgmma_fp16},
                                            {ProductKind::tf32, ProductKind::wgmma_tf32}}) {
      EXPECT_TRUE(same_bits(product.step_case, emulate_product(product, instance, warps, 1),
                            emulate_product(product, instance, warpgroups, 1)))
          << product.step_case.name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 20);
}

// More slabs than stages, for both parities and lengths of the last rounds of a pipeline.
TEST(EmulatedWarpgroups, PipelinesOfEveryLengthGiveTheDefinition) {
  for (const std::int64_t channels : {4, 28, 36, 64, 100, 128, 160, 196, 224, 260, 292}) {
    StepCaseBuilder builder("a product of depth " + std::to_string(channels), 21);
    runtime::LinearStep step;
    step.input = builder.tensor(70, 1, 1, channels);
    step.weights = builder.constant({264, channels});
    step.output = builder.output(70, 1, 1, 264);
    StepCase step_case = builder.build(step, 0);
    const Needs needs = find_needs(step_case.plan, {}).value();
    std::vector<float> memory = memory_for(step_case, needs);
    const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), {}).value();
    const Product product{std::move(step_case), std::get<GemmCall>(calls.at(0).work).arguments};
    for (const ProductKind kind : {ProductKind::wgmma_bf16, ProductKind::wgmma_tf32, ProductKind::wgmma_tf32x3}) {
      for (const MmaInstance& instance : mma_instances(kind)) {
        EXPECT_EQ(judge_by(product.step_case, tolerance_of(kind), emulate_product(product, instance, kind, 1)), "");
      }
    }
  }
}

// --- by way of the choice

StepCase conv_case(std::int64_t size, std::int64_t channels, std::int64_t outputs) {
  StepCaseBuilder builder(
      "conv " + std::to_string(size) + ", " + std::to_string(channels) + " -> " + std::to_string(outputs), 11);
  runtime::ConvStep step;
  step.input = builder.tensor(1, size, size, channels);
  step.weights = builder.constant({outputs, 3, 3, channels});
  step.bias = builder.constant({outputs});
  step.output = builder.output(1, size, size, outputs);
  step.kernel = 3;
  step.stride = 1;
  step.padding = 1;
  step.dilation = 1;
  step.epilogue.activation = runtime::Activation::relu_if(true);
  return builder.build(step, 5e-6);
}

// Whatever kernel a case gets, those of few rows and of few channels included.
TEST(EmulatedTensorCoreCalls, EveryCaseIsItsDefinitionWithinThePrecision) {
  std::vector<StepCase> cases = conv_cases();
  for (StepCase& step_case : linear_cases()) cases.push_back(std::move(step_case));
  for (const Precision precision : {Precision::bf16, Precision::fp16, Precision::tf32, Precision::strict}) {
    for (std::size_t i = static_cast<std::size_t>(precision) % 3; i < cases.size(); i += 3) {
      const CallOptions options{.processors = 132, .precision = precision, .tensor_cores = kAll};
      EXPECT_EQ(judge_by(cases[i], precision == Precision::strict ? 5e-6 : 1e-2, emulate_step(cases[i], options)), "");
    }
  }
}

TEST(EmulatedTensorCoreCalls, ARowProductReadsWeightsOf16Bits) {
  for (const std::int64_t inputs : {1, 7, 8, 36, 257, 260}) {
    StepCaseBuilder builder("a row product of " + std::to_string(inputs), 12);
    runtime::LinearStep step;
    step.input = builder.tensor(3, 1, 1, inputs);
    step.weights = builder.constant({10, inputs});
    step.output = builder.output(3, 1, 1, 10);
    const StepCase step_case = builder.build(step, 0);
    for (const Precision precision : {Precision::bf16, Precision::fp16}) {
      const CallOptions options{.precision = precision};
      const Needs needs = find_needs(step_case.plan, options).value();
      ASSERT_EQ(needs.weights.size(), 1U);
      EXPECT_NE(needs.weights[0].form, WeightForm::plain);
      EXPECT_EQ(judge_by(step_case, 1e-2, emulate_step(step_case, options)), "");
    }
  }
}

TEST(EmulatedTensorCoreCalls, ASplitConvolutionIsTwoCallsOverScratch) {
  const StepCase step_case = conv_case(7, 64, 64);
  std::set<std::string_view> names;
  for (const TensorCores& cores : {kWarpTensorCores, kAll}) {
    for (const Precision precision : {Precision::bf16, Precision::fp16, Precision::tf32, Precision::strict}) {
      const CallOptions options{.processors = 132, .precision = precision, .tensor_cores = cores};
      const Needs needs = find_needs(step_case.plan, options).value();
      EXPECT_GT(needs.scratch_bytes, 0U);
      std::vector<float> memory = memory_for(step_case, needs);
      const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), options).value();
      ASSERT_EQ(calls.size(), 2U);
      names.insert(kernel_name(calls[0].work));
      EXPECT_EQ(kernel_name(calls[1].work), "split_sum");
      EXPECT_EQ(judge_by(step_case, precision == Precision::strict ? 5e-6 : 1e-2, emulate_step(step_case, options)),
                "");
    }
  }
  // So few columns of TF32 are a warp's.
  EXPECT_EQ(names,
            (std::set<std::string_view>{"mma_3xtf32", "mma_bf16", "mma_fp16", "mma_tf32", "wgmma_bf16", "wgmma_fp16"}));
}

TEST(EmulatedTensorCoreCalls, OneBlockAddsThePartsThatManyWould) {
  const StepCase step_case = conv_case(7, 64, 64);
  const CallOptions options{.processors = 132, .precision = Precision::bf16, .tensor_cores = kAll};
  const Needs needs = find_needs(step_case.plan, options).value();
  std::vector<float> memory = memory_for(step_case, needs);
  const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), options).value();
  ASSERT_EQ(calls.size(), 2U);
  emulation::Emulator emulator(emulation::Order::shuffled);
  emulation::emulate(calls[0].work, emulator);
  EXPECT_TRUE(emulation::emulate_with_blocks(calls[1].work, 1, emulator));
  EXPECT_EQ(emulator.failure(), "");
  EXPECT_EQ(judge_by(step_case, 1e-2, memory), "");
}

TEST(EmulatedTensorCoreCalls, StrictBitsDoNotDependOnTheNumberOfProcessors) {
  const StepCase step_case = conv_case(9, 32, 40);
  const auto options = [](int processors) { return CallOptions{.processors = processors, .tensor_cores = kAll}; };
  const std::vector<float> first = emulate_step(step_case, options(1));
  EXPECT_EQ(judge_by(step_case, 5e-6, first), "");
  for (const int processors : {16, 132}) {
    EXPECT_TRUE(same_bits(step_case, first, emulate_step(step_case, options(processors))));
  }
}

// --- corners

// NaN and infinities must reach the outputs that they reach in float32: products of parts must not make NaN of
// infinity.
TEST_P(EmulatedTensorCores, NaNAndInfinityReachTheOutputsTheyBelongTo) {
  StepCaseBuilder builder("conv with a NaN", 8);
  runtime::ConvStep step;
  step.input = builder.tensor(2, 6, 6, 8);
  builder.values(step.input)[0] = std::numeric_limits<float>::quiet_NaN();
  builder.values(step.input)[200] = std::numeric_limits<float>::infinity();
  builder.values(step.input)[400] = -std::numeric_limits<float>::infinity();
  step.weights = builder.constant({8, 3, 3, 8});
  step.output = builder.output(2, 6, 6, 8);
  step.kernel = 3;
  step.stride = 1;
  step.padding = 1;
  step.dilation = 1;
  StepCase step_case = builder.build(step, 0);
  // Numbers without a small part, beside numbers with one.
  for (std::size_t i = 0; i < 8 * 9 * 8; i += 3) step_case.memory[step_case.constant_floats[0] + i] = 1;
  const Needs needs = find_needs(step_case.plan, {}).value();
  std::vector<float> memory = memory_for(step_case, needs);
  const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), {}).value();
  const Product product{step_case, std::get<GemmCall>(calls.at(0).work).arguments};
  for (const MmaInstance& instance : mma_instances(GetParam())) {
    EXPECT_EQ(judge_by(step_case, tolerance_of(GetParam()), emulate_product(product, instance, GetParam(), 1)), "");
  }
}

// Rows of every kind of number that float32 has times columns of likewise: what gemm.cuh makes of them, NaN and
// infinities in the same places. Finite numbers beyond 3.4012e38 were infinite at first, since TF32 has none between.
class EmulatedTf32x3 : public testing::TestWithParam<ProductKind> {
 protected:
  static constexpr std::int64_t kRows = 20;
  static constexpr std::int64_t kColumns = 16;
  static constexpr std::int64_t kDepth = 72;  // three slabs
  static constexpr float kMost = std::numeric_limits<float>::max();
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  static constexpr float kLeast = std::numeric_limits<float>::denorm_min();

  // One of the numbers stands in each of the first rows, and one in each of the first columns.
  static Product product(const std::vector<float>& of_rows, const std::vector<float>& of_columns) {
    StepCaseBuilder builder("a Linear with odd numbers", 17);
    runtime::LinearStep step;
    step.input = builder.tensor(kRows, 1, 1, kDepth);
    step.weights = builder.constant({kColumns, kDepth});
    step.output = builder.output(kRows, 1, 1, kColumns);
    const std::span<float> input = builder.values(step.input);
    // Sums that do not come near the largest number by themselves.
    for (float& value : input) value /= 64;
    for (std::size_t i = 0; i < of_rows.size(); ++i) input[i * kDepth + i * 7 % kDepth] = of_rows[i];
    Product found{builder.build(step, 0), {}};
    float* const weights = found.step_case.memory.data() + found.step_case.constant_floats[0];
    for (std::int64_t i = 0; i < kColumns * kDepth; ++i) weights[i] /= 64;
    for (std::size_t i = 0; i < of_columns.size(); ++i) {
      // The same number down to the last row's, so that odd numbers meet.
      for (std::size_t k = 0; k < of_rows.size(); ++k) weights[i * kDepth + k * 7 % kDepth] = of_columns[i];
    }
    const Needs needs = find_needs(found.step_case.plan, {}).value();
    std::vector<float> memory = memory_for(found.step_case, needs);
    const auto calls =
        make_calls(found.step_case.plan, addresses_of(found.step_case, needs, memory.data()), {}).value();
    found.arguments = std::get<GemmCall>(calls.at(0).work).arguments;
    return found;
  }
  static std::vector<float> output_of(const Product& product, const std::vector<float>& memory) {
    const auto& tensor = product.step_case.plan.tensors[1];
    const float* const first = memory.data() + tensor.offset_bytes / sizeof(float);
    return {first, first + kRows * kColumns};
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, EmulatedTf32x3, testing::Values(ProductKind::tf32x3, ProductKind::wgmma_tf32x3),
                         [](const auto& kind) { return "Kind" + std::to_string(static_cast<int>(kind.param)); });

TEST_P(EmulatedTf32x3, NumbersAtTheEndsOfTheirRangeMakeWhatTheyMakeInFloat32) {
  const std::vector<float> of_rows = {kMost,     -kMost, float_of(0x7F7FF000U), kInfinity, -kInfinity, kNan, kLeast,
                                      0x1p-126F, 1e-40F, float_of(0x7F800001U), -0x1p-120F};
  const std::vector<float> of_columns = {1, kLeast, -0x1p-130F, kInfinity, 0, kNan, kMost, float_of(0x7F7FF000U), 0.5F};
  const Product odd = product(of_rows, of_columns);
  const std::vector<float> expected = output_of(odd, emulate_step(odd.step_case, {}));
  const std::vector<float> memory = memory_for(odd.step_case, find_needs(odd.step_case.plan, {}).value());
  const float* const input = memory.data() + odd.step_case.plan.tensors[0].offset_bytes / sizeof(float);
  const float* const weights = memory.data() + odd.step_case.constant_floats[0];
  int finite = 0;
  int infinite = 0;
  for (const MmaInstance& instance : mma_instances(GetParam())) {
    for (const std::int32_t splits : {1, 3}) {
      const std::vector<float> found = output_of(odd, emulate_product(odd, instance, GetParam(), splits));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        SCOPED_TRACE("row " + std::to_string(i / kColumns) + ", column " + std::to_string(i % kColumns));
        if (!std::isfinite(expected[i])) {
          infinite += std::isnan(expected[i]) ? 0 : 1;
          EXPECT_TRUE(std::isnan(expected[i]) ? std::isnan(found[i]) : expected[i] == found[i]) << found[i];
          continue;
        }
        ++finite;
        double allowed = 0;
        for (std::size_t k = 0; k < kDepth; ++k) {
          const double a = std::abs(static_cast<double>(input[i / kColumns * kDepth + k]));
          const double b = std::abs(static_cast<double>(weights[i % kColumns * kDepth + k]));
          allowed += a * b * 0x1p-21 + (a + b) * 0x1p-137;
        }
        EXPECT_LE(std::abs(static_cast<double>(expected[i]) - static_cast<double>(found[i])), allowed);
      }
    }
  }
  EXPECT_GT(finite, 200);
  EXPECT_GT(infinite, 100);
}

// What is computed again is what was not finite, and nothing beside it.
TEST_P(EmulatedTf32x3, RowsBesideOddNumbersKeepTheirBits) {
  const Product odd = product({kMost, kNan, kInfinity, kLeast}, {});
  const Product plain = product({1, 1, 1, 1}, {});
  for (const MmaInstance& instance : mma_instances(GetParam())) {
    const std::vector<float> a = output_of(odd, emulate_product(odd, instance, GetParam(), 1));
    const std::vector<float> b = output_of(plain, emulate_product(plain, instance, GetParam(), 1));
    constexpr std::size_t kOdd = 4 * kColumns;
    EXPECT_EQ(std::memcmp(a.data() + kOdd, b.data() + kOdd, (a.size() - kOdd) * sizeof(float)), 0);
    EXPECT_TRUE(std::isnan(a[kColumns]));
  }
}

// One TF32 product would not do for strict: the bar tells them apart.
TEST(EmulatedTensorCoreCalls, OneTf32ProductDoesNotPassForThree) {
  const StepCase step_case = conv_case(9, 32, 40);
  const auto precision = [](Precision p) { return CallOptions{.processors = 4, .precision = p, .tensor_cores = kAll}; };
  EXPECT_EQ(judge_by(step_case, 5e-6, emulate_step(step_case, precision(Precision::strict))), "");
  EXPECT_NE(judge_by(step_case, 5e-6, emulate_step(step_case, precision(Precision::tf32))), "");
  EXPECT_NE(judge_by(step_case, 1e-5, emulate_step(step_case, precision(Precision::bf16))), "");
}

}  // namespace
}  // namespace rushlight::cuda
