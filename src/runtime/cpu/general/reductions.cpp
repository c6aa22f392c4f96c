// Many elements to one: sums and their like in double, rounded once. Also what follows from a reduction along one
// dimension: softmaxes, Normalize, CumSum, TopK.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/cpu/general/wide.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Dimensions that go and dimensions that stay, both in C order.
struct Split {
  Nest kept;
  Nest gone;
  // Neighbours that stay side by side, with adjacent elements.
  bool has_adjacent = false;
};
Split split(const Shape& shape, const Strides& strides, const Shape& dims) {
  std::vector<bool> goes(shape.size(), dims.empty());
  for (const std::int64_t dim : dims) {
    if (!shape.empty()) goes[size_of(dim < 0 ? dim + static_cast<std::int64_t>(shape.size()) : dim)] = true;
  }
  Split result;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    (goes[d] ? result.gone : result.kept).push(shape[d], strides[d]);
  }
  const auto& kept = result.kept.dimensions;
  const auto& gone = result.gone.dimensions;
  result.has_adjacent = !kept.empty() && kept.back().stride == 1 && kept.back().size > 1 &&
                        std::none_of(gone.begin(), gone.end(), [](const Nest::Dimension& d) { return d.stride == 1; });
  return result;
}

// Calls f(place) for all items of a nest, in C order.
template <class F>
void walk(const Nest& nest, F f) noexcept {
  if (nest.dimensions.empty()) return f(std::ptrdiff_t{0});
  const Nest::Dimension inner = nest.dimensions.back();
  const std::size_t outer = inner.size == 0 ? 0 : nest.count / inner.size;
  for (std::size_t i = 0; i < outer; ++i) {
    std::ptrdiff_t place = 0;
    std::size_t rest = i;
    for (std::size_t d = nest.dimensions.size() - 1; d-- > 0;) {
      place += static_cast<std::ptrdiff_t>(rest % nest.dimensions[d].size) * nest.dimensions[d].stride;
      rest /= nest.dimensions[d].size;
    }
    for (std::size_t k = 0; k < inner.size; ++k, place += inner.stride) f(place);
  }
}

// Rules: `State` after init(), step(state, x) for each element, finish(state, count).
template <class Rule>
void add_reduction(Builder& b, const Shape& dims, double cost, Rule rule) {
  const Operand& x = b.input();
  const Split nests = split(x.shape, x.strides, dims);
  const auto count = static_cast<double>(nests.gone.count);
  constexpr std::size_t kWidth = 16;
  if (nests.has_adjacent) {
    const std::size_t line = nests.kept.dimensions.back().size;
    const std::size_t pieces = parts_of(line, kWidth);
    b.add_ranges(nests.kept.count / line * pieces, cost * count * static_cast<double>(kWidth),
                 [=, x = x.tensor, y = b.output().tensor](Range range, const Frame& frame) {
                   for (std::size_t piece = range.first; piece < range.last; ++piece) {
                     const std::size_t first = piece / pieces * line + piece % pieces * kWidth;
                     const std::size_t width = std::min(kWidth, line - piece % pieces * kWidth);
                     const float* from = frame.at(x) + nests.kept.at(first);
                     decltype(rule.init()) states[kWidth];
                     for (std::size_t i = 0; i < width; ++i) states[i] = rule.init();
                     if (width == kWidth) {
                       walk(nests.gone, [&](std::ptrdiff_t place) {
                         for (std::size_t i = 0; i < kWidth; ++i)
                           rule.step(states[i], from[place + static_cast<std::ptrdiff_t>(i)]);
                       });
                     } else {
                       walk(nests.gone, [&](std::ptrdiff_t place) {
                         for (std::size_t i = 0; i < width; ++i)
                           rule.step(states[i], from[place + static_cast<std::ptrdiff_t>(i)]);
                       });
                     }
                     for (std::size_t i = 0; i < width; ++i) {
                       frame.at(y)[first + i] = static_cast<float>(rule.finish(states[i], count));
                     }
                   }
                 });
    return;
  }
  b.add_ranges(nests.kept.count, cost * count + 8,
               [=, x = x.tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const float* from = frame.at(x) + nests.kept.at(item);
                   auto state = rule.init();
                   walk(nests.gone, [&](std::ptrdiff_t place) { rule.step(state, from[place]); });
                   frame.at(y)[item] = static_cast<float>(rule.finish(state, count));
                 }
               });
}

