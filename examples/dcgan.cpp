// The generator of the DCGAN tutorial, saved whole with torch.save(generator): pictures from noise, as one PPM.
//   dcgan generator.module.pt noise.npy pictures.ppm
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

// class Generator(nn.Module): forward(self, z) returns self.main(z). The file has the Sequential, this has the call.
static rl::Result<rl::Graph> build_generator(const rl::Value& module) {
  rl::GraphBuilder graph;
  const rl::Edge noise = graph.input("noise");
  graph.output("pictures", rl::apply_child(graph, module, "main", noise).value());
  return graph.build();
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto checkpoint = rl::Checkpoint::open(argv[1]).value();
  const auto model = rl::load_model(checkpoint, {.classes = {{"__main__.Generator", build_generator}}}).value();
  const auto pictures = model.session().value().run(rl::read_npy(argv[2]).value()).value();  // [N, 3, H, W], -1 to 1

  const auto values = pictures.values<float>().value();
  const auto count = static_cast<std::size_t>(pictures.shape()[0]);
  const auto height = static_cast<std::size_t>(pictures.shape()[2]);
  const auto width = static_cast<std::size_t>(pictures.shape()[3]);
  double sum = 0;
  std::ofstream file(argv[3], std::ios::binary);
  file << "P6\n" << width << " " << count * height << "\n255\n";
  for (std::size_t picture = 0; picture < count; ++picture) {
    for (std::size_t pixel = 0; pixel < height * width; ++pixel) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const float value = values[(picture * 3 + channel) * height * width + pixel];
        const auto level = static_cast<std::uint8_t>(std::lround((value + 1) * 127.5f));
        file.put(static_cast<char>(level));
        sum += level;
      }
    }
  }
  std::printf("%zu pictures of %zu x %zu, mean level %.2f\n", count, width, height,
              sum / static_cast<double>(values.size()));
  return file.flush() ? 0 : 1;
}
