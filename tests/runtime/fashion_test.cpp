// The trained Fashion-MNIST network from its file to PyTorch's own logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"
#include "rushlight/calibration.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/evaluate.hpp"
#include "rushlight/npy.hpp"

namespace rushlight::test {
namespace {

// The bytes of an IDX file after its header of `header` bytes.
std::vector<std::uint8_t> read_idx(const std::string& path, std::size_t header, std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return {};
  const bool good =
      std::fseek(file, static_cast<long>(header), SEEK_SET) == 0 && std::fread(bytes.data(), 1, count, file) == count;
  std::fclose(file);
  return good ? bytes : std::vector<std::uint8_t>();
}

// A thousand pictures of the test set, what they show, and the network.
struct Set {
  static constexpr std::size_t kItems = 1000;
  std::string folder = RUSHLIGHT_GOLDEN_DIR "/fashion/";
  Model model =
      Model::create(fashion_net(), Checkpoint::open(folder + "fashion_cnn.pt").value().state_dict().value()).value();
  std::vector<std::uint8_t> labels = read_idx(folder + "labels-1000.idx1-ubyte", 8, kItems);
  Tensor images;
  Tensor targets;

  Set() {
    const auto pixels = read_idx(folder + "images-1000.idx3-ubyte", 16, kItems * 784);
    EXPECT_EQ(kItems * 784, pixels.size());
    EXPECT_EQ(kItems, labels.size());
    std::vector<float> scaled;
    for (const std::uint8_t pixel : pixels) scaled.push_back(static_cast<float>(pixel) / 255.0F);
    images = tensor_of(scaled, {kItems, 1, 28, 28});
    targets = Tensor::from_values<std::uint8_t>(labels, {kItems}).value();
  }
};

TEST(Fashion, LogitsOfAThousandImagesAreThoseOfPyTorchOnBothBackendsAndNearlySoInBf16) {
  const Set set;
  ASSERT_FALSE(HasFailure());
  const Tensor all_logits = read_npy(set.folder + "logits-10000.npy").value();
  const std::vector<float> torch = floats_of(all_logits);
  const std::span<const float> expected = std::span(torch).first(Set::kItems * 10);
  std::size_t right = 0;
  for (std::size_t i = 0; i < Set::kItems; ++i) {
    const auto row = expected.subspan(i * 10, 10);
    if (std::max_element(row.begin(), row.end()) - row.begin() == set.labels[i]) ++right;
  }
  // bfloat16 may change a class where two logits are nearly equal: of a thousand pictures at most three.
  EvaluateOptions bf16;
  bf16.session.precision = Precision::bf16;
  bf16.batch = 128;
  const std::vector<float> rounded = floats_of(evaluate(set.model, set.images, bf16).value().output);
  expect_close(expected, rounded, 2e-2);
  std::size_t others = 0;
  for (std::size_t i = 0; i < Set::kItems; ++i) {
    const auto row = expected.subspan(i * 10, 10);
    const auto found = std::span(rounded).subspan(i * 10, 10);
    others += std::max_element(row.begin(), row.end()) - row.begin() !=
              std::max_element(found.begin(), found.end()) - found.begin();
  }
  EXPECT_LE(others, 3U);
  for (const auto implementation : {Implementation::automatic, Implementation::reference}) {
    EvaluateOptions options;
    options.session.implementation = implementation;
    options.batch = 128;
    options.targets = &set.targets;
    const Evaluation evaluation = evaluate(set.model, set.images, options).value();
    expect_close(expected, floats_of(evaluation.output), 1e-5);
    EXPECT_DOUBLE_EQ(static_cast<double>(right) / 1000.0, evaluation.accuracy.value());
  }
}

TEST(Fashion, Int8IsAsAccurateWithinAPercent) {
  const Set set;
  ASSERT_FALSE(HasFailure());
  EvaluateOptions options;
  options.targets = &set.targets;
  const Evaluation plain = evaluate(set.model, set.images, options).value();
  // The first hundred pictures give the ranges.
  const Tensor samples = Tensor::view(set.images.storage(), DType::f32, {100, 1, 28, 28}, {784, 784, 28, 1}, 0).value();
  options.session.precision = Precision::int8;
  for (const RangeChoice choice : {RangeChoice::least_error, RangeChoice::min_max}) {
    const Calibration calibration = calibrate(set.model, std::span(&samples, 1), {.choice = choice}).value();
    EXPECT_EQ(4U, calibration.layers.size());
    options.session.calibration = &calibration;
    const Evaluation coded = evaluate(set.model, set.images, options).value();
    std::size_t equal = 0;
    for (std::size_t i = 0; i < Set::kItems; ++i) {
      if (plain.results[i].top[0].index == coded.results[i].top[0].index) ++equal;
    }
    EXPECT_NEAR(plain.accuracy.value(), coded.accuracy.value(), 0.01);
    EXPECT_GE(equal, 980U);
  }
}

}  // namespace
}  // namespace rushlight::test
