// What networks take on one GPU, beside what the GPU can do at most. bench/README.md has the commands.
//
//   bench_cuda [--nets mlp,resnet50] [--batches 1,8,64] [--precisions strict,tf32,bf16,fp16] [--seconds 0.2]
//              [--device 0] [--commit HASH] [--json FILE]
//
// Weights are made up, so nothing but the program and a driver is needed. Every sample goes into FILE, of which
// bench/cuda_report.py makes tables. Without a GPU that can be used it says why and ends with 77.
#include "bench/cuda/cuda_bench.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "bench/cuda/networks.hpp"
#include "bench/cuda/peaks.hpp"
#include "bench/cuda/roofline.hpp"
#include "bench/cuda/targets.hpp"
#include "cli/json_writer.hpp"
#include "cuda/check.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/stream.hpp"
#include "runtime/plan.hpp"
#include "runtime/step_times.hpp"
#include "rushlight/rushlight.hpp"

namespace rushlight::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kExitWithoutGpu = 77;  // what test runners take for "skipped"
constexpr std::uint64_t kSeed = 2026;
constexpr std::size_t kFewestSamples = 10;
constexpr std::size_t kMostSamples = 200;
constexpr int kUploadSamples = 7;
constexpr std::int64_t kUploadFloats = std::int64_t{64} << 20;  // 256 MiB

struct Settings {
  std::vector<std::string> nets;
  std::vector<int> batches = {1, 8, 64};
  std::vector<Precision> precisions = {Precision::strict, Precision::tf32, Precision::bf16, Precision::fp16};
  double seconds = 0.2;  // about how long each row measures
  int device = 0;
  std::string commit;
  std::string json;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// --- the command line ---

std::vector<std::string> listed(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) words.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return words;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Empty, or what is wrong with the value.
std::string set(Settings& settings, std::string_view option, std::string_view value) {
  const auto known = [](const std::string& name) {
    const auto networks = bench_networks();
    return std::any_of(networks.begin(), networks.end(), [&](const BenchNetwork& n) { return n.name == name; });
  };
  if (option == "--nets") {
    settings.nets = listed(value);
    for (const std::string& name : settings.nets) {
      if (!known(name)) return "no network is called " + name;
    }
  } else if (option == "--batches") {
    settings.batches.clear();
    for (const std::string& word : listed(value)) {
      const std::optional<int> batch = number<int>(word);
      if (!batch || *batch < 1) return "no batch: " + word;
      settings.batches.push_back(*batch);
    }
  } else if (option == "--precisions") {
    settings.precisions.clear();
    for (const std::string& word : listed(value)) {
      const std::optional<Precision> precision = parse_precision(word);
      if (!precision || *precision == Precision::int8) return "no precision of GPUs: " + word;
      settings.precisions.push_back(*precision);
    }
  } else if (option == "--seconds") {
    const std::optional<double> seconds = number<double>(value);
    if (!seconds || !(*seconds > 0)) return "no time: " + std::string(value);
    settings.seconds = *seconds;
  } else if (option == "--device") {
    const std::optional<int> device = number<int>(value);
    if (!device || *device < 0) return "no number of a GPU: " + std::string(value);
    settings.device = *device;
  } else if (option == "--commit") {
    settings.commit = value;
  } else if (option == "--json") {
    settings.json = value;
  } else {
    return "no such option: " + std::string(option);
  }
  return {};
}

// --- what the machine is ---

// The first line of a file, or nothing.
std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "2026-11-28T03:04:05Z"
std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Status write_machine(cli::JsonWriter& json, int device) {
  const auto attribute = [&](cudaDeviceAttr which) -> std::int64_t {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, which, device) == cudaSuccess) return value;
    (void)cudaGetLastError();
    return 0;  // the newest drivers no longer say some of them
  };
  int runtime = 0;
  int driver = 0;
  RUSHLIGHT_CUDA_TRY(cudaRuntimeGetVersion, &runtime);
  RUSHLIGHT_CUDA_TRY(cudaDriverGetVersion, &driver);
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  RUSHLIGHT_CUDA_TRY(cudaMemGetInfo, &free_bytes, &total_bytes);
  const std::vector<DeviceInfo> devices = cuda::list_devices();
  json.key("gpu").begin_object();
  json.field("name", devices.at(static_cast<std::size_t>(device)).description);
  json.field("processors", attribute(cudaDevAttrMultiProcessorCount));
  json.field("capability",
             attribute(cudaDevAttrComputeCapabilityMajor) * 10 + attribute(cudaDevAttrComputeCapabilityMinor));
  json.field("sm_clock_khz", attribute(cudaDevAttrClockRate));
  json.field("memory_clock_khz", attribute(cudaDevAttrMemoryClockRate));
  json.field("l2_bytes", attribute(cudaDevAttrL2CacheSize));
  json.field("memory_bytes", static_cast<std::uint64_t>(total_bytes));
  json.field("memory_free_bytes", static_cast<std::uint64_t>(free_bytes));
  json.end_object();
  json.field("driver", first_line("/proc/driver/nvidia/version"));
  json.field("driver_cuda_version", driver);
  json.field("runtime_cuda_version", runtime);
  return {};
}

