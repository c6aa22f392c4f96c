#include "runtime/passes/run_by_item.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <variant>
#include <vector>

#include "model/macs.hpp"
#include "runtime/general.hpp"

namespace rushlight::runtime {
namespace {

// An item's largest step has at least this part of the cache for its operands.
constexpr std::uint64_t kLeastPart = 4;

template <class Work>
constexpr bool kHasEpilogue = requires(const Work& work) {
  work.epilogue;
};

// Of a step whose items have nothing to do with each other: calls f(id) for each tensor, those between layers of a
// StripeStep too. False for other steps.
template <class F>
bool for_each_tensor(Step& step, const F& f) {
  const auto visit = [&](auto& work, const auto& self) -> bool {
    using Work = std::decay_t<decltype(work)>;
    if constexpr (std::is_same_v<Work, StripeStep>) {
      self(work.first, self);
      std::visit([&](auto& layer) { self(layer, self); }, work.window);
      if (work.last) self(*work.last, self);
      if (work.quads) self(*work.quads, self);
    } else if constexpr (std::is_same_v<Work, AddStep>) {
      f(work.a);
      f(work.b);
      f(work.output);
    } else if constexpr (std::is_same_v<Work, GeneralStep>) {
      if (!works_by_item(work.op)) return false;
      for (Operand& operand : work.inputs) f(operand.tensor);
      for (Operand& operand : work.outputs) f(operand.tensor);
    } else if constexpr (std::is_same_v<Work, BroadcastAddStep> || std::is_same_v<Work, SoftmaxStep> ||
                         std::is_same_v<Work, CopyStep>) {
      return false;
    } else {
      f(work.input);
      f(work.output);
      if constexpr (kHasEpilogue<Work>) {
        if (work.epilogue.residual != kNone) f(work.epilogue.residual);
      }
    }
    return true;
  };
  return std::visit([&](auto& work) { return visit(work, visit); }, step.work);
}

std::uint64_t bytes_of(std::int64_t floats) {
  return static_cast<std::uint64_t>(floats) * sizeof(float);
}

// f(operand) for each operand of a GeneralStep; nothing of others.
template <class AnyStep, class F>
void for_each_operand(AnyStep& step, const F& f) {
  auto* const general = std::get_if<GeneralStep>(&step.work);
  if (general == nullptr) return;
  for (auto& operand : general->inputs) f(operand);
  for (auto& operand : general->outputs) f(operand);
}

class Split {
 public:
  Split(Plan& plan, std::uint64_t cache_bytes)
      : plan_(plan), cache_bytes_(cache_bytes), items_(items_of(plan.steps[0])) {}

  void run() {
    if (items_ < 2) return;
    const std::size_t count = best_count();
    if (count > 0) split(count);
  }

 private:
  // As many as the network's inputs have, if the first step knows.
  [[nodiscard]] std::int64_t items_of(Step& step) const {
    if (const auto* general = std::get_if<GeneralStep>(&step.work)) {
      const Shape& shape = general->outputs[0].shape;
      return shape.empty() ? 1 : shape[0];
    }
    if (const auto* layout = std::get_if<LayoutStep>(&step.work)) return layout->images;
    return for_each_tensor(step, [](TensorId) {}) ? plan_.tensors[tensors_of(step).inputs[0]].n : 1;
  }

  // From one item of a tensor to the next. What lies in torch's order has other rows, several of them an item.
  [[nodiscard]] std::uint64_t item_bytes(const PlannedTensor& tensor) const {
    return bytes_of(tensor.n / items_ * tensor.h * tensor.w * tensor.row_stride);
  }

