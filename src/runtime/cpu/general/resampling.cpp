// Upsample in all its modes, grid_sample, affine_grid. Coordinates are double, but for the nearest modes: there torch
// decides in float32, and the decision shows.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/cpu/general/pictures.hpp"

namespace rushlight::runtime::cpu {
namespace {

// The convolution kernel of cubic interpolation at distance x >= 0.
double cubic(double x, double a) noexcept {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}
constexpr double kCubic = -0.75;
constexpr double kAntialiasCubic = -0.5;

// Of one dimension: for each output place the input places it is made of, and their weights.
struct Taps {
  std::vector<std::size_t> first;  // of each output place in the lists; one more at the end
  std::vector<std::ptrdiff_t> places;
  std::vector<double> weights;

  void reserve(std::size_t outputs, std::size_t taps) {
    first.reserve(outputs + 1);
    places.reserve(taps);
    weights.reserve(taps);
  }
  void begin() { first.push_back(places.size()); }
  void push(std::ptrdiff_t place, double weight) {
    places.push_back(place);
    weights.push_back(weight);
  }
};

// Input places that two neighbouring outputs lie apart. `factor`: the scale_factor if coordinates follow from it, or 0:
// then the sizes say it.
double scale_of(const Upsample& op, std::ptrdiff_t in, std::ptrdiff_t out, double factor) noexcept {
  const auto size = static_cast<double>(in);
  if (op.align_corners) return out > 1 ? (size - 1) / static_cast<double>(out - 1) : 0;
  return factor > 0 ? 1 / factor : size / static_cast<double>(out);
}

// How far from its centre an output sees the input.
double support_of(const Upsample& op, double scale) noexcept {
  return std::max(scale, 1.0) * (op.mode == InterpolationMode::bicubic ? 2 : 1);
}

// Taps of all outputs of one dimension, at most. nullopt: more than can be counted.
std::optional<std::size_t> most_taps(const Upsample& op, std::size_t in, std::size_t out, double scale) noexcept {
  switch (op.mode) {
    case InterpolationMode::nearest:
    case InterpolationMode::nearest_exact:
      return out;
    case InterpolationMode::area:  // windows share at most their first and last places
      return checked_add(in, out);
    default:
      break;
  }
  if (!op.antialias) return checked_mul<std::size_t>(out, op.mode == InterpolationMode::bicubic ? 4 : 2);
  const double reach = 2 * support_of(op, scale) + 2;
  return checked_mul(out, reach < static_cast<double>(in) ? static_cast<std::size_t>(reach) : in);
}

// `most`: how many taps there may be. `of_picture`: of two spatial dimensions.
Taps taps_of(const Upsample& op, std::ptrdiff_t in, std::ptrdiff_t out, double factor, std::size_t most,
             bool of_picture) {
  const double scale = scale_of(op, in, out, factor);
  const bool is_cubic = op.mode == InterpolationMode::bicubic;
  Taps taps;
  taps.reserve(size_of(out), most);
  for (std::ptrdiff_t o = 0; o < out; ++o) {
    taps.begin();
    const auto place = static_cast<double>(o);
    switch (op.mode) {
      case InterpolationMode::nearest: {
        const float ratio =
            factor > 0 ? static_cast<float>(1 / factor) : static_cast<float>(in) / static_cast<float>(out);
        const float source = std::floor(static_cast<float>(o) * ratio);
        auto nearest = static_cast<std::ptrdiff_t>(source);
        // Of pictures, and of neither lines nor volumes, torch's CPU kernels copy equal sizes and double others
        // whatever the given factor says (nearest_idx in ATen/native/UpSample.h).
        if (of_picture && out == in) nearest = o;
        if (of_picture && out == 2 * in) nearest = o / 2;
        taps.push(std::min(nearest, in - 1), 1);
        continue;
      }
      case InterpolationMode::nearest_exact: {
        const float ratio =
            factor > 0 ? static_cast<float>(1 / factor) : static_cast<float>(in) / static_cast<float>(out);
        const float source = std::floor(static_cast<float>((place + 0.5) * static_cast<double>(ratio)));
        taps.push(std::min(static_cast<std::ptrdiff_t>(source), in - 1), 1);
        continue;
      }
      case InterpolationMode::area: {
        const std::ptrdiff_t first = o * in / out;
        const std::ptrdiff_t last = ((o + 1) * in + out - 1) / out;
        for (std::ptrdiff_t i = first; i < last; ++i) taps.push(i, 1 / static_cast<double>(last - first));
        continue;
      }
      default:
        break;
    }
    if (op.antialias) {
      const double widening = std::max(scale, 1.0);
      const double support = support_of(op, scale);
      const double centre = scale * (place + 0.5);
      const auto first = std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(centre - support + 0.5));
      const auto last = std::min(in, static_cast<std::ptrdiff_t>(centre + support + 0.5));
      double sum = 0;
      const std::size_t from = taps.weights.size();
      for (std::ptrdiff_t i = first; i < last; ++i) {
        const double x = std::abs((static_cast<double>(i) - centre + 0.5) / widening);
        const double weight = is_cubic ? cubic(x, kAntialiasCubic) : std::max(0.0, 1 - x);
        taps.push(i, weight);
        sum += weight;
      }
      for (std::size_t i = from; i < taps.weights.size(); ++i) taps.weights[i] /= sum;
      continue;
    }
    double source = op.align_corners ? place * scale : (place + 0.5) * scale - 0.5;
    if (is_cubic) {
      const double whole = std::floor(source);
      for (int i = -1; i <= 2; ++i) {
        const std::ptrdiff_t tap = static_cast<std::ptrdiff_t>(whole) + i;
        taps.push(std::clamp<std::ptrdiff_t>(tap, 0, in - 1), cubic(std::abs(source - whole - i), kCubic));
      }
      continue;
    }
    if (in == out) source = place;  // copied, whatever the given factor says
    source = std::max(source, 0.0);
    const auto low = std::min(static_cast<std::ptrdiff_t>(source), in - 1);
    const double weight = std::min(1.0, source - static_cast<double>(low));
    taps.push(low, 1 - weight);
    taps.push(std::min(low + 1, in - 1), weight);
  }
  taps.begin();
  return taps;
}

Status add_upsample(Builder& b, const Upsample& op) {
  const std::size_t spatial = b.input().shape.size() - 2;
  const Picture in(b.input(), spatial);
  const Picture out(b.output(), spatial);
  const bool uses_factors = !op.scale_factor.empty() && op.size.empty() && !op.recompute_scale_factor;
  // Of depth, height and width; shared, because copies of an Op's function must not copy it.
  const auto shared_taps = std::make_shared<std::array<Taps, 3>>();
  double each = 1;
  for (std::size_t i = 0; i < 3; ++i) {
    Taps& taps = (*shared_taps)[i];
    if (i + spatial < 3) {
      taps.first = {0, 1};
      taps.push(0, 1);
      continue;
    }
    const std::size_t dim = i + spatial - 3;
    const double factor = !uses_factors ? 0 : op.scale_factor[op.scale_factor.size() == 1 ? 0 : dim];
    const std::size_t outputs = size_of(out.sizes[i]);
    const std::optional<std::size_t> most =
        most_taps(op, size_of(in.sizes[i]), outputs, scale_of(op, in.sizes[i], out.sizes[i], factor));
    RUSHLIGHT_TRY(b.claim_table({outputs, sizeof(std::size_t)}));
    RUSHLIGHT_TRY(b.claim_table({most.value_or(std::numeric_limits<std::size_t>::max()), 2 * sizeof(double)}));
    taps = taps_of(op, in.sizes[i], out.sizes[i], factor, *most, spatial == 2);
    each *= static_cast<double>(taps.places.size()) / static_cast<double>(out.sizes[i]);
  }
  const std::ptrdiff_t pixels = out.pixels();
  b.add_ranges(
      size_of(out.images * pixels), 3 * each * static_cast<double>(in.channels) + 40,
      [=, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
        constexpr std::ptrdiff_t kWidth = 64;
        const auto& [d_taps, h_taps, w_taps] = *shared_taps;
        for (std::size_t item = range.first; item < range.last; ++item) {
          const auto image = static_cast<std::ptrdiff_t>(item) / pixels;
          const std::size_t pixel = item % size_of(pixels);
          const std::size_t w = pixel % size_of(out.sizes[2]);
          const std::size_t h = pixel / size_of(out.sizes[2]) % size_of(out.sizes[1]);
          const std::size_t d = pixel / size_of(out.sizes[2] * out.sizes[1]);
          float* to = frame.at(y) + out.at(image, static_cast<std::ptrdiff_t>(d), static_cast<std::ptrdiff_t>(h),
                                           static_cast<std::ptrdiff_t>(w));
          const bool is_copy = d_taps.first[d + 1] - d_taps.first[d] == 1 &&
                               h_taps.first[h + 1] - h_taps.first[h] == 1 && w_taps.first[w + 1] - w_taps.first[w] == 1;
          if (is_copy) {
            const float* from = frame.at(x) + in.at(image, d_taps.places[d_taps.first[d]],
                                                    h_taps.places[h_taps.first[h]], w_taps.places[w_taps.first[w]]);
            std::copy_n(from, in.channels, to);
            continue;
          }
          for (std::ptrdiff_t first = 0; first < in.channels; first += kWidth) {
            const std::ptrdiff_t width = std::min(kWidth, in.channels - first);
            double sums[kWidth] = {};
            for (std::size_t i = d_taps.first[d]; i < d_taps.first[d + 1]; ++i) {
              for (std::size_t k = h_taps.first[h]; k < h_taps.first[h + 1]; ++k) {
                for (std::size_t m = w_taps.first[w]; m < w_taps.first[w + 1]; ++m) {
                  const double weight = d_taps.weights[i] * h_taps.weights[k] * w_taps.weights[m];
                  const float* from =
                      frame.at(x) + in.at(image, d_taps.places[i], h_taps.places[k], w_taps.places[m]) + first;
                  for (std::ptrdiff_t c = 0; c < width; ++c) sums[c] += weight * static_cast<double>(from[c]);
                }
              }
            }
            for (std::ptrdiff_t c = 0; c < width; ++c) to[first + c] = static_cast<float>(sums[c]);
          }
        }
      });
  return {};
}

// --- grid_sample ---

// From -1 .. 1 to places of an input of this size.
template <class Real>
Real unnormalised(Real x, std::ptrdiff_t size, bool align_corners) noexcept {
  const auto count = static_cast<Real>(size);
  return align_corners ? (x + 1) / 2 * (count - 1) : ((x + 1) * count - 1) / 2;
}

template <class Real>
Real clipped(Real x, std::ptrdiff_t size) noexcept {
  const Real last = static_cast<Real>(size - 1);
  // NaN becomes 0: the order of the comparisons is torch's.
  return x > 0 ? (x < last ? x : last) : 0;
}

// Into the range between two mirrors, at twice these places.
template <class Real>
Real reflected(Real x, std::ptrdiff_t twice_low, std::ptrdiff_t twice_high) noexcept {
  if (twice_low == twice_high) return 0;
  const Real low = static_cast<Real>(twice_low) / 2;
  const Real span = static_cast<Real>(twice_high - twice_low) / 2;
  x = std::abs(x - low);
  const Real extra = std::fmod(x, span);
  const Real flips = std::floor(x / span);
  return std::fmod(flips, Real(2)) == 0 ? extra + low : span - extra + low;
}

template <class Real>
Real inside(Real x, std::ptrdiff_t size, const GridSample& op) noexcept {
  if (op.padding_mode == GridPadding::border) return clipped(x, size);
  if (op.padding_mode == GridPadding::reflection) {
    x = op.align_corners ? reflected(x, std::ptrdiff_t{0}, 2 * (size - 1))
                         : reflected(x, std::ptrdiff_t{-1}, 2 * size - 1);
    return clipped(x, size);
  }
  return x;
}

// A place as an integer; what no integer holds lies outside.
template <class Real>
std::ptrdiff_t whole(Real x) noexcept {
  constexpr Real kBound = Real(1 << 30);
  return x > -kBound && x < kBound ? static_cast<std::ptrdiff_t>(x) : -100;
}

struct SampleTaps {
  std::ptrdiff_t places[4];
  double weights[4];
  int count = 0;
  void push(std::ptrdiff_t place, double weight) noexcept {
    places[count] = place;
    weights[count++] = weight;
  }
};

// Of one coordinate. Taps outside the input are left out: they are zeros.
SampleTaps sample_taps(float coordinate, std::ptrdiff_t size, const GridSample& op) noexcept {
  SampleTaps taps;
  const auto add = [&](std::ptrdiff_t place, double weight) {
    if (place >= 0 && place < size) taps.push(place, weight);
  };
  if (op.mode == GridMode::nearest) {
    add(whole(std::nearbyint(inside(unnormalised(coordinate, size, op.align_corners), size, op))), 1);
    return taps;
  }
  const double at = unnormalised(static_cast<double>(coordinate), size, op.align_corners);
  if (op.mode == GridMode::bilinear) {
    const double x = inside(at, size, op);
    const double low = std::floor(x);
    const std::ptrdiff_t place = whole(low);
    add(place, 1 - (x - low));
    add(place + 1, x - low);
    return taps;
  }
  const double low = std::floor(at);
  for (int i = -1; i <= 2; ++i) {
    add(whole(inside(low + i, size, op)), cubic(std::abs(at - low - i), kCubic));
  }
  return taps;
}

void add_grid_sample(Builder& b, const GridSample& op) {
  const Operand& x = b.input(0);
  const Operand& grid = b.input(1);
  const std::size_t spatial = x.shape.size() - 2;
  Nest places;  // of the grid, without the batch and the coordinates
  for (std::size_t d = 1; d + 1 < grid.shape.size(); ++d) places.push(grid.shape[d], grid.strides[d]);
  const std::size_t images = size_of(x.shape[0]);
  const std::int64_t channels = x.shape[1];
  std::ptrdiff_t sizes[3] = {1, 1, 1};
  std::ptrdiff_t strides[3] = {0, 0, 0};
  for (std::size_t i = 0; i < spatial; ++i) {
    sizes[3 - spatial + i] = x.shape[2 + i];
    strides[3 - spatial + i] = x.strides[2 + i];
  }
  const double taps = op.mode == GridMode::nearest ? 1 : op.mode == GridMode::bilinear ? 8 : 16;
  b.add_ranges(images * places.count, 4 * taps * static_cast<double>(channels) + 100,
               [=, image_stride = x.strides[0], channel_stride = x.strides[1], grid_image = grid.strides[0],
                grid_step = grid.strides.back(), d_size = sizes[0], h_size = sizes[1], w_size = sizes[2],
                d_stride = strides[0], h_stride = strides[1], w_stride = strides[2], x = x.tensor, g = grid.tensor,
                y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const std::size_t image = item / places.count;
                   const std::size_t place = item % places.count;
                   const float* at = frame.at(g) + static_cast<std::ptrdiff_t>(image) * grid_image + places.at(place);
                   // The last dimension first.
                   const SampleTaps w = sample_taps(at[0], w_size, op);
                   const SampleTaps h = sample_taps(at[grid_step], h_size, op);
                   SampleTaps d;
                   if (spatial == 3) {
                     d = sample_taps(at[2 * grid_step], d_size, op);
                   } else {
                     d.push(0, 1);
                   }
                   const float* from = frame.at(x) + static_cast<std::ptrdiff_t>(image) * image_stride;
                   float* to = frame.at(y) + image * size_of(channels) * places.count + place;
                   for (std::int64_t c = 0; c < channels; ++c, from += channel_stride, to += places.count) {
                     double sum = 0;
                     for (int i = 0; i < d.count; ++i) {
                       for (int k = 0; k < h.count; ++k) {
                         for (int m = 0; m < w.count; ++m) {
                           sum += d.weights[i] * h.weights[k] * w.weights[m] *
                                  static_cast<double>(
                                      from[d.places[i] * d_stride + h.places[k] * h_stride + w.places[m] * w_stride]);
                         }
                       }
                     }
                     *to = static_cast<float>(sum);
                   }
                 }
               });
}

