// Memory over other memory: a window on it, and its elements in the other byte order.
#pragma once

#include <cstdint>
#include <memory>

#include "tensor/memory.hpp"

namespace rushlight {

// The bytes [offset, offset + size_bytes) of `whole`, which must lie within it (asserted). Read when `whole` is;
// aligned as the offset makes it.
std::shared_ptr<Memory> make_window_memory(std::shared_ptr<Memory> whole, std::uint64_t offset,
                                           std::uint64_t size_bytes);

// A copy of `original` in which every `unit_bytes` (2, 4 or 8) bytes are reversed, made at the first read; bytes behind
// the last whole unit stay as they are.
std::shared_ptr<Memory> make_swapped_memory(std::shared_ptr<Memory> original, std::uint32_t unit_bytes);

}  // namespace rushlight
