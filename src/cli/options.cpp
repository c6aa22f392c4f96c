#include "cli/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <string>
#include <system_error>
#include <type_traits>

namespace rushlight::cli {
namespace {

// The parser takes 010 for eight, -1 for the largest natural number, and what is too large for the largest.
template <class Integer>
CLI::Validator expect_integer(const Option& option) {
  const auto least = static_cast<Integer>(option.least.value_or(std::is_signed_v<Integer> ? INT64_MIN : 0));
  std::string expected = "a whole number";
  if (option.least) expected = fmt::format("at least {}", least);
  if (option.least && option.most) expected = fmt::format("{} to {}", least, *option.most);
  return {[least, most = option.most, expected](const std::string& text) {
            Integer value = 0;
            const char* const end = text.data() + text.size();
            const auto [last, problem] = std::from_chars(text.data(), end, value);
            const bool is_plain = problem == std::errc() && last == end && std::to_string(value) == text;
            const bool is_good = is_plain && value >= least && !(most && value > static_cast<Integer>(*most));
            return is_good ? std::string() : fmt::format("expected {}, found {}", expected, text);
          },
          option.least && option.most ? expected : ""};
}

CLI::Validator expect_real() {
  return {[](const std::string& text) {
            double value = 0;
            return CLI::detail::lexical_cast(text, value) ? std::string() : "expected a number, found " + text;
          },
          ""};
}

std::optional<CLI::Validator> expect_number(const Option& option) {
  return std::visit(
      [&](const auto& target) -> std::optional<CLI::Validator> {
        using T = std::remove_cvref_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::int64_t*> || std::is_same_v<T, std::vector<std::int64_t>*>) {
          return expect_integer<std::int64_t>(option);
        } else if constexpr (std::is_same_v<T, unsigned*>) {
          return expect_integer<unsigned>(option);
        } else if constexpr (std::is_same_v<T, std::function<void(std::uint64_t)>>) {
          return expect_integer<std::uint64_t>(option);
        } else if constexpr (std::is_same_v<T, std::optional<double>*> || std::is_same_v<T, std::vector<double>*>) {
          return expect_real();
        } else {
          return std::nullopt;
        }
      },
      option.target);
}

CLI::Validator expect_something() {
  return {[](const std::string& text) { return text.empty() ? "expected a value, found nothing" : std::string(); }, ""};
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
  // Of several values an option takes one each time, so that it takes no positional that stands behind it.
  if (option.is_list() && !option.is_positional()) {
    added->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  added->allow_extra_args(option.is_list() && option.is_positional());
  if (option.is_positional() && !option.may_be_empty) added->check(expect_something());
  if (!option.choices.empty()) added->check(CLI::IsMember(option.choices));
  if (std::optional<CLI::Validator> number = expect_number(option)) added->check(*std::move(number));
  if (option.delimiter != '\0') added->delimiter(option.delimiter);
  if (option.is_required) added->required();
  if (option.acts_at_once) added->trigger_on_parse();
  added->group(option.group);
}

void fill(CLI::App& app, const std::deque<Option>& options) {
  app.set_help_flag();
  for (const Option& option : options) add_to(app, option);
}

// For parsing: the parser does not name an option of no group in what it says.
void fill_named(CLI::App& app, const std::deque<Option>& options) {
  fill(app, options);
  for (CLI::Option* option : app.get_options([](const CLI::Option* each) { return each->get_group().empty(); })) {
    option->group("Options");
  }
}

// What is not the parser's to judge: which options are given, how often, and with what. It takes the word behind an
// option for its value, whatever it is, and an empty one for none.
class Words {
 public:
  explicit Words(const OptionTable& table) : table_(table) {}

  // What is wrong, or nullopt.
  std::optional<std::string> read(const std::vector<std::string>& arguments) {
    bool is_behind = false;  // the word "--"
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string& word = arguments[i];
      if (is_behind || !word.starts_with('-') || word == "-") {
        positionals_.push_back(i);
        continue;
      }
      is_behind = word == "--";
      const std::string* const next = i + 1 < arguments.size() ? &arguments[i + 1] : nullptr;
      bool took_next = false;
      const std::optional<std::string> wrong =
          word.starts_with("--") ? read_long(word, next, took_next) : read_short(word, next, took_next);
      if (wrong) return wrong;
      if (took_next) ++i;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool has(const Option& option) const { return given_.contains(&option); }
  // Their places among the arguments.
  [[nodiscard]] const std::vector<std::size_t>& positionals() const noexcept { return positionals_; }

 private:
  std::optional<std::string> read_long(const std::string& word, const std::string* next, bool& took_next) {
    const std::size_t equal = word.find('=');
    const std::string name = word.substr(0, equal);
    const Option* const option = table_.find(name);
    if (option == nullptr) return word == "--" ? std::nullopt : std::optional(unknown(word));
    if (equal == std::string::npos)
      return option->is_flag() ? count(*option, name) : behind(*option, name, next, took_next);
    const std::string value = word.substr(equal + 1);
    if (option->is_flag()) return fmt::format("{} takes no value, found {}", name, value);
    return take(*option, name, value);
  }

  // "-q", "-qv", "-o FILE", "-oFILE".
  std::optional<std::string> read_short(const std::string& word, const std::string* next, bool& took_next) {
    for (std::size_t at = 1; at < word.size(); ++at) {
      const std::string name = {'-', word[at]};
      const Option* const option = table_.find(name);
      if (option == nullptr) return unknown(word);
      if (!option->is_flag()) {
        if (at + 1 == word.size()) return behind(*option, name, next, took_next);
        if (word[at + 1] == '=') return fmt::format("{}: expected {} without the =", word, name);
        return take(*option, name, word.substr(at + 1));
      }
      if (const auto wrong = count(*option, name)) return wrong;
    }
    return std::nullopt;
  }

  // As the parser says it, which says first what is missing.
  static std::string unknown(const std::string& word) {
    return fmt::format("The following argument was not expected: {}", word);
  }

  std::optional<std::string> behind(const Option& option, const std::string& name, const std::string* next,
                                    bool& took_next) {
    if (next == nullptr) return fmt::format("{}: expected a value, found nothing", name);
    took_next = true;
    // A file of such a name can be said as --output=--json.
    if (next->starts_with("--") && table_.find(std::string_view(*next).substr(0, next->find('='))) != nullptr) {
      return fmt::format("{}: expected a value, found the option {}", name, *next);
    }
    return take(option, name, *next);
  }

  std::optional<std::string> take(const Option& option, const std::string& name, const std::string& value) {
    if (value.empty() && !option.may_be_empty) return fmt::format("{}: expected a value, found nothing", name);
    const std::string separated = option.delimiter + value + option.delimiter;
    if (option.delimiter != '\0' && separated.find(std::string(2, option.delimiter)) != std::string::npos) {
      return fmt::format("{}: expected a value on both sides of each {}, found {}", name, option.delimiter, value);
    }
    return count(option, name);
  }

  std::optional<std::string> count(const Option& option, const std::string& name) {
    const bool is_first = given_.insert(&option).second;
    if (is_first || option.is_flag() || option.is_list() || option.acts_at_once) return std::nullopt;
    return fmt::format("{} is given twice", name);
  }

  const OptionTable& table_;
  std::set<const Option*> given_;
  std::vector<std::size_t> positionals_;
};

// The parser takes a positional "[a, b]" for the list of a and b, and here it is the name of a file or a tensor: a
// character that no name begins with stands before it until the parser is done.
constexpr char kShield = '\1';

std::vector<std::string> shielded(std::vector<std::string> arguments, const std::vector<std::size_t>& positionals) {
  for (const std::size_t i : positionals) {
    if (arguments[i].starts_with('[') || arguments[i].starts_with(kShield)) arguments[i].insert(0, 1, kShield);
  }
  return arguments;
}

void unshield(const Option& option) {
  const auto strip = [](std::string& word) {
    if (word.starts_with(kShield)) word.erase(0, 1);
  };
  if (const auto* const one = std::get_if<std::string*>(&option.target)) strip(**one);
  if (const auto* const several = std::get_if<std::vector<std::string>*>(&option.target)) {
    std::ranges::for_each(**several, strip);
  }
}

// What was given and does nothing: whoever gave it expects something else than will happen.
std::optional<std::string> find_idle(const OptionTable& table, const Words& words) {
  for (const Option& option : table.options()) {
    if (!option.is_positional() && !words.has(option)) continue;
    for (const auto& [is_idle, how] : option.idle) {
      if (is_idle()) return fmt::format("{} does nothing {}", option.long_name(), how);
    }
  }
  return std::nullopt;
}

}  // namespace

bool Option::is_called(std::string_view name) const {
  for (std::string_view rest = names; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    if (rest.substr(0, comma) == name) return true;
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return false;
}

const Option* OptionTable::find(std::string_view name) const {
  const auto found = std::ranges::find_if(options_, [&](const Option& option) { return option.is_called(name); });
  return found == options_.end() ? nullptr : &*found;
}

std::optional<std::string> OptionTable::parse(const std::vector<std::string>& arguments) const {
  Words words(*this);
  if (std::optional<std::string> wrong = words.read(arguments)) return wrong;
  CLI::App app;
  fill_named(app, options_);
  try {
    std::vector<std::string> left = shielded(arguments, words.positionals());
    std::ranges::reverse(left);  // they are taken from the back
    app.parse(std::move(left));
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    std::erase(message, kShield);
    return message;
  }
  for (const Option& option : options_) {
    if (option.is_positional()) unshield(option);
  }
  return find_idle(*this, words);
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
