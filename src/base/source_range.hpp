// What every Source asks before it reads.
#pragma once

#include <cstdint>

#include "rushlight/source.hpp"

namespace rushlight {

// An argument error when [offset, offset + count) does not lie within the source.
Status check_range(const Source& source, std::uint64_t offset, std::uint64_t count);

}  // namespace rushlight
