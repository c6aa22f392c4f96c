#include "cuda/calls.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "cuda/mlp_choice.hpp"
#include "runtime/failure.hpp"

namespace rushlight::cuda {
namespace {

using runtime::kNone;
using runtime::PlannedTensor;
using runtime::TensorId;

Activation activation_of(const runtime::Activation& activation) {
  using From = runtime::Activation::Kind;
  using To = Activation::Kind;
  const auto kind = [&] {
    switch (activation.kind) {
      case From::none:
        return To::none;
      case From::relu:
        return To::relu;
      case From::clamp:
        return To::clamp;
      case From::sigmoid:
        return To::sigmoid;
      case From::silu:
        return To::silu;
      case From::tanh:
        return To::tanh;
      case From::hardsigmoid:
        return To::hardsigmoid;
      case From::hardswish:
        return To::hardswish;
      case From::gelu:
        return To::gelu;
    }
    return To::none;
  };
  return {.kind = kind(), .low = activation.low, .high = activation.high};
}

// The kernels' limit for sizes inside an image, a window or a weight; slabs may read up to 16 beyond.
constexpr std::int64_t kMaxSize = std::numeric_limits<std::int32_t>::max() - 16;

// Stands for every address while needs are looked for; aligned as all of them are, and read by nobody.
std::byte* no_place() {
  return reinterpret_cast<std::byte*>(std::uintptr_t{256});
}

class CallMaker {
 public:
  // `addresses` null: the calls are of no use, but what they need is known afterwards.
  CallMaker(const runtime::Plan& plan, const Addresses* addresses, const CallOptions& options)
      : plan_(plan), addresses_(addresses), options_(options) {}

  Result<std::vector<Call>> run() {
    calls_.reserve(plan_.steps.size());
    for (std::size_t number = 0; number < plan_.steps.size(); ++number) {
      const runtime::Step& step = plan_.steps[number];
      step_ = &step;
      index_ = number;
      if (const std::size_t steps = mlp_steps(number); steps > 1) {
        RUSHLIGHT_TRY(make_mlp(number, steps));
        number += steps - 1;
        continue;
      }
      if (!std::holds_alternative<runtime::GeneralStep>(step.work) &&
          tensor(runtime::tensors_of(step).outputs[0]).elements() == 0) {
        continue;
      }
      RUSHLIGHT_TRY(std::visit([&](const auto& work) { return make(work); }, step.work));
    }
    return std::move(calls_);
  }
  [[nodiscard]] Needs needs() const { return {{needed_.begin(), needed_.end()}, scratch_bytes_, tickets_, notes_}; }

 private:
  [[nodiscard]] const PlannedTensor& tensor(TensorId id) const { return plan_.tensors[id]; }

  // Of any dtype.
  std::byte* bytes_of(TensorId id) {
    const PlannedTensor& found = tensor(id);
    std::byte* base = no_place();
    if (found.place == runtime::Place::constant) {
      // No step writes there; one type of address for all tensors is worth the cast.
      base = const_cast<std::byte*>(weights(static_cast<runtime::ConstantId>(found.port), WeightForm::plain));
    } else if (addresses_ != nullptr) {
      base = addresses_->arena;
      if (found.place == runtime::Place::input) base = addresses_->inputs[found.port];
      if (found.place == runtime::Place::output) base = addresses_->outputs[found.port];
    }
    return base + found.offset_bytes;
  }
  float* address(TensorId id) { return reinterpret_cast<float*>(bytes_of(id)); }
  const std::byte* weights(runtime::ConstantId id, WeightForm form) {
    if (id == kNone) return nullptr;
    const WeightCopy copy{id, form};
    needed_.insert(copy);
    return addresses_ == nullptr ? no_place() : addresses_->weights.at(copy);
  }
  const float* constant(runtime::ConstantId id) {
    return reinterpret_cast<const float*>(weights(id, WeightForm::plain));
  }

  float* scratch(std::uint64_t bytes) {
    scratch_bytes_ = std::max(scratch_bytes_, bytes);
    return reinterpret_cast<float*>(addresses_ == nullptr ? no_place() : addresses_->scratch);
  }

  void emit(Work work) {
    calls_.push_back({std::move(work), step_->name, static_cast<std::size_t>(step_ - plan_.steps.data())});
  }

  // --- sizes that must be below 2^31 ---

