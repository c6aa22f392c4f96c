// Every operator through plan, calls and emulated kernels against what PyTorch computes: the cases of tests/operators.
// What has no kernel the host computes, and a case is not counted as emulated then.
#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "cuda/emulated_backend.hpp"
#include "cuda/operator_file_cases.hpp"

namespace rushlight::cuda {
namespace {

class EmulatedOperators : public testing::TestWithParam<test::OperatorFile> {};

TEST_P(EmulatedOperators, AgreeWithTorch) {
  const test::OperatorFile& file = GetParam();
  const auto path = test::find_file(file.name);
  if (!path) GTEST_SKIP() << file.name << ".pt is not in tests/golden, and RUSHLIGHT_TESTDATA has none";
  CaseCounts counts;
  expect_agreement(file, *path, *emulation::make_backend(), false, counts);
  std::cout << file.name << ": " << counts.by_kernels << " cases emulated, " << counts.on_host
            << " with layers on the host\n";
}

INSTANTIATE_TEST_SUITE_P(All, EmulatedOperators,
                         testing::ValuesIn(test::operator_files().begin(), test::operator_files().end()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace rushlight::cuda
