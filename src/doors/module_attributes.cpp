#include "doors/module_attributes.hpp"

#include <charconv>
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

std::optional<IntPair> pair(const Value& value) {
  if (const std::optional<std::int64_t> both = integer(value)) return IntPair(*both);
  const ValueKind kind = value.kind();
  const bool sequence = kind == ValueKind::tuple || kind == ValueKind::list || kind == ValueKind::size;
  // torch reads (3,) as 3 for both.
  if (!sequence || value.size() < 1 || value.size() > 2) return std::nullopt;
  const std::optional<std::int64_t> h = integer(value.item(0));
  const std::optional<std::int64_t> w = integer(value.item(value.size() - 1));
  if (!h || !w) return std::nullopt;
  return IntPair(*h, *w);
}

constexpr std::string_view kExpectedPair = "an integer or two";

bool read_field(const Value& value, std::int64_t& field) {
  const std::optional<std::int64_t> number = integer(value);
  if (number) field = *number;
  return number.has_value();
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
  const std::optional<IntPair> both = pair(value);
  if (both) field = *both;
  return both.has_value();
}
bool read_field(const Value& value, Padding& field) {
  if (const std::optional<std::string_view> word = value.as_string()) {
    if (*word == "same") {
      field = Padding::same();
    } else if (*word == "valid") {
      field = Padding::valid();
    }
    return *word == "same" || *word == "valid";
  }
  IntPair amounts;
  if (!read_field(value, amounts)) return false;
  field = Padding(amounts);
  return true;
}

std::string_view expected_text(std::int64_t) {
  return "an integer";
}
std::string_view expected_text(bool) {
  return "True or False";
}
std::string_view expected_text(double) {
  return "a number";
}
std::string_view expected_text(IntPair) {
  return kExpectedPair;
}
std::string_view expected_text(Padding) {
  return "an integer or two, 'same' or 'valid'";
}

// AdaptiveAvgPool2d((None, 7)) keeps the height.
std::optional<IntPair> output_size(const Value& value) {
  const auto side = [](const Value& size) -> std::optional<std::int64_t> {
    if (size.is_none()) return -1;
    const std::optional<std::int64_t> number = integer(size);
    return number && *number < 1 ? std::nullopt : number;
  };
  if (value.kind() != ValueKind::tuple && value.kind() != ValueKind::list) {
    const std::optional<std::int64_t> both = side(value);
    return both ? std::optional(IntPair(*both)) : std::nullopt;
  }
  if (value.size() != 2) return std::nullopt;
  const std::optional<std::int64_t> h = side(value.item(0));
  const std::optional<std::int64_t> w = side(value.item(1));
  return h && w ? std::optional(IntPair(*h, *w)) : std::nullopt;
}

// An attribute whose only computed value is the one named here.
struct Fixed {
  std::string_view attribute;
  std::string_view computed;  // as value_text() spells it
};
constexpr Fixed kFixed[] = {
    {"padding_mode", "'zeros'"},      // Conv2d
    {"transposed", "False"},          // Conv2d
    {"return_indices", "False"},      // MaxPool2d
    {"track_running_stats", "True"},  // BatchNorm: without them eval uses the batch's own statistics
};

bool is_dict(const Value& value) {
  return value.kind() == ValueKind::dict || (value.kind() == ValueKind::opaque && value.size() > 0);
}

class Reader {
 public:
  Reader(const Value& module, std::string_view name) : module_(module), name_(name) {}

  Status check_fixed() const {
    for (const Fixed& fixed : kFixed) {
      const Value value = module_.attr(fixed.attribute);
      if (!value.exists()) continue;
      if (value_text(value) == fixed.computed) continue;
      return unsupported_module(name_, module_,
                                std::string(fixed.attribute) + " " + value_text(value) + " is not built, only " +
                                    std::string(fixed.computed));
    }
    for (const std::string_view hooks : {"_forward_hooks", "_forward_pre_hooks"}) {
      const Value value = module_.attr(hooks);
      if (is_dict(value) && value.size() > 0) {
        return unsupported_module(name_, module_, "its " + std::string(hooks) + " change what it computes");
      }
    }
    return {};
  }

  template <class Field>
  Status read(const model::AttributeInfo& attribute, Field& field) const {
    if (attribute.name == "bias") return read_bias(field);
    const Value value = module_.attr(attribute.name);
    if (!value.exists()) {
      if (attribute.default_kind != model::DefaultKind::required) return {};
      return wrong_attribute(name_, module_, attribute.name, expected_text(field), value);
    }
    if (attribute.default_kind == model::DefaultKind::not_given && value.is_none()) return {};
    if (attribute.name == "dim" && value.is_none()) {
      return unsupported_module(name_, module_, "dim None lets torch choose by the number of dimensions",
                                "save it with Softmax(dim=1)");
    }
    if constexpr (std::is_same_v<Field, IntPair>) {
      if (attribute.name == "output_size") {
        const std::optional<IntPair> size = output_size(value);
        if (!size) return wrong_attribute(name_, module_, attribute.name, "sizes of at least 1, or None", value);
        field = *size;
        return {};
      }
    }
    if (!read_field(value, field)) {
      return wrong_attribute(name_, module_, attribute.name, expected_text(field), value);
    }
    // torch has sizes here; our 0 would mean "not given".
    bool zero = false;
    if constexpr (std::is_same_v<Field, std::int64_t>) zero = field == 0;
    if constexpr (std::is_same_v<Field, IntPair>) zero = field.h == 0 || field.w == 0;
    if (zero && attribute.default_kind != model::DefaultKind::value) {
      return wrong_attribute(name_, module_, attribute.name, "a size other than 0", value);
    }
    return {};
  }

 private:
  // No attribute in torch: a bias is there, or `_parameters` has None under its name.
  template <class Field>
  Status read_bias(Field& field) const {
    if constexpr (std::is_same_v<Field, bool>) field = !module_.attr("_parameters")["bias"].is_none();
    return {};
  }

  const Value& module_;
  std::string_view name_;
};

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

Status read_module_attributes(const Value& module, std::string_view name, Operator& op) {
  const Reader reader(module, name);
  RUSHLIGHT_TRY(reader.check_fixed());
  Status status;
  model::visit_operator(op, [&](auto& inside) {
    model::for_each_attribute(inside, [&](const model::AttributeInfo& attribute, auto& field) {
      if (status) status = reader.read(attribute, field);
    });
  });
  return status;
}

}  // namespace rushlight::doors
