#include "tensor/file_memory.hpp"

#include <cstring>

#include "base/fail.hpp"
#include "tensor/byte_order.hpp"

namespace rushlight {
namespace {

// What Memory promises.
constexpr std::uintptr_t kAlignment = 16;

}  // namespace

Result<ByteSpan> FileMemory::bytes() {
  std::call_once(once_, [this] {
    answer_ = load();
    if (*answer_) return;
    Error error = std::move(*answer_).error();
    if (!record_.empty()) error = with_record(std::move(error), record_);
    answer_ = with_file(std::move(error), source_->name());
  });
  return *answer_;
}

Result<ByteSpan> FileMemory::load() {
  if (size_bytes_ == 0) return ByteSpan();
  ByteSpan mapped = source_->mapping();
  if (!mapped.empty()) {
    mapped = mapped.subspan(static_cast<std::size_t>(offset_), static_cast<std::size_t>(size_bytes_));
    if (swap_unit_ == 1 && reinterpret_cast<std::uintptr_t>(mapped.data()) % kAlignment == 0) return mapped;
  }
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> copy, make_host_memory(size_bytes_));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> target, copy->mutable_bytes());
  if (mapped.empty()) {
    RUSHLIGHT_TRY(source_->read_at(offset_, target));
  } else {
    std::memcpy(target.data(), mapped.data(), mapped.size());
  }
  swap_units(target, swap_unit_);
  copy_ = std::move(copy);
  return ByteSpan(target);
}

}  // namespace rushlight
