#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {

Result<std::shared_ptr<const PackedArray>> OpContext::packed(ConstantId id, Packing packing, std::size_t width,
                                                             std::size_t groups, std::size_t last_width) const {
  if (id == kNone) return std::shared_ptr<const PackedArray>();
  return weights.get({plan.constants[id], packing, width, groups, last_width}, network);
}

}  // namespace rushlight::runtime::cpu
