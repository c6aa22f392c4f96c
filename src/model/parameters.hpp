// The parameters and buffers an operator reads, and what their shapes say about its attributes.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/graph.hpp"

namespace rushlight::model {

struct ParameterShape {
  std::string name;  // "weight"
  Shape shape;       // -1 where the size is to be read off the weights
};

// In operators.def's order.
[[nodiscard]] std::vector<ParameterShape> parameter_shapes(const Operator& op);

// Whether it has any, with its attributes as they are.
[[nodiscard]] bool has_parameters(const Operator& op);

// Fills attributes that are to be read off the weights. `find` gives the shape under a parameter's short name, or
// nullptr. A shape whose known sizes contradict the operator is left alone: the report names it.
void resolve_attributes(Operator& op, const std::function<const Shape*(std::string_view name)>& find);

// True when a tensor of this shape can be the parameter. A LayerNorm whose shape was left to its weights takes any.
[[nodiscard]] bool fits_parameter(const Operator& op, const ParameterShape& parameter,
                                  std::span<const std::int64_t> shape) noexcept;

// True when `shape` is `expected`, any size >= 1 passing for a -1.
[[nodiscard]] bool fits(std::span<const std::int64_t> expected, std::span<const std::int64_t> shape) noexcept;

}  // namespace rushlight::model
