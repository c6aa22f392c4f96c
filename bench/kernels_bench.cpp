// The CPU's kernels one by one, on one thread and on the layers of real networks, beside what the machine can do at
// most. bench/kernels_report.py makes bench/KERNELS.md of the samples.
//
//   peak/...              multiply-adds on registers; reading memory, and what stays in L2
//   direct/NET/LAYER      a convolution as sums of products, whatever the plan would choose
//   winograd2/..., winograd2x4/..., winograd4/...
//   depthwise/..., gemv/..., pooling/..., layout/...
//   elementwise/...       on 64 Ki floats, which stay in L2
//
// A layer runs again and again on the same operands: what its caches hold they hold. Layers of one form are one row,
// named after the first; `layers` says how many there are. `operations` (two a multiply-add) and `bytes` are of one
// run.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/cpu_features.hpp"
#include "model/model_impl.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/plan.hpp"
#include "runtime/step_times.hpp"
#include "rushlight/architectures.hpp"
#include "rushlight/model.hpp"
#include "support/architecture_case.hpp"

namespace rl = rushlight;
namespace rt = rushlight::runtime;
namespace cpu = rushlight::runtime::cpu;

namespace {

template <class T>
T or_exit(rl::Result<T> result, const std::string& what) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "%s: %s\n", what.c_str(), to_string(result.error()).c_str());
  std::exit(1);
}

const cpu::Kernels& best_kernels() {
  switch (rl::usable_isa()) {
#if defined(__x86_64__)
    case rl::Isa::avx512:
      return cpu::avx512_kernels();
    case rl::Isa::avx2:
      return cpu::avx2_kernels();
#endif
    default:
      return cpu::baseline_kernels();
  }
}

// Asked for once: CPUID costs tens of microseconds in a virtual machine.
const cpu::Kernels& kernels() {
  static const cpu::Kernels& best = best_kernels();
  return best;
}

void fill(float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 251) / 256.0F - 0.5F;
}

cpu::AlignedBuffer filled(std::uint64_t floats) {
  cpu::AlignedBuffer buffer = cpu::AlignedBuffer::allocate(std::max<std::uint64_t>(floats, 16) * sizeof(float));
  fill(buffer.floats(), floats);
  return buffer;
}

// --- layers ---

enum class Way { as_chosen, direct, winograd2, winograd2x4, winograd4 };

// A network of torchvision, for one picture.
rl::Model architecture(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / "architectures";
  const rl::StateDict weights = rl::test::make_state_dict(rl::test::read_architecture(folder, name));
  return or_exit(rl::Model::create(or_exit(rl::architecture_graph(name, weights), name), weights), name);
}

// That of bench/rivals/nets.py.
constexpr std::int64_t kMlpInputs = 784;
constexpr std::int64_t kMlpHidden = 128;
rl::Model mlp() {
  const rl::Sequential layers({rl::Linear{kMlpInputs, kMlpHidden}, rl::ReLU{}, rl::Linear{kMlpHidden, 10}});
  rl::Graph graph = or_exit(layers.graph({kMlpInputs}), "mlp");
  rl::StateDict state;
  for (const rl::ParameterSpec& parameter : graph.parameters()) {
    std::int64_t count = 1;
    for (const std::int64_t size : parameter.shape) count *= size;
    std::vector<float> values(static_cast<std::size_t>(count));
    fill(values.data(), values.size());
    state.insert(parameter.name, or_exit(rl::Tensor::from_values<float>(values, parameter.shape), "mlp"));
  }
  return or_exit(rl::Model::create(std::move(graph), state), "mlp");
}

