#include "cuda/fashion_case.hpp"

#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/image.hpp"
#include "rushlight/npy.hpp"

namespace rushlight::cuda {
namespace {

// Of the build, or of the package that a machine with a GPU was given (run_on_gpu.sh).
std::string fashion_folder() {
  const char* const data = std::getenv("RUSHLIGHT_TESTDATA");
  std::string built = RUSHLIGHT_GOLDEN_DIR "/fashion/";
  return data == nullptr || std::filesystem::exists(built) ? built : std::string(data) + "/fashion/";
}

}  // namespace

FashionCase fashion_case(std::int64_t count) {
  const std::string folder = fashion_folder();
  const Checkpoint checkpoint = Checkpoint::open(folder + "fashion_cnn.pt").value();
  Model model = Model::create(test::fashion_net(), checkpoint.state_dict().value()).value();
  const Tensor pixels = read_idx(folder + "images-1000.idx3-ubyte").value();
  const std::span<const std::uint8_t> all = pixels.values<std::uint8_t>().value();
  std::vector<float> scaled;
  for (const std::uint8_t pixel : all.first(static_cast<std::size_t>(count) * 784)) {
    scaled.push_back(static_cast<float>(pixel) / 255.0F);
  }
  std::vector<float> logits = test::floats_of(read_npy(folder + "logits-10000.npy").value());
  logits.resize(static_cast<std::size_t>(count) * 10);
  return {std::move(model), test::tensor_of(scaled, {count, 1, 28, 28}), std::move(logits)};
}

}  // namespace rushlight::cuda
