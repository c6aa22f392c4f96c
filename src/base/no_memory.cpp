#include "base/no_memory.hpp"

namespace rushlight {

Error no_memory() noexcept {
  // Texts as short as these stand in the strings themselves.
  return Error::of(ErrorCode::out_of_memory,
                   {.category = Category::io, .code = "NO-MEMORY", .message = "out of memory"});
}

}  // namespace rushlight
