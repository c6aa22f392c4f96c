#include <cstring>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "rushlight/tensor.hpp"
#include "tensor/memory.hpp"

namespace rushlight {

Memory::~Memory() = default;

Result<std::span<std::byte>> Memory::mutable_bytes() {
  return Error::of({.category = Category::argument,
                    .code = "ARG-READ-ONLY",
                    .message = "the bytes of a file cannot be written through a tensor",
                    .hint = "copy them first: Tensor::from_bytes"});
}

Status Memory::compute(std::uint64_t offset, std::span<std::byte> out) {
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan all, bytes());
  if (!out.empty()) std::memcpy(out.data(), all.data() + offset, out.size());
  return {};
}

std::string_view to_string(Integrity integrity) noexcept {
  switch (integrity) {
    case Integrity::not_checked:
      return "not-checked";
    case Integrity::verified:
      return "verified";
    case Integrity::mismatch:
      return "mismatch";
    case Integrity::not_computed:
      return "not-computed";
    case Integrity::none:
      return "none";
  }
  return "?";
}

Storage::Storage(std::shared_ptr<Memory> memory) noexcept : memory_(std::move(memory)) {}

std::uint64_t Storage::size_bytes() const noexcept {
  return memory_->size_bytes();
}

Device Storage::device() const noexcept {
  return memory_->device();
}

std::string_view Storage::recorded_device() const noexcept {
  return memory_->recorded_device();
}

std::string_view Storage::record() const noexcept {
  return memory_->record();
}

std::optional<FilePlace> Storage::place() const {
  return memory_->place();
}

Integrity Storage::integrity() const noexcept {
  return memory_->integrity();
}

Result<std::span<const std::byte>> Storage::bytes() const {
  return or_no_memory([&]() -> Result<std::span<const std::byte>> { return memory_->bytes(); });
}

Result<std::span<std::byte>> Storage::mutable_bytes() const {
  return or_no_memory([&]() -> Result<std::span<std::byte>> { return memory_->mutable_bytes(); });
}

}  // namespace rushlight
