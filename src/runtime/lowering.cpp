#include "runtime/lowering.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"
#include "base/quote.hpp"
#include "model/infer/infer.hpp"
#include "runtime/failure.hpp"
#include "runtime/general.hpp"
#include "runtime/views.hpp"

namespace rushlight::runtime {
namespace {

// The tensors that hold a value. In torch's order its elements are [n][c][pixels]; `dense` holds them so,
// `channels_last` as [n][pixels][c]. Joining dimensions changes neither, so a Flatten hands both on. What lies in any
// other way has a `view` alone, and so has every value that is not float32.
struct Forms {
  TensorId dense = kNone;
  TensorId channels_last = kNone;
  Images images;  // of channels_last
  std::optional<View> view;
};

// Torch's stride argument of poolings: the kernel's size where it is not given.
IntPair pool_stride(IntPair stride, IntPair kernel) {
  return {stride.h == 0 ? kernel.h : stride.h, stride.w == 0 ? kernel.w : stride.w};
}

// What is two-dimensional in steps and one-dimensional in torch: a picture of one row.
IntPair pair_of(IntPair value, std::int64_t) {
  return value;
}
IntPair pair_of(std::int64_t value, std::int64_t of_height) {
  return {of_height, value};
}

// Padding before the places of one dimension, and behind them.
struct Sides {
  std::int64_t before = 0;
  std::int64_t after = 0;
};

// In the order of the dimensions. "same" puts the odd one behind.
template <class Conv>
std::vector<Sides> conv_sides(const Conv& conv) {
  const std::vector<std::int64_t> kernel = model::amounts(conv.kernel_size);
  const std::vector<std::int64_t> dilation = model::amounts(conv.dilation);
  const std::vector<std::int64_t> padding = model::amounts(conv.padding.amount);
  std::vector<Sides> sides(kernel.size());
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    if (conv.padding.kind == PaddingKind::amounts) sides[i] = {padding[i], padding[i]};
    if (conv.padding.kind == PaddingKind::same) {
      const std::int64_t total = dilation[i] * (kernel[i] - 1);
      sides[i] = {total / 2, total - total / 2};
    }
  }
  return sides;
}

PadMode pad_mode(PaddingMode mode) {
  if (mode == PaddingMode::reflect) return PadMode::reflect;
  return mode == PaddingMode::replicate ? PadMode::replicate : PadMode::circular;
}

std::size_t place_of(std::int64_t dim, std::size_t rank) {
  return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(rank) : dim);
}

// Where an image value goes that becomes a part of another one's channels.
struct ChannelSlice {
  ValueId whole = kNoValue;
  std::int64_t channel = 0;
};

// A Cat of the channels of images.
bool joins_channels(const Cat& cat, const Shape& shape, DType dtype) {
  return dtype == DType::f32 && (shape.size() == 3 || shape.size() == 4) && place_of(cat.dim, shape.size()) == 1;
}

// Channels of concatenated images are written where they belong in the first place. Dense blocks concatenate the same
// values again and again, each time one more: seen from the last Cat, the others are its first channels.
std::vector<ChannelSlice> plan_slices(const Draft& draft) {
  std::vector<ChannelSlice> slices(draft.shapes.size());
  std::vector<bool> is_output(draft.shapes.size(), false);
  for (const ValueId output : draft.outputs) is_output[output] = true;
  const Uses uses(draft);
  for (std::size_t i = draft.ops.size(); i-- > 0;) {
    const DraftOp& op = draft.ops[i];
    const auto* cat = draft.node(op).op.get_if<Cat>();
    const Shape& shape = draft.shapes[op.output];
    if (cat == nullptr || !joins_channels(*cat, shape, draft.dtypes[op.output])) continue;
    const ChannelSlice own = slices[op.output];
    std::int64_t channel = own.whole == kNoValue ? 0 : own.channel;
    for (const ValueId input : op.inputs) {
      // Inputs of the graph are the caller's, outputs go to the caller.
      const bool is_ours = uses.producer[input] != kNoNode && !is_output[input] && draft.shapes[input][1] > 0;
      if (slices[input].whole == kNoValue && is_ours) {
        slices[input] = {own.whole == kNoValue ? op.output : own.whole, channel};
      }
      channel += draft.shapes[input][1];
    }
  }
  return slices;
}

class Lowering {
 public:
  explicit Lowering(const Draft& draft)
      : draft_(draft), forms_(draft.shapes.size()), slices_(plan_slices(draft)), wholes_(draft.shapes.size(), kNone) {}