// A rule made of three functions over a double.
template <class Step, class Finish>
struct Fold {
  double start;
  Step step_function;
  Finish finish_function;
  [[nodiscard]] double init() const noexcept { return start; }
  void step(double& state, float x) const noexcept { state = step_function(state, wide(x)); }
  [[nodiscard]] double finish(double state, double count) const noexcept { return finish_function(state, count); }
};
template <class Step, class Finish>
void add_reduction(Builder& b, const Shape& dims, double cost, double start, Step step, Finish finish) {
  add_reduction(b, dims, cost, Fold<Step, Finish>{start, step, finish});
}

double itself(double state, double) noexcept {
  return state;
}
double greater_of(double best, double x) noexcept {
  return x > best || std::isnan(x) ? x : best;
}
double less_of(double best, double x) noexcept {
  return x < best || std::isnan(x) ? x : best;
}

void add_norm(Builder& b, const Shape& dims, double order) {
  if (order == 2) {
    return add_reduction(
        b, dims, 2, 0, [](double sum, double x) { return sum + x * x; },
        [](double sum, double) { return std::sqrt(sum); });
  }
  if (order == 1) {
    return add_reduction(
        b, dims, 2, 0, [](double sum, double x) { return sum + std::abs(x); }, itself);
  }
  if (order == 0) {
    return add_reduction(
        b, dims, 2, 0, [](double sum, double x) { return sum + (x != 0 ? 1 : 0); }, itself);
  }
  if (order == kInfinity) {
    return add_reduction(
        b, dims, 2, 0, [](double best, double x) { return greater_of(best, std::abs(x)); }, itself);
  }
  if (order == -kInfinity) {
    return add_reduction(
        b, dims, 2, kInfinity, [](double best, double x) { return less_of(best, std::abs(x)); }, itself);
  }
  add_reduction(
      b, dims, 60, 0, [order](double sum, double x) { return sum + std::pow(std::abs(x), order); },
      [order](double sum, double) { return std::pow(sum, 1 / order); });
}

// f(from, nest of what goes) for each item that stays.
template <class F>
void add_items(Builder& b, const Shape& dims, double cost, F f) {
  const Operand& x = b.input();
  const Split nests = split(x.shape, x.strides, dims);
  b.add_ranges(nests.kept.count, cost * static_cast<double>(nests.gone.count) + 8,
               [=, x = x.tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   frame.at(y)[item] = static_cast<float>(f(frame.at(x) + nests.kept.at(item), nests.gone));
                 }
               });
}

void add_variance(Builder& b, const Shape& dims, double correction, bool root) {
  add_items(b, dims, 4, [correction, root](const float* x, const Nest& gone) {
    const auto count = static_cast<double>(gone.count);
    double sum = 0;
    walk(gone, [&](std::ptrdiff_t place) { sum += wide(x[place]); });
    const double mean = sum / count;
    double squares = 0;
    walk(gone, [&](std::ptrdiff_t place) {
      const double distance = wide(x[place]) - mean;
      squares += distance * distance;
    });
    const double variance = squares / std::max(0.0, count - correction);
    return root ? std::sqrt(variance) : variance;
  });
}

void add_log_sum_exp(Builder& b, const Shape& dims) {
  add_items(b, dims, 60, [](const float* x, const Nest& gone) {
    double peak = -kInfinity;
    walk(gone, [&](std::ptrdiff_t place) { peak = greater_of(peak, wide(x[place])); });
    if (std::isinf(peak)) peak = 0;  // torch's own rule: infinities stay what they are
    double sum = 0;
    walk(gone, [&](std::ptrdiff_t place) { sum += std::exp(wide(x[place]) - peak); });
    return std::log(sum) + peak;
  });
}

