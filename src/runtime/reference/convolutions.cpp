// Convolutions, transposed ones, and the other layers that are sums of products with weights.
#include <algorithm>

#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

PadMode pad_mode(PaddingMode mode) noexcept {
  switch (mode) {
    case PaddingMode::zeros:
      return PadMode::constant;
    case PaddingMode::reflect:
      return PadMode::reflect;
    case PaddingMode::replicate:
      return PadMode::replicate;
    case PaddingMode::circular:
      return PadMode::circular;
  }
  return PadMode::constant;
}

// How much padding comes first. Of torch's "same", dilation * (kernel - 1) in all, it is the smaller half.
template <class Conv>
IntTriple padding_before(const Conv& op) {
  const IntTriple kernel = spread(op.kernel_size, 1);
  const IntTriple dilation = spread(op.dilation, 1);
  switch (op.padding.kind) {
    case PaddingKind::amounts:
      return spread(op.padding.amount, 0);
    case PaddingKind::valid:
      return 0;
    case PaddingKind::same:
      return {dilation.d * (kernel.d - 1) / 2, dilation.h * (kernel.h - 1) / 2, dilation.w * (kernel.w - 1) / 2};
  }
  return 0;
}

double bias_of(std::span<const float> bias, std::int64_t channel) {
  return bias.empty() ? 0.0 : static_cast<double>(bias[at(channel)]);
}

// A tap on padding of zeros is a zero that is multiplied, not one that is left out: an infinite weight makes NaN there.
// PyTorch's own kernels are not of one mind about it.
template <class Conv>
Status convolve(const Conv& op, const Call& call) {
  const std::size_t spatial = spatial_of(op.kernel_size);
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const std::span<const float> weight = call.parameter("weight");
  const std::span<const float> bias = call.parameter("bias");
  const IntTriple kernel = spread(op.kernel_size, 1);
  const IntTriple stride = spread(op.stride, 1);
  const IntTriple dilation = spread(op.dilation, 1);
  const IntTriple before = padding_before(op);
  const PadMode mode = pad_mode(op.padding_mode);
  const std::int64_t in_per_group = in.c / op.groups;
  const std::int64_t out_per_group = out.c / op.groups;
  for_each_place(out, [&](std::int64_t n, std::int64_t o, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    const std::int64_t first_channel = o / out_per_group * in_per_group;
    double sum = bias_of(bias, o);
    const float* tap = weight.data() + o * in_per_group * kernel.d * kernel.h * kernel.w;
    for (std::int64_t i = 0; i < in_per_group; ++i) {
      for (std::int64_t kd = 0; kd < kernel.d; ++kd) {
        const std::int64_t d = padded_source(mode, od * stride.d - before.d + kd * dilation.d, in.d);
        for (std::int64_t kh = 0; kh < kernel.h; ++kh) {
          const std::int64_t h = padded_source(mode, oh * stride.h - before.h + kh * dilation.h, in.h);
          const bool has_row = d >= 0 && h >= 0;
          const double* const row = has_row ? &x[in.place(n, first_channel + i, d, h, 0)] : nullptr;
          for (std::int64_t kw = 0; kw < kernel.w; ++kw) {
            const std::int64_t w = padded_source(mode, ow * stride.w - before.w + kw * dilation.w, in.w);
            const double value = has_row && w >= 0 ? row[w] : 0.0;
            sum += value * static_cast<double>(*tap++);
          }
        }
      }
    }
    y[out.place(n, o, od, oh, ow)] = sum;
  });
  return {};
}

// Each input adds its multiple of the kernel to the output at stride times its place.
template <class Conv>
Status convolve_transposed(const Conv& op, const Call& call) {
  const std::size_t spatial = spatial_of(op.kernel_size);
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const std::span<const float> weight = call.parameter("weight");
  const std::span<const float> bias = call.parameter("bias");
  const IntTriple kernel = spread(op.kernel_size, 1);
  const IntTriple stride = spread(op.stride, 1);
  const IntTriple dilation = spread(op.dilation, 1);
  const IntTriple padding = spread(op.padding, 0);
  const std::int64_t in_per_group = in.c / op.groups;
  const std::int64_t out_per_group = out.c / op.groups;
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
    y[out.place(n, c, d, h, w)] = bias_of(bias, c);
  });
  for_each_place(in, [&](std::int64_t n, std::int64_t i, std::int64_t id, std::int64_t ih, std::int64_t iw) {
    const double value = x[in.place(n, i, id, ih, iw)];
    std::size_t tap = at(i * out_per_group * kernel.d * kernel.h * kernel.w);
    for (std::int64_t o = i / in_per_group * out_per_group; o < (i / in_per_group + 1) * out_per_group; ++o) {
      for_each_in(kernel, [&](std::int64_t kd, std::int64_t kh, std::int64_t kw) {
        const auto factor = static_cast<double>(weight[tap++]);
        const std::int64_t d = id * stride.d - padding.d + kd * dilation.d;
        const std::int64_t h = ih * stride.h - padding.h + kh * dilation.h;
        const std::int64_t w = iw * stride.w - padding.w + kw * dilation.w;
        if (out.has(d, h, w)) y[out.place(n, o, d, h, w)] += value * factor;
      });
    }
  });
  return {};
}

