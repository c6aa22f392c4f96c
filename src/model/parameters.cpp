#include "model/parameters.hpp"

#include <cstdint>

#include "base/checked.hpp"
#include "model/operator_table.hpp"

namespace rushlight::model {
namespace {

constexpr std::int64_t kUnknown = -1;

std::int64_t known(std::int64_t size) noexcept {
  return size == kFromWeights ? kUnknown : size;
}

Shape shape_of(const Conv2d& op, std::string_view name) {
  if (name == "bias") return {known(op.out_channels)};
  const std::int64_t in = op.in_channels == kFromWeights ? kUnknown : op.in_channels / op.groups;
  return {known(op.out_channels), in, known(op.kernel_size.h), known(op.kernel_size.w)};
}
Shape shape_of(const Linear& op, std::string_view name) {
  if (name == "bias") return {known(op.out_features)};
  return {known(op.out_features), known(op.in_features)};
}
Shape shape_of(const BatchNorm1d& op, std::string_view) {
  return {known(op.num_features)};
}
Shape shape_of(const BatchNorm2d& op, std::string_view) {
  return {known(op.num_features)};
}
// Operators without parameters: never asked.
template <class Op>
Shape shape_of(const Op&, std::string_view) {
  return {};
}

void learn(std::int64_t& attribute, std::int64_t size) noexcept {
  if (attribute == kFromWeights) attribute = size;
}

void resolve(Conv2d& op, std::string_view name, const Shape& shape) noexcept {
  learn(op.out_channels, shape[0]);
  if (name == "bias") return;
  // A product that does not fit stays unknown: no such tensor can be read anyway.
  if (const auto in = checked_mul(shape[1], op.groups)) learn(op.in_channels, *in);
  learn(op.kernel_size.h, shape[2]);
  learn(op.kernel_size.w, shape[3]);
}
void resolve(Linear& op, std::string_view name, const Shape& shape) noexcept {
  learn(op.out_features, shape[0]);
  if (name != "bias") learn(op.in_features, shape[1]);
}
void resolve(BatchNorm1d& op, std::string_view, const Shape& shape) noexcept {
  learn(op.num_features, shape[0]);
}
void resolve(BatchNorm2d& op, std::string_view, const Shape& shape) noexcept {
  learn(op.num_features, shape[0]);
}
template <class Op>
void resolve(Op&, std::string_view, const Shape&) noexcept {}

}  // namespace

std::vector<ParameterShape> parameter_shapes(const Operator& op) {
  std::vector<ParameterShape> shapes;
  visit_operator(op, [&](const auto& inside) {
    for_each_parameter(inside, [&](std::string_view name) { shapes.push_back({name, shape_of(inside, name)}); });
  });
  return shapes;
}

void resolve_attributes(Operator& op, const std::function<const Shape*(std::string_view name)>& find) {
  // One parameter after the other: what the weight says, the bias must agree with.
  for (const ParameterShape& parameter : parameter_shapes(op)) {
    const Shape* shape = find(parameter.name);
    if (shape == nullptr) continue;
    visit_operator(op, [&](auto& inside) {
      if (fits(shape_of(inside, parameter.name), *shape)) resolve(inside, parameter.name, *shape);
    });
  }
}

bool fits(std::span<const std::int64_t> expected, std::span<const std::int64_t> shape) noexcept {
  if (expected.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (expected[i] == kUnknown ? shape[i] < 1 : shape[i] != expected[i]) return false;
  }
  return true;
}

}  // namespace rushlight::model
