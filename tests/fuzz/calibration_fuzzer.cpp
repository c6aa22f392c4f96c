// Calibrations: what is said is said again when it is written, and 8-bit codes that follow from it give the same bits
// on every instruction set.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/answers.hpp"
#include "fuzz/network_checks.hpp"
#include "runtime/backend.hpp"
#include "runtime/cpu/backend.hpp"
#include "rushlight/calibration.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/model.hpp"
#include "rushlight/session.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

void check_text(const Calibration& calibration) {
  for (const auto& [name, range] : calibration.layers) {
    for (const float end : {range.low, range.high, range.least, range.most}) require(std::isfinite(end));
    require(range.low <= 0 && range.high >= 0);
  }
  require(calibration.items >= 0 && calibration.layers.size() <= network_limits().graph_nodes);
  const std::string text = calibration.to_json();
  const Result<Calibration> again = Calibration::from_json(text);
  require(again.has_value() && again->to_json() == text);
  require(again->layers == calibration.layers && again->items == calibration.items &&
          again->choice == calibration.choice);
}

// A convolution of windows, a 1x1 convolution of groups, a Linear.
const Model& small_model() {
  static const Model model = [] {
    const Graph graph = Sequential{Conv2d{.in_channels = 4, .out_channels = 8, .kernel_size = 3, .padding = 1}, ReLU{},
                                   Conv2d{.in_channels = 8, .out_channels = 8, .kernel_size = 1, .groups = 2},
                                   Flatten{}, Linear{8 * 12, 5}}
                            .graph({4, 3, 4})
                            .value();
    return Model::create(graph, some_state(graph).value()).value();
  }();
  return model;
}

std::vector<std::shared_ptr<const runtime::Backend>> backends() {
  using runtime::cpu::NarrowWay;
  std::vector<std::shared_ptr<const runtime::Backend>> found;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    for (const NarrowWay way : {NarrowWay::widen, NarrowWay::dot, NarrowWay::amx}) {
      if (auto backend = runtime::cpu::make_backend(isa, way)) found.push_back(*std::move(backend));
    }
  }
  require(!found.empty());
  return found;
}

std::vector<float> outputs_of(const runtime::Backend& backend, const Calibration& calibration) {
  const Model& model = small_model();
  const runtime::Network network{model.graph(), model.state_dict()};
  const Shape in{2, 4, 3, 4};
  const Shape out{2, 5};
  std::vector<float> values(96);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 23) / 4 - 2.5F;
  std::vector<float> outputs(10, -1);
  const TensorView input{.data = values.data(), .shape = in};
  const MutableTensorView output{.data = outputs.data(), .shape = out};
  const auto weights = backend.make_weights(network).value();
  const runtime::RunOptions options{
      .precision = Precision::int8, .calibration = &calibration, .limits = network_limits()};
  require(backend.compile(network, std::span(&in, 1), weights, options)
              .value()
              ->run(std::span(&input, 1), std::span(&output, 1))
              .has_value());
  return outputs;
}

// Its ranges for the layers of the small network, one after the other.
void compute_with(const Calibration& given) {
  if (given.layers.empty()) return;
  Calibration calibration;
  auto next = given.layers.begin();
  for (const Node& node : small_model().graph().nodes()) {
    calibration.layers[node.name] = next->second;
    if (++next == given.layers.end()) next = given.layers.begin();
  }
  // A session asks for no more than the text does.
  SessionOptions options;
  options.precision = Precision::int8;
  options.calibration = &calibration;
  require(small_model().session(Device::cpu(), options).has_value());
  static const auto all = backends();
  std::optional<std::vector<float>> first;
  for (const auto& backend : all) {
    const std::vector<float> outputs = outputs_of(*backend, calibration);
    if (!first) first = outputs;
    require(std::memcmp(first->data(), outputs.data(), outputs.size() * sizeof(float)) == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<Calibration> calibration = Calibration::from_json(text, network_limits());
  if (!calibration) {
    (void)checked_line(calibration.error());
    return 0;
  }
  check_text(*calibration);
  compute_with(*calibration);
  return 0;
}
