// self_test() of rushlight/evaluate.hpp.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "rushlight/evaluate.hpp"

namespace rushlight {
namespace {

std::string number_text(double value) {
  char text[32];  // six digits and an exponent have fewer
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 6);
  return {text, end.ptr};
}

Result<Tensor> tensor_of(const SelfTest::Array& array, DType dtype) {
  RUSHLIGHT_TRY_ASSIGN(Tensor doubles, Tensor::zeros(DType::f64, array.shape));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, doubles.mutable_bytes());
  std::copy(array.values.begin(), array.values.end(), reinterpret_cast<double*>(bytes.data()));
  return doubles.to(dtype);
}

Error differs(const Port& port, std::size_t place, double expected, double found) {
  return Error::of(ErrorCode::mismatch,
                   {.category = Category::model,
                    .code = "SELFTEST",
                    .message = "selftest: output " + quoted(port.name) + ", element " + std::to_string(place) +
                               ": expected " + number_text(expected) + ", found " + number_text(found),
                    .found = number_text(found),
                    .expected = number_text(expected),
                    .hint = "the spec and the weights do not belong together, or a layer is described wrongly"});
}

}  // namespace

Result<double> self_test(const Model& model, Device device, const SessionOptions& options) {
  const SelfTest* const test = model.graph().self_test();
  if (test == nullptr) {
    return Error::of(
        {.category = Category::argument, .code = "SELFTEST-NONE", .message = "the network carries no selftest"});
  }
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < test->inputs.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(Tensor input, tensor_of(test->inputs[i], model.inputs()[i].dtype));
    inputs.push_back(std::move(input));
  }
  RUSHLIGHT_TRY_ASSIGN(Session session, model.session(device, options));
  RUSHLIGHT_TRY_ASSIGN(const std::vector<Tensor> outputs, session.run(inputs));
  double worst = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Port& port = model.outputs()[i];
    const std::vector<double>& expected = test->outputs[i].values;
    const std::span<const std::int64_t> shape = outputs[i].shape();
    if (!std::equal(shape.begin(), shape.end(), test->outputs[i].shape.begin(), test->outputs[i].shape.end())) {
      return Error::of(ErrorCode::mismatch,
                       {.category = Category::model,
                        .code = "SELFTEST",
                        .message = "selftest: output " + quoted(port.name) + " has another shape than the sample"});
    }
    RUSHLIGHT_TRY_ASSIGN(const Tensor doubles, outputs[i].to(DType::f64));
    RUSHLIGHT_TRY_ASSIGN(const std::span<const double> found, doubles.values<double>());
    double largest = 0;
    for (const double value : expected) {
      if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    }
    for (std::size_t place = 0; place < expected.size(); ++place) {
      const double want = expected[place];
      const double have = found[place];
      if (want == have || (std::isnan(want) && std::isnan(have))) continue;
      const double error = std::abs(want - have) / std::max(largest, 1e-30);
      if (!(error <= test->tolerance)) return differs(port, place, want, have);
      worst = std::max(worst, error);
    }
  }
  return worst;
}

}  // namespace rushlight
