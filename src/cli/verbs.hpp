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
  bool hidden = false;  // for scripts of our own: in no list
};

Verb list_verb();
Verb show_verb();
Verb stats_verb();
Verb du_verb();
Verb verify_verb();
Verb doctor_verb();
Verb hash_verb();
Verb manifest_verb();
Verb sign_verb();
Verb diff_verb();
Verb convert_verb();
Verb extract_verb();
Verb edit_verb();
Verb scan_verb();
Verb run_verb();
Verb calibrate_verb();
Verb bench_verb();
Verb summary_verb();
Verb devices_verb();
Verb completion_verb();
Verb names_verb();  // hidden: what completions ask for

// In the order of the overview; the hidden ones last.
const std::vector<Verb>& verbs();
const Verb* find_verb(std::string_view name);
// The verb's own options and those that all verbs share; what runs it.
std::function<int()> define_options(const Verb& verb, OptionTable& table, Context& context);

}  // namespace rushlight::cli
