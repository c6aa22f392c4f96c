// Compares an open checkpoint with what PyTorch found in the same file: the JSON of describe_checkpoint.py, whose head
// explains the fields (tests/golden/README, "expect.json").
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"

namespace rushlight::test {

struct Expectation {
  std::string kind;         // "zip", "legacy", "torchscript", "mobile" ...
  bool load_error = false;  // torch itself cannot read the file
};
Expectation read_expectation(const std::filesystem::path& json);

struct Comparison {
  std::vector<std::string> differences;
  std::size_t tensors = 0;       // compared with all their fields and bytes
  std::size_t values = 0;        // nodes of the tree of values
  std::size_t not_built = 0;     // tensors that stay opaque here (quantised, sparse, nested, wrappers, uninitialised)
  std::size_t not_compared = 0;  // values whose Python form the description spells otherwise (NumPy, slices)
};
Comparison compare(const Checkpoint& checkpoint, const std::filesystem::path& json);
// The tensors of a shard, which `json` describes, in the whole that it is a part of.
Comparison compare_shard(const Checkpoint& checkpoint, const std::filesystem::path& json);

}  // namespace rushlight::test