  [[nodiscard]] Error too_large(std::string_view what, std::int64_t size) const {
    return Error::of({.category = Category::unsup,
                      .code = "CUDA-SIZE",
                      .message = "layer " + quoted(step_->name) + ": " + std::string(what) + " of " +
                                 std::to_string(size) + " is more than the CUDA kernels count, expected at most " +
                                 std::to_string(kMaxSize),
                      .found = std::to_string(size),
                      .expected = std::to_string(kMaxSize),
                      .hint = "run this model on the CPU"});
  }
  Status check(std::string_view what, std::int64_t size) const {
    if (size > kMaxSize) return too_large(what, size);
    return {};
  }
  Status narrow(std::string_view what, std::int64_t size, std::int32_t& out) const {
    RUSHLIGHT_TRY(check(what, size));
    out = static_cast<std::int32_t>(size);
    return {};
  }
  Status narrow(std::string_view what, IntPair size, Pair& out) const {
    RUSHLIGHT_TRY(narrow(what, size.h, out.h));
    return narrow(what, size.w, out.w);
  }

  struct Taps {
    IntPair kernel = 1;
    IntPair stride = 1;
    IntPair padding = 0;
    IntPair dilation = 1;
  };
  [[nodiscard]] Result<Window> window(const PlannedTensor& input, const PlannedTensor& output, const Taps& taps) const {
    Window result;
    RUSHLIGHT_TRY(narrow("an image size", {input.h, input.w}, result.input));
    RUSHLIGHT_TRY(narrow("an image size", {output.h, output.w}, result.output));
    RUSHLIGHT_TRY(check("an image size", input.h * input.w));
    RUSHLIGHT_TRY(check("an image size", output.h * output.w));
    RUSHLIGHT_TRY(narrow("a kernel size", taps.kernel, result.kernel));
    RUSHLIGHT_TRY(narrow("a stride", taps.stride, result.stride));
    RUSHLIGHT_TRY(narrow("a padding", taps.padding, result.padding));
    RUSHLIGHT_TRY(narrow("a dilation", taps.dilation, result.dilation));
    // The last tap of the last window, counted from the corner of the padding.
    const auto reach = [](std::int64_t outputs, std::int64_t stride, std::int64_t kernel, std::int64_t dilation) {
      return (outputs - 1) * stride + (kernel - 1) * dilation;
    };
    RUSHLIGHT_TRY(check("a window's reach", reach(output.h, taps.stride.h, taps.kernel.h, taps.dilation.h)));
    RUSHLIGHT_TRY(check("a window's reach", reach(output.w, taps.stride.w, taps.kernel.w, taps.dilation.w)));
    result.output_pixels = Divisor64(output.h * output.w);
    result.output_width = Divisor32(result.output.w);
    return result;
  }

  // --- products ---

  Status make(const runtime::ConvStep& step) {
    const PlannedTensor& input = tensor(step.input);
    const PlannedTensor& output = tensor(step.output);
    if (step.groups > 1 && step.groups == input.c && step.groups == output.c) return make_depthwise(step);
    if (options_.winograd && winograd_fits(step)) return make_winograd(step, *options_.winograd);
    if (const auto choice = choose_winograd(step, input, output, options_.precision, options_.tensor_cores.tf32x3)) {
      return make_winograd(step, *choice);
    }
    GemmArguments a;
    RUSHLIGHT_TRY_ASSIGN(a.window, window(input, output, {step.kernel, step.stride, step.padding, step.dilation}));
    const std::int64_t channels = input.c / step.groups;
    RUSHLIGHT_TRY(check("a number of channels", channels));
    a.channels = Divisor32(static_cast<std::int32_t>(channels));
    a.kernel_width = Divisor32(a.window.kernel.w);
    const std::optional<std::int64_t> taps = product(step.kernel.h, step.kernel.w);
    RUSHLIGHT_TRY(check("a window", taps.value_or(kMaxSize + 1)));
    RUSHLIGHT_TRY(narrow("a window's depth", *taps * channels, a.depth));
    RUSHLIGHT_TRY(narrow("a number of channels", output.c / step.groups, a.columns));
    RUSHLIGHT_TRY(narrow("a number of groups", step.groups, a.groups));
    a.input = address(step.input);
    a.input_stride = input.row_stride;
    complete(step, a);
    const bool gathers = !(step.kernel == IntPair{1} && step.stride == IntPair{1} && step.padding == IntPair{0});
    return emit_product(std::move(a), step.weights, gathers);
  }

