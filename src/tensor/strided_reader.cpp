#include "tensor/strided_reader.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace rushlight {
namespace {

// A run of elements `stride` bytes apart, packed. The element size is a constant, so that memcpy becomes one load.
template <std::size_t kBytes>
void pack(const std::byte* from, std::int64_t stride_bytes, std::byte* to, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(to, from, kBytes);
    from += stride_bytes;
    to += kBytes;
  }
}

void pack_run(const std::byte* from, std::int64_t stride_bytes, std::byte* to, std::size_t count,
              std::size_t element_bytes) noexcept {
  if (stride_bytes == static_cast<std::int64_t>(element_bytes)) {
    std::memcpy(to, from, count * element_bytes);
    return;
  }
  switch (element_bytes) {
    case 1:
      return pack<1>(from, stride_bytes, to, count);
    case 2:
      return pack<2>(from, stride_bytes, to, count);
    case 4:
      return pack<4>(from, stride_bytes, to, count);
    case 8:
      return pack<8>(from, stride_bytes, to, count);
    default:
      return pack<16>(from, stride_bytes, to, count);
  }
}

// Negation of a floating-point number of any width is its sign bit, NaN included.
template <class Bits>
void flip_signs(std::byte* data, std::size_t count, std::size_t first, std::size_t step) noexcept {
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  for (std::size_t i = first; i < count; i += step) {
    Bits bits;
    std::memcpy(&bits, data + i * sizeof bits, sizeof bits);
    bits = static_cast<Bits>(bits ^ kSign);
    std::memcpy(data + i * sizeof bits, &bits, sizeof bits);
  }
}

void flip_signs(std::byte* data, std::size_t count, std::size_t width, std::size_t first, std::size_t step) noexcept {
  switch (width) {
    case 1:
      return flip_signs<std::uint8_t>(data, count, first, step);
    case 2:
      return flip_signs<std::uint16_t>(data, count, first, step);
    case 4:
      return flip_signs<std::uint32_t>(data, count, first, step);
    default:
      return flip_signs<std::uint64_t>(data, count, first, step);
  }
}

template <class Bits>
void negate_integers(std::byte* data, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * sizeof bits, sizeof bits);
    bits = static_cast<Bits>(Bits{0} - bits);
    std::memcpy(data + i * sizeof bits, &bits, sizeof bits);
  }
}

void negate_integers(std::byte* data, std::size_t count, std::size_t width) noexcept {
  switch (width) {
    case 1:
      return negate_integers<std::uint8_t>(data, count);
    case 2:
      return negate_integers<std::uint16_t>(data, count);
    case 4:
      return negate_integers<std::uint32_t>(data, count);
    default:
      return negate_integers<std::uint64_t>(data, count);
  }
}

void resolve(std::byte* data, std::size_t count, DType dtype, bool conj, bool neg) noexcept {
  const std::size_t bytes = size_bytes(dtype);
  switch (info(dtype).kind) {
    case DTypeKind::complex:
      // Both bits negate the imaginary part, so together they leave it alone.
      if (neg) flip_signs(data, 2 * count, bytes / 2, 0, 2);
      if (neg != conj) flip_signs(data, 2 * count, bytes / 2, 1, 2);
      return;
    case DTypeKind::real:
      if (neg) flip_signs(data, count, bytes, 0, 1);
      return;
    default:
      if (neg) negate_integers(data, count, bytes);
      return;
  }
}

bool can_negate(DType dtype) noexcept {
  switch (info(dtype).kind) {
    case DTypeKind::integer:
    case DTypeKind::natural:
    case DTypeKind::complex:
      return true;
    case DTypeKind::real:
      // Without a sign (e8m0), with two values in a byte, or where the code of minus zero is the NaN ("fnuz").
      return dtype != DType::f8_e8m0fnu && dtype != DType::f4_e2m1fn_x2 && dtype != DType::f8_e5m2fnuz &&
             dtype != DType::f8_e4m3fnuz;
    default:
      return false;
  }
}

}  // namespace

Status check_bits(DType dtype, bool conj, bool neg) {
  if (conj && info(dtype).kind != DTypeKind::complex) {
    return Error::of({.category = Category::tensor,
                      .code = "TENSOR-CONJ",
                      .message = "the conjugate bit is set on a tensor of " + std::string(to_string(dtype)),
                      .found = std::string(to_string(dtype)),
                      .expected = "a complex dtype"});
  }
  if (neg && !can_negate(dtype)) {
    return Error::of({.category = Category::tensor,
                      .code = "TENSOR-NEG",
                      .message = "the negative bit is set on a tensor of " + std::string(to_string(dtype)),
                      .found = std::string(to_string(dtype)),
                      .expected = "a dtype that can be negated"});
  }
  return {};
}

StridedReader::StridedReader(const std::byte* first, DType dtype, std::span<const std::int64_t> shape,
                             std::span<const std::int64_t> strides, bool conj, bool neg) noexcept
    : first_(first), dtype_(dtype), conj_(conj), neg_(neg), element_bytes_(size_bytes(dtype)) {
  const auto width = static_cast<std::int64_t>(element_bytes_);
  // From the innermost outwards: a dimension that goes on where the one inside it ends is part of it.
  bool any = false;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    const Dim dim{shape[i], strides[i] * width};
    Dim& inside = outer_count_ > 0 ? outer_[outer_count_ - 1] : inner_;
    if (!any) {
      inner_ = dim;
      any = true;
    } else if (dim.stride_bytes == inside.stride_bytes * inside.size) {
      inside.size *= dim.size;
    } else {
      index_[outer_count_] = 0;
      outer_[outer_count_++] = dim;
    }
  }
}

void StridedReader::advance() noexcept {
  inner_index_ = 0;
  for (std::size_t i = 0; i < outer_count_; ++i) {
    row_ += outer_[i].stride_bytes;
    if (++index_[i] < outer_[i].size) return;
    row_ -= outer_[i].stride_bytes * outer_[i].size;
    index_[i] = 0;
  }
}

void StridedReader::read(std::byte* out, std::size_t count) noexcept {
  std::byte* to = out;
  for (std::size_t left = count; left > 0;) {
    const auto run = std::min(left, static_cast<std::size_t>(inner_.size - inner_index_));
    pack_run(first_ + (row_ + inner_index_ * inner_.stride_bytes), inner_.stride_bytes, to, run, element_bytes_);
    to += run * element_bytes_;
    left -= run;
    inner_index_ += static_cast<std::int64_t>(run);
    if (inner_index_ == inner_.size) advance();
  }
  if (conj_ || neg_) resolve(out, count, dtype_, conj_, neg_);
}

}  // namespace rushlight
