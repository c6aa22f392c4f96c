// rushlight summary: a model layer by layer.
#include <fmt/format.h>

#include <charconv>
#include <memory>

#include "cli/format.hpp"
#include "cli/model_input.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct Options {
  ModelInput model;
  std::vector<std::int64_t> input;
};

std::string readers(const SummaryRow& row) {
  if (row.read.empty()) return "";
  // conv1.weight, conv1.bias -> conv1.{weight,bias}
  const std::string prefix = row.name + ".";
  std::string parts;
  for (const std::string& name : row.read) {
    if (!name.starts_with(prefix)) return fmt::format("{}", fmt::join(row.read, " "));
    if (!parts.empty()) parts += ",";
    parts += name.substr(prefix.size());
  }
  return row.read.size() == 1 ? row.read[0] : fmt::format("{}{{{}}}", prefix, parts);
}

int run(Context& context, const Options& options) {
  Result<Model> model = options.model.load(context);
  if (!model) return fail(context, "summary", options.model.model, std::move(model).error());
  std::vector<Shape> shapes;
  if (!options.input.empty()) shapes.emplace_back(options.input.begin(), options.input.end());
  Result<Summary> report = summarize(*model, shapes);
  if (!report) return fail(context, "summary", options.model.model, std::move(report).error());
  if (context.json) {
    JsonWriter json = begin_envelope("summary", options.model.model, true);
    json.key("inputs").begin_array();
    for (const Shape& shape : report->inputs) json.integers(shape);
    json.end_array().key("layers").begin_array();
    for (const SummaryRow& row : report->rows) {
      json.begin_object().field("name", std::string_view(row.name)).field("type", std::string_view(row.type));
      json.field("detail", std::string_view(row.detail)).key("output").integers(row.output);
      json.field("parameters", row.parameters).field("macs", row.macs).key("reads").begin_array();
      for (const std::string& name : row.read) json.string(name);
      json.end_array().end_object();
    }
    json.end_array().field("parameters", report->parameters).field("macs", report->macs);
    json.field("workspace_bytes", report->workspace_bytes).key("notes").begin_array();
    for (const std::string& note : report->notes) json.string(note);
    json.end_array();
    write_findings(json, {});
    print_envelope(context, json);
    return kGood;
  }
  using Align = TextTable::Align;
  TextTable table({Align::left, Align::left, Align::left, Align::right, Align::right, Align::left});
  table.header({"layer", "type", "output", "params", "MACs", "reads"});
  for (const SummaryRow& row : report->rows) {
    table.row({escaped(row.name), row.detail.empty() ? row.type : fmt::format("{} {}", row.type, row.detail),
               format_shape(row.output), row.parameters == 0 ? "" : format_count(row.parameters),
               row.macs == 0 ? "" : format_count(row.macs), escaped(readers(row))});
  }
  std::string out = table.render(context.terminal, 0);
  out += fmt::format("total {}   {} multiply-adds   activations {}\n", plural(report->parameters, "parameter"),
                     format_count(report->macs), format_bytes(report->workspace_bytes));
  for (const std::string& note : report->notes) out += fmt::format("note: {}\n", note);
  print(out);
  return kGood;
}

}  // namespace

Verb summary_verb() {
  return {"summary",
          {},
          "a model layer by layer: shapes, parameters, multiply-adds",
          {"rushlight summary model.pt --spec net.json", "rushlight summary module.pt --input 1,3,224,224",
           "rushlight summary model.pt --spec net.json --json"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<Options>();
            options->model.add_to(table);
            table.add("--input", &options->input, "shape of the input with its batch: 1,3,224,224")
                .separated_by(',')
                .at_least(0);
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
