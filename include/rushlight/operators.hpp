/// \file
/// The operators of a Graph as C++ structs, `Conv2d{.in_channels = 1, .out_channels = 32, .kernel_size = 3}`, and
/// Operator, which holds any of them. Fields, order and defaults are torch's; the table is operators.def.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "rushlight/export.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// Height and width; one number stands for both, as in torch.
struct IntPair {
  std::int64_t h = 0;
  std::int64_t w = 0;
  constexpr IntPair() noexcept = default;
  constexpr IntPair(std::int64_t both) noexcept : h(both), w(both) {}  // NOLINT(google-explicit-constructor)
  constexpr IntPair(std::int64_t height, std::int64_t width) noexcept : h(height), w(width) {}
  friend constexpr bool operator==(const IntPair&, const IntPair&) = default;
};

/// Depth, height and width; one number stands for all three.
struct IntTriple {
  std::int64_t d = 0;
  std::int64_t h = 0;
  std::int64_t w = 0;
  constexpr IntTriple() noexcept = default;
  constexpr IntTriple(std::int64_t all) noexcept : d(all), h(all), w(all) {}  // NOLINT(google-explicit-constructor)
  constexpr IntTriple(std::int64_t depth, std::int64_t height, std::int64_t width) noexcept
      : d(depth), h(height), w(width) {}
  friend constexpr bool operator==(const IntTriple&, const IntTriple&) = default;
};

enum class PaddingKind : std::uint8_t { amounts, valid, same };

/// Padding of a convolution: amounts, or torch's "valid" and "same". `Amount` is std::int64_t, IntPair or IntTriple.
template <class Amount>
struct BasicPadding {
  using Kind = PaddingKind;
  Kind kind = Kind::amounts;
  Amount amount{};
  constexpr BasicPadding() noexcept = default;
  constexpr BasicPadding(std::int64_t all) noexcept : amount(all) {}  // NOLINT(google-explicit-constructor)
  template <class A>
  requires(std::is_same_v<A, Amount> && !std::is_same_v<A, std::int64_t>) constexpr BasicPadding(A each) noexcept
      : amount(each) {}  // NOLINT(google-explicit-constructor)
  constexpr BasicPadding(std::int64_t height, std::int64_t width) noexcept requires std::is_same_v<Amount, IntPair>
      : amount(height, width) {}
  static constexpr BasicPadding valid() noexcept { return with(Kind::valid); }
  static constexpr BasicPadding same() noexcept { return with(Kind::same); }
  friend constexpr bool operator==(const BasicPadding&, const BasicPadding&) = default;

 private:
  static constexpr BasicPadding with(Kind kind) noexcept {
    BasicPadding padding;
    padding.kind = kind;
    return padding;
  }
};
using Padding1d = BasicPadding<std::int64_t>;
using Padding = BasicPadding<IntPair>;
using Padding3d = BasicPadding<IntTriple>;

// Words that torch takes as strings; operator_words.def lists them. `nearest_exact` is torch's "nearest-exact".
#define RUSHLIGHT_WORDS(Type, ...) enum class Type : std::uint8_t { __VA_ARGS__ };
#include "rushlight/operator_words.def"

/// What the 0 of an attribute stands for where operators.def names one of these as its default.
inline constexpr std::int64_t kFromWeights = 0;  ///< taken from the shape of the weights by Model::create
inline constexpr std::int64_t kFromKernel = 0;   ///< the same as kernel_size
inline constexpr std::int64_t kRequired = 0;     ///< must be given
inline constexpr std::int64_t kNotGiven = 0;     ///< torch's None

/// An operator that takes or gives any number of tensors.
inline constexpr std::size_t kAnyNumber = 4096;

#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) struct Type {
#define RUSHLIGHT_ATTRIBUTE(Type, ctype, field, default_value, meaning) ctype field = default_value;
#define RUSHLIGHT_UNSET(Type, ctype, field, default_kind, meaning) ctype field{};
#define RUSHLIGHT_OPERATOR_END(Type)                          \
  friend bool operator==(const Type&, const Type&) = default; \
  }                                                           \
  ;
#include "rushlight/operators.def"

/// The rows of operators.def.
enum class OperatorKind : std::uint16_t {
  nothing,
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) Type,
#include "rushlight/operators.def"
};

/// The kind of an operator struct; OperatorKind::nothing for other types.
template <class Op>
inline constexpr OperatorKind kOperatorKind = OperatorKind::nothing;
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) \
  template <>                                                                      \
  inline constexpr OperatorKind kOperatorKind<Type> = OperatorKind::Type;
#include "rushlight/operators.def"

// As numbers: an operator of comparison that takes an Operator would ask this very question to tell whether it fits.
template <class Op>
concept OperatorStruct = static_cast<int>(kOperatorKind<Op>) != static_cast<int>(OperatorKind::nothing);

/// Any operator of the table. Immutable; copies share.
class RUSHLIGHT_API Operator {
 public:
  Operator() noexcept = default;
  template <OperatorStruct Op>
  Operator(Op op)  // NOLINT(google-explicit-constructor)
      : kind_(kOperatorKind<Op>), attributes_(std::make_shared<Op>(std::move(op))) {}

  /// OperatorKind::nothing when it was made without one.
  [[nodiscard]] OperatorKind kind() const noexcept { return kind_; }
  template <OperatorStruct Op>
  [[nodiscard]] bool is() const noexcept {
    return kind_ == kOperatorKind<Op>;
  }
  /// nullptr when it holds another.
  template <OperatorStruct Op>
  [[nodiscard]] const Op* get_if() const noexcept {
    return is<Op>() ? static_cast<const Op*>(attributes_.get()) : nullptr;
  }
  /// Precondition: is<Op>().
  template <OperatorStruct Op>
  [[nodiscard]] const Op& get() const noexcept {
    assert(is<Op>());
    return *static_cast<const Op*>(attributes_.get());
  }
  /// Of equal kind with equal attributes.
  friend RUSHLIGHT_API bool operator==(const Operator& a, const Operator& b) noexcept;

  struct Access;  ///< for the library

 private:
  OperatorKind kind_ = OperatorKind::nothing;
  std::shared_ptr<const void> attributes_;
};

}  // namespace rushlight
