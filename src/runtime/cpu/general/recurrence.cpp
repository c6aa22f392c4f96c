#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
namespace rushlight::runtime::cpu {
Status build_recurrence(Builder&) {
  return {};
}
}  // namespace rushlight::runtime::cpu
