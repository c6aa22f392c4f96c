#include "value/literal.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "base/hex_digits.hpp"
#include "base/quote.hpp"
#include "value/big_integer.hpp"

namespace rushlight {
namespace {

constexpr std::size_t kLongest = 120;  // bytes; longer keys are named by their place
constexpr int kDeepest = 8;            // tuples in tuples

// Appends the notation, or says that there is none. Recursion is bounded by kDeepest.
class Writer {
 public:
  explicit Writer(const ValueGraph& graph) noexcept : graph_(graph) {}

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  bool write(NodeId id, int depth) {
    const ValueNode& node = graph_[id];
    switch (node.kind) {
      case ValueKind::none:
        return put("None");
      case ValueKind::boolean:
        return put(node.boolean ? "True" : "False");
      case ValueKind::integer:
        if (!node.big) return put(std::to_string(node.integer));
        // Three decimal digits take more than a byte of binary.
        return node.text.size <= kLongest / 2 && put(to_decimal(node.text.view()));
      case ValueKind::real:
        return !std::isnan(node.real) && put(python_float(node.real));
      case ValueKind::complex:
        return write_complex(node.complex[0], node.complex[1]);
      case ValueKind::string:
        return node.text.size <= kLongest && put(quoted(node.text.view(), kLongest));
      case ValueKind::bytes:
        return node.text.size <= kLongest && write_bytes(node.text.view());
      case ValueKind::tuple:
        return depth < kDeepest && write_items(id, depth, "(", graph_.items(id).size() == 1 ? ",)" : ")");
      case ValueKind::size:
        return depth < kDeepest && write_items(id, depth, "torch.Size([", "])");
      case ValueKind::frozenset:
        if (graph_.items(id).empty()) return put("frozenset()");
        return depth < kDeepest && write_items(id, depth, "frozenset({", "})");
      case ValueKind::dtype:
        return put("torch." + std::string(to_string(node.dtype)));
      case ValueKind::device:
        return node.text.size <= kLongest && put("device(" + quoted(node.text.view(), kLongest) + ")");
      case ValueKind::global:
        return node.text.size <= kLongest && put(escaped(node.text.view(), kLongest));
      default:
        return false;
    }
  }

 private:
  bool put(std::string_view text) {
    text_ += text;
    return text_.size() <= kLongest;
  }

  bool write_items(NodeId id, int depth, std::string_view open, std::string_view close) {
    if (!put(open)) return false;
    bool first = true;
    for (const NodeId item : graph_.items(id)) {
      if (!first && !put(", ")) return false;
      first = false;
      if (!write(item, depth + 1)) return false;
    }
    return put(close);
  }

  bool write_complex(double re, double im) {
    if (std::isnan(re) || std::isnan(im)) return false;
    const std::string imaginary = python_float(im);
    return put("(" + python_float(re) + (imaginary.front() == '-' ? "" : "+") + imaginary + "j)");
  }

  bool write_bytes(std::string_view bytes) {
    std::string text = "b'";
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '\'' || c == '\\') {
        text += '\\';
        text += c;
      } else if (byte >= 0x20 && byte < 0x7F) {
        text += c;
      } else {
        text += "\\x";
        text += kHexDigits[byte >> 4];
        text += kHexDigits[byte & 15];
      }
    }
    return put(text + "'");
  }

  const ValueGraph& graph_;
  std::string text_;
};

std::string_view kind_name(const ValueGraph& graph, NodeId id) {
  const NodeExtra* extra = graph.extra(id);
  if (extra != nullptr && !extra->class_name.empty()) return extra->class_name;
  const ValueKind kind = graph[id].kind;
  return kind == ValueKind::tensor || kind == ValueKind::composite ? "torch.Tensor" : to_string(kind);
}

}  // namespace

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  // The shortest digits that come back as this number; Python writes an exponent below 1e-4 and from 1e16 on.
  std::array<char, 512> buffer{};
  const double size = std::fabs(value);
  const bool scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  const auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
  std::string text(buffer.data(), end);
  if (!scientific && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string key_literal(const ValueGraph& graph, NodeId key, std::size_t position) {
  Writer writer(graph);
  if (writer.write(key, 0)) return writer.text();
  return "<" + escaped(kind_name(graph, key), kLongest) + " #" + std::to_string(position) + ">";
}

}  // namespace rushlight
