// Reading pickles: the data.pkl of a state dict of 20,000 tensors, in memory.
//   RUSHLIGHT_BENCH_DATA=DIR bench_pickle      after: bench/rivals/pickle_loads.py DIR, which writes and times the same
//   bytes
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "base/bytes.hpp"
#include "pickle/machine.hpp"
#include "rushlight/limits.hpp"

namespace {

using namespace rushlight;

// Empty without an input.
const std::string& stream() {
  static const std::string bytes = [] {
    const char* folder = std::getenv("RUSHLIGHT_BENCH_DATA");
    if (folder == nullptr) return std::string();
    std::ifstream file(std::string(folder) + "/state_dict.pkl", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return bytes;
}

bool missing(benchmark::State& state) {
  if (!stream().empty()) return false;
  state.SkipWithError("no input: set RUSHLIGHT_BENCH_DATA and run bench/rivals/pickle_loads.py");
  return true;
}

void report(benchmark::State& state, std::uint64_t opcodes) {
  const auto iterations = static_cast<std::int64_t>(state.iterations());
  state.SetBytesProcessed(iterations * static_cast<std::int64_t>(stream().size()));
  state.SetItemsProcessed(iterations * static_cast<std::int64_t>(opcodes));
}

void read_state_dict(benchmark::State& state) {
  if (missing(state)) return;
  std::uint64_t opcodes = 0;
  for (auto _ : state) {
    const auto pickle = pickle::read_pickle(as_byte_span(stream()), Limits{});
    if (!pickle || pickle->graph.size() < 20'000) return state.SkipWithError("the stream did not read as a state dict");
    opcodes = pickle->opcode_count;
    benchmark::DoNotOptimize(pickle->graph.root());
  }
  report(state, opcodes);
}

void list_globals_of_state_dict(benchmark::State& state) {
  if (missing(state)) return;
  for (auto _ : state) {
    const auto names = pickle::list_globals(as_byte_span(stream()));
    if (names.empty()) return state.SkipWithError("no names were found");
    benchmark::DoNotOptimize(names.data());
  }
  report(state, 0);
}

void disassemble_state_dict(benchmark::State& state) {
  if (missing(state)) return;
  for (auto _ : state) {
    const auto text = pickle::disassemble(as_byte_span(stream()));
    if (!text) return state.SkipWithError("the stream could not be disassembled");
    benchmark::DoNotOptimize(text->data());
  }
  report(state, 0);
}

}  // namespace

BENCHMARK(read_state_dict)->Unit(benchmark::kMillisecond);
BENCHMARK(list_globals_of_state_dict)->Unit(benchmark::kMillisecond);
BENCHMARK(disassemble_state_dict)->Unit(benchmark::kMillisecond);
