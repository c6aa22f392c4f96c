// rushlight doctor: what is the matter with a file, and what to do.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/format.hpp"
#include "cli/stop_signals.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct DoctorArguments {
  std::string file;
  std::string salvage;
  bool force = false;
};

// Names that a text report lists of a kind; JSON has them all.
constexpr std::size_t kNamed = 20;

void write_json(const Context& context, const Diagnosis& diagnosis) {
  JsonWriter json = begin_envelope("doctor", diagnosis.file, diagnosis.ok);
  json.field("kind", to_string(diagnosis.format.kind)).field("size_bytes", diagnosis.format.size_bytes);
  json.field("condition", to_string(diagnosis.condition)).key("rescue");
  if (diagnosis.rescue) {
    const Rescue& rescue = *diagnosis.rescue;
    json.begin_object().field("records", rescue.records).field("bad_records", rescue.bad_records);
    json.field("has_values", rescue.has_values).field("tensors", rescue.tensors);
    json.field("named_tensors", rescue.named_tensors).field("tensor_bytes", rescue.tensor_bytes).end_object();
  } else {
    json.null();
  }
  write_findings(json, diagnosis.findings);
  print_envelope(context, json);
}

std::string rescue_text(const Rescue& rescue) {
  std::string records;
  if (rescue.records > 0) records = plural(static_cast<std::int64_t>(rescue.records), "whole record");
  if (rescue.bad_records > 0) {
    records += fmt::format("{}{} with wrong checksums", records.empty() ? "" : ", ",
                           plural(static_cast<std::int64_t>(rescue.bad_records), "record"));
  }
  if (!rescue.has_values) {
    return records.empty() ? "  to be rescued: nothing\n"
                           : "  to be rescued: " + records + ", but not the pickle, which names the tensors\n";
  }
  std::string text = fmt::format("  to be rescued: {} of {}", rescue.tensors, plural(rescue.named_tensors, "tensor"));
  if (rescue.tensor_bytes > 0) text += fmt::format(" ({})", format_bytes(rescue.tensor_bytes));
  if (!records.empty()) text += "; " + records;
  text += "\n";
  if (rescue.tensors > 0) text += "    next: --salvage OUT.pt writes them into a new file\n";
  return text;
}

void write_text(const Context& context, const Diagnosis& diagnosis) {
  const Role role = diagnosis.condition == Condition::healthy ? Role::good : Role::bad;
  std::string out = fmt::format("{}: {}", context.terminal.paint(format_file(diagnosis.file), Role::heading),
                                context.terminal.paint(to_string(diagnosis.condition), role));
  if (diagnosis.condition == Condition::healthy) {
    out += fmt::format("   {}   {}   {}", format_kind(diagnosis.format), format_bytes(diagnosis.format.size_bytes),
                       plural(diagnosis.tensors, "tensor"));
  }
  out += "\n";
  for (const Finding& finding : diagnosis.findings) {
    // Unused records and the like are `list --verbose`'s.
    if (finding.severity == Severity::note && !finding.code.starts_with("DOCTOR-")) continue;
    Finding said = finding;
    if (said.file == diagnosis.file) said.file.clear();
    out += "  " + to_string(said) + "\n";
    if (!finding.hint.empty()) out += fmt::format("    next: {}\n", finding.hint);
  }
  if (diagnosis.rescue) out += rescue_text(*diagnosis.rescue);
  print(out);
}

void write_salvage_json(const Context& context, const SalvageReport& report, bool ok) {
  JsonWriter json = begin_envelope("doctor", report.file, ok);
  json.field("kind", to_string(report.format.kind)).field("size_bytes", report.format.size_bytes);
  json.key("salvage").begin_object();
  json.field("output", report.output).field("written", report.written).field("complete", report.complete);
  json.field("output_bytes", report.output_bytes);
  json.key("rescued").begin_array();
  for (const std::string& name : report.rescued) json.string(name);
  json.end_array().key("lost").begin_array();
  for (const LostTensor& lost : report.lost) {
    json.begin_object().field("name", lost.name).field("reason", to_string(lost.reason));
    json.field("record", lost.record).field("message", lost.message).end_object();
  }
  json.end_array().key("left_out").begin_array();
  for (const std::string& place : report.left_out) json.string(place);
  json.end_array().key("records").begin_array();
  for (const SalvagedRecord& record : report.records) {
    json.begin_object().field("name", record.name).field("offset", record.offset);
    json.field("size_bytes", record.size_bytes).field("state", to_string(record.state)).end_object();
  }
  json.end_array().end_object();
  write_findings(json, report.findings);
  print_envelope(context, json);
}

