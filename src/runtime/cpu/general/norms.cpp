// Norms by statistics of the data at hand: means first, then squared distances from them, all in double.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/cpu/general/pictures.hpp"
#include "runtime/cpu/general/wide.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Sum of f(x[i]) in eight chains, so that additions overlap.
template <class F>
double sum_of(const float* x, std::size_t count, F f) noexcept {
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (std::size_t k = 0; k < 8; ++k) sums[k] += f(wide(x[i + k]));
  }
  for (; i < count; ++i) sums[i % 8] += f(wide(x[i]));
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

struct Affine {
  std::span<const float> weight;
  std::span<const float> bias;
  [[nodiscard]] double scale(std::size_t i) const noexcept { return weight.empty() ? 1.0 : wide(weight[i]); }
  [[nodiscard]] double shift(std::size_t i) const noexcept { return bias.empty() ? 0.0 : wide(bias[i]); }
};
Result<Affine> affine_of(const Builder& b, bool has_weight, bool has_bias) {
  Affine affine;
  if (has_weight) {
    RUSHLIGHT_TRY_ASSIGN(affine.weight, b.parameter("weight"));
  }
  if (has_bias) {
    RUSHLIGHT_TRY_ASSIGN(affine.bias, b.parameter("bias"));
  }
  return affine;
}

// y = (x - mean) * scale + shift with three numbers for each channel of a set of images, where some earlier Op has put
// them: means, then scales, [sets][channels] each.
void add_application(Builder& b, std::size_t spatial, bool one_set, std::size_t means, std::size_t scales,
                     Affine affine) {
  const PictureRows in(b.input(), spatial);
  const PictureRows out(b.output(), spatial);
  const std::size_t pixels = in.pixels.count;
  const std::size_t channels = in.channels;
  b.add_ranges(in.images * pixels, 4 * static_cast<double>(channels) + 20,
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t row = range.first; row < range.last; ++row) {
                   const std::size_t image = row / pixels;
                   const double* mean = frame.shared_at<double>(means) + (one_set ? 0 : image * channels);
                   const double* scale = frame.shared_at<double>(scales) + (one_set ? 0 : image * channels);
                   const float* from = frame.at(x) + in.at(image, row % pixels);
                   float* to = frame.at(y) + out.at(image, row % pixels);
                   for (std::size_t c = 0; c < channels; ++c) {
                     to[c] = static_cast<float>((wide(from[c]) - mean[c]) * scale[c] + affine.shift(c));
                   }
                 }
               });
}

// Statistics over `groups` groups of adjacent channels, for each image or (one_set) for all together.
void add_statistics_norm(Builder& b, std::size_t spatial, bool one_set, std::size_t groups, double eps, Affine affine) {
  const PictureRows in(b.input(), spatial);
  const std::size_t channels = in.channels;
  const std::size_t sets = one_set ? 1 : in.images;
  const std::size_t images = one_set ? in.images : 1;  // of a set
  const std::size_t pixels = in.pixels.count;
  const std::size_t means = b.share({sets, channels, 2});
  const std::size_t scales = b.share({sets, channels, 2});
  // Mean and variance of each channel: 16 neighbours at a time.
  constexpr std::size_t kWidth = 16;
  const std::size_t pieces = parts_of(channels, kWidth);
  b.add_ranges(sets * pieces, 6 * static_cast<double>(images * pixels * kWidth),
               [=, x = b.input().tensor](Range range, const Frame& frame) {
                 for (std::size_t task = range.first; task < range.last; ++task) {
                   const std::size_t set = task / pieces;
                   const std::size_t first = task % pieces * kWidth;
                   const std::size_t width = std::min(kWidth, channels - first);
                   const auto walk = [&](auto each) {
                     for (std::size_t i = 0; i < images; ++i) {
                       for (std::size_t p = 0; p < pixels; ++p) {
                         const float* from = frame.at(x) + in.at(set * images + i, p) + first;
                         for (std::size_t c = 0; c < width; ++c) each(c, wide(from[c]));
                       }
                     }
                   };
                   const auto count = static_cast<double>(images * pixels);
                   double mean[kWidth] = {};
                   double square[kWidth] = {};
                   walk([&](std::size_t c, double value) { mean[c] += value; });
                   for (double& value : mean) value /= count;
                   walk([&](std::size_t c, double value) { square[c] += (value - mean[c]) * (value - mean[c]); });
                   for (std::size_t c = 0; c < width; ++c) {
                     frame.shared_at<double>(means)[set * channels + first + c] = mean[c];
                     frame.shared_at<double>(scales)[set * channels + first + c] = square[c] / count;
                   }
                 }
               });
  // From channels to groups: the variance of a group is the mean of its channels', and of their means' squared
  // distances.
  const std::size_t each = channels / groups;
  b.add_ranges(sets * groups, 10 * static_cast<double>(each), [=](Range range, const Frame& frame) {
    for (std::size_t task = range.first; task < range.last; ++task) {
      double* mean = frame.shared_at<double>(means) + task * each;
      double* scale = frame.shared_at<double>(scales) + task * each;
      double sum = 0;
      for (std::size_t c = 0; c < each; ++c) sum += mean[c];
      const double group_mean = sum / static_cast<double>(each);
      double variance = 0;
      for (std::size_t c = 0; c < each; ++c) {
        variance += scale[c] + (mean[c] - group_mean) * (mean[c] - group_mean);
      }
      const double factor = 1 / std::sqrt(variance / static_cast<double>(each) + eps);
      const std::size_t first = task % groups * each;
      for (std::size_t c = 0; c < each; ++c) {
        mean[c] = group_mean;
        scale[c] = factor * affine.scale(first + c);
      }
    }
  });
  add_application(b, spatial, one_set, means, scales, affine);
}

