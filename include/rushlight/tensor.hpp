/// \file
/// Tensor: a strided view on a Storage, as torch has it. Storage: some memory, read when it is first asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "rushlight/device.hpp"
#include "rushlight/dtype.hpp"
#include "rushlight/export.hpp"
#include "rushlight/result.hpp"

namespace rushlight {

class Memory;  // src/tensor/memory.hpp: host, mapped record, device

/// Sizes, outermost dimension first; empty for a scalar. Elements are >= 0.
using Shape = std::vector<std::int64_t>;
/// Steps in elements, one per dimension, >= 0 (0 for expanded dimensions).
using Strides = std::vector<std::int64_t>;

/// The C-order strides of a shape. Sizes must be >= 0 and their product within int64 (asserted).
RUSHLIGHT_API Strides contiguous_strides(std::span<const std::int64_t> shape);

/// What is known about the bytes of a storage. States are never conflated.
enum class Integrity : std::uint8_t {
  not_checked,   ///< nobody has read the bytes yet, or checks are off
  verified,      ///< the CRC-32 of the file fits
  mismatch,      ///< it does not: reading fails with checksum_mismatch unless Checksums::ignore
  not_computed,  ///< the writer stored no checksum
  none,          ///< memory that never had one (made here, or a legacy file)
};
RUSHLIGHT_API std::string_view to_string(Integrity integrity) noexcept;

/// Where in a file something begins.
struct FilePlace {
  std::string_view file{};   ///< Source::name()
  std::uint64_t offset = 0;  ///< bytes from the start of the file
};

/// A block of bytes that tensors view. A handle: copies share the block. May be used from several threads at once.
class RUSHLIGHT_API Storage {
 public:
  explicit Storage(std::shared_ptr<Memory> memory) noexcept;

  /// Size in bytes, as declared; known without reading.
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;
  /// Where the bytes are.
  [[nodiscard]] Device device() const noexcept;
  /// Where the file says they were: "cpu", "cuda:1", "mps". Data, never acted on unless map_location asks for it.
  [[nodiscard]] std::string_view recorded_device() const noexcept;
  /// The record that holds the bytes ("data/3"), or empty.
  [[nodiscard]] std::string_view record() const noexcept;
  /// Where the bytes begin in their file, as they are stored there (deflated, perhaps, or big-endian); valid while any
  /// handle lives. Of a zip archive it may take a look at the record's local header. nullopt: memory that came from no
  /// file, chunks of a distributed checkpoint, what lies inside a deflated record.
  [[nodiscard]] std::optional<FilePlace> place() const;
  [[nodiscard]] Integrity integrity() const noexcept;

  /// The bytes, for host memory: read, inflated, checked once at the first call (thread-safe), aligned to 16 bytes (the
  /// caller's blobs: as they are), valid while any handle to this storage lives. ErrorCode::device for memory on a
  /// device, ::checksum_mismatch, ::io.
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const;
  /// Writable bytes: only for memory made here or lent by the caller; ErrorCode::invalid_argument for file memory.
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() const;

  /// True when both are handles to one block.
  friend bool operator==(const Storage& a, const Storage& b) noexcept { return a.memory_ == b.memory_; }

  /// For the library's own layers.
  [[nodiscard]] const std::shared_ptr<Memory>& memory() const noexcept { return memory_; }

 private:
  std::shared_ptr<Memory> memory_;
};

/// What a tensor was in Python; decides `class` in listings and how it is written back.
enum class TensorClass : std::uint8_t { tensor, parameter, buffer };

struct Quantizer;

/// What a tensor is, besides its bytes.
struct TensorOptions {
  bool requires_grad = false;
  TensorClass tensor_class = TensorClass::tensor;
  bool conj = false;                             ///< the storage holds the conjugate of the values
  bool neg = false;                              ///< the storage holds the negated values
  std::shared_ptr<const Quantizer> quantizer{};  ///< of tensors of codes: what the codes mean
};

/// A strided view. A handle: copying is cheap, copies view the same storage, and a tensor outlives the Checkpoint it
/// came from. Immutable apart from mutable_bytes(); const members may be called from several threads at once.
class RUSHLIGHT_API Tensor {
 public:
  /// An empty float32 tensor of shape [0].
  Tensor();
  /// A zero-filled tensor in C order. ErrorCode::out_of_memory, ::invalid_argument (negative size, overflow).
  static Result<Tensor> zeros(DType dtype, Shape shape);
  /// A copy of values in C order.
  template <class T>
  static Result<Tensor> from_values(std::span<const T> values, Shape shape) {
    return from_bytes(std::as_bytes(values), dtype_of<T>::value, std::move(shape));
  }
  /// A copy of raw elements in C order, little-endian; bytes.size() must fit the shape.
  static Result<Tensor> from_bytes(std::span<const std::byte> bytes, DType dtype, Shape shape);
  /// A view on the caller's memory, without a copy: `size_bytes` bytes at `data`, aligned for the dtype.
  /// `deleter(data)` runs after the last use, and not at all when this fails; without one the caller keeps the memory
  /// alive. Strides default to C order.
  static Result<Tensor> from_blob(void* data, std::uint64_t size_bytes, DType dtype, Shape shape, Strides strides = {},
                                  std::function<void(void*)> deleter = nullptr);
  /// Any view on a storage; the geometry is checked against it. storage_offset and strides are in elements.
  static Result<Tensor> view(Storage storage, DType dtype, Shape shape, Strides strides, std::int64_t storage_offset,
                             TensorOptions options = {});

