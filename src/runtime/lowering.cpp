#include "runtime/lowering.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "base/checked.hpp"
#include "base/quote.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime {
namespace {

// n images of c channels: the geometry behind a channels-last tensor.
struct Images {
  std::int64_t n = 0;
  std::int64_t c = 0;
  std::int64_t h = 1;
  std::int64_t w = 1;

  [[nodiscard]] std::int64_t pixels() const noexcept { return h * w; }
  friend bool operator==(const Images&, const Images&) = default;
};

// The tensors that hold a value. In torch's order its elements are [n][c][pixels]; `dense` holds them so,
// `channels_last` as [n][pixels][c]. Joining dimensions changes neither, so a Flatten hands both on.
struct Forms {
  TensorId dense = kNone;
  TensorId channels_last = kNone;
  Images images;  // of channels_last
};

std::int64_t product(std::span<const std::int64_t> sizes) {
  std::int64_t result = 1;
  for (const std::int64_t size : sizes) result *= size;
  return result;
}

// [N, C, H, W] or, without a batch, [C, H, W].
Images images_of(const Shape& shape) {
  const std::size_t batch = shape.size() == 4 ? 1 : 0;
  return {batch == 1 ? shape[0] : 1, shape[batch], shape[batch + 1], shape[batch + 2]};
}

// Torch's stride argument of poolings: the kernel's size where it is not given.
IntPair pool_stride(IntPair stride, IntPair kernel) {
  return {stride.h == 0 ? kernel.h : stride.h, stride.w == 0 ? kernel.w : stride.w};
}

// Zeros above and to the left. "same" puts the odd one below and to the right.
IntPair conv_padding(const Conv2d& conv) {
  if (conv.padding.kind == Padding::Kind::amounts) return conv.padding.amount;
  if (conv.padding.kind == Padding::Kind::valid) return {};
  return {conv.dilation.h * (conv.kernel_size.h - 1) / 2, conv.dilation.w * (conv.kernel_size.w - 1) / 2};
}

class Lowering {
 public:
  explicit Lowering(const Draft& draft) : draft_(draft), forms_(draft.shapes.size()) {}

  Plan run() {
    for (std::size_t port = 0; port < draft_.inputs.size(); ++port) {
      const ValueId value = draft_.inputs[port];
      const std::uint32_t buffer = make_buffer(product(shape(value)), Place::input, port);
      forms_[value].dense = dense_tensor(shape(value), buffer);
      plan_.inputs.push_back(forms_[value].dense);
    }
    for (const DraftOp& op : draft_.ops) {
      const Node& node = draft_.node(op);
      name_ = node.name;
      lower_node(op, node.op);
    }
    for (std::size_t port = 0; port < draft_.outputs.size(); ++port) {
      name_ = "output " + quoted(draft_.network.graph.outputs()[port].name);
      lower_output(draft_.outputs[port], port);
    }
    return std::move(plan_);
  }

 private:
  [[nodiscard]] const Shape& shape(ValueId value) const { return draft_.shapes[value]; }

  std::uint32_t make_buffer(std::int64_t elements, Place place = Place::arena, std::size_t port = 0) {
    PlannedBuffer buffer;
    buffer.place = place;
    buffer.port = port;
    buffer.size_bytes = static_cast<std::uint64_t>(elements) * sizeof(float);
    plan_.buffers.push_back(buffer);
    return static_cast<std::uint32_t>(plan_.buffers.size() - 1);
  }

  TensorId make_tensor(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::uint32_t buffer) {
    PlannedTensor tensor;
    tensor.buffer = buffer;
    tensor.n = n;
    tensor.h = h;
    tensor.w = w;
    tensor.c = c;
    tensor.row_stride = c;
    plan_.tensors.push_back(tensor);
    return static_cast<TensorId>(plan_.tensors.size() - 1);
  }

  // Rows of the last dimension.
  TensorId dense_tensor(const Shape& sizes, std::uint32_t buffer) {
    const std::int64_t c = sizes.empty() ? 1 : sizes.back();
    const std::int64_t n = sizes.empty() ? 1 : product(std::span(sizes).first(sizes.size() - 1));
    return make_tensor(n, 1, 1, c, buffer);
  }
  TensorId image_tensor(const Images& images, std::uint32_t buffer) {
    return make_tensor(images.n, images.h, images.w, images.c, buffer);
  }
  // New memory for a value that a step makes.
  TensorId make_dense(ValueId value) {
    return forms_[value].dense = dense_tensor(shape(value), make_buffer(product(shape(value))));
  }
  TensorId make_images(ValueId value, const Images& images) {
    forms_[value].images = images;
    return forms_[value].channels_last = image_tensor(images, make_buffer(product(shape(value))));
  }
  [[nodiscard]] std::uint32_t buffer_of(TensorId tensor) const { return plan_.tensors[tensor].buffer; }

