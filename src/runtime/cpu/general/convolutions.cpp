// Conv3d and transposed convolutions: for each tap of the window a product of a line of pixels with the tap's weights.
// Fold, Unfold and Bilinear.
#include <algorithm>
#include <memory>
#include <vector>

#include "base/fail.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/pictures.hpp"
#include "runtime/cpu/general/products.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Where the input pixel of output place o and tap k is, along one dimension; -1 where there is none.
struct TapRule {
  bool is_transposed = false;
  Triple kernel{1, 1};
  Triple stride{1, 1};
  Triple padding{0, 0};
  Triple dilation{1, 1};

  [[nodiscard]] std::ptrdiff_t source(std::size_t dim, std::ptrdiff_t o, std::ptrdiff_t k,
                                      std::ptrdiff_t size) const noexcept {
    std::ptrdiff_t place = 0;
    if (is_transposed) {
      place = o + padding[dim] - k * dilation[dim];
      if (place < 0 || place % stride[dim] != 0) return -1;
      place /= stride[dim];
    } else {
      place = o * stride[dim] - padding[dim] + k * dilation[dim];
    }
    return place < 0 || place >= size ? -1 : place;
  }
};

// A task computes the outputs of one line, or of those places of it that see the same taps (transposed).
Status add_taps(Builder& b, std::size_t spatial, const TapRule& rule, std::size_t groups, bool has_bias) {
  const Picture in(b.input(), spatial);
  const Picture out(b.output(), spatial);
  const std::size_t outputs = size_of(out.channels) / groups;
  const std::size_t depth = size_of(in.channels) / groups;
  const GemmKernel kernel = choose_gemm(b.kernels(), outputs, false).kernel;
  const std::size_t panels = panels_for(outputs, kernel.width);
  const std::size_t taps = size_of(rule.kernel[0] * rule.kernel[1] * rule.kernel[2]);
  CpuWeights& store = b.context().weights;
  const Constant weight{.form = rule.is_transposed ? Form::transposed_weight : Form::conv_weight,
                        .node = b.weights_node()};
  RUSHLIGHT_TRY_ASSIGN(
      const std::shared_ptr<const PackedArray> weights,
      store.get({.constant = weight, .packing = Packing::panels, .width = kernel.width, .groups = groups},
                b.context().network));
  std::shared_ptr<const PackedArray> bias;
  if (has_bias) {
    const Constant values{.form = Form::bias, .node = b.weights_node()};
    RUSHLIGHT_TRY_ASSIGN(
        bias, store.get({.constant = values, .packing = Packing::vector, .width = kernel.width, .groups = groups},
                        b.context().network));
  }
  // A row of zeros for pixels beyond the line's ends, and for outputs that no tap reaches.
  auto zeros = std::make_shared<AlignedBuffer>(AlignedBuffer::allocate(size_of(in.channels) * sizeof(float)));
  if (zeros->data() == nullptr) return no_memory_for(size_of(in.channels) * sizeof(float), "zeros");
  std::fill_n(zeros->floats(), size_of(in.channels), 0.0F);

  const std::ptrdiff_t phases = rule.is_transposed ? std::min(rule.stride[2], out.sizes[2]) : 1;
  const std::ptrdiff_t lines = out.images * out.sizes[0] * out.sizes[1];
  const double each = 2.0 * static_cast<double>(out.sizes[2]) * static_cast<double>(taps * depth) *
                      static_cast<double>(out.channels) / static_cast<double>(phases);
  b.add_ranges(
      size_of(lines * phases), each, [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
        const float* pointers[kProductRows];
        for (std::size_t task = range.first; task < range.last; ++task) {
          const auto line = static_cast<std::ptrdiff_t>(task) / phases;
          const std::ptrdiff_t phase = static_cast<std::ptrdiff_t>(task) % phases;
          const std::ptrdiff_t h = line % out.sizes[1];
          const std::ptrdiff_t d = line / out.sizes[1] % out.sizes[0];
          const std::ptrdiff_t image = line / out.sizes[1] / out.sizes[0];
          const std::ptrdiff_t count = (out.sizes[2] - phase + phases - 1) / phases;
          for (std::ptrdiff_t first = 0; first < count; first += static_cast<std::ptrdiff_t>(kProductRows)) {
            const std::ptrdiff_t rows = std::min(static_cast<std::ptrdiff_t>(kProductRows), count - first);
            GemmCall call;
            call.rows = pointers;
            call.row_pitch = call.row_count = size_of(rows);
            call.segments = 1;
            call.segment_length = depth;
            call.panel_count = 1;
            call.output_stride = call.residual_stride = size_of(phases * out.strides[2]);
            float* const to = frame.at(y) + out.at(image, d, h, phase + first * phases);
            bool is_first = true;
            // One more than there are taps: where none applies, zeros times the first one leave the bias.
            for (std::size_t tap = 0; tap <= taps; ++tap) {
              const auto t = static_cast<std::ptrdiff_t>(tap == taps ? 0 : tap);
              if (tap == taps) {
                if (!is_first) break;
                std::fill_n(pointers, rows, zeros->floats());
              } else {
                const std::ptrdiff_t kw = t % rule.kernel[2];
                const std::ptrdiff_t kh = t / rule.kernel[2] % rule.kernel[1];
                const std::ptrdiff_t kd = t / rule.kernel[2] / rule.kernel[1];
                const std::ptrdiff_t from_d = rule.source(0, d, kd, in.sizes[0]);
                const std::ptrdiff_t from_h = rule.source(1, h, kh, in.sizes[1]);
                if (from_d < 0 || from_h < 0) continue;
                bool applies = false;
                for (std::ptrdiff_t r = 0; r < rows; ++r) {
                  const std::ptrdiff_t from_w = rule.source(2, phase + (first + r) * phases, kw, in.sizes[2]);
                  applies = applies || from_w >= 0;
                  pointers[r] = from_w < 0 ? zeros->floats() : frame.at(x) + in.at(image, from_d, from_h, from_w);
                }
                if (!applies) continue;
              }
              for (std::size_t group = 0; group < groups; ++group) {
                call.row_shift = group * depth;
                for (std::size_t panel = 0; panel < panels; ++panel) {
                  const std::size_t index = group * panels + panel;
                  call.columns = std::min(kernel.width, outputs - panel * kernel.width);
                  call.weights = weights->data() + (index * taps + size_of(t)) * depth * kernel.width;
                  call.bias = is_first && bias != nullptr ? bias->data() + index * kernel.width : nullptr;
                  call.output = to + group * outputs + panel * kernel.width;
                  call.residual = is_first ? nullptr : call.output;
                  // Zeros times an infinite weight would be NaN: without a tap there is nothing to multiply.
                  call.segment_length = tap == taps ? 0 : depth;
                  kernel.run(call);
                }
              }
              is_first = false;
            }
          }
        }
      });
  return {};
}

