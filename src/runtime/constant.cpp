#include "runtime/constant.hpp"

#include <Eigen/Core>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::runtime {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Parameter {
  Tensor tensor;
  std::span<const float> values;
};

// Not read yet.
Result<Tensor> find(const Network& network, std::size_t node, std::string_view name) {
  const std::string full_name = network.graph.nodes()[node].parameter(name);
  const Tensor* tensor = network.parameters.find(full_name);
  if (tensor == nullptr) {
    return Error::of(
        {.category = Category::model, .code = "MODEL-MISSING", .message = "no parameter " + quoted(full_name)});
  }
  return *tensor;
}

Result<Parameter> parameter(const Network& network, std::size_t node, std::string_view name) {
  RUSHLIGHT_TRY_ASSIGN(Tensor tensor, find(network, node, name));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, tensor.values<float>());
  return Parameter{std::move(tensor), values};
}

// The four vectors of a batch norm as y = (x - mean) * scale + shift, in double.
class BatchNorm {
 public:
  static Result<BatchNorm> read(const Network& network, std::size_t node) {
    BatchNorm norm;
    bool affine = false;
    const auto look_at = [&](const auto& op) {
      norm.eps_ = op.eps;
      affine = op.affine;
    };
    const Operator& op = network.graph.nodes()[node].op;
    if (const auto* one = op.get_if<BatchNorm1d>()) look_at(*one);
    if (const auto* two = op.get_if<BatchNorm2d>()) look_at(*two);
    if (const auto* three = op.get_if<BatchNorm3d>()) look_at(*three);
    if (const auto* any = op.get_if<SyncBatchNorm>()) look_at(*any);
    RUSHLIGHT_TRY_ASSIGN(norm.mean_, parameter(network, node, "running_mean"));
    RUSHLIGHT_TRY_ASSIGN(norm.var_, parameter(network, node, "running_var"));
    if (affine) {
      RUSHLIGHT_TRY_ASSIGN(norm.weight_, parameter(network, node, "weight"));
      RUSHLIGHT_TRY_ASSIGN(norm.bias_, parameter(network, node, "bias"));
    }
    return norm;
  }
  [[nodiscard]] std::size_t size() const noexcept { return mean_.values.size(); }
  [[nodiscard]] double mean(std::size_t c) const noexcept { return static_cast<double>(mean_.values[c]); }
  [[nodiscard]] double scale(std::size_t c) const noexcept {
    const double weight = weight_.values.empty() ? 1.0 : static_cast<double>(weight_.values[c]);
    return weight / std::sqrt(static_cast<double>(var_.values[c]) + eps_);
  }
  [[nodiscard]] double shift(std::size_t c) const noexcept {
    return bias_.values.empty() ? 0.0 : static_cast<double>(bias_.values[c]);
  }

 private:
  double eps_ = 0;
  Parameter mean_;
  Parameter var_;
  Parameter weight_;
  Parameter bias_;
};

Result<std::span<float>> writable(Tensor& tensor) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, tensor.mutable_bytes());
  return std::span<float>(reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float));
}

