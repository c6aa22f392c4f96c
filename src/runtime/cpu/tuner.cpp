#include "runtime/cpu/tuner.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"
#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/evict.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/failure.hpp"
#include "runtime/step_times.hpp"
#include "runtime/tuning_table.hpp"
#include "rushlight/version.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Rounds in which each way runs once: until this time is over, what comes before the runs included, but so many at
// least and at most.
constexpr std::uint64_t kNanosecondsALayer = 20'000'000;
constexpr int kLeastRounds = 2;
constexpr int kMostRounds = 6;
// A way that took so much longer than the best one in all of the first rounds is not run again.
constexpr double kHopeless = 1.5;
// Another way than the rule's must be faster by so much, or chance would choose.
constexpr double kWorthIt = 0.97;
// What is read between two rounds: as much as the rest of the network would. Where that is more than this, which takes
// a millisecond or two, the layer's weights are taken out of the caches line by line instead: caches that several cores
// share can hold more than one thinks, and with 64 MiB read F(4x4) seemed to gain where it loses.
constexpr std::uint64_t kMostSweptBytes = std::uint64_t{32} << 20;
// Where no program can do that, so much is read.
constexpr std::uint64_t kManyBytes = std::uint64_t{256} << 20;

std::string sizes_text(const PlannedTensor& tensor) {
  return std::to_string(tensor.n) + "x" + std::to_string(tensor.h) + "x" + std::to_string(tensor.w) + "x" +
         std::to_string(tensor.c);
}

// A convolution that has several ways, and the step that it is or begins.
struct TunedLayer {
  const ConvStep* conv = nullptr;
  const StripeStep* stripes = nullptr;  // of it and a pooling of quads; or null
  std::span<const ConvAlgorithm> offered = {};
  std::string text = {};  // under which its choice is kept

  [[nodiscard]] TensorId output() const noexcept { return stripes == nullptr ? conv->output : stripes->output(); }
};

// What two layers have in common that one measurement serves.
std::string layer_text(const ConvStep& step, bool is_pooled, const OpContext& context) {
  // Products of bfloat16 take another time on each way of multiplying them.
  const std::string way = context.narrow == nullptr ? "" : " " + std::string(to_string(context.narrow->way));
  return "conv3x3 " + std::string(to_string(context.options.precision)) + way +
         " threads=" + std::to_string(context.slots) + " in=" + sizes_text(context.tensor(step.input)) +
         " out=" + sizes_text(context.tensor(step.output)) + (is_pooled ? " pooled" : "");
}

// Of each step that has a choice.
std::vector<TunedLayer> layers_of(const OpContext& context) {
  std::vector<TunedLayer> layers;
  for (const Step& step : context.plan.steps) {
    TunedLayer layer;
    layer.conv = std::get_if<ConvStep>(&step.work);
    layer.stripes = std::get_if<StripeStep>(&step.work);
    if (layer.stripes != nullptr) {
      layer.conv = &layer.stripes->first;
      const MaxPoolStep* const pool = layer.stripes->pooling();
      const PlannedTensor& pooled = context.tensor(layer.output());
      if (pool == nullptr || !pool->is_of_quads(context.tensor(layer.conv->output), pooled)) continue;
    }
    if (layer.conv == nullptr) continue;
    layer.offered = conv_algorithms(*layer.conv, context.tensor(layer.conv->input), context.tensor(layer.conv->output),
                                    context.options.precision);
    if (layer.offered.size() < 2) continue;
    layer.text = layer_text(*layer.conv, layer.stripes != nullptr, context);
    layers.push_back(std::move(layer));
  }
  return layers;
}

// From its first element to its last; what shares its rows lies between.
std::size_t floats_of(const PlannedTensor& tensor) {
  return tensor.elements() == 0 ? 0 : static_cast<std::size_t>((tensor.rows() - 1) * tensor.row_stride + tensor.c);
}

// Everything that the steps of a plan read and write, twice: packed weights are larger, and there is scratch. At most
// kManyBytes.
std::uint64_t bytes_of_run(const OpContext& context) {
  std::uint64_t sum = 0;
  for (const TimedStep& step : describe_steps(context.network, context.plan)) {
    sum += 2 * std::min(step.bytes, kManyBytes);
  }
  return std::min(sum, kManyBytes);
}

// What a layer has around it in a run: the arena, in which its operands have their places, and caches that the rest of
// the network has gone through.
struct Surroundings {
  AlignedBuffer arena;
  AlignedBuffer swept;  // empty: weights are evicted

  Status make(const OpContext& context) {
    const std::uint64_t arena_bytes =
        std::max<std::uint64_t>(context.plan.arena_bytes + context.plan.item_arena_bytes, kCacheLine);
    arena = AlignedBuffer::allocate(arena_bytes);
    if (arena.data() == nullptr) return no_memory_for(arena_bytes, "activations");
    const std::uint64_t bytes = std::max<std::uint64_t>(bytes_of_run(context), kCacheLine);
    if (kCanEvict && bytes > kMostSweptBytes) return {};
    swept = AlignedBuffer::allocate(bytes);
    if (swept.data() == nullptr) return no_memory_for(bytes, "measurements");
    std::fill_n(swept.floats(), bytes / sizeof(float), 0.5F);
    return {};
  }
};

