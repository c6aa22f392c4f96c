// The bytes of a Source between two offsets: views where they are mapped, reads into a buffer where they are not. All
// offsets are those of the Source, so that messages need no translation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::zip {

// Uninitialised memory aligned to 64 bytes, whose allocation can fail.
class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;
  // Makes room for `size_bytes`; the old content is lost. `what` is for the message of ErrorCode::out_of_memory.
  Status resize(std::uint64_t size_bytes, std::string_view what);

  [[nodiscard]] std::byte* data() const noexcept { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {bytes_.get(), size_}; }
  // Gives the memory away, to be kept alive by handles.
  [[nodiscard]] std::shared_ptr<const void> share() &&;

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept;
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

class FileView {
 public:
  // [begin, end) must lie within the Source, which must outlive the view.
  FileView(const Source& source, std::uint64_t begin, std::uint64_t end) noexcept
      : source_(&source), mapping_(source.mapping()), begin_(begin), end_(end) {
    if (mapping_.size() != source.size_bytes()) mapping_ = {};
  }

  [[nodiscard]] std::uint64_t begin() const noexcept { return begin_; }
  [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
  [[nodiscard]] bool is_mapped() const noexcept { return !mapping_.empty(); }
  // The same Source, ending earlier; sees what was kept.
  [[nodiscard]] FileView until(std::uint64_t end) const noexcept {
    FileView shorter = *this;
    shorter.end_ = end;
    return shorter;
  }

  // The bytes [offset, offset + count), which must lie within the view. They live as long as the Source where it is
  // mapped, else as long as `scratch`, or as the memory given to keep().
  Result<ByteSpan> read(std::uint64_t offset, std::uint64_t count, Buffer& scratch) const;
  // The same into the caller's memory, always.
  Status read_into(std::uint64_t offset, std::span<std::byte> out) const;

  // Bytes of the file that were read already: later reads within them ask nobody. The caller keeps them alive.
  void keep(std::uint64_t offset, ByteSpan bytes) noexcept {
    kept_offset_ = offset;
    kept_ = bytes;
  }

 private:
  // Views of what is in memory; empty where it is not.
  [[nodiscard]] ByteSpan in_memory(std::uint64_t offset, std::uint64_t count) const noexcept;

  const Source* source_;
  ByteSpan mapping_;
  std::uint64_t begin_;
  std::uint64_t end_;
  std::uint64_t kept_offset_ = 0;
  ByteSpan kept_;
};

// Searches through files that are not mapped read so much at a time.
inline constexpr std::uint64_t kSearchPieceBytes = std::uint64_t{1} << 20;

}  // namespace rushlight::zip
