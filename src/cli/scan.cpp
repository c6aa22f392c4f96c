// rushlight scan: which names do files ask for?
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/format.hpp"
#include "cli/sarif.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct ScanArguments {
  std::vector<std::string> paths;
  std::vector<std::string> accepted;
  std::string format = "text";
};

void write_json(const Context& context, const ScanReport& report) {
  JsonWriter json = begin_envelope("scan", "", report.ok);
  json.key("files").begin_array();
  for (const ScannedFile& file : report.files) {
    json.begin_object().field("file", std::string_view(file.file)).field("ok", file.ok);
    json.field("kind", to_string(file.kind));
    json.key("globals").begin_array();
    for (const GlobalUse& use : file.globals) {
      json.begin_object().field("name", std::string_view(use.name)).field("allowed", use.allowed);
      json.field("record", std::string_view(use.record)).field("record_offset", use.record_offset);
      json.key("paths").begin_array();
      for (const std::string& path : use.paths) json.string(path);
      json.end_array().end_object();
    }
    json.end_array().key("opaque").begin_array();
    for (const OpaqueEntry& entry : file.opaque) {
      json.begin_object().key("path");
      write_path(json, entry.path);
      json.field("class", std::string_view(entry.class_name)).end_object();
    }
    json.end_array();
    write_findings(json, file.findings);
    json.end_object();
  }
  json.end_array();
  write_findings(json, {});
  print_envelope(context, json);
}

void write_text(const Context& context, const ScannedFile& file) {
  std::vector<const GlobalUse*> unknown;
  for (const GlobalUse& use : file.globals) {
    if (!use.allowed) unknown.push_back(&use);
  }
  std::string out;
  if (file.kind == FileKind::unknown) {
    for (const Finding& finding : file.findings) out += format_finding(context.terminal, finding);
    print(out);
    return;
  }
  if (unknown.empty()) {
    out += fmt::format("{}  {}   {}, all on the allow-list\n",
                       context.terminal.paint(file.ok ? "ok" : "!!", file.ok ? Role::good : Role::bad),
                       format_file(file.file), plural(std::int64_t(file.globals.size()), "global"));
  } else {
    out += fmt::format("{}: {}, {} beyond the allow-list, kept as opaque values (the weights beside them load)\n",
                       context.terminal.paint(format_file(file.file), Role::heading),
                       plural(std::int64_t(file.globals.size()), "global"), unknown.size());
    for (const GlobalUse* use : unknown) {
      out += fmt::format("  {}", context.terminal.paint(use->name, Role::bad));
      if (!use->paths.empty()) {
        out += fmt::format("   {}", use->paths[0].empty() ? "(root)" : use->paths[0]);
        if (use->paths.size() > 1) out += fmt::format(" and {} more", use->paths.size() - 1);
      }
      out += fmt::format("   {} at 0x{:x}\n", use->record, use->record_offset);
    }
    out += "  nothing was executed; this is an allow-list result, not a promise about what the names would do\n";
  }
  for (const Finding& finding : file.findings) {
    if (finding.category != Category::global && finding.severity != Severity::note)
      out += format_finding(context.terminal, finding);
  }
  print(out);
}

int run(Context& context, const ScanArguments& options) {
  LoadOptions load;
  load.strict = false;  // a scan lists everything; strictness is in the verdict
  load.limits = context.limits;
  load.accepted_globals = options.accepted;
  std::vector<std::filesystem::path> paths(options.paths.begin(), options.paths.end());
  if (options.format == "json") context.json = true;
  const bool as_sarif = options.format == "sarif" && !context.json;
  Result<ScanReport> report = scan(paths, load);
  if (!report && as_sarif) {
    print(to_sarif(report.error()));
    return exit_code_of(report.error().code);
  }
  if (!report) {
    const std::string& first = options.paths.front();
    return fail(context, "scan", options.paths.size() == 1 ? first : "",
                with_path_suggestion(std::move(report).error(), first));
  }
  if (context.json) {
    write_json(context, *report);
  } else if (as_sarif) {
    print(to_sarif(*report));
  } else if (!context.quiet) {
    for (const ScannedFile& file : report->files) write_text(context, file);
    if (report->files.size() != 1) {
      const auto refused = std::ranges::count(report->files, false, &ScannedFile::ok);
      print(fmt::format("{}: {} refused\n", plural(std::int64_t(report->files.size()), "file"), refused));
    }
  }
  return report->ok ? kGood : kFindings;
}

}  // namespace

Verb scan_verb() {
  return {"scan",
          {},
          "which Python names files ask for; nothing is executed",
          {"rushlight scan downloads/", "rushlight scan models/ --format sarif > scan.sarif",
           "rushlight scan model.pt --accept argparse.Namespace",
           "rushlight scan *.pt --json | jq '.files[] | select(.ok | not) | .file'"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<ScanArguments>();
            table.add("PATH", &options->paths, "files and folders").required();
            table.add("--accept", &options->accepted, "further names that pass, as module.name");
            table.add("--format", &options->format, "text, json (as --json) or sarif (2.1.0)")
                .one_of({"text", "json", "sarif"})
                .idle_when([options, &context] { return context.json && options->format != "json"; }, "with --json");
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
