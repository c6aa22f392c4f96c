// General operators of the CPU backend: how they lie in memory, together with steps of their own. Whether one computes
// what PyTorch does is for operators_test.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/fail.hpp"
#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

std::string plan_text(const Graph& graph, const Shape& shape) {
  const StateDict none;
  return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}).value());
}

std::int64_t below(std::mt19937_64& random, std::int64_t bound) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(bound));
}

// A graph of operators that move values, between some that want images or rows: any of them may meet any view.
class RandomGraph {
 public:
  explicit RandomGraph(std::uint64_t seed) : random_(seed) {
    const Shape shape = {1 + below(random_, 3), 2 + below(random_, 4), 1 + below(random_, 4), 2 + below(random_, 5)};
    input_shape = shape;
    values_.push_back({builder_.input("x"), shape});
    for (int step = 0; step < 9; ++step) {
      const Value from = values_[static_cast<std::size_t>(below(random_, static_cast<std::int64_t>(values_.size())))];
      grow(from);
    }
  }

  Graph build() {
    builder_.output("first", values_[1].edge);
    builder_.output("middle", values_[values_.size() / 2].edge);
    builder_.output("last", values_.back().edge);
    return builder_.build().value();
  }

  Shape input_shape;

 private:
  struct Value {
    Edge edge;
    Shape shape;
  };
  static constexpr std::int64_t kMostElements = 3000;

  std::size_t any_dim(const Shape& shape) {
    return static_cast<std::size_t>(below(random_, static_cast<std::int64_t>(shape.size())));
  }
  void add(Operator op, Edge edge, Shape shape) {
    values_.push_back({builder_.apply("", std::move(op), edge), std::move(shape)});
  }

