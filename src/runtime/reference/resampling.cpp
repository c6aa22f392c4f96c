// Resizing and sampling. Coordinates: ATen/native/UpSample.h and GridSamplerUtils.h.
#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// Sources of one output place along one dimension.
struct Taps {
  std::span<std::int64_t> places;
  std::span<double> weights;
};

// One dimension of a resizing.
struct Resize {
  std::int64_t in;
  std::int64_t out;
  double given_scale;  // 1 / scale_factor where that decides; 0: the sizes do
  bool align_corners;

  [[nodiscard]] double scale() const {
    if (align_corners) return out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
    return given_scale > 0 ? given_scale : static_cast<double>(in) / static_cast<double>(out);
  }
  // float32 decides which source is nearest.
  [[nodiscard]] float rounded_scale() const {
    return given_scale > 0 ? static_cast<float>(given_scale) : static_cast<float>(in) / static_cast<float>(out);
  }
  [[nodiscard]] double source(std::int64_t i) const {
    const auto place = static_cast<double>(i);
    return align_corners ? scale() * place : scale() * (place + 0.5) - 0.5;
  }
  [[nodiscard]] std::int64_t clamped(std::int64_t place) const { return std::clamp<std::int64_t>(place, 0, in - 1); }
};

std::int64_t nearest(const Resize& resize, std::int64_t i) {
  const float source = std::floor(static_cast<float>(i) * resize.rounded_scale());
  return std::min(static_cast<std::int64_t>(source), resize.in - 1);
}
// Of pictures, and of neither sequences nor volumes, PyTorch's CPU kernels copy equal sizes and double others whatever
// scale_factor says: nearest_idx in ATen/native/UpSample.h.
std::int64_t nearest_of_picture(const Resize& resize, std::int64_t i) {
  if (resize.out == resize.in) return i;
  return resize.out == 2 * resize.in ? i / 2 : nearest(resize, i);
}
std::int64_t nearest_exact(const Resize& resize, std::int64_t i) {
  const double source = (static_cast<double>(i) + 0.5) * static_cast<double>(resize.rounded_scale());
  return std::min(static_cast<std::int64_t>(std::floor(static_cast<float>(source))), resize.in - 1);
}

// Equal sizes are copied, whatever scale_factor says: compute_source_index_and_lambda in ATen/native/UpSample.h.
void linear_taps(const Resize& resize, std::int64_t i, const Taps& taps) {
  const double source = resize.out == resize.in ? static_cast<double>(i) : std::max(resize.source(i), 0.0);
  const std::int64_t first = resize.clamped(static_cast<std::int64_t>(source));
  const double rest = std::clamp(source - static_cast<double>(first), 0.0, 1.0);
  taps.places[0] = first;
  taps.places[1] = resize.clamped(first + 1);
  taps.weights[0] = 1 - rest;
  taps.weights[1] = rest;
}

// The cubic convolution kernel at a distance.
double cubic(double distance, double a) {
  const double x = std::fabs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}
constexpr double kCubic = -0.75;
constexpr double kCubicOfAntialias = -0.5;

// The source is not clamped, its taps are.
void cubic_taps(const Resize& resize, std::int64_t i, const Taps& taps) {
  const double source = resize.source(i);
  const double first = std::floor(source);
  for (std::int64_t k = -1; k <= 2; ++k) {
    taps.places[at(k + 1)] = resize.clamped(static_cast<std::int64_t>(first) + k);
    taps.weights[at(k + 1)] = cubic(source - first - static_cast<double>(k), kCubic);
  }
}

// The filter is as wide as the shrinking: UpSampleKernel.cpp, _compute_indices_min_size_weights_aa.
struct Antialias {
  bool is_cubic;
  [[nodiscard]] double support(const Resize& resize) const {
    return (is_cubic ? 2.0 : 1.0) * std::max(resize.scale(), 1.0);
  }
  [[nodiscard]] std::size_t most_taps(const Resize& resize) const {
    return static_cast<std::size_t>(std::min(2 * support(resize) + 2, static_cast<double>(resize.in)));
  }
  void operator()(const Resize& resize, std::int64_t i, const Taps& taps) const {
    const double centre = resize.scale() * (static_cast<double>(i) + 0.5);
    const double width = support(resize);
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(centre - width + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(centre + width + 0.5), resize.in);
    const double narrowed = std::max(resize.scale(), 1.0);
    double sum = 0;
    for (std::size_t k = 0; k < taps.places.size(); ++k) {
      const std::int64_t place = first + static_cast<std::int64_t>(k);
      const double distance = (static_cast<double>(place) - centre + 0.5) / narrowed;
      const double weight = is_cubic ? cubic(distance, kCubicOfAntialias) : std::max(1 - std::fabs(distance), 0.0);
      taps.places[k] = place < last ? place : -1;
      taps.weights[k] = place < last ? weight : 0;
      sum += taps.weights[k];
    }
    for (double& weight : taps.weights) weight /= sum;
  }
};