// --- affine_grid ---

// The centre of place i of n: from -1 to 1.
double centre(std::size_t i, std::size_t count, bool align_corners) noexcept {
  const auto n = static_cast<double>(count);
  if (align_corners) return count == 1 ? 0 : 2 * static_cast<double>(i) / (n - 1) - 1;
  return (2 * static_cast<double>(i) + 1) / n - 1;
}

void add_affine_grid(Builder& b, const AffineGrid& op) {
  const std::size_t spatial = op.size.size() - 2;
  const std::size_t depth = spatial == 3 ? size_of(op.size[2]) : 1;
  const std::size_t height = size_of(op.size[op.size.size() - 2]);
  const std::size_t width = size_of(op.size.back());
  b.add_ranges(
      size_of(op.size[0]) * depth * height * width, 40,
      [=, align = op.align_corners, x = b.input().tensor, y = b.output().tensor](Range range, const Frame& frame) {
        for (std::size_t item = range.first; item < range.last; ++item) {
          const std::size_t w = item % width;
          const std::size_t h = item / width % height;
          const std::size_t d = item / width / height % depth;
          const std::size_t image = item / width / height / depth;
          double place[4] = {centre(w, width, align), centre(h, height, align), 1, 1};
          if (spatial == 3) place[2] = centre(d, depth, align);
          const float* theta = frame.at(x) + image * spatial * (spatial + 1);
          for (std::size_t i = 0; i < spatial; ++i) {
            double sum = 0;
            for (std::size_t k = 0; k <= spatial; ++k) {
              sum += static_cast<double>(theta[i * (spatial + 1) + k]) * place[k];
            }
            frame.at(y)[item * spatial + i] = static_cast<float>(sum);
          }
        }
      });
}

}  // namespace

Status build_resampling(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::Upsample:
      return add_upsample(b, b.get<Upsample>());
    case OperatorKind::GridSample:
      add_grid_sample(b, b.get<GridSample>());
      return {};
    default:
      add_affine_grid(b, b.get<AffineGrid>());
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
