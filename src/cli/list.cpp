// rushlight list: what a checkpoint holds.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "cli/value_text.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct Options {
  std::string file;
  std::string match;
  std::string sort;
  bool all = false;
  bool verbose = false;
};

// A parameter of a quantizer for each channel; null where the bytes cannot be read.
void write_parameters(JsonWriter& json, const Tensor& parameters) {
  const Result<Tensor> wide = parameters.to(DType::f64);
  const auto values = wide ? wide->values<double>() : Result<std::span<const double>>(wide.error());
  if (!values) {
    json.null();
    return;
  }
  const bool integers = info(parameters.dtype()).kind == DTypeKind::integer;
  json.begin_array();
  for (const double value : *values) {
    if (integers) {
      json.integer(static_cast<std::int64_t>(value));
    } else {
      json.real(value);
    }
  }
  json.end_array();
}

void write_quantizer(JsonWriter& json, const Quantizer* quantizer) {
  if (quantizer == nullptr) {
    json.null();
    return;
  }
  json.begin_object().field("qscheme", to_string(quantizer->scheme));
  if (quantizer->is_per_channel()) {
    json.field("axis", quantizer->axis).key("scales");
    write_parameters(json, quantizer->scales);
    json.key("zero_points");
    write_parameters(json, quantizer->zero_points);
  } else {
    json.key("scale").real(quantizer->scale).field("zero_point", quantizer->zero_point);
  }
  json.end_object();
}

void write_json(const Context& context, const Inspection& report, const std::vector<TensorEntry>& tensors) {
  JsonWriter json = begin_envelope("list", report.file, !has_errors(context, report.findings));
  json.field("kind", to_string(report.format.kind)).field("root", std::string_view(report.format.root));
  json.key("format").begin_object().field("version", report.format.version);
  json.field("byteorder", std::string_view(report.format.byteorder));
  json.field("torch", std::string_view(report.format.torch)).end_object();
  json.field("size_bytes", report.format.size_bytes);
  json.key("tensors").begin_array();
  for (const TensorEntry& entry : tensors) {
    const Tensor& tensor = entry.tensor;
    json.begin_object().field("name", std::string_view(entry.name)).key("path");
    write_path(json, entry.path);
    json.field("dtype", to_string(tensor.dtype())).key("shape").integers(tensor.shape());
    json.key("strides").integers(tensor.strides()).field("storage_offset", tensor.storage_offset());
    json.field("device", tensor.storage().recorded_device()).field("requires_grad", tensor.options().requires_grad);
    const TensorClass kind = tensor.options().tensor_class;
    json.field("class", kind == TensorClass::parameter ? "parameter"
                        : kind == TensorClass::buffer  ? "buffer"
                                                       : "tensor");
    json.field("layout", "strided");
    json.key("storage");
    if (entry.storage.empty()) {
      json.null();
    } else {
      json.string(entry.storage);
    }
    json.field("size_bytes", tensor.size_bytes()).key("quantizer");
    write_quantizer(json, tensor.options().quantizer.get());
    if (!entry.persistent) json.field("persistent", false);
    json.end_object();
  }
  json.end_array().key("composites").begin_array();
  for (const CompositeEntry& entry : report.composites) {
    const CompositeTensor& tensor = entry.tensor;
    json.begin_object().field("name", std::string_view(entry.name)).key("path");
    write_path(json, entry.path);
    json.field("layout", to_string(tensor.layout())).field("dtype", to_string(tensor.dtype()));
    if (tensor.is_sparse()) json.key("shape").integers(tensor.shape()).field("nnz", tensor.nnz());
    if (tensor.layout() == Layout::sparse_coo) json.field("is_coalesced", tensor.is_coalesced());
    json.field("requires_grad", tensor.options().requires_grad).end_object();
  }
  json.end_array().key("values").begin_array();
  for (const ValueEntry& entry : report.values) {
    json.begin_object().field("name", std::string_view(entry.name)).key("path");
    write_path(json, entry.path);
    json.field("type", type_name(entry.value)).key("value");
    write_leaf(json, entry.value);
    json.end_object();
  }
  json.end_array().key("opaque").begin_array();
  for (const OpaqueEntry& entry : report.opaque) {
    json.begin_object().key("path");
    write_path(json, entry.path);
    json.field("class", std::string_view(entry.class_name)).end_object();
  }
  json.end_array().key("globals").begin_array();
  for (const GlobalUse& use : report.globals) {
    json.begin_object().field("name", std::string_view(use.name)).field("allowed", use.allowed);
    json.field("record", std::string_view(use.record)).field("record_offset", use.record_offset).end_object();
  }
  json.end_array();
  write_findings(json, report.findings);
  print_envelope(json);
}

