#include "runtime/plan.hpp"

#include <type_traits>
#include <utility>
#include <variant>

#include "base/fail.hpp"
#include "runtime/draft.hpp"
#include "runtime/lowering.hpp"
#include "runtime/placement.hpp"

namespace rushlight::runtime {
namespace {

std::string text(IntPair pair) {
  return std::to_string(pair.h) + "x" + std::to_string(pair.w);
}

std::string text(const PlannedTensor& tensor) {
  return std::to_string(tensor.n) + "x" + text(IntPair{tensor.h, tensor.w}) + "x" + std::to_string(tensor.c);
}

std::string window(IntPair kernel, IntPair stride, IntPair padding) {
  return " k" + text(kernel) + " s" + text(stride) + " p" + text(padding);
}

// The kind of a step, and what is particular about it.
struct Words {
  const char* kind;
  std::string details;
};

Words words(const ConvStep& step) {
  std::string details = window(step.kernel, step.stride, step.padding);
  if (!(step.dilation == IntPair{1})) details += " d" + text(step.dilation);
  if (step.groups != 1) details += " groups=" + std::to_string(step.groups);
  return {"conv", details};
}
Words words(const LinearStep&) {
  return {"linear", ""};
}
Words words(const NormStep&) {
  return {"norm", ""};
}
Words words(const MaxPoolStep& step) {
  std::string details = window(step.kernel, step.stride, step.padding);
  if (!(step.dilation == IntPair{1})) details += " d" + text(step.dilation);
  return {"maxpool", details};
}
Words words(const AvgPoolStep& step) {
  std::string details = window(step.kernel, step.stride, step.padding);
  if (!step.count_include_pad) details += " inside";
  if (step.divisor_override != 0) details += " divisor=" + std::to_string(step.divisor_override);
  return {"avgpool", details};
}
Words words(const AdaptiveAvgPoolStep&) {
  return {"adaptiveavgpool", ""};
}
Words words(const ReluStep&) {
  return {"relu", ""};
}
Words words(const AddStep&) {
  return {"add", ""};
}
Words words(const BroadcastAddStep&) {
  return {"broadcast", ""};
}
Words words(const SoftmaxStep& step) {
  return {"softmax", " axis=" + std::to_string(step.axis) + "/" + std::to_string(step.inner)};
}
Words words(const LayoutStep&) {
  return {"layout", ""};
}
Words words(const CopyStep&) {
  return {"copy", ""};
}

template <class Work>
constexpr bool kHasEpilogue = requires(const Work& work) {
  work.epilogue;
};

template <class Work>
bool ends_in_relu(const Work& work) {
  if constexpr (kHasEpilogue<Work>) {
    return work.epilogue.relu;
  } else if constexpr (requires { work.relu; }) {
    return work.relu;
  } else {
    return false;
  }
}

}  // namespace

StepTensors tensors_of(const Step& step) noexcept {
  StepTensors tensors;
  std::visit(
      [&](const auto& work) {
        using Work = std::decay_t<decltype(work)>;
        if constexpr (requires { work.a; }) {
          tensors.inputs[0] = work.a;
          tensors.inputs[1] = work.b;
        } else {
          tensors.inputs[0] = work.input;
        }
        if constexpr (kHasEpilogue<Work>) tensors.inputs[2] = work.epilogue.residual;
        tensors.output = work.output;
      },
      step.work);
  return tensors;
}

Result<Plan> make_plan(const Network& network, std::span<const Shape> input_shapes, const Limits& limits) {
  RUSHLIGHT_TRY_ASSIGN(Draft draft, make_draft(network, input_shapes));
  remove_dead(draft);
  drop_identities(draft);
  fold_batch_norms(draft);
  fuse_additions(draft);
  fuse_relus(draft);
  RUSHLIGHT_TRY_ASSIGN(Plan plan, lower(draft, limits));
  share_in_place(plan);
  RUSHLIGHT_TRY(place_buffers(plan, limits));
  return plan;
}

std::string to_string(const Plan& plan) {
  std::string result;
  for (const Step& step : plan.steps) {
    const StepTensors tensors = tensors_of(step);
    std::visit(
        [&](const auto& work) {
          const Words said = words(work);
          result += step.name + " " + said.kind + " " + text(plan.tensors[tensors.inputs[0]]) + " -> " +
                    text(plan.tensors[tensors.output]) + said.details;
          if (tensors.inputs[2] != kNone) result += " +residual";
          if (ends_in_relu(work)) result += " +relu";
          if (plan.tensors[tensors.output].place == Place::output) result += " (output)";
          result += '\n';
        },
        step.work);
  }
  return result;
}

}  // namespace rushlight::runtime
