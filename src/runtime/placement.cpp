#include "runtime/placement.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"
#include "runtime/arena.hpp"
#include "runtime/failure.hpp"
#include "runtime/general.hpp"

namespace rushlight::runtime {
namespace {

// The operands that the output of this step may lie on.
struct Candidates {
  TensorId tensors[2] = {kNone, kNone};
};

Candidates in_place_candidates(const Step& step) {
  if (const auto* conv = std::get_if<ConvStep>(&step.work)) return {{conv->epilogue.residual, kNone}};
  if (const auto* stripes = std::get_if<StripeStep>(&step.work)) return {{stripes->epilogue().residual, kNone}};
  if (const auto* linear = std::get_if<LinearStep>(&step.work)) return {{linear->epilogue.residual, kNone}};
  if (const auto* norm = std::get_if<NormStep>(&step.work)) return {{norm->input, kNone}};
  if (const auto* relu = std::get_if<ReluStep>(&step.work)) return {{relu->input, kNone}};
  if (const auto* softmax = std::get_if<SoftmaxStep>(&step.work)) return {{softmax->input, kNone}};
  if (const auto* add = std::get_if<AddStep>(&step.work)) return {{add->a, add->b}};
  return {};
}

// What a convolution or a Linear reads at other places than where it writes.
TensorId read_elsewhere(const Step& step) {
  if (const auto* conv = std::get_if<ConvStep>(&step.work)) return conv->input;
  if (const auto* stripes = std::get_if<StripeStep>(&step.work)) return stripes->first.input;
  if (const auto* linear = std::get_if<LinearStep>(&step.work)) return linear->input;
  return kNone;
}

// The input on whose memory a general operator may write: one that lies as the output does, provided that no other
// operand sees the same memory in another way. `buffer_of` follows what has been merged so far.
template <class BufferOf>
TensorId in_place_input(const Plan& plan, const GeneralStep& step, const BufferOf& buffer_of) {
  if (!works_in_place(step.op) || step.outputs.size() != 1) return kNone;
  const Operand& output = step.outputs[0];
  const auto lies_alike = [&](const Operand& input) {
    return input.shape == output.shape && input.strides == output.strides &&
           size_bytes(input.dtype) == size_bytes(output.dtype) && plan.tensors[input.tensor].begin_bytes == 0;
  };
  for (const Operand& input : step.inputs) {
    if (!lies_alike(input) || plan.tensors[input.tensor].place == Place::constant) continue;
    const bool is_alone = std::all_of(step.inputs.begin(), step.inputs.end(), [&](const Operand& other) {
      return buffer_of(other.tensor) != buffer_of(input.tensor) || lies_alike(other);
    });
    if (is_alone) return input.tensor;
  }
  return kNone;
}

}  // namespace

void share_in_place(Plan& plan) {
  // merged[b]: the buffer that b has become part of. Buffers only ever join later ones, so paths lead forward in time.
  std::vector<std::uint32_t> merged(plan.buffers.size());
  std::iota(merged.begin(), merged.end(), 0U);
  const auto buffer_of = [&](TensorId tensor) {
    std::uint32_t buffer = plan.tensors[tensor].buffer;
    while (merged[buffer] != buffer) buffer = merged[buffer] = merged[merged[buffer]];
    return buffer;
  };
  std::vector<std::size_t> last_use(plan.buffers.size(), 0);
  std::vector<std::size_t> first_use(plan.buffers.size(), plan.steps.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const StepTensors used = tensors_of(plan.steps[i]);
    const auto touch = [&](TensorId tensor) {
      const std::uint32_t buffer = plan.tensors[tensor].buffer;
      last_use[buffer] = i;
      first_use[buffer] = std::min(first_use[buffer], i);
    };
    for (const TensorId input : used.inputs) touch(input);
    for (const TensorId output : used.outputs) touch(output);
  }
  // The same elements of buffers of one size, which for general steps in_place_input() has looked at.
  const auto lie_alike = [&](TensorId a, TensorId b, const Step& step) {
    const PlannedTensor& x = plan.tensors[a];
    const PlannedTensor& y = plan.tensors[b];
    return plan.buffers[buffer_of(a)].size_bytes == plan.buffers[buffer_of(b)].size_bytes &&
           x.begin_bytes == y.begin_bytes &&
           (std::holds_alternative<GeneralStep>(step.work) || x.row_stride == y.row_stride);
  };
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const TensorId output = tensors_of(plan.steps[i]).outputs[0];
    const TensorId elsewhere = read_elsewhere(plan.steps[i]);
    Candidates candidates = in_place_candidates(plan.steps[i]);
    if (const auto* general = std::get_if<GeneralStep>(&plan.steps[i].work)) {
      candidates.tensors[0] = in_place_input(plan, *general, buffer_of);
    }
    for (const TensorId operand : candidates.tensors) {
      if (operand == kNone) continue;
      const std::uint32_t from = buffer_of(operand);
      const std::uint32_t to = buffer_of(output);
      if (from == to || plan.buffers[from].place != Place::arena || last_use[from] != i) continue;
      // A concatenation has several writers: what one of them wrote before would lie over the operand.
      if (first_use[to] != i || !lie_alike(operand, output, plan.steps[i])) continue;
      if (elsewhere != kNone && buffer_of(elsewhere) == from) continue;
      merged[from] = to;
      break;
    }
  }
  for (TensorId tensor = 0; tensor < plan.tensors.size(); ++tensor) plan.tensors[tensor].buffer = buffer_of(tensor);
}

