#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/limits.hpp"

namespace rushlight {
namespace {

// Elements that are converted to double at a time.
constexpr std::int64_t kPieceElements = 1 << 16;

// The smallest normal number of a dtype; 0 for those without subnormal ones.
double smallest_normal(DType dtype) noexcept {
  switch (dtype) {
    case DType::f16:
    case DType::f8_e5m2:
      return 0x1p-14;
    case DType::bf16:
    case DType::f32:
      return 0x1p-126;
    case DType::f64:
      return std::numeric_limits<double>::min();
    case DType::f8_e4m3fn:
      return 0x1p-6;
    case DType::f8_e5m2fnuz:
      return 0x1p-15;
    case DType::f8_e4m3fnuz:
      return 0x1p-7;
    default:
      return 0;
  }
}

bool has_numbers(DType dtype) noexcept {
  const DTypeInfo& row = info(dtype);
  return row.packed == 1 && (row.kind == DTypeKind::boolean || row.kind == DTypeKind::integer ||
                             row.kind == DTypeKind::natural || row.kind == DTypeKind::real);
}

// Calls `see(span of double)` for the elements of a C-order tensor, piece by piece.
template <class See>
Status for_each_piece(const Tensor& dense, See&& see) {
  for (std::int64_t begin = 0; begin < dense.numel(); begin += kPieceElements) {
    const std::int64_t count = std::min(kPieceElements, dense.numel() - begin);
    RUSHLIGHT_TRY_ASSIGN(const Tensor piece,
                         Tensor::view(dense.storage(), dense.dtype(), {count}, {1}, dense.storage_offset() + begin));
    RUSHLIGHT_TRY_ASSIGN(const Tensor numbers, piece.to(DType::f64));
    RUSHLIGHT_TRY_ASSIGN(const std::span<const double> values, numbers.values<double>());
    see(values);
  }
  return {};
}

}  // namespace

Result<TensorStatistics> statistics(const Tensor& tensor) {
  return or_no_memory([&]() -> Result<TensorStatistics> {
    if (tensor.options().quantizer != nullptr) {
      RUSHLIGHT_TRY_ASSIGN(const Tensor values, tensor.dequantize());
      return statistics(values);
    }
    if (!has_numbers(tensor.dtype())) {
      return Error::of({.category = Category::unsup,
                        .code = "TENSOR-STATISTICS",
                        .message = "there are no statistics of " + std::string(to_string(tensor.dtype())) + " elements",
                        .found = std::string(to_string(tensor.dtype()))});
    }
    const std::uint64_t most = Limits{}.materialised_bytes + 2 * tensor.storage().size_bytes();
    RUSHLIGHT_TRY_ASSIGN(const Tensor dense, tensor.contiguous(most));

    TensorStatistics statistics;
    statistics.count = dense.numel();
    const double normal = smallest_normal(dense.dtype());
    std::int64_t finite = 0;
    double sum = 0;
    double least = std::numeric_limits<double>::infinity();
    double greatest = -std::numeric_limits<double>::infinity();
    RUSHLIGHT_TRY(for_each_piece(dense, [&](std::span<const double> values) {
      for (const double value : values) {
        if (std::isnan(value)) {
          ++statistics.nan;
          continue;
        }
        if (std::isinf(value)) {
          ++statistics.infinite;
          continue;
        }
        ++finite;
        sum += value;
        least = std::min(least, value);
        greatest = std::max(greatest, value);
        if (value == 0) {
          ++statistics.zero;
        } else if (std::fabs(value) < normal) {
          ++statistics.subnormal;
        }
      }
    }));
    if (finite == 0) return statistics;
    statistics.min = least;
    statistics.max = greatest;
    statistics.mean = sum / static_cast<double>(finite);

    const auto bins = static_cast<double>(statistics.histogram.size());
    // Halves, because the difference of the largest numbers overflows.
    const double half_range = greatest / 2 - least / 2;
    double squares = 0;
    RUSHLIGHT_TRY(for_each_piece(dense, [&](std::span<const double> values) {
      for (const double value : values) {
        if (!std::isfinite(value)) continue;
        const double deviation = value - statistics.mean;
        squares += deviation * deviation;
        const double position = half_range > 0 ? (value / 2 - least / 2) / half_range * bins : 0;
        const auto bin = static_cast<std::size_t>(std::min(position, bins - 1));
        ++statistics.histogram[bin];
      }
    }));
    statistics.std = std::sqrt(squares / static_cast<double>(finite));
    return statistics;
  });
}

}  // namespace rushlight
