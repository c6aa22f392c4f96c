#include "cuda/weight_forms.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/fail.hpp"
#include "cuda/kernels/warpgroup_gemm.cuh"
#include "runtime/winograd_filters.hpp"

namespace rushlight::cuda {
namespace {

constexpr std::int64_t kRowAlignment = 16;  // bytes: what one cp.async copies

bool is_dealt(WeightForm form) {
  return form == WeightForm::bf16_dealt || form == WeightForm::fp16_dealt || form == WeightForm::tf32_dealt ||
         form == WeightForm::tf32x3_dealt;
}
std::int64_t padded_outputs(std::int64_t outputs, WeightForm form) {
  return is_dealt(form) ? ceil_div<std::int64_t>(outputs, kWarpgroupColumns) * kWarpgroupColumns : outputs;
}
std::int64_t element_bytes(WeightForm form) {
  return form == WeightForm::bf16_rows || form == WeightForm::fp16_rows || form == WeightForm::bf16_dealt ||
                 form == WeightForm::fp16_dealt
             ? 2
             : 4;
}

// Tiles whose numbers lie where wgmma looks for them: one of stored(number, 0), one of stored(number, 1) and so on for
// all parts of a number.
template <class Number, class F>
Result<Tensor> dealt(const Tensor& rows, WeightForm form, int parts, F&& stored) {
  using Rows = WarpgroupRows<Number>;
  constexpr int kChunk = 16 / static_cast<int>(sizeof(Number));
  const std::int64_t outputs = rows.shape()[0];
  const std::int64_t depth = rows.numel() / outputs;
  const auto slabs = static_cast<std::int32_t>(ceil_div<std::int64_t>(depth, kMmaSlab));
  RUSHLIGHT_TRY_ASSIGN(Tensor moved,
                       Tensor::zeros(rows.dtype(), {padded_outputs(outputs, form), row_pitch(depth, form)}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, rows.bytes());
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, moved.mutable_bytes());
  for (std::int64_t place = 0; place < padded_outputs(outputs, form); ++place) {
    const std::int64_t columns64 = place / kWarpgroupColumns;
    const int row = static_cast<int>(place % kWarpgroupColumns);
    const std::int64_t output = columns64 * kWarpgroupColumns + Rows::column(row);
    if (output >= outputs) continue;
    for (std::int32_t slab = 0; slab < slabs; ++slab) {
      const std::int64_t k = std::int64_t{slab} * kMmaSlab;
      const auto count = static_cast<std::size_t>(std::min<std::int64_t>(depth - k, kMmaSlab));
      Number numbers[kMmaSlab] = {};
      std::memcpy(numbers, from.data() + static_cast<std::size_t>(output * depth + k) * sizeof(Number),
                  count * sizeof(Number));
      for (int part = 0; part < parts; ++part) {
        auto* const tile =
            reinterpret_cast<Number*>(to.data()) + weight_tile(columns64, slabs, slab, parts, part) * kWeightTile;
        for (int at = 0; at < kMmaSlab; ++at) {
          tile[Rows::place(row, at / kChunk) + at % kChunk] = stored(numbers[dealt_k(at, sizeof(Number) == 2)], part);
        }
      }
    }
  }
  return moved;
}
Result<Tensor> dealt_form(Tensor values, WeightForm form) {
  if (values.numel() == 0) return values;
  if (form == WeightForm::tf32_dealt) {
    return dealt<float>(values, form, 1, [](float value, int) { return float_of(round_tf32(value)); });
  }
  if (form == WeightForm::tf32x3_dealt) {
    return dealt<float>(values, form, 2, [](float value, int part) {
      const WeightParts parts = weight_parts(value);
      return part == 0 ? parts.big : parts.small;
    });
  }
  RUSHLIGHT_TRY_ASSIGN(const Tensor rounded, values.to(form == WeightForm::bf16_dealt ? DType::bf16 : DType::f16));
  values = Tensor();
  return dealt<std::uint16_t>(rounded, form, 1, [](std::uint16_t number, int) { return number; });
}

// [outputs][...] with rows filled up.
Result<Tensor> in_rows(Tensor values, WeightForm form) {
  const std::int64_t outputs = values.shape()[0];
  if (values.numel() == 0) return values;
  const std::int64_t depth = values.numel() / outputs;
  const std::int64_t pitch = row_pitch(depth, form);
  if (pitch == depth) return values;
  RUSHLIGHT_TRY_ASSIGN(Tensor rows, Tensor::zeros(values.dtype(), {outputs, pitch}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, values.bytes());
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, rows.mutable_bytes());
  const auto from_bytes = static_cast<std::size_t>(depth * element_bytes(form));
  const auto to_bytes = static_cast<std::size_t>(pitch * element_bytes(form));
  for (std::size_t output = 0; output < static_cast<std::size_t>(outputs); ++output) {
    std::memcpy(to.data() + output * to_bytes, from.data() + output * from_bytes, from_bytes);
  }
  return rows;
}

Result<std::span<float>> floats_of(Tensor& tensor) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, tensor.mutable_bytes());
  return std::span<float>(reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float));
}

