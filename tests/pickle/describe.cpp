#include "pickle/describe.hpp"

#include <bit>
#include <cinttypes>
#include <cstdio>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pickle/literals.hpp"
#include "pickle/python_repr.hpp"

namespace rushlight::test {
namespace {

using pickle::CallKind;
using pickle::kNoObject;
using pickle::ObjectGraph;
using pickle::ObjectId;
using pickle::ObjectKind;

std::string hex_digits(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    char buffer[3];
    std::snprintf(buffer, sizeof buffer, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += buffer;
  }
  return out;
}

const char* call_word(CallKind kind) {
  switch (kind) {
    case CallKind::reduce:
      return "reduce";
    case CallKind::newobj:
      return "newobj";
    case CallKind::newobj_ex:
      return "newobj_ex";
    case CallKind::inst:
      return "inst";
    case CallKind::obj:
      return "obj";
  }
  return "?";
}

class Describer {
 public:
  explicit Describer(const ObjectGraph& graph) : graph_(graph) {}

  std::string describe(ObjectId id) {
    for (std::size_t i = 0; i < path_.size(); ++i) {
      if (path_[path_.size() - 1 - i] == id) return "^" + std::to_string(i + 1);
    }
    path_.push_back(id);
    std::string text = describe_object(id);
    path_.pop_back();
    return text;
  }

 private:
  std::string describe_object(ObjectId id) {
    std::string out;
    switch (graph_.kind(id)) {
      case ObjectKind::none:
        return "None";
      case ObjectKind::boolean:
        return graph_.boolean(id) ? "True" : "False";
      case ObjectKind::integer:
        return std::to_string(graph_.integer(id));
      case ObjectKind::big_integer:
        return "big(" + hex_digits(graph_.text(id)) + ")";
      case ObjectKind::real:
        return pickle::float_text(graph_.real(id));
      case ObjectKind::string:
        pickle::append_python_repr(out, graph_.text(id), pickle::TextAs::utf8);
        return out;
      case ObjectKind::byte_string:
        pickle::append_python_repr(out, graph_.text(id), pickle::TextAs::bytes);
        return "s" + out.substr(1);
      case ObjectKind::bytes:
        pickle::append_python_repr(out, graph_.text(id), pickle::TextAs::bytes);
        return out;
      case ObjectKind::bytearray:
        pickle::append_python_repr(out, graph_.text(id), pickle::TextAs::bytes);
        return "bytearray(" + out + ")";
      case ObjectKind::list:
        return list(graph_.items(id), "[", "]");
      case ObjectKind::tuple:
        return list(graph_.items(id), "(", graph_.items(id).size() == 1 ? ",)" : ")");
      case ObjectKind::set:
        return list(graph_.items(id), "set(", ")");
      case ObjectKind::frozenset:
        return list(graph_.items(id), "frozenset(", ")");
      case ObjectKind::dict:
        return dict(graph_.pairs(id));
      case ObjectKind::global:
        return std::string(graph_.module(id)) + "." + std::string(graph_.name(id));
      case ObjectKind::call:
        return call(id);
      case ObjectKind::persistent:
        return "persistent(" + describe(graph_.persistent_argument(id)) + ")" + states(id);
    }
    return "?";
  }

  std::string list(std::span<const ObjectId> ids, std::string_view open, std::string_view close) {
    std::string out(open);
    for (std::size_t i = 0; i < ids.size(); ++i) out += (i > 0 ? ", " : "") + describe(ids[i]);
    return out + std::string(close);
  }
  std::string dict(std::span<const ObjectId> ids) {
    std::string out = "{";
    for (std::size_t i = 0; i < ids.size(); i += 2) {
      out += (i > 0 ? ", " : "") + describe(ids[i]) + ": " + describe(ids[i + 1]);
    }
    return out + "}";
  }
  std::string call(ObjectId id) {
    std::string out =
        call_word(graph_.call_kind(id)) + ("(" + describe(graph_.callable(id))) + ", " + describe(graph_.arguments(id));
    if (graph_.keywords(id) != kNoObject) out += ", **" + describe(graph_.keywords(id));
    out += ")";
    if (!graph_.items(id).empty()) out += " " + list(graph_.items(id), "[", "]");
    if (!graph_.pairs(id).empty()) out += " " + dict(graph_.pairs(id));
    return out + states(id);
  }
  std::string states(ObjectId id) {
    std::string out;
    for (const ObjectId state : graph_.states(id)) out += " <- " + describe(state);
    return out;
  }

  const ObjectGraph& graph_;
  std::vector<ObjectId> path_;
};

class JsonDumper {
 public:
  explicit JsonDumper(const ObjectGraph& graph) : graph_(graph) {}

  std::string dump() {
    std::string out = "{\"root\":" + reference(graph_.root()) + ",\"nodes\":[";
    for (std::size_t i = 0; i < queue_.size(); ++i) out += (i > 0 ? "," : "") + container(queue_[i]);
    return out + "]}";
  }