template <class Conv>
Status add_transposed(Builder& b, const Conv& op, std::size_t spatial) {
  TapRule rule;
  rule.is_transposed = true;
  rule.kernel = Triple(op.kernel_size, 1);
  rule.stride = Triple(op.stride, 1);
  rule.padding = Triple(op.padding, 0);
  rule.dilation = Triple(op.dilation, 1);
  return add_taps(b, spatial, rule, size_of(op.groups), op.bias);
}

Status add_conv3d(Builder& b, const Conv3d& op) {
  TapRule rule;
  rule.kernel = Triple(op.kernel_size, 1);
  rule.stride = Triple(op.stride, 1);
  rule.dilation = Triple(op.dilation, 1);
  if (op.padding.kind == PaddingKind::amounts) rule.padding = Triple(op.padding.amount, 0);
  if (op.padding.kind == PaddingKind::same) {
    for (std::size_t i = 0; i < 3; ++i) rule.padding.values[i] = rule.dilation[i] * (rule.kernel[i] - 1) / 2;
  }
  return add_taps(b, 3, rule, size_of(op.groups), op.bias);
}

// y[n][o] = bias[o] + sum over i and k of a[n][i] * weight[o][i][k] * c[n][k].
Status add_bilinear(Builder& b, const Bilinear& op) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> weight, b.parameter("weight"));
  std::span<const float> bias;
  if (op.bias) {
    RUSHLIGHT_TRY_ASSIGN(bias, b.parameter("bias"));
  }
  const std::size_t first = size_of(b.input(0).shape.back());
  const std::size_t second = size_of(b.input(1).shape.back());
  const std::size_t outputs = size_of(b.output().shape.back());
  b.add_ranges(
      size_of(b.output().elements()), 2 * static_cast<double>(first * second),
      [=, p = b.input(0).tensor, q = b.input(1).tensor, y = b.output().tensor](Range range, const Frame& frame) {
        for (std::size_t item = range.first; item < range.last; ++item) {
          const float* a = frame.at(p) + item / outputs * first;
          const float* c = frame.at(q) + item / outputs * second;
          const std::size_t o = item % outputs;
          double sum = bias.empty() ? 0.0 : static_cast<double>(bias[o]);
          for (std::size_t i = 0; i < first; ++i) {
            const float* w = weight.data() + (o * first + i) * second;
            double inner = 0;
            for (std::size_t k = 0; k < second; ++k) inner += static_cast<double>(w[k]) * static_cast<double>(c[k]);
            sum += static_cast<double>(a[i]) * inner;
          }
          frame.at(y)[item] = static_cast<float>(sum);
        }
      });
  return {};
}