// A network, planned, with memory for its values. Steps are run one at a time.
class Network {
 public:
  explicit Network(const std::string& arch)
      : Network(architecture(arch),
                [&](const rl::Graph& graph) { return rl::architecture_input_shapes(arch, graph); }) {}
  template <class InputShapes>
  Network(rl::Model model, const InputShapes& input_shapes)
      : model_(std::move(model)),
        impl_(rl::Model::Impl::of(model_)),
        network_{impl_->graph, impl_->parameters},
        plan_(
            or_exit(rt::make_plan(network_, input_shapes(impl_->graph), {}, {.fuses_activations = true}), "the plan")),
        arena_(cpu::AlignedBuffer::allocate(std::max<std::uint64_t>(plan_.arena_bytes, 1))) {
    for (const rt::PlannedTensor& tensor : plan_.tensors) {
      if (tensor.place == rt::Place::arena) {
        addresses_.push_back(reinterpret_cast<float*>(arena_.data() + tensor.offset_bytes));
      } else {  // ports; these networks have no constants among their values
        ports_.push_back(filled(static_cast<std::uint64_t>(tensor.elements())));
        addresses_.push_back(ports_.back().floats());
      }
    }
    addresses_.push_back(nullptr);
  }

  [[nodiscard]] const rt::Plan& plan() const { return plan_; }
  [[nodiscard]] std::vector<rt::TimedStep> described() const { return rt::describe_steps(network_, plan_); }

  // nullptr: the weights do not go this way.
  std::unique_ptr<cpu::Op> make(std::size_t step, Way way) {
    const cpu::OpContext context{network_, plan_, kernels(), weights_, options_, machine_, nullptr, table_bytes_};
    const std::string& name = plan_.steps[step].name;
    return std::visit(
        [&](const auto& work) -> std::unique_ptr<cpu::Op> {
          using Work = std::decay_t<decltype(work)>;
          if constexpr (std::is_same_v<Work, rt::ConvStep>) {
            if (way == Way::direct) return or_exit(cpu::make_rows_op(work, context), name);
            if (way != Way::as_chosen) {
              const auto algorithm = way == Way::winograd2     ? cpu::ConvAlgorithm::winograd2
                                     : way == Way::winograd2x4 ? cpu::ConvAlgorithm::winograd2x4
                                                               : cpu::ConvAlgorithm::winograd4;
              return or_exit(cpu::make_winograd_op(work, algorithm, context), name);
            }
          }
          if constexpr (std::is_same_v<Work, rt::GeneralStep>) {
            return nullptr;
          } else {
            return or_exit(cpu::make_op(work, context), name);
          }
        },
        plan_.steps[step].work);
  }

  void run(benchmark::State& state, const cpu::Op& op) {
    // What other rows left there may be large enough to go another way.
    fill(reinterpret_cast<float*>(arena_.data()), plan_.arena_bytes / sizeof(float));
    const cpu::AlignedBuffer scratch = cpu::AlignedBuffer::allocate(op.scratch_bytes() + cpu::kCacheLine);
    const cpu::AlignedBuffer shared = cpu::AlignedBuffer::allocate(op.shared_bytes() + cpu::kCacheLine);
    addresses_.back() = shared.floats();
    for (auto _ : state) {
      for (std::size_t task = 0; task < op.task_count(); ++task) op.run(task, addresses_.data(), scratch.data());
      benchmark::ClobberMemory();
    }
  }

 private:
  rl::Model model_;
  std::shared_ptr<const rl::Model::Impl> impl_;
  rt::Network network_;
  rt::Plan plan_;
  rt::RunOptions options_;
  const cpu::Machine machine_{.name = {}, .memory = cpu::memory_cost(rl::usable_isa(), rl::detect_cpu_features())};
  cpu::CpuWeights weights_{kernels()};
  std::atomic<std::uint64_t> table_bytes_{0};
  cpu::AlignedBuffer arena_;
  std::vector<cpu::AlignedBuffer> ports_;
  std::vector<float*> addresses_;
};

bool is_depthwise(const rt::ConvStep& conv, const rt::Plan& plan) {
  return conv.groups > 1 && conv.groups == plan.tensors[conv.input].c;
}

bool takes_winograd(const rt::ConvStep& conv, const rt::Plan& plan) {
  return conv.kernel == rl::IntPair{3} && conv.stride == rl::IntPair{1} && conv.dilation == rl::IntPair{1} &&
         conv.groups == 1 && plan.tensors[conv.input].c >= 16;
}

