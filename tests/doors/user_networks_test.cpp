// The tutorials' networks as their users saved them: whole modules of classes whose forward() is in no file. Each is
// mapped to a builder, as a C++ user writes it, and computes what PyTorch computed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/load_model.hpp"
#include "rushlight/npy.hpp"

namespace rushlight {
namespace {

const std::string kNets = std::string(RUSHLIGHT_GOLDEN_DIR) + "/nets/";

// self.child(x) for each in turn; an error is reported at the end.
struct Calls {
  const Value& module;
  GraphBuilder graph{};
  Status status{};

  Edge call(std::string_view child, Edge x) {
    if (!status) return x;
    const Result<Edge> y = apply_child(graph, module, child, x);
    if (!y) status = y.error();
    return y ? *y : x;
  }
  Result<Graph> returns(Edge y) {
    if (!status) return status.error();
    graph.output("output", y);
    return graph.build();
  }
};

// class Net: fc2(relu(fc1(flatten(x, 1))))
Result<Graph> build_mlp(const Value&) {
  return Sequential{Flatten{}, {"fc1", Linear{784, 128}}, ReLU{}, {"fc2", Linear{128, 10}}}.graph({1, 28, 28});
}

// class SimpleModel: fc2(self.relu(fc1(x)))
Result<Graph> build_simple_model(const Value&) {
  return Sequential{{"fc1", Linear{10, 20}}, {"relu", ReLU{}}, {"fc2", Linear{20, 10}}}.graph({10});
}

Result<Graph> build_lenet5(const Value&) {
  return Sequential{{"conv1", Conv2d{.kernel_size = 5, .padding = 2}},
                    Tanh{},
                    {"pool", AvgPool2d{.kernel_size = 2}},
                    {"conv2", Conv2d{.kernel_size = 5}},
                    Tanh{},
                    AvgPool2d{.kernel_size = 2},
                    Flatten{},
                    {"fc1", Linear{}},
                    Tanh{},
                    {"fc2", Linear{}},
                    Tanh{},
                    {"fc3", Linear{}}}
      .graph({1, 28, 28});
}

// class Generator: self.main(z)
Result<Graph> build_generator(const Value& module) {
  Calls self{module};
  const Edge z = self.graph.input("z", {-1, 24, 1, 1});
  return self.returns(self.call("main", z));
}

// class Discriminator: self.main(x).view(-1)
Result<Graph> build_discriminator(const Value& module) {
  Calls self{module};
  const Edge x = self.call("main", self.graph.input("image", {-1, 3, 32, 32}));
  return self.returns(self.graph.apply("", Reshape{{-1}}, x));
}

// class Autoencoder: self.decoder(self.encoder(x))
Result<Graph> build_autoencoder(const Value& module) {
  Calls self{module};
  return self.returns(self.call("decoder", self.call("encoder", self.graph.input("x", {-1, 196}))));
}

// class M5, the speech tutorial's: three times pool(relu(bn(conv(x)))), then the mean of each channel.
Result<Graph> build_m5(const Value& module) {
  Calls self{module};
  Edge x = self.graph.input("wave", {-1, 1, -1});
  for (const char* i : {"1", "2", "3"}) {
    x = self.call(std::string("bn") + i, self.call(std::string("conv") + i, x));
    x = self.call(std::string("pool") + i, self.graph.apply("", ReLU{}, x));
  }
  x = self.graph.apply("", AdaptiveAvgPool1d{1}, x);
  x = self.call("fc1", self.graph.apply("", Permute{{0, 2, 1}}, x));
  return self.returns(self.graph.apply("", Squeeze{{1}}, self.graph.apply("", LogSoftmax{2}, x)));
}

// class UNet, of pictures of any size.
Result<Graph> build_unet(const Value& module) {
  Calls self{module};
  GraphBuilder& g = self.graph;
  const auto double_conv = [&](const std::string& name, Edge x) { return self.call(name + ".double_conv", x); };
  const auto down = [&](const std::string& name, Edge x) {
    return double_conv(name + ".1", self.call(name + ".0", x));
  };
  // x comes from half the size, rounded down; the row and column that are missing are zeros.
  const auto up = [&](const std::string& name, Edge x, Edge skip) {
    x = g.apply("", PadAs{.placement = PadPlacement::end}, self.call(name + ".up", x), skip);
    return double_conv(name + ".conv", g.apply("", Cat{.dim = 1}, {skip, x}));
  };
  const Edge x1 = double_conv("inc", g.input("image", {-1, 3, -1, -1}));
  const Edge x2 = down("down1", x1);
  Edge x = down("down2", x2);
  x = up("up1", x, x2);
  x = up("up2", x, x1);
  return self.returns(self.call("outc", x));
}

struct Net {
  const char* file;
  const char* class_name;  // "" for modules of torch's classes alone
  Result<Graph> (*build)(const Value& module);
};
void PrintTo(const Net& net, std::ostream* out) {
  *out << net.file;
}

class UserNetworks : public testing::TestWithParam<Net> {};

TEST_P(UserNetworks, ComputeWhatPyTorchComputed) {
  const std::string stem = kNets + GetParam().file;
  const Checkpoint checkpoint = Checkpoint::open(stem + ".module.pt").value();
  ModelOptions options;
  if (GetParam().build != nullptr) {
    const Result<Model> refused = load_model(checkpoint);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
    options.classes.emplace(GetParam().class_name, GetParam().build);
  }
  const Result<Model> model = load_model(checkpoint, options);
  ASSERT_TRUE(model) << model.error().finding.message;
  const Tensor input = read_npy(stem + ".input.npy").value();
  const Tensor torch = read_npy(stem + ".output.npy").value();
  const Tensor in_double = read_npy(stem + ".output64.npy").value();
  const std::span<const float> torch_values = torch.values<float>().value();
  const std::span<const double> exact = in_double.values<double>().value();
  double largest = 0;
  double torch_error = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    largest = std::max(largest, std::abs(exact[i]));
    torch_error = std::max(torch_error, std::abs(static_cast<double>(torch_values[i]) - exact[i]));
  }
  for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
    Result<Session> session = model->session(Device::cpu(), {.implementation = implementation});
    if (!session && session.error().code == ErrorCode::unsupported) {
      std::cout << "SKIPPED: not run: " << session.error().finding.message << "\n";
      continue;
    }
    ASSERT_TRUE(session) << session.error().finding.message;
    const Result<Tensor> output = session->run(input);
    ASSERT_TRUE(output) << output.error().finding.message;
    ASSERT_EQ(Shape(output->shape().begin(), output->shape().end()), Shape(torch.shape().begin(), torch.shape().end()));
    const std::span<const float> have = output->values<float>().value();
    for (std::size_t i = 0; i < exact.size(); ++i) {
      ASSERT_LE(std::abs(static_cast<double>(have[i]) - exact[i]), std::max(4 * torch_error, 2e-5 * largest)) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, UserNetworks,
                         testing::Values(Net{"mlp_sequential", "", nullptr}, Net{"vgg_cifar", "", nullptr},
                                         Net{"mlp_net", "__main__.Net", build_mlp},
                                         Net{"simple_model", "__main__.SimpleModel", build_simple_model},
                                         Net{"lenet5", "models.lenet.LeNet5", build_lenet5},
                                         Net{"unet", "models.unet.UNet", build_unet},
                                         Net{"dcgan_generator", "__main__.Generator", build_generator},
                                         Net{"dcgan_discriminator", "__main__.Discriminator", build_discriminator},
                                         Net{"m5_audio", "models.m5.M5", build_m5},
                                         Net{"autoencoder", "__main__.Autoencoder", build_autoencoder}),
                         [](const auto& test) { return std::string(test.param.file); });

// The same network as a spec, from its state dict alone.
TEST(UserNetworks, AUNetOfOddSizesIsASpec) {
  std::string layers;
  const auto add = [&](const std::string& layer) { layers += (layers.empty() ? "" : ",\n") + layer; };
  const auto double_conv = [&](const std::string& name, const std::string& result) {
    for (const char* at : {"0", "3"}) {
      const std::string norm = std::string(at) == "0" ? "1" : "4";
      add(R"({"conv2d": ")" + name + ".double_conv." + at + R"(", "padding": 1, "bias": false})");
      add(R"({"batchnorm2d": ")" + name + ".double_conv." + norm + "\"}");
      add(std::string(at) == "0" ? "\"relu\"" : R"({"relu": ")" + result + "\"}");
    }
  };
  double_conv("inc", "x1");
  add(R"({"maxpool2d": 2})");
  double_conv("down1.1", "x2");
  add(R"({"maxpool2d": 2})");
  double_conv("down2.1", "x3");
  add(R"({"convtranspose2d": "up1.up", "stride": 2})");
  add(R"({"padas": "up1.padded", "input": ["up1.up", "x2"], "placement": "end"})");
  add(R"({"cat": 1, "input": ["x2", "up1.padded"]})");
  double_conv("up1.conv", "x4");
  add(R"({"upsample": "up2.up", "scale_factor": 2, "mode": "bilinear", "align_corners": true})");
  add(R"({"padas": "up2.padded", "input": ["up2.up", "x1"], "placement": "end"})");
  add(R"({"cat": 1, "input": ["x1", "up2.padded"]})");
  double_conv("up2.conv", "x5");
  add(R"({"conv2d": "outc"})");
  const Result<Graph> graph = Graph::from_spec(R"({"schema": 1, "input": [3, -1, -1], "layers": [)" + layers + "]}");
  ASSERT_TRUE(graph) << graph.error().finding.message;
  const StateDict state = Checkpoint::open(kNets + "unet.state_dict.pt").value().state_dict().value();
  const Model model = Model::create(*graph, state).value();
  const Tensor input = read_npy(kNets + "unet.input.npy").value();
  const Tensor output = model.session().value().run(input).value();
  const Tensor in_double = read_npy(kNets + "unet.output64.npy").value();
  const std::span<const float> have = output.values<float>().value();
  const std::span<const double> exact = in_double.values<double>().value();
  ASSERT_EQ(have.size(), exact.size());
  double largest = 0;
  for (const double value : exact) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(have[i]) - exact[i]), 2e-5 * largest) << i;
  }
  // Of any size, as the module with its builder.
  ModelOptions options;
  options.classes.emplace("models.unet.UNet", build_unet);
  const Model module = load_model(Checkpoint::open(kNets + "unet.module.pt").value(), options).value();
  for (const Shape& shape : {Shape{1, 3, 7, 5}, Shape{2, 3, 16, 31}, Shape{1, 3, 30, 12}}) {
    std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7 % 11) / 11;
    const Tensor picture = Tensor::from_values<float>(values, shape).value();
    const Tensor a = model.session().value().run(picture).value();
    const Tensor b = module.session().value().run(picture).value();
    EXPECT_EQ(Shape(a.shape().begin(), a.shape().end()), (Shape{shape[0], 2, shape[2], shape[3]}));
    const std::span<const float> of_spec = a.values<float>().value();
    const std::span<const float> of_module = b.values<float>().value();
    EXPECT_TRUE(std::equal(of_spec.begin(), of_spec.end(), of_module.begin(), of_module.end()));
  }
}

// What such a file says of itself, and what to do.
TEST(UserNetworks, WithoutABuilderTheirChildrenAreNamed) {
  const auto refusal = [](const std::string& file) {
    return load_model(Checkpoint::open(kNets + file + ".module.pt").value()).error().finding.message;
  };
  EXPECT_EQ(refusal("lenet5"),
            "the module (models.lenet.LeNet5): what its forward() computes is not in the file; its children are conv1 "
            "(Conv2d), pool (AvgPool2d), conv2 (Conv2d), fc1 (Linear), fc2 (Linear), fc3 (Linear)");
  EXPECT_EQ(refusal("unet"),
            "the module (models.unet.UNet): what its forward() computes is not in the file; its children are inc "
            "(models.unet.DoubleConv, not known either), down1 (Sequential), down2 (Sequential), up1 (models.unet.Up, "
            "not known either), up2 (models.unet.Up, not known either), outc (Conv2d)");
}

}  // namespace
}  // namespace rushlight
