// rushlight completion: what shells offer behind the tab key, made from the verbs' option tables.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/verbs.hpp"
#include "rushlight/version.hpp"

namespace rushlight::cli {
namespace {

struct VerbOptions {
  const Verb* verb;
  OptionTable table;
};

std::vector<std::string> names_of(const Option& option) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < option.names.size();) {
    const std::size_t end = std::min(option.names.find(',', begin), option.names.size());
    names.push_back(option.names.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

// Between single quotes of a shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Inside the brackets and colons of zsh's _arguments.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// What is offered for an option: those in no group are too many.
bool is_offered(const Option& option) {
  return !option.is_positional() && !option.group.empty();
}

std::string choices_of(const Option& option) {
  return fmt::format("{}", fmt::join(option.choices, " "));
}

bool takes_names(const OptionTable& table) {
  for (const Option& option : table.options()) {
    if (option.names == "NAME") return true;
  }
  return false;
}

std::string verb_words() {
  std::string words;
  for (const Verb& verb : verbs()) {
    if (!verb.hidden) words += std::string(verb.name) + " ";
  }
  return words + "help";
}

// A case of bash that offers these words.
std::string bash_case(std::string_view pattern, std::string_view words) {
  return fmt::format("    {}) COMPREPLY=($(compgen -W {} -- \"$cur\")); return ;;\n", pattern, shell_quoted(words));
}

std::string bash_script(const std::vector<std::unique_ptr<VerbOptions>>& all) {
  std::string text =
      "# bash completion of rushlight; ~/.local/share/bash-completion/completions/rushlight\n"
      "_rushlight() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= file= options= i\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    [[ ${COMP_WORDS[i]} == -* ]] && continue\n"
      "    if [[ -z $verb ]]; then verb=${COMP_WORDS[i]}\n"
      "    elif [[ -z $file ]]; then file=${COMP_WORDS[i]}; fi\n"
      "  done\n"
      "  if [[ -z $verb ]]; then\n";
  text += fmt::format("    COMPREPLY=($(compgen -W {} -- \"$cur\") $(compgen -f -- \"$cur\"))\n",
                      shell_quoted(verb_words()));
  text += "    return\n  fi\n  case $verb in\n";
  std::string choices;
  for (const auto& entry : all) {
    std::string words;
    for (const Option& option : entry->table.options()) {
      if (option.is_positional() && !option.choices.empty()) {
        choices += bash_case(fmt::format("{0}:{0}", entry->verb->name), choices_of(option));
      }
      if (!is_offered(option)) continue;
      for (const std::string& name : names_of(option)) {
        words += name + " ";
        if (option.choices.empty()) continue;
        choices += bash_case(fmt::format("{}:{}", entry->verb->name, name), choices_of(option));
      }
    }
    text += fmt::format("    {}) options={} ;;\n", entry->verb->name, shell_quoted(words));
  }
  text += bash_case("help", verb_words());
  text += "  esac\n  case $verb:$prev in\n" + choices + "  esac\n";
  text += "  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")); return; fi\n";
  std::string with_names;
  for (const auto& entry : all) {
    if (takes_names(entry->table)) with_names += (with_names.empty() ? "" : "|") + std::string(entry->verb->name);
  }
  text += fmt::format(
      "  if [[ -n $file && $verb == @({}) ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$(\"${{COMP_WORDS[0]}}\" __names \"$file\" 2>/dev/null)\" -- \"$cur\")); return\n"
      "  fi\n",
      with_names);
  text += "  COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n";
  return text + "complete -o filenames -F _rushlight rushlight\n";
}

std::string zsh_script(const std::vector<std::unique_ptr<VerbOptions>>& all) {
  std::string text =
      "#compdef rushlight\n"
      "# zsh completion of rushlight; save it as _rushlight in a folder of $fpath\n"
      "_rushlight_names() {\n"
      "  local -a names\n"
      "  names=(${(f)\"$(rushlight __names ${line[1]} 2>/dev/null)\"})\n"
      "  compadd -a names\n"
      "}\n"
      "_rushlight() {\n"
      "  local -a line\n"
      "  local context state\n"
      "  if (( CURRENT == 2 )); then\n"
      "    local -a verbs\n"
      "    verbs=(\n";
  for (const auto& entry : all) {
    text += fmt::format("      {}\n",
                        shell_quoted(fmt::format("{}:{}", entry->verb->name, zsh_text(entry->verb->summary))));
  }
  text += "      'help:options of a verb')\n    _describe verb verbs\n    _files\n    return\n  fi\n";
  text += "  local verb=$words[2]\n  words=(\"${(@)words[2,-1]}\")\n  (( CURRENT-- ))\n  case $verb in\n";
  for (const auto& entry : all) {
    text += fmt::format("    {})\n      _arguments -S", entry->verb->name);
    for (const Option& option : entry->table.options()) {
      if (option.is_positional()) {
        std::string action = option.names == "NAME" ? "_rushlight_names" : "_files";
        if (!option.choices.empty()) action = fmt::format("({})", choices_of(option));
        text +=
            fmt::format(" \\\n        {}",
                        shell_quoted(fmt::format("{}:{}:{}", option.is_repeated() ? "*" : "", option.names, action)));
        continue;
      }
      if (!is_offered(option)) continue;
      for (const std::string& name : names_of(option)) {
        std::string spec = fmt::format("{}[{}]", name, zsh_text(option.help));
        if (!option.is_flag()) {
          spec +=
              option.choices.empty() ? std::string(":value:_files") : fmt::format(":value:({})", choices_of(option));
        }
        text += fmt::format(" \\\n        {}", shell_quoted(spec));
      }
    }
    text += "\n      ;;\n";
  }
  text += fmt::format("    help) compadd -- {} ;;\n", verb_words());
  return text + "  esac\n}\n_rushlight \"$@\"\n";
}

std::string fish_script(const std::vector<std::unique_ptr<VerbOptions>>& all) {
  std::string text =
      "# fish completion of rushlight; ~/.config/fish/completions/rushlight.fish\n"
      "function __rushlight_file\n"
      "  for word in (commandline -opc)[3..]\n"
      "    string match -q -- '-*' $word; or begin; echo $word; return; end\n"
      "  end\n"
      "end\n";
  for (const auto& entry : all) {
    text += fmt::format("complete -c rushlight -n __fish_use_subcommand -a {} -d {}\n", entry->verb->name,
                        shell_quoted(entry->verb->summary));
  }
  text += "complete -c rushlight -n __fish_use_subcommand -a help -d 'options of a verb'\n";
  text +=
      fmt::format("complete -c rushlight -n '__fish_seen_subcommand_from help' -f -a {}\n", shell_quoted(verb_words()));
  for (const auto& entry : all) {
    const std::string begin =
        fmt::format("complete -c rushlight -n '__fish_seen_subcommand_from {}'", entry->verb->name);
    for (const Option& option : entry->table.options()) {
      if (option.is_positional()) {
        if (option.names == "NAME") text += begin + " -a '(rushlight __names (__rushlight_file) 2>/dev/null)'\n";
        if (!option.choices.empty()) {
          text += fmt::format("{} -f -a {}\n", begin, shell_quoted(choices_of(option)));
        }
        continue;
      }
      if (!is_offered(option)) continue;
      std::string line = begin;
      for (const std::string& name : names_of(option)) {
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!option.is_flag()) line += " -r";
      if (!option.choices.empty()) {
        line += fmt::format(" -f -a {}", shell_quoted(choices_of(option)));
      }
      text += fmt::format("{} -d {}\n", line, shell_quoted(option.help));
    }
  }
  return text;
}

int print_completion(Context& context, const std::string& shell) {
  // The tables point into a context; nothing is parsed with them.
  Context scratch;
  std::vector<std::unique_ptr<VerbOptions>> all;
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    auto entry = std::make_unique<VerbOptions>();
    entry->verb = &verb;
    (void)define_options(verb, entry->table, scratch);
    all.push_back(std::move(entry));
  }
  const std::string script = shell == "bash" ? bash_script(all) : shell == "zsh" ? zsh_script(all) : fish_script(all);
  if (context.json) {
    JsonWriter json = begin_envelope("completion", "", true);
    json.field("shell", std::string_view(shell)).field("script", std::string_view(script));
    write_findings(json, {});
    print_envelope(context, json);
  } else {
    print(script);
  }
  return kGood;
}

}  // namespace

Verb completion_verb() {
  return {"completion",
          {},
          "a script that completes verbs, options and names of tensors",
          {"source <(rushlight completion bash)", "rushlight completion zsh > ~/.zfunc/_rushlight",
           "rushlight completion fish > ~/.config/fish/completions/rushlight.fish"},
          [](OptionTable& table, Context& context) {
            auto shell = std::make_shared<std::string>();
            table.add("SHELL", shell.get(), "bash, zsh or fish").required().one_of({"bash", "zsh", "fish"});
            return [shell, &context] { return print_completion(context, *shell); };
          }};
}

}  // namespace rushlight::cli
