#include "runtime/cpu/winograd.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "base/fail.hpp"
#include "runtime/winograd_filters.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Values that pass WinogradInputCall's test are below 2^64, their transforms below 2^69: sums of 2^16 products with
// these stay finite.
constexpr float kMostWeight = 1099511627776.0F;  // 2^40

template <int T>
bool transform(const FilterMatrix<T>& matrix, const WeightSource& weight, std::size_t width, const Kernels& kernels,
               float* to) {
  double g[T][3];
  for (int row = 0; row < T; ++row) {
    for (int column = 0; column < 3; ++column) g[row][column] = matrix(row, column);
  }
  FilterCall call;
  call.channels = weight.channels;
  call.g = g[0];
  call.most_bits = std::bit_cast<std::uint32_t>(kMostWeight);
  call.width = width;
  bool is_usual = true;
  for (std::size_t first = 0; first < weight.outputs; first += width) {
    call.from = weight.values.data() + first * weight.channels * 9;
    call.outputs = std::min(width, weight.outputs - first);
    call.scales = weight.scales.empty() ? nullptr : weight.scales.data() + first;
    call.to = to + first * weight.channels * T * T;
    is_usual &= (T == 6 ? kernels.winograd4 : kernels.winograd2).filters(call);
  }
  return is_usual;
}

}  // namespace

Result<std::shared_ptr<PackedArray>> pack_winograd(const WeightSource& weight, std::size_t width,
                                                   ConvAlgorithm algorithm, const Kernels& kernels) {
  const std::size_t positions = winograd_tile(algorithm) * winograd_tile(algorithm);
  const std::size_t panels = panels_for(weight.outputs, width);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array,
                       make_packed_array(panels * width, positions * weight.channels));
  float* const to = array->memory.floats();
  array->is_usual = algorithm == ConvAlgorithm::winograd4 ? transform<6>(g_of_f4(), weight, width, kernels, to)
                                                          : transform<4>(g_of_f2(), weight, width, kernels, to);
  return array;
}

}  // namespace rushlight::runtime::cpu
