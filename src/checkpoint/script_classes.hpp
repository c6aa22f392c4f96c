// Which attributes of a TorchScript module are parameters and which are buffers: the archive's source text says it.
//
//   class BatchNorm2d(Module):
//     __parameters__ = ["weight", "bias", ]
//     __buffers__ = ["running_mean", "running_var", "num_batches_tracked", ]
//
// Source: torch/csrc/jit/serialization/import_source.cpp (importClass). Only these lines are looked at.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/zip_container.hpp"

namespace rushlight::checkpoint {

struct ScriptClass {
  std::optional<std::vector<std::string>> parameters;  // nullopt: no module
  std::optional<std::vector<std::string>> buffers;     // nullopt before torch 1.6: all tensors that are no parameters
};

// By the names of classes. Later ones of a name win, as in Python.
using ScriptClassTable = std::map<std::string, ScriptClass, std::less<>>;
ScriptClassTable parse_script_classes(std::string_view source);

class ScriptClasses {
 public:
  // At most `max_bytes` of source text are read.
  ScriptClasses(ZipContainer& container, std::uint64_t max_bytes) : container_(container), bytes_left_(max_bytes) {}

  // By its full name, "__torch__.a.b.C", which is in code/__torch__/a/b.py. nullptr when there is no such record, it
  // cannot be read, or has no such class.
  const ScriptClass* find(std::string_view qualified_name);

 private:
  const ScriptClassTable& file_of(std::string_view module);

  ZipContainer& container_;
  std::uint64_t bytes_left_;
  std::map<std::string, ScriptClassTable, std::less<>> files_;  // by module
};

}  // namespace rushlight::checkpoint
