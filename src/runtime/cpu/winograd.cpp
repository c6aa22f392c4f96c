#include "runtime/cpu/winograd.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/fail.hpp"
#include "runtime/winograd_filters.hpp"

namespace rushlight::runtime::cpu {
namespace {

// For 2 or 4 outputs along a line: rows of 3. F(2) of stride 2 has none: its kernel adds taps up.
std::vector<double> filter_rows(std::size_t outputs, std::size_t stride) {
  if (stride == 2 && outputs == 2) return {};
  const Eigen::MatrixXd points = stride == 2    ? Eigen::MatrixXd(g_of_f4_strided())
                                 : outputs == 4 ? Eigen::MatrixXd(g_of_f4())
                                                : Eigen::MatrixXd(g_of_f2());
  const Eigen::Matrix<double, Eigen::Dynamic, 3, Eigen::RowMajor> g = points;
  return {g.data(), g.data() + g.size()};
}

}  // namespace

Result<std::shared_ptr<PackedArray>> pack_winograd(const WeightSource& weight, std::size_t width,
                                                   const WinogradForm& form, const Kernels& kernels) {
  const WinogradTiling& tiling = form.tiling;
  const std::size_t panels = panels_for(weight.outputs, width);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array,
                       make_packed_array(panels * width, tiling.filters() * weight.channels));
  const std::vector<double> g_rows = filter_rows(tiling.outputs_down, tiling.stride);
  const std::vector<double> g_columns = filter_rows(tiling.outputs_across, tiling.stride);
  FilterCall call;
  call.channels = weight.channels;
  call.g_rows = g_rows.data();
  call.g_columns = g_columns.data();
  call.most_bits = std::bit_cast<std::uint32_t>(kMostWinogradWeight);
  call.width = width;
  for (std::size_t first = 0; first < weight.outputs; first += width) {
    call.from = weight.values.data() + first * weight.channels * 9;
    call.outputs = std::min(width, weight.outputs - first);
    call.scales = weight.scales.empty() ? nullptr : weight.scales.data() + first;
    call.to = array->memory.floats() + first * weight.channels * tiling.filters();
    array->is_usual &= (kernels.*form.kernels).filters(call);
  }
  return array;
}

}  // namespace rushlight::runtime::cpu
