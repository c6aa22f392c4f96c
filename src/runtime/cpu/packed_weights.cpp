#include "runtime/cpu/packed_weights.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/float_codes.hpp"
#include "runtime/cpu/evict.hpp"
#include "runtime/cpu/int8_weights.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/line_filter.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

Result<std::shared_ptr<PackedArray>> allocate_zeros(std::size_t rows, std::size_t columns) {
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, make_packed_array(rows, columns));
  std::fill_n(array->memory.floats(), rows * columns, 0.0F);
  return array;
}

// [groups][outputs] with each group padded to whole panels, or one padded vector.
Result<std::shared_ptr<PackedArray>> pack_vector(std::span<const float> values, const PackedForm& form) {
  const std::size_t outputs = values.size() / form.groups;
  const std::size_t pitch = form.width == 0 ? outputs : panels_for(outputs, form.width) * form.width;
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array,
                       allocate_zeros(1, round_up(form.groups * pitch, kPanelPadding)));
  for (std::size_t group = 0; group < form.groups; ++group) {
    std::copy_n(values.data() + group * outputs, outputs, array->memory.floats() + group * pitch);
  }
  return array;
}

// Outputs [first, first + count) as one panel [pixel][channel][width]; false where one of them is not finite.
bool pack_panel(const WeightSource& weight, std::size_t first, std::size_t count, std::size_t width,
                const Kernels& kernels, float* panel) {
  return kernels.pack({.from = weight.values.data() + first * weight.channels * weight.pixels,
                       .outputs = count,
                       .channels = weight.channels,
                       .pixels = weight.pixels,
                       .scales = weight.scales.empty() ? nullptr : weight.scales.data() + first,
                       .to = panel,
                       .width = width});
}

Result<std::shared_ptr<PackedArray>> pack_panels(const WeightSource& weight, const PackedForm& form,
                                                 const Kernels& kernels) {
  const std::size_t depth = weight.channels * weight.pixels;
  const std::size_t outputs = weight.outputs / form.groups;
  const std::size_t panels = panels_for(outputs, form.width);
  const std::size_t last_width = form.last_width == 0 ? form.width : form.last_width;
  const std::size_t columns = panels == 0 ? 0 : (panels - 1) * form.width + last_width;
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, make_packed_array(form.groups * columns, depth));
  float* panel = array->memory.floats();
  for (std::size_t group = 0; group < form.groups; ++group) {
    for (std::size_t i = 0; i + 1 < panels; ++i, panel += depth * form.width) {
      array->is_usual &= pack_panel(weight, group * outputs + i * form.width, form.width, form.width, kernels, panel);
    }
    if (panels == 0) continue;
    const std::size_t done = (panels - 1) * form.width;
    array->is_usual &= pack_panel(weight, group * outputs + done, outputs - done, last_width, kernels, panel);
    panel += depth * last_width;
  }
  return array;
}

// Rows of a panel [tap][channel] in the order of a strip's operands, and `none` where there is room without one.
std::vector<std::size_t> operand_rows(const WeightSource& weight, const PackedForm& form, std::size_t none) {
  const std::size_t run_taps = form.run_taps == 0 ? weight.pixels : form.run_taps;
  const std::size_t tap_operands = form.tap_operands == 0 ? weight.channels : form.tap_operands;
  std::vector<std::size_t> rows;
  for (std::size_t tap = 0; tap < weight.pixels; ++tap) {
    for (std::size_t i = 0; i < tap_operands; ++i) {
      rows.push_back(i < weight.channels ? tap * weight.channels + i : none);
    }
    if ((tap + 1) % run_taps == 0) rows.resize(round_up(rows.size(), 2 * kLineWords), none);
  }
  return rows;
}