void write_samples(cli::JsonWriter& json, std::string_view name, const std::vector<double>& samples) {
  json.key(name).begin_array();
  for (const double sample : samples) json.real(sample);
  json.end_array();
}

// --- buffers of every kind a caller may have ---

enum class Where { host, pinned, device };
constexpr std::string_view kPlaces[] = {"host", "pinned", "device"};

class Buffer {
 public:
  static Result<Buffer> make(Where place, int device, std::size_t size_bytes) {
    Buffer buffer;
    if (place == Where::host) {
      buffer.host_.assign(size_bytes, std::byte{0});
      buffer.data_ = buffer.host_.data();
    } else if (place == Where::pinned) {
      void* pinned = nullptr;
      RUSHLIGHT_CUDA_TRY(cudaMallocHost, &pinned, size_bytes);
      buffer.pinned_.reset(static_cast<std::byte*>(pinned));
      buffer.data_ = buffer.pinned_.get();
    } else {
      RUSHLIGHT_TRY_ASSIGN(buffer.there_, cuda::DeviceBuffer::allocate(device, size_bytes, "a measurement"));
      buffer.data_ = buffer.there_.data();
    }
    return buffer;
  }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  struct FreePinned {
    void operator()(std::byte* memory) const noexcept { (void)cudaFreeHost(memory); }
  };
  std::vector<std::byte> host_;
  std::unique_ptr<std::byte, FreePinned> pinned_;
  cuda::DeviceBuffer there_;
  std::byte* data_ = nullptr;
};

// --- uploads ---

struct Uploads {
  std::vector<double> pinned_copy;  // bytes a second, cudaMemcpy from pinned memory
  std::vector<double> tensor;       // Tensor::to() of as many bytes in ordinary memory, with all it does
};

Result<Uploads> measure_uploads(int device) {
  Uploads uploads;
  constexpr std::size_t kBytes = static_cast<std::size_t>(kUploadFloats) * sizeof(float);
  RUSHLIGHT_TRY_ASSIGN(const Buffer pinned, Buffer::make(Where::pinned, device, kBytes));
  RUSHLIGHT_TRY_ASSIGN(const Buffer there, Buffer::make(Where::device, device, kBytes));
  std::memset(pinned.data(), 1, kBytes);
  const std::vector<float> values(static_cast<std::size_t>(kUploadFloats), 1.0F);
  RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, Tensor::from_values<float>(values, {kUploadFloats}));
  for (int i = -1; i < kUploadSamples; ++i) {  // in turn, the first unmeasured
    const Clock::time_point copy_begin = Clock::now();
    RUSHLIGHT_CUDA_TRY(cudaMemcpy, there.data(), pinned.data(), kBytes, cudaMemcpyHostToDevice);
    RUSHLIGHT_CUDA_TRY(cudaDeviceSynchronize);
    const double copy_seconds = seconds_since(copy_begin);
    const Clock::time_point tensor_begin = Clock::now();
    RUSHLIGHT_TRY_ASSIGN(const Tensor moved, tensor.to(Device::cuda(device)));
    RUSHLIGHT_CUDA_TRY(cudaDeviceSynchronize);
    const double tensor_seconds = seconds_since(tensor_begin);
    if (i < 0) continue;
    uploads.pinned_copy.push_back(static_cast<double>(kBytes) / copy_seconds);
    uploads.tensor.push_back(static_cast<double>(kBytes) / tensor_seconds);
  }
  return uploads;
}

