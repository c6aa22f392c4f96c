// A U-Net of a user's own classes, saved whole: where the first picture shows what it looks for, as PGM.
//   unet unet.module.pt pictures.npy mask.pgm
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

// class UNet(nn.Module), for pictures of any size.
static rl::Result<rl::Graph> build_unet(const rl::Value& module) {
  rl::GraphBuilder graph;
  const auto child = [&](const std::string& name, rl::Edge x) {
    return rl::apply_child(graph, module, name, x).value();
  };
  const auto down = [&](const std::string& name, rl::Edge x) {
    return child(name + ".1.double_conv", child(name + ".0", x));
  };
  // From half the size, rounded down, to that of `skip`: F.pad(x, [0, dw, 0, dh]).
  const auto up = [&](const std::string& name, rl::Edge x, rl::Edge skip) {
    x = graph.apply("", rl::PadAs{.placement = rl::PadPlacement::end}, child(name + ".up", x), skip);
    return child(name + ".conv.double_conv", graph.apply("", rl::Cat{.dim = 1}, skip, x));
  };
  const rl::Edge x1 = child("inc.double_conv", graph.input("picture", {-1, 3, -1, -1}));
  const rl::Edge x2 = down("down1", x1);
  rl::Edge x = down("down2", x2);
  x = up("up1", x, x2);
  x = up("up2", x, x1);
  graph.output("logits", child("outc", x));
  return graph.build();
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto pictures = rl::read_npy(argv[2]).value();  // [N, 3, H, W]
  const auto height = pictures.shape()[2];
  const auto width = pictures.shape()[3];
  const auto checkpoint = rl::Checkpoint::open(argv[1]).value();
  const auto model = rl::load_model(checkpoint, {.classes = {{"models.unet.UNet", build_unet}}}).value();
  const auto logits = model.session().value().run(pictures).value();  // [N, 2, H, W]

  const auto values = logits.values<float>().value();
  const auto pixels = static_cast<std::size_t>(height * width);
  double sum = 0;
  std::ofstream file(argv[3], std::ios::binary);
  file << "P5\n" << width << " " << height << "\n255\n";
  for (std::size_t i = 0; i < pixels; ++i) {
    // softmax of two logits
    const float inside = 1 / (1 + std::exp(values[i] - values[pixels + i]));
    sum += static_cast<double>(inside);
    file.put(static_cast<char>(static_cast<std::uint8_t>(std::lround(inside * 255))));
  }
  std::printf("%lld x %lld pixels, %.4f of them inside\n", static_cast<long long>(width),
              static_cast<long long>(height), sum / static_cast<double>(pixels));
  return file.flush() ? 0 : 1;
}
