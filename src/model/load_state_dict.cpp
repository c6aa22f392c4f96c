#include "model/load_state_dict.hpp"

#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/attributes.hpp"
#include "model/describe.hpp"
#include "model/operator_table.hpp"
#include "model/parameters.hpp"
#include "model/shapes.hpp"
#include "rushlight/limits.hpp"

namespace rushlight::model {
namespace {

// Problems beyond these are only counted in a message; the report has them all.
constexpr std::size_t kListedProblems = 100;

bool is_real(DType dtype) noexcept {
  switch (info(dtype).kind) {
    case DTypeKind::boolean:
    case DTypeKind::integer:
    case DTypeKind::natural:
    case DTypeKind::real:
      return true;
    case DTypeKind::complex:
    case DTypeKind::quantized:
    case DTypeKind::bits:
      return false;
  }
  return false;
}

Shape to_shape(std::span<const std::int64_t> sizes) {
  return {sizes.begin(), sizes.end()};
}

// A stride-0 view of a few bytes can claim terabytes: what it unfolds to has a budget beyond its storage.
Status check_unfolded_size(const Tensor& tensor) {
  const std::uint64_t budget = Limits{}.materialised_bytes;
  const auto floats = checked_mul(static_cast<std::uint64_t>(tensor.numel()), std::uint64_t{sizeof(float)});
  const auto stored = checked_mul(tensor.storage().size_bytes(), std::uint64_t{sizeof(float)});
  if (!stored) return {};  // the storage itself is larger than anything that could unfold from it
  if (floats && *floats <= checked_add(*stored, budget).value_or(*stored)) return {};
  return Error::of({.category = Category::limit,
                    .code = "LIMIT-MATERIALISED-BYTES",
                    .message = "a storage of " + std::to_string(tensor.storage().size_bytes()) + " bytes unfolds to " +
                               std::to_string(tensor.numel()) + " elements"});
}

// Of this dtype in C order in host memory, with its bytes read and checked.
Result<Tensor> to_parameter(const Tensor& tensor, DType dtype) {
  RUSHLIGHT_TRY(check_unfolded_size(tensor));
  Tensor parameter = tensor;
  if (parameter.device() != Device::cpu()) {
    RUSHLIGHT_TRY_ASSIGN(parameter, parameter.to(Device::cpu()));
  }
  if (parameter.dtype() != dtype) {
    RUSHLIGHT_TRY_ASSIGN(parameter, parameter.to(dtype));
  }
  RUSHLIGHT_TRY_ASSIGN(parameter, parameter.contiguous());
  RUSHLIGHT_TRY(parameter.bytes());
  return parameter;
}

// Tied names view one tensor before and after: embeddings shared with heads are converted, kept and packed once.
class ParameterReader {
 public:
  Result<Tensor> read(const std::string& name, const Tensor& tensor, DType dtype) {
    Key key{tensor.storage().memory().get(),
            tensor.storage_offset(),
            to_shape(tensor.shape()),
            Strides(tensor.strides().begin(), tensor.strides().end()),
            tensor.dtype(),
            tensor.options().conj,
            tensor.options().neg,
            dtype};
    if (const auto found = done_.find(key); found != done_.end()) return found->second;
    Result<Tensor> parameter = to_parameter(tensor, dtype);
    if (!parameter) {
      Error error = std::move(parameter).error();
      error.finding.message = quoted(name) + ": " + error.finding.message;
      if (error.finding.tensors.empty()) error.finding.tensors.push_back(escaped(name));
      return error;
    }
    done_.emplace(std::move(key), *parameter);
    return parameter;
  }

 private:
  using Key = std::tuple<const Memory*, std::int64_t, Shape, Strides, DType, bool, bool, DType>;
  std::map<Key, Tensor> done_;
};

// Buffers that modules of this operator keep beside its parameters and inference does not read: BatchNorm counts its
// batches, and what the windows of Swin precompute follows from their size.
std::vector<std::string_view> unread_buffers(const Operator& op) {
  switch (op.kind()) {
    case OperatorKind::BatchNorm1d:
    case OperatorKind::BatchNorm2d:
    case OperatorKind::BatchNorm3d:
    case OperatorKind::SyncBatchNorm:
    case OperatorKind::InstanceNorm1d:
    case OperatorKind::InstanceNorm2d:
    case OperatorKind::InstanceNorm3d:
      return {"num_batches_tracked"};
    case OperatorKind::ShiftedWindowAttention:
      if (op.get<ShiftedWindowAttention>().v2) return {"relative_position_index", "relative_coords_table"};
      return {"relative_position_index"};
    default:
      return {};
  }
}

// By the name itself or one above it.
bool is_ignored(std::string_view name, const std::unordered_set<std::string_view>& ignored) {
  if (ignored.contains(name)) return true;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    if (ignored.contains(name.substr(0, dot))) return true;
  }
  return false;
}

std::vector<std::string> unexpected_names(const Graph::Impl& graph, const StateDict& state,
                                          std::unordered_set<std::string> expected) {
  for (const Node& node : graph.nodes) {
    for (const std::string_view buffer : unread_buffers(node.op)) expected.insert(node.parameter(buffer));
  }
  const std::unordered_set<std::string_view> ignored(graph.ignored.begin(), graph.ignored.end());
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) {
    if (!expected.contains(name) && !is_ignored(name, ignored)) names.push_back(name);
  }
  return names;
}

