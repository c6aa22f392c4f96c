// Neighbouring floats that a thread moves together: four by one instruction of 16 bytes, or a single one where
// alignment is not known. Tests: CudaLanes.*
#pragma once

#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

template <int Width>
struct Lanes {
  float at[Width] = {};
};

// What nobody writes while the kernel runs.
template <int Width>
RUSHLIGHT_KERNEL Lanes<Width> load_lanes(const float* from) {
  Lanes<Width> lanes;
  if constexpr (Width == 4) {
    const Float4 four = load4_constant(from);
    RUSHLIGHT_UNROLL
    for (int i = 0; i < 4; ++i) lanes.at[i] = four.at[i];
  } else {
    static_assert(Width == 1);
    lanes.at[0] = load_constant(from);
  }
  return lanes;
}

// What this kernel may write as well: a residual below the output.
template <int Width>
RUSHLIGHT_KERNEL Lanes<Width> load_written_lanes(const float* from) {
  Lanes<Width> lanes;
  if constexpr (Width == 4) {
    const Float4 four = load4(from);
    RUSHLIGHT_UNROLL
    for (int i = 0; i < 4; ++i) lanes.at[i] = four.at[i];
  } else {
    static_assert(Width == 1);
    lanes.at[0] = *from;
  }
  return lanes;
}

template <int Width>
RUSHLIGHT_KERNEL void store_lanes(float* to, const Lanes<Width>& lanes) {
  if constexpr (Width == 4) {
    store4(to, {{lanes.at[0], lanes.at[1], lanes.at[2], lanes.at[3]}});
  } else {
    static_assert(Width == 1);
    *to = lanes.at[0];
  }
}

}  // namespace rushlight::cuda
