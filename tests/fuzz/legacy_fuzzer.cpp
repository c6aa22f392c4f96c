// The stream of torch.save before 1.6: five pickles and the storages, by its reader alone, then as a whole checkpoint.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/legacy_stream.hpp"
#include "fuzz/answers.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;
using checkpoint::LegacyStream;

struct Read {
  std::unique_ptr<LegacyStream> stream;
  std::vector<Finding> findings;
};

Result<Read> read_stream(const std::shared_ptr<const Source>& source) {
  LoadOptions options;
  options.limits = small_limits();
  Read read;
  auto stream = LegacyStream::open(source, 0, "test.pt", options, read.findings);
  if (!stream) return std::move(stream).error();
  read.stream = *std::move(stream);
  return read;
}

std::string text(const Read& read) {
  std::string said = std::to_string(read.stream->end()) + " " + std::to_string(read.stream->object().end) + " " +
                     std::to_string(read.stream->object().pickle.graph.size()) + "\n";
  for (const GlobalUse& use : read.stream->other_globals()) {
    require(is_plain_text(use.name) && !use.record.empty());
    said += use.name + " " + use.record + " " + std::to_string(use.record_offset) + "\n";
  }
  for (const Finding& finding : read.findings) {
    require(finding.severity != Severity::error);
    said += checked_line(finding);
  }
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  const Result<Read> found = decode_both_ways(input, read_stream, text);
  if (!found) {
    check_refusal(input, {FileKind::torch_legacy});
    return 0;
  }
  require(found->stream->object().end <= found->stream->end() && found->stream->end() <= size);
  require((found->stream->end() == size) == found->findings.empty());
  check_answers(input);
  return 0;
}
