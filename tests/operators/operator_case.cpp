#include "operators/operator_case.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/fail.hpp"
#include "model/operator_table.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::test {
namespace {

using model::OperatorInfo;

Error wrong_case(std::string message) {
  return Error::of({.category = Category::argument, .code = "OPERATOR-CASE", .message = std::move(message)});
}

std::string text_of(const Value& value) {
  return std::string(value.as_string().value_or(std::string_view()));
}

std::string_view last_component(std::string_view dotted) {
  return dotted.substr(dotted.rfind('.') + 1);  // npos + 1 is 0
}

// Names that several rows of torch share, or that the table has under another.
struct Alias {
  std::string_view module;
  std::string_view type;
};
constexpr Alias kAliases[] = {
    {"flatten", "Flatten"},
    {"interpolate", "Upsample"},
    {"UpsamplingNearest2d", "Upsample"},
    {"UpsamplingBilinear2d", "Upsample"},
    {"Dropout1d", "Dropout"},
    {"Dropout2d", "Dropout"},
    {"Dropout3d", "Dropout"},
    {"AlphaDropout", "Dropout"},
    {"FeatureAlphaDropout", "Dropout"},
    {"StochasticDepth", "Dropout"},
    {"ShiftedWindowAttentionV2", "ShiftedWindowAttention"},
};

// Attributes that inference ignores, where the operator has none of that name.
constexpr std::string_view kIgnored[] = {
    "momentum",           "inplace",   "return_indices", "max_norm", "norm_type",
    "scale_grad_by_freq", "sparse",    "_weight",        "_freeze",  "padding_idx",
    "min_value",          "max_value", "dropout",        "init",
};

const OperatorInfo* find_operator(std::string_view module) {
  const std::string_view name = last_component(module);
  const auto alias =
      std::find_if(std::begin(kAliases), std::end(kAliases), [&](const Alias& row) { return row.module == name; });
  for (const OperatorInfo& row : model::operator_table()) {
    if (alias != std::end(kAliases) ? row.type == alias->type : last_component(row.torch_class) == name) return &row;
  }
  return nullptr;
}

// A number, or -1 where adaptive pools have None; nothing for what is no number.
std::optional<std::int64_t> number_of(const Value& value) {
  if (value.is_none()) return -1;
  return value.as_int();
}

// A list of `count` numbers, or one for all of them.
std::optional<std::vector<std::int64_t>> numbers_of(const Value& value, std::size_t count) {
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < count; ++i) {
    const auto number = number_of(value.kind() == ValueKind::list ? value.item(i) : value);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  if (value.kind() == ValueKind::list && value.item_count() != count) return std::nullopt;
  return numbers;
}

// Writes one attribute; false when the value is not of its type.
struct Setter {
  const Value& value;

  bool operator()(std::int64_t& field) const { return put(field, number_of(value)); }
  bool operator()(bool& field) const { return put(field, value.as_bool()); }
  bool operator()(double& field) const { return put(field, value.as_double()); }
  bool operator()(std::optional<std::int64_t>& field) const { return put(field, value.as_int()); }
  bool operator()(std::optional<double>& field) const { return put(field, value.as_double()); }
  bool operator()(IntPair& field) const {
    const auto numbers = numbers_of(value, 2);
    if (numbers) field = {(*numbers)[0], (*numbers)[1]};
    return numbers.has_value();
  }
  bool operator()(IntTriple& field) const {
    const auto numbers = numbers_of(value, 3);
    if (numbers) field = {(*numbers)[0], (*numbers)[1], (*numbers)[2]};
    return numbers.has_value();
  }
  template <class Amount>
  bool operator()(BasicPadding<Amount>& field) const {
    const std::string word = text_of(value);
    if (word == "same" || word == "valid") {
      field = word == "same" ? BasicPadding<Amount>::same() : BasicPadding<Amount>::valid();
      return true;
    }
    return (*this)(field.amount);
  }
  bool operator()(Shape& field) const {
    const auto numbers = numbers_of(value, value.kind() == ValueKind::list ? value.item_count() : 1);
    if (numbers) field = *numbers;
    return numbers.has_value();
  }
  bool operator()(std::vector<double>& field) const {
    field.clear();
    const bool is_list = value.kind() == ValueKind::list;
    for (std::size_t i = 0; i < (is_list ? value.item_count() : 1); ++i) {
      const auto number = (is_list ? value.item(i) : value).as_double();
      if (!number) return false;
      field.push_back(*number);
    }
    return true;
  }
  bool operator()(std::string& field) const {
    field = text_of(value);
    return value.kind() == ValueKind::string;
  }
  bool operator()(model::WordField& field) const { return field.set(text_of(value)); }

