#include <utility>

#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

// The values, and int64 indices where the node asks for them.
Inferred with_indices(Shape shape, const Operands& operands) {
  std::vector<EdgeType> outputs;
  if (operands.output_count > 1) outputs.push_back({DType::i64, shape});
  outputs.insert(outputs.begin(), EdgeType{DType::f32, std::move(shape)});
  return outputs;
}

template <class Pool>
std::vector<std::int64_t> strides_of(const Pool& op) {
  return amounts(op.stride == decltype(op.stride)(kFromKernel) ? op.kernel_size : op.stride);
}

Result<Shape> pool(const Shape& shape, std::span<const std::int64_t> kernel, std::span<const std::int64_t> stride,
                   std::span<const std::int64_t> padding, std::span<const std::int64_t> dilation, bool ceil_mode) {
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture(shape, kernel.size()));
  std::vector<Window> windows;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    windows.push_back(
        {kernel[i], stride[i], padding.empty() ? 0 : padding[i], dilation.empty() ? 1 : dilation[i], ceil_mode});
  }
  return slide(shape, image.channels + 1, windows);
}

template <class Pool>
Inferred infer_max(const Pool& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, pool(operands.shape(), amounts(op.kernel_size), strides_of(op), amounts(op.padding),
                                         amounts(op.dilation), op.ceil_mode));
  return with_indices(std::move(shape), operands);
}

// ATen/native/Pool.h: averages over volumes, and the LP pools that PyTorch makes of them, want volumes that are no
// smaller than the window, whatever is padded and wherever a last window may begin. In one and two dimensions any will
// do that the window fits with its padding.
Status check_volume(const Shape& shape, std::span<const std::int64_t> kernel) {
  for (std::size_t i = 0; kernel.size() == 3 && shape.size() >= 4 && i < 3; ++i) {
    const std::int64_t size = shape[shape.size() - 3 + i];
    if (size == kUnknown || size >= kernel[i]) continue;
    return misfit("a window of " + sides_text(kernel) + " is larger than the volume, found " + shape_text(shape));
  }
  return {};
}

template <class Pool>
Inferred infer_average(const Pool& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, pool(operands.shape(), amounts(op.kernel_size), strides_of(op), amounts(op.padding),
                                         {}, op.ceil_mode));
  RUSHLIGHT_TRY(check_volume(operands.shape(), amounts(op.kernel_size)));
  return one(std::move(shape));
}

template <class Pool>
Inferred infer_lp(const Pool& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  if (op.norm_type == 0) return misfit("norm_type: expected a number other than 0, found 0");
  RUSHLIGHT_TRY_ASSIGN(Shape shape,
                       pool(operands.shape(), amounts(op.kernel_size), strides_of(op), {}, {}, op.ceil_mode));
  RUSHLIGHT_TRY(check_volume(operands.shape(), amounts(op.kernel_size)));
  return one(std::move(shape));
}

template <class Pool>
Inferred infer_adaptive(const Pool& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  const std::vector<std::int64_t> size = amounts(op.output_size);
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture(shape, size.size()));
  for (std::size_t i = 0; i < size.size(); ++i) {
    if (size[i] != -1) shape[image.channels + 1 + i] = size[i];
  }
  return with_indices(std::move(shape), operands);
}

// (in - 1) stride - 2 padding + kernel, unless output_size says it.
template <class Pool>
Inferred infer_unpool(const Pool& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(check_indices(operands, 1));
  Shape shape = operands.shape();
  const std::vector<std::int64_t> kernel = amounts(op.kernel_size);
  const std::vector<std::int64_t> stride = strides_of(op);
  const std::vector<std::int64_t> padding = amounts(op.padding);
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture(shape, kernel.size()));
  if (operands.shape(1).size() != shape.size()) return wrong_rank(std::to_string(shape.size()), operands.shape(1));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == kUnknown || operands.shape(1)[i] == kUnknown || shape[i] == operands.shape(1)[i]) continue;
    return misfit("values of " + shape_text(shape) + " have indices of " + shape_text(operands.shape(1)));
  }
  if (!op.output_size.empty() && op.output_size.size() != kernel.size() && op.output_size.size() != shape.size()) {
    return misfit("output_size: expected " + count_text(kernel.size(), "size") + ", found " +
                  shape_text(op.output_size));
  }
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    std::int64_t& size = shape[image.channels + 1 + i];
    if (!op.output_size.empty()) {
      size = op.output_size[op.output_size.size() - kernel.size() + i];
      if (size < 1) return misfit("output_size: expected at least 1, found " + std::to_string(size));
      continue;
    }
    if (size == kUnknown) continue;
    // As a transposed window: the sizes fit 64 bits where the window of a pool of that size does.
    const std::optional<std::int64_t> steps = element_count(Shape{size - 1, stride[i]});
    if (!steps || *steps > (std::int64_t{1} << 61) || kernel[i] > (std::int64_t{1} << 61)) return overflows(shape);
    size = *steps - 2 * padding[i] + kernel[i];
    if (size < 1) return misfit("the output of " + shape_text(operands.shape()) + " has no size left");
  }
  return one(std::move(shape));
}

