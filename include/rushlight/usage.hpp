/// \file
/// disk_usage(): which part of a checkpoint takes how many bytes (`rushlight du`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rushlight/inspect.hpp"

namespace rushlight {

/// A part of a name with all that lies under it, "optimizer_state_dict" or "fc1" or "[0]".
struct UsageNode {
  std::string part{};
  std::string name{};                   ///< from the root: "optimizer_state_dict.state[0]"
  std::size_t parent = 0;               ///< index of the node above; 0 for the root itself
  std::size_t depth = 0;                ///< 0 for the root
  std::uint64_t size_bytes = 0;         ///< of the storages first met here or below: each counts once
  std::uint64_t shared_bytes = 0;       ///< of the storages here or below that were met before, under other names
  std::int64_t tensors = 0;             ///< names of tensors here and below
  std::vector<std::size_t> children{};  ///< in traversal order
};

struct UsageReport {
  std::string file{};
  FormatInfo format{};
  std::uint64_t storage_bytes = 0;  ///< of all storages, each once
  /// What is no storage: headers, padding, the pickle. 0 where the storages are compressed.
  std::uint64_t container_bytes = 0;
  bool is_compressed = false;      ///< the storages are larger than the file
  std::vector<UsageNode> nodes{};  ///< parents before children; the first is the root
  std::vector<Finding> findings{};
};

/// Reads no tensor's bytes.
RUSHLIGHT_API UsageReport disk_usage(const Inspection& inspection);

}  // namespace rushlight
