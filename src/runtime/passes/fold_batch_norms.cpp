// A batch norm scales and shifts each channel: so do the weights and the bias of the layer before it, if nobody else
// reads that layer's output. The arithmetic is done in double when the constant is made (constant.cpp).
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {
namespace {

bool takes(const Draft& draft, const DraftOp& layer, const Operator& norm) {
  if (layer.batch_norm != kNoNode) return false;
  const Operator& op = draft.node(layer).op;
  // Statistics of the batch at hand are no constants.
  const auto is_constant = [&](const auto* given) { return given != nullptr && given->track_running_stats; };
  if (!is_constant(norm.get_if<BatchNorm1d>()) && !is_constant(norm.get_if<BatchNorm2d>()) &&
      !is_constant(norm.get_if<SyncBatchNorm>())) {
    return false;
  }
  // A Linear's channels are the last dimension, those of a convolution without a batch the first; those of a norm
  // always the second.
  const std::size_t rank = draft.shapes[layer.output].size();
  return (op.is<Linear>() && rank == 2) || (op.is<Conv1d>() && rank == 3) || (op.is<Conv2d>() && rank == 4);
}

}  // namespace

void fold_batch_norms(Draft& draft) {
  const Uses uses(draft);
  std::vector<bool> folded(draft.ops.size(), false);
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    const DraftOp& norm = draft.ops[i];
    if (norm.inputs.size() != 1 || uses.count[norm.inputs[0]] != 1) continue;
    const std::size_t producer = uses.producer[norm.inputs[0]];
    if (producer == kNoNode) continue;
    DraftOp& layer = draft.ops[producer];
    // A layer that has taken one norm already makes another value now: `layer.output` tells.
    if (layer.output != norm.inputs[0] || !takes(draft, layer, draft.node(norm).op)) continue;
    layer.batch_norm = norm.node;
    layer.output = norm.output;
    folded[i] = true;
  }
  erase_ops(draft, folded);
}

}  // namespace rushlight::runtime