template <class Norm>
Status add_instance_norm(Builder& b, const Norm& op, std::size_t spatial) {
  RUSHLIGHT_TRY_ASSIGN(const Affine affine, affine_of(b, op.affine, op.affine));
  const std::size_t channels = PictureRows(b.input(), spatial).channels;
  if (!op.track_running_stats) {
    add_statistics_norm(b, spatial, false, channels, op.eps, affine);
    return {};
  }
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> running_mean, b.parameter("running_mean"));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> running_var, b.parameter("running_var"));
  const std::size_t means = b.share({channels, 2});
  const std::size_t scales = b.share({channels, 2});
  b.add(1, 10, 0, [=, eps = op.eps](std::size_t, const Frame& frame) {
    for (std::size_t c = 0; c < channels; ++c) {
      frame.shared_at<double>(means)[c] = wide(running_mean[c]);
      frame.shared_at<double>(scales)[c] = affine.scale(c) / std::sqrt(wide(running_var[c]) + eps);
    }
  });
  add_application(b, spatial, true, means, scales, affine);
  return {};
}

template <class Norm>
Status add_batch_norm(Builder& b, const Norm& op) {
  RUSHLIGHT_TRY_ASSIGN(const Affine affine, affine_of(b, op.affine, op.affine));
  const std::size_t spatial = b.input().shape.size() - 2;
  add_statistics_norm(b, spatial, true, size_of(b.input().shape[1]), op.eps, affine);
  return {};
}

// Rows of the last dimensions of a dense tensor.
Status add_layer_norm(Builder& b, const LayerNorm& op) {
  RUSHLIGHT_TRY_ASSIGN(const Affine affine, affine_of(b, op.elementwise_affine, op.elementwise_affine && op.bias));
  std::size_t size = 1;
  for (const std::int64_t part : op.normalized_shape) size *= size_of(part);
  const std::size_t rows = size == 0 ? 0 : size_of(b.input().elements()) / size;
  b.add_ranges(rows, 6 * static_cast<double>(size) + 40,
               [=, eps = op.eps, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t row = range.first; row < range.last; ++row) {
                   const float* from = frame.at(x) + row * size;
                   float* to = frame.at(y) + row * size;
                   const auto count = static_cast<double>(size);
                   const double mean = sum_of(from, size, [](double value) { return value; }) / count;
                   const double square =
                       sum_of(from, size, [mean](double value) { return (value - mean) * (value - mean); });
                   const double factor = 1 / std::sqrt(square / count + eps);
                   if (affine.weight.empty()) {
                     for (std::size_t i = 0; i < size; ++i) to[i] = static_cast<float>((wide(from[i]) - mean) * factor);
                   } else if (affine.bias.empty()) {
                     for (std::size_t i = 0; i < size; ++i) {
                       to[i] = static_cast<float>((wide(from[i]) - mean) * factor * wide(affine.weight[i]));
                     }
                   } else {
                     const float* weight = affine.weight.data();
                     const float* bias = affine.bias.data();
                     for (std::size_t i = 0; i < size; ++i) {
                       to[i] = static_cast<float>((wide(from[i]) - mean) * factor * wide(weight[i]) + wide(bias[i]));
                     }
                   }
                 }
               });
  return {};
}

Status add_rms_norm(Builder& b, const RMSNorm& op) {
  RUSHLIGHT_TRY_ASSIGN(const Affine affine, affine_of(b, op.elementwise_affine, false));
  std::size_t size = 1;
  for (const std::int64_t part : op.normalized_shape) size *= size_of(part);
  const double eps = op.eps.value_or(static_cast<double>(std::numeric_limits<float>::epsilon()));
  const std::size_t rows = size == 0 ? 0 : size_of(b.input().elements()) / size;
  b.add_ranges(rows, 4 * static_cast<double>(size) + 40,
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t row = range.first; row < range.last; ++row) {
                   const float* from = frame.at(x) + row * size;
                   float* to = frame.at(y) + row * size;
                   const double square = sum_of(from, size, [](double value) { return value * value; });
                   const double factor = 1 / std::sqrt(square / static_cast<double>(size) + eps);
                   for (std::size_t i = 0; i < size; ++i) {
                     to[i] = static_cast<float>(wide(from[i]) * factor * affine.scale(i));
                   }
                 }
               });
  return {};
}

