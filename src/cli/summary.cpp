// rushlight summary: a model layer by layer.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "cli/format.hpp"
#include "cli/item_input.hpp"
#include "cli/model_input.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct SummaryArguments {
  ModelInput model;
  bool guess = false;
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

// A draft of a spec for bare weights: the spec to stdout, what it assumes to stderr, so that `> net.json` keeps the
// one.
int guess(Context& context, const SummaryArguments& options) {
  const auto give_up = [&](Error error) { return fail(context, "summary", options.model.model, std::move(error)); };
  Result<Checkpoint> checkpoint = Checkpoint::open(options.model.model, context.load_options());
  if (!checkpoint) return give_up(with_path_suggestion(std::move(checkpoint).error(), options.model.model));
  Result<StateDict> state = checkpoint->state_dict(options.model.state_dict);
  if (!state) return give_up(std::move(state).error());
  DraftSpecOptions how;
  how.input.assign(options.input.begin(), options.input.end());
  if (!how.input.empty()) how.input.erase(how.input.begin());  // --input has the batch
  Result<SpecDraft> draft = draft_spec(*state, how);
  if (!draft) return give_up(std::move(draft).error());
  if (context.json) {
    JsonWriter json = begin_envelope("summary", options.model.model, true);
    json.field("spec", std::string_view(draft->spec)).field("fits", draft->fits).key("assumptions").begin_array();
    for (const std::string& text : draft->assumptions) json.string(text);
    json.end_array().key("unread").begin_array();
    for (const std::string& name : draft->unread) json.string(name);
    json.end_array();
    write_findings(json, {});
    print_envelope(context, json);
    return kGood;
  }
  print(draft->spec);
  if (context.quiet) return kGood;
  for (const std::string& text : draft->assumptions) print_error(fmt::format("assumed: {}\n", text));
  for (const std::string& name : draft->unread) print_error(fmt::format("not read: {}\n", escaped(name)));
  return kGood;
}

int run(Context& context, const SummaryArguments& options) {
  if (options.guess) return guess(context, options);
  Result<Model> model = options.model.load(context);
  if (!model) return fail(context, "summary", options.model.model, std::move(model).error());
  std::vector<Shape> shapes;
  std::string size_note;
  if (!options.input.empty()) {
    shapes.emplace_back(options.input.begin(), options.input.end());
    const Status fits = check_given_shape(model->graph(), shapes.front());
    if (!fits) return fail(context, "summary", options.model.model, fits.error());
  } else if (!options.model.arch.empty()) {
    shapes = architecture_input_shapes(options.model.arch, model->graph());
    const Shape& declared = model->inputs()[0].shape;
    const bool is_open = std::find(declared.begin() + 1, declared.end(), -1) != declared.end();
    if (!shapes.empty() && is_open) {
      size_note = fmt::format("for an input of {}, the size of {}; --input gives another", format_shape(shapes.front()),
                              escaped(options.model.arch));
    }
  }
  Result<Summary> report = summarize(*model, shapes, context.limits);
  if (!report) return fail(context, "summary", options.model.model, std::move(report).error());
  if (!size_note.empty()) report->notes.insert(report->notes.begin(), std::move(size_note));
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
           "rushlight summary weights.pt --arch resnet18", "rushlight summary model.pt --spec net.json --json",
           "rushlight summary weights.pt --guess > net.json"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<SummaryArguments>();
            options->model.add_to(table);
            table
                .add("--input", &options->input,
                     "shape of the input with its batch: 1,3,224,224; left out: the declared one, or that of --arch")
                .separated_by(',')
                .at_least(0);
            table.add("--guess", &options->guess, "draft a spec for bare weights, saying what it assumes");
            for (const std::string_view name : {"--spec", "--arch", "--weights", "--no-strict"}) {
              table.at(name).idle_when([options] { return options->guess; }, "with --guess");
            }
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
