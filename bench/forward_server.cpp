// Rushlight for bench/rivals/forward.py: one network in one process, which runs when it is asked. Through the public
// face alone, as any program would.
//
//   bench_forward_server WEIGHTS (--arch NAME | --spec FILE) INPUT OUTPUT THREADS PRECISION SIZE...
//
// INPUT and OUTPUT are raw float32; SIZE... is the shape of the input, the batch first. In the place of THREADS
// "cuda:0" is a GPU with input and output in its memory, "cuda:0,host" one with both in the host's. It writes the first
// result and prints a line of JSON; then, for every line "WARM RUNS" on its standard input, it runs WARM times
// unmeasured and RUNS times measured, and prints a line of JSON: the nanoseconds of each. bench/rivals/engines.py is
// the same for others. At the end it prints how many times memory was asked for within all measured runs.
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/rushlight.hpp"

#if RUSHLIGHT_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace rl = rushlight;

#if defined(__GLIBC__)
// Every way to the heap goes through these (tests/runtime/allocation_test.cpp): counted while `counting`.
namespace {
std::atomic<bool> counting{false};
std::atomic<unsigned long> allocations{0};

void count_one() {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
}
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

__attribute__((visibility("default"))) void* malloc(std::size_t size) {
  count_one();
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(std::size_t count, std::size_t size) {
  count_one();
  return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void* realloc(void* old, std::size_t size) {
  count_one();
  return __libc_realloc(old, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}
__attribute__((visibility("default"))) int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  count_one();
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}
#endif

namespace {

using Clock = std::chrono::steady_clock;

long long nanoseconds_since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
}

[[noreturn]] void give_up(const std::string& message) {
  std::fprintf(stderr, "bench_forward_server: %s\n", message.c_str());
  std::exit(1);
}

template <class T>
T checked(rl::Result<T> result) {
  if (!result) give_up(to_string(result.error()));
  return *std::move(result);
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) give_up(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Memory on the GPU that is current, as any caller has it; a session there comes first, and says what is missing.
void* device_memory([[maybe_unused]] std::size_t size_bytes) {
  void* memory = nullptr;
#if RUSHLIGHT_HAS_CUDA
  if (cudaMalloc(&memory, size_bytes) != cudaSuccess) give_up("no memory on the GPU");
#endif
  return memory;
}
void copy_bytes([[maybe_unused]] void* to, [[maybe_unused]] const void* from, [[maybe_unused]] std::size_t size_bytes) {
#if RUSHLIGHT_HAS_CUDA
  if (cudaMemcpy(to, from, size_bytes, cudaMemcpyDefault) != cudaSuccess) give_up("a copy failed");
  // Bytes that were not page-locked may still be on their way to the GPU.
  if (cudaStreamSynchronize(cudaStreamLegacy) != cudaSuccess) give_up("a copy failed");
#endif
}

// Memory of this process that belongs to no file.
long anonymous_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtol(line.c_str() + 8, nullptr, 10);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 9) give_up("WEIGHTS (--arch NAME | --spec FILE) INPUT OUTPUT THREADS PRECISION SIZE...");
  rl::ModelOptions options;
  if (std::strcmp(argv[2], "--arch") == 0) {
    options.arch = argv[3];
  } else {
    options.spec = read_file(argv[3]);
  }
  const std::string pixels = read_file(argv[4]);
  rl::SessionOptions how;
  rl::Device device = rl::Device::cpu();
  bool has_device_buffers = false;
  if (const std::string_view where = argv[6]; where.starts_with("cuda")) {
    device = checked(rl::Device::parse(where.substr(0, where.find(','))));
    has_device_buffers = !where.ends_with(",host");
  } else {
    how.threads = static_cast<unsigned>(std::strtoul(argv[6], nullptr, 10));
  }
  const std::optional<rl::Precision> precision = rl::parse_precision(argv[7]);
  if (!precision) give_up(std::string("no such precision: ") + argv[7]);
  how.precision = *precision;
  rl::Shape shape;
  std::size_t count = 1;
  for (int i = 8; i < argc; ++i) {
    shape.push_back(std::strtoll(argv[i], nullptr, 10));
    count *= static_cast<std::size_t>(shape.back());
  }
  std::vector<float> input(count);
  if (pixels.size() != count * sizeof(float)) give_up("INPUT has another size");
  std::memcpy(input.data(), pixels.data(), pixels.size());

  // Ranges come from a file where 8-bit integers are in use: finding them is no part of the way to the first result.
  std::optional<rl::Calibration> calibration;
  if (how.precision == rl::Precision::int8) {
    const rl::Model model = checked(rl::load_model(checked(rl::Checkpoint::open(argv[1])), options));
    const rl::Tensor sample = checked(rl::Tensor::from_values<float>(input, shape));
    calibration = checked(rl::calibrate(model, std::span(&sample, 1)));
    how.calibration = &*calibration;
  }

  const long before_kib = anonymous_kib();
  const Clock::time_point begin = Clock::now();
  const rl::Checkpoint checkpoint = checked(rl::Checkpoint::open(argv[1]));
  const rl::Model model = checked(rl::load_model(checkpoint, options));
  rl::Session session = checked(model.session(device, how));
  const rl::Shape output_shape = checked(session.output_shapes(std::span(&shape, 1))).at(0);
  std::size_t outputs = 1;
  for (const std::int64_t size : output_shape) outputs *= static_cast<std::size_t>(size);
  std::vector<float> output(outputs);
  rl::TensorView in{.data = input.data(), .shape = shape};
  rl::MutableTensorView out{.data = output.data(), .shape = output_shape};
  if (has_device_buffers) {
    void* const there = device_memory(count * sizeof(float));
    copy_bytes(there, input.data(), count * sizeof(float));
    in.data = there;
    in.device = device;
    out.data = device_memory(outputs * sizeof(float));
    out.device = device;
  }
  const auto run = [&] {
    const rl::Status ran = session.run(std::span(&in, 1), std::span(&out, 1));
    if (!ran) give_up(to_string(ran.error()));
  };
  run();
  const long long taken = nanoseconds_since(begin);
  if (has_device_buffers) copy_bytes(output.data(), out.data, outputs * sizeof(float));

  std::ofstream file(argv[5], std::ios::binary);
  file.write(reinterpret_cast<const char*>(output.data()), static_cast<std::streamsize>(outputs * sizeof(float)));
  if (!file.flush()) give_up(std::string("cannot write ") + argv[5]);
  std::printf("{\"version\": \"%s\", \"file_to_first_result_ns\": %lld, \"anonymous_kib_before\": %ld, ",
              std::string(rl::version_string()).c_str(), taken, before_kib);
  std::printf("\"workspace_bytes\": %llu}\n", static_cast<unsigned long long>(session.workspace_bytes()));
  std::fflush(stdout);

  std::vector<long long> samples;
  [[maybe_unused]] unsigned long measured = 0;
  for (long warm = 0, runs = 0; std::scanf("%ld %ld", &warm, &runs) == 2;) {
    samples.assign(static_cast<std::size_t>(runs), 0);
    for (long i = 0; i < warm; ++i) run();
#if defined(__GLIBC__)
    measured += samples.size();
    counting = true;
#endif
    for (long long& sample : samples) {
      const Clock::time_point start = Clock::now();
      run();
      sample = nanoseconds_since(start);
    }
#if defined(__GLIBC__)
    counting = false;
#endif
    const char* separator = "[";
    for (const long long sample : samples) {
      std::printf("%s%lld", separator, sample);
      separator = ", ";
    }
    std::printf("]\n");
    std::fflush(stdout);
  }
#if defined(__GLIBC__)
  std::printf("{\"runs\": %lu, \"allocations\": %lu}\n", measured, allocations.load());
#endif
  return 0;
}
