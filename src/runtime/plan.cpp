#include "runtime/plan.hpp"

#include <type_traits>
#include <utility>
#include <variant>

#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/operator_table.hpp"
#include "runtime/draft.hpp"
#include "runtime/lowering.hpp"
#include "runtime/passes/fuse_stripes.hpp"
#include "runtime/passes/narrow_values.hpp"
#include "runtime/passes/read_planes.hpp"
#include "runtime/passes/run_by_item.hpp"
#include "runtime/placement.hpp"

namespace rushlight::runtime {
namespace {

std::string text(IntPair pair) {
  return std::to_string(pair.h) + "x" + std::to_string(pair.w);
}

std::string text(const PlannedTensor& tensor) {
  const std::string sizes =
      std::to_string(tensor.n) + "x" + text(IntPair{tensor.h, tensor.w}) + "x" + std::to_string(tensor.c);
  return tensor.is_planar ? sizes + " planes" : tensor.is_bf16 ? sizes + " bf16" : sizes;
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
Words words(const StripeStep& step) {
  const std::string pool = step.pooling() == nullptr ? "" : " max";
  const std::string window = std::visit([](const auto& layer) { return words(layer).details; }, step.window);
  const std::string last = step.last ? " then" + words(*step.last).details : "";
  const std::string quads = step.quads ? " then max" + words(*step.quads).details : "";
  return {"stripes", words(step.first).details + " then" + pool + window + last + quads};
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

Words words(const GeneralStep& step) {
  return {model::info(step.op)->spec_name.data(), ""};
}

std::string text(std::span<const Operand> operands) {
  std::string result;
  for (const Operand& operand : operands) result += (result.empty() ? "" : ", ") + model::shape_text(operand.shape);
  return result;
}

template <class Work>
constexpr bool kHasEpilogue = requires(const Work& work) {
  work.epilogue;
};

std::string text(const Activation& activation) {
  constexpr const char* kWords[] = {"",       " +relu",        " +clamp",     " +sigmoid", " +silu",
                                    " +tanh", " +hardsigmoid", " +hardswish", " +gelu"};
  return kWords[static_cast<std::size_t>(activation.kind)];
}

template <class Work>
std::string activation_text(const Work& work) {
  if constexpr (kHasEpilogue<Work>) {
    return text(work.epilogue.activation);
  } else if constexpr (std::is_same_v<Work, StripeStep>) {
    return text(work.epilogue().activation);
  } else if constexpr (requires { work.relu; }) {
    return text(Activation::relu_if(work.relu));
  } else {
    return "";
  }
}

}  // namespace

std::int64_t Operand::elements() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

StepTensors tensors_of(const Step& step) {
  StepTensors tensors;
  std::visit(
      [&](const auto& work) {
        using Work = std::decay_t<decltype(work)>;
        if constexpr (std::is_same_v<Work, StripeStep>) {
          tensors.inputs = {work.first.input};
          if (work.epilogue().residual != kNone) tensors.inputs.push_back(work.epilogue().residual);
          tensors.outputs = {work.output()};
        } else if constexpr (std::is_same_v<Work, GeneralStep>) {
          for (const Operand& operand : work.inputs) tensors.inputs.push_back(operand.tensor);
          for (const Operand& operand : work.outputs) tensors.outputs.push_back(operand.tensor);
        } else {
          if constexpr (requires { work.a; }) {
            tensors.inputs = {work.a, work.b};
          } else {
            tensors.inputs = {work.input};
          }
          if constexpr (kHasEpilogue<Work>) {
            if (work.epilogue.residual != kNone) tensors.inputs.push_back(work.epilogue.residual);
          }
          tensors.outputs = {work.output};
        }
      },
      step.work);
  return tensors;
}

Result<Plan> make_plan(const Network& network, std::span<const Shape> input_shapes, const Limits& limits,
                       const PlanOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(Draft draft, make_draft(network, input_shapes));
  remove_dead(draft);
  drop_identities(draft);
  fold_batch_norms(draft);
  fuse_additions(draft);
  fuse_activations(draft, options.fuses_activations);
  RUSHLIGHT_TRY_ASSIGN(Plan plan, lower(draft, limits));
  if (options.plane_cache_bytes > 0) read_planes(plan, options.plane_cache_bytes);
  if (options.stripe_cache_bytes > 0) fuse_stripes(plan, options);
  share_in_place(plan);
  if (options.multiplies_bf16) narrow_values(plan, options);
  if (options.item_cache_bytes > 0) run_by_item(plan, options.item_cache_bytes);
  RUSHLIGHT_TRY(place_buffers(plan, limits));
  return plan;
}

Plan plan_of_step(const Plan& plan, const GeneralStep& step, std::string name) {
  Plan result;
  result.constants = plan.constants;
  GeneralStep only = step;
  const auto port_of = [&](Operand& operand, Place place, std::size_t port) {
    PlannedTensor tensor = plan.tensors[operand.tensor];
    if (tensor.place != Place::constant) {
      tensor.place = place;
      tensor.port = port;
      tensor.offset_bytes = 0;
    }
    tensor.begin_bytes = 0;
    tensor.buffer = kNone;
    operand.tensor = static_cast<TensorId>(result.tensors.size());
    result.tensors.push_back(tensor);
    return operand.tensor;
  };
  for (std::size_t i = 0; i < only.inputs.size(); ++i) {
    result.inputs.push_back(port_of(only.inputs[i], Place::input, i));
  }
  for (std::size_t i = 0; i < only.outputs.size(); ++i) {
    result.outputs.push_back(port_of(only.outputs[i], Place::output, i));
    result.output_shapes.push_back(only.outputs[i].shape);
  }
  result.steps.push_back(Step{std::move(only), std::move(name)});
  return result;
}

std::string_view kind_text(const Step& step) {
  return std::visit([](const auto& work) -> std::string_view { return words(work).kind; }, step.work);
}

std::string to_string(const Plan& plan) {
  std::string result;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const StepTensors tensors = tensors_of(step);
    std::visit(
        [&](const auto& work) {
          using Work = std::decay_t<decltype(work)>;
          const Words said = words(work);
          result += step.name + " " + said.kind + " ";
          if constexpr (std::is_same_v<Work, GeneralStep>) {
            result += text(work.inputs) + " -> " + text(work.outputs);
          } else {
            result += text(plan.tensors[tensors.inputs[0]]) + " -> " + text(plan.tensors[tensors.outputs[0]]);
          }
          result += said.details;
          if constexpr (kHasEpilogue<Work>) {
            if (work.epilogue.residual != kNone) result += " +residual";
          } else if constexpr (std::is_same_v<Work, StripeStep>) {
            if (work.epilogue().residual != kNone) result += " +residual";
          }
          result += activation_text(work);
          if (plan.tensors[tensors.outputs[0]].place == Place::output) result += " (output)";
          if (i < plan.item_steps) result += " (of " + std::to_string(plan.items) + " items)";
          result += '\n';
        },
        step.work);
  }
  return result;
}

}  // namespace rushlight::runtime
