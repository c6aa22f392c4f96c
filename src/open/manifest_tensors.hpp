// The tensors of a file as its manifest lists them, and which bytes of their record each reaches.
#pragma once

#include <cstdint>
#include <functional>
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

Result<std::vector<ManifestTensor>> manifest_tensors(const Value& root, const Limits& limits,
                                                     const RecordOf& record_of);

// From its first byte to one past its last within its storage; all of it where the numbers do not say.
[[nodiscard]] zip::Extent reach(const ManifestTensor& tensor) noexcept;

}  // namespace rushlight::open
