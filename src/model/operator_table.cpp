#include "model/operator_table.hpp"

#include <array>
#include <iterator>

namespace rushlight::model {
namespace {

#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) constexpr bool k##Type##HasParameters = false
#define RUSHLIGHT_PARAMETER(Type, name, present) || true
#define RUSHLIGHT_OPERATOR_END(Type) ;
#include "rushlight/operators.def"

enum Index : std::size_t {
  kNothing,
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) k##Type,
#include "rushlight/operators.def"
};

constexpr OperatorInfo kTable[] = {
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) \
  {k##Type, #Type, spec, torch, min_inputs, max_inputs, k##Type##HasParameters},
#include "rushlight/operators.def"
};

// The enumerators above count as the alternatives do.
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) \
  static_assert(std::is_same_v<std::variant_alternative_t<k##Type, Operator>, Type>);
#include "rushlight/operators.def"
static_assert(std::variant_size_v<Operator> == std::size(kTable) + 1);

}  // namespace

std::span<const OperatorInfo> operator_table() noexcept {
  return kTable;
}

const OperatorInfo* info(const Operator& op) noexcept {
  return op.index() == kNothing || op.valueless_by_exception() ? nullptr : &kTable[op.index() - 1];
}

const OperatorInfo* find_spec_name(std::string_view spec_name) noexcept {
  for (const OperatorInfo& row : kTable) {
    if (row.spec_name == spec_name) return &row;
  }
  return nullptr;
}

const OperatorInfo* find_torch_class(std::string_view torch_class) noexcept {
  for (const OperatorInfo& row : kTable) {
    if (row.torch_class == torch_class) return &row;
  }
  return nullptr;
}

Operator make_operator(const OperatorInfo& info) {
  switch (info.index) {
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs) \
  case k##Type:                                                       \
    return Type{};
#include "rushlight/operators.def"
    default:
      return {};
  }
}

}  // namespace rushlight::model