  // Whether the tensor is its buffer from the first item to the last, or channels of it: then items lie in the same
  // places whatever other tensors see in the same memory.
  [[nodiscard]] bool is_of_items(TensorId id, bool has_several_rows) const {
    const PlannedTensor& tensor = plan_.tensors[id];
    const PlannedBuffer& buffer = plan_.buffers[tensor.buffer];
    const std::uint64_t pixel_bytes = bytes_of(tensor.row_stride);
    return (has_several_rows ? tensor.n % items_ == 0 : tensor.n == items_) && buffer.place != Place::constant &&
           item_bytes(tensor) * static_cast<std::uint64_t>(items_) == buffer.size_bytes &&
           (tensor.begin_bytes == 0 || tensor.begin_bytes + bytes_of(tensor.c) <= pixel_bytes);
  }
  // The same for an operand of a GeneralStep, whose sizes are its own.
  [[nodiscard]] bool is_of_items(const Operand& operand) const {
    const PlannedTensor& tensor = plan_.tensors[operand.tensor];
    const PlannedBuffer& buffer = plan_.buffers[tensor.buffer];
    if (operand.dtype != DType::f32 || operand.shape.size() < 2 || operand.shape[0] != items_) return false;
    if (operand.elements() == 0 || operand.strides[0] <= 0 || buffer.place == Place::constant) return false;
    std::int64_t reach = 1;
    for (std::size_t i = 1; i < operand.shape.size(); ++i) {
      if (operand.strides[i] < 0) return false;
      reach += (operand.shape[i] - 1) * operand.strides[i];
    }
    return bytes_of(operand.strides[0]) * static_cast<std::uint64_t>(items_) == buffer.size_bytes &&
           tensor.begin_bytes + bytes_of(reach) <= bytes_of(operand.strides[0]);
  }
  [[nodiscard]] bool may_run(const GeneralStep& step) const {
    if (!works_by_item(step.op) || step.outputs.size() != 1) return false;
    const Shape& shape = step.outputs[0].shape;
    // Pictures without a batch have their channels first.
    if (arrangement_of(step.op) == Arrangement::pictures &&
        shape.size() != spatial_dimensions(step.op, shape.size()) + 2) {
      return false;
    }
    const auto fits = [&](const Operand& operand) {
      return operand.shape.size() == shape.size() && is_of_items(operand);
    };
    return std::all_of(step.inputs.begin(), step.inputs.end(), fits) && fits(step.outputs[0]);
  }
  [[nodiscard]] bool may_run(Step& step) const {
    if (const auto* general = std::get_if<GeneralStep>(&step.work)) return may_run(*general);
    const auto* const layout = std::get_if<LayoutStep>(&step.work);
    if (layout != nullptr && layout->images != items_) return false;
    if (!for_each_tensor(step, [](TensorId) {})) return false;
    const StepTensors tensors = tensors_of(step);
    const auto fits = [&](TensorId id) { return is_of_items(id, layout != nullptr); };
    return std::all_of(tensors.inputs.begin(), tensors.inputs.end(), fits) &&
           std::all_of(tensors.outputs.begin(), tensors.outputs.end(), fits);
  }

  [[nodiscard]] std::uint64_t weight_bytes(const ConvStep& step) const {
    const std::int64_t taps = step.kernel.h * step.kernel.w;
    return bytes_of(plan_.tensors[step.output].c * plan_.tensors[step.input].c / step.groups * taps);
  }
  [[nodiscard]] static std::uint64_t weight_bytes(const GeneralStep& step) {
    std::uint64_t bytes = 0;
    const auto look_at = [&](const auto* conv) {
      if (conv == nullptr) return;
      bytes = bytes_of(conv->in_channels / conv->groups * conv->out_channels * model::taps(conv->kernel_size));
    };
    look_at(step.op.get_if<ConvTranspose1d>());
    look_at(step.op.get_if<ConvTranspose2d>());
    look_at(step.op.get_if<ConvTranspose3d>());
    look_at(step.op.get_if<Conv3d>());
    return bytes;
  }
  [[nodiscard]] std::uint64_t weight_bytes(const Step& step) const {
    if (const auto* general = std::get_if<GeneralStep>(&step.work)) return weight_bytes(*general);
    if (const auto* conv = std::get_if<ConvStep>(&step.work)) return weight_bytes(*conv);
    if (const auto* stripes = std::get_if<StripeStep>(&step.work)) {
      const auto* const window = std::get_if<ConvStep>(&stripes->window);
      return weight_bytes(stripes->first) + (window == nullptr ? 0 : weight_bytes(*window)) +
             (stripes->last ? weight_bytes(*stripes->last) : 0);
    }
    if (const auto* linear = std::get_if<LinearStep>(&step.work)) {
      return bytes_of(plan_.tensors[linear->output].c * plan_.tensors[linear->input].c);
    }
    return 0;
  }
  [[nodiscard]] std::uint64_t operand_bytes(const Step& step) const {
    std::uint64_t bytes = 0;
    for_each_operand(step, [&](const Operand& operand) { bytes += bytes_of(operand.elements() / items_); });
    const StepTensors tensors = tensors_of(step);
    for (const TensorId id : tensors.inputs) bytes += bytes_of(plan_.tensors[id].elements() / items_);
    for (const TensorId id : tensors.outputs) bytes += bytes_of(plan_.tensors[id].elements() / items_);
    return bytes;
  }