  void grow(const Value& from) {
    const Shape& shape = from.shape;
    if (shape.empty()) return add(Unsqueeze{.dim = 0}, from.edge, {1});
    const std::size_t dim = any_dim(shape);
    const auto dim_attribute = static_cast<std::int64_t>(dim);
    Shape next = shape;
    switch (below(random_, 17)) {
      case 0: {
        Shape dims(shape.size());
        for (std::size_t i = 0; i < dims.size(); ++i) dims[i] = static_cast<std::int64_t>(i);
        std::shuffle(dims.begin(), dims.end(), random_);
        for (std::size_t i = 0; i < dims.size(); ++i) next[i] = shape[static_cast<std::size_t>(dims[i])];
        return add(Permute{.dims = dims}, from.edge, next);
      }
      case 1: {
        const std::size_t other = any_dim(shape);
        std::swap(next[dim], next[other]);
        return add(Transpose{.dim0 = dim_attribute, .dim1 = static_cast<std::int64_t>(other)}, from.edge, next);
      }
      case 2: {  // two dimensions become one, or one becomes two
        if (shape.size() > 1 && dim + 1 < shape.size()) {
          next[dim] *= next[dim + 1];
          next.erase(next.begin() + dim_attribute + 1);
        } else {
          for (const std::int64_t part : {3, 2}) {
            if (shape[dim] % part != 0) continue;
            next[dim] = part;
            next.insert(next.begin() + dim_attribute + 1, shape[dim] / part);
            break;
          }
        }
        return add(Reshape{.shape = next}, from.edge, next);
      }
      case 3: {
        const std::int64_t start = below(random_, shape[dim]);
        const std::int64_t step = 1 + below(random_, 3);
        next[dim] = (shape[dim] - start - 1) / step + 1;
        return add(Slice{.dim = dim_attribute, .start = start, .step = step}, from.edge, next);
      }
      case 4:
        return add(Flip{.dims = {dim_attribute}}, from.edge, next);
      case 5:
        return add(Roll{.shifts = {below(random_, 5) - 2}, .dims = {dim_attribute}}, from.edge, next);
      case 6: {
        next.erase(next.begin() + dim_attribute);
        return add(Select{.dim = dim_attribute, .index = below(random_, shape[dim])}, from.edge, next);
      }
      case 7: {
        if (shape.size() < 5) next.insert(next.begin() + dim_attribute, 1);
        if (shape.size() == 5) return add(ReLU{}, from.edge, next);
        return add(Unsqueeze{.dim = dim_attribute}, from.edge, next);
      }
      case 8: {
        const std::int64_t size = shape[dim] == 1 ? 3 : -1;
        if (numel_of(shape) > kMostElements) return add(Neg{}, from.edge, next);
        if (size == 3) next[dim] = 3;
        Shape wanted(shape.size(), -1);
        wanted[dim] = size;
        return add(Expand{.size = wanted}, from.edge, next);
      }
      case 9: {
        if (shape[dim] < 2) return add(Square{}, from.edge, next);
        const Edge inputs[] = {from.edge};
        const std::vector<Edge> pieces =
            builder_.apply("", Split{.split_size_or_sections = {shape[dim] - 1}, .dim = dim_attribute}, inputs, 2);
        next[dim] = shape[dim] - 1;
        values_.push_back({pieces[0], next});
        next[dim] = 1;
        values_.push_back({pieces[1], next});
        return;
      }
      case 10: {  // with itself, as it lies and turned round
        if (numel_of(shape) > kMostElements) return add(Abs{}, from.edge, next);
        const Edge flipped = builder_.apply("", Flip{.dims = {dim_attribute}}, from.edge);
        next[dim] *= 2;
        values_.push_back({builder_.apply("", Cat{.dim = dim_attribute}, from.edge, flipped), next});
        return;
      }
      case 11: {  // both operands see one buffer, perhaps in different ways
        if (shape.size() < 2 || shape[dim] != shape[0]) return add(ReLU{}, from.edge, next);
        const Edge turned = builder_.apply("", Transpose{.dim0 = 0, .dim1 = dim_attribute}, from.edge);
        values_.push_back({builder_.apply("", Sub{}, from.edge, turned), next});
        return;
      }
      case 12: {
        Shape pad(shape.size() * 2, 0);
        pad[2 * (shape.size() - 1 - dim)] = 1;
        next[dim] += 1;
        return add(Pad{.pad = pad, .value = 0.5}, from.edge, next);
      }
      case 13:
        if (shape.size() != 4) return add(ReLU{}, from.edge, next);
        return add(MaxPool2d{.kernel_size = 1}, from.edge, next);  // wants channels last
      case 14:
        if (shape.size() != 4) return add(Neg{}, from.edge, next);
        return add(Upsample{.scale_factor = {1.0}}, from.edge, next);  // likewise, and gives it
      case 15: {
        if (numel_of(shape) > kMostElements) return add(ReLU{}, from.edge, next);
        Shape repeats(shape.size(), 1);
        repeats[dim] = 2;
        next[dim] *= 2;
        return add(Repeat{.repeats = repeats}, from.edge, next);
      }
      default: {
        const Edge other = builder_.apply("", ReLU{}, from.edge);
        values_.push_back({builder_.apply("", Add{}, from.edge, other), next});
        return;
      }
    }
  }

  std::mt19937_64 random_;
  GraphBuilder builder_;
  std::vector<Value> values_;
};

TEST(General, AnyViewMayMeetAnyOperator) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomGraph random(seed);
    const Graph graph = random.build();
    const Tensor input = made_up("input", random.input_shape);
    expect_cpu_fits_reference(Model::create(graph, StateDict()).value(), input);
    if (HasFailure()) return;
  }
}

TEST(General, WhatOnlyLooksAtMemoryInAnotherWayIsNoStep) {
  GraphBuilder g;
  Edge x = g.apply("patches", Conv2d{3, 8, 4, 4}, g.input("x"));
  x = g.apply("", Flatten{.start_dim = 2}, x);
  x = g.apply("", Transpose{.dim0 = 1, .dim1 = 2}, x);
  const Edge first = g.apply("", Select{.dim = 1, .index = 0}, g.apply("norm", LayerNorm{.normalized_shape = {8}}, x));
  g.output("y", g.apply("head", Linear{8, 5}, first));
  EXPECT_EQ(
      "patches layout 24x1x1x8 -> 1x8x8x3\n"
      "patches conv 1x8x8x3 -> 1x2x2x8 k4x4 s4x4 p0x0\n"
      "norm layernorm [1, 4, 8] -> [1, 4, 8]\n"
      "head linear 1x1x1x8 -> 1x1x1x5 (output)\n",
      plan_text(g.build().value(), {1, 3, 8, 8}));
}

