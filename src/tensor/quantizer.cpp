#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/tensor.hpp"
#include "tensor/layout.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

// The codes of a tensor in C order, whatever their width.
Result<std::vector<std::int64_t>> read_codes(const Tensor& tensor) {
  // Packed codes lie in whole bytes only where nothing is cut out of them.
  RUSHLIGHT_TRY_ASSIGN(const Tensor dense,
                       tensor.contiguous(Limits{}.materialised_bytes + 2 * tensor.storage().size_bytes()));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, dense.bytes());
  std::vector<std::int64_t> codes(static_cast<std::size_t>(tensor.numel()));
  const auto byte_at = [&](std::size_t i) { return std::to_integer<std::uint8_t>(bytes[i]); };
  for (std::size_t i = 0; i < codes.size(); ++i) {
    switch (tensor.dtype()) {
      case DType::qi8:
        codes[i] = static_cast<std::int8_t>(byte_at(i));
        break;
      case DType::qu8:
        codes[i] = byte_at(i);
        break;
      case DType::qi32:
        codes[i] = load_le<std::int32_t>(bytes.data() + 4 * i);
        break;
      case DType::qu4x2:
        codes[i] = byte_at(i / 2) >> (i % 2 * 4) & 0xF;
        break;
      case DType::qu2x4:
        codes[i] = byte_at(i / 4) >> (i % 4 * 2) & 0x3;
        break;
      default:
        break;
    }
  }
  return codes;
}

Error wrong_quantizer(std::string message) {
  return Error::of({.category = Category::tensor, .code = "TENSOR-QUANTIZER", .message = std::move(message)});
}

// Per-channel parameters as doubles, one for each index of the axis.
Result<std::vector<double>> read_parameters(const Tensor& tensor, std::string_view what, std::int64_t channels) {
  if (tensor.dim() != 1 || tensor.numel() != channels) {
    return wrong_quantizer(std::string(what) + ", expected " + std::to_string(channels) + " values, found " +
                           shape_text(tensor.shape()));
  }
  RUSHLIGHT_TRY_ASSIGN(const Tensor wide, tensor.to(DType::f64));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const double> values, wide.values<double>());
  return std::vector<double>(values.begin(), values.end());
}

}  // namespace

std::string_view to_string(Quantizer::Scheme scheme) noexcept {
  constexpr std::array<std::string_view, 5> kNames = {"per_tensor_affine", "per_tensor_symmetric", "per_channel_affine",
                                                      "per_channel_symmetric", "per_channel_affine_float_qparams"};
  return kNames[static_cast<std::size_t>(scheme)];
}

Result<Tensor> Tensor::dequantize() const {
  return or_no_memory([&]() -> Result<Tensor> {
    const std::shared_ptr<const Quantizer> quantizer = options().quantizer;
    if (quantizer == nullptr) {
      return Error::of(
          {.category = Category::argument,
           .code = "ARG-QUANTIZER",
           .message = "the tensor of " + std::string(rushlight::to_string(dtype())) + " is not quantised"});
    }
    RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> codes, read_codes(*this));
    std::vector<float> values(codes.size());
    if (!quantizer->is_per_channel()) {
      const auto scale = static_cast<float>(quantizer->scale);
      for (std::size_t i = 0; i < codes.size(); ++i) {
        // Wraps instead of overflowing where a caller made up a zero point that no file can have.
        const auto difference = static_cast<std::int64_t>(static_cast<std::uint64_t>(codes[i]) -
                                                          static_cast<std::uint64_t>(quantizer->zero_point));
        values[i] = static_cast<float>(difference) * scale;
      }
      return from_values<float>(values, Shape(shape().begin(), shape().end()));
    }
    const auto axis = static_cast<std::size_t>(quantizer->axis);
    if (axis >= shape().size()) return wrong_quantizer("the axis lies outside of the shape");
    const std::int64_t channels = shape()[axis];
    RUSHLIGHT_TRY_ASSIGN(const std::vector<double> scales, read_parameters(quantizer->scales, "scales", channels));
    RUSHLIGHT_TRY_ASSIGN(const std::vector<double> zero_points,
                         read_parameters(quantizer->zero_points, "zero points", channels));
    std::size_t inner = 1;  // elements between neighbours along the axis
    for (std::size_t i = axis + 1; i < shape().size(); ++i) inner *= static_cast<std::size_t>(shape()[i]);
    const bool in_float = quantizer->scheme == Quantizer::Scheme::per_channel_affine_float_qparams;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const std::size_t channel = i / inner % static_cast<std::size_t>(channels);
      if (in_float) {
        values[i] = (static_cast<float>(codes[i]) - static_cast<float>(zero_points[channel])) *
                    static_cast<float>(scales[channel]);
      } else {
        values[i] = static_cast<float>((static_cast<double>(codes[i]) - zero_points[channel]) * scales[channel]);
      }
    }
    return from_values<float>(values, Shape(shape().begin(), shape().end()));
  });
}

}  // namespace rushlight
