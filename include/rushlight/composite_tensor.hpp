/// \file
/// Tensors that are made of several: sparse and nested ones. Their parts are ordinary tensors with names.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/export.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// torch.layout, and the two layouts of nested tensors.
enum class Layout : std::uint8_t {
  sparse_coo,  ///< indices [sparse_dim, nnz] int64, values [nnz, dense sizes...]
  sparse_csr,  ///< crow_indices, col_indices, values
  sparse_csc,  ///< ccol_indices, row_indices, values
  sparse_bsr,  ///< as CSR, values are blocks
  sparse_bsc,  ///< as CSC, values are blocks
  strided,     ///< nested: buffer, sizes, strides, offsets
  jagged,      ///< nested: values, offsets, perhaps lengths
};
/// "sparse_coo", "jagged", ...
RUSHLIGHT_API std::string_view to_string(Layout layout) noexcept;

/// A sparse or nested tensor. A value type: cheap to copy, its parts share their storages. Immutable.
class RUSHLIGHT_API CompositeTensor {
 public:
  using Component = std::pair<std::string, Tensor>;

  /// Checks the number, dtypes and shapes of the parts, not yet their bytes: see check_indices().
  /// Sparse: `shape` is that of the whole; the parts are in the order that Layout names.
  static Result<CompositeTensor> sparse(Layout layout, Shape shape, std::vector<Tensor> parts,
                                        TensorOptions options = {});
  /// Nested, of Layout::strided or ::jagged; the parts in the order that Layout names. `ragged_dim` is that of jagged
  /// ones.
  static Result<CompositeTensor> nested(Layout layout, std::vector<Tensor> parts, std::int64_t ragged_dim = 1,
                                        TensorOptions options = {});

  [[nodiscard]] Layout layout() const noexcept;
  [[nodiscard]] bool is_sparse() const noexcept;
  /// Of the values.
  [[nodiscard]] DType dtype() const noexcept;
  /// Of sparse tensors; empty for nested ones, whose rows differ.
  [[nodiscard]] const Shape& shape() const noexcept;
  /// Number of dimensions, for nested ones with that of the batch.
  [[nodiscard]] std::int64_t dim() const noexcept;
  /// Stored values (blocks, for BSR and BSC) of a sparse tensor.
  [[nodiscard]] std::int64_t nnz() const noexcept;
  [[nodiscard]] std::int64_t ragged_dim() const noexcept;
  /// COO only: sorted, and no index twice; false where the file does not say so.
  [[nodiscard]] bool is_coalesced() const noexcept;
  [[nodiscard]] CompositeTensor with_coalesced(bool is_coalesced) const;
  [[nodiscard]] const TensorOptions& options() const noexcept;
  [[nodiscard]] CompositeTensor with_options(TensorOptions options) const;
  /// "indices" and "values" and so on, with their tensors.
  [[nodiscard]] std::span<const Component> components() const noexcept;
  /// nullptr when there is none of that name.
  [[nodiscard]] const Tensor* component(std::string_view name) const noexcept;

  /// Reads the indices and checks what torch's invariants demand: inside the shape, pointers that rise. The error names
  /// the first wrong one. Nested tensors: offsets, sizes and strides within the buffer.
  [[nodiscard]] Status check_indices() const;
  /// The strided tensor a sparse one stands for, duplicates added up. Dtypes: all but quantised, bits and float8,
  /// float4. ErrorCode::unsupported for nested tensors, ::limit_exceeded beyond `max_bytes`.
  [[nodiscard]] Result<Tensor> to_dense(std::uint64_t max_bytes = std::uint64_t{1} << 32) const;

  struct Impl;  ///< opaque

 private:
  explicit CompositeTensor(std::shared_ptr<const Impl> impl) noexcept;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace rushlight
