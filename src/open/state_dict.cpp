// Where the weights are, and what they are called.
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "open/listing.hpp"
#include "open/opened.hpp"
#include "rushlight/text.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

using namespace std::string_view_literals;

// Under which keys training programs keep their weights, the surest first.
constexpr std::array kKnownKeys = {"model_state_dict"sv, "state_dict"sv,  "model"sv,   "module"sv, "net"sv,
                                   "network"sv,          "model_state"sv, "weights"sv, "params"sv, "model_ema"sv,
                                   "state_dict_ema"sv,   "ema"sv};
// Wrappers inside wrappers: {"model": {"state_dict": {...}}}.
constexpr int kDeepest = 4;
constexpr std::size_t kNamedCandidates = 8;
// Names of tensors in one state dict; the limit of the checkpoint was met when its graph was built.
constexpr std::uint64_t kMaxNodes = 10'000'000;

class Collector final : public open::ListingVisitor {
 public:
  explicit Collector(StateDict& state) : state_(state) {}
  void tensor(std::string_view name, std::span<const PathStep>, Tensor tensor, bool in_state_dict) override {
    if (in_state_dict) state_.insert(std::string(name), std::move(tensor));
  }
  void value(std::string_view, std::span<const PathStep>, const Value&) override {}
  void object(std::string_view, std::span<const PathStep>, const Value&) override {}

 private:
  StateDict& state_;
};

// The entries of a dict that are tensors; the parts of sparse and nested ones as listings name them. On the graph
// itself: there may be a hundred thousand of them.
void collect_entries(const ValueGraph& graph, NodeId dict, StateDict& state) {
  const std::span<const NodeId> entries = graph.entries(dict);
  state.reserve(entries.size() / 2);
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
    const ValueNode& key = graph[entries[i]];
    const ValueNode& item = graph[entries[i + 1]];
    if (key.kind != ValueKind::string) continue;
    const std::string_view name = key.text.view();
    if (item.kind == ValueKind::tensor) state.insert(std::string(name), graph.tensors[item.index]);
    if (item.kind != ValueKind::composite) continue;
    for (const auto& [part, tensor] : graph.composites[item.index].components()) {
      state.insert(std::string(name) + "." + part, tensor);
    }
  }
}

// The tensors that stand directly in a dict, or those of a module.
Result<StateDict> collect(const Value& value) {
  StateDict state;
  if (open::is_module(value)) {
    Collector collector(state);
    if (Status visited = open::visit_listing(value, kMaxNodes, collector); !visited) return std::move(visited).error();
    return state;
  }
  if (value.graph() != nullptr) collect_entries(*value.graph(), value.identity(), state);
  if (Value metadata = value.attr("_metadata"); metadata.exists()) state.set_metadata(std::move(metadata));
  return state;
}

bool holds_tensors(const Value& value) {
  if (open::is_module(value)) return true;
  if (value.graph() == nullptr) return false;
  const ValueGraph& graph = *value.graph();
  const std::span<const NodeId> entries = graph.entries(value.identity());
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
    const ValueKind kind = graph[entries[i + 1]].kind;
    const bool is_tensor = kind == ValueKind::tensor || kind == ValueKind::composite;
    if (is_tensor && graph[entries[i]].kind == ValueKind::string) return true;
  }
  return false;
}

// What Module.state_dict() gives for modules without parameters.
bool is_empty_dict(const Value& value) {
  return value.kind() == ValueKind::dict && value.entry_count() == 0;
}

Path extended(Path path, std::string_view key) {
  PathStep step;
  step.text = key;
  path.push_back(std::move(step));
  return path;
}

// Each object is searched once: a file of a few kilobytes can hold a dict that leads to itself under a thousand keys,
// and what is found below an object is found no better the second time. Nearer to the root it may lead further, though.
class Searched {
 public:
  // Whether it was not yet searched at this depth or a smaller one.
  [[nodiscard]] bool enter(const Value& value, int depth) {
    const auto [known, is_new] = depths_.emplace(value.identity(), depth);
    if (is_new) return true;
    if (known->second <= depth) return false;
    known->second = depth;
    return true;
  }

