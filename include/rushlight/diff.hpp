/// \file
/// diff(): what differs between two checkpoints, whatever their containers (`rushlight diff`).
///
/// Tensors and values are matched by name. The first checkpoint is the reference that relative differences and
/// tolerances are measured against.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/inspect.hpp"

namespace rushlight {

struct DiffOptions {
  std::string match{};  ///< as find_tensors(), in either checkpoint; "" for all. With it, no values are compared
  bool values = true;   ///< compare what is no tensor
  /// Elements of real and complex dtypes are as good as equal when |b - a| <= atol + rtol * |a|. With both 0, and for
  /// all other dtypes, only equal bits are: +0 and -0 differ, and so do NaNs of other bits.
  double rtol = 0;
  double atol = 0;
  Limits limits{};
  Executor* executor = nullptr;
  Progress* progress = nullptr;  ///< in bytes of tensors
};

/// How the elements of two tensors differ.
struct ElementDifferences {
  std::int64_t elements = 0;
  std::int64_t different = 0;  ///< beyond the tolerances
  std::int64_t nan = 0;        ///< of them those where one or both are NaN; they count in no figure below
  /// Over all elements whose bits differ, tolerated or not. None for dtypes without numbers (bits, float4); of complex
  /// numbers the absolute value.
  std::optional<double> max_abs{};  ///< |b - a|
  std::optional<double> max_rel{};  ///< |b - a| / |a|; infinite where a is 0
  /// Numbers of the dtype between the two, of a complex number the further part; +0 and -0 are 0 apart. Floats only.
  std::optional<std::uint64_t> max_ulp{};
  Shape max_abs_index{};           ///< where max_abs is first met
  std::optional<double> rel_l2{};  ///< |b - a| / |a| over all elements, in double; none where NaN or infinities are
  std::optional<double> cosine{};  ///< of the angle between them, likewise; none where one is all zeros
};

struct TensorChange {
  /// values: the elements; shape, dtype: these alone, the elements are then not compared; strides: how equal elements
  /// lie in memory; tying: with which other tensors a storage is shared.
  enum class Kind : std::uint8_t { values, shape, dtype, strides, tying };

  std::string name{};
  Kind kind = Kind::values;
  Tensor a{};
  Tensor b{};
  ElementDifferences differences{};   ///< Kind::values
  std::vector<std::string> tied_a{};  ///< Kind::tying: the others on its storage, at most 8 of them
  std::vector<std::string> tied_b{};
};
/// "values", "shape", "dtype", "strides", "tying".
RUSHLIGHT_API std::string_view to_string(TensorChange::Kind kind) noexcept;

/// A tensor under another name: same dtype, shape and elements.
struct TensorRename {
  std::string from{};
  std::string to{};
};

/// A plain value, or an object of an unknown class, which is compared by its class.
struct ValueChange {
  std::string name{};
  std::optional<Value> a{};  ///< nullopt: added
  std::optional<Value> b{};  ///< nullopt: removed
};

struct DiffReport {
  std::string file_a{};
  std::string file_b{};
  bool same = false;                   ///< nothing below differs, and there are no error findings
  std::vector<TensorEntry> added{};    ///< in b alone, in its order
  std::vector<TensorEntry> removed{};  ///< in a alone
  std::vector<TensorRename> renamed{};
  std::vector<TensorChange> changed{};  ///< in the order of a; several of one name where it differs in several ways
  std::int64_t equal = 0;               ///< tensors of both without a change, bit for bit
  std::int64_t close = 0;               ///< others without a change, within the tolerances
  std::vector<ValueChange> values{};
  /// What was compared. Strides and tying only where both files are torch's: other formats have none to keep. Values
  /// only of files that are torch's or of one kind.
  bool compared_values = false;
  bool compared_strides = false;
  bool compared_tying = false;
  std::vector<Finding> findings{};  ///< tensors that cannot be read
};

/// Reads every tensor that both have, a piece at a time. A tensor whose bytes are damaged is an error finding; an Error
/// means that the pattern fits nothing in either or that nothing could be read.
RUSHLIGHT_API Result<DiffReport> diff(const Checkpoint& a, const Checkpoint& b, const DiffOptions& options = {});

}  // namespace rushlight
