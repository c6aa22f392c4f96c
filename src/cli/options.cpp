#include "cli/options.hpp"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <type_traits>

namespace rushlight::cli {
namespace {

// CLI11's own checks print the largest double that there is.
CLI::Validator expect_at_least(std::int64_t least) {
  return {[least](const std::string& text) {
            std::int64_t value = 0;
            if (CLI::detail::lexical_cast(text, value) && value >= least) return std::string();
            return "expected at least " + std::to_string(least) + ", found " + text;
          },
          ""};
}

void add_to(CLI::App& app, const Option& option) {
  CLI::Option* const added = std::visit(
      [&](const auto& target) -> CLI::Option* {
        using T = std::remove_cvref_t<decltype(target)>;
        if constexpr (std::is_same_v<T, bool*>) {
          return app.add_flag(option.names, *target, option.help);
        } else if constexpr (std::is_pointer_v<T>) {
          return app.add_option(option.names, *target, option.help);
        } else if constexpr (std::is_invocable_v<T, const std::string&>) {
          return app.add_option_function<std::string>(option.names, target, option.help);
        } else {
          return app.add_option_function<std::uint64_t>(option.names, target, option.help);
        }
      },
      option.target);
  if (!option.choices.empty()) added->check(CLI::IsMember(option.choices));
  if (option.least && option.most) {
    added->check(CLI::Range(*option.least, *option.most));
  } else if (option.least) {
    added->check(expect_at_least(*option.least));
  }
  if (option.delimiter != '\0') added->delimiter(option.delimiter);
  if (option.is_required) added->required();
  if (option.acts_at_once) added->trigger_on_parse();
  added->group(option.group);
}

void fill(CLI::App& app, const std::deque<Option>& options) {
  app.set_help_flag();
  for (const Option& option : options) add_to(app, option);
}

}  // namespace

std::optional<std::string> OptionTable::parse(const std::vector<std::string>& arguments) const {
  CLI::App app;
  fill(app, options_);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // it takes them from the back
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return std::nullopt;
}

std::string OptionTable::help_text() const {
  CLI::App app;
  fill(app, options_);
  const std::string help = app.help("", CLI::AppFormatMode::Normal);
  const std::size_t positionals = help.find("Positionals");
  const std::size_t start = positionals != std::string::npos ? positionals : help.find("Options");
  return start == std::string::npos ? std::string() : help.substr(start);
}

std::vector<std::string> OptionTable::long_names() const {
  CLI::App app;
  fill(app, options_);
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

}  // namespace rushlight::cli
