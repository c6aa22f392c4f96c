#include "cuda/operator_file_cases.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cuda/kernel_of_case.hpp"

namespace rushlight::cuda {

void expect_agreement(const test::OperatorFile& file, const std::filesystem::path& path,
                      const runtime::Backend& backend, bool thrice, CaseCounts& counts) {
  for (const Value& values : test::read_cases(path).value()) {
    const Result<test::OperatorCase> one = test::make_case(values);
    ASSERT_TRUE(one) << file.name << ": " << to_string(one.error());
    const std::string where = std::string(file.name) + ", case '" + one->name + "' (" + one->module + ")";
    const Result<bool> has_kernels = device_computes(*one);
    ASSERT_TRUE(has_kernels) << where << ": " << to_string(has_kernels.error());
    ++(*has_kernels ? counts.by_kernels : counts.on_host);
    const Result<std::vector<Tensor>> found = test::run_case(backend, *one, thrice);
    if (!found) {
      ADD_FAILURE() << where << ": " << to_string(found.error());
      continue;
    }
    for (std::size_t i = 0; i < found->size(); ++i) {
      const test::Verdict verdict = test::compare(test::rule_of(file, *one), one->outputs[i], (*found)[i]);
      EXPECT_TRUE(verdict.problem.empty()) << where << ", output " << i << " " << verdict.problem;
    }
  }
}

}  // namespace rushlight::cuda
