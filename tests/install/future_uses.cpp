// Compiled against the installed headers only, and run: the uses the interfaces were drawn for. When a change breaks
// one of these, it breaks programs out there.
//   future_uses FASHION_DIR
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

static int failures = 0;
static void expect(bool condition, const char* what) {
  if (!condition) {
    std::printf("FAILED: %s\n", what);
    ++failures;
  }
}

// A caller's own Source: bytes that are decrypted (here: XORed) as they are read, nothing is mapped.
class XorSource final : public rl::Source {
 public:
  explicit XorSource(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {
    for (std::byte& b : bytes_) b ^= std::byte{0x5A};
  }
  std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  rl::Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = bytes_[offset + i] ^ std::byte{0x5A};
    requested_ += out.size();
    return {};
  }
  std::string_view name() const noexcept override { return "vault:model"; }
  std::uint64_t requested() const { return requested_; }

 private:
  std::vector<std::byte> bytes_;
  mutable std::atomic<std::uint64_t> requested_{0};
};

// A caller's own Executor: everything on the calling thread, counted.
class CountingExecutor final : public rl::Executor {
 public:
  unsigned concurrency() const noexcept override { return 2; }
  void run(std::size_t count, void (*task)(void*, std::size_t), void* context) noexcept override {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
    jobs_ += count;
  }
  std::size_t jobs() const { return jobs_; }

 private:
  std::atomic<std::size_t> jobs_{0};
};

class CancelAtOnce final : public rl::Progress {
 public:
  bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
};

static rl::Result<rl::Graph> build_net(const rl::Value& module) {
  if (module.class_name() != "__main__.Net") {
    return rl::Error::of({.category = rl::Category::model, .code = "NET", .message = "another class"});
  }
  return rl::Sequential{{"conv1", rl::Conv2d{.padding = 1}},
                        {"bn1", rl::BatchNorm2d{}},
                        rl::ReLU{},
                        rl::MaxPool2d{.kernel_size = 2},
                        {"conv2", rl::Conv2d{.padding = 1}},
                        {"bn2", rl::BatchNorm2d{}},
                        rl::ReLU{},
                        rl::MaxPool2d{.kernel_size = 2},
                        rl::Flatten{},
                        {"fc1", rl::Linear{}},
                        rl::ReLU{},
                        {"fc2", rl::Linear{}}}
      .graph({1, 28, 28});
}

static std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> chars(std::istreambuf_iterator<char>(file), {});
  std::vector<std::byte> bytes(chars.size());
  if (!chars.empty()) std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

static void several_inputs_and_outputs_on_callers_buffers() {
  rl::GraphBuilder g;
  const rl::Edge a = g.input("a", {-1, 4});
  const rl::Edge b = g.input("b", {-1, 4});
  const rl::Edge sum = g.apply("sum", rl::Add{}, a, b);
  g.output("sum", sum);
  g.output("positive", g.apply("relu", rl::ReLU{}, sum));
  const rl::Graph graph = g.build().value();
  const rl::Model model = rl::Model::create(graph, rl::StateDict{}).value();
  rl::Session session = model.session().value();

  float a_values[8] = {1, -2, 3, -4, 5, -6, 7, -8};
  float b_values[8] = {0, 0, 0, 0, 1, 1, 1, 1};
  float sums[8];
  float positives[8];
  const std::int64_t shape[2] = {2, 4};
  const rl::TensorView inputs[2] = {{a_values, rl::DType::f32, shape, rl::Device::cpu()},
                                    {b_values, rl::DType::f32, shape, rl::Device::cpu()}};
  const rl::MutableTensorView outputs[2] = {{sums, rl::DType::f32, shape, rl::Device::cpu()},
                                            {positives, rl::DType::f32, shape, rl::Device::cpu()}};
  session.run(inputs, outputs).value();
  expect(sums[1] == -2 && sums[5] == -5 && sums[6] == 8, "two inputs are added");
  expect(positives[1] == 0 && positives[4] == 6, "the second output is the rectified sum");
  expect(session.inputs()[1].name == "b" && session.outputs()[1].name == "positive", "ports have names");
}

static void blobs_are_views_and_give_back_their_memory() {
  float* memory = new float[6]{0, 1, 2, 3, 4, 5};
  bool deleted = false;
  {
    const rl::Tensor tensor = rl::Tensor::from_blob(memory, 24, rl::DType::f32, {2, 3}, {}, [&deleted](void* data) {
                                delete[] static_cast<float*>(data);
                                deleted = true;
                              }).value();
    expect(tensor.values<float>().value().data() == memory, "from_blob copies nothing");
    const rl::Tensor transposed =
        rl::Tensor::view(tensor.storage(), rl::DType::f32, {3, 2}, {1, 3}, 0).value().contiguous().value();
    expect(transposed.values<float>().value()[1] == 3, "views have strides");
  }
  expect(deleted, "the deleter ran");
}