  ConstantId constant(const Constant& wanted) {
    const auto [place, is_new] = constants_.try_emplace(wanted, static_cast<ConstantId>(plan_.constants.size()));
    if (is_new) plan_.constants.push_back(wanted);
    return place->second;
  }

  template <class Work>
  void emit(Work work) {
    plan_.steps.push_back(Step{std::move(work), name_});
  }

  // The value in torch's order.
  TensorId dense(ValueId value) {
    Forms& forms = forms_[value];
    if (forms.dense != kNone) return forms.dense;
    const Images images = forms.images;
    if (images.c == 1 || images.pixels() == 1) {
      return forms.dense = dense_tensor(shape(value), buffer_of(forms.channels_last));
    }
    const TensorId input = forms.channels_last;
    const TensorId output = make_dense(value);
    emit(LayoutStep{input, output, images.n, images.pixels(), images.c});
    return output;
  }

  // The value as images, channels last.
  TensorId channels_last(ValueId value, const Images& images) {
    if (forms_[value].channels_last != kNone) {
      const Images& have = forms_[value].images;
      if (have == images) return forms_[value].channels_last;
      if (have.n == images.n && have.c == images.c && have.pixels() == images.pixels()) {
        return image_tensor(images, buffer_of(forms_[value].channels_last));
      }
    }
    const TensorId input = dense(value);
    if (images.c == 1 || images.pixels() == 1) return image_tensor(images, buffer_of(input));
    // A value seen as two kinds of images at once keeps the first kind; the graph would have to be odd.
    const bool first = forms_[value].channels_last == kNone;
    const TensorId output =
        first ? make_images(value, images) : image_tensor(images, make_buffer(product(shape(value))));
    emit(LayoutStep{input, output, images.n, images.c, images.pixels()});
    return output;
  }

  // Whatever form the value has, for operators that treat all elements alike.
  [[nodiscard]] bool is_channels_last(ValueId value) const { return forms_[value].channels_last != kNone; }
  TensorId any_form(ValueId value) {
    return is_channels_last(value) ? forms_[value].channels_last : forms_[value].dense;
  }
  // New memory for `value`, in the form that `like` has.
  TensorId make_like(ValueId value, ValueId like) {
    return is_channels_last(like) ? make_images(value, forms_[like].images) : make_dense(value);
  }

  void lower_node(const DraftOp& op, const Operator& kind) {
    switch (kind.kind()) {
      case OperatorKind::Conv2d:
        return lower_op(op, kind.get<Conv2d>());
      case OperatorKind::Linear:
        return lower_op(op, kind.get<Linear>());
      case OperatorKind::BatchNorm1d:
      case OperatorKind::BatchNorm2d:
        return lower_norm(op);
      case OperatorKind::ReLU:
        return lower_op(op, kind.get<ReLU>());
      case OperatorKind::MaxPool2d:
        return lower_op(op, kind.get<MaxPool2d>());
      case OperatorKind::AvgPool2d:
        return lower_op(op, kind.get<AvgPool2d>());
      case OperatorKind::AdaptiveAvgPool2d:
        return lower_op(op, kind.get<AdaptiveAvgPool2d>());
      case OperatorKind::Flatten:
        return lower_op(op, kind.get<Flatten>());
      case OperatorKind::Softmax:
        return lower_op(op, kind.get<Softmax>());
      case OperatorKind::Add:
        return lower_op(op, kind.get<Add>());
      // Dropped by a pass; here for completeness of the table.
      case OperatorKind::Dropout:
      case OperatorKind::Identity:
        forms_[op.output] = forms_[op.inputs[0]];
        return;
      default:
        return;  // has_step() says no
    }
  }

  void lower_op(const DraftOp& op, const Conv2d& conv) {
    const Images out = images_of(shape(op.output));
    ConvStep step;
    step.input = channels_last(op.inputs[0], images_of(shape(op.inputs[0])));
    step.weights = constant({.form = Form::conv_weight, .node = op.node, .batch_norm = op.batch_norm});
    if (conv.bias || op.batch_norm != kNoNode) {
      step.bias = constant({.form = Form::bias, .node = op.node, .batch_norm = op.batch_norm});
    }
    step.kernel = conv.kernel_size;
    step.stride = conv.stride;
    step.padding = conv_padding(conv);
    step.dilation = conv.dilation;
    step.groups = conv.groups;
    step.epilogue.relu = op.relu;
    if (op.residual != kNoValue) step.epilogue.residual = channels_last(op.residual, out);
    step.output = make_images(op.output, out);
    emit(step);
  }

