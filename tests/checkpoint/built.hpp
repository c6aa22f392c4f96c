// Values from a pickle and storages in memory, without a file around them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/build_value.hpp"
#include "checkpoint/storage_provider.hpp"
#include "support/pickle_builder.hpp"

namespace rushlight::test {

// Storages by key, filled with bytes 0, 1, 2 ... Asked for another size, it answers as the zip container does.
class MemoryStorages final : public checkpoint::StorageProvider {
 public:
  MemoryStorages& add(std::string key, std::uint64_t size_bytes);
  Result<std::shared_ptr<Memory>> memory(const checkpoint::StorageRequest& request, std::uint64_t size_bytes) override;
  [[nodiscard]] int asked() const noexcept { return asked_; }

 private:
  std::map<std::string, std::uint64_t, std::less<>> sizes_;
  int asked_ = 0;
};

// "0" of 32 bytes, "1" of 16, "e" empty.
MemoryStorages usual_storages();

struct Built {
  bool ok = false;
  Value root;
  std::vector<GlobalUse> globals;
  std::vector<Finding> findings;
  Error error;       // where it failed
  std::string line;  // of the error: "type TYPE-ARGUMENT at 0x2: torch._utils._rebuild_tensor: ..."
};

// Reads the pickle too; a failure of the machine is an error like any other.
Built build(const PickleBuilder& pickle, const LoadOptions& options = {});
Built build(const PickleBuilder& pickle, MemoryStorages& storages, const LoadOptions& options = {});

// "category CODE at OFFSET: message", the offset that in the pickle.
std::string line_of(const Finding& finding);

}  // namespace rushlight::test
