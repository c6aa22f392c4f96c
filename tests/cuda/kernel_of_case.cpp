#include "cuda/kernel_of_case.hpp"

#include <algorithm>
#include <variant>
#include <vector>

#include "base/fail.hpp"
#include "cuda/general_calls.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda {

Result<bool> device_computes(const test::OperatorCase& one) {
  const runtime::Network network{one.model.graph(), one.model.state_dict()};
  std::vector<Shape> shapes;
  for (const Tensor& input : one.inputs) shapes.emplace_back(input.shape().begin(), input.shape().end());
  RUSHLIGHT_TRY_ASSIGN(const runtime::Plan plan, runtime::make_plan(network, shapes, {}, {.fuses_activations = true}));
  return std::all_of(plan.steps.begin(), plan.steps.end(), [](const runtime::Step& step) {
    const auto* general = std::get_if<runtime::GeneralStep>(&step.work);
    return general == nullptr || general_needs(*general).has_kernels;
  });
}

}  // namespace rushlight::cuda
