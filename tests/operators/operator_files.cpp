#include "operators/operator_files.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <ostream>
#include <string_view>

#include "base/fail.hpp"

namespace rushlight::test {
namespace {

constexpr OperatorFile kFiles[] = {
#define OPERATOR_FILE(name, rule, case_count) {#name, Rule::rule, case_count},
#include "operators/operator_files.inc"
#undef OPERATOR_FILE
};

Status same_bits(const std::vector<Tensor>& outputs, const std::vector<std::vector<std::byte>>& before,
                 const std::string& who) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto bytes = outputs[i].bytes().value();
    if (std::equal(bytes.begin(), bytes.end(), before[i].begin(), before[i].end())) continue;
    return Error::of({.category = Category::device, .code = "OTHER-BITS", .message = who + " other bits"});
  }
  return {};
}

}  // namespace

void PrintTo(const OperatorFile& file, std::ostream* out) {
  *out << file.name << ".pt";
}

std::span<const OperatorFile> operator_files() {
  return kFiles;
}

std::optional<std::filesystem::path> find_file(const std::string& name) {
  const std::filesystem::path golden = RUSHLIGHT_GOLDEN_DIR;
  std::vector<std::filesystem::path> folders = {golden / "operators", golden / "operators-more"};
  if (const char* const root = std::getenv("RUSHLIGHT_TESTDATA"); root != nullptr && *root != '\0') {
    folders.push_back(std::filesystem::path(root) / "operators");
  }
  for (const auto& folder : folders) {
    std::filesystem::path file = folder / (name + ".pt");
    if (std::filesystem::exists(file)) return file;
  }
  return std::nullopt;
}

Rule rule_of(const OperatorFile& file, const OperatorCase& one) {
  constexpr std::string_view kExact[] = {"torch.neg",   "torch.abs",        "torch.floor", "torch.ceil",
                                         "torch.round", "torch.trunc",      "torch.sign",  "torch.isnan",
                                         "torch.isinf", "torch.logical_not"};
  const bool is_exact =
      one.float32_decides || std::find(std::begin(kExact), std::end(kExact), one.module) != std::end(kExact);
  return is_exact ? Rule::exact : file.rule;
}

Result<std::vector<Tensor>> run_case(const runtime::Backend& backend, const OperatorCase& one, bool thrice) {
  const Graph& graph = one.model.graph();
  const runtime::Network network{graph, one.model.state_dict()};
  std::vector<Shape> shapes;
  std::vector<TensorView> in;
  for (const Tensor& input : one.inputs) {
    shapes.emplace_back(input.shape().begin(), input.shape().end());
    in.push_back({input.bytes().value().data(), input.dtype(), input.shape(), Device::cpu()});
  }
  RUSHLIGHT_TRY_ASSIGN(const std::vector<EdgeType> types, graph.infer_types(shapes));
  std::vector<Tensor> outputs;
  std::vector<MutableTensorView> out;
  bool is_empty = true;
  for (const Port& port : graph.outputs()) {
    const EdgeType& type = types[static_cast<std::size_t>(port.edge.index)];
    RUSHLIGHT_TRY_ASSIGN(Tensor output, Tensor::zeros(type.dtype, type.shape));
    is_empty = is_empty && output.numel() == 0;
    outputs.push_back(std::move(output));
  }
  if (is_empty) return outputs;  // a session does not ask the backend then
  for (const Tensor& output : outputs) {
    const std::span<std::byte> bytes = output.mutable_bytes().value();
    // Of no particular value before the run, to see that all of it is written.
    if (output.dtype() != DType::boolean && !bytes.empty()) std::memset(bytes.data(), 0x5A, bytes.size());
    out.push_back({bytes.data(), output.dtype(), output.shape(), Device::cpu()});
  }
  RUSHLIGHT_TRY_ASSIGN(const auto weights, backend.make_weights(network));
  RUSHLIGHT_TRY_ASSIGN(const auto program, backend.compile(network, shapes, weights, {}));
  RUSHLIGHT_TRY(program->run(in, out));
  if (!thrice) return outputs;
  static const std::unique_ptr<Executor> pool = make_thread_pool(2);
  runtime::RunOptions two_threads;
  two_threads.executor = pool.get();
  RUSHLIGHT_TRY_ASSIGN(const auto threaded, backend.compile(network, shapes, weights, two_threads));
  std::vector<std::vector<std::byte>> first;
  for (const Tensor& output : outputs) {
    const auto bytes = output.bytes().value();
    first.emplace_back(bytes.begin(), bytes.end());
  }
  // The first run finds fresh memory, the second the values of the first; the third has two threads.
  RUSHLIGHT_TRY(program->run(in, out));
  RUSHLIGHT_TRY(same_bits(outputs, first, "a second run gives"));
  RUSHLIGHT_TRY(threaded->run(in, out));
  RUSHLIGHT_TRY(same_bits(outputs, first, "two threads give"));
  return outputs;
}

}  // namespace rushlight::test
