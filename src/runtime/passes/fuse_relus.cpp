// A ReLU after something that stores each element once is done while it stores.
#include <cstddef>
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {
namespace {

bool has_epilogue(const Operator& op) {
  if (const auto* norm = op.get_if<BatchNorm1d>()) return norm->track_running_stats;
  if (const auto* norm = op.get_if<BatchNorm2d>()) return norm->track_running_stats;
  if (const auto* norm = op.get_if<BatchNorm3d>()) return norm->track_running_stats;
  if (const auto* add = op.get_if<Add>()) return add->alpha == 1 && !add->other;
  return op.is<Conv1d>() || op.is<Conv2d>() || op.is<Linear>() || op.is<ReLU>();
}

}  // namespace

void fuse_relus(Draft& draft) {
  Uses uses(draft);
  std::vector<bool> fused(draft.ops.size(), false);
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    const DraftOp& relu = draft.ops[i];
    if (!draft.node(relu).op.is<ReLU>()) continue;
    const ValueId value = relu.inputs[0];
    const std::size_t producer = uses.producer[value];
    if (producer == kNoNode || uses.count[value] != 1) continue;
    DraftOp& maker = draft.ops[producer];
    if (!has_epilogue(draft.node(maker).op) || maker.output != value) continue;
    maker.relu = true;  // twice is once
    maker.output = relu.output;
    uses.producer[relu.output] = producer;
    fused[i] = true;
  }
  erase_ops(draft, fused);
}

}  // namespace rushlight::runtime
