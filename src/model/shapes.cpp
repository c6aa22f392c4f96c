#include "model/shapes.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/operator_table.hpp"

namespace rushlight::model {
namespace {

constexpr std::int64_t kUnknown = -1;
// A float32 tensor must be addressable.
constexpr std::int64_t kMostElements = std::numeric_limits<std::int64_t>::max() / 4;

Error misfit(std::string message, std::string expected = {}, std::string found = {}) {
  return Error::of({.category = Category::model,
                    .code = "GRAPH-SHAPE",
                    .message = std::move(message),
                    .found = std::move(found),
                    .expected = std::move(expected)});
}

Error expected_found(const std::string& expected, const std::string& found, const Shape& where) {
  return misfit("expected " + expected + ", found " + found + " in " + shape_text(where), expected, found);
}

Error wrong_rank(const std::string& expected, const Shape& found) {
  return misfit("expected an input of " + expected + " dimensions, found " + shape_text(found), expected,
                std::to_string(found.size()));
}

// floor(a / b) for b > 0; C++ rounds to zero.
std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept {
  return a / b - (a % b != 0 && a < 0 ? 1 : 0);
}

// One side of a window that slides over one dimension.
struct Window {
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding;
  std::int64_t dilation;
  bool ceil_mode;
};

// The number of places, which is 0 or less when the window does not fit; nullopt on overflow.
// pooling_output_shape_pad_lr in ATen/native/Pool.h; without ceil_mode it is conv_output_size of ConvUtils.h too.
std::optional<std::int64_t> places(std::int64_t size, const Window& window) noexcept {
  const auto reach = checked_mul(window.dilation, window.kernel - 1);
  const auto both_sides = checked_mul(window.padding, std::int64_t{2});
  if (!reach || !both_sides) return std::nullopt;
  const auto padded = checked_add(size, *both_sides);
  if (!padded) return std::nullopt;
  std::int64_t slack = *padded - 1;  // padded >= 0 and reach >= 0: the differences cannot wrap
  const auto room = checked_sub(slack, *reach);
  if (!room) return std::nullopt;
  slack = *room;
  if (window.ceil_mode) {
    const auto raised = checked_add(slack, window.stride - 1);
    if (!raised) return std::nullopt;
    slack = *raised;
  }
  std::int64_t count = floor_div(slack, window.stride) + 1;
  // The last window must start inside the input or the padding before it.
  if (window.ceil_mode && count > 0 && (count - 1) * window.stride >= size + window.padding) --count;
  return count;
}

struct ImageShape {
  std::size_t channels;  // index of the dimension; height and width follow
};

// [N, C, H, W], or [C, H, W] as torch takes it too. Only the batch may be empty.
Result<ImageShape> image_shape(const Shape& shape) {
  if (shape.size() != 3 && shape.size() != 4) return wrong_rank("3 or 4", shape);
  const std::size_t channels = shape.size() - 3;
  for (std::size_t i = channels; i < shape.size(); ++i) {
    if (shape[i] == 0) return misfit("expected sizes of at least 1, found " + shape_text(shape));
  }
  return ImageShape{channels};
}

std::string plane_text(std::int64_t h, std::int64_t w) {
  const auto side = [](std::int64_t size) { return size == kUnknown ? std::string("?") : std::to_string(size); };
  return side(h) + "x" + side(w);
}

// Replaces height and width.
Result<Shape> slide(Shape shape, std::size_t height, const Window& down, const Window& across) {
  const std::int64_t before[] = {shape[height], shape[height + 1]};
  const Window* windows[] = {&down, &across};
  for (std::size_t i = 0; i < 2; ++i) {
    if (before[i] == kUnknown) continue;
    const std::optional<std::int64_t> count = places(before[i], *windows[i]);
    if (!count) return misfit("sizes overflow 64 bits in " + shape_text(shape));
    if (*count < 1) {
      const auto span = [](const Window& window) { return (window.kernel - 1) * window.dilation + 1; };
      const auto padded = [](std::int64_t size, const Window& window) {
        return size == kUnknown ? kUnknown : size + 2 * window.padding;
      };
      const std::string found = plane_text(padded(before[0], down), padded(before[1], across));
      return misfit(
          "a window of " + plane_text(span(down), span(across)) + " does not fit the padded input of " + found, {},
          found);
    }
    shape[height + i] = *count;
  }
  return shape;
}

Result<Shape> infer(const Conv2d& op, std::span<const Shape> inputs) {
  Shape shape = inputs[0];
  RUSHLIGHT_TRY_ASSIGN(const ImageShape image, image_shape(shape));
  std::int64_t& channels = shape[image.channels];
  if (op.in_channels != kFromWeights && channels != kUnknown && channels != op.in_channels) {
    return expected_found(count_text(static_cast<std::size_t>(op.in_channels), "channel"), std::to_string(channels),
                          inputs[0]);
  }
  if (op.in_channels == kFromWeights && channels != kUnknown && channels % op.groups != 0) {
    return expected_found("a multiple of " + std::to_string(op.groups) + " channels", std::to_string(channels),
                          inputs[0]);
  }
  channels = op.out_channels == kFromWeights ? kUnknown : op.out_channels;
  const std::size_t height = image.channels + 1;
  if (op.padding.kind == Padding::Kind::same) return shape;  // stride is 1 then
  if (op.kernel_size == IntPair(kFromWeights)) {
    shape[height] = shape[height + 1] = kUnknown;
    return shape;
  }
  const IntPair padding = op.padding.kind == Padding::Kind::valid ? IntPair(0) : op.padding.amount;
  return slide(std::move(shape), height, {op.kernel_size.h, op.stride.h, padding.h, op.dilation.h, false},
               {op.kernel_size.w, op.stride.w, padding.w, op.dilation.w, false});
}

Result<Shape> infer(const Linear& op, std::span<const Shape> inputs) {
  Shape shape = inputs[0];
  if (shape.empty()) return wrong_rank("1 or more", shape);
  if (op.in_features != kFromWeights && shape.back() != kUnknown && shape.back() != op.in_features) {
    return expected_found(count_text(static_cast<std::size_t>(op.in_features), "feature"), std::to_string(shape.back()),
                          shape);
  }
  shape.back() = op.out_features == kFromWeights ? kUnknown : op.out_features;
  return shape;
}

template <class Norm>
Result<Shape> infer_norm(const Norm& op, const Shape& shape) {
  if (op.num_features != kFromWeights && shape[1] != kUnknown && shape[1] != op.num_features) {
    return expected_found(count_text(static_cast<std::size_t>(op.num_features), "channel"), std::to_string(shape[1]),
                          shape);
  }
  return shape;
}
Result<Shape> infer(const BatchNorm1d& op, std::span<const Shape> inputs) {
  if (inputs[0].size() != 2 && inputs[0].size() != 3) return wrong_rank("2 or 3", inputs[0]);
  return infer_norm(op, inputs[0]);
}
Result<Shape> infer(const BatchNorm2d& op, std::span<const Shape> inputs) {
  if (inputs[0].size() != 4) return wrong_rank("4", inputs[0]);
  return infer_norm(op, inputs[0]);
}

template <class Pool>
Result<Shape> infer_pool(const Pool& op, const Shape& input, IntPair dilation) {
  RUSHLIGHT_TRY_ASSIGN(const ImageShape image, image_shape(input));
  const IntPair stride = op.stride == IntPair(kFromKernel) ? op.kernel_size : op.stride;
  return slide(input, image.channels + 1, {op.kernel_size.h, stride.h, op.padding.h, dilation.h, op.ceil_mode},
               {op.kernel_size.w, stride.w, op.padding.w, dilation.w, op.ceil_mode});
}
Result<Shape> infer(const MaxPool2d& op, std::span<const Shape> inputs) {
  return infer_pool(op, inputs[0], op.dilation);
}
Result<Shape> infer(const AvgPool2d& op, std::span<const Shape> inputs) {
  return infer_pool(op, inputs[0], IntPair(1));
}

Result<Shape> infer(const AdaptiveAvgPool2d& op, std::span<const Shape> inputs) {
  Shape shape = inputs[0];
  RUSHLIGHT_TRY_ASSIGN(const ImageShape image, image_shape(shape));
  if (op.output_size.h != -1) shape[image.channels + 1] = op.output_size.h;
  if (op.output_size.w != -1) shape[image.channels + 2] = op.output_size.w;
  return shape;
}

// torch's rule for a dim argument: -rank .. rank - 1, where a scalar counts as one dimension.
Result<std::size_t> dimension(std::string_view name, std::int64_t dim, const Shape& shape) {
  const auto rank = static_cast<std::int64_t>(std::max<std::size_t>(shape.size(), 1));
  if (dim < -rank || dim >= rank) {
    return misfit(std::string(name) + " " + std::to_string(dim) + " lies outside " + shape_text(shape),
                  std::to_string(-rank) + " to " + std::to_string(rank - 1), std::to_string(dim));
  }
  return static_cast<std::size_t>(dim < 0 ? dim + rank : dim);
}

Result<Shape> infer(const Flatten& op, std::span<const Shape> inputs) {
  const Shape& shape = inputs[0];
  RUSHLIGHT_TRY_ASSIGN(const std::size_t start, dimension("start_dim", op.start_dim, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::size_t end, dimension("end_dim", op.end_dim, shape));
  if (start > end) {
    return misfit("start_dim " + std::to_string(op.start_dim) + " comes after end_dim " + std::to_string(op.end_dim) +
                  " in " + shape_text(shape));
  }
  if (shape.empty()) return Shape{1};
  Shape flat(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(start));
  std::int64_t joined = 1;
  for (std::size_t i = start; i <= end; ++i) {
    if (shape[i] == kUnknown || joined == kUnknown) {
      joined = kUnknown;
      continue;
    }
    const auto product = checked_mul(joined, shape[i]);
    if (!product) return misfit("sizes overflow 64 bits in " + shape_text(shape));
    joined = *product;
  }
  flat.push_back(joined);
  flat.insert(flat.end(), shape.begin() + static_cast<std::ptrdiff_t>(end) + 1, shape.end());
  return flat;
}

Result<Shape> infer(const Softmax& op, std::span<const Shape> inputs) {
  RUSHLIGHT_TRY(dimension("dim", op.dim, inputs[0]));
  return inputs[0];
}

Result<Shape> infer(const ReLU&, std::span<const Shape> inputs) {
  return inputs[0];
}
Result<Shape> infer(const Dropout&, std::span<const Shape> inputs) {
  return inputs[0];
}
Result<Shape> infer(const Identity&, std::span<const Shape> inputs) {
  return inputs[0];
}

// NumPy's broadcasting: aligned at the last dimension, sizes equal or one of them 1.
Result<Shape> infer(const Add&, std::span<const Shape> inputs) {
  const Shape& a = inputs[0];
  const Shape& b = inputs[1];
  Shape shape(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    std::int64_t& out = shape[shape.size() - 1 - i];
    if (x == y || y == 1) {
      out = x;
    } else if (x == 1) {
      out = y;
    } else if (x == kUnknown || y == kUnknown) {
      out = x == kUnknown ? y : x;  // the unknown one can only be 1 or the same
    } else {
      return misfit("shapes " + shape_text(a) + " and " + shape_text(b) + " do not broadcast");
    }
  }
  return shape;
}

Status check_addressable(const Shape& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t size : shape) {
    if (size == kUnknown || size == 0) continue;
    const auto product = checked_mul(elements, size);
    if (!product || *product > kMostElements) return misfit("output " + shape_text(shape) + " overflows 64 bits");
    elements = *product;
  }
  return {};
}

Error named(Error error, const std::string& where) {
  error.finding.message = where + ": " + error.finding.message;
  return error;
}

}  // namespace

Result<Shape> infer_shape(const Operator& op, std::span<const Shape> inputs) {
  Result<Shape> shape = misfit("it has no operator");
  visit_operator(op, [&](const auto& inside) { shape = infer(inside, inputs); });
  if (shape) RUSHLIGHT_TRY(check_addressable(*shape));
  return shape;
}

Result<std::vector<std::optional<Shape>>> infer_edges(const Graph::Impl& graph,
                                                      std::span<const std::optional<Shape>> inputs) {
  std::vector<std::optional<Shape>> edges(graph.edge_count);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i]) {
      if (const Status status = check_addressable(*inputs[i]); !status) {
        return named(status.error(), "input " + quoted(graph.inputs[i].name));
      }
    }
    edges[static_cast<std::size_t>(graph.inputs[i].edge.index)] = inputs[i];
  }
  std::vector<Shape> operands;
  for (const Node& node : graph.nodes) {
    operands.clear();
    for (const Edge edge : node.inputs) {
      const std::optional<Shape>& shape = edges[static_cast<std::size_t>(edge.index)];
      if (shape) operands.push_back(*shape);
    }
    if (operands.size() < node.inputs.size()) continue;
    Result<Shape> shape = infer_shape(node.op, operands);
    if (!shape) return named(std::move(shape).error(), layer_text(node));
    edges[static_cast<std::size_t>(node.output.index)] = *std::move(shape);
  }
  return edges;
}

Status check_declared_shapes(const Graph::Impl& graph) {
  std::vector<std::optional<Shape>> inputs;
  for (const Port& port : graph.inputs) {
    inputs.push_back(port.shape.empty() ? std::optional<Shape>() : port.shape);
  }
  RUSHLIGHT_TRY_ASSIGN(const auto edges, infer_edges(graph, inputs));
  if (graph.labels.empty() || graph.outputs.empty()) return {};
  const std::optional<Shape>& scores = edges[static_cast<std::size_t>(graph.outputs[0].edge.index)];
  if (!scores || scores->size() != 2 || (*scores)[1] == kUnknown) return {};
  if (static_cast<std::size_t>((*scores)[1]) == graph.labels.size()) return {};
  return misfit("labels: expected " + count_text(static_cast<std::size_t>((*scores)[1]), "name") + ", found " +
                    std::to_string(graph.labels.size()),
                std::to_string((*scores)[1]), std::to_string(graph.labels.size()));
}

}  // namespace rushlight::model