  // nullopt when the bytes of a value cannot be counted.
  std::optional<Plan> run() {
    for (std::size_t port = 0; port < draft_.inputs.size(); ++port) {
      const ValueId value = draft_.inputs[port];
      const std::uint32_t buffer = make_buffer(value, Place::input, port);
      set_view(value, {buffer, 0, contiguous_strides(shape(value))});
      plan_.inputs.push_back(dense_operand(value).tensor);
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
    return is_countable_ ? std::optional(std::move(plan_)) : std::nullopt;
  }

 private:
  [[nodiscard]] const Shape& shape(ValueId value) const { return draft_.shapes[value]; }

  [[nodiscard]] DType dtype(ValueId value) const { return draft_.dtypes[value]; }
  [[nodiscard]] std::int64_t element_size(ValueId value) const {
    return static_cast<std::int64_t>(size_bytes(dtype(value)));
  }

  std::uint32_t make_buffer_of(std::int64_t bytes, Place place = Place::arena, std::size_t port = 0) {
    PlannedBuffer buffer;
    buffer.place = place;
    buffer.port = port;
    buffer.size_bytes = static_cast<std::uint64_t>(bytes);
    plan_.buffers.push_back(buffer);
    return static_cast<std::uint32_t>(plan_.buffers.size() - 1);
  }
  // For all elements of a value, in any order.
  std::uint32_t make_buffer(ValueId value, Place place = Place::arena, std::size_t port = 0) {
    return make_buffer_of(product(shape(value)) * element_size(value), place, port);
  }

  TensorId make_tensor(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::uint32_t buffer,
                       std::int64_t first = 0) {
    PlannedTensor tensor;
    tensor.buffer = buffer;
    tensor.begin_bytes = static_cast<std::uint64_t>(first) * sizeof(float);
    tensor.n = n;
    tensor.h = h;
    tensor.w = w;
    tensor.c = c;
    tensor.row_stride = c;
    plan_.tensors.push_back(tensor);
    return static_cast<TensorId>(plan_.tensors.size() - 1);
  }

  // Rows of the last dimension.
  TensorId dense_tensor(const Shape& sizes, std::uint32_t buffer, std::int64_t first = 0) {
    const std::int64_t c = sizes.empty() ? 1 : sizes.back();
    const std::int64_t n = sizes.empty() ? 1 : product(std::span(sizes).first(sizes.size() - 1));
    return make_tensor(n, 1, 1, c, buffer, first);
  }
  TensorId image_tensor(const Images& images, std::uint32_t buffer, std::int64_t first = 0) {
    return make_tensor(images.n, images.h, images.w, images.c, buffer, first);
  }
  // New memory for a value that a step makes.
  TensorId make_dense(ValueId value) { return forms_[value].dense = dense_tensor(shape(value), make_buffer(value)); }
  TensorId make_images(ValueId value, const Images& images) {
    forms_[value].images = images;
    return forms_[value].channels_last = image_tensor(images, make_buffer(value));
  }
  // The same for steps that leave gaps between pixels: a slice of the value that this one becomes a part of.
  TensorId make_slice(ValueId value, const Images& images) {
    const ChannelSlice& slice = slices_[value];
    if (slice.whole == kNoValue) return make_images(value, images);
    const Images whole = images_of(shape(slice.whole), shape(slice.whole).size() - 2);
    if (whole.n != images.n || whole.h != images.h || whole.w != images.w) return make_images(value, images);
    if (wholes_[slice.whole] == kNone) wholes_[slice.whole] = make_buffer(slice.whole);
    const std::uint32_t buffer = wholes_[slice.whole];
    const TensorId tensor = image_tensor(images, buffer, slice.channel);
    plan_.tensors[tensor].row_stride = whole.c;
    forms_[value].view = View{buffer, slice.channel, slice_strides(value, whole)};
    return tensor;
  }
  [[nodiscard]] Strides slice_strides(ValueId value, const Images& whole) const {
    Strides strides = channels_last_strides(shape(value), 1);
    for (std::size_t i = 0; i < strides.size(); ++i) {
      if (i != 1) strides[i] = strides[i] / shape(value)[1] * whole.c;
    }
    return strides;
  }
  [[nodiscard]] std::uint32_t buffer_of(TensorId tensor) const { return plan_.tensors[tensor].buffer; }
  // In floats, from the buffer's beginning.
  [[nodiscard]] std::int64_t first_of(TensorId tensor) const {
    return static_cast<std::int64_t>(plan_.tensors[tensor].begin_bytes / sizeof(float));
  }

  // --- views ---

  // Where a value is from now on. What can be told as one of the forms of steps is.
  void set_view(ValueId value, View view) {
    Forms& forms = forms_[value];
    const Shape& sizes = shape(value);
    if (dtype(value) == DType::f32) {
      if (is_contiguous(sizes, view.strides)) {
        forms.dense = dense_tensor(sizes, view.buffer, view.offset);
        return;
      }
      for (const std::size_t channels : {std::size_t{1}, std::size_t{0}}) {
        if (sizes.size() < channels + 2) continue;
        const Images images = images_of(sizes, sizes.size() - channels - 1);
        if (pixel_stride(sizes, view.strides, images) != images.c) continue;
        forms.images = images;
        forms.channels_last = image_tensor(images, view.buffer, view.offset);
        return;
      }
    }
    forms.view = std::move(view);
  }

  // As it lies, whatever the order.
  View view_of(ValueId value) {
    const Forms& forms = forms_[value];
    if (forms.view) return *forms.view;
    if (forms.channels_last != kNone) {
      if (std::optional<Strides> strides = image_strides(shape(value), forms.images)) {
        return {buffer_of(forms.channels_last), first_of(forms.channels_last), std::move(*strides)};
      }
    }
    const TensorId tensor = dense(value);
    return {buffer_of(tensor), first_of(tensor), contiguous_strides(shape(value))};
  }

  Operand operand_on(std::uint32_t buffer, std::int64_t offset, DType type, Shape sizes, Strides strides) {
    PlannedTensor tensor;
    tensor.buffer = buffer;
    tensor.begin_bytes = static_cast<std::uint64_t>(offset) * size_bytes(type);
    plan_.tensors.push_back(tensor);
    return {static_cast<TensorId>(plan_.tensors.size() - 1), type, std::move(sizes), std::move(strides)};
  }
  Operand operand(ValueId value) {
    View view = view_of(value);
    return operand_on(view.buffer, view.offset, dtype(value), shape(value), std::move(view.strides));
  }
  // In C order.
  Operand dense_operand(ValueId value) {
    if (dtype(value) == DType::f32) {
      const TensorId tensor = dense(value);
      return {tensor, DType::f32, shape(value), contiguous_strides(shape(value))};
    }
    if (!is_contiguous(shape(value), forms_[value].view->strides)) {
      const Operand from = operand(value);
      forms_[value].view.reset();
      emit_copy(from, make_operand(value, contiguous_strides(shape(value))));
    }
    return operand(value);
  }
  // New memory for a value, in this order.
  Operand make_operand(ValueId value, Strides strides) {
    set_view(value, {make_buffer(value), 0, std::move(strides)});
    return operand(value);
  }
  // The channels adjacent, whatever the distance of pixels.
  Operand picture_operand(ValueId value, std::size_t spatial) {
    const Shape& sizes = shape(value);
    const Images images = images_of(sizes, spatial);
    const std::size_t channels = sizes.size() - spatial - 1;
    if (const View view = view_of(value); sizes[channels] == 1 || view.strides[channels] == 1) {
      return operand_on(view.buffer, view.offset, DType::f32, sizes, view.strides);
    }
    const TensorId tensor = channels_last(value, images);
    return operand_on(buffer_of(tensor), first_of(tensor), DType::f32, sizes, *image_strides(sizes, images));
  }

  void emit_copy(Operand from, Operand to) {
    GeneralStep step;
    step.op = Identity{};
    step.inputs.push_back(std::move(from));
    step.outputs.push_back(std::move(to));
    emit(std::move(step));
  }

  ConstantId constant(Constant wanted) {
    wanted.node = draft_.weights_node[wanted.node];
    if (wanted.batch_norm != kNoNode) wanted.batch_norm = draft_.weights_node[wanted.batch_norm];
    const auto [place, is_new] = constants_.try_emplace(wanted, static_cast<ConstantId>(plan_.constants.size()));
    if (is_new) plan_.constants.push_back(wanted);
    return place->second;
  }

  template <class Work>
  void emit(Work work) {
    plan_.steps.push_back(Step{std::move(work), name_});
  }

  // The value in torch's order. Like all that follows up to the general operators: float32 alone.
  TensorId dense(ValueId value) {
    Forms& forms = forms_[value];
    if (forms.dense != kNone) return forms.dense;
    if (forms.channels_last == kNone) {
      const Operand from = operand(value);
      const TensorId output = make_dense(value);
      emit_copy(from, {output, DType::f32, shape(value), contiguous_strides(shape(value))});
      return output;
    }
    const Images images = forms.images;
    if (images.c == 1 || images.pixels() == 1) {
      return forms.dense = dense_tensor(shape(value), buffer_of(forms.channels_last), first_of(forms.channels_last));
    }
    const TensorId input = forms.channels_last;
    const TensorId output = make_dense(value);
    emit(LayoutStep{input, output, images.n, images.pixels(), images.c});
    return output;
  }

  // The value as images, channels last.
  TensorId channels_last(ValueId value, const Images& images) {
    const Forms& forms = forms_[value];
    if (forms.channels_last != kNone) {
      const Images& have = forms.images;
      if (have == images) return forms.channels_last;
      if (have.n == images.n && have.c == images.c && have.pixels() == images.pixels()) {
        return image_tensor(images, buffer_of(forms.channels_last), first_of(forms.channels_last));
      }
    } else if (forms.dense == kNone) {
      const View& view = *forms.view;
      if (const auto stride = pixel_stride(shape(value), view.strides, images)) {
        const TensorId tensor = image_tensor(images, view.buffer, view.offset);
        plan_.tensors[tensor].row_stride = *stride;
        return tensor;
      }
      if (std::optional<Strides> strides = image_strides(shape(value), images)) {
        const Operand from = operand(value);
        const TensorId tensor = make_images(value, images);
        emit_copy(from, {tensor, DType::f32, shape(value), std::move(*strides)});
        return tensor;
      }
    }
    const TensorId input = dense(value);
    if (images.c == 1 || images.pixels() == 1) return image_tensor(images, buffer_of(input), first_of(input));
    // A value seen as two kinds of images at once keeps the first kind; the graph would have to be odd.
    const bool first = forms_[value].channels_last == kNone;
    const TensorId output = first ? make_images(value, images) : image_tensor(images, make_buffer(value));
    emit(LayoutStep{input, output, images.n, images.c, images.pixels()});
    return output;
  }

  // The same without gaps between pixels.
  TensorId dense_images(ValueId value, const Images& images) {
    const TensorId tensor = channels_last(value, images);
    if (plan_.tensors[tensor].is_dense()) return tensor;
    const Operand from = operand(value);
    const TensorId copy = image_tensor(images, make_buffer(value));
    emit_copy(from, {copy, DType::f32, shape(value), *image_strides(shape(value), images)});
    return copy;
  }

  // As rows of the last dimension, which may lie apart.
  TensorId rows(ValueId value) {
    const Forms& forms = forms_[value];
    if (forms.dense == kNone && forms.channels_last == kNone && forms.view) {
      if (const auto stride = row_stride(shape(value), forms.view->strides)) {
        const TensorId tensor = dense_tensor(shape(value), forms.view->buffer, forms.view->offset);
        plan_.tensors[tensor].row_stride = *stride;
        return tensor;
      }
    }
    return dense(value);
  }

  // Whatever form the value has, for operators that treat all elements alike.
  [[nodiscard]] bool is_channels_last(ValueId value) const { return forms_[value].channels_last != kNone; }
  TensorId any_form(ValueId value) { return is_channels_last(value) ? forms_[value].channels_last : dense(value); }
  // New memory for `value`, in the form that `like` has.
  TensorId make_like(ValueId value, ValueId like) {
    return is_channels_last(like) ? make_images(value, forms_[like].images) : make_dense(value);
  }

  void lower_node(const DraftOp& op, const Operator& kind) {
    switch (kind.kind()) {
      case OperatorKind::Conv1d:
        return lower_conv(op, kind.get<Conv1d>());
      case OperatorKind::Conv2d:
        return lower_conv(op, kind.get<Conv2d>());
      case OperatorKind::Conv3d:
        return lower_conv3d(op, kind.get<Conv3d>());
      case OperatorKind::Linear:
        return lower_op(op, kind.get<Linear>());
      case OperatorKind::BatchNorm1d:
        return lower_norm(op, kind.get<BatchNorm1d>());
      case OperatorKind::BatchNorm2d:
        return lower_norm(op, kind.get<BatchNorm2d>());
      case OperatorKind::BatchNorm3d:
        return lower_norm(op, kind.get<BatchNorm3d>());
      case OperatorKind::SyncBatchNorm:
        return lower_norm(op, kind.get<SyncBatchNorm>());
      case OperatorKind::ReLU:
        return lower_op(op, kind.get<ReLU>());
      case OperatorKind::MaxPool1d:
        return lower_max_pool(op, kind.get<MaxPool1d>());
      case OperatorKind::MaxPool2d:
        return lower_max_pool(op, kind.get<MaxPool2d>());
      case OperatorKind::AvgPool1d:
        return lower_average_pool(op, kind.get<AvgPool1d>());
      case OperatorKind::AvgPool2d:
        return lower_average_pool(op, kind.get<AvgPool2d>());
      case OperatorKind::AdaptiveAvgPool1d:
      case OperatorKind::AdaptiveAvgPool2d:
        return emit(pooling<AdaptiveAvgPoolStep>(op));
      case OperatorKind::Softmax:
        return lower_softmax(op, kind.get<Softmax>().dim);
      case OperatorKind::Softmax2d:
        return lower_softmax(op, -3);
      case OperatorKind::Add:
        return lower_op(op, kind.get<Add>());
      // Dropped by a pass; here for completeness of the table.
      case OperatorKind::Dropout:
      case OperatorKind::Identity:
        forms_[op.output] = forms_[op.inputs[0]];
        return;
      case OperatorKind::Parameter:
      case OperatorKind::Constant:
        return lower_value(op);
      case OperatorKind::Flatten:
        return lower_op(op, kind.get<Flatten>());
      case OperatorKind::Unflatten:
      case OperatorKind::Reshape:
      case OperatorKind::Squeeze:
      case OperatorKind::Unsqueeze:
        return lower_reshape(op);
      case OperatorKind::Permute:
        return lower_permutation(op, kind.get<Permute>().dims);
      case OperatorKind::Transpose:
        return lower_op(op, kind.get<Transpose>());
      case OperatorKind::Slice:
        return lower_op(op, kind.get<Slice>());
      case OperatorKind::Narrow: {
        const Narrow& narrow = kind.get<Narrow>();
        return lower_slice(op, narrow.dim, narrow.start, 1);
      }
      case OperatorKind::Select:
        return lower_op(op, kind.get<Select>());
      case OperatorKind::Chunk:
        return lower_pieces(op, kind.get<Chunk>().dim);
      case OperatorKind::Split:
        return lower_pieces(op, kind.get<Split>().dim);
      case OperatorKind::Unbind:
        return lower_op(op, kind.get<Unbind>());
      case OperatorKind::Expand:
      case OperatorKind::ExpandAs:
        return lower_expand(op);
      case OperatorKind::Repeat:
        return lower_op(op, kind.get<Repeat>());
      case OperatorKind::PadAs:
        return lower_op(op, kind.get<PadAs>());
      case OperatorKind::Flip:
        return lower_op(op, kind.get<Flip>());
      case OperatorKind::Cat:
        return lower_op(op, kind.get<Cat>());
      case OperatorKind::Stack:
        return lower_op(op, kind.get<Stack>());
      case OperatorKind::PixelShuffle:
        return lower_op(op, kind.get<PixelShuffle>());
      case OperatorKind::PixelUnshuffle:
        return lower_op(op, kind.get<PixelUnshuffle>());
      case OperatorKind::ChannelShuffle:
        return lower_op(op, kind.get<ChannelShuffle>());
      case OperatorKind::GLU:
        return lower_op(op, kind.get<GLU>());
      default:
        return lower_general(op, kind);
    }
  }

  // --- shared steps ---

  // The input with the padding of a convolution around it, in memory of its own.
  template <class Conv>
  Operand padded(ValueId value, const Conv& conv) {
    const std::vector<Sides> sides = conv_sides(conv);
    const std::size_t spatial = sides.size();
    Shape sizes = shape(value);
    Pad pad;
    pad.mode = pad_mode(conv.padding_mode);
    for (std::size_t i = spatial; i-- > 0;) {
      pad.pad.push_back(sides[i].before);
      pad.pad.push_back(sides[i].after);
      sizes[sizes.size() - spatial + i] += sides[i].before + sides[i].after;
    }
    GeneralStep step;
    step.op = std::move(pad);
    step.inputs.push_back(picture_operand(value, spatial));
    std::optional<std::int64_t> bytes = sizeof(float);
    for (const std::int64_t size : sizes) bytes = bytes ? checked_mul(*bytes, std::max<std::int64_t>(size, 1)) : bytes;
    if (!bytes) is_countable_ = false;
    const std::uint32_t buffer = make_buffer_of(bytes.value_or(0));
    Strides strides = channels_last_strides(sizes, sizes.size() - spatial - 1);
    step.outputs.push_back(operand_on(buffer, 0, DType::f32, std::move(sizes), std::move(strides)));
    Operand result = step.outputs[0];
    emit(std::move(step));
    return result;
  }

  // Conv1d and Conv2d.
  template <class Conv>
  void lower_conv(const DraftOp& op, const Conv& conv) {
    const std::size_t spatial = model::amounts(conv.kernel_size).size();
    const Images out = images_of(shape(op.output), spatial);
    ConvStep step;
    if (conv.padding_mode == PaddingMode::zeros) {
      step.input = channels_last(op.inputs[0], images_of(shape(op.inputs[0]), spatial));
      const std::vector<Sides> sides = conv_sides(conv);
      step.padding = {spatial == 2 ? sides[0].before : 0, sides.back().before};
    } else {
      const Operand input = padded(op.inputs[0], conv);
      step.input = image_tensor(images_of(input.shape, spatial), buffer_of(input.tensor));
    }
    step.weights = constant({.form = Form::conv_weight, .node = op.node, .batch_norm = op.batch_norm});
    if (conv.bias || op.batch_norm != kNoNode) {
      step.bias = constant({.form = Form::bias, .node = op.node, .batch_norm = op.batch_norm});
    }
    step.kernel = pair_of(conv.kernel_size, 1);
    step.stride = pair_of(conv.stride, 1);
    step.dilation = pair_of(conv.dilation, 1);
    step.groups = conv.groups;
    step.epilogue.activation = op.activation;
    if (op.residual != kNoValue) step.epilogue.residual = channels_last(op.residual, out);
    step.output = make_slice(op.output, out);
    emit(step);
  }

  void lower_conv3d(const DraftOp& op, const Conv3d& conv) {
    if (conv.padding_mode == PaddingMode::zeros) return lower_general(op, conv);
    Conv3d without = conv;
    without.padding = Padding3d::valid();
    without.padding_mode = PaddingMode::zeros;
    GeneralStep step;
    step.op = without;
    step.node = op.node;
    step.weights_node = draft_.weights_node[op.node];
    step.inputs.push_back(padded(op.inputs[0], conv));
    step.outputs.push_back(make_picture(op.output, 3));
    emit(std::move(step));
  }

  void lower_op(const DraftOp& op, const Linear& linear) {
    LinearStep step;
    Constant weight{.form = Form::linear_weight, .node = op.node, .batch_norm = op.batch_norm};
    const ValueId input = op.inputs[0];
    const Images& images = forms_[input].images;
    const Shape& in_shape = shape(input);
    const bool rows_are_images =
        in_shape.size() == 2 && in_shape[0] == images.n && in_shape[1] == images.c * images.pixels();
    if (is_channels_last(input) && forms_[input].dense == kNone && rows_are_images && images.c > 1 &&
        images.pixels() > 1) {
      // Flattened images: the weights follow the data, not the other way round.
      weight.channels = images.c;
      weight.pixels = images.pixels();
      step.input =
          dense_tensor(in_shape, buffer_of(forms_[input].channels_last), first_of(forms_[input].channels_last));
    } else {
      step.input = rows(input);
    }
    step.weights = constant(weight);
    if (linear.bias || op.batch_norm != kNoNode) {
      step.bias = constant({.form = Form::bias, .node = op.node, .batch_norm = op.batch_norm});
    }
    step.epilogue.activation = op.activation;
    if (op.residual != kNoValue) step.epilogue.residual = dense(op.residual);
    step.output = make_dense(op.output);
    emit(step);
  }

  template <class Norm>
  void lower_norm(const DraftOp& op, const Norm& norm) {
    if (!norm.track_running_stats) return lower_general(op, norm);
    NormStep step;
    step.mean = constant({.form = Form::norm_mean, .node = op.node});
    step.scale = constant({.form = Form::norm_scale, .node = op.node});
    step.shift = constant({.form = Form::norm_shift, .node = op.node});
    step.relu = op.activation.kind == Activation::Kind::relu;
    const Shape& sizes = shape(op.output);
    if (sizes.size() == 2) {
      step.input = rows(op.inputs[0]);
      step.output = make_dense(op.output);
    } else {
      const Images images = images_of(sizes, sizes.size() - 2);
      step.input = channels_last(op.inputs[0], images);
      step.output = make_slice(op.output, images);
    }
    emit(step);
  }

  void lower_op(const DraftOp& op, const ReLU& relu) {
    const Forms& forms = forms_[op.inputs[0]];
    if (forms.dense == kNone && forms.channels_last == kNone) return lower_general(op, relu);
    const TensorId input = any_form(op.inputs[0]);
    emit(ReluStep{input, make_like(op.output, op.inputs[0])});
  }

  // Fills in what every pooling has.
  template <class Pool>
  Pool pooling(const DraftOp& op) {
    const std::size_t spatial = spatial_dimensions(draft_.node(op).op, shape(op.output).size());
    Pool step;
    step.input = channels_last(op.inputs[0], images_of(shape(op.inputs[0]), spatial));
    step.output = make_slice(op.output, images_of(shape(op.output), spatial));
    return step;
  }

  template <class Pool>
  void lower_max_pool(const DraftOp& op, const Pool& pool) {
    if (!op.more_outputs.empty()) return lower_general(op, pool);
    auto step = pooling<MaxPoolStep>(op);
    step.kernel = pair_of(pool.kernel_size, 1);
    step.stride = pool_stride(pair_of(pool.stride, 1), step.kernel);
    step.padding = pair_of(pool.padding, 0);
    step.dilation = pair_of(pool.dilation, 1);
    emit(step);
  }

  template <class Pool>
  void lower_average_pool(const DraftOp& op, const Pool& pool) {
    auto step = pooling<AvgPoolStep>(op);
    step.kernel = pair_of(pool.kernel_size, 1);
    step.stride = pool_stride(pair_of(pool.stride, 1), step.kernel);
    step.padding = pair_of(pool.padding, 0);
    step.count_include_pad = pool.count_include_pad;
    if constexpr (requires { pool.divisor_override; }) step.divisor_override = pool.divisor_override;
    emit(step);
  }

  void lower_op(const DraftOp& op, const Flatten&) {
    const Forms& from = forms_[op.inputs[0]];
    if (from.view) return lower_reshape(op);
    Forms& to = forms_[op.output];
    to.channels_last = from.channels_last;
    to.images = from.images;
    if (from.dense != kNone) to.dense = dense_tensor(shape(op.output), buffer_of(from.dense), first_of(from.dense));
  }

  void lower_softmax(const DraftOp& op, std::int64_t dim) {
    const ValueId value = op.inputs[0];
    const Shape& sizes = shape(value);
    SoftmaxStep step;
    Shape order = sizes;  // the sizes as they lie in memory
    std::size_t axis = place_of(dim, sizes.size());
    if (is_channels_last(value) && sizes.size() == 4 && images_of(sizes, 2) == forms_[value].images) {
      order = {sizes[0], sizes[2], sizes[3], sizes[1]};
      constexpr std::size_t kWhere[] = {0, 3, 1, 2};
      axis = kWhere[axis];
      step.input = forms_[value].channels_last;
      step.output = make_like(op.output, value);
    } else {
      step.input = dense(value);
      step.output = make_dense(op.output);
    }
    if (order.empty()) {  // a number, softmax over itself
      order = {1};
      axis = 0;
    }
    step.outer = product(std::span(order).first(axis));
    step.axis = order[axis];
    step.inner = product(std::span(order).subspan(axis + 1));
    emit(step);
  }

  void lower_op(const DraftOp& op, const Add& add) {
    if (add.alpha != 1 || add.other) return lower_general(op, add);
    const ValueId a = op.inputs[0];
    const ValueId b = op.inputs[1];
    if (shape(a) != shape(b)) return lower_broadcast(op);
    AddStep step;
    step.relu = op.activation.kind == Activation::Kind::relu;
    const ValueId like = is_channels_last(a) ? a : b;
    if (is_channels_last(like)) {
      const Images images = forms_[like].images;
      step.a = dense_images(a, images);
      step.b = dense_images(b, images);
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
    step.relu = op.activation.kind == Activation::Kind::relu;
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

  // --- parameters and views ---

  void lower_value(const DraftOp& op) {
    const ConstantId id = constant({.form = Form::value, .node = op.node});
    set_view(op.output, {make_buffer(op.output, Place::constant, id), 0, contiguous_strides(shape(op.output))});
  }

  // The same elements in C order, in another shape.
  void lower_reshape(const DraftOp& op) {
    const ValueId value = op.inputs[0];
    const View view = view_of(value);
    if (auto strides = reshape_strides(shape(value), view.strides, shape(op.output))) {
      return set_view(op.output, {view.buffer, view.offset, std::move(*strides)});
    }
    const Operand source = dense_operand(value);
    const std::int64_t first =
        static_cast<std::int64_t>(plan_.tensors[source.tensor].begin_bytes) / element_size(value);
    set_view(op.output, {buffer_of(source.tensor), first, contiguous_strides(shape(op.output))});
  }

  void lower_permutation(const DraftOp& op, const Shape& dims) {
    const View view = view_of(op.inputs[0]);
    Strides strides;
    for (const std::int64_t dim : dims) strides.push_back(view.strides[place_of(dim, dims.size())]);
    set_view(op.output, {view.buffer, view.offset, std::move(strides)});
  }
  void lower_op(const DraftOp& op, const Transpose& transpose) {
    View view = view_of(op.inputs[0]);
    const std::size_t rank = view.strides.size();
    if (rank > 0) std::swap(view.strides[place_of(transpose.dim0, rank)], view.strides[place_of(transpose.dim1, rank)]);
    set_view(op.output, std::move(view));
  }

  void lower_slice(const DraftOp& op, std::int64_t dim_in, std::int64_t start, std::int64_t step) {
    View view = view_of(op.inputs[0]);
    const Shape& sizes = shape(op.inputs[0]);
    const std::size_t dim = place_of(dim_in, sizes.size());
    if (start < 0) start = start < -sizes[dim] ? 0 : start + sizes[dim];
    view.offset += std::min(start, sizes[dim]) * view.strides[dim];
    if (product(shape(op.output)) == 0) view.offset = 0;
    // A step beyond the end leaves one element; its stride is never taken.
    view.strides[dim] *= shape(op.output)[dim] > 1 ? step : 1;
    set_view(op.output, std::move(view));
  }
  void lower_op(const DraftOp& op, const Slice& slice) { lower_slice(op, slice.dim, slice.start, slice.step); }

  void lower_op(const DraftOp& op, const Select& select) {
    View view = view_of(op.inputs[0]);
    const Shape& sizes = shape(op.inputs[0]);
    const std::size_t dim = place_of(select.dim, sizes.size());
    view.offset += (select.index < 0 ? select.index + sizes[dim] : select.index) * view.strides[dim];
    if (product(shape(op.output)) == 0) view.offset = 0;
    view.strides.erase(view.strides.begin() + static_cast<std::ptrdiff_t>(dim));
    set_view(op.output, std::move(view));
  }

  static std::vector<ValueId> outputs_of(const DraftOp& op) {
    std::vector<ValueId> outputs = {op.output};
    outputs.insert(outputs.end(), op.more_outputs.begin(), op.more_outputs.end());
    return outputs;
  }
  void lower_pieces(const DraftOp& op, std::int64_t dim_in) {
    View view = view_of(op.inputs[0]);
    const std::size_t dim = place_of(dim_in, view.strides.size());
    for (const ValueId output : outputs_of(op)) {
      const std::int64_t size = shape(output)[dim];
      set_view(output, {view.buffer, product(shape(output)) == 0 ? 0 : view.offset, view.strides});
      view.offset += size * view.strides[dim];
    }
  }
  void lower_op(const DraftOp& op, const Unbind& unbind) {
    View view = view_of(op.inputs[0]);
    const std::size_t dim = place_of(unbind.dim, view.strides.size());
    const std::int64_t stride = view.strides[dim];
    view.strides.erase(view.strides.begin() + static_cast<std::ptrdiff_t>(dim));
    for (const ValueId output : outputs_of(op)) {
      set_view(output, {view.buffer, product(shape(output)) == 0 ? 0 : view.offset, view.strides});
      view.offset += stride;
    }
  }

  // The strides of a value seen as this larger shape.
  Strides expanded(ValueId value, const View& view, const Shape& to) const {
    const Shape& from = shape(value);
    const std::size_t added = to.size() - from.size();
    Strides strides(to.size(), 0);
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (from[i] == to[added + i]) strides[added + i] = view.strides[i];
    }
    return strides;
  }
  void lower_expand(const DraftOp& op) {
    const View view = view_of(op.inputs[0]);
    set_view(op.output, {view.buffer, view.offset, expanded(op.inputs[0], view, shape(op.output))});
  }

  // --- what is a copy with both sides seen in a common shape ---

  // Writes a value whose memory is in C order, seen in the shape of `from`; the strides are those of the dimensions of
  // `from` in the output.
  void copy_to(ValueId value, Operand from, Strides strides) {
    const std::uint32_t buffer = make_buffer(value);
    Operand to = operand_on(buffer, 0, from.dtype, from.shape, std::move(strides));
    set_view(value, {buffer, 0, contiguous_strides(shape(value))});
    emit_copy(std::move(from), std::move(to));
  }

  // What only crops is a view, the rest is a Pad.
  void lower_op(const DraftOp& op, const PadAs& pad_as) {
    const Shape& sizes = shape(op.inputs[0]);
    const Result<Pad> pad = model::pad_of(pad_as, sizes, shape(op.inputs[1]));
    if (!pad) return lower_general(op, pad_as);  // shapes have been inferred by the same function: never
    const auto adds = [](std::int64_t amount) { return amount > 0; };
    if (std::none_of(pad->pad.begin(), pad->pad.end(), adds)) {
      View view = view_of(op.inputs[0]);
      for (std::size_t d = 0; d < sizes.size(); ++d)
        view.offset -= pad->pad[2 * (sizes.size() - 1 - d)] * view.strides[d];
      if (product(shape(op.output)) == 0) view.offset = 0;
      return set_view(op.output, std::move(view));
    }
    lower_general_on(op, *pad, std::span(op.inputs).first(1));
  }

  void lower_op(const DraftOp& op, const Repeat& repeat) {
    const View view = view_of(op.inputs[0]);
    const Shape& sizes = shape(op.inputs[0]);
    const Strides out = contiguous_strides(shape(op.output));
    const std::size_t added = out.size() - sizes.size();
    Shape common;
    Strides from;
    Strides to;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::int64_t size = i < added ? 1 : sizes[i - added];
      common.insert(common.end(), {repeat.repeats[i], size});
      from.insert(from.end(), {0, i < added ? 0 : view.strides[i - added]});
      to.insert(to.end(), {size * out[i], out[i]});
    }
    copy_to(op.output, operand_on(view.buffer, view.offset, dtype(op.inputs[0]), std::move(common), std::move(from)),
            std::move(to));
  }

  // A copy from the last element on, with negative strides.
  void lower_op(const DraftOp& op, const Flip& flip) {
    View view = view_of(op.inputs[0]);
    const Shape& sizes = shape(op.inputs[0]);
    Strides out = dense_like(sizes, view.strides);
    std::vector<bool> reversed(sizes.size(), flip.dims.empty());
    for (const std::int64_t dim : flip.dims) {
      if (!sizes.empty()) reversed[place_of(dim, sizes.size())] = true;  // dim 0 of a single number is none
    }
    for (std::size_t i = 0; i < sizes.size() && product(sizes) > 0; ++i) {
      if (!reversed[i]) continue;
      view.offset += (sizes[i] - 1) * view.strides[i];
      view.strides[i] = -view.strides[i];
    }
    const Operand from = operand_on(view.buffer, view.offset, dtype(op.inputs[0]), sizes, std::move(view.strides));
    emit_copy(from, make_operand(op.output, std::move(out)));
  }

  // The input as [N, a, b, ..., rest]: dimension `dim` split into `sizes`.
  Operand split_dimension(const Operand& from, std::size_t dim, const Shape& sizes) {
    Operand result = from;
    std::int64_t step = from.strides[dim];
    result.shape.erase(result.shape.begin() + static_cast<std::ptrdiff_t>(dim));
    result.strides.erase(result.strides.begin() + static_cast<std::ptrdiff_t>(dim));
    for (std::size_t i = sizes.size(); i-- > 0;) {
      result.shape.insert(result.shape.begin() + static_cast<std::ptrdiff_t>(dim), sizes[i]);
      result.strides.insert(result.strides.begin() + static_cast<std::ptrdiff_t>(dim), step);
      step *= sizes[i];
    }
    return result;
  }
  static void permute(Operand& operand, const std::vector<std::size_t>& order) {
    const Operand from = operand;
    for (std::size_t i = 0; i < order.size(); ++i) {
      operand.shape[i] = from.shape[order[i]];
      operand.strides[i] = from.strides[order[i]];
    }
  }
  // 0, 1, ..., up to `first`, then these places counted from there.
  static std::vector<std::size_t> order_from(std::size_t first, std::initializer_list<std::size_t> places) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < first; ++i) order.push_back(i);
    for (const std::size_t place : places) order.push_back(first + place);
    return order;
  }
  // Pictures stay in the order of channels that they have.
  Operand make_like_picture(ValueId value, const Operand& input) {
    const std::size_t c = input.shape.size() - 3;
    const bool last = input.shape[c] > 1 && input.strides[c] == 1 && input.shape[c + 1] * input.shape[c + 2] > 1;
    return make_operand(
        value, last ? channels_last_strides(shape(value), shape(value).size() - 3) : contiguous_strides(shape(value)));
  }

  void lower_op(const DraftOp& op, const PixelShuffle& shuffle) {
    const Operand input = operand(op.inputs[0]);
    const std::size_t c = input.shape.size() - 3;
    const std::int64_t r = shuffle.upscale_factor;
    Operand from = split_dimension(input, c, {input.shape[c] / (r * r), r, r});  // [c, r, r, h, w]
    permute(from, order_from(c, {0, 3, 1, 4, 2}));
    const Operand output = make_like_picture(op.output, input);
    Operand to = split_dimension(output, c + 2, {input.shape[c + 2], r});
    to = split_dimension(to, c + 1, {input.shape[c + 1], r});
    emit_copy(std::move(from), std::move(to));
  }
  void lower_op(const DraftOp& op, const PixelUnshuffle& shuffle) {
    const Operand input = operand(op.inputs[0]);
    const std::size_t c = input.shape.size() - 3;
    const std::int64_t r = shuffle.downscale_factor;
    const Operand output = make_like_picture(op.output, input);
    Operand from = split_dimension(input, c + 2, {input.shape[c + 2] / r, r});
    from = split_dimension(from, c + 1, {input.shape[c + 1] / r, r});  // [c, h, r, w, r]
    permute(from, order_from(c, {0, 2, 4, 1, 3}));
    emit_copy(std::move(from), split_dimension(output, c, {input.shape[c], r, r}));
  }
  void lower_op(const DraftOp& op, const ChannelShuffle& shuffle) {
    const Operand input = operand(op.inputs[0]);
    Operand from = split_dimension(input, 1, {shuffle.groups, input.shape[1] / shuffle.groups});
    std::swap(from.shape[1], from.shape[2]);
    std::swap(from.strides[1], from.strides[2]);
    const Operand output = make_operand(op.output, dense_like(input.shape, input.strides));
    emit_copy(std::move(from), split_dimension(output, 1, {input.shape[1] / shuffle.groups, shuffle.groups}));
  }

  // --- general operators ---

  Operand make_picture(ValueId value, std::size_t spatial) {
    return make_operand(value, channels_last_strides(shape(value), shape(value).size() - spatial - 1));
  }

  // The same for operators that may leave gaps between pixels.
  Operand make_picture_slice(ValueId value, std::size_t spatial) {
    if (shape(value).size() != spatial + 2) return make_picture(value, spatial);
    make_slice(value, images_of(shape(value), spatial));
    return operand(value);
  }

  // The order in which an element-wise operator writes: that of its largest input.
  Strides elementwise_strides(const Shape& sizes, std::span<const Operand> inputs) const {
    const Operand* like = nullptr;
    for (const Operand& input : inputs) {
      if (input.shape.size() != sizes.size()) continue;
      if (like == nullptr || input.elements() > like->elements()) like = &input;
    }
    return like == nullptr ? contiguous_strides(sizes) : dense_like(sizes, like->strides);
  }

  void lower_general(const DraftOp& op, const Operator& kind) { lower_general_on(op, kind, op.inputs); }
  void lower_general_on(const DraftOp& op, const Operator& kind, std::span<const ValueId> inputs) {
    GeneralStep step;
    step.op = kind;
    step.node = op.node;
    step.weights_node = draft_.weights_node[op.node];
    const std::vector<ValueId> outputs = outputs_of(op);
    switch (arrangement_of(kind)) {
      case Arrangement::elements:
        for (const ValueId input : inputs) step.inputs.push_back(operand(input));
        step.outputs.push_back(make_operand(op.output, elementwise_strides(shape(op.output), step.inputs)));
        break;
      case Arrangement::views:
      case Arrangement::dense:
        for (const ValueId input : inputs) {
          step.inputs.push_back(arrangement_of(kind) == Arrangement::views ? operand(input) : dense_operand(input));
        }
        for (const ValueId output : outputs) {
          step.outputs.push_back(make_operand(output, contiguous_strides(shape(output))));
        }
        break;
      case Arrangement::pictures: {
        const std::size_t rank = shape(inputs[0]).size();
        const std::size_t spatial = spatial_dimensions(kind, rank);
        step.inputs.push_back(picture_operand(inputs[0], spatial));
        for (const ValueId output : outputs) {
          step.outputs.push_back(leaves_gaps(kind) ? make_picture_slice(output, spatial)
                                                   : make_picture(output, spatial));
        }
        break;
      }
    }
    emit(std::move(step));
  }

  void lower_op(const DraftOp& op, const Cat& cat) {
    // What joins rows or columns may have inputs that lie in another Cat, one behind the other, and belong to one.
    if (!joins_channels(cat, shape(op.output), dtype(op.output))) return lower_general(op, cat);
    const ChannelSlice own = slices_[op.output].whole == kNoValue ? ChannelSlice{op.output, 0} : slices_[op.output];
    std::uint32_t buffer = wholes_[own.whole];
    std::int64_t channel = own.channel;
    // All of them already where they belong, perhaps in a larger value that begins as this one does.
    const std::optional<ChannelSlice> found = whole_of(op);
    if (found) {
      buffer = wholes_[found->whole];
      channel = found->channel;
    } else if (buffer == kNone) {
      return lower_general(op, cat);
    }
    const Images whole = images_of(shape(found ? found->whole : own.whole), shape(op.output).size() - 2);
    std::int64_t at = channel;
    for (const ValueId input : op.inputs) {
      const std::int64_t channels = shape(input)[1];
      if (!found && channels > 0 && !lies_in(input, own.whole, at)) {
        const Operand from = operand(input);
        emit_copy(from, operand_on(buffer, at, DType::f32, shape(input), slice_strides(input, whole)));
      }
      at += channels;
    }
    set_view(op.output, {buffer, channel, slice_strides(op.output, whole)});
  }
  [[nodiscard]] bool lies_in(ValueId value, ValueId whole, std::int64_t channel) const {
    const std::optional<View>& view = forms_[value].view;
    return view && slices_[value].whole == whole && slices_[value].channel == channel &&
           view->buffer == wholes_[whole] && view->offset == channel;
  }
  // Where the inputs of a Cat lie one behind the other.
  [[nodiscard]] std::optional<ChannelSlice> whole_of(const DraftOp& op) const {
    const ChannelSlice first = slices_[op.inputs[0]];
    if (first.whole == kNoValue || wholes_[first.whole] == kNone) return std::nullopt;
    std::int64_t channel = first.channel;
    for (const ValueId input : op.inputs) {
      if (!lies_in(input, first.whole, channel)) return std::nullopt;
      channel += shape(input)[1];
    }
    return first;
  }

  void lower_op(const DraftOp& op, const Stack& stack) {
    GeneralStep step;
    const std::size_t rank = shape(op.output).size();
    const std::size_t dim = place_of(stack.dim, rank);
    for (const ValueId value : op.inputs) {
      Operand input = operand(value);
      input.shape.insert(input.shape.begin() + static_cast<std::ptrdiff_t>(dim), 1);
      input.strides.insert(input.strides.begin() + static_cast<std::ptrdiff_t>(dim), 1);
      step.inputs.push_back(std::move(input));
    }
    step.op = Cat{.dim = static_cast<std::int64_t>(dim)};
    step.outputs.push_back(make_operand(op.output, contiguous_strides(shape(op.output))));
    emit(std::move(step));
  }

  // Two halves of one value, element by element.
  void lower_op(const DraftOp& op, const GLU& glu) {
    const View view = view_of(op.inputs[0]);
    const Shape& sizes = shape(op.output);
    const std::size_t dim = place_of(glu.dim, sizes.size());
    const std::int64_t second = product(sizes) == 0 ? 0 : view.offset + sizes[dim] * view.strides[dim];
    GeneralStep step;
    step.op = glu;
    step.inputs.push_back(operand_on(view.buffer, view.offset, DType::f32, sizes, view.strides));
    step.inputs.push_back(operand_on(view.buffer, second, DType::f32, sizes, view.strides));
    step.outputs.push_back(make_operand(op.output, dense_like(sizes, view.strides)));
    emit(std::move(step));
  }

  // --- outputs ---

  void lower_output(ValueId value, std::size_t port) {
    const Forms& forms = forms_[value];
    const Shape& sizes = shape(value);
    plan_.output_shapes.push_back(sizes);
    const bool moves =
        forms.dense == kNone && forms.channels_last != kNone && forms.images.c > 1 && forms.images.pixels() > 1;
    const bool is_strided =
        forms.dense == kNone && forms.channels_last == kNone && !is_contiguous(sizes, forms.view->strides);
    if (!moves && !is_strided) {
      const Operand source = dense_operand(value);
      PlannedBuffer& buffer = plan_.buffers[buffer_of(source.tensor)];
      const bool whole = plan_.tensors[source.tensor].begin_bytes == 0 &&
                         buffer.size_bytes == static_cast<std::uint64_t>(product(sizes) * element_size(value));
      if (buffer.place == Place::arena && whole) {
        buffer.place = Place::output;
        buffer.port = port;
        plan_.outputs.push_back(source.tensor);
        return;
      }
    }
    const std::uint32_t buffer = make_buffer(value, Place::output, port);
    TensorId output = kNone;
    if (moves) {
      output = dense_tensor(sizes, buffer);
      emit(LayoutStep{forms.channels_last, output, forms.images.n, forms.images.pixels(), forms.images.c});
    } else if (!is_strided && dtype(value) == DType::f32) {
      output = dense_tensor(sizes, buffer);
      emit(CopyStep{dense(value), output});
    } else {
      Operand to = operand_on(buffer, 0, dtype(value), sizes, contiguous_strides(sizes));
      output = to.tensor;
      emit_copy(operand(value), std::move(to));
    }
    plan_.outputs.push_back(output);
  }

  const Draft& draft_;
  std::vector<Forms> forms_;           // of each value
  std::vector<ChannelSlice> slices_;   // likewise
  std::vector<std::uint32_t> wholes_;  // the buffers of values that others are slices of
  Plan plan_;
  std::map<Constant, ConstantId> constants_;
  std::string name_;          // of the node that is lowered
  bool is_countable_ = true;  // the bytes of all buffers
};

}  // namespace

