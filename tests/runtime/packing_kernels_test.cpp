// The kernels that put weights into the order of the others, on every instruction set, against their definitions.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/all_kernels.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/winograd_filters.hpp"

namespace rushlight::test {
namespace {

using runtime::FilterMatrix;
using runtime::cpu::FilterCall;
using runtime::cpu::PackCall;

constexpr float kUntouched = 12345.0F;

// Weights with a factor for each output, or none.
struct Weights {
  std::size_t outputs = 0;
  std::size_t channels = 0;
  std::size_t pixels = 0;
  std::vector<float> values;
  std::vector<double> scales;

  Weights(std::size_t outputs_, std::size_t channels_, std::size_t pixels_, bool has_scales)
      : outputs(outputs_), channels(channels_), pixels(pixels_), values(outputs * channels * pixels) {
    std::mt19937 random(static_cast<unsigned>(outputs * 1009 + channels * 31 + pixels));
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random);
    for (std::size_t o = 0; o < outputs && has_scales; ++o) scales.push_back(static_cast<double>(normal(random)));
  }
  [[nodiscard]] double at(std::size_t output, std::size_t channel, std::size_t pixel) const {
    const auto value = static_cast<double>(values[(output * channels + channel) * pixels + pixel]);
    return scales.empty() ? value : value * scales[output];
  }
};

bool run_pack(const runtime::cpu::Kernels& kernels, const Weights& weights, std::size_t width, float* panel) {
  return kernels.pack({.from = weights.values.data(),
                       .outputs = weights.outputs,
                       .channels = weights.channels,
                       .pixels = weights.pixels,
                       .scales = weights.scales.empty() ? nullptr : weights.scales.data(),
                       .to = panel,
                       .width = width});
}

void expect_packed(const runtime::cpu::Kernels& kernels, const Weights& weights, std::size_t width) {
  SCOPED_TRACE(std::to_string(weights.outputs) + " of " + std::to_string(width) + ", " +
               std::to_string(weights.channels) + " x " + std::to_string(weights.pixels));
  std::vector<float> panel(weights.channels * weights.pixels * width + 1, kUntouched);
  EXPECT_TRUE(run_pack(kernels, weights, width, panel.data()));
  EXPECT_EQ(kUntouched, panel.back());
  for (std::size_t pixel = 0; pixel < weights.pixels; ++pixel) {
    for (std::size_t channel = 0; channel < weights.channels; ++channel) {
      for (std::size_t o = 0; o < width; ++o) {
        const float expected = o < weights.outputs ? static_cast<float>(weights.at(o, channel, pixel)) : 0.0F;
        ASSERT_EQ(expected, panel[(pixel * weights.channels + channel) * width + o])
            << "output " << o << ", channel " << channel << ", pixel " << pixel;
      }
    }
  }
}

TEST(PackingKernels, APanelHasEachWeightInItsPlace) {
  for (const NamedKernels& named : all_kernels()) {
    SCOPED_TRACE(named.name);
    for (const bool has_scales : {false, true}) {
      for (const std::size_t width : {16U, 32U, 64U}) {
        for (const std::size_t outputs : {std::size_t{1}, std::size_t{7}, width - 9, width}) {
          // Depths of less than a vector, of several and some more, and of more than one run.
          for (const std::size_t channels : {1U, 3U, 16U, 37U, 600U}) {
            for (const std::size_t pixels : {1U, 9U}) {
              expect_packed(*named.kernels, Weights(outputs, channels, pixels, has_scales), width);
            }
          }
        }
      }
    }
  }
}

TEST(PackingKernels, APanelSaysWhetherAllItsWeightsAreFinite) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const NamedKernels& named : all_kernels()) {
    SCOPED_TRACE(named.name);
    std::vector<float> panel(std::size_t{64} * 37 * 9);
    for (const bool has_scales : {false, true}) {
      for (const float odd : {kInf, -kInf, std::numeric_limits<float>::quiet_NaN()}) {
        for (const std::size_t output : {0U, 18U}) {
          for (std::size_t at = 0; at < 37 * 9; at += 13) {
            Weights weights(19, 37, 9, has_scales);
            weights.values[output * 37 * 9 + at] = odd;
            EXPECT_FALSE(run_pack(*named.kernels, weights, 64, panel.data())) << odd << " at " << output << ", " << at;
          }
        }
      }
    }
    Weights weights(19, 37, 9, false);
    weights.values[40] = -std::numeric_limits<float>::max();
    EXPECT_TRUE(run_pack(*named.kernels, weights, 64, panel.data()));
    weights.scales.assign(19, 2.0);
    EXPECT_FALSE(run_pack(*named.kernels, weights, 64, panel.data())) << "its product with the scale is infinite";
  }
}

template <int T>
std::vector<double> rows_of(const FilterMatrix<T>& matrix) {
  std::vector<double> rows;
  for (int row = 0; row < T; ++row) {
    for (int column = 0; column < 3; ++column) rows.push_back(matrix(row, column));
  }
  return rows;
}

constexpr std::uint32_t kMostBits = 0x53800000U;  // 2^40

// F(m x n): the kernel, and G of its columns and rows.
template <int H, int W>
struct Filters {
  FilterMatrix<H> rows;
  FilterMatrix<W> columns;
  bool (*kernel)(const FilterCall&);
};

