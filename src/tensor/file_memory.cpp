#include "tensor/file_memory.hpp"

#include <cstring>

#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight {
namespace {

// What Memory promises.
constexpr std::uintptr_t kAlignment = 16;

}  // namespace

Result<ByteSpan> FileMemory::bytes() {
  std::call_once(once_, [this] {
    answer_ = load();
    if (*answer_) return;
    Error& error = answer_->error();
    if (!error.finding.record && !record_.empty()) error.finding.record = escaped(record_);
    error = with_file(std::move(error), escaped(source_->name(), 4096));
  });
  return *answer_;
}

Result<ByteSpan> FileMemory::load() {
  if (size_bytes_ == 0) return ByteSpan();
  ByteSpan mapped = source_->mapping();
  if (!mapped.empty()) {
    mapped = mapped.subspan(static_cast<std::size_t>(offset_), static_cast<std::size_t>(size_bytes_));
    if (reinterpret_cast<std::uintptr_t>(mapped.data()) % kAlignment == 0) return mapped;
  }
  Result<std::shared_ptr<Memory>> copy = make_host_memory(size_bytes_);
  if (!copy) return std::move(copy).error();
  const Result<std::span<std::byte>> target = (*copy)->mutable_bytes();
  if (!target) return target.error();
  if (!mapped.empty()) {
    std::memcpy(target->data(), mapped.data(), mapped.size());
  } else {
    RUSHLIGHT_TRY(source_->read_at(offset_, *target));
  }
  copy_ = *std::move(copy);
  return ByteSpan(*target);
}

}  // namespace rushlight