// The taps of every output place along one dimension.
class Line {
 public:
  template <class Fill>
  Line(const Call& call, const Resize& resize, std::size_t most, const Fill& fill)
      : most_(most),
        places_(call.take<std::int64_t>(most * at(resize.out))),
        weights_(call.take<double>(most * at(resize.out))) {
    for (std::int64_t i = 0; i < resize.out; ++i) fill(resize, i, taps(i));
  }
  [[nodiscard]] Taps taps(std::int64_t i) const {
    return {places_.subspan(at(i) * most_, most_), weights_.subspan(at(i) * most_, most_)};
  }

 private:
  std::size_t most_;
  std::span<std::int64_t> places_;
  std::span<double> weights_;
};

// One source with the weight 1: dimensions that a picture lacks.
void only_tap(const Resize&, std::int64_t, const Taps& taps) {
  taps.places[0] = 0;
  taps.weights[0] = 1;
}

struct Resizes {
  Resize d;
  Resize h;
  Resize w;
};

template <class Fill, class Most>
void resize_smoothly(const Call& call, const Resizes& resizes, const Fill& fill, const Most& most) {
  const std::size_t spatial = call.input().shape.size() - 2;
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  const Line ds = spatial > 2 ? Line(call, resizes.d, most(resizes.d), fill) : Line(call, resizes.d, 1, only_tap);
  const Line hs = spatial > 1 ? Line(call, resizes.h, most(resizes.h), fill) : Line(call, resizes.h, 1, only_tap);
  const Line ws = Line(call, resizes.w, most(resizes.w), fill);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    const Taps dt = ds.taps(od);
    const Taps ht = hs.taps(oh);
    const Taps wt = ws.taps(ow);
    double sum = 0;
    for (std::size_t d = 0; d < dt.places.size(); ++d) {
      for (std::size_t h = 0; h < ht.places.size(); ++h) {
        for (std::size_t w = 0; w < wt.places.size(); ++w) {
          if (dt.places[d] < 0 || ht.places[h] < 0 || wt.places[w] < 0) continue;
          sum += dt.weights[d] * ht.weights[h] * wt.weights[w] *
                 call.input().values[in.place(n, c, dt.places[d], ht.places[h], wt.places[w])];
        }
      }
    }
    call.output().values[out.place(n, c, od, oh, ow)] = sum;
  });
}

template <class Source>
void resize_to_nearest(const Call& call, const Resizes& resizes, const Source& source) {
  const std::size_t spatial = call.input().shape.size() - 2;
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
    call.output().values[out.place(n, c, d, h, w)] = call.input().values[in.place(
        n, c, spatial > 2 ? source(resizes.d, d) : 0, spatial > 1 ? source(resizes.h, h) : 0, source(resizes.w, w))];
  });
}

// The mean of the bins of an adaptive pool.
void average_area(const Call& call) {
  const std::size_t spatial = call.input().shape.size() - 2;
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  const auto begin = [](std::int64_t i, std::int64_t from, std::int64_t to) { return i * from / to; };
  const auto end = [](std::int64_t i, std::int64_t from, std::int64_t to) { return ((i + 1) * from + to - 1) / to; };
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    double sum = 0;
    double count = 0;
    for (std::int64_t d = begin(od, in.d, out.d); d < end(od, in.d, out.d); ++d) {
      for (std::int64_t h = begin(oh, in.h, out.h); h < end(oh, in.h, out.h); ++h) {
        for (std::int64_t w = begin(ow, in.w, out.w); w < end(ow, in.w, out.w); ++w) {
          sum += call.input().values[in.place(n, c, d, h, w)];
          ++count;
        }
      }
    }
    call.output().values[out.place(n, c, od, oh, ow)] = sum / count;
  });
}

// --- grid_sample ---

// Where a coordinate from -1 to 1 lies among `size` places. `Real` is float where it decides which place is nearest.
template <class Real>
Real unnormalised(Real coordinate, std::int64_t size, bool align_corners) {
  const auto n = static_cast<Real>(size);
  if (align_corners) return (coordinate + 1) / 2 * (n - 1);
  return ((coordinate + 1) * n - 1) / 2;
}