 private:
  std::unordered_map<std::uint32_t, int> depths_;
};

// The likeliest place below a value, by the known keys; then the value itself.
std::optional<Path> choose(const Value& value, const Path& path, int depth, Searched& searched) {
  if (open::is_module(value)) return path;
  if (value.entry_count() == 0 || !searched.enter(value, depth)) return std::nullopt;
  if (depth < kDeepest) {
    for (const std::string_view key : kKnownKeys) {
      const Value child = value[key];
      if (!child.exists()) continue;
      if (std::optional<Path> found = choose(child, extended(path, key), depth + 1, searched)) return found;
    }
  }
  return holds_tensors(value) ? std::optional(path) : std::nullopt;
}

void list_candidates(const Value& value, const Path& path, int depth, Searched& searched, std::vector<Path>& found) {
  const bool is_module = open::is_module(value);
  // Only what has entries can hold tensors by name.
  if (found.size() > kNamedCandidates || (value.entry_count() == 0 && !is_module)) return;
  if (!searched.enter(value, depth)) return;
  if (holds_tensors(value)) found.push_back(path);
  if (depth == kDeepest || is_module) return;
  for (std::size_t i = 0; i < value.entry_count() && found.size() <= kNamedCandidates; ++i) {
    const auto [key, item] = value.entry(i);
    if (const auto name = key.as_string()) list_candidates(item, extended(path, *name), depth + 1, searched, found);
  }
}

// All dicts and modules with tensors near the root, for messages and for a last choice.
std::vector<Path> list_candidates(const Value& root) {
  Searched searched;
  std::vector<Path> found;
  list_candidates(root, {}, 0, searched, found);
  return found;
}

std::string name_candidates(const std::vector<Path>& candidates) {
  std::string names;
  for (std::size_t i = 0; i < std::min(candidates.size(), kNamedCandidates); ++i) {
    names += (i == 0 ? "" : ", ") + escaped(to_string(std::span<const PathStep>(candidates[i])));
  }
  return candidates.size() > kNamedCandidates ? names + " ..." : names;
}

Error not_found(const Checkpoint& checkpoint, std::string code, std::string message,
                const std::vector<Path>& candidates) {
  Error error = Error::of(ErrorCode::not_found, {.category = Category::argument,
                                                 .code = std::move(code),
                                                 .message = std::move(message),
                                                 .file = checkpoint.file()});
  const std::string names = name_candidates(candidates);
  error.finding.hint = names.empty() ? "there is no dict of tensors in this file" : "tensors are under: " + names;
  return error;
}

}  // namespace

Result<StateDict> Checkpoint::state_dict(std::string_view path) const {
  return or_no_memory([&]() -> Result<StateDict> {
    Value value = root();
    std::string place(path);
    if (!path.empty()) {
      value = root().at(path);
      if (!value.exists()) {
        return not_found(*this, "STATE-DICT-PATH", "there is nothing at " + quoted(path), list_candidates(root()));
      }
    } else {
      Searched searched;
      std::optional<Path> chosen = choose(root(), {}, 0, searched);
      if (!chosen) {
        const std::vector<Path> candidates = list_candidates(root());
        if (candidates.empty() && is_empty_dict(root())) return collect(root());
        if (candidates.size() != 1) {
          const bool none = candidates.empty();
          return not_found(*this, none ? "STATE-DICT-NONE" : "STATE-DICT-CHOICE",
                           none ? "there is no state dict in the file"
                                : "several dicts hold tensors, and none has a usual name: say which",
                           candidates);
        }
        chosen = candidates.front();
      }
      value = root().at(std::span<const PathStep>(*chosen));
      place = to_string(std::span<const PathStep>(*chosen));
    }
    Result<StateDict> state = collect(value);
    if (!state) return state;
    if (state->empty() && !path.empty() && !is_empty_dict(value)) {
      return not_found(*this, "STATE-DICT-EMPTY",
                       quoted(path) + " is a " + std::string(to_string(value.kind())) + " without tensors of its own",
                       list_candidates(root()));
    }
    state->set_path(std::move(place));
    return state;
  });
}

}  // namespace rushlight
