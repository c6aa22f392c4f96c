// Opens a training checkpoint and a spec of its network, and classifies the first picture of an IDX set.
//   classify fashion_ckpt.pt fashion_cnn.json images.idx3-ubyte
#include <cstdio>
#include <fstream>
#include <iterator>

#include "rushlight/rushlight.hpp"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::ifstream spec_file(argv[2]);
  const std::string spec(std::istreambuf_iterator<char>(spec_file), {});

  const auto checkpoint = rushlight::Checkpoint::open(argv[1]).value();
  const auto model = rushlight::load_model(checkpoint, {.spec = spec}).value();
  const auto images = rushlight::read_idx(argv[3]).value();  // uint8 [N, 28, 28]
  const auto first =
      rushlight::Tensor::view(images.storage(), images.dtype(), {1, 1, 28, 28}, {784, 784, 28, 1}, 0).value();
  const auto input = rushlight::to_input(first, model.graph().preprocessing()).value();
  auto session = model.session().value();
  const auto logits = session.run(input).value();

  const auto scores = logits.values<float>().value();
  std::size_t best = 0;
  for (std::size_t i = 1; i < scores.size(); ++i) best = scores[i] > scores[best] ? i : best;
  std::printf("%s (%.3f)\n", model.graph().labels()[best].c_str(), static_cast<double>(scores[best]));
}