static void a_source_of_the_caller(const std::string& folder) {
  const auto source = std::make_shared<XorSource>(read_file(folder + "/fashion_cnn.pt"));
  const rl::Checkpoint checkpoint = rl::Checkpoint::open(source).value();
  const rl::StateDict state = checkpoint.state_dict().value();
  const std::uint64_t before = source->requested();
  expect(before < source->size_bytes() / 10, "opening reads little");
  expect(state.at("fc2.bias").value().values<float>().value().size() == 10, "tensors come through the source");
  expect(source->requested() - before < 4096, "reading one small tensor reads little");
}

static void an_executor_of_the_caller(const std::string& folder) {
  CountingExecutor executor;
  const rl::Checkpoint checkpoint = rl::Checkpoint::open(folder + "/fashion_cnn.pt").value();
  const rl::DigestReport report = rl::digest(checkpoint, rl::DigestAlgorithm::xxh3_128, &executor).value();
  expect(report.tensors.size() == 18 && executor.jobs() > 0, "digests run on the caller's executor");
}

static void cancelling(const std::string& folder) {
  CancelAtOnce cancel;
  const auto report = rl::verify(folder + "/fashion_cnn.pt", {.progress = &cancel});
  expect(!report && report.error().code == rl::ErrorCode::cancelled, "verify can be cancelled");
}

static void devices_of_tensors(const std::string& folder) {
  const rl::Checkpoint checkpoint = rl::Checkpoint::open(folder + "/fashion_cnn.pt").value();
  const rl::Tensor bias = checkpoint.state_dict().value().at("fc2.bias").value();
  expect(bias.device() == rl::Device::cpu(), "the default target is the CPU");
  const auto moved = bias.to(rl::Device::cuda(0));
  if (moved) {
    expect(moved->device() == rl::Device::cuda(0), "a copy lies on the GPU");
    expect(moved->to(rl::Device::cpu()).value().values<float>().value()[0] == bias.values<float>().value()[0],
           "and comes back");
  } else {
    expect(moved.error().code == rl::ErrorCode::device, "without a GPU the error is of class device");
  }
}

static void editing_values(const std::string& folder) {
  const rl::Checkpoint checkpoint = rl::Checkpoint::open(folder + "/fashion_ckpt.pt").value();
  rl::ValueEditor edit(checkpoint.root());
  edit.set("epoch", 99).value();
  edit.set("optimizer_state_dict.param_groups[0].lr", 0.5).value();
  const rl::Value changed = edit.value();
  expect(changed["epoch"].as_int() == 99, "the edited graph has the new value");
  expect(checkpoint.root()["epoch"].as_int() != 99, "the original is untouched");
  expect(changed.at("optimizer_state_dict.param_groups[0].lr").as_double() == 0.5, "paths reach inside");
}

static void a_pickled_module_classifies(const std::string& folder) {
  const rl::Checkpoint checkpoint = rl::Checkpoint::open(folder + "/fashion_module.pt").value();
  const auto refused = rl::load_model(checkpoint);
  expect(!refused && refused.error().finding.message.find("__main__.Net") != std::string::npos,
         "without a builder the unknown class is named");
  rl::ModelOptions options;
  options.classes = {{"__main__.Net", build_net}};
  const rl::Model model = rl::load_model(checkpoint, options).value();

  const rl::Tensor images = rl::read_idx(folder + "/images-1000.idx3-ubyte").value();
  const rl::Tensor pixels =
      rl::Tensor::view(images.storage(), images.dtype(), {1000, 1, 28, 28}, {784, 784, 28, 1}, 0).value();
  const rl::Tensor input = rl::to_input(pixels, {.scale = 255}).value();
  const rl::Tensor expected = rl::read_npy(folder + "/logits-10000.npy").value();
  const auto want = expected.values<float>().value();

  // Two sessions of one model, on two threads.
  std::vector<rl::Tensor> outputs(2);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      rl::Session session = model.session().value();
      outputs[i] = session.run(input).value();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto have = outputs[0].values<float>().value();
  const auto other = outputs[1].values<float>().value();
  float worst = 0;
  float largest = 0;
  bool same = true;
  bool finite = true;
  for (std::size_t i = 0; i < have.size(); ++i) {
    worst = std::fmax(worst, std::fabs(have[i] - want[i]));
    largest = std::fmax(largest, std::fabs(want[i]));
    finite = finite && std::isfinite(have[i]);
    same = same && have[i] == other[i];
  }
  expect(finite && worst <= 1e-5f * largest, "logits are PyTorch's");
  expect(same, "both threads get the same bits");
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  several_inputs_and_outputs_on_callers_buffers();
  blobs_are_views_and_give_back_their_memory();
  a_source_of_the_caller(folder);
  an_executor_of_the_caller(folder);
  cancelling(folder);
  devices_of_tensors(folder);
  editing_values(folder);
  a_pickled_module_classifies(folder);
  std::printf("%s\n", failures == 0 ? "all uses work" : "some uses fail");
  return failures == 0 ? 0 : 1;
}
