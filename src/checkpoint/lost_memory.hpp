// A storage whose size is known and whose bytes are not: it says why.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rushlight/error.hpp"
#include "tensor/memory.hpp"

namespace rushlight::checkpoint {

// bytes() is `why`, always. `record` names the part of the file, for listings.
std::shared_ptr<Memory> make_lost_memory(std::uint64_t size_bytes, std::string recorded_device, std::string record,
                                         Error why);

}  // namespace rushlight::checkpoint
