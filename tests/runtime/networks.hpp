// Networks with made-up weights for the runtime's tests, and ways to run and compare them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cpu_features.hpp"
#include "runtime/backend.hpp"
#include "runtime/cpu/backend.hpp"
#include "runtime/reference/backend.hpp"
#include "rushlight/calibration.hpp"
#include "rushlight/model.hpp"

namespace rushlight::test {

// Number `index` of the series `seed`, in [0, 1) with 24 bits: splitmix64. make_nets.py has the same.
inline float unit(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<float>(z >> 40) / 16777216.0F;
}

// FNV-1a.
inline std::uint64_t seed_of(std::string_view name) {
  std::uint64_t state = 0xCBF29CE484222325U;
  for (const char c : name) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return state;
}

inline std::int64_t numel_of(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

// Variances and norm weights in [0.5, 1.5), the rest around 0 and smaller the more of it is summed up.
inline std::vector<float> values_for(std::string_view name, const Shape& shape) {
  const std::uint64_t seed = seed_of(name);
  std::vector<float> values(static_cast<std::size_t>(numel_of(shape)));
  const bool is_weight = name.ends_with("weight");
  const bool is_positive = name.ends_with("running_var") || (is_weight && shape.size() == 1);
  std::int64_t fan_in = 1;
  if (is_weight) {
    for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
  }
  int bits = 0;
  for (std::int64_t left = fan_in; left > 0; left /= 2) ++bits;
  const float scale = std::ldexp(1.0F, 2 - bits / 2);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float u = unit(seed, i);
    values[i] = is_positive ? u + 0.5F : (u - 0.5F) * scale;
  }
  return values;
}

inline Tensor tensor_of(std::span<const float> values, Shape shape) {
  return Tensor::from_values(values, std::move(shape)).value();
}
inline Tensor tensor_of(std::initializer_list<float> values, Shape shape) {
  return tensor_of(std::span(values.begin(), values.size()), std::move(shape));
}
inline Tensor made_up(std::string_view name, const Shape& shape) {
  return tensor_of(values_for(name, shape), shape);
}

inline std::vector<float> floats_of(const Tensor& tensor) {
  const auto values = tensor.values<float>().value();
  return {values.begin(), values.end()};
}

// Every attribute of the graph must be given: nothing can be read off weights that do not exist yet.
inline StateDict made_up_state(const Graph& graph) {
  StateDict state;
  for (const ParameterSpec& parameter : graph.parameters()) {
    state.insert(parameter.name, made_up(parameter.name, parameter.shape));
  }
  return state;
}
inline Model made_up_model(Graph graph) {
  const StateDict state = made_up_state(graph);
  return Model::create(std::move(graph), state).value();
}

// One operator on one input.
inline Graph graph_of(Operator op, std::string name = "op") {
  GraphBuilder builder;
  builder.output("y", builder.apply(std::move(name), std::move(op), builder.input("x")));
  return builder.build().value();
}
inline Model model_of(Operator op, std::initializer_list<std::pair<std::string, Tensor>> parameters = {}) {
  StateDict state;
  for (const auto& [name, tensor] : parameters) state.insert("op." + name, tensor);
  return Model::create(graph_of(std::move(op)), state).value();
}

// What one backend makes of inputs, without a Session in between.
inline std::vector<std::vector<float>> run_on(const runtime::Backend& backend, const Model& model,
                                              std::span<const Tensor> inputs, const runtime::RunOptions& options) {
  const runtime::Network network{model.graph(), model.state_dict()};
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.emplace_back(input.shape().begin(), input.shape().end());
  const auto weights = backend.make_weights(network).value();
  const auto program = backend.compile(network, shapes, weights, options).value();
  const std::vector<Shape> edges = model.graph().infer_shapes(shapes).value();
  std::vector<TensorView> in;
  for (const Tensor& input : inputs) in.push_back({.data = input.bytes().value().data(), .shape = input.shape()});
  std::vector<std::vector<float>> results;
  std::vector<MutableTensorView> out;
  for (const Port& port : model.outputs()) {
    const Shape& shape = edges[static_cast<std::size_t>(port.edge.index)];
    // Of no particular value before the run, to see that all of it is written.
    results.emplace_back(static_cast<std::size_t>(numel_of(shape)), -12345.0F);
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    out.push_back({.data = results[i].data(), .shape = edges[static_cast<std::size_t>(model.outputs()[i].edge.index)]});
  }
  // The first run finds fresh memory, the second the values of the first: both must give the same.
  program->run(in, out).value();
  const std::vector<std::vector<float>> first = results;
  program->run(in, out).value();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::size_t size_bytes = first[i].size() * sizeof(float);
    EXPECT_TRUE(size_bytes == 0 || std::memcmp(results[i].data(), first[i].data(), size_bytes) == 0)
        << "a second run gives other bits";
  }
  return results;
}

inline std::vector<std::vector<float>> run_on(const runtime::Backend& backend, const Model& model,
                                              std::span<const Tensor> inputs, Executor* executor = nullptr,
                                              Precision precision = Precision::strict,
                                              const Calibration* calibration = nullptr) {
  return run_on(backend, model, inputs,
                {.executor = executor, .precision = precision, .calibration = calibration, .limits = {}});
}

// The CPU backend for each instruction set this machine has.
inline std::vector<std::shared_ptr<const runtime::Backend>> cpu_backends() {
  std::vector<std::shared_ptr<const runtime::Backend>> backends;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (auto backend = runtime::cpu::make_backend(isa)) backends.push_back(*std::move(backend));
  }
  return backends;
}

// NaN and infinities stand at the same places, and finite values differ by at most tolerance x the largest of them.
inline void expect_close(std::span<const float> expected, std::span<const float> found, double tolerance) {
  ASSERT_EQ(expected.size(), found.size());
  double largest = 0;
  for (const float value : expected) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(expected[i])) {
      const bool same = std::isnan(expected[i]) ? std::isnan(found[i]) : expected[i] == found[i];
      ASSERT_TRUE(same) << "at " << i << ": expected " << expected[i] << ", found " << found[i];
      continue;
    }
    const double error = std::fabs(static_cast<double>(expected[i]) - static_cast<double>(found[i]));
    ASSERT_LE(error, tolerance * largest) << "at " << i << ": expected " << expected[i] << ", found " << found[i];
  }
}

// Every CPU backend against the reference, in both precisions.
inline void expect_cpu_fits_reference(const Model& model, std::span<const Tensor> inputs, double tolerance = 2e-6) {
  const auto reference = runtime::reference::make_backend().value();
  const auto expected = run_on(*reference, model, inputs);
  for (const auto& backend : cpu_backends()) {
    SCOPED_TRACE(backend->name());
    for (const Precision precision : {Precision::strict, Precision::fast}) {
      const bool is_fast = precision == Precision::fast;
      SCOPED_TRACE(is_fast ? "fast" : "strict");
      const auto found = run_on(*backend, model, inputs, nullptr, precision);
      ASSERT_EQ(expected.size(), found.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        expect_close(expected[i], found[i], is_fast ? std::max(tolerance, 3e-5) : tolerance);
      }
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}
inline void expect_cpu_fits_reference(const Model& model, const Tensor& input, double tolerance = 2e-6) {
  expect_cpu_fits_reference(model, std::span(&input, 1), tolerance);
}

}  // namespace rushlight::test
