// Poolings that have no step of their own: with indices, in three dimensions, of powers; and MaxUnpool.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/pictures.hpp"
#include "runtime/cpu/general/wide.hpp"

namespace rushlight::runtime::cpu {
namespace {

// The places of one dimension of a window that lie inside the input.
struct Places {
  std::ptrdiff_t first = 0;
  std::ptrdiff_t count = 0;
};

// Where windows are: at fixed steps, or as many as there are outputs (adaptive).
struct Windows {
  bool is_adaptive = false;
  Triple kernel{1, 1};
  Triple stride{1, 1};
  Triple padding{0, 0};
  Triple dilation{1, 1};

  [[nodiscard]] Places places(std::size_t dim, std::ptrdiff_t o, std::ptrdiff_t in, std::ptrdiff_t out) const noexcept {
    if (is_adaptive) {
      const std::ptrdiff_t first = o * in / out;
      return {first, ((o + 1) * in + out - 1) / out - first};
    }
    const std::ptrdiff_t start = o * stride[dim] - padding[dim];
    const std::ptrdiff_t step = dilation[dim];
    const std::ptrdiff_t skipped = start < 0 ? (-start + step - 1) / step : 0;
    const std::ptrdiff_t reach = in - start;
    const std::ptrdiff_t within = reach <= 0 ? 0 : std::min(kernel[dim], (reach + step - 1) / step);
    return {start + skipped * step, std::max<std::ptrdiff_t>(0, within - skipped)};
  }
  // Places that count when padding does: up to its end, not beyond.
  [[nodiscard]] std::ptrdiff_t padded(std::size_t dim, std::ptrdiff_t o, std::ptrdiff_t in) const noexcept {
    const std::ptrdiff_t start = o * stride[dim] - padding[dim];
    return std::min(kernel[dim], in + padding[dim] - start);
  }
};

// What a rule hears of a window besides its elements.
struct WindowAt {
  std::ptrdiff_t inside = 0;  // places inside the input
  std::ptrdiff_t padded = 0;  // and in the padding
};

// A Rule has a State, init(), step(state, x, index) and finish(state, window, value&, index&); index counts places of
// the input's spatial dimensions in C order.
template <class Rule>
void add_windows(Builder& b, std::size_t spatial, const Windows& windows, double cost, Rule rule) {
  const Picture in(b.input(), spatial);
  const Picture out(b.output(), spatial);
  const TensorId indices = b.output_count() > 1 ? b.output(1).tensor : kNone;
  const Picture out_indices(b.output(b.output_count() - 1), spatial);
  double taps = 1;
  for (std::size_t i = 0; i < 3; ++i) {
    taps *= windows.is_adaptive ? static_cast<double>(in.sizes[i]) / static_cast<double>(out.sizes[i]) + 1
                                : static_cast<double>(windows.kernel[i]);
  }
  const auto pixels = out.pixels();
  b.add_ranges(size_of(out.images * pixels), cost * taps * static_cast<double>(in.channels) + 50,
               [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
                 constexpr std::ptrdiff_t kWidth = 32;
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const auto image = static_cast<std::ptrdiff_t>(item) / pixels;
                   std::ptrdiff_t rest = static_cast<std::ptrdiff_t>(item) % pixels;
                   std::ptrdiff_t o[3];
                   for (std::size_t i = 3; i-- > 0; rest /= out.sizes[i]) o[i] = rest % out.sizes[i];
                   Places places[3];
                   WindowAt window{1, 1};
                   for (std::size_t i = 0; i < 3; ++i) {
                     places[i] = windows.places(i, o[i], in.sizes[i], out.sizes[i]);
                     window.inside *= places[i].count;
                     window.padded *= windows.padded(i, o[i], in.sizes[i]);
                   }
                   float* to = frame.at(y) + out.at(image, o[0], o[1], o[2]);
                   std::int64_t* index_to =
                       indices == kNone ? nullptr
                                        : frame.at<std::int64_t>(indices) + out_indices.at(image, o[0], o[1], o[2]);
                   for (std::ptrdiff_t first = 0; first < in.channels; first += kWidth) {
                     const std::ptrdiff_t width = std::min(kWidth, in.channels - first);
                     typename Rule::State states[kWidth];
                     for (std::ptrdiff_t c = 0; c < width; ++c) states[c] = rule.init();
                     for (std::ptrdiff_t i = 0; i < places[0].count; ++i) {
                       const std::ptrdiff_t d = places[0].first + i * windows.dilation[0];
                       for (std::ptrdiff_t k = 0; k < places[1].count; ++k) {
                         const std::ptrdiff_t h = places[1].first + k * windows.dilation[1];
                         for (std::ptrdiff_t m = 0; m < places[2].count; ++m) {
                           const std::ptrdiff_t w = places[2].first + m * windows.dilation[2];
                           const float* from = frame.at(x) + in.at(image, d, h, w) + first;
                           const std::ptrdiff_t index = (d * in.sizes[1] + h) * in.sizes[2] + w;
                           for (std::ptrdiff_t c = 0; c < width; ++c) rule.step(states[c], from[c], index);
                         }
                       }
                     }
                     for (std::ptrdiff_t c = 0; c < width; ++c) {
                       to[first + c] = rule.finish(states[c], window);
                       if constexpr (requires { states[c].index; }) {
                         if (index_to != nullptr) index_to[first + c] = states[c].index;
                       }
                     }
                   }
                 }
               });
}

// NaN wins, the last one; a window of -inf alone gives its first place.
struct MaxRule {
  struct State {
    float best;
    std::int64_t index;
  };
  [[nodiscard]] static State init() noexcept { return {-std::numeric_limits<float>::infinity(), -1}; }
  static void step(State& state, float x, std::ptrdiff_t index) noexcept {
    const bool wins = state.index < 0 || x > state.best || std::isnan(x);
    state.best = wins ? x : state.best;
    state.index = wins ? index : state.index;
  }
  [[nodiscard]] static float finish(const State& state, const WindowAt&) noexcept { return state.best; }
};

struct MeanRule {
  using State = double;
  bool count_include_pad = false;
  std::int64_t divisor_override = 0;
  [[nodiscard]] static State init() noexcept { return 0; }
  static void step(State& sum, float x, std::ptrdiff_t) noexcept { sum += wide(x); }
  [[nodiscard]] float finish(State sum, const WindowAt& window) const noexcept {
    if (window.inside == 0) return 0;
    const std::ptrdiff_t divisor = divisor_override != 0 ? divisor_override
                                   : count_include_pad   ? window.padded
                                                         : window.inside;
    return static_cast<float>(sum / static_cast<double>(divisor));
  }
};

// torch takes the mean of powers times the full window, whatever part of it lies inside.
struct PowerRule {
  using State = double;
  double norm = 2;
  double full = 1;
  [[nodiscard]] static State init() noexcept { return 0; }
  void step(State& sum, float x, std::ptrdiff_t) const noexcept {
    sum += norm == 2 ? wide(x) * wide(x) : norm == 1 ? wide(x) : std::pow(wide(x), norm);
  }
  [[nodiscard]] float finish(State sum, const WindowAt& window) const noexcept {
    const double power = sum / static_cast<double>(window.inside) * full;
    return static_cast<float>(norm == 2 ? std::sqrt(power) : norm == 1 ? power : std::pow(power, 1 / norm));
  }
};

// The norms of both infinities: the largest and the smallest distance from 0. NaN wins.
struct OuterNormRule {
  using State = float;
  bool is_largest = true;
  [[nodiscard]] State init() const noexcept { return is_largest ? 0 : std::numeric_limits<float>::infinity(); }
  void step(State& best, float x, std::ptrdiff_t) const noexcept {
    const float distance = std::abs(x);
    const bool wins = std::isnan(x) || (is_largest ? distance > best : distance < best);
    best = wins && !std::isnan(best) ? distance : best;
  }
  [[nodiscard]] static float finish(State best, const WindowAt&) noexcept { return best; }
};

template <class Pool>
Windows windows_of(const Pool& op) {
  Windows windows;
  windows.kernel = Triple(op.kernel_size, 1);
  windows.stride = Triple(op.stride, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    if (windows.stride[i] == 0) windows.stride.values[i] = windows.kernel[i];
  }
  if constexpr (requires { op.padding; }) windows.padding = Triple(op.padding, 0);
  if constexpr (requires { op.dilation; }) windows.dilation = Triple(op.dilation, 1);
  return windows;
}

template <class Pool>
void add_power_pool(Builder& b, const Pool& op, std::size_t spatial) {
  const Windows windows = windows_of(op);
  if (std::isinf(op.norm_type)) return add_windows(b, spatial, windows, 2, OuterNormRule{op.norm_type > 0});
  const auto full = static_cast<double>(windows.kernel[0] * windows.kernel[1] * windows.kernel[2]);
  add_windows(b, spatial, windows, op.norm_type == 2 || op.norm_type == 1 ? 2 : 40, PowerRule{op.norm_type, full});
}

void add_adaptive_max(Builder& b, std::size_t spatial) {
  Windows windows;
  windows.is_adaptive = true;
  add_windows(b, spatial, windows, 3, MaxRule{});
}

// [planes][places] with indices into the planes of the output, all dense.
void add_unpool(Builder& b, std::size_t spatial) {
  const Shape& in = b.input().shape;
  const Shape& out = b.output().shape;
  std::size_t planes = 1;
  std::size_t places = 1;
  std::size_t size = 1;
  for (std::size_t d = 0; d < in.size(); ++d) {
    const bool is_spatial = d >= in.size() - spatial;
    (is_spatial ? places : planes) *= size_of(in[d]);
    if (is_spatial) size *= size_of(out[d]);
  }
  const Operand& indices = b.input(1);
  b.check_indices(indices, static_cast<std::int64_t>(size), false);
  b.add_ranges(planes, static_cast<double>(size + 4 * places),
               [=, x = b.input().tensor, k = indices.tensor, type = indices.dtype, y = b.output().tensor](
                   Range range, const Frame& frame) {
                 for (std::size_t plane = range.first; plane < range.last; ++plane) {
                   float* to = frame.at(y) + plane * size;
                   std::fill_n(to, size, 0.0F);
                   for (std::size_t i = plane * places; i < (plane + 1) * places; ++i) {
                     to[index_at(frame.at(k), type, static_cast<std::int64_t>(i))] = frame.at(x)[i];
                   }
                 }
               });
}

// Where a window of a fractional pool begins. In float32, as torch decides it; what no sample from 0 to 1 gives stays
// inside.
std::ptrdiff_t fractional_start(float sample, std::ptrdiff_t o, std::ptrdiff_t in, std::ptrdiff_t out,
                                std::ptrdiff_t kernel) noexcept {
  const std::ptrdiff_t last = in - kernel;
  if (o + 1 == out) return last;
  const float alpha = static_cast<float>(last) / static_cast<float>(out - 1);
  const auto whole = [last](float place) -> std::ptrdiff_t {
    if (!(place > 0)) return 0;
    return place < static_cast<float>(last) + 2 ? static_cast<std::ptrdiff_t>(place) : last + 1;
  };
  return std::clamp<std::ptrdiff_t>(whole((static_cast<float>(o) + sample) * alpha) - whole(sample * alpha), 0, last);
}

// [planes][places], all dense; each plane has samples of its own.
template <class Pool>
void add_fractional(Builder& b, const Pool& op, std::size_t spatial) {
  const Picture in(b.input(), spatial);
  const Picture out(b.output(), spatial);
  const Triple kernel(op.kernel_size, 1);
  const std::size_t planes = size_of(in.images * in.channels);
  const std::ptrdiff_t rows = out.sizes[0] * out.sizes[1];
  const TensorId indices = b.output_count() > 1 ? b.output(1).tensor : kNone;
  const double cost = 3 * static_cast<double>(kernel[0] * kernel[1] * kernel[2] * out.sizes[2]) + 40;
  b.add_ranges(
      planes * size_of(rows), cost,
      [=, x = b.input(0).tensor, s = b.input(1).tensor, y = b.output().tensor](Range range, const Frame& frame) {
        for (std::size_t item = range.first; item < range.last; ++item) {
          const std::size_t plane = item / size_of(rows);
          const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(item % size_of(rows));
          // Of a picture the sample of the width comes first, of a volume that of the depth.
          const float* const samples = frame.at(s) + plane * spatial;
          const auto sample = [&](std::size_t dim) { return spatial == 2 ? samples[2 - dim] : samples[dim]; };
          const auto start = [&](std::size_t dim, std::ptrdiff_t o) {
            return fractional_start(sample(dim), o, in.sizes[dim], out.sizes[dim], kernel[dim]);
          };
          const std::ptrdiff_t d = spatial == 3 ? start(0, row / out.sizes[1]) : 0;
          const std::ptrdiff_t h = start(1, row % out.sizes[1]);
          const float* const from = frame.at(x) + plane * size_of(in.pixels());
          for (std::ptrdiff_t o = 0; o < out.sizes[2]; ++o) {
            const std::ptrdiff_t w = start(2, o);
            MaxRule::State state = MaxRule::init();
            for (std::ptrdiff_t i = d; i < d + kernel[0]; ++i) {
              for (std::ptrdiff_t k = h; k < h + kernel[1]; ++k) {
                for (std::ptrdiff_t m = w; m < w + kernel[2]; ++m) {
                  const std::ptrdiff_t place = (i * in.sizes[1] + k) * in.sizes[2] + m;
                  MaxRule::step(state, from[place], place);
                }
              }
            }
            const std::size_t to = item * size_of(out.sizes[2]) + size_of(o);
            frame.at(y)[to] = state.best;
            if (indices != kNone) frame.at<std::int64_t>(indices)[to] = state.index;
          }
        }
      });
}

}  // namespace

