// One network at all of its sizes against PyTorch, as lines of JSON; tests/parity/architectures.py makes a report of
// them.
//
//   architecture_parity FOLDER NAME cpu|reference THREADS
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "architectures/compare.hpp"

namespace rushlight::test {
namespace {

using Clock = std::chrono::steady_clock;

// Names of ours and messages about shapes: no character that JSON would escape.
void print(const ArchitectureRun& run, std::string_view what, const Result<std::vector<OutputVerdict>>& verdicts,
           double seconds) {
  std::string input;
  for (const std::int64_t size : run.input.shape) input += (input.empty() ? "" : "x") + std::to_string(size);
  if (!verdicts) {
    std::printf("{\"arch\": \"%s\", \"input\": \"%s\", \"what\": \"%s\", \"problem\": \"%s\"}\n", run.arch.c_str(),
                input.c_str(), std::string(what).c_str(), to_string(verdicts.error()).c_str());
    return;
  }
  for (const OutputVerdict& verdict : *verdicts) {
    std::printf(
        "{\"arch\": \"%s\", \"input\": \"%s\", \"what\": \"%s\", \"output\": \"%s\", \"error\": %.3g, "
        "\"torch_error\": %.3g, \"problem\": \"%s\", \"seconds\": %.3f}\n",
        run.arch.c_str(), input.c_str(), std::string(what).c_str(), verdict.name.c_str(), verdict.error,
        verdict.torch_error, verdict.problem.c_str(), seconds);
  }
}

int compare(const ArchitectureCase& architecture, const SessionOptions& options) {
  const StateDict weights = make_state_dict(architecture);
  for (const ArchitectureRun& run : architecture.runs) {
    if (!has_outputs(run)) continue;
    const Clock::time_point start = Clock::now();
    const auto verdicts = compare_run(run, weights, options);
    print(run, "run", verdicts, std::chrono::duration<double>(Clock::now() - start).count());
    std::fflush(stdout);
  }
  if (architecture.trace.empty()) return 0;
  const Clock::time_point start = Clock::now();
  const auto verdicts = compare_trace(architecture, weights, options);
  print(architecture.runs.front(), "trace", verdicts, std::chrono::duration<double>(Clock::now() - start).count());
  return 0;
}

}  // namespace
}  // namespace rushlight::test

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: architecture_parity FOLDER NAME cpu|reference THREADS\n");
    return 2;
  }
  rushlight::SessionOptions options;
  if (std::string_view(argv[3]) == "reference") options.implementation = rushlight::Implementation::reference;
  options.threads = static_cast<unsigned>(std::atoi(argv[4]));
  options.limits.arena_bytes = ~std::uint64_t{0} / 2;
  return rushlight::test::compare(rushlight::test::read_architecture(argv[1], argv[2]), options);
}
