#include <cstdlib>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "tensor/memory.hpp"

namespace rushlight {
namespace {

constexpr std::size_t kAlignment = 64;
// What a process can address on any machine we know; a larger request is a mistake or a lie, and never reaches the
// allocator.
constexpr std::uint64_t kAddressable =
    sizeof(void*) >= 8 ? std::uint64_t{1} << 47 : std::uint64_t{std::numeric_limits<std::ptrdiff_t>::max()};

struct Free {
  void operator()(void* block) const noexcept { std::free(block); }
};
using Block = std::unique_ptr<void, Free>;

class HostMemory final : public Memory {
 public:
  HostMemory(Block block, std::byte* data, std::uint64_t size_bytes) noexcept
      : block_(std::move(block)), data_(data), size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] Result<ByteSpan> bytes() override { return ByteSpan(data_, static_cast<std::size_t>(size_bytes_)); }
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() override {
    return std::span<std::byte>(data_, static_cast<std::size_t>(size_bytes_));
  }

 private:
  Block block_;
  std::byte* data_;
  std::uint64_t size_bytes_;
};

class BlobMemory final : public Memory {
 public:
  BlobMemory(void* data, std::uint64_t size_bytes, std::function<void(void*)> deleter) noexcept
      : data_(data), size_bytes_(size_bytes), deleter_(std::move(deleter)) {}
  ~BlobMemory() override {
    if (deleter_) deleter_(data_);
  }

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] Result<ByteSpan> bytes() override { return ByteSpan(begin(), static_cast<std::size_t>(size_bytes_)); }
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() override {
    return std::span<std::byte>(begin(), static_cast<std::size_t>(size_bytes_));
  }

 private:
  [[nodiscard]] std::byte* begin() const noexcept { return static_cast<std::byte*>(data_); }

  void* data_;
  std::uint64_t size_bytes_;
  std::function<void(void*)> deleter_;
};

class MetaMemory final : public Memory {
 public:
  explicit MetaMemory(std::uint64_t size_bytes) noexcept : size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] Device device() const noexcept override { return Device::meta(); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return "meta"; }
  [[nodiscard]] Result<ByteSpan> bytes() override { return no_bytes(); }
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() override { return no_bytes(); }

 private:
  static Error no_bytes() {
    return Error::of({.category = Category::device,
                      .code = "DEVICE-META",
                      .message = "a tensor on the meta device has a shape and no data"});
  }

  std::uint64_t size_bytes_;
};

}  // namespace

Result<std::shared_ptr<Memory>> make_host_memory(std::uint64_t size_bytes) {
  // calloc leaves large blocks to the operating system's zero pages: nothing is touched until it is used.
  Block block;
  if (size_bytes < kAddressable) {
    block = Block(std::calloc(1, static_cast<std::size_t>(size_bytes) + kAlignment));
  }
  if (!block) {
    return Error::of(ErrorCode::out_of_memory, {.category = Category::limit,
                                                .code = "MEMORY",
                                                .message = "no memory for " + std::to_string(size_bytes) + " bytes"});
  }
  void* aligned = block.get();
  std::size_t space = static_cast<std::size_t>(size_bytes) + kAlignment;
  std::align(kAlignment, static_cast<std::size_t>(size_bytes), aligned, space);
  std::shared_ptr<Memory> memory =
      std::make_shared<HostMemory>(std::move(block), static_cast<std::byte*>(aligned), size_bytes);
  return memory;
}

std::shared_ptr<Memory> make_blob_memory(void* data, std::uint64_t size_bytes, std::function<void(void*)> deleter) {
  return std::make_shared<BlobMemory>(data, size_bytes, std::move(deleter));
}

std::shared_ptr<Memory> make_meta_memory(std::uint64_t size_bytes) {
  return std::make_shared<MetaMemory>(size_bytes);
}

}  // namespace rushlight
