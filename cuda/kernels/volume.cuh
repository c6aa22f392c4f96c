// Windows over volumes of up to three spatial dimensions with any strides: poolings without a step of their own (with
// indices, in three dimensions, of powers, fractional), Conv3d, transposed convolutions, resizing with and without a
// filter against aliases.
//
// output[n][c][d][h][w] from input[n][..][d'][h'][w'] at the window's places; lines and pictures have sizes of 1. One
// thread makes one output; neighbours are neighbouring channels, which lie side by side. Bytes moved: 4 in for each tap
// and input channel, most of it from the cache, and 4 (or 12) out an output. For layers in the middle of a decoder, not
// for what networks spend their time on.
// Accuracy: sums in double, rounded once.
// Tests: GeneralIndices.OutputsOfAVolumeAreCoveredOnce, GeneralIndices.TapsMeetTheirSources,
// GeneralIndices.FiltersAgainstAliasesCoverTheirOutputs, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

inline constexpr int kSpatialDims = 3;

struct Volume {
  Divisor64 channels;
  Divisor64 sizes[kSpatialDims];  // depth, height, width
  std::int64_t images = 0;
  std::int64_t image_stride = 0;
  std::int64_t channel_stride = 0;
  std::int64_t strides[kSpatialDims] = {};
};
RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const Volume& volume) {
  std::int64_t elements = volume.images * volume.channels.divisor();
  for (int i = 0; i < kSpatialDims; ++i) elements *= volume.sizes[i].divisor();
  return elements;
}

// Where an output is; the channel is the fastest.
struct VolumePlace {
  std::int64_t image = 0;
  std::int64_t channel = 0;
  std::int64_t at[kSpatialDims] = {};
};
RUSHLIGHT_HOST_DEVICE inline VolumePlace volume_place(const Volume& volume, std::int64_t element) {
  VolumePlace place;
  std::int64_t rest = volume.channels.quotient(element);
  place.channel = volume.channels.remainder(element, rest);
  for (int i = kSpatialDims - 1; i >= 0; --i) {
    const std::int64_t outer = volume.sizes[i].quotient(rest);
    place.at[i] = volume.sizes[i].remainder(rest, outer);
    rest = outer;
  }
  place.image = rest;
  return place;
}
RUSHLIGHT_HOST_DEVICE inline std::int64_t offset_of(const Volume& volume, const VolumePlace& place) {
  std::int64_t offset = place.image * volume.image_stride + place.channel * volume.channel_stride;
  for (int i = 0; i < kSpatialDims; ++i) offset += place.at[i] * volume.strides[i];
  return offset;
}

struct VolumeTaps {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
};

