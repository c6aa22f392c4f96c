#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
namespace rushlight::runtime::cpu {
Status build_attention(Builder&) {
  return {};
}
}  // namespace rushlight::runtime::cpu