// --- networks ---

// A session whose Progress is asked after each kernel launches them one by one; without one they may be a CUDA graph.
class GoOn final : public Progress {
 public:
  [[nodiscard]] bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return true; }
};
enum class Launch { together, one_by_one };
constexpr std::string_view kLaunches[] = {"together", "one by one"};

struct Row {
  std::string_view net;
  int batch = 0;
  Precision precision = Precision::strict;
  Where place = Where::host;
  Launch launch = Launch::together;
  std::vector<double> seconds;
};

struct Case {
  std::string_view net;
  int batch = 0;
  Precision precision = Precision::strict;
  Roofline bound;
  double error = 0;  // of the first picture against the CPU's strict result, relative to the largest value
  std::optional<double> prepare_seconds{};  // of a model's first session: weights from memory to the GPU, and the plan
  std::uint64_t weights_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::string launching{};         // where they are launched together, if they are
  std::uint64_t device_bytes = 0;  // what less was free afterwards: weights, workspace, and what the driver takes
};

double relative_error(std::span<const float> found, std::span<const float> expected) {
  double largest = 0;
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    const double error = std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    worst = std::isnan(error) ? error : std::max(worst, error);
    if (std::isnan(error)) return error;
  }
  return largest > 0 ? worst / largest : worst;
}

Result<std::uint64_t> free_device_bytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  RUSHLIGHT_CUDA_TRY(cudaMemGetInfo, &free, &total);
  return static_cast<std::uint64_t>(free);
}

class Measurement {
 public:
  explicit Measurement(const Settings& settings) : settings_(settings) {}

  std::vector<PeakSamples> peaks;
  Uploads uploads;
  std::vector<Case> cases;
  std::vector<Row> rows;

  Status run() {
    RUSHLIGHT_TRY_ASSIGN(peaks, measure_peaks());
    print_peaks();
    RUSHLIGHT_TRY_ASSIGN(uploads, measure_uploads(settings_.device));
    std::printf("upload: %.1f GB/s, a copy from pinned memory %.1f GB/s\n\n", median(uploads.tensor) / 1e9,
                median(uploads.pinned_copy) / 1e9);
    std::printf("%-13s %5s %-6s %10s %10s %10s %10s %12s %9s %8s  %s\n", "", "batch", "", "host", "pinned", "device",
                "one by one", "images/s", "roofline", "error", "together:");
    for (const BenchNetwork& network : bench_networks()) {
      if (!settings_.nets.empty() &&
          std::find(settings_.nets.begin(), settings_.nets.end(), network.name) == settings_.nets.end()) {
        continue;
      }
      RUSHLIGHT_TRY(run_network(network));
    }
    return {};
  }

 private:
  void print_peaks() const {
    for (const PeakSamples& one : peaks) {
      const double largest = *std::max_element(one.per_second.begin(), one.per_second.end());
      const bool is_copy = one.name == "copy";
      std::printf("%-5s %8.1f %s", std::string(one.name).c_str(), largest / (is_copy ? 1e9 : 1e12),
                  is_copy ? "GB/s, reads and writes" : "TFLOP/s");
      if (one.sm_clock_hz > 0) std::printf(" at %.0f MHz", one.sm_clock_hz / 1e6);
      std::printf("\n");
    }
  }

