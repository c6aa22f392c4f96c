#include "runtime/reference/operators.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace rushlight::runtime::reference {
namespace {

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

// [N, C, H, W], or [C, H, W] as one image.
struct Planes {
  std::int64_t n = 1;
  std::int64_t c = 0;
  std::int64_t h = 0;
  std::int64_t w = 0;

  explicit Planes(std::span<const std::int64_t> shape)
      : n(shape.size() == 4 ? shape[0] : 1),
        c(shape[shape.size() - 3]),
        h(shape[shape.size() - 2]),
        w(shape[shape.size() - 1]) {}
  [[nodiscard]] std::size_t index(std::int64_t in, std::int64_t ic, std::int64_t ih, std::int64_t iw) const {
    return at(((in * c + ic) * h + ih) * w + iw);
  }
  [[nodiscard]] bool has(std::int64_t ih, std::int64_t iw) const { return ih >= 0 && ih < h && iw >= 0 && iw < w; }
};

// Calls f(n, c, h, w) for each place of the output.
template <class F>
void for_each_place(const Planes& planes, F&& f) {
  for (std::int64_t n = 0; n < planes.n; ++n) {
    for (std::int64_t c = 0; c < planes.c; ++c) {
      for (std::int64_t h = 0; h < planes.h; ++h) {
        for (std::int64_t w = 0; w < planes.w; ++w) f(n, c, h, w);
      }
    }
  }
}

// How much of torch's "same" padding comes first: the smaller half of dilation * (kernel - 1).
std::int64_t padding_before(const Padding& padding, std::int64_t amount, std::int64_t kernel, std::int64_t dilation) {
  switch (padding.kind) {
    case Padding::Kind::amounts:
      return amount;
    case Padding::Kind::valid:
      return 0;
    case Padding::Kind::same:
      return dilation * (kernel - 1) / 2;
  }
  return 0;
}

// A stride of 0 is torch's None: the kernel's size.
std::int64_t stride_or_kernel(std::int64_t stride, std::int64_t kernel) {
  return stride == 0 ? kernel : stride;
}

}  // namespace

void conv2d(const Conv2d& op, ConstArray input, std::span<const float> weight, std::span<const float> bias,
            Array output) {
  const Planes in(input.shape);
  const Planes out(output.shape);
  const std::int64_t in_per_group = in.c / op.groups;
  const std::int64_t out_per_group = out.c / op.groups;
  const std::int64_t top = padding_before(op.padding, op.padding.amount.h, op.kernel_size.h, op.dilation.h);
  const std::int64_t left = padding_before(op.padding, op.padding.amount.w, op.kernel_size.w, op.dilation.w);
  for_each_place(out, [&](std::int64_t n, std::int64_t o, std::int64_t oh, std::int64_t ow) {
    const std::int64_t first_channel = o / out_per_group * in_per_group;
    double sum = bias.empty() ? 0.0 : static_cast<double>(bias[at(o)]);
    const float* tap = weight.data() + o * in_per_group * op.kernel_size.h * op.kernel_size.w;
    for (std::int64_t i = 0; i < in_per_group; ++i) {
      for (std::int64_t kh = 0; kh < op.kernel_size.h; ++kh) {
        const std::int64_t h = oh * op.stride.h - top + kh * op.dilation.h;
        const bool row_inside = h >= 0 && h < in.h;
        const double* const row = row_inside ? &input.values[in.index(n, first_channel + i, h, 0)] : nullptr;
        for (std::int64_t kw = 0; kw < op.kernel_size.w; ++kw, ++tap) {
          const std::int64_t w = ow * op.stride.w - left + kw * op.dilation.w;
          const double x = row_inside && w >= 0 && w < in.w ? row[w] : 0.0;
          sum += x * static_cast<double>(*tap);
        }
      }
    }
    output.values[out.index(n, o, oh, ow)] = sum;
  });
}

void linear(ConstArray input, std::span<const float> weight, std::span<const float> bias, Array output) {
  const std::size_t in = at(input.shape.back());
  const std::size_t out = at(output.shape.back());
  const std::size_t rows = out == 0 ? 0 : output.values.size() / out;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0.0 : static_cast<double>(bias[o]);
      for (std::size_t i = 0; i < in; ++i) sum += input.values[row * in + i] * static_cast<double>(weight[o * in + i]);
      output.values[row * out + o] = sum;
    }
  }
}

void batch_norm(double eps, ConstArray input, const BatchNormParameters& parameters, Array output) {
  const std::size_t channels = at(input.shape[1]);
  std::size_t inner = 1;
  for (const std::int64_t size : input.shape.subspan(2)) inner *= at(size);
  for (std::size_t i = 0; i < input.values.size(); ++i) {
    const std::size_t c = i / inner % channels;
    const double centred = input.values[i] - static_cast<double>(parameters.mean[c]);
    double y = centred / std::sqrt(static_cast<double>(parameters.var[c]) + eps);
    if (!parameters.weight.empty()) y *= static_cast<double>(parameters.weight[c]);
    if (!parameters.bias.empty()) y += static_cast<double>(parameters.bias[c]);
    output.values[i] = y;
  }
}

void relu(ConstArray input, Array output) {
  for (std::size_t i = 0; i < input.values.size(); ++i) {
    const double x = input.values[i];
    output.values[i] = x < 0.0 ? 0.0 : x;  // NaN is not below 0 and stays
  }
}

