// rushlight list: what a checkpoint holds.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "cli/list_text.hpp"
#include "cli/value_text.hpp"
#include "cli/verbs.hpp"

namespace rushlight::cli {
namespace {

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
    json.field("type", to_string(entry.value.kind())).key("value");
    write_leaf(json, entry.value);
    if (const auto dtype = entry.value.numpy_dtype()) {
      json.field("class", entry.value.class_name()).field("numpy", *dtype);
    }
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
  print_envelope(context, json);
}

// As they lie in the file; of a set, file by file. Those that lie in none, or in pieces, come last.
void sort_by_offset(std::vector<TensorEntry>& tensors) {
  struct Placed {
    std::tuple<bool, std::string_view, std::uint64_t, std::int64_t> key;
    TensorEntry entry;
  };
  std::vector<Placed> placed;
  placed.reserve(tensors.size());
  for (TensorEntry& entry : tensors) {
    const std::optional<FilePlace> place = entry.tensor.storage().place();
    const auto [file, offset] = place.value_or(FilePlace{});
    placed.push_back({{!place, file, offset, entry.tensor.storage_offset()}, std::move(entry)});
  }
  std::ranges::stable_sort(placed, {}, &Placed::key);
  std::ranges::transform(placed, tensors.begin(), [](Placed& one) { return std::move(one.entry); });
}

int look(Context& context, const ListOptions& options, const std::string& file) {
  Result<Checkpoint> checkpoint = Checkpoint::open(file, context.load_options());
  if (!checkpoint) {
    return fail(context, "list", file, with_path_suggestion(std::move(checkpoint).error(), file));
  }
  Result<Inspection> report = inspect(*checkpoint, context.limits);
  if (!report) return fail(context, "list", file, std::move(report).error());
  std::vector<TensorEntry> tensors = report->tensors;
  if (!options.match.empty()) {
    Result<std::vector<TensorEntry>> found = find_tensors(*report, options.match);
    if (!found) return fail(context, "list", file, std::move(found).error());
    tensors = *std::move(found);
  }
  if (options.sort == "name") {
    std::ranges::stable_sort(tensors, {}, &TensorEntry::name);
  } else if (options.sort == "size") {
    std::ranges::stable_sort(tensors, std::ranges::greater(),
                             [](const TensorEntry& e) { return e.tensor.size_bytes(); });
  } else if (options.sort == "offset") {
    sort_by_offset(tensors);
  }
  if (context.json) {
    write_json(context, *report, tensors);
  } else if (!context.quiet) {
    print_listing(context, options, *report, tensors);
  }
  return has_errors(context, report->findings) ? kFindings : kGood;
}

}  // namespace

Verb list_verb() {
  return {"list",
          {"ls", "inspect"},
          "what a checkpoint holds: tensors, values, classes",
          {"rushlight list model.pt", "rushlight list ckpt.pt --match 'model_state_dict.*' --sort size",
           "rushlight list model.pt --tree", "rushlight list model.pt --json | jq '.tensors[].name'"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<ListOptions>();
            table.add("FILE", &options->files, "checkpoints").required();
            table.add("--match", &options->match, "only tensors whose name fits this name or glob");
            table.add("--sort", &options->sort, "name, size or offset in the file; else in the order of the values")
                .one_of({"name", "size", "offset"});
            table.add("--tree", &options->tree, "as a tree of the parts of their names");
            table.add("--long", &options->long_rows, "with strides, offset, class and gradient");
            table.add("--all", &options->all, "do not shorten to the terminal; parts of sparse tensors, bookkeeping");
            table.add("-v,--verbose", &options->verbose, "also print notes");
            add_encoding_option(table, context);
            return [options, &context] {
              return for_each_file(context, "list", options->files, true,
                                   [&](const std::string& file) { return look(context, *options, file); });
            };
          }};
}

}  // namespace rushlight::cli
