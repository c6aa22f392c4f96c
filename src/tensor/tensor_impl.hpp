// What a Tensor points at. One allocation holds everything, up to kInlineDims dimensions.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "rushlight/tensor.hpp"
#include "tensor/layout.hpp"

namespace rushlight {

struct Tensor::Impl {
  // Weights of 3-d convolutions; tensors come by the thousand, and each pays for what is here.
  static constexpr std::size_t kInlineDims = 5;

  Storage storage;
  std::int64_t storage_offset = 0;
  std::int64_t numel = 0;
  std::int64_t span = 0;  // elements from the first to one past the last; 0 when numel is 0
  DType dtype = DType::f32;
  bool contiguous = true;
  TensorOptions options;
  std::size_t dims = 0;
  std::array<std::int64_t, 2 * kInlineDims> few;  // sizes, then strides; only 2 * dims of them are written
  std::unique_ptr<std::int64_t[]> many;           // the same, where there are more dimensions

  // The sizes are copied; whoever makes it writes the strides.
  Impl(Storage storage_in, DType dtype_in, std::span<const std::int64_t> shape_in, std::int64_t offset,
       TensorOptions options_in);

  [[nodiscard]] std::int64_t* sizes_and_strides() noexcept { return many ? many.get() : few.data(); }
  void set_strides(std::span<const std::int64_t> values) noexcept {
    std::copy(values.begin(), values.end(), sizes_and_strides() + dims);
  }
  void set_contiguous_strides() noexcept { fill_contiguous_strides(shape(), {sizes_and_strides() + dims, dims}); }
  [[nodiscard]] std::span<const std::int64_t> shape() const noexcept { return {many ? many.get() : few.data(), dims}; }
  [[nodiscard]] std::span<const std::int64_t> strides() const noexcept {
    return {(many ? many.get() : few.data()) + dims, dims};
  }
  [[nodiscard]] bool plain() const noexcept { return contiguous && !options.conj && !options.neg; }

  // As Tensor::view(), without vectors: for whoever makes thousands.
  static Result<Tensor> view(Storage storage, DType dtype, std::span<const std::int64_t> shape,
                             std::span<const std::int64_t> strides, std::int64_t storage_offset,
                             TensorOptions options = {});
  // C order from the start of a storage that is known to hold it all: `shape` went through checked_numel().
  static Tensor dense(Storage storage, DType dtype, std::span<const std::int64_t> shape, std::int64_t numel,
                      TensorOptions options = {});
  // Of a fresh storage on the host.
  static Result<Tensor> make_dense(DType dtype, std::span<const std::int64_t> shape, TensorOptions options = {});
};

// Bytes of `numel` elements: sub-byte values share units.
[[nodiscard]] std::uint64_t dense_size_bytes(DType dtype, std::int64_t numel) noexcept;

// How much a copy may take where the caller sets no limit.
inline constexpr std::uint64_t kMaxCopyBytes = std::uint64_t{1} << 40;
// TENSOR-MATERIALISE (limit): expanded views of a few bytes can claim terabytes.
Status check_copy(const Tensor::Impl& tensor, DType dtype, std::uint64_t max_bytes);

}  // namespace rushlight
