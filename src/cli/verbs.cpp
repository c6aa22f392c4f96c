#include "cli/verbs.hpp"

namespace rushlight::cli {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> table = {list_verb(), show_verb(), verify_verb(),  hash_verb(),
                                          scan_verb(), run_verb(),  summary_verb(), devices_verb()};
  return table;
}

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : verbs()) {
    if (verb.name == name) return &verb;
    for (const std::string_view alias : verb.aliases) {
      if (alias == name) return &verb;
    }
  }
  return nullptr;
}

}  // namespace rushlight::cli
