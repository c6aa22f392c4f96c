// What the networks of torchvision answer, against PyTorch: one quick run of each family and more, and for some of them
// what lies between. tests/parity/architectures.py does it for all networks at their full size.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "architectures/compare.hpp"

namespace rushlight::test {
namespace {

const std::filesystem::path kFolder = RUSHLIGHT_GOLDEN_DIR "/architectures";

void expect_right(const std::string& where, const Result<std::vector<OutputVerdict>>& verdicts) {
  ASSERT_TRUE(verdicts) << where << ": " << to_string(verdicts.error());
  for (const OutputVerdict& verdict : *verdicts) {
    EXPECT_EQ(verdict.problem, "") << where << ", " << verdict.name << "; PyTorch's own error is "
                                   << verdict.torch_error;
  }
}

// Each network with a run of its own in the tree, or a trace.
std::vector<std::string> compared() {
  std::vector<std::string> names;
  for (const std::string& name : architecture_names(kFolder)) {
    const ArchitectureCase architecture = read_architecture(kFolder, name);
    bool has_any = !architecture.trace.empty();
    for (const ArchitectureRun& run : architecture.runs) has_any = has_any || has_outputs(run);
    if (has_any) names.push_back(name);
  }
  return names;
}

class Values : public testing::TestWithParam<std::string> {};

TEST_P(Values, AgreeWithTorch) {
  const ArchitectureCase architecture = read_architecture(kFolder, GetParam());
  const StateDict weights = make_state_dict(architecture);
  for (const ArchitectureRun& run : architecture.runs) {
    if (!has_outputs(run)) continue;
    expect_right(run.arch, compare_run(run, weights, {}));
  }
  if (!architecture.trace.empty()) expect_right(GetParam(), compare_trace(architecture, weights, {}));
}

INSTANTIATE_TEST_SUITE_P(Architectures, Values, testing::ValuesIn(compared()),
                         [](const auto& named) { return named.param; });

// Changed weights must not pass: the comparison has teeth.
TEST(Values, AWeightThatDiffersIsSeen) {
  const ArchitectureCase architecture = read_architecture(kFolder, "squeezenet1_1");
  StateDict weights = make_state_dict(architecture);
  const Recipe& bias = architecture.state_dict[1];
  ASSERT_EQ(bias.name, "features.0.bias");
  weights.insert(bias.name, Tensor::zeros(DType::f32, bias.shape).value());
  for (const ArchitectureRun& run : architecture.runs) {
    if (!has_outputs(run)) continue;
    EXPECT_NE(compare_run(run, weights, {}).value()[0].problem, "");
  }
}

}  // namespace
}  // namespace rushlight::test
