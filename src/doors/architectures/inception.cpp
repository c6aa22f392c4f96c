// torchvision/models/inception.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

constexpr IntPair kRow{1, 7};
constexpr IntPair kColumn{7, 1};

// One block, whose convolutions are named below it.
class Mixed {
 public:
  Mixed(Net& net, std::string name) : net_(net), name_(std::move(name) + ".") {}
  Edge conv(const char* name, Edge x, const ConvSettings& settings = {}) {
    return net_.basic_conv(name_ + name, x, settings);
  }
  // Without padding, as all that halve the map.
  Edge reduce(const char* name, Edge x) { return conv(name, x, {.kernel = 3, .stride = 2, .padding = 0}); }
  Edge pool(Edge x) {
    return conv("branch_pool",
                net_.apply(name_ + "avg_pool2d", AvgPool2d{.kernel_size = 3, .stride = 1, .padding = 1}, x));
  }
  Edge max_pool(Edge x) { return net_.apply(name_ + "max_pool2d", MaxPool2d{.kernel_size = 3, .stride = 2}, x); }
  Edge cat(std::initializer_list<Edge> branches, const char* name = "cat") { return net_.cat(name_ + name, branches); }

 private:
  Net& net_;
  std::string name_;
};

Edge inception_a(Mixed block, Edge x) {
  const Edge branch1x1 = block.conv("branch1x1", x);
  const Edge branch5x5 = block.conv("branch5x5_2", block.conv("branch5x5_1", x), {.kernel = 5});
  Edge branch3x3dbl = block.conv("branch3x3dbl_2", block.conv("branch3x3dbl_1", x), {.kernel = 3});
  branch3x3dbl = block.conv("branch3x3dbl_3", branch3x3dbl, {.kernel = 3});
  return block.cat({branch1x1, branch5x5, branch3x3dbl, block.pool(x)});
}

Edge inception_b(Mixed block, Edge x) {
  const Edge branch3x3 = block.reduce("branch3x3", x);
  Edge branch3x3dbl = block.conv("branch3x3dbl_2", block.conv("branch3x3dbl_1", x), {.kernel = 3});
  branch3x3dbl = block.reduce("branch3x3dbl_3", branch3x3dbl);
  return block.cat({branch3x3, branch3x3dbl, block.max_pool(x)});
}

Edge inception_c(Mixed block, Edge x) {
  const Edge branch1x1 = block.conv("branch1x1", x);
  Edge branch7x7 = block.conv("branch7x7_2", block.conv("branch7x7_1", x), {.kernel = kRow});
  branch7x7 = block.conv("branch7x7_3", branch7x7, {.kernel = kColumn});
  Edge branch7x7dbl = block.conv("branch7x7dbl_2", block.conv("branch7x7dbl_1", x), {.kernel = kColumn});
  branch7x7dbl = block.conv("branch7x7dbl_3", branch7x7dbl, {.kernel = kRow});
  branch7x7dbl = block.conv("branch7x7dbl_4", branch7x7dbl, {.kernel = kColumn});
  branch7x7dbl = block.conv("branch7x7dbl_5", branch7x7dbl, {.kernel = kRow});
  return block.cat({branch1x1, branch7x7, branch7x7dbl, block.pool(x)});
}

Edge inception_d(Mixed block, Edge x) {
  const Edge branch3x3 = block.reduce("branch3x3_2", block.conv("branch3x3_1", x));
  Edge branch7x7x3 = block.conv("branch7x7x3_2", block.conv("branch7x7x3_1", x), {.kernel = kRow});
  branch7x7x3 = block.conv("branch7x7x3_3", branch7x7x3, {.kernel = kColumn});
  branch7x7x3 = block.reduce("branch7x7x3_4", branch7x7x3);
  return block.cat({branch3x3, branch7x7x3, block.max_pool(x)});
}

Edge inception_e(Mixed block, Edge x) {
  constexpr IntPair row{1, 3};
  constexpr IntPair column{3, 1};
  const Edge branch1x1 = block.conv("branch1x1", x);
  const Edge narrow = block.conv("branch3x3_1", x);
  const Edge branch3x3 = block.cat(
      {block.conv("branch3x3_2a", narrow, {.kernel = row}), block.conv("branch3x3_2b", narrow, {.kernel = column})},
      "cat");
  const Edge wide = block.conv("branch3x3dbl_2", block.conv("branch3x3dbl_1", x), {.kernel = 3});
  const Edge branch3x3dbl = block.cat(
      {block.conv("branch3x3dbl_3a", wide, {.kernel = row}), block.conv("branch3x3dbl_3b", wide, {.kernel = column})},
      "cat_1");
  return block.cat({branch1x1, branch3x3, branch3x3dbl, block.pool(x)}, "cat_2");
}

}  // namespace

void inception_v3(Net& net) {
  const MaxPool2d pool{.kernel_size = 3, .stride = 2};
  Edge x = net.transformed(net.image("Conv2d_1a_3x3.conv"));
  x = net.basic_conv("Conv2d_1a_3x3", x, {.kernel = 3, .stride = 2, .padding = 0});
  x = net.basic_conv("Conv2d_2a_3x3", x, {.kernel = 3, .padding = 0});
  x = net.basic_conv("Conv2d_2b_3x3", x, {.kernel = 3});
  x = net.apply("maxpool1", pool, x);
  x = net.basic_conv("Conv2d_3b_1x1", x);
  x = net.basic_conv("Conv2d_4a_3x3", x, {.kernel = 3, .padding = 0});
  x = net.apply("maxpool2", pool, x);
  for (const char* name : {"Mixed_5b", "Mixed_5c", "Mixed_5d"}) x = inception_a({net, name}, x);
  x = inception_b({net, "Mixed_6a"}, x);
  for (const char* name : {"Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"}) x = inception_c({net, name}, x);
  x = inception_d({net, "Mixed_7a"}, x);
  for (const char* name : {"Mixed_7b", "Mixed_7c"}) x = inception_e({net, name}, x);
  net.logits(net.linear("fc", net.pooled("avgpool", x)));
  net.graph.ignore("AuxLogits");  // the head of training
}

}  // namespace rushlight::doors
