// What `.metadata` says about a distributed checkpoint: which tensors there are, which chunks they are cut into, and
// where each chunk lies (torch/distributed/checkpoint/metadata.py, filesystem.py; format-spec/11-sets).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rushlight/dtype.hpp"
#include "rushlight/error.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"
#include "rushlight/value.hpp"

namespace rushlight::checkpoint {

// A file of torch.save somewhere in a `.distcp` file.
struct DcpItem {
  std::string name;  // of the tensor or value, with the place of the chunk: for messages
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

struct DcpChunk {
  Shape offsets;  // where it begins in the whole
  Shape sizes;
  std::size_t item = 0;
};

struct DcpEntry {
  using Step = std::variant<std::string, std::int64_t>;  // a dict's key, a list's position

  std::string name;        // the flattened one
  std::vector<Step> path;  // in the program's own dicts and lists
  bool is_tensor = false;
  DType dtype = DType::f32;      // of a tensor
  Shape shape;                   // of a tensor
  std::vector<DcpChunk> chunks;  // of a tensor: they cover it, each element once
  std::size_t item = 0;          // of another value
};

struct DcpMetadata {
  std::vector<DcpEntry> entries;   // in the order in which the program's dicts had them
  std::vector<DcpItem> items;      // in the order of the entries
  std::vector<std::string> files;  // each once; names as a stranger wrote them
};

// The classes that `.metadata` is made of, beyond the allow-list: they are read here and need no warning.
const std::vector<std::string>& dcp_classes();

// From the objects of `.metadata`. Warnings are appended to `findings`; errors leave the file to the caller.
Result<DcpMetadata> read_dcp_metadata(const Value& root, const Limits& limits, std::vector<Finding>& findings);

}  // namespace rushlight::checkpoint
