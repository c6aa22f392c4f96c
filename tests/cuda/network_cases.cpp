#include "cuda/network_cases.hpp"

#include <utility>

#include "runtime/networks.hpp"

namespace rushlight::cuda {
namespace {

using test::made_up;
using test::made_up_model;

Model mlp() {
  return made_up_model(Sequential{Linear{784, 128}, ReLU{}, Linear{128, 10}}.graph({784}).value());
}

Model fashion_cnn() {
  return made_up_model(
      Sequential{{"conv1", Conv2d{.in_channels = 1, .out_channels = 32, .kernel_size = 3, .padding = 1}},
                 {"bn1", BatchNorm2d{.num_features = 32}},
                 ReLU{},
                 MaxPool2d{.kernel_size = 2},
                 {"conv2", Conv2d{.in_channels = 32, .out_channels = 64, .kernel_size = 3, .padding = 1}},
                 {"bn2", BatchNorm2d{.num_features = 64}},
                 ReLU{},
                 MaxPool2d{.kernel_size = 2},
                 Flatten{},
                 {"fc1", Linear{3136, 128}},
                 ReLU{},
                 {"fc2", Linear{128, 10}}}
          .graph({1, 28, 28})
          .value());
}

// Residuals, a projection of stride 2, a global average, and an output in torch's order in the middle.
Model residual_blocks() {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 3, 17, 15});
  x = g.apply("conv1", Conv2d{.in_channels = 3, .out_channels = 16, .kernel_size = 3, .padding = 1, .bias = false}, x);
  x = g.apply("bn1", BatchNorm2d{.num_features = 16}, x);
  x = g.apply("", ReLU{}, x);
  Edge y = g.apply("a.conv1", Conv2d{.in_channels = 16, .out_channels = 16, .kernel_size = 3, .padding = 1}, x);
  y = g.apply("", ReLU{}, y);
  y = g.apply("a.conv2", Conv2d{.in_channels = 16, .out_channels = 16, .kernel_size = 3, .padding = 1}, y);
  x = g.apply("", ReLU{}, g.apply("", Add{}, y, x));
  y = g.apply("b.conv1", Conv2d{.in_channels = 16, .out_channels = 24, .kernel_size = 3, .stride = 2, .padding = 1}, x);
  y = g.apply("b.bn", BatchNorm2d{.num_features = 24}, y);
  const Edge shortcut =
      g.apply("b.down", Conv2d{.in_channels = 16, .out_channels = 24, .kernel_size = 1, .stride = 2}, x);
  x = g.apply("", ReLU{}, g.apply("", Add{}, y, shortcut));
  g.output("features", x);
  x = g.apply("", AdaptiveAvgPool2d{.output_size = 1}, x);
  x = g.apply("fc", Linear{24, 7}, g.apply("", Flatten{}, x));
  g.output("probabilities", g.apply("", Softmax{.dim = 1}, x));
  return made_up_model(g.build().value());
}

// A batch norm that nothing takes in, depthwise and grouped convolutions, both poolings, softmax over channels and
// rows.
Model what_does_not_fold() {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 6, 14, 14});
  x = g.apply("norm", BatchNorm2d{.num_features = 6}, x);
  x = g.apply("", ReLU{}, x);
  x = g.apply("depthwise", Conv2d{.in_channels = 6, .out_channels = 6, .kernel_size = 3, .padding = 1, .groups = 6}, x);
  x = g.apply("", AvgPool2d{.kernel_size = 3, .stride = 2, .padding = 1, .ceil_mode = true}, x);
  x = g.apply(
      "grouped",
      Conv2d{.in_channels = 6, .out_channels = 40, .kernel_size = {3, 2}, .padding = Padding::same(), .groups = 2}, x);
  x = g.apply("", MaxPool2d{.kernel_size = 2, .stride = 1}, x);
  g.output("map", g.apply("", Softmax{.dim = 1}, x));
  g.output("rows", g.apply("", Softmax{.dim = 2}, x));
  return made_up_model(g.build().value());
}

Model broadcast_addition() {
  GraphBuilder g;
  const Edge a = g.input("a", {2, 3, 4, 5});
  const Edge b = g.input("b", {3, 1, 5});
  g.output("sum", g.apply("", ReLU{}, g.apply("", Add{}, a, b)));
  return made_up_model(g.build().value());
}

