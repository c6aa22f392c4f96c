// The storages that a pickle names by persistent ids: each key once, however often it is named.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/storage_provider.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/tensor.hpp"
#include "value/hash_index.hpp"

namespace rushlight::checkpoint {

class StorageTable {
 public:
  struct Entry {
    StorageRequest request;  // the first one; its texts lie in the pickle
    Storage storage;
  };

  StorageTable(StorageProvider& provider, const MapLocation& map_location)
      : provider_(&provider), map_location_(&map_location), seed_(random_seed()) {}

  // Room for so many names of storages.
  void reserve(std::size_t count);
  // The index of the storage's entry. ErrorCode::corrupt when the key was named before as something else, and what the
  // provider says.
  Result<std::uint32_t> find(const StorageRequest& request);
  // A storage that no key names.
  std::uint32_t add(Storage storage, DType dtype);
  [[nodiscard]] const Entry& operator[](std::uint32_t index) const noexcept { return entries_[index]; }
  [[nodiscard]] std::vector<Entry> take_entries() && noexcept { return std::move(entries_); }
  // The entry's storage as tensors of a dtype see it: of a big-endian file, with their elements swapped.
  [[nodiscard]] const Storage& as_dtype(std::uint32_t index, DType dtype);

 private:
  Result<std::uint32_t> find_whole(const StorageRequest& request);
  Result<std::uint32_t> find_view(std::uint32_t whole, const StorageRequest& request);
  Status check_same(const Entry& entry, const StorageRequest& request) const;

  StorageProvider* provider_;
  const MapLocation* map_location_;
  std::uint64_t seed_;
  std::vector<Entry> entries_;
  HashIndex index_;
  HashIndex view_index_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Storage> swapped_;  // by entry and bytes in a unit
};

}  // namespace rushlight::checkpoint
