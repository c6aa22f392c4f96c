// One case of an operator file (operators/README.md in the test data) as a model that can be run: the operator is found
// by its torch name and filled in attribute by attribute through the table of operators, so that a new row needs no
// code here.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rushlight/model.hpp"
#include "rushlight/result.hpp"
#include "rushlight/value.hpp"

namespace rushlight::test {

// What PyTorch computed.
struct Expected {
  Tensor output;     // float32, int64 or bool
  Tensor in_double;  // the same from the same float32 values, computed in double
};

struct OperatorCase {
  std::string name;
  std::string module;  // "Conv2d", "torch.add"
  Model model;
  std::vector<Tensor> inputs;  // in C order
  std::vector<Expected> outputs;
  bool float32_decides = false;  // an index was rounded in float32: the match must be exact
};

// The cases of a file, as values.
[[nodiscard]] Result<std::vector<Value>> read_cases(const std::filesystem::path& file);

// Fails with what the graph or the model refuses, or an attribute that no row of the table knows.
[[nodiscard]] Result<OperatorCase> make_case(const Value& values);

}  // namespace rushlight::test
