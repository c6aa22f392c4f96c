// rushlight edit: a checkpoint with things left out, renamed, cast or set.
#include <fmt/format.h>
#include <regex.h>

#include <array>
#include <charconv>
#include <memory>

#include "cli/format.hpp"
#include "cli/save_options.hpp"
#include "cli/stop_signals.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct EditArguments {
  std::string file;
  std::string out;
  std::vector<std::string> drop;
  std::vector<std::string> rename;
  std::vector<std::string> casts;
  std::vector<std::string> set;
  bool in_place = false;
  bool dry_run = false;
  WriteOptions write;
};

Error wrong(std::string message, std::string hint = {}) {
  return Error::of(
      {.category = Category::argument, .code = "EDIT-OPTION", .message = std::move(message), .hint = std::move(hint)});
}

// s/REGEX/TEXT/ and s/REGEX/TEXT/g as sed -E has them, with any delimiter; \1 to \9 and & stand for what was found.
// Regular expressions of the C library: those of C++ would double the program.
class Renaming {
 public:
  static Result<Renaming> parse(const std::string& rule) {
    const auto form = [&] {
      return wrong(fmt::format("'{}' is no renaming", escaped(rule)), "it looks like 's/^module\\.//'");
    };
    if (rule.size() < 4 || rule[0] != 's') return form();
    const char delimiter = rule[1];
    std::vector<std::string> parts(1);
    for (std::size_t i = 2; i < rule.size(); ++i) {
      if (rule[i] == '\\' && i + 1 < rule.size()) {
        if (rule[i + 1] != delimiter) parts.back() += rule[i];
        parts.back() += rule[++i];
      } else if (rule[i] == delimiter) {
        parts.emplace_back();
      } else {
        parts.back() += rule[i];
      }
    }
    if (parts.size() != 3 || (!parts[2].empty() && parts[2] != "g")) return form();
    Renaming made;
    made.all_ = parts[2] == "g";
    made.text_ = parts[1];
    made.pattern_ = std::shared_ptr<regex_t>(new regex_t{}, [](regex_t* pattern) {
      regfree(pattern);
      delete pattern;
    });
    if (const int failed = regcomp(made.pattern_.get(), parts[0].c_str(), REG_EXTENDED); failed != 0) {
      std::array<char, 128> reason{};
      regerror(failed, made.pattern_.get(), reason.data(), reason.size());
      return wrong(fmt::format("'{}' is no regular expression", escaped(parts[0])), reason.data());
    }
    return made;
  }

  [[nodiscard]] std::string apply(const std::string& name) const {
    std::string out;
    std::size_t at = 0;
    std::array<regmatch_t, 10> found{};
    while (at <= name.size() &&
           regexec(pattern_.get(), name.c_str() + at, found.size(), found.data(), at == 0 ? 0 : REG_NOTBOL) == 0) {
      const auto begin = static_cast<std::size_t>(found[0].rm_so);
      const auto end = static_cast<std::size_t>(found[0].rm_eo);
      out.append(name, at, begin);
      out += replacement(name.substr(at), found);
      if (end == begin && at + end < name.size()) out += name[at + end];  // nothing was found: go on behind it
      at += end == begin ? end + 1 : end;
      if (!all_) break;
    }
    return at < name.size() ? out + name.substr(at) : out;
  }

 private:
  [[nodiscard]] std::string replacement(const std::string& name, const std::array<regmatch_t, 10>& found) const {
    std::string out;
    const auto group = [&](std::size_t number) {
      if (found[number].rm_so < 0) return;
      out.append(name, static_cast<std::size_t>(found[number].rm_so),
                 static_cast<std::size_t>(found[number].rm_eo - found[number].rm_so));
    };
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '&') {
        group(0);
      } else if (text_[i] == '\\' && i + 1 < text_.size()) {
        const char next = text_[++i];
        if (next >= '0' && next <= '9') {
          group(static_cast<std::size_t>(next - '0'));
        } else {
          out += next;
        }
      } else {
        out += text_[i];
      }
    }
    return out;
  }

  std::shared_ptr<regex_t> pattern_;
  std::string text_;
  bool all_ = false;
};

