// Plan: a network for fixed shapes as a list of steps over planned memory. What every optimising backend shares.
//
// Inside, images are NHWC and matrices are rows: every tensor is n x h x w rows of c floats. Batch norms are folded
// into the layers before them, ReLUs and additions into epilogues, and everything that lives between steps has its
// place in one arena. make_plan() does all this; a backend packs the constants and runs the steps one after the other.
//
// Operators without a step of their own become GeneralSteps, whose operands have any dtype and any strides. What only
// looks at memory in another way (a permutation, a slice, a reshape where strides allow it) is no step at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/constant.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::runtime {

// Indices into Plan::tensors and Plan::constants.
using TensorId = std::uint32_t;
using ConstantId = std::uint32_t;
inline constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

enum class Place : std::uint8_t {
  arena,     // at offset_bytes of the program's workspace
  input,     // the caller's buffer of input `port`: never written
  output,    // the caller's buffer of output `port`; also read, when later steps need the value
  constant,  // the values of constant `port` (Form::value): never written
};

// A value between steps: n x h x w rows of c floats, element (n, h, w, c) at ((n * H + h) * W + w) * row_stride + c.
//
// Matrices and everything that is not an image have h = w = 1 and n rows. A Flatten makes a second tensor on the memory
// of the first. A tensor in torch's NCHW order (an input or output as the caller has it, before or after its
// LayoutStep) is dense as well: n rows, and only a LayoutStep, CopyStep, SoftmaxStep or BroadcastAddStep touches it, by
// its own numbers. Seen as images it is planar: element (n, h, w, c) lies at ((n * C + c) * H + h) * W + w; ConvSteps
// read it so, and nobody else.
struct PlannedTensor {
  Place place = Place::arena;
  std::size_t port = 0;  // of inputs or outputs, or the ConstantId; 0 in the arena
  // Within the arena, the item arena behind it counted in, or the port: that of the buffer, and begin_bytes.
  std::uint64_t offset_bytes = 0;
  std::uint64_t begin_bytes = 0;  // from the buffer's first byte; not 0 for slices alone
  std::uint32_t buffer = kNone;   // index into Plan::buffers: tensors of one buffer share memory on purpose
  std::int64_t n = 0;
  std::int64_t h = 1;
  std::int64_t w = 1;
  std::int64_t c = 0;
  std::int64_t row_stride = 0;  // in floats, >= c; equal to c unless the tensor is a slice of a wider one
  bool is_planar = false;       // only with PlanOptions::plane_cache_bytes
  bool is_bf16 = false;         // c bfloat16 a row, and row_stride = c / 2; only with PlanOptions::multiplies_bf16
  // Of item steps (Plan::item_steps): from where the tensor lies for one item to where it lies for the next; 0 where it
  // is in a buffer that an item has for itself.
  std::uint64_t item_stride_bytes = 0;

  [[nodiscard]] std::int64_t rows() const noexcept { return n * h * w; }
  [[nodiscard]] std::int64_t elements() const noexcept { return rows() * c; }
  [[nodiscard]] bool is_dense() const noexcept { return row_stride == c; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept {
    return static_cast<std::uint64_t>(elements()) * (is_bf16 ? 2 : sizeof(float));
  }
  friend bool operator==(const PlannedTensor&, const PlannedTensor&) = default;
};

// Offsets in the arena are multiples of this: a cache line, an AVX-512 register, and what CUDA's vector loads want.
inline constexpr std::uint64_t kArenaAlignment = 64;

// A piece of the arena, a whole port, or a constant. No two buffers that live at the same time overlap.
struct PlannedBuffer {
  Place place = Place::arena;
  std::size_t port = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t offset_bytes = 0;
  bool is_of_item = false;     // in the item arena, from whose beginning its offset counts
  std::size_t first_step = 0;  // in the arena: from the step that first writes it
  std::size_t last_step = 0;   // to the end of the last one that uses it
};

// Steps. `output` may have the memory of an input that dies in the step where a comment says "in place"; the kernel
// then reads an element before it writes the one at the same place.

// A function of single elements that a step applies before it stores. NaN stays NaN in all of them.
struct Activation {
  enum class Kind : std::uint8_t { none, relu, clamp, sigmoid, silu, tanh, hardsigmoid, hardswish, gelu };
  Kind kind = Kind::none;
  float low = 0;  // of clamp: ReLU6 and Hardtanh
  float high = 0;

