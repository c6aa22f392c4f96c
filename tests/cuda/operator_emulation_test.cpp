// Every operator through plan, calls and emulated kernels against what PyTorch computes: the cases of tests/operators.
// What has no kernel the host computes, and a case is not counted as emulated then.
#include <gtest/gtest.h>

#include <cstddef>
#include <iostream>
#include <string>
#include <string_view>

#include "cuda/emulated_backend.hpp"
#include "cuda/kernel_of_case.hpp"
#include "operators/operator_files.hpp"

namespace rushlight::cuda {
namespace {

class EmulatedOperators : public testing::TestWithParam<const test::OperatorFile*> {};

TEST_P(EmulatedOperators, AgreeWithTorch) {
  const test::OperatorFile& file = *GetParam();
  const auto path = test::find_file(file.name);
  if (!path) GTEST_SKIP() << file.name << ".pt is not in tests/golden, and RUSHLIGHT_TESTDATA has none";
  const auto backend = emulation::make_backend();
  std::size_t emulated = 0;
  std::size_t on_host = 0;
  for (const Value& values : test::read_cases(*path).value()) {
    const Result<test::OperatorCase> one = test::make_case(values);
    ASSERT_TRUE(one) << file.name << ": " << to_string(one.error());
    const std::string where = std::string(file.name) + ", case '" + one->name + "' (" + one->module + ")";
    const Result<bool> has_kernels = device_computes(*one);
    ASSERT_TRUE(has_kernels) << where << ": " << to_string(has_kernels.error());
    ++(*has_kernels ? emulated : on_host);
    const Result<std::vector<Tensor>> found = test::run_case(*backend, *one, false);
    if (!found) {
      ADD_FAILURE() << where << ": " << to_string(found.error());
      continue;
    }
    for (std::size_t i = 0; i < found->size(); ++i) {
      const test::Verdict verdict = test::compare(test::rule_of(file, *one), one->outputs[i], (*found)[i]);
      EXPECT_TRUE(verdict.problem.empty()) << where << ", output " << i << " " << verdict.problem;
    }
  }
  std::cout << file.name << ": " << emulated << " cases emulated, " << on_host << " with layers on the host\n";
}

std::vector<const test::OperatorFile*> files() {
  std::vector<const test::OperatorFile*> all;
  for (const test::OperatorFile& file : test::operator_files()) all.push_back(&file);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, EmulatedOperators, testing::ValuesIn(files()),
                         [](const auto& one) { return std::string(one.param->name); });

}  // namespace
}  // namespace rushlight::cuda
