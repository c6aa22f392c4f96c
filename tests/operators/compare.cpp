#include "operators/compare.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <vector>

namespace rushlight::test {
namespace {

std::vector<double> doubles_of(const Tensor& tensor) {
  const Tensor as_doubles = tensor.to(DType::f64).value();
  const auto values = as_doubles.values<double>().value();
  return {values.begin(), values.end()};
}

enum class Kind { nan, plus_infinity, minus_infinity, finite };
Kind kind_of(double value) {
  if (std::isnan(value)) return Kind::nan;
  if (std::isinf(value)) return value > 0 ? Kind::plus_infinity : Kind::minus_infinity;
  return Kind::finite;
}

std::string index_text(std::size_t flat, std::span<const std::int64_t> shape) {
  std::vector<std::size_t> index(shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) {
    index[d] = flat % static_cast<std::size_t>(shape[d]);
    flat /= static_cast<std::size_t>(shape[d]);
  }
  std::string text = "[";
  for (const std::size_t place : index) text += (text.size() > 1 ? ", " : "") + std::to_string(place);
  return text + "]";
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

}  // namespace

Verdict compare(Rule rule, const Expected& expected, const Tensor& found) {
  Verdict verdict;
  if (!std::equal(found.shape().begin(), found.shape().end(), expected.output.shape().begin(),
                  expected.output.shape().end())) {
    verdict.problem = "expected shape " + shape_text(expected.output.shape()) + ", found " + shape_text(found.shape());
    return verdict;
  }
  if (found.dtype() != expected.output.dtype()) {
    verdict.problem = "expected " + std::string(to_string(expected.output.dtype())) + ", found " +
                      std::string(to_string(found.dtype()));
    return verdict;
  }
  const std::vector<double> torch = doubles_of(expected.output);
  const std::vector<double> in_double = doubles_of(expected.in_double);
  const std::vector<double> have = doubles_of(found);
  for (std::size_t i = 0; i < torch.size(); ++i) {
    if (!std::isfinite(in_double[i])) continue;
    verdict.largest = std::max(verdict.largest, std::fabs(in_double[i]));
    if (!std::isfinite(torch[i])) continue;
    verdict.torch_error = std::max(verdict.torch_error, std::fabs(torch[i] - in_double[i]));
  }
  double worst_excess = 0;
  const auto blame = [&](std::size_t i, double excess, const std::string& what) {
    if (!verdict.problem.empty() && excess <= worst_excess) return;
    worst_excess = excess;
    std::ostringstream text;
    text.precision(9);
    text << "at " << index_text(i, found.shape()) << ": expected " << in_double[i] << " (PyTorch " << torch[i]
         << "), found " << have[i] << what;
    verdict.problem = text.str();
  };
  for (std::size_t i = 0; i < torch.size(); ++i) {
    // Where float32 and double disagree about the kind (overflow, underflow before a division), either is right.
    if (kind_of(have[i]) != kind_of(torch[i]) && kind_of(have[i]) != kind_of(in_double[i])) {
      blame(i, HUGE_VAL, "");
      continue;
    }
    if (!std::isfinite(have[i])) continue;
    if (rule == Rule::exact) {
      if (have[i] != torch[i]) blame(i, HUGE_VAL, ", must be exact");
      continue;
    }
    if (!std::isfinite(in_double[i])) continue;
    const double error = std::fabs(have[i] - in_double[i]);
    verdict.error = std::max(verdict.error, error);
    double bound = std::max(4 * verdict.torch_error, 5e-6 * verdict.largest);
    if (rule == Rule::pointwise) bound = 5e-6 * std::max(std::fabs(in_double[i]), 1e-3);
    if (rule == Rule::cancelling) bound = 5e-6 * std::max(std::fabs(in_double[i]), 0.5);
    if (error <= bound) continue;
    std::ostringstream text;
    text << ", an error of " << error << " where " << bound << " is allowed";
    blame(i, error / bound, text.str());
  }
  return verdict;
}

}  // namespace rushlight::test
