// Reads a Source from front to back: views where it is mapped, a window of it where it is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::interchange {

class SourceCursor {
 public:
  // The source must outlive the cursor.
  explicit SourceCursor(const Source& source) noexcept : source_(source), size_bytes_(source.size_bytes()) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t bytes_left() const noexcept { return size_bytes_ - position_; }
  // The next `count` bytes, which must be there (asserted). Valid until the next call.
  [[nodiscard]] Result<ByteSpan> take(std::uint64_t count);

 private:
  const Source& source_;
  std::uint64_t size_bytes_;
  std::uint64_t position_ = 0;
  std::vector<std::byte> window_;
  std::uint64_t window_begin_ = 0;
};

}  // namespace rushlight::interchange