// The first of equals; NaN is larger and smaller than everything, the first of them wins.
template <class Better>
void add_extremum(Builder& b, const std::optional<std::int64_t>& dim, bool indices_only, Better better) {
  const Operand& x = b.input();
  const Split nests = split(x.shape, x.strides, dim ? Shape{*dim} : Shape());
  const TensorId values = indices_only ? kNone : b.output().tensor;
  const TensorId indices = indices_only ? b.output().tensor : b.output_count() > 1 ? b.output(1).tensor : kNone;
  b.add_ranges(nests.kept.count, 4 * static_cast<double>(nests.gone.count) + 8,
               [=, x = x.tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const float* from = frame.at(x) + nests.kept.at(item);
                   std::int64_t position = 0;
                   std::int64_t best_position = 0;
                   float best = 0;
                   walk(nests.gone, [&](std::ptrdiff_t place) {
                     const float value = from[place];
                     const bool wins = position == 0 || better(value, best) || (std::isnan(value) && !std::isnan(best));
                     if (wins) {
                       best = value;
                       best_position = position;
                     }
                     ++position;
                   });
                   if (values != kNone) frame.at(values)[item] = best;
                   if (indices != kNone) frame.at<std::int64_t>(indices)[item] = best_position;
                 }
               });
}

// --- along one dimension of a dense tensor ---

// [outer][size][inner].
struct Axis {
  std::size_t outer = 1;
  std::size_t size = 1;
  std::size_t inner = 1;

  Axis(const Shape& shape, std::int64_t dim) {
    if (shape.empty()) return;
    const auto axis = size_of(dim < 0 ? dim + static_cast<std::int64_t>(shape.size()) : dim);
    for (std::size_t d = 0; d < shape.size(); ++d) {
      (d < axis ? outer : d == axis ? size : inner) *= size_of(shape[d]);
    }
  }
  [[nodiscard]] std::size_t lines() const noexcept { return outer * inner; }
  // Where line i begins; its elements are `inner` apart.
  [[nodiscard]] std::size_t start(std::size_t line) const noexcept {
    return line / inner * size * inner + line % inner;
  }
};

// f(from, to, size, step) for each line.
template <class F>
void add_axis(Builder& b, std::int64_t dim, double cost, F f) {
  const Axis axis(b.input().shape, dim);
  b.add_ranges(axis.lines(), cost * static_cast<double>(axis.size) + 8,
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t line = range.first; line < range.last; ++line) {
                   const std::size_t start = axis.start(line);
                   f(frame.at(x) + start, frame.at(y) + start, axis.size, axis.inner);
                 }
               });
}

// The largest exponent is taken away before.
void add_log_softmax(Builder& b, std::int64_t dim) {
  add_axis(b, dim, 60, [](const float* x, float* y, std::size_t size, std::size_t step) {
    double peak = -kInfinity;
    for (std::size_t i = 0; i < size; ++i) peak = greater_of(peak, wide(x[i * step]));
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += std::exp(wide(x[i * step]) - peak);
    const double shift = std::log(sum);
    for (std::size_t i = 0; i < size; ++i) y[i * step] = static_cast<float>(wide(x[i * step]) - peak - shift);
  });
}
void add_softmax(Builder& b, std::int64_t dim, double sign) {
  add_axis(b, dim, 60, [sign](const float* x, float* y, std::size_t size, std::size_t step) {
    double peak = -kInfinity;
    for (std::size_t i = 0; i < size; ++i) peak = greater_of(peak, sign * wide(x[i * step]));
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += std::exp(sign * wide(x[i * step]) - peak);
    for (std::size_t i = 0; i < size; ++i) {
      y[i * step] = static_cast<float>(std::exp(sign * wide(x[i * step]) - peak) / sum);
    }
  });
}

double norm_of(const float* x, std::size_t size, std::size_t step, double order) noexcept {
  double sum = order == -kInfinity ? kInfinity : 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double value = std::abs(wide(x[i * step]));
    if (order == 2) {
      sum += value * value;
    } else if (order == 1) {
      sum += value;
    } else if (order == 0) {
      sum += value != 0 ? 1 : 0;
    } else if (std::isinf(order)) {
      sum = order > 0 ? greater_of(sum, value) : less_of(sum, value);
    } else {
      sum += std::pow(value, order);
    }
  }
  if (order == 2) return std::sqrt(sum);
  return order == 1 || order == 0 || std::isinf(order) ? sum : std::pow(sum, 1 / order);
}

void add_normalize(Builder& b, const Normalize& op) {
  const bool is_dear = op.p != 1 && op.p != 2;
  add_axis(b, op.dim, is_dear ? 60 : 6,
           [p = op.p, eps = op.eps](const float* x, float* y, std::size_t size, std::size_t step) {
             const double norm = norm_of(x, size, step, p);
             const double divisor = norm < eps ? eps : norm;
             for (std::size_t i = 0; i < size; ++i) y[i * step] = static_cast<float>(wide(x[i * step]) / divisor);
           });
}

