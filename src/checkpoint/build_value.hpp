// From a pickle's objects to a Value: the step that gives names a meaning.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "checkpoint/pickle_place.hpp"
#include "checkpoint/storage_provider.hpp"
#include "pickle/machine.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::checkpoint {

struct PickleBytes {
  ByteSpan bytes;
  std::shared_ptr<const void> owner;  // keeps them alive
  PicklePlace place;
  // Of tensors whose bytes lie in the pickle itself.
  std::string storage_record{};
  Integrity integrity = Integrity::none;
};

struct BuiltValue {
  Value root;
  std::vector<GlobalUse> globals;
};

// `pickle` was read from `bytes`. Warnings (unknown globals, tensors that stay opaque) are appended to `findings` in
// stream order. Of the options: globals, accepted_globals, map_location, limits.
// `file_depth` counts the files around this one.
Result<BuiltValue> build_value(const pickle::Pickle& pickle, const PickleBytes& bytes, StorageProvider& storages,
                               const LoadOptions& options, std::vector<Finding>& findings, int file_depth = 0);

}  // namespace rushlight::checkpoint
