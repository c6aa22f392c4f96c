// rushlight doctor: what is the matter with a file, and what to do.
#include <fmt/format.h>

#include <memory>

#include "cli/format.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct Options {
  std::string file;
};

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
  if (rescue.records == 0) return "  to be rescued: nothing, no record is whole\n";
  std::string text =
      fmt::format("  to be rescued: {}", plural(static_cast<std::int64_t>(rescue.records), "whole record"));
  if (rescue.bad_records > 0) {
    text += fmt::format(" ({} more with wrong checksums)", format_count(std::int64_t(rescue.bad_records)));
  }
  if (rescue.has_values) {
    text += fmt::format(", {} of {}", rescue.tensors, plural(rescue.named_tensors, "tensor"));
    if (rescue.tensor_bytes > 0) text += fmt::format(" ({})", format_bytes(rescue.tensor_bytes));
  } else {
    text += ", but not the pickle, which names the tensors";
  }
  return text + "\n";
}

void write_text(const Context& context, const Diagnosis& diagnosis) {
  const Role role = diagnosis.condition == Condition::healthy ? Role::good : Role::bad;
  std::string out = fmt::format("{}: {}", context.terminal.paint(diagnosis.file, Role::heading),
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

int run(Context& context, const Options& options) {
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
          {"rushlight doctor download.pt", "rushlight doctor cut_short.pt --json | jq '.rescue'"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<Options>();
            table.add("FILE", &options->file, "any file that was meant to be a checkpoint").required();
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