// "direct 812.4 us"
std::string time_text(ConvAlgorithm algorithm, std::uint64_t nanoseconds) {
  const std::uint64_t tenths = nanoseconds / 100 + (nanoseconds % 100 >= 50 ? 1 : 0);
  return std::string(word_of(algorithm)) + " " + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) +
         " us";
}

// One layer, as often as it takes.
class LayerTrial {
 public:
  LayerTrial(const TunedLayer& layer, const OpContext& context, const Surroundings& surroundings, Tuning::Impl& table)
      : layer_(layer), step_(*layer.conv), context_(context), surroundings_(surroundings), table_(table) {}

  // The fastest of those offered; nullopt where fewer than two can be made of these weights and within the limits.
  Result<std::optional<ConvAlgorithm>> run() {
    RUSHLIGHT_TRY(make_ways());
    if (ways_.size() < 2) return std::optional<ConvAlgorithm>();
    RUSHLIGHT_TRY(allocate());
    std::uint64_t spent = 0;
    for (int round = 0; round < kMostRounds && (round < kLeastRounds || spent < kNanosecondsALayer); ++round) {
      spent += table_.stopwatch({}, [&] { make_weights_cold(); });
      for (std::size_t i = 0; i < ways_.size(); ++i) {
        Way& way = ways_[(i + static_cast<std::size_t>(round)) % ways_.size()];
        if (way.is_hopeless) continue;
        spent += time(way);
      }
      if (round + 1 != kLeastRounds) continue;
      const std::uint64_t best = fastest().nanoseconds;
      for (Way& way : ways_) {
        way.is_hopeless = static_cast<double>(way.nanoseconds) > kHopeless * static_cast<double>(best);
      }
    }
    return std::optional(decide());
  }

  // How long each way took, for people.
  [[nodiscard]] std::string times() const {
    std::string text;
    for (const Way& way : ways_) text += (text.empty() ? "" : ", ") + time_text(way.algorithm, way.nanoseconds);
    return text;
  }

 private:
  struct Way {
    ConvAlgorithm algorithm;
    std::unique_ptr<Op> op;
    std::uint64_t nanoseconds = UINT64_MAX;  // of the best run: whatever else the machine does slows it down
    bool is_hopeless = false;
  };

  // With weights of its own, which go again: of those that lose nothing is kept.
  Status make_ways() {
    const OpContext own{context_.network, context_.plan,   context_.kernels, weights_,      context_.options,
                        context_.machine, context_.narrow, table_bytes_,     context_.slots};
    const StripeStep* const stripes = layer_.stripes;
    for (const ConvAlgorithm algorithm : layer_.offered) {
      std::unique_ptr<Op> op;
      if (algorithm != ConvAlgorithm::direct) {
        const MaxPoolStep* const pool = stripes == nullptr ? nullptr : stripes->pooling();
        RUSHLIGHT_TRY_ASSIGN(op, make_winograd_op(step_, algorithm, own, pool));
      } else if (stripes != nullptr) {
        RUSHLIGHT_TRY_ASSIGN(op, make_stripe_op(*stripes, own));
      } else {
        RUSHLIGHT_TRY_ASSIGN(op, make_rows_op(step_, own));
      }
      if (op == nullptr || !workspace_of(*op)) continue;
      ways_.push_back({.algorithm = algorithm, .op = std::move(op)});
    }
    return {};
  }

  // What a program with it takes at least, where the session may have so much.
  [[nodiscard]] std::optional<std::uint64_t> workspace_of(const Op& op) const {
    const auto scratch = checked_mul<std::uint64_t>(context_.slots, pitch_of(op));
    const auto sum = scratch ? checked_add<std::uint64_t>(*scratch, context_.plan.arena_bytes) : std::nullopt;
    return sum && *sum <= context_.options.limits.arena_bytes ? sum : std::nullopt;
  }
  [[nodiscard]] static std::size_t pitch_of(const Op& op) noexcept { return round_up(op.scratch_bytes(), kCacheLine); }
  [[nodiscard]] std::vector<TensorId> tensors() const {
    std::vector<TensorId> ids = {step_.input, layer_.output()};
    if (step_.epilogue.residual != kNone) ids.push_back(step_.epilogue.residual);
    return ids;
  }

  Status allocate() {
    addresses_.assign(context_.plan.tensors.size() + 1, nullptr);
    for (const TensorId id : tensors()) {
      const PlannedTensor& tensor = context_.tensor(id);
      if (tensor.place == Place::arena) {
        addresses_[id] = reinterpret_cast<float*>(surroundings_.arena.data() + tensor.offset_bytes);
        continue;
      }
      const std::uint64_t bytes = std::max(floats_of(tensor) * sizeof(float), kCacheLine);
      memory_.push_back(AlignedBuffer::allocate(bytes));
      if (memory_.back().data() == nullptr) return no_memory_for(bytes, "activations");
      addresses_[id] = memory_.back().floats();
    }
    std::size_t pitch = 0;
    for (const Way& way : ways_) pitch = std::max(pitch, pitch_of(*way.op));
    const std::uint64_t bytes = std::max<std::uint64_t>(context_.slots * pitch, kCacheLine);
    memory_.push_back(AlignedBuffer::allocate(bytes));
    if (memory_.back().data() == nullptr) return no_memory_for(bytes, "activations");
    workers_ = {context_.options.executor, context_.slots, memory_.back().data(), pitch, shares_.data()};
    return {};
  }

