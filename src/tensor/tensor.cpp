#include "rushlight/tensor.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "tensor/layout.hpp"
#include "tensor/memory.hpp"
#include "tensor/strided_reader.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

// What a geometry error means when it is not a file that says so, but the program that calls us.
Error callers_mistake(Error error) {
  if (error.code == ErrorCode::limit_exceeded) return error;
  error.code = ErrorCode::invalid_argument;
  error.finding.category = Category::argument;
  return error;
}

// The tensor that a default-constructed or moved-from handle means. Never destroyed: handles may outlive main().
const std::shared_ptr<const Tensor::Impl>& empty_impl() {
  static const auto& empty = *new std::shared_ptr<const Tensor::Impl>([] {
    auto impl = std::make_shared<Tensor::Impl>(Storage(make_blob_memory(nullptr, 0, nullptr)), DType::f32,
                                               std::array<std::int64_t, 1>{0}, 0, TensorOptions{});
    impl->set_contiguous_strides();
    return impl;
  }());
  return empty;
}

const Tensor::Impl& get(const std::shared_ptr<const Tensor::Impl>& impl) {
  return impl ? *impl : *empty_impl();
}

// The units of the storage that hold the span of a view, in bytes.
struct ByteRange {
  std::size_t offset;
  std::size_t size;
};
ByteRange byte_range(const Tensor::Impl& t) noexcept {
  const auto per_unit = static_cast<std::uint64_t>(values_per_unit(t.dtype));
  const auto width = static_cast<std::uint64_t>(size_bytes(t.dtype));
  const auto begin = static_cast<std::uint64_t>(t.storage_offset) / per_unit;
  const auto last = static_cast<std::uint64_t>(t.storage_offset + t.span - 1) / per_unit;
  return {static_cast<std::size_t>(begin * width), static_cast<std::size_t>((last + 1 - begin) * width)};
}

Error wrong_length(std::uint64_t found, std::uint64_t expected) {
  return Error::of(
      {.category = Category::argument,
       .code = "ARG-SIZE",
       .message = "the tensor's elements take " + std::to_string(expected) + " bytes, found " + std::to_string(found),
       .found = std::to_string(found),
       .expected = std::to_string(expected)});
}

}  // namespace

std::uint64_t dense_size_bytes(DType dtype, std::int64_t numel) noexcept {
  const std::uint64_t per_unit = values_per_unit(dtype);
  return (static_cast<std::uint64_t>(numel) + per_unit - 1) / per_unit * size_bytes(dtype);
}

Status check_copy(const Tensor::Impl& tensor, DType dtype, std::uint64_t max_bytes) {
  const std::uint64_t needed = dense_size_bytes(dtype, tensor.numel);
  if (needed <= max_bytes) return {};
  return Error::of({.category = Category::limit,
                    .code = "TENSOR-MATERIALISE",
                    .message = "a copy in C order of " + shape_text(tensor.shape()) + " takes " +
                               std::to_string(needed) + " bytes, expected at most " + std::to_string(max_bytes) +
                               "; the storage has " + std::to_string(tensor.storage.size_bytes()),
                    .found = std::to_string(needed),
                    .expected = "at most " + std::to_string(max_bytes)});
}

Tensor::Impl::Impl(Storage storage_in, DType dtype_in, std::span<const std::int64_t> shape_in, std::int64_t offset,
                   TensorOptions options_in)
    : storage(std::move(storage_in)),
      storage_offset(offset),
      dtype(dtype_in),
      options(std::move(options_in)),
      dims(shape_in.size()) {
  if (dims > kInlineDims) many = std::make_unique<std::int64_t[]>(2 * dims);
  std::copy(shape_in.begin(), shape_in.end(), sizes_and_strides());
}

Result<Tensor> Tensor::Impl::view(Storage storage, DType dtype, std::span<const std::int64_t> shape,
                                  std::span<const std::int64_t> strides, std::int64_t storage_offset,
                                  TensorOptions options) {
  RUSHLIGHT_TRY_ASSIGN(const Extent extent,
                       check_geometry(dtype, shape, strides, storage_offset, storage.size_bytes()));
  RUSHLIGHT_TRY(check_bits(dtype, options.conj, options.neg));
  auto impl = std::make_shared<Impl>(std::move(storage), dtype, shape, storage_offset, std::move(options));
  impl->set_strides(strides);
  impl->numel = extent.numel;
  impl->span = extent.span;
  impl->contiguous = rushlight::is_contiguous(shape, strides);
  return Tensor(std::move(impl));
}

