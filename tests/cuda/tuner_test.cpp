// The tuner of the CUDA backend, with a clock that the tests make up.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <variant>
#include <vector>

#include "base/fail.hpp"
#include "cuda/fake_cuda.hpp"
#include "cuda/small_network.hpp"
#include "rushlight/tuning.hpp"
#include "rushlight/version.hpp"

namespace rushlight::cuda {
namespace {

class CudaTuner : public testing::Test {
 protected:
  void SetUp() override {
    meet_the_gpu();
    begin_on(86);
  }
  void TearDown() override { EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back"; }

  // GPUs of 8.6 and 8.9 multiply floats without tensor cores.
  static void begin_on(int capability) { fake::reset({{.name = "Made-up GPU", .capability = capability}}); }

  // Products take as long as their tile says, everything else nothing.
  static void set_times(double tile128x64, double tile64x64, double tile64x32) {
    fake::set_clock([=](const Work& work) {
      const auto* const gemm = std::get_if<GemmCall>(&work);
      if (gemm == nullptr) return 0.0;
      switch (gemm->tile) {
        case GemmTile::rows128_columns64:
          return tile128x64;
        case GemmTile::rows64_columns64:
          return tile64x64;
        case GemmTile::rows64_columns32:
          return tile64x32;
      }
      return 0.0;
    });
  }
  static Result<std::vector<float>> run_with(Tuning* tuning, Progress* progress = nullptr) {
    const Model model = small_model();
    RUSHLIGHT_TRY_ASSIGN(Session session, model.session(Device::cuda(0), {.progress = progress, .tuning = tuning}));
    RUSHLIGHT_TRY(session.prepare({&kSmallInputShape, 1}));
    RUSHLIGHT_TRY_ASSIGN(const Tensor output, session.run(small_input()));
    return test::floats_of(output);
  }
};

// Kernels that were launched in a run: of one image when the session is made, of two for the run.
std::string layer_line(int images, const char* word) {
  return "gemm rows=" + std::to_string(36 * images) +
         " columns=4 depth=9 groups=1 singles in=8x8 kernel=3x3 stride=1x1 dilation=1x1 : " + word + "\n";
}

TEST_F(CudaTuner, NotesTheFastestUnderTheGpuItsDriverAndTheSizes) {
  const std::vector<float> expected = run_with(nullptr).value();
  set_times(300, 100, 200);
  Tuning tuning;
  EXPECT_EQ(run_with(&tuning).value(), expected) << "tiles differ in no bit";
  EXPECT_EQ(tuning.measured(), 2U);
  const std::string text = tuning.text();
  const std::string machine = "machine Made-up GPU, sm_86, 4 processors, driver " +
                              std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10) +
                              ", rushlight " + std::string(version_string()) + "\n";
  EXPECT_TRUE(text.ends_with("\n" + machine + layer_line(1, "64x64") + layer_line(2, "64x64"))) << text;

