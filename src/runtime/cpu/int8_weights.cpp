#include "runtime/cpu/int8_weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/fail.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr float kMostCode = 127;

// Makes the codes of one output after the other and puts them into panels.
template <class Code>
class Packer {
 public:
  Packer(const WeightSource& weight, const Int8Form& sizes)
      : weight_(weight), sizes_(sizes), values_(weight.channels * weight.pixels) {}

  // Output `output` as column `column` of a panel. False when a weight is no number.
  bool run(std::size_t output, float* panel, std::size_t width, std::size_t column, float& scale, std::int32_t& sum) {
    const std::size_t depth = values_.size();
    float most = 0;
    bool is_usual = true;
    for (std::size_t i = 0; i < depth; ++i) {
      values_[i] = weight_.at(output, i / weight_.pixels, i % weight_.pixels);
      most = std::max(most, std::abs(values_[i]));
      is_usual &= std::isfinite(values_[i]);
    }
    // Of an output without weights, or with ones so small that their quotient is no number, the codes are 0.
    const float inverse = kMostCode / most;
    const bool is_zero = !is_usual || !std::isfinite(inverse);
    scale = is_zero ? 1.0F : most / kMostCode;
    sum = 0;
    for (std::size_t c = 0; c < weight_.channels; ++c) {
      for (std::size_t p = 0; p < weight_.pixels; ++p) {
        const float rounded = is_zero ? 0.0F : std::nearbyint(values_[c * weight_.pixels + p] * inverse);
        const auto code = static_cast<Code>(std::clamp(rounded, -kMostCode, kMostCode));
        sum += code;
        const std::size_t at = sizes_.first_code(p) + c;
        std::memcpy(reinterpret_cast<std::byte*>(panel + at / kPerUnit * width + column) + at % kPerUnit * sizeof code,
                    &code, sizeof code);
      }
    }
    return is_usual;
  }

 private:
  static constexpr std::size_t kPerUnit = 4 / sizeof(Code);

  const WeightSource& weight_;
  const Int8Form& sizes_;
  std::vector<float> values_;
};

template <class Code>
bool pack_all(const WeightSource& weight, const PackedForm& form, const Int8Form& sizes, PackedArray& array) {
  Packer<Code> packer(weight, sizes);
  const std::size_t outputs = weight.outputs / form.groups;
  const std::size_t panels = panels_for(outputs, form.width);
  float* const first = array.memory.floats();
  float* const scales = first + sizes.units * sizes.columns;
  auto* const sums = reinterpret_cast<std::int32_t*>(scales + sizes.columns);
  bool is_usual = true;
  for (std::size_t group = 0; group < form.groups; ++group) {
    for (std::size_t o = 0; o < outputs; ++o) {
      const std::size_t panel = o / form.width;
      const std::size_t before = (group * panels + panel) * form.width;  // columns; only the last panel is narrower
      const bool is_narrow = form.last_width != 0 && panel + 1 == panels;
      const std::size_t column = o % form.width;
      is_usual &=
          packer.run(group * outputs + o, first + before * sizes.units, is_narrow ? form.last_width : form.width,
                     column, scales[before + column], sums[before + column]);
    }
  }
  return is_usual;
}

}  // namespace

Int8Form::Int8Form(const PackedForm& form, std::size_t outputs, std::size_t channels, std::size_t pixels) noexcept
    : codes_per_unit(form.packing == Packing::int8_words ? 2 : 4),
      tap_codes(form.tap_operands == 0 ? channels : form.tap_operands),
      run_taps(form.run_taps == 0 ? std::max<std::size_t>(1, pixels) : form.run_taps) {
  const std::size_t whole = form.packing == Packing::int8_strips ? kLineWords * codes_per_unit : codes_per_unit;
  run_codes = round_up(run_taps * tap_codes, whole);
  units = pixels / run_taps * (run_codes / codes_per_unit);
  const std::size_t panels = panels_for(outputs / form.groups, form.width);
  const std::size_t last_width = form.last_width == 0 ? form.width : form.last_width;
  columns = panels == 0 ? 0 : form.groups * ((panels - 1) * form.width + last_width);
}

Result<std::shared_ptr<PackedArray>> pack_int8(const WeightSource& weight, const PackedForm& form) {
  const Int8Form sizes(form, weight.outputs, weight.channels, weight.pixels);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array, make_packed_array(sizes.columns, sizes.units + 2));
  std::fill_n(array->memory.floats(), sizes.columns * (sizes.units + 2), 0.0F);
  array->is_usual = form.packing == Packing::int8_words ? pack_all<std::int16_t>(weight, form, sizes, *array)
                                                        : pack_all<std::int8_t>(weight, form, sizes, *array);
  return array;
}

}  // namespace rushlight::runtime::cpu
