#include "checkpoint/globals_found.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/quote.hpp"
#include "value/hash_index.hpp"

namespace rushlight::checkpoint {
namespace {

// Findings are for people; the complete list is Checkpoint::globals().
constexpr std::size_t kReportedNames = 256;

bool is_accepted(const std::vector<std::string>& accepted, std::string_view dotted) {
  return std::find(accepted.begin(), accepted.end(), dotted) != accepted.end();
}

FoundName judge(std::string_view module, std::string_view name, int protocol,
                const std::vector<std::string>& accepted) {
  const PythonName python = python3_name(module, name, protocol);
  FoundName found{
      .dotted = dotted(python), .escaped = {}, .known = find_global(python.module, python.name), .accepted = false};
  found.escaped = escaped(found.dotted);
  found.accepted = is_accepted(accepted, found.dotted);
  return found;
}

}  // namespace

FoundNames::FoundNames(const pickle::Pickle& pickle, const std::vector<std::string>& accepted)
    : pickle_(pickle), accepted_(accepted), seed_(random_seed()) {}

void FoundNames::add(pickle::ObjectId id) {
  const pickle::ObjectGraph& graph = pickle_.graph;
  const std::string_view module = graph.module(id);
  const std::string_view name = graph.name(id);
  const std::uint64_t hash = hash_pair(hash_text(module, seed_), hash_text(name, seed_), seed_);
  const auto known = index_.find(
      hash, [&](std::uint32_t i) { return graph.name(first_[i]) == name && graph.module(first_[i]) == module; });
  objects_.push_back({id, known.value_or(static_cast<std::uint32_t>(names_.size()))});
  if (known) return;
  index_.insert(hash, static_cast<std::uint32_t>(names_.size()));
  first_.push_back(id);
  names_.push_back(judge(module, name, pickle_.protocol, accepted_));
}

std::vector<GlobalUse> list_uses(const std::vector<pickle::NamedGlobal>& globals, int protocol,
                                 const std::vector<std::string>& accepted, const std::string& record) {
  std::vector<GlobalUse> uses;
  uses.reserve(globals.size());
  for (const pickle::NamedGlobal& global : globals) {
    const FoundName found = judge(global.module, global.name, protocol, accepted);
    uses.push_back({.name = found.escaped,
                    .allowed = found.known.has_value() || found.accepted,
                    .record = record,
                    .record_offset = global.offset,
                    .paths = {}});
  }
  return uses;
}

std::optional<Error> refusal(const std::vector<GlobalUse>& uses, const PicklePlace& place) {
  const GlobalUse* first = nullptr;
  std::size_t count = 0;
  std::string names;
  for (const GlobalUse& use : uses) {
    if (use.allowed) continue;
    if (first == nullptr) first = &use;
    if (count++ < kReportedNames) names += (names.empty() ? "'" : ", '") + use.name + "'";
  }
  if (first == nullptr) return std::nullopt;
  if (count > kReportedNames) names += " and " + std::to_string(count - kReportedNames) + " more";
  Error error =
      Error::of({.category = Category::global,
                 .code = "GLOBAL-UNKNOWN",
                 .message = count == 1 ? "global " + names + " is not on the allow-list"
                                       : std::to_string(count) + " globals are not on the allow-list: " + names,
                 .found = first->name,
                 .hint = "accept them by name, or read the file without strict globals: objects of these "
                         "classes then become opaque values, and nothing is executed"});
  place.fill(error.finding, first->record_offset);
  return error;
}

void report_unknown(const std::vector<GlobalUse>& uses, const PicklePlace& place, std::vector<Finding>& findings) {
  std::size_t count = 0;
  for (const GlobalUse& use : uses) {
    if (use.allowed) continue;
    if (count++ == kReportedNames) {
      Finding more{.severity = Severity::warning,
                   .category = Category::global,
                   .code = "GLOBAL-UNKNOWN",
                   .message = "further globals are not on the allow-list; all of them are listed among the globals"};
      place.fill(more, use.record_offset);
      findings.push_back(std::move(more));
      return;
    }
    Finding finding{.severity = Severity::warning,
                    .category = Category::global,
                    .code = "GLOBAL-UNKNOWN",
                    .message = "global '" + use.name + "' is not on the allow-list",
                    .found = use.name,
                    .hint =
                        "Python would have to import it; here its objects are opaque values, the tensors beside them "
                        "load, nothing is executed"};
    place.fill(finding, use.record_offset);
    findings.push_back(std::move(finding));
  }
}

}  // namespace rushlight::checkpoint
