#include "checkpoint/storage_table.hpp"

#include <optional>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "tensor/byte_order.hpp"
#include "tensor/computed_memory.hpp"
#include "tensor/derived_memory.hpp"

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
  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t whole, find_whole(request));
  if (!request.view) return whole;
  return find_view(whole, request);
}

Result<std::uint32_t> StorageTable::find_whole(const StorageRequest& request) {
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
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> memory, provider_->memory(request, *bytes));
  const Device device = map_location_->map(request.location);
  if (device != Device::cpu()) {
    RUSHLIGHT_TRY_ASSIGN(memory, copy_to_device(*memory, device));
  }
  const auto index = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back({request, Storage(std::move(memory))});
  index_.insert(hash, index);
  return index;
}

Result<std::uint32_t> StorageTable::find_view(std::uint32_t whole, const StorageRequest& request) {
  const StorageRequest::View& view = *request.view;
  const auto differs = [&](std::string what, std::string expected) {
    return Error::of({.category = Category::store,
                      .code = "STORE-VIEW",
                      .message = "view " + quoted(view.key) + " of storage " + quoted(request.key) + " " +
                                 std::move(what) + ", expected " + expected,
                      .expected = expected});
  };
  if (!range_fits(view.offset, view.numel, request.numel)) {
    return differs(
        "reaches from element " + std::to_string(view.offset) + " over " + std::to_string(view.numel) + " elements",
        "at most " + std::to_string(request.numel) + " in all");
  }
  const std::uint64_t hash = hash_pair(whole, hash_text(view.key, seed_), seed_);
  const auto known = view_index_.find(hash, [&](std::uint32_t i) {
    return entries_[i].request.key == request.key && entries_[i].request.view->key == view.key;
  });
  if (known) {
    const StorageRequest::View& first = *entries_[*known].request.view;
    if (first.offset == view.offset && first.numel == view.numel) return *known;
    return differs("is named twice as different things",
                   "offset " + std::to_string(first.offset) + " and " + std::to_string(first.numel) + " elements");
  }
  const std::uint32_t unit_bytes = size_bytes(request.dtype);
  const auto index = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back({request, Storage(make_window_memory(entries_[whole].storage.memory(), view.offset * unit_bytes,
                                                          view.numel * unit_bytes))});
  entries_.back().request.numel = view.numel;
  view_index_.insert(hash, index);
  return index;
}

std::uint32_t StorageTable::add(Storage storage, DType dtype) {
  StorageRequest request;
  request.dtype = dtype;
  request.numel = storage.size_bytes() / size_bytes(dtype);
  entries_.push_back({request, std::move(storage)});
  return static_cast<std::uint32_t>(entries_.size() - 1);
}

const Storage& StorageTable::as_dtype(std::uint32_t index, DType dtype) {
  const Storage& storage = entries_[index].storage;
  const std::uint32_t unit_bytes = swap_unit(dtype);
  if (!provider_->is_big_endian() || unit_bytes == 1 || storage.size_bytes() == 0) return storage;
  const auto known = swapped_.find({index, unit_bytes});
  if (known != swapped_.end()) return known->second;
  return swapped_.emplace(std::pair(index, unit_bytes), Storage(make_swapped_memory(storage.memory(), unit_bytes)))
      .first->second;
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
