// forward() of torch.nn's classes that have children.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "doors/composites.hpp"
#include "doors/forward.hpp"

namespace rushlight::doors {
namespace {

// Sequential, and subclasses without a forward() of their own.
constexpr std::string_view kSequentials[] = {
    "torch.nn.modules.container.Sequential",
    "torchvision.models.densenet._Transition",
    "torchvision.models.mobilenet.ConvBNReLU",
    "torchvision.models.mobilenetv2.ConvBNActivation",
    "torchvision.models.mobilenetv2.ConvBNReLU",
    "torchvision.models.mobilenetv3.ConvBNActivation",
    "torchvision.models.regnet.AnyStage",
    "torchvision.models.regnet.BottleneckTransform",
    "torchvision.models.regnet.SimpleStemIN",
    "torchvision.models.segmentation.deeplabv3.ASPPConv",
    "torchvision.models.segmentation.deeplabv3.DeepLabHead",
    "torchvision.models.segmentation.fcn.FCNHead",
    "torchvision.models.vision_transformer.MLPBlock",
    "torchvision.ops.misc.Conv2dNormActivation",
    "torchvision.ops.misc.Conv3dNormActivation",
    "torchvision.ops.misc.ConvNormActivation",
    "torchvision.ops.misc.MLP",
};

// The children of a block as its structure calls them. Dropouts between them pass their input on.
BlockCalls calls_of(Forward& self) {
  return {[&self](std::string_view child, std::initializer_list<Edge> inputs) -> Edge {
            // A function, or a module that is a child.
            if (child == "activation" && !self.has(child)) {
              const std::string_view function = self.attribute("activation").class_name();
              const bool is_given = self.attribute("activation").exists();
              if (!is_given || function == "torch.nn.functional.relu" || function == "torch.relu") {
                return self.apply(ReLU{}, inputs);
              }
              if (function == "torch.nn.functional.gelu" || function == "torch._C._nn.gelu") {
                return self.apply(GELU{}, inputs);
              }
              self.wrong("activation", "relu, gelu or a module");
              return {};
            }
            if (inputs.size() == 1) return self(child, *inputs.begin());
            return self.first(child, inputs);
          },
          [&self](Operator op, std::initializer_list<Edge> inputs) { return self.apply(std::move(op), inputs); }};
}

Returned encoder_layer(Forward& self) {
  return transformer_encoder_layer(calls_of(self), self.flag("norm_first", false), self.input());
}

Returned decoder_layer(Forward& self) {
  return transformer_decoder_layer(calls_of(self), self.flag("norm_first", false), self.inputs()[0], self.inputs()[1]);
}

Returned encoder(Forward& self) {
  Edge x = self.input();
  for (const std::string& layer : self.children("layers")) x = self(layer, x);
  return self.has("norm") ? self("norm", x) : x;
}

Returned decoder(Forward& self) {
  Edge x = self.inputs()[0];
  for (const std::string& layer : self.children("layers")) {
    const Edge inputs[] = {x, self.inputs()[1]};
    x = self.call(layer, inputs);
  }
  return self.has("norm") ? self("norm", x) : x;
}

// Without masks, as it is called with src and tgt alone.
Returned transformer(Forward& self) {
  const Edge memory = self("encoder", self.inputs()[0]);
  const Edge inputs[] = {self.inputs()[1], memory};
  return self.call("decoder", inputs);
}

// Where the windows lie is drawn anew in each forward(), in eval mode too, unless the module was given the samples.
template <class Pool>
Returned fractional_max_pool(Forward& self) {
  const Value samples = self.attribute("_buffers")["_random_samples"];
  if (!samples.exists() || samples.is_none()) {
    self.unsupported(
        "it draws where its windows lie at random in every forward(), in eval mode too",
        "give it the samples before torch.save: FractionalMaxPool2d(..., _random_samples=torch.rand(N, C, 2))");
    return Edge{};
  }
  return self.apply_as_module(Pool{}, {self.input(), self.parameter("_random_samples")});
}

Returned in_order(Forward& self) {
  return self.in_order();
}

// Modules that pass their input to one child.
Returned wrapped_module(Forward& self) {
  return self.returned("module", self.inputs());
}
Returned original_module(Forward& self) {
  return self.returned("_orig_mod", self.inputs());
}

// Their child says how many.
constexpr std::size_t kMostInputs = 8;

constexpr ForwardClass kForwards[] = {
    {"torch._dynamo.eval_frame.OptimizedModule", original_module, 1, kMostInputs},
    {"torch.nn.modules.pooling.FractionalMaxPool2d", fractional_max_pool<FractionalMaxPool2d>},
    {"torch.nn.modules.pooling.FractionalMaxPool3d", fractional_max_pool<FractionalMaxPool3d>},
    {"torch.nn.modules.transformer.Transformer", transformer, 2, 2, "src tgt"},
    {"torch.nn.modules.transformer.TransformerDecoder", decoder, 2, 2, "tgt memory"},
    {"torch.nn.modules.transformer.TransformerDecoderLayer", decoder_layer, 2, 2, "tgt memory"},
    {"torch.nn.modules.transformer.TransformerEncoder", encoder},
    {"torch.nn.modules.transformer.TransformerEncoderLayer", encoder_layer},
    {"torch.nn.parallel.data_parallel.DataParallel", wrapped_module, 1, kMostInputs},
    {"torch.nn.parallel.distributed.DistributedDataParallel", wrapped_module, 1, kMostInputs},
    {"torch.optim.swa_utils.AveragedModel", wrapped_module, 1, kMostInputs},
};

constexpr auto kAll = [] {
  std::array<ForwardClass, std::size(kForwards) + std::size(kSequentials)> all{};
  std::size_t count = 0;
  for (const ForwardClass& known : kForwards) all[count++] = known;
  for (const std::string_view name : kSequentials) all[count++] = {name, in_order};
  return all;
}();

}  // namespace

bool is_sequential(std::string_view torch_class) noexcept {
  return std::find(std::begin(kSequentials), std::end(kSequentials), torch_class) != std::end(kSequentials);
}

std::span<const ForwardClass> torch_forwards() noexcept {
  return kAll;
}

}  // namespace rushlight::doors
