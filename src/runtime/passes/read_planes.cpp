#include "runtime/passes/read_planes.hpp"

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"

namespace rushlight::runtime {
namespace {

// Colours, perhaps with an alpha channel. Of more, the work of a convolution leaves nothing to gain.
constexpr std::int64_t kMostPlanes = 4;
// With fewer windows than this, threads share the weights too, and each would turn the picture around for its part.
constexpr std::int64_t kEnoughWindows = 768;

// Who reads each buffer, as long as it is one step.
struct BufferUse {
  std::size_t reader = 0;
  std::size_t count = 0;  // operands that lie in it, the one that is written among them
};

std::vector<BufferUse> uses_of(const Plan& plan) {
  std::vector<BufferUse> uses(plan.buffers.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const StepTensors tensors = tensors_of(plan.steps[i]);
    for (const TensorId tensor : tensors.inputs) {
      BufferUse& use = uses[plan.tensors[tensor].buffer];
      use.reader = i;
      ++use.count;
    }
    for (const TensorId tensor : tensors.outputs) ++uses[plan.tensors[tensor].buffer].count;
  }
  return uses;
}

// Whether the lines under a line of windows fit, as they are turned around: with what pads them at both ends.
bool lines_fit(const ConvStep& conv, const PlannedTensor& input, const PlannedTensor& output, std::uint64_t bytes) {
  const auto columns = static_cast<std::uint64_t>(conv.columns_under(output.w));
  const auto line = checked_mul<std::uint64_t>(columns, static_cast<std::uint64_t>(input.c) * sizeof(float));
  const auto all = line ? checked_mul<std::uint64_t>(*line, static_cast<std::uint64_t>(conv.lines_under(1))) : line;
  return all && *all <= bytes;
}

bool may_read_planes(const ConvStep& conv, const LayoutStep& layout, const Plan& plan, std::uint64_t cache_bytes) {
  const PlannedTensor& input = plan.tensors[conv.input];
  const PlannedTensor& output = plan.tensors[conv.output];
  const bool is_whole = input.begin_bytes == 0 && input.is_dense() && input.n == layout.images &&
                        input.c == layout.rows && input.h * input.w == layout.columns;
  return is_whole && input.elements() > 0 && input.c <= kMostPlanes && conv.groups == 1 && conv.kernel.h > 1 &&
         output.rows() >= kEnoughWindows && lines_fit(conv, input, output, cache_bytes);
}

}  // namespace

void read_planes(Plan& plan, std::uint64_t cache_bytes) {
  const std::vector<BufferUse> uses = uses_of(plan);
  std::vector<bool> erase(plan.steps.size(), false);
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const auto* const layout = std::get_if<LayoutStep>(&plan.steps[i].work);
    if (layout == nullptr) continue;
    const std::uint32_t turned = plan.tensors[layout->output].buffer;
    if (plan.buffers[turned].place != Place::arena || uses[turned].count != 2) continue;
    const auto* const conv = std::get_if<ConvStep>(&plan.steps[uses[turned].reader].work);
    if (conv == nullptr || plan.tensors[conv->input].buffer != turned) continue;
    if (!may_read_planes(*conv, *layout, plan, cache_bytes)) continue;
    const PlannedTensor& planes = plan.tensors[layout->input];
    PlannedTensor& input = plan.tensors[conv->input];
    input.place = planes.place;
    input.port = planes.port;
    input.buffer = planes.buffer;
    input.begin_bytes = planes.begin_bytes;
    input.is_planar = true;
    erase[i] = true;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (erase[i]) continue;
    if (kept != i) plan.steps[kept] = std::move(plan.steps[i]);
    ++kept;
  }
  plan.steps.resize(kept);
}

}  // namespace rushlight::runtime
