// rushlight bench: how fast a model runs here, beside what the machine can do.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "cli/format.hpp"
#include "cli/item_input.hpp"
#include "cli/model_input.hpp"
#include "cli/precision_input.hpp"
#include "cli/text_table.hpp"
#include "cli/tuning_file.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct BenchArguments {
  ModelInput model;
  std::string input;
  std::vector<std::int64_t> batches;
  std::vector<std::int64_t> threads;
  std::vector<std::string> precisions;
  std::string calibration;
  std::string device = "cpu";
  std::string tune;
  std::optional<double> seconds;
  bool layers = false;
  bool low_memory = false;
};

// One row of the report.
struct Row {
  Benchmark benchmark;
  std::string precision;
  std::int64_t threads = 1;
  double load_ms = 0;
  std::vector<std::string> notes;

  // Operations a second: two for a multiply-add.
  [[nodiscard]] double speed(std::int64_t macs, double milliseconds) const {
    return milliseconds > 0 ? 2.0 * static_cast<double>(macs) / (milliseconds / 1e3) : 0;
  }
  [[nodiscard]] double median() const { return benchmark.percentile(50); }
  [[nodiscard]] double speed() const { return speed(benchmark.macs, median()); }
  [[nodiscard]] double items_per_second() const {
    return median() > 0 ? 1e3 * static_cast<double>(benchmark.items) / median() : 0;
  }
  // Of what the machine does at most, in percent; nothing where one of the two is not known.
  [[nodiscard]] std::optional<double> of_peak(double operations_per_second) const {
    const double most = benchmark.machine_operations_per_second;
    if (most <= 0 || operations_per_second <= 0) return std::nullopt;
    return 100 * operations_per_second / most;
  }
  // Likewise; above 100 where caches hold what the step reads.
  [[nodiscard]] std::optional<double> of_memory(double bytes_per_second) const {
    const double most = benchmark.machine_bytes_per_second;
    if (most <= 0 || bytes_per_second <= 0) return std::nullopt;
    return 100 * bytes_per_second / most;
  }
};