  // Transforms and products of a few images at a time share their scratch.
  Status make_winograd(const runtime::ConvStep& step, const WinogradChoice& choice) {
    const PlannedTensor& input = tensor(step.input);
    const PlannedTensor& output = tensor(step.output);
    const std::int64_t positions = winograd_positions(choice.tile);
    WinogradTiles tiles;
    RUSHLIGHT_TRY_ASSIGN(tiles.window, window(input, output, {step.kernel, step.stride, step.padding, step.dilation}));
    tiles.rows = Divisor64(winograd_tiles(choice.tile, output.h));
    tiles.columns = Divisor64(winograd_tiles(choice.tile, output.w));
    const std::int64_t at_a_time = std::min(choice.images_at_a_time, input.n);
    const std::int64_t most_tiles = at_a_time * tiles.rows.divisor() * tiles.columns.divisor();
    float* const transformed =
        scratch(static_cast<std::uint64_t>(winograd_floats(choice, input, output)) * sizeof(float));
    float* const products = transformed + most_tiles * positions * input.c;

    WinogradInputArguments in;
    in.tiles = tiles;
    in.tile = choice.tile;
    in.transformed = transformed;
    in.input = address(step.input);
    in.input_stride = input.row_stride;
    in.channels = Divisor64(input.c);

    GemmArguments product;
    PlannedTensor pixel;  // rows of one pixel, as a Linear's
    pixel.c = 1;
    RUSHLIGHT_TRY_ASSIGN(product.window, window(pixel, pixel, {}));
    RUSHLIGHT_TRY(narrow("a number of channels", input.c, product.depth));
    RUSHLIGHT_TRY(narrow("a number of channels", output.c, product.columns));
    product.channels = Divisor32(product.depth);
    product.kernel_width = Divisor32(1);
    product.groups = static_cast<std::int32_t>(positions);
    product.input = transformed;
    product.input_stride = positions * input.c;
    const bool small = choice.tile == WinogradTile::outputs2;
    product.weights =
        reinterpret_cast<const float*>(weights(step.weights, small ? WeightForm::winograd2 : WeightForm::winograd4));
    product.output = products;
    product.output_stride = positions * output.c;
    product.stores_quads = allows_quads(product);

    WinogradOutputArguments out;
    out.tiles = tiles;
    out.tile = choice.tile;
    out.products = products;
    complete_output(step, out);
    out.columns = Divisor64(output.c);
    out.input = in.input;
    out.input_stride = in.input_stride;
    out.weights = constant(step.weights);
    out.channels = product.depth;

    for (std::int64_t first = 0; first < input.n; first += at_a_time) {
      const std::int64_t images = std::min(at_a_time, input.n - first);
      in.tiles.images = out.tiles.images = images;
      product.rows = tiles_of(in.tiles);
      emit(in);
      RUSHLIGHT_TRY(emit_tiles(product, false));
      emit(out);
      in.input += images * input.h * input.w * in.input_stride;
      out.input = in.input;
      out.output += images * output.h * output.w * out.output_stride;
      if (out.residual != nullptr) out.residual += images * output.h * output.w * out.residual_stride;
    }
    return {};
  }

  Status make_depthwise(const runtime::ConvStep& step) {
    const PlannedTensor& input = tensor(step.input);
    const PlannedTensor& output = tensor(step.output);
    DepthwiseArguments a;
    RUSHLIGHT_TRY_ASSIGN(a.window, window(input, output, {step.kernel, step.stride, step.padding, step.dilation}));
    RUSHLIGHT_TRY(narrow("a number of channels", output.c, a.channels));
    a.input = address(step.input);
    a.input_stride = input.row_stride;
    a.weights = reinterpret_cast<const float*>(weights(step.weights, WeightForm::f32_transposed));
    a.lines = output.n * output.h;
    complete_output(step, a);
    emit(choose_depthwise(a, options_.processors));
    return {};
  }

  Status make(const runtime::LinearStep& step) {
    const PlannedTensor& input = tensor(step.input);
    GemmArguments a;
    // Rows of one pixel, for the access that can read any geometry.
    PlannedTensor pixel;
    pixel.c = 1;
    RUSHLIGHT_TRY_ASSIGN(a.window, window(pixel, pixel, {}));
    RUSHLIGHT_TRY(narrow("a number of features", input.c, a.depth));
    RUSHLIGHT_TRY(narrow("a number of features", tensor(step.output).c, a.columns));
    a.channels = Divisor32(a.depth);
    a.kernel_width = Divisor32(1);
    a.input = address(step.input);
    a.input_stride = input.row_stride;
    complete(step, a);
    return emit_product(std::move(a), step.weights, false);
  }

