// The verbs: one file each, one table.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"
#include "cli/options.hpp"

namespace rushlight::cli {

struct Verb {
  std::string_view name;
  std::vector<std::string_view> aliases;
  std::string_view summary;                // one line, for the overview
  std::vector<std::string_view> examples;  // what `help VERB` shows first
  // Adds the verb's own options and returns what runs it. The options live in the returned function.
  std::function<std::function<int()>(OptionTable& table, Context& context)> define;
};

Verb list_verb();
Verb show_verb();
Verb verify_verb();
Verb hash_verb();
Verb scan_verb();
Verb run_verb();
Verb summary_verb();
Verb devices_verb();

// In the order of the overview.
const std::vector<Verb>& verbs();
const Verb* find_verb(std::string_view name);

}  // namespace rushlight::cli
