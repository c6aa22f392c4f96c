// Pools. Output sizes, ceil_mode and the divisor of averages: ATen/native/Pool.h and AveragePool2d.cpp.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "runtime/failure.hpp"
#include "runtime/reference/operators.hpp"
#include "runtime/reference/power.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// A stride of 0 is torch's None: the kernel's size.
template <class Pool>
IntTriple stride_of(const Pool& op) {
  const bool is_kernel = op.stride == decltype(op.stride)(kFromKernel);
  return spread(is_kernel ? op.kernel_size : op.stride, 1);
}

// NaN wins over everything. The first of equal values does; of several NaNs the last.
struct Largest {
  double value = -std::numeric_limits<double>::infinity();
  std::size_t place = 0;
  bool has_place = false;
  void offer(double x, std::size_t where) noexcept {
    if (has_place && !(x > value) && !std::isnan(x)) return;
    value = x;
    place = where;
    has_place = true;
  }
};

// Values, and where in its plane each was found.
void put(const Call& call, std::size_t place, const Largest& largest) {
  call.output().values[place] = largest.value;
  if (call.outputs.size() > 1) call.output(1).values[place] = static_cast<double>(largest.place);
}

template <class Pool>
Status max_pool(const Pool& op, const Call& call) {
  const std::size_t spatial = spatial_of(op.kernel_size);
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  const IntTriple kernel = spread(op.kernel_size, 1);
  const IntTriple stride = stride_of(op);
  const IntTriple padding = spread(op.padding, 0);
  const IntTriple dilation = spread(op.dilation, 1);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    Largest largest;
    for_each_in(kernel, [&](std::int64_t kd, std::int64_t kh, std::int64_t kw) {
      const std::int64_t d = od * stride.d - padding.d + kd * dilation.d;
      const std::int64_t h = oh * stride.h - padding.h + kh * dilation.h;
      const std::int64_t w = ow * stride.w - padding.w + kw * dilation.w;
      if (in.has(d, h, w)) largest.offer(call.input().values[in.place(n, c, d, h, w)], at((d * in.h + h) * in.w + w));
    });
    put(call, out.place(n, c, od, oh, ow), largest);
  });
  return {};
}

// Feeds each window to f: begin(), add(place of the input) for each place inside, then end(place of the output, places
// inside the padded input, places inside the input).
template <class F>
void for_each_sum(const Volume& in, const Volume& out, const IntTriple& kernel, const IntTriple& stride,
                  const IntTriple& padding, F&& f) {
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    std::int64_t padded = 0;  // an overhanging window has more
    std::int64_t inside = 0;
    const IntTriple first = {od * stride.d - padding.d, oh * stride.h - padding.h, ow * stride.w - padding.w};
    f.begin();
    for_each_in(kernel, [&](std::int64_t kd, std::int64_t kh, std::int64_t kw) {
      const std::int64_t d = first.d + kd;
      const std::int64_t h = first.h + kh;
      const std::int64_t w = first.w + kw;
      if (d < in.d + padding.d && h < in.h + padding.h && w < in.w + padding.w) ++padded;
      if (!in.has(d, h, w)) return;
      ++inside;
      f.add(in.place(n, c, d, h, w));
    });
    f.end(out.place(n, c, od, oh, ow), padded, inside);
  });
}

std::int64_t divisor_override_of(const AvgPool1d&) {
  return 0;
}
std::int64_t divisor_override_of(const AvgPool2d& op) {
  return op.divisor_override;
}
std::int64_t divisor_override_of(const AvgPool3d& op) {
  return op.divisor_override;
}

struct Average {
  const Call& call;
  bool count_include_pad;
  std::int64_t divisor_override;
  double sum = 0;
  void begin() { sum = 0; }
  void add(std::size_t place) { sum += call.input().values[place]; }
  void end(std::size_t place, std::int64_t padded, std::int64_t inside) const {
    std::int64_t divisor = count_include_pad ? padded : inside;
    if (divisor_override != 0) divisor = divisor_override;
    call.output().values[place] = inside == 0 ? 0.0 : sum / static_cast<double>(divisor);
  }
};

template <class Pool>
Status avg_pool(const Pool& op, const Call& call) {
  const std::size_t spatial = spatial_of(op.kernel_size);
  for_each_sum(Volume(call.input().shape, spatial), Volume(call.output().shape, spatial), spread(op.kernel_size, 1),
               stride_of(op), spread(op.padding, 0), Average{call, op.count_include_pad, divisor_override_of(op)});
  return {};
}

