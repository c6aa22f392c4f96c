// Every operator on a GPU against what PyTorch computes; tests/cuda/run_on_gpu.sh runs this. A case of which the host
// computes a layer is judged too, but a file of which no case runs on the GPU alone is no test that passed.
#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "cuda/operator_file_cases.hpp"
#include "cuda/usable_gpu.hpp"
#include "runtime/devices.hpp"

namespace rushlight::cuda {
namespace {

class GpuOperators : public testing::TestWithParam<test::OperatorFile> {};

TEST_P(GpuOperators, AgreeWithTorch) {
  const UsableGpu gpu = usable_gpu();
  if (!gpu.index) GTEST_SKIP() << gpu.why_not;
  const test::OperatorFile& file = GetParam();
  const auto path = test::find_file(file.name);
  if (!path) GTEST_SKIP() << file.name << ".pt is not in tests/golden, and RUSHLIGHT_TESTDATA has none";
  const auto backend = runtime::make_backend(Device::cuda(*gpu.index), Implementation::automatic).value();
  CaseCounts counts;
  expect_agreement(file, *path, *backend, true, counts);
  EXPECT_EQ(counts.all(), file.case_count);
  std::cout << file.name << ": " << counts.by_kernels << " cases on the GPU, " << counts.on_host
            << " with layers on the host\n";
  if (counts.by_kernels == 0 && !HasFailure()) {
    GTEST_SKIP() << file.name << ".pt: the host computes layers of every case";
  }
}

INSTANTIATE_TEST_SUITE_P(All, GpuOperators,
                         testing::ValuesIn(test::operator_files().begin(), test::operator_files().end()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace rushlight::cuda
