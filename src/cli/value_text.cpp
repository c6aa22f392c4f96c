#include "cli/value_text.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "cli/format.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

std::string python_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::vector<std::int64_t> sizes_of(const Value& size) {
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < size.size(); ++i) sizes.push_back(size.item(i).as_int().value_or(0));
  return sizes;
}

// What an object is made of, as Python would call its class: arguments, attributes, then what it holds as a list or
// dict.
struct ObjectPart {
  std::string name;          // "lr="; empty for arguments and items
  std::optional<Value> key;  // of an entry
  Value value;
};
std::vector<ObjectPart> parts_of(const Value& object) {
  std::vector<ObjectPart> parts;
  const Value arguments = object.arguments();
  for (std::size_t i = 0; i < arguments.size(); ++i) parts.push_back({{}, {}, arguments.item(i)});
  const auto attributes = object.attributes();
  for (const auto& [name, attribute] : attributes) parts.push_back({escaped(name) + "=", {}, attribute});
  if (attributes.empty() && object.state().kind() != ValueKind::none) {
    parts.push_back({"__state__=", {}, object.state()});
  }
  for (std::size_t i = 0; i < object.item_count(); ++i) parts.push_back({{}, {}, object.item(i)});
  for (std::size_t i = 0; i < object.entry_count(); ++i) {
    const auto [key, item] = object.entry(i);
    parts.push_back({{}, key, item});
  }
  return parts;
}

}  // namespace

std::string format_leaf(const Value& value) {
  switch (value.kind()) {
    case ValueKind::none:
      return "None";
    case ValueKind::boolean:
      return *value.as_bool() ? "True" : "False";
    case ValueKind::integer:
      return value.as_decimal().value_or("0");
    case ValueKind::real:
      return python_number(*value.as_double());
    case ValueKind::complex:
      return fmt::format("({}{:+}j)", python_number(value.as_complex()->real()), value.as_complex()->imag());
    case ValueKind::string:
      return fmt::format("'{}'", escaped(*value.as_string()));
    case ValueKind::bytes:
    case ValueKind::bytearray:
      return fmt::format("<{} bytes>", format_count(std::int64_t(value.as_bytes()->size())));
    case ValueKind::dtype:
      return fmt::format("torch.{}", to_string(*value.as_dtype()));
    case ValueKind::device:
      return fmt::format("device('{}')", escaped(*value.as_device()));
    case ValueKind::tensor: {
      const Tensor tensor = *value.as_tensor();
      return fmt::format("tensor {} {}", info(tensor.dtype()).brief, format_shape(tensor.shape()));
    }
    case ValueKind::composite: {
      const CompositeTensor tensor = *value.as_composite();
      return fmt::format("{} tensor {} {}", to_string(tensor.layout()), info(tensor.dtype()).brief,
                         format_shape(tensor.shape()));
    }
    case ValueKind::storage:
      return fmt::format("<storage, {}>", format_bytes(value.as_storage()->size_bytes()));
    case ValueKind::global:
      return fmt::format("<{}>", escaped(value.class_name()));
    case ValueKind::opaque:
      return fmt::format("<{} object>", escaped(value.class_name()));
    case ValueKind::ndarray: {
      const NdArray& array = *value.as_ndarray();
      if (array.is_scalar) return fmt::format("<{} {}>", escaped(value.class_name()), escaped(array.dtype));
      // The dtype is NumPy's notation, which escaped what needs it.
      return fmt::format("array {} {}", array.dtype, format_shape(array.shape));
    }
    case ValueKind::list:
      return "[]";
    case ValueKind::tuple:
      return "()";
    case ValueKind::dict:
      return "{}";
    case ValueKind::set:
      return "set()";
    case ValueKind::frozenset:
      return "frozenset()";
    case ValueKind::size:
      return fmt::format("torch.Size({})", format_shape(sizes_of(value)));
  }
  return "?";
}

