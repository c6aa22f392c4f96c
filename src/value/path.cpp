#include "value/path.hpp"

#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/value.hpp"
#include "value/children.hpp"
#include "value/literal.hpp"

namespace rushlight {
namespace {

// One way to read the next part of the text.
struct Option {
  PathStep step;
  NodeId node;
  std::size_t end;  // where the part ends in the text
};

bool at_boundary(std::string_view text, std::size_t at) noexcept {
  return at == text.size() || text[at] == '.' || text[at] == '[';
}

class Resolver {
 public:
  Resolver(const std::shared_ptr<const ValueGraph>& graph, std::string_view text) : graph_(graph), text_(text) {}

  // `first`: nothing was read yet. An empty first key leaves the text where it begins, too.
  [[nodiscard]] std::vector<Option> options(NodeId node, std::size_t at, bool first) const {
    std::vector<Option> found;
    if (text_[at] == '[') add_bracketed(node, at, found);
    // A name follows a dot, but for the first one.
    if (first) {
      add_names(node, at, found);
    } else if (text_[at] == '.') {
      add_names(node, at + 1, found);
    }
    return found;
  }

 private:
  void add(NodeId node, PathStep step, std::size_t end, std::vector<Option>& found) const {
    if (!at_boundary(text_, end)) return;
    const NodeId child = find_child(*graph_, node, step);
    if (child != kNoNode) found.push_back({std::move(step), child, end});
  }

  void add_bracketed(NodeId node, std::size_t at, std::vector<Option>& found) const {
    if (const auto integer = bracketed_integer(text_, at)) {
      add(node, {.kind = PathStep::Kind::index, .index = integer->first}, integer->second, found);
      add(node, {.kind = PathStep::Kind::key, .index = integer->first, .integer_key = true}, integer->second, found);
      return;
    }
    // Other keys by their notation: it may hold brackets and dots, so it is compared, not parsed.
    const std::span<const NodeId> entries = graph_->entries(entries_holder(*graph_, node));
    for (std::size_t i = 0; i < entries.size() / 2; ++i) {
      const ValueNode& key = (*graph_)[entries[2 * i]];
      if (key.kind == ValueKind::string || (key.kind == ValueKind::integer && !key.big)) continue;
      const std::string literal = key_literal(*graph_, entries[2 * i], i) + "]";
      if (!text_.substr(at + 1).starts_with(literal) || !at_boundary(text_, at + 1 + literal.size())) continue;
      PathStep step;
      describe_step(graph_, {entries[2 * i + 1], PathStep::Kind::key, entries[2 * i], i, {}}, step);
      found.push_back({std::move(step), entries[2 * i + 1], at + 1 + literal.size()});
    }
  }

  void add_names(NodeId node, std::size_t start, std::vector<Option>& found) const {
    for (std::size_t end = text_.size(); end + 1 > start; --end) {
      if (at_boundary(text_, end) && end >= start) {
        const std::string_view name = text_.substr(start, end - start);
        const NodeId holder = entries_holder(*graph_, node);
        if (const NodeId value = graph_->value_of(holder, name); value != kNoNode) {
          found.push_back({{.kind = PathStep::Kind::key, .text = std::string(name)}, value, end});
        }
        if (const NodeId value = find_attribute(*graph_, node, name); value != kNoNode) {
          found.push_back({{.kind = PathStep::Kind::attr, .text = std::string(name)}, value, end});
        }
      }
      if (end == 0) return;
    }
  }

  const std::shared_ptr<const ValueGraph>& graph_;
  std::string_view text_;
};

}  // namespace

std::optional<std::pair<std::int64_t, std::size_t>> bracketed_integer(std::string_view text, std::size_t at) {
  const std::size_t close = text.find(']', at);
  if (!text.substr(at).starts_with('[') || close == std::string_view::npos) return std::nullopt;
  const std::string_view digits = text.substr(at + 1, close - at - 1);
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (problem != std::errc() || end != digits.data() + digits.size() || std::to_string(value) != digits) {
    return std::nullopt;
  }
  return std::pair(value, close + 1);
}

Resolution resolve(const std::shared_ptr<const ValueGraph>& graph, NodeId root, std::string_view text) {
  Resolution best;
  best.node = root;
  best.found = text.empty();
  if (best.found) return best;

  struct Frame {
    std::vector<Option> options;
    std::size_t next = 0;
  };
  const Resolver resolver(graph, text);
  std::set<std::pair<NodeId, std::size_t>> tried;  // the rest of the text from a node leads to the same end every time
  std::vector<Frame> stack{{resolver.options(root, 0, true)}};
  Path path;
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.next == frame.options.size()) {
      stack.pop_back();
      if (!path.empty()) path.pop_back();
      continue;
    }
    const Option& option = frame.options[frame.next++];
    if (!tried.emplace(option.node, option.end).second) continue;
    path.push_back(option.step);
    if (option.end > best.consumed) best = {option.end == text.size(), path, option.node, option.end};
    if (best.found) return best;
    stack.push_back({resolver.options(option.node, option.end, false)});
  }
  return best;
}

std::string to_string(std::span<const PathStep> path) {
  std::string text;
  bool first = true;
  for (const PathStep& step : path) {
    const bool bracketed = step.kind == PathStep::Kind::index ||
                           (step.kind == PathStep::Kind::key && (step.integer_key || step.other_key));
    if (!bracketed) {
      if (!first) text += '.';
      text += step.text;
    } else {
      text += '[';
      text += step.other_key ? step.text : std::to_string(step.index);
      text += ']';
    }
    first = false;
  }
  return text;
}

Value Value::at(std::span<const PathStep> path) const {
  Value here = *this;
  for (const PathStep& step : path) {
    if (!here.graph_) return Value(nullptr, kNoNode);
    const NodeId child = find_child(*here.graph_, here.node_, step);
    if (child == kNoNode) return Value(nullptr, kNoNode);
    here.node_ = child;
  }
  return here;
}

Value Value::at(std::string_view path) const {
  if (path.empty()) return *this;
  if (!graph_) return Value(nullptr, kNoNode);
  const Resolution found = resolve(graph_, node_, path);
  return found.found ? Value(graph_, found.node) : Value(nullptr, kNoNode);
}

}  // namespace rushlight
