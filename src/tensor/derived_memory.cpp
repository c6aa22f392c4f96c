#include "tensor/derived_memory.hpp"

#include <cassert>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "tensor/byte_order.hpp"

namespace rushlight {
namespace {

class WindowMemory final : public Memory {
 public:
  WindowMemory(std::shared_ptr<Memory> whole, std::uint64_t offset, std::uint64_t size_bytes)
      : whole_(std::move(whole)), offset_(offset), size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] Device device() const noexcept override { return whole_->device(); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return whole_->recorded_device(); }
  [[nodiscard]] std::string_view record() const noexcept override { return whole_->record(); }
  [[nodiscard]] std::optional<FilePlace> place() const override {
    std::optional<FilePlace> place = whole_->place();
    if (place) place->offset += offset_;
    return place;
  }
  [[nodiscard]] Integrity integrity() const noexcept override { return whole_->integrity(); }
  [[nodiscard]] Result<ByteSpan> bytes() override {
    Result<ByteSpan> all = whole_->bytes();
    if (!all) return all;
    return all->subspan(static_cast<std::size_t>(offset_), static_cast<std::size_t>(size_bytes_));
  }

 private:
  std::shared_ptr<Memory> whole_;
  std::uint64_t offset_;
  std::uint64_t size_bytes_;
};

class SwappedMemory final : public Memory {
 public:
  SwappedMemory(std::shared_ptr<Memory> original, std::uint32_t unit_bytes)
      : original_(std::move(original)), unit_bytes_(unit_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return original_->size_bytes(); }
  [[nodiscard]] Device device() const noexcept override { return original_->device(); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return original_->recorded_device(); }
  [[nodiscard]] std::string_view record() const noexcept override { return original_->record(); }
  [[nodiscard]] std::optional<FilePlace> place() const override { return original_->place(); }
  [[nodiscard]] Integrity integrity() const noexcept override { return original_->integrity(); }
  [[nodiscard]] Result<ByteSpan> bytes() override {
    std::call_once(once_, [this] { answer_ = load(); });
    return *answer_;
  }

 private:
  [[nodiscard]] Result<ByteSpan> load() {
    Result<ByteSpan> original = original_->bytes();
    if (!original) return original;
    Result<std::shared_ptr<Memory>> copy = make_host_memory(original->size());
    if (!copy) return std::move(copy).error();
    const Result<std::span<std::byte>> target = (*copy)->mutable_bytes();
    if (!target) return target.error();
    if (!original->empty()) std::memcpy(target->data(), original->data(), original->size());
    swap_units(*target, unit_bytes_);
    copy_ = *std::move(copy);
    return ByteSpan(*target);
  }

  std::shared_ptr<Memory> original_;
  std::uint32_t unit_bytes_;
  std::shared_ptr<Memory> copy_;
  std::optional<Result<ByteSpan>> answer_;
  std::once_flag once_;
};

}  // namespace

std::shared_ptr<Memory> make_window_memory(std::shared_ptr<Memory> whole, std::uint64_t offset,
                                           std::uint64_t size_bytes) {
  assert(offset <= whole->size_bytes() && size_bytes <= whole->size_bytes() - offset);
  return std::make_shared<WindowMemory>(std::move(whole), offset, size_bytes);
}

std::shared_ptr<Memory> make_swapped_memory(std::shared_ptr<Memory> original, std::uint32_t unit_bytes) {
  return std::make_shared<SwappedMemory>(std::move(original), unit_bytes);
}

}  // namespace rushlight
