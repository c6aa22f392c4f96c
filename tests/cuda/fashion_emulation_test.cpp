// From the file to PyTorch's logits, through the emulated kernels.
#include <gtest/gtest.h>

#include "cuda/emulated_backend.hpp"
#include "cuda/fashion_case.hpp"
#include "runtime/networks.hpp"

namespace rushlight::cuda {
namespace {

TEST(EmulatedFashion, LogitsAreThoseOfPyTorch) {
  // One alone takes the kernel for few rows, several take tiles.
  for (const std::int64_t count : {1, 12}) {
    const FashionCase fashion = fashion_case(count);
    const auto found = test::run_on(*emulation::make_backend(), fashion.model, {&fashion.images, 1});
    test::expect_close(fashion.logits, found.at(0), kFashionTolerance);
  }
}

}  // namespace
}  // namespace rushlight::cuda