// Strip after strip through a panel of floats, [k][16]: two of its rows are a row of words.
Result<std::shared_ptr<PackedArray>> pack_bf16_strips(const WeightSource& weight, const PackedForm& form,
                                                      const Kernels& kernels) {
  const std::size_t depth = weight.channels * weight.pixels;
  const std::vector<std::size_t> rows = operand_rows(weight, form, depth);
  const std::size_t outputs = weight.outputs / form.groups;
  const std::size_t strips = panels_for(outputs, kStripOutputs);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array,
                       make_packed_array(form.groups * strips, rows.size() / 2 * kStripOutputs));
  std::vector<float> panel((depth + 1) * kStripOutputs, 0.0F);  // the last row stays zeros
  auto* to = reinterpret_cast<std::uint16_t*>(array->memory.data());
  for (std::size_t group = 0; group < form.groups; ++group) {
    for (std::size_t first = 0; first < outputs; first += kStripOutputs) {
      array->is_usual &= pack_panel(weight, group * outputs + first, std::min(kStripOutputs, outputs - first),
                                    kStripOutputs, kernels, panel.data());
      for (std::size_t i = 0; i < rows.size(); i += 2) {
        const float* const even = panel.data() + rows[i] * kStripOutputs;
        const float* const odd = panel.data() + rows[i + 1] * kStripOutputs;
        for (std::size_t o = 0; o < kStripOutputs; ++o, to += 2) {
          to[0] = f32_to_bf16(even[o]);
          to[1] = f32_to_bf16(odd[o]);
        }
      }
    }
  }
  return array;
}

// From [channels][taps].
Result<std::shared_ptr<PackedArray>> pack_depthwise(const Tensor& tensor, std::span<const float> values) {
  const std::size_t channels = static_cast<std::size_t>(tensor.shape()[0]);
  const std::size_t taps = values.size() / channels;
  const std::size_t pitch = round_up(channels, kPanelPadding);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, allocate_zeros(taps, pitch));
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t t = 0; t < taps; ++t) array->memory.floats()[t * pitch + c] = values[c * taps + t];
  }
  return array;
}

Result<std::shared_ptr<PackedArray>> pack(const PackedForm& form, const Network& network, const Kernels& kernels) {
  const bool is_weight = form.constant.form == Form::conv_weight || form.constant.form == Form::linear_weight;
  if (is_weight && form.packing != Packing::depthwise) {
    RUSHLIGHT_TRY_ASSIGN(const WeightSource weight, find_weight(form.constant, network));
    if (form.packing == Packing::panels) return pack_panels(weight, form, kernels);
    if (form.packing == Packing::bf16_strips) return pack_bf16_strips(weight, form, kernels);
    if (is_int8(form.packing)) return pack_int8(weight, form);
    if (const LineForm* const lines = line_form(form.packing)) return pack_line_filter(weight, form.width, *lines);
    return pack_winograd(weight, form.width, *winograd_form(form.packing), kernels);
  }
  RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, materialise(form.constant, network));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, tensor.values<float>());
  if (form.packing == Packing::depthwise) return pack_depthwise(tensor, values);
  if (form.packing == Packing::vector) return pack_vector(values, form);
  // Other matrices, as they are: [outputs][...].
  WeightSource matrix;
  matrix.tensor = tensor;
  matrix.values = values;
  matrix.outputs = static_cast<std::size_t>(tensor.shape()[0]);
  matrix.channels = matrix.outputs == 0 ? 0 : values.size() / matrix.outputs;
  matrix.pixels = 1;
  return pack_panels(matrix, form, kernels);
}

}  // namespace

Result<std::shared_ptr<PackedArray>> make_packed_array(std::size_t rows, std::size_t columns) {
  const auto count = checked_mul(rows, columns);
  const auto bytes = count ? checked_mul(*count, sizeof(float)) : std::nullopt;
  auto array = std::make_shared<PackedArray>();
  if (bytes) array->memory = AlignedBuffer::allocate(*bytes);
  if (array->memory.data() == nullptr) return no_memory_for(bytes.value_or(UINT64_MAX), "packed weights");
  return array;
}

Result<std::shared_ptr<const PackedArray>> CpuWeights::get(const PackedForm& form, const Network& network) {
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Entry>& found = entries_[form];
    if (found == nullptr) found = std::make_shared<Entry>();
    entry = found;
  }
  const std::lock_guard lock(entry->mutex);
  if (entry->array == nullptr) {
    RUSHLIGHT_TRY_ASSIGN(entry->array, pack(form, network, kernels_));
  }
  return entry->array;
}

void CpuWeights::evict() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [form, entry] : entries_) {
    const std::lock_guard entry_lock(entry->mutex);
    if (entry->array != nullptr) cpu::evict(entry->array->memory);
  }
}

}  // namespace rushlight::runtime::cpu