  template <class F>
  void on_each_slot(F&& f) noexcept {
    if (context_.slots <= 1) return f(0);
    context_.options.executor->for_each_index(context_.slots, f);
  }

  // In a network the other layers pass through the caches between two runs of this one: its weights come from beyond
  // them.
  void make_weights_cold() noexcept {
    if (surroundings_.swept.data() == nullptr) return weights_.evict();
    const std::size_t part = surroundings_.swept.size_bytes() / sizeof(float) / context_.slots;
    on_each_slot([&](std::size_t slot) { context_.kernels.sum(surroundings_.swept.floats() + slot * part, part); });
  }

  // As layers before have just done, each thread its share. Of any numbers that are usual ones.
  void write_operands() noexcept {
    for (const TensorId id : tensors()) {
      if (id == layer_.output()) continue;
      const std::size_t count = floats_of(context_.tensor(id));
      on_each_slot([&](std::size_t slot) {
        const std::size_t first = slot * count / context_.slots;
        std::fill_n(addresses_[id] + first, (slot + 1) * count / context_.slots - first, 0.5F);
      });
    }
  }

  // Of all that it takes; what the run alone took is noted.
  std::uint64_t time(Way& way) {
    const std::uint64_t before = table_.stopwatch({}, [&] { write_operands(); });
    const std::uint64_t taken =
        table_.stopwatch(word_of(way.algorithm), [&] { run_tasks(*way.op, workers_, addresses_.data()); });
    way.nanoseconds = std::min(way.nanoseconds, taken);
    return before + taken;
  }

  [[nodiscard]] const Way& fastest() const {
    return *std::min_element(ways_.begin(), ways_.end(),
                             [](const Way& a, const Way& b) { return a.nanoseconds < b.nanoseconds; });
  }

  [[nodiscard]] ConvAlgorithm decide() const {
    const Way& best = fastest();
    const ConvAlgorithm usual = usual_conv_algorithm(step_, context_);
    for (const Way& way : ways_) {
      const bool as_fast = static_cast<double>(best.nanoseconds) >= kWorthIt * static_cast<double>(way.nanoseconds);
      if (way.algorithm == usual && as_fast) return usual;
    }
    return best.algorithm;
  }

  const TunedLayer& layer_;
  const ConvStep& step_;
  const OpContext& context_;
  const Surroundings& surroundings_;
  Tuning::Impl& table_;
  CpuWeights weights_{context_.kernels};
  std::atomic<std::uint64_t> table_bytes_{0};
  std::vector<Way> ways_;
  std::vector<AlignedBuffer> memory_;
  std::vector<float*> addresses_;
  std::vector<Share> shares_ = std::vector<Share>(context_.slots);
  Workers workers_;
};

}  // namespace

std::string machine_text(std::string_view backend) {
  return std::string(backend) + ", " + cpu_brand() + ", model " + hex(cpu_model()) + ", L2 " +
         std::to_string(l2_cache_bytes()) + ", rushlight " + std::string(version_string());
}

Result<ConvChoices> tune(const OpContext& context, std::string_view machine) {
  ConvChoices choices;
  const RunOptions& options = context.options;
  if (options.tuning == nullptr || options.low_memory) return choices;
  if (context.plan.arena_bytes > options.limits.arena_bytes) return choices;  // no program comes of it
  Tuning::Impl& table = Tuning::Impl::of(*options.tuning);

  const std::vector<TunedLayer> layers = layers_of(context);
  // What was noted, where it is a way that this layer has.
  const auto noted = [&](const TunedLayer& layer) -> std::optional<ConvAlgorithm> {
    const std::optional<std::string> word = table.find(machine, layer.text);
    const std::optional<ConvAlgorithm> way = word ? parse_conv_algorithm(*word) : std::nullopt;
    if (!way || std::find(layer.offered.begin(), layer.offered.end(), *way) == layer.offered.end()) return std::nullopt;
    return way;
  };

  std::optional<Surroundings> surroundings;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const TunedLayer& layer = layers[i];
    std::optional<ConvAlgorithm> way = noted(layer);
    if (!way && table.measures) {
      if (!surroundings) RUSHLIGHT_TRY(surroundings.emplace().make(context));
      LayerTrial trial(layer, context, *surroundings, table);
      RUSHLIGHT_TRY_ASSIGN(way, trial.run());
      if (way) table.set(machine, layer.text, word_of(*way), trial.times());
      if (options.progress != nullptr && !options.progress->on_progress("tune", i + 1, layers.size())) {
        return run_was_cancelled();
      }
    }
    if (way) choices.emplace(layer.conv->output, *way);
  }
  return choices;
}

}  // namespace rushlight::runtime::cpu
