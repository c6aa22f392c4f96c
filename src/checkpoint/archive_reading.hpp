// Values from a zip archive, whatever wrote it: torch.save, torch.jit.save, torch.export.save, torch.package.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/storage_provider.hpp"
#include "checkpoint/zip_container.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::checkpoint {

// One archive while it is read, and what is learnt beside its values.
struct ArchiveReading {
  ZipContainer& container;
  const LoadOptions& options;
  FormatInfo& format;
  std::vector<Finding>& findings;
  std::vector<GlobalUse>& globals;
  // The records that say what the bytes of the others mean (pickles, JSON), as they are named below the root.
  std::vector<std::string>& index;
};

// The root of FileKind torch_zip, torchscript, torchscript_mobile, pt2 and torch_package. The globals of a damaged
// pickle are listed too.
Result<Value> read_archive(ArchiveReading& reading);

// --- the parts
// ------------------------------------------------------------------------------------------------------------

// A record that is one pickle.
Result<Value> read_pickle_record(ArchiveReading& reading, const zip::Entry& entry, StorageProvider& storages);
// A record that is a whole torch.save archive. No deeper ones are looked for in it.
Result<Value> read_nested_archive(ArchiveReading& reading, const zip::Entry& entry);
Result<Value> read_script_archive(ArchiveReading& reading);  // script_archive.cpp
Result<Value> read_script_json(ArchiveReading& reading);     // script_json.cpp
Result<Value> read_exported(ArchiveReading& reading);        // exported_archive.cpp
Result<Value> read_package(ArchiveReading& reading);         // package_archive.cpp

}  // namespace rushlight::checkpoint
