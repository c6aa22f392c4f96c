// What PyTorch computes for each operator in the corners a careful adversary would choose: larger test data, found
// through the environment variable RUSHLIGHT_TESTDATA. Judged by the rules of operators/README.md there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "runtime/networks.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::test {
namespace {

std::optional<std::filesystem::path> operator_file(const std::string& name) {
  const char* const root = std::getenv("RUSHLIGHT_TESTDATA");
  if (root == nullptr || *root == '\0') return std::nullopt;
  return std::filesystem::path(root) / "operators" / (name + ".pt");
}

std::string text_of(const Value& value) {
  return std::string(value.as_string().value_or(""));
}

// A number for both sides, or a list of two; None gives `none`.
IntPair pair_of(const Value& value, std::int64_t none = 0) {
  const auto one = [&](const Value& number) { return number.as_int().value_or(none); };
  if (value.item_count() == 2) return {one(value.item(0)), one(value.item(1))};
  return IntPair(one(value));
}

// The operator of a case; nullopt with a reason where Rushlight has no such operator or attribute yet.
std::optional<Operator> operator_of(const std::string& module, const Value& attrs, std::string& reason) {
  const auto flag = [&](const char* name) { return attrs[name].as_bool().value_or(false); };
  const auto number = [&](const char* name) { return attrs[name].as_int().value_or(0); };
  if (module == "Conv2d") {
    if (text_of(attrs["padding_mode"]) != "zeros") return reason = "padding_mode", std::nullopt;
    Conv2d op{.in_channels = number("in_channels"), .out_channels = number("out_channels")};
    op.kernel_size = pair_of(attrs["kernel_size"]);
    op.stride = pair_of(attrs["stride"]);
    op.dilation = pair_of(attrs["dilation"]);
    op.groups = number("groups");
    op.bias = flag("bias");
    const std::string padding = text_of(attrs["padding"]);
    op.padding = padding == "same"    ? Padding::same()
                 : padding == "valid" ? Padding::valid()
                                      : Padding(pair_of(attrs["padding"]));
    return op;
  }
  if (module == "Linear") return Linear{number("in_features"), number("out_features"), flag("bias")};
  if (module == "BatchNorm1d" || module == "BatchNorm2d") {
    if (!flag("track_running_stats")) return reason = "track_running_stats=False", std::nullopt;
    if (flag("affine") && !flag("bias")) return reason = "bias=False", std::nullopt;
    const double eps = attrs["eps"].as_double().value_or(-1);
    if (module == "BatchNorm1d") return BatchNorm1d{number("num_features"), eps, flag("affine")};
    return BatchNorm2d{number("num_features"), eps, flag("affine")};
  }
  if (module == "ReLU") return ReLU{};
  if (module == "MaxPool2d") {
    return MaxPool2d{.kernel_size = pair_of(attrs["kernel_size"]),
                     .stride = pair_of(attrs["stride"]),
                     .padding = pair_of(attrs["padding"]),
                     .dilation = pair_of(attrs["dilation"]),
                     .ceil_mode = flag("ceil_mode")};
  }
  if (module == "AvgPool2d") {
    return AvgPool2d{.kernel_size = pair_of(attrs["kernel_size"]),
                     .stride = pair_of(attrs["stride"]),
                     .padding = pair_of(attrs["padding"]),
                     .ceil_mode = flag("ceil_mode"),
                     .count_include_pad = flag("count_include_pad"),
                     .divisor_override = number("divisor_override")};
  }
  if (module == "AdaptiveAvgPool2d") return AdaptiveAvgPool2d{pair_of(attrs["output_size"], -1)};
  if (module == "Flatten" || module == "torch.flatten") return Flatten{number("start_dim"), number("end_dim")};
  if (module == "Dropout") return Dropout{};
  if (module == "Identity") return Identity{};
  if (module == "Softmax") return Softmax{number("dim")};
  if (module == "torch.add") {
    if (attrs.contains("other")) return reason = "a number as operand", std::nullopt;
    if (attrs.contains("alpha")) return reason = "alpha", std::nullopt;
    return Add{};
  }
  return reason = "no such operator", std::nullopt;
}

enum class Kind { nan, plus_inf, minus_inf, finite };
Kind kind_of(double value) {
  if (std::isnan(value)) return Kind::nan;
  if (std::isinf(value)) return value > 0 ? Kind::plus_inf : Kind::minus_inf;
  return Kind::finite;
}

enum class Rule { exact, pointwise, largest };

void judge(Rule rule, std::span<const float> have, std::span<const float> torch, std::span<const double> in_double) {
  ASSERT_EQ(torch.size(), have.size());
  ASSERT_EQ(torch.size(), in_double.size());
  double largest = 0;
  double torch_error = 0;
  for (std::size_t i = 0; i < torch.size(); ++i) {
    if (!std::isfinite(torch[i]) || !std::isfinite(in_double[i])) continue;
    largest = std::max(largest, std::fabs(in_double[i]));
    torch_error = std::max(torch_error, std::fabs(static_cast<double>(torch[i]) - in_double[i]));
  }
  for (std::size_t i = 0; i < torch.size(); ++i) {
    const auto found = static_cast<double>(have[i]);
    const auto expected = static_cast<double>(torch[i]);
    const bool kind_is_right = kind_of(found) == kind_of(expected) || kind_of(found) == kind_of(in_double[i]);
    ASSERT_TRUE(kind_is_right) << "at " << i << ": expected " << expected << ", found " << found;
    if (!std::isfinite(found) || !std::isfinite(in_double[i])) continue;
    if (rule == Rule::exact) {
      ASSERT_EQ(expected, found) << "at " << i;
      continue;
    }
    const double bound = rule == Rule::pointwise ? 5e-6 * std::max(std::fabs(in_double[i]), 1e-3)
                                                 : std::max(4 * torch_error, 5e-6 * largest);
    ASSERT_LE(std::fabs(found - in_double[i]), bound)
        << "at " << i << ": expected " << in_double[i] << ", found " << found << ", PyTorch " << expected;
  }
}

struct OperatorFile {
  const char* name;
  Rule rule;
  std::size_t fewest;  // cases that must be run, so that a reader that finds none does not pass
};

class TorchOperators : public testing::TestWithParam<OperatorFile> {};

void run_case(const Value& test_case, const Operator& op, Rule rule, const runtime::Backend& backend) {
  GraphBuilder builder;
  const Value inputs = test_case["inputs"];
  std::vector<Edge> edges;
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < inputs.item_count(); ++i) {
    edges.push_back(builder.input("x" + std::to_string(i)));
    tensors.push_back(inputs.item(i).as_tensor().value().contiguous().value());
  }
  builder.output("y",
                 edges.size() == 2 ? builder.apply("op", op, edges[0], edges[1]) : builder.apply("op", op, edges[0]));
  StateDict state;
  const Value params = test_case["params"];
  for (std::size_t i = 0; i < params.entry_count(); ++i) {
    const auto [key, value] = params.entry(i);
    state.insert("op." + text_of(key), value.as_tensor().value());
  }
  const Model model = Model::create(builder.build().value(), state).value();
  const Tensor expected = test_case["output"].as_tensor().value();
  std::vector<Shape> shapes;
  for (const Tensor& tensor : tensors) shapes.emplace_back(tensor.shape().begin(), tensor.shape().end());
  const std::vector<Shape> inferred = model.graph().infer_shapes(shapes).value();
  ASSERT_EQ(Shape(expected.shape().begin(), expected.shape().end()),
            inferred[static_cast<std::size_t>(model.outputs()[0].edge.index)]);
  if (expected.numel() == 0) return;
  const Tensor torch = expected.contiguous().value();
  const Tensor in_double = test_case["output64"].as_tensor().value().contiguous().value();
  const std::vector<float> have = run_on(backend, model, tensors)[0];
  judge(rule, have, torch.values<float>().value(), in_double.values<double>().value());
}