// f(places of the channels of a pixel, places of its output) for every pixel.
template <class F>
void add_pixels(Builder& b, double cost, F f) {
  const std::size_t spatial = b.input().shape.size() - 2;
  const PictureRows in(b.input(), spatial);
  const PictureRows out(b.output(), spatial);
  const std::size_t pixels = in.pixels.count;
  b.add_ranges(in.images * pixels, cost * static_cast<double>(in.channels),
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t row = range.first; row < range.last; ++row) {
                   f(frame.at(x) + in.at(row / pixels, row % pixels), frame.at(y) + out.at(row / pixels, row % pixels));
                 }
               });
}

// An even window looks further back than ahead.
void add_local_response_norm(Builder& b, const LocalResponseNorm& op) {
  const std::ptrdiff_t channels = b.input().shape[1];
  const std::ptrdiff_t before = std::min<std::int64_t>(op.size / 2, channels);
  const std::ptrdiff_t after = std::min<std::int64_t>((op.size - 1) / 2, channels);
  const double window = static_cast<double>(std::min<std::int64_t>(op.size, channels));
  add_pixels(b, 2 * window + 60, [=](const float* from, float* to) {
    for (std::ptrdiff_t c = 0; c < channels; ++c) {
      double squares = 0;
      const std::ptrdiff_t last = std::min(channels - 1, c + after);
      for (std::ptrdiff_t k = std::max<std::ptrdiff_t>(0, c - before); k <= last; ++k) {
        squares += wide(from[k]) * wide(from[k]);
      }
      const double base = op.k + op.alpha / static_cast<double>(op.size) * squares;
      to[c] = static_cast<float>(wide(from[c]) / std::pow(base, op.beta));
    }
  });
}

// torch keeps a running sum, so that what is not finite stays in it; and it never drops the first channel.
void add_cross_map_norm(Builder& b, const CrossMapLRN2d& op) {
  const std::ptrdiff_t channels = b.input().shape[1];
  const std::ptrdiff_t reach = std::min<std::int64_t>((op.size - 1) / 2, channels);
  add_pixels(b, 64, [=](const float* from, float* to) {
    const auto square = [from](std::ptrdiff_t c) { return wide(from[c]) * wide(from[c]); };
    double squares = 0;
    for (std::ptrdiff_t c = 0; c < std::min(reach, channels); ++c) squares += square(c);
    for (std::ptrdiff_t c = 0; c < channels; ++c) {
      if (c + reach < channels) squares += square(c + reach);
      if (c > reach + 1) squares -= square(c - reach - 1);
      const double base = op.k + op.alpha / static_cast<double>(op.size) * squares;
      to[c] = static_cast<float>(wide(from[c]) * std::pow(base, -op.beta));
    }
  });
}

}  // namespace

Status build_norms(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::BatchNorm1d:
      return add_batch_norm(b, b.get<BatchNorm1d>());
    case OperatorKind::BatchNorm2d:
      return add_batch_norm(b, b.get<BatchNorm2d>());
    case OperatorKind::BatchNorm3d:
      return add_batch_norm(b, b.get<BatchNorm3d>());
    case OperatorKind::SyncBatchNorm:
      return add_batch_norm(b, b.get<SyncBatchNorm>());
    case OperatorKind::InstanceNorm1d:
      return add_instance_norm(b, b.get<InstanceNorm1d>(), 1);
    case OperatorKind::InstanceNorm2d:
      return add_instance_norm(b, b.get<InstanceNorm2d>(), 2);
    case OperatorKind::InstanceNorm3d:
      return add_instance_norm(b, b.get<InstanceNorm3d>(), 3);
    case OperatorKind::GroupNorm: {
      const GroupNorm& op = b.get<GroupNorm>();
      RUSHLIGHT_TRY_ASSIGN(const Affine affine, affine_of(b, op.affine, op.affine));
      add_statistics_norm(b, b.input().shape.size() - 2, false, size_of(op.num_groups), op.eps, affine);
      return {};
    }
    case OperatorKind::LayerNorm:
      return add_layer_norm(b, b.get<LayerNorm>());
    case OperatorKind::RMSNorm:
      return add_rms_norm(b, b.get<RMSNorm>());
    case OperatorKind::CrossMapLRN2d:
      add_cross_map_norm(b, b.get<CrossMapLRN2d>());
      return {};
    default:
      add_local_response_norm(b, b.get<LocalResponseNorm>());
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
