#include "cuda/upload.hpp"

#include <algorithm>
#include <cstring>

#include "checksum/crc32.hpp"

namespace rushlight::cuda {

Result<Upload> Upload::begin(std::byte* to, std::uint64_t size_bytes) {
  RUSHLIGHT_TRY_ASSIGN(Stream stream, Stream::make());
  Upload upload(to, std::move(stream));
  for (int i = 0; size_bytes >= kStagedBytes && i < 2; ++i) {
    RUSHLIGHT_TRY_ASSIGN(PinnedBuffer memory, PinnedBuffer::allocate(kBufferBytes));
    RUSHLIGHT_TRY_ASSIGN(Event taken, Event::make(Event::Kind::mark));
    upload.buffers_.push_back({std::move(memory), std::move(taken)});
  }
  return upload;
}

Upload::~Upload() {
  if (stream_.get() != nullptr) (void)stream_.synchronise();
}

Status Upload::append(ByteSpan bytes, std::uint32_t* crc) {
  while (!bytes.empty()) {
    const std::size_t room = kBufferBytes - filled_;
    const ByteSpan piece = bytes.first(std::min(bytes.size(), room));
    bytes = bytes.subspan(piece.size());
    if (buffers_.empty()) {
      RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, to_, piece.data(), piece.size(), cudaMemcpyHostToDevice, stream_.get());
      to_ += piece.size();
      if (crc != nullptr) *crc = checksum::crc32(piece, *crc);
      continue;
    }
    Buffer& buffer = buffers_[current_];
    if (filled_ == 0) RUSHLIGHT_TRY(buffer.taken.synchronise());
    std::byte* const place = buffer.memory.data() + filled_;
    std::memcpy(place, piece.data(), piece.size());
    if (crc != nullptr) *crc = checksum::crc32(ByteSpan(place, piece.size()), *crc);
    filled_ += piece.size();
    if (filled_ == kBufferBytes) RUSHLIGHT_TRY(send());
  }
  // A driver that need not stage pageable memory (a GPU that reads the host's own) may still be reading it.
  return buffers_.empty() ? stream_.synchronise() : Status();
}

Status Upload::pad(std::size_t count) {
  static constexpr std::byte kZeros[kMostPadding] = {};
  // In a buffer they are no reason to send it.
  if (!buffers_.empty()) return append(ByteSpan(kZeros, count));
  to_ += count;
  return {};
}

Status Upload::send() {
  if (filled_ == 0) return {};
  const Buffer& buffer = buffers_[current_];
  RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, to_, buffer.memory.data(), filled_, cudaMemcpyHostToDevice, stream_.get());
  RUSHLIGHT_TRY(buffer.taken.record(stream_.get()));
  to_ += filled_;
  filled_ = 0;
  current_ = 1 - current_;
  return {};
}

Status Upload::finish() {
  RUSHLIGHT_TRY(send());
  return stream_.synchronise();
}

}  // namespace rushlight::cuda