TEST(General, ActivationsAndGatesStayInTheOrderOfTheirImages) {
  GraphBuilder g;
  const Edge conv = g.apply("conv", Conv2d{4, 6, 1}, g.input("x"));
  const Edge x = g.apply("act", SiLU{}, conv);
  const Edge pooled = g.apply("pool", AdaptiveAvgPool2d{1}, x);
  const Edge gate = g.apply("gate", Sigmoid{}, g.apply("fc", Conv2d{6, 6, 1}, pooled));
  g.output("y", g.apply("last", Conv2d{6, 2, 1}, g.apply("scale", Mul{}, gate, x)));
  const Graph graph = g.build().value();
  const std::string text = plan_text(graph, {2, 4, 5, 3});
  // Layouts change at the borders alone.
  EXPECT_LT(text.rfind("last conv"), text.find("layout", text.find("act silu"))) << text;
  EXPECT_EQ(std::string::npos, text.find("identity")) << text;
  expect_cpu_fits_reference(made_up_model(graph), made_up("input", {2, 4, 5, 3}));
}

TEST(General, ParametersAreReadWhereTheyLie) {
  GraphBuilder g;
  const Edge table = g.apply("positions", Parameter{.shape = {1, 4, 3}}, std::span<const Edge>());
  g.output("y", g.apply("", Add{}, g.input("x"), table));
  const Graph graph = g.build().value();
  EXPECT_EQ(std::string::npos, plan_text(graph, {2, 4, 3}).find("positions"));
  expect_cpu_fits_reference(made_up_model(graph), made_up("input", {2, 4, 3}), 0);
}

// Backends answer in the same words.
TEST(General, AnIndexThatPointsNowhereFailsTheRunAndTheNextOneWorks) {
  GraphBuilder g;
  const Edge indices = g.input("i", {}, DType::i64);
  g.output("y", g.apply("table", Embedding{3, 2}, indices));
  const Model model = made_up_model(g.build().value());
  const runtime::Network network{model.graph(), model.state_dict()};
  const Shape shape = {4};
  std::vector<float> out(8);
  const Shape out_shape = {4, 2};
  std::vector<std::shared_ptr<const runtime::Backend>> backends = cpu_backends();
  backends.push_back(runtime::reference::make_backend().value());
  for (const auto& backend : backends) {
    SCOPED_TRACE(backend->name());
    const auto weights = backend->make_weights(network).value();
    const auto program = backend->compile(network, std::span(&shape, 1), weights, {}).value();
    const auto run = [&](std::vector<std::int64_t> values) {
      const TensorView in{.data = values.data(), .dtype = DType::i64, .shape = shape};
      const MutableTensorView to{.data = out.data(), .shape = out_shape};
      return program->run(std::span(&in, 1), std::span(&to, 1));
    };
    for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 62}) {
      const Status status = run({0, 2, bad, 1});
      ASSERT_FALSE(status);
      EXPECT_EQ("RUN-INDEX", status.error().finding.code);
      EXPECT_EQ("layer 'table': index " + std::to_string(bad) + " lies outside, expected 0 to 2",
                status.error().finding.message);
    }
    EXPECT_TRUE(run({0, 2, 1, 1}));
  }
}

TEST(General, TheWorkspaceOfAttentionCountsAgainstTheLimit) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge inputs[] = {x, x, x};
  g.output("y", g.apply("attention", MultiheadAttention{.embed_dim = 8, .num_heads = 2}, inputs));
  const Model model = made_up_model(g.build().value());
  const runtime::Network network{model.graph(), model.state_dict()};
  const auto backend = runtime::cpu::make_backend().value();
  const auto weights = backend->make_weights(network).value();
  const Shape shape = {16, 4, 8};
  runtime::RunOptions options;
  options.limits.arena_bytes = 1024;
  const auto program = backend->compile(network, std::span(&shape, 1), weights, options);
  ASSERT_FALSE(program);
  EXPECT_EQ("LIMIT-ARENA-BYTES", program.error().finding.code);
}

