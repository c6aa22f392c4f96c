#include <type_traits>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

template <class Conv>
Status check_channels(const Conv& op, std::int64_t channels, const Shape& shape) {
  if (channels == kUnknown) return {};
  if (op.in_channels != kFromWeights && channels != op.in_channels) {
    return expected_found(count_text(static_cast<std::size_t>(op.in_channels), "channel"), std::to_string(channels),
                          shape);
  }
  if (op.in_channels == kFromWeights && channels % op.groups != 0) {
    return expected_found("a multiple of " + std::to_string(op.groups) + " channels", std::to_string(channels), shape);
  }
  return {};
}

// Padding other than zeros has torch's F.pad's bounds.
Status check_pad_mode(PaddingMode mode, std::span<const std::int64_t> sizes, std::span<const std::int64_t> padding) {
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == kUnknown) continue;
    const bool fits = mode == PaddingMode::reflect ? padding[i] < sizes[i] : padding[i] <= sizes[i];
    if (mode == PaddingMode::zeros || mode == PaddingMode::replicate || fits) continue;
    return misfit("padding " + std::to_string(padding[i]) + " is too large for a size of " + std::to_string(sizes[i]) +
                  " and padding_mode " + (mode == PaddingMode::reflect ? "reflect" : "circular"));
  }
  return {};
}

// Where the channels are. They become those of the output.
template <class Conv>
Result<Picture> replace_channels(const Conv& op, std::size_t spatial, Shape& shape) {
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture(shape, spatial));
  RUSHLIGHT_TRY(check_channels(op, shape[image.channels], shape));
  shape[image.channels] = op.out_channels == kFromWeights ? kUnknown : op.out_channels;
  return image;
}

template <class Conv>
Inferred infer_conv(const Conv& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  const std::vector<std::int64_t> kernel = amounts(op.kernel_size);
  RUSHLIGHT_TRY_ASSIGN(const Picture image, replace_channels(op, kernel.size(), shape));
  const std::size_t first = image.channels + 1;
  if (op.padding.kind == PaddingKind::same && op.padding_mode == PaddingMode::zeros) return one(std::move(shape));
  if (op.kernel_size == decltype(op.kernel_size)(kFromWeights)) {
    for (std::size_t i = first; i < shape.size(); ++i) shape[i] = kUnknown;
    return one(std::move(shape));
  }
  const std::vector<std::int64_t> stride = amounts(op.stride);
  const std::vector<std::int64_t> dilation = amounts(op.dilation);
  std::vector<std::int64_t> padding = amounts(op.padding.amount);
  if (op.padding.kind != PaddingKind::amounts) padding.assign(kernel.size(), 0);
  if (op.padding.kind == PaddingKind::same) {
    for (std::size_t i = 0; i < kernel.size(); ++i) {
      const auto total = checked_mul(dilation[i], kernel[i] - 1);
      if (!total) return overflows(shape);
      padding[i] = *total - *total / 2;  // the larger half: what must fit
    }
  }
  RUSHLIGHT_TRY(check_pad_mode(op.padding_mode, std::span(shape).subspan(first), padding));
  if (op.padding.kind == PaddingKind::same) return one(std::move(shape));  // stride is 1 then
  std::vector<Window> windows;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    windows.push_back({kernel[i], stride[i], padding[i], dilation[i], false});
  }
  RUSHLIGHT_TRY_ASSIGN(shape, slide(std::move(shape), first, windows));
  return one(std::move(shape));
}

// conv_input_size in ATen/native/ConvUtils.h: (in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.
template <class Conv>
Inferred infer_transposed(const Conv& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  const std::vector<std::int64_t> kernel = amounts(op.kernel_size);
  RUSHLIGHT_TRY_ASSIGN(const Picture image, replace_channels(op, kernel.size(), shape));
  const std::vector<std::int64_t> stride = amounts(op.stride);
  const std::vector<std::int64_t> dilation = amounts(op.dilation);
  const std::vector<std::int64_t> padding = amounts(op.padding);
  const std::vector<std::int64_t> output_padding = amounts(op.output_padding);
  // torch takes the spatial sizes, or all of them.
  Shape wanted = op.output_size;
  if (wanted.size() > kernel.size()) wanted.erase(wanted.begin(), wanted.end() - std::ptrdiff_t(kernel.size()));
  if (!op.output_size.empty() && wanted.size() != kernel.size()) {
    return misfit("output_size: expected " + count_text(kernel.size(), "size") + ", found " +
                  shape_text(op.output_size));
  }
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    std::int64_t& size = shape[image.channels + 1 + i];
    if (size == kUnknown || kernel[i] == kFromWeights) {
      size = wanted.empty() ? kUnknown : wanted[i];
      continue;
    }
    const auto steps = checked_mul(size - 1, stride[i]);
    const auto reach = checked_mul(dilation[i], kernel[i] - 1);
    const auto crop = checked_mul(padding[i], std::int64_t{2});
    if (!steps || !reach || !crop) return overflows(operands.shape());
    const auto full = checked_add(*steps, *reach);
    const auto least = full ? checked_sub(*full + 1, *crop) : std::nullopt;
    if (!full || *full == std::numeric_limits<std::int64_t>::max() || !least) return overflows(operands.shape());
    if (wanted.empty()) {
      if (output_padding[i] >= stride[i] && output_padding[i] >= dilation[i]) {
        return misfit("output_padding " + std::to_string(output_padding[i]) +
                      " must be smaller than stride or dilation");
      }
      const auto sum = checked_add(*least, output_padding[i]);
      if (!sum) return overflows(operands.shape());
      size = *sum;
    } else {
      if (wanted[i] < *least || wanted[i] - *least > stride[i] - 1) {
        return misfit("output_size: expected " + std::to_string(*least) + " to " +
                      std::to_string(*least + stride[i] - 1) + ", found " + std::to_string(wanted[i]));
      }
      size = wanted[i];
    }
    if (size < 1) return misfit("the output of " + shape_text(operands.shape()) + " has no size left");
  }
  return one(std::move(shape));
}

