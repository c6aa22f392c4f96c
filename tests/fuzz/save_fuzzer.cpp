// Any file that may be a checkpoint, written again in several forms: what is written opens, holds the same, and is
// written the same way once more.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "fuzz/answers.hpp"
#include "rushlight/diff.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/save.hpp"
#include "support/test_sink.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

constexpr std::uint64_t kMostWritten = std::uint64_t{4} << 20;

Result<Checkpoint> open(const std::string& bytes, const Limits& limits) {
  LoadOptions options;
  options.limits = limits;
  return Checkpoint::open(Source::from_memory(as_byte_span(bytes)), options);
}

// Names that one file uses for several things are not matched by diff().
bool has_equal_names(const Checkpoint& checkpoint, const Limits& limits) {
  const Result<Inspection> inspection = inspect(checkpoint, limits);
  if (!inspection) return true;
  std::set<std::string_view> names;
  for (const TensorEntry& entry : inspection->tensors) {
    if (!names.insert(entry.name).second) return true;
  }
  for (const ValueEntry& entry : inspection->values) {
    if (!names.insert(entry.name).second) return true;
  }
  return false;
}

std::uint64_t bytes_of_tensors(const Checkpoint& checkpoint, const Limits& limits) {
  const Result<Inspection> inspection = inspect(checkpoint, limits);
  std::uint64_t bytes = 0;
  if (!inspection) return kMostWritten + 1;
  for (const TensorEntry& entry : inspection->tensors) {
    if (bytes > kMostWritten) break;
    bytes += std::min(entry.tensor.size_bytes(), kMostWritten + 1);
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Limits limits = small_limits();
  const std::string input(reinterpret_cast<const char*>(data), size);
  const Result<Checkpoint> checkpoint = open(input, limits);
  if (!checkpoint || bytes_of_tensors(*checkpoint, limits) > kMostWritten) return 0;
  const bool comparable = !has_equal_names(*checkpoint, limits);
  struct Form {
    FileKind kind;
    int protocol;
  };
  for (const Form& form : {Form{FileKind::unknown, 0}, Form{FileKind::torch_zip, 2}, Form{FileKind::torch_zip, 4},
                           Form{FileKind::torch_legacy, 2}}) {
    // What is written is a little longer: numbers are no longer shortened, names are no longer shared.
    SaveOptions options{.kind = form.kind, .protocol = form.protocol, .limits = {}};
    TestSink sink(kMostWritten);
    const Result<SaveReport> saved = save(*checkpoint, sink, options);
    if (!saved) {
      checked_line(saved.error());
      continue;
    }
    require(saved->size_bytes == sink.text().size());
    for (const Finding& finding : saved->findings) checked_line(finding);
    const Result<Checkpoint> again = open(sink.text(), {});
    require(again.has_value());
    TestSink second(kMostWritten);
    options.like = &*again;
    options.kind = again->format().kind;
    require(save(*again, second, options).has_value());
    require(second.text() == sink.text());
    if (!comparable) continue;
    const Result<DiffReport> report = diff(*checkpoint, *again);
    // A tensor of the first may be damaged, which is an error finding.
    if (report && report->findings.empty()) require(report->same);
  }
  return 0;
}
