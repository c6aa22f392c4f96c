// Products of matrices that are both made at run time, and with weights, on the kernels of the convolutions.
//
// Sums are cut into runs of kRun products that are added up one after the other: less rounding than one long chain.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/packed_weights.hpp"

namespace rushlight::runtime::cpu {

inline constexpr std::size_t kProductRows = 96;  // that one call of a kernel takes
inline constexpr std::size_t kRun = 256;
inline constexpr std::size_t kShort = 64;

// One panel of B: panel[k][width] from element (k, n) at k * row + n * column; columns beyond `columns` are 0.
void pack_panel(const float* b, std::ptrdiff_t row, std::ptrdiff_t column, std::size_t depth, std::size_t columns,
                std::size_t width, float* panel) noexcept;

struct PanelProduct {
  const float* a = nullptr;  // rows of `depth` adjacent floats
  std::ptrdiff_t a_stride = 0;
  std::size_t rows = 0;
  std::size_t depth = 0;
  const float* panel = nullptr;  // [depth][width]
  std::size_t columns = 0;       // <= width
  const float* bias = nullptr;   // [width], or none
  float* output = nullptr;
  std::size_t output_stride = 0;
};
// output[r][n] = bias[n] + sum over k of a[r][k] * panel[k][n].
void multiply(const GemmKernel& kernel, const PanelProduct& product) noexcept;

// A linear layer that is part of an operator: its weights packed, shared by the sessions of a model.
class Projection {
 public:
  struct Options {
    std::size_t groups = 1;                    // of outputs, packed apart
    std::size_t zero_group = ~std::size_t{0};  // one whose bias is left out
    std::size_t bias_group = 0;                // where in the bias the first group begins, in groups
    bool short_in_double = false;              // sums of at most kShort products: where errors feed back
  };

  Projection() = default;
  // `weight` [groups * outputs, depth] and, unless it is empty, `bias` are names of parameters of the step's node.
  static Result<Projection> make(const Builder& b, std::string weight, std::string bias);
  static Result<Projection> make(const Builder& b, std::string weight, std::string bias, const Options& options);

  [[nodiscard]] std::size_t outputs() const noexcept { return outputs_; }
  [[nodiscard]] std::size_t depth() const noexcept { return depth_; }
  [[nodiscard]] std::size_t panels() const noexcept { return panels_; }

  // The panel's columns of some rows, to the same columns of the output.
  void run_panel(std::size_t group, std::size_t panel, const float* a, std::ptrdiff_t a_stride, std::size_t rows,
                 float* output, std::size_t output_stride) const noexcept;
  // All of them.
  void run(std::size_t group, const float* a, std::ptrdiff_t a_stride, std::size_t rows, float* output,
           std::size_t output_stride) const noexcept;

 private:
  std::size_t outputs_ = 0;
  std::size_t depth_ = 0;
  std::size_t panels_ = 0;  // of a group
  bool in_double_ = false;
  GemmKernel kernel_;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const AlignedBuffer> bias_;  // [groups][panels][width], or null
};

// Rows at a distance, in memory of a tensor or in the shared memory of a step (OpContext::shared).
struct Rows {
  TensorId tensor = kNone;
  std::size_t offset = 0;  // in floats
  std::ptrdiff_t stride = 0;
  std::ptrdiff_t batch_stride = 0;
};

// A projection of `rows` rows in each of `batches` batches.
void add_projection(Builder& b, const Projection& projection, std::size_t group, std::size_t batches, std::size_t rows,
                    Rows from, Rows to);

}  // namespace rushlight::runtime::cpu