  Status run_network(const BenchNetwork& network) {
    Graph graph = network.graph();
    const StateDict weights = made_up_weights(graph, kSeed);
    RUSHLIGHT_TRY_ASSIGN(const Model model, Model::create(std::move(graph), weights));
    Shape one = network.item;
    one.insert(one.begin(), 1);
    RUSHLIGHT_TRY_ASSIGN(Session on_cpu, model.session(Device::cpu(), {.threads = 0, .limits = {}}));
    RUSHLIGHT_TRY_ASSIGN(const Tensor answer, on_cpu.run(made_up_input(one, kSeed)));
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> expected, answer.values<float>());
    for (const Precision precision : settings_.precisions) {
      // Of its own for each precision: what the others uploaded must not count.
      RUSHLIGHT_TRY_ASSIGN(const Model fresh, Model::create(model.graph(), weights));
      for (const int batch : settings_.batches) RUSHLIGHT_TRY(run_case(network, fresh, precision, batch, expected));
    }
    return {};
  }

  Status run_case(const BenchNetwork& network, const Model& model, Precision precision, int batch,
                  std::span<const float> expected) {
    Case found{.net = network.name, .batch = batch, .precision = precision, .bound = {}};
    Shape shape = network.item;
    shape.insert(shape.begin(), batch);
    const runtime::Network net{model.graph(), model.state_dict()};
    RUSHLIGHT_TRY_ASSIGN(const runtime::Plan plan,
                         runtime::make_plan(net, {&shape, 1}, {}, {.fuses_activations = true}));
    found.bound = roofline(runtime::describe_steps(net, plan, weight_bytes(precision)), peaks_of(peaks), precision);
    for (const auto& [name, tensor] : model.state_dict()) {
      found.weights_bytes += static_cast<std::uint64_t>(tensor.numel()) * sizeof(float);
    }

    const Tensor input = made_up_input(shape, kSeed);
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> input_bytes, input.bytes());
    std::vector<float> first_output;
    for (const Launch launch : {Launch::together, Launch::one_by_one}) {
      RUSHLIGHT_TRY_ASSIGN(const std::uint64_t free_before, free_device_bytes());
      SessionOptions options{.precision = precision, .limits = {}};
      options.progress = launch == Launch::one_by_one ? &go_on_ : nullptr;
      const Clock::time_point begin = Clock::now();
      RUSHLIGHT_TRY_ASSIGN(Session session, model.session(Device::cuda(settings_.device), options));
      RUSHLIGHT_TRY(session.prepare({&shape, 1}));
      RUSHLIGHT_CUDA_TRY(cudaDeviceSynchronize);
      if (launch == Launch::together) {
        if (batch == settings_.batches.front()) found.prepare_seconds = seconds_since(begin);
        found.workspace_bytes = session.workspace_bytes();
        found.launching = session.launching();
        RUSHLIGHT_TRY_ASSIGN(const std::uint64_t free_after, free_device_bytes());
        found.device_bytes = free_before > free_after ? free_before - free_after : 0;
      }
      RUSHLIGHT_TRY_ASSIGN(const std::vector<Shape> outputs, session.output_shapes({&shape, 1}));
      const Shape& output_shape = outputs.at(0);
      std::size_t output_floats = 1;
      for (const std::int64_t size : output_shape) output_floats *= static_cast<std::size_t>(size);
      for (const Where place : {Where::host, Where::pinned, Where::device}) {
        RUSHLIGHT_TRY_ASSIGN(const Buffer in, Buffer::make(place, settings_.device, input_bytes.size()));
        RUSHLIGHT_TRY_ASSIGN(const Buffer out, Buffer::make(place, settings_.device, output_floats * sizeof(float)));
        RUSHLIGHT_CUDA_TRY(cudaMemcpy, in.data(), input_bytes.data(), input_bytes.size(), cudaMemcpyDefault);
        RUSHLIGHT_CUDA_TRY(cudaStreamSynchronize, cudaStreamLegacy);  // the bytes may still be on their way
        const Device device = place == Where::device ? Device::cuda(settings_.device) : Device::cpu();
        const TensorView from{.data = in.data(), .shape = shape, .device = device};
        const MutableTensorView to{.data = out.data(), .shape = output_shape, .device = device};
        Row row{.net = network.name,
                .batch = batch,
                .precision = precision,
                .place = place,
                .launch = launch,
                .seconds = {}};
        RUSHLIGHT_TRY(sample(session, from, to, row.seconds));
        rows.push_back(std::move(row));
        std::vector<float> output(output_floats);
        RUSHLIGHT_CUDA_TRY(cudaMemcpy, output.data(), out.data(), output_floats * sizeof(float), cudaMemcpyDefault);
        if (first_output.empty()) first_output = output;
        if (std::memcmp(first_output.data(), output.data(), output.size() * sizeof(float)) != 0) {
          return Error::of({.category = Category::device,
                            .code = "BENCH-OTHER-BITS",
                            .message = std::string(network.name) + ": other bits with buffers in " +
                                       std::string(kPlaces[static_cast<int>(place)]) + " memory, launched " +
                                       std::string(kLaunches[static_cast<int>(launch)])});
        }
      }
    }
    found.error = relative_error(first_output, expected);
    print(found);
    cases.push_back(found);
    return {};
  }

  Status sample(Session& session, const TensorView& in, const MutableTensorView& out, std::vector<double>& seconds) {
    const auto once = [&]() -> Result<double> {
      const Clock::time_point begin = Clock::now();
      RUSHLIGHT_TRY(session.run({&in, 1}, {&out, 1}));
      return seconds_since(begin);
    };
    // Warm until clocks and caches are: a quarter of the time that is measured.
    const Clock::time_point warm = Clock::now();
    for (int i = 0; i < 3 || seconds_since(warm) < settings_.seconds / 4; ++i) {
      RUSHLIGHT_TRY_ASSIGN(const double ignored, once());
      (void)ignored;
    }
    const Clock::time_point begin = Clock::now();
    while (seconds.size() < kFewestSamples ||
           (seconds.size() < kMostSamples && seconds_since(begin) < settings_.seconds)) {
      RUSHLIGHT_TRY_ASSIGN(const double taken, once());
      seconds.push_back(taken);
    }
    return {};
  }

  [[nodiscard]] double median_of(const Case& one, Where place, Launch launch) const {
    for (const Row& row : rows) {
      if (row.net == one.net && row.batch == one.batch && row.precision == one.precision && row.place == place &&
          row.launch == launch) {
        return median(row.seconds);
      }
    }
    return 0;
  }

  void print(const Case& one) const {
    const double on_device = median_of(one, Where::device, Launch::together);
    std::printf("%-13s %5d %-6s %7.3f ms %7.3f ms %7.3f ms %7.3f ms %12.0f %7.1f %% %8.1e  %s\n",
                std::string(one.net).c_str(), one.batch, std::string(to_string(one.precision)).c_str(),
                median_of(one, Where::host, Launch::together) * 1e3,
                median_of(one, Where::pinned, Launch::together) * 1e3, on_device * 1e3,
                median_of(one, Where::device, Launch::one_by_one) * 1e3, one.batch / on_device,
                100 * one.bound.seconds / on_device, one.error, one.launching.c_str());
    std::fflush(stdout);
  }

  const Settings& settings_;
  GoOn go_on_;
};

