/// \file
/// edit(): a checkpoint with things left out, renamed, cast or set (`rushlight edit`, and the casts of `convert`).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/dtype.hpp"
#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/value.hpp"

namespace rushlight {

/// Which tensors become which dtype. Strides and sharing are kept: storages are cast whole, and each once.
struct CastRule {
  std::string match{};          ///< a name or glob, as find_tensors() takes them; "" for all
  std::optional<DType> from{};  ///< only tensors of this dtype; otherwise all floats (float8 to float64)
  /// As Tensor::to(); DType::qi8 quantises: tensors of two dimensions and more get a scale for each index of the first,
  /// max |w| / 127 and no zero point (torch's per_channel_affine), others stay.
  DType to = DType::f32;
};

struct EditOptions {
  /// Names or globs of what goes: tensors, values, or whatever holds them ("optimizer_state_dict").
  std::vector<std::string> drop{};
  /// Asked for each text key of the dicts that hold tensors; what it returns becomes the key.
  std::function<std::string(std::string_view key)> rename{};
  std::vector<CastRule> casts{};  ///< the first rule that fits a tensor is the one
  /// A path (Value::at()) and what to put there, after everything else.
  std::vector<std::pair<std::string, Value>> set{};
  Limits limits{};
  Progress* progress = nullptr;  ///< phase "cast", in bytes
};

/// What became of one tensor.
struct CastReport {
  std::string name{};
  DType from = DType::f32;
  DType to = DType::f32;
  std::int64_t elements = 0;
  std::int64_t changed = 0;     ///< elements that another value stands for now
  std::int64_t overflowed = 0;  ///< finite before, infinite or NaN now
  double max_abs = 0;           ///< the largest |new - old| of finite elements
  double rel_l2 = 0;            ///< |new - old| / |old| over finite elements; 0 where all old ones are 0
};

struct EditReport {
  Value value{};                                               ///< the result; the checkpoint stays as it was
  std::vector<std::string> dropped{};                          ///< in traversal order, the whole of each named once
  std::vector<std::pair<std::string, std::string>> renamed{};  ///< names of tensors before and after
  std::vector<CastReport> casts{};
  std::vector<std::string> set{};   ///< the paths
  std::vector<Finding> findings{};  ///< warnings: tensors that a rule names and that cannot be cast
};

/// ErrorCode::not_found for a pattern that fits nothing or a path that leads nowhere; ::invalid_argument where two keys
/// would become one. Every tensor that is cast is read once, to measure it; its new elements are made when they are read
/// or saved, and not kept by saving. Those of int8 are held, a byte each.
RUSHLIGHT_API Result<EditReport> edit(const Checkpoint& checkpoint, const EditOptions& options);

}  // namespace rushlight
