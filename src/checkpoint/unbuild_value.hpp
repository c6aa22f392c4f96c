// From a Value to a pickle: the way back of build_value.hpp.
//
// What nobody changed since it was read is spelt as it was: names, hidden texts and the identity of each come from the
// objects of the pickle it was built from, which is read again. The rest is spelt as torch spells it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/storage_provider.hpp"
#include "checkpoint/torch_release.hpp"
#include "rushlight/dtype.hpp"
#include "rushlight/error.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/tensor.hpp"
#include "rushlight/value.hpp"

namespace rushlight::checkpoint {

struct UnbuildOptions {
  int protocol = 2;                                   // 2 to 5
  PersistentIds persistent_ids = PersistentIds::zip;  // or ::legacy
  // Storages keep the names that the file gave them, as far as no two have the same: what torch up to 1.8 and the
  // legacy container name by address. Otherwise they are counted in the order in which the pickle names them.
  bool keep_keys = false;
  TorchRelease weights_only = kCurrentRelease;  // whose list is asked
  Limits limits{};
};

// A storage that the pickle names.
struct NamedStorage {
  std::string key;
  Storage storage;
  std::uint64_t numel = 0;  // elements of its class
};

struct UnbuiltValue {
  std::vector<std::byte> pickle;
  std::vector<NamedStorage> storages;  // in the order in which the pickle names them
  // What torch.load(weights_only=True) refuses to read: warnings, each with the first place of that kind.
  std::vector<Finding> findings;
};

// ErrorCode::unsupported names what cannot be written: objects whose form the file did not tell, storages of unknown
// element types.
Result<UnbuiltValue> unbuild_value(const Value& root, const UnbuildOptions& options);

}  // namespace rushlight::checkpoint