template <class F>
Result<Tensor> make_vector(std::size_t size, F&& value) {
  RUSHLIGHT_TRY_ASSIGN(Tensor tensor, Tensor::zeros(DType::f32, {static_cast<std::int64_t>(size)}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<float> out, writable(tensor));
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<float>(value(i));
  return tensor;
}

Shape weight_shape(const Constant& constant, std::span<const std::int64_t> from) {
  if (constant.form != Form::conv_weight) return {from.begin(), from.end()};
  Shape shape = {from[0]};
  if (from.size() == 3) shape.push_back(1);
  shape.insert(shape.end(), from.begin() + 2, from.end());
  shape.push_back(from[1]);
  return shape;
}

// Weights: each output's [channels][pixels] becomes [pixels][channels], times the scale of a folded batch norm.
Result<Tensor> make_weight(const Constant& constant, const Network& network) {
  RUSHLIGHT_TRY_ASSIGN(const WeightSource weight, find_weight(constant, network));
  const Shape shape = weight_shape(constant, weight.tensor.shape());
  const bool moves = weight.channels > 1 && weight.pixels > 1;
  if (!moves && weight.scales.empty()) {
    return Tensor::view(weight.tensor.storage(), DType::f32, shape, contiguous_strides(shape),
                        weight.tensor.storage_offset());
  }
  RUSHLIGHT_TRY_ASSIGN(Tensor tensor, Tensor::zeros(DType::f32, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::span<float> out, writable(tensor));
  const auto channels = static_cast<Eigen::Index>(weight.channels);
  const auto pixels = static_cast<Eigen::Index>(weight.pixels);
  for (std::size_t o = 0; o < weight.outputs; ++o) {
    const std::size_t row = o * weight.channels * weight.pixels;
    const Eigen::Map<const RowMajor> source(weight.values.data() + row, channels, pixels);
    Eigen::Map<RowMajor> target(out.data() + row, pixels, channels);
    if (weight.scales.empty()) {
      target = source.transpose();
    } else {
      target = (source.transpose().cast<double>() * weight.scales[o]).cast<float>();
    }
  }
  return tensor;
}

// [out][taps][in / groups] from torch's [in][out / groups][taps].
Shape transposed_weight_shape(const Operator& op, std::span<const std::int64_t> from) {
  std::int64_t groups = 1;
  if (const auto* one = op.get_if<ConvTranspose1d>()) groups = one->groups;
  if (const auto* two = op.get_if<ConvTranspose2d>()) groups = two->groups;
  if (const auto* three = op.get_if<ConvTranspose3d>()) groups = three->groups;
  std::int64_t taps = 1;
  for (std::size_t i = 2; i < from.size(); ++i) taps *= from[i];
  return {groups * from[1], taps, from[0] / groups};
}

// The inputs of one group adjacent.
Result<Tensor> make_transposed_weight(const Constant& constant, const Network& network) {
  RUSHLIGHT_TRY_ASSIGN(const Parameter weight, parameter(network, constant.node, "weight"));
  const std::span<const std::int64_t> from = weight.tensor.shape();
  const Shape shape = transposed_weight_shape(network.graph.nodes()[constant.node].op, from);
  const std::int64_t outputs = from[1];
  const std::int64_t taps = shape[1];
  const std::int64_t inputs = shape[2];
  RUSHLIGHT_TRY_ASSIGN(Tensor tensor, Tensor::zeros(DType::f32, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::span<float> out, writable(tensor));
  const float* value = weight.values.data();
  for (std::int64_t i = 0; i < from[0]; ++i) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      float* const to = out.data() + ((i / inputs * outputs + o) * taps * inputs + i % inputs);
      for (std::int64_t tap = 0; tap < taps; ++tap) to[tap * inputs] = *value++;
    }
  }
  return tensor;
}

Result<Tensor> make_bias(const Constant& constant, const Network& network) {
  const Operator& op = network.graph.nodes()[constant.node].op;
  bool has_bias = true;  // whoever folds no batch norm asks for a bias only where there is one
  if (const auto* conv = op.get_if<Conv1d>()) has_bias = conv->bias;
  if (const auto* conv = op.get_if<Conv2d>()) has_bias = conv->bias;
  if (const auto* linear = op.get_if<Linear>()) has_bias = linear->bias;
  Parameter bias;
  if (has_bias) {
    RUSHLIGHT_TRY_ASSIGN(bias, parameter(network, constant.node, "bias"));
  }
  if (constant.batch_norm == kNoNode) return bias.tensor;
  RUSHLIGHT_TRY_ASSIGN(const BatchNorm norm, BatchNorm::read(network, constant.batch_norm));
  return make_vector(norm.size(), [&](std::size_t c) {
    const double own = bias.values.empty() ? 0.0 : static_cast<double>(bias.values[c]);
    return (own - norm.mean(c)) * norm.scale(c) + norm.shift(c);
  });
}

Result<Tensor> make_value(std::size_t index, const Network& network) {
  const auto* numbers = network.graph.nodes()[index].op.get_if<rushlight::Constant>();
  if (numbers == nullptr) {
    RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, find(network, index, ""));
    return tensor.contiguous();
  }
  if (!numbers->integer) {
    std::vector<float> values(numbers->values.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(numbers->values[i]);
    return Tensor::from_values<float>(values, numbers->shape);
  }
  std::vector<std::int64_t> values;
  // What lies beyond int64 has no number there; torch wraps, nobody means it.
  constexpr double kBound = 9.2e18;
  for (const double value : numbers->values) {
    values.push_back(value > -kBound && value < kBound ? static_cast<std::int64_t>(value) : 0);
  }
  return Tensor::from_values<std::int64_t>(values, numbers->shape);
}

}  // namespace