// F.lp_pool2d: the mean of x^p over the window, times the places of a whole window, to the power of 1 / p. A window
// that ceil_mode lets overhang counts as if it were whole, and a negative sum of an odd power has no root.
struct PowerSum {
  const Call& call;
  double exponent;
  double window;
  double sum = 0;
  void begin() { sum = 0; }
  void add(std::size_t place) { sum += power(call.input().values[place], exponent); }
  void end(std::size_t place, std::int64_t padded, std::int64_t) const {
    call.output().values[place] = power(sum / static_cast<double>(padded) * window, 1 / exponent);
  }
};

// The norm of infinity is the largest distance from 0, that of minus infinity the smallest; NaN wins.
struct OuterNorm {
  const Call& call;
  bool is_largest;
  double best = 0;
  void begin() { best = is_largest ? 0 : std::numeric_limits<double>::infinity(); }
  void add(std::size_t place) {
    const double x = std::abs(call.input().values[place]);
    if (std::isnan(best)) return;
    if (std::isnan(x) || (is_largest ? x > best : x < best)) best = x;
  }
  void end(std::size_t place, std::int64_t, std::int64_t) const { call.output().values[place] = best; }
};

template <class Pool>
Status lp_pool(const Pool& op, const Call& call) {
  const std::size_t spatial = spatial_of(op.kernel_size);
  const IntTriple kernel = spread(op.kernel_size, 1);
  if (std::isinf(op.norm_type)) {
    for_each_sum(Volume(call.input().shape, spatial), Volume(call.output().shape, spatial), kernel, stride_of(op), 0,
                 OuterNorm{call, op.norm_type > 0});
    return {};
  }
  for_each_sum(Volume(call.input().shape, spatial), Volume(call.output().shape, spatial), kernel, stride_of(op), 0,
               PowerSum{call, op.norm_type, static_cast<double>(kernel.d * kernel.h * kernel.w)});
  return {};
}

// Bin i of `out` covers floor(i in / out) to ceil((i + 1) in / out).
std::int64_t bin_begin(std::int64_t i, std::int64_t in, std::int64_t out) {
  return i * in / out;
}
std::int64_t bin_end(std::int64_t i, std::int64_t in, std::int64_t out) {
  return ((i + 1) * in + out - 1) / out;
}

// Calls f(output place, first input place of the plane, begin, size) for each bin.
template <class F>
void for_each_bin(const Volume& in, const Volume& out, F&& f) {
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
    const IntTriple begin = {bin_begin(d, in.d, out.d), bin_begin(h, in.h, out.h), bin_begin(w, in.w, out.w)};
    const IntTriple size = {bin_end(d, in.d, out.d) - begin.d, bin_end(h, in.h, out.h) - begin.h,
                            bin_end(w, in.w, out.w) - begin.w};
    f(out.place(n, c, d, h, w), in.place(n, c, 0, 0, 0), begin, size);
  });
}

Status adaptive_avg_pool(const Call& call, std::size_t spatial) {
  const Volume in(call.input().shape, spatial);
  for_each_bin(in, Volume(call.output().shape, spatial),
               [&](std::size_t place, std::size_t plane, const IntTriple& begin, const IntTriple& size) {
                 double sum = 0;
                 for_each_in(size, [&](std::int64_t d, std::int64_t h, std::int64_t w) {
                   sum += call.input().values[plane + in.place(0, 0, begin.d + d, begin.h + h, begin.w + w)];
                 });
                 call.output().values[place] = sum / static_cast<double>(size.d * size.h * size.w);
               });
  return {};
}

Status adaptive_max_pool(const Call& call, std::size_t spatial) {
  const Volume in(call.input().shape, spatial);
  for_each_bin(in, Volume(call.output().shape, spatial),
               [&](std::size_t place, std::size_t plane, const IntTriple& begin, const IntTriple& size) {
                 Largest largest;
                 for_each_in(size, [&](std::int64_t d, std::int64_t h, std::int64_t w) {
                   const std::size_t inside = in.place(0, 0, begin.d + d, begin.h + h, begin.w + w);
                   largest.offer(call.input().values[plane + inside], inside);
                 });
                 put(call, place, largest);
               });
  return {};
}

// generate_intervals() in ATen/native/FractionalMaxPooling.h: in float32, where the decision shows. The last window
// ends with the input. Samples are between 0 and 1; what others would give is kept inside.
std::int64_t interval(double sample, std::int64_t i, std::int64_t in, std::int64_t out, std::int64_t kernel) {
  const std::int64_t last = in - kernel;
  if (i == out - 1) return last;
  const float alpha = static_cast<float>(last) / static_cast<float>(out - 1);
  const auto clipped = [&](float place) -> std::int64_t {
    if (std::isnan(place) || place < 0) return 0;
    const float most = static_cast<float>(last) + 1;
    return place >= most + 1 ? last + 1 : static_cast<std::int64_t>(place);
  };
  const auto given = static_cast<float>(sample);
  return std::clamp<std::int64_t>(clipped((static_cast<float>(i) + given) * alpha) - clipped(given * alpha), 0, last);
}