  [[nodiscard]] static Activation relu_if(bool wanted) noexcept { return {.kind = wanted ? Kind::relu : Kind::none}; }
  friend bool operator==(const Activation&, const Activation&) = default;
};

// What a kernel does to an element before it stores it: y = activation(x + residual), each part optional. The residual
// has the output's geometry (its row stride may differ). In place: the output may be on the residual's memory.
struct Epilogue {
  TensorId residual = kNone;
  Activation activation = {};

  [[nodiscard]] bool is_relu() const noexcept { return activation.kind == Activation::Kind::relu; }
};

// Cross-correlation, torch.nn.Conv2d. Window (oh, ow) covers rows oh * stride.h - padding.h + kh * dilation.h; what
// lies outside the input is zero. The output's size has the rest: padding at the bottom and right follows from it and
// can differ from that at the top and left ("same" with even windows).
struct ConvStep {
  TensorId input = kNone;
  TensorId output = kNone;
  ConstantId weights = kNone;  // Form::conv_weight: [out][kh][kw][in / groups]
  ConstantId bias = kNone;     // [out], or kNone
  IntPair kernel;
  IntPair stride;
  IntPair padding;  // above and to the left
  IntPair dilation;
  std::int64_t groups = 1;
  Epilogue epilogue;

  // Lines and columns of the padded input that so many windows in a row lie on, from the first to the last.
  [[nodiscard]] std::int64_t lines_under(std::int64_t windows) const noexcept {
    return (windows - 1) * stride.h + (kernel.h - 1) * dilation.h + 1;
  }
  [[nodiscard]] std::int64_t columns_under(std::int64_t windows) const noexcept {
    return (windows - 1) * stride.w + (kernel.w - 1) * dilation.w + 1;
  }
};

// output[row][o] = bias[o] + sum over i of input[row][i] * weights[o][i].
struct LinearStep {
  TensorId input = kNone;
  TensorId output = kNone;
  ConstantId weights = kNone;  // Form::linear_weight: [out][in]
  ConstantId bias = kNone;     // [out], or kNone
  Epilogue epilogue;
};

// A batch norm that could not be folded: y = (x - mean[c]) * scale[c] + shift[c]. Subtracting first loses nothing where
// the mean is large. In place.
struct NormStep {
  TensorId input = kNone;
  TensorId output = kNone;
  ConstantId mean = kNone;  // [c] each
  ConstantId scale = kNone;
  ConstantId shift = kNone;
  bool relu = false;
};

// torch.nn.MaxPool2d: places outside the input do not count; NaN wins. Sizes as in ConvStep; with ceil_mode the last
// window may overhang the padded input.
struct MaxPoolStep {
  TensorId input = kNone;
  TensorId output = kNone;
  IntPair kernel;
  IntPair stride;
  IntPair padding;
  IntPair dilation;

  // Whether every window is 2x2 elements of its own, all of them in the input.
  [[nodiscard]] bool is_of_quads(const PlannedTensor& in, const PlannedTensor& out) const noexcept {
    return kernel == IntPair{2} && stride == IntPair{2} && padding == IntPair{0} && dilation == IntPair{1} &&
           out.h == in.h / 2 && out.w == in.w / 2;
  }
};

// Layers that run one stripe of picture rows after the other, so that what is between them stays in cache: any
// convolution, then on its output a depthwise one, one that has tiles (PlanOptions::has_tiles) or a maximum pooling,
// and behind a depthwise one perhaps a 1x1 one, behind tiles perhaps a pooling of quads. Only the last has a residual;
// the tensors in between have no memory of their own in the plan. In place as `last` says.
struct StripeStep {
  ConvStep first;
  std::variant<ConvStep, MaxPoolStep> window;
  std::optional<ConvStep> last;
  std::optional<MaxPoolStep> quads;  // never with `last`

