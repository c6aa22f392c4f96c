#include "runtime/cpu/packed_weights.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

std::size_t round_up(std::size_t count, std::size_t step) {
  return (count + step - 1) / step * step;
}

Result<std::shared_ptr<PackedArray>> allocate(std::size_t rows, std::size_t columns) {
  const auto count = checked_mul(rows, columns);
  const auto bytes = count ? checked_mul(*count, sizeof(float)) : std::nullopt;
  auto array = std::make_shared<PackedArray>();
  if (bytes) array->memory = AlignedBuffer::allocate(*bytes);
  if (array->memory.data() == nullptr) return no_memory_for(bytes.value_or(UINT64_MAX), "packed weights");
  std::fill_n(array->memory.floats(), *count, 0.0F);
  return array;
}

// [groups][outputs] with each group padded to whole panels, or one padded vector.
Result<std::shared_ptr<PackedArray>> pack_vector(std::span<const float> values, const PackedForm& form) {
  const std::size_t outputs = values.size() / form.groups;
  const std::size_t pitch = form.width == 0 ? outputs : panels_for(outputs, form.width) * form.width;
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, allocate(1, round_up(form.groups * pitch, kPanelPadding)));
  for (std::size_t group = 0; group < form.groups; ++group) {
    std::copy_n(values.data() + group * outputs, outputs, array->memory.floats() + group * pitch);
  }
  return array;
}

// From [groups * outputs][k].
Result<std::shared_ptr<PackedArray>> pack_panels(const Tensor& tensor, std::span<const float> values,
                                                 const PackedForm& form) {
  const std::size_t all_outputs = static_cast<std::size_t>(tensor.shape()[0]);
  const std::size_t depth = values.size() / all_outputs;
  const std::size_t outputs = all_outputs / form.groups;
  const std::size_t panels = panels_for(outputs, form.width);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, allocate(form.groups * panels * form.width, depth));
  float* panel = array->memory.floats();
  for (std::size_t group = 0; group < form.groups; ++group) {
    for (std::size_t first = 0; first < outputs; first += form.width, panel += depth * form.width) {
      const std::size_t count = std::min(form.width, outputs - first);
      const float* from = values.data() + (group * outputs + first) * depth;
      for (std::size_t o = 0; o < count; ++o) {
        for (std::size_t k = 0; k < depth; ++k) panel[k * form.width + o] = from[o * depth + k];
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
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, allocate(taps, pitch));
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t t = 0; t < taps; ++t) array->memory.floats()[t * pitch + c] = values[c * taps + t];
  }
  return array;
}

Result<std::shared_ptr<PackedArray>> pack(const PackedForm& form, const Network& network) {
  RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, materialise(form.constant, network));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, tensor.values<float>());
  switch (form.packing) {
    case Packing::panels:
      return pack_panels(tensor, values, form);
    case Packing::depthwise:
      return pack_depthwise(tensor, values);
    case Packing::winograd2:
    case Packing::winograd4: {
      const auto outputs = static_cast<std::size_t>(tensor.shape()[0]);
      const ConvAlgorithm algorithm =
          form.packing == Packing::winograd4 ? ConvAlgorithm::winograd4 : ConvAlgorithm::winograd2;
      return pack_winograd(values, outputs, values.size() / outputs / 9, form.width, algorithm);
    }
    case Packing::vector:
      break;
  }
  return pack_vector(values, form);
}

}  // namespace

Result<std::shared_ptr<const PackedArray>> CpuWeights::get(const PackedForm& form, const Network& network) {
  const std::lock_guard lock(mutex_);
  if (const auto found = arrays_.find(form); found != arrays_.end()) return found->second;
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const PackedArray> array, pack(form, network));
  arrays_.emplace(form, array);
  return array;
}

}  // namespace rushlight::runtime::cpu
