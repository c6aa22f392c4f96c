// A picture through a ResNet-18 of torchvision, from the state dict that its training saved.
//   resnet18 resnet18.pt picture.jpg imagenet_classes.txt
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "rushlight/rushlight.hpp"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::vector<std::string> names;  // one a line
  std::ifstream labels(argv[3]);
  for (std::string line; std::getline(labels, line);) names.push_back(line);

  const auto checkpoint = rushlight::Checkpoint::open(argv[1]).value();
  const auto model = rushlight::load_model(checkpoint, {.arch = "resnet18"}).value();
  const auto pixels = rushlight::read_image(argv[2], {.channels = 3}).value();
  const auto input = rushlight::transform_image(pixels, rushlight::ImageTransform::imagenet()).value();
  const auto answer = rushlight::evaluate(model, input, {.labels = names}).value();
  for (const auto& best : answer.results[0].top) std::printf("%.4f  %s\n", best.probability, best.label.c_str());
}
