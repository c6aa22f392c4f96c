// operators.def as code can walk it: names, attributes, parameters. Nothing here knows a single operator by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "rushlight/graph.hpp"

namespace rushlight::model {

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

// An attribute that is one of a few words: operator_words.def.
struct WordField {
  std::span<const std::string_view> words;
  std::uint8_t* index;
  [[nodiscard]] std::string_view get() const noexcept { return words[*index]; }
  // False when it is none of them.
  [[nodiscard]] bool set(std::string_view word) const noexcept;
};

// A field of an operator struct: every type that operators.def uses.
using Field =
    std::variant<std::int64_t*, bool*, double*, IntPair*, IntTriple*, Padding1d*, Padding*, Padding3d*, Shape*,
                 std::vector<double>*, std::string*, std::optional<double>*, std::optional<std::int64_t>*, WordField>;

struct Attribute {
  const AttributeInfo* info;
  Field field;
};

struct OperatorInfo {
  OperatorKind kind;
  std::string_view type;         // "Conv2d"
  std::string_view spec_name;    // "conv2d"
  std::string_view torch_class;  // "torch.nn.modules.conv.Conv2d"
  std::size_t min_inputs;
  std::size_t max_inputs;
  std::size_t max_outputs;
  bool has_parameters;  // for some values of its attributes
  // Code that the table generates for the struct.
  Operator (*make)();
  std::shared_ptr<void> (*copy)(const void* attributes);
  bool (*equal)(const void* a, const void* b);
  void (*list_attributes)(void* attributes, std::vector<Attribute>& out);
};

// In the table's order.
[[nodiscard]] std::span<const OperatorInfo> operator_table() noexcept;
// nullptr for an Operator that holds nothing.
[[nodiscard]] const OperatorInfo* info(const Operator& op) noexcept;
[[nodiscard]] const OperatorInfo& info(OperatorKind kind) noexcept;  // not of OperatorKind::nothing
[[nodiscard]] const OperatorInfo* find_spec_name(std::string_view spec_name) noexcept;
[[nodiscard]] const OperatorInfo* find_torch_class(std::string_view torch_class) noexcept;
// With the defaults.
[[nodiscard]] Operator make_operator(const OperatorInfo& info);

// The attributes in torch's order. Those of `op` are its own afterwards: writing to them changes no copy. They are
// valid until `op` is assigned.
[[nodiscard]] std::vector<Attribute> attributes(Operator& op);

// Calls f(AttributeInfo, field&) for each attribute; fields are of the types in Field, words come as a WordField.
template <class F>
void for_each_attribute(Operator& op, F&& f) {
  for (const Attribute& attribute : attributes(op)) {
    std::visit(
        [&](auto field) {
          if constexpr (std::is_same_v<decltype(field), WordField>) {
            f(*attribute.info, field);
          } else {
            f(*attribute.info, *field);
          }
        },
        attribute.field);
  }
}

// For code that changes attributes of one struct: writable<Conv2d>(op).stride = 2. Precondition: op.is<Op>().
[[nodiscard]] void* own_attributes(Operator& op);
template <OperatorStruct Op>
Op& writable(Operator& op) {
  return *static_cast<Op*>(own_attributes(op));
}

}  // namespace rushlight::model