  // Where weights are rounded to 16 bits, row_product reads them so.
  [[nodiscard]] std::size_t mlp_steps(std::size_t first) const {
    const bool rounds = options_.precision == Precision::bf16 || options_.precision == Precision::fp16;
    return rounds ? 0 : count_mlp_steps(plan_, first);
  }
  // Steps `first` to first + steps - 1, which mlp_steps() has found.
  Status make_mlp(std::size_t first, std::size_t steps) {
    MlpCall call;
    MlpArguments& a = call.arguments;
    for (std::size_t number = first; number < first + steps; ++number) {
      if (const auto* softmax = std::get_if<runtime::SoftmaxStep>(&plan_.steps[number].work)) {
        a.probabilities = address(softmax->output);
        break;
      }
      const auto& step = std::get<runtime::LinearStep>(plan_.steps[number].work);
      const PlannedTensor& input = tensor(step.input);
      MlpLayer& layer = a.layers[a.layer_count++];
      layer.weights = constant(step.weights);
      layer.bias = constant(step.bias);
      layer.output = address(step.output);
      layer.output_stride = tensor(step.output).row_stride;
      RUSHLIGHT_TRY(narrow("a number of features", input.c, layer.depth));
      RUSHLIGHT_TRY(narrow("a number of features", tensor(step.output).c, layer.columns));
      layer.loads_quads = layer.depth % 4 == 0 && is_aligned16(layer.weights);
      layer.activation = activation_of(step.epilogue.activation);
      if (number != first) continue;
      a.input = address(step.input);
      a.input_stride = input.row_stride;
      a.rows = static_cast<std::int32_t>(input.rows());  // at most kMlpRows
      layer.loads_quads = layer.loads_quads && a.input_stride % 4 == 0 && is_aligned16(a.input);
    }
    a.ticket = ticket();
    // More than a multiprocessor holds at a time would only queue.
    constexpr std::int64_t kBlocksOfAProcessor = 8;
    call.blocks = std::min<std::int64_t>(a.layers[0].columns, kBlocksOfAProcessor * options_.processors);
    calls_.push_back({call, plan_.steps[first].name + " to " + plan_.steps[first + steps - 1].name, first});
    return {};
  }
  std::uint32_t* ticket() {
    tickets_ = 1;
    return addresses_ == nullptr ? nullptr : addresses_->tickets;
  }

  // What a convolution and a Linear have in common.
  template <class Step>
  void complete(const Step& step, GemmArguments& a) {
    a.rows = tensor(step.output).rows();
    complete_output(step, a);
    a.stores_quads = allows_quads(a);
  }
  template <class Step, class Arguments>
  void complete_output(const Step& step, Arguments& a) {
    a.bias = constant(step.bias);
    a.output = address(step.output);
    a.output_stride = tensor(step.output).row_stride;
    if (step.epilogue.residual != kNone) {
      a.residual = address(step.epilogue.residual);
      a.residual_stride = tensor(step.epilogue.residual).row_stride;
    }
    a.activation = activation_of(step.epilogue.activation);
  }

  Status emit_product(GemmArguments a, runtime::ConstantId weights_id, bool gathers) {
    if (a.groups > 1 && a.columns < kLeastColumnsOfATile) {
      a.weights = constant(weights_id);
      DirectConvArguments direct;
      direct.output_channels = Divisor64(std::int64_t{a.groups} * a.columns);
      direct.channels_per_group = Divisor32(a.columns);
      direct.gemm = a;
      emit(direct);
      return {};
    }
    if (!gathers && a.groups == 1 && a.rows <= kRowProductRows) {
      emit_row_product(a, weights_id);
      return {};
    }
    const auto choice = choose_product(a, options_.precision, options_.processors, options_.tensor_cores);
    if (choice) return emit_on_tensor_cores(a, weights_id, *choice);
    a.weights = constant(weights_id);
    return emit_tiles(a, gathers);
  }

  Status emit_tiles(const GemmArguments& a, bool gathers) {
    GemmCall call;
    call.access = choose_access(a, gathers);
    call.tile = choose_tile(a, options_.processors);
    call.arguments = a;
    // Every tile is at most this small.
    if (gemm_grid<Tile64x32>(a).blocks > kMaxBlocks) return too_large("a number of outputs", a.rows);
    emit(call);
    return {};
  }

  // Reads every weight once and computes little: half the bytes are half the time, with or without tensor cores.
  void emit_row_product(GemmArguments a, runtime::ConstantId weights_id) {
    RowProductArguments call;
    if (options_.precision == Precision::bf16 || options_.precision == Precision::fp16) {
      const bool bf16 = options_.precision == Precision::bf16;
      const WeightForm form = bf16 ? WeightForm::bf16_rows : WeightForm::fp16_rows;
      call.rounded = reinterpret_cast<const std::uint16_t*>(weights(weights_id, form));
      call.rounded_pitch = static_cast<std::int32_t>(row_pitch(a.depth, form));
      call.operand = bf16 ? Operand::bf16 : Operand::fp16;
    } else {
      a.weights = constant(weights_id);
    }
    call.loads_quads = rows_allow_quads(a);
    call.gemm = a;
    emit(call);
  }

  Status emit_on_tensor_cores(const GemmArguments& a, runtime::ConstantId weights_id, const ProductChoice& choice) {
    float* const partial = scratch(partial_bytes(a, choice));
    const MmaCall call = mma_call(a, choice, weights(weights_id, weight_form(choice.kind, a.depth)), partial);
    // Every tile is at most this small.
    if (mma_grid<MmaTile64x32>(call.arguments).blocks > kMaxBlocks) return too_large("a number of outputs", a.rows);
    emit(call);
    if (choice.splits > 1) emit(split_sum(a, choice, partial));
    return {};
  }

