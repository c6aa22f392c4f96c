#include "tensor/derived_memory.hpp"

#include <cassert>
#include <optional>
#include <utility>

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

}  // namespace

std::shared_ptr<Memory> make_window_memory(std::shared_ptr<Memory> whole, std::uint64_t offset,
                                           std::uint64_t size_bytes) {
  assert(offset <= whole->size_bytes() && size_bytes <= whole->size_bytes() - offset);
  return std::make_shared<WindowMemory>(std::move(whole), offset, size_bytes);
}

}  // namespace rushlight