// Mirrors at low / 2 and high / 2.
template <class Real>
Real reflected(Real x, std::int64_t twice_low, std::int64_t twice_high) {
  if (twice_low == twice_high) return 0;
  const Real low = static_cast<Real>(twice_low) / 2;
  const Real span = static_cast<Real>(twice_high - twice_low) / 2;
  const Real distance = std::fabs(x - low);
  const Real rest = std::fmod(distance, span);
  return std::fmod(std::floor(distance / span), Real(2)) == 0 ? rest + low : span - rest + low;
}

// NaN becomes the first place.
template <class Real>
Real clipped(Real x, std::int64_t size) {
  const auto last = static_cast<Real>(size - 1);
  return x > 0 ? (x < last ? x : last) : Real(0);
}

template <class Real>
Real padded(Real x, std::int64_t size, const GridSample& op) {
  switch (op.padding_mode) {
    case GridPadding::zeros:
      return x;
    case GridPadding::border:
      return clipped(x, size);
    case GridPadding::reflection:
      return clipped(op.align_corners ? reflected(x, 0, 2 * (size - 1)) : reflected(x, -1, 2 * size - 1), size);
  }
  return x;
}

// The place, or -1 for what lies outside; also of numbers that no integer holds.
template <class Real>
std::int64_t place_or_none(Real x, std::int64_t size) {
  return x >= 0 && x < static_cast<Real>(size) ? static_cast<std::int64_t>(x) : -1;
}

// The taps of one coordinate: at most four.
struct GridTaps {
  std::array<std::int64_t, 4> places{};
  std::array<double, 4> weights{};
  std::size_t count = 0;
  void add(std::int64_t place, double weight) {
    places[count] = place;
    weights[count++] = weight;
  }
};

GridTaps grid_taps(const GridSample& op, double coordinate, std::int64_t size) {
  GridTaps taps;
  if (op.mode == GridMode::nearest) {
    const float x = padded(unnormalised(static_cast<float>(coordinate), size, op.align_corners), size, op);
    taps.add(place_or_none(std::nearbyint(x), size), 1);  // half to even
    return taps;
  }
  const double x = unnormalised(coordinate, size, op.align_corners);
  if (op.mode == GridMode::bilinear) {
    const double inside = padded(x, size, op);
    const double first = std::floor(inside);
    taps.add(place_or_none(first, size), first + 1 - inside);
    taps.add(place_or_none(first + 1, size), inside - first);
    return taps;
  }
  // Bicubic pads each tap, not the coordinate.
  const double first = std::floor(x);
  for (int k = -1; k <= 2; ++k) {
    taps.add(place_or_none(padded(first + k, size, op), size), cubic(x - first - k, kCubic));
  }
  return taps;
}

}  // namespace

Status compute(const Upsample& op, const Call& call) {
  const std::size_t spatial = call.input().shape.size() - 2;
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  // scale_factor itself decides about coordinates, not the sizes that follow from it, unless it is to be recomputed.
  const auto given = [&](std::size_t from_last) {
    if (op.scale_factor.empty() || op.recompute_scale_factor || from_last >= spatial) return 0.0;
    return 1 / (op.scale_factor.size() == 1 ? op.scale_factor[0] : op.scale_factor[spatial - 1 - from_last]);
  };
  const Resizes resizes = {{in.d, out.d, given(2), op.align_corners},
                           {in.h, out.h, given(1), op.align_corners},
                           {in.w, out.w, given(0), op.align_corners}};
  const auto fixed = [](std::size_t count) { return [count](const Resize&) { return count; }; };
  switch (op.mode) {
    case InterpolationMode::nearest:
      resize_to_nearest(call, resizes, spatial == 2 ? nearest_of_picture : nearest);
      return {};
    case InterpolationMode::nearest_exact:
      resize_to_nearest(call, resizes, nearest_exact);
      return {};
    case InterpolationMode::area:
      average_area(call);
      return {};
    case InterpolationMode::linear:
    case InterpolationMode::bilinear:
    case InterpolationMode::trilinear:
    case InterpolationMode::bicubic:
      break;
  }
  const bool is_cubic = op.mode == InterpolationMode::bicubic;
  if (op.antialias) {
    const Antialias antialias{is_cubic};
    resize_smoothly(call, resizes, antialias, [&](const Resize& resize) { return antialias.most_taps(resize); });
  } else if (is_cubic) {
    resize_smoothly(call, resizes, cubic_taps, fixed(4));
  } else {
    resize_smoothly(call, resizes, linear_taps, fixed(2));
  }
  return {};
}

