// The addition of a residual connection costs a pass over memory of its own, or nothing: the layer that computes one
// operand adds the other one before it stores.
#include <cstddef>
#include <utility>
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {
namespace {

// The operator that makes `value` and may add something to it, or kNoNode.
std::size_t fusible_producer(const Draft& draft, const Uses& uses, ValueId value) {
  const std::size_t producer = uses.producer[value];
  if (producer == kNoNode || uses.count[value] != 1) return kNoNode;
  const DraftOp& op = draft.ops[producer];
  const Operator& kind = draft.node(op).op;
  const bool is_layer = kind.is<Conv1d>() || kind.is<Conv2d>() || kind.is<Linear>();
  return is_layer && op.output == value && op.residual == kNoValue ? producer : kNoNode;
}

}  // namespace

void fuse_additions(Draft& draft) {
  const Uses uses(draft);
  // Where each value is ready: its producer's position, which moves up when an addition is fused.
  std::vector<std::size_t> ready(draft.shapes.size(), 0);  // position + 1; 0 for graph inputs
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    ready[draft.ops[i].output] = i + 1;
    for (const ValueId output : draft.ops[i].more_outputs) ready[output] = i + 1;
  }
  std::vector<bool> fused(draft.ops.size(), false);
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    const DraftOp& add = draft.ops[i];
    const auto* kind = draft.node(add).op.get_if<Add>();
    if (kind == nullptr || kind->alpha != 1 || kind->other) continue;
    ValueId own = add.inputs[0];
    ValueId other = add.inputs[1];
    if (own == other || draft.shapes[own] != draft.shapes[other]) continue;  // x + x, broadcasting
    // Of two candidates the later one: only there is the other operand at hand.
    if (ready[own] < ready[other]) std::swap(own, other);
    const std::size_t producer = fusible_producer(draft, uses, own);
    if (producer == kNoNode || ready[other] > producer) continue;
    draft.ops[producer].residual = other;
    draft.ops[producer].output = add.output;
    ready[add.output] = producer + 1;
    fused[i] = true;
  }
  erase_ops(draft, fused);
}

}  // namespace rushlight::runtime
