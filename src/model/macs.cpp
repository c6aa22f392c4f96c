#include "model/macs.hpp"

#include <limits>
#include <type_traits>

#include "base/checked.hpp"
#include "model/visit_operator.hpp"

namespace rushlight::model {
namespace {

std::int64_t saturating_mul(std::int64_t a, std::int64_t b) noexcept {
  return checked_mul(a, b).value_or(std::numeric_limits<std::int64_t>::max());
}

// 0 where a size is not known. Shape inference has checked that the product fits.
std::int64_t elements(std::span<const std::int64_t> shape) noexcept {
  std::int64_t product = 1;
  for (const std::int64_t size : shape) {
    if (size == -1) return 0;
    product *= size;
  }
  return product;
}

template <class Op>
constexpr bool kIsConvolution = std::is_same_v<Op, Conv1d> || std::is_same_v<Op, Conv2d> || std::is_same_v<Op, Conv3d>;
template <class Op>
constexpr bool kIsTransposed =
    std::is_same_v<Op, ConvTranspose1d> || std::is_same_v<Op, ConvTranspose2d> || std::is_same_v<Op, ConvTranspose3d>;

}  // namespace

std::int64_t macs_of(const Operator& op, std::span<const std::int64_t> input,
                     std::span<const std::int64_t> output) noexcept {
  std::int64_t macs = 0;
  visit_operator(op, [&](const auto& row) {
    using Op = std::decay_t<decltype(row)>;
    if constexpr (kIsConvolution<Op>) {
      macs = saturating_mul(elements(output), row.in_channels / row.groups * taps(row.kernel_size));
    } else if constexpr (kIsTransposed<Op>) {
      macs = saturating_mul(elements(input), row.out_channels / row.groups * taps(row.kernel_size));
    } else if constexpr (std::is_same_v<Op, Linear>) {
      macs = saturating_mul(elements(output), row.in_features);
    } else if constexpr (std::is_same_v<Op, Bilinear>) {
      macs = saturating_mul(elements(output), saturating_mul(row.in1_features, row.in2_features));
    } else if constexpr (std::is_same_v<Op, MatMul> || std::is_same_v<Op, Bmm>) {
      if (!input.empty() && input.back() > 0) macs = saturating_mul(elements(output), input.back());
    }
  });
  return macs;
}

}  // namespace rushlight::model