// [depth][outputs] from [outputs][...].
Result<Tensor> transposed(const Tensor& values) {
  if (values.numel() == 0) return values;
  const std::int64_t outputs = values.shape()[0];
  const std::int64_t depth = values.numel() / outputs;
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> from, values.values<float>());
  RUSHLIGHT_TRY_ASSIGN(Tensor turned, Tensor::zeros(DType::f32, {depth, outputs}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<float> to, floats_of(turned));
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t output = i / static_cast<std::size_t>(depth);
    const std::size_t k = i % static_cast<std::size_t>(depth);
    to[k * static_cast<std::size_t>(outputs) + output] = from[i];
  }
  return turned;
}

// [position][outputs][inputs] from [outputs][3][3][inputs].
template <int T>
Result<Tensor> winograd_filters(const Tensor& values, const runtime::FilterMatrix<T>& g) {
  using Filters = runtime::FilterTransform<T>;
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> from, values.values<float>());
  const auto outputs = static_cast<std::size_t>(values.shape()[0]);
  const auto inputs = static_cast<std::size_t>(values.shape()[3]);
  RUSHLIGHT_TRY_ASSIGN(Tensor moved, Tensor::zeros(DType::f32, {static_cast<std::int64_t>(Filters::kPositions),
                                                                values.shape()[0], values.shape()[3]}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<float> all, floats_of(moved));
  Filters filters(g);
  for (std::size_t output = 0; output < outputs; ++output) {
    for (std::size_t first = 0; first < inputs; first += Filters::kRun) {
      const std::size_t count = std::min(Filters::kRun, inputs - first);
      for (std::size_t tap = 0; tap < 9; ++tap) {
        for (std::size_t i = 0; i < count; ++i) {
          filters.taps[tap][i] = static_cast<double>(from[(output * 9 + tap) * inputs + first + i]);
        }
      }
      filters.run();
      for (std::size_t position = 0; position < Filters::kPositions; ++position) {
        float* const to = all.data() + (position * outputs + output) * inputs + first;
        for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<float>(filters.moved[position][i]);
      }
    }
  }
  return moved;
}

// Rounded, in rows; the values are given up in between.
Result<Tensor> in_rows_of(DType dtype, Tensor values, WeightForm form) {
  RUSHLIGHT_TRY_ASSIGN(Tensor rounded, values.to(dtype));
  values = Tensor();
  return in_rows(std::move(rounded), form);
}

}  // namespace

std::int64_t row_pitch(std::int64_t depth, WeightForm form) noexcept {
  const std::int64_t step = is_dealt(form) ? kMmaSlab : kRowAlignment / element_bytes(form);
  if (form == WeightForm::plain) return depth;
  return (depth + step - 1) / step * step * (form == WeightForm::tf32x3_dealt ? 2 : 1);
}

std::uint64_t form_bytes(const EdgeType& values, WeightForm form) noexcept {
  std::int64_t elements = 1;
  for (const std::int64_t size : values.shape) elements *= size;
  if (elements == 0) return 0;
  const auto bytes = static_cast<std::uint64_t>(elements) * size_bytes(values.dtype);
  switch (form) {
    case WeightForm::plain:
    case WeightForm::f32_transposed:
      break;
    case WeightForm::f32_rows:
    case WeightForm::bf16_rows:
    case WeightForm::fp16_rows:
    case WeightForm::bf16_dealt:
    case WeightForm::fp16_dealt:
    case WeightForm::tf32_dealt:
    case WeightForm::tf32x3_dealt: {
      const std::int64_t outputs = values.shape[0];
      return static_cast<std::uint64_t>(padded_outputs(outputs, form) * row_pitch(elements / outputs, form) *
                                        element_bytes(form));
    }
    case WeightForm::winograd2:
      return bytes / 9 * runtime::FilterTransform<4>::kPositions;
    case WeightForm::winograd4:
      return bytes / 9 * runtime::FilterTransform<6>::kPositions;
  }
  return bytes;
}

Result<Tensor> in_form(Tensor values, WeightForm form) {
  switch (form) {
    case WeightForm::plain:
      break;
    case WeightForm::f32_rows:
      return in_rows(std::move(values), form);
    case WeightForm::f32_transposed:
      return transposed(values);
    case WeightForm::winograd2:
      return winograd_filters<4>(values, runtime::g_of_f2());
    case WeightForm::winograd4:
      return winograd_filters<6>(values, runtime::g_of_f4());
    case WeightForm::bf16_rows:
      return in_rows_of(DType::bf16, std::move(values), form);
    case WeightForm::fp16_rows:
      return in_rows_of(DType::f16, std::move(values), form);
    case WeightForm::bf16_dealt:
    case WeightForm::fp16_dealt:
    case WeightForm::tf32_dealt:
    case WeightForm::tf32x3_dealt:
      return dealt_form(std::move(values), form);
  }
  return values;
}

}  // namespace rushlight::cuda
