// torchvision's networks as data: names and shapes of their state dicts, a rule that makes the tensors, what PyTorch
// answered. The set `architectures` of tests/golden has the format and a part of the outputs.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/state_dict.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::test {

// A tensor by its recipe: base + scale * r with r in [0, 1) from a generator seeded by the name.
struct Recipe {
  std::string name{};
  DType dtype = DType::f32;
  Shape shape{};
  double base = 0;
  double scale = 0;
  std::string file{};  // or, relative to the folder, a constant
};

struct ExpectedOutput {
  std::string name{};
  std::filesystem::path file{};  // float64; may be elsewhere
  double error = 0;              // PyTorch's own in float32, relative to max |output|
};

struct ArchitectureRun {
  std::string arch{};  // with its option: "googlenet:transform_input"
  Recipe input{};
  Shape every{};  // the outputs are thinned out: steps along each dimension
  std::vector<ExpectedOutput> outputs{};
  std::vector<std::int64_t> top1{};
};

// What one module returned within the first run.
struct Activation {
  std::string module{};
  Shape shape{};
  double mean = 0;
  double std = 0;
  double max_abs = 0;
  double error = 0;
  std::vector<double> first{};  // of batch row 0
};

struct ArchitectureCase {
  std::string name{};
  std::filesystem::path folder{};
  std::vector<Recipe> state_dict{};
  std::vector<ArchitectureRun> runs{};
  std::vector<Activation> trace{};  // empty for most
};

// The networks that a folder describes, sorted.
std::vector<std::string> architecture_names(const std::filesystem::path& folder);
// Aborts on a description that is not one: they are ours.
ArchitectureCase read_architecture(const std::filesystem::path& folder, const std::string& name);

std::vector<float> synthetic(std::string_view name, std::size_t count, double base, double scale);
Tensor make_tensor(const Recipe& recipe, const std::filesystem::path& folder);
StateDict make_state_dict(const ArchitectureCase& architecture);

}  // namespace rushlight::test
