// Raw DEFLATE (RFC 1951) within a budget.
#pragma once

#include "base/bytes.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "zip/archive.hpp"
#include "zip/file_view.hpp"

namespace rushlight::zip {

// What inflating has cost so far: declared sizes, so that nothing is inflated to find out.
struct InflateCost {
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;
};

// Adds the entry to `cost` if the sum stays within limits.inflated_bytes beyond 16 times the compressed bytes.
Status spend(InflateCost& cost, const Entry& entry, const Limits& limits);

// Inflates all of `compressed`, found at `offset`, into entry.size_bytes bytes of `out`: no more, no fewer, and with
// nothing left over.
Status inflate(const Entry& entry, ByteSpan compressed, std::uint64_t offset, Buffer& out);

}  // namespace rushlight::zip