// Calls f(element, is inside, place in the image) for each element of the matrix of an image's windows: a row a channel
// and tap, a column a window.
template <class Op, class F>
void for_each_tap(const Op& op, const Volume& image, F&& f) {
  const auto places = [](std::int64_t size, std::int64_t kernel, std::int64_t dilation, std::int64_t padding,
                         std::int64_t stride) {
    return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  };
  const std::int64_t rows = places(image.h, op.kernel_size.h, op.dilation.h, op.padding.h, op.stride.h);
  const std::int64_t columns = places(image.w, op.kernel_size.w, op.dilation.w, op.padding.w, op.stride.w);
  const std::int64_t taps = image.c * op.kernel_size.h * op.kernel_size.w;
  for (std::int64_t n = 0; n < image.n; ++n) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t kw = tap % op.kernel_size.w;
      const std::int64_t kh = tap / op.kernel_size.w % op.kernel_size.h;
      const std::int64_t c = tap / op.kernel_size.w / op.kernel_size.h;
      for (std::int64_t window = 0; window < rows * columns; ++window) {
        const std::int64_t h = window / columns * op.stride.h - op.padding.h + kh * op.dilation.h;
        const std::int64_t w = window % columns * op.stride.w - op.padding.w + kw * op.dilation.w;
        const std::size_t element = at((n * taps + tap) * rows * columns + window);
        f(element, image.has(0, h, w), image.has(0, h, w) ? image.place(n, c, 0, h, w) : 0);
      }
    }
  }
}

}  // namespace

Status compute(const Conv1d& op, const Call& call) {
  return convolve(op, call);
}
Status compute(const Conv2d& op, const Call& call) {
  return convolve(op, call);
}
Status compute(const Conv3d& op, const Call& call) {
  return convolve(op, call);
}
Status compute(const ConvTranspose1d& op, const Call& call) {
  return convolve_transposed(op, call);
}
Status compute(const ConvTranspose2d& op, const Call& call) {
  return convolve_transposed(op, call);
}
Status compute(const ConvTranspose3d& op, const Call& call) {
  return convolve_transposed(op, call);
}

Status compute(const Linear&, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const std::span<const float> weight = call.parameter("weight");
  const std::span<const float> bias = call.parameter("bias");
  const std::size_t in = at(call.input().shape.back());
  const std::size_t out = at(call.output().shape.back());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t row = i / out;
    const std::size_t o = i % out;
    double sum = bias_of(bias, static_cast<std::int64_t>(o));
    const double* const from = x.data() + row * in;
    const float* const factors = weight.data() + o * in;
    for (std::size_t k = 0; k < in; ++k) sum += from[k] * static_cast<double>(factors[k]);
    y[i] = sum;
  }
  return {};
}

Status compute(const Bilinear&, const Call& call) {
  const std::span<const double> a = call.input(0).values;
  const std::span<const double> b = call.input(1).values;
  const std::span<double> y = call.output().values;
  const std::span<const float> weight = call.parameter("weight");
  const std::span<const float> bias = call.parameter("bias");
  const std::size_t in1 = at(call.input(0).shape.back());
  const std::size_t in2 = at(call.input(1).shape.back());
  const std::size_t out = at(call.output().shape.back());
  for (std::size_t place = 0; place < y.size(); ++place) {
    const std::size_t row = place / out;
    const std::size_t o = place % out;
    double sum = bias_of(bias, static_cast<std::int64_t>(o));
    for (std::size_t i = 0; i < in1; ++i) {
      for (std::size_t j = 0; j < in2; ++j) {
        sum += a[row * in1 + i] * static_cast<double>(weight[(o * in1 + i) * in2 + j]) * b[row * in2 + j];
      }
    }
    y[place] = sum;
  }
  return {};
}

Status compute(const Unfold& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  for_each_tap(op, Volume(call.input().shape, 2), [&](std::size_t element, bool is_inside, std::size_t place) {
    y[element] = is_inside ? x[place] : 0.0;
  });
  return {};
}

Status compute(const Fold& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  std::fill(y.begin(), y.end(), 0.0);
  for_each_tap(op, Volume(call.output().shape, 2), [&](std::size_t element, bool is_inside, std::size_t place) {
    if (is_inside) y[place] += x[element];
  });
  return {};
}

}  // namespace rushlight::runtime::reference
