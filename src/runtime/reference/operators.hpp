// The operators on arrays of doubles in torch's order (NCHW). Each follows the text of PyTorch's documentation and
// nothing else: no layouts, no blocks, no shared code with what it judges. Semantics of the corners: PyTorch 2.x,
// aten/src/ATen/native/{Pool.h,AveragePool2d.cpp,DilatedMaxPool2d.cpp,AdaptiveAveragePooling.cpp,Normalization.cpp}.
#pragma once

#include <span>

#include "rushlight/graph.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::runtime::reference {

struct Array {
  std::span<double> values;
  std::span<const std::int64_t> shape;
};
struct ConstArray {
  std::span<const double> values;
  std::span<const std::int64_t> shape;
};

// Parameters are empty where the operator has none. The output's shape is the inferred one.
void conv2d(const Conv2d& op, ConstArray input, std::span<const float> weight, std::span<const float> bias,
            Array output);
void linear(ConstArray input, std::span<const float> weight, std::span<const float> bias, Array output);

struct BatchNormParameters {
  std::span<const float> weight;
  std::span<const float> bias;
  std::span<const float> mean;
  std::span<const float> var;
};
// Channels are dimension 1.
void batch_norm(double eps, ConstArray input, const BatchNormParameters& parameters, Array output);

void relu(ConstArray input, Array output);
void max_pool(const MaxPool2d& op, ConstArray input, Array output);
void avg_pool(const AvgPool2d& op, ConstArray input, Array output);
void adaptive_avg_pool(ConstArray input, Array output);
void softmax(std::int64_t dim, ConstArray input, Array output);
void add(ConstArray a, ConstArray b, Array output);
// Flatten, Dropout and Identity change no element.
void copy(ConstArray input, Array output);

}  // namespace rushlight::runtime::reference
