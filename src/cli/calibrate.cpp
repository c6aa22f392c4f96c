// rushlight calibrate: which values the activations of a network take, for int8.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cli/format.hpp"
#include "cli/item_input.hpp"
#include "cli/model_input.hpp"
#include "cli/output_file.hpp"
#include "cli/stop_signals.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct CalibrateArguments {
  ModelInput model;
  ItemInput items;
  std::string out;
  std::string range = "least_error";
  std::int64_t most_items = 256;
  bool force = false;
};

struct Samples {
  std::vector<Tensor> tensors;
  std::vector<std::string> notes;
};

// `most` of `count` items, at equal distances: sets are often sorted by class.
std::vector<std::int64_t> chosen(std::int64_t count, std::int64_t most) {
  std::vector<std::int64_t> items;
  const std::int64_t kept = std::min(count, most);
  for (std::int64_t i = 0; i < kept; ++i) {
    const std::int64_t before = count / kept * i;  // without the product of two large numbers
    items.push_back(before + count % kept * i / kept);
  }
  return items;
}

Result<Samples> read_pictures(const Context& context, const CalibrateArguments& options, const Graph& graph) {
  const PictureInput& pictures = options.items.pictures;
  Result<ImageTransform> transform = pictures.transform(graph.preprocessing());
  if (!transform) return std::move(transform).error();
  Result<std::vector<std::string>> files = pictures.images.empty() ? std::vector{pictures.image} : pictures.files();
  if (!files) return std::move(files).error();
  Samples samples;
  for (const std::int64_t i : chosen(static_cast<std::int64_t>(files->size()), options.most_items)) {
    const std::string& file = (*files)[static_cast<std::size_t>(i)];
    Result<Tensor> pixels = read_picture(file, context.limits);
    if (!pixels) return std::move(pixels).error();
    Result<Tensor> item = picture_item(*pixels, *transform, graph, context.limits, samples.notes);
    if (!item) return std::move(item).error();
    if (const Status fits = check_picture(graph, file, item->shape()); !fits) return fits.error();
    samples.tensors.push_back(*std::move(item));
  }
  pictures.note_unscaled(*transform, samples.notes);
  return samples;
}

Result<Samples> read_samples(const Context& context, const CalibrateArguments& options, const Graph& graph) {
  if (options.items.has_pictures()) return read_pictures(context, options, graph);
  Result<Items> items = options.items.read_items(context, graph);
  if (!items) return std::move(items).error();
  Samples samples;
  samples.notes = std::move(items->notes);
  const Tensor& all = items->tensor;
  if (all.dim() == 0 || all.shape()[0] <= options.most_items) {
    samples.tensors.push_back(all);
    return samples;
  }
  Shape shape(all.shape().begin(), all.shape().end());
  shape[0] = 1;
  const Strides strides(all.strides().begin(), all.strides().end());
  for (const std::int64_t i : chosen(all.shape()[0], options.most_items)) {
    Result<Tensor> item =
        Tensor::view(all.storage(), all.dtype(), shape, strides, all.storage_offset() + i * strides[0]);
    if (!item) return std::move(item).error();
    samples.tensors.push_back(*std::move(item));
  }
  return samples;
}

void write_json(const Context& context, const CalibrateArguments& options, const Calibration& calibration,
                const std::vector<std::string>& notes) {
  JsonWriter json = begin_envelope("calibrate", options.model.model, true);
  json.field("output", std::string_view(options.out)).field("items", calibration.items);
  json.field("range", std::string_view(options.range)).key("layers").begin_array();
  for (const auto& [name, range] : calibration.layers) {
    json.begin_object().field("name", std::string_view(name)).field("low", static_cast<double>(range.low));
    json.field("high", static_cast<double>(range.high)).field("least", static_cast<double>(range.least));
    json.field("most", static_cast<double>(range.most)).end_object();
  }
  json.end_array().key("notes").begin_array();
  for (const std::string& note : notes) json.string(note);
  json.end_array();
  write_findings(json, {});
  print_envelope(context, json);
}

void write_text(const Context& context, const CalibrateArguments& options, const Calibration& calibration) {
  using Align = TextTable::Align;
  TextTable table({Align::left, Align::right, Align::right, Align::right, Align::right});
  table.header({"layer", "low", "high", "least", "most"});
  const auto number = [](float value) { return fmt::format("{:.4g}", value); };
  for (const auto& [name, range] : calibration.layers) {
    table.row({escaped(name), number(range.low), number(range.high), number(range.least), number(range.most)});
  }
  print(table.render(context.terminal, 0) +
        fmt::format("{}  {}, {}\n", context.terminal.paint(format_file(options.out), Role::heading),
                    plural(static_cast<std::int64_t>(calibration.layers.size()), "layer"),
                    plural(calibration.items, "item")));
}

int run(Context& context, const CalibrateArguments& options) {
  const auto give_up = [&](Error error) { return fail(context, "calibrate", options.model.model, std::move(error)); };
  if (const Status one = options.items.check_one(); !one) return give_up(one.error());
  const auto give_up_writing = [&](Error error) {
    if (error.finding.code == "IO-EXISTS") error.finding.hint = "--force overwrites it";
    return give_up(std::move(error));
  };
  if (const Status free = check_output(options.out, options.force); !free) return give_up_writing(free.error());
  const Status apart =
      check_is_no_input(options.out, {options.model.model, options.model.spec, options.model.weights, options.items.npy,
                                      options.items.idx, options.items.pictures.image});
  if (!apart) return give_up(apart.error());
  StopSignals stop;
  Result<Model> model = options.model.load(context);
  if (!model) return give_up(std::move(model).error());
  Result<Samples> samples = read_samples(context, options, model->graph());
  if (!samples) return give_up(std::move(samples).error());
  ProgressBar progress;
  CalibrateOptions how;
  how.choice = options.range == "min_max" ? RangeChoice::min_max : RangeChoice::least_error;
  how.threads = context.session_threads();
  how.limits = context.limits;
  how.progress = &progress;
  const Result<Calibration> calibration = calibrate(*model, samples->tensors, how);
  if (!calibration) return give_up(calibration.error());
  if (const Status written = write_calibration(*calibration, options.out, options.force); !written) {
    return give_up_writing(written.error());
  }
  if (context.json) {
    write_json(context, options, *calibration, samples->notes);
  } else if (!context.quiet) {
    for (const std::string& note : samples->notes) print_error(fmt::format("note: {}\n", note));
    write_text(context, options, *calibration);
  }
  return kGood;
}

}  // namespace

Verb calibrate_verb() {
  return {"calibrate",
          {},
          "which values the activations of a network take, for int8",
          {"rushlight calibrate weights.pt --arch resnet50 --images photos/ --preset imagenet -o ranges.json",
           "rushlight calibrate model.pt --spec net.json --idx train-images --scale 255 -o ranges.json",
           "rushlight run weights.pt --arch resnet50 --image cat.jpg --precision int8 --calibration ranges.json"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<CalibrateArguments>();
            options->model.add_to(table);
            options->items.add_to(table);
            table.add("--items", &options->most_items, "look at this many at most, at equal distances (256)")
                .at_least(1)
                .in("Work");
            table
                .add(
                    "--range", &options->range,
                    "least_error: what lies far out is cut off where the mean squared error is least; min_max: nothing "
                    "is")
                .one_of({"least_error", "min_max"})
                .in("Work");
            table.add("-o,--output", &options->out, "the file to write").required().in("Output");
            table.add("-f,--force", &options->force, "overwrite a file that is there").in("Output");
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
