// The first steps of a network work on the largest pictures with the fewest weights: of a batch, what they write leaves
// the caches before the next step reads it. One item after the other goes through them from nearer memory.
#pragma once

#include <cstdint>

#include "runtime/plan.hpp"

namespace rushlight::runtime {

// Makes the first steps of a plan those of a single item (Plan::item_steps): as many as save the most bytes, which are
// the operands of the steps that come from nearer memory, less the weights that are read once more for each item. Not
// where a batch's operands stay within `cache_bytes`, nor where an item's are so few that its steps are soon done. How
// many threads there are has no say: the ways that layers are computed in depend on the number of pictures.
//
// Runs after share_in_place() and before buffers get their places.
void run_by_item(Plan& plan, std::uint64_t cache_bytes);

}  // namespace rushlight::runtime
