// rushlight run: inputs through a model.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "cli/format.hpp"
#include "cli/item_input.hpp"
#include "cli/model_input.hpp"
#include "cli/output_file.hpp"
#include "cli/precision_input.hpp"
#include "cli/stop_signals.hpp"
#include "cli/text_table.hpp"
#include "cli/tuning_file.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct RunArguments {
  ModelInput model;
  ItemInput items;
  std::string idx_labels;
  std::string labels;
  std::string output;
  std::string device = "cpu";
  std::string precision = "strict";
  std::string calibration;
  std::string tap;
  std::string tune;
  std::int64_t batch = 64;
  std::int64_t top = 5;
  bool reference = false;
  bool low_memory = false;
};

// What came of all items.
struct Report {
  Evaluation evaluation;
  std::vector<std::string> pictures;  // of --image and --images: the file of each item
  std::vector<std::string> notes;
  std::vector<Finding> findings;  // pictures that could not be read; their rows of the output are NaN
  bool has_output = true;
};

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
  if (labels.empty()) {
    return Error::of({.category = Category::argument,
                      .code = "EVALUATE-LABELS",
                      .message = "the file holds no labels, expected one a line",
                      .file = escaped_file(path)});
  }
  return labels;
}

// Eighths of a cell, so that a bar shows more than its width.
std::string bar(double share, std::size_t cells) {
  if (std::isnan(share)) return "";
  constexpr std::array<std::string_view, 8> kParts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(cells * 8) + 0.5);
  std::string text;
  for (std::size_t i = 0; i < eighths / 8; ++i) text += "█";
  return text + std::string(kParts[eighths % 8]);
}

