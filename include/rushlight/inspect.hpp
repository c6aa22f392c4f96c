/// \file
/// inspect(): what a checkpoint holds, without reading the tensors' bytes (`rushlight list`), and what one tensor's
/// values look like (`rushlight show`).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"

namespace rushlight {

/// One name of one tensor. Two names for one storage are two entries with the same `storage`.
struct TensorEntry {
  std::string name{};
  Path path{};
  Tensor tensor{};
  std::string storage{};  ///< record of the storage ("data/0"), or "" for tensors without one
  /// False for what state_dict() of a pickled module leaves out: non-persistent buffers, tensors in other attributes.
  bool persistent = true;
};

/// A sparse or nested tensor. Its parts are in Inspection::tensors too, under `name.indices` and the like.
struct CompositeEntry {
  std::string name{};
  Path path{};
  CompositeTensor tensor;
  bool persistent = true;  ///< as TensorEntry::persistent
};

/// A leaf that is no tensor: epoch, loss, learning rate, a string.
struct ValueEntry {
  std::string name{};
  Path path{};
  Value value{};
};

/// An object of a class without meaning here.
struct OpaqueEntry {
  std::string name{};
  Path path{};
  std::string class_name{};
};

struct Inspection {
  std::string file{};
  FormatInfo format{};
  std::string root_class{};                  ///< "collections.OrderedDict", "dict", "__main__.Net"
  std::vector<TensorEntry> tensors{};        ///< in traversal order
  std::vector<CompositeEntry> composites{};  ///< in traversal order
  std::vector<ValueEntry> values{};          ///< non-tensor leaves, in traversal order
  std::vector<OpaqueEntry> opaque{};
  std::vector<GlobalUse> globals{};
  std::vector<Finding> findings{};
  std::uint64_t tensor_bytes = 0;  ///< of all storages, each counted once
  std::int64_t elements = 0;       ///< of all tensors
};

/// ErrorCode::limit_exceeded when the graph unfolds beyond `limits.visited_nodes`.
RUSHLIGHT_API Result<Inspection> inspect(const Checkpoint& checkpoint, const Limits& limits = {});

/// The same of any value: what was edited, or made here. Of the file nothing is said.
RUSHLIGHT_API Result<Inspection> inspect(const Value& root, const Limits& limits = {});

/// The entries whose full name, or unambiguous last part of it, matches a name or a glob (`*`, `?`, `[a-z]`).
/// The name of a composite tensor stands for all its parts.
/// ErrorCode::not_found gives the nearest names; ::ambiguous lists the candidates of an ambiguous short form.
RUSHLIGHT_API Result<std::vector<TensorEntry>> find_tensors(const Inspection& inspection, std::string_view pattern);

/// The NumPy arrays among the values whose dtype torch has, as entries for find_tensors() and statistics(); not
/// persistent, as no state dict has them.
RUSHLIGHT_API std::vector<TensorEntry> array_entries(const Inspection& inspection);

/// The parts of a readable name, for trees: "a.b[0].c" is "a", "b", "[0]", "c". At most 64: the last one holds the
/// rest.
RUSHLIGHT_API std::vector<std::string_view> name_parts(std::string_view name);

/// Figures over all elements of a tensor, accumulated in double in C order (the same on every machine).
struct TensorStatistics {
  std::int64_t count = 0;
  std::int64_t nan = 0;
  std::int64_t infinite = 0;
  std::int64_t subnormal = 0;
  std::int64_t zero = 0;
  double mean = 0;  ///< of the finite values
  double std = 0;   ///< population
  double min = 0;
  double max = 0;
  std::array<std::uint64_t, 24> histogram{};  ///< of the finite values, equal bins from min to max
};
/// Reads the tensor; of a quantised one the values that its codes stand for, dequantize()d. Complex and bit types are
/// ErrorCode::unsupported.
RUSHLIGHT_API Result<TensorStatistics> statistics(const Tensor& tensor);

}  // namespace rushlight
