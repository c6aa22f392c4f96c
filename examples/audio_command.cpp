// M5, the net of PyTorch's speech command tutorial: which of 35 words a second of sound is.
//   audio_command m5.module.pt waves.npy
#include <cmath>
#include <cstdio>
#include <string>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

// class M5(nn.Module): three times pool(relu(bn(conv(x)))), the mean over time, a Linear, log_softmax.
static rl::Result<rl::Graph> build_m5(const rl::Value& module) {
  rl::GraphBuilder graph;
  const auto child = [&](const std::string& name, rl::Edge x) {
    return rl::apply_child(graph, module, name, x).value();
  };
  rl::Edge x = graph.input("wave", {-1, 1, -1});  // any length
  for (const std::string& i : {"1", "2", "3"}) {
    x = graph.apply("", rl::ReLU{}, child("bn" + i, child("conv" + i, x)));
    x = child("pool" + i, x);
  }
  x = graph.apply("", rl::Mean{.dim = {2}}, x);
  graph.output("log_probabilities", graph.apply("", rl::LogSoftmax{.dim = 1}, child("fc1", x)));
  return graph.build();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto checkpoint = rl::Checkpoint::open(argv[1]).value();
  const auto model = rl::load_model(checkpoint, {.classes = {{"models.m5.M5", build_m5}}}).value();
  const auto waves = rl::read_npy(argv[2]).value();  // [N, 1, samples]
  const auto scores = model.session().value().run(waves).value();

  const auto values = scores.values<float>().value();
  const auto words = static_cast<std::size_t>(scores.shape()[1]);
  for (std::size_t item = 0; item * words < values.size(); ++item) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < words; ++i) best = values[item * words + i] > values[item * words + best] ? i : best;
    std::printf("%zu: word %zu, probability %.3f\n", item, best,
                std::exp(static_cast<double>(values[item * words + best])));
  }
}
