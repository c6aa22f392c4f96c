#include "cli/man_page.hpp"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/version.hpp"

namespace rushlight::cli {
namespace {

// Text that roff prints as it stands.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '~':
        out += "\\(ti";
        break;
      case '^':
        out += "\\(ha";
        break;
      default:
        out += c;
    }
  }
  // A dot at the beginning of a line would be a request.
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

std::string heading(std::string_view name, std::string_view summary) {
  std::string text = fmt::format(".TH {} 1 \"\" \"rushlight {}\"\n", upper(roff(name)), version_string());
  return text + fmt::format(".SH NAME\n{} \\- {}\n", roff(name), roff(summary));
}

std::string exit_codes() {
  return ".SH EXIT STATUS\n"
         ".TP\n0\ngood\n"
         ".TP\n1\nfindings: corrupt, refused, differs\n"
         ".TP\n2\nwrong usage\n"
         ".TP\n3\ncould not look: not found, not readable, no memory, no device\n";
}

// "FILE...", "[--sort WORD]"
std::string synopsis(const OptionTable& table) {
  std::string text;
  for (const Option& option : table.options()) {
    if (!option.is_positional()) continue;
    const std::string name = roff(option.names) + (option.is_repeated() ? "..." : "");
    text += option.is_required ? fmt::format(" \\fI{}\\fR", name) : fmt::format(" [\\fI{}\\fR]", name);
  }
  return text + " [\\fIoptions\\fR]\n";
}

std::string option_entry(const Option& option) {
  std::string names;
  for (std::size_t begin = 0; begin < option.names.size();) {
    const std::size_t end = std::min(option.names.find(',', begin), option.names.size());
    if (!names.empty()) names += ", ";
    names += fmt::format("\\fB{}\\fR", roff(option.names.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (!option.is_positional() && !option.is_flag()) {
    std::string value = "VALUE";
    if (!option.choices.empty()) value = fmt::format("{}", fmt::join(option.choices, "|"));
    names += fmt::format(" \\fI{}\\fR", roff(value));
  }
  return fmt::format(".TP\n{}\n{}\n", names, roff(option.help));
}

std::string option_sections(const OptionTable& table) {
  std::vector<std::pair<std::string, std::string>> groups;  // in the order of their first options
  for (const Option& option : table.options()) {
    if (option.group.empty()) continue;
    const std::string group = option.is_positional() ? "Arguments" : option.group;
    std::size_t at = 0;
    while (at < groups.size() && groups[at].first != group) ++at;
    if (at == groups.size()) groups.emplace_back(group, "");
    groups[at].second += option_entry(option);
  }
  std::string text;
  for (const auto& [group, entries] : groups) text += fmt::format(".SH {}\n{}", upper(group), entries);
  return text;
}

}  // namespace

std::string man_page() {
  std::string text = heading("rushlight", "read, check and run PyTorch checkpoints");
  text += ".SH SYNOPSIS\n.B rushlight\n\\fIVERB\\fR [\\fIoptions\\fR]\n.br\n.B rushlight\n\\fIFILE\\fR...\n";
  text += ".SH DESCRIPTION\nNothing in a file is ever executed. A file alone is listed.\n.SH VERBS\n";
  std::string pages;
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(verb.name), roff(verb.summary));
    pages += fmt::format("{}.BR rushlight\\-{} (1)", pages.empty() ? "" : ",\n", verb.name);
  }
  text += ".TP\n\\fBhelp\\fR\na verb\\(aqs options, examples first\n";
  text += exit_codes();
  return text + ".SH SEE ALSO\n" + pages + "\n";
}

std::string man_page(const Verb& verb, const OptionTable& table) {
  std::string text = heading(fmt::format("rushlight-{}", verb.name), verb.summary);
  text += fmt::format(".SH SYNOPSIS\n.B rushlight {}\n{}", roff(verb.name), synopsis(table).substr(1));
  text += ".SH EXAMPLES\n.nf\n";
  for (const std::string_view example : verb.examples) text += roff(example) + "\n";
  text += ".fi\n" + option_sections(table) + exit_codes();
  return text + ".SH SEE ALSO\n.BR rushlight (1)\n";
}

}  // namespace rushlight::cli
