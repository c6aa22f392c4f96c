#include "doors/module_attributes.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/operator_table.hpp"

namespace rushlight::doors {
namespace {

// rushlight:: stands before quoted() here, since <iomanip> may bring std::quoted along, which look-up would prefer.
std::string value_text(const Value& value) {
  switch (value.kind()) {
    case ValueKind::none:
      return "None";
    case ValueKind::boolean:
      return value.as_bool().value_or(false) ? "True" : "False";
    case ValueKind::integer: {
      const std::optional<std::int64_t> number = value.as_int();
      return number ? std::to_string(*number) : "an integer beyond 64 bits";
    }
    case ValueKind::real: {
      char text[64];
      const auto end = std::to_chars(text, text + sizeof text, value.as_double().value_or(0));
      return {text, end.ptr};
    }
    case ValueKind::string:
      return rushlight::quoted(value.as_string().value_or(""), 60);
    default:
      return "a " + escaped(value.class_name());
  }
}

// Python's int, and not its bool: a kernel_size of True is nobody's intention.
std::optional<std::int64_t> integer(const Value& value) {
  return value.kind() == ValueKind::integer ? value.as_int() : std::nullopt;
}

bool is_sequence(const Value& value) {
  const ValueKind kind = value.kind();
  return kind == ValueKind::tuple || kind == ValueKind::list || kind == ValueKind::size;
}

// One integer for all, or one for each.
template <std::size_t Count>
bool read_integers(const Value& value, std::int64_t (&out)[Count]) {
  if (const std::optional<std::int64_t> all = integer(value)) {
    for (std::int64_t& size : out) size = *all;
    return true;
  }
  // torch reads (3,) as 3 for all.
  if (!is_sequence(value) || (value.size() != 1 && value.size() != Count)) return false;
  for (std::size_t i = 0; i < Count; ++i) {
    const std::optional<std::int64_t> size = integer(value.item(value.size() == 1 ? 0 : i));
    if (!size) return false;
    out[i] = *size;
  }
  return true;
}

bool read_field(const Value& value, std::int64_t& field) {
  // Modules of one dimension keep (3,) for 3.
  std::int64_t number[1] = {};
  if (!read_integers(value, number)) return false;
  field = number[0];
  return true;
}
bool read_field(const Value& value, bool& field) {
  const std::optional<bool> truth = value.as_bool();
  if (truth) field = *truth;
  return truth.has_value();
}
bool read_field(const Value& value, double& field) {
  if (value.kind() != ValueKind::real && value.kind() != ValueKind::integer) return false;
  const std::optional<double> number = value.as_double();
  if (number) field = *number;
  return number.has_value();
}
bool read_field(const Value& value, IntPair& field) {
  std::int64_t sizes[2] = {};
  if (!read_integers(value, sizes)) return false;
  field = IntPair(sizes[0], sizes[1]);
  return true;
}
bool read_field(const Value& value, IntTriple& field) {
  std::int64_t sizes[3] = {};
  if (!read_integers(value, sizes)) return false;
  field = IntTriple(sizes[0], sizes[1], sizes[2]);
  return true;
}
template <class Amount>
bool read_field(const Value& value, BasicPadding<Amount>& field) {
  if (const std::optional<std::string_view> word = value.as_string()) {
    if (*word == "same") {
      field = BasicPadding<Amount>::same();
    } else if (*word == "valid") {
      field = BasicPadding<Amount>::valid();
    }
    return *word == "same" || *word == "valid";
  }
  Amount amounts{};
  if (!read_field(value, amounts)) return false;
  field = BasicPadding<Amount>(amounts);
  return true;
}
bool read_field(const Value& value, Shape& field) {
  field.clear();
  if (const std::optional<std::int64_t> number = integer(value)) {
    field.push_back(*number);
    return true;
  }
  if (!is_sequence(value)) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::optional<std::int64_t> number = integer(value.item(i));
    if (!number) return false;
    field.push_back(*number);
  }
  return true;
}
bool read_field(const Value& value, std::vector<double>& field) {
  field.clear();
  double number = 0;
  if (!is_sequence(value)) {
    field.push_back(number);
    return read_field(value, field.back());
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!read_field(value.item(i), number)) return false;
    field.push_back(number);
  }
  return true;
}
bool read_field(const Value& value, std::string& field) {
  const std::optional<std::string_view> text = value.as_string();
  if (text) field = std::string(*text);
  return text.has_value();
}
template <class T>
bool read_field(const Value& value, std::optional<T>& field) {
  T number{};
  if (!read_field(value, number)) return false;
  field = number;
  return true;
}
bool read_field(const Value& value, const model::WordField& field) {
  const std::optional<std::string_view> word = value.as_string();
  return word && field.set(*word);
}