 private:
  template <class Field, class T>
  static bool put(Field& field, const std::optional<T>& found) {
    if (found) field = *found;
    return found.has_value();
  }
};

bool is_adaptive_size(const Operator& op, std::string_view name) {
  return name == "output_size" && model::info(op)->type.starts_with("Adaptive");
}

Status set_attribute(Operator& op, std::string_view name, const Value& value) {
  bool found = false;
  bool fits = true;
  model::for_each_attribute(op, [&](const model::AttributeInfo& attribute, auto& field) {
    if (attribute.name != name) return;
    found = true;
    if (value.is_none() && !is_adaptive_size(op, name)) return;  // torch's None is the default here
    fits = Setter{value}(field);
  });
  const std::string where = std::string(model::info(op)->type) + ": attribute '" + std::string(name) + "'";
  if (!fits) return wrong_case(where + " has a value of another type");
  if (found || std::find(std::begin(kIgnored), std::end(kIgnored), name) != std::end(kIgnored)) return {};
  if (name == "bias" && value.as_bool() == true) return {};               // norms that torch can make without
  if (name == "padding_mode" && value.as_string() == "zeros") return {};  // transposed convolutions have no other
  return wrong_case(where + " is unknown");
}

Status set_attributes(Operator& op, const Value& attrs) {
  for (std::size_t i = 0; i < attrs.entry_count(); ++i) {
    const auto [key, value] = attrs.entry(i);
    if (key.as_string() != "args") {
      RUSHLIGHT_TRY(set_attribute(op, text_of(key), value));
      continue;
    }
    // Positional arguments of the constructor: the attributes stand in torch's order.
    const std::vector<model::Attribute> attributes = model::attributes(op);
    if (value.item_count() > attributes.size()) return wrong_case("more arguments than attributes");
    for (std::size_t argument = 0; argument < value.item_count(); ++argument) {
      RUSHLIGHT_TRY(set_attribute(op, attributes[argument].info->name, value.item(argument)));
    }
  }
  return {};
}

// Attributes without those that are no attributes of the operator.
Value without(const Value& attrs, std::initializer_list<std::string_view> names) {
  std::vector<std::pair<Value, Value>> rest;
  for (std::size_t i = 0; i < attrs.entry_count(); ++i) {
    auto entry = attrs.entry(i);
    if (std::find(names.begin(), names.end(), text_of(entry.first)) == names.end()) rest.push_back(std::move(entry));
  }
  return Value::dict(rest);
}

// A network under construction, and how the case's parameters are called in it.
struct Net {
  GraphBuilder builder{};
  std::vector<Edge> inputs{};
  std::size_t output_count = 1;
  std::vector<Edge> outputs{};
  std::string prefix{};  // of the parameters
};

// ConstantPad2d, ZeroPad1d, ReflectionPad3d and the like are one operator.
std::optional<Result<Operator>> pad_operator(const std::string& module, const Value& attrs) {
  const std::string_view name = module;
  const std::size_t at = name.find("Pad");
  if (at == std::string_view::npos || name.size() != at + 5 || name.back() != 'd') return std::nullopt;
  const auto sides = static_cast<std::size_t>(name[at + 3] - '0') * 2;
  Pad pad;
  const auto amounts = numbers_of(attrs["padding"], sides);
  if (!amounts) return wrong_case(module + ": padding is no " + std::to_string(sides) + " numbers");
  pad.pad = *amounts;
  const std::string_view kind = name.substr(0, at);
  if (kind == "Reflection") pad.mode = PadMode::reflect;
  if (kind == "Replication") pad.mode = PadMode::replicate;
  if (kind == "Circular") pad.mode = PadMode::circular;
  pad.value = attrs["value"].as_double().value_or(0.0);
  return Operator(pad);
}

Result<Operator> make_operator(const std::string& module, const Value& attrs) {
  if (auto pad = pad_operator(module, attrs)) return *std::move(pad);
  const OperatorInfo* row = find_operator(module);
  if (row == nullptr) return wrong_case("no operator is called " + module);
  Operator op = model::make_operator(*row);
  if (module == "UpsamplingBilinear2d") {
    model::writable<Upsample>(op).mode = InterpolationMode::bilinear;
    model::writable<Upsample>(op).align_corners = true;
  }
  if (module.ends_with("ShiftedWindowAttentionV2")) model::writable<ShiftedWindowAttention>(op).v2 = true;
  if (module == "torchvision.ops.StochasticDepth") {
    RUSHLIGHT_TRY(set_attributes(op, without(attrs, {"mode"})));
  } else if (op.is<Reciprocal>()) {
    RUSHLIGHT_TRY(set_attributes(op, without(attrs, {"numerator"})));  // it is 1
  } else if (op.is<MultiheadAttention>()) {
    RUSHLIGHT_TRY(set_attributes(op, without(attrs, {"inputs"})));
    const Value inputs = attrs["inputs"];
    for (std::size_t i = 3; i < inputs.item_count(); ++i) {
      RUSHLIGHT_TRY(set_attribute(op, text_of(inputs.item(i)), Value(true)));
    }
  } else {
    RUSHLIGHT_TRY(set_attributes(op, attrs));
  }
  return op;
}

Status build_one(Net& net, const std::string& module, const Value& attrs) {
  RUSHLIGHT_TRY_ASSIGN(Operator op, make_operator(module, attrs));
  net.prefix = "op.";
  net.outputs = net.builder.apply("op", std::move(op), net.inputs, net.output_count);
  return {};
}

Status build_pad_then_conv(Net& net, const Value& attrs) {
  Operator pad = Pad{};
  RUSHLIGHT_TRY(set_attribute(pad, "pad", attrs["pad"]));
  RUSHLIGHT_TRY(set_attribute(pad, "mode", attrs["pad_mode"]));
  RUSHLIGHT_TRY(set_attribute(pad, "value", attrs["pad_value"]));
  Operator conv = Conv2d{};
  RUSHLIGHT_TRY(set_attributes(conv, without(attrs, {"pad", "pad_mode", "pad_value"})));
  const Edge padded = net.builder.apply("pad", std::move(pad), net.inputs[0]);
  net.outputs = {net.builder.apply("conv", std::move(conv), padded)};
  return {};
}

// torchvision's LayerNorm2d: over the channels of an NCHW tensor.
Status build_layer_norm_2d(Net& net, const Value& attrs) {
  Operator norm = LayerNorm{};
  RUSHLIGHT_TRY(set_attributes(norm, attrs));
  net.prefix = "op.";
  const Edge last = net.builder.apply("", Permute{.dims = {0, 2, 3, 1}}, net.inputs[0]);
  const Edge normal = net.builder.apply("op", std::move(norm), last);
  net.outputs = {net.builder.apply("", Permute{.dims = {0, 3, 1, 2}}, normal)};
  return {};
}

Status build_squeeze_excitation(Net& net, const Value& attrs) {
  RUSHLIGHT_TRY_ASSIGN(Operator activation, make_operator(text_of(attrs["activation"]), Value()));
  RUSHLIGHT_TRY_ASSIGN(Operator scale, make_operator(text_of(attrs["scale_activation"]), Value()));
  const Edge x = net.inputs[0];
  Edge y = net.builder.apply("", AdaptiveAvgPool2d{.output_size = 1}, x);
  y = net.builder.apply("fc1", Conv2d{.kernel_size = 1}, y);
  y = net.builder.apply("", std::move(activation), y);
  y = net.builder.apply("fc2", Conv2d{.kernel_size = 1}, y);
  y = net.builder.apply("", std::move(scale), y);
  net.outputs = {net.builder.apply("", Mul{}, y, x)};
  return {};
}

// torch.nn.TransformerEncoderLayer and TransformerDecoderLayer in eval mode.
Status build_transformer_layer(Net& net, const Value& attrs, bool is_decoder) {
  GraphBuilder& g = net.builder;
  const bool bias = attrs["bias"].as_bool().value_or(true);
  const bool norm_first = attrs["norm_first"].as_bool().value_or(false);
  const double eps = attrs["layer_norm_eps"].as_double().value_or(1e-5);
  const auto heads = attrs["nhead"].as_int().value_or(0);
  const bool batch_first = attrs["batch_first"].as_bool().value_or(false);
  RUSHLIGHT_TRY_ASSIGN(const Operator activation,
                       make_operator(attrs["activation"].as_string() == "gelu" ? "GELU" : "ReLU", Value()));
  const auto norm = [&](int number, Edge x) {
    return g.apply("norm" + std::to_string(number), LayerNorm{.eps = eps, .bias = bias}, x);
  };
  const auto attend = [&](const std::string& name, Edge query, Edge memory) {
    const MultiheadAttention op{.num_heads = heads, .bias = bias, .batch_first = batch_first, .need_weights = false};
    return g.apply(name, op, {query, memory, memory});
  };
  const auto feed_forward = [&](Edge x) {
    const Edge hidden = g.apply("", activation, g.apply("linear1", Linear{.bias = bias}, x));
    return g.apply("linear2", Linear{.bias = bias}, hidden);
  };
  // x + block(norm(x)), or norm(x + block(x)).
  int number = 0;
  const auto residual = [&](Edge x, const auto& block) {
    ++number;
    if (norm_first) return g.apply("", Add{}, x, block(norm(number, x)));
    return norm(number, g.apply("", Add{}, x, block(x)));
  };
  Edge x = residual(net.inputs[0], [&](Edge y) { return attend("self_attn", y, y); });
  if (is_decoder) x = residual(x, [&](Edge y) { return attend("multihead_attn", y, net.inputs[1]); });
  net.outputs = {residual(x, feed_forward)};
  return {};
}

Status build(Net& net, const std::string& module, const Value& attrs) {
  if (module == "F.pad + Conv2d") return build_pad_then_conv(net, attrs);
  if (module == "torchvision.models.convnext.LayerNorm2d") return build_layer_norm_2d(net, attrs);
  if (module == "torchvision.ops.SqueezeExcitation") return build_squeeze_excitation(net, attrs);
  if (module == "TransformerEncoderLayer") return build_transformer_layer(net, attrs, false);
  if (module == "TransformerDecoderLayer") return build_transformer_layer(net, attrs, true);
  return build_one(net, module, attrs);
}

Result<Tensor> tensor_in_c_order(const Value& value) {
  const auto tensor = value.as_tensor();
  if (!tensor) return wrong_case("expected a tensor, found " + std::string(value.class_name()));
  return tensor->contiguous();
}

}  // namespace

