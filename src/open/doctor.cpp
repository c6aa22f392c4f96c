#include "rushlight/doctor.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "open/opened.hpp"
#include "open/rescue.hpp"
#include "open/set_files.hpp"
#include "open/sniff.hpp"

namespace rushlight {
namespace {

using namespace std::string_view_literals;
namespace fs = std::filesystem;

// What files of a kind are called.
struct Suffix {
  std::string_view suffix;
  FileKind kind;
};
constexpr std::array kSuffixes = {Suffix{".safetensors"sv, FileKind::safetensors}, Suffix{".npz"sv, FileKind::npz},
                                  Suffix{".npy"sv, FileKind::npy}, Suffix{".gguf"sv, FileKind::gguf},
                                  Suffix{".pt2"sv, FileKind::pt2}};
constexpr std::array kTorchSuffixes = {".pt"sv, ".pth"sv, ".ckpt"sv, ".bin"sv};
// How browsers and downloaders call what they have not finished.
constexpr std::array kUnfinished = {".part"sv, ".partial"sv, ".crdownload"sv, ".download"sv, ".aria2"sv, ".tmp"sv};

std::string suffix_of(const fs::path& path) {
  std::string suffix = path.extension().native();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return suffix;
}

Finding note(std::string code, std::string message, std::string hint) {
  return {.severity = Severity::note,
          .category = Category::kind,
          .code = std::move(code),
          .message = std::move(message),
          .hint = std::move(hint)};
}

// The name says one format, the bytes another.
std::optional<Finding> renamed(const fs::path& path, FileKind kind) {
  if (kind == FileKind::unknown) return std::nullopt;
  const std::string suffix = suffix_of(path);
  const auto own =
      std::find_if(kSuffixes.begin(), kSuffixes.end(), [&](const Suffix& row) { return row.kind == kind; });
  const auto claimed =
      std::find_if(kSuffixes.begin(), kSuffixes.end(), [&](const Suffix& row) { return row.suffix == suffix; });
  const bool claims_torch = std::find(kTorchSuffixes.begin(), kTorchSuffixes.end(), suffix) != kTorchSuffixes.end();
  // TorchScript is called .pt like everything else.
  const bool wrong = own != kSuffixes.end() ? (claims_torch || claimed != kSuffixes.end()) && suffix != own->suffix
                                            : claimed != kSuffixes.end();
  if (!wrong) return std::nullopt;
  const std::string right = own != kSuffixes.end() ? std::string(own->suffix) : ".pt";
  return note("DOCTOR-RENAMED",
              "the name ends in '" + escaped(suffix) + "', and the file is " + std::string(to_string(kind)),
              "call it *" + right + ": Rushlight goes by the bytes, other programs go by the name");
}

std::optional<Finding> unfinished(const fs::path& path) {
  const std::string suffix = suffix_of(path);
  if (std::find(kUnfinished.begin(), kUnfinished.end(), suffix) == kUnfinished.end()) return std::nullopt;
  return note("DOCTOR-UNFINISHED", "a name in '" + suffix + "' is that of a download that has not ended",
              "wait until it has, or start it again");
}

// What the pointer says of the file that it stands for ("size 123" in a line of its own).
std::optional<Finding> lfs_target(const Source& source) {
  constexpr std::uint64_t kPointerBytes = 1024;  // the specification's bound
  std::string text(static_cast<std::size_t>(std::min(source.size_bytes(), kPointerBytes)), '\0');
  if (!source.read_at(0, std::as_writable_bytes(std::span<char>(text)))) return std::nullopt;
  if (!text.starts_with("version https://git-lfs.github.com/spec/")) return std::nullopt;
  const std::size_t at = text.find("\nsize ");
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = at + "\nsize "sv.size();
  const std::string size =
      text.substr(begin, std::min(text.find_first_not_of("0123456789", begin), begin + 20) - begin);
  if (size.empty()) return std::nullopt;
  return note("DOCTOR-LFS", "the pointer stands for a file of " + size + " bytes", "");
}

Condition condition_of(const Finding& finding) noexcept {
  switch (finding.category) {
    case Category::kind:
      return Condition::foreign;
    case Category::trunc:
      return Condition::incomplete;
    case Category::unsup:
      return Condition::unsupported;
    case Category::limit:
    case Category::ambig:
    case Category::global:
      return Condition::refused;
    default:
      return Condition::damaged;
  }
}

bool is_error(const Finding& finding) noexcept {
  return finding.severity == Severity::error;
}

// What `--salvage` would take out of a damaged file; nullopt where it takes nothing out of such files.
Result<std::optional<Rescue>> count_rescued(const std::shared_ptr<const Source>& source, const Limits& limits,
                                            const VerifyReport* verified) {
  Result<SalvageReport> report = open::judge_rescue(source, limits);
  if (!report && open::could_not_look(report.error())) return std::move(report).error();
  if (!report) return std::optional<Rescue>();
  Rescue rescue;
  for (const SalvagedRecord& record : report->records) {
    if (record.state == RecordState::whole) ++rescue.records;
    if (record.state == RecordState::damaged) ++rescue.bad_records;
  }
  if (report->records.empty() && verified != nullptr) {
    for (const RecordReport& record : verified->records) {
      ++(record.crc == Integrity::mismatch ? rescue.bad_records : rescue.records);
    }
  }
  rescue.tensors = static_cast<std::int64_t>(report->rescued.size());
  rescue.named_tensors = rescue.tensors + static_cast<std::int64_t>(report->lost.size());
  rescue.tensor_bytes = report->rescued_bytes;
  rescue.has_values = report->has_values;
  return std::optional(rescue);
}

}  // namespace

std::string_view to_string(Condition condition) noexcept {
  switch (condition) {
    case Condition::healthy:
      return "healthy";
    case Condition::damaged:
      return "damaged";
    case Condition::incomplete:
      return "incomplete";
    case Condition::foreign:
      return "foreign";
    case Condition::unsupported:
      return "unsupported";
    case Condition::refused:
      return "refused";
  }
  return "?";
}

Result<Diagnosis> diagnose(const fs::path& path, const VerifyOptions& options) {
  return or_no_memory([&]() -> Result<Diagnosis> {
    RUSHLIGHT_TRY_ASSIGN(const open::FileInFolder file, open::open_path(path, options.access));
    const std::shared_ptr<const Source>& source = file.source;
    Diagnosis diagnosis;
    LoadOptions load;
    load.limits = options.limits;
    load.open_beside = file.open_beside;
    open::Opened opened;
    Status status = open::open_source(source, load, opened);
    diagnosis.file = open::printable_file(path.native());
    diagnosis.format = opened.format;
    if (status) {
      VerifyOptions with_folder = options;
      with_folder.open_beside = file.open_beside;
      RUSHLIGHT_TRY_ASSIGN(VerifyReport report, verify(source, with_folder));
      diagnosis.findings = std::move(report.findings);
      diagnosis.tensors = static_cast<std::int64_t>(report.tensors.size());
      const auto first = std::find_if(diagnosis.findings.begin(), diagnosis.findings.end(), is_error);
      if (first != diagnosis.findings.end()) {
        diagnosis.condition = condition_of(*first);
        RUSHLIGHT_TRY_ASSIGN(diagnosis.rescue, count_rescued(source, options.limits, &report));
      }
    } else {
      Error error = std::move(status).error();
      if (open::could_not_look(error)) return error;
      diagnosis.condition = condition_of(error.finding);
      const bool broken = diagnosis.condition == Condition::damaged || diagnosis.condition == Condition::incomplete;
      if (broken) {
        RUSHLIGHT_TRY_ASSIGN(diagnosis.rescue, count_rescued(source, options.limits, nullptr));
      }
      const bool is_kind = error.finding.category == Category::kind;
      diagnosis.findings = std::move(opened.findings);
      diagnosis.findings.push_back(std::move(error.finding));
      if (is_kind) {
        if (std::optional<Finding> target = lfs_target(*source)) diagnosis.findings.push_back(*std::move(target));
      }
    }
    if (std::optional<Finding> found = renamed(path, opened.format.kind))
      diagnosis.findings.push_back(*std::move(found));
    if (std::optional<Finding> found = unfinished(path)) diagnosis.findings.push_back(*std::move(found));
    for (Finding& finding : diagnosis.findings) {
      if (finding.file.empty()) finding.file = diagnosis.file;
    }
    diagnosis.ok = std::none_of(diagnosis.findings.begin(), diagnosis.findings.end(), [&](const Finding& finding) {
      return is_error(finding) || (options.strict && finding.severity == Severity::warning);
    });
    return diagnosis;
  });
}

}  // namespace rushlight