std::string expected_text(std::int64_t) {
  return "an integer";
}
std::string expected_text(bool) {
  return "True or False";
}
std::string expected_text(double) {
  return "a number";
}
std::string expected_text(IntPair) {
  return "an integer or two";
}
std::string expected_text(IntTriple) {
  return "an integer or three";
}
template <class Amount>
std::string expected_text(BasicPadding<Amount> padding) {
  return expected_text(padding.amount) + ", 'same' or 'valid'";
}
std::string expected_text(const Shape&) {
  return "integers";
}
std::string expected_text(const std::vector<double>&) {
  return "numbers";
}
std::string expected_text(const std::string&) {
  return "a string";
}
template <class T>
std::string expected_text(const std::optional<T>&) {
  return expected_text(T{}) + " or None";
}
std::string expected_text(const model::WordField& field) {
  std::string text;
  for (const std::string_view word : field.words) text += (text.empty() ? "'" : ", '") + std::string(word) + "'";
  return text;
}

// AdaptiveAvgPool2d((None, 7)) keeps the height.
template <std::size_t Count>
bool read_output_size(const Value& value, std::int64_t (&out)[Count]) {
  const auto side = [](const Value& size) -> std::optional<std::int64_t> {
    if (size.is_none()) return -1;
    const std::optional<std::int64_t> number = integer(size);
    return number && *number < 1 ? std::nullopt : number;
  };
  const bool sequence = value.kind() == ValueKind::tuple || value.kind() == ValueKind::list;
  if (sequence && value.size() != Count) return false;
  for (std::size_t i = 0; i < Count; ++i) {
    const std::optional<std::int64_t> size = side(sequence ? value.item(i) : value);
    if (!size) return false;
    out[i] = *size;
  }
  return true;
}
template <class Field>
bool output_size(const Value&, Field&) {
  return false;
}
bool output_size(const Value& value, std::int64_t& field) {
  std::int64_t sizes[1] = {};
  const bool good = read_output_size(value, sizes);
  field = sizes[0];
  return good;
}
bool output_size(const Value& value, IntPair& field) {
  std::int64_t sizes[2] = {};
  const bool good = read_output_size(value, sizes);
  field = IntPair(sizes[0], sizes[1]);
  return good;
}
bool output_size(const Value& value, IntTriple& field) {
  std::int64_t sizes[3] = {};
  const bool good = read_output_size(value, sizes);
  field = IntTriple(sizes[0], sizes[1], sizes[2]);
  return good;
}

