// Bytes on their way from the host into one block of a GPU's memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "cuda/check.hpp"
#include "cuda/stream.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// Page-locked memory of the host, from which the GPU copies by itself while the host goes on.
class PinnedBuffer {
 public:
  static Result<PinnedBuffer> allocate(std::size_t size_bytes) {
    const CaptureByOthers allowed;
    void* data = nullptr;
    const cudaError_t status = cudaHostAlloc(&data, size_bytes, cudaHostAllocDefault);
    if (status == cudaErrorMemoryAllocation) return out_of_pinned_memory(size_bytes);
    if (status != cudaSuccess) return call_failed(status, "cudaHostAlloc");
    return PinnedBuffer(static_cast<std::byte*>(data));
  }
  PinnedBuffer() = default;
  PinnedBuffer(PinnedBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~PinnedBuffer() {
    if (data_ == nullptr) return;
    const CaptureByOthers allowed;
    (void)cudaFreeHost(data_);
  }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  explicit PinnedBuffer(std::byte* data) noexcept : data_(data) {}
  std::byte* data_ = nullptr;
};

// The bytes of a block in their order, in pieces of any size. Large uploads pass through two page-locked buffers in
// turn: while the GPU takes one, the host fills the other, which is when pages of a mapped file are read. Small pieces
// (biases) share a copy. Below kStagedBytes buffers would cost more than they gain, and the driver's own do.
class Upload {
 public:
  static constexpr std::uint64_t kStagedBytes = std::uint64_t{16} << 20;
  static constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

  // To the device that is current, as it must be until finish(). `to` outlives the upload.
  static Result<Upload> begin(std::byte* to, std::uint64_t size_bytes);
  Upload(Upload&&) noexcept = default;
  Upload& operator=(Upload&&) = delete;
  // Waits: after a failure the GPU may still be taking bytes.
  ~Upload();

  // The next bytes, which may go afterwards. With `crc` the CRC-32 there goes on over what was copied.
  Status append(ByteSpan bytes, std::uint32_t* crc = nullptr);
  // At most kMostPadding bytes that nobody reads.
  static constexpr std::size_t kMostPadding = 256;
  Status pad(std::size_t count);
  // Waits until all bytes are there.
  Status finish();

 private:
  explicit Upload(std::byte* to, Stream stream) : to_(to), stream_(std::move(stream)) {}

  struct Buffer {
    PinnedBuffer memory;
    Event taken;  // reached when the GPU has copied what is in it
  };

  Status send();  // what is in the current buffer

  std::byte* to_;  // where the first byte of the current buffer goes
  Stream stream_;
  std::vector<Buffer> buffers_;  // two, or none
  std::size_t current_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace rushlight::cuda