  [[nodiscard]] DType dtype() const noexcept;
  [[nodiscard]] Device device() const noexcept;
  [[nodiscard]] std::span<const std::int64_t> shape() const noexcept;
  [[nodiscard]] std::span<const std::int64_t> strides() const noexcept;
  [[nodiscard]] std::int64_t storage_offset() const noexcept;
  [[nodiscard]] std::int64_t dim() const noexcept { return static_cast<std::int64_t>(shape().size()); }
  /// Number of elements: the product of the shape, which counts storage units, but for quint4x2 and quint2x4 values.
  [[nodiscard]] std::int64_t numel() const noexcept;
  /// numel() x element size (values that share a byte count once): the logical size, whatever the storage holds.
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;
  /// C order without gaps (dimensions of size 1 do not count), as torch's is_contiguous().
  [[nodiscard]] bool is_contiguous() const noexcept;
  [[nodiscard]] const TensorOptions& options() const noexcept;
  [[nodiscard]] const Storage& storage() const noexcept;
  [[nodiscard]] bool shares_storage_with(const Tensor& other) const noexcept { return storage() == other.storage(); }

  /// The bytes from the first element to one past the last in memory (gaps of strided views included); empty when
  /// numel() is 0. Reads and checks the storage at the first call; see Storage::bytes().
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const;
  /// As bytes(), writable; see Storage::mutable_bytes().
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() const;
  /// The elements in C order: dtype must be T's, the tensor contiguous, neither conj nor neg set.
  template <class T>
  [[nodiscard]] Result<std::span<const T>> values() const {
    Result<std::span<const std::byte>> raw = dense_bytes(dtype_of<T>::value);
    if (!raw) return std::move(raw).error();
    return std::span<const T>(reinterpret_cast<const T*>(raw->data()), raw->size() / sizeof(T));
  }

  /// Itself when contiguous and plain; otherwise a C-order copy with conj and neg resolved. Refuses to expand beyond
  /// `max_bytes` (stride-0 views of a few bytes can claim terabytes).
  [[nodiscard]] Result<Tensor> contiguous(std::uint64_t max_bytes = std::uint64_t{1} << 40) const;
  /// Element conversion as torch does it (format-spec/04, section 5), in C order; to its own dtype it is contiguous().
  /// ErrorCode::unsupported names a pair that is not built.
  [[nodiscard]] Result<Tensor> to(DType dtype) const;
  /// The float32 values that the codes of a quantised tensor stand for, in C order, as torch's dequantize(): one
  /// product and one difference each, in float32 where one scale holds for all, in double where each channel has its
  /// own. ErrorCode::invalid_argument when it has no quantizer.
  [[nodiscard]] Result<Tensor> dequantize() const;
  /// A copy on another device (itself when already there): the elements alone, in C order, where they come from the
  /// host. ErrorCode::device when there is no such device.
  [[nodiscard]] Result<Tensor> to(Device device) const;

  struct Impl;  ///< opaque

 private:
  explicit Tensor(std::shared_ptr<const Impl> impl) noexcept;
  [[nodiscard]] Result<std::span<const std::byte>> dense_bytes(DType expected) const;

  std::shared_ptr<const Impl> impl_;
};

/// What the codes of a quantised tensor mean: value = (code - zero point) * scale.
struct Quantizer {
  /// torch.qscheme; the symmetric ones differ in how they were chosen, not in what they mean.
  enum class Scheme : std::uint8_t {
    per_tensor_affine,
    per_tensor_symmetric,
    per_channel_affine,
    per_channel_symmetric,
    per_channel_affine_float_qparams,  ///< zero points are float32, as are the scales
  };
  Scheme scheme = Scheme::per_tensor_affine;
  double scale = 1;             ///< per tensor
  std::int64_t zero_point = 0;  ///< per tensor
  Tensor scales{};              ///< per channel: [shape[axis]], float64 (float32 with float zero points)
  Tensor zero_points{};         ///< per channel: the same shape, int64 or float32
  std::int64_t axis = 0;        ///< per channel

  [[nodiscard]] bool is_per_channel() const noexcept { return scheme >= Scheme::per_channel_affine; }
};
/// "per_tensor_affine", ...
RUSHLIGHT_API std::string_view to_string(Quantizer::Scheme scheme) noexcept;

/// A borrowed view for Session::run: no ownership, no allocation.
struct TensorView {
  const void* data = nullptr;  ///< aligned for the dtype; on `device`
  DType dtype = DType::f32;
  std::span<const std::int64_t> shape{};
  Device device = Device::cpu();
};

/// As TensorView, for outputs.
struct MutableTensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  std::span<const std::int64_t> shape{};
  Device device = Device::cpu();
};

}  // namespace rushlight
