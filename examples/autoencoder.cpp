// An autoencoder that was saved whole: how far each row is from what comes back says how unusual it is.
//   autoencoder autoencoder.module.pt rows.npy
#include <cstdio>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

// class Autoencoder(nn.Module): forward(self, x) returns self.decoder(self.encoder(x)).
static rl::Result<rl::Graph> build_autoencoder(const rl::Value& module) {
  rl::GraphBuilder graph;
  const rl::Edge x = graph.input("x");
  const rl::Edge code = rl::apply_child(graph, module, "encoder", x).value();
  graph.output("code", code);
  graph.output("decoded", rl::apply_child(graph, module, "decoder", code).value());
  return graph.build();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto checkpoint = rl::Checkpoint::open(argv[1]).value();
  const auto model = rl::load_model(checkpoint, {.classes = {{"__main__.Autoencoder", build_autoencoder}}}).value();
  const rl::Tensor rows[] = {rl::read_npy(argv[2]).value()};
  const auto outputs = model.session().value().run(rows).value();

  const auto given = rows[0].values<float>().value();
  const auto decoded = outputs[1].values<float>().value();
  const auto size = static_cast<std::size_t>(rows[0].shape()[1]);
  for (std::size_t row = 0; row * size < given.size(); ++row) {
    double sum = 0;
    for (std::size_t i = row * size; i < (row + 1) * size; ++i) {
      const double difference = static_cast<double>(given[i]) - static_cast<double>(decoded[i]);
      sum += difference * difference;
    }
    std::printf("row %zu: %lld numbers kept, mean squared error %.4f\n", row,
                static_cast<long long>(outputs[0].shape()[1]), sum / static_cast<double>(size));
  }
}