Status check_features(std::int64_t expected, const Shape& shape) {
  if (shape.empty()) return wrong_rank("1 or more", shape);
  if (expected == kFromWeights || shape.back() == kUnknown || shape.back() == expected) return {};
  return expected_found(count_text(static_cast<std::size_t>(expected), "feature"), std::to_string(shape.back()), shape);
}

// Places of the windows of Fold and Unfold over height and width.
template <class Op>
Result<Shape> window_places(const Op& op, std::int64_t height, std::int64_t width) {
  const Window windows[] = {{op.kernel_size.h, op.stride.h, op.padding.h, op.dilation.h, false},
                            {op.kernel_size.w, op.stride.w, op.padding.w, op.dilation.w, false}};
  return slide({height, width}, 0, windows);
}

}  // namespace

Inferred infer(const Conv1d& op, const Operands& operands) {
  return infer_conv(op, operands);
}
Inferred infer(const Conv2d& op, const Operands& operands) {
  return infer_conv(op, operands);
}
Inferred infer(const Conv3d& op, const Operands& operands) {
  return infer_conv(op, operands);
}
Inferred infer(const ConvTranspose1d& op, const Operands& operands) {
  return infer_transposed(op, operands);
}
Inferred infer(const ConvTranspose2d& op, const Operands& operands) {
  return infer_transposed(op, operands);
}
Inferred infer(const ConvTranspose3d& op, const Operands& operands) {
  return infer_transposed(op, operands);
}

Inferred infer(const Linear& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(check_features(op.in_features, operands.shape()));
  Shape shape = operands.shape();
  shape.back() = op.out_features == kFromWeights ? kUnknown : op.out_features;
  return one(std::move(shape));
}

Inferred infer(const Bilinear& op, const Operands& operands) {
  for (std::size_t i = 0; i < 2; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  RUSHLIGHT_TRY(check_features(op.in1_features, operands.shape(0)));
  RUSHLIGHT_TRY(check_features(op.in2_features, operands.shape(1)));
  Shape shape = operands.shape(0);
  const Shape& other = operands.shape(1);
  if (shape.size() != other.size()) {
    return misfit("shapes " + shape_text(shape) + " and " + shape_text(other) + " differ before the last dimension");
  }
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) {
    if (shape[i] == kUnknown) shape[i] = other[i];
    if (other[i] != kUnknown && shape[i] != other[i]) {
      return misfit("shapes " + shape_text(operands.shape(0)) + " and " + shape_text(other) +
                    " differ before the last dimension");
    }
  }
  shape.back() = op.out_features == kFromWeights ? kUnknown : op.out_features;
  return one(std::move(shape));
}

Inferred infer(const Unfold& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& in = operands.shape();
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture(in, 2));
  const std::size_t c = image.channels;
  RUSHLIGHT_TRY_ASSIGN(const Shape places, window_places(op, in[c + 1], in[c + 2]));
  const std::optional<std::int64_t> rows = element_count(Shape{in[c], op.kernel_size.h, op.kernel_size.w});
  const std::optional<std::int64_t> columns = element_count(places);
  if (!rows || !columns) return overflows(in);
  Shape shape(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(c));
  shape.push_back(*rows);
  shape.push_back(*columns);
  return one(std::move(shape));
}

Inferred infer(const Fold& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& in = operands.shape();
  if (in.size() != 2 && in.size() != 3) return wrong_rank("2 or 3", in);
  const std::size_t rows = in.size() - 2;
  RUSHLIGHT_TRY_ASSIGN(const Shape places, window_places(op, op.output_size.h, op.output_size.w));
  const std::optional<std::int64_t> taps = element_count(Shape{op.kernel_size.h, op.kernel_size.w});
  const std::optional<std::int64_t> columns = element_count(places);
  if (!taps || !columns) return overflows(in);
  if (in[rows] == 0) return misfit("expected sizes of at least 1, found " + shape_text(in));
  if (in[rows] != kUnknown && in[rows] % *taps != 0) {
    return expected_found("a multiple of " + std::to_string(*taps), std::to_string(in[rows]), in);
  }
  if (in[rows + 1] != kUnknown && in[rows + 1] != *columns) {
    return expected_found(count_text(static_cast<std::size_t>(*columns), "place"), std::to_string(in[rows + 1]), in);
  }
  Shape shape(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(rows));
  shape.push_back(in[rows] == kUnknown ? kUnknown : in[rows] / *taps);
  shape.push_back(op.output_size.h);
  shape.push_back(op.output_size.w);
  return one(std::move(shape));
}

}  // namespace rushlight::model