Result<std::vector<Value>> read_cases(const std::filesystem::path& file) {
  RUSHLIGHT_TRY_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(file));
  const Value cases = checkpoint.root()["cases"];
  std::vector<Value> list;
  for (std::size_t i = 0; i < cases.item_count(); ++i) list.push_back(cases.item(i));
  return list;
}

Result<OperatorCase> make_case(const Value& values) {
  Net net;
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < values["inputs"].item_count(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(Tensor input, tensor_in_c_order(values["inputs"].item(i)));
    net.inputs.push_back(net.builder.input("x" + std::to_string(i), {}, input.dtype()));
    inputs.push_back(std::move(input));
  }
  std::vector<Expected> outputs;
  const auto expect = [&](const Value& output, const Value& in_double) -> Status {
    RUSHLIGHT_TRY_ASSIGN(Tensor torch, tensor_in_c_order(output));
    RUSHLIGHT_TRY_ASSIGN(Tensor exact, tensor_in_c_order(in_double));
    outputs.push_back({std::move(torch), std::move(exact)});
    return {};
  };
  RUSHLIGHT_TRY(expect(values["output"], values["output64"]));
  const Value extra = values["extra_outputs"];
  for (std::size_t i = 0; i < extra.item_count(); ++i) {
    RUSHLIGHT_TRY(expect(extra.item(i), values["extra_outputs64"].item(i)));
  }
  net.output_count = outputs.size();

  std::string module = text_of(values["module"]);
  RUSHLIGHT_TRY(build(net, module, values["attrs"]));
  for (std::size_t i = 0; i < net.outputs.size(); ++i) net.builder.output("y" + std::to_string(i), net.outputs[i]);
  RUSHLIGHT_TRY_ASSIGN(Graph graph, net.builder.build());
  StateDict state;
  const Value params = values["params"];
  for (std::size_t i = 0; i < params.entry_count(); ++i) {
    const auto [key, value] = params.entry(i);
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, tensor_in_c_order(value));
    state.insert(net.prefix + text_of(key), std::move(tensor));
  }
  RUSHLIGHT_TRY_ASSIGN(Model model, Model::create(std::move(graph), state));
  return OperatorCase{text_of(values["name"]), std::move(module),  std::move(model),
                      std::move(inputs),       std::move(outputs), values["float32_decides"].as_bool().value_or(false)};
}

}  // namespace rushlight::test
