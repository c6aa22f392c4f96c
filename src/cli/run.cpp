// rushlight run: inputs through a model.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "cli/format.hpp"
#include "cli/model_input.hpp"
#include "cli/stop_signals.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct Options {
  ModelInput model;
  std::string npy;
  std::string image;
  std::string idx;
  std::string idx_labels;
  std::string labels;
  std::string output;
  std::string device = "cpu";
  std::string precision = "strict";
  std::vector<std::string> not_built;  // options of the contract that later versions bring
  std::int64_t batch = 64;
  std::int64_t top = 5;
  std::optional<double> scale;
  std::vector<double> mean;
  std::vector<double> std;
  bool reference = false;
};

// The input as float32 with a batch dimension, and what was done to it.
struct Input {
  Tensor tensor;
  std::vector<std::string> notes;
};

Preprocessing preprocessing_of(const Options& options, const Graph& graph) {
  Preprocessing chosen = graph.preprocessing();
  if (options.scale) chosen.scale = *options.scale;
  if (!options.mean.empty()) chosen.mean = options.mean;
  if (!options.std.empty()) chosen.std = options.std;
  return chosen;
}

Result<Input> read_input(const Context& context, const Options& options, const Graph& graph) {
  const Shape declared = graph.inputs().empty() ? Shape{} : graph.inputs()[0].shape;
  const std::int64_t channels = declared.size() == 4 && declared[1] > 0 ? declared[1] : 0;
  Input input;
  if (options.npy.empty()) {
    const bool idx = !options.idx.empty();
    const std::string& path = idx ? options.idx : options.image;
    Result<Tensor> pixels = idx ? read_idx(path, context.limits) : read_image(path, {.limits = context.limits});
    if (!pixels) return with_path_suggestion(std::move(pixels).error(), path);
    Tensor batch = *pixels;
    if (idx && batch.dim() == 3) {  // [N, H, W]: one channel each
      const auto shape = batch.shape();
      Result<Tensor> view =
          Tensor::view(batch.storage(), batch.dtype(), {shape[0], 1, shape[1], shape[2]},
                       contiguous_strides(Shape{shape[0], 1, shape[1], shape[2]}), batch.storage_offset());
      if (!view) return std::move(view).error();
      batch = *view;
    }
    Result<Tensor> tensor = to_input(batch, preprocessing_of(options, graph), channels);
    if (!tensor) return std::move(tensor).error();
    input.tensor = *std::move(tensor);
  } else {
    Result<Tensor> array = read_npy(options.npy, context.limits);
    if (!array) return with_path_suggestion(std::move(array).error(), options.npy);
    Tensor tensor = *array;
    if (!declared.empty() && tensor.dim() + 1 == std::int64_t(declared.size())) {
      Shape shape(tensor.shape().begin(), tensor.shape().end());
      shape.insert(shape.begin(), 1);
      Strides strides(tensor.strides().begin(), tensor.strides().end());
      strides.insert(strides.begin(), 0);
      Result<Tensor> view = Tensor::view(tensor.storage(), tensor.dtype(), shape, strides, tensor.storage_offset());
      if (!view) return std::move(view).error();
      tensor = *view;
      input.notes.emplace_back("added a batch dimension of 1");
    }
    const bool plain = !options.scale && options.mean.empty() && options.std.empty();
    if (tensor.dtype() == DType::f32 && plain) {
      input.tensor = tensor;
    } else if (tensor.dim() == 4) {
      Result<Tensor> scaled = to_input(tensor, preprocessing_of(options, graph), channels);
      if (!scaled) return std::move(scaled).error();
      input.tensor = *std::move(scaled);
    } else {
      Result<Tensor> floats = tensor.to(DType::f32);
      if (!floats) return std::move(floats).error();
      input.tensor = *std::move(floats);
    }
  }
  if (declared.size() == 2 && input.tensor.dim() > 2) {  // an MLP on pictures: one row an item, as view(N, -1)
    Result<Tensor> dense = input.tensor.contiguous();
    if (!dense) return std::move(dense).error();
    const std::int64_t items = dense->shape()[0];
    const std::int64_t features = items == 0 ? declared[1] : dense->numel() / items;
    Result<Tensor> rows =
        Tensor::view(dense->storage(), dense->dtype(), {items, features}, {features, 1}, dense->storage_offset());
    if (!rows) return std::move(rows).error();
    input.tensor = *std::move(rows);
    input.notes.push_back(fmt::format("flattened to {}", format_shape(input.tensor.shape())));
  }
  return input;
}

