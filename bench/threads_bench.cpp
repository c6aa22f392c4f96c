// What two threads gain, and what they could: bench/threads.py runs it. Through the public face alone.
//
//   bench_threads WEIGHTS ARCH PRECISION ROUNDS SIZE...
//
// Each round runs the network in three ways, one after the other, so that all of them have the same minutes of the
// machine: on one thread; on one thread while another runs a copy of it, which shares nothing with it but the machine
// (what two threads can gain at most is what the two do together); and on two threads. Prints a line of JSON: of each
// round the nanoseconds of each way, the mean of the faster half of its runs.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

namespace {

constexpr int kRuns = 4;  // of each way in each round, after one that is not measured

template <class T>
T checked(rl::Result<T> result) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "bench_threads: %s\n", to_string(result.error()).c_str());
  std::exit(1);
}

class Network {
 public:
  Network(const rl::Model& model, unsigned threads, rl::Precision precision, const rl::Shape& shape)
      : session_(checked(model.session(rl::Device::cpu(), {.threads = threads, .precision = precision}))),
        shape_(shape),
        output_shape_(checked(session_.output_shapes(std::span(&shape_, 1))).at(0)),
        input_(numel(shape_)),
        output_(numel(output_shape_)) {
    for (std::size_t i = 0; i < input_.size(); ++i) input_[i] = static_cast<float>(i * 7919 % 1000) / 500 - 1;
  }

  double nanoseconds_of_a_run() {
    using Clock = std::chrono::steady_clock;
    const rl::TensorView in{.data = input_.data(), .shape = shape_};
    const rl::MutableTensorView out{.data = output_.data(), .shape = output_shape_};
    const Clock::time_point begin = Clock::now();
    const rl::Status ran = session_.run(std::span(&in, 1), std::span(&out, 1));
    const double nanoseconds = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
    if (ran) return nanoseconds;
    std::fprintf(stderr, "bench_threads: %s\n", to_string(ran.error()).c_str());
    std::exit(1);
  }

  double nanoseconds() {
    nanoseconds_of_a_run();
    std::vector<double> runs(kRuns);
    for (double& run : runs) run = nanoseconds_of_a_run();
    std::sort(runs.begin(), runs.end());
    return std::accumulate(runs.begin(), runs.begin() + kRuns / 2, 0.0) / (kRuns / 2);
  }

 private:
  static std::size_t numel(const rl::Shape& shape) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    return count;
  }

  rl::Session session_;
  rl::Shape shape_;
  rl::Shape output_shape_;
  std::vector<float> input_;
  std::vector<float> output_;
};

void print(const char* name, const std::vector<double>& values, const char* end) {
  std::printf("\"%s\": [", name);
  for (std::size_t i = 0; i < values.size(); ++i) std::printf("%s%.0f", i == 0 ? "" : ", ", values[i]);
  std::printf("]%s", end);
}

}  // namespace

int main(int argc, char** argv) {
  const std::optional<rl::Precision> precision = argc < 6 ? std::nullopt : rl::parse_precision(argv[3]);
  if (!precision) {
    std::fputs("bench_threads: WEIGHTS ARCH PRECISION ROUNDS SIZE...\n", stderr);
    return 1;
  }
  const int rounds = std::atoi(argv[4]);
  rl::Shape shape;
  for (int i = 5; i < argc; ++i) shape.push_back(std::strtoll(argv[i], nullptr, 10));
  const auto load = [&] {
    return checked(rl::load_model(checked(rl::Checkpoint::open(argv[1])), {.arch = std::string(argv[2])}));
  };
  const rl::Model model = load();
  const rl::Model copy_of_model = load();
  Network one(model, 1, *precision, shape);
  Network copy(copy_of_model, 1, *precision, shape);
  Network two(model, 2, *precision, shape);
  one.nanoseconds();
  copy.nanoseconds();
  two.nanoseconds();

  std::vector<double> alone;
  std::vector<double> beside_a_copy;
  std::vector<double> the_copy;
  std::vector<double> on_two_threads;
  std::atomic<bool> ready{false};
  for (int round = 0; round < rounds; ++round) {
    alone.push_back(one.nanoseconds());
    ready = false;
    double of_copy = 0;
    std::thread other([&] {
      copy.nanoseconds_of_a_run();
      ready = true;
      of_copy = copy.nanoseconds();
      copy.nanoseconds_of_a_run();  // it goes on while the other's last run is measured
    });
    while (!ready) std::this_thread::yield();
    beside_a_copy.push_back(one.nanoseconds());
    other.join();
    the_copy.push_back(of_copy);
    on_two_threads.push_back(two.nanoseconds());
  }
  std::printf("{");
  print("alone", alone, ", ");
  print("beside_a_copy", beside_a_copy, ", ");
  print("the_copy", the_copy, ", ");
  print("two_threads", on_two_threads, "}\n");
  return 0;
}