  void lower_op(const DraftOp& op, const Linear& linear) {
    LinearStep step;
    Constant weight{.form = Form::linear_weight, .node = op.node, .batch_norm = op.batch_norm};
    const ValueId input = op.inputs[0];
    const Images& images = forms_[input].images;
    const Shape& in_shape = shape(input);
    const bool rows_are_images =
        in_shape.size() == 2 && in_shape[0] == images.n && in_shape[1] == images.c * images.pixels();
    if (forms_[input].dense == kNone && rows_are_images && images.c > 1 && images.pixels() > 1) {
      // Flattened images: the weights follow the data, not the other way round.
      weight.channels = images.c;
      weight.pixels = images.pixels();
      step.input = dense_tensor(in_shape, buffer_of(forms_[input].channels_last));
    } else {
      step.input = dense(input);
    }
    step.weights = constant(weight);
    if (linear.bias || op.batch_norm != kNoNode) {
      step.bias = constant({.form = Form::bias, .node = op.node, .batch_norm = op.batch_norm});
    }
    step.epilogue.relu = op.relu;
    if (op.residual != kNoValue) step.epilogue.residual = dense(op.residual);
    step.output = make_dense(op.output);
    emit(step);
  }

  void lower_norm(const DraftOp& op) {
    NormStep step;
    step.mean = constant({.form = Form::norm_mean, .node = op.node});
    step.scale = constant({.form = Form::norm_scale, .node = op.node});
    step.shift = constant({.form = Form::norm_shift, .node = op.node});
    step.relu = op.relu;
    const Shape& sizes = shape(op.output);
    if (sizes.size() == 2) {
      step.input = dense(op.inputs[0]);
      step.output = make_dense(op.output);
    } else {
      const Images images = sizes.size() == 3 ? Images{sizes[0], sizes[1], 1, sizes[2]} : images_of(sizes);
      step.input = channels_last(op.inputs[0], images);
      step.output = make_images(op.output, images);
    }
    emit(step);
  }

  void lower_op(const DraftOp& op, const ReLU&) {
    const TensorId input = any_form(op.inputs[0]);
    emit(ReluStep{input, make_like(op.output, op.inputs[0])});
  }

  // Fills in what every pooling has.
  template <class Pool>
  Pool pooling(const DraftOp& op) {
    Pool step;
    step.input = channels_last(op.inputs[0], images_of(shape(op.inputs[0])));
    step.output = make_images(op.output, images_of(shape(op.output)));
    return step;
  }

  void lower_op(const DraftOp& op, const MaxPool2d& pool) {
    auto step = pooling<MaxPoolStep>(op);
    step.kernel = pool.kernel_size;
    step.stride = pool_stride(pool.stride, pool.kernel_size);
    step.padding = pool.padding;
    step.dilation = pool.dilation;
    emit(step);
  }

  void lower_op(const DraftOp& op, const AvgPool2d& pool) {
    auto step = pooling<AvgPoolStep>(op);
    step.kernel = pool.kernel_size;
    step.stride = pool_stride(pool.stride, pool.kernel_size);
    step.padding = pool.padding;
    step.count_include_pad = pool.count_include_pad;
    step.divisor_override = pool.divisor_override;
    emit(step);
  }

  void lower_op(const DraftOp& op, const AdaptiveAvgPool2d&) { emit(pooling<AdaptiveAvgPoolStep>(op)); }

  void lower_op(const DraftOp& op, const Flatten&) {
    const Forms& from = forms_[op.inputs[0]];
    Forms& to = forms_[op.output];
    to.channels_last = from.channels_last;
    to.images = from.images;
    if (from.dense != kNone) to.dense = dense_tensor(shape(op.output), buffer_of(from.dense));
  }

  void lower_op(const DraftOp& op, const Softmax& softmax) {
    const ValueId value = op.inputs[0];
    const Shape& sizes = shape(value);
    SoftmaxStep step;
    Shape order = sizes;  // the sizes as they lie in memory
    std::size_t axis =
        static_cast<std::size_t>(softmax.dim < 0 ? softmax.dim + std::int64_t(sizes.size()) : softmax.dim);
    if (is_channels_last(value) && sizes.size() == 4 && images_of(sizes) == forms_[value].images) {
      order = {sizes[0], sizes[2], sizes[3], sizes[1]};
      constexpr std::size_t kWhere[] = {0, 3, 1, 2};
      axis = kWhere[axis];
      step.input = forms_[value].channels_last;
      step.output = make_like(op.output, value);
    } else {
      step.input = dense(value);
      step.output = make_dense(op.output);
    }
    if (order.empty()) order = {1};  // a number, softmax over itself
    step.outer = product(std::span(order).first(axis));
    step.axis = order[axis];
    step.inner = product(std::span(order).subspan(axis + 1));
    emit(step);
  }

