// Reductions over dimensions, and what picks elements by their order.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/fail.hpp"
#include "runtime/reference/norm_of.hpp"
#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// Which dimensions go: those of `dims`, all of them when it is empty.
class Reduction {
 public:
  Reduction(const Call& call, const Shape& dims)
      : shape_(call.input().shape), gone_(call.take<bool>(call.input().shape.size())) {
    for (std::size_t d = 0; d < shape_.size(); ++d) gone_[d] = dims.empty();
    for (const std::int64_t dim : dims) {
      if (!shape_.empty()) gone_[dimension_of(dim, shape_)] = true;
    }
  }
  // Where in the output an element of the input counts.
  [[nodiscard]] std::size_t target(std::size_t flat) const {
    std::size_t place = 0;
    std::size_t step = 1;
    for (std::size_t d = shape_.size(); d-- > 0;) {
      const std::size_t size = at(shape_[d]);
      if (!gone_[d]) {
        place += flat % size * step;
        step *= size;
      }
      flat /= size;
    }
    return place;
  }
  // Elements that count in each place.
  [[nodiscard]] double count() const {
    double count = 1;
    for (std::size_t d = 0; d < shape_.size(); ++d) count *= gone_[d] ? static_cast<double>(shape_[d]) : 1.0;
    return count;
  }

 private:
  std::span<const std::int64_t> shape_;
  std::span<bool> gone_;
};

// y = f(y, x, place of y) for each element, from `start`.
template <class F>
void fold(const Call& call, const Reduction& reduction, std::span<double> y, double start, const F& f) {
  std::fill(y.begin(), y.end(), start);
  const std::span<const double> x = call.input().values;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t target = reduction.target(i);
    y[target] = f(y[target], x[i], target);
  }
}

template <class Op, class F>
Status reduce(const Op& op, const Call& call, double start, const F& f) {
  const Reduction reduction(call, op.dim);
  fold(call, reduction, call.output().values, start, [&](double y, double x, std::size_t) { return f(y, x); });
  return {};
}

double sum_of(double a, double b) {
  return a + b;
}

// With the sign -1 the smallest. NaN wins over everything.
bool beats(double x, double best, double sign) {
  return !std::isnan(best) && (std::isnan(x) || sign * x > sign * best);
}
auto extremum(double sign) {
  return [sign](double y, double x) { return beats(x, y, sign) ? x : y; };
}

// Two passes: the mean, then the squared deviations, divided by the count less the correction.
template <class Op>
void variance(const Op& op, const Call& call) {
  const Reduction reduction(call, op.dim);
  const std::span<double> y = call.output().values;
  const std::span<double> mean = call.take<double>(y.size());
  fold(call, reduction, mean, 0, [](double sum, double x, std::size_t) { return sum + x; });
  for (double& value : mean) value /= reduction.count();
  fold(call, reduction, y, 0,
       [&](double sum, double x, std::size_t target) { return sum + (x - mean[target]) * (x - mean[target]); });
  for (double& value : y) value /= std::max(reduction.count() - op.correction, 0.0);
}

// The first of equal values; the first NaN where there is one.
template <class Place>
std::size_t find_extremum(std::span<const double> x, std::size_t count, double sign, const Place& place) {
  std::size_t best = 0;
  for (std::size_t k = 1; k < count; ++k) {
    if (beats(x[place(k)], x[place(best)], sign)) best = k;
  }
  return best;
}

// Calls put(output place, input place, index) for the extremum along `dim`, or of all elements.
template <class Put>
void find_extrema(const Call& call, const std::optional<std::int64_t>& dim, double sign, const Put& put) {
  const std::span<const double> x = call.input().values;
  const Axis axis = dim ? axis_of(call.input().shape, *dim) : Axis{1, x.size(), 1};
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    const auto place = [&](std::size_t k) { return axis.place(o, k, i); };
    const std::size_t best = find_extremum(x, axis.size, sign, place);
    put(o * axis.inner + i, place(best), best);
  });
}

Status value_and_index(const Call& call, const std::optional<std::int64_t>& dim, double sign) {
  find_extrema(call, dim, sign, [&](std::size_t to, std::size_t from, std::size_t index) {
    call.output().values[to] = call.input().values[from];
    if (call.outputs.size() > 1) call.output(1).values[to] = static_cast<double>(index);
  });
  return {};
}
Status index_alone(const Call& call, const std::optional<std::int64_t>& dim, double sign) {
  find_extrema(call, dim, sign, [&](std::size_t to, std::size_t, std::size_t index) {
    call.output().values[to] = static_cast<double>(index);
  });
  return {};
}

// Of two inputs.
std::span<const std::int64_t> broadcast_shape(const Call& call) {
  const std::span<const std::int64_t> a = call.input(0).shape;
  const std::span<const std::int64_t> b = call.input(1).shape;
  const std::span<std::int64_t> both = call.take<std::int64_t>(std::max(a.size(), b.size()));
  for (std::size_t d = 1; d <= both.size(); ++d) {
    const std::int64_t x = d <= a.size() ? a[a.size() - d] : 1;
    const std::int64_t y = d <= b.size() ? b[b.size() - d] : 1;
    both[both.size() - d] = x == 1 ? y : x;
  }
  return both;
}

}  // namespace

