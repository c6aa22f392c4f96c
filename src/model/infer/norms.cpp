#include <limits>
#include <utility>

#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

Status check_channels(std::int64_t expected, std::int64_t found, const Shape& shape) {
  if (expected == kFromWeights || found == kUnknown || found == expected) return {};
  return expected_found(count_text(static_cast<std::size_t>(expected), "channel"), std::to_string(found), shape);
}

// Statistics are of this many numbers: the sizes of `shape`, but `channels` of those in dimension 1. One has no
// variance, says PyTorch.
Status check_several(const Shape& shape, std::int64_t channels) {
  Shape sizes = shape;
  sizes[1] = channels;
  if (element_count(sizes) != 1) return {};
  return misfit("statistics want more than one value for each channel, found " + shape_text(shape));
}

// Batch norms of so many dimensions: "2 or 3", "4", "5", "2 or more".
constexpr std::size_t kAnyRank = std::numeric_limits<std::size_t>::max();
template <class Norm>
Inferred infer_batch_norm(const Norm& op, const Operands& operands, std::size_t least, std::size_t most) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  if (shape.size() < least || shape.size() > most) {
    const std::string more = most == kAnyRank ? " or more" : " or " + std::to_string(most);
    return wrong_rank(std::to_string(least) + (least == most ? "" : more), shape);
  }
  RUSHLIGHT_TRY(check_channels(op.num_features, shape[1], shape));
  if (!op.track_running_stats) RUSHLIGHT_TRY(check_several(shape, 1));
  return one(shape);
}

// One that has neither weights nor statistics takes any number of channels, whatever num_features says.
template <class Norm>
Inferred infer_instance_norm(const Norm& op, const Operands& operands, std::size_t spatial) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture_of_any_size(shape, spatial));
  if (op.affine || op.track_running_stats) {
    RUSHLIGHT_TRY(check_channels(op.num_features, shape[image.channels], shape));
  }
  if (!op.track_running_stats) {
    const auto pixels = element_count(std::span(shape).subspan(image.channels + 1));
    if (!pixels) return overflows(shape);
    if (*pixels == 1) return misfit("statistics want more than one value for each channel, found " + shape_text(shape));
  }
  return one(shape);
}

template <class Norm>
Inferred infer_last_dimensions(const Norm& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  const Shape& last = op.normalized_shape;
  bool fits = shape.size() >= last.size();
  for (std::size_t i = 0; fits && i < last.size(); ++i) {
    const std::int64_t size = shape[shape.size() - last.size() + i];
    fits = size == kUnknown || last[i] == kUnknown || size == last[i];
  }
  if (!fits) return expected_found("last dimensions " + shape_text(last), "others", shape);
  return one(shape);
}

}  // namespace

Inferred infer(const BatchNorm1d& op, const Operands& operands) {
  return infer_batch_norm(op, operands, 2, 3);
}
Inferred infer(const BatchNorm2d& op, const Operands& operands) {
  return infer_batch_norm(op, operands, 4, 4);
}
Inferred infer(const BatchNorm3d& op, const Operands& operands) {
  return infer_batch_norm(op, operands, 5, 5);
}
Inferred infer(const SyncBatchNorm& op, const Operands& operands) {
  return infer_batch_norm(op, operands, 2, kAnyRank);
}
Inferred infer(const InstanceNorm1d& op, const Operands& operands) {
  return infer_instance_norm(op, operands, 1);
}
Inferred infer(const InstanceNorm2d& op, const Operands& operands) {
  return infer_instance_norm(op, operands, 2);
}
Inferred infer(const InstanceNorm3d& op, const Operands& operands) {
  return infer_instance_norm(op, operands, 3);
}

Inferred infer(const GroupNorm& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  if (shape.size() < 2) return wrong_rank("2 or more", shape);
  RUSHLIGHT_TRY(check_channels(op.num_channels, shape[1], shape));
  if (op.num_channels == kFromWeights && shape[1] != kUnknown && shape[1] % op.num_groups != 0) {
    return expected_found("a multiple of " + std::to_string(op.num_groups) + " channels", std::to_string(shape[1]),
                          shape);
  }
  const auto pixels = element_count(std::span(shape).subspan(2));
  if (pixels == 0) return misfit("expected pictures that are not empty, found " + shape_text(shape));
  if (shape[1] != kUnknown) RUSHLIGHT_TRY(check_several(shape, shape[1] / op.num_groups));
  return one(shape);
}

Inferred infer(const LayerNorm& op, const Operands& operands) {
  return infer_last_dimensions(op, operands);
}
Inferred infer(const RMSNorm& op, const Operands& operands) {
  return infer_last_dimensions(op, operands);
}

Inferred infer(const LocalResponseNorm&, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  if (operands.shape().size() < 3) return wrong_rank("3 or more", operands.shape());
  return one(operands.shape());
}

Inferred infer(const CrossMapLRN2d&, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  if (operands.shape().size() != 4) return wrong_rank("4", operands.shape());
  if (operands.shape()[1] == 0) return misfit("expected sizes of at least 1, found " + shape_text(operands.shape()));
  return one(operands.shape());
}

Inferred infer(const Normalize& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(check_norm_of({op.dim}, op.p, operands.shape()));
  return one(operands.shape());
}

}  // namespace rushlight::model
