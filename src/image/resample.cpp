#include "image/resample.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace rushlight::image {
namespace {

// PIL's: 8 bits for the pixel and 2 for weights beyond 1 leave 22 of 32.
constexpr unsigned kPilPrecision = 22;

// The kernels, of the distance in pixels (Keys, "Cubic convolution interpolation", IEEE ASSP 29, 1981).
double linear(double x) noexcept {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}
double cubic(double x, double a) noexcept {
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// What smooths takes PIL's constant, what does not takes that of torch.
constexpr double kSmoothCubic = -0.5;
constexpr double kPlainCubic = -0.75;

// Positions with their weights as real numbers, before they are rounded.
struct RealSums {
  std::vector<ResampledSide::Sum> sums;
  std::vector<double> weights;
};

// A pixel of the result covers `scale` pixels of the source, and so the kernel is stretched when that is more than one.
RealSums smooth_sums(std::int64_t from, std::int64_t to, Stretch stretch, bool is_cubic) {
  RealSums result;
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretched = std::max(scale, 1.0);
  const double support = (is_cubic ? 2.0 : 1.0) * stretched;
  const double shrink = 1.0 / stretched;
  for (std::int64_t i = 0; i < stretch.size; ++i) {
    const double center = (static_cast<double>(stretch.begin + i) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const std::int64_t end = std::min(static_cast<std::int64_t>(center + support + 0.5), from);
    const std::size_t begin = result.weights.size();
    double sum = 0;
    for (std::int64_t pixel = first; pixel < end; ++pixel) {
      const double distance = (static_cast<double>(pixel) - center + 0.5) * shrink;
      const double weight = is_cubic ? cubic(distance, kSmoothCubic) : linear(distance);
      result.weights.push_back(weight);
      sum += weight;
    }
    if (sum != 0) {
      for (std::size_t k = begin; k < result.weights.size(); ++k) result.weights[k] /= sum;
    }
    result.sums.push_back({first, begin, result.weights.size() - begin});
  }
  return result;
}

// The two or four pixels around the place; those beyond the edge count as the one at the edge.
RealSums plain_sums(std::int64_t from, std::int64_t to, Stretch stretch, bool is_cubic) {
  RealSums result;
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const std::int64_t support = is_cubic ? 2 : 1;
  for (std::int64_t i = 0; i < stretch.size; ++i) {
    double place = scale * (static_cast<double>(stretch.begin + i) + 0.5) - 0.5;
    if (!is_cubic) place = std::max(place, 0.0);
    const std::int64_t pixel = std::min(static_cast<std::int64_t>(std::floor(place)), from - 1);
    const double beyond = std::clamp(place - static_cast<double>(pixel), 0.0, 1.0);
    const std::int64_t lowest = pixel - support + 1;
    const std::int64_t first = std::clamp<std::int64_t>(lowest, 0, from - 1);
    const std::int64_t last = std::clamp<std::int64_t>(pixel + support, 0, from - 1);
    const std::size_t begin = result.weights.size();
    result.weights.resize(begin + static_cast<std::size_t>(last - first + 1));
    for (std::int64_t k = 0; k < 2 * support; ++k) {
      const double distance = static_cast<double>(k + 1 - support) - beyond;
      const std::int64_t at = std::clamp(lowest + k, first, last);
      result.weights[begin + static_cast<std::size_t>(at - first)] +=
          is_cubic ? cubic(distance, kPlainCubic) : linear(distance);
    }
    result.sums.push_back({first, begin, result.weights.size() - begin});
  }
  return result;
}

// One pixel each.
ResampledSide single_pixels(std::int64_t from, std::int64_t to, Stretch stretch, Resampling resampling) {
  ResampledSide side;
  side.precision = kPilPrecision;
  side.weights.push_back(std::int32_t{1} << kPilPrecision);
  const auto add = [&](std::int64_t pixel) { side.sums.push_back({std::min(pixel, from - 1), 0, 1}); };
  if (from == to) {
    for (std::int64_t i = 0; i < stretch.size; ++i) add(stretch.begin + i);
  } else if (resampling == Resampling::pil) {
    // PIL goes along in steps, and so its rounding adds up.
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    double place = scale * 0.5;
    for (std::int64_t i = 0; i < stretch.begin + stretch.size; ++i, place += scale) {
      if (i >= stretch.begin) add(static_cast<std::int64_t>(place));
    }
  } else {
    const float scale = static_cast<float>(from) / static_cast<float>(to);
    for (std::int64_t i = 0; i < stretch.size; ++i) {
      add(static_cast<std::int64_t>(std::floor(static_cast<float>(stretch.begin + i) * scale)));
    }
  }
  return side;
}

// torch keeps weights in 16 bits, with as many of them behind the point as the largest weight leaves.
unsigned torch_precision(double largest) noexcept {
  unsigned precision = 0;
  while (precision < 22 && static_cast<int>(0.5 + largest * (1 << (precision + 1))) < (1 << 15)) ++precision;
  return precision;
}

std::uint8_t rounded(std::int32_t sum, unsigned precision) noexcept {
  return static_cast<std::uint8_t>(std::clamp(sum >> precision, 0, 255));
}

}  // namespace

Stretch ResampledSide::source() const noexcept {
  if (sums.empty()) return {};
  std::int64_t begin = sums.front().first;
  std::int64_t end = begin;
  for (const Sum& sum : sums) {
    begin = std::min(begin, sum.first);
    end = std::max(end, sum.first + static_cast<std::int64_t>(sum.count));
  }
  return {begin, end - begin};
}

ResampledSide resample_side(std::int64_t from, std::int64_t to, Stretch stretch, Interpolation interpolation,
                            Resampling resampling) {
  if (from == to || interpolation == Interpolation::nearest) return single_pixels(from, to, stretch, resampling);
  const bool is_cubic = interpolation == Interpolation::bicubic;
  const auto real_sums = [&](Stretch part) {
    return resampling == Resampling::tensor_not_smooth ? plain_sums(from, to, part, is_cubic)
                                                       : smooth_sums(from, to, part, is_cubic);
  };
  RealSums real = real_sums(stretch);
  ResampledSide side;
  side.precision = kPilPrecision;
  if (resampling != Resampling::pil) {
    // Of the whole side, not of the stretch: the same pixels whatever is cropped.
    constexpr std::int64_t kPiece = 4096;
    double largest = 0;
    for (std::int64_t begin = 0; begin < to; begin += kPiece) {
      const RealSums piece = real_sums({begin, std::min(kPiece, to - begin)});
      largest = std::max(largest, *std::max_element(piece.weights.begin(), piece.weights.end()));
    }
    side.precision = torch_precision(largest);
  }
  side.sums = std::move(real.sums);
  side.weights.reserve(real.weights.size());
  const double one = static_cast<double>(1U << side.precision);
  for (const double weight : real.weights) {
    side.weights.push_back(static_cast<std::int32_t>((weight < 0 ? -0.5 : 0.5) + weight * one));
  }
  return side;
}

void resample_rows(ConstRows from, std::int64_t first, std::size_t count, const ResampledSide& across, Rows to) {
  const std::int32_t half = 1 << (across.precision - 1);
  for (std::size_t row = 0; row < count; ++row) {
    std::uint8_t* out = to.data + row * to.pitch;
    for (const ResampledSide::Sum& sum : across.sums) {
      const std::uint8_t* const pixels = from.data + row * from.pitch + (sum.first - first);
      const std::int32_t* const weights = across.weights.data() + sum.weight;
      std::int32_t total = half;
      for (std::size_t k = 0; k < sum.count; ++k) total += pixels[k] * weights[k];
      *out++ = rounded(total, across.precision);
    }
  }
}

void resample_columns(ConstRows from, std::int64_t first, std::size_t count, const ResampledSide& down, Rows to) {
  std::vector<std::int32_t> totals(count);
  std::uint8_t* out = to.data;
  for (const ResampledSide::Sum& sum : down.sums) {
    std::fill(totals.begin(), totals.end(), 1 << (down.precision - 1));
    for (std::size_t k = 0; k < sum.count; ++k) {
      const std::int32_t weight = down.weights[sum.weight + k];
      const std::uint8_t* const row = from.data + (static_cast<std::size_t>(sum.first - first) + k) * from.pitch;
      for (std::size_t x = 0; x < count; ++x) totals[x] += row[x] * weight;
    }
    for (std::size_t x = 0; x < count; ++x) out[x] = rounded(totals[x], down.precision);
    out += to.pitch;
  }
}

}  // namespace rushlight::image