// For one shape, where everything but inputs and outputs may take `arena_bytes`.
Status compiles_within(std::uint64_t arena_bytes, const Graph& graph, const Shape& shape) {
  const Model model = made_up_model(graph);
  const runtime::Network network{model.graph(), model.state_dict()};
  const auto backend = runtime::cpu::make_backend().value();
  runtime::RunOptions options;
  options.limits.arena_bytes = arena_bytes;
  RUSHLIGHT_TRY(backend->compile(network, std::span(&shape, 1), backend->make_weights(network).value(), options));
  return {};
}

TEST(General, TablesCountAgainstTheLimitAndTheirLayerIsNamed) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 31;
  for (const InterpolationMode mode : {InterpolationMode::nearest, InterpolationMode::nearest_exact,
                                       InterpolationMode::linear, InterpolationMode::area}) {
    const Status status = compiles_within(1 << 20, graph_of(Upsample{.size = {kHuge}, .mode = mode}, "up"), {1, 1, 4});
    ASSERT_FALSE(status);
    EXPECT_EQ("LIMIT-ARENA-BYTES", status.error().finding.code);
    EXPECT_EQ(
        "layer 'up': its tables and all activations need more memory than limits.arena_bytes allows, expected at most "
        "1048576 bytes, found " +
            status.error().finding.found,
        status.error().finding.message);
  }
  // Shrinking: the few outputs see all of a huge input.
  const Operator shrink = Upsample{.size = {2, 2}, .mode = InterpolationMode::bicubic, .antialias = true};
  EXPECT_FALSE(compiles_within(1 << 20, graph_of(shrink, "down"), {1, 1, 4, kHuge / 4}));
  EXPECT_TRUE(compiles_within(1 << 20, graph_of(shrink, "down"), {1, 1, 40, 400}));
  // A few layers that fit one by one.
  GraphBuilder g;
  Edge x = g.input("x");
  for (const char* name : {"a", "b", "c"}) {
    const Edge wide = g.apply(name, Upsample{.size = {10000}, .mode = InterpolationMode::linear}, x);
    x = g.apply("", AvgPool1d{.kernel_size = 2500}, wide);
  }
  g.output("y", x);
  const Status status = compiles_within(1'000'000, g.build().value(), {1, 1, 4});
  ASSERT_FALSE(status);
  EXPECT_TRUE(status.error().finding.message.starts_with("layer 'c': its tables")) << status.error().finding.message;

  // The bias of a window is as large as the square of its area, the windows cover more than the image.
  const ShiftedWindowAttention swin{.dim = 2, .window_size = 64, .shift_size = 3, .num_heads = 1};
  const Status window = compiles_within(1 << 25, graph_of(swin, "swin"), {1, 4, 4, 2});
  ASSERT_FALSE(window);
  EXPECT_TRUE(window.error().finding.message.starts_with("layer 'swin': its tables")) << window.error().finding.message;
}

TEST(General, PaddingAndRollingKeepNoTables) {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;
  for (const PadMode mode : {PadMode::constant, PadMode::reflect, PadMode::replicate, PadMode::circular}) {
    const Operator pad = Pad{.pad = {kMost, kMost, 1, 0}, .mode = mode};
    EXPECT_TRUE(compiles_within(1 << 10, graph_of(pad, "pad"), {1, 2, 2, kMost + 1}));
  }
  EXPECT_TRUE(compiles_within(1 << 10, graph_of(Roll{.shifts = {-7, 3}, .dims = {0, 1}}, "roll"), {3, kMost}));
}

// As PyTorch has it: a single number has a dimension 0, and a last one, for whoever names them.
TEST(General, DimensionsOfSingleNumbersMayBeNamed) {
  for (const std::int64_t dim : {0, -1}) {
    GraphBuilder g;
    const Edge x = g.apply("", Neg{}, g.input("x"));
    g.output("flip", g.apply("", Flip{.dims = {dim}}, x));
    g.output("amax", g.apply("", Amax{.dim = {dim}, .keepdim = true}, x));
    g.output("amin", g.apply("", Amin{.dim = {dim}}, x));
    g.output("softmax", g.apply("", Softmax{.dim = dim}, x));
    g.output("squeeze", g.apply("", Squeeze{.dim = {dim}}, x));
    g.output("transpose", g.apply("", Transpose{.dim0 = dim, .dim1 = 0}, x));
    expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("x", {}), 0);
  }
}