// Where torch keeps what is an attribute of the operator; most are attributes of the module by the same name.
enum class Kept : std::uint8_t {
  none_keeps,      // a size where None keeps the input's
  none_is_false,   // a bool whose None means False
  none_is_choice,  // None lets torch choose by the number of dimensions
  attribute,       // under the name `where`
  parameter,       // true where the parameter `where` is not None
  buffer,          // true where the buffer `where` is not None
  call,            // no attribute: an argument of forward()
};
struct Place {
  std::string_view types;  // the beginning of the operators' names
  std::string_view attribute;
  Kept kept;
  std::string_view where = {};
};
constexpr Place kPlaces[] = {
    {"Adaptive", "output_size", Kept::none_keeps},
    {"ConvTranspose", "output_size", Kept::call},
    {"Conv", "bias", Kept::parameter, "bias"},
    {"Linear", "bias", Kept::parameter, "bias"},
    {"Bilinear", "bias", Kept::parameter, "bias"},
    // What forward() asks is whether they are there; the attributes say what the constructor was told.
    {"BatchNorm", "affine", Kept::parameter, "weight"},
    {"BatchNorm", "track_running_stats", Kept::buffer, "running_mean"},
    {"InstanceNorm", "affine", Kept::parameter, "weight"},
    {"GroupNorm", "affine", Kept::parameter, "weight"},
    {"LayerNorm", "elementwise_affine", Kept::parameter, "weight"},
    {"LayerNorm", "bias", Kept::parameter, "bias"},
    {"RMSNorm", "elementwise_affine", Kept::parameter, "weight"},
    {"Softmax", "dim", Kept::none_is_choice},
    {"LogSoftmax", "dim", Kept::none_is_choice},
    {"Softmin", "dim", Kept::none_is_choice},
    {"Upsample", "align_corners", Kept::none_is_false},
    {"Upsample", "recompute_scale_factor", Kept::none_is_false},
    {"Upsample", "antialias", Kept::call},
    {"PairwiseDistance", "p", Kept::attribute, "norm"},
    {"MultiheadAttention", "bias", Kept::parameter, "in_proj_bias"},
    {"MultiheadAttention", "attn_mask", Kept::call},
    {"MultiheadAttention", "key_padding_mask", Kept::call},
    {"MultiheadAttention", "need_weights", Kept::call},
    {"MultiheadAttention", "average_attn_weights", Kept::call},
};

const Place* find_place(std::string_view type, std::string_view attribute) noexcept {
  for (const Place& place : kPlaces) {
    if (place.attribute == attribute && type.starts_with(place.types)) return &place;
  }
  return nullptr;
}

// An attribute whose only computed value is the one named here.
struct Fixed {
  std::string_view attribute;
  std::string_view computed;  // as value_text() spells it
  std::string_view why;
};
constexpr Fixed kFixed[] = {
    {"return_indices", "False", ""},                                    // max pools
    {"max_norm", "None", ": it changes the weights when it looks up"},  // Embedding, EmbeddingBag
};

// What stock modules keep and forward() does not use in eval mode, beside names that begin with '_'. An attribute that
// is neither here nor in operators.def is noted: a later release of torch may compute with it.
constexpr std::string_view kIgnored[] = {
    "training",            // inference means eval mode
    "momentum",            // BatchNorm, InstanceNorm
    "affine",              // norms: whether there is a weight decides
    "elementwise_affine",  // likewise
    "track_running_stats",
    "process_group",       // SyncBatchNorm
    "inplace",             // activations, Dropout
    "dropout",             // RNN, MultiheadAttention
    "transposed",          // Conv: the class says it
    "output_padding",      // Conv; ConvTranspose reads it
    "padding_mode",        // ConvTranspose: torch has zeros only
    "padding_idx",         // Embedding; EmbeddingBag reads it
    "norm_type",           // Embedding: of max_norm
    "scale_grad_by_freq",  // Embedding
    "sparse",              // Embedding: of gradients
    "init",                // PReLU
    "min_val",             // ReLU6
    "max_val",             // ReLU6
    "name",                // Upsample
    "mode",                // LSTM, GRU: the class says it
    "nonlinearity",        // RNN: `mode` decides
    "proj_size",           // RNN, GRU: 0
    "head_dim",            // MultiheadAttention: embed_dim / num_heads
    "kdim",                // MultiheadAttention: read with _qkv_same_embed_dim
    "vdim",
    "bias_k",  // MultiheadAttention: None, or a parameter
    "bias_v",
};