// FROM=TO, GLOB=TO or just TO.
Result<CastRule> parse_cast(const std::string& rule) {
  const std::size_t equal = rule.rfind('=');
  const std::string to = equal == std::string::npos ? rule : rule.substr(equal + 1);
  const std::optional<DType> dtype = parse_dtype(to);
  if (!dtype) {
    const std::vector<std::string> close = nearest(to, dtype_names(), 1);
    return wrong(fmt::format("'{}' is no dtype", escaped(to)),
                 close.empty() ? std::string() : fmt::format("did you mean '{}'?", close[0]));
  }
  CastRule made{.match = {}, .from = {}, .to = *dtype};
  if (equal == std::string::npos) return made;
  const std::string what = rule.substr(0, equal);
  // A dtype of that name, or tensors.
  made.from = parse_dtype(what);
  if (made.from == DType::qi8) made.from = DType::i8;
  if (!made.from) made.match = what;
  return made;
}

// PATH=VALUE: None, True, False, numbers, "text", or anything else as text.
Result<std::pair<std::string, Value>> parse_setting(const std::string& setting) {
  const std::size_t equal = setting.find('=');
  if (equal == std::string::npos || equal == 0) {
    return wrong(fmt::format("'{}' sets nothing", escaped(setting)), "it looks like 'epoch=3'");
  }
  const std::string path = setting.substr(0, equal);
  const std::string text = setting.substr(equal + 1);
  if (text == "None" || text == "null") return std::pair(path, Value::none());
  if (text == "True" || text == "true") return std::pair(path, Value(true));
  if (text == "False" || text == "false") return std::pair(path, Value(false));
  std::int64_t integer = 0;
  const char* const end = text.data() + text.size();
  if (const auto parsed = std::from_chars(text.data(), end, integer); parsed.ec == std::errc() && parsed.ptr == end) {
    return std::pair(path, Value(integer));
  }
  double real = 0;
  if (const auto parsed = std::from_chars(text.data(), end, real); parsed.ec == std::errc() && parsed.ptr == end) {
    return std::pair(path, Value(real));
  }
  const bool is_quoted = text.size() >= 2 && (text[0] == '"' || text[0] == '\'') && text.back() == text[0];
  return std::pair(path, Value(is_quoted ? text.substr(1, text.size() - 2) : text));
}

Result<EditOptions> parse(const EditArguments& options) {
  EditOptions how;
  how.drop = options.drop;
  std::vector<Renaming> renamings;
  for (const std::string& rule : options.rename) {
    Result<Renaming> renaming = Renaming::parse(rule);
    if (!renaming) return std::move(renaming).error();
    renamings.push_back(*std::move(renaming));
  }
  if (!renamings.empty()) {
    how.rename = [renamings = std::move(renamings)](std::string_view key) {
      std::string name(key);
      for (const Renaming& renaming : renamings) {
        name = renaming.apply(name);
      }
      return name;
    };
  }
  for (const std::string& rule : options.casts) {
    Result<CastRule> cast = parse_cast(rule);
    if (!cast) return std::move(cast).error();
    how.casts.push_back(*std::move(cast));
  }
  for (const std::string& setting : options.set) {
    Result<std::pair<std::string, Value>> set = parse_setting(setting);
    if (!set) return std::move(set).error();
    how.set.push_back(*std::move(set));
  }
  return how;
}

void write_json(const Context& context, const EditArguments& options, const ConvertReport& report,
                std::span<const Finding> findings, bool ok) {
  JsonWriter json = begin_envelope("edit", options.file, ok);
  if (options.dry_run) {
    json.key("output").null();
  } else {
    json.field("output", std::string_view(options.out)).field("kind", to_string(report.kind));
    json.key("size_bytes").natural(report.size_bytes).field("tensors", report.tensors);
    json.field("verified", report.verified);
  }
  const auto names = [&](std::string_view key, const std::vector<std::string>& list) {
    json.key(key).begin_array();
    for (const std::string& name : list) json.string(name);
    json.end_array();
  };
  names("dropped", report.edit.dropped);
  json.key("renamed").begin_array();
  for (const auto& [from, to] : report.edit.renamed) {
    json.begin_object().field("from", std::string_view(from)).field("to", std::string_view(to)).end_object();
  }
  json.end_array();
  write_casts(json, report.edit.casts);
  names("set", report.edit.set);
  write_findings(json, findings);
  print_envelope(context, json);
}