// In each of our backends, and with the layers around them: PyTorch normalises what is empty, and single values of
// several items.
TEST(General, NormsTakeEmptyPicturesAndSingleValues) {
  for (const Shape& shape : {Shape{2, 4, 0}, Shape{0, 4, 3}, Shape{4, 0}, Shape{2, 0, 3}, Shape{0, 0}}) {
    for (const bool has_channels : {false, true}) {
      if (has_channels && std::ranges::find(shape, 4) == shape.end()) continue;
      const InstanceNorm1d norm{.num_features = 4, .affine = has_channels, .track_running_stats = has_channels};
      GraphBuilder g;
      g.output("y", g.apply("", ReLU{}, g.apply("norm", norm, g.apply("", Neg{}, g.input("x")))));
      expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("x", shape), 0);
    }
  }
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 4});
  g.output("batch", g.apply("batch", BatchNorm1d{.num_features = 4, .track_running_stats = false}, x));
  g.output("groups", g.apply("groups", GroupNorm{4, 4}, x));
  expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("x", {2, 4}));
}

// Every small padding that crops at one end and adds at the other; the operand lies in C order and across.
TEST(General, PaddingCropsAsTheReferenceDoes) {
  int count = 0;
  for (const PadMode mode : {PadMode::constant, PadMode::reflect, PadMode::replicate, PadMode::circular}) {
    for (std::int64_t size = 1; size <= 3; ++size) {
      for (std::int64_t before = -4; before <= 4; ++before) {
        for (std::int64_t after = -4; after <= 4; ++after) {
          const Pad pad{.pad = {before, after, after, before}, .mode = mode, .value = 7};
          GraphBuilder g;
          const Edge x = g.input("x", {2, size, size});
          g.output("pad", g.apply("", pad, x));
          g.output("turned", g.apply("", pad, g.apply("", Transpose{.dim0 = 1, .dim1 = 2}, x)));
          const Result<Graph> graph = g.build();
          if (!graph) continue;
          SCOPED_TRACE(testing::PrintToString(pad.pad) + " of " + std::to_string(size));
          expect_cpu_fits_reference(made_up_model(*graph), made_up("x", {2, size, size}), 0);
          ++count;
        }
      }
    }
  }
  EXPECT_EQ(count, 389);  // the others are refused, as torch refuses them
}

// Lines that are cut into pieces, in every order of memory.
TEST(General, LongLinesArePaddedAndRolledPieceByPiece) {
  constexpr std::int64_t kLong = 40000;
  const std::vector<Pad> pads = {
      Pad{.pad = {17000, 20001, 1, 0}, .value = -2.5},
      Pad{.pad = {-17000, 20001, 0, 1}, .mode = PadMode::replicate},
      Pad{.pad = {39000, 16384, 1, 1}, .mode = PadMode::reflect},
      Pad{.pad = {23000, -16385, 2, 0}, .mode = PadMode::circular},
      Pad{.pad = {-20001, -16385}},
  };
  std::vector<Operator> operators(pads.begin(), pads.end());
  operators.push_back(Roll{.shifts = {16383, -1}, .dims = {2, 1}});
  operators.push_back(Roll{.shifts = {-3 * kLong - 5}, .dims = {-1}});
  for (const Operator& op : operators) {
    expect_cpu_fits_reference(made_up_model(graph_of(op, "move")), made_up("input", {2, 3, kLong}), 0);
    // The line lies across, and the memory of the operand is another's.
    GraphBuilder g;
    const Edge turned = g.apply("", Transpose{.dim0 = 1, .dim1 = 2}, g.input("x"));
    g.output("y", g.apply("", Neg{}, g.apply("move", op, turned)));
    expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("input", {2, kLong, 3}), 0);
  }
}