// "load_state_dict: 3 problems: 'fc1.weight': expected [128, 784], found [784, 128]; missing 'fc2.bias'; ..."
Error refusal(const LoadReport& report, Strict strict) {
  std::vector<std::string> lines;
  std::size_t count = report.wrong_shape.size() + report.wrong_dtype.size();
  Finding finding{.category = Category::model, .code = "STATE-DICT"};
  for (const auto& wrong : report.wrong_shape) {
    const std::string expected = shape_text(wrong.expected);
    const std::string found = shape_text(wrong.found);
    if (lines.empty()) {
      finding.expected = expected;
      finding.found = found;
    }
    if (lines.size() < kListedProblems)
      lines.push_back(quoted(wrong.name) + ": expected " + expected + ", found " + found);
    finding.tensors.push_back(escaped(wrong.name));
  }
  for (const auto& wrong : report.wrong_dtype) {
    if (lines.size() < kListedProblems) {
      lines.push_back(quoted(wrong.name) + ": expected real numbers, found " + std::string(to_string(wrong.found)));
    }
    finding.tensors.push_back(escaped(wrong.name));
  }
  if (strict == Strict::yes) {
    count += report.missing.size() + report.unexpected.size();
    for (const std::string& name : report.missing) {
      if (lines.size() < kListedProblems) lines.push_back("missing " + quoted(name));
    }
    for (const std::string& name : report.unexpected) {
      if (lines.size() < kListedProblems) lines.push_back("unexpected " + quoted(name));
    }
  }
  finding.message = "load_state_dict: " + count_text(count, "problem") + ": ";
  for (std::size_t i = 0; i < lines.size(); ++i) finding.message += (i > 0 ? "; " : "") + lines[i];
  if (count > lines.size()) finding.message += "; and " + std::to_string(count - lines.size()) + " more";
  if (!report.hints.empty()) finding.hint = report.hints.front();
  return Error::of(std::move(finding));
}

bool is_refused(const LoadReport& report, Strict strict) noexcept {
  return strict == Strict::yes ? !report.ok() : !report.wrong_shape.empty() || !report.wrong_dtype.empty();
}

}  // namespace

Result<Binding> load_state_dict(const Graph::Impl& graph, const StateDict& state, const StateDict* fallback,
                                Strict strict, LoadReport& report) {
  report = {};
  Binding binding{graph, {}, {}};
  binding.parameters.set_path(state.path());
  binding.parameters.set_metadata(state.metadata());

  struct Wanted {
    std::string name;
    Tensor tensor;
    DType dtype;
  };
  std::vector<Wanted> wanted;
  std::unordered_set<std::string> expected;
  std::string attributes;  // the first problem with what the weights say about them
  for (Node& node : binding.graph.nodes) {
    const auto find = [&](std::string_view parameter) -> const Tensor* {
      const std::string name = node.parameter(parameter);
      const Tensor* tensor = state.find(name);
      return tensor == nullptr && fallback != nullptr ? fallback->find(name) : tensor;
    };
    Shape shape;  // lives until the next call of the function that hands it out
    resolve_attributes(node.op, [&](std::string_view parameter) -> const Shape* {
      const Tensor* tensor = find(parameter);
      if (tensor == nullptr) return nullptr;
      shape = to_shape(tensor->shape());
      return &shape;
    });
    if (std::string problem = attribute_problem(node.op); !problem.empty() && attributes.empty()) {
      attributes = layer_text(node) + ": " + std::move(problem);
    }
    for (const ParameterShape& parameter : parameter_shapes(node.op)) {
      std::string name = node.parameter(parameter.name);
      const Tensor* tensor = find(parameter.name);
      if (expected.contains(name)) {
        // Of a module that is called again: what is wrong with its parameters has been said. Attributes of the two
        // calls may read different things off one shape, so it must fit both.
        if (tensor != nullptr && attributes.empty() && !fits_parameter(node.op, parameter, tensor->shape())) {
          attributes = layer_text(node) + ": " + quoted(name) + ": expected " + shape_text(parameter.shape) +
                       ", found " + shape_text(to_shape(tensor->shape()));
        }
        continue;
      }
      if (state.find(name) == nullptr) report.missing.push_back(name);
      if (tensor == nullptr) {
        binding.missing.push_back(name);
      } else if (!fits_parameter(node.op, parameter, tensor->shape())) {
        report.wrong_shape.push_back({name, parameter.shape, to_shape(tensor->shape())});
      } else if (!is_real(tensor->dtype())) {
        report.wrong_dtype.push_back({name, tensor->dtype()});
      } else {
        const auto* raw = node.op.get_if<Parameter>();
        const DType dtype = raw != nullptr && raw->integer ? DType::i64 : DType::f32;
        if (tensor->dtype() != dtype) report.casts.push_back({name, tensor->dtype(), dtype});
        wanted.push_back({name, *tensor, dtype});
      }
      expected.insert(std::move(name));
    }
  }
  report.unexpected = unexpected_names(graph, state, std::move(expected));
  report.hints = name_hints(report.missing, report.unexpected);
  if (is_refused(report, strict)) return refusal(report, strict);
  if (!attributes.empty()) {
    return Error::of(
        {.category = Category::model, .code = "STATE-DICT", .message = "load_state_dict: " + std::move(attributes)});
  }
  binding.graph.resolved = true;
  RUSHLIGHT_TRY(check_declared_shapes(binding.graph));

  ParameterReader reader;
  for (const Wanted& parameter : wanted) {
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, reader.read(parameter.name, parameter.tensor, parameter.dtype));
    binding.parameters.insert(parameter.name, std::move(tensor));
  }
  return binding;
}

}  // namespace rushlight::model