// The paddings of torch.nn, all of which are F.pad.
struct PaddingClass {
  std::string_view torch_class;
  PadMode mode;
  std::size_t dimensions;
};
constexpr PaddingClass kPaddings[] = {
    {"torch.nn.modules.padding.ConstantPad1d", PadMode::constant, 1},
    {"torch.nn.modules.padding.ConstantPad2d", PadMode::constant, 2},
    {"torch.nn.modules.padding.ConstantPad3d", PadMode::constant, 3},
    {"torch.nn.modules.padding.ZeroPad1d", PadMode::constant, 1},
    {"torch.nn.modules.padding.ZeroPad2d", PadMode::constant, 2},
    {"torch.nn.modules.padding.ZeroPad3d", PadMode::constant, 3},
    {"torch.nn.modules.padding.ReflectionPad1d", PadMode::reflect, 1},
    {"torch.nn.modules.padding.ReflectionPad2d", PadMode::reflect, 2},
    {"torch.nn.modules.padding.ReflectionPad3d", PadMode::reflect, 3},
    {"torch.nn.modules.padding.ReplicationPad1d", PadMode::replicate, 1},
    {"torch.nn.modules.padding.ReplicationPad2d", PadMode::replicate, 2},
    {"torch.nn.modules.padding.ReplicationPad3d", PadMode::replicate, 3},
    {"torch.nn.modules.padding.CircularPad1d", PadMode::circular, 1},
    {"torch.nn.modules.padding.CircularPad2d", PadMode::circular, 2},
    {"torch.nn.modules.padding.CircularPad3d", PadMode::circular, 3},
};

const PaddingClass* find_padding(std::string_view class_name) noexcept {
  for (const PaddingClass& padding : kPaddings) {
    if (padding.torch_class == class_name) return &padding;
  }
  return nullptr;
}

