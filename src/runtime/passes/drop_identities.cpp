// Identity and, since inference means eval mode, Dropout.
#include <numeric>
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {

void drop_identities(Draft& draft) {
  // Operators stand in running order, so one pass follows chains: stand_in[v] is final before v is read.
  std::vector<ValueId> stand_in(draft.shapes.size());
  std::iota(stand_in.begin(), stand_in.end(), ValueId{0});
  std::vector<bool> dropped(draft.ops.size(), false);
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    DraftOp& op = draft.ops[i];
    for (ValueId& input : op.inputs) input = stand_in[input];
    const Operator& kind = draft.node(op).op;
    if (kind.is<Identity>() || kind.is<Dropout>()) {
      stand_in[op.output] = op.inputs[0];
      dropped[i] = true;
    }
  }
  erase_ops(draft, dropped);
  for (ValueId& output : draft.outputs) output = stand_in[output];
}

}  // namespace rushlight::runtime
