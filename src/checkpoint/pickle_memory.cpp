#include "checkpoint/pickle_memory.hpp"

#include <cstdint>
#include <cstring>

#include "base/fail.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::uintptr_t kAlignment = 16;  // what Memory promises

}  // namespace

Result<ByteSpan> PickleMemory::bytes() {
  std::call_once(once_, [this] { answer_ = aligned(); });
  return *answer_;
}

Result<ByteSpan> PickleMemory::aligned() {
  if (bytes_.empty() || reinterpret_cast<std::uintptr_t>(bytes_.data()) % kAlignment == 0) return bytes_;
  RUSHLIGHT_TRY_ASSIGN(copy_, make_host_memory(bytes_.size()));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> target, copy_->mutable_bytes());
  std::memcpy(target.data(), bytes_.data(), bytes_.size());
  return ByteSpan(target);
}

}  // namespace rushlight::checkpoint