// A row for each form among the steps that `wants` names. What the plan says of a step besides its name is its form.
template <class Wants>
void add_layers(const std::string& group, const std::string& arch, Way way, const std::shared_ptr<Network>& network,
                const Wants& wants) {
  const rt::Plan& plan = network->plan();
  const std::vector<rt::TimedStep> described = network->described();
  struct Form {
    std::size_t step;
    int layers;
  };
  std::map<std::string, Form> forms;
  std::vector<std::string> order;
  std::istringstream lines(to_string(plan));
  std::string line;
  for (std::size_t i = 0; i < plan.steps.size() && std::getline(lines, line); ++i) {
    if (!wants(plan.steps[i], plan)) continue;
    const std::string key = line.substr(plan.steps[i].name.size() + 1);
    const auto [form, is_new] = forms.try_emplace(key, Form{i, 0});
    ++form->second.layers;
    if (is_new) order.push_back(key);
  }
  for (const std::string& key : order) {
    const Form form = forms[key];
    const rt::TimedStep& step = described[form.step];
    const auto run = [network, key, form, way, macs = step.macs, bytes = step.bytes](benchmark::State& state) {
      const std::unique_ptr<cpu::Op> op = network->make(form.step, way);
      if (op == nullptr) return state.SkipWithError("these weights do not go this way");
      network->run(state, *op);
      state.SetLabel(key);
      state.counters["operations"] = 2.0 * static_cast<double>(macs);
      state.counters["bytes"] = static_cast<double>(bytes);
      state.counters["layers"] = form.layers;
    };
    benchmark::RegisterBenchmark((group + "/" + arch + "/" + step.name).c_str(), run)->UseRealTime();
  }
}

template <class... Works>
bool is_one_of(const rt::Step& step) {
  return (std::holds_alternative<Works>(step.work) || ...);
}

void add_networks() {
  const auto conv_where = [](auto condition) {
    return [condition](const rt::Step& step, const rt::Plan& plan) {
      const auto* const conv = std::get_if<rt::ConvStep>(&step.work);
      return conv != nullptr && condition(*conv, plan);
    };
  };
  const auto resnet50 = std::make_shared<Network>("resnet50");
  add_layers("direct", "resnet50", Way::direct, resnet50, conv_where([](const auto&...) { return true; }));
  add_layers("pooling", "resnet50", Way::as_chosen, resnet50, [](const rt::Step& step, const rt::Plan&) {
    return is_one_of<rt::MaxPoolStep, rt::AvgPoolStep, rt::AdaptiveAvgPoolStep>(step);
  });
  add_layers("layout", "resnet50", Way::as_chosen, resnet50,
             [](const rt::Step& step, const rt::Plan&) { return is_one_of<rt::LayoutStep>(step); });
  const auto vgg16 = std::make_shared<Network>("vgg16");
  add_layers("gemv", "vgg16", Way::as_chosen, vgg16,
             [](const rt::Step& step, const rt::Plan&) { return is_one_of<rt::LinearStep>(step); });
  const auto small = std::make_shared<Network>(mlp(), [](const rl::Graph&) {
    return std::vector<rl::Shape>{{1, kMlpInputs}};
  });
  add_layers("gemv", "mlp", Way::as_chosen, small,
             [](const rt::Step& step, const rt::Plan&) { return is_one_of<rt::LinearStep>(step); });
  add_layers("winograd2", "vgg16", Way::winograd2, vgg16, conv_where(takes_winograd));
  add_layers("winograd2x4", "vgg16", Way::winograd2x4, vgg16, conv_where(takes_winograd));
  add_layers("winograd4", "vgg16", Way::winograd4, vgg16, conv_where(takes_winograd));
  add_layers("depthwise", "mobilenet_v2", Way::as_chosen, std::make_shared<Network>("mobilenet_v2"),
             conv_where(is_depthwise));
}