// The last dimension of the grid holds x, y and z: width first.
Status compute(const GridSample& op, const Call& call) {
  const std::size_t spatial = call.input().shape.size() - 2;
  const Volume in(call.input(0).shape, spatial);
  const Volume out(call.output().shape, spatial);
  const std::span<const double> grid = call.input(1).values;
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    const std::size_t point = at(((n * out.d + od) * out.h + oh) * out.w + ow) * spatial;
    GridTaps ds;
    ds.add(0, 1);
    if (spatial == 3) ds = grid_taps(op, grid[point + 2], in.d);
    const GridTaps hs = grid_taps(op, grid[point + 1], in.h);
    const GridTaps ws = grid_taps(op, grid[point], in.w);
    double sum = 0;
    for (std::size_t d = 0; d < ds.count; ++d) {
      for (std::size_t h = 0; h < hs.count; ++h) {
        for (std::size_t w = 0; w < ws.count; ++w) {
          if (ds.places[d] < 0 || hs.places[h] < 0 || ws.places[w] < 0) continue;
          sum += ds.weights[d] * hs.weights[h] * ws.weights[w] *
                 call.input(0).values[in.place(n, c, ds.places[d], hs.places[h], ws.places[w])];
        }
      }
    }
    call.output().values[out.place(n, c, od, oh, ow)] = sum;
  });
  return {};
}

// theta times (x, y, z, 1) for each place; a dimension of one place has its coordinate 0.
Status compute(const AffineGrid& op, const Call& call) {
  const std::span<const double> theta = call.input().values;
  const std::span<double> y = call.output().values;
  const std::size_t spatial = op.size.size() - 2;
  const auto coordinate = [&](std::size_t place, std::int64_t size) {
    if (size <= 1) return 0.0;
    const auto n = static_cast<double>(size);
    const double from_corner = 2 * static_cast<double>(place) / (n - 1) - 1;
    return op.align_corners ? from_corner : from_corner * (n - 1) / n;
  };
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t row = i % spatial;
    std::size_t point = i / spatial;
    double sum = 0;
    std::array<double, 3> base{};
    for (std::size_t k = 0; k < spatial; ++k) {  // x runs fastest
      const std::int64_t size = op.size[op.size.size() - 1 - k];
      base[k] = coordinate(point % at(size), size);
      point /= at(size);
    }
    const std::size_t first = (point * spatial + row) * (spatial + 1);
    for (std::size_t k = 0; k < spatial; ++k) sum += theta[first + k] * base[k];
    y[i] = sum + theta[first + spatial];
  }
  return {};
}

// [..., C r^2, H, W] to [..., C, H r, W r].
Status compute(const PixelShuffle& op, const Call& call) {
  const ConstArray in = call.input();
  const std::size_t r = at(op.upscale_factor);
  const std::size_t h = at(in.shape[in.shape.size() - 2]);
  const std::size_t w = at(in.shape.back());
  for (std::size_t flat = 0; flat < in.values.size(); ++flat) {
    const std::size_t plane = flat / (h * w);
    const std::size_t row = flat / w % h * r + plane / r % r;
    const std::size_t column = flat % w * r + plane % r;
    call.output().values[(plane / (r * r) * h * r + row) * w * r + column] = in.values[flat];
  }
  return {};
}

// The way back.
Status compute(const PixelUnshuffle& op, const Call& call) {
  const Array out = call.output();
  const std::size_t r = at(op.downscale_factor);
  const std::size_t h = at(out.shape[out.shape.size() - 2]);
  const std::size_t w = at(out.shape.back());
  for (std::size_t flat = 0; flat < out.values.size(); ++flat) {
    const std::size_t plane = flat / (h * w);
    const std::size_t row = flat / w % h * r + plane / r % r;
    const std::size_t column = flat % w * r + plane % r;
    out.values[flat] = call.input().values[(plane / (r * r) * h * r + row) * w * r + column];
  }
  return {};
}

// Channel g n + k becomes k G + g: the groups interleave.
Status compute(const ChannelShuffle& op, const Call& call) {
  const Axis axis = axis_of(call.input().shape, 1);
  const std::size_t groups = at(op.groups);
  const std::size_t each = axis.size / groups;
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    for (std::size_t c = 0; c < axis.size; ++c) {
      const std::size_t to = c % each * groups + c / each;
      call.output().values[axis.place(o, to, i)] = call.input().values[axis.place(o, c, i)];
    }
  });
  return {};
}

}  // namespace rushlight::runtime::reference
