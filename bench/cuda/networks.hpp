// The networks that bench_cuda measures, with the names and sizes of torchvision's and of bench/rivals/nets.py, and
// weights made up from a seed: a machine that has nothing but a driver can run them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "rushlight/graph.hpp"
#include "rushlight/model.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::bench {

struct BenchNetwork {
  std::string_view name;  // of bench/rivals/nets.py: "resnet50"
  Graph (*graph)();       // one input, one output
  Shape item;             // the shape of one input, without the batch
};

// MLP 784-128-10, the Fashion CNN, ResNet-18 and -50, VGG16, MobileNetV2.
[[nodiscard]] std::span<const BenchNetwork> bench_networks();

// Weights as He has them: activations keep their size through the layers, so that no precision overflows and no
// denormals arise. The same for the same seed on every machine.
[[nodiscard]] StateDict made_up_weights(const Graph& graph, std::uint64_t seed);
// Values in [-1, 1).
[[nodiscard]] Tensor made_up_input(Shape shape, std::uint64_t seed);

}  // namespace rushlight::bench
