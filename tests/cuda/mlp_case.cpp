#include "cuda/mlp_case.hpp"

#include <cmath>
#include <span>
#include <string>

namespace rushlight::cuda {
namespace {

// Of one layer; the chains are short, and their values of one size.
constexpr double kStrict = 5e-6;

std::string text(const MlpShape& s) {
  std::string name = "mlp of " + std::to_string(s.rows) + " rows";
  for (const std::int64_t features : s.features) name += " " + std::to_string(features);
  return name + (s.softmax ? " softmax" : "") + " gap " + std::to_string(s.input_gap);
}

// Weights such that every layer's outputs are about as large as its inputs.
StepCase tamed(StepCase built) {
  for (std::size_t i = 0; i < built.constant_shapes.size(); ++i) {
    const Shape& shape = built.constant_shapes[i];
    if (shape.size() != 2) continue;  // a bias
    const auto weights = static_cast<std::size_t>(shape[0] * shape[1]);
    for (float& weight : std::span(built.memory).subspan(built.constant_floats[i], weights)) {
      weight /= std::sqrt(static_cast<float>(shape[1]));
    }
  }
  return built;
}

}  // namespace

StepCase mlp_case(const MlpShape& s, std::uint64_t seed) {
  StepCaseBuilder b(text(s), seed);
  runtime::TensorId x = b.tensor(s.rows, 1, 1, s.features[0], s.features[0] + s.input_gap);
  for (std::size_t i = 1; i < s.features.size(); ++i) {
    runtime::LinearStep step;
    step.input = x;
    step.weights = b.constant({s.features[i], s.features[i - 1]});
    if (b.flip()) step.bias = b.constant({s.features[i]});
    step.output = x = b.output(s.rows, 1, 1, s.features[i]);
    if (i + 1 < s.features.size()) step.epilogue.activation.kind = s.kind;
    if (i + 1 == s.features.size() && !s.softmax) return tamed(b.build(step, kStrict));
    b.add_step(step, "layer" + std::to_string(i));
  }
  const runtime::SoftmaxStep softmax{.input = x,
                                     .output = b.output(s.rows, 1, 1, s.features.back()),
                                     .outer = s.rows,
                                     .axis = s.features.back(),
                                     .inner = 1};
  return tamed(b.build(softmax, kStrict));
}

std::vector<StepCase> mlp_cases() {
  using Kind = runtime::Activation::Kind;
  std::vector<StepCase> cases;
  std::uint64_t seed = 6000;
  for (const MlpShape& shape : std::vector<MlpShape>{
           {.features = {784, 128, 10}},
           {.features = {784, 128, 10}, .softmax = true},
           {.features = {36, 10}, .softmax = true},
           {.rows = 8, .features = {33, 31, 32, 33, 7}, .softmax = true, .kind = Kind::tanh},
           {.rows = 3, .features = {1, 1, 1, 1, 1, 1, 1}, .kind = Kind::hardswish},
           {.rows = 2, .features = {1028, 5, 130}, .kind = Kind::none, .input_gap = 1},
           {.rows = 5, .features = {64, 40, 12}, .kind = Kind::gelu, .input_gap = 4},
           {.rows = 7, .features = {257, 255, 33}},
           {.rows = 1, .features = {1024, 31, 1000}, .softmax = true},
       }) {
    cases.push_back(mlp_case(shape, seed++));
  }
  return cases;
}

}  // namespace rushlight::cuda
