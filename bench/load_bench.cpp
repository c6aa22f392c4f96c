// Opening, listing, verifying and hashing checkpoints, in process and warm.
//   RUSHLIGHT_BENCH_DATA=DIR bench_load      DIR as bench/rivals/make_inputs.py fills it
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

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

enum class Until : std::uint8_t { opened, closed };

void open_state_dict(benchmark::State& state, const char* name, Until until) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  std::size_t tensors = 0;
  for (auto _ : state) {
    {
      const auto checkpoint = rl::Checkpoint::open(path);
      if (!checkpoint) return state.SkipWithError(to_string(checkpoint.error()).c_str());
      const auto dict = checkpoint->state_dict();
      if (!dict) return state.SkipWithError(to_string(dict.error()).c_str());
      tensors = dict->size();
      benchmark::DoNotOptimize(tensors);
      if (until == Until::opened) state.PauseTiming();
    }
    if (until == Until::opened) state.ResumeTiming();
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

// The same file with a manifest, written beside the inputs at the first run.
void verify_with_manifest(benchmark::State& state, const char* name, const char* sealed_name) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  const std::string sealed = input(sealed_name);
  if (!std::filesystem::exists(sealed)) {
    const auto manifest = rl::add_manifest(path, sealed);
    if (!manifest) return state.SkipWithError(to_string(manifest.error()).c_str());
  }
  verify_file(state, sealed_name);
}

// What verifying is measured by: the bytes of the file, read 4 MiB at a time, and nothing else.
void read_file(benchmark::State& state, const char* name) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  const auto executor = rl::make_thread_pool(static_cast<unsigned>(state.range(0)));
  const auto source = rl::open_file(path, rl::FileAccess::pread);
  if (!source) return state.SkipWithError(to_string(source.error()).c_str());
  constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;
  const std::uint64_t size = (*source)->size_bytes();
  const auto threads = static_cast<std::size_t>(state.range(0));
  std::vector<std::vector<std::byte>> pieces(threads, std::vector<std::byte>(kPiece));
  for (auto _ : state) {
    executor->for_each_index(threads, [&](std::size_t thread) {
      for (std::uint64_t at = thread * kPiece; at < size; at += threads * kPiece) {
        const std::span<std::byte> piece(pieces[thread]);
        const auto bytes = static_cast<std::size_t>(std::min(kPiece, size - at));
        if (!(*source)->read_at(at, piece.first(bytes))) pieces[thread][0] = std::byte{0};
        benchmark::DoNotOptimize(piece.data());
      }
    });
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(size));
}

// The bytes of all tensors, checked once so that what follows is reading and no more.
bool take_tensors(benchmark::State& state, const rl::Checkpoint& checkpoint, rl::Executor& executor,
                  std::vector<std::span<const std::byte>>& tensors) {
  const auto dict = checkpoint.state_dict().value();
  tensors.resize(dict.size());
  executor.for_each_index(dict.size(), [&](std::size_t i) {
    tensors[i] = dict.begin()[static_cast<std::ptrdiff_t>(i)].second.bytes().value();
  });
  std::int64_t bytes = 0;
  for (const auto& tensor : tensors) bytes += static_cast<std::int64_t>(tensor.size());
  state.counters["bytes"] = static_cast<double>(bytes);
  return bytes > 0;
}

// Four sums, so that the additions do not wait for each other.
std::uint64_t sum_of_words(std::span<const std::byte> bytes) {
  std::uint64_t sums[4] = {};
  for (std::size_t i = 0; i + sizeof sums <= bytes.size(); i += sizeof sums) {
    std::uint64_t words[4];
    std::memcpy(words, bytes.data() + i, sizeof words);
    for (int lane = 0; lane < 4; ++lane) sums[lane] += words[lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

// What hashing is measured by: reading the same bytes and next to nothing else.
void read_tensors(benchmark::State& state, const char* name) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  const auto executor = rl::make_thread_pool(static_cast<unsigned>(state.range(0)));
  const auto checkpoint = rl::Checkpoint::open(path);
  std::vector<std::span<const std::byte>> tensors;
  if (!checkpoint || !take_tensors(state, *checkpoint, *executor, tensors)) return state.SkipWithError("no tensors");
  std::vector<std::uint64_t> sums(tensors.size());
  for (auto _ : state) {
    executor->for_each_index(tensors.size(), [&](std::size_t i) { sums[i] = sum_of_words(tensors[i]); });
    benchmark::DoNotOptimize(sums.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.counters["bytes"]) *
                          static_cast<std::int64_t>(state.iterations()));
}

// The digest of every tensor, and of the whole over them.
void hash_tensors(benchmark::State& state, const char* name, rl::DigestAlgorithm algorithm) {
  const std::string path = input(name);
  if (missing(state, path)) return;
  if (!rl::available(algorithm)) return state.SkipWithError("built without this algorithm");
  const auto executor = rl::make_thread_pool(static_cast<unsigned>(state.range(0)));
  const auto checkpoint = rl::Checkpoint::open(path);
  std::vector<std::span<const std::byte>> tensors;
  if (!checkpoint || !take_tensors(state, *checkpoint, *executor, tensors)) return state.SkipWithError("no tensors");
  for (auto _ : state) {
    const auto report = rl::digest(*checkpoint, algorithm, executor.get());
    if (!report) return state.SkipWithError(to_string(report.error()).c_str());
    benchmark::DoNotOptimize(report->content_digest.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.counters["bytes"]) *
                          static_cast<std::int64_t>(state.iterations()));
}

}  // namespace

// Warm: the first openings of a process pay for its fresh memory, page by page.
constexpr double kWarmUpSeconds = 0.2;
BENCHMARK_CAPTURE(open_state_dict, 1GiB_64_tensors, "dense.pt", Until::opened)
    ->MinWarmUpTime(kWarmUpSeconds)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(open_state_dict, 20000_tensors, "many.pt", Until::opened)
    ->MinWarmUpTime(kWarmUpSeconds)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(open_state_dict, 20000_tensors_and_close, "many.pt", Until::closed)
    ->MinWarmUpTime(kWarmUpSeconds)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(open_state_dict, 20000_tensors_cold, "many.pt", Until::opened)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(inspect_file, 1GiB_64_tensors, "dense.pt")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(inspect_file, 20000_tensors, "many.pt")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(verify_file, 1GiB, "dense.pt")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(verify_with_manifest, 1GiB, "dense.pt", "dense.manifest.pt")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_file, 1GiB, "dense.pt")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_tensors, 1GiB, "dense.pt")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(hash_tensors, 1GiB_xxh3_128, "dense.pt", rl::DigestAlgorithm::xxh3_128)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(hash_tensors, 1GiB_sha256, "dense.pt", rl::DigestAlgorithm::sha256)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
