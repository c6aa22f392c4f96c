// The tensors of a file as its manifest lists them, and which bytes of their record each reaches.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rushlight/limits.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/result.hpp"
#include "rushlight/value.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

// "data/0"; empty for memory that is in no record of its own.
using RecordOf = std::function<std::string(const Storage&)>;

[[nodiscard]] ManifestTensor manifest_tensor(std::string_view name, const Tensor& tensor, std::string record);

// Of a file that is no archive, of that size.
[[nodiscard]] ManifestTensor manifest_tensor_of_file(std::string_view name, const Tensor& tensor,
                                                     std::uint64_t size_bytes);
// Where a storage lies in such a file; nullopt where its bytes are not there as they are.
[[nodiscard]] std::optional<zip::Extent> extent_in_file(const Storage& storage, std::uint64_t size_bytes);

// All of them; `extents` gets those of their storages.
Result<std::vector<ManifestTensor>> manifest_tensors_of_file(const Value& root, const Limits& limits,
                                                             std::uint64_t size_bytes,
                                                             std::vector<zip::Extent>& extents);

Result<std::vector<ManifestTensor>> manifest_tensors(const Value& root, const Limits& limits,
                                                     const RecordOf& record_of);

// From its first byte to one past its last within its storage; all of it where the numbers do not say.
[[nodiscard]] zip::Extent reach(const ManifestTensor& tensor) noexcept;

}  // namespace rushlight::open
