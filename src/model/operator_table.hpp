// operators.def as code can walk it: names, attributes, parameters. Nothing here knows a single operator by name.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "rushlight/graph.hpp"

namespace rushlight::model {

struct OperatorInfo {
  std::size_t index;             // of the alternative in Operator
  std::string_view type;         // "Conv2d"
  std::string_view spec_name;    // "conv2d"
  std::string_view torch_class;  // "torch.nn.modules.conv.Conv2d"
  std::size_t min_inputs;
  std::size_t max_inputs;
  bool has_parameters;  // for some values of its attributes
};

// In the table's order.
[[nodiscard]] std::span<const OperatorInfo> operator_table() noexcept;
// nullptr for an Operator that holds nothing.
[[nodiscard]] const OperatorInfo* info(const Operator& op) noexcept;
[[nodiscard]] const OperatorInfo* find_spec_name(std::string_view spec_name) noexcept;
[[nodiscard]] const OperatorInfo* find_torch_class(std::string_view torch_class) noexcept;
// With the defaults.
[[nodiscard]] Operator make_operator(const OperatorInfo& info);

// What a default in operators.def says.
enum class DefaultKind : std::uint8_t {
  value,         // itself
  from_weights,  // kFromWeights
  from_kernel,   // kFromKernel
  required,      // kRequired
  not_given,     // kNotGiven
};

constexpr DefaultKind default_kind(std::string_view text) noexcept {
  if (text == "kFromWeights") return DefaultKind::from_weights;
  if (text == "kFromKernel") return DefaultKind::from_kernel;
  if (text == "kRequired") return DefaultKind::required;
  if (text == "kNotGiven") return DefaultKind::not_given;
  return DefaultKind::value;
}

struct AttributeInfo {
  std::string_view name;
  DefaultKind default_kind;
  std::string_view default_text;  // as in the table
  std::string_view meaning;
};

// for_each_attribute(op, f) calls f(AttributeInfo, field&) for each attribute of an operator struct, in torch's order.
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) \
  template <class Op, class F>                                        \
  requires std::same_as<std::remove_const_t<Op>, Type>                \
  void for_each_attribute([[maybe_unused]] Op& op, [[maybe_unused]] F&& f) {
#define RUSHLIGHT_ATTRIBUTE(Type, ctype, field, default_value, meaning) \
  f(AttributeInfo{#field, default_kind(#default_value), #default_value, meaning}, op.field);
#define RUSHLIGHT_OPERATOR_END(Type) }
#include "rushlight/operators.def"

// for_each_parameter(op, f) calls f(name) for each parameter or buffer the operator has with its attributes.
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) \
  template <class F>                                                  \
  void for_each_parameter([[maybe_unused]] const Type& op, [[maybe_unused]] F&& f) {
#define RUSHLIGHT_ATTRIBUTE(Type, ctype, field, default_value, meaning) [[maybe_unused]] const auto& field = op.field;
#define RUSHLIGHT_PARAMETER(Type, name, present) \
  if (present) f(std::string_view(#name));
#define RUSHLIGHT_OPERATOR_END(Type) }
#include "rushlight/operators.def"

// Calls f with the operator struct inside, unless there is none.
template <class Op, class F>
requires std::same_as<std::remove_const_t<Op>, Operator>
void visit_operator(Op& op, F&& f) {
  std::visit(
      [&](auto& inside) {
        if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(inside)>, std::monostate>) f(inside);
      },
      op);
}

}  // namespace rushlight::model