Status place_buffers(Plan& plan, const Limits& limits) {
  std::vector<bool> used(plan.buffers.size(), false);
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const StepTensors tensors = tensors_of(plan.steps[i]);
    const auto touch = [&](TensorId tensor) {
      const std::uint32_t id = plan.tensors[tensor].buffer;
      PlannedBuffer& buffer = plan.buffers[id];
      if (!used[id]) buffer.first_step = i;
      used[id] = true;
      buffer.last_step = i;
    };
    for (const TensorId input : tensors.inputs) touch(input);
    for (const TensorId output : tensors.outputs) touch(output);
  }
  // What item steps leave to later ones lives at the border between them, so that no two of these share memory, though
  // they are written out of the order of steps.
  const auto place = [&](bool of_item) -> std::optional<std::uint64_t> {
    std::vector<Lifetime> lifetimes;
    std::vector<std::uint32_t> owners;
    for (std::uint32_t id = 0; id < plan.buffers.size(); ++id) {
      const PlannedBuffer& buffer = plan.buffers[id];
      if (!used[id] || buffer.place != Place::arena || buffer.is_of_item != of_item) continue;
      lifetimes.push_back({buffer.size_bytes, buffer.first_step, buffer.last_step});
      owners.push_back(id);
    }
    const std::optional<ArenaLayout> layout = plan_arena(lifetimes, kArenaAlignment);
    if (!layout) return std::nullopt;
    for (std::size_t i = 0; i < owners.size(); ++i) plan.buffers[owners[i]].offset_bytes = layout->offsets_bytes[i];
    return layout->size_bytes;
  };
  const std::optional<std::uint64_t> shared = place(false);
  const std::optional<std::uint64_t> of_item = place(true);
  const std::optional<std::uint64_t> both = shared && of_item ? checked_add(*shared, *of_item) : std::nullopt;
  if (!both || *both > limits.arena_bytes) return arena_too_large(both, limits);
  plan.arena_bytes = *shared;
  plan.item_arena_bytes = *of_item;
  for (PlannedTensor& tensor : plan.tensors) {
    const PlannedBuffer& buffer = plan.buffers[tensor.buffer];
    tensor.place = buffer.place;
    tensor.port = buffer.port;
    tensor.offset_bytes = (buffer.is_of_item ? plan.arena_bytes : 0) + buffer.offset_bytes + tensor.begin_bytes;
  }
  return {};
}

}  // namespace rushlight::runtime
