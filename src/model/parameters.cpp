#include "model/parameters.hpp"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>

#include "base/checked.hpp"
#include "model/visit_operator.hpp"

namespace rushlight::model {
namespace {

constexpr std::int64_t kUnknownSize = -1;

// Sizes as operators.def gives them: expressions over attributes, where a 0 is still to be read off the weights.
Shape sizes_of(std::initializer_list<std::int64_t> sizes) {
  Shape shape(sizes);
  for (std::int64_t& size : shape) size = size == kFromWeights ? kUnknownSize : size;
  return shape;
}
Shape sizes_of(const Shape& shape) {
  return shape;
}
template <class... Size>
requires(std::is_convertible_v<Size, std::int64_t>&&...) Shape sizes_of(Size... sizes) {
  return sizes_of({static_cast<std::int64_t>(sizes)...});
}

// weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (and weight_hr_l0 of a projection), then those of the other
// direction, then the next layer's. RNNBase.__init__ in torch/nn/modules/rnn.py.
template <class Rnn>
void list_recurrent(const Rnn& op, std::int64_t gates, std::int64_t proj_size, std::vector<ParameterShape>& out) {
  const std::int64_t state = proj_size > 0 ? proj_size : op.hidden_size;
  const std::int64_t directions = op.bidirectional ? 2 : 1;
  const std::int64_t rows = checked_mul(op.hidden_size, gates).value_or(kUnknownSize);
  const auto add = [&](const char* name, const std::string& suffix, Shape shape) {
    out.push_back({name + suffix, std::move(shape)});
  };
  for (std::int64_t layer = 0; layer < op.num_layers; ++layer) {
    const std::int64_t columns = layer == 0 ? op.input_size : checked_mul(state, directions).value_or(kUnknownSize);
    for (std::int64_t direction = 0; direction < directions; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      add("weight_ih", suffix, {rows, columns});
      add("weight_hh", suffix, {rows, state});
      if (op.bias) {
        add("bias_ih", suffix, {rows});
        add("bias_hh", suffix, {rows});
      }
      if (proj_size > 0) add("weight_hr", suffix, {proj_size, op.hidden_size});
    }
  }
}
void list_parameters(const RNN& op, std::vector<ParameterShape>& out) {
  list_recurrent(op, 1, 0, out);
}
void list_parameters(const LSTM& op, std::vector<ParameterShape>& out) {
  list_recurrent(op, 4, op.proj_size, out);
}
void list_parameters(const GRU& op, std::vector<ParameterShape>& out) {
  list_recurrent(op, 3, 0, out);
}

#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs)        \
  void parameters_of([[maybe_unused]] const Type& op, std::vector<ParameterShape>& out) { \
    static_cast<void>(out);
#define RUSHLIGHT_ATTRIBUTE(Type, ctype, field, default_value, meaning) [[maybe_unused]] const auto& field = op.field;
#define RUSHLIGHT_UNSET(Type, ctype, field, kind, meaning) [[maybe_unused]] const auto& field = op.field;
#define RUSHLIGHT_PARAMETER(Type, name, present, ...) \
  if (present) out.push_back({name, sizes_of(__VA_ARGS__)});
#define RUSHLIGHT_PARAMETER_LIST(Type) list_parameters(op, out);
#define RUSHLIGHT_OPERATOR_END(Type) }
#include "rushlight/operators.def"

void learn(std::int64_t& attribute, std::int64_t size) noexcept {
  if (attribute == kFromWeights) attribute = size;
}
// A product that does not fit stays unknown: no such tensor can be read anyway.
void learn_product(std::int64_t& attribute, std::int64_t a, std::int64_t b) noexcept {
  if (const auto product = checked_mul(a, b)) learn(attribute, *product);
}
void learn_window(std::int64_t& kernel, const Shape& shape) noexcept {
  learn(kernel, shape[2]);
}
void learn_window(IntPair& kernel, const Shape& shape) noexcept {
  learn(kernel.h, shape[2]);
  learn(kernel.w, shape[3]);
}
void learn_window(IntTriple& kernel, const Shape& shape) noexcept {
  learn(kernel.d, shape[2]);
  learn(kernel.h, shape[3]);
  learn(kernel.w, shape[4]);
}

template <class Op, class... Others>
constexpr bool kOneOf = (std::is_same_v<Op, Others> || ...);

// What the shape of the parameter `name` says. `shape` has the rank that the operator wants.
template <class Op>
void learn_from([[maybe_unused]] Op& op, [[maybe_unused]] std::string_view name, [[maybe_unused]] const Shape& shape) {
  if constexpr (kOneOf<Op, Conv1d, Conv2d, Conv3d>) {
    learn(op.out_channels, shape[0]);
    if (name == "bias") return;
    learn_product(op.in_channels, shape[1], op.groups);
    learn_window(op.kernel_size, shape);
  } else if constexpr (kOneOf<Op, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d>) {
    if (name == "bias") return learn(op.out_channels, shape[0]);
    learn(op.in_channels, shape[0]);
    learn_product(op.out_channels, shape[1], op.groups);
    learn_window(op.kernel_size, shape);
  } else if constexpr (kOneOf<Op, Linear>) {
    learn(op.out_features, shape[0]);
    if (name != "bias") learn(op.in_features, shape[1]);
  } else if constexpr (kOneOf<Op, Bilinear>) {
    learn(op.out_features, shape[0]);
    if (name == "bias") return;
    learn(op.in1_features, shape[1]);
    learn(op.in2_features, shape[2]);
  } else if constexpr (kOneOf<Op, BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm, InstanceNorm1d, InstanceNorm2d,
                              InstanceNorm3d>) {
    learn(op.num_features, shape[0]);
  } else if constexpr (kOneOf<Op, GroupNorm>) {
    learn(op.num_channels, shape[0]);
  } else if constexpr (kOneOf<Op, LayerNorm, RMSNorm>) {
    if (op.normalized_shape.empty()) op.normalized_shape = shape;
  } else if constexpr (kOneOf<Op, PReLU>) {
    learn(op.num_parameters, shape[0]);
  } else if constexpr (kOneOf<Op, Embedding, EmbeddingBag>) {
    learn(op.num_embeddings, shape[0]);
    learn(op.embedding_dim, shape[1]);
  } else if constexpr (kOneOf<Op, Parameter>) {
    if (op.shape.empty()) op.shape = shape;
  } else if constexpr (kOneOf<Op, MultiheadAttention>) {
    if (name == "out_proj.weight" || name == "q_proj_weight") learn(op.embed_dim, shape[0]);
    if (name == "in_proj_weight") learn(op.embed_dim, shape[1]);
  } else if constexpr (kOneOf<Op, ShiftedWindowAttention>) {
    if (name == "proj.weight" || name == "proj.bias") learn(op.dim, shape[0]);
  } else if constexpr (kOneOf<Op, RNNCell, LSTMCell, GRUCell>) {
    if (name == "weight_ih") learn(op.input_size, shape[1]);
    if (name == "weight_hh") learn(op.hidden_size, shape[1]);
  }
}

// Operators whose parameters may have any shape until the first is seen. A Parameter that is a scalar stays so: it has
// no sizes, as one whose shape is not known.
bool shape_is_open(const Operator& op) noexcept {
  if (const auto* norm = op.get_if<LayerNorm>()) return norm->normalized_shape.empty();
  if (const auto* norm = op.get_if<RMSNorm>()) return norm->normalized_shape.empty();
  const auto* parameter = op.get_if<Parameter>();
  return parameter != nullptr && parameter->shape.empty();
}

template <class Op>
void resolve_one(Operator& op, std::string_view name, const Shape& shape) {
  learn_from(writable<Op>(op), name, shape);
}
using Resolve = void (*)(Operator& op, std::string_view name, const Shape& shape);
constexpr Resolve kResolve[] = {
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) resolve_one<Type>,
#include "rushlight/operators.def"
};

}  // namespace

std::vector<ParameterShape> parameter_shapes(const Operator& op) {
  std::vector<ParameterShape> shapes;
  visit_operator(op, [&](const auto& inside) { parameters_of(inside, shapes); });
  return shapes;
}

bool has_parameters(const Operator& op) {
  return info(op) != nullptr && info(op)->has_parameters && !parameter_shapes(op).empty();
}

void resolve_attributes(Operator& op, const std::function<const Shape*(std::string_view name)>& find) {
  if (info(op) == nullptr || !info(op)->has_parameters) return;
  // One parameter after the other: what the weight says, the bias must agree with.
  const std::size_t count = parameter_shapes(op).size();
  for (std::size_t i = 0; i < count; ++i) {
    const ParameterShape parameter = parameter_shapes(op)[i];
    const Shape* shape = find(parameter.name);
    if (shape == nullptr) continue;
    if (!shape_is_open(op) && !fits(parameter.shape, *shape)) continue;
    kResolve[static_cast<std::size_t>(op.kind()) - 1](op, parameter.name, *shape);
  }
}

bool fits_parameter(const Operator& op, const ParameterShape& parameter, std::span<const std::int64_t> shape) noexcept {
  return shape_is_open(op) || fits(parameter.shape, shape);
}

bool fits(std::span<const std::int64_t> expected, std::span<const std::int64_t> shape) noexcept {
  if (expected.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (expected[i] == kUnknownSize ? shape[i] < 1 : shape[i] != expected[i]) return false;
  }
  return true;
}

}  // namespace rushlight::model