Result<WeightSource> find_weight(const Constant& constant, const Network& network) {
  RUSHLIGHT_TRY_ASSIGN(Parameter weight, parameter(network, constant.node, "weight"));
  WeightSource source;
  const std::span<const std::int64_t> shape = weight.tensor.shape();
  std::int64_t pixels = constant.pixels;
  std::int64_t channels = shape[1] / pixels;
  if (constant.form == Form::conv_weight) {
    channels = shape[1];
    pixels = 1;
    for (std::size_t i = 2; i < shape.size(); ++i) pixels *= shape[i];
  }
  source.outputs = static_cast<std::size_t>(shape[0]);
  source.channels = static_cast<std::size_t>(channels);
  source.pixels = static_cast<std::size_t>(pixels);
  source.values = weight.values;
  source.tensor = std::move(weight.tensor);
  if (constant.batch_norm == kNoNode) return source;
  RUSHLIGHT_TRY_ASSIGN(const BatchNorm norm, BatchNorm::read(network, constant.batch_norm));
  for (std::size_t o = 0; o < source.outputs; ++o) source.scales.push_back(norm.scale(o));
  return source;
}

Result<EdgeType> type_of(const Constant& constant, const Network& network) {
  const Operator& op = network.graph.nodes()[constant.node].op;
  const auto found = [&](std::size_t node, std::string_view name) -> Result<EdgeType> {
    RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, find(network, node, name));
    return EdgeType{tensor.dtype(), {tensor.shape().begin(), tensor.shape().end()}};
  };
  switch (constant.form) {
    case Form::conv_weight:
    case Form::linear_weight: {
      RUSHLIGHT_TRY_ASSIGN(const EdgeType weight, found(constant.node, "weight"));
      return EdgeType{DType::f32, weight_shape(constant, weight.shape)};
    }
    case Form::transposed_weight: {
      RUSHLIGHT_TRY_ASSIGN(const EdgeType weight, found(constant.node, "weight"));
      return EdgeType{DType::f32, transposed_weight_shape(op, weight.shape)};
    }
    case Form::bias:
      if (constant.batch_norm != kNoNode) return found(constant.batch_norm, "running_mean");
      return found(constant.node, "bias");
    case Form::parameter:
      return found(constant.node, constant.name);
    case Form::value: {
      const auto* numbers = op.get_if<rushlight::Constant>();
      if (numbers == nullptr) return found(constant.node, "");
      return EdgeType{numbers->integer ? DType::i64 : DType::f32, numbers->shape};
    }
    case Form::norm_mean:
    case Form::norm_scale:
    case Form::norm_shift:
      break;
  }
  return found(constant.node, "running_mean");
}

Result<Tensor> materialise(const Constant& constant, const Network& network) {
  switch (constant.form) {
    case Form::conv_weight:
    case Form::linear_weight:
      return make_weight(constant, network);
    case Form::transposed_weight:
      return make_transposed_weight(constant, network);
    case Form::bias:
      return make_bias(constant, network);
    case Form::parameter: {
      RUSHLIGHT_TRY_ASSIGN(const Parameter found, parameter(network, constant.node, constant.name));
      return found.tensor;
    }
    case Form::value:
      return make_value(constant.node, network);
    case Form::norm_mean:
    case Form::norm_scale:
    case Form::norm_shift:
      break;
  }
  RUSHLIGHT_TRY_ASSIGN(const BatchNorm norm, BatchNorm::read(network, constant.node));
  return make_vector(norm.size(), [&](std::size_t c) {
    if (constant.form == Form::norm_mean) return norm.mean(c);
    return constant.form == Form::norm_scale ? norm.scale(c) : norm.shift(c);
  });
}

}  // namespace rushlight::runtime