void write_json(const Context& context, const RunArguments& options, const Report& all, const TuningFile& tuning) {
  const Evaluation& report = all.evaluation;
  JsonWriter json = begin_envelope("run", options.model.model, !has_errors(context, all.findings));
  json.field("device", std::string_view(to_string(report.device))).field("items", report.items);
  json.key("outputs").begin_array();
  Shape item_shape;
  if (all.has_output) item_shape.assign(report.output.shape().begin(), report.output.shape().end());
  if (!item_shape.empty()) item_shape[0] = 1;
  if (report.results.empty() && all.has_output) {
    json.begin_object().key("shape").integers(report.output.shape()).key("top").begin_array().end_array().end_object();
  }
  for (std::size_t i = 0; i < report.results.size(); ++i) {
    json.begin_object();
    if (!all.pictures.empty()) json.field("image", std::string_view(all.pictures[i]));
    json.key("shape").integers(item_shape).key("top").begin_array();
    for (const ScoredClass& scored : report.results[i].top) {
      json.begin_object().field("index", scored.index).field("label", std::string_view(scored.label));
      json.field("score", scored.score).field("probability", scored.probability).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array();
  if (report.accuracy) json.field("accuracy", *report.accuracy);
  json.field("milliseconds", report.milliseconds);
  tuning.write(json);
  json.key("notes").begin_array();
  for (const std::string& note : all.notes) json.string(note);
  json.end_array();
  write_findings(json, all.findings);
  print_envelope(context, json);
}

std::string probability_text(double probability) {
  return std::isnan(probability) ? "nan" : fmt::format("{:.4f}", probability);
}

// The best class of an item, with its probability; nothing for one that has none.
std::vector<std::string> best_of(const EvaluatedItem& item) {
  if (item.top.empty()) return {"-", ""};
  const ScoredClass& best = item.top[0];
  return {best.label.empty() ? std::to_string(best.index) : escaped(best.label), probability_text(best.probability)};
}

void write_text(const Context& context, const RunArguments& options, const Report& all, unsigned threads) {
  const Evaluation& report = all.evaluation;
  std::string out;
  const bool by_name = !options.items.pictures.images.empty();
  if (report.results.size() == 1 && !by_name) {
    TextTable table({TextTable::Align::right, TextTable::Align::left, TextTable::Align::right, TextTable::Align::left});
    for (const ScoredClass& scored : report.results[0].top) {
      table.row({std::to_string(scored.index), escaped(scored.label), probability_text(scored.probability),
                 bar(scored.probability, 24)});
    }
    out += table.render(context.terminal, 0);
  } else if (!report.results.empty() && (by_name || report.results.size() <= 20)) {
    TextTable table(
        {by_name ? TextTable::Align::left : TextTable::Align::right, TextTable::Align::left, TextTable::Align::right});
    for (std::size_t i = 0; i < report.results.size(); ++i) {
      const std::vector<std::string> best = best_of(report.results[i]);
      table.row({by_name ? escaped(all.pictures[i]) : std::to_string(i), best[0], best[1]});
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

// The sample that a spec carries, before the first real input.
Status run_self_test(const Model& model, Device device, const Context& context, std::vector<std::string>& notes) {
  if (model.graph().self_test() == nullptr) return {};
  SessionOptions session;
  session.limits = context.limits;
  const Result<double> error = self_test(model, device, session);
  if (!error) return error.error();
  notes.push_back(fmt::format("selftest passed, largest error {:.1e}", *error));
  return {};
}

Result<Model> tap(const Model& model, const std::string& name) {
  Result<Graph> graph = model.graph().with_outputs(std::span(&name, 1));
  if (!graph) return std::move(graph).error();
  return Model::create(*std::move(graph), model.state_dict());
}

// Reports pieces of a long run as parts of the whole.
class PieceProgress final : public Progress {
 public:
  PieceProgress(Progress& whole, std::uint64_t total) : whole_(whole), total_(total) {}
  void begin_with(std::uint64_t done) { before_ = done; }
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t) override {
    return whole_.on_progress(phase, before_ + done, total_);
  }

 private:
  Progress& whole_;
  std::uint64_t total_;
  std::uint64_t before_ = 0;
};

// Pictures are read and run in pieces of a few batches, so that a folder may be larger than memory.
class PictureRun {
 public:
  PictureRun(const Model& model, const ImageTransform& transform, EvaluateOptions options,
             std::vector<std::string> files)
      : model_(model),
        transform_(transform),
        options_(std::move(options)),
        progress_(*options_.progress, files.size()),
        files_(std::move(files)) {
    options_.progress = &progress_;
    report_.evaluation.results.resize(files_.size());
  }

  // A picture that cannot be read is a finding, and the others are run; with one picture alone it is the error.
  Result<Report> run() {
    for (std::size_t i = 0; i < files_.size(); ++i) {
      Result<Tensor> input = read(files_[i]);
      if (!input) {
        if (files_.size() == 1) return std::move(input).error();
        Finding finding = std::move(input).error().finding;
        if (finding.file.empty()) finding.file = escaped_file(files_[i]);
        report_.findings.push_back(std::move(finding));
      } else {
        items_.push_back(i);
        inputs_.push_back(*std::move(input));
      }
      const bool is_full = !inputs_.empty() && inputs_.size() * inputs_[0].size_bytes() >= kPieceBytes &&
                           inputs_.size() % static_cast<std::size_t>(options_.batch) == 0;
      if (is_full || i + 1 == files_.size()) {
        const Status ran = run_piece();
        if (!ran) return ran.error();
      } else if (!progress_.on_progress("read", inputs_.size(), files_.size())) {
        return Error::of(ErrorCode::cancelled,
                         {.category = Category::io, .code = "CANCELLED", .message = "stopped on request"});
      }
    }
    const Status put = put_output();
    if (!put) return put.error();
    report_.evaluation.items = static_cast<std::int64_t>(files_.size());
    report_.pictures = std::move(files_);
    return std::move(report_);
  }

 private:
  static constexpr std::size_t kPieceBytes = std::size_t{128} << 20;

  Result<Tensor> read(const std::string& file) {
    Result<Tensor> pixels = read_picture(file, options_.session.limits);
    if (!pixels) return pixels;
    Result<Tensor> input = picture_item(*pixels, transform_, model_.graph(), options_.session.limits, report_.notes);
    if (!input) return input;
    const Shape shape(input->shape().begin(), input->shape().end());
    if (shape_.empty()) shape_ = shape;
    if (shape == shape_) return input;
    return Error::of(ErrorCode::mismatch, {.category = Category::argument,
                                           .code = "IMAGE-SIZES",
                                           .message = fmt::format("the picture becomes {}, the first one {}",
                                                                  format_shape(shape), format_shape(shape_)),
                                           .file = escaped_file(file),
                                           .hint = "--resize HxW, or --resize N with --crop N, makes them alike"});
  }

  Status run_piece() {
    if (inputs_.empty()) return {};
    // They are alike: all fit, or none.
    if (const Status fits = check_picture(model_.graph(), files_[items_[0]], shape_); !fits) return fits;
    Shape shape = shape_;
    shape[0] = static_cast<std::int64_t>(inputs_.size());
    Result<Tensor> batch = inputs_.size() == 1 ? inputs_[0] : Tensor::zeros(DType::f32, shape);
    if (!batch) return std::move(batch).error();
    for (std::size_t i = 0; inputs_.size() > 1 && i < inputs_.size(); ++i) {
      const Result<std::span<const std::byte>> from = std::as_const(inputs_[i]).bytes();
      const Result<std::span<std::byte>> to = batch->mutable_bytes();
      if (!from) return from.error();
      if (!to) return to.error();
      std::copy(from->begin(), from->end(), to->begin() + static_cast<std::ptrdiff_t>(i * from->size()));
    }
    inputs_.clear();
    progress_.begin_with(done_);
    Result<Evaluation> piece = evaluate(model_, *batch, options_);
    if (!piece) return std::move(piece).error();
    done_ += items_.size();
    progress_.begin_with(done_);
    report_.evaluation.device = piece->device;
    report_.evaluation.milliseconds += piece->milliseconds;
    for (std::size_t i = 0; i < piece->results.size(); ++i) {
      report_.evaluation.results[items_[i]] = std::move(piece->results[i]);
    }
    outputs_.emplace_back(piece->output, std::exchange(items_, {}));
    return {};
  }

  // Rows in the order of the files; NaN for pictures that could not be read.
  Status put_output() {
    if (outputs_.empty()) {
      report_.evaluation.results.clear();
      report_.has_output = false;
      return {};
    }
    Shape shape(outputs_[0].first.shape().begin(), outputs_[0].first.shape().end());
    if (shape.size() != 2) report_.evaluation.results.clear();
    shape[0] = static_cast<std::int64_t>(files_.size());
    Result<Tensor> output = Tensor::zeros(DType::f32, shape);
    if (!output) return std::move(output).error();
    const Result<std::span<std::byte>> bytes = output->mutable_bytes();
    if (!bytes) return bytes.error();
    const std::span<float> rows(reinterpret_cast<float*>(bytes->data()), bytes->size() / sizeof(float));
    std::fill(rows.begin(), rows.end(), std::numeric_limits<float>::quiet_NaN());
    const std::size_t row = rows.size() / files_.size();
    for (const auto& [tensor, items] : outputs_) {
      const Result<Tensor> floats = tensor.to(DType::f32);
      if (!floats) return floats.error();
      const Result<std::span<const float>> values = std::as_const(*floats).values<float>();
      if (!values) return values.error();
      for (std::size_t i = 0; i < items.size(); ++i) {
        std::copy_n(values->data() + i * row, row, rows.data() + items[i] * row);
      }
    }
    report_.evaluation.output = *std::move(output);
    return {};
  }

  const Model& model_;
  const ImageTransform transform_;
  EvaluateOptions options_;
  PieceProgress progress_;
  std::vector<std::string> files_;
  Report report_;
  Shape shape_;
  std::vector<Tensor> inputs_;      // of the piece
  std::vector<std::size_t> items_;  // and their files
  std::vector<std::pair<Tensor, std::vector<std::size_t>>> outputs_;
  std::uint64_t done_ = 0;
};

Result<Report> run_pictures(const Model& model, const RunArguments& options, const EvaluateOptions& evaluate_options) {
  Result<ImageTransform> transform = options.items.pictures.transform(model.graph().preprocessing());
  if (!transform) return std::move(transform).error();
  Result<std::vector<std::string>> files = options.items.pictures.images.empty()
                                               ? std::vector{options.items.pictures.image}
                                               : options.items.pictures.files();
  if (!files) return std::move(files).error();
  Result<Report> report = PictureRun(model, *transform, evaluate_options, *std::move(files)).run();
  if (report) options.items.pictures.note_unscaled(*transform, report->notes);
  return report;
}

Result<Report> run_set(const Context& context, const Model& model, const RunArguments& options,
                       EvaluateOptions evaluate_options) {
  Result<Items> input = options.items.read_items(context, model.graph());
  if (!input) return std::move(input).error();
  Tensor targets;
  if (!options.idx_labels.empty()) {
    Result<Tensor> read = read_idx(options.idx_labels, context.limits);
    if (!read) return with_path_suggestion(std::move(read).error(), options.idx_labels);
    targets = *std::move(read);
    evaluate_options.targets = &targets;
  }
  Result<Evaluation> evaluation = evaluate(model, input->tensor, evaluate_options);
  if (!evaluation) return std::move(evaluation).error();
  return Report{*std::move(evaluation), {}, std::move(input->notes), {}, true};
}

int run(Context& context, const RunArguments& options) {
  const auto give_up = [&](Error error) { return fail(context, "run", options.model.model, std::move(error)); };
  const bool has_pictures = options.items.has_pictures();
  if (const Status one = options.items.check_one(); !one) return give_up(one.error());
  if (has_pictures && !options.idx_labels.empty()) {
    return give_up(Error::of({.category = Category::argument,
                              .code = "ARG-INPUT",
                              .message = "--idx-labels goes with --idx and --input, not with pictures"}));
  }
  if (!options.output.empty()) {
    if (const Status free = check_output(options.output, true); !free) return give_up(free.error());
    const Status apart =
        check_is_no_input(options.output, {options.model.model, options.model.spec, options.model.weights,
                                           options.items.npy, options.items.idx, options.items.pictures.image,
                                           options.idx_labels, options.labels, options.calibration, options.tune});
    if (!apart) return give_up(apart.error());
  }
  const Precision precision = precision_of(options.precision);
  const Result<std::optional<Calibration>> calibration = read_calibration_for(precision, options.calibration, context);
  if (!calibration) return give_up(calibration.error());
  Result<Device> device = Device::parse(options.device);
  if (!device) return give_up(std::move(device).error());
  Result<Model> model = options.model.load(context);
  if (!model) return give_up(std::move(model).error());
  std::vector<std::string> notes;
  if (const Status tested = run_self_test(*model, *device, context, notes); !tested) return give_up(tested.error());
  if (!options.tap.empty()) {
    Result<Model> tapped = tap(*model, options.tap);
    if (!tapped) return give_up(std::move(tapped).error());
    model = std::move(tapped);
    notes.push_back(fmt::format("output of '{}'", escaped(options.tap)));
  }

  Result<TuningFile> tuning = TuningFile::open(context, options.tune);
  if (!tuning) return give_up(std::move(tuning).error());
  EvaluateOptions evaluate_options;
  evaluate_options.device = *device;
  evaluate_options.session.limits = context.limits;
  evaluate_options.session.threads = context.session_threads();
  evaluate_options.session.precision = precision;
  if (*calibration) evaluate_options.session.calibration = &**calibration;
  if (options.reference) evaluate_options.session.implementation = Implementation::reference;
  evaluate_options.session.low_memory = options.low_memory;
  evaluate_options.session.tuning = tuning->tuning();
  evaluate_options.batch = options.batch;
  evaluate_options.top = options.top;
  Result<std::vector<std::string>> labels = read_labels(context, options.labels);
  if (!labels) return give_up(std::move(labels).error());
  evaluate_options.labels = *std::move(labels);
  ProgressBar progress;
  evaluate_options.progress = &progress;
  std::optional<StopSignals> stop_signals;
  if (!options.output.empty()) stop_signals.emplace();
  Result<Report> report = has_pictures ? run_pictures(*model, options, evaluate_options)
                                       : run_set(context, *model, options, evaluate_options);
  if (!report) {
    Error error = std::move(report).error();
    if (error.finding.code == "EVALUATE-LABELS") error.finding.file = escaped_file(options.labels);
    if (error.finding.code == "EVALUATE-TARGETS") error.finding.file = escaped_file(options.idx_labels);
    return give_up(std::move(error));
  }
  if (const Status saved = tuning->save(); !saved) return give_up(saved.error());
  if (std::string note = tuning->note(); !note.empty()) notes.push_back(std::move(note));
  report->notes.insert(report->notes.begin(), notes.begin(), notes.end());
  if (!options.output.empty() && report->has_output) {
    const Status written = write_npy(report->evaluation.output, options.output, {.progress = &progress});
    if (!written) return give_up(written.error());
  }
  if (context.json) {
    write_json(context, options, *report, *tuning);
  } else {
    for (const Finding& finding : report->findings) print_error(format_finding(context.errors, finding));
    if (!context.quiet) {
      for (const std::string& note : report->notes) print_error(fmt::format("note: {}\n", note));
      if (report->has_output) write_text(context, options, *report, evaluate_options.session.threads);
    }
  }
  return has_errors(context, report->findings) ? kFindings : kGood;
}

}  // namespace

Verb run_verb() {
  return {
      "run",
      {},
      "pictures or arrays through a model, on the CPU or a GPU",
      {"rushlight run model.pt --spec net.json --image shirt.png --labels classes.txt",
       "rushlight run model.pt --spec net.json --images shots/ --preset imagenet --output scores.npy",
       "rushlight run model.pt --spec net.json --idx t10k-images --idx-labels t10k-labels",
       "rushlight run module.pt --input x.npy --output y.npy"},
      [](OptionTable& table, Context& context) {
        auto options = std::make_shared<RunArguments>();
        options->model.add_to(table);
        options->items.add_to(table);
        table.add("--idx-labels", &options->idx_labels, "their right classes, for the accuracy").in("Input");
        table.add("--device", &options->device, "cpu or cuda:N").in("Work");
        table.add("--batch", &options->batch, "items at a time").at_least(1).in("Work");
        table
            .add("--precision", &options->precision,
                 "strict; fast: a digit less; bf16: two or three digits; int8: 8-bit integers; on GPUs also tf32, fp16")
            .one_of(precision_words())
            .idle_when([options] { return options->reference && options->precision != "strict"; }, "with --reference")
            .in("Work");
        add_calibration_option(table, options->calibration)
            .idle_when([options] { return options->precision != "int8"; }, "without --precision int8");
        TuningFile::add_option(table, &options->tune)
            .idle_when([options] { return options->low_memory; }, "with --low-memory")
            .idle_when([options] { return options->precision == "int8"; }, "with --precision int8")
            .idle_when([options] { return options->reference; }, "with --reference");
        table.add("--low-memory", &options->low_memory, "weights in memory once, at the price of speed")
            .idle_when([options] { return options->device.starts_with("cuda"); }, "on a GPU")
            .in("Work");
        table.add("--reference", &options->reference, "the naive implementation that judges the others").in("Work");
        table.add("--top", &options->top, "best classes to print").at_least(1).in("Output");
        table.add("--labels", &options->labels, "names of the classes, one a line").in("Output");
        table.add("--tap", &options->tap, "a layer or module whose output stands for the network's").in("Output");
        table.add("--output", &options->output, "write the raw output as .npy").in("Output");
        return [options, &context] { return run(context, *options); };
      }};
}

}  // namespace rushlight::cli
