// Normalisation. Means first, then deviations: two passes, in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "runtime/reference/norm_of.hpp"
#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

struct Moments {
  double mean = 0;
  double variance = 0;  // biased: divided by the count
};

// Of the elements place(0), place(1), ...
template <class Place>
Moments moments_of(std::span<const double> x, std::size_t count, const Place& place) {
  Moments moments;
  for (std::size_t i = 0; i < count; ++i) moments.mean += x[place(i)];
  moments.mean /= static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double deviation = x[place(i)] - moments.mean;
    moments.variance += deviation * deviation;
  }
  moments.variance /= static_cast<double>(count);
  return moments;
}

double scaled(double x, const Moments& moments, double eps) {
  return (x - moments.mean) / std::sqrt(moments.variance + eps);
}

// What follows where the norm is affine.
struct Affine {
  std::span<const float> weight;
  std::span<const float> bias;
  explicit Affine(const Call& call) : weight(call.parameter("weight")), bias(call.parameter("bias")) {}
  [[nodiscard]] double operator()(double y, std::size_t i) const {
    if (!weight.empty()) y *= static_cast<double>(weight[i]);
    if (!bias.empty()) y += static_cast<double>(bias[i]);
    return y;
  }
};

std::optional<Moments> running_moments(const Call& call, std::size_t channel) {
  const std::span<const float> mean = call.parameter("running_mean");
  if (mean.empty()) return std::nullopt;
  return Moments{static_cast<double>(mean[channel]), static_cast<double>(call.parameter("running_var")[channel])};
}

// Channels are dimension 1. Without running statistics each channel's own are taken over the batch, in eval mode too.
Status batch_norm(double eps, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const Axis axis = axis_of(call.input().shape, 1);
  const Affine affine(call);
  for (std::size_t c = 0; c < axis.size; ++c) {
    const auto place = [&](std::size_t i) { return axis.place(i / axis.inner, c, i % axis.inner); };
    const std::size_t count = axis.outer * axis.inner;
    std::optional<Moments> moments = running_moments(call, c);
    if (!moments) moments = moments_of(x, count, place);
    for (std::size_t i = 0; i < count; ++i) y[place(i)] = affine(scaled(x[place(i)], *moments, eps), c);
  }
  return {};
}

// [outer, groups, inner]: each item and group by itself. `channel_of(flat)` says which weight an element has.
template <class ChannelOf>
void group_norm(double eps, const Call& call, std::size_t rows, const ChannelOf& channel_of) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const Affine affine(call);
  const std::size_t size = rows == 0 ? 0 : x.size() / rows;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto place = [&](std::size_t i) { return row * size + i; };
    const Moments moments = moments_of(x, size, place);
    for (std::size_t i = 0; i < size; ++i) {
      y[place(i)] = affine(scaled(x[place(i)], moments, eps), channel_of(place(i)));
    }
  }
}

template <class Norm>
Status instance_norm(const Norm& op, const Call& call, std::size_t spatial) {
  if (op.track_running_stats) {  // eval mode: as a batch norm, where a lone picture has its channels first
    const std::span<const double> x = call.input().values;
    const Affine affine(call);
    const std::size_t channel = call.input().shape.size() - spatial - 1;
    const Axis axis = axis_of(call.input().shape, static_cast<std::int64_t>(channel));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t c = i / axis.inner % axis.size;
      call.output().values[i] = affine(scaled(x[i], *running_moments(call, c), op.eps), c);
    }
    return {};
  }
  const std::span<const std::int64_t> shape = call.input().shape;
  const std::size_t pixels = count_of(shape.last(spatial));
  const std::size_t rows = count_of(shape.first(shape.size() - spatial));
  const std::size_t channels = at(shape[shape.size() - spatial - 1]);
  group_norm(op.eps, call, rows, [&](std::size_t flat) { return flat / pixels % channels; });
  return {};
}

}  // namespace

Status compute(const BatchNorm1d& op, const Call& call) {
  return batch_norm(op.eps, call);
}
Status compute(const BatchNorm2d& op, const Call& call) {
  return batch_norm(op.eps, call);
}
Status compute(const BatchNorm3d& op, const Call& call) {
  return batch_norm(op.eps, call);
}
Status compute(const SyncBatchNorm& op, const Call& call) {
  return batch_norm(op.eps, call);
}
Status compute(const InstanceNorm1d& op, const Call& call) {
  return instance_norm(op, call, 1);
}
Status compute(const InstanceNorm2d& op, const Call& call) {
  return instance_norm(op, call, 2);
}
Status compute(const InstanceNorm3d& op, const Call& call) {
  return instance_norm(op, call, 3);
}

