// What an epilogue does to a value before it is stored: the GPU's form of runtime::Activation.
//
// A kernel's arguments carry the kind, so that the branch is the same for every thread of a grid. Those that cost a
// comparison or two are inlined into the epilogues; those that need exp(), tanh() or erf() are called, or each of the
// 16 to 32 stores of a thread would hold a copy of all of them.
//
// Accuracy: the CUDA library's functions err by at most two units in the last place; sigmoid, SiLU and GELU round twice
// more.
// Tests: activation_test.cpp
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/execution.cuh"

#if defined(__CUDACC__)
#define RUSHLIGHT_HOST_DEVICE_CALL __host__ __device__ __noinline__ inline
#else
#define RUSHLIGHT_HOST_DEVICE_CALL inline
#endif

namespace rushlight::cuda {

struct Activation {
  enum class Kind : std::uint8_t { none, relu, clamp, sigmoid, silu, tanh, hardsigmoid, hardswish, gelu };
  Kind kind = Kind::none;
  float low = 0;  // of clamp
  float high = 0;
};

// NaN stays NaN in all of them: comparisons with it are false, and arithmetic keeps it.

// torch.relu: -0 stays -0.
RUSHLIGHT_HOST_DEVICE inline float relu(float x) {
  return x < 0.0F ? 0.0F : x;
}
RUSHLIGHT_HOST_DEVICE inline float clamp(float x, float low, float high) {
  return x < low ? low : (x > high ? high : x);
}
RUSHLIGHT_HOST_DEVICE inline float hardsigmoid(float x) {
  return clamp(x + 3.0F, 0.0F, 6.0F) / 6.0F;
}
RUSHLIGHT_HOST_DEVICE inline float hardswish(float x) {
  return x * clamp(x + 3.0F, 0.0F, 6.0F) / 6.0F;
}
RUSHLIGHT_HOST_DEVICE inline float sigmoid(float x) {
  return 1.0F / (1.0F + expf(-x));
}
RUSHLIGHT_HOST_DEVICE inline float silu(float x) {
  return x / (1.0F + expf(-x));
}
// x * Phi(x) by way of erfc(), which does not cancel below 0.
RUSHLIGHT_HOST_DEVICE inline float gelu(float x) {
  constexpr float kRootOfHalf = 0.70710678118654752F;
  return 0.5F * x * erfcf(-x * kRootOfHalf);
}

RUSHLIGHT_HOST_DEVICE_CALL float activate_by_series(Activation::Kind kind, float x) {
  switch (kind) {
    case Activation::Kind::sigmoid:
      return sigmoid(x);
    case Activation::Kind::silu:
      return silu(x);
    case Activation::Kind::tanh:
      return tanhf(x);
    case Activation::Kind::gelu:
      return gelu(x);
    default:
      return x;
  }
}

RUSHLIGHT_HOST_DEVICE inline float activate(const Activation& activation, float x) {
  switch (activation.kind) {
    case Activation::Kind::none:
      return x;
    case Activation::Kind::relu:
      return relu(x);
    case Activation::Kind::clamp:
      return clamp(x, activation.low, activation.high);
    case Activation::Kind::hardsigmoid:
      return hardsigmoid(x);
    case Activation::Kind::hardswish:
      return hardswish(x);
    default:
      return activate_by_series(activation.kind, x);
  }
}

}  // namespace rushlight::cuda