// The windows of Fold and Unfold over a picture of height x width, counted in C order.
struct Grid {
  IntPair kernel, stride, padding, dilation;
  std::int64_t height, width;  // of the picture
  std::int64_t down, across;   // places

  template <class Op>
  Grid(const Op& op, std::int64_t height_in, std::int64_t width_in)
      : kernel(op.kernel_size),
        stride(op.stride),
        padding(op.padding),
        dilation(op.dilation),
        height(height_in),
        width(width_in),
        down((height + 2 * padding.h - dilation.h * (kernel.h - 1) - 1) / stride.h + 1),
        across((width + 2 * padding.w - dilation.w * (kernel.w - 1) - 1) / stride.w + 1) {}
};

// [N, C, H, W] to [N, C * taps, places].
void add_unfold(Builder& b, const Unfold& op) {
  const Shape& in = b.input().shape;
  const Grid grid(op, in[in.size() - 2], in[in.size() - 1]);
  const std::int64_t taps = grid.kernel.h * grid.kernel.w;
  const std::int64_t places = grid.down * grid.across;
  const std::int64_t rows = b.output().elements() / places;
  b.add_ranges(size_of(rows), 4 * static_cast<double>(places),
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t row = range.first; row < range.last; ++row) {
                   const std::int64_t tap = static_cast<std::int64_t>(row) % taps;
                   const float* plane = frame.at(x) + static_cast<std::int64_t>(row) / taps * grid.height * grid.width;
                   float* to = frame.at(y) + static_cast<std::int64_t>(row) * places;
                   for (std::int64_t i = 0; i < grid.down; ++i) {
                     const std::int64_t h = i * grid.stride.h - grid.padding.h + tap / grid.kernel.w * grid.dilation.h;
                     for (std::int64_t k = 0; k < grid.across; ++k) {
                       const std::int64_t w =
                           k * grid.stride.w - grid.padding.w + tap % grid.kernel.w * grid.dilation.w;
                       const bool inside = h >= 0 && h < grid.height && w >= 0 && w < grid.width;
                       *to++ = inside ? plane[h * grid.width + w] : 0.0F;
                     }
                   }
                 }
               });
}

// The other way round, values on one place added.
void add_fold(Builder& b, const Fold& op) {
  const Grid grid(op, op.output_size.h, op.output_size.w);
  const std::int64_t taps = grid.kernel.h * grid.kernel.w;
  const std::int64_t places = grid.down * grid.across;
  b.add_ranges(size_of(b.output().elements()), 6 * static_cast<double>(taps),
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const std::int64_t pixel = static_cast<std::int64_t>(item) % (grid.height * grid.width);
                   const std::int64_t plane = static_cast<std::int64_t>(item) / (grid.height * grid.width);
                   const std::int64_t h = pixel / grid.width + grid.padding.h;
                   const std::int64_t w = pixel % grid.width + grid.padding.w;
                   double sum = 0;
                   for (std::int64_t tap = 0; tap < taps; ++tap) {
                     const std::int64_t down = h - tap / grid.kernel.w * grid.dilation.h;
                     const std::int64_t across = w - tap % grid.kernel.w * grid.dilation.w;
                     if (down < 0 || across < 0 || down % grid.stride.h != 0 || across % grid.stride.w != 0) continue;
                     const std::int64_t i = down / grid.stride.h;
                     const std::int64_t k = across / grid.stride.w;
                     if (i >= grid.down || k >= grid.across) continue;
                     sum += static_cast<double>(frame.at(x)[(plane * taps + tap) * places + i * grid.across + k]);
                   }
                   frame.at(y)[item] = static_cast<float>(sum);
                 }
               });
}

}  // namespace

Status build_convolutions(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::Conv3d:
      return add_conv3d(b, b.get<Conv3d>());
    case OperatorKind::ConvTranspose1d:
      return add_transposed(b, b.get<ConvTranspose1d>(), 1);
    case OperatorKind::ConvTranspose2d:
      return add_transposed(b, b.get<ConvTranspose2d>(), 2);
    case OperatorKind::ConvTranspose3d:
      return add_transposed(b, b.get<ConvTranspose3d>(), 3);
    case OperatorKind::Bilinear:
      return add_bilinear(b, b.get<Bilinear>());
    case OperatorKind::Unfold:
      add_unfold(b, b.get<Unfold>());
      return {};
    default:
      add_fold(b, b.get<Fold>());
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