Status compute(const GroupNorm& op, const Call& call) {
  const Axis channels = axis_of(call.input().shape, 1);
  group_norm(op.eps, call, channels.outer * at(op.num_groups),
             [&](std::size_t flat) { return flat / channels.inner % channels.size; });
  return {};
}

Status compute(const LayerNorm& op, const Call& call) {
  const std::span<const std::int64_t> shape = call.input().shape;
  const std::size_t size = count_of(shape.last(op.normalized_shape.size()));
  group_norm(op.eps, call, count_of(shape.first(shape.size() - op.normalized_shape.size())),
             [&](std::size_t flat) { return flat % size; });
  return {};
}

// Without eps it is float32's epsilon, 1.19e-7: torch takes the one of the input's dtype.
Status compute(const RMSNorm& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<const std::int64_t> shape = call.input().shape;
  const double eps = op.eps.value_or(static_cast<double>(std::numeric_limits<float>::epsilon()));
  const Affine affine(call);
  const std::size_t size = count_of(shape.last(op.normalized_shape.size()));
  const std::size_t rows = count_of(shape.first(shape.size() - op.normalized_shape.size()));
  for (std::size_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += x[row * size + i] * x[row * size + i];
    const double divisor = std::sqrt(sum / static_cast<double>(size) + eps);
    for (std::size_t i = 0; i < size; ++i) {
      call.output().values[row * size + i] = affine(x[row * size + i] / divisor, i);
    }
  }
  return {};
}

// alpha is divided by size, also where the window overhangs the channels. An even size looks further back than ahead.
Status compute(const LocalResponseNorm& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const Axis axis = axis_of(call.input().shape, 1);
  const auto channels = static_cast<std::int64_t>(axis.size);
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      const std::int64_t last = std::min(c + (op.size - 1) / 2, channels - 1);
      for (std::int64_t k = std::max<std::int64_t>(c - op.size / 2, 0); k <= last; ++k) {
        const double value = x[axis.place(o, at(k), i)];
        sum += value * value;
      }
      const std::size_t place = axis.place(o, at(c), i);
      call.output().values[place] = x[place] / std::pow(op.k + op.alpha * sum / static_cast<double>(op.size), op.beta);
    }
  });
  return {};
}

// A running sum over the channels, as CrossMapLRN2d in torch.nn.modules._functions has it: it takes up a channel
// (size - 1) / 2 ahead and drops the one as far behind, but never the first, since it begins to drop one channel late.
// What is not finite stays in it.
Status compute(const CrossMapLRN2d& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const Axis axis = axis_of(call.input().shape, 1);
  const auto channels = static_cast<std::int64_t>(axis.size);
  const std::int64_t pre_pad = (op.size - 1) / 2 + 1;
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    const auto value = [&](std::int64_t c) { return x[axis.place(o, at(c), i)]; };
    double sum = 0;
    for (std::int64_t c = 0; c < std::min(pre_pad, channels); ++c) sum += value(c) * value(c);
    for (std::int64_t c = 0; c < channels; ++c) {
      if (c > 0 && c + pre_pad - 1 < channels) sum += value(c + pre_pad - 1) * value(c + pre_pad - 1);
      if (c > pre_pad) sum -= value(c - pre_pad) * value(c - pre_pad);
      call.output().values[axis.place(o, at(c), i)] =
          value(c) * std::pow(op.k + op.alpha / static_cast<double>(op.size) * sum, -op.beta);
    }
  });
  return {};
}

Status compute(const Normalize& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const Axis axis = axis_of(call.input().shape, op.dim);
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    VectorNormOf norm(op.p);
    for (std::size_t k = 0; k < axis.size; ++k) norm.add(x[axis.place(o, k, i)]);
    double divisor = norm.value();
    if (divisor < op.eps) divisor = op.eps;
    for (std::size_t k = 0; k < axis.size; ++k) {
      call.output().values[axis.place(o, k, i)] = x[axis.place(o, k, i)] / divisor;
    }
  });
  return {};
}

}  // namespace rushlight::runtime::reference
