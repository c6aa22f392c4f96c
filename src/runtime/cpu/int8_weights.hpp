// Weights as 8-bit codes, symmetric about zero: weight = code * scale of its output, codes in -127 .. 127.
//
// The units of GemmCall's panels lie first, then for each column (a group's outputs, padded as its panels are) the
// scale and the sum of all its codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/constant.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

[[nodiscard]] constexpr bool is_int8(Packing packing) noexcept {
  return packing == Packing::int8_bytes || packing == Packing::int8_words || packing == Packing::int8_strips;
}

struct Int8Form {
  std::size_t codes_per_unit = 4;
  std::size_t tap_codes = 0;  // of one output and tap, room included
  std::size_t run_taps = 0;   // taps of a run
  std::size_t run_codes = 0;  // up to the next run: whole units
  std::size_t units = 0;      // of one output
  std::size_t columns = 0;    // of all groups, padded

  // `channels` of one group and tap.
  Int8Form(const PackedForm& form, std::size_t outputs, std::size_t channels, std::size_t pixels) noexcept;

  // Where the codes of a tap begin, among those of one output.
  [[nodiscard]] std::size_t first_code(std::size_t tap) const noexcept {
    return tap / run_taps * run_codes + tap % run_taps * tap_codes;
  }
};

struct Int8Weights {
  const float* units;
  const float* scales;
  const std::int32_t* sums;

  Int8Weights(const PackedArray& array, const Int8Form& form) noexcept
      : units(array.data()),
        scales(units + form.units * form.columns),
        sums(reinterpret_cast<const std::int32_t*>(scales + form.columns)) {}
};

// PackedArray::is_usual is false when a weight is infinite or NaN; the rest says nothing then.
[[nodiscard]] Result<std::shared_ptr<PackedArray>> pack_int8(const WeightSource& weight, const PackedForm& form);

}  // namespace rushlight::runtime::cpu