  void lower_op(const DraftOp& op, const Add&) {
    const ValueId a = op.inputs[0];
    const ValueId b = op.inputs[1];
    if (shape(a) != shape(b)) return lower_broadcast(op);
    AddStep step;
    step.relu = op.relu;
    const ValueId like = is_channels_last(a) ? a : b;
    if (is_channels_last(like)) {
      const Images images = forms_[like].images;
      step.a = channels_last(a, images);
      step.b = channels_last(b, images);
      step.output = make_images(op.output, images);
    } else {
      step.a = dense(a);
      step.b = dense(b);
      step.output = make_dense(op.output);
    }
    emit(step);
  }

  void lower_broadcast(const DraftOp& op) {
    BroadcastAddStep step;
    step.relu = op.relu;
    step.a = dense(op.inputs[0]);
    step.b = dense(op.inputs[1]);
    step.output = make_dense(op.output);
    step.shape = shape(op.output);
    const auto strides = [&](const Shape& sizes) {
      const std::size_t missing = step.shape.size() - sizes.size();
      const Strides own = contiguous_strides(sizes);
      std::vector<std::int64_t> result(step.shape.size(), 0);
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] != 1) result[missing + i] = own[i];
      }
      return result;
    };
    step.a_strides = strides(shape(op.inputs[0]));
    step.b_strides = strides(shape(op.inputs[1]));
    emit(std::move(step));
  }

  void lower_output(ValueId value, std::size_t port) {
    const Forms& forms = forms_[value];
    plan_.output_shapes.push_back(shape(value));
    const bool moves = forms.dense == kNone && forms.images.c > 1 && forms.images.pixels() > 1;
    if (!moves) {
      const TensorId tensor = dense(value);
      PlannedBuffer& buffer = plan_.buffers[buffer_of(tensor)];
      if (buffer.place == Place::arena) {
        buffer.place = Place::output;
        buffer.port = port;
        plan_.outputs.push_back(tensor);
        return;
      }
    }
    const TensorId output = dense_tensor(shape(value), make_buffer(product(shape(value)), Place::output, port));
    if (moves) {
      emit(LayoutStep{forms.channels_last, output, forms.images.n, forms.images.pixels(), forms.images.c});
    } else {
      emit(CopyStep{dense(value), output});
    }
    plan_.outputs.push_back(output);
  }

  const Draft& draft_;
  std::vector<Forms> forms_;  // of each value
  Plan plan_;
  std::map<Constant, ConstantId> constants_;
  std::string name_;  // of the node that is lowered
};

}  // namespace

bool has_step(const Node& node) noexcept {
  if (node.outputs.size() != 1) return false;
  const Operator& op = node.op;
  switch (op.kind()) {
    case OperatorKind::Conv2d:
      return op.get<Conv2d>().padding_mode == PaddingMode::zeros;
    case OperatorKind::BatchNorm1d:
      return op.get<BatchNorm1d>().track_running_stats;
    case OperatorKind::BatchNorm2d:
      return op.get<BatchNorm2d>().track_running_stats;
    case OperatorKind::Add:
      return op.get<Add>().alpha == 1 && !op.get<Add>().other;
    case OperatorKind::Linear:
    case OperatorKind::ReLU:
    case OperatorKind::MaxPool2d:
    case OperatorKind::AvgPool2d:
    case OperatorKind::AdaptiveAvgPool2d:
    case OperatorKind::Flatten:
    case OperatorKind::Softmax:
    case OperatorKind::Dropout:
    case OperatorKind::Identity:
      return true;
    default:
      return false;
  }
}

Result<Plan> lower(const Draft& draft, const Limits& limits) {
  for (const Shape& shape : draft.shapes) {
    std::optional<std::int64_t> bytes = sizeof(float);
    for (const std::int64_t size : shape) {
      // A zero must not hide an overflow: kernels multiply sizes in their own order.
      if (bytes) bytes = checked_mul(*bytes, size == 0 ? std::int64_t{1} : size);
    }
    if (!bytes) {
      return arena_too_large(std::nullopt, limits);
    }
  }
  return Lowering(draft).run();
}

}  // namespace rushlight::runtime