void write_salvage_text(const Context& context, const SalvageReport& report) {
  std::string out = fmt::format("{}: ", context.terminal.paint(format_file(report.file), Role::heading));
  const auto count = [](std::size_t number) { return static_cast<std::int64_t>(number); };
  const std::size_t all = report.rescued.size() + report.lost.size();
  if (report.written) {
    out += fmt::format("{} of {} rescued into {} ({})\n", format_count(count(report.rescued.size())),
                       plural(count(all), "tensor"), format_file(report.output), format_bytes(report.output_bytes));
  } else {
    out += fmt::format("{}\n", context.terminal.paint("nothing was written", Role::bad));
  }
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::note || finding.code == "SALVAGE-LOST") continue;
    Finding said = finding;
    if (said.file == report.file) said.file.clear();
    said.tensors.clear();
    out += "  " + to_string(said) + "\n";
  }
  const auto more = [&](std::size_t number) {
    if (number > kNamed) out += fmt::format("  ... and {} more (--json has them all)\n", number - kNamed);
  };
  for (std::size_t i = 0; i < std::min(report.lost.size(), kNamed); ++i) {
    const LostTensor& lost = report.lost[i];
    out += fmt::format("  {} {}", context.terminal.paint("lost", Role::bad), escaped(lost.name));
    if (!lost.record.empty()) out += fmt::format(" ({})", escaped(lost.record));
    out += ": " + lost.message + "\n";
  }
  more(report.lost.size());
  for (std::size_t i = 0; i < std::min(report.left_out.size(), kNamed); ++i) {
    const std::string& place = report.left_out[i];
    out += fmt::format("  {} {}: it cannot do without what it lost\n", context.terminal.paint("left out", Role::bad),
                       place.empty() ? "what was saved" : escaped(place));
  }
  more(report.left_out.size());
  if (!report.written) {
    for (std::size_t i = 0; i < std::min(report.records.size(), kNamed); ++i) {
      const SalvagedRecord& record = report.records[i];
      out += fmt::format("  record {} at {:#x}: {}\n", record.name, record.offset, to_string(record.state));
    }
    more(report.records.size());
  }
  print(out);
}

int run_salvage(Context& context, const DoctorArguments& options) {
  ProgressBar progress;
  const StopSignals stop_signals;
  SalvageOptions salvage_options;
  salvage_options.overwrite = options.force;
  salvage_options.limits = context.limits;
  salvage_options.progress = &progress;
  Result<SalvageReport> report = salvage(options.file, options.salvage, salvage_options);
  if (!report) {
    Error error = std::move(report).error();
    if (error.finding.code == "SALVAGE-TARGET" && error.finding.hint.empty() && !options.force) {
      error.finding.hint = "name another file; --force overwrites any but the damaged one";
    }
    return fail(context, "doctor", options.file, with_path_suggestion(std::move(error), options.file));
  }
  // What is lost decides. That the file is damaged is why somebody asks.
  const bool ok = report->written && !has_errors(context, report->findings);
  if (context.json) {
    write_salvage_json(context, *report, ok);
  } else if (!context.quiet || !ok) {
    write_salvage_text(context, *report);
  }
  return ok ? kGood : kFindings;
}

int run(Context& context, const DoctorArguments& options) {
  if (!options.salvage.empty()) return run_salvage(context, options);
  ProgressBar progress;
  VerifyOptions verify_options;
  verify_options.strict = context.strict;
  verify_options.limits = context.limits;
  verify_options.executor = &context.executor();
  verify_options.progress = &progress;
  Result<Diagnosis> diagnosis = diagnose(options.file, verify_options);
  if (!diagnosis) {
    return fail(context, "doctor", options.file, with_path_suggestion(std::move(diagnosis).error(), options.file));
  }
  if (context.json) {
    write_json(context, *diagnosis);
  } else if (!context.quiet || !diagnosis->ok) {
    write_text(context, *diagnosis);
  }
  return diagnosis->ok ? kGood : kFindings;
}

}  // namespace

Verb doctor_verb() {
  return {"doctor",
          {},
          "what is the matter with a file, and what to do next",
          {"rushlight doctor download.pt", "rushlight doctor cut_short.pt --json | jq '.rescue'",
           "rushlight doctor cut_short.pt --salvage rescued.pt"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<DoctorArguments>();
            table.add("FILE", &options->file, "any file that was meant to be a checkpoint").required();
            table.add("--salvage", &options->salvage, "write what can be proven whole into this new file");
            table.add("--force", &options->force, "let --salvage overwrite a file that is there")
                .idle_when([options] { return options->salvage.empty(); }, "without --salvage");
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
