// The options of one verb, as data: the parser, the help, completions and man pages are made from them. Only
// options.cpp sees the argument parser's header, which takes seconds to compile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace rushlight::cli {

struct Option {
  using Target = std::variant<bool*, std::string*, std::int64_t*, unsigned*, std::optional<double>*,
                              std::vector<std::string>*, std::vector<std::int64_t>*, std::vector<double>*,
                              std::function<void(const std::string&)>, std::function<void(std::uint64_t)>>;

  std::string names;  // "--json", "-q,--quiet"; without dashes for what stands alone: "FILE"
  Target target;      // outlives the table
  std::string help;
  std::string group = "Options";       // "": not listed
  std::vector<std::string> choices{};  // empty: anything
  std::optional<std::int64_t> least{};
  std::optional<std::int64_t> most{};
  char delimiter = '\0';
  bool is_required = false;
  bool acts_at_once = false;  // while parsing: what stands behind it overrides
  bool may_be_empty = false;  // an empty text is a value
  // When the option, though given, does nothing, and how that is said: "without --precision int8".
  std::vector<std::pair<std::function<bool()>, std::string>> idle{};

  Option& in(std::string name) { return group = std::move(name), *this; }
  Option& required() { return is_required = true, *this; }
  Option& one_of(std::vector<std::string> names_) { return choices = std::move(names_), *this; }
  Option& at_least(std::int64_t value) { return least = value, *this; }
  Option& at_most(std::int64_t value) { return most = value, *this; }
  Option& separated_by(char c) { return delimiter = c, *this; }
  Option& at_once() { return acts_at_once = true, *this; }
  Option& or_empty() { return may_be_empty = true, *this; }
  // Asked after parsing, where the option was given: yes is a usage error.
  Option& idle_when(std::function<bool()> is_idle, std::string how) {
    return idle.emplace_back(std::move(is_idle), std::move(how)), *this;
  }

  [[nodiscard]] bool is_positional() const { return !names.starts_with('-'); }
  [[nodiscard]] bool is_flag() const { return std::holds_alternative<bool*>(target); }
  // Takes several words: a positional all that follow, an option one each time it is given.
  [[nodiscard]] bool is_repeated() const { return std::holds_alternative<std::vector<std::string>*>(target); }
  // Several values, whatever their type.
  [[nodiscard]] bool is_list() const {
    return is_repeated() || std::holds_alternative<std::vector<std::int64_t>*>(target) ||
           std::holds_alternative<std::vector<double>*>(target);
  }
  // "--output" of "-o,--output"; "FILE".
  [[nodiscard]] std::string_view long_name() const {
    return std::string_view(names).substr(names.find(',') == std::string::npos ? 0 : names.find(',') + 1);
  }
  [[nodiscard]] bool is_called(std::string_view name) const;
};

class OptionTable {
 public:
  // The reference may be used to say more until the table goes away.
  Option& add(std::string names, Option::Target target, std::string help = {}) {
    return options_.emplace_back(
        Option{.names = std::move(names), .target = std::move(target), .help = std::move(help)});
  }

  // An option that was added, by its long name, to say more of it.
  Option& at(std::string_view long_name) {
    return *std::find_if(options_.begin(), options_.end(),
                         [&](const Option& option) { return option.long_name() == long_name; });
  }

  // Whether an option of exactly these names is there: "--threads".
  [[nodiscard]] bool has(std::string_view names) const {
    return std::any_of(options_.begin(), options_.end(), [&](const Option& option) { return option.names == names; });
  }

  // Sets what the options point at. The message of what is wrong, or nullopt.
  [[nodiscard]] std::optional<std::string> parse(const std::vector<std::string>& arguments) const;
  // "Positionals: ... Options: ...", a line each, by group.
  [[nodiscard]] std::string help_text() const;
  // "--json" ...
  [[nodiscard]] std::vector<std::string> long_names() const;
  [[nodiscard]] const std::deque<Option>& options() const noexcept { return options_; }
  // By one of its names: "-o". Null where there is none.
  [[nodiscard]] const Option* find(std::string_view name) const;

 private:
  std::deque<Option> options_;
};

}  // namespace rushlight::cli
