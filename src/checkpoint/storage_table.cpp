#include "checkpoint/storage_table.hpp"

#include <optional>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::checkpoint {
namespace {

std::string describe(const StorageRequest& request) {
  const std::string what = request.untyped ? std::string("bytes") : std::string(to_string(request.dtype));
  return std::to_string(request.numel) + " of " + what + " on " + quoted(request.location);
}

// nullopt when it overflows.
std::optional<std::uint64_t> bytes_of(const StorageRequest& request) noexcept {
  return checked_mul(request.numel, std::uint64_t{size_bytes(request.dtype)});
}

}  // namespace

void StorageTable::reserve(std::size_t count) {
  entries_.reserve(count);
  index_.reserve(count);
}

Result<std::uint32_t> StorageTable::find(const StorageRequest& request) {
  const std::uint64_t hash = hash_text(request.key, seed_);
  const auto is_it = [&](std::uint32_t i) { return entries_[i].request.key == request.key; };
  if (const auto known = index_.find(hash, is_it)) {
    RUSHLIGHT_TRY(check_same(entries_[*known], request));
    return *known;
  }
  const std::optional<std::uint64_t> bytes = bytes_of(request);
  if (!bytes) {
    return Error::of({.category = Category::store,
                      .code = "STORE-OVERFLOW",
                      .message = "storage " + quoted(request.key) + " of " + describe(request) + " overflows 64 bits",
                      .found = std::to_string(request.numel)});
  }
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> memory, provider_->memory(request.key, *bytes, request.location));
  const Device device = map_location_->map(request.location);
  if (device != Device::cpu()) {
    RUSHLIGHT_TRY_ASSIGN(memory, copy_to_device(*memory, device));
  }
  const auto index = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back({request, Storage(std::move(memory))});
  index_.insert(hash, index);
  return index;
}

// torch writes one storage under two classes in two cases only (format-spec/05, [C-44]): as ByteStorage and as
// UntypedStorage, and when it is empty.
Status StorageTable::check_same(const Entry& entry, const StorageRequest& request) const {
  const StorageRequest& first = entry.request;
  const bool same_class = first.dtype == request.dtype && first.untyped == request.untyped;
  if (same_class && first.numel == request.numel && first.location == request.location) return {};
  const bool both_bytes = first.dtype == DType::u8 && request.dtype == DType::u8 && first.numel == request.numel;
  const bool both_empty = first.numel == 0 && request.numel == 0;
  if ((both_bytes || both_empty) && first.location == request.location) return {};
  return Error::of({.category = Category::store,
                    .code = "STORE-CONFLICT",
                    .message = "storage " + quoted(request.key) + " is named twice as different things, first as " +
                               describe(first) + ", then as " + describe(request),
                    .found = describe(request),
                    .expected = describe(first)});
}

}  // namespace rushlight::checkpoint
