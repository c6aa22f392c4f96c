// forward() of torchvision's models and blocks, releases 0.6 to 0.29. Where releases differ, children that are there
// say which one wrote the file.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "doors/composites.hpp"
#include "doors/forward.hpp"

namespace rushlight::doors {
namespace {

// self.child(x) for each in turn.
Edge chain(Forward& self, Edge x, std::initializer_list<std::string_view> children) {
  for (const std::string_view child : children) x = self(child, x);
  return x;
}

Edge flatten(Forward& self, Edge x) {
  return self.apply(Flatten{}, {x});
}

Edge add(Forward& self, Edge x, Edge y) {
  return self.apply(Add{}, {x, y});
}

Edge join(Forward& self, std::initializer_list<Edge> channels) {
  return self.apply(Cat{.dim = 1}, channels);
}

// F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
Edge resize_like(Forward& self, Edge x, Edge like) {
  return self.apply(Upsample{.mode = InterpolationMode::bilinear}, {x, like});
}

// A child of later releases; earlier ones called the function.
Edge child_or(Forward& self, std::string_view child, Operator op, Edge x) {
  return self.has(child) ? self(child, x) : self.apply(std::move(op), {x});
}

// --- AlexNet, VGG, SqueezeNet

Returned features_avgpool_classifier(Forward& self) {
  Edge x = self("features", self.input());
  if (self.has("avgpool")) x = self("avgpool", x);
  return self("classifier", flatten(self, x));
}

Returned squeezenet(Forward& self) {
  return flatten(self, chain(self, self.input(), {"features", "classifier"}));
}

Returned fire(Forward& self) {
  const Edge x = chain(self, self.input(), {"squeeze", "squeeze_activation"});
  const Edge narrow = chain(self, x, {"expand1x1", "expand1x1_activation"});
  return join(self, {narrow, chain(self, x, {"expand3x3", "expand3x3_activation"})});
}

// --- ResNet, ResNeXt, wide ResNet

Edge with_shortcut(Forward& self, Edge branch) {
  const Edge identity = self.has("downsample") ? self("downsample", self.input()) : self.input();
  return self("relu", add(self, branch, identity));
}

Returned basic_block(Forward& self) {
  return with_shortcut(self, chain(self, self.input(), {"conv1", "bn1", "relu", "conv2", "bn2"}));
}

Returned bottleneck(Forward& self) {
  return with_shortcut(self,
                       chain(self, self.input(), {"conv1", "bn1", "relu", "conv2", "bn2", "relu", "conv3", "bn3"}));
}

Returned resnet(Forward& self) {
  const Edge x =
      chain(self, self.input(), {"conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"});
  return self("fc", flatten(self, x));
}

// --- DenseNet

// torch.cat of all that came before. Up to 0.3 a layer was a Sequential that joined its output to its input: the same.
Returned dense_layer(Forward& self) {
  std::vector<Edge> inputs(self.inputs().begin(), self.inputs().end());
  Edge x = inputs.front();
  if (inputs.size() > 1) x = self.apply_all(Cat{.dim = 1}, inputs);
  return chain(self, x, {"norm1", "relu1", "conv1", "norm2", "relu2", "conv2"});
}

Returned dense_block(Forward& self) {
  std::vector<Edge> features = {self.input()};
  for (const std::string& layer : self.children()) features.push_back(self.call(layer, features));
  return self.apply_all(Cat{.dim = 1}, features);
}

Returned densenet(Forward& self) {
  Edge x = self.apply(ReLU{}, {self("features", self.input())});
  x = self.apply(AdaptiveAvgPool2d{1}, {x});
  return self("classifier", flatten(self, x));
}

// --- GoogLeNet, Inception

Returned basic_conv(Forward& self) {
  return self.apply(ReLU{}, {chain(self, self.input(), {"conv", "bn"})});
}

// From the normalisation of ImageNet's means to that of (0.5, 0.5).
Edge transform_input(Forward& self) {
  if (!self.flag("transform_input", false)) return self.input();
  constexpr double kMean[] = {0.485, 0.456, 0.406};
  constexpr double kStd[] = {0.229, 0.224, 0.225};
  std::vector<Edge> channels;
  for (std::int64_t i = 0; i < 3; ++i) {
    const Edge x = self.apply(Narrow{.dim = 1, .start = i, .length = 1}, {self.input()});
    const Edge scaled = self.apply(Mul{.other = kStd[i] / 0.5}, {x});
    channels.push_back(self.apply(Add{.other = (kMean[i] - 0.5) / 0.5}, {scaled}));
  }
  return self.apply_all(Cat{.dim = 1}, channels);
}

Returned googlenet(Forward& self) {
  self.leave_out("aux1");
  self.leave_out("aux2");
  Edge x = chain(self, transform_input(self),
                 {"conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3",
                  "inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a",
                  "inception5b", "avgpool"});
  x = self("dropout", flatten(self, x));
  return self("fc", x);
}

Returned googlenet_inception(Forward& self) {
  const Edge x = self.input();
  return join(self, {self("branch1", x), self("branch2", x), self("branch3", x), self("branch4", x)});
}

Returned inception3(Forward& self) {
  self.leave_out("AuxLogits");
  Edge x = chain(self, transform_input(self), {"Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"});
  x = child_or(self, "maxpool1", MaxPool2d{.kernel_size = 3, .stride = 2}, x);
  x = chain(self, x, {"Conv2d_3b_1x1", "Conv2d_4a_3x3"});
  x = child_or(self, "maxpool2", MaxPool2d{.kernel_size = 3, .stride = 2}, x);
  x = chain(self, x,
            {"Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a",
             "Mixed_7b", "Mixed_7c"});
  x = child_or(self, "avgpool", AdaptiveAvgPool2d{1}, x);
  if (self.has("dropout")) x = self("dropout", x);
  return self("fc", flatten(self, x));
}

Edge pooled_branch(Forward& self) {
  const AvgPool2d pool{.kernel_size = 3, .stride = 1, .padding = 1};
  return self("branch_pool", self.apply(pool, {self.input()}));
}

Edge halved_branch(Forward& self) {
  return self.apply(MaxPool2d{.kernel_size = 3, .stride = 2}, {self.input()});
}

Returned inception_a(Forward& self) {
  const Edge x = self.input();
  const Edge one = self("branch1x1", x);
  const Edge five = chain(self, x, {"branch5x5_1", "branch5x5_2"});
  const Edge three = chain(self, x, {"branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"});
  return join(self, {one, five, three, pooled_branch(self)});
}

Returned inception_b(Forward& self) {
  const Edge x = self.input();
  const Edge three = self("branch3x3", x);
  const Edge twice = chain(self, x, {"branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"});
  return join(self, {three, twice, halved_branch(self)});
}

Returned inception_c(Forward& self) {
  const Edge x = self.input();
  const Edge one = self("branch1x1", x);
  const Edge seven = chain(self, x, {"branch7x7_1", "branch7x7_2", "branch7x7_3"});
  const Edge twice =
      chain(self, x, {"branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"});
  return join(self, {one, seven, twice, pooled_branch(self)});
}

Returned inception_d(Forward& self) {
  const Edge x = self.input();
  const Edge three = chain(self, x, {"branch3x3_1", "branch3x3_2"});
  const Edge seven = chain(self, x, {"branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"});
  return join(self, {three, seven, halved_branch(self)});
}

Returned inception_e(Forward& self) {
  const Edge x = self.input();
  const Edge one = self("branch1x1", x);
  const auto split = [&](Edge y, std::string_view a, std::string_view b) {
    return join(self, {self(a, y), self(b, y)});
  };
  const Edge three = split(self("branch3x3_1", x), "branch3x3_2a", "branch3x3_2b");
  const Edge twice = split(chain(self, x, {"branch3x3dbl_1", "branch3x3dbl_2"}), "branch3x3dbl_3a", "branch3x3dbl_3b");
  return join(self, {one, three, twice, pooled_branch(self)});
}

// --- MobileNet, MNASNet, EfficientNet

// x + child(x) where the block says so.
Edge residual(Forward& self, std::string_view child, std::string_view says_so) {
  const Edge y = self(child, self.input());
  return self.flag(says_so, false) ? add(self, y, self.input()) : y;
}

Returned inverted_residual_v2(Forward& self) {
  return residual(self, "conv", "use_res_connect");
}

Returned mobilenet_v2(Forward& self) {
  Edge x = self("features", self.input());
  x = self.apply(AdaptiveAvgPool2d{1}, {x});
  return self("classifier", flatten(self, x));
}

// MobileNetV3's InvertedResidual; EfficientNet's blocks, whose StochasticDepth passes its input on.
Returned block_with_residual(Forward& self) {
  return residual(self, "block", "use_res_connect");
}

Returned mnasnet_block(Forward& self) {
  return residual(self, "layers", "apply_residual");
}

Returned mnasnet(Forward& self) {
  const Edge x = self.apply(Mean{.dim = {2, 3}}, {self("layers", self.input())});
  return self("classifier", x);
}

// Those of MobileNetV3 up to 0.11 have "relu" and call F.hardsigmoid.
Returned squeeze_excitation_module(Forward& self) {
  const BlockCalls calls{
      [&self](std::string_view child, std::initializer_list<Edge> inputs) -> Edge {
        const Edge x = *inputs.begin();
        if (child == "avgpool") return child_or(self, child, AdaptiveAvgPool2d{1}, x);
        if (child == "activation" && !self.has(child)) return self("relu", x);
        if (child == "scale_activation") return child_or(self, child, Hardsigmoid{}, x);
        return self(child, x);
      },
      [&self](Operator op, std::initializer_list<Edge> inputs) { return self.apply(std::move(op), inputs); }};
  return squeeze_excitation(calls, self.input());
}

// --- ShuffleNetV2

Returned shuffle_block(Forward& self) {
  const Edge x = self.input();
  Edge y;
  if (self.integer("stride") == 1) {
    const std::vector<Edge> halves = self.apply(Chunk{.chunks = 2, .dim = 1}, x, 2);
    y = join(self, {halves[0], self("branch2", halves[1])});
  } else {
    y = join(self, {self("branch1", x), self("branch2", x)});
  }
  return self.apply(ChannelShuffle{.groups = 2}, {y});
}

Returned shufflenet(Forward& self) {
  const Edge x = chain(self, self.input(), {"conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"});
  return self("fc", self.apply(Mean{.dim = {2, 3}}, {x}));
}

// --- RegNet

Returned regnet(Forward& self) {
  return self("fc", flatten(self, chain(self, self.input(), {"stem", "trunk_output", "avgpool"})));
}

Returned regnet_block(Forward& self) {
  const Edge identity = self.has("proj") ? self("proj", self.input()) : self.input();
  return self("activation", add(self, identity, self("f", self.input())));
}

// --- ConvNeXt

Returned convnext(Forward& self) {
  return chain(self, self.input(), {"features", "avgpool", "classifier"});
}

Returned convnext_block(Forward& self) {
  const Edge y = self("block", self.input());
  const Edge scaled = self.apply(Mul{}, {self.parameter("layer_scale"), y});
  return add(self, scaled, self.input());
}

Returned layer_norm_2d_module(Forward& self) {
  Edge x = self.apply(Permute{{0, 2, 3, 1}}, {self.input()});
  x = self.apply_as_module(LayerNorm{}, {x});
  return self.apply(Permute{{0, 3, 1, 2}}, {x});
}

// --- Swin

Edge swapped(Forward& self, std::string_view child, Shape dims, Edge x) {
  return child_or(self, child, Permute{std::move(dims)}, x);
}

Returned swin(Forward& self) {
  Edge x = chain(self, self.input(), {"features", "norm"});
  x = self("avgpool", swapped(self, "permute", {0, 3, 1, 2}, x));
  return self("head", child_or(self, "flatten", Flatten{}, x));
}

Returned swin_block(Forward& self) {
  const Edge x = add(self, self.input(), self("attn", self("norm1", self.input())));
  return add(self, x, self("mlp", self("norm2", x)));
}

Returned swin_block_v2(Forward& self) {
  const Edge x = add(self, self.input(), self("norm1", self("attn", self.input())));
  return add(self, x, self("norm2", self("mlp", x)));
}

// The four pixels of each 2 x 2 square side by side, zeros where the map is odd. Rows and columns with odd places are
// taken from a map with one more of zeros, which is there or not as the size wants; torch pads by size % 2.
Edge merged_patches(Forward& self) {
  const Edge x = self.input();
  const auto pick = [&](std::int64_t first_row, std::int64_t first_column) {
    Edge y = x;
    if (first_row + first_column > 0) y = self.apply(Pad{.pad = {0, 0, 0, first_column, 0, first_row}}, {y});
    y = self.apply(Slice{.dim = -3, .start = first_row, .step = 2}, {y});
    return self.apply(Slice{.dim = -2, .start = first_column, .step = 2}, {y});
  };
  const Edge first = pick(0, 0);
  const Edge below = pick(1, 0);
  const Edge right = pick(0, 1);
  return self.apply(Cat{.dim = -1}, {first, below, right, pick(1, 1)});
}

Returned patch_merging(Forward& self) {
  return chain(self, merged_patches(self), {"norm", "reduction"});
}

Returned patch_merging_v2(Forward& self) {
  return chain(self, merged_patches(self), {"reduction", "norm"});
}

// One operator, as its children are only asked for their parameters.
Returned window_attention(Forward& self, bool v2) {
  const Linear qkv = self.linear("qkv");
  const Linear proj = self.linear("proj");
  const ShiftedWindowAttention op{.dim = proj.in_features, .v2 = v2, .qkv_bias = qkv.bias, .proj_bias = proj.bias};
  return self.apply_as_module(op, {self.input()});
}

Returned window_attention_v1(Forward& self) {
  return window_attention(self, false);
}
Returned window_attention_v2(Forward& self) {
  return window_attention(self, true);
}

// --- Vision Transformer

Returned vit(Forward& self) {
  const std::int64_t patch = std::max<std::int64_t>(self.integer("patch_size"), 1);
  const std::int64_t side = self.integer("image_size") / patch;
  // Only its own size will do, as in torch: to split a dimension by a number says what it must be.
  Edge x = self("conv_proj", self.input());
  x = self.apply(Unflatten{.dim = 2, .unflattened_size = {side, 1}}, {x});
  x = self.apply(Unflatten{.dim = 4, .unflattened_size = {side, 1}}, {x});
  x = self.apply(Flatten{.start_dim = 2}, {x});
  x = self.apply(Permute{{0, 2, 1}}, {x});
  const Edge token = self.apply(ExpandAs{.dims = {0}}, {self.parameter("class_token"), x});
  x = self("encoder", self.apply(Cat{.dim = 1}, {token, x}));
  return self("heads", self.apply(Select{.dim = 1, .index = 0}, {x}));
}

Returned vit_encoder(Forward& self) {
  const Edge x = add(self, self.input(), self.parameter("pos_embedding"));
  return chain(self, x, {"dropout", "layers", "ln"});
}

Returned vit_block(Forward& self) {
  Edge x = self("ln_1", self.input());
  x = self("dropout", self.first("self_attention", {x, x, x}));
  x = add(self, x, self.input());
  return add(self, x, self("mlp", self("ln_2", x)));
}

// --- MaxViT

Returned maxvit(Forward& self) {
  Edge x = self("stem", self.input());
  for (const std::string& block : self.children("blocks")) x = self(block, x);
  return self("classifier", x);
}

Returned maxvit_block(Forward& self) {
  Edge x = self.input();
  for (const std::string& layer : self.children("layers")) x = self(layer, x);
  return x;
}

Returned maxvit_layer(Forward& self) {
  return self("layers", self.input());
}

Returned maxvit_conv(Forward& self) {
  const Edge identity = self("proj", self.input());
  return add(self, identity, self("layers", self.input()));
}

// Windows and back. The size of the map is the one it was made for, so every dimension is split by its own number.
Returned partition_attention(Forward& self) {
  const std::int64_t size = std::max<std::int64_t>(self.integer("p"), 1);
  const Shape grid = self.integers("grid_size", 2);
  const std::int64_t rows = grid[0] / size;
  const std::int64_t columns = grid[1] / size;
  const auto split = [&](Edge x, std::int64_t dim, std::int64_t a, std::int64_t b) {
    return self.apply(Unflatten{.dim = dim, .unflattened_size = {a, b}}, {x});
  };
  const auto merge = [&](Edge x, std::int64_t dim) { return self.apply(Flatten{dim, dim + 1}, {x}); };

  Edge x = split(split(self.input(), 2, rows, size), 4, columns, size);  // [N, C, rows, size, columns, size]
  x = self.apply(Permute{{0, 2, 4, 3, 5, 1}}, {x});
  x = merge(merge(x, 1), 2);  // [N, windows, pixels, C]
  x = self("partition_swap", x);
  x = add(self, x, self("attn_layer", x));
  x = add(self, x, self("mlp_layer", x));
  x = self("departition_swap", x);
  x = split(split(x, 1, rows, columns), 3, size, size);  // [N, rows, columns, size, size, C]
  x = self.apply(Permute{{0, 5, 1, 3, 2, 4}}, {x});
  return merge(merge(x, 2), 3);
}

Returned swap_axes(Forward& self) {
  const std::int64_t a = self.integer("a");
  return self.apply(Transpose{a, self.integer("b")}, {self.input()});
}

// Attention among the pixels of each window, with a learnt bias for each distance.
Returned relative_attention(Forward& self) {
  const std::int64_t heads = self.integer("n_heads");
  const std::int64_t length = self.integer("max_seq_len");
  const Shape per_head = {heads, self.integer("head_dim")};
  const std::vector<Edge> qkv = self.apply(Chunk{.chunks = 3, .dim = -1}, self("to_qkv", self.input()), 3);
  const auto by_head = [&](Edge x) {
    x = self.apply(Unflatten{.dim = 3, .unflattened_size = per_head}, {x});
    return self.apply(Permute{{0, 1, 3, 2, 4}}, {x});  // [N, windows, heads, pixels, size]
  };
  const Edge keys = self.apply(Mul{.other = self.number("scale_factor", 1)}, {by_head(qkv[1])});
  const Edge products = self.apply(MatMul{}, {by_head(qkv[0]), self.apply(Transpose{-2, -1}, {keys})});
  const Edge places = self.apply(Flatten{0, -1}, {self.parameter("relative_position_index")});
  Edge bias = self.apply(IndexSelect{.dim = 0}, {self.parameter("relative_position_bias_table"), places});
  bias = self.apply(Unflatten{.dim = 0, .unflattened_size = {length, length}}, {bias});
  bias = self.apply(Unsqueeze{.dim = 0}, {self.apply(Permute{{2, 0, 1}}, {bias})});
  const Edge weights = self.apply(Softmax{.dim = -1}, {add(self, products, bias)});
  const Edge x = self.apply(Permute{{0, 1, 3, 2, 4}}, {self.apply(MatMul{}, {weights, by_head(qkv[2])})});
  return self("merge", self.apply(Flatten{3, 4}, {x}));
}

// --- segmentation

// A backbone that returns some of its layers' outputs by name.
Returned intermediate_layers(Forward& self) {
  const Value names = self.attribute("return_layers");
  std::vector<Returned::Item> items;
  Edge x = self.input();
  for (const std::string& child : self.children()) {
    x = self(child, x);
    if (const Value name = names[child]; name.exists()) {
      const std::string_view text = name.as_string().value_or("");
      if (text.empty()) self.wrong("return_layers", "names of layers");
      items.emplace_back(text, x);
    }
  }
  if (items.empty()) self.wrong("return_layers", "names of layers");
  return {Returned::Kind::dict, std::move(items)};
}

Edge feature(Forward& self, const Returned& features, std::string_view name) {
  for (const Returned::Item& item : features.items) {
    if (features.kind == Returned::Kind::dict && item.first == name) return item.second;
  }
  if (!self.failed()) self.unsupported("its backbone returns no " + std::string(name));
  return {};
}

Returned segmentation(Forward& self) {
  const Edge image = self.input();
  const Returned features = self.returned("backbone", self.inputs());
  const Edge out = resize_like(self, self("classifier", feature(self, features, "out")), image);
  if (!self.has("aux_classifier")) return {Returned::Kind::dict, {{"out", out}}};
  const Edge aux = resize_like(self, self("aux_classifier", feature(self, features, "aux")), image);
  return {Returned::Kind::dict, {{"out", out}, {"aux", aux}}};
}

Returned aspp(Forward& self) {
  std::vector<Edge> scales;
  for (const std::string& conv : self.children("convs")) scales.push_back(self(conv, self.input()));
  if (scales.empty()) {
    self.unsupported("it has no convs");
    return self.input();
  }
  return self("project", self.apply_all(Cat{.dim = 1}, scales));
}

Returned aspp_pooling(Forward& self) {
  return resize_like(self, self.in_order().items.front().second, self.input());
}

Returned lraspp(Forward& self) {
  const Returned features = self.returned("backbone", self.inputs());
  const Edge inputs[] = {feature(self, features, "low"), feature(self, features, "high")};
  return {Returned::Kind::dict, {{"out", resize_like(self, self.call("classifier", inputs), self.input())}}};
}

Returned lraspp_head(Forward& self) {
  const Edge low = self.inputs()[0];
  const Edge high = self.inputs()[1];
  Edge x = self("cbr", high);
  x = resize_like(self, self.apply(Mul{}, {x, self("scale", high)}), low);
  const Edge y = self("low_classifier", low);
  return add(self, y, self("high_classifier", x));
}

// --- torchvision.ops

Returned permute(Forward& self) {
  const std::size_t count = self.attribute("dims").item_count();
  if (count == 0) self.wrong("dims", "integers");
  return self.apply(Permute{self.integers("dims", count)}, {self.input()});
}

constexpr ForwardClass kTorchvisionForwards[] = {
    {"torchvision.models._utils.IntermediateLayerGetter", intermediate_layers},
    {"torchvision.models.alexnet.AlexNet", features_avgpool_classifier},
    {"torchvision.models.convnext.CNBlock", convnext_block},
    {"torchvision.models.convnext.ConvNeXt", convnext},
    {"torchvision.models.convnext.LayerNorm2d", layer_norm_2d_module},
    {"torchvision.models.convnext.Permute", permute},
    {"torchvision.models.densenet.DenseNet", densenet},
    {"torchvision.models.densenet._DenseBlock", dense_block},
    {"torchvision.models.densenet._DenseLayer", dense_layer, 1, kAnyNumber},
    {"torchvision.models.efficientnet.EfficientNet", features_avgpool_classifier},
    {"torchvision.models.efficientnet.FusedMBConv", block_with_residual},
    {"torchvision.models.efficientnet.MBConv", block_with_residual},
    {"torchvision.models.googlenet.BasicConv2d", basic_conv},
    {"torchvision.models.googlenet.GoogLeNet", googlenet},
    {"torchvision.models.googlenet.Inception", googlenet_inception},
    {"torchvision.models.inception.BasicConv2d", basic_conv},
    {"torchvision.models.inception.Inception3", inception3},
    {"torchvision.models.inception.InceptionA", inception_a},
    {"torchvision.models.inception.InceptionB", inception_b},
    {"torchvision.models.inception.InceptionC", inception_c},
    {"torchvision.models.inception.InceptionD", inception_d},
    {"torchvision.models.inception.InceptionE", inception_e},
    {"torchvision.models.maxvit.MBConv", maxvit_conv},
    {"torchvision.models.maxvit.MaxVit", maxvit},
    {"torchvision.models.maxvit.MaxVitBlock", maxvit_block},
    {"torchvision.models.maxvit.MaxVitLayer", maxvit_layer},
    {"torchvision.models.maxvit.PartitionAttentionLayer", partition_attention},
    {"torchvision.models.maxvit.RelativePositionalMultiHeadAttention", relative_attention},
    {"torchvision.models.maxvit.SwapAxes", swap_axes},
    {"torchvision.models.mnasnet.MNASNet", mnasnet},
    {"torchvision.models.mnasnet._InvertedResidual", mnasnet_block},
    // Up to 0.8.
    {"torchvision.models.mobilenet.InvertedResidual", inverted_residual_v2},
    {"torchvision.models.mobilenet.MobileNetV2", mobilenet_v2},
    {"torchvision.models.mobilenetv2.InvertedResidual", inverted_residual_v2},
    {"torchvision.models.mobilenetv2.MobileNetV2", mobilenet_v2},
    {"torchvision.models.mobilenetv3.InvertedResidual", block_with_residual},
    {"torchvision.models.mobilenetv3.MobileNetV3", features_avgpool_classifier},
    {"torchvision.models.mobilenetv3.SqueezeExcitation", squeeze_excitation_module},
    {"torchvision.models.regnet.RegNet", regnet},
    {"torchvision.models.regnet.ResBottleneckBlock", regnet_block},
    {"torchvision.models.resnet.BasicBlock", basic_block},
    {"torchvision.models.resnet.Bottleneck", bottleneck},
    {"torchvision.models.resnet.ResNet", resnet},
    {"torchvision.models.segmentation._utils._SimpleSegmentationModel", segmentation},
    {"torchvision.models.segmentation.deeplabv3.ASPP", aspp},
    {"torchvision.models.segmentation.deeplabv3.ASPPPooling", aspp_pooling},
    {"torchvision.models.segmentation.deeplabv3.DeepLabV3", segmentation},
    {"torchvision.models.segmentation.fcn.FCN", segmentation},
    {"torchvision.models.segmentation.lraspp.LRASPP", lraspp},
    {"torchvision.models.segmentation.lraspp.LRASPPHead", lraspp_head, 2, 2},
    {"torchvision.models.shufflenetv2.InvertedResidual", shuffle_block},
    {"torchvision.models.shufflenetv2.ShuffleNetV2", shufflenet},
    {"torchvision.models.squeezenet.Fire", fire},
    {"torchvision.models.squeezenet.SqueezeNet", squeezenet},
    {"torchvision.models.swin_transformer.PatchMerging", patch_merging},
    {"torchvision.models.swin_transformer.PatchMergingV2", patch_merging_v2},
    {"torchvision.models.swin_transformer.ShiftedWindowAttention", window_attention_v1},
    {"torchvision.models.swin_transformer.ShiftedWindowAttentionV2", window_attention_v2},
    {"torchvision.models.swin_transformer.SwinTransformer", swin},
    {"torchvision.models.swin_transformer.SwinTransformerBlock", swin_block},
    {"torchvision.models.swin_transformer.SwinTransformerBlockV2", swin_block_v2},
    {"torchvision.models.vgg.VGG", features_avgpool_classifier},
    {"torchvision.models.vision_transformer.Encoder", vit_encoder},
    {"torchvision.models.vision_transformer.EncoderBlock", vit_block},
    {"torchvision.models.vision_transformer.VisionTransformer", vit},
    {"torchvision.ops.misc.Permute", permute},
    {"torchvision.ops.misc.SqueezeExcitation", squeeze_excitation_module},
};

}  // namespace

std::span<const ForwardClass> torchvision_forwards() noexcept {
  return kTorchvisionForwards;
}

}  // namespace rushlight::doors
