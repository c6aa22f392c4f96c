#include "open/manifest_tensors.hpp"

#include <limits>
#include <optional>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "open/listing.hpp"
#include "rushlight/dtype.hpp"
#include "tensor/layout.hpp"

namespace rushlight::open {
namespace {

class TensorOfFileLister final : public ListingVisitor {
 public:
  TensorOfFileLister(std::uint64_t size_bytes, std::vector<zip::Extent>& extents)
      : size_bytes_(size_bytes), extents_(extents) {}
  void tensor(std::string_view name, std::span<const PathStep>, Tensor tensor, bool) override {
    tensors.push_back(manifest_tensor_of_file(name, tensor, size_bytes_));
    if (const auto extent = extent_in_file(tensor.storage(), size_bytes_)) extents_.push_back(*extent);
  }
  void value(std::string_view, std::span<const PathStep>, const Value&) override {}
  void object(std::string_view, std::span<const PathStep>, const Value&) override {}

  std::vector<ManifestTensor> tensors;

 private:
  std::uint64_t size_bytes_;
  std::vector<zip::Extent>& extents_;
};

class TensorLister final : public ListingVisitor {
 public:
  explicit TensorLister(const RecordOf& record_of) : record_of_(record_of) {}
  void tensor(std::string_view name, std::span<const PathStep>, Tensor tensor, bool) override {
    tensors.push_back(manifest_tensor(name, tensor, record_of_(tensor.storage())));
  }
  void value(std::string_view, std::span<const PathStep>, const Value&) override {}
  void object(std::string_view, std::span<const PathStep>, const Value&) override {}

  std::vector<ManifestTensor> tensors;

 private:
  const RecordOf& record_of_;
};

}  // namespace

ManifestTensor manifest_tensor(std::string_view name, const Tensor& tensor, std::string record) {
  return {.name = is_valid_utf8(name) ? std::string(name) : escaped(name),
          .dtype = std::string(info(tensor.dtype()).name),
          .shape = {tensor.shape().begin(), tensor.shape().end()},
          .strides = {tensor.strides().begin(), tensor.strides().end()},
          .record = std::move(record),
          .storage_offset = tensor.storage_offset()};
}

std::optional<zip::Extent> extent_in_file(const Storage& storage, std::uint64_t size_bytes) {
  const std::optional<FilePlace> place = storage.place();
  if (!place || !range_fits(place->offset, storage.size_bytes(), size_bytes)) return std::nullopt;
  return zip::Extent{place->offset, place->offset + storage.size_bytes()};
}

ManifestTensor manifest_tensor_of_file(std::string_view name, const Tensor& tensor, std::uint64_t size_bytes) {
  ManifestTensor listed = manifest_tensor(name, tensor, "");
  listed.storage_offset = 0;
  if (const auto extent = extent_in_file(tensor.storage(), size_bytes)) {
    const auto unit_bytes = static_cast<std::uint64_t>(info(tensor.dtype()).size_bytes);
    listed.data_offset = extent->begin + static_cast<std::uint64_t>(tensor.storage_offset()) * unit_bytes;
  }
  return listed;
}

Result<std::vector<ManifestTensor>> manifest_tensors_of_file(const Value& root, const Limits& limits,
                                                             std::uint64_t size_bytes,
                                                             std::vector<zip::Extent>& extents) {
  TensorOfFileLister lister(size_bytes, extents);
  RUSHLIGHT_TRY(visit_listing(root, limits.visited_nodes, lister));
  return std::move(lister.tensors);
}

Result<std::vector<ManifestTensor>> manifest_tensors(const Value& root, const Limits& limits,
                                                     const RecordOf& record_of) {
  TensorLister lister(record_of);
  RUSHLIGHT_TRY(visit_listing(root, limits.visited_nodes, lister));
  return std::move(lister.tensors);
}

zip::Extent reach(const ManifestTensor& tensor) noexcept {
  constexpr zip::Extent kAll{0, std::numeric_limits<std::uint64_t>::max()};
  const std::optional<DType> dtype = dtype_from_name(tensor.dtype);
  if (!dtype || values_per_unit(*dtype) != 1 || tensor.shape.size() != tensor.strides.size()) return kAll;
  std::optional<std::int64_t> last = tensor.storage_offset;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 0) return {0, 0};
    const auto step = checked_mul(tensor.shape[i] - 1, tensor.strides[i]);
    last = last && step ? checked_add(*last, *step) : std::nullopt;
  }
  const auto size = static_cast<std::uint64_t>(info(*dtype).size_bytes);
  const auto begin = checked_mul(static_cast<std::uint64_t>(tensor.storage_offset), size);
  const auto end = last ? checked_mul(static_cast<std::uint64_t>(*last) + 1, size) : std::nullopt;
  if (!begin || !end) return kAll;
  return {*begin, *end};
}

}  // namespace rushlight::open
