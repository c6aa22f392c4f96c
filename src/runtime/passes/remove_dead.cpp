// Auxiliary heads and whatever else no output needs.
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {

void remove_dead(Draft& draft) {
  std::vector<bool> needed(draft.shapes.size(), false);
  for (const ValueId output : draft.outputs) needed[output] = true;
  std::vector<bool> dead(draft.ops.size(), true);
  for (std::size_t i = draft.ops.size(); i-- > 0;) {
    const DraftOp& op = draft.ops[i];
    bool is_needed = needed[op.output];
    for (const ValueId output : op.more_outputs) is_needed = is_needed || needed[output];
    if (!is_needed) continue;
    dead[i] = false;
    for (const ValueId input : op.inputs) needed[input] = true;
    if (op.residual != kNoValue) needed[op.residual] = true;
  }
  erase_ops(draft, dead);
}

}  // namespace rushlight::runtime