  [[nodiscard]] const MaxPoolStep* pooling() const noexcept { return std::get_if<MaxPoolStep>(&window); }
  [[nodiscard]] TensorId window_output() const noexcept {
    return std::visit([](const auto& layer) { return layer.output; }, window);
  }
  [[nodiscard]] TensorId output() const noexcept {
    if (quads) return quads->output;
    return last ? last->output : window_output();
  }
  // What becomes of the output of the last layer.
  [[nodiscard]] Epilogue epilogue() const noexcept {
    if (last) return last->epilogue;
    const auto* const conv = std::get_if<ConvStep>(&window);
    return conv == nullptr || quads ? Epilogue{} : conv->epilogue;
  }
};

// torch.nn.AvgPool2d: the sum over the places inside the input, divided by divisor_override if that is not 0, otherwise
// by the area of the window clipped to the padded input (count_include_pad) or to the input.
struct AvgPoolStep {
  TensorId input = kNone;
  TensorId output = kNone;
  IntPair kernel;
  IntPair stride;
  IntPair padding;
  bool count_include_pad = true;
  std::int64_t divisor_override = 0;
};

// Output row i averages input rows floor(i * H / O) up to, not including, ceil((i + 1) * H / O); columns alike.
struct AdaptiveAvgPoolStep {
  TensorId input = kNone;
  TensorId output = kNone;
};

// Keeps NaN. In place.
struct ReluStep {
  TensorId input = kNone;
  TensorId output = kNone;
};

// Of equal geometry. In place, on either.
struct AddStep {
  TensorId a = kNone;
  TensorId b = kNone;
  TensorId output = kNone;
  bool relu = false;
};

// torch's broadcasting. All three are dense in torch's order; the strides, in floats, are 0 along broadcast dimensions.
struct BroadcastAddStep {
  TensorId a = kNone;
  TensorId b = kNone;
  TensorId output = kNone;
  std::vector<std::int64_t> shape;  // of the output
  std::vector<std::int64_t> a_strides;
  std::vector<std::int64_t> b_strides;
  bool relu = false;
};

// Softmax along the middle of a dense [outer][axis][inner], the maximum subtracted first. In place.
struct SoftmaxStep {
  TensorId input = kNone;
  TensorId output = kNone;
  std::int64_t outer = 0;
  std::int64_t axis = 0;
  std::int64_t inner = 0;
};

// output[image][column][row] = input[image][row][column]: from [n][c][h*w] to [n][h*w][c] or back. Both are dense.
struct LayoutStep {
  TensorId input = kNone;
  TensorId output = kNone;
  std::int64_t images = 0;
  std::int64_t rows = 0;     // of the input
  std::int64_t columns = 0;  // of the input
};

// Both dense, of the same number of elements.
struct CopyStep {
  TensorId input = kNone;
  TensorId output = kNone;
};

// An operand of a GeneralStep: `tensor` begins at element 0, and element (i, j, ...) lies i * strides[0] + j *
// strides[1] + ... elements of the dtype further on. Strides are 0 along dimensions that are expanded. The sizes of the
// PlannedTensor say nothing.
struct Operand {
  TensorId tensor = kNone;
  DType dtype = DType::f32;
  Shape shape;
  Strides strides;