std::vector<Judged> judged(const Measurement& measured) {
  std::vector<MeasuredLatency> latencies;
  for (const Row& row : measured.rows) {
    latencies.push_back(
        {row.net, row.batch, to_string(row.precision), kPlaces[static_cast<int>(row.place)], median(row.seconds)});
  }
  return judge(latencies);
}

void print_targets(const Measurement& measured) {
  std::printf("\n");
  for (const Judged& one : judged(measured)) {
    const std::string what(one.target->what);
    const std::string verdict(to_string(one.verdict));
    if (one.verdict == Verdict::not_measured) {
      std::printf("target: %s: at most %.3f ms: %s\n", what.c_str(), one.target->most_seconds * 1e3, verdict.c_str());
    } else {
      std::printf("target: %s: at most %.3f ms, found %.3f ms: %s\n", what.c_str(), one.target->most_seconds * 1e3,
                  one.seconds * 1e3, verdict.c_str());
    }
  }
  const double share = median(measured.uploads.tensor) / median(measured.uploads.pinned_copy);
  std::printf("target: uploads: at least %.0f %% of a copy from pinned memory, found %.0f %%: %s\n",
              100 * kLeastUploadShare, 100 * share, share >= kLeastUploadShare ? "met" : "missed");
}

Status write_json(const Settings& settings, const Measurement& measured) {
  cli::JsonWriter json;
  json.begin_object();
  json.field("schema", 1).field("name", "cuda").field("date", now_text()).field("commit", settings.commit);
  json.field("version", version_string());
  json.key("machine").begin_object();
  RUSHLIGHT_TRY(write_machine(json, settings.device));
  json.end_object();
  json.key("peaks").begin_array();
  for (const PeakSamples& one : measured.peaks) {
    json.begin_object().field("name", one.name).field("sm_clock_hz", one.sm_clock_hz);
    write_samples(json, "per_second", one.per_second);
    json.end_object();
  }
  json.end_array();
  json.key("uploads").begin_object();
  write_samples(json, "pinned_copy_bytes_per_second", measured.uploads.pinned_copy);
  write_samples(json, "tensor_bytes_per_second", measured.uploads.tensor);
  json.end_object();
  json.key("cases").begin_array();
  for (const Case& one : measured.cases) {
    json.begin_object().field("net", one.net).field("batch", one.batch);
    json.field("precision", to_string(one.precision));
    json.field("macs", one.bound.macs).field("bytes", one.bound.bytes);
    json.field("roofline_seconds", one.bound.seconds).field("roofline_compute_seconds", one.bound.compute_seconds);
    json.field("launching", std::string_view(one.launching));
    json.field("error_against_cpu", one.error).key("prepare_seconds");
    if (one.prepare_seconds) {
      json.real(*one.prepare_seconds);
    } else {
      json.null();
    }
    json.field("weights_bytes", one.weights_bytes).field("workspace_bytes", one.workspace_bytes);
    json.field("device_bytes", one.device_bytes).end_object();
  }
  json.end_array();
  json.key("rows").begin_array();
  for (const Row& row : measured.rows) {
    json.begin_object().field("net", row.net).field("batch", row.batch);
    json.field("precision", to_string(row.precision)).field("place", kPlaces[static_cast<int>(row.place)]);
    json.field("launch", kLaunches[static_cast<int>(row.launch)]);
    write_samples(json, "seconds", row.seconds);
    json.end_object();
  }
  json.end_array();
  json.key("targets").begin_array();
  for (const Judged& one : judged(measured)) {
    json.begin_object().field("what", one.target->what).field("most_seconds", one.target->most_seconds);
    json.key("seconds");
    if (one.verdict == Verdict::not_measured) {
      json.null();
    } else {
      json.real(one.seconds);
    }
    json.field("verdict", to_string(one.verdict)).end_object();
  }
  json.end_array().field("least_upload_share", kLeastUploadShare).end_object();
  std::ofstream file(settings.json, std::ios::binary);
  file << json.text() << '\n';
  if (!file.flush()) {
    return Error::of({.category = Category::io, .code = "BENCH-JSON", .message = "cannot write " + settings.json});
  }
  return {};
}