 private:
  // Leaves are written where they stand; containers get a number, in the order in which they are met.
  std::string reference(ObjectId id) {
    switch (graph_.kind(id)) {
      case ObjectKind::none:
        return "[\"none\"]";
      case ObjectKind::boolean:
        return graph_.boolean(id) ? "[\"bool\",true]" : "[\"bool\",false]";
      case ObjectKind::integer:
        return "[\"int\",\"" + std::to_string(graph_.integer(id)) + "\"]";
      case ObjectKind::big_integer:
        return "[\"int\",\"" + pickle::decimal_text(graph_.text(id)) + "\"]";
      case ObjectKind::real: {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%016" PRIx64, std::bit_cast<std::uint64_t>(graph_.real(id)));
        return "[\"float\",\"" + std::string(buffer) + "\"]";
      }
      case ObjectKind::string:
        return "[\"str\"," + text(graph_.text(id), true) + "]";
      case ObjectKind::byte_string:
        return "[\"byte_string\"," + text(graph_.text(id), false) + "]";
      case ObjectKind::bytes:
        return "[\"bytes\"," + text(graph_.text(id), false) + "]";
      case ObjectKind::bytearray:
        return "[\"bytearray\"," + text(graph_.text(id), false) + "]";
      case ObjectKind::global:
        return "[\"global\"," + text(graph_.module(id), true) + "," + text(graph_.name(id), true) + "]";
      case ObjectKind::tuple:
        if (graph_.items(id).empty()) return "[\"empty_tuple\"]";  // CPython has only one: it has no identity
        break;
      default:
        break;
    }
    const auto [entry, is_new] = numbers_.try_emplace(id, queue_.size());
    if (is_new) queue_.push_back(id);
    return "[\"ref\"," + std::to_string(entry->second) + "]";
  }

  std::string container(ObjectId id) {
    switch (graph_.kind(id)) {
      case ObjectKind::list:
        return "[\"list\"," + references(graph_.items(id)) + "]";
      case ObjectKind::tuple:
        return "[\"tuple\"," + references(graph_.items(id)) + "]";
      case ObjectKind::set:
        return "[\"set\"," + references(graph_.items(id)) + "]";
      case ObjectKind::frozenset:
        return "[\"frozenset\"," + references(graph_.items(id)) + "]";
      case ObjectKind::dict:
        return "[\"dict\"," + references(graph_.pairs(id)) + "]";
      case ObjectKind::persistent: {
        const std::string argument = reference(graph_.persistent_argument(id));
        return "[\"persistent\"," + argument + "," + references(graph_.states(id)) + "]";
      }
      default: {
        std::string out = std::string("[\"call\",\"") + call_word(graph_.call_kind(id)) + "\",";
        out += reference(graph_.callable(id)) + ",";
        out += reference(graph_.arguments(id)) + ",";
        out += (graph_.keywords(id) == kNoObject ? "null" : reference(graph_.keywords(id))) + ",";
        out += references(graph_.items(id)) + ",";
        out += references(graph_.pairs(id)) + ",";
        return out + references(graph_.states(id)) + "]";
      }
    }
  }

  std::string references(std::span<const ObjectId> ids) {
    std::string out = "[";
    for (std::size_t i = 0; i < ids.size(); ++i) out += (i > 0 ? "," : "") + reference(ids[i]);
    return out + "]";
  }

  // Printable ASCII as it is, every other character (or byte) as u{hex} behind a backslash.
  static std::string text(std::string_view bytes, bool is_utf8) {
    std::string out = "\"";
    for (std::size_t i = 0; i < bytes.size();) {
      std::uint32_t code_point = static_cast<unsigned char>(bytes[i++]);
      if (is_utf8 && code_point >= 0xC0) {
        const std::size_t more = code_point >= 0xF0 ? 3 : code_point >= 0xE0 ? 2 : 1;
        code_point &= 0x3Fu >> more;
        for (std::size_t k = 0; k < more; ++k) {
          code_point = code_point << 6 | (static_cast<unsigned char>(bytes[i++]) & 0x3Fu);
        }
      }
      if (code_point >= 0x20 && code_point < 0x7F && code_point != '"' && code_point != '\\') {
        out += static_cast<char>(code_point);
      } else {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "\\\\u{%x}", static_cast<unsigned>(code_point));
        out += buffer;
      }
    }
    return out + "\"";
  }

  const ObjectGraph& graph_;
  std::unordered_map<ObjectId, std::size_t> numbers_;
  std::vector<ObjectId> queue_;
};

}  // namespace

std::string describe(const ObjectGraph& graph, ObjectId id) {
  return Describer(graph).describe(id);
}
std::string describe(const ObjectGraph& graph) {
  return describe(graph, graph.root());
}
std::string dump_json(const ObjectGraph& graph) {
  return JsonDumper(graph).dump();
}

}  // namespace rushlight::test
