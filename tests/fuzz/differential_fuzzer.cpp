// One file by every road: mapped, read by pread, held in memory; with one thread and with several; under wide and under
// narrow limits. The answers are the same, with the same digests. Strictness and narrow limits may refuse, and that is
// all they may do.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fuzz/answers.hpp"
#include "fuzz/memory_file.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/text.hpp"
#include "rushlight/verify.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

// A quarter of small_limits(), and nowhere more than Limits::strict().
Limits narrow_limits() {
  Limits limits = Limits::strict();
  const Limits small = small_limits();
  const auto narrow = [&](std::uint64_t Limits::*field) {
    limits.*field = std::min(limits.*field, std::max<std::uint64_t>(small.*field / 4, 1));
  };
  for (const auto field :
       {&Limits::archive_entries, &Limits::central_directory_bytes, &Limits::pickle_bytes, &Limits::pickle_nodes,
        &Limits::pickle_depth, &Limits::pickle_memo, &Limits::pickle_string_bytes, &Limits::pickle_integer_bytes,
        &Limits::visited_nodes, &Limits::tensors, &Limits::tensor_dims, &Limits::inflated_bytes,
        &Limits::materialised_bytes}) {
    narrow(field);
  }
  return limits;
}

struct Answer {
  bool opens = false;
  std::string refusal;                              // the line of its error, where it does not open
  std::string said;                                 // findings, names, shapes
  std::optional<std::vector<std::string>> digests;  // of the tensors; none where there are too many bytes, or bad ones
  std::string digest_refusal;
};

std::string line_of(const TensorEntry& entry) {
  std::string line = entry.name + " " + std::string(to_string(entry.tensor.dtype())) + " [";
  for (const std::int64_t size : entry.tensor.shape()) line += std::to_string(size) + ",";
  line += "] [";
  for (const std::int64_t stride : entry.tensor.strides()) line += std::to_string(stride) + ",";
  return line + "] " + entry.storage + "\n";
}

// A tensor that claims more than it has would be hashed for minutes.
bool is_cheap(const Inspection& inspection) {
  std::uint64_t total = 0;
  return std::all_of(inspection.tensors.begin(), inspection.tensors.end(), [&](const TensorEntry& entry) {
    return !__builtin_add_overflow(total, entry.tensor.size_bytes(), &total) && total <= kMostBytes;
  });
}

Answer ask(const Result<Checkpoint>& opened, const Limits& limits, Executor* executor) {
  Answer answer;
  answer.opens = opened.has_value();
  if (!opened) {
    require(opened.error().code != ErrorCode::io);
    answer.refusal = checked_line(opened.error());
    return answer;
  }
  for (const Finding& finding : opened->findings()) answer.said += checked_line(finding);
  for (const GlobalUse& use : opened->globals()) answer.said += use.name + "\n";
  const Result<Inspection> inspection = inspect(*opened, limits);
  if (!inspection) {
    answer.said += checked_line(inspection.error());
    return answer;
  }
  for (const TensorEntry& entry : inspection->tensors) answer.said += line_of(entry);
  for (const ValueEntry& entry : inspection->values) answer.said += escaped(entry.name) + "\n";
  for (const OpaqueEntry& entry : inspection->opaque) answer.said += escaped(entry.name) + escaped(entry.class_name);
  if (!is_cheap(*inspection)) return answer;
  const auto algorithm = available(DigestAlgorithm::sha256) ? DigestAlgorithm::sha256 : DigestAlgorithm::xxh3_128;
  const Result<DigestReport> report = digest(*opened, algorithm, executor);
  if (!report) {
    answer.digest_refusal = checked_line(report.error());
    return answer;
  }
  std::vector<std::string>& digests = answer.digests.emplace();
  for (const TensorDigest& tensor : report->tensors) digests.push_back(tensor.name + " " + tensor.digest);
  digests.push_back(report->content_digest);
  return answer;
}

void require_same(const Answer& a, const Answer& b) {
  require(a.opens == b.opens);
  require(a.refusal == b.refusal);
  require(a.said == b.said);
  require(a.digests == b.digests);
  require(a.digest_refusal == b.digest_refusal);
}

std::string verdict(const Result<VerifyReport>& report) {
  if (!report) return checked_line(report.error().finding);
  std::string said = std::to_string(report->ok) + std::to_string(report->structure_ok) + " " +
                     std::to_string(report->explained_bytes) + " " + std::to_string(report->checked_bytes) + "\n";
  for (const Finding& finding : report->findings) said += checked_line(finding);
  for (const TensorVerdict& tensor : report->tensors) said += std::string(to_string(tensor.state)) + "\n";
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Never destroyed: at the end of the program OpenSSL cleans up first, and what it keeps for a thread would then leak.
  static Executor* const pool = make_thread_pool(3).release();
  const MemoryFile file(std::span(data, size));
  const auto memory = [&] { return Source::from_memory(std::as_bytes(std::span(data, size)), file.path()); };
  const Limits limits = small_limits();
  const auto by_path = [&](FileAccess access, Executor* executor) {
    LoadOptions options;
    options.limits = limits;
    options.access = access;
    options.executor = executor;
    return Checkpoint::open(file.path(), options);
  };
  const auto from_memory = [&](auto change) {
    LoadOptions options;
    options.limits = limits;
    change(options);
    return Checkpoint::open(memory(), options);
  };

  const Answer answer = ask(by_path(FileAccess::mapped, nullptr), limits, nullptr);
  require_same(answer, ask(by_path(FileAccess::pread, nullptr), limits, pool));
  require_same(answer, ask(by_path(FileAccess::pread, pool), limits, nullptr));
  // A Source from memory has no folder: sets differ there, and they have a target of their own.
  const bool is_alone = answer.refusal.find("SHARD-") == std::string::npos;
  if (is_alone) {
    require_same(answer, ask(from_memory([&](LoadOptions& options) { options.executor = pool; }), limits, pool));
  }

  VerifyOptions verify_options;
  verify_options.limits = limits;
  const std::string alone = verdict(verify(file.path(), verify_options));
  verify_options.executor = pool;
  verify_options.access = FileAccess::pread;
  require(alone == verdict(verify(file.path(), verify_options)));

  const Answer strict = ask(from_memory([](LoadOptions& options) { options.strict = true; }), limits, nullptr);
  require(!strict.opens || answer.opens);
  if (strict.opens) require_same(strict, answer);
  const Limits narrow = narrow_limits();
  const Answer narrowed = ask(from_memory([&](LoadOptions& options) { options.limits = narrow; }), limits, nullptr);
  require(!narrowed.opens || answer.opens);
  // What both can read is the same.
  if (narrowed.digests && answer.digests) require(narrowed.digests == answer.digests);
  return 0;
}
