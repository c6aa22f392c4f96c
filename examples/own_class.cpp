// A pickled module of a user's own class: the file has the weights and the class's name, never its forward(). The
// program says what that class computes, and the file runs as it is.
//   own_class fashion_module.pt images.idx3-ubyte
#include <cstdio>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

// class Net(nn.Module), its forward() written with torch.nn.functional calls.
static rl::Result<rl::Graph> build_net(const rl::Value& /*module*/) {
  return rl::Sequential{{"conv1", rl::Conv2d{.padding = 1}},
                        {"bn1", rl::BatchNorm2d{}},
                        rl::ReLU{},
                        rl::MaxPool2d{.kernel_size = 2},
                        {"conv2", rl::Conv2d{.padding = 1}},
                        {"bn2", rl::BatchNorm2d{}},
                        rl::ReLU{},
                        rl::MaxPool2d{.kernel_size = 2},
                        rl::Flatten{},
                        {"fc1", rl::Linear{}},
                        rl::ReLU{},
                        {"fc2", rl::Linear{}}}
      .graph({1, 28, 28});
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto checkpoint = rl::Checkpoint::open(argv[1]).value();
  const auto model = rl::load_model(checkpoint, {.classes = {{"__main__.Net", build_net}}}).value();
  const auto images = rl::read_idx(argv[2]).value();
  const auto batch = rl::Tensor::view(images.storage(), images.dtype(), {8, 1, 28, 28}, {784, 784, 28, 1}, 0).value();
  const auto logits = model.session().value().run(rl::to_input(batch, {.scale = 255}).value()).value();

  const auto scores = logits.values<float>().value();
  for (std::size_t item = 0; item < 8; ++item) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < 10; ++i) best = scores[item * 10 + i] > scores[item * 10 + best] ? i : best;
    std::printf("%zu ", best);
  }
  std::printf("\n");
}