Result<std::vector<std::string>> read_labels(const Context& context, const std::string& path) {
  std::vector<std::string> labels;
  if (path.empty()) return labels;
  Result<std::string> text = read_text_file(path, context.limits.json_bytes);
  if (!text) return std::move(text).error();
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    labels.emplace_back(line);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return labels;
}

// Eighths of a cell, so that a bar shows more than its width.
std::string bar(double share, std::size_t cells) {
  constexpr std::array<std::string_view, 8> kParts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(cells * 8) + 0.5);
  std::string text;
  for (std::size_t i = 0; i < eighths / 8; ++i) text += "█";
  return text + std::string(kParts[eighths % 8]);
}

void write_json(const Context& context, const Options& options, const Evaluation& report,
                const std::vector<std::string>& notes) {
  JsonWriter json = begin_envelope("run", options.model.model, true);
  json.field("device", std::string_view(to_string(report.device))).field("items", report.items);
  json.key("outputs").begin_array();
  Shape item_shape(report.output.shape().begin(), report.output.shape().end());
  if (!item_shape.empty()) item_shape[0] = 1;
  if (report.results.empty()) {
    json.begin_object().key("shape").integers(report.output.shape()).key("top").begin_array().end_array().end_object();
  }
  for (const EvaluatedItem& item : report.results) {
    json.begin_object().key("shape").integers(item_shape).key("top").begin_array();
    for (const ScoredClass& scored : item.top) {
      json.begin_object().field("index", scored.index).field("label", std::string_view(scored.label));
      json.field("score", scored.score).field("probability", scored.probability).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array();
  if (report.accuracy) json.field("accuracy", *report.accuracy);
  json.field("milliseconds", report.milliseconds);
  json.key("notes").begin_array();
  for (const std::string& note : notes) json.string(note);
  json.end_array();
  write_findings(json, {});
  print_envelope(context, json);
}

void write_text(const Context& context, const Evaluation& report, unsigned threads) {
  std::string out;
  if (report.results.size() == 1) {
    TextTable table({TextTable::Align::right, TextTable::Align::left, TextTable::Align::right, TextTable::Align::left});
    for (const ScoredClass& scored : report.results[0].top) {
      table.row({std::to_string(scored.index), escaped(scored.label), fmt::format("{:.4f}", scored.probability),
                 bar(scored.probability, 24)});
    }
    out += table.render(context.terminal, 0);
  } else if (!report.results.empty() && report.results.size() <= 20) {
    TextTable table({TextTable::Align::right, TextTable::Align::left, TextTable::Align::right});
    for (std::size_t i = 0; i < report.results.size(); ++i) {
      const ScoredClass& best = report.results[i].top[0];
      table.row({std::to_string(i), best.label.empty() ? std::to_string(best.index) : escaped(best.label),
                 fmt::format("{:.4f}", best.probability)});
    }
    out += table.render(context.terminal, 0);
  } else {
    out += fmt::format("output {}\n", format_shape(report.output.shape()));
  }
  if (report.accuracy) {
    out += fmt::format("accuracy {:.2f} %, {}\n", *report.accuracy * 100, plural(report.items, "item"));
  }
  const double per_second =
      report.milliseconds > 0 ? 1000.0 * static_cast<double>(report.items) / report.milliseconds : 0;
  out += context.terminal.paint(fmt::format("{:.2f} ms   {} items/s   {}, {}\n", report.milliseconds,
                                            format_count(static_cast<std::int64_t>(per_second)),
                                            to_string(report.device), plural(threads, "thread")),
                                Role::dim);
  print(out);
}

int run(Context& context, const Options& options) {
  const auto give_up = [&](Error error) { return fail(context, "run", options.model.model, std::move(error)); };
  const int given = int(!options.npy.empty()) + int(!options.image.empty()) + int(!options.idx.empty());
  if (given != 1) {
    return give_up(Error::of({.category = Category::argument,
                              .code = "ARG-INPUT",
                              .message = "give one of --input, --image and --idx",
                              .found = std::to_string(given),
                              .expected = "1"}));
  }
  if (!options.not_built.empty() || options.precision != "strict") {
    const std::string what =
        options.not_built.empty() ? fmt::format("--precision {}", options.precision) : options.not_built.front();
    return give_up(Error::of({.category = Category::unsup,
                              .code = "UNSUP-OPTION",
                              .message = fmt::format("'{}' is not built into this version", escaped(what))}));
  }
  Result<Device> device = Device::parse(options.device);
  if (!device) return give_up(std::move(device).error());
  Result<Model> model = options.model.load(context);
  if (!model) return give_up(std::move(model).error());
  Result<Input> input = read_input(context, options, model->graph());
  if (!input) return give_up(std::move(input).error());

  EvaluateOptions evaluate_options;
  evaluate_options.device = *device;
  evaluate_options.session.limits = context.limits;
  evaluate_options.session.threads = context.threads == 0 ? 1 : context.threads;
  if (options.reference) evaluate_options.session.implementation = Implementation::reference;
  evaluate_options.batch = options.batch;
  evaluate_options.top = options.top;
  Result<std::vector<std::string>> labels = read_labels(context, options.labels);
  if (!labels) return give_up(std::move(labels).error());
  evaluate_options.labels = *std::move(labels);
  Tensor targets;
  if (!options.idx_labels.empty()) {
    Result<Tensor> read = read_idx(options.idx_labels, context.limits);
    if (!read) return give_up(with_path_suggestion(std::move(read).error(), options.idx_labels));
    targets = *std::move(read);
    evaluate_options.targets = &targets;
  }
  ProgressBar progress;
  evaluate_options.progress = &progress;
  std::optional<StopSignals> stop_signals;
  if (!options.output.empty()) stop_signals.emplace();
  Result<Evaluation> report = evaluate(*model, input->tensor, evaluate_options);
  if (!report) return give_up(std::move(report).error());
  if (!options.output.empty()) {
    const Status written = write_npy(report->output, options.output, &progress);
    if (!written) return give_up(written.error());
  }
  if (context.json) {
    write_json(context, options, *report, input->notes);
  } else if (!context.quiet) {
    for (const std::string& note : input->notes) fmt::print(stderr, "note: {}\n", note);
    write_text(context, *report, evaluate_options.session.threads);
  }
  return kGood;
}

}  // namespace

Verb run_verb() {
  return {"run",
          {},
          "pictures or arrays through a model, on the CPU or a GPU",
          {"rushlight run model.pt --spec net.json --image shirt.pgm --labels classes.txt",
           "rushlight run model.pt --spec net.json --idx t10k-images --idx-labels t10k-labels",
           "rushlight run module.pt --input x.npy --output y.npy"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<Options>();
            options->model.add_to(table);
            table.add("--input", &options->npy, "an .npy array, NCHW as torch").in("Input");
            table.add("--image", &options->image, "one picture (PGM, PPM)").in("Input");
            table.add("--idx", &options->idx, "a set of pictures in IDX form (MNIST)").in("Input");
            table.add("--idx-labels", &options->idx_labels, "their right classes, for the accuracy").in("Input");
            table.add("--scale", &options->scale, "pixels are divided by this").in("Input");
            table.add("--mean", &options->mean, "subtracted from each channel").separated_by(',').in("Input");
            table.add("--std", &options->std, "then divides each channel").separated_by(',').in("Input");
            table.add("--device", &options->device, "cpu or cuda:N").in("Work");
            table.add("--batch", &options->batch, "items at a time").at_least(1).in("Work");
            table.add("--precision", &options->precision, "strict")
                .one_of({"strict", "fast", "bf16", "fp16", "int8", "tf32"})
                .in("Work");
            table.add("--reference", &options->reference, "the naive implementation that judges the others").in("Work");
            table.add("--top", &options->top, "best classes to print").at_least(1).in("Output");
            table.add("--labels", &options->labels, "names of the classes, one a line").in("Output");
            table.add("--output", &options->output, "write the raw output as .npy").in("Output");
            for (const char* name : {"--images", "--resize", "--crop", "--interpolation", "--preset", "--tap"}) {
              table.add(name, [options, name](const std::string&) { options->not_built.emplace_back(name); }).in("");
            }
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