Status compute(const Sum& op, const Call& call) {
  return reduce(op, call, 0, sum_of);
}
// Of nothing it is NaN.
Status compute(const Mean& op, const Call& call) {
  RUSHLIGHT_TRY(reduce(op, call, 0, sum_of));
  const double count = Reduction(call, op.dim).count();
  for (double& value : call.output().values) value /= count;
  return {};
}
Status compute(const Prod& op, const Call& call) {
  return reduce(op, call, 1, [](double y, double x) { return y * x; });
}
Status compute(const Amax& op, const Call& call) {
  return reduce(op, call, -HUGE_VAL, extremum(1));
}
Status compute(const Amin& op, const Call& call) {
  return reduce(op, call, HUGE_VAL, extremum(-1));
}
Status compute(const Var& op, const Call& call) {
  variance(op, call);
  return {};
}
Status compute(const Std& op, const Call& call) {
  variance(op, call);
  for (double& value : call.output().values) value = std::sqrt(value);
  return {};
}

Status compute(const VectorNorm& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const Reduction reduction(call, op.dim);
  const std::span<VectorNormOf> norms = call.take<VectorNormOf>(y.size());
  std::fill(norms.begin(), norms.end(), VectorNormOf(op.ord));
  for (std::size_t i = 0; i < x.size(); ++i) norms[reduction.target(i)].add(x[i]);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = norms[i].value();
  return {};
}

// Relative to the largest element, unless that is infinite.
Status compute(const LogSumExp& op, const Call& call) {
  const std::span<double> y = call.output().values;
  const Reduction reduction(call, op.dim);
  const std::span<double> largest = call.take<double>(y.size());
  fold(call, reduction, largest, -HUGE_VAL, [](double best, double x, std::size_t) { return extremum(1)(best, x); });
  for (double& value : largest) {
    if (std::isinf(value)) value = 0;
  }
  fold(call, reduction, y, 0,
       [&](double sum, double x, std::size_t target) { return sum + std::exp(x - largest[target]); });
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = std::log(y[i]) + largest[i];
  return {};
}

Status compute(const Max& op, const Call& call) {
  return value_and_index(call, op.dim, 1);
}
Status compute(const Min& op, const Call& call) {
  return value_and_index(call, op.dim, -1);
}
Status compute(const ArgMax& op, const Call& call) {
  return index_alone(call, op.dim, 1);
}
Status compute(const ArgMin& op, const Call& call) {
  return index_alone(call, op.dim, -1);
}

Status compute(const CumSum& op, const Call& call) {
  const Axis axis = axis_of(call.input().shape, op.dim);
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    double sum = 0;
    for (std::size_t k = 0; k < axis.size; ++k) {
      sum += call.input().values[axis.place(o, k, i)];
      call.output().values[axis.place(o, k, i)] = sum;
    }
  });
  return {};
}

// Best first, whether or not sorted is asked for; of equal values the first. NaN counts as the largest.
Status compute(const TopK& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const Axis in = axis_of(call.input().shape, op.dim);
  const Axis out = axis_of(call.output().shape, op.dim);
  const std::span<std::size_t> order = call.take<std::size_t>(in.size);
  const auto above = [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a > b; };
  for_each_line(in, [&](std::size_t o, std::size_t i) {
    for (std::size_t k = 0; k < in.size; ++k) order[k] = k;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const double left = x[in.place(o, a, i)];
      const double right = x[in.place(o, b, i)];
      if (op.largest ? above(left, right) : above(right, left)) return true;
      if (op.largest ? above(right, left) : above(left, right)) return false;
      return a < b;
    });
    for (std::size_t k = 0; k < out.size; ++k) {
      call.output().values[out.place(o, k, i)] = x[in.place(o, order[k], i)];
      if (call.outputs.size() > 1) call.output(1).values[out.place(o, k, i)] = static_cast<double>(order[k]);
    }
  });
  return {};
}

Status compute(const CosineSimilarity& op, const Call& call) {
  const ConstArray a = call.input(0);
  const ConstArray b = call.input(1);
  const std::span<const std::int64_t> both = broadcast_shape(call);
  const Axis axis = axis_of(both, op.dim);
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    double product = 0;
    double norm_a = 0;
    double norm_b = 0;
    for (std::size_t k = 0; k < axis.size; ++k) {
      const std::size_t flat = axis.place(o, k, i);
      const double x = a.values[broadcast_place(flat, both, a.shape)];
      const double y = b.values[broadcast_place(flat, both, b.shape)];
      product += x * y;
      norm_a += x * x;
      norm_b += y * y;
    }
    // Each norm is at least eps by itself: at::cosine_similarity in ATen/native/Distance.cpp.
    call.output().values[o * axis.inner + i] =
        product / (std::max(std::sqrt(norm_a), op.eps) * std::max(std::sqrt(norm_b), op.eps));
  });
  return {};
}

// The norm of a - b + eps along the last dimension.
Status compute(const PairwiseDistance& op, const Call& call) {
  const ConstArray a = call.input(0);
  const ConstArray b = call.input(1);
  const std::span<double> y = call.output().values;
  const std::span<const std::int64_t> both = broadcast_shape(call);
  const std::size_t size = axis_of(both, -1).size;
  for (std::size_t row = 0; row < y.size(); ++row) {
    VectorNormOf norm(op.p);
    for (std::size_t k = 0; k < size; ++k) {
      const std::size_t flat = row * size + k;
      norm.add(a.values[broadcast_place(flat, both, a.shape)] - b.values[broadcast_place(flat, both, b.shape)] +
               op.eps);
    }
    y[row] = norm.value();
  }
  return {};
}

}  // namespace rushlight::runtime::reference