void write_text(const Context& context, const EditArguments& options, const ConvertReport& report,
                std::span<const Finding> findings) {
  std::string out;
  for (const std::string& name : report.edit.dropped) out += fmt::format("- {}\n", escaped(name));
  for (const auto& [from, to] : report.edit.renamed) out += fmt::format("> {} -> {}\n", escaped(from), escaped(to));
  out += format_casts(context, report.edit.casts);
  for (const std::string& path : report.edit.set) out += fmt::format("= {}\n", escaped(path));
  if (options.dry_run) {
    out += "nothing was written: --dry-run\n";
  } else {
    out +=
        fmt::format("{} -> {}  {}, {}{}\n", format_file(options.file),
                    context.terminal.paint(format_file(options.out), Role::heading), plural(report.tensors, "tensor"),
                    format_bytes(report.size_bytes), report.verified ? ", read back and equal" : "");
  }
  print(out);
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::warning) print_error(format_finding(context.errors, finding));
  }
}

int run(Context& context, EditArguments options) {
  StopSignals stop;
  if (options.in_place == !options.out.empty() && !options.dry_run) {
    return fail(context, "edit", options.file, wrong("say where to write: -o FILE, or --in-place"));
  }
  if (options.in_place) options.out = options.file;
  Result<EditOptions> how = parse(options);
  if (!how) return fail(context, "edit", options.file, std::move(how).error());
  how->limits = context.limits;
  Result<Checkpoint> checkpoint = Checkpoint::open(options.file, context.load_options());
  if (!checkpoint) {
    return fail(context, "edit", options.file, with_path_suggestion(std::move(checkpoint).error(), options.file));
  }
  ProgressBar progress;
  ConvertReport report;
  if (options.dry_run) {
    how->progress = &progress;
    Result<EditReport> edited = edit(*checkpoint, *how);
    if (!edited) return fail(context, "edit", options.file, std::move(edited).error());
    report.edit = *std::move(edited);
    report.findings = report.edit.findings;
  } else {
    ConvertOptions write;
    write.kind = options.write.kind();
    const FileKind own = checkpoint->format().kind;
    if (write.kind == FileKind::unknown && !kind_of_name(options.out)) write.kind = own;
    write.edit = *std::move(how);
    write.save = options.write.save_options();
    write.save.limits = context.limits;
    write.compressed = options.write.deflate;
    write.verify = options.write.verify;
    write.overwrite = options.write.force || options.in_place;
    write.executor = &context.executor();
    write.progress = &progress;
    Result<ConvertReport> written = convert(*checkpoint, options.out, write);
    if (!written) {
      Error error = std::move(written).error();
      if (error.finding.code == "IO-EXISTS") error.finding.hint = "--force overwrites it";
      return fail(context, "edit", options.file, std::move(error));
    }
    report = *std::move(written);
  }
  std::vector<Finding> findings(checkpoint->findings().begin(), checkpoint->findings().end());
  findings.insert(findings.end(), report.findings.begin(), report.findings.end());
  const bool ok = !has_errors(context, findings);
  if (context.json) {
    write_json(context, options, report, findings, ok);
  } else if (!context.quiet) {
    write_text(context, options, report, findings);
  }
  return ok ? kGood : kFindings;
}

}  // namespace

Verb edit_verb() {
  return {"edit",
          {},
          "leave out, rename, cast or set parts of a checkpoint",
          {"rushlight edit ckpt.pt -o slim.pt --drop optimizer_state_dict --dry-run",
           "rushlight edit ckpt.pt -o plain.pt --rename 's/^module\\.//'",
           "rushlight edit ckpt.pt --in-place --set epoch=4 --cast f32=bf16"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<EditArguments>();
            table.add("FILE", &options->file, "a checkpoint").required();
            table.add("-o,--output", &options->out, "the new file");
            table.add("--in-place", &options->in_place, "replace the file itself, at once");
            table.add("--drop", &options->drop, "leave out what has this name or fits this glob; repeat it for more")
                .separated_by(',');
            table.add("--rename", &options->rename,
                      "s/REGEX/TEXT/[g] as sed -E has it, for the keys of the dicts that hold tensors");
            table.add("--cast", &options->casts, "DTYPE, FROM=DTYPE or GLOB=DTYPE; i8: quantised per channel");
            table.add("--set", &options->set, "PATH=VALUE: None, True, a number or text");
            table.add("--dry-run", &options->dry_run, "say what would be done");
            add_write_options(table, options->write, options->out);
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
