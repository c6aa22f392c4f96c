#include "rushlight/dtype.hpp"

#include <array>

namespace rushlight {
namespace {

constexpr std::array kDTypes = {
#define RUSHLIGHT_DTYPE(id, name, brief, bytes, packed, code, storage, kind) \
  DTypeInfo{DType::id, name, brief, bytes, packed, code, storage, DTypeKind::kind},
#include "rushlight/dtypes.def"
};

template <class Matches>
std::optional<DType> find(Matches matches) noexcept {
  for (const DTypeInfo& row : kDTypes) {
    if (matches(row)) return row.dtype;
  }
  return std::nullopt;
}

}  // namespace

const DTypeInfo& info(DType dtype) noexcept {
  return kDTypes[static_cast<std::size_t>(dtype)];
}

std::size_t dtype_count() noexcept {
  return kDTypes.size();
}

const DTypeInfo& dtype_at(std::size_t index) noexcept {
  return kDTypes[index];
}

std::optional<DType> dtype_from_name(std::string_view torch_name) noexcept {
  return find([torch_name](const DTypeInfo& row) { return row.name == torch_name; });
}

std::optional<DType> dtype_from_storage_class(std::string_view name) noexcept {
  if (name.empty()) return std::nullopt;
  return find([name](const DTypeInfo& row) { return row.storage_class == name; });
}

}  // namespace rushlight