// What the shapes say about the layers: a reading, not a fact, hence one dim line (`summary` runs the real graph).
std::string guess_layers(const std::vector<TensorEntry>& tensors) {
  std::map<std::string, std::map<std::string, const Tensor*>> modules;
  std::vector<std::string> order;
  for (const TensorEntry& entry : tensors) {
    const std::size_t dot = entry.name.rfind('.');
    const std::string module = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    if (!modules.contains(module)) order.push_back(module);
    modules[module][dot == std::string::npos ? entry.name : entry.name.substr(dot + 1)] = &entry.tensor;
  }
  std::string text;
  for (const std::string& module : order) {
    const auto& parts = modules[module];
    const auto weight = parts.find("weight");
    if (weight == parts.end()) continue;
    const auto shape = weight->second->shape();
    std::string layer;
    if (shape.size() == 4) {
      layer = fmt::format("Conv2d {}->{} k{}", shape[1], shape[0], shape[2]);
      if (shape[2] != shape[3]) layer += fmt::format("x{}", shape[3]);
    } else if (shape.size() == 2) {
      layer = fmt::format("Linear {}->{}", shape[1], shape[0]);
    } else if (shape.size() == 1 && parts.contains("running_mean")) {
      layer = fmt::format("BatchNorm {}", shape[0]);
    } else {
      continue;
    }
    if (!text.empty()) text += " | ";
    text += module.empty() ? layer : fmt::format("{} {}", escaped(module), layer);
  }
  return text;
}

