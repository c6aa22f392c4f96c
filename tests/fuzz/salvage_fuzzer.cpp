// Any file that may be a checkpoint: what is rescued of it opens and is sound. Of a file without a fault, cut or with a
// bit flipped: what is rescued is what was there.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "checksum/xxh3.hpp"
#include "fuzz/answers.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/salvage.hpp"
#include "rushlight/verify.hpp"
#include "support/test_sink.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

constexpr std::uint64_t kMostWritten = std::uint64_t{4} << 20;

struct Rescued {
  SalvageReport report;
  std::string file;
};

std::optional<Rescued> rescue(const std::string& input, const Limits& limits) {
  TestSink sink(kMostWritten);
  const Result<SalvageReport> report =
      salvage(Source::from_memory(as_byte_span(input)), sink, SalvageOptions{.limits = limits});
  if (!report) {
    checked_line(report.error());
    return std::nullopt;
  }
  for (const Finding& finding : report->findings) checked_line(finding);
  require(report->written == (report->output_bytes > 0));
  require(!report->written || report->output_bytes == sink.text().size());
  require(report->written || sink.text().empty());
  require(!report->complete || (report->written && report->lost.empty() && report->left_out.empty()));
  return Rescued{*report, sink.text()};
}

// By names that stand once: whatever has bytes.
std::map<std::string, Tensor> tensors_of(const Checkpoint& checkpoint) {
  std::map<std::string, Tensor> tensors;
  std::set<std::string> twice;
  const Result<Inspection> inspection = inspect(checkpoint, {});
  if (!inspection) return tensors;
  for (const TensorEntry& entry : inspection->tensors) {
    if (!tensors.emplace(entry.name, entry.tensor).second) twice.insert(entry.name);
  }
  for (const std::string& name : twice) tensors.erase(name);
  return tensors;
}

bool same(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !std::ranges::equal(a.shape(), b.shape())) return false;
  if (a.device() == Device::meta() || b.device() == Device::meta()) return a.device() == b.device();
  const Result<Tensor> p = a.contiguous(kMostBytes);
  const Result<Tensor> q = b.contiguous(kMostBytes);
  if (!p || !q) return p.has_value() == q.has_value();
  return std::ranges::equal(p->bytes().value(), q->bytes().value());
}

void check_sound(const Rescued& rescued) {
  if (!rescued.report.written) return;
  const Result<VerifyReport> verified = verify(Source::from_memory(as_byte_span(rescued.file)), {});
  require(verified.has_value() && verified->ok);
}

void check_equal(const Checkpoint& original, const Rescued& rescued) {
  for (const Finding& finding : rescued.report.findings) {
    if (finding.code == "SALVAGE-UNCHECKED") return;  // taken at its word, and said so
  }
  if (!rescued.report.written) return;
  const Result<Checkpoint> again = Checkpoint::open(Source::from_memory(as_byte_span(rescued.file)), {});
  require(again.has_value());
  const std::map<std::string, Tensor> before = tensors_of(original);
  for (const auto& [name, tensor] : tensors_of(*again)) {
    const auto found = before.find(name);
    if (found != before.end()) require(same(found->second, tensor));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Limits limits = small_limits();
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::optional<Rescued> rescued = rescue(input, limits);
  if (rescued) check_sound(*rescued);

  LoadOptions strict;
  strict.limits = limits;
  strict.strict = true;
  VerifyOptions verifying;
  verifying.limits = limits;
  const Result<Checkpoint> original = Checkpoint::open(Source::from_memory(as_byte_span(input)), strict);
  const Result<VerifyReport> verified = verify(Source::from_memory(as_byte_span(input)), verifying);
  if (!original || !original->findings().empty() || !verified || !verified->findings.empty()) return 0;
  // The file decides where it is damaged, so that a finding repeats.
  const std::uint64_t random = load_le<std::uint64_t>(checksum::xxh3_128(as_byte_span(input)).data());
  const auto place = static_cast<std::size_t>(random % size);
  std::string flipped = input;
  flipped[place] = static_cast<char>(static_cast<unsigned char>(flipped[place]) ^ (1U << (random >> 61)));
  for (const std::string& damaged : {input.substr(0, place), flipped}) {
    const std::optional<Rescued> part = rescue(damaged, limits);
    if (!part) continue;
    check_sound(*part);
    check_equal(*original, *part);
  }
  return 0;
}
