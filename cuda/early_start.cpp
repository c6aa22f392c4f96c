#include "cuda/early_start.hpp"

#include <string_view>

namespace rushlight::cuda {

bool may_start_early(int capability, int compiled_for, int driver, const char* setting) noexcept {
  if (setting != nullptr && std::string_view(setting) == "off") return false;
  return capability >= 90 && compiled_for >= 90 && driver >= 12030;
}

}  // namespace rushlight::cuda
