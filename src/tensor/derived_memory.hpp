// Memory over other memory: a window on it.
#pragma once

#include <cstdint>
#include <memory>

#include "tensor/memory.hpp"

namespace rushlight {

// The bytes [offset, offset + size_bytes) of `whole`, which must lie within it (asserted). Read when `whole` is;
// aligned as the offset makes it.
std::shared_ptr<Memory> make_window_memory(std::shared_ptr<Memory> whole, std::uint64_t offset,
                                           std::uint64_t size_bytes);

}  // namespace rushlight