  // --- poolings ---

  template <class Step>
  Result<PoolImages> pool_images(const Step& step, const Taps& taps) {
    const PlannedTensor& input = tensor(step.input);
    const PlannedTensor& output = tensor(step.output);
    PoolImages images;
    RUSHLIGHT_TRY_ASSIGN(images.window, window(input, output, taps));
    images.input = address(step.input);
    images.output = address(step.output);
    images.input_stride = input.row_stride;
    images.output_stride = output.row_stride;
    images.rows = output.rows();
    images.moves_quads = allows_quads(images, output.c);
    images.channel_runs = Divisor64(images.moves_quads ? output.c / 4 : output.c);
    return images;
  }

  Status make(const runtime::MaxPoolStep& step) {
    MaxPoolArguments a;
    RUSHLIGHT_TRY_ASSIGN(a.images, pool_images(step, {step.kernel, step.stride, step.padding, step.dilation}));
    emit(a);
    return {};
  }
  Status make(const runtime::AvgPoolStep& step) {
    AvgPoolArguments a;
    RUSHLIGHT_TRY_ASSIGN(a.images, pool_images(step, {step.kernel, step.stride, step.padding, 1}));
    a.count_include_pad = step.count_include_pad;
    a.divisor_override = step.divisor_override;
    emit(a);
    return {};
  }
  Status make(const runtime::AdaptiveAvgPoolStep& step) {
    AdaptiveAvgPoolArguments a;
    RUSHLIGHT_TRY_ASSIGN(a.images, pool_images(step, {}));
    if (tensor(step.output).h == 1 && tensor(step.output).w == 1) {
      RUSHLIGHT_TRY_ASSIGN(const GlobalAvgPoolArguments global, global_pool(step, a.images));
      if (grid_of(global).blocks <= kMaxBlocks) {
        emit(global);
        return {};
      }
    }
    emit(a);
    return {};
  }

  Result<GlobalAvgPoolArguments> global_pool(const runtime::AdaptiveAvgPoolStep& step, const PoolImages& images) const {
    const PlannedTensor& input = tensor(step.input);
    GlobalAvgPoolArguments a;
    a.input = images.input;
    a.output = images.output;
    a.input_stride = images.input_stride;
    a.output_stride = images.output_stride;
    a.images = input.n;
    a.pixels = static_cast<std::int32_t>(input.h * input.w);  // which window() has seen
    RUSHLIGHT_TRY(narrow("a number of channels", input.c, a.channels));
    a.moves_quads = images.moves_quads;
    a.channel_groups = Divisor64(ceil_div(a.channels, global_pool_channels(a.moves_quads)));
    return a;
  }

  // --- one element from those at its place ---

  // Tensors without gaps are one long row.
  [[nodiscard]] RowsView rows_view(const PlannedTensor& geometry, bool all_dense) const {
    return all_dense ? RowsView{1, Divisor64(geometry.elements())} : RowsView{geometry.rows(), Divisor64(geometry.c)};
  }
  void combine(TensorId a, TensorId b, TensorId output, bool with_relu) {
    CombineArguments arguments;
    const bool all_dense = tensor(a).is_dense() && tensor(output).is_dense() && (b == kNone || tensor(b).is_dense());
    arguments.view = rows_view(tensor(output), all_dense);
    arguments.a = address(a);
    arguments.a_stride = tensor(a).row_stride;
    if (b != kNone) {
      arguments.b = address(b);
      arguments.b_stride = tensor(b).row_stride;
    }
    arguments.output = address(output);
    arguments.output_stride = tensor(output).row_stride;
    arguments.activation = activation_of(runtime::Activation::relu_if(with_relu));
    emit(arguments);
  }