  [[nodiscard]] std::int64_t elements() const noexcept;
};

// Any operator. Its attributes are those of `op`, which lowering may have changed or made up: an Identity copies from
// one order of elements to another. In place where works_in_place() says so.
struct GeneralStep {
  Operator op;
  std::size_t node = 0;          // whose parameters
  std::size_t weights_node = 0;  // under which packed ones are kept: Draft::weights_node
  std::vector<Operand> inputs;
  std::vector<Operand> outputs;
};

struct Step {
  std::variant<ConvStep, StripeStep, LinearStep, NormStep, MaxPoolStep, AvgPoolStep, AdaptiveAvgPoolStep, ReluStep,
               AddStep, BroadcastAddStep, SoftmaxStep, LayoutStep, CopyStep, GeneralStep>
      work;
  std::string name;  // of the node it computes: "layer1.0.conv1"; "input 'image'" for the steps at the borders
};

// Where a step's operands are, for code that looks at any step: the planner, checks, CUDA graph building.
struct StepTensors {
  std::vector<TensorId> inputs;  // the residual last
  std::vector<TensorId> outputs;
};
[[nodiscard]] StepTensors tensors_of(const Step& step);

struct Plan {
  std::vector<PlannedTensor> tensors;
  std::vector<PlannedBuffer> buffers;
  std::vector<Constant> constants;  // no two are equal
  std::vector<Step> steps;          // in the order in which they run
  std::vector<TensorId> inputs;     // in port order: tensors of Place::input, dense in torch's order; their buffers
                                    // have the sizes of the ports
  std::vector<TensorId> outputs;    // in port order: tensors of Place::output, likewise
  std::vector<Shape> output_shapes;
  std::uint64_t arena_bytes = 0;  // a multiple of kArenaAlignment
  // The first so many steps are for one of the batch's items: all of them run for each item before the others run. What
  // is in the item arena, which begins where the arena ends, lives as long as one item's run; items may run at the same
  // time, each with an arena of its own. Only with PlanOptions::item_cache_bytes.
  std::size_t item_steps = 0;
  std::int64_t items = 1;
  std::uint64_t item_arena_bytes = 0;
};

// What a backend's kernels can do beyond what every backend's must.
struct PlanOptions {
  bool fuses_activations = false;  // epilogues with other activations than ReLU
  // StripeSteps, where what they keep from memory is more than a part of a cache of this size; 0: none.
  std::uint64_t stripe_cache_bytes = 0;
  // Whether a convolution is computed tile by tile, not row by row: such a step takes poolings of quads along, whatever
  // its size, and the convolution of planes before it; nothing else.
  std::function<bool(const ConvStep&, const PlannedTensor& input, const PlannedTensor& output)> has_tiles = {};
  // Whether a convolution rounds all that it reads to bfloat16, and can store its outputs rounded so.
  std::function<bool(const ConvStep&, const PlannedTensor& input, const PlannedTensor& output)> multiplies_bf16 = {};
  // Convolutions of few channels that read planes, where the lines they need at a time fit into so much; 0: none.
  std::uint64_t plane_cache_bytes = 0;
  // Item steps, where operands of a batch do not fit into a cache of this size; 0: none.
  std::uint64_t item_cache_bytes = 0;
};

// ErrorCode::mismatch when the shapes do not fit the graph, ::limit_exceeded when the arena would exceed
// limits.arena_bytes.
[[nodiscard]] Result<Plan> make_plan(const Network& network, std::span<const Shape> input_shapes, const Limits& limits,
                                     const PlanOptions& options = {});

// A GeneralStep of a plan by itself: the ports are its operands, inputs and outputs each in their order, at addresses
// of the caller's choice; values of Place::constant stay what they are. No operand shares memory with another.
[[nodiscard]] Plan plan_of_step(const Plan& plan, const GeneralStep& step, std::string name);

// "conv"; of a GeneralStep the operator's name in specs.
[[nodiscard]] std::string_view kind_text(const Step& step);

// One line a step, for tests and people: "conv1 conv 1x28x28x1 -> 1x28x28x32 k3x3 p1x1 relu".
[[nodiscard]] std::string to_string(const Plan& plan);

}  // namespace rushlight::runtime
