#include "cuda/weight_forms.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "runtime/winograd_filters.hpp"

namespace rushlight::cuda {
namespace {

constexpr std::int64_t kRowAlignment = 16;  // bytes: what one cp.async copies

std::int64_t element_bytes(WeightForm form) {
  return form == WeightForm::bf16_rows || form == WeightForm::fp16_rows ? 2 : 4;
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

// [depth][outputs] from [outputs][...].
Result<Tensor> transposed(const Tensor& values) {
  if (values.numel() == 0) return values;
  const std::int64_t outputs = values.shape()[0];
  const std::int64_t depth = values.numel() / outputs;
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> from, values.values<float>());
  std::vector<float> turned(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t output = i / static_cast<std::size_t>(depth);
    const std::size_t k = i % static_cast<std::size_t>(depth);
    turned[k * static_cast<std::size_t>(outputs) + output] = from[i];
  }
  return Tensor::from_values<float>(turned, {depth, outputs});
}

// [position][outputs][inputs] from [outputs][3][3][inputs].
template <int T>
Result<Tensor> winograd_filters(const Tensor& values, const runtime::FilterMatrix<T>& g) {
  using Filters = runtime::FilterTransform<T>;
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> from, values.values<float>());
  const auto outputs = static_cast<std::size_t>(values.shape()[0]);
  const auto inputs = static_cast<std::size_t>(values.shape()[3]);
  std::vector<float> moved(Filters::kPositions * outputs * inputs);
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
        float* const to = moved.data() + (position * outputs + output) * inputs + first;
        for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<float>(filters.moved[position][i]);
      }
    }
  }
  return Tensor::from_values<float>(
      moved, {static_cast<std::int64_t>(Filters::kPositions), values.shape()[0], values.shape()[3]});
}

}  // namespace

std::int64_t row_pitch(std::int64_t depth, WeightForm form) noexcept {
  const std::int64_t step = kRowAlignment / element_bytes(form);
  return form == WeightForm::plain ? depth : (depth + step - 1) / step * step;
}

Result<Tensor> in_form(const Tensor& values, WeightForm form) {
  switch (form) {
    case WeightForm::plain:
      break;
    case WeightForm::f32_rows:
      return in_rows(values, form);
    case WeightForm::f32_transposed:
      return transposed(values);
    case WeightForm::winograd2:
      return winograd_filters<4>(values, runtime::g_of_f2());
    case WeightForm::winograd4:
      return winograd_filters<6>(values, runtime::g_of_f4());
    case WeightForm::bf16_rows: {
      RUSHLIGHT_TRY_ASSIGN(Tensor rounded, values.to(DType::bf16));
      return in_rows(std::move(rounded), form);
    }
    case WeightForm::fp16_rows: {
      RUSHLIGHT_TRY_ASSIGN(Tensor rounded, values.to(DType::f16));
      return in_rows(std::move(rounded), form);
    }
  }
  return values;
}

}  // namespace rushlight::cuda
