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

// An attribute whose only computed value is the one named here.
struct Fixed {
  std::string_view attribute;
  std::string_view computed;  // as value_text() spells it
};
constexpr Fixed kFixed[] = {
    {"return_indices", "False"},  // MaxPool2d
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

  // Field is a field of an operator struct, or a WordField for one.
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
    if constexpr (std::is_same_v<Field, std::int64_t> || std::is_same_v<Field, IntPair> ||
                  std::is_same_v<Field, IntTriple>) {
      if (attribute.name == "output_size" && attribute.meaning.find("-1 keeps") != std::string_view::npos) {
        if (output_size(value, field)) return {};
        return wrong_attribute(name_, module_, attribute.name, "sizes of at least 1, or None", value);
      }
    }
    if (!read_field(value, field)) {
      return wrong_attribute(name_, module_, attribute.name, expected_text(field), value);
    }
    // torch has sizes here; our 0 would mean "not given".
    bool zero = false;
    if constexpr (std::is_same_v<Field, std::int64_t>) zero = field == 0;
    if constexpr (std::is_same_v<Field, IntPair>) zero = field.h == 0 || field.w == 0;
    if constexpr (std::is_same_v<Field, IntTriple>) zero = field.d == 0 || field.h == 0 || field.w == 0;
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
  model::for_each_attribute(op, [&](const model::AttributeInfo& attribute, auto& field) {
    if (status) status = reader.read(attribute, field);
  });
  return status;
}

}  // namespace rushlight::doors