bool has_step(const Node& node) noexcept {
  if (node.outputs.size() != 1) return false;
  const Operator& op = node.op;
  switch (op.kind()) {
    case OperatorKind::Conv1d:
      return op.get<Conv1d>().padding_mode == PaddingMode::zeros;
    case OperatorKind::Conv2d:
      return op.get<Conv2d>().padding_mode == PaddingMode::zeros;
    case OperatorKind::BatchNorm1d:
      return op.get<BatchNorm1d>().track_running_stats;
    case OperatorKind::BatchNorm2d:
      return op.get<BatchNorm2d>().track_running_stats;
    case OperatorKind::BatchNorm3d:
      return op.get<BatchNorm3d>().track_running_stats;
    case OperatorKind::SyncBatchNorm:
      return op.get<SyncBatchNorm>().track_running_stats;
    case OperatorKind::Add:
      return op.get<Add>().alpha == 1 && !op.get<Add>().other;
    case OperatorKind::Linear:
    case OperatorKind::ReLU:
    case OperatorKind::MaxPool1d:
    case OperatorKind::MaxPool2d:
    case OperatorKind::AvgPool1d:
    case OperatorKind::AvgPool2d:
    case OperatorKind::AdaptiveAvgPool1d:
    case OperatorKind::AdaptiveAvgPool2d:
    case OperatorKind::Flatten:
    case OperatorKind::Softmax:
    case OperatorKind::Softmax2d:
    case OperatorKind::Dropout:
    case OperatorKind::Identity:
      return true;
    default:
      return false;
  }
}

Result<Plan> lower(const Draft& draft, const Limits& limits) {
  for (const Shape& shape : draft.shapes) {
    std::optional<std::int64_t> bytes = sizeof(std::int64_t);
    for (const std::int64_t size : shape) {
      // A zero must not hide an overflow: kernels multiply sizes in their own order.
      if (bytes) bytes = checked_mul(*bytes, size == 0 ? std::int64_t{1} : size);
    }
    if (!bytes) {
      return arena_too_large(std::nullopt, limits);
    }
  }
  std::optional<Plan> plan = Lowering(draft).run();
  if (!plan) return arena_too_large(std::nullopt, limits);
  return std::move(*plan);
}

}  // namespace rushlight::runtime
