// Memory whose bytes are made from those of other memory when they are read: elements in another byte order or dtype.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "rushlight/dtype.hpp"
#include "rushlight/result.hpp"
#include "tensor/memory.hpp"

namespace rushlight {

// bytes() keeps what it made; from then on this is memory as any other.
class ComputedMemory : public Memory {
 public:
  // Of the memory that this one is made from.
  [[nodiscard]] std::string_view recorded_device() const noexcept final { return original_->recorded_device(); }
  [[nodiscard]] Result<ByteSpan> bytes() final;
  [[nodiscard]] bool is_computed() const noexcept final { return !is_held_.load(std::memory_order_acquire); }
  [[nodiscard]] Status compute(std::uint64_t offset, std::span<std::byte> out) final;

 protected:
  explicit ComputedMemory(std::shared_ptr<Memory> original) noexcept : original_(std::move(original)) {}
  [[nodiscard]] Memory& original() const noexcept { return *original_; }
  // Makes bytes, as compute() has to.
  [[nodiscard]] virtual Status make(std::uint64_t offset, std::span<std::byte> out) = 0;
  // All of them, kept.
  [[nodiscard]] const Result<std::span<std::byte>>& held();

 private:
  [[nodiscard]] Result<std::span<std::byte>> make_all();

  std::shared_ptr<Memory> original_;
  std::shared_ptr<Memory> copy_;
  std::optional<Result<std::span<std::byte>>> answer_;
  std::once_flag once_;
  std::atomic<bool> is_held_ = false;
};

// A copy of `original` in which every `unit_bytes` (2, 4 or 8) bytes are reversed; bytes behind the last whole unit
// stay as they are.
std::shared_ptr<Memory> make_swapped_memory(std::shared_ptr<Memory> original, std::uint32_t unit_bytes);

// The elements of `original` as another dtype, as Tensor::to(DType) makes them; bytes behind the last whole element are
// left out. TENSOR-CONVERT where there is no such conversion.
Result<std::shared_ptr<Memory>> make_cast_memory(std::shared_ptr<Memory> original, DType from, DType to);

// Hands all bytes to `take` in order: those of computed memory in pieces that are not kept, others at once. Stops at
// the first error.
Status each_piece(Memory& memory, const std::function<Status(ByteSpan piece)>& take);

}  // namespace rushlight
