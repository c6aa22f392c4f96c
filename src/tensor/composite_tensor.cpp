#include "rushlight/composite_tensor.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "tensor/composite_impl.hpp"
#include "tensor/layout.hpp"

namespace rushlight {
namespace {

using namespace std::string_view_literals;

struct LayoutRow {
  std::string_view name;
  std::array<std::string_view, 4> parts;  // empty: fewer
  std::size_t least_parts;
};
constexpr std::array<LayoutRow, 7> kLayouts = {{
    {"sparse_coo", {"indices", "values"}, 2},
    {"sparse_csr", {"crow_indices", "col_indices", "values"}, 3},
    {"sparse_csc", {"ccol_indices", "row_indices", "values"}, 3},
    {"sparse_bsr", {"crow_indices", "col_indices", "values"}, 3},
    {"sparse_bsc", {"ccol_indices", "row_indices", "values"}, 3},
    {"strided", {"buffer", "sizes", "strides", "offsets"}, 4},
    {"jagged", {"values", "offsets", "lengths"}, 2},
}};
const LayoutRow& row_of(Layout layout) noexcept {
  return kLayouts[static_cast<std::size_t>(layout)];
}

Error wrong(std::string_view what, std::string_view part, std::string expected, std::string found) {
  return Error::of(
      {.category = Category::tensor,
       .code = "TENSOR-COMPONENT",
       .message = std::string(what) + ": " + std::string(part) + ", expected " + expected + ", found " + found,
       .found = std::move(found),
       .expected = std::move(expected)});
}

std::string shape_of(const Tensor& tensor) {
  return shape_text(tensor.shape());
}

Status check_index_dtype(std::string_view what, std::string_view part, const Tensor& tensor, bool also_i32) {
  if (tensor.dtype() == DType::i64 || (also_i32 && tensor.dtype() == DType::i32)) return {};
  return wrong(what, part, also_i32 ? "int64 or int32" : "int64", std::string(to_string(tensor.dtype())));
}

// indices [sparse dims, nnz], values [nnz, dense dims...]: torch/_utils.py, at::_validate_sparse_coo_tensor_args.
Status check_coo(std::span<const std::int64_t> shape, const std::vector<Tensor>& parts) {
  constexpr std::string_view kWhat = "sparse COO tensor";
  const Tensor& indices = parts[0];
  const Tensor& values = parts[1];
  RUSHLIGHT_TRY(check_index_dtype(kWhat, "indices", indices, false));
  if (indices.dim() != 2) return wrong(kWhat, "indices", "2 dimensions", std::to_string(indices.dim()));
  if (values.dim() < 1) return wrong(kWhat, "values", "1 dimension or more", "0");
  const std::int64_t sparse_dim = indices.shape()[0];
  const std::int64_t nnz = indices.shape()[1];
  if (values.shape()[0] != nnz) {
    return wrong(kWhat, "values", "as many as indices, " + std::to_string(nnz), std::to_string(values.shape()[0]));
  }
  const std::int64_t dense_dim = values.dim() - 1;
  if (sparse_dim + dense_dim != static_cast<std::int64_t>(shape.size())) {
    return wrong(kWhat, "size",
                 std::to_string(sparse_dim) + " sparse and " + std::to_string(dense_dim) + " dense dimensions",
                 std::to_string(shape.size()));
  }
  if (!std::equal(values.shape().begin() + 1, values.shape().end(), shape.begin() + sparse_dim)) {
    return wrong(kWhat, "values", "dense sizes of " + shape_text(shape), shape_of(values));
  }
  return {};
}

// Compressed rows or columns, of values or blocks: at::_validate_sparse_compressed_tensor_args. Batches of them have
// further dimensions in front.
Status check_compressed(Layout layout, std::span<const std::int64_t> shape, const std::vector<Tensor>& parts) {
  const std::string what = "sparse " + std::string(to_string(layout).substr(7)) + " tensor";
  const LayoutRow& row = row_of(layout);
  const bool by_rows = layout == Layout::sparse_csr || layout == Layout::sparse_bsr;
  const bool blocks = layout == Layout::sparse_bsr || layout == Layout::sparse_bsc;
  const Tensor& compressed = parts[0];
  const Tensor& plain = parts[1];
  const Tensor& values = parts[2];
  RUSHLIGHT_TRY(check_index_dtype(what, row.parts[0], compressed, true));
  RUSHLIGHT_TRY(check_index_dtype(what, row.parts[1], plain, true));
  if (compressed.dtype() != plain.dtype()) {
    return wrong(what, row.parts[1], std::string(to_string(compressed.dtype())), std::string(to_string(plain.dtype())));
  }
  const std::int64_t batch_dim = compressed.dim() - 1;
  if (batch_dim < 0) return wrong(what, row.parts[0], "1 dimension or more", "0");
  if (plain.dim() != batch_dim + 1) {
    return wrong(what, row.parts[1], std::to_string(batch_dim + 1) + " dimensions", std::to_string(plain.dim()));
  }
  const std::int64_t block_dim = blocks ? 2 : 0;
  const std::int64_t dense_dim = values.dim() - batch_dim - 1 - block_dim;
  if (dense_dim < 0) {
    return wrong(what, "values", std::to_string(batch_dim + 1 + block_dim) + " dimensions or more",
                 std::to_string(values.dim()));
  }
  if (static_cast<std::int64_t>(shape.size()) != batch_dim + 2 + dense_dim) {
    return wrong(what, "size", std::to_string(batch_dim + 2 + dense_dim) + " dimensions", std::to_string(shape.size()));
  }
  const auto batch = static_cast<std::size_t>(batch_dim);
  for (const auto& [name, tensor] :
       {std::pair(row.parts[0], &compressed), std::pair(row.parts[1], &plain), std::pair("values"sv, &values)}) {
    if (!std::equal(shape.begin(), shape.begin() + batch_dim, tensor->shape().begin())) {
      return wrong(what, name, "batch sizes of " + shape_text(shape), shape_of(*tensor));
    }
  }
  const std::int64_t nnz = plain.shape()[batch];
  if (values.shape()[batch] != nnz) {
    return wrong(what, "values", "as many as " + std::string(row.parts[1]) + ", " + std::to_string(nnz),
                 std::to_string(values.shape()[batch]));
  }
  const std::array<std::int64_t, 2> block = {blocks ? values.shape()[batch + 1] : 1,
                                             blocks ? values.shape()[batch + 2] : 1};
  for (std::size_t i = 0; i < 2; ++i) {
    if (block[i] <= 0 || shape[batch + i] % block[i] != 0) {
      return wrong(what, "values", "blocks that divide " + shape_text(shape), shape_of(values));
    }
  }
  const std::size_t compressed_dim = batch + (by_rows ? 0 : 1);
  const std::int64_t pointers = shape[compressed_dim] / block[by_rows ? 0 : 1] + 1;
  if (compressed.shape()[batch] != pointers) {
    return wrong(what, row.parts[0], std::to_string(pointers) + " pointers", std::to_string(compressed.shape()[batch]));
  }
  const auto dense_from = static_cast<std::ptrdiff_t>(values.dim() - dense_dim);
  if (!std::equal(values.shape().begin() + dense_from, values.shape().end(), shape.begin() + batch_dim + 2)) {
    return wrong(what, "values", "dense sizes of " + shape_text(shape), shape_of(values));
  }
  return {};
}

Status check_nested(Layout layout, const std::vector<Tensor>& parts, std::int64_t ragged_dim) {
  constexpr std::string_view kWhat = "nested tensor";
  if (layout == Layout::strided) {
    if (parts[0].dim() != 1) return wrong(kWhat, "buffer", "1 dimension", std::to_string(parts[0].dim()));
    for (std::size_t i = 1; i < parts.size(); ++i) {
      RUSHLIGHT_TRY(check_index_dtype(kWhat, row_of(layout).parts[i], parts[i], false));
    }
    const Tensor& sizes = parts[1];
    // Without a tensor in it, the tables have no second dimension either.
    const bool is_empty = sizes.numel() == 0;
    if (!is_empty && sizes.dim() != 2) return wrong(kWhat, "sizes", "2 dimensions", std::to_string(sizes.dim()));
    if (!std::ranges::equal(sizes.shape(), parts[2].shape())) {
      return wrong(kWhat, "strides", "the shape of sizes, " + shape_of(sizes), shape_of(parts[2]));
    }
    const std::int64_t count = is_empty ? 0 : sizes.shape()[0];
    if (parts[3].numel() != count && !is_empty) {
      return wrong(kWhat, "offsets", std::to_string(count), std::to_string(parts[3].numel()));
    }
    return {};
  }
  for (std::size_t i = 1; i < parts.size(); ++i) {
    RUSHLIGHT_TRY(check_index_dtype(kWhat, row_of(layout).parts[i], parts[i], true));
    if (parts[i].dim() != 1) {
      return wrong(kWhat, row_of(layout).parts[i], "1 dimension", std::to_string(parts[i].dim()));
    }
  }
  if (parts[0].dim() < 1) return wrong(kWhat, "values", "1 dimension or more", "0");
  if (ragged_dim < 1 || ragged_dim > parts[0].dim()) {
    return wrong(kWhat, "ragged dimension", "1 to " + std::to_string(parts[0].dim()), std::to_string(ragged_dim));
  }
  return {};
}

Status check_count(Layout layout, const std::vector<Tensor>& parts) {
  const LayoutRow& row = row_of(layout);
  const auto most = static_cast<std::size_t>(
      std::count_if(row.parts.begin(), row.parts.end(), [](std::string_view name) { return !name.empty(); }));
  if (parts.size() >= row.least_parts && parts.size() <= most) return {};
  return wrong(to_string(layout), "parts", std::to_string(most), std::to_string(parts.size()));
}

std::vector<CompositeTensor::Component> named(Layout layout, std::vector<Tensor> parts) {
  std::vector<CompositeTensor::Component> components;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    components.emplace_back(std::string(row_of(layout).parts[i]), std::move(parts[i]));
  }
  return components;
}

}  // namespace

