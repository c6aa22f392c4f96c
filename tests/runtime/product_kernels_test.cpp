// The kernels of products, on every instruction set, with as many outputs as leave a vector full, half full or with
// some.
#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/all_kernels.hpp"
#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::GemmCall;
using runtime::cpu::GemmKernel;

constexpr float kUntouched = 12345.0F;

std::vector<float> numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

struct Sizes {
  std::size_t rows;
  std::size_t segments;
  std::size_t segment_length;
  std::size_t chain;
};

// Rows of the operand, weights of one panel and what is added, enough for `width` outputs.
class Product {
 public:
  Product(const Sizes& shape, std::size_t width)
      : shape_(shape),
        width_(width),
        operand_(numbers(shape.rows * shape.segments * shape.segment_length, 1)),
        weights_(numbers(shape.segments * shape.segment_length * width, 2)),
        bias_(numbers(width, 3)),
        residual_(numbers(shape.rows * width, 4)) {
    for (std::size_t s = 0; s < shape.segments; ++s) {
      for (std::size_t row = 0; row < shape.rows; ++row) {
        pointers_.push_back(operand_.data() + (row * shape.segments + s) * shape.segment_length);
      }
    }
    if (!operand_.empty()) operand_[operand_.size() / 2] = std::numeric_limits<float>::infinity();
  }

  // [row][width], untouched behind `columns`.
  [[nodiscard]] std::vector<float> run(const GemmKernel& kernel, std::size_t columns, bool has_bias, bool has_residual,
                                       bool has_bounds) const {
    std::vector<float> output(shape_.rows * width_, kUntouched);
    GemmCall call;
    call.rows = pointers_.data();
    call.row_pitch = call.row_count = shape_.rows;
    call.segments = shape_.segments;
    call.segment_length = shape_.segment_length;
    call.chain = shape_.chain;
    call.weights = weights_.data();
    call.bias = has_bias ? bias_.data() : nullptr;
    call.panel_count = 1;
    call.columns = columns;
    call.output = output.data();
    call.output_stride = call.residual_stride = width_;
    call.residual = has_residual ? residual_.data() : nullptr;
    if (has_bounds) call.bounds = {.active = true, .low = -1.0F, .high = 2.5F};
    kernel.run(call);
    return output;
  }

 private:
  Sizes shape_;
  std::size_t width_;
  std::vector<float> operand_;
  std::vector<float> weights_;
  std::vector<float> bias_;
  std::vector<float> residual_;
  std::vector<const float*> pointers_;
};

// A vector that is not full is computed by other instructions, and perhaps by other kernels: never with other bits.
TEST(Products, OfPartsOfAPanelHaveTheBitsOfAWholeOne) {
  for (const auto& [name, kernels] : all_kernels()) {
    for (const GemmKernel& kernel : kernels->gemm) {
      if (kernel.run == nullptr) continue;
      for (const Sizes& shape : std::vector<Sizes>{{1, 1, 40, 128},
                                                   {5, 1, 16, 128},
                                                   {8, 2, 24, 128},
                                                   {23, 3, 100, 128},
                                                   {97, 1, 144, 128},
                                                   {10, 9, 60, 128},
                                                   {13, 4, 16, 16},
                                                   {7, 9, 5, 16},
                                                   {9, 1, 0, 128}}) {
        const Product product(shape, kernel.width);
        for (int kind = 0; kind < 8; ++kind) {
          const bool has_bias = (kind & 1) != 0;
          const bool has_residual = (kind & 2) != 0;
          const bool has_bounds = (kind & 4) != 0;
          const std::vector<float> whole = product.run(kernel, kernel.width, has_bias, has_residual, has_bounds);
          for (const std::size_t less :
               {std::size_t{1}, std::size_t{3}, std::size_t{4}, std::size_t{8}, std::size_t{9}}) {
            if (less >= kernel.width) continue;
            const std::size_t columns = kernel.width - less;
            const std::vector<float> part = product.run(kernel, columns, has_bias, has_residual, has_bounds);
            for (std::size_t i = 0; i < part.size(); ++i) {
              const float expected = i % kernel.width < columns ? whole[i] : kUntouched;
              const bool is_same = part[i] == expected || (part[i] != part[i] && expected != expected);
              ASSERT_TRUE(is_same) << name << ", " << columns << " of " << kernel.width << " outputs, " << shape.rows
                                   << " rows of " << shape.segments << " x " << shape.segment_length << ", kind "
                                   << kind << ": " << part[i] << " is not " << expected;
            }
          }
        }
      }
    }
  }
}

// Weights that must not be read are NaN: those of zeros, once there are enough of them.
TEST(Products, OfOneRowSkipWhatStandsAtZeros) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [name, kernels] : all_kernels()) {
    for (const GemmKernel& kernel : kernels->gemm) {
      if (kernel.run == nullptr) continue;
      for (const Sizes& shape : std::vector<Sizes>{{1, 1, 1, 128},
                                                   {1, 1, 15, 128},
                                                   {1, 1, 16, 64},
                                                   {1, 1, 784, 128},
                                                   {1, 1, 333, 64},
                                                   {1, 9, 5, 16},
                                                   {1, 4, 40, 128},
                                                   {1, 2, 130, 64}}) {
        const std::size_t depth = shape.segments * shape.segment_length;
        for (const std::size_t panels : {1U, 2U, 5U, 13U}) {
          const std::size_t columns = panels * kernel.width - 3;
          for (const double zeros : {0.0, 0.1, 0.4, 0.9, 1.0}) {
            std::vector<float> operand = numbers(depth, 1);
            std::vector<float> weights = numbers(panels * depth * kernel.width, 2);
            const std::vector<float> bias = numbers(panels * kernel.width, 3);
            std::mt19937 random(5);
            for (std::size_t i = 0; i < depth; ++i) {
              if (std::uniform_real_distribution<double>()(random) < zeros) operand[i] = i % 3 == 0 ? -0.0F : 0.0F;
            }
            // The smallest number of all is none of them.
            operand[depth / 2] = std::numeric_limits<float>::denorm_min();
            std::vector<const float*> pointers;
            for (std::size_t s = 0; s < shape.segments; ++s) {
              pointers.push_back(operand.data() + s * shape.segment_length);
            }
            const auto run = [&](bool skips_zeros) {
              std::vector<float> output(columns, kUntouched);
              GemmCall call;
              call.rows = pointers.data();
              call.row_pitch = call.row_count = 1;
              call.segments = shape.segments;
              call.segment_length = shape.segment_length;
              call.chain = shape.chain;
              call.weights = weights.data();
              call.bias = bias.data();
              call.panel_count = panels;
              call.columns = columns;
              call.output = output.data();
              call.output_stride = columns;
              call.skips_zeros = skips_zeros;
              kernel.run(call);
              return output;
            };
            SCOPED_TRACE(name + ", width " + std::to_string(kernel.width) + ", " + std::to_string(shape.segments) +
                         " x " + std::to_string(shape.segment_length) + ", " + std::to_string(panels) +
                         " panels, zeros " + std::to_string(zeros));
            const std::vector<float> expected = run(false);
            ASSERT_EQ(expected, run(true));
            if (zeros < 0.9 || shape.segment_length < 16) continue;
            for (std::size_t i = 0; i < weights.size(); ++i) {
              if (operand[i / kernel.width % depth] == 0.0F) weights[i] = kNan;
            }
            ASSERT_EQ(expected, run(true)) << "a weight that stands at a zero was read";
            operand[depth / 2] = kNan;
            for (const float value : run(true)) ASSERT_TRUE(value != value) << "NaN is no zero";
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rushlight::test
