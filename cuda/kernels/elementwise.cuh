// One output from the elements at the same place: additions, activations, copies, batch norms that could not be folded.
//
//   output[row][column] = f(a[row][column], b[row][column]), or a and b broadcast, with strides of 0
//
// One thread makes one output at a time, neighbours side by side. Bytes moved: 4 an operand, 4 an output. The output
// may be the memory of an operand of the same geometry: an element is read and then written by one thread.
//
// Accuracy: copies and ReLU are exact, a sum has one rounding, a norm two.
// Tests: CudaElements.*, CudaBroadcast.OffsetsWalkBothOperands
#pragma once

#include <cstdint>

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

// rows x columns elements; tensors whose rows follow each other without gaps are passed as one row.
struct RowsView {
  std::int64_t rows = 0;
  Divisor64 columns;
};
RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const RowsView& view) {
  return view.rows * view.columns.divisor();
}

// output = activation(a + b); without b that part is left out.
struct CombineArguments {
  const float* a = nullptr;
  const float* b = nullptr;  // or null
  float* output = nullptr;
  std::int64_t a_stride = 0;  // floats from row to row
  std::int64_t b_stride = 0;
  std::int64_t output_stride = 0;
  RowsView view;
  Activation activation;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const CombineArguments& a) {
  return grid_for_elements(elements_of(a.view));
}

template <class Block>
RUSHLIGHT_KERNEL void combine_kernel(Block& block, const CombineArguments& a) {
  for_each_element(block, elements_of(a.view), [&](std::int64_t element) {
    const std::int64_t row = a.view.columns.quotient(element);
    const std::int64_t column = a.view.columns.remainder(element, row);
    float value = a.a[row * a.a_stride + column];
    if (a.b != nullptr) value += a.b[row * a.b_stride + column];
    a.output[row * a.output_stride + column] = activate(a.activation, value);
  });
}

// output = relu((input - mean[c]) * scale[c] + shift[c]), the columns being channels.
struct NormArguments {
  const float* input = nullptr;
  const float* mean = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  float* output = nullptr;
  std::int64_t input_stride = 0;
  std::int64_t output_stride = 0;
  RowsView view;
  bool relu = false;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const NormArguments& a) {
  return grid_for_elements(elements_of(a.view));
}

template <class Block>
RUSHLIGHT_KERNEL void norm_kernel(Block& block, const NormArguments& a) {
  for_each_element(block, elements_of(a.view), [&](std::int64_t element) {
    const std::int64_t row = a.view.columns.quotient(element);
    const std::int64_t channel = a.view.columns.remainder(element, row);
    const float centred = a.input[row * a.input_stride + channel] - load_constant(a.mean + channel);
    const float value = fused(centred, load_constant(a.scale + channel), load_constant(a.shift + channel));
    a.output[row * a.output_stride + channel] = a.relu ? relu(value) : value;
  });
}

// output = relu(a + b) under torch's broadcasting: dense output, strides of 0 where an operand repeats itself.
inline constexpr int kBroadcastDims = 12;  // after neighbouring dimensions were joined: see join_dimensions()
struct BroadcastArguments {
  const float* a = nullptr;
  const float* b = nullptr;
  float* output = nullptr;
  std::int64_t elements = 0;
  std::int32_t dims = 0;
  Divisor64 sizes[kBroadcastDims];  // outermost first
  std::int64_t a_strides[kBroadcastDims] = {};
  std::int64_t b_strides[kBroadcastDims] = {};
  bool relu = false;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const BroadcastArguments& a) {
  return grid_for_elements(a.elements);
}

// Where the operands of output element `element` lie, in floats.
struct BroadcastOffsets {
  std::int64_t a = 0;
  std::int64_t b = 0;
};
RUSHLIGHT_HOST_DEVICE inline BroadcastOffsets broadcast_offsets(const BroadcastArguments& a, std::int64_t element) {
  BroadcastOffsets offsets;
  for (int dim = a.dims - 1; dim >= 0; --dim) {
    const std::int64_t rest = a.sizes[dim].quotient(element);
    const std::int64_t place = a.sizes[dim].remainder(element, rest);
    offsets.a += place * a.a_strides[dim];
    offsets.b += place * a.b_strides[dim];
    element = rest;
  }
  return offsets;
}

template <class Block>
RUSHLIGHT_KERNEL void broadcast_kernel(Block& block, const BroadcastArguments& a) {
  for_each_element(block, a.elements, [&](std::int64_t element) {
    const BroadcastOffsets offsets = broadcast_offsets(a, element);
    const float value = load_constant(a.a + offsets.a) + load_constant(a.b + offsets.b);
    a.output[element] = a.relu ? relu(value) : value;
  });
}

}  // namespace rushlight::cuda