// What has no step of its own: activations, norms, resizing, transposed convolutions, attention, products of two
// values.
Model general_operators() {
  GraphBuilder g;
  const Edge image = g.input("image", {-1, 4, 5, 4});
  Edge x = g.apply("up", ConvTranspose2d{.in_channels = 4, .out_channels = 8, .kernel_size = 3, .stride = 2}, image);
  x = g.apply("", SiLU{}, g.apply("norm", GroupNorm{.num_groups = 2, .num_channels = 8}, x));
  x = g.apply("", Upsample{.scale_factor = {0.5}, .mode = InterpolationMode::bilinear}, x);
  x = g.apply("", Pad{.pad = {1, 1, 0, 1}, .mode = PadMode::reflect}, x);
  const Edge gate = g.apply("", Sigmoid{}, g.apply("", Mean{.dim = {2, 3}, .keepdim = true}, x));
  x = g.apply("", Mul{}, x, gate);
  g.output("map", g.apply("", LogSoftmax{.dim = 1}, x));
  Edge rows = g.apply("", Permute{.dims = {0, 2, 1}}, g.apply("", Flatten{.start_dim = 2}, x));
  rows = g.apply("layers", LayerNorm{.normalized_shape = {8}}, rows);
  const MultiheadAttention heads{.embed_dim = 8, .num_heads = 2, .batch_first = true, .need_weights = false};
  const Edge seen = g.apply("attention", heads, {rows, rows, rows});
  rows = g.apply("", Add{}, rows, g.apply("", GELU{}, seen));
  const Edge products = g.apply("", MatMul{}, rows, g.apply("", Transpose{.dim0 = 1, .dim1 = 2}, rows));
  g.output("products", g.apply("", Normalize{.dim = 2}, products));
  g.output("largest", g.apply("", Amax{.dim = {1}}, rows));
  return made_up_model(g.build().value());
}

// Down and up again: what grows is written among the channels that were there before.
Model u_shape() {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 3, 12, 8});
  const Edge wide = g.apply(
      "", ReLU{}, g.apply("down", Conv2d{.in_channels = 3, .out_channels = 8, .kernel_size = 3, .padding = 1}, x));
  x = g.apply("", MaxPool2d{.kernel_size = 2}, wide);
  x = g.apply("middle", Conv2d{.in_channels = 8, .out_channels = 12, .kernel_size = 3, .padding = 1}, x);
  const Edge grown = g.apply("grow", ConvTranspose2d{12, 8, 2, 2}, x);
  const Edge smooth = g.apply("smooth", ConvTranspose2d{12, 4, 4, 2, 1}, x);
  const Edge larger = g.apply("", Upsample{.scale_factor = {2.0}, .mode = InterpolationMode::bilinear}, x);
  x = g.apply("", Cat{.dim = 1}, {wide, grown, smooth, larger});
  g.output("map", g.apply("up", Conv2d{.in_channels = 32, .out_channels = 2, .kernel_size = 3, .padding = 1}, x));
  return made_up_model(g.build().value());
}

// Padding that crops at one end and adds at the other, in two dimensions at once.
Model cropped_and_padded() {
  GraphBuilder g;
  const Edge x = g.input("image", {-1, 2, 3, 4});
  g.output("filled", g.apply("", Pad{.pad = {-2, 2, 2, -1}, .value = 3}, x));
  g.output("reflected", g.apply("", Pad{.pad = {-2, 2, 2, -1}, .mode = PadMode::reflect}, x));
  g.output("beyond", g.apply("", Pad{.pad = {-5, 2, 2, -4}, .mode = PadMode::reflect}, x));
  g.output("edges", g.apply("", Pad{.pad = {5, -7, -6, 8}, .mode = PadMode::replicate}, x));
  g.output("around", g.apply("", Pad{.pad = {-2, 2, 2, -1}, .mode = PadMode::circular}, x));
  return made_up_model(g.build().value());
}