TEST(General, FittedSizesMeetEveryViewAndOrderOfMemory) {
  for (const std::int64_t size : {3, 6, 9}) {
    for (const PadPlacement placement : {PadPlacement::center, PadPlacement::end, PadPlacement::center_crop}) {
      GraphBuilder g;
      const Edge x = g.apply("conv", Conv2d{.in_channels = 2, .out_channels = 4, .kernel_size = 3, .padding = 1},
                             g.input("x", {-1, 2, -1, -1}));
      const Edge like = g.apply("", Slice{.dim = 3, .end = size}, g.apply("", Repeat{.repeats = {1, 1, 1, 2}}, x));
      const Edge fitted = g.apply("fit", PadAs{.placement = placement, .value = 0.5}, x, like);
      g.output("fitted", fitted);
      g.output("y", g.apply("last", Conv2d{.in_channels = 4, .out_channels = 2, .kernel_size = 1}, fitted));
      g.output("turned", g.apply("", PadAs{.dims = {1, 2}, .placement = placement},
                                 g.apply("", Transpose{.dim0 = 1, .dim1 = 3}, x), like));
      expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("input", {2, 2, 7, 6}));
    }
  }
}

// Samples are inputs: whatever they hold, windows lie inside.
TEST(General, SamplesThatAreNoneAreKeptInside) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float sample : {0.0F, 1.0F, -3.5F, 7e30F, kInfinity, -kInfinity, std::nanf("")}) {
    for (const std::int64_t size : {1, 4, 6}) {
      GraphBuilder g;
      const Edge x = g.input("x");
      const Edge samples = g.apply("samples", Parameter{.shape = {1, 2, 2}}, std::span<const Edge>());
      g.output("y", g.apply("pool", FractionalMaxPool2d{.kernel_size = 2, .output_size = {size}}, x, samples));
      StateDict state;
      state.insert("samples", tensor_of({sample, 0.5F, 0.25F, sample}, {1, 2, 2}));
      const Model model = Model::create(g.build().value(), state).value();
      expect_cpu_fits_reference(model, made_up("input", {1, 2, 7, 8}), 0);
    }
  }
}

// Large enough that operators are cut into tasks which several threads take.
TEST(General, ResultsDoNotDependOnThreads) {
  GraphBuilder g;
  Edge x = g.apply("patches", Conv2d{3, 64, 4, 4}, g.input("x"));
  x = g.apply("", GELU{},
              g.apply("up", ConvTranspose2d{.in_channels = 64, .out_channels = 32, .kernel_size = 3, .stride = 2}, x));
  x = g.apply("", Upsample{.scale_factor = {1.5}, .mode = InterpolationMode::bilinear},
              g.apply("gn", GroupNorm{4, 32}, x));
  x = g.apply("", Permute{.dims = {0, 2, 3, 1}}, x);
  x = g.apply("swin", ShiftedWindowAttention{.dim = 32, .window_size = 7, .shift_size = 3, .num_heads = 4}, x);
  x = g.apply("ln", LayerNorm{.normalized_shape = {32}}, x);
  x = g.apply("", Flatten{.start_dim = 1, .end_dim = 2}, x);
  const Edge inputs[] = {x, x, x};
  x = g.apply("attention", MultiheadAttention{.embed_dim = 32, .num_heads = 2, .batch_first = true}, inputs);
  x = g.apply("gru", GRU{.input_size = 32, .hidden_size = 24, .batch_first = true, .bidirectional = true}, x);
  g.output("mean", g.apply("", Mean{.dim = {1}}, x));
  g.output("all", g.apply("", MatMul{}, x, g.apply("", Transpose{.dim0 = 1, .dim1 = 2}, x)));
  const Model model = made_up_model(g.build().value());
  const Tensor input = made_up("input", {2, 3, 36, 44});
  const std::unique_ptr<Executor> pool = make_thread_pool(3);
  for (const auto& backend : cpu_backends()) {
    SCOPED_TRACE(backend->name());
    const auto alone = run_on(*backend, model, std::span(&input, 1));
    const auto together = run_on(*backend, model, std::span(&input, 1), pool.get());
    for (std::size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(0, std::memcmp(alone[i].data(), together[i].data(), alone[i].size() * sizeof(float))) << "output " << i;
    }
  }
  expect_cpu_fits_reference(model, input, 2e-5);
}

}  // namespace
}  // namespace rushlight::test