void add_cumulative_sum(Builder& b, std::int64_t dim) {
  add_axis(b, dim, 4, [](const float* x, float* y, std::size_t size, std::size_t step) {
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) y[i * step] = static_cast<float>(sum += wide(x[i * step]));
  });
}

// NaN counts as the largest. Of equals the earlier one comes first.
void add_top_k(Builder& b, const TopK& op) {
  const Axis axis(b.input().shape, op.dim);
  const std::size_t wanted = size_of(*op.k);
  const TensorId indices = b.output_count() > 1 ? b.output(1).tensor : kNone;
  b.add_ranges(
      axis.lines(), 20 * static_cast<double>(axis.size) + 8,
      [=, largest = op.largest, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
        auto* const order = reinterpret_cast<std::int64_t*>(frame.scratch);
        for (std::size_t line = range.first; line < range.last; ++line) {
          const float* from = frame.at(x) + axis.start(line);
          for (std::size_t i = 0; i < axis.size; ++i) order[i] = static_cast<std::int64_t>(i);
          const auto comes_first = [&](std::int64_t i, std::int64_t k) {
            const float a = from[size_of(i) * axis.inner];
            const float c = from[size_of(k) * axis.inner];
            if (std::isnan(a) != std::isnan(c)) return std::isnan(a) == largest;
            if (a != c && !std::isnan(a)) return (a > c) == largest;
            return i < k;
          };
          std::partial_sort(order, order + wanted, order + axis.size, comes_first);
          const std::size_t to = line / axis.inner * wanted * axis.inner + line % axis.inner;
          for (std::size_t i = 0; i < wanted; ++i) {
            frame.at(y)[to + i * axis.inner] = from[size_of(order[i]) * axis.inner];
            if (indices != kNone) frame.at<std::int64_t>(indices)[to + i * axis.inner] = order[i];
          }
        }
      },
      axis.size * sizeof(std::int64_t));
}

// --- of two tensors ---

// f(place of a, place of b, size, their steps) along one dimension of the shape that both broadcast to.
template <class F>
void add_pairs(Builder& b, std::int64_t dim_in, double cost, F f) {
  const std::size_t rank = std::max(b.input(0).shape.size(), b.input(1).shape.size());
  Shape shape(rank, 1);
  for (std::size_t k = 0; k < 2; ++k) {
    const Shape& own = b.input(k).shape;
    for (std::size_t d = 0; d < own.size(); ++d) {
      if (own[d] != 1) shape[rank - own.size() + d] = own[d];
    }
  }
  const auto dim = size_of(dim_in < 0 ? dim_in + static_cast<std::int64_t>(rank) : dim_in);
  const Strides strides[2] = {broadcast_strides(b.input(0), shape), broadcast_strides(b.input(1), shape)};
  Nest kept[2];
  for (std::size_t d = 0; d < rank; ++d) {
    for (std::size_t k = 0; k < 2; ++k) {
      if (d != dim) kept[k].push(shape[d], strides[k][d]);
    }
  }
  const std::size_t size = rank == 0 ? 1 : size_of(shape[dim]);
  const std::ptrdiff_t steps[2] = {rank == 0 ? 0 : static_cast<std::ptrdiff_t>(strides[0][dim]),
                                   rank == 0 ? 0 : static_cast<std::ptrdiff_t>(strides[1][dim])};
  b.add_ranges(kept[0].count, cost * static_cast<double>(size) + 8,
               [=, first = kept[0], second = kept[1], step_a = steps[0], step_b = steps[1], p = b.input(0).tensor,
                q = b.input(1).tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const float* a = frame.at(p) + first.at(item);
                   const float* c = frame.at(q) + second.at(item);
                   frame.at(y)[item] = static_cast<float>(f(a, step_a, c, step_b, size));
                 }
               });
}

void add_cosine(Builder& b, const CosineSimilarity& op) {
  add_pairs(
      b, op.dim, 6,
      [eps = op.eps](const float* a, std::ptrdiff_t step_a, const float* c, std::ptrdiff_t step_c, std::size_t size) {
        double dot = 0;
        double a_squares = 0;
        double c_squares = 0;
        for (std::size_t i = 0; i < size; ++i, a += step_a, c += step_c) {
          dot += wide(*a) * wide(*c);
          a_squares += wide(*a) * wide(*a);
          c_squares += wide(*c) * wide(*c);
        }
        const double a_norm = std::sqrt(a_squares);
        const double c_norm = std::sqrt(c_squares);
        return dot / ((a_norm < eps ? eps : a_norm) * (c_norm < eps ? eps : c_norm));
      });
}

