// SessionOptions::low_memory: how much memory of its own a process takes from a file of weights to its first result.
// Counted is anonymous memory, which the system cannot take back; a program of its own, so that nobody else's is in it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/model.hpp"
#include "support/temporary_folder.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RUSHLIGHT_OWN_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define RUSHLIGHT_OWN_MEMORY 0
#endif
#endif
#if !defined(RUSHLIGHT_OWN_MEMORY)
#define RUSHLIGHT_OWN_MEMORY 1
#endif

namespace rushlight::test {
namespace {

// Of the graph, names, stacks of threads, the heap's own: what does not grow with the weights.
constexpr std::uint64_t kFixedBytes = std::uint64_t{2} << 20;

// Resident pages that no file backs; 0 where the system does not say.
std::uint64_t anonymous_bytes() {
  char text[128] = {};
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  unsigned long long size = 0;
  unsigned long long resident = 0;
  unsigned long long shared = 0;
  if (count <= 0 || std::sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3) return 0;
  return (resident - shared) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// The most that anonymous_bytes() was above its first value, seen by a thread that asks again and again.
class Peak {
 public:
  Peak() : thread_([this] { watch(); }) {
    while (!ready_) std::this_thread::yield();
  }
  ~Peak() { static_cast<void>(stop()); }
  std::uint64_t stop() {
    note();
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
    return most_ - std::min<std::uint64_t>(most_, first_);
  }

 private:
  void watch() {
    first_ = anonymous_bytes();
    most_ = first_.load();
    ready_ = true;
    while (!stopped_) {
      note();
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  }
  void note() {
    const std::uint64_t now = anonymous_bytes();
    std::uint64_t most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
  }

  std::atomic<std::uint64_t> first_{0}, most_{0};
  std::atomic<bool> ready_{false}, stopped_{false};
  std::thread thread_;
};

// Convolutions of 3x3, all of which Winograd's ways would like, and a Linear: 61 MB.
constexpr int kLayers = 5;
constexpr std::int64_t kChannels = 512;
constexpr std::int64_t kSide = 14;
constexpr std::int64_t kFeatures = 3328;
Graph graph() {
  GraphBuilder g;
  Edge x = g.input("x", {-1, kChannels, kSide, kSide});
  for (int i = 0; i < kLayers; ++i) {
    const std::string name = std::to_string(i);
    x = g.apply("conv" + name,
                Conv2d{.in_channels = kChannels, .out_channels = kChannels, .kernel_size = 3, .padding = 1}, x);
    x = g.apply("norm" + name, BatchNorm2d{.num_features = kChannels}, x);
    x = g.apply("", ReLU{}, x);
  }
  x = g.apply("", Flatten{}, g.apply("", MaxPool2d{.kernel_size = kSide, .stride = kSide}, x));
  g.output("y", g.apply("fc", Linear{.in_features = kChannels, .out_features = kFeatures}, x));
  return g.build().value();
}

// As safetensors, written a little at a time.
std::uint64_t write_weights(const Graph& net, const std::filesystem::path& path) {
  std::string header = "{";
  std::uint64_t bytes = 0;
  for (const ParameterSpec& parameter : net.parameters()) {
    std::uint64_t size = sizeof(float);
    std::string shape;
    for (const std::int64_t length : parameter.shape) {
      size *= static_cast<std::uint64_t>(length);
      shape += (shape.empty() ? "" : ",") + std::to_string(length);
    }
    header += (header.size() == 1 ? "\"" : ",\"") + parameter.name + "\":{\"dtype\":\"F32\",\"shape\":[" + shape +
              "],\"data_offsets\":[" + std::to_string(bytes) + "," + std::to_string(bytes + size) + "]}";
    bytes += size;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::ofstream out(path, std::ios::binary);
  for (unsigned shift = 0; shift < 64; shift += 8) out.put(static_cast<char>(header.size() >> shift & 0xFFU));
  out << header;
  std::vector<float> piece(4096);
  for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<float>(i % 97) / 97.0F * 0.01F;
  for (std::uint64_t left = bytes; left > 0;) {
    const std::uint64_t count = std::min<std::uint64_t>(left, piece.size() * sizeof(float));
    out.write(reinterpret_cast<const char*>(piece.data()), static_cast<std::streamsize>(count));
    left -= count;
  }
  return bytes;
}

struct Measured {
  std::uint64_t peak_bytes = 0;
  std::uint64_t workspace_bytes = 0;
};

// File -> first result, then another shape.
Measured measure_here(const std::filesystem::path& path, const SessionOptions& options) {
  Measured measured;
  Peak peak;
  const Result<Checkpoint> checkpoint = Checkpoint::open(path);
  EXPECT_TRUE(checkpoint);
  if (!checkpoint) return measured;
  const Result<StateDict> state = checkpoint->state_dict();
  EXPECT_TRUE(state);
  if (!state) return measured;
  const Result<Model> model = Model::create(graph(), *state);
  EXPECT_TRUE(model);
  if (!model) return measured;
  Result<Session> session = model->session(Device::cpu(), options);
  EXPECT_TRUE(session);
  if (!session) return measured;
  for (const std::int64_t batch : {1, 2}) {
    const Result<Tensor> input = Tensor::zeros(DType::f32, {batch, kChannels, kSide, kSide});
    EXPECT_TRUE(input && session->run(*input));
    measured.workspace_bytes = std::max(measured.workspace_bytes, session->workspace_bytes());
  }
  measured.peak_bytes = peak.stop();
  return measured;
}

// In a process of its own: what an allocator keeps of an earlier run would hide what the next one takes.
Measured measure(const std::filesystem::path& path, const SessionOptions& options) {
  Measured measured;
  int ends[2] = {-1, -1};
  EXPECT_EQ(0, pipe(ends));
  const pid_t child = fork();
  if (child == 0) {
    measured = measure_here(path, options);
    const bool is_well = !testing::Test::HasFailure() && write(ends[1], &measured, sizeof measured) == sizeof measured;
    _exit(is_well ? 0 : 1);
  }
  close(ends[1]);
  EXPECT_EQ(ssize_t{sizeof measured}, read(ends[0], &measured, sizeof measured));
  close(ends[0]);
  int status = -1;
  EXPECT_EQ(child, waitpid(child, &status, 0));
  EXPECT_EQ(0, status);
  return measured;
}

TEST(Memory, OfALowMemorySessionIsThatOfTheWeightsOnce) {
  if (!RUSHLIGHT_OWN_MEMORY) {
    std::puts("SKIPPED: sanitizers keep memory of their own");
    GTEST_SKIP() << "sanitizers keep memory of their own";
  }
  if (anonymous_bytes() == 0) {
    std::puts("SKIPPED: no /proc/self/statm says how much memory a process has");
    GTEST_SKIP() << "no /proc/self/statm";
  }
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "weights.safetensors";
  const std::uint64_t weights = write_weights(graph(), path);
  ASSERT_GT(weights, 50'000'000U);
  for (const unsigned threads : {1U, 2U}) {
    const Measured low = measure(path, {.threads = threads, .low_memory = true});
    // 1.15 in whole numbers.
    const std::uint64_t bound = weights / 100 * 115 + low.workspace_bytes + kFixedBytes;
    std::printf("%u threads: %.1f MB of weights, %.1f MB of workspace, peak %.1f MB\n", threads,
                static_cast<double>(weights) / 1e6, static_cast<double>(low.workspace_bytes) / 1e6,
                static_cast<double>(low.peak_bytes) / 1e6);
    EXPECT_LE(low.peak_bytes, bound);
    EXPECT_GE(low.peak_bytes, weights);  // or it was not seen
    // What the option is for, and that the bound is one that can be missed.
    const Measured usual = measure(path, {.threads = threads});
    EXPECT_GT(usual.peak_bytes, bound);
  }
}

}  // namespace
}  // namespace rushlight::test
