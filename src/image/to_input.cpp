#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fail.hpp"
#include "image/geometry.hpp"
#include "rushlight/image.hpp"

namespace rushlight {
namespace {

using image::bad_argument;
using image::Geometry;
using image::shape_text;

float grey_of(std::uint8_t red, std::uint8_t green, std::uint8_t blue) noexcept {
  return image::luma(red, green, blue);
}
// The same weights without the rounding.
float grey_of(float red, float green, float blue) noexcept {
  const double sum =
      static_cast<double>(red) * 19595 + static_cast<double>(green) * 38470 + static_cast<double>(blue) * 7471;
  return static_cast<float>(sum / 65536);
}

// float32 arithmetic in torchvision's order (ToTensor, then Normalize), so that results are equal bit for bit.
struct Normalise {
  float scale;
  float mean;
  float std;
  [[nodiscard]] float operator()(float value) const noexcept { return (value / scale - mean) / std; }
};

template <class T>
void fill(std::span<const T> pixels, const Geometry& from, std::int64_t channels, std::span<const Normalise> normalise,
          std::span<float> out) {
  const std::size_t plane = from.plane();
  const auto from_channels = static_cast<std::size_t>(from.channels);
  std::size_t at = 0;
  for (std::size_t item = 0; item < static_cast<std::size_t>(from.items); ++item) {
    const std::span<const T> planes = pixels.subspan(item * from_channels * plane, from_channels * plane);
    for (std::size_t channel = 0; channel < static_cast<std::size_t>(channels); ++channel) {
      const Normalise& step = normalise[channel];
      if (from.channels == 3 && channels == 1) {
        for (std::size_t i = 0; i < plane; ++i) {
          out[at++] = step(grey_of(planes[i], planes[plane + i], planes[2 * plane + i]));
        }
      } else {
        const T* source = planes.data() + (from.channels == 1 ? 0 : channel * plane);
        for (std::size_t i = 0; i < plane; ++i) out[at++] = step(static_cast<float>(source[i]));
      }
    }
  }
}

// One for each channel; none where there are no pixels, whose shape may claim any number of channels.
Result<std::vector<Normalise>> steps(const Preprocessing& preprocessing, std::int64_t channels, bool any_pixels) {
  const auto count = static_cast<std::size_t>(channels);
  if (!std::isfinite(preprocessing.scale) || preprocessing.scale == 0) {
    return bad_argument("scale: expected a number other than 0");
  }
  const auto check = [&](const char* name, const std::vector<double>& values, bool divides) -> Status {
    if (!values.empty() && values.size() != 1 && values.size() != count) {
      return bad_argument(std::string(name) + ": expected " + (count == 1 ? "" : "1 or ") + std::to_string(count) +
                          (count == 1 ? " number" : " numbers") + ", found " + std::to_string(values.size()));
    }
    for (const double value : values) {
      if (!std::isfinite(value) || (divides && value == 0)) {
        return bad_argument(std::string(name) + (divides ? ": expected numbers other than 0" : ": expected numbers"));
      }
    }
    return {};
  };
  RUSHLIGHT_TRY(check("mean", preprocessing.mean, false));
  RUSHLIGHT_TRY(check("std", preprocessing.std, true));
  const auto pick = [](const std::vector<double>& values, std::size_t channel, double none) {
    if (values.empty()) return static_cast<float>(none);
    return static_cast<float>(values[values.size() == 1 ? 0 : channel]);
  };
  std::vector<Normalise> result;
  if (!any_pixels) return result;
  for (std::size_t channel = 0; channel < count; ++channel) {
    result.push_back({static_cast<float>(preprocessing.scale), pick(preprocessing.mean, channel, 0),
                      pick(preprocessing.std, channel, 1)});
  }
  return result;
}

}  // namespace

Result<Tensor> to_input(const Tensor& pixels, const Preprocessing& preprocessing, std::int64_t channels) {
  const std::optional<Geometry> from = image::geometry(pixels.shape());
  if (!from) {
    return bad_argument("pixels: expected [N, C, H, W], or less, found " + shape_text(pixels.shape()));
  }
  if (channels < 0) return bad_argument("channels: expected at least 0, found " + std::to_string(channels));
  if (channels == 0) channels = from->channels;
  const bool convertible = (from->channels == 3 && channels == 1) || (from->channels == 1 && channels == 3);
  if (channels != from->channels && !convertible) {
    return bad_argument("pixels: expected " + std::to_string(channels) + (channels == 1 ? " channel" : " channels") +
                        ", found " + std::to_string(from->channels) + " in " + shape_text(pixels.shape()));
  }
  RUSHLIGHT_TRY_ASSIGN(const std::vector<Normalise> normalise, steps(preprocessing, channels, pixels.numel() != 0));

  RUSHLIGHT_TRY_ASSIGN(Tensor input, Tensor::zeros(DType::f32, {from->items, channels, from->height, from->width}));
  if (input.numel() == 0) return input;
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, input.mutable_bytes());
  const std::span<float> out(reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float));
  if (pixels.dtype() == DType::u8) {
    RUSHLIGHT_TRY_ASSIGN(const Tensor dense, pixels.contiguous());
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::uint8_t> values, dense.values<std::uint8_t>());
    fill(values, *from, channels, normalise, out);
  } else {
    RUSHLIGHT_TRY_ASSIGN(const Tensor floats, pixels.to(DType::f32));
    RUSHLIGHT_TRY_ASSIGN(const Tensor dense, floats.contiguous());
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, dense.values<float>());
    fill(values, *from, channels, normalise, out);
  }
  return input;
}

}  // namespace rushlight