void add_distance(Builder& b, const PairwiseDistance& op) {
  add_pairs(b, -1, 60,
            [p = op.p, eps = op.eps](const float* a, std::ptrdiff_t step_a, const float* c, std::ptrdiff_t step_c,
                                     std::size_t size) {
              double sum = p == -kInfinity ? kInfinity : 0;
              for (std::size_t i = 0; i < size; ++i, a += step_a, c += step_c) {
                const double distance = std::abs(wide(*a) - wide(*c) + eps);
                if (p == 2) {
                  sum += distance * distance;
                } else if (p == 1) {
                  sum += distance;
                } else if (p == 0) {
                  sum += distance != 0 ? 1 : 0;
                } else if (std::isinf(p)) {
                  sum = p > 0 ? greater_of(sum, distance) : less_of(sum, distance);
                } else {
                  sum += std::pow(distance, p);
                }
              }
              if (p == 2) return std::sqrt(sum);
              return p == 1 || p == 0 || std::isinf(p) ? sum : std::pow(sum, 1 / p);
            });
}

}  // namespace

Status build_reductions(Builder& b) {
  const auto greater = [](float a, float c) { return a > c; };
  const auto less = [](float a, float c) { return a < c; };
  switch (b.op().kind()) {
    case OperatorKind::Mean:
      add_reduction(
          b, b.get<Mean>().dim, 2, 0, [](double sum, double x) { return sum + x; },
          [](double sum, double count) { return sum / count; });
      break;
    case OperatorKind::Sum:
      add_reduction(
          b, b.get<Sum>().dim, 2, 0, [](double sum, double x) { return sum + x; }, itself);
      break;
    case OperatorKind::Prod:
      add_reduction(
          b, b.get<Prod>().dim, 2, 1, [](double all, double x) { return all * x; }, itself);
      break;
    case OperatorKind::Amax:
      add_reduction(b, b.get<Amax>().dim, 2, -kInfinity, greater_of, itself);
      break;
    case OperatorKind::Amin:
      add_reduction(b, b.get<Amin>().dim, 2, kInfinity, less_of, itself);
      break;
    case OperatorKind::Max:
      add_extremum(b, b.get<Max>().dim, false, greater);
      break;
    case OperatorKind::Min:
      add_extremum(b, b.get<Min>().dim, false, less);
      break;
    case OperatorKind::ArgMax:
      add_extremum(b, b.get<ArgMax>().dim, true, greater);
      break;
    case OperatorKind::ArgMin:
      add_extremum(b, b.get<ArgMin>().dim, true, less);
      break;
    case OperatorKind::Std:
      add_variance(b, b.get<Std>().dim, b.get<Std>().correction, true);
      break;
    case OperatorKind::Var:
      add_variance(b, b.get<Var>().dim, b.get<Var>().correction, false);
      break;
    case OperatorKind::VectorNorm:
      add_norm(b, b.get<VectorNorm>().dim, b.get<VectorNorm>().ord);
      break;
    case OperatorKind::LogSumExp:
      add_log_sum_exp(b, b.get<LogSumExp>().dim);
      break;
    case OperatorKind::CosineSimilarity:
      add_cosine(b, b.get<CosineSimilarity>());
      break;
    case OperatorKind::PairwiseDistance:
      add_distance(b, b.get<PairwiseDistance>());
      break;
    case OperatorKind::LogSoftmax:
      add_log_softmax(b, b.get<LogSoftmax>().dim);
      break;
    case OperatorKind::Softmin:
      add_softmax(b, b.get<Softmin>().dim, -1);
      break;
    case OperatorKind::Softmax:
      add_softmax(b, b.get<Softmax>().dim, 1);
      break;
    case OperatorKind::Softmax2d:
      add_softmax(b, -3, 1);
      break;
    case OperatorKind::Normalize:
      add_normalize(b, b.get<Normalize>());
      break;
    case OperatorKind::CumSum:
      add_cumulative_sum(b, b.get<CumSum>().dim);
      break;
    default:
      add_top_k(b, b.get<TopK>());
      break;
  }
  return {};
}

}  // namespace rushlight::runtime::cpu
