#include <cmath>
#include <numeric>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

// floor(size * factor) as torch's interpolate() has it, in double.
std::optional<std::int64_t> scaled(std::int64_t size, double factor) {
  const double scaled = std::floor(static_cast<double>(size) * factor);
  if (!(scaled < 0x1p62)) return std::nullopt;
  return static_cast<std::int64_t>(scaled);
}

std::size_t spatial_rank(InterpolationMode mode, std::size_t found) {
  switch (mode) {
    case InterpolationMode::linear:
      return 1;
    case InterpolationMode::bilinear:
    case InterpolationMode::bicubic:
      return 2;
    case InterpolationMode::trilinear:
      return 3;
    default:
      return found;
  }
}

// -1 when the sum of them overflows; size is at least 0.
std::int64_t padded(std::int64_t size, std::int64_t before, std::int64_t after) {
  const std::int64_t first = checked_add(size, before).value_or(-1);
  const bool overflows = first < 0 && before >= 0;
  return overflows ? -1 : checked_add(first, after).value_or(-1);
}

}  // namespace

Inferred infer(const Upsample& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  if (shape.size() < 3 || shape.size() > 5) return wrong_rank("3 to 5", shape);
  const std::size_t spatial = shape.size() - 2;
  if (spatial_rank(op.mode, spatial) != spatial) {
    return wrong_rank(std::to_string(spatial_rank(op.mode, spatial) + 2), shape);
  }
  for (std::size_t i = 1; i < shape.size(); ++i) {
    if (shape[i] == 0) return misfit("expected sizes of at least 1, found " + shape_text(shape));
  }
  const bool by_input = operands.inputs.size() == 2;
  if (int{by_input} + int{!op.size.empty()} + int{!op.scale_factor.empty()} != 1) {
    return misfit("expected one of size, scale_factor and a second input");
  }
  if (op.recompute_scale_factor && op.scale_factor.empty()) {
    return misfit("recompute_scale_factor goes with scale_factor");
  }
  for (std::size_t i = 0; i < spatial; ++i) {
    std::int64_t& size = shape[2 + i];
    if (by_input) {
      const Shape& like = operands.shape(1);
      if (like.size() != shape.size()) return wrong_rank(std::to_string(shape.size()), like);
      size = like[2 + i];
    } else if (!op.size.empty()) {
      if (op.size.size() != 1 && op.size.size() != spatial) {
        return misfit("size: expected 1 or " + std::to_string(spatial) + ", found " + shape_text(op.size));
      }
      size = op.size[op.size.size() == 1 ? 0 : i];
    } else {
      if (op.scale_factor.size() != 1 && op.scale_factor.size() != spatial) {
        return misfit("scale_factor: expected 1 or " + count_text(spatial, "number") + ", found " +
                      std::to_string(op.scale_factor.size()));
      }
      if (size == kUnknown) continue;
      const auto result = scaled(size, op.scale_factor[op.scale_factor.size() == 1 ? 0 : i]);
      if (!result) return overflows(operands.shape());
      size = *result;
    }
    if (size == 0) return misfit("the output of " + shape_text(operands.shape()) + " has no size left");
  }
  return one(std::move(shape));
}