Status measure(const Settings& settings) {
  RUSHLIGHT_TRY_ASSIGN(const cuda::CurrentDevice current, cuda::CurrentDevice::use(settings.device));
  Measurement measured(settings);
  // What was measured before a failure is worth keeping: time on a GPU is dear.
  Status ran = measured.run();
  print_targets(measured);
  if (!settings.json.empty()) RUSHLIGHT_TRY(write_json(settings, measured));
  return ran;
}

}  // namespace

int run_cuda_bench(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; i += 2) {
    const std::string wrong =
        i + 1 < argc ? set(settings, argv[i], argv[i + 1]) : std::string(argv[i]) + " wants a value";
    if (!wrong.empty()) {
      std::fprintf(stderr, "bench_cuda: %s\n", wrong.c_str());
      return 2;
    }
  }
  const std::vector<DeviceInfo> devices = cuda::list_devices();
  const std::size_t index = std::min(static_cast<std::size_t>(settings.device), devices.size() - 1);
  if (static_cast<std::size_t>(settings.device) != index || !devices[index].usable) {
    std::printf("SKIPPED: nothing was measured: %s\n",
                devices[index].usable ? "there is no GPU of this number" : devices[index].why.c_str());
    return kExitWithoutGpu;
  }
  const Status status = measure(settings);
  if (!status) {
    std::fprintf(stderr, "bench_cuda: %s\n", to_string(status.error()).c_str());
    return 1;
  }
  return 0;
}

}  // namespace rushlight::bench
