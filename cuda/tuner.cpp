#include "cuda/tuner.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "cuda/candidates.hpp"
#include "cuda/check.hpp"
#include "cuda/graph.hpp"
#include "cuda/kernels/launch_work.hpp"
#include "cuda/stream.hpp"
#include "runtime/failure.hpp"
#include "runtime/tuning_table.hpp"

namespace rushlight::cuda {
namespace {

// Each candidate runs in so many rounds, in turns, so that the GPU's clock treats all alike; its best round counts. The
// first round finds what is loaded at a first launch and does not count.
constexpr int kRounds = 6;
// Between two events, which tell half a microsecond apart; as one graph, as programs launch them.
constexpr int kLaunchesARound = 10;
// Another way than the rule's must be faster by so much, or chance would choose.
constexpr double kWorthIt = 0.97;

// One stream and two marks in it, for all layers.
class Stopwatch {
 public:
  static Result<Stopwatch> make() {
    RUSHLIGHT_TRY_ASSIGN(Stream stream, Stream::make());
    RUSHLIGHT_TRY_ASSIGN(Event begin, Event::make(Event::Kind::time));
    RUSHLIGHT_TRY_ASSIGN(Event end, Event::make(Event::Kind::time));
    return Stopwatch(std::move(stream), std::move(begin), std::move(end));
  }

  [[nodiscard]] Result<Graph> round_of(const Work& work, std::string_view layer) const {
    return Graph::capture(stream_, [&]() -> Status {
      for (int i = 0; i < kLaunchesARound; ++i) {
        const cudaError_t status = launch_work(work, {.stream = stream_.get()});
        if (status != cudaSuccess) return kernel_failed(status, kernel_name(work), layer);
      }
      return {};
    });
  }
  [[nodiscard]] Status synchronise() const { return stream_.synchronise(); }
  // Milliseconds.
  [[nodiscard]] Result<double> time(const Graph& round) const {
    RUSHLIGHT_TRY(begin_.record(stream_.get()));
    RUSHLIGHT_TRY(round.launch(stream_));
    Status marked = end_.record(stream_.get());
    // In any case, since the graph goes when this fails.
    RUSHLIGHT_TRY(stream_.synchronise());
    RUSHLIGHT_TRY(std::move(marked));
    float milliseconds = 0;
    RUSHLIGHT_CUDA_TRY(cudaEventElapsedTime, &milliseconds, begin_.get(), end_.get());
    return static_cast<double>(milliseconds);
  }

 private:
  Stopwatch(Stream stream, Event begin, Event end) noexcept
      : stream_(std::move(stream)), begin_(std::move(begin)), end_(std::move(end)) {}
  Stream stream_;
  Event begin_;
  Event end_;
};

// The index of the fastest candidate, or 0, the rule's, where that is as fast. What the driver does not record is no
// candidate; without the rule's own there is nothing to compare.
Result<std::size_t> fastest(const std::vector<Candidate>& ways, std::string_view layer, const Stopwatch& stopwatch) {
  std::vector<std::optional<Graph>> rounds(ways.size());
  for (std::size_t way = 0; way < ways.size(); ++way) {
    if (Result<Graph> round = stopwatch.round_of(ways[way].work, layer)) rounds[way].emplace(std::move(round).value());
    // Unless the device is lost: that shows here.
    RUSHLIGHT_TRY(stopwatch.synchronise());
  }
  if (!rounds[0]) return std::size_t{0};
  std::vector<double> best(ways.size(), std::numeric_limits<double>::infinity());
  for (int i = 0; i < kRounds; ++i) {
    for (std::size_t way = 0; way < ways.size(); ++way) {
      if (!rounds[way]) continue;
      RUSHLIGHT_TRY_ASSIGN(const double milliseconds, stopwatch.time(*rounds[way]));
      if (i != 0) best[way] = std::min(best[way], milliseconds);
    }
  }
  const auto least = std::min_element(best.begin(), best.end());
  return *least < kWorthIt * best[0] ? static_cast<std::size_t>(least - best.begin()) : 0;
}

std::optional<std::size_t> index_of(const std::vector<Candidate>& ways, std::string_view word) {
  const auto found = std::find_if(ways.begin(), ways.end(), [&](const Candidate& way) { return way.word == word; });
  if (found == ways.end()) return std::nullopt;
  return static_cast<std::size_t>(found - ways.begin());
}

}  // namespace

Status tune(std::vector<Call>& calls, std::string_view machine, const runtime::RunOptions& options) {
  if (options.tuning == nullptr) return {};
  Tuning::Impl& table = Tuning::Impl::of(*options.tuning);
  std::optional<Stopwatch> stopwatch;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Call& call = calls[i];
    std::vector<Candidate> ways = candidates(call.work);
    if (ways.size() < 2) continue;
    const std::string sizes = sizes_text(call.work);
    // What was noted, where it is a way that this layer has.
    const std::optional<std::string> word = table.find(machine, sizes);
    std::optional<std::size_t> way = word ? index_of(ways, *word) : std::nullopt;
    if (!way && table.measures) {
      if (!stopwatch) {
        RUSHLIGHT_TRY_ASSIGN(Stopwatch made, Stopwatch::make());
        stopwatch.emplace(std::move(made));
      }
      RUSHLIGHT_TRY_ASSIGN(way, fastest(ways, call.name, *stopwatch));
      table.set(machine, sizes, ways[*way].word);
      if (options.progress != nullptr && !options.progress->on_progress("tune", i + 1, calls.size())) {
        return runtime::run_was_cancelled();
      }
    }
    if (way) call.work = std::move(ways[*way].work);
  }
  return {};
}

}  // namespace rushlight::cuda