Inferred infer(const GridSample& op, const Operands& operands) {
  for (std::size_t i = 0; i < 2; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  const Shape& in = operands.shape(0);
  const Shape& grid = operands.shape(1);
  if (in.size() != 4 && in.size() != 5) return wrong_rank("4 or 5", in);
  if (op.mode == GridMode::bicubic && in.size() != 4) return wrong_rank("4", in);
  if (grid.size() != in.size()) return wrong_rank(std::to_string(in.size()), grid);
  const auto coordinates = static_cast<std::int64_t>(in.size() - 2);
  if (grid.back() != kUnknown && grid.back() != coordinates) {
    return expected_found(count_text(in.size() - 2, "coordinate"), std::to_string(grid.back()), grid);
  }
  if (grid[0] != kUnknown && in[0] != kUnknown && grid[0] != in[0]) {
    return misfit("a batch of " + std::to_string(in[0]) + " has grids for " + std::to_string(grid[0]));
  }
  for (std::size_t i = 2; i < in.size(); ++i) {
    if (in[i] == 0) return misfit("expected sizes of at least 1, found " + shape_text(in));
  }
  Shape shape = {in[0], in[1]};
  shape.insert(shape.end(), grid.begin() + 1, grid.end() - 1);
  return one(std::move(shape));
}

Inferred infer(const AffineGrid& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& theta = operands.shape();
  if (op.size.size() != 4 && op.size.size() != 5)
    return misfit("size: expected 4 or 5 sizes, found " + shape_text(op.size));
  for (const std::int64_t size : op.size) {
    if (size < 1) return misfit("size: expected sizes of at least 1, found " + shape_text(op.size));
  }
  const auto rank = static_cast<std::int64_t>(op.size.size() - 2);
  const Shape wanted = {op.size[0], rank, rank + 1};
  bool fits = theta.size() == wanted.size();
  for (std::size_t i = 0; fits && i < wanted.size(); ++i) fits = theta[i] == kUnknown || theta[i] == wanted[i];
  if (!fits) return misfit("expected an input of " + shape_text(wanted) + ", found " + shape_text(theta));
  Shape shape = {op.size[0]};
  shape.insert(shape.end(), op.size.begin() + 2, op.size.end());
  shape.push_back(rank);
  return one(std::move(shape));
}

Inferred infer(const PixelShuffle& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  if (shape.size() < 3) return wrong_rank("3 or more", shape);
  const auto square = checked_mul(op.upscale_factor, op.upscale_factor);
  std::int64_t& channels = shape[shape.size() - 3];
  if (!square || (channels != kUnknown && channels % *square != 0)) {
    return expected_found("a multiple of upscale_factor squared", std::to_string(channels), operands.shape());
  }
  if (channels != kUnknown) channels /= *square;
  for (std::size_t i = shape.size() - 2; i < shape.size(); ++i) {
    const auto size = shape[i] == kUnknown ? std::optional(kUnknown) : checked_mul(shape[i], op.upscale_factor);
    if (!size) return overflows(operands.shape());
    shape[i] = *size;
  }
  return one(std::move(shape));
}

Inferred infer(const PixelUnshuffle& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  if (shape.size() < 3) return wrong_rank("3 or more", shape);
  for (std::size_t i = shape.size() - 2; i < shape.size(); ++i) {
    if (shape[i] == kUnknown) continue;
    if (shape[i] % op.downscale_factor != 0) {
      return expected_found("multiples of " + std::to_string(op.downscale_factor), std::to_string(shape[i]),
                            operands.shape());
    }
    shape[i] /= op.downscale_factor;
  }
  std::int64_t& channels = shape[shape.size() - 3];
  const auto square = checked_mul(op.downscale_factor, op.downscale_factor);
  const auto size = channels == kUnknown ? std::optional(kUnknown)
                    : square             ? checked_mul(channels, *square)
                                         : std::nullopt;
  if (!size) return overflows(operands.shape());
  channels = *size;
  return one(std::move(shape));
}

Inferred infer(const ChannelShuffle& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  if (shape.size() < 3) return wrong_rank("3 or more", shape);
  if (shape[1] != kUnknown && shape[1] % op.groups != 0) {
    return expected_found("a multiple of " + std::to_string(op.groups) + " channels", std::to_string(shape[1]), shape);
  }
  return one(shape);
}

// Negative amounts crop. Reflected and replicated elements are those of the whole dimension, also where what is cropped
// lies beyond it ([1, 2] padded by -2 and 1 is [1] or [2]); constant and circular padding goes around what is left.
Inferred infer(const Pad& op, const Operands& operands) {
  Shape shape = operands.shape();
  if (op.pad.size() % 2 != 0 || op.pad.size() / 2 > shape.size()) {
    return misfit("pad: expected pairs for at most " + count_text(shape.size(), "dimension") + ", found " +
                  count_text(op.pad.size(), "number"));
  }
  const bool shows_edges = op.mode == PadMode::reflect || op.mode == PadMode::replicate;
  // PyTorch looks at the channels, too.
  const std::size_t pairs = op.pad.size() / 2;
  if (shows_edges && pairs > 0 && pairs < shape.size() && shape[shape.size() - 1 - pairs] == 0) {
    return misfit("expected sizes of at least 1, found " + shape_text(operands.shape()));
  }
  for (std::size_t i = 0; i < pairs; ++i) {
    std::int64_t& size = shape[shape.size() - 1 - i];
    const std::int64_t before = op.pad[2 * i];
    const std::int64_t after = op.pad[2 * i + 1];
    if (size == kUnknown) continue;
    const std::int64_t both = padded(size, before, after);
    const std::int64_t cropped = padded(size, std::min<std::int64_t>(before, 0), std::min<std::int64_t>(after, 0));
    if (shows_edges ? size < 1 || both < 1 : both < 0 || cropped < 0) {
      return misfit("pad: nothing is left of " + shape_text(operands.shape()));
    }
    const std::int64_t most = std::max(before, after);
    const std::int64_t room = op.mode == PadMode::circular ? cropped : size;
    const bool fits = (op.mode != PadMode::reflect || most < room) && (op.mode != PadMode::circular || most <= room);
    if (!fits) {
      return misfit("pad " + std::to_string(most) + " is too large for a size of " + std::to_string(room));
    }
    size = both;
  }
  return one(std::move(shape), operands.dtype());
}

namespace {

// Those that a PadAs fits, of a tensor with so many dimensions.
Result<std::vector<std::size_t>> fitted_dimensions(const PadAs& op, const Shape& shape) {
  if (!op.dims.empty()) return dimensions(op.dims, shape);
  if (shape.size() < 3) return wrong_rank("3 or more", shape);
  std::vector<std::size_t> dims(shape.size() - 2);
  std::iota(dims.begin(), dims.end(), std::size_t{2});
  return dims;
}

}  // namespace

Result<Pad> pad_of(const PadAs& op, const Shape& shape, const Shape& other) {
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> dims, fitted_dimensions(op, shape));
  Pad pad{.pad = Shape(2 * shape.size(), 0), .mode = op.mode, .value = op.value};
  for (const std::size_t dim : dims) {
    if (shape[dim] == kUnknown || other[dim] == kUnknown) continue;
    const std::int64_t difference = other[dim] - shape[dim];
    std::int64_t before = 0;
    // Python's difference // 2, which is towards minus infinity.
    if (op.placement != PadPlacement::end) before = difference / 2 - (difference % 2 < 0 ? 1 : 0);
    // int(round(difference / 2.0)) of what is cropped: Python rounds halves to even.
    if (op.placement == PadPlacement::center_crop && difference % 2 < 0) {
      before = difference / 2 - (difference / 2 % 2 != 0 ? 1 : 0);
    }
    const std::size_t pair = 2 * (shape.size() - 1 - dim);
    pad.pad[pair] = before;
    pad.pad[pair + 1] = difference - before;
  }
  return pad;
}

Inferred infer(const PadAs& op, const Operands& operands) {
  const Shape& shape = operands.shape(0);
  const Shape& other = operands.shape(1);
  if (other.size() != shape.size()) return wrong_rank(std::to_string(shape.size()), other);
  RUSHLIGHT_TRY_ASSIGN(const Pad pad, pad_of(op, shape, other));
  RUSHLIGHT_TRY_ASSIGN(std::vector<EdgeType> outputs, infer(pad, Operands{operands.inputs.first(1), 1}));
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> dims, fitted_dimensions(op, shape));
  for (const std::size_t dim : dims) outputs.front().shape[dim] = other[dim];
  return outputs;
}

}  // namespace rushlight::model
