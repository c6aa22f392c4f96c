// A StepCase: one step of a plan, or a few that one kernel computes, over one block of memory. The emulation and a real
// GPU run the same cases, and the same judge looks at all of the memory afterwards: what should have been written, and
// everything that should not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "cuda/calls.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda {

struct StepCase {
  std::string name;
  runtime::Plan plan;                        // every tensor in the arena
  std::vector<std::size_t> constant_floats;  // where each constant begins in `memory`
  std::vector<Shape> constant_shapes;
  // Tensors and constants, and NaNs around them: who reads beside them and uses it, is seen.
  std::vector<float> memory;
  double tolerance = 0;  // of a value, relative to Expected::largest
};

// What a run of the case begins with: the case's memory, and behind it what its calls need: constants in other forms
// than plain, scratch full of NaNs, and tickets of 0.
std::vector<float> memory_for(const StepCase& step_case, const Needs& needs);
// Where everything is in such memory that lies at `base`.
Addresses addresses_of(const StepCase& step_case, const Needs& needs, float* base);

// Puts tensors, constants and the step of a case together.
class StepCaseBuilder {
 public:
  explicit StepCaseBuilder(std::string name, std::uint64_t seed);

  // Values from a normal distribution; `row_stride` 0 means dense.
  runtime::TensorId tensor(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t row_stride = 0);
  // On the memory of another one: in place.
  runtime::TensorId tensor_on(runtime::TensorId other);
  // Full of NaNs until it is computed.
  runtime::TensorId output(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t row_stride = 0);
  runtime::ConstantId constant(const Shape& shape);
  // The memory of a tensor, to put special values there.
  std::span<float> values(runtime::TensorId tensor);

  // The last step, or the only one.
  template <class Work>
  StepCase build(Work work, double tolerance) {
    add_step(std::move(work), case_.name);
    return finish(tolerance);
  }
  template <class Work>
  void add_step(Work work, std::string name) {
    case_.plan.steps.push_back({std::move(work), std::move(name)});
  }

  // Uniform in [low, high].
  std::int64_t pick(std::int64_t low, std::int64_t high);
  bool flip() { return pick(0, 1) == 1; }

 private:
  std::size_t reserve(std::size_t floats);
  StepCase finish(double tolerance);

  StepCase case_;
  std::mt19937_64 random_;
};

// What must be in the memory afterwards, computed in double from the definition of each step; between steps values are
// rounded, as they are stored. Where the steps write nothing `is_output` is false, and the memory must be as it was.
struct Expected {
  std::vector<double> values;
  std::vector<bool> is_output;
  double largest = 0;  // of finite outputs, before the activation: what errors are relative to
};
Expected compute_naively(const StepCase& step_case);

// Empty, or the first difference in words. NaN must meet NaN. What lies behind the case's own memory is not looked at.
std::string judge(const StepCase& step_case, const Expected& expected, std::span<const float> memory);

// Small random cases of every kind of step, and the corner cases of each.
std::vector<StepCase> all_step_cases();
std::vector<StepCase> conv_cases();
std::vector<StepCase> linear_cases();
std::vector<StepCase> pool_cases();
std::vector<StepCase> element_cases();
std::vector<StepCase> softmax_cases();
std::vector<StepCase> layout_cases();
std::vector<StepCase> mlp_cases();

}  // namespace rushlight::cuda
