// The small networks of make_nets.py, built with the same names.
#pragma once

#include <string>
#include <utility>

#include "rushlight/graph.hpp"

namespace rushlight::test {

inline Graph mlp_net() {
  return Sequential{Linear{784, 128}, ReLU{}, Linear{128, 10}}.graph({784}).value();
}

inline Graph simple_net() {
  return Sequential{Linear{10, 20}, ReLU{}, Linear{20, 10}}.graph({10}).value();
}

inline Graph normed_mlp_net() {
  return Sequential{Linear{12, 33}, BatchNorm1d{.num_features = 33}, ReLU{}, Linear{33, 7}, Softmax{.dim = 1}}
      .graph({12})
      .value();
}

inline Conv2d conv3x3(std::int64_t in, std::int64_t out, std::int64_t stride = 1, bool bias = true) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 3, .stride = stride, .padding = 1, .bias = bias};
}

// The net of the Fashion-MNIST checkpoint.
inline Graph fashion_net() {
  return Sequential{{"conv1", conv3x3(1, 32)},
                    {"bn1", BatchNorm2d{.num_features = 32}},
                    ReLU{},
                    MaxPool2d{.kernel_size = 2},
                    {"conv2", conv3x3(32, 64)},
                    {"bn2", BatchNorm2d{.num_features = 64}},
                    ReLU{},
                    MaxPool2d{.kernel_size = 2},
                    Flatten{},
                    {"fc1", Linear{64 * 7 * 7, 128}},
                    ReLU{},
                    {"fc2", Linear{128, 10}}}
      .graph({1, 28, 28})
      .value();
}

inline Graph vgg_net() {
  return Sequential{conv3x3(3, 16),
                    BatchNorm2d{.num_features = 16},
                    ReLU{},
                    conv3x3(16, 16),
                    ReLU{},
                    MaxPool2d{.kernel_size = 2, .stride = 2},
                    conv3x3(16, 24),
                    ReLU{},
                    MaxPool2d{.kernel_size = 2, .stride = 2},
                    AdaptiveAvgPool2d{.output_size = {3, 3}},
                    Flatten{},
                    Dropout{},
                    Linear{24 * 9, 40},
                    ReLU{},
                    Dropout{},
                    Linear{40, 10}}
      .graph({3, -1, -1})
      .value();
}

inline Edge basic_block(GraphBuilder& g, const std::string& name, Edge x, std::int64_t in, std::int64_t out,
                        std::int64_t stride) {
  Edge y = g.apply(name + ".conv1", conv3x3(in, out, stride, false), x);
  y = g.apply("", ReLU{}, g.apply(name + ".bn1", BatchNorm2d{.num_features = out}, y));
  y = g.apply(name + ".conv2", conv3x3(out, out, 1, false), y);
  y = g.apply(name + ".bn2", BatchNorm2d{.num_features = out}, y);
  if (stride != 1 || in != out) {
    x = g.apply(name + ".downsample.0",
                Conv2d{.in_channels = in, .out_channels = out, .kernel_size = 1, .stride = stride, .bias = false}, x);
    x = g.apply(name + ".downsample.1", BatchNorm2d{.num_features = out}, x);
  }
  return g.apply("", ReLU{}, g.apply("", Add{}, y, x));
}

inline Graph resnet_net() {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 3, -1, -1});
  x = g.apply("conv1",
              Conv2d{.in_channels = 3, .out_channels = 8, .kernel_size = 7, .stride = 2, .padding = 3, .bias = false},
              x);
  x = g.apply("", ReLU{}, g.apply("bn1", BatchNorm2d{.num_features = 8}, x));
  x = g.apply("maxpool", MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
  x = basic_block(g, "layer1.0", x, 8, 8, 1);
  x = basic_block(g, "layer1.1", x, 8, 8, 1);
  x = basic_block(g, "layer2.0", x, 8, 20, 2);
  x = basic_block(g, "layer2.1", x, 20, 20, 1);
  x = g.apply("", Flatten{}, g.apply("avgpool", AdaptiveAvgPool2d{.output_size = 1}, x));
  g.output("logits", g.apply("fc", Linear{20, 10}, x));
  return g.build().value();
}

}  // namespace rushlight::test