void max_pool(const MaxPool2d& op, ConstArray input, Array output) {
  const Planes in(input.shape);
  const Planes out(output.shape);
  const std::int64_t stride_h = stride_or_kernel(op.stride.h, op.kernel_size.h);
  const std::int64_t stride_w = stride_or_kernel(op.stride.w, op.kernel_size.w);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t oh, std::int64_t ow) {
    double best = -std::numeric_limits<double>::infinity();
    for (std::int64_t kh = 0; kh < op.kernel_size.h; ++kh) {
      for (std::int64_t kw = 0; kw < op.kernel_size.w; ++kw) {
        const std::int64_t h = oh * stride_h - op.padding.h + kh * op.dilation.h;
        const std::int64_t w = ow * stride_w - op.padding.w + kw * op.dilation.w;
        if (!in.has(h, w)) continue;
        const double x = input.values[in.index(n, c, h, w)];
        if (x > best || std::isnan(x)) best = x;
      }
    }
    output.values[out.index(n, c, oh, ow)] = best;
  });
}

void avg_pool(const AvgPool2d& op, ConstArray input, Array output) {
  const Planes in(input.shape);
  const Planes out(output.shape);
  const std::int64_t stride_h = stride_or_kernel(op.stride.h, op.kernel_size.h);
  const std::int64_t stride_w = stride_or_kernel(op.stride.w, op.kernel_size.w);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t oh, std::int64_t ow) {
    const std::int64_t h0 = oh * stride_h - op.padding.h;
    const std::int64_t w0 = ow * stride_w - op.padding.w;
    double sum = 0;
    std::int64_t padded_area = 0;  // places within the padded input; an overhanging window has more
    std::int64_t inside_area = 0;
    for (std::int64_t h = h0; h < h0 + op.kernel_size.h; ++h) {
      for (std::int64_t w = w0; w < w0 + op.kernel_size.w; ++w) {
        if (h < in.h + op.padding.h && w < in.w + op.padding.w) ++padded_area;
        if (!in.has(h, w)) continue;
        ++inside_area;
        sum += input.values[in.index(n, c, h, w)];
      }
    }
    std::int64_t divisor = op.count_include_pad ? padded_area : inside_area;
    if (op.divisor_override != 0) divisor = op.divisor_override;
    output.values[out.index(n, c, oh, ow)] = inside_area == 0 ? 0.0 : sum / static_cast<double>(divisor);
  });
}

void adaptive_avg_pool(ConstArray input, Array output) {
  const Planes in(input.shape);
  const Planes out(output.shape);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t oh, std::int64_t ow) {
    const std::int64_t h0 = oh * in.h / out.h;
    const std::int64_t h1 = ((oh + 1) * in.h + out.h - 1) / out.h;
    const std::int64_t w0 = ow * in.w / out.w;
    const std::int64_t w1 = ((ow + 1) * in.w + out.w - 1) / out.w;
    double sum = 0;
    for (std::int64_t h = h0; h < h1; ++h) {
      for (std::int64_t w = w0; w < w1; ++w) sum += input.values[in.index(n, c, h, w)];
    }
    output.values[out.index(n, c, oh, ow)] = sum / static_cast<double>((h1 - h0) * (w1 - w0));
  });
}

void softmax(std::int64_t dim, ConstArray input, Array output) {
  const std::int64_t rank = std::ssize(input.shape);
  if (dim < 0) dim += rank;
  std::size_t axis = 1;
  std::size_t inner = 1;
  if (rank > 0) {
    axis = at(input.shape[at(dim)]);
    for (const std::int64_t size : input.shape.subspan(at(dim) + 1)) inner *= at(size);
  }
  if (input.values.empty()) return;
  const std::size_t outer = input.values.size() / (axis * inner);
  for (std::size_t o = 0; o < outer; ++o) {
    for (std::size_t i = 0; i < inner; ++i) {
      const auto place = [&](std::size_t k) { return (o * axis + k) * inner + i; };
      double largest = -std::numeric_limits<double>::infinity();
      for (std::size_t k = 0; k < axis; ++k) largest = std::max(largest, input.values[place(k)]);
      double sum = 0;
      for (std::size_t k = 0; k < axis; ++k) sum += std::exp(input.values[place(k)] - largest);
      for (std::size_t k = 0; k < axis; ++k) {
        output.values[place(k)] = std::exp(input.values[place(k)] - largest) / sum;
      }
    }
  }
}

void add(ConstArray a, ConstArray b, Array output) {
  // An operand's index is the output's with its own sizes, missing leading dimensions and those of size 1 dropped.
  const auto value = [&](const ConstArray& operand, std::size_t flat) {
    std::size_t index = 0;
    std::size_t step = 1;
    for (std::size_t d = 0; d < output.shape.size(); ++d) {
      const std::size_t size = at(output.shape[output.shape.size() - 1 - d]);
      const std::size_t place = flat % size;
      flat /= size;
      if (d >= operand.shape.size()) continue;
      const std::size_t own = at(operand.shape[operand.shape.size() - 1 - d]);
      if (own != 1) index += place * step;
      step *= own;
    }
    return operand.values[index];
  };
  for (std::size_t i = 0; i < output.values.size(); ++i) output.values[i] = value(a, i) + value(b, i);
}

void copy(ConstArray input, Array output) {
  std::copy(input.values.begin(), input.values.end(), output.values.begin());
}

}  // namespace rushlight::runtime::reference