Error wrong_argument(std::string code, std::string message) {
  return Error::of({.category = Category::argument, .code = std::move(code), .message = std::move(message)});
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// A text with commas is a shape, unless it is the name of a file.
bool is_shape(const std::string& input) {
  if (input.find_first_not_of("0123456789,") == std::string::npos) return true;
  std::error_code ignored;
  return input.find(',') != std::string::npos && !input.ends_with(".npy") && !std::filesystem::exists(input, ignored);
}

Result<Shape> parse_shape(const std::string& input) {
  constexpr std::int64_t kMost = 999'999'999;
  Shape shape;
  for (const std::string& text : split(input)) {
    std::int64_t size = 0;
    const char* const end = text.data() + text.size();
    const std::from_chars_result parsed = std::from_chars(text.data(), end, size);
    if (parsed.ec == std::errc::invalid_argument || parsed.ptr != end) {
      return wrong_argument("ARG-SHAPE",
                            fmt::format("--input {}: expected a shape as 1,3,224,224 or an .npy file", escaped(input)));
    }
    if (parsed.ec != std::errc() || size < 1 || size > kMost) {
      return wrong_argument(
          "ARG-SHAPE", fmt::format("--input {}: expected sizes of 1 to {}, found {}", escaped(input), kMost, text));
    }
    shape.push_back(size);
  }
  return shape;
}

// What is measured: made-up inputs of these shapes, or an array, read as `run` reads it; `notes`: what was done to it.
Status set_input(const Context& context, const BenchArguments& options, const Model& model, BenchmarkOptions& how,
                 std::vector<std::string>& notes) {
  if (!options.input.empty() && is_shape(options.input)) {
    Result<Shape> parsed = parse_shape(options.input);
    if (!parsed) return std::move(parsed).error();
    Shape shape = *std::move(parsed);
    // Only the first batch is in it.
    if (!options.batches.empty()) shape[0] = how.batch;
    if (const Status fits = check_given_shape(model.graph(), shape); !fits) return fits.error();
    how.input_shapes = {std::move(shape)};
    return {};
  }
  if (!options.input.empty()) {
    ItemInput items;
    items.npy = options.input;
    Result<Items> read = items.read_items(context, model.graph());
    if (!read) {
      Error error = std::move(read).error();
      const bool has_sizes = options.input.find_first_not_of("0123456789xX* ") == std::string::npos;
      if (has_sizes && error.finding.hint.empty()) error.finding.hint = "a shape is written 1,3,224,224";
      return error;
    }
    how.inputs = {std::move(read->tensor)};
    notes = std::move(read->notes);
    return {};
  }
  // A named architecture leaves the size of its pictures open, and has one that its weights were trained for.
  how.input_shapes = architecture_input_shapes(options.model.arch, model.graph());
  for (std::size_t i = 0; i < how.input_shapes.size(); ++i) {
    const Shape& declared = model.graph().inputs()[i].shape;
    if (declared.empty() || declared[0] < 0) how.input_shapes[i][0] = how.batch;
  }
  return {};
}

// The model is opened for each row, so that each packs its weights.
Result<Row> measure(Context& context, const BenchArguments& options, const std::string& precision, std::int64_t threads,
                    std::int64_t batch, TuningFile& tuning) {
  const auto begin = std::chrono::steady_clock::now();
  Result<Model> model = options.model.load(context);
  if (!model) return std::move(model).error();
  Row row;
  row.precision = precision;
  row.threads = threads == 0 ? make_thread_pool(0)->concurrency() : threads;
  row.load_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  BenchmarkOptions how;
  Result<Device> device = Device::parse(options.device);
  if (!device) return std::move(device).error();
  how.device = *device;
  how.batch = batch;
  how.seconds = options.seconds.value_or(2);
  how.layers = options.layers;
  how.session.precision = precision_of(precision);
  const Result<std::optional<Calibration>> calibration =
      read_calibration_for(how.session.precision, options.calibration, context);
  if (!calibration) return calibration.error();
  if (*calibration) how.session.calibration = &**calibration;
  how.session.threads = static_cast<unsigned>(row.threads);
  how.session.limits = context.limits;
  how.session.low_memory = options.low_memory;
  how.session.tuning = tuning.tuning();
  ProgressBar progress;
  how.progress = &progress;
  if (const Status set = set_input(context, options, *model, how, row.notes); !set) return set.error();
  Result<Benchmark> report = benchmark(*model, how);
  if (!report) return std::move(report).error();
  row.benchmark = *std::move(report);
  return row;
}

// --- JSON ---

void real_or_null(JsonWriter& json, std::string_view name, std::optional<double> value) {
  json.key(name);
  if (value && *value > 0) {
    json.real(*value);
  } else {
    json.null();
  }
}

// Bytes a second that must move at least.
double traffic(const BenchmarkStep& step) {
  return step.milliseconds > 0 ? static_cast<double>(step.bytes) / (step.milliseconds / 1e3) : 0;
}

void write_step(JsonWriter& json, const Row& row, const BenchmarkStep& step) {
  const double speed = row.speed(step.macs, step.milliseconds);
  json.begin_object().field("name", std::string_view(step.name)).field("kind", std::string_view(step.kind));
  json.key("algorithm");
  if (step.algorithm.empty()) {
    json.null();
  } else {
    json.string(step.algorithm);
  }
  json.field("median_ms", step.milliseconds).field("macs", step.macs);
  real_or_null(json, "gflops", speed / 1e9);
  real_or_null(json, "percent_of_peak", row.of_peak(speed));
  json.field("bytes", step.bytes);
  real_or_null(json, "gb_per_second", traffic(step) / 1e9);
  real_or_null(json, "percent_of_memory", row.of_memory(traffic(step)));
  json.end_object();
}

void write_row(JsonWriter& json, const BenchArguments& options, const Row& row) {
  const Benchmark& report = row.benchmark;
  json.begin_object().field("batch", report.items).field("threads", row.threads);
  json.field("precision", std::string_view(row.precision))
      .field("device", std::string_view(to_string(report.device)))
      .key("isa");
  if (report.isa.empty()) {
    json.null();
  } else {
    json.string(report.isa);
  }
  json.field("runs", static_cast<std::uint64_t>(report.milliseconds.size()));
  json.field("median_ms", row.median()).field("min_ms", report.percentile(0)).field("p10_ms", report.percentile(10));
  json.field("p95_ms", report.percentile(95)).field("p99_ms", report.percentile(99));
  json.field("images_per_second", row.items_per_second()).field("macs", report.macs);
  real_or_null(json, "gflops", row.speed() / 1e9);
  real_or_null(json, "percent_of_peak", row.of_peak(row.speed()));
  json.field("load_ms", row.load_ms).field("first_result_ms", row.load_ms + report.first_result_ms);
  json.key("error");
  if (report.error) {
    json.real(*report.error);
  } else {
    json.null();
  }
  json.field("workspace_bytes", report.workspace_bytes).key("machine").begin_object();
  real_or_null(json, "gflops", report.machine_operations_per_second / 1e9);
  real_or_null(json, "read_gb_per_second", report.machine_bytes_per_second / 1e9);
  json.end_object();
  json.key("host_layers").begin_array();
  for (const std::string& layer : report.host_layers) json.string(layer);
  json.end_array().key("launching");
  if (report.launching.empty()) {
    json.null();
  } else {
    json.string(report.launching);
  }
  if (options.layers) {
    json.key("layers").begin_array();
    for (const BenchmarkStep& step : report.steps) write_step(json, row, step);
    json.end_array();
  }
  json.end_object();
}

// --- text ---

std::string time_text(double milliseconds) {
  if (milliseconds >= 1000) return fmt::format("{:.2f} s", milliseconds / 1000);
  if (milliseconds >= 1) return fmt::format("{:.2f} ms", milliseconds);
  return fmt::format("{:.2f} us", milliseconds * 1000);
}

std::string one_decimal(double value) {
  return value > 0 ? fmt::format("{:.1f}", value) : "";
}

std::string percent_text(std::optional<double> percent) {
  return percent ? fmt::format("{:.0f} %", *percent) : "";
}

std::string rate_text(double per_second) {
  return per_second >= 100 ? format_count(static_cast<std::int64_t>(per_second + 0.5))
                           : fmt::format("{:.1f}", per_second);
}

std::string rows_text(const Context& context, const std::vector<Row>& rows) {
  using Align = TextTable::Align;
  std::vector<Align> columns(12, Align::right);
  columns[0] = Align::left;
  TextTable table(std::move(columns));
  table.header({"precision", "batch", "threads", "median", "fastest", "p95", "items/s", "GFLOP/s", "of peak", "load",
                "first result", "error"});
  for (const Row& row : rows) {
    const Benchmark& report = row.benchmark;
    table.row({row.precision, std::to_string(report.items), std::to_string(row.threads), time_text(row.median()),
               time_text(report.percentile(0)), time_text(report.percentile(95)), rate_text(row.items_per_second()),
               one_decimal(row.speed() / 1e9), percent_text(row.of_peak(row.speed())), time_text(row.load_ms),
               time_text(row.load_ms + report.first_result_ms),
               report.error ? fmt::format("{:.1e}", *report.error) : ""});
  }
  return table.render(context.terminal, 0);
}

std::string steps_text(const Context& context, const Row& row) {
  const Benchmark& report = row.benchmark;
  if (report.steps.empty())
    return fmt::format("{} does not tell how long each layer takes\n", to_string(report.device));
  double sum = 0;
  for (const BenchmarkStep& step : report.steps) sum += step.milliseconds;
  using Align = TextTable::Align;
  std::vector<Align> columns(9, Align::right);
  columns[0] = columns[1] = Align::left;
  TextTable table(std::move(columns));
  table.header({"layer", "kind", "median", "share", "GFLOP/s", "of peak", "MB", "GB/s", "of memory"});
  for (const BenchmarkStep& step : report.steps) {
    const double speed = row.speed(step.macs, step.milliseconds);
    table.row({escaped(step.name),
               step.algorithm.empty() ? step.kind : fmt::format("{}, {}", step.kind, step.algorithm),
               time_text(step.milliseconds), fmt::format("{:.1f} %", sum > 0 ? 100 * step.milliseconds / sum : 0),
               one_decimal(speed / 1e9), percent_text(row.of_peak(speed)),
               fmt::format("{:.2f}", static_cast<double>(step.bytes) / 1e6), one_decimal(traffic(step) / 1e9),
               percent_text(row.of_memory(traffic(step)))});
  }
  return fmt::format("\n{}, batch {}, {}:\n", row.precision, report.items, plural(row.threads, "thread")) +
         table.render(context.terminal, 0);
}

// "" where the device computes everything.
std::string host_layers_text(const Benchmark& report) {
  constexpr std::size_t kMostNames = 5;
  std::string names;
  for (std::size_t i = 0; i < std::min(kMostNames, report.host_layers.size()); ++i) {
    names += (i == 0 ? "" : ", ") + escaped(report.host_layers[i]);
  }
  if (names.empty()) return "";
  const std::size_t count = report.host_layers.size();
  return fmt::format("{} computed by the host, {} has no kernel for {}: {}{}\n",
                     plural(static_cast<std::int64_t>(count), "layer"), to_string(report.device),
                     count == 1 ? "it" : "them", names, count > kMostNames ? ", ..." : "");
}

// How kernels are launched: once where it is the same for all rows, "" on the CPU.
std::string launching_text(const std::vector<Row>& rows) {
  const std::string& first = rows.front().benchmark.launching;
  const bool is_same =
      std::all_of(rows.begin(), rows.end(), [&](const Row& row) { return row.benchmark.launching == first; });
  if (is_same) return first.empty() ? "" : fmt::format("launching: {}\n", escaped(first));
  std::string text;
  for (const Row& row : rows) {
    text += fmt::format("launching, {}, batch {}: {}\n", row.precision, row.benchmark.items,
                        escaped(row.benchmark.launching));
  }
  return text;
}

std::string text_of(const Context& context, const BenchArguments& options, const std::vector<Row>& rows) {
  const Benchmark& first = rows.front().benchmark;
  std::string out = rows_text(context, rows);
  if (options.layers) {
    for (const Row& row : rows) out += steps_text(context, row);
    out += "\n";
  }
  std::string tail = fmt::format("{}{}{}   {} multiply-adds for a batch of {}   activations {}\n",
                                 to_string(first.device), first.isa.empty() ? "" : " ", first.isa,
                                 format_count(first.macs), first.items, format_bytes(first.workspace_bytes));
  tail += launching_text(rows);
  tail += host_layers_text(first);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Benchmark& report = rows[i].benchmark;
    const auto same_threads = [&](const Row& row) { return row.threads == rows[i].threads; };
    if (report.machine_operations_per_second <= 0 ||
        std::any_of(rows.begin(), rows.begin() + std::ptrdiff_t(i), same_threads)) {
      continue;
    }
    tail += fmt::format("this machine, {}: {:.0f} GFLOP/s, {:.1f} GB/s read\n", plural(rows[i].threads, "thread"),
                        report.machine_operations_per_second / 1e9, report.machine_bytes_per_second / 1e9);
  }
  return out + context.terminal.paint(tail, Role::dim);
}