void write_text(const Context& context, const Options& options, const Inspection& report,
                const std::vector<TensorEntry>& tensors) {
  const Terminal& terminal = context.terminal;
  std::string out =
      fmt::format("{}   {}, {}   {}   {}   {}\n", terminal.paint(report.file, Role::heading),
                  format_kind(report.format), escaped(report.root_class), format_bytes(report.format.size_bytes),
                  plural(std::int64_t(report.tensors.size()), "tensor"), plural(report.elements, "element"));
  std::size_t shown = tensors.size();
  if (!options.all && terminal.rows > 0) shown = std::min(shown, std::max<std::size_t>(terminal.rows, 28) - 8);
  using Align = TextTable::Align;
  TextTable table({Align::left, Align::left, Align::left, Align::right, Align::left});
  for (std::size_t i = 0; i < shown; ++i) {
    const TensorEntry& entry = tensors[i];
    std::string note = escaped(entry.storage);
    if (entry.tensor.storage_offset() != 0) note += fmt::format(" +{}", entry.tensor.storage_offset());
    if (!entry.tensor.is_contiguous()) note += fmt::format(" strides {}", format_shape(entry.tensor.strides()));
    if (!entry.persistent) note += " not in state_dict";
    if (entry.tensor.storage().recorded_device() != "cpu") {
      note += fmt::format(" {}", escaped(entry.tensor.storage().recorded_device()));
    }
    table.row({escaped(entry.name), std::string(info(entry.tensor.dtype()).brief), format_shape(entry.tensor.shape()),
               format_bytes(entry.tensor.size_bytes()), note});
  }
  out += table.render(terminal);
  if (shown < tensors.size()) out += fmt::format("  ... {} more (--all)\n", tensors.size() - shown);
  // `_metadata` is torch's bookkeeping of module versions: in the JSON, and with --all.
  std::vector<const ValueEntry*> shown_values;
  for (const ValueEntry& entry : report.values) {
    const bool bookkeeping = std::ranges::any_of(
        entry.path, [](const PathStep& step) { return step.kind == PathStep::Kind::attr && step.text == "_metadata"; });
    if (options.match.empty() && (options.all || !bookkeeping)) shown_values.push_back(&entry);
  }
  if (!shown_values.empty()) {
    TextTable values({Align::left, Align::left, Align::left});
    const std::size_t value_rows =
        options.all || terminal.rows == 0 ? shown_values.size() : std::min<std::size_t>(shown_values.size(), 12);
    for (std::size_t i = 0; i < value_rows; ++i) {
      const ValueEntry& entry = *shown_values[i];
      values.row({escaped(entry.name), std::string(type_name(entry.value)), clipped(format_leaf(entry.value), 60)});
    }
    out += terminal.paint("values", Role::dim) + "\n" + values.render(terminal);
    if (value_rows < shown_values.size())
      out += fmt::format("  ... {} more (--all)\n", shown_values.size() - value_rows);
  }
  for (const OpaqueEntry& entry : report.opaque) {
    if (!options.match.empty()) break;
    out += fmt::format("opaque   {}   {}\n", entry.name.empty() ? "(root)" : escaped(entry.name),
                       escaped(entry.class_name));
  }
  const std::string layers = guess_layers(tensors);
  if (!layers.empty() && options.match.empty()) {
    out += terminal.paint(fmt::format("layers   {}", layers), Role::dim) + "\n";
  }
  print(out);
  for (const Finding& finding : report.findings) {
    if (finding.severity != Severity::note || options.verbose)
      fmt::print(stderr, "{}", format_finding(context, finding));
  }
}

int run(Context& context, const Options& options) {
  Result<Checkpoint> checkpoint = Checkpoint::open(options.file, context.load_options());
  if (!checkpoint) {
    return fail(context, "list", options.file, with_path_suggestion(std::move(checkpoint).error(), options.file));
  }
  Result<Inspection> report = inspect(*checkpoint, context.limits);
  if (!report) return fail(context, "list", options.file, std::move(report).error());
  std::vector<TensorEntry> tensors = report->tensors;
  if (!options.match.empty()) {
    Result<std::vector<TensorEntry>> found = find_tensors(*report, options.match);
    if (!found) return fail(context, "list", options.file, std::move(found).error());
    tensors = *std::move(found);
  }
  if (options.sort == "name") {
    std::ranges::stable_sort(tensors, {}, &TensorEntry::name);
  } else if (options.sort == "size") {
    std::ranges::stable_sort(tensors, std::ranges::greater(),
                             [](const TensorEntry& e) { return e.tensor.size_bytes(); });
  }
  if (context.json) {
    write_json(context, *report, tensors);
  } else if (!context.quiet) {
    write_text(context, options, *report, tensors);
  }
  return has_errors(context, report->findings) ? kFindings : kGood;
}

}  // namespace

Verb list_verb() {
  return {"list",
          {"ls", "inspect"},
          "what a checkpoint holds: tensors, values, classes",
          {"rushlight list model.pt", "rushlight list ckpt.pt --match 'model_state_dict.*' --sort size",
           "rushlight list model.pt --json | jq '.tensors[].name'"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<Options>();
            table.add("FILE", &options->file, "a checkpoint").required();
            table.add("--match", &options->match, "only tensors whose name fits this name or glob");
            table.add("--sort", &options->sort, "name or size; the file's order otherwise").one_of({"name", "size"});
            table.add("--all", &options->all, "do not shorten to the terminal");
            table.add("-v,--verbose", &options->verbose, "also print notes");
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