template <int H, int W>
bool run_filters(const Filters<H, W>& filters, const Weights& weights, std::size_t width, std::vector<float>& panel) {
  const std::vector<double> g_rows = rows_of(filters.rows);
  const std::vector<double> g_columns = rows_of(filters.columns);
  panel.assign(static_cast<std::size_t>(H) * W * weights.channels * width + 1, kUntouched);
  FilterCall call;
  call.from = weights.values.data();
  call.outputs = weights.outputs;
  call.channels = weights.channels;
  call.scales = weights.scales.empty() ? nullptr : weights.scales.data();
  call.g_rows = g_rows.data();
  call.g_columns = g_columns.data();
  call.most_bits = kMostBits;
  call.to = panel.data();
  call.width = width;
  return filters.kernel(call);
}

template <class Check>
void for_all_filters(const runtime::cpu::Kernels& kernels, const Check& check) {
  check(Filters<4, 4>{runtime::g_of_f2(), runtime::g_of_f2(), kernels.winograd2.filters});
  check(Filters<4, 6>{runtime::g_of_f2(), runtime::g_of_f4(), kernels.winograd2x4.filters});
  check(Filters<6, 6>{runtime::g_of_f4(), runtime::g_of_f4(), kernels.winograd4.filters});
}

// One rounding of a sum that double has: half a unit in the last place, and what double's own roundings can add where
// terms cancel.
template <int H, int W>
void expect_filters(const Filters<H, W>& filters, const Weights& weights, std::size_t width) {
  SCOPED_TRACE("F(" + std::to_string(H - 2) + " x " + std::to_string(W - 2) + "), " + std::to_string(weights.outputs) +
               " of " + std::to_string(width) + ", " + std::to_string(weights.channels));
  std::vector<float> panel;
  EXPECT_TRUE(run_filters(filters, weights, width, panel));
  EXPECT_EQ(kUntouched, panel.back());
  for (std::size_t o = 0; o < width; ++o) {
    for (std::size_t channel = 0; channel < weights.channels; ++channel) {
      Eigen::Matrix<double, 3, 3> taps = Eigen::Matrix<double, 3, 3>::Zero();
      for (int tap = 0; tap < 9 && o < weights.outputs; ++tap) {
        taps(tap / 3, tap % 3) = weights.at(o, channel, static_cast<std::size_t>(tap));
      }
      const Eigen::Matrix<double, H, W> moved = filters.rows * taps * filters.columns.transpose();
      for (int position = 0; position < H * W; ++position) {
        const double expected = moved(position / W, position % W);
        const double found =
            static_cast<double>(panel[(static_cast<std::size_t>(position) * weights.channels + channel) * width + o]);
        ASSERT_NEAR(expected, found, std::abs(expected) * 6.0e-8 + taps.cwiseAbs().maxCoeff() * 1e-15)
            << "output " << o << ", channel " << channel << ", position " << position;
      }
    }
  }
}

TEST(PackingKernels, WinogradsFiltersAreTransformedInDouble) {
  for (const NamedKernels& named : all_kernels()) {
    SCOPED_TRACE(named.name);
    for (const bool has_scales : {false, true}) {
      for (const std::size_t width : {16U, 64U}) {
        for (const std::size_t outputs : {std::size_t{5}, width - 3, width}) {
          for (const std::size_t channels : {1U, 16U, 21U}) {
            const Weights weights(outputs, channels, 9, has_scales);
            for_all_filters(*named.kernels, [&](const auto& filters) { expect_filters(filters, weights, width); });
          }
        }
      }
    }
  }
}

// Weights of a stride of 2: for F(2) each line of three taps becomes its first, its outer two together, its last, its
// middle one.
TEST(PackingKernels, FiltersOfAStrideAreSumsOfTaps) {
  Eigen::Matrix<double, 4, 3> g;
  g << 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0;
  for (const NamedKernels& named : all_kernels()) {
    SCOPED_TRACE(named.name);
    for (const bool has_scales : {false, true}) {
      expect_filters(Filters<4, 4>{g, g, named.kernels->winograd2_strided.filters}, Weights(29, 21, 9, has_scales), 32);
      const FilterMatrix<6> g4 = runtime::g_of_f4_strided();
      expect_filters(Filters<6, 6>{g4, g4, named.kernels->winograd4_strided.filters}, Weights(29, 21, 9, has_scales),
                     32);
    }
  }
}

TEST(PackingKernels, AWeightThatIsNoUsualNumberIsSeenWhereverItStands) {
  std::vector<float> panel;
  for (const NamedKernels& named : all_kernels()) {
    SCOPED_TRACE(named.name);
    for (const float odd : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(), 2e13F, -2e13F}) {
      for (std::size_t at = 0; at < 17 * 9; at += 7) {
        for (const std::size_t output : {0U, 18U}) {
          Weights weights(19, 17, 9, false);
          weights.values[output * 17 * 9 + at] = odd;
          SCOPED_TRACE(std::to_string(odd) + " at " + std::to_string(output) + ", " + std::to_string(at));
          for_all_filters(*named.kernels,
                          [&](const auto& filters) { EXPECT_FALSE(run_filters(filters, weights, 32, panel)); });
        }
      }
    }
  }
}

}  // namespace
}  // namespace rushlight::test
