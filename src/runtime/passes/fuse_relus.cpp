// A ReLU after something that stores each element once is done while it stores.
#include <cstddef>
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {
namespace {

bool has_epilogue(const Operator& op) {
  return op.is<Conv2d>() || op.is<Linear>() || op.is<BatchNorm1d>() || op.is<BatchNorm2d>() || op.is<Add>() ||
         op.is<ReLU>();
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
    if (!has_epilogue(draft.node(maker).op)) continue;
    maker.relu = true;  // twice is once
    maker.output = relu.output;
    uses.producer[relu.output] = producer;
    fused[i] = true;
  }
  erase_ops(draft, fused);
}

}  // namespace rushlight::runtime