Status build_pools(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::MaxPool1d:
      add_windows(b, 1, windows_of(b.get<MaxPool1d>()), 3, MaxRule{});
      return {};
    case OperatorKind::MaxPool2d:
      add_windows(b, 2, windows_of(b.get<MaxPool2d>()), 3, MaxRule{});
      return {};
    case OperatorKind::MaxPool3d:
      add_windows(b, 3, windows_of(b.get<MaxPool3d>()), 3, MaxRule{});
      return {};
    case OperatorKind::AvgPool3d: {
      const AvgPool3d& op = b.get<AvgPool3d>();
      add_windows(b, 3, windows_of(op), 2, MeanRule{op.count_include_pad, op.divisor_override});
      return {};
    }
    case OperatorKind::AdaptiveAvgPool3d: {
      Windows windows;
      windows.is_adaptive = true;
      add_windows(b, 3, windows, 2, MeanRule{});
      return {};
    }
    case OperatorKind::AdaptiveMaxPool1d:
      add_adaptive_max(b, 1);
      return {};
    case OperatorKind::AdaptiveMaxPool2d:
      add_adaptive_max(b, 2);
      return {};
    case OperatorKind::AdaptiveMaxPool3d:
      add_adaptive_max(b, 3);
      return {};
    case OperatorKind::LPPool1d:
      add_power_pool(b, b.get<LPPool1d>(), 1);
      return {};
    case OperatorKind::LPPool2d:
      add_power_pool(b, b.get<LPPool2d>(), 2);
      return {};
    case OperatorKind::LPPool3d:
      add_power_pool(b, b.get<LPPool3d>(), 3);
      return {};
    case OperatorKind::FractionalMaxPool2d:
      add_fractional(b, b.get<FractionalMaxPool2d>(), 2);
      return {};
    case OperatorKind::FractionalMaxPool3d:
      add_fractional(b, b.get<FractionalMaxPool3d>(), 3);
      return {};
    case OperatorKind::MaxUnpool1d:
      add_unpool(b, 1);
      return {};
    case OperatorKind::MaxUnpool2d:
      add_unpool(b, 2);
      return {};
    default:
      add_unpool(b, 3);
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