// ATen/native/FractionalMaxPool2d.cpp: a sample for each picture, channel and spatial dimension says where its windows
// lie.
template <class Pool>
Inferred infer_fractional(const Pool& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands, 0));
  RUSHLIGHT_TRY(check_float(operands, 1));
  Shape shape = operands.shape();
  const std::vector<std::int64_t> kernel = amounts(op.kernel_size);
  const std::size_t spatial = kernel.size();
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture(shape, spatial));
  const Shape& samples = operands.shape(1);
  const std::int64_t images = image.channels == 0 ? 1 : shape[0];
  const std::int64_t channels = shape[image.channels];
  const auto differs = [](std::int64_t a, std::int64_t b) { return a != kUnknown && b != kUnknown && a != b; };
  if (samples.size() != 3 || differs(samples[1], channels) || differs(samples[2], static_cast<std::int64_t>(spatial)) ||
      (samples[0] != kUnknown && images != kUnknown && samples[0] < images)) {
    return misfit("samples: expected " + shape_text(Shape{images, channels, static_cast<std::int64_t>(spatial)}) +
                  " for " + shape_text(shape) + ", found " + shape_text(samples));
  }
  for (std::size_t i = 0; i < spatial; ++i) {
    std::int64_t& size = shape[image.channels + 1 + i];
    const std::int64_t in = size;
    if (!op.output_size.empty()) {
      size = op.output_size[op.output_size.size() == 1 ? 0 : i];
    } else if (in != kUnknown) {
      // As Python's int(): towards 0.
      size = static_cast<std::int64_t>(static_cast<double>(in) * op.output_ratio[op.output_ratio.size() == 1 ? 0 : i]);
    }
    if (in == kUnknown) continue;
    if (size < 1) return misfit("the output of " + shape_text(operands.shape()) + " has no size left");
    // Of volumes torch wants one place more than windows that only just fit.
    if (size > in || kernel[i] > in - size + (spatial == 3 ? 0 : 1)) {
      return misfit("a window of " + std::to_string(kernel[i]) + " is too large for " + std::to_string(size) +
                    " places of " + std::to_string(in));
    }
  }
  return with_indices(std::move(shape), operands);
}

}  // namespace

Inferred infer(const FractionalMaxPool2d& op, const Operands& operands) {
  return infer_fractional(op, operands);
}
Inferred infer(const FractionalMaxPool3d& op, const Operands& operands) {
  return infer_fractional(op, operands);
}

#define RUSHLIGHT_POOLS(Name, how)                                \
  Inferred infer(const Name##1d & op, const Operands& operands) { \
    return how(op, operands);                                     \
  }                                                               \
  Inferred infer(const Name##2d & op, const Operands& operands) { \
    return how(op, operands);                                     \
  }                                                               \
  Inferred infer(const Name##3d & op, const Operands& operands) { \
    return how(op, operands);                                     \
  }
RUSHLIGHT_POOLS(MaxPool, infer_max)
RUSHLIGHT_POOLS(AvgPool, infer_average)
RUSHLIGHT_POOLS(LPPool, infer_lp)
RUSHLIGHT_POOLS(AdaptiveAvgPool, infer_adaptive)
RUSHLIGHT_POOLS(AdaptiveMaxPool, infer_adaptive)
RUSHLIGHT_POOLS(MaxUnpool, infer_unpool)
#undef RUSHLIGHT_POOLS

}  // namespace rushlight::model
