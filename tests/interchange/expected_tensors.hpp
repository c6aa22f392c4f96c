// What torch found in a golden file: FILE.expect.json beside it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/tensor.hpp"

namespace rushlight::test {

struct ExpectedTensor {
  std::string name;
  std::string dtype;
  Shape shape;
  std::string sha256;  // of the elements in C order
};

struct ExpectedFile {
  std::vector<ExpectedTensor> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Empty where the file cannot be read, which is a failure of the test.
ExpectedFile read_expectation(const std::filesystem::path& golden);

// Name, dtype, shape and elements; the name is not compared with `expected.name`.
void expect_tensor(const Tensor& tensor, const ExpectedTensor& expected);

}  // namespace rushlight::test