// --- what has no weights ---

constexpr std::size_t kElements = std::size_t{1} << 16;

template <class Work>
void add_elementwise(const std::string& name, double floats_moved, Work work) {
  const auto run = [work, floats_moved](benchmark::State& state) {
    const cpu::AlignedBuffer a = filled(kElements);
    const cpu::AlignedBuffer b = filled(kElements);
    const cpu::AlignedBuffer to = filled(kElements);
    for (auto _ : state) {
      work(a.floats(), b.floats(), to.floats());
      benchmark::ClobberMemory();
    }
    state.counters["bytes"] = floats_moved * sizeof(float) * kElements;
    state.counters["layers"] = 1;
  };
  benchmark::RegisterBenchmark(("elementwise/" + name).c_str(), run)->UseRealTime();
}

void add_elements() {
  const cpu::Kernels& k = kernels();
  for (const auto& [name, kernel] :
       {std::pair{"relu", k.relu}, std::pair{"sigmoid", k.sigmoid}, std::pair{"silu", k.silu},
        std::pair{"tanh", k.tanh}, std::pair{"hardsigmoid", k.hardsigmoid}, std::pair{"hardswish", k.hardswish},
        std::pair{"gelu", k.gelu}}) {
    add_elementwise(name, 2, [run = kernel](const float* a, const float*, float* to) { run(a, to, kElements); });
  }
  add_elementwise("add", 3, [run = k.add](const float* a, const float* b, float* to) {
    run({.a = a, .b = b, .output = to, .count = kElements});
  });
  constexpr std::size_t kChannels = 256;
  add_elementwise("norm", 2, [run = k.norm](const float* a, const float* b, float* to) {
    run({.input = a,
         .input_stride = kChannels,
         .output = to,
         .output_stride = kChannels,
         .rows = kElements / kChannels,
         .channels = kChannels,
         .mean = b,
         .scale = b + kChannels,
         .shift = b + 2 * kChannels});
  });
  add_elementwise("softmax of 1024", 2, [run = k.softmax](const float* a, const float*, float* to) {
    for (std::size_t row = 0; row < kElements; row += 1024) {
      run({.input = a + row, .output = to + row, .axis = 1024, .inner = 1});
    }
  });
  add_elementwise("softmax of 64 by 1024", 2, [run = k.softmax](const float* a, const float*, float* to) {
    run({.input = a, .output = to, .axis = 64, .inner = 1024});
  });
}

// --- what the machine can do ---

void multiply_adds(benchmark::State& state) {
  constexpr std::size_t kRounds = 100'000;
  std::size_t operations = 0;
  for (auto _ : state) {
    float numbers[4] = {0.125F, 0.5F, 0.25F, 0};
    operations = kernels().multiply_adds(kRounds, numbers);
    benchmark::DoNotOptimize(numbers[0]);
  }
  state.counters["operations"] = static_cast<double>(operations);
}

template <std::size_t kFloats>
void read(benchmark::State& state) {
  static const cpu::AlignedBuffer buffer = filled(kFloats);
  for (auto _ : state) benchmark::DoNotOptimize(kernels().sum(buffer.floats(), kFloats));
  state.counters["bytes"] = static_cast<double>(kFloats * sizeof(float));
}
// Far beyond what caches hold, and about the weights of VGG16's largest layer.
constexpr std::size_t kMemoryFloats = std::size_t{64} << 20;
// More than L1 holds, less than L2: the weights of the MLP's first layer.
constexpr std::size_t kL2Floats = static_cast<std::size_t>(kMlpInputs * kMlpHidden);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("kernels", std::string(to_string(rl::usable_isa())));
  benchmark::RegisterBenchmark("peak/multiply_adds", multiply_adds)->UseRealTime();
  benchmark::RegisterBenchmark("peak/read", read<kMemoryFloats>)->UseRealTime();
  benchmark::RegisterBenchmark("peak/read_l2", read<kL2Floats>)->UseRealTime();
  add_networks();
  add_elements();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
