// The rushlight program: reads the arguments, runs one verb.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"
#include "cli/format.hpp"
#include "cli/man_page.hpp"
#include "cli/stop_signals.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"
#include "rushlight/version.hpp"

namespace rushlight::cli {
namespace {

constexpr std::string_view kHelpSummary = "a verb's options, examples first";
constexpr std::string_view kPromise = "Read, check and run PyTorch checkpoints. No Python, no libtorch.";

std::string overview() {
  std::string text =
      fmt::format("rushlight {}: {}\n\nusage: rushlight VERB [options]      rushlight FILE alone lists it\n\n",
                  version_string(), kPromise);
  for (const Verb& verb : verbs()) {
    if (!verb.hidden) text += fmt::format("  {:<10} {}\n", verb.name, verb.summary);
  }
  text += fmt::format("  {:<10} {}\n", "help", fmt::format("{}: rushlight help run", kHelpSummary));
  text += "\nevery verb: --json --strict --limits strict|default|off --threads N --color auto|always|never -q\n";
  text += "exit codes: 0 good, 1 findings, 2 usage, 3 could not look\n";
  return text;
}

std::string verb_help(const Verb& verb, const OptionTable& table) {
  std::string text = fmt::format("rushlight {}: {}\n\nexamples\n", verb.name, verb.summary);
  for (const std::string_view example : verb.examples) text += fmt::format("  {}\n", example);
  if (const std::string options = table.help_text(); !options.empty()) text += "\n" + options;
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

void print_help(const Context& context, const std::string& text) {
  if (!context.json) return print(text);
  JsonWriter json = begin_envelope("help", "", true);
  json.field("text", std::string_view(text));
  write_findings(json, {});
  print_envelope(context, json);
}

void print_version(const Context& context) {
  const BuildInfo build = build_info();
  if (context.json) {
    JsonWriter json = begin_envelope("version", "", true);
    json.field("version", version_string());
    for (const auto& [name, value] : build.rows) json.field(name, std::string_view(value));
    write_findings(json, {});
    print_envelope(context, json);
    return;
  }
  std::string text = fmt::format("rushlight {}\n", version_string());
  for (const auto& [name, value] : build.rows) text += fmt::format("  {:<14} {}\n", name, value);
  print(text);
}

int usage_error(const Context& context, std::string_view command, std::string message, std::string hint) {
  return fail(
      context, command, "",
      Error::of(
          {.category = Category::argument, .code = "USAGE", .message = std::move(message), .hint = std::move(hint)}));
}

// What nobody expected is an object under --json as well.
int fail_unexpectedly(const Context& context, std::string_view command, ErrorCode code, std::string message) {
  const bool is_memory = code == ErrorCode::out_of_memory;
  return fail(context, command, "",
              Error::of(code, {.category = Category::io,
                               .code = is_memory ? "OUT-OF-MEMORY" : "UNEXPECTED",
                               .message = std::move(message)}));
}

int run_verb(const Verb& verb, const std::vector<std::string>& arguments, Context& context) {
  OptionTable table;
  const std::function<int()> run = define_options(verb, table, context);
  for (const std::string& argument : arguments) {
    if (argument == "-h" || argument == "--help") {
      print_help(context, verb_help(verb, table));
      return kGood;
    }
    if (argument == "--") break;
  }
  if (const std::optional<std::string> wrong = table.parse(arguments)) {
    std::string hint = fmt::format("rushlight help {} lists the options", verb.name);
    std::error_code ignored;
    for (const std::string& argument : arguments) {
      if (argument.starts_with('-') && wrong->ends_with(": " + argument) &&
          std::filesystem::exists(argument, ignored)) {
        hint = fmt::format("a file of this name is said as ./{}", format_file(argument));
        break;
      }
      const std::string name = argument.substr(0, argument.find('='));
      if (!name.starts_with("--") || wrong->find(name) == std::string::npos) continue;
      const std::vector<std::string> close = nearest(name, table.long_names(), 1);
      if (!close.empty() && close[0] != name) hint = fmt::format("did you mean {}?", close[0]);
      break;
    }
    return usage_error(context, verb.name, escaped(*wrong), hint);
  }
  context.terminal = Terminal::of(STDOUT_FILENO, context.color);
  context.errors = Terminal::of(STDERR_FILENO, context.color);
  if (!context.raised_limits.empty() && !context.json && !context.quiet) {
    print_error(fmt::format("note: raised limits: {}\n", fmt::join(context.raised_limits, ", ")));
  }
  try {
    return run();
  } catch (const std::bad_alloc&) {
    context.envelopes = nullptr;
    return fail_unexpectedly(context, verb.name, ErrorCode::out_of_memory, "out of memory");
  } catch (const std::exception& error) {
    context.envelopes = nullptr;
    return fail_unexpectedly(context, verb.name, ErrorCode::io, escaped(error.what()));
  }
}

// Of `help`, which is no verb: it takes no option but --man.
std::string help_of_help() {
  return fmt::format("rushlight help: {}\n\nexamples\n{}\n{}", kHelpSummary,
                     "  rushlight help\n  rushlight help run\n  rushlight help --man run | man -l -\n",
                     "Positionals:\n  VERB                        one of those that rushlight help lists, or limits\n\n"
                     "Options:\n  --man                       as the source of a manual page\n");
}

// `help`, `help VERB`; with --man as the source of a man page.
int run_help(std::vector<std::string> arguments, Context& context) {
  const bool as_man = std::erase(arguments, "--man") > 0;
  if (arguments.empty() && as_man) {
    print_help(context, man_page());
    return kGood;
  }
  if (arguments.empty()) {
    print_help(context, overview());
    return kGood;
  }
  if (arguments.size() > 1) {
    return usage_error(context, "help", fmt::format("expected one verb, found {}", arguments.size()),
                       "rushlight help VERB");
  }
  if (arguments[0] == "limits") {
    print_help(
        context,
        fmt::format("rushlight VERB --limits strict|default|off --max-NAME N: budgets for hostile files, and their "
                    "defaults\n\n{}",
                    limits_text()));
    return kGood;
  }
  if (arguments[0] == "help") {
    print_help(context, as_man ? man_page() : help_of_help());
    return kGood;
  }
  const Verb* verb = find_verb(arguments[0]);
  if (verb == nullptr) {
    std::vector<std::string> names;
    for (const Verb& known : verbs()) {
      if (!known.hidden) names.emplace_back(known.name);
    }
    const std::vector<std::string> close = nearest(arguments[0], names, 1);
    return usage_error(context, "help", fmt::format("no verb is called '{}'", escaped(arguments[0])),
                       close.empty() ? "rushlight help lists the verbs" : fmt::format("did you mean '{}'?", close[0]));
  }
  OptionTable table;
  (void)define_options(*verb, table, context);
  print_help(context, as_man ? man_page(*verb, table) : verb_help(*verb, table));
  return kGood;
}

int run_program(const std::vector<std::string>& arguments) {
  Context context;
  // --json decides how even a usage error is printed.
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument == "--json") context.json = true;
  }
  // The first argument that is no option of all verbs is the verb, or a file.
  std::size_t at = 0;
  while (at < arguments.size() && (arguments[at] == "--json" || arguments[at] == "--strict" || arguments[at] == "-q" ||
                                   arguments[at] == "--quiet")) {
    ++at;
  }
  if (at == arguments.size()) {
    if (context.json) return usage_error(context, "", "no verb was given", "rushlight help lists the verbs");
    print_error(overview());
    return kUsage;
  }
  const std::string word = arguments[at];
  std::vector<std::string> rest = arguments;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
  if (word == "--version" || word == "-V") {
    print_version(context);
    return kGood;
  }
  if (word == "--help" || word == "-h" || word == "help") {
    std::erase(rest, "--json");
    return run_help(rest, context);
  }
  if (const Verb* verb = find_verb(word)) return run_verb(*verb, rest, context);
  if (word.starts_with('-') && word != "-") {
    return usage_error(context, "", fmt::format("the option '{}' stands before a verb", escaped(word)),
                       "rushlight VERB [options]");
  }
  std::error_code ignored;
  if (std::filesystem::exists(word, ignored) || word.find_first_of("./\\") != std::string::npos) {
    return run_verb(*find_verb("list"), arguments, context);
  }
  std::vector<std::string> names = {"help"};
  for (const Verb& verb : verbs()) {
    if (!verb.hidden) names.emplace_back(verb.name);
  }
  const std::vector<std::string> close = nearest(word, names, 1);
  return usage_error(context, "", fmt::format("'{}' is no verb and no file", escaped(word)),
                     close.empty() ? "rushlight help lists the verbs" : fmt::format("did you mean '{}'?", close[0]));
}

}  // namespace
}  // namespace rushlight::cli

int main(int argc, char** argv) {
  rushlight::cli::hold_standard_streams();
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen where we write, and ends the program quietly
  try {
    const int code = rushlight::cli::run_program({argv + 1, argv + argc});
    const int signal_number = rushlight::cli::StopSignals::received();
    // As the shell has it for a program that the signal itself ended. Work that was done by then is done.
    return signal_number != 0 && code == rushlight::cli::kCouldNotLook ? 128 + signal_number : code;
  } catch (const std::bad_alloc&) {
    rushlight::cli::print_error("rushlight: out of memory\n");
  } catch (const std::exception& error) {
    rushlight::cli::print_error(fmt::format("rushlight: unexpected failure: {}\n", error.what()));
  }
  return rushlight::cli::kCouldNotLook;
}
