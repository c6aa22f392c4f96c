// The reference: every operator as its definition says, one after the other, in double. Slow, and the judge of the
// rest.
#pragma once

#include <memory>

#include "runtime/backend.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::reference {

[[nodiscard]] Result<std::shared_ptr<const Backend>> make_backend();

}  // namespace rushlight::runtime::reference