  set_times(100, 300, 200);
  Tuning other;
  EXPECT_EQ(run_with(&other).value(), expected);
  EXPECT_TRUE(other.text().ends_with(layer_line(1, "128x64") + layer_line(2, "128x64"))) << other.text();
}

TEST_F(CudaTuner, ChoosesTilesOfTensorCoresWithoutAChangedBit) {
  begin_on(80);
  const Model model = test::made_up_model(
      Sequential{Conv2d{.in_channels = 4, .out_channels = 96, .kernel_size = 3}}.graph({4, 9, 9}).value());
  const Tensor input = test::made_up("x", {1, 4, 9, 9});
  const std::vector<float> expected = test::floats_of(model.session(Device::cuda(0)).value().run(input).value());
  std::string texts;
  for (const MmaTileName fastest :
       {MmaTileName::rows128_columns64, MmaTileName::rows64_columns64, MmaTileName::rows64_columns32}) {
    fake::set_clock([=](const Work& work) {
      const auto* const call = std::get_if<MmaCall>(&work);
      return call != nullptr && call->tile == fastest ? 1.0 : 2.0;
    });
    Tuning tuning;
    Session session = model.session(Device::cuda(0), {.limits = {}, .tuning = &tuning}).value();
    EXPECT_EQ(test::floats_of(session.run(input).value()), expected);
    const std::string text = tuning.text();
    texts += text.substr(text.rfind(" columns"));
  }
  const std::string sizes =
      " columns=96 depth=36 groups=1 splits=1 chunks in=9x9 kernel=3x3 stride=1x1 dilation=1x1 : ";
  EXPECT_EQ(texts, sizes + "128x64\n" + sizes + "64x64\n" + sizes + "64x32\n");
}

// The kind follows from sizes; a clock chooses among tiles of that kind alone.
TEST_F(CudaTuner, ChoosesTilesOfWarpgroupsWithoutAChangedBit) {
  begin_on(90);
  const Model model = test::made_up_model(
      Sequential{Conv2d{.in_channels = 64, .out_channels = 128, .kernel_size = 3}}.graph({64, 9, 9}).value());
  const Tensor input = test::made_up("x", {1, 64, 9, 9});
  const auto session_with = [&](Tuning* tuning) {
    SessionOptions options;
    options.precision = Precision::bf16;
    options.tuning = tuning;
    return model.session(Device::cuda(0), options).value();
  };
  const std::vector<float> expected = test::floats_of(session_with(nullptr).run(input).value());
  std::string words;
  for (const MmaTileName fastest :
       {MmaTileName::rows128_columns256, MmaTileName::rows128_columns128, MmaTileName::rows64_columns64}) {
    fake::set_clock([=](const Work& work) {
      const auto* const call = std::get_if<MmaCall>(&work);
      return call != nullptr && call->tile == fastest ? 1.0 : 2.0;
    });
    Tuning tuning;
    EXPECT_EQ(test::floats_of(session_with(&tuning).run(input).value()), expected);
    const std::string text = tuning.text();
    EXPECT_NE(text.find("\nwgmma_bf16 rows=49 columns=128 depth=576"), std::string::npos) << text;
    words += text.substr(text.rfind(" : "));
  }
  EXPECT_EQ(words, " : 128x256\n : 128x128\n : 64x64\n");
}

// Memory that was never written may hold NaN, as the fake's does: 3xTF32 computes such products twice.
TEST_F(CudaTuner, MeasuresOnNumbersWhateverMemoryHeld) {
  begin_on(90);
  const Model model = test::made_up_model(
      Sequential{Conv2d{.in_channels = 4, .out_channels = 96, .kernel_size = 3}}.graph({4, 9, 9}).value());
  int products = 0;
  int on_numbers = 0;
  fake::set_clock([&](const Work& work) {
    if (const auto* const call = std::get_if<MmaCall>(&work)) {
      ++products;
      on_numbers += std::isfinite(call->arguments.gemm.input[0]) ? 1 : 0;
    }
    return 1.0;
  });
  Tuning tuning;
  ASSERT_TRUE(model.session(Device::cuda(0), {.limits = {}, .tuning = &tuning}));
  EXPECT_EQ(tuning.measured(), 1U);
  EXPECT_GT(products, 100);
  EXPECT_EQ(on_numbers, products);
}

TEST_F(CudaTuner, KeepsTheRulesWayWhereNothingGainsMuch) {
  set_times(98, 98, 100);
  Tuning tuning;
  ASSERT_TRUE(run_with(&tuning));
  EXPECT_TRUE(tuning.text().ends_with(layer_line(1, "64x32") + layer_line(2, "64x32"))) << tuning.text();
}

TEST_F(CudaTuner, MeasuresNothingThatIsKnown) {
  set_times(300, 100, 200);
  Tuning first;
  ASSERT_TRUE(run_with(&first));
  Tuning second = Tuning::parse(first.text()).value();
  begin_on(86);
  ASSERT_TRUE(run_with(nullptr));
  const int launches = fake::calls_of("launch");
  begin_on(86);
  ASSERT_TRUE(run_with(&second));
  EXPECT_EQ(second.measured(), 0U);
  EXPECT_EQ(fake::calls_of("launch"), launches);
  EXPECT_EQ(fake::calls_of("cudaEventElapsedTime"), 0);

  // Of another GPU nothing is known.
  begin_on(89);
  ASSERT_TRUE(run_with(&second));
  EXPECT_EQ(second.measured(), 2U);
  EXPECT_EQ(second.size(), 4U);
}

TEST_F(CudaTuner, MeasuresAnewWhatIsNoWayOfTheLayer) {
  set_times(300, 100, 200);
  Tuning good;
  ASSERT_TRUE(run_with(&good));
  std::string text = good.text();
  for (std::size_t at = text.find(": 64x64"); at != std::string::npos; at = text.find(": 64x64")) {
    text.replace(at, 7, ": winograd");
  }
  Tuning odd = Tuning::parse(text).value();
  ASSERT_TRUE(run_with(&odd));
  EXPECT_EQ(odd.text(), good.text());
}

TEST_F(CudaTuner, MeasuresNothingWhereItMustNot) {
  set_times(300, 100, 200);
  Tuning tuning;
  tuning.set_measures(false);
  ASSERT_TRUE(run_with(&tuning));
  EXPECT_EQ(tuning.size(), 0U);
  EXPECT_EQ(fake::calls_of("cudaEventElapsedTime"), 0);
}

class StopTuning final : public Progress {
 public:
  [[nodiscard]] bool on_progress(std::string_view phase, std::uint64_t, std::uint64_t) override {
    return phase != "tune";
  }
};

TEST_F(CudaTuner, LeavesOutWhatTheDriverDoesNotRecord) {
  // The rule's own way, without which nothing is compared, and the fastest one.
  for (const auto& [refused, chosen] : {std::pair{0, "64x32"}, {2, "128x64"}}) {
    begin_on(86);
    set_times(100, 90, 200);
    fake::fail("cudaStreamBeginCapture", cudaErrorStreamCaptureUnsupported, refused);
    Tuning tuning;
    ASSERT_TRUE(run_with(&tuning));
    EXPECT_EQ(fake::failed_call(), "cudaStreamBeginCapture");
    EXPECT_TRUE(tuning.text().ends_with(layer_line(1, chosen) + layer_line(2, "64x64"))) << tuning.text();
  }
}

TEST_F(CudaTuner, CanBeCancelledAndKeepsWhatItMeasured) {
  StopTuning progress;
  Tuning tuning;
  const auto outcome = run_with(&tuning, &progress);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::cancelled);
  EXPECT_EQ(tuning.measured(), 1U);
}

TEST_F(CudaTuner, EachCallThatFailsIsNamedAndNothingIsLeftBehind) {
  fake::skip_kernels();
  Tuning known;
  ASSERT_TRUE(run_with(&known));
  const int calls = fake::calls();
  int errors = 0;
  for (int i = 0; i < calls; ++i) {
    begin_on(86);
    fake::skip_kernels();
    fake::fail_any(cudaErrorInvalidValue, i);
    Tuning tuning;
    const auto outcome = run_with(&tuning);
    SCOPED_TRACE(std::to_string(i) + ": " + fake::failed_call());
    ASSERT_EQ(fake::live(), fake::Live{});
    if (!outcome) ++errors;
    ASSERT_TRUE(run_with(&tuning));
    EXPECT_EQ(tuning.size(), 2U);
  }
  EXPECT_GT(errors, 50);
}

}  // namespace
}  // namespace rushlight::cuda
