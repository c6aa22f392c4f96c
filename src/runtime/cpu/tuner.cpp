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
#include "runtime/cpu/winograd.hpp"
#include "runtime/failure.hpp"
#include "runtime/step_times.hpp"
#include "runtime/tuning_table.hpp"
#include "rushlight/version.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Rounds in which each way runs once: until this time is over, but so many at least and at most.
constexpr std::uint64_t kNanosecondsALayer = 30'000'000;
constexpr int kLeastRounds = 3;
constexpr int kMostRounds = 6;
// A way that took so much longer than the best one in all of the first rounds is not run again.
constexpr double kHopeless = 1.5;
// Another way than the rule's must be faster by so much, or chance would choose.
constexpr double kWorthIt = 0.97;
// What is read between two rounds: as much as the rest of the network would, but no more than this. Caches that several
// cores share can hold more than one thinks: with 64 MiB F(4x4) seemed to gain where it loses.
constexpr std::uint64_t kMostSweptBytes = std::uint64_t{256} << 20;

std::string sizes_text(const PlannedTensor& tensor) {
  return std::to_string(tensor.n) + "x" + std::to_string(tensor.h) + "x" + std::to_string(tensor.w) + "x" +
         std::to_string(tensor.c);
}

// What two layers have in common that one measurement serves.
std::string layer_text(const ConvStep& step, const OpContext& context) {
  // Products of bfloat16 take another time on each way of multiplying them.
  const std::string way = context.narrow == nullptr ? "" : " " + std::string(to_string(context.narrow->way));
  return "conv3x3 " + std::string(to_string(context.options.precision)) + way +
         " threads=" + std::to_string(context.slots) + " in=" + sizes_text(context.tensor(step.input)) +
         " out=" + sizes_text(context.tensor(step.output));
}

std::uint64_t bytes_of(const PlannedTensor& tensor) {
  return static_cast<std::uint64_t>(tensor.rows()) * static_cast<std::uint64_t>(tensor.row_stride) * sizeof(float);
}

// Everything that the steps of a plan read and write, twice: packed weights are larger, and there is scratch. At most
// kMostSweptBytes.
std::uint64_t swept_bytes(const OpContext& context) {
  std::uint64_t sum = 0;
  for (const TimedStep& step : describe_steps(context.network, context.plan)) {
    sum += 2 * std::min(step.bytes, kMostSweptBytes);
  }
  return std::min(sum, kMostSweptBytes);
}

// One layer, as often as it takes.
class LayerTrial {
 public:
  LayerTrial(const ConvStep& step, const OpContext& context, Tuning::Impl& table)
      : step_(step), context_(context), table_(table) {}