Status check(const BenchArguments& options) {
  if (!options.input.empty() && is_shape(options.input)) {
    if (const Result<Shape> shape = parse_shape(options.input); !shape) return shape.error();
  }
  if (options.seconds && !(*options.seconds >= 0)) {
    return wrong_argument("ARG-SECONDS", fmt::format("--seconds: expected at least 0, found {}", *options.seconds));
  }
  return {};
}

int run(Context& context, const BenchArguments& options) {
  const auto give_up = [&](Error error) { return fail(context, "bench", options.model.model, std::move(error)); };
  if (const Status checked = check(options); !checked) return give_up(checked.error());
  Result<TuningFile> tuning = TuningFile::open(context, options.tune);
  if (!tuning) return give_up(std::move(tuning).error());
  const std::vector<std::int64_t> one = {1};
  const std::vector<std::string> strict = {"strict"};
  std::vector<Row> rows;
  for (const std::string& precision : options.precisions.empty() ? strict : options.precisions) {
    for (const std::int64_t threads : options.threads.empty() ? one : options.threads) {
      for (const std::int64_t batch : options.batches.empty() ? one : options.batches) {
        Result<Row> row = measure(context, options, precision, threads, batch, *tuning);
        if (!row) return give_up(std::move(row).error());
        rows.push_back(*std::move(row));
        if (rows.back().benchmark.items != batch) break;  // an array, or a model, has its own
      }
    }
  }
  if (const Status saved = tuning->save(); !saved) return give_up(saved.error());
  std::vector<std::string> notes = rows.front().notes;  // of the one input of all rows
  if (std::string note = tuning->note(); !note.empty()) notes.push_back(std::move(note));
  if (context.json) {
    JsonWriter json = begin_envelope("bench", options.model.model, true);
    json.key("results").begin_array();
    for (const Row& row : rows) write_row(json, options, row);
    json.end_array();
    tuning->write(json);
    json.key("notes").begin_array();
    for (const std::string& note : notes) json.string(note);
    json.end_array();
    write_findings(json, {});
    print_envelope(context, json);
    return kGood;
  }
  if (context.quiet) return kGood;
  for (const std::string& note : notes) print_error(fmt::format("note: {}\n", note));
  print(text_of(context, options, rows));
  return kGood;
}

}  // namespace

