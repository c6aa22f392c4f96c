// The storages that a pickle names by persistent ids: each key once, however often it is named.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/storage_provider.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/tensor.hpp"
#include "value/hash_index.hpp"

namespace rushlight::checkpoint {

// One persistent id: ("storage", class, key, location, numel).
struct StorageRequest {
  std::string_view key;
  std::string_view location;
  std::uint64_t numel = 0;  // elements of dtype
  DType dtype = DType::u8;  // of the storage class; u8 when untyped
  bool untyped = false;
};

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
  [[nodiscard]] const Entry& operator[](std::uint32_t index) const noexcept { return entries_[index]; }

 private:
  Status check_same(const Entry& entry, const StorageRequest& request) const;

  StorageProvider* provider_;
  const MapLocation* map_location_;
  std::uint64_t seed_;
  std::vector<Entry> entries_;
  HashIndex index_;
};

}  // namespace rushlight::checkpoint
