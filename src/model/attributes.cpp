#include "model/attributes.hpp"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "model/describe.hpp"
#include "model/operator_table.hpp"

namespace rushlight::model {
namespace {

std::string wrong(std::string_view attribute, std::string_view expected, std::string_view found) {
  std::string text(attribute);
  text += ": expected ";
  text += expected;
  text += ", found ";
  text += found;
  return text;
}

std::string number_text(double value) {
  char text[32];  // the shortest form of a double has 24 characters at most
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

std::string at_least(std::string_view attribute, std::int64_t least, std::int64_t found) {
  if (found >= least) return {};
  return wrong(attribute, "at least " + std::to_string(least), std::to_string(found));
}

std::string at_least(std::string_view attribute, std::int64_t least, IntPair found) {
  if (found.h >= least && found.w >= least) return {};
  return wrong(attribute, "at least " + std::to_string(least), pair_text(found));
}

// Both known or both unknown.
std::string at_least_1_or_unknown(std::string_view attribute, IntPair found) {
  return found == IntPair(kFromWeights) ? std::string() : at_least(attribute, 1, found);
}

std::string divides(std::int64_t groups, std::string_view attribute, std::int64_t channels) {
  if (channels == kFromWeights || channels % groups == 0) return {};
  return wrong(attribute, "a multiple of groups " + std::to_string(groups), std::to_string(channels));
}

// Runs checks in order until one of them has something to say.
class FirstProblem {
 public:
  FirstProblem& check(std::string problem) {
    if (text_.empty()) text_ = std::move(problem);
    return *this;
  }
  [[nodiscard]] bool none() const noexcept { return text_.empty(); }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

template <class Pool>
std::string problem_of_pool(const Pool& op) {
  FirstProblem first;
  if (op.kernel_size == IntPair(kRequired)) return "kernel_size is missing";
  first.check(at_least("kernel_size", 1, op.kernel_size));
  first.check(at_least("stride", 1, op.stride));
  first.check(at_least("padding", 0, op.padding));
  // pool2d_shape_check in ATen/native/Pool.h; it counts the kernel without its dilation.
  if (first.none() && (op.padding.h > op.kernel_size.h / 2 || op.padding.w > op.kernel_size.w / 2)) {
    return wrong("padding", "at most half of kernel_size " + pair_text(op.kernel_size), pair_text(op.padding));
  }
  return first.take();
}

std::string problem_of(const Conv2d& op) {
  FirstProblem first;
  first.check(at_least("in_channels", 0, op.in_channels));
  first.check(at_least("out_channels", 0, op.out_channels));
  first.check(at_least_1_or_unknown("kernel_size", op.kernel_size));
  first.check(at_least("stride", 1, op.stride));
  first.check(at_least("padding", 0, op.padding.amount));
  first.check(at_least("dilation", 1, op.dilation));
  first.check(at_least("groups", 1, op.groups));
  if (!first.none()) return first.take();
  first.check(divides(op.groups, "in_channels", op.in_channels));
  first.check(divides(op.groups, "out_channels", op.out_channels));
  if (op.padding.kind == Padding::Kind::same && op.stride != IntPair(1)) {
    first.check(wrong("stride", "1 with padding 'same'", pair_text(op.stride)));
  }
  return first.take();
}

std::string problem_of(const Linear& op) {
  FirstProblem first;
  first.check(at_least("in_features", 0, op.in_features));
  first.check(at_least("out_features", 0, op.out_features));
  return first.take();
}

template <class Norm>
std::string problem_of_norm(const Norm& op) {
  FirstProblem first;
  first.check(at_least("num_features", 0, op.num_features));
  if (!(op.eps >= 0) || std::isinf(op.eps)) first.check(wrong("eps", "a number from 0 on", number_text(op.eps)));
  return first.take();
}
std::string problem_of(const BatchNorm1d& op) {
  return problem_of_norm(op);
}
std::string problem_of(const BatchNorm2d& op) {
  return problem_of_norm(op);
}

std::string problem_of(const MaxPool2d& op) {
  FirstProblem first;
  first.check(problem_of_pool(op));
  first.check(at_least("dilation", 1, op.dilation));
  return first.take();
}
std::string problem_of(const AvgPool2d& op) {
  return problem_of_pool(op);
}

std::string problem_of(const AdaptiveAvgPool2d& op) {
  if (op.output_size == IntPair(kRequired)) return "output_size is missing";
  for (const std::int64_t size : {op.output_size.h, op.output_size.w}) {
    if (size != -1 && size < 1) return wrong("output_size", "at least 1, or -1", pair_text(op.output_size));
  }
  return {};
}

std::string problem_of(const Dropout& op) {
  if (op.p >= 0 && op.p <= 1) return {};
  return wrong("p", "a number from 0 to 1", number_text(op.p));
}

// Their attributes depend on the rank of the input: shapes.cpp.
std::string problem_of(const Flatten&) {
  return {};
}
std::string problem_of(const Softmax&) {
  return {};
}
std::string problem_of(const ReLU&) {
  return {};
}
std::string problem_of(const Identity&) {
  return {};
}
std::string problem_of(const Add&) {
  return {};
}

}  // namespace

void complete_attributes(Operator& op) {
  visit_operator(op, [](auto& inside) {
    if constexpr (requires { inside.kernel_size == inside.stride; }) {
      IntPair kernel = inside.kernel_size;
      for_each_attribute(inside, [&](const AttributeInfo& attribute, auto& field) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(field)>, IntPair>) {
          if (attribute.default_kind == DefaultKind::from_kernel && field == IntPair(kFromKernel)) field = kernel;
        }
      });
    }
  });
}

std::string attribute_problem(const Operator& op) {
  std::string problem = "it has no operator";
  visit_operator(op, [&](const auto& inside) { problem = problem_of(inside); });
  return problem;
}

}  // namespace rushlight::model
