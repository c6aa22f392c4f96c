// What a Value remembers of the pickle it was built from: enough to read its objects again when it is written.
#pragma once

#include <memory>
#include <vector>

#include "base/bytes.hpp"
#include "checkpoint/storage_provider.hpp"
#include "checkpoint/storage_table.hpp"
#include "rushlight/limits.hpp"
#include "value/origin.hpp"

namespace rushlight::checkpoint {

class PickleOrigin final : public ValueOrigin {
 public:
  ByteSpan bytes;
  std::shared_ptr<const void> owner;  // keeps them alive
  Limits limits;                      // under which they were read
  PersistentIds persistent_ids = PersistentIds::zip;
  bool is_big_endian = false;
  std::vector<StorageTable::Entry> storages;  // those that the persistent ids name
};

}  // namespace rushlight::checkpoint
