#include <algorithm>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "open/opened.hpp"
#include "rushlight/stats.hpp"
#include "rushlight/text.hpp"
#include "tensor/meta.hpp"

namespace rushlight {
namespace {

// Tensors are read in rounds of about so many bytes, between which progress is told.
constexpr std::uint64_t kRoundBytes = std::uint64_t{16} << 20;

Finding gate(const TensorFigures& tensor, std::int64_t count, const char* code, const char* what) {
  return {.severity = Severity::error,
          .category = Category::tensor,
          .code = code,
          .message = std::to_string(count) + " of " + std::to_string(tensor.figures->count) + " elements of '" +
                     escaped(tensor.name) + "' are " + what,
          .found = std::to_string(count),
          .expected = "0",
          .tensors = {tensor.name}};
}

}  // namespace

Result<StatisticsReport> statistics_of_all(const Checkpoint& checkpoint, const StatisticsOptions& options) {
  return or_no_memory([&]() -> Result<StatisticsReport> {
    RUSHLIGHT_TRY_ASSIGN(Inspection inspection, inspect(checkpoint, options.limits));
    for (TensorEntry& array : array_entries(inspection)) inspection.tensors.push_back(std::move(array));
    std::vector<TensorEntry> entries = inspection.tensors;
    if (!options.match.empty()) {
      RUSHLIGHT_TRY_ASSIGN(entries, find_tensors(inspection, options.match));
    }
    std::uint64_t total_bytes = 0;
    for (const TensorEntry& entry : entries) total_bytes += entry.tensor.size_bytes();

    StatisticsReport report;
    report.file = checkpoint.file();
    report.findings.assign(checkpoint.findings().begin(), checkpoint.findings().end());
    report.tensors.resize(entries.size());
    std::vector<std::optional<Error>> errors(entries.size());
    const auto look_at = [&](std::size_t i) {
      const TensorEntry& entry = entries[i];
      TensorFigures& out = report.tensors[i];
      out.name = entry.name;
      out.dtype = entry.tensor.dtype();
      out.shape.assign(entry.tensor.shape().begin(), entry.tensor.shape().end());
      if (is_meta(entry.tensor)) {
        out.why = "on the meta device: a shape without data";
        return;
      }
      Result<TensorStatistics> figures = statistics(entry.tensor);
      if (figures) {
        out.figures = *figures;
      } else {
        out.why = figures.error().finding.message;
        errors[i] = std::move(figures).error();
      }
    };

    std::uint64_t done_bytes = 0;
    for (std::size_t begin = 0; begin < entries.size();) {
      std::size_t end = begin;
      std::uint64_t round_bytes = 0;
      while (end < entries.size() && (end == begin || round_bytes < kRoundBytes)) {
        round_bytes += entries[end++].tensor.size_bytes();
      }
      if (options.executor != nullptr && end - begin > 1) {
        for_each_index(*options.executor, end - begin, [&](std::size_t i) { look_at(begin + i); });
      } else {
        for (std::size_t i = begin; i < end; ++i) look_at(i);
      }
      begin = end;
      done_bytes += round_bytes;
      if (options.progress != nullptr && !options.progress->on_progress("stats", done_bytes, total_bytes)) {
        return Error::of(ErrorCode::cancelled,
                         {.category = Category::io, .code = "CANCELLED", .message = "the statistics were cancelled"});
      }
    }

    for (std::size_t i = 0; i < entries.size(); ++i) {
      const TensorFigures& tensor = report.tensors[i];
      if (errors[i]) {
        if (errors[i]->finding.code == "TENSOR-STATISTICS") continue;  // no numbers: nothing is wrong
        Error error = *std::move(errors[i]);
        if (error.finding.tensors.empty()) error.finding.tensors.push_back(tensor.name);
        error = with_file(std::move(error), checkpoint.file());
        if (open::could_not_look(error)) return error;
        report.findings.push_back(std::move(error.finding));
        continue;
      }
      if (!tensor.figures) continue;
      if (options.fail_on_nan && tensor.figures->nan > 0) {
        report.findings.push_back(gate(tensor, tensor.figures->nan, "STATS-NAN", "NaN"));
      }
      if (options.fail_on_inf && tensor.figures->infinite > 0) {
        report.findings.push_back(gate(tensor, tensor.figures->infinite, "STATS-INF", "infinite"));
      }
    }
    for (Finding& finding : report.findings) {
      if (finding.file.empty()) finding.file = report.file;
    }
    report.ok = std::none_of(report.findings.begin(), report.findings.end(),
                             [](const Finding& finding) { return finding.severity == Severity::error; });
    return report;
  });
}

}  // namespace rushlight