  Status make(const runtime::ReluStep& step) {
    combine(step.input, kNone, step.output, true);
    return {};
  }
  Status make(const runtime::AddStep& step) {
    combine(step.a, step.b, step.output, step.relu);
    return {};
  }
  Status make(const runtime::CopyStep& step) {
    // Dense on both sides, whatever the numbers say about rows.
    combine(step.input, kNone, step.output, false);
    return {};
  }
  Status make(const runtime::NormStep& step) {
    NormArguments a;
    a.view = rows_view(tensor(step.output), false);
    a.input = address(step.input);
    a.mean = constant(step.mean);
    a.scale = constant(step.scale);
    a.shift = constant(step.shift);
    a.output = address(step.output);
    a.input_stride = tensor(step.input).row_stride;
    a.output_stride = tensor(step.output).row_stride;
    a.relu = step.relu;
    emit(a);
    return {};
  }
  Status make(const runtime::GeneralStep& step) {
    const GeneralNeeds needs = general_needs(step);
    if (!needs.has_kernels) return make_host_call(step);
    GeneralOperands operands = operands_of(step);
    for (const runtime::Constant& wanted : needs.constants) {
      const auto found = std::find(plan_.constants.begin(), plan_.constants.end(), wanted);
      if (found == plan_.constants.end()) return no_kernel();  // add_general_constants() was forgotten
      operands.constants.push_back(constant(static_cast<runtime::ConstantId>(found - plan_.constants.begin())));
    }
    operands.scratch = reinterpret_cast<std::byte*>(scratch(needs.scratch_bytes));
    operands.notes = addresses_ == nullptr ? nullptr : addresses_->notes + notes_;
    notes_ += needs.notes;
    std::optional<std::vector<GeneralCall>> calls = make_general_calls(step, operands);
    if (!calls) return no_kernel();
    for (GeneralCall& call : *calls) emit(std::move(call));
    return {};
  }
  [[nodiscard]] GeneralOperands operands_of(const runtime::GeneralStep& step) {
    GeneralOperands operands;
    for (const runtime::Operand& operand : step.inputs) operands.inputs.push_back(bytes_of(operand.tensor));
    for (const runtime::Operand& operand : step.outputs) operands.outputs.push_back(bytes_of(operand.tensor));
    return operands;
  }
  Status make_host_call(const runtime::GeneralStep& step) {
    if (addresses_ == nullptr) return {};
    if (index_ >= addresses_->host_steps.size() || addresses_->host_steps[index_] == nullptr) return no_kernel();
    const std::shared_ptr<HostStep>& host = addresses_->host_steps[index_];
    // The host has constants in its own memory.
    const auto place_of = [&](const runtime::Operand& operand) {
      const bool is_constant = tensor(operand.tensor).place == runtime::Place::constant;
      return is_constant ? nullptr : bytes_of(operand.tensor);
    };
    std::vector<std::byte*> inputs;
    std::vector<std::byte*> outputs;
    for (const runtime::Operand& operand : step.inputs) inputs.push_back(place_of(operand));
    for (const runtime::Operand& operand : step.outputs) outputs.push_back(place_of(operand));
    host->place(inputs, outputs, addresses_->staging);
    emit(HostCall{host});
    return {};
  }
  // Plans made without PlanOptions::stripe_cache_bytes have none.
  Status make(const runtime::StripeStep&) { return no_kernel(); }
  [[nodiscard]] Status no_kernel() const {
    return Error::of({.category = Category::unsup,
                      .code = "DEVICE-OPERATOR",
                      .message = "layer " + quoted(step_->name) + ": there is no CUDA kernel for this operator yet",
                      .hint = "run this model on the CPU"});
  }

  Status make(const runtime::BroadcastAddStep& step) {
    const BroadcastShape joined = join_dimensions({step.shape, step.a_strides, step.b_strides});
    BroadcastArguments a;
    if (joined.sizes.size() > kBroadcastDims) {
      return Error::of({.category = Category::unsup,
                        .code = "CUDA-BROADCAST",
                        .message = "layer " + quoted(step_->name) + ": broadcasting over " +
                                   std::to_string(joined.sizes.size()) +
                                   " dimensions is more than the CUDA kernel does, expected at most " +
                                   std::to_string(kBroadcastDims),
                        .found = std::to_string(joined.sizes.size()),
                        .expected = std::to_string(kBroadcastDims),
                        .hint = "run this model on the CPU"});
    }
    a.a = address(step.a);
    a.b = address(step.b);
    a.output = address(step.output);
    a.elements = tensor(step.output).elements();
    a.dims = static_cast<std::int32_t>(joined.sizes.size());
    for (std::size_t i = 0; i < joined.sizes.size(); ++i) {
      a.sizes[i] = Divisor64(joined.sizes[i]);
      a.a_strides[i] = joined.a_strides[i];
      a.b_strides[i] = joined.b_strides[i];
    }
    a.relu = step.relu;
    emit(a);
    return {};
  }

  // --- whole lines and matrices ---

  Status make(const runtime::SoftmaxStep& step) {
    SoftmaxArguments a;
    a.input = address(step.input);
    a.output = address(step.output);
    a.outer = step.outer;
    a.axis = step.axis;
    a.inner = Divisor64(step.inner);
    emit(a);
    return {};
  }
  Status make(const runtime::LayoutStep& step) {
    LayoutArguments a;
    a.input = address(step.input);
    a.output = address(step.output);
    a.images = step.images;
    a.rows = Divisor64(step.rows);
    a.columns = Divisor64(step.columns);
    emit(a);
    return {};
  }

  static std::optional<std::int64_t> product(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
    return result;
  }

