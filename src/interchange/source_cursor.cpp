#include "interchange/source_cursor.hpp"

#include <algorithm>
#include <cassert>

#include "base/fail.hpp"

namespace rushlight::interchange {
namespace {

constexpr std::uint64_t kWindowBytes = std::uint64_t{64} << 10;

}  // namespace

Result<ByteSpan> SourceCursor::take(std::uint64_t count) {
  assert(count <= bytes_left());
  const std::uint64_t begin = position_;
  if (const ByteSpan mapped = source_.mapping(); !mapped.empty()) {
    position_ += count;
    return mapped.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
  }
  if (begin < window_begin_ || begin + count > window_begin_ + window_.size()) {
    window_.resize(static_cast<std::size_t>(std::min(std::max(count, kWindowBytes), bytes_left())));
    window_begin_ = begin;
    RUSHLIGHT_TRY(source_.read_at(begin, window_));
  }
  position_ += count;
  return ByteSpan(window_).subspan(static_cast<std::size_t>(begin - window_begin_), static_cast<std::size_t>(count));
}

}  // namespace rushlight::interchange