// Recurrent layers with more items than a warp takes at once and states longer than a warp, in both directions; sums
// over products of three operands; lines that a block shares.
Model sequences() {
  GraphBuilder g;
  const Edge words = g.input("words", {3, -1, 5});
  g.output("lstm",
           g.apply("lstm", LSTM{.input_size = 5, .hidden_size = 36, .bidirectional = true, .proj_size = 7}, words));
  const Edge states = g.apply("gru", GRU{.input_size = 5, .hidden_size = 33, .bidirectional = true}, words);
  g.output("states", states);
  g.output("products", g.apply("", Einsum{.equation = "lnc,mnc,lnd->lmd"}, {states, states, words}));
  g.output("sum", g.apply("", Einsum{.equation = "lnc,lnc->"}, states, states));
  const Edge lines = g.input("lines", {-1, 4500});
  const Edge rolled = g.apply("", Roll{.shifts = {1700}}, lines);
  g.output("largest", g.apply("", TopK{.k = 3}, lines));
  g.output("smallest", g.apply("", TopK{.k = 2, .dim = 0, .largest = false}, lines));
  g.output("cosine", g.apply("", CosineSimilarity{}, lines, rolled));
  g.output("distance", g.apply("", PairwiseDistance{.p = 3}, lines, rolled));
  g.output("bilinear", g.apply("bilinear", Bilinear{.in1_features = 4500, .in2_features = 2, .out_features = 3}, lines,
                               g.apply("", Slice{.dim = 1, .start = 5, .end = 7}, lines)));
  return made_up_model(g.build().value());
}

// An output that is an input, and an input that two outputs want: copies.
Model pass_through() {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 5});
  g.output("same", g.apply("", Identity{}, x));
  g.output("norm", g.apply("bn", BatchNorm1d{.num_features = 5}, x));
  return made_up_model(g.build().value());
}

// Each kind of activation behind a layer of each kind, and one behind the addition of a shortcut.
Model activations() {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 4, 9, 7});
  x = g.apply("stem", Conv2d{.in_channels = 4, .out_channels = 24, .kernel_size = 3, .padding = 1}, x);
  x = g.apply("", SiLU{}, x);
  x = g.apply("depthwise", Conv2d{.in_channels = 24, .out_channels = 24, .kernel_size = 3, .padding = 1, .groups = 24},
              x);
  x = g.apply("", ReLU6{}, x);
  Edge y = g.apply("project", Conv2d{.in_channels = 24, .out_channels = 24, .kernel_size = 1}, x);
  x = g.apply("", ReLU{}, g.apply("", Add{}, y, x));
  y = g.apply("a", Conv2d{.in_channels = 24, .out_channels = 16, .kernel_size = 1}, x);
  y = g.apply("", Hardswish{}, y);
  y = g.apply("b", Conv2d{.in_channels = 16, .out_channels = 16, .kernel_size = 5, .stride = 2, .groups = 16}, y);
  y = g.apply("", Hardtanh{.min_val = -0.5, .max_val = 0.25}, y);
  y = g.apply("", Flatten{}, g.apply("", AdaptiveAvgPool2d{.output_size = 1}, y));
  y = g.apply("", GELU{}, g.apply("c", Linear{16, 20}, y));
  y = g.apply("", Tanh{}, g.apply("d", Linear{20, 20}, y));
  y = g.apply("", Hardsigmoid{}, g.apply("e", Linear{20, 12}, y));
  g.output("gate", g.apply("", Sigmoid{}, g.apply("f", Linear{12, 6}, y)));
  return made_up_model(g.build().value());
}

}  // namespace

std::vector<NetworkCase> network_cases() {
  std::vector<NetworkCase> cases;
  for (const std::int64_t batch : {1, 5, 20}) {
    cases.push_back({"mlp, batch " + std::to_string(batch), mlp(), {made_up("input", {batch, 784})}});
  }
  cases.push_back({"fashion cnn", fashion_cnn(), {made_up("input", {2, 1, 28, 28})}});
  cases.push_back({"residual blocks", residual_blocks(), {made_up("input", {3, 3, 17, 15})}});
  cases.push_back({"what does not fold", what_does_not_fold(), {made_up("input", {2, 6, 14, 14})}});
  cases.push_back({"activations", activations(), {made_up("image", {2, 4, 9, 7})}});
  cases.push_back({"broadcast addition", broadcast_addition(), {made_up("a", {2, 3, 4, 5}), made_up("b", {3, 1, 5})}});
  cases.push_back({"general operators", general_operators(), {made_up("image", {2, 4, 5, 4})}});
  cases.push_back({"u shape", u_shape(), {made_up("image", {3, 3, 12, 8})}});
  cases.push_back({"cropped and padded", cropped_and_padded(), {made_up("image", {2, 2, 3, 4})}});
  cases.push_back({"sequences", sequences(), {made_up("words", {3, 9, 5}), made_up("lines", {2, 4500})}});
  cases.push_back({"pass through", pass_through(), {made_up("input", {4, 5})}});
  return cases;
}

}  // namespace rushlight::cuda
