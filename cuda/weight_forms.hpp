// Forms of a plan's constants on the GPU: in which numbers, and in which order, a kernel reads them. Everything here is
// done on the host, once for each form of a constant that some call asks for (Needs in calls.hpp).
#pragma once

#include <compare>
#include <cstdint>

#include "runtime/plan.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::cuda {

enum class WeightForm : std::uint8_t {
  plain,  // as runtime::materialise() gives them
  // The weights of one output, [kh][kw][in / groups], are a row that begins at a multiple of 16 bytes: zeros fill it
  // up, so that 16 bytes are copied at a time whatever the layer's depth.
  f32_rows,
  bf16_rows,  // each float rounded to nearest, ties to even, as torch does
  fp16_rows,
  // Tiles of 64 outputs and a slab of k (32), each as wgmma finds it in shared memory: numbers in the order of
  // dealt_k(), at the places of WarpgroupRows. All slabs of 64 outputs follow each other; zeros fill the last tiles
  // up. TF32 is rounded as the GPU rounds it.
  bf16_dealt,
  fp16_dealt,
  tf32_dealt,
  // Each tile twice: the big parts of weight_parts(), and then the small ones.
  tf32x3_dealt,
  // [kh * kw * in / groups][out]: of a depthwise layer, neighbouring channels of a tap lie side by side.
  f32_transposed,
  // [position][out][in] of Winograd's F(2x2, 3x3) and F(4x4, 3x3), computed in double.
  winograd2,
  winograd4,
};

// Elements of one output in the forms above: from row to row, where they are rows.
[[nodiscard]] std::int64_t row_pitch(std::int64_t depth, WeightForm form) noexcept;

// A constant in one form: each is uploaded once.
struct WeightCopy {
  runtime::ConstantId constant = runtime::kNone;
  WeightForm form = WeightForm::plain;

  friend auto operator<=>(const WeightCopy&, const WeightCopy&) = default;
};

// What is uploaded for `values`, a materialised constant: the bytes of the tensor that comes back, in C order. Beside
// the values there is memory for one such tensor, or for two of 16 bits, and none for `plain`.
[[nodiscard]] Result<Tensor> in_form(Tensor values, WeightForm form);

// Of in_form() for values of this type.
[[nodiscard]] std::uint64_t form_bytes(const EdgeType& values, WeightForm form) noexcept;

}  // namespace rushlight::cuda
