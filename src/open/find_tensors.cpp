#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "open/name_pattern.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/text.hpp"

namespace rushlight {
namespace {

constexpr std::size_t kNamedCandidates = 8;

// What follows a dot or a bracket: "weight" and "conv1.weight" of "model.conv1.weight", "exp_avg" of
// "state[0].exp_avg".
bool is_last_part(std::string_view name, std::string_view part) noexcept {
  if (part.empty() || name.size() <= part.size() || !name.ends_with(part)) return false;
  return name[name.size() - part.size() - 1] == '.' || part.front() == '[';
}

// The composite tensor whose part an entry is, by its name: parts are called after it.
bool is_part_of(const TensorEntry& entry, const CompositeEntry& composite) {
  if (entry.path.size() != composite.path.size() + 1 || entry.path.back().kind != PathStep::Kind::attr ||
      composite.tensor.component(entry.path.back().text) == nullptr) {
    return false;
  }
  return std::equal(composite.path.begin(), composite.path.end(), entry.path.begin());
}

template <class Fits>
std::vector<TensorEntry> filtered(const Inspection& inspection, Fits&& fits) {
  std::vector<TensorEntry> found;
  std::copy_if(inspection.tensors.begin(), inspection.tensors.end(), std::back_inserter(found),
               [&](const TensorEntry& entry) { return fits(std::string_view(entry.name)); });
  return found;
}

std::string listed(const std::set<std::string>& names) {
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (count++ == kNamedCandidates) return text + " ...";
    text += (text.empty() ? "" : ", ") + escaped(name);
  }
  return text;
}

}  // namespace

Result<std::vector<TensorEntry>> find_tensors(const Inspection& inspection, std::string_view pattern) {
  return or_no_memory([&]() -> Result<std::vector<TensorEntry>> {
    std::vector<TensorEntry> found = filtered(inspection, [&](std::string_view name) { return name == pattern; });
    if (!found.empty()) return found;
    for (const CompositeEntry& composite : inspection.composites) {
      if (composite.name != pattern) continue;
      std::copy_if(inspection.tensors.begin(), inspection.tensors.end(), std::back_inserter(found),
                   [&](const TensorEntry& entry) { return is_part_of(entry, composite); });
    }
    if (!found.empty()) return found;

    found = filtered(inspection, [&](std::string_view name) { return is_last_part(name, pattern); });
    std::set<std::string> names;
    for (const TensorEntry& entry : found) names.insert(entry.name);
    if (names.size() == 1) return found;
    if (names.size() > 1) {
      return Error::of(
          {.category = Category::ambig,
           .code = "NAME-AMBIGUOUS",
           .message = quoted(pattern) + " is the last part of " + std::to_string(names.size()) + " names of tensors",
           .file = inspection.file,
           .found = escaped(pattern),
           .hint = "say which: " + listed(names)});
    }

    if (open::is_glob(pattern)) {
      found = filtered(inspection, [&](std::string_view name) { return open::matches_glob(pattern, name); });
      if (!found.empty()) return found;
      // Short forms of globs: of several names all are meant.
      const std::string behind_dot = "*." + std::string(pattern);
      found = filtered(inspection, [&](std::string_view name) { return open::matches_glob(behind_dot, name); });
      if (!found.empty()) return found;
    }

    std::vector<std::string> all;
    all.reserve(inspection.tensors.size());
    for (const TensorEntry& entry : inspection.tensors) all.push_back(entry.name);
    std::string hint;
    for (const std::string& name : nearest(pattern, all)) hint += (hint.empty() ? "" : ", ") + escaped(name);
    return Error::of(ErrorCode::not_found, {.category = Category::argument,
                                            .code = "NAME-NOT-FOUND",
                                            .message = "no tensor is called " + quoted(pattern),
                                            .file = inspection.file,
                                            .found = escaped(pattern),
                                            .hint = hint.empty() ? hint : "did you mean " + hint});
  });
}

}  // namespace rushlight