std::string_view to_string(Layout layout) noexcept {
  return row_of(layout).name;
}

CompositeTensor::CompositeTensor(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Result<CompositeTensor> CompositeTensor::sparse(Layout layout, Shape shape, std::vector<Tensor> parts,
                                                TensorOptions options) {
  return or_no_memory([&]() -> Result<CompositeTensor> {
    if (layout > Layout::sparse_bsc)
      return wrong("sparse tensor", "layout", "a sparse one", std::string(to_string(layout)));
    RUSHLIGHT_TRY(check_count(layout, parts));
    RUSHLIGHT_TRY(checked_numel(shape));
    RUSHLIGHT_TRY(layout == Layout::sparse_coo ? check_coo(shape, parts) : check_compressed(layout, shape, parts));
    auto impl = std::make_shared<Impl>();
    impl->layout = layout;
    impl->dim = static_cast<std::int64_t>(shape.size());
    impl->shape = std::move(shape);
    impl->nnz = parts[layout == Layout::sparse_coo ? 0 : 1].shape().back();
    impl->dtype = parts.back().dtype();
    impl->options = std::move(options);
    impl->components = named(layout, std::move(parts));
    return CompositeTensor(std::move(impl));
  });
}

Result<CompositeTensor> CompositeTensor::nested(Layout layout, std::vector<Tensor> parts, std::int64_t ragged_dim,
                                                TensorOptions options) {
  return or_no_memory([&]() -> Result<CompositeTensor> {
    if (layout != Layout::strided && layout != Layout::jagged) {
      return wrong("nested tensor", "layout", "strided or jagged", std::string(to_string(layout)));
    }
    RUSHLIGHT_TRY(check_count(layout, parts));
    RUSHLIGHT_TRY(check_nested(layout, parts, ragged_dim));
    auto impl = std::make_shared<Impl>();
    impl->layout = layout;
    impl->dtype = parts[0].dtype();
    impl->dim = layout == Layout::jagged ? parts[0].dim() + 1 : parts[1].dim() == 2 ? parts[1].shape()[1] + 1 : 1;
    impl->ragged_dim = ragged_dim;
    impl->options = std::move(options);
    impl->components = named(layout, std::move(parts));
    return CompositeTensor(std::move(impl));
  });
}

Layout CompositeTensor::layout() const noexcept {
  return impl_->layout;
}
bool CompositeTensor::is_sparse() const noexcept {
  return impl_->layout <= Layout::sparse_bsc;
}
DType CompositeTensor::dtype() const noexcept {
  return impl_->dtype;
}
const Shape& CompositeTensor::shape() const noexcept {
  return impl_->shape;
}
std::int64_t CompositeTensor::dim() const noexcept {
  return impl_->dim;
}
std::int64_t CompositeTensor::nnz() const noexcept {
  return impl_->nnz;
}
std::int64_t CompositeTensor::ragged_dim() const noexcept {
  return impl_->ragged_dim;
}
bool CompositeTensor::is_coalesced() const noexcept {
  return impl_->is_coalesced;
}
const TensorOptions& CompositeTensor::options() const noexcept {
  return impl_->options;
}
std::span<const CompositeTensor::Component> CompositeTensor::components() const noexcept {
  return impl_->components;
}

CompositeTensor CompositeTensor::with_coalesced(bool is_coalesced) const {
  auto impl = std::make_shared<Impl>(*impl_);
  impl->is_coalesced = is_coalesced;
  return CompositeTensor(std::move(impl));
}

CompositeTensor CompositeTensor::with_options(TensorOptions options) const {
  auto impl = std::make_shared<Impl>(*impl_);
  impl->options = std::move(options);
  return CompositeTensor(std::move(impl));
}

const Tensor* CompositeTensor::component(std::string_view name) const noexcept {
  for (const Component& component : impl_->components) {
    if (component.first == name) return &component.second;
  }
  return nullptr;
}

}  // namespace rushlight
