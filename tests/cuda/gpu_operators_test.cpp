// Every operator on a GPU against what PyTorch computes; tests/cuda/run_on_gpu.sh runs this. A case of which the host
// computes a layer is judged too, but a file of which no case runs on the GPU alone is no test that passed.
#include <gtest/gtest.h>

#include <cstddef>
#include <iostream>
#include <string>

#include "cuda/kernel_of_case.hpp"
#include "cuda/usable_gpu.hpp"
#include "operators/operator_files.hpp"
#include "runtime/devices.hpp"

namespace rushlight::cuda {
namespace {

class GpuOperators : public testing::TestWithParam<const test::OperatorFile*> {};

TEST_P(GpuOperators, AgreeWithTorch) {
  const UsableGpu gpu = usable_gpu();
  if (!gpu.index) GTEST_SKIP() << gpu.why_not;
  const test::OperatorFile& file = *GetParam();
  const auto path = test::find_file(file.name);
  if (!path) GTEST_SKIP() << file.name << ".pt is not in tests/golden, and RUSHLIGHT_TESTDATA has none";
  const auto backend = runtime::make_backend(Device::cuda(*gpu.index), Implementation::automatic).value();
  std::size_t on_gpu = 0;
  std::size_t on_host = 0;
  const std::vector<Value> cases = test::read_cases(*path).value();
  EXPECT_EQ(cases.size(), file.case_count);
  for (const Value& values : cases) {
    const Result<test::OperatorCase> one = test::make_case(values);
    ASSERT_TRUE(one) << file.name << ": " << to_string(one.error());
    const std::string where = std::string(file.name) + ", case '" + one->name + "' (" + one->module + ")";
    const Result<bool> has_kernels = device_computes(*one);
    ASSERT_TRUE(has_kernels) << where << ": " << to_string(has_kernels.error());
    ++(*has_kernels ? on_gpu : on_host);
    const Result<std::vector<Tensor>> found = test::run_case(*backend, *one);
    if (!found) {
      ADD_FAILURE() << where << ": " << to_string(found.error());
      continue;
    }
    for (std::size_t i = 0; i < found->size(); ++i) {
      const test::Verdict verdict = test::compare(test::rule_of(file, *one), one->outputs[i], (*found)[i]);
      EXPECT_TRUE(verdict.problem.empty()) << where << ", output " << i << " " << verdict.problem;
    }
  }
  std::cout << file.name << ": " << on_gpu << " cases on the GPU, " << on_host << " with layers on the host\n";
  if (on_gpu == 0 && !HasFailure()) GTEST_SKIP() << file.name << ".pt: the host computes layers of every case";
}

std::vector<const test::OperatorFile*> files() {
  std::vector<const test::OperatorFile*> all;
  for (const test::OperatorFile& file : test::operator_files()) all.push_back(&file);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, GpuOperators, testing::ValuesIn(files()),
                         [](const auto& one) { return std::string(one.param->name); });

}  // namespace
}  // namespace rushlight::cuda