  // The fastest of `offered`; nullopt where fewer than two can be made of these weights and within the limits.
  Result<std::optional<ConvAlgorithm>> run(std::span<const ConvAlgorithm> offered, const AlignedBuffer& swept,
                                           std::size_t swept_floats) {
    RUSHLIGHT_TRY(make_ways(offered));
    if (ways_.size() < 2) return std::optional<ConvAlgorithm>();
    RUSHLIGHT_TRY(allocate());
    std::uint64_t spent = 0;
    for (int round = 0; round < kMostRounds && (round < kLeastRounds || spent < kNanosecondsALayer); ++round) {
      sweep(swept, swept_floats);
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

 private:
  struct Way {
    ConvAlgorithm algorithm;
    std::unique_ptr<Op> op;
    std::uint64_t nanoseconds = UINT64_MAX;  // of the best run: whatever else the machine does slows it down
    bool is_hopeless = false;
  };

  // With weights of its own, which go again: of those that lose nothing is kept.
  Status make_ways(std::span<const ConvAlgorithm> offered) {
    const OpContext own{context_.network, context_.plan,   context_.kernels, weights_,      context_.options,
                        context_.machine, context_.narrow, table_bytes_,     context_.slots};
    for (const ConvAlgorithm algorithm : offered) {
      std::unique_ptr<Op> op;
      if (algorithm == ConvAlgorithm::direct) {
        RUSHLIGHT_TRY_ASSIGN(op, make_rows_op(step_, own));
      } else {
        RUSHLIGHT_TRY_ASSIGN(op, make_winograd_op(step_, algorithm, own));
      }
      if (op == nullptr || !workspace_of(*op)) continue;
      ways_.push_back({.algorithm = algorithm, .op = std::move(op)});
    }
    return {};
  }

  // What running it takes, where the session may have so much.
  [[nodiscard]] std::optional<std::uint64_t> workspace_of(const Op& op) const {
    auto sum = checked_mul<std::uint64_t>(context_.slots, pitch_of(op));
    for (const TensorId id : tensors()) {
      sum = sum ? checked_add(*sum, bytes_of(context_.tensor(id)) + kCacheLine) : std::nullopt;
    }
    return sum && *sum <= context_.options.limits.arena_bytes ? sum : std::nullopt;
  }
  [[nodiscard]] static std::size_t pitch_of(const Op& op) noexcept {
    return (op.scratch_bytes() + kCacheLine - 1) / kCacheLine * kCacheLine;
  }
  [[nodiscard]] std::vector<TensorId> tensors() const {
    std::vector<TensorId> ids = {step_.input, step_.output};
    if (step_.epilogue.residual != kNone) ids.push_back(step_.epilogue.residual);
    return ids;
  }

  Status allocate() {
    addresses_.assign(context_.plan.tensors.size() + 1, nullptr);
    for (const TensorId id : tensors()) {
      const std::uint64_t bytes = bytes_of(context_.tensor(id));
      memory_.push_back(AlignedBuffer::allocate(bytes));
      if (memory_.back().data() == nullptr) return no_memory_for(bytes, "activations");
      addresses_[id] = memory_.back().floats();
      // Any numbers that are usual ones.
      const std::size_t count = static_cast<std::size_t>(bytes / sizeof(float));
      for (std::size_t i = 0; i < count; ++i) addresses_[id][i] = static_cast<float>(i % 61) / 64.0F;
    }
    std::size_t pitch = 0;
    for (const Way& way : ways_) pitch = std::max(pitch, pitch_of(*way.op));
    const std::uint64_t bytes = std::max<std::uint64_t>(context_.slots * pitch, kCacheLine);
    memory_.push_back(AlignedBuffer::allocate(bytes));
    if (memory_.back().data() == nullptr) return no_memory_for(bytes, "activations");
    workers_ = {context_.options.executor, context_.slots, memory_.back().data(), pitch, shares_.data()};
    return {};
  }

  // In a network the other layers pass through the caches between two runs of this one: its weights come from beyond
  // them, its input from the layer before.
  void sweep(const AlignedBuffer& swept, std::size_t floats) noexcept {
    const std::size_t part = floats / context_.slots;
    const auto read = [&](std::size_t slot) { context_.kernels.sum(swept.floats() + slot * part, part); };
    if (context_.slots <= 1) return read(0);
    context_.options.executor->for_each_index(context_.slots, read);
  }

  std::uint64_t time(Way& way) {
    for (const TensorId id : tensors()) {
      const PlannedTensor& tensor = context_.tensor(id);
      context_.kernels.sum(addresses_[id], static_cast<std::size_t>(bytes_of(tensor) / sizeof(float)));
    }
    const std::uint64_t taken =
        table_.stopwatch(word_of(way.algorithm), [&] { run_tasks(*way.op, workers_, addresses_.data()); });
    way.nanoseconds = std::min(way.nanoseconds, taken);
    return taken;
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

  const ConvStep& step_;
  const OpContext& context_;
  Tuning::Impl& table_;
  CpuWeights weights_;
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
  Tuning::Impl& table = Tuning::Impl::of(*options.tuning);

  struct Layer {
    const ConvStep* step;
    std::span<const ConvAlgorithm> offered;
    std::string text;
  };
  std::vector<Layer> layers;
  for (const Step& step : context.plan.steps) {
    const auto* conv = std::get_if<ConvStep>(&step.work);
    if (conv == nullptr) continue;
    const auto offered =
        conv_algorithms(*conv, context.tensor(conv->input), context.tensor(conv->output), options.precision);
    if (offered.size() > 1) layers.push_back({conv, offered, layer_text(*conv, context)});
  }
  // What was noted, where it is a way that this layer has.
  const auto noted = [&](const Layer& layer) -> std::optional<ConvAlgorithm> {
    const std::optional<std::string> word = table.find(machine, layer.text);
    const std::optional<ConvAlgorithm> way = word ? parse_conv_algorithm(*word) : std::nullopt;
    if (!way || std::find(layer.offered.begin(), layer.offered.end(), *way) == layer.offered.end()) return std::nullopt;
    return way;
  };

  AlignedBuffer swept;
  std::size_t swept_floats = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    std::optional<ConvAlgorithm> way = noted(layer);
    if (!way && table.measures) {
      if (swept.data() == nullptr) {
        swept_floats = static_cast<std::size_t>(swept_bytes(context) / sizeof(float));
        swept = AlignedBuffer::allocate(std::max<std::size_t>(swept_floats * sizeof(float), kCacheLine));
        if (swept.data() == nullptr) return no_memory_for(swept_floats * sizeof(float), "measurements");
        std::fill_n(swept.floats(), swept_floats, 0.5F);
      }
      RUSHLIGHT_TRY_ASSIGN(way, LayerTrial(*layer.step, context, table).run(layer.offered, swept, swept_floats));
      if (way) table.set(machine, layer.text, word_of(*way));
      if (options.progress != nullptr && !options.progress->on_progress("tune", i + 1, layers.size())) {
        return run_was_cancelled();
      }
    }
    if (way) choices.emplace(layer.step->output, *way);
  }
  return choices;
}

}  // namespace rushlight::runtime::cpu