Tensor Tensor::Impl::dense(Storage storage, DType dtype, std::span<const std::int64_t> shape, std::int64_t numel,
                           TensorOptions options) {
  options.conj = false;
  options.neg = false;
  auto impl = std::make_shared<Impl>(std::move(storage), dtype, shape, 0, std::move(options));
  impl->set_contiguous_strides();
  impl->numel = numel;
  impl->span = numel;
  return Tensor(std::move(impl));
}

Result<Tensor> Tensor::Impl::make_dense(DType dtype, std::span<const std::int64_t> shape, TensorOptions options) {
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t numel, checked_numel(shape));
  // No more than int64 can count, so that dense_size_bytes() cannot wrap.
  RUSHLIGHT_TRY(check_geometry(dtype, shape, contiguous_strides(shape), 0, ~std::uint64_t{0}));
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> memory, make_host_memory(dense_size_bytes(dtype, numel)));
  return dense(Storage(std::move(memory)), dtype, shape, numel, options);
}

Tensor::Tensor() : impl_(empty_impl()) {}

Tensor::Tensor(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Result<Tensor> Tensor::zeros(DType dtype, Shape shape) {
  return or_no_memory([&]() -> Result<Tensor> {
    Result<Tensor> made = Impl::make_dense(dtype, shape);
    if (!made && made.error().code != ErrorCode::out_of_memory) return callers_mistake(std::move(made).error());
    return made;
  });
}

Result<Tensor> Tensor::from_bytes(std::span<const std::byte> bytes, DType dtype, Shape shape) {
  return or_no_memory([&]() -> Result<Tensor> {
    // Before any memory is asked for: the bytes are what bounds it.
    Result<std::int64_t> numel = checked_numel(shape);
    if (!numel) return callers_mistake(std::move(numel).error());
    const Result<Extent> extent = check_geometry(dtype, shape, contiguous_strides(shape), 0, ~std::uint64_t{0});
    if (!extent) return callers_mistake(extent.error());
    const std::uint64_t needed = dense_size_bytes(dtype, *numel);
    if (bytes.size() != needed) return wrong_length(bytes.size(), needed);
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> memory, make_host_memory(needed));
    RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> out, memory->mutable_bytes());
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return Impl::dense(Storage(std::move(memory)), dtype, shape, *numel);
  });
}

Result<Tensor> Tensor::from_blob(void* data, std::uint64_t size_bytes, DType dtype, Shape shape, Strides strides,
                                 std::function<void(void*)> deleter) {
  return or_no_memory([&]() -> Result<Tensor> {
    if (data == nullptr && size_bytes > 0) {
      return Error::of({.category = Category::argument,
                        .code = "ARG-BLOB",
                        .message = "a blob of " + std::to_string(size_bytes) + " bytes has no address"});
    }
    // Complex numbers are aligned as their halves, the sub-byte kinds as bytes.
    const std::uint32_t unit = rushlight::size_bytes(dtype);
    const std::uint32_t alignment = info(dtype).kind == DTypeKind::complex ? unit / 2 : unit;
    if (reinterpret_cast<std::uintptr_t>(data) % alignment != 0) {
      return Error::of({.category = Category::argument,
                        .code = "ARG-ALIGNMENT",
                        .message = "a blob of " + std::string(rushlight::to_string(dtype)) +
                                   " is not aligned to its elements, expected a multiple of " +
                                   std::to_string(alignment),
                        .expected = "a multiple of " + std::to_string(alignment)});
    }
    // The geometry is checked before the deleter changes hands: memory that was refused stays the caller's.
    const Strides used = strides.empty() && !shape.empty() ? contiguous_strides(shape) : std::move(strides);
    if (const Result<Extent> extent = check_geometry(dtype, shape, used, 0, size_bytes); !extent) {
      return callers_mistake(extent.error());
    }
    return Impl::view(Storage(make_blob_memory(data, size_bytes, std::move(deleter))), dtype, shape, used, 0);
  });
}

Result<Tensor> Tensor::view(Storage storage, DType dtype, Shape shape, Strides strides, std::int64_t storage_offset,
                            TensorOptions options) {
  return or_no_memory([&]() -> Result<Tensor> {
    return Impl::view(std::move(storage), dtype, shape, strides, storage_offset, options);
  });
}

