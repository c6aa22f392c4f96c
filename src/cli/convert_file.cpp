#include "cli/convert_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.hpp"
#include "cli/stop_signals.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

constexpr std::size_t kNamedLeft = 8;

void write_json(const Context& context, std::string_view verb, const ConvertRequest& options,
                const ConvertReport& report, std::span<const Finding> findings, bool ok) {
  JsonWriter json = begin_envelope(verb, options.file, ok);
  json.field("output", std::string_view(options.out)).field("kind", to_string(report.kind));
  json.key("size_bytes").natural(report.size_bytes).field("tensors", report.tensors);
  json.field("verified", report.verified);
  write_casts(json, report.edit.casts);
  json.key("left_behind").begin_array();
  for (const std::string& name : report.left_behind) json.string(name);
  json.end_array();
  write_findings(json, findings);
  print_envelope(context, json);
}

void write_text(const Context& context, const ConvertRequest& options, const ConvertReport& report,
                std::span<const Finding> findings) {
  std::string out = format_casts(context, report.edit.casts);
  if (!report.left_behind.empty()) {
    out += fmt::format("left behind: {}", plural(static_cast<std::int64_t>(report.left_behind.size()), "name"));
    for (std::size_t i = 0; i < std::min(report.left_behind.size(), kNamedLeft); ++i) {
      out += fmt::format("{} {}", i == 0 ? ":" : ",", escaped(report.left_behind[i]));
    }
    out += report.left_behind.size() > kNamedLeft ? " ...\n" : "\n";
  }
  out += fmt::format("{} -> {}  {}, {}, {}{}\n", format_file(options.file),
                     context.terminal.paint(format_file(options.out), Role::heading), to_string(report.kind),
                     plural(report.tensors, "tensor"), format_bytes(report.size_bytes),
                     report.verified ? ", read back and equal" : "");
  print(out);
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::warning) print_error(format_finding(context.errors, finding));
  }
}

}  // namespace

int convert_file(Context& context, std::string_view verb, const ConvertRequest& options) {
  StopSignals stop;
  ConvertOptions how;
  how.kind = options.write.kind();
  how.parts = options.parts;
  how.save = options.write.save_options();
  how.compressed = options.write.deflate;
  how.verify = options.write.verify;
  how.overwrite = options.write.force;
  how.executor = &context.executor();
  how.edit.limits = context.limits;
  how.save.limits = context.limits;
  if (!options.dtype.empty()) {
    const std::optional<DType> dtype = parse_dtype(options.dtype);
    if (!dtype) {
      const std::vector<std::string> close = nearest(options.dtype, dtype_names(), 1);
      return fail(context, verb, options.file,
                  Error::of({.category = Category::argument,
                             .code = "DTYPE",
                             .message = fmt::format("'{}' is no dtype", escaped(options.dtype)),
                             .hint = close.empty() ? std::string() : fmt::format("did you mean '{}'?", close[0])}));
    }
    if (options.cast_only.empty()) how.edit.casts.push_back({.match = {}, .from = {}, .to = *dtype});
    for (const std::string& match : options.cast_only)
      how.edit.casts.push_back({.match = match, .from = {}, .to = *dtype});
  }
  Result<Checkpoint> checkpoint = Checkpoint::open(options.file, context.load_options());
  if (!checkpoint) {
    return fail(context, verb, options.file, with_path_suggestion(std::move(checkpoint).error(), options.file));
  }
  ProgressBar progress;
  how.progress = &progress;
  Result<ConvertReport> report = convert(*checkpoint, options.out, how);
  if (!report) {
    Error error = std::move(report).error();
    if (error.finding.code == "IO-EXISTS") error.finding.hint = "--force overwrites it";
    return fail(context, verb, options.file, std::move(error));
  }
  std::vector<Finding> findings(checkpoint->findings().begin(), checkpoint->findings().end());
  findings.insert(findings.end(), report->findings.begin(), report->findings.end());
  const bool ok = !has_errors(context, findings);
  if (context.json) {
    write_json(context, verb, options, *report, findings, ok);
  } else if (!context.quiet) {
    write_text(context, options, *report, findings);
  }
  return ok ? kGood : kFindings;
}

}  // namespace rushlight::cli
