#include "cli/verbs.hpp"

namespace rushlight::cli {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> table = {
      list_verb(),     show_verb(),      stats_verb(), du_verb(),      verify_verb(),  doctor_verb(),     hash_verb(),
      manifest_verb(), sign_verb(),      diff_verb(),  scan_verb(),    convert_verb(), extract_verb(),    edit_verb(),
      run_verb(),      calibrate_verb(), bench_verb(), summary_verb(), devices_verb(), completion_verb(), names_verb()};
  return table;
}

std::function<int()> define_options(const Verb& verb, OptionTable& table, Context& context) {
  table.add("-h,--help", &context.help, "print this").in("Output");
  std::function<int()> run = verb.define(table, context);
  add_shared_options(table, context);
  return run;
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
