#include "cuda/mlp_choice.hpp"

#include <cstdint>

#include "cuda/kernels/mlp.cuh"

namespace rushlight::cuda {
namespace {

using runtime::PlannedTensor;

constexpr std::int64_t kFirstLayerWeights = std::int64_t{4} << 20;
constexpr std::int64_t kNextLayersWeights = std::int64_t{32} << 10;

// The Linear that step `number` is, if the kernel has its epilogue and its outputs fit into shared memory.
const runtime::LinearStep* linear_at(const runtime::Plan& plan, std::size_t number) {
  if (number >= plan.steps.size()) return nullptr;
  const auto* linear = std::get_if<runtime::LinearStep>(&plan.steps[number].work);
  if (linear == nullptr || linear->epilogue.residual != runtime::kNone) return nullptr;
  const PlannedTensor& output = plan.tensors[linear->output];
  const bool fits =
      output.rows() > 0 && output.rows() <= kMlpRows && output.c > 0 && output.c <= kMlpFloats / output.rows() / 4 * 4;
  return fits ? linear : nullptr;
}

std::int64_t weights_of(const runtime::Plan& plan, const runtime::LinearStep& linear) {
  // The outputs are few: kMlpFloats. An input of more than 2^50 would not fit any memory.
  return plan.tensors[linear.input].c * plan.tensors[linear.output].c;
}

bool is_softmax_of(const runtime::Plan& plan, std::size_t number, runtime::TensorId input) {
  if (number >= plan.steps.size()) return false;
  const auto* softmax = std::get_if<runtime::SoftmaxStep>(&plan.steps[number].work);
  const PlannedTensor& rows = plan.tensors[input];
  return softmax != nullptr && softmax->input == input && softmax->inner == 1 && softmax->axis == rows.c &&
         softmax->outer == rows.rows() && rows.is_dense();
}

}  // namespace

std::size_t count_mlp_steps(const runtime::Plan& plan, std::size_t first) {
  const runtime::LinearStep* last = linear_at(plan, first);
  if (last == nullptr || weights_of(plan, *last) > kFirstLayerWeights) return 0;
  std::size_t steps = 1;
  std::int64_t weights = 0;
  while (steps < kMlpLayers) {
    const runtime::LinearStep* next = linear_at(plan, first + steps);
    if (next == nullptr || next->input != last->output) break;
    weights += weights_of(plan, *next);
    if (weights > kNextLayersWeights) break;
    last = next;
    ++steps;
  }
  if (is_softmax_of(plan, first + steps, last->output)) ++steps;
  return steps;
}

}  // namespace rushlight::cuda