// Classes that compute, in eval mode, what one of the table computes with the same attributes.
struct Alias {
  std::string_view torch_class;
  std::string_view computed_as;
};
constexpr Alias kAliases[] = {
    {"torch.nn.modules.dropout.Dropout1d", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.Dropout2d", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.Dropout3d", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.AlphaDropout", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.FeatureAlphaDropout", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.linear.NonDynamicallyQuantizableLinear", "torch.nn.modules.linear.Linear"},
    {"torch.nn.modules.linear._LinearWithBias", "torch.nn.modules.linear.Linear"},
    {"torch.nn.modules.upsampling.UpsamplingNearest2d", "torch.nn.modules.upsampling.Upsample"},
    {"torch.nn.modules.upsampling.UpsamplingBilinear2d", "torch.nn.modules.upsampling.Upsample"},
    {"torchvision.ops.stochastic_depth.StochasticDepth", "torch.nn.modules.linear.Identity"},
    {"torchvision.ops.drop_block.DropBlock2d", "torch.nn.modules.linear.Identity"},
    {"torchvision.ops.drop_block.DropBlock3d", "torch.nn.modules.linear.Identity"},
    // torchvision up to 0.8 had its own, for empty batches.
    {"torchvision.ops.misc.Conv2d", "torch.nn.modules.conv.Conv2d"},
    {"torchvision.ops.misc.ConvTranspose2d", "torch.nn.modules.conv.ConvTranspose2d"},
    {"torchvision.ops.misc.BatchNorm2d", "torch.nn.modules.batchnorm.BatchNorm2d"},
    {"torchvision.ops.misc.FrozenBatchNorm2d", "torch.nn.modules.batchnorm.BatchNorm2d"},
};

// Hooks of torch.nn.utils that compute a weight anew before each forward().
struct WeightHook {
  std::string_view classes;  // the beginning of their names
  std::string_view what;
  std::string_view remedy;
};
constexpr WeightHook kWeightHooks[] = {
    {"torch.nn.utils.weight_norm.", "weight_norm", "torch.nn.utils.remove_weight_norm(layer)"},
    {"torch.nn.utils.spectral_norm.", "spectral_norm", "torch.nn.utils.remove_spectral_norm(layer)"},
    {"torch.nn.utils.prune.", "prune", "torch.nn.utils.prune.remove(layer, 'weight')"},
};

// Whether `_parameters` or `_buffers` has more than None under a name; nullopt where the name is not there.
std::optional<bool> holds(const Value& module, std::string_view dict, std::string_view name) {
  const Value found = module.attr(dict)[name];
  if (!found.exists()) return std::nullopt;
  return !found.is_none();
}

class Reader {
 public:
  Reader(const Value& module, std::string_view name, const model::OperatorInfo& row)
      : module_(module), name_(name), row_(row) {}

  Status check_fixed() const {
    for (const Fixed& fixed : kFixed) {
      const Value value = module_.attr(fixed.attribute);
      if (!value.exists() || value_text(value) == fixed.computed) continue;
      return unsupported_module(name_, module_,
                                std::string(fixed.attribute) + " " + value_text(value) + " is not built, only " +
                                    std::string(fixed.computed) + std::string(fixed.why));
    }
    // The operators have both or neither.
    const bool norm = row_.type.starts_with("BatchNorm") || row_.type.starts_with("InstanceNorm") ||
                      row_.type == "GroupNorm" || row_.type == "LayerNorm";
    const std::optional<bool> weight = holds(module_, "_parameters", "weight");
    const std::optional<bool> bias = holds(module_, "_parameters", "bias");
    if (norm && weight && bias && *weight != *bias && !(row_.type == "LayerNorm" && *weight)) {
      return unsupported_module(
          name_, module_, *weight ? "a weight without a bias is not built" : "a bias without a weight is not built");
    }
    return {};
  }

  // Field is a field of an operator struct, or a WordField for one.
  template <class Field>
  Status read(const model::AttributeInfo& attribute, Field& field) const {
    const Place* place = find_place(row_.type, attribute.name);
    if (place == nullptr) return read_value(attribute, attribute.name, field);
    const Value value = module_.attr(attribute.name);
    switch (place->kept) {
      case Kept::none_keeps:
        if (!value.exists() || output_size(value, field)) return required(attribute, field, value);
        return wrong_attribute(name_, module_, attribute.name, "sizes of at least 1, or None", value);
      case Kept::none_is_false:
        return value.is_none() ? Status() : read_value(attribute, attribute.name, field);
      case Kept::none_is_choice:
        if (!value.exists() || !value.is_none()) return read_value(attribute, attribute.name, field);
        return unsupported_module(name_, module_, "dim None lets torch choose by the number of dimensions",
                                  "save it with " + std::string(row_.type) + "(dim=1)");
      case Kept::attribute:
        return read_value(attribute, place->where, field);
      case Kept::parameter:
        return read_presence(attribute, "_parameters", place->where, field);
      case Kept::buffer:
        return read_presence(attribute, "_buffers", place->where, field);
      case Kept::call:
        return {};
    }
    return {};
  }

 private:
  template <class Field>
  Status required(const model::AttributeInfo& attribute, const Field& field, const Value& value) const {
    if (value.exists() || attribute.default_kind != model::DefaultKind::required) return {};
    return wrong_attribute(name_, module_, attribute.name, expected_text(field), value);
  }

  template <class Field>
  Status read_value(const model::AttributeInfo& attribute, std::string_view where, Field& field) const {
    const Value value = module_.attr(where);
    if (!value.exists()) return required(attribute, field, value);
    const bool optional = attribute.default_kind == model::DefaultKind::not_given ||
                          attribute.default_kind == model::DefaultKind::from_kernel;
    if (optional && value.is_none()) return {};
    if (!read_field(value, field)) return wrong_attribute(name_, module_, where, expected_text(field), value);
    // torch has sizes here; our 0 would mean "not given".
    bool zero = false;
    if constexpr (std::is_same_v<Field, std::int64_t>) zero = field == 0;
    if constexpr (std::is_same_v<Field, IntPair>) zero = field.h == 0 || field.w == 0;
    if constexpr (std::is_same_v<Field, IntTriple>) zero = field.d == 0 || field.h == 0 || field.w == 0;
    if (zero && attribute.default_kind != model::DefaultKind::value) {
      return wrong_attribute(name_, module_, where, "a size other than 0", value);
    }
    return {};
  }

  // What hand-made modules lack stands in an attribute of the same name, or is the default.
  template <class Field>
  Status read_presence(const model::AttributeInfo& attribute, std::string_view dict, std::string_view where,
                       Field& field) const {
    if constexpr (std::is_same_v<Field, bool>) {
      if (const std::optional<bool> there = holds(module_, dict, where)) {
        field = *there;
        return {};
      }
      if (attribute.name != "bias") return read_value(attribute, attribute.name, field);
    }
    return {};
  }

  const Value& module_;
  std::string_view name_;
  const model::OperatorInfo& row_;
};

Status read_padding(const Value& module, std::string_view name, const PaddingClass& kind, Pad& pad) {
  const Value padding = module.attr("padding");
  const std::size_t count = 2 * kind.dimensions;
  if (!read_field(padding, pad.pad) || (pad.pad.size() != count && padding.kind() != ValueKind::integer)) {
    return wrong_attribute(name, module, "padding", std::to_string(count) + " integers", padding);
  }
  pad.pad.resize(count, pad.pad.front());
  pad.mode = kind.mode;
  const Value value = module.attr("value");
  if (kind.mode == PadMode::constant && value.exists() && !read_field(value, pad.value)) {
    return wrong_attribute(name, module, "value", "a number", value);
  }
  return {};
}

// The first attribute says what files of old releases have too; `nonlinearity` came later.
Status read_rnn_mode(const Value& module, std::string_view name, RNN& rnn) {
  const Value mode = module.attr("mode");
  if (!mode.exists()) return {};
  const std::string_view word = mode.as_string().value_or("");
  if (word != "RNN_TANH" && word != "RNN_RELU") {
    return wrong_attribute(name, module, "mode", "'RNN_TANH' or 'RNN_RELU'", mode);
  }
  rnn.nonlinearity = word == "RNN_TANH" ? RnnNonlinearity::tanh : RnnNonlinearity::relu;
  return {};
}

// kdim and vdim are always there; they count where the projections are three.
Status read_attention(const Value& module, std::string_view name, MultiheadAttention& op) {
  if (module.attr("_qkv_same_embed_dim").as_bool().value_or(true)) {
    op.kdim.reset();
    op.vdim.reset();
  }
  // None is an attribute, a tensor a parameter.
  op.add_bias_kv = holds(module, "_parameters", "bias_k").value_or(false);
  const Value out = module.attr("_modules")["out_proj"];
  if (out.exists() && holds(out, "_parameters", "bias").value_or(op.bias) != op.bias) {
    return unsupported_module(name, module, "biases of some of its projections are not built, only of all or none");
  }
  // One output is computed: the weights of the attention are not asked for.
  op.need_weights = false;
  return {};
}

}  // namespace

