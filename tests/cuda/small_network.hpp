// A network of three kernels for the tests over fake_cuda.hpp: what they try they try often.
#pragma once

#include "cuda/backend.hpp"
#include "cuda/fake_cuda.hpp"
#include "runtime/networks.hpp"

namespace rushlight::cuda {

inline Model small_model() {
  return test::made_up_model(Sequential{{"conv", Conv2d{.in_channels = 1, .out_channels = 4, .kernel_size = 3}},
                                        ReLU{},
                                        {"pool", MaxPool2d{.kernel_size = 2}},
                                        Flatten{},
                                        {"fc", Linear{36, 3}}}
                                 .graph({1, 8, 8})
                                 .value());
}
inline constexpr std::size_t kSmallInput = 2 * 64;
inline constexpr std::size_t kSmallOutput = 2 * 3;
inline const Shape kSmallInputShape = {2, 1, 8, 8};
inline const Shape kSmallOutputShape = {2, 3};
inline Tensor small_input(std::string_view name = "x") {
  return test::made_up(name, kSmallInputShape);
}

// The made-up GPU passes its self-check, which it does once a process: not among the calls that tests count.
inline void meet_the_gpu() {
  fake::reset();
  static const bool is_met = make_backend(0, runtime::cpu::make_backend().value()).has_value();
  ASSERT_TRUE(is_met);
  fake::reset();
}

}  // namespace rushlight::cuda
