// The index beside the shards of a checkpoint: which file holds which tensor. {"metadata": {"total_size": BYTES},
// "weight_map": {NAME: FILE}}, as the libraries write it that cut large models into files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::interchange {

struct ShardIndex {
  struct Entry {
    std::string name;       // of a tensor
    std::size_t shard = 0;  // position in `shards`
  };
  std::vector<std::string> shards;  // names of files, each once, in the order of the index: as a stranger wrote them
  std::vector<Entry> entries;       // each name once, in the order of the index
  std::optional<std::uint64_t> total_size;  // bytes of all tensors
};

Result<ShardIndex> read_shard_index(const Source& source, const Limits& limits);

}  // namespace rushlight::interchange