  // With fewer output channels in a group a tile of the product would be mostly empty.
  static constexpr std::int32_t kLeastColumnsOfATile = 16;

  const runtime::Plan& plan_;
  const Addresses* const addresses_;
  const CallOptions options_;
  const runtime::Step* step_ = nullptr;
  std::size_t index_ = 0;  // of that step
  std::size_t notes_ = 0;  // that steps before it have
  std::vector<Call> calls_;
  std::set<WeightCopy> needed_;
  std::uint64_t scratch_bytes_ = 0;
  std::uint32_t tickets_ = 0;
};

struct KernelName {
  std::string_view operator()(const GemmCall&) const noexcept { return "gemm"; }
  std::string_view operator()(const MmaCall& call) const noexcept {
    switch (call.kind) {
      case ProductKind::bf16:
        return "mma_bf16";
      case ProductKind::fp16:
        return "mma_fp16";
      case ProductKind::tf32:
        return "mma_tf32";
      case ProductKind::tf32x3:
        return "mma_3xtf32";
      case ProductKind::wgmma_bf16:
      case ProductKind::wgmma_fp16:
      case ProductKind::wgmma_tf32:
      case ProductKind::wgmma_tf32x3:
        break;
    }
    return to_string(call.kind);
  }
  std::string_view operator()(const SplitSumArguments&) const noexcept { return "split_sum"; }
  std::string_view operator()(const RowProductArguments&) const noexcept { return "row_product"; }
  std::string_view operator()(const MlpCall&) const noexcept { return "mlp"; }
  std::string_view operator()(const DirectConvArguments&) const noexcept { return "direct_conv"; }
  std::string_view operator()(const DepthwiseCall&) const noexcept { return "depthwise"; }
  std::string_view operator()(const WinogradInputArguments&) const noexcept { return "winograd_input"; }
  std::string_view operator()(const WinogradOutputArguments&) const noexcept { return "winograd_output"; }
  std::string_view operator()(const MaxPoolArguments&) const noexcept { return "max_pool"; }
  std::string_view operator()(const AvgPoolArguments&) const noexcept { return "avg_pool"; }
  std::string_view operator()(const AdaptiveAvgPoolArguments&) const noexcept { return "adaptive_avg_pool"; }
  std::string_view operator()(const GlobalAvgPoolArguments&) const noexcept { return "global_avg_pool"; }
  std::string_view operator()(const CombineArguments&) const noexcept { return "combine"; }
  std::string_view operator()(const NormArguments&) const noexcept { return "norm"; }
  std::string_view operator()(const BroadcastArguments&) const noexcept { return "broadcast"; }
  std::string_view operator()(const SoftmaxArguments&) const noexcept { return "softmax"; }
  std::string_view operator()(const LayoutArguments&) const noexcept { return "layout"; }
  std::string_view operator()(const GeneralCall& call) const noexcept { return kernel_name(call); }
  std::string_view operator()(const HostCall&) const noexcept { return "host"; }
};

}  // namespace

Result<Needs> find_needs(const runtime::Plan& plan, const CallOptions& options) {
  CallMaker maker(plan, nullptr, options);
  RUSHLIGHT_TRY_ASSIGN([[maybe_unused]] const std::vector<Call> calls, maker.run());
  return maker.needs();
}

Result<std::vector<Call>> make_calls(const runtime::Plan& plan, const Addresses& addresses,
                                     const CallOptions& options) {
  return CallMaker(plan, &addresses, options).run();
}

void add_general_constants(runtime::Plan& plan) {
  for (const runtime::Step& step : plan.steps) {
    const auto* general = std::get_if<runtime::GeneralStep>(&step.work);
    if (general == nullptr) continue;
    GeneralNeeds needs = general_needs(*general);
    for (runtime::Constant& wanted : needs.constants) {
      const bool is_there = std::find(plan.constants.begin(), plan.constants.end(), wanted) != plan.constants.end();
      if (!is_there) plan.constants.push_back(std::move(wanted));
    }
  }
}

Result<std::vector<std::shared_ptr<HostStep>>> make_host_steps(const runtime::Plan& plan,
                                                               const runtime::Network& network,
                                                               const runtime::Backend& host,
                                                               const std::shared_ptr<runtime::PackedWeights>& weights,
                                                               const runtime::RunOptions& options) {
  std::vector<std::shared_ptr<HostStep>> steps(plan.steps.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const runtime::Step& step = plan.steps[i];
    const auto* general = std::get_if<runtime::GeneralStep>(&step.work);
    if (general == nullptr || general_needs(*general).has_kernels) continue;
    RUSHLIGHT_TRY_ASSIGN(steps[i], HostStep::make(network, plan, *general, step.name, host, weights, options));
  }
  return steps;
}

std::uint64_t staging_bytes(std::span<const std::shared_ptr<HostStep>> steps) noexcept {
  std::uint64_t most = 0;
  for (const auto& step : steps) most = std::max(most, step == nullptr ? 0 : step->staging_bytes());
  return most;
}

std::vector<std::string> host_layers(const runtime::Plan& plan, std::span<const std::shared_ptr<HostStep>> steps) {
  std::vector<std::string> layers;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] == nullptr) continue;
    const std::string& name = plan.steps[i].name;
    if (std::find(layers.begin(), layers.end(), name) == layers.end()) layers.push_back(name);
  }
  return layers;
}