std::string module_text(std::string_view name, const Value& module) {
  const std::string class_name = escaped(module.class_name());
  return (name.empty() ? "the module (" : "layer " + rushlight::quoted(name) + " (") + class_name + ")";
}

Error unsupported_module(std::string_view name, const Value& module, std::string why, std::string hint) {
  return Error::of({.category = Category::unsup,
                    .code = "MODULE-UNSUPPORTED",
                    .message = module_text(name, module) + ": " + std::move(why),
                    .hint = std::move(hint)});
}

Error wrong_attribute(std::string_view name, const Value& module, std::string_view attribute, std::string_view expected,
                      const Value& found) {
  const std::string text = found.exists() ? value_text(found) : "nothing";
  return Error::of({.category = Category::type,
                    .code = "MODULE-ATTRIBUTE",
                    .message = module_text(name, module) + ": " + std::string(attribute) + ": expected " +
                               std::string(expected) + ", found " + text,
                    .found = text,
                    .expected = std::string(expected)});
}

const model::OperatorInfo* find_stock_module(std::string_view class_name) noexcept {
  if (find_padding(class_name) != nullptr) return &model::info(OperatorKind::Pad);
  for (const Alias& alias : kAliases) {
    if (alias.torch_class == class_name) return model::find_torch_class(alias.computed_as);
  }
  // "torch.add" is a function.
  if (!class_name.starts_with("torch.nn.modules.") && !class_name.starts_with("torchvision.")) return nullptr;
  return model::find_torch_class(class_name);
}

