#include "runtime/cpu/general/products.hpp"

#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {

void pack_panel(const float* b, std::ptrdiff_t row, std::ptrdiff_t column, std::size_t depth, std::size_t columns,
                std::size_t width, float* panel) noexcept {
  if (column == 1) {
    for (std::size_t k = 0; k < depth; ++k, b += row, panel += width) {
      std::copy_n(b, columns, panel);
      std::fill(panel + columns, panel + width, 0.0F);
    }
    return;
  }
  for (std::size_t n = 0; n < width; ++n) {
    const float* from = b + static_cast<std::ptrdiff_t>(n) * column;
    for (std::size_t k = 0; k < depth; ++k) {
      panel[k * width + n] = n < columns ? from[static_cast<std::ptrdiff_t>(k) * row] : 0.0F;
    }
  }
}

void multiply(const GemmKernel& kernel, const PanelProduct& product) noexcept {
  const float* pointers[kProductRows];
  for (std::size_t first = 0; first < product.rows; first += kProductRows) {
    const std::size_t rows = std::min(kProductRows, product.rows - first);
    GemmCall call;
    call.rows = pointers;
    call.row_pitch = call.row_count = rows;
    call.segments = 1;
    call.panel_count = 1;
    call.columns = product.columns;
    call.output = product.output + first * product.output_stride;
    call.output_stride = product.output_stride;
    call.bias = product.bias;
    std::size_t k = 0;
    do {
      call.segment_length = std::min(kRun, product.depth - k);
      for (std::size_t r = 0; r < rows; ++r) {
        pointers[r] = product.a + static_cast<std::ptrdiff_t>(first + r) * product.a_stride + k;
      }
      call.weights = product.panel + k * kernel.width;
      kernel.run(call);
      call.bias = nullptr;
      call.residual = call.output;
      call.residual_stride = call.output_stride;
      k += call.segment_length;
    } while (k < product.depth);
  }
}

Result<Projection> Projection::make(const Builder& b, std::string weight, std::string bias) {
  return make(b, std::move(weight), std::move(bias), Options());
}

Result<Projection> Projection::make(const Builder& b, std::string weight, std::string bias, const Options& options) {
  const std::size_t groups = options.groups;
  Projection projection;
  RUSHLIGHT_TRY_ASSIGN(const Shape shape, b.parameter_shape(weight));
  projection.outputs_ = size_of(shape[0]) / groups;
  projection.depth_ = size_of(shape[1]);
  projection.in_double_ = options.short_in_double && projection.depth_ <= kShort;
  projection.kernel_ = choose_gemm(b.kernels(), projection.outputs_, false).kernel;
  const std::size_t width = projection.kernel_.width;
  projection.panels_ = panels_for(projection.outputs_, width);
  RUSHLIGHT_TRY_ASSIGN(
      projection.weights_,
      b.context().weights.get({.constant = {.form = Form::parameter, .node = b.weights_node(), .name = weight},
                               .packing = Packing::panels,
                               .width = width,
                               .groups = groups},
                              b.context().network));
  if (bias.empty()) return projection;
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> biases, b.parameter(bias));
  const std::size_t pitch = projection.panels_ * width;
  auto memory = std::make_shared<AlignedBuffer>(AlignedBuffer::allocate(groups * pitch * sizeof(float)));
  if (memory->data() == nullptr) return no_memory_for(groups * pitch * sizeof(float), "packed weights");
  std::fill_n(memory->floats(), groups * pitch, 0.0F);
  for (std::size_t group = 0; group < groups; ++group) {
    if (group == options.zero_group) continue;
    std::copy_n(biases.data() + (options.bias_group + group) * projection.outputs_, projection.outputs_,
                memory->floats() + group * pitch);
  }
  projection.bias_ = std::move(memory);
  return projection;
}

void Projection::run_panel(std::size_t group, std::size_t panel, const float* a, std::ptrdiff_t a_stride,
                           std::size_t rows, float* output, std::size_t output_stride) const noexcept {
  const std::size_t width = kernel_.width;
  const std::size_t index = group * panels_ + panel;
  PanelProduct product;
  product.a = a;
  product.a_stride = a_stride;
  product.rows = rows;
  product.depth = depth_;
  product.panel = weights_->data() + index * depth_ * width;
  product.columns = std::min(width, outputs_ - panel * width);
  product.bias = bias_ == nullptr ? nullptr : bias_->floats() + index * width;
  product.output = output + panel * width;
  product.output_stride = output_stride;
  if (!in_double_) return multiply(kernel_, product);
  for (std::size_t r = 0; r < rows; ++r) {
    const float* row = a + static_cast<std::ptrdiff_t>(r) * a_stride;
    for (std::size_t n = 0; n < product.columns; ++n) {
      double sum = product.bias == nullptr ? 0.0 : static_cast<double>(product.bias[n]);
      for (std::size_t k = 0; k < depth_; ++k) {
        sum += static_cast<double>(row[k]) * static_cast<double>(product.panel[k * width + n]);
      }
      product.output[r * output_stride + n] = static_cast<float>(sum);
    }
  }
}

void Projection::run(std::size_t group, const float* a, std::ptrdiff_t a_stride, std::size_t rows, float* output,
                     std::size_t output_stride) const noexcept {
  for (std::size_t panel = 0; panel < panels_; ++panel) {
    run_panel(group, panel, a, a_stride, rows, output, output_stride);
  }
}

void add_projection(Builder& b, const Projection& projection, std::size_t group, std::size_t batches, std::size_t rows,
                    Rows from, Rows to) {
  // Batches that follow one another are one.
  if (batches > 1 && from.batch_stride == static_cast<std::ptrdiff_t>(rows) * from.stride &&
      to.batch_stride == static_cast<std::ptrdiff_t>(rows) * to.stride) {
    rows *= batches;
    batches = 1;
  }
  // A panel passes over several blocks of rows, so that it is read from memory once.
  constexpr std::size_t kTaskRows = 4 * kProductRows;
  const std::size_t blocks = parts_of(rows, kTaskRows);
  const std::size_t panels = projection.panels();
  const double operations =
      2.0 * static_cast<double>(batches * rows) * static_cast<double>(projection.depth() * projection.outputs());
  b.add(batches * blocks * panels, operations, 0, [=](std::size_t task, const Frame& frame) {
    const std::size_t batch = task / panels / blocks;
    const Range range = part_range(task / panels % blocks, rows, kTaskRows);
    const auto first = static_cast<std::ptrdiff_t>(range.first);
    const auto item = static_cast<std::ptrdiff_t>(batch);
    projection.run_panel(group, task % panels,
                         frame.at(from.tensor) + from.offset + item * from.batch_stride + first * from.stride,
                         from.stride, range.last - range.first,
                         frame.at(to.tensor) + to.offset + item * to.batch_stride + first * to.stride,
                         static_cast<std::size_t>(to.stride));
  });
}

}  // namespace rushlight::runtime::cpu
