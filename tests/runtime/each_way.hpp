// A convolution computed in each of its ways, as a tuner may choose them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/networks.hpp"
#include "runtime/tuning_table.hpp"
#include "rushlight/tuning.hpp"

namespace rushlight::test {

// Each way on every instruction set, on pictures of usual values and on those with one that is infinite, NaN or
// enormous. `net` is one layer with these ways; tunings know it by a text that ends with `layer_end`.
inline void expect_each_way_fits_reference(const Model& net, const Shape& shape, std::span<const std::string> ways,
                                           const std::string& layer_end) {
  const auto reference = runtime::reference::make_backend().value();
  for (const float odd :
       {0.0F, std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 1e38F}) {
    std::vector<float> values = values_for("input", shape);
    if (odd != 0) values[values.size() * 5 / 7] = odd;
    const Tensor x = tensor_of(values, shape);
    const auto expected = run_on(*reference, net, std::span(&x, 1))[0];
    for (const auto& backend : cpu_backends()) {
      for (const std::string& fastest : ways) {
        SCOPED_TRACE(fastest + " on " + std::string(backend->name()) + ", " + std::to_string(shape[2]) + " x " +
                     std::to_string(shape[3]) + ", " + std::to_string(odd));
        Tuning tuning;
        Tuning::Impl::of(tuning).stopwatch = [&](std::string_view way, const std::function<void()>& work) {
          work();
          return way == fastest ? 100U : 1000U;
        };
        runtime::RunOptions options;
        options.precision = Precision::fast;
        options.tuning = &tuning;
        const auto found = run_on(*backend, net, std::span(&x, 1), options)[0];
        ASSERT_NE(std::string::npos, tuning.text().find(layer_end + " : " + fastest + " #")) << tuning.text();
        expect_close(expected, found, 1e-5);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace rushlight::test
