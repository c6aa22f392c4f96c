#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/load_state_dict.hpp"

namespace rushlight::model {
namespace {

constexpr std::size_t kPrefixLevels = 8;      // "module.model.net." has 3
constexpr std::size_t kSimilarNames = 3;      // that get a hint
constexpr std::size_t kComparedNames = 2000;  // comparing all with all is quadratic

struct Prefix {
  std::string_view text;  // with its dot
  std::size_t matches = 0;
};

// The prefix that most of `longer` lose to become names of `shorter`.
Prefix best_prefix(const std::vector<std::string>& longer, const std::vector<std::string>& shorter) {
  Prefix best;
  if (longer.empty() || shorter.empty()) return best;
  const std::unordered_set<std::string_view> names(shorter.begin(), shorter.end());
  const std::string_view first = longer.front();
  std::size_t end = 0;
  for (std::size_t level = 0; level < kPrefixLevels; ++level) {
    end = first.find('.', end);
    if (end == std::string_view::npos) break;
    Prefix prefix{first.substr(0, ++end)};
    for (const std::string& name : longer) {
      if (name.starts_with(prefix.text)) {
        prefix.matches += names.contains(std::string_view(name).substr(prefix.text.size())) ? 1 : 0;
      }
    }
    if (prefix.matches > best.matches) best = prefix;
  }
  return best;
}

}  // namespace

std::vector<std::string> name_hints(const std::vector<std::string>& missing,
                                    const std::vector<std::string>& unexpected) {
  std::vector<std::string> hints;
  const Prefix drop = best_prefix(unexpected, missing);
  const Prefix add = best_prefix(missing, unexpected);
  if (drop.matches > 0 && drop.matches >= add.matches) {
    hints.push_back("without the prefix " + quoted(drop.text) + " " + std::to_string(drop.matches) + " of " +
                    count_text(missing.size(), "missing name") + " would be there");
  } else if (add.matches > 0) {
    hints.push_back("with the prefix " + quoted(add.text) + " " + std::to_string(add.matches) + " of " +
                    count_text(missing.size(), "missing name") + " would be there");
  }
  if (!hints.empty() || unexpected.empty()) return hints;
  const std::span<const std::string> candidates(unexpected.data(), std::min(unexpected.size(), kComparedNames));
  for (const std::string& name : missing) {
    if (hints.size() == kSimilarNames) break;
    const std::vector<std::string> similar = nearest(name, candidates, 1);
    if (!similar.empty()) hints.push_back(quoted(similar[0]) + " looks like " + quoted(name));
  }
  return hints;
}

}  // namespace rushlight::model