// The places of a window along one dimension: from `first`, `count` of them, a dilation apart.
struct WindowPlaces {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
RUSHLIGHT_HOST_DEVICE inline WindowPlaces places_inside(const VolumeTaps& taps, std::int64_t output,
                                                        std::int64_t size) {
  const std::int64_t start = output * taps.stride - taps.padding;
  const std::int64_t skipped = start < 0 ? ceil_div(-start, taps.dilation) : 0;
  const std::int64_t reach = size - start;
  std::int64_t within = reach <= 0 ? 0 : ceil_div(reach, taps.dilation);
  if (within > taps.kernel) within = taps.kernel;
  return {start + skipped * taps.dilation, within > skipped ? within - skipped : 0};
}
// As many windows as there are outputs, as equal as can be.
RUSHLIGHT_HOST_DEVICE inline WindowPlaces adaptive_places(std::int64_t output, std::int64_t size,
                                                          std::int64_t outputs) {
  const std::int64_t first = output * size / outputs;
  return {first, ceil_div((output + 1) * size, outputs) - first};
}

// --- poolings ---

enum class VolumePoolRule : std::uint8_t { largest, mean, power };

struct VolumePoolArguments {
  VolumePoolRule rule = VolumePoolRule::largest;
  bool is_adaptive = false;
  bool count_include_pad = false;
  std::int64_t divisor_override = 0;
  double power = 2;
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t* indices = nullptr;  // or null
  const float* samples = nullptr;   // [image][channel][spatial]: windows are where these have them; or null
  int spatial = 0;                  // of fractional pools: 2 or 3
  Volume in;
  Volume out;
  Volume index_places;  // where indices lie
  VolumeTaps taps[kSpatialDims];
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const VolumePoolArguments& a) {
  return grid_for_elements(elements_of(a.out));
}

RUSHLIGHT_HOST_DEVICE inline double power_of(double x, double power) {
  return power == 2 ? x * x : power == 1 ? x : ::pow(x, power);
}

// torch's LPPool takes the mean of the powers inside times the full window; of an infinite power the largest distance
// from 0, or the smallest, and NaN wins.
struct PowerPool {
  double power;
  bool is_outer;
  double sum;
  RUSHLIGHT_HOST_DEVICE explicit PowerPool(double exponent)
      : power(exponent),
        is_outer(::fabs(exponent) == -static_cast<double>(kMinusInfinity)),
        sum(is_outer && exponent < 0 ? -exponent : 0) {}
  RUSHLIGHT_HOST_DEVICE void add(double x) {
    if (!is_outer) {
      sum += power_of(x, power);
    } else if (sum == sum) {
      const double distance = ::fabs(x);
      if (x != x || (power > 0 ? distance > sum : distance < sum)) sum = distance;
    }
  }
  [[nodiscard]] RUSHLIGHT_HOST_DEVICE double result(std::int64_t inside, std::int64_t full) const {
    if (is_outer) return sum;
    const double mean = sum / static_cast<double>(inside) * static_cast<double>(full);
    return power == 2 ? ::sqrt(mean) : power == 1 ? mean : ::pow(mean, 1 / power);
  }
};

// Where a window of a fractional pool begins. In float32, as torch decides it; what no sample from 0 to 1 gives stays
// inside.
RUSHLIGHT_HOST_DEVICE inline std::int64_t fractional_start(float sample, std::int64_t output, std::int64_t size,
                                                           std::int64_t outputs, std::int64_t kernel) {
  const std::int64_t last = size - kernel;
  if (output + 1 == outputs) return last;
  const float alpha = static_cast<float>(last) / static_cast<float>(outputs - 1);
  const auto whole = [last](float place) -> std::int64_t {
    if (!(place > 0)) return 0;
    return place < static_cast<float>(last) + 2 ? static_cast<std::int64_t>(place) : last + 1;
  };
  const std::int64_t start = whole((static_cast<float>(output) + sample) * alpha) - whole(sample * alpha);
  return start < 0 ? 0 : start > last ? last : start;
}

// The window of `to` along dimension `i`.
RUSHLIGHT_HOST_DEVICE inline WindowPlaces pool_window(const VolumePoolArguments& a, const VolumePlace& to, int i) {
  const std::int64_t size = a.in.sizes[i].divisor();
  const std::int64_t outputs = a.out.sizes[i].divisor();
  if (a.is_adaptive) return adaptive_places(to.at[i], size, outputs);
  if (a.samples == nullptr) return places_inside(a.taps[i], to.at[i], size);
  if (i + a.spatial < kSpatialDims) return {0, 1};
  // Of a picture the sample of the width comes first, of a volume that of the depth.
  const int sample = a.spatial == kSpatialDims ? i : kSpatialDims - 1 - i;
  const std::int64_t plane = to.image * a.in.channels.divisor() + to.channel;
  return {fractional_start(a.samples[plane * a.spatial + sample], to.at[i], size, outputs, a.taps[i].kernel),
          a.taps[i].kernel};
}

template <class Block>
RUSHLIGHT_KERNEL void volume_pool_kernel(Block& block, const VolumePoolArguments& a) {
  for_each_element(block, elements_of(a.out), [&](std::int64_t element) {
    const VolumePlace to = volume_place(a.out, element);
    WindowPlaces windows[kSpatialDims];
    std::int64_t inside = 1;
    std::int64_t padded = 1;
    std::int64_t full = 1;
    for (int i = 0; i < kSpatialDims; ++i) {
      const std::int64_t size = a.in.sizes[i].divisor();
      windows[i] = pool_window(a, to, i);
      inside *= windows[i].count;
      const std::int64_t to_the_end = size + 2 * a.taps[i].padding - to.at[i] * a.taps[i].stride;
      padded *= to_the_end < a.taps[i].kernel ? to_the_end : a.taps[i].kernel;
      full *= a.taps[i].kernel;
    }
    float best = kMinusInfinity;
    std::int64_t best_index = -1;
    double sum = 0;
    PowerPool powers(a.power);
    VolumePlace from = to;
    for (std::int64_t i = 0; i < windows[0].count; ++i) {
      from.at[0] = windows[0].first + i * a.taps[0].dilation;
      for (std::int64_t k = 0; k < windows[1].count; ++k) {
        from.at[1] = windows[1].first + k * a.taps[1].dilation;
        for (std::int64_t m = 0; m < windows[2].count; ++m) {
          from.at[2] = windows[2].first + m * a.taps[2].dilation;
          const float x = a.input[offset_of(a.in, from)];
          if (a.rule == VolumePoolRule::largest) {  // NaN wins, the last one; of -inf alone the first place
            if (best_index < 0 || x > best || x != x) {
              best = x;
              best_index = (from.at[0] * a.in.sizes[1].divisor() + from.at[1]) * a.in.sizes[2].divisor() + from.at[2];
            }
          } else if (a.rule == VolumePoolRule::mean) {
            sum += static_cast<double>(x);
          } else {
            powers.add(static_cast<double>(x));
          }
        }
      }
    }
    const std::int64_t offset = offset_of(a.out, to);
    if (a.rule == VolumePoolRule::largest) {
      a.output[offset] = best;
      if (a.indices != nullptr) a.indices[offset_of(a.index_places, to)] = best_index;
    } else if (a.rule == VolumePoolRule::mean) {
      const std::int64_t divisor = a.divisor_override != 0 ? a.divisor_override : a.count_include_pad ? padded : inside;
      a.output[offset] = inside == 0 ? 0.0F : static_cast<float>(sum / static_cast<double>(divisor));
    } else {
      a.output[offset] = static_cast<float>(powers.result(inside, full));
    }
  });
}

// --- convolutions ---

struct VolumeConvArguments {
  bool is_transposed = false;
  const float* input = nullptr;
  const float* weights = nullptr;  // [out][taps][in of a group]
  const float* bias = nullptr;     // [out], or null
  float* output = nullptr;
  std::int64_t depth = 0;    // input channels of a group
  Divisor64 group_channels;  // output channels of a group
  Volume in;
  Volume out;
  VolumeTaps taps[kSpatialDims];
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const VolumeConvArguments& a) {
  return grid_for_elements(elements_of(a.out));
}

// The input's place under tap `tap` of the window of output `output`, along one dimension; -1 where there is none.
RUSHLIGHT_HOST_DEVICE inline std::int64_t source_of(bool is_transposed, const VolumeTaps& taps, std::int64_t output,
                                                    std::int64_t tap, std::int64_t size) {
  std::int64_t place = 0;
  if (is_transposed) {
    place = output + taps.padding - tap * taps.dilation;
    if (place < 0 || place % taps.stride != 0) return -1;
    place /= taps.stride;
  } else {
    place = output * taps.stride - taps.padding + tap * taps.dilation;
  }
  return place < 0 || place >= size ? -1 : place;
}

template <class Block>
RUSHLIGHT_KERNEL void volume_conv_kernel(Block& block, const VolumeConvArguments& a) {
  for_each_element(block, elements_of(a.out), [&](std::int64_t element) {
    const VolumePlace to = volume_place(a.out, element);
    VolumePlace from;
    from.image = to.image;
    from.channel = a.group_channels.quotient(to.channel) * a.depth;
    const std::int64_t area = a.taps[1].kernel * a.taps[2].kernel;
    const float* const weights = a.weights + to.channel * a.taps[0].kernel * area * a.depth;
    double sum = a.bias == nullptr ? 0.0 : static_cast<double>(load_constant(a.bias + to.channel));
    for (std::int64_t i = 0; i < a.taps[0].kernel; ++i) {
      from.at[0] = source_of(a.is_transposed, a.taps[0], to.at[0], i, a.in.sizes[0].divisor());
      if (from.at[0] < 0) continue;
      for (std::int64_t k = 0; k < a.taps[1].kernel; ++k) {
        from.at[1] = source_of(a.is_transposed, a.taps[1], to.at[1], k, a.in.sizes[1].divisor());
        if (from.at[1] < 0) continue;
        for (std::int64_t m = 0; m < a.taps[2].kernel; ++m) {
          from.at[2] = source_of(a.is_transposed, a.taps[2], to.at[2], m, a.in.sizes[2].divisor());
          if (from.at[2] < 0) continue;
          const float* const x = a.input + offset_of(a.in, from);
          const float* const tap = weights + (i * area + k * a.taps[2].kernel + m) * a.depth;
          for (std::int64_t c = 0; c < a.depth; ++c) {
            sum += static_cast<double>(x[c * a.in.channel_stride]) * static_cast<double>(load_constant(tap + c));
          }
        }
      }
    }
    a.output[offset_of(a.out, to)] = static_cast<float>(sum);
  });
}

// --- resizing ---

enum class ResizeRule : std::uint8_t { nearest, nearest_exact, linear, cubic };

// Along one dimension.
struct ResizeScale {
  double scale = 1;       // input places that neighbouring outputs lie apart
  float ratio = 1;        // the same as torch's nearest modes have it, in float32
  std::int64_t copy = 0;  // nearest: outputs of one input, where torch does not ask the ratio; 0: it does
};

struct ResizeArguments {
  ResizeRule rule = ResizeRule::nearest;
  bool align_corners = false;
  const float* input = nullptr;
  float* output = nullptr;
  Volume in;
  Volume out;
  ResizeScale scales[kSpatialDims];
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const ResizeArguments& a) {
  return grid_for_elements(elements_of(a.out));
}

inline constexpr int kResizeTaps = 4;
struct ResizeTaps {
  int count = 0;
  std::int64_t places[kResizeTaps] = {};
  double weights[kResizeTaps] = {};
};

// The convolution kernel of cubic interpolation at distance x >= 0.
inline constexpr double kCubicOfResizing = -0.75;  // torch's
inline constexpr double kCubicOfAntialias = -0.5;
RUSHLIGHT_HOST_DEVICE inline double cubic_weight(double x, double a) {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}
RUSHLIGHT_HOST_DEVICE inline std::int64_t bounded(std::int64_t place, std::int64_t size) {
  return place < 0 ? 0 : place < size ? place : size - 1;
}

RUSHLIGHT_HOST_DEVICE inline ResizeTaps resize_taps(ResizeRule rule, bool align_corners, const ResizeScale& scale,
                                                    std::int64_t output, std::int64_t size, std::int64_t outputs) {
  ResizeTaps taps;
  const auto place = static_cast<double>(output);
  if (rule == ResizeRule::nearest || rule == ResizeRule::nearest_exact) {
    taps.count = 1;
    taps.weights[0] = 1;
    const float source = rule == ResizeRule::nearest
                             ? static_cast<float>(output) * scale.ratio
                             : static_cast<float>((place + 0.5) * static_cast<double>(scale.ratio));
    taps.places[0] = scale.copy != 0 ? output / scale.copy : static_cast<std::int64_t>(::floorf(source));
    if (taps.places[0] > size - 1) taps.places[0] = size - 1;
    return taps;
  }
  double source = align_corners ? place * scale.scale : (place + 0.5) * scale.scale - 0.5;
  if (rule == ResizeRule::cubic) {
    taps.count = 4;
    const double whole = ::floor(source);
    for (int i = 0; i < 4; ++i) {
      taps.places[i] = bounded(static_cast<std::int64_t>(whole) + i - 1, size);
      taps.weights[i] = cubic_weight(::fabs(source - whole - (i - 1)), kCubicOfResizing);
    }
    return taps;
  }
  if (size == outputs) source = place;  // copied, whatever a given factor says
  if (source < 0) source = 0;
  std::int64_t low = static_cast<std::int64_t>(source);
  if (low > size - 1) low = size - 1;
  const double beyond = source - static_cast<double>(low);
  const double weight = beyond < 1 ? beyond : 1.0;
  taps.count = 2;
  taps.places[0] = low;
  taps.weights[0] = 1 - weight;
  taps.places[1] = bounded(low + 1, size);
  taps.weights[1] = weight;
  return taps;
}

template <class Block>
RUSHLIGHT_KERNEL void resize_kernel(Block& block, const ResizeArguments& a) {
  for_each_element(block, elements_of(a.out), [&](std::int64_t element) {
    const VolumePlace to = volume_place(a.out, element);
    ResizeTaps taps[kSpatialDims];
    for (int i = 0; i < kSpatialDims; ++i) {
      taps[i] = resize_taps(a.rule, a.align_corners, a.scales[i], to.at[i], a.in.sizes[i].divisor(),
                            a.out.sizes[i].divisor());
      // A dimension of one place has one tap, whatever the rule.
      if (a.in.sizes[i].divisor() == 1 && a.out.sizes[i].divisor() == 1) {
        taps[i].count = 1;
        taps[i].places[0] = 0;
        taps[i].weights[0] = 1;
      }
    }
    VolumePlace from = to;
    double sum = 0;
    for (int i = 0; i < taps[0].count; ++i) {
      from.at[0] = taps[0].places[i];
      for (int k = 0; k < taps[1].count; ++k) {
        from.at[1] = taps[1].places[k];
        for (int m = 0; m < taps[2].count; ++m) {
          from.at[2] = taps[2].places[m];
          const double weight = taps[0].weights[i] * taps[1].weights[k] * taps[2].weights[m];
          sum += weight * static_cast<double>(a.input[offset_of(a.in, from)]);
        }
      }
    }
    // One tap is a copy: 0 times infinity is not asked.
    a.output[offset_of(a.out, to)] = static_cast<float>(sum);
  });
}

// --- resizing with a filter against aliases ---

struct AntialiasArguments {
  bool is_cubic = false;
  const float* input = nullptr;
  float* output = nullptr;
  Volume in;
  Volume out;
  double scales[kSpatialDims] = {1, 1, 1};  // input places that neighbouring outputs lie apart
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const AntialiasArguments& a) {
  return grid_for_elements(elements_of(a.out));
}

// The filter of one output along one dimension, as wide as the shrinking: _compute_indices_min_size_weights_aa in
// torch's UpSampleKernel.cpp.
struct AntialiasFilter {
  std::int64_t first = 0;
  std::int64_t last = 0;  // behind the last one
  double centre = 0;
  double narrowed = 1;
  double sum = 0;  // of the weights
};
RUSHLIGHT_HOST_DEVICE inline double antialias_weight(bool is_cubic, const AntialiasFilter& filter, std::int64_t place) {
  const double distance = ::fabs((static_cast<double>(place) - filter.centre + 0.5) / filter.narrowed);
  if (is_cubic) return cubic_weight(distance, kCubicOfAntialias);
  return distance < 1 ? 1 - distance : 0.0;
}
RUSHLIGHT_HOST_DEVICE inline AntialiasFilter antialias_filter(bool is_cubic, double scale, std::int64_t output,
                                                              std::int64_t size) {
  AntialiasFilter filter;
  filter.narrowed = scale > 1 ? scale : 1.0;
  filter.centre = scale * (static_cast<double>(output) + 0.5);
  const double support = (is_cubic ? 2.0 : 1.0) * filter.narrowed;
  filter.first = static_cast<std::int64_t>(filter.centre - support + 0.5);
  if (filter.first < 0) filter.first = 0;
  filter.last = static_cast<std::int64_t>(filter.centre + support + 0.5);
  if (filter.last > size) filter.last = size;
  for (std::int64_t i = filter.first; i < filter.last; ++i) filter.sum += antialias_weight(is_cubic, filter, i);
  return filter;
}

template <class Block>
RUSHLIGHT_KERNEL void antialias_kernel(Block& block, const AntialiasArguments& a) {
  for_each_element(block, elements_of(a.out), [&](std::int64_t element) {
    const VolumePlace to = volume_place(a.out, element);
    AntialiasFilter filters[kSpatialDims];
    for (int i = 0; i < kSpatialDims; ++i) {
      filters[i] = antialias_filter(a.is_cubic, a.scales[i], to.at[i], a.in.sizes[i].divisor());
    }
    const auto weight = [&](int i, std::int64_t place) {
      return antialias_weight(a.is_cubic, filters[i], place) / filters[i].sum;
    };
    VolumePlace from = to;
    double sum = 0;
    for (from.at[0] = filters[0].first; from.at[0] < filters[0].last; ++from.at[0]) {
      const double outer = weight(0, from.at[0]);
      for (from.at[1] = filters[1].first; from.at[1] < filters[1].last; ++from.at[1]) {
        const double middle = outer * weight(1, from.at[1]);
        for (from.at[2] = filters[2].first; from.at[2] < filters[2].last; ++from.at[2]) {
          sum += middle * weight(2, from.at[2]) * static_cast<double>(a.input[offset_of(a.in, from)]);
        }
      }
    }
    a.output[offset_of(a.out, to)] = static_cast<float>(sum);
  });
}

}  // namespace rushlight::cuda