Status check_hooks(const Value& module, std::string_view name) {
  for (const std::string_view dict : {"_forward_hooks", "_forward_pre_hooks"}) {
    const Value hooks = module.attr(dict);
    for (std::size_t i = 0; i < hooks.entry_count(); ++i) {
      const Value hook = hooks.entry(i).second;
      for (const WeightHook& known : kWeightHooks) {
        if (!hook.class_name().starts_with(known.classes)) continue;
        return unsupported_module(
            name, module, "torch.nn.utils." + std::string(known.what) + " computes its weight anew in every forward()",
            "call " + std::string(known.remedy) + " before torch.save");
      }
    }
    if (hooks.entry_count() > 0) {
      return unsupported_module(name, module, "its " + std::string(dict) + " change what it computes");
    }
  }
  if (module.attr("_modules")["parametrizations"].exists()) {
    return unsupported_module(name, module, "torch.nn.utils.parametrize computes its weight anew in every forward()",
                              "call torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') before "
                              "torch.save");
  }
  if (module.attr("forward").exists()) {
    return unsupported_module(name, module, "its forward was replaced");
  }
  return {};
}

Status read_module_attributes(const Value& module, std::string_view name, Operator& op,
                              std::vector<std::string>* unknown) {
  const model::OperatorInfo& row = *model::info(op);
  if (const PaddingClass* padding = find_padding(module.class_name())) {
    return read_padding(module, name, *padding, model::writable<Pad>(op));
  }
  const Reader reader(module, name, row);
  RUSHLIGHT_TRY(reader.check_fixed());
  Status status;
  std::vector<std::string_view> read;
  model::for_each_attribute(op, [&](const model::AttributeInfo& attribute, auto& field) {
    read.push_back(attribute.name);
    if (status) status = reader.read(attribute, field);
  });
  RUSHLIGHT_TRY(std::move(status));
  if (op.is<RNN>()) RUSHLIGHT_TRY(read_rnn_mode(module, name, model::writable<RNN>(op)));
  if (op.is<MultiheadAttention>()) {
    RUSHLIGHT_TRY(read_attention(module, name, model::writable<MultiheadAttention>(op)));
  }
  if (unknown == nullptr || op.is<Identity>()) return {};
  for (const auto& named : module.attributes()) {
    const std::string_view attribute = named.first;
    const auto is = [&](std::string_view known) { return known == attribute; };
    const auto is_fixed = [&](const Fixed& fixed) { return fixed.attribute == attribute; };
    const auto is_place = [&](const Place& place) {
      return place.where == attribute && row.type.starts_with(place.types);
    };
    if (attribute.starts_with('_') || std::any_of(read.begin(), read.end(), is) ||
        std::any_of(std::begin(kIgnored), std::end(kIgnored), is) ||
        std::any_of(std::begin(kFixed), std::end(kFixed), is_fixed) ||
        std::any_of(std::begin(kPlaces), std::end(kPlaces), is_place)) {
      continue;
    }
    unknown->emplace_back(attribute);
  }
  return {};
}

}  // namespace rushlight::doors