DType Tensor::dtype() const noexcept {
  return get(impl_).dtype;
}

Device Tensor::device() const noexcept {
  return get(impl_).storage.device();
}

std::span<const std::int64_t> Tensor::shape() const noexcept {
  return get(impl_).shape();
}

std::span<const std::int64_t> Tensor::strides() const noexcept {
  return get(impl_).strides();
}

std::int64_t Tensor::storage_offset() const noexcept {
  return get(impl_).storage_offset;
}

std::int64_t Tensor::numel() const noexcept {
  return get(impl_).numel;
}

std::uint64_t Tensor::size_bytes() const noexcept {
  return dense_size_bytes(get(impl_).dtype, get(impl_).numel);
}

bool Tensor::is_contiguous() const noexcept {
  return get(impl_).contiguous;
}

const TensorOptions& Tensor::options() const noexcept {
  return get(impl_).options;
}

const Storage& Tensor::storage() const noexcept {
  return get(impl_).storage;
}

Result<std::span<const std::byte>> Tensor::bytes() const {
  return or_no_memory([&]() -> Result<std::span<const std::byte>> {
    const Impl& t = get(impl_);
    if (t.numel == 0) return std::span<const std::byte>{};
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> all, t.storage.bytes());
    const ByteRange range = byte_range(t);
    return all.subspan(range.offset, range.size);
  });
}

Result<std::span<std::byte>> Tensor::mutable_bytes() const {
  return or_no_memory([&]() -> Result<std::span<std::byte>> {
    const Impl& t = get(impl_);
    if (t.numel == 0) return std::span<std::byte>{};
    RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> all, t.storage.mutable_bytes());
    const ByteRange range = byte_range(t);
    return all.subspan(range.offset, range.size);
  });
}

Result<std::span<const std::byte>> Tensor::dense_bytes(DType expected) const {
  return or_no_memory([&]() -> Result<std::span<const std::byte>> {
    const Impl& t = get(impl_);
    if (t.dtype != expected) {
      const std::string found(rushlight::to_string(t.dtype));
      const std::string wanted(rushlight::to_string(expected));
      return Error::of({.category = Category::argument,
                        .code = "ARG-DTYPE",
                        .message = "the tensor holds " + found + ", values of " + wanted + " were asked for",
                        .found = found,
                        .expected = wanted,
                        .hint = "convert it with Tensor::to"});
    }
    if (!t.plain()) {
      return Error::of({.category = Category::argument,
                        .code = "ARG-LAYOUT",
                        .message = t.contiguous ? "the tensor's storage holds conjugated or negated values"
                                                : "the tensor is not contiguous",
                        .hint = "copy it with Tensor::contiguous"});
    }
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> all, bytes());
    // Only the caller's own blobs can be misaligned, seen through another dtype than they were lent for.
    if (reinterpret_cast<std::uintptr_t>(all.data()) % rushlight::size_bytes(expected) != 0) {
      return Error::of({.category = Category::argument,
                        .code = "ARG-ALIGNMENT",
                        .message = "the elements of " + std::string(rushlight::to_string(expected)) +
                                   " are not aligned in the caller's memory"});
    }
    return all;
  });
}

Result<Tensor> Tensor::contiguous(std::uint64_t max_bytes) const {
  return or_no_memory([&]() -> Result<Tensor> {
    const Impl& t = get(impl_);
    const bool whole_units = t.storage_offset % values_per_unit(t.dtype) == 0;
    if (t.plain() && whole_units) return *this;
    RUSHLIGHT_TRY(check_copy(t, t.dtype, max_bytes));
    if (values_per_unit(t.dtype) != 1) {
      return Error::of({.category = Category::unsup,
                        .code = "TENSOR-PACKED",
                        .message = "a view of " + std::string(rushlight::to_string(t.dtype)) +
                                   " whose elements do not start a byte or lie apart cannot be copied"});
    }
    // The bytes first: nothing is allocated for a storage that cannot be read.
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, bytes());
    RUSHLIGHT_TRY_ASSIGN(Tensor copy, Impl::make_dense(t.dtype, t.shape(), t.options));
    if (t.numel == 0) return copy;
    RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, copy.mutable_bytes());
    StridedReader(from.data(), t.dtype, t.shape(), t.strides(), t.options.conj, t.options.neg)
        .read(to.data(), static_cast<std::size_t>(t.numel));
    return copy;
  });
}

}  // namespace rushlight
