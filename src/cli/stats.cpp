// rushlight stats: figures over every tensor, and a gate for pipelines.
#include <fmt/format.h>

#include <memory>

#include "cli/format.hpp"
#include "cli/statistics_text.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct StatsArguments {
  std::vector<std::string> files;
  std::string match;
  std::string fail_on;
  bool sparsity = false;
};

// "nan", "inf" or both; the word that is neither otherwise.
std::optional<std::string> read_gate(const std::string& words, StatisticsOptions& out) {
  for (std::size_t begin = 0; begin <= words.size() && !words.empty();) {
    const std::size_t end = std::min(words.find(',', begin), words.size());
    const std::string word = words.substr(begin, end - begin);
    if (word != "nan" && word != "inf") return word;
    (word == "nan" ? out.fail_on_nan : out.fail_on_inf) = true;
    begin = end + 1;
  }
  return std::nullopt;
}

void write_json(const Context& context, const StatisticsReport& report, bool ok) {
  JsonWriter json = begin_envelope("stats", report.file, ok);
  json.key("tensors").begin_array();
  for (const TensorFigures& tensor : report.tensors) {
    json.begin_object().field("name", std::string_view(tensor.name)).field("dtype", to_string(tensor.dtype));
    json.key("shape").integers(tensor.shape).key("statistics");
    if (tensor.figures) {
      write_statistics(json, *tensor.figures);
      json.field("sparsity", fraction_of_zeros(*tensor.figures));
    } else {
      json.null().field("why", std::string_view(tensor.why));
    }
    json.end_object();
  }
  json.end_array();
  write_findings(json, report.findings);
  print_envelope(context, json);
}

void write_text(const Context& context, const StatsArguments& options, const StatisticsReport& report) {
  using Align = TextTable::Align;
  std::vector<Align> columns{Align::left, Align::left, Align::left};
  std::vector<std::string> header{"tensor", "dtype", "shape"};
  for (const char* column : {"mean", "std", "min", "max", "NaN", "Inf", "subnormal", "zeros"}) {
    if (!options.sparsity && std::string_view(column) == "zeros") continue;
    columns.push_back(Align::right);
    header.emplace_back(column);
  }
  TextTable table(columns);
  table.header(header);
  std::int64_t count = 0;
  std::int64_t zero = 0;
  for (const TensorFigures& tensor : report.tensors) {
    std::vector<std::string> row{escaped(tensor.name), std::string(info(tensor.dtype).brief),
                                 format_shape(tensor.shape)};
    if (tensor.figures) {
      const TensorStatistics& f = *tensor.figures;
      count += f.count;
      zero += f.zero;
      const bool has_numbers = f.count > f.nan + f.infinite;
      for (const double figure : {f.mean, f.std, f.min, f.max}) {
        row.push_back(has_numbers ? format_number(figure) : "-");
      }
      for (const std::int64_t figure : {f.nan, f.infinite, f.subnormal}) row.push_back(format_count(figure));
      if (options.sparsity) row.push_back(fmt::format("{:.1f}%", 100 * fraction_of_zeros(f)));
    }
    row.resize(columns.size(), "-");
    table.row(std::move(row));
  }
  std::string out = fmt::format("{}   {}\n", context.terminal.paint(format_file(report.file), Role::heading),
                                plural(std::int64_t(report.tensors.size()), "tensor"));
  out += table.render(context.terminal);
  if (options.sparsity && count > 0) {
    out += fmt::format("zeros   {} of {} elements, {:.1f}%\n", format_count(zero), format_count(count),
                       100.0 * static_cast<double>(zero) / static_cast<double>(count));
  }
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::error) out += format_finding(context.terminal, finding);
  }
  print(out);
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::warning) print_error(format_finding(context.errors, finding));
  }
}

int look(Context& context, const StatsArguments& options, const std::string& file) {
  ProgressBar progress;
  StatisticsOptions gate;
  gate.match = options.match;
  gate.limits = context.limits;
  gate.executor = &context.executor();
  gate.progress = &progress;
  if (const std::optional<std::string> unknown = read_gate(options.fail_on, gate)) {
    return fail(context, "stats", file,
                Error::of({.category = Category::argument,
                           .code = "ARG-FAIL-ON",
                           .message = fmt::format("--fail-on takes nan and inf, found '{}'", escaped(*unknown)),
                           .found = escaped(*unknown),
                           .expected = "nan,inf"}));
  }
  Result<Checkpoint> checkpoint = Checkpoint::open(file, context.load_options());
  if (!checkpoint) {
    return fail(context, "stats", file, with_path_suggestion(std::move(checkpoint).error(), file));
  }
  Result<StatisticsReport> report = statistics_of_all(*checkpoint, gate);
  if (!report) return fail(context, "stats", file, std::move(report).error());
  const bool ok = !has_errors(context, report->findings);
  if (context.json) {
    write_json(context, *report, ok);
  } else if (!context.quiet || !ok) {
    write_text(context, options, *report);
  }
  return ok ? kGood : kFindings;
}

}  // namespace

Verb stats_verb() {
  return {"stats",
          {},
          "mean, range, NaN and zeros of every tensor; a gate for pipelines",
          {"rushlight stats model.pt", "rushlight stats ckpt.pt --fail-on nan,inf -q || echo bad",
           "rushlight stats model.pt --match '*.weight' --sparsity"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<StatsArguments>();
            table.add("FILE", &options->files, "checkpoints").required();
            table.add("--match", &options->match, "only tensors whose name fits this name or glob");
            table.add("--fail-on", &options->fail_on, "nan, inf or nan,inf: a tensor with such elements is an error");
            table.add("--sparsity", &options->sparsity, "also the share of zeros");
            return [options, &context] {
              return for_each_file(context, "stats", options->files, true,
                                   [&](const std::string& file) { return look(context, *options, file); });
            };
          }};
}

}  // namespace rushlight::cli