// Each picture and channel has a sample for each dimension: width, height of pictures, depth, height, width of volumes.
template <class Pool>
Status fractional_max_pool(const Pool& op, const Call& call) {
  const std::size_t spatial = spatial_of(op.kernel_size);
  const Volume in(call.input().shape, spatial);
  const Volume out(call.output().shape, spatial);
  const IntTriple kernel = spread(op.kernel_size, 1);
  for_each_place(out, [&](std::int64_t n, std::int64_t c, std::int64_t od, std::int64_t oh, std::int64_t ow) {
    const double* const samples = call.input(1).values.data() + at(n * in.c + c) * spatial;
    const std::int64_t first_d = spatial == 3 ? interval(samples[0], od, in.d, out.d, kernel.d) : 0;
    const std::int64_t first_h = interval(samples[1], oh, in.h, out.h, kernel.h);
    const std::int64_t first_w = interval(spatial == 3 ? samples[2] : samples[0], ow, in.w, out.w, kernel.w);
    Largest largest;
    for_each_in(kernel, [&](std::int64_t kd, std::int64_t kh, std::int64_t kw) {
      const std::int64_t d = first_d + kd;
      const std::int64_t h = first_h + kh;
      const std::int64_t w = first_w + kw;
      largest.offer(call.input().values[in.place(n, c, d, h, w)], at((d * in.h + h) * in.w + w));
    });
    put(call, out.place(n, c, od, oh, ow), largest);
  });
  return {};
}

// Zeros but for the values, each where its index says. Of two with one index the last stays.
Status max_unpool(const Call& call, std::size_t spatial) {
  const ConstArray values = call.input(0);
  const ConstArray indices = call.input(1);
  const std::span<double> y = call.output().values;
  std::fill(y.begin(), y.end(), 0.0);
  const std::size_t in_plane = count_of(values.shape.last(spatial));
  const std::size_t out_plane = count_of(call.output().shape.last(spatial));
  for (std::size_t i = 0; i < values.values.size(); ++i) {
    const double index = indices.values[i];
    if (!(index >= 0 && index < static_cast<double>(out_plane))) {
      return index_outside(static_cast<std::int64_t>(index), static_cast<std::int64_t>(out_plane));
    }
    y[i / in_plane * out_plane + static_cast<std::size_t>(index)] = values.values[i];
  }
  return {};
}

}  // namespace

Status compute(const MaxPool1d& op, const Call& call) {
  return max_pool(op, call);
}
Status compute(const MaxPool2d& op, const Call& call) {
  return max_pool(op, call);
}
Status compute(const MaxPool3d& op, const Call& call) {
  return max_pool(op, call);
}
Status compute(const AvgPool1d& op, const Call& call) {
  return avg_pool(op, call);
}
Status compute(const AvgPool2d& op, const Call& call) {
  return avg_pool(op, call);
}
Status compute(const AvgPool3d& op, const Call& call) {
  return avg_pool(op, call);
}
Status compute(const LPPool1d& op, const Call& call) {
  return lp_pool(op, call);
}
Status compute(const LPPool2d& op, const Call& call) {
  return lp_pool(op, call);
}
Status compute(const LPPool3d& op, const Call& call) {
  return lp_pool(op, call);
}
Status compute(const AdaptiveAvgPool1d&, const Call& call) {
  return adaptive_avg_pool(call, 1);
}
Status compute(const AdaptiveAvgPool2d&, const Call& call) {
  return adaptive_avg_pool(call, 2);
}
Status compute(const AdaptiveAvgPool3d&, const Call& call) {
  return adaptive_avg_pool(call, 3);
}
Status compute(const AdaptiveMaxPool1d&, const Call& call) {
  return adaptive_max_pool(call, 1);
}
Status compute(const AdaptiveMaxPool2d&, const Call& call) {
  return adaptive_max_pool(call, 2);
}
Status compute(const AdaptiveMaxPool3d&, const Call& call) {
  return adaptive_max_pool(call, 3);
}
Status compute(const FractionalMaxPool2d& op, const Call& call) {
  return fractional_max_pool(op, call);
}
Status compute(const FractionalMaxPool3d& op, const Call& call) {
  return fractional_max_pool(op, call);
}
Status compute(const MaxUnpool1d&, const Call& call) {
  return max_unpool(call, 1);
}
Status compute(const MaxUnpool2d&, const Call& call) {
  return max_unpool(call, 2);
}
Status compute(const MaxUnpool3d&, const Call& call) {
  return max_unpool(call, 3);
}

}  // namespace rushlight::runtime::reference