void write_leaf(JsonWriter& json, const Value& value) {
  switch (value.kind()) {
    case ValueKind::none:
      json.null();
      return;
    case ValueKind::boolean:
      json.boolean(*value.as_bool());
      return;
    case ValueKind::integer:
      if (const auto small = value.as_int()) {
        json.integer(*small);
      } else {
        json.string(value.as_decimal().value_or("0"));
      }
      return;
    case ValueKind::real:
      json.real(*value.as_double());
      return;
    case ValueKind::complex:
      json.begin_array().real(value.as_complex()->real()).real(value.as_complex()->imag()).end_array();
      return;
    case ValueKind::string:
      json.string(*value.as_string());
      return;
    case ValueKind::bytes:
    case ValueKind::bytearray:
      json.base64(*value.as_bytes());
      return;
    case ValueKind::dtype:
      json.string(to_string(*value.as_dtype()));
      return;
    case ValueKind::device:
      json.string(*value.as_device());
      return;
    case ValueKind::global:
      json.string(value.class_name());
      return;
    case ValueKind::size:
      json.integers(sizes_of(value));
      return;
    case ValueKind::ndarray: {
      const NdArray& array = *value.as_ndarray();
      json.begin_object().field("dtype", std::string_view(array.dtype)).key("shape").integers(array.shape);
      json.field("order", to_string(array.order)).field("item_bytes", array.item_bytes).end_object();
      return;
    }
    default:
      json.string(format_leaf(value));
      return;
  }
}

std::string format_tree(const Value& value, std::size_t max_items) {
  // An explicit stack of what is still to be printed: texts and values in turn.
  struct Pending {
    std::string text;
    Value value;
    bool is_value;
  };
  std::vector<Pending> stack;
  stack.push_back({"", value, true});
  std::set<std::uint32_t> seen;
  std::string out;
  std::size_t items = 0;
  while (!stack.empty()) {
    const Pending next = std::move(stack.back());
    stack.pop_back();
    if (!next.is_value) {
      out += next.text;
      continue;
    }
    const Value& v = next.value;
    const bool sequence = v.kind() == ValueKind::list || v.kind() == ValueKind::tuple || v.kind() == ValueKind::set ||
                          v.kind() == ValueKind::frozenset || v.kind() == ValueKind::size;
    const bool mapping = v.kind() == ValueKind::dict;
    if (v.kind() == ValueKind::opaque) {
      const std::vector<ObjectPart> parts = parts_of(v);
      const std::string name = escaped(v.class_name());
      if (parts.empty() || !seen.insert(v.identity()).second || items >= max_items) {
        out += parts.empty() ? name + "()" : name + "(...)";
        continue;
      }
      const std::size_t shown = std::min(parts.size(), max_items - items);
      items += shown;
      stack.push_back({shown < parts.size() ? fmt::format(", ... {} more)", parts.size() - shown) : ")", {}, false});
      for (std::size_t i = shown; i-- > 0;) {
        stack.push_back({"", parts[i].value, true});
        if (parts[i].key) {
          stack.push_back({": ", {}, false});
          stack.push_back({"", *parts[i].key, true});
        }
        stack.push_back({(i > 0 ? ", " : "") + parts[i].name, {}, false});
      }
      out += name + "(";
      continue;
    }
    if ((!sequence && !mapping) || v.size() == 0) {
      out += format_leaf(v);
      continue;
    }
    if (!seen.insert(v.identity()).second || items >= max_items) {
      out += "...";
      continue;
    }
    const std::string_view open = mapping                        ? "{"
                                  : v.kind() == ValueKind::tuple ? "("
                                  : v.kind() == ValueKind::list  ? "["
                                  : v.kind() == ValueKind::size  ? "torch.Size(["
                                                                 : "{";
    const std::string_view close = mapping                        ? "}"
                                   : v.kind() == ValueKind::tuple ? ")"
                                   : v.kind() == ValueKind::list  ? "]"
                                   : v.kind() == ValueKind::size  ? "])"
                                                                  : "}";
    std::vector<Pending> children;
    children.push_back({std::string(open), {}, false});
    const std::size_t shown = std::min(v.size(), max_items - items);
    for (std::size_t i = 0; i < shown; ++i) {
      if (i > 0) children.push_back({", ", {}, false});
      if (mapping) {
        const auto [key, child] = v.entry(i);
        children.push_back({"", key, true});
        children.push_back({": ", {}, false});
        children.push_back({"", child, true});
      } else {
        children.push_back({"", v.item(i), true});
      }
    }
    items += shown;
    if (shown < v.size()) children.push_back({fmt::format(", ... {} more", v.size() - shown), {}, false});
    children.push_back({std::string(close), {}, false});
    for (std::size_t i = children.size(); i-- > 0;) stack.push_back(std::move(children[i]));
  }
  return out;
}

}  // namespace rushlight::cli
