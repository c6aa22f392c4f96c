#include "zip/file_view.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "base/checked.hpp"
#include "zip/failure.hpp"

namespace rushlight::zip {

void Buffer::Free::operator()(std::byte* bytes) const noexcept {
  ::operator delete[](bytes, std::align_val_t{kAlignment});
}

Status Buffer::resize(std::uint64_t size_bytes, std::string_view what) {
  if (size_bytes > capacity_ || bytes_ == nullptr) {
    bytes_.reset();
    capacity_ = size_ = 0;
    if (size_bytes > std::numeric_limits<std::size_t>::max() / 2) return no_memory_for(size_bytes, what);
    const auto size = static_cast<std::size_t>(size_bytes);
    auto* memory = static_cast<std::byte*>(::operator new[](size, std::align_val_t{kAlignment}, std::nothrow));
    if (memory == nullptr) return no_memory_for(size_bytes, what);
    bytes_.reset(memory);
    capacity_ = size;
  }
  size_ = static_cast<std::size_t>(size_bytes);
  return {};
}

std::shared_ptr<const void> Buffer::share() && {
  capacity_ = size_ = 0;
  return std::shared_ptr<std::byte[]>(std::move(bytes_));
}

ByteSpan FileView::in_memory(std::uint64_t offset, std::uint64_t count) const noexcept {
  if (!mapping_.empty()) return mapping_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(count));
  if (offset >= kept_offset_ && range_fits<std::uint64_t>(offset - kept_offset_, count, kept_.size())) {
    return kept_.subspan(static_cast<std::size_t>(offset - kept_offset_), static_cast<std::size_t>(count));
  }
  return {};
}

Result<ByteSpan> FileView::read(std::uint64_t offset, std::uint64_t count, Buffer& scratch) const {
  if (count == 0) return ByteSpan();
  if (const ByteSpan bytes = in_memory(offset, count); !bytes.empty()) return bytes;
  if (Status sized = scratch.resize(count, "file contents"); !sized) return std::move(sized).error();
  if (Status read = source_->read_at(offset, scratch.span()); !read) return std::move(read).error();
  return ByteSpan(scratch.span());
}

Status FileView::read_into(std::uint64_t offset, std::span<std::byte> out) const {
  if (out.empty()) return {};
  if (const ByteSpan bytes = in_memory(offset, out.size()); !bytes.empty()) {
    std::memcpy(out.data(), bytes.data(), out.size());
    return {};
  }
  return source_->read_at(offset, out);
}

}  // namespace rushlight::zip