  // Steps from the first one on.
  [[nodiscard]] std::size_t best_count() const {
    std::size_t best = 0;
    double saved = 0;
    double most_saved = 0;
    std::uint64_t largest = 0;
    std::uint64_t largest_of_best = 0;
    for (std::size_t i = 0; i < plan_.steps.size() && may_run(plan_.steps[i]); ++i) {
      const std::uint64_t operands = operand_bytes(plan_.steps[i]);
      saved += static_cast<double>(operands) - static_cast<double>(weight_bytes(plan_.steps[i]));
      largest = std::max(largest, operands);
      if (saved <= most_saved) continue;
      most_saved = saved;
      best = i + 1;
      largest_of_best = largest;
    }
    const bool leaves_cache =
        static_cast<double>(largest_of_best) * static_cast<double>(items_) > static_cast<double>(cache_bytes_);
    return leaves_cache && largest_of_best >= cache_bytes_ / kLeastPart ? best : 0;
  }

  void split(std::size_t count) {
    plan_.item_steps = count;
    plan_.items = items_;
    // What later steps use is there for all items; the rest for one.
    std::vector<bool> is_early(plan_.buffers.size(), false);
    std::vector<bool> is_late(plan_.buffers.size(), false);
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      std::vector<bool>& uses = i < count ? is_early : is_late;
      const StepTensors tensors = tensors_of(plan_.steps[i]);
      for (const TensorId id : tensors.inputs) uses[plan_.tensors[id].buffer] = true;
      for (const TensorId id : tensors.outputs) uses[plan_.tensors[id].buffer] = true;
    }
    for (std::size_t id = 0; id < plan_.buffers.size(); ++id) {
      PlannedBuffer& buffer = plan_.buffers[id];
      buffer.is_of_item = is_early[id] && !is_late[id] && buffer.place == Place::arena;
      if (buffer.is_of_item) buffer.size_bytes /= static_cast<std::uint64_t>(items_);
    }
    std::vector<TensorId> of_item(plan_.tensors.size(), kNone);
    for (std::size_t i = 0; i < count; ++i) {
      // The sizes of their tensors say nothing.
      std::vector<std::uint64_t> strides(plan_.tensors.size(), 0);
      for_each_operand(plan_.steps[i], [&](Operand& operand) {
        strides[operand.tensor] = bytes_of(operand.strides[0]);
        operand.shape[0] = 1;
      });
      for_each_tensor(plan_.steps[i], [&](TensorId& id) {
        if (of_item[id] == kNone) {
          of_item[id] = static_cast<TensorId>(plan_.tensors.size());
          PlannedTensor tensor = plan_.tensors[id];
          // What is between the layers of a StripeStep has no memory that a plan knows of.
          const bool is_of_all = is_early[tensor.buffer] && !plan_.buffers[tensor.buffer].is_of_item;
          if (is_of_all) tensor.item_stride_bytes = strides[id] > 0 ? strides[id] : item_bytes(tensor);
          tensor.n /= items_;
          plan_.tensors.push_back(tensor);
        }
        id = of_item[id];
      });
      if (auto* layout = std::get_if<LayoutStep>(&plan_.steps[i].work)) layout->images = 1;
    }
  }

  Plan& plan_;
  std::uint64_t cache_bytes_;
  std::int64_t items_;
};

}  // namespace

void run_by_item(Plan& plan, std::uint64_t cache_bytes) {
  if (!plan.steps.empty()) Split(plan, cache_bytes).run();
}

}  // namespace rushlight::runtime
