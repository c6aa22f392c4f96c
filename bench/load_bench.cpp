// Opening, listing and verifying checkpoints, in process and warm.
//   RUSHLIGHT_BENCH_DATA=DIR bench_load      DIR as bench/rivals/make_inputs.py fills it
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

namespace {

std::string input(const char* name) {
  const char* folder = std::getenv("RUSHLIGHT_BENCH_DATA");
  return folder == nullptr ? std::string() : std::string(folder) + "/" + name;
}

bool missing(benchmark::State& state, const std::string& path) {
  if (!path.empty() && std::filesystem::exists(path)) return false;
  state.SkipWithError("no input: set RUSHLIGHT_BENCH_DATA and run bench/rivals/make_inputs.py");
  return true;
}

void open_state_dict(benchmark::State& state, const char* name) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  std::size_t tensors = 0;
  for (auto _ : state) {
    const auto checkpoint = rl::Checkpoint::open(path);
    if (!checkpoint) return state.SkipWithError(to_string(checkpoint.error()).c_str());
    const auto dict = checkpoint->state_dict();
    if (!dict) return state.SkipWithError(to_string(dict.error()).c_str());
    tensors = dict->size();
    benchmark::DoNotOptimize(tensors);
  }
  state.counters["tensors"] = static_cast<double>(tensors);
}

void inspect_file(benchmark::State& state, const char* name) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  for (auto _ : state) {
    const auto checkpoint = rl::Checkpoint::open(path);
    if (!checkpoint) return state.SkipWithError(to_string(checkpoint.error()).c_str());
    auto report = rl::inspect(*checkpoint);
    if (!report) return state.SkipWithError(to_string(report.error()).c_str());
    benchmark::DoNotOptimize(report->tensors.data());
  }
}

void verify_file(benchmark::State& state, const char* name) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  const auto executor = rl::make_thread_pool(static_cast<unsigned>(state.range(0)));
  for (auto _ : state) {
    const auto report = rl::verify(path, {.executor = executor.get()});
    if (!report || !report->ok) return state.SkipWithError("verify failed");
    benchmark::DoNotOptimize(report->checked_bytes);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(std::filesystem::file_size(path)));
}

}  // namespace

BENCHMARK_CAPTURE(open_state_dict, 1GiB_64_tensors, "dense.pt")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(open_state_dict, 20000_tensors, "many.pt")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(inspect_file, 1GiB_64_tensors, "dense.pt")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(inspect_file, 20000_tensors, "many.pt")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(verify_file, 1GiB, "dense.pt")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