Verb bench_verb() {
  return {
      "bench",
      {},
      "how fast a model runs here, and how far that is from the machine's peak",
      {"rushlight bench weights.pt --arch resnet50", "rushlight bench module.pt --batch 1,8 --threads 1,2",
       "rushlight bench weights.pt --arch resnet50 --layers", "rushlight bench module.pt --input x.npy --json",
       "rushlight bench weights.pt --arch vgg16 --precision fast --tune vgg16.tuning"},
      [](OptionTable& table, Context& context) {
        auto options = std::make_shared<BenchArguments>();
        options->model.add_to(table);
        table.add("--input", &options->input, "an .npy array, or the shape of made-up input: 1,3,224,224").in("Input");
        table.add("--batch", &options->batches, "items at a time: 1,8")
            .separated_by(',')
            .at_least(1)
            .idle_when([options] { return !options->input.empty() && !is_shape(options->input); },
                       "with an array, which has its own")
            .in("Work");
        table.add("--threads", &options->threads, "threads to use, 0 for all processors: 1,2")
            .separated_by(',')
            .at_least(0)
            .at_most(1024)
            .in("Work");
        table.add("--seconds", &options->seconds, "how long to measure each row (2)").in("Work");
        table.add("--device", &options->device, "cpu or cuda:N").in("Work");
        table
            .add("--precision", &options->precisions,
                 "strict, fast, bf16, int8, or on GPUs tf32, fp16; or several: strict,bf16")
            .separated_by(',')
            .one_of(precision_words())
            .in("Work");
        const auto count_of_int8 = [options] { return std::ranges::count(options->precisions, "int8"); };
        add_calibration_option(table, options->calibration)
            .idle_when([count_of_int8] { return count_of_int8() == 0; }, "without --precision int8");
        TuningFile::add_option(table, &options->tune)
            .idle_when([options] { return options->low_memory; }, "with --low-memory")
            .idle_when(
                [options, count_of_int8] {
                  return !options->precisions.empty() && count_of_int8() == std::ssize(options->precisions);
                },
                "with --precision int8 alone");
        table.add("--low-memory", &options->low_memory, "weights in memory once, at the price of speed")
            .idle_when([options] { return options->device.starts_with("cuda"); }, "on a GPU")
            .in("Work");
        table.add("--layers", &options->layers, "measure each layer too").in("Output");
        return [options, &context] { return run(context, *options); };
      }};
}

}  // namespace rushlight::cli
