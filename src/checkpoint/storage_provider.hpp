// Where the storages of a checkpoint lie: records of a zip archive, and whatever other containers bring.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "rushlight/result.hpp"
#include "tensor/memory.hpp"

namespace rushlight::checkpoint {

class StorageProvider {
 public:
  virtual ~StorageProvider() = default;

  // The host memory of the storage with this key, which must hold exactly `size_bytes` bytes. Nothing is read yet.
  // Asked once a key. Errors are of Category::store; the caller adds the place in the pickle.
  virtual Result<std::shared_ptr<Memory>> memory(std::string_view key, std::uint64_t size_bytes,
                                                 std::string_view recorded_device) = 0;

 protected:
  StorageProvider() = default;
  StorageProvider(const StorageProvider&) = default;
  StorageProvider& operator=(const StorageProvider&) = default;
};

}  // namespace rushlight::checkpoint