TEST_P(TorchOperators, AreWhatPyTorchComputes) {
  const OperatorFile file = GetParam();
  const auto path = operator_file(file.name);
  if (!path) GTEST_SKIP() << "RUSHLIGHT_TESTDATA is not set";
  const Checkpoint checkpoint = Checkpoint::open(*path).value();
  const Value cases = checkpoint.root()["cases"];
  std::vector<std::shared_ptr<const runtime::Backend>> backends = cpu_backends();
  backends.push_back(runtime::reference::make_backend().value());
  std::size_t ran = 0;
  std::map<std::string, int> left_out;
  for (std::size_t i = 0; i < cases.item_count(); ++i) {
    const Value test_case = cases.item(i);
    std::string reason;
    const auto op = operator_of(text_of(test_case["module"]), test_case["attrs"], reason);
    if (!op) {
      ++left_out[reason];
      continue;
    }
    for (const auto& backend : backends) {
      SCOPED_TRACE(text_of(test_case["name"]) + " on " + std::string(backend->name()));
      run_case(test_case, *op, file.rule, *backend);
    }
    ++ran;
  }
  for (const auto& [reason, count] : left_out) std::printf("  left out %d cases: %s\n", count, reason.c_str());
  EXPECT_GE(ran, file.fewest);
}

INSTANTIATE_TEST_SUITE_P(
    Files, TorchOperators,
    testing::Values(OperatorFile{"conv2d", Rule::largest, 140}, OperatorFile{"linear", Rule::largest, 35},
                    OperatorFile{"batch_norm1d", Rule::largest, 14}, OperatorFile{"batch_norm2d", Rule::largest, 16},
                    OperatorFile{"relu", Rule::exact, 3}, OperatorFile{"max_pool2d", Rule::exact, 54},
                    OperatorFile{"avg_pool2d", Rule::largest, 78},
                    OperatorFile{"adaptive_avg_pool2d", Rule::largest, 22}, OperatorFile{"flatten", Rule::exact, 10},
                    OperatorFile{"dropout", Rule::exact, 4}, OperatorFile{"softmax", Rule::largest, 16},
                    OperatorFile{"add", Rule::pointwise, 8}),
    [](const auto& file) { return std::string(file.param.name); });

}  // namespace
}  // namespace rushlight::test