namespace {

const CheckIndicesArguments* check_of(const Call& call) noexcept {
  const auto* general = std::get_if<GeneralCall>(&call.work);
  return general == nullptr ? nullptr : std::get_if<CheckIndicesArguments>(&general->work);
}

}  // namespace

bool has_status(const Call& call) noexcept {
  return std::holds_alternative<HostCall>(call.work) || check_of(call) != nullptr;
}

Status status_of(const Call& call) {
  if (const auto* host = std::get_if<HostCall>(&call.work)) return host->step->status();
  const CheckIndicesArguments* const check = check_of(call);
  if (check == nullptr || check->note->place < 0) return {};
  Error error = runtime::index_outside(check->note->index, check->size);
  error.finding.message = "layer " + quoted(call.name) + ": " + error.finding.message;
  return error;
}

std::string_view kernel_name(const Work& work) noexcept {
  return std::visit(KernelName{}, work);
}

GemmTile choose_tile(const GemmArguments& arguments, int processors) noexcept {
  if (arguments.columns <= Tile64x32::kColumns) return GemmTile::rows64_columns32;
  // Two blocks of the large tile share a multiprocessor's registers.
  if (gemm_grid<Tile128x64>(arguments).blocks >= std::int64_t{2} * processors) return GemmTile::rows128_columns64;
  if (gemm_grid<Tile64x64>(arguments).blocks >= processors) return GemmTile::rows64_columns64;
  return GemmTile::rows64_columns32;
}

DepthwiseCall choose_depthwise(const DepthwiseArguments& arguments, int processors) noexcept {
  // Fewer hide no latency: a thread waits for its loads and then for little else.
  constexpr std::int64_t kThreadsOfAProcessor = 1024;
  DepthwiseCall call;
  call.arguments = arguments;
  const Window& window = arguments.window;
  const auto is_square = [&](int kernel, int stride) {
    return window.kernel.h == kernel && window.kernel.w == kernel && window.stride.h == stride &&
           window.stride.w == stride && window.dilation.h == 1 && window.dilation.w == 1;
  };
  if (!allows_quads(arguments)) {
    call.window = DepthwiseWindow::any_singles;
  } else if (is_square(3, 1)) {
    call.window = DepthwiseWindow::k3_stride1;
  } else if (is_square(3, 2)) {
    call.window = DepthwiseWindow::k3_stride2;
  } else if (is_square(5, 1)) {
    call.window = DepthwiseWindow::k5_stride1;
  } else if (is_square(5, 2)) {
    call.window = DepthwiseWindow::k5_stride2;
  } else {
    call.window = DepthwiseWindow::any;
  }
  call.long_strips = true;
  set_shares(call);
  if (elements_of(call.arguments) < kThreadsOfAProcessor * processors) {
    call.long_strips = false;
    set_shares(call);
  }
  return call;
}

GemmAccess choose_access(const GemmArguments& arguments, bool gathers) noexcept {
  // Every run of channels begins at a multiple of four floats.
  const bool quads = rows_allow_quads(arguments) && arguments.channels.divisor() % 4 == 0;
  if (!quads) return GemmAccess::window_singles;
  return gathers ? GemmAccess::window : GemmAccess::rows;
}

BroadcastShape join_dimensions(const BroadcastShape& shape) {
  BroadcastShape joined;
  for (std::size_t i = 0; i < shape.sizes.size(); ++i) {
    const std::int64_t size = shape.sizes[i];
    if (size == 1) continue;
    const auto continues = [&](const std::vector<std::int64_t>& strides, const std::vector<std::int64_t>& outer) {
      return outer.back() == strides[i] * size;
    };
    if (!joined.sizes.empty() && continues(shape.a_strides, joined.a_strides) &&
        continues(shape.b_strides, joined.b_strides)) {
      joined.sizes.back() *= size;
      joined.a_strides.back() = shape.a_strides[i];
      joined.b_strides.back() = shape.b_strides[i];
      continue;
    }
    joined.sizes.push_back(size);
    joined.a_strides.push_back(shape.a_strides[i]);
    joined.b_strides.push_back(shape.b_strides[i]);
  }
  return joined;
}

}  // namespace rushlight::cuda
