#include "cli/context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "cli/format.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct LimitOption {
  std::string_view name;
  std::uint64_t Limits::*field;
};
constexpr std::array kLimitOptions = {
    LimitOption{"archive-entries", &Limits::archive_entries},
    LimitOption{"central-directory-bytes", &Limits::central_directory_bytes},
    LimitOption{"record-name-bytes", &Limits::record_name_bytes},
    LimitOption{"pickle-bytes", &Limits::pickle_bytes},
    LimitOption{"pickle-nodes", &Limits::pickle_nodes},
    LimitOption{"pickle-depth", &Limits::pickle_depth},
    LimitOption{"pickle-memo", &Limits::pickle_memo},
    LimitOption{"pickle-string-bytes", &Limits::pickle_string_bytes},
    LimitOption{"pickle-integer-bytes", &Limits::pickle_integer_bytes},
    LimitOption{"visited-nodes", &Limits::visited_nodes},
    LimitOption{"tensors", &Limits::tensors},
    LimitOption{"tensor-dims", &Limits::tensor_dims},
    LimitOption{"inflated-bytes", &Limits::inflated_bytes},
    LimitOption{"materialised-bytes", &Limits::materialised_bytes},
    LimitOption{"json-bytes", &Limits::json_bytes},
    LimitOption{"graph-nodes", &Limits::graph_nodes},
    LimitOption{"arena-bytes", &Limits::arena_bytes},
    LimitOption{"image-pixels", &Limits::image_pixels},
};

// Whether every reader of JSON gets this integer as it is.
bool is_exact(std::int64_t value) noexcept {
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  return -kMost <= value && value <= kMost;
}

}  // namespace

unsigned Context::session_threads() const {
  const unsigned wanted = threads.value_or(1);
  return wanted == 0 ? make_thread_pool(0)->concurrency() : wanted;
}

Executor& Context::executor() {
  if (!executor_) executor_ = make_thread_pool(threads.value_or(0));
  return *executor_;
}

LoadOptions Context::load_options() {
  LoadOptions options;
  options.strict = strict;
  options.globals = strict ? Globals::strict : Globals::opaque;
  options.limits = limits;
  options.encoding = encoding;
  return options;
}

void add_shared_options(OptionTable& table, Context& context) {
  table.add("--json", &context.json, "print one JSON object, also on failure").in("Output");
  table.add("-q,--quiet", &context.quiet, "print nothing but errors; the exit code tells").in("Output");
  const auto set_color = [&context](const std::string& name) {
    context.color = name == "always"  ? ColorChoice::always
                    : name == "never" ? ColorChoice::never
                                      : ColorChoice::automatic;
  };
  table.add("--color", set_color, "auto, always or never").one_of({"auto", "always", "never"}).in("Output");
  if (!table.has("--threads")) {  // bench takes several numbers of them
    const auto set_threads = [&context](std::uint64_t count) {
      context.threads = static_cast<unsigned>(std::min<std::uint64_t>(count, std::numeric_limits<unsigned>::max()));
    };
    table.add("--threads", set_threads, "threads to use, 0 for all processors").at_least(0).at_most(1024).in("Work");
  }
  table.add("--strict", &context.strict, "warnings count as errors").in("Checks");
  const auto set_limits = [&context](const std::string& name) {
    context.limits = name == "strict" ? Limits::strict() : name == "off" ? Limits::off() : Limits{};
  };
  table.add("--limits", set_limits, "budgets for hostile files: strict, default or off")
      .one_of({"strict", "default", "off"})
      .at_once()
      .in("Checks");
  for (const LimitOption& option : kLimitOptions) {
    const auto set_limit = [&context, option](std::uint64_t value) {
      if (value > Limits{}.*(option.field)) {
        context.raised_limits.push_back(fmt::format("{} {}", option.name, value));
      }
      context.limits.*(option.field) = value;
    };
    // Listed by `help limits`, not in every verb's help.
    table.add(fmt::format("--max-{}", option.name), set_limit, "one budget by name").in("");
  }
}

std::string limits_text() {
  std::string text;
  for (const LimitOption& option : kLimitOptions) {
    text += fmt::format("  --max-{:<24} {}\n", option.name, Limits{}.*(option.field));
  }
  return text;
}

void add_encoding_option(OptionTable& table, Context& context) {
  const auto set_encoding = [&context](const std::string& name) {
    for (const Encoding encoding : {Encoding::utf8, Encoding::ascii, Encoding::latin1, Encoding::bytes}) {
      if (name == to_string(encoding)) context.encoding = encoding;
    }
  };
  table.add("--encoding", set_encoding, "what the strings of Python 2 are: utf-8, ascii, latin1 or bytes")
      .one_of({"utf-8", "ascii", "latin1", "bytes"});
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    if (errno == EPIPE) std::_Exit(kGood);  // the reader of the pipe has seen enough
    print_error(fmt::format("rushlight: cannot write to the standard output: {}\n", std::strerror(errno)));
    std::_Exit(kCouldNotLook);
  }
}

JsonWriter begin_envelope(std::string_view command, std::string_view file, bool ok) {
  JsonWriter json;
  json.begin_object().field("schema", 1).field("command", command);
  json.key("file");
  if (file.empty()) {
    json.null();
  } else {
    json.string(file);
  }
  json.field("ok", ok);
  return json;
}

void print_envelope(const Context& context, JsonWriter& json) {
  json.end_object();
  if (context.envelopes != nullptr) {
    context.envelopes->push_back(json.text());
    return;
  }
  print(json.text());
  print("\n");
}

int for_each_file(Context& context, std::string_view command, const std::vector<std::string>& files, bool apart,
                  const std::function<int(const std::string& file)>& look) {
  if (files.size() == 1) return look(files.front());
  std::vector<std::string> envelopes;
  context.envelopes = context.json ? &envelopes : nullptr;
  int code = kGood;
  bool printed = false;  // a text, and not only an error
  for (const std::string& file : files) {
    if (apart && printed && !context.json && !context.quiet) print("\n");
    const int one = look(file);
    printed = one == kGood || one == kFindings;
    code = std::max(code, one);
  }
  context.envelopes = nullptr;
  if (context.json) {
    JsonWriter json = begin_envelope(command, "", code == kGood);
    json.key("files").begin_array();
    for (const std::string& envelope : envelopes) json.raw(envelope);
    json.end_array();
    write_findings(json, {});
    print_envelope(context, json);
  }
  return code;
}

void write_finding(JsonWriter& json, const Finding& finding) {
  const auto optional_text = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) json.field(name, std::string_view(text));
  };
  const auto optional_offset = [&](std::string_view name, const std::optional<std::uint64_t>& offset) {
    json.key(name);
    if (offset) {
      json.natural(*offset);
    } else {
      json.null();
    }
  };
  json.begin_object()
      .field("severity", to_string(finding.severity))
      .field("category", to_string(finding.category))
      .field("code", std::string_view(finding.code))
      .field("message", std::string_view(finding.message));
  json.key("record");
  if (finding.record) {
    json.string(*finding.record);
  } else {
    json.null();
  }
  optional_offset("offset", finding.offset);
  if (finding.record_offset) optional_offset("record_offset", finding.record_offset);
  json.key("tensors").begin_array();
  for (const std::string& name : finding.tensors) json.string(name);
  json.end_array();
  optional_text("found", finding.found);
  optional_text("expected", finding.expected);
  optional_text("hint", finding.hint);
  json.end_object();
}

void write_findings(JsonWriter& json, std::span<const Finding> findings) {
  json.key("findings").begin_array();
  for (const Finding& finding : findings) write_finding(json, finding);
  json.end_array();
}

void write_path(JsonWriter& json, std::span<const PathStep> path) {
  json.begin_array();
  for (const PathStep& step : path) {
    if (step.kind == PathStep::Kind::attr) {
      json.begin_object().field("attr", std::string_view(step.text)).end_object();
    } else if (step.kind == PathStep::Kind::index || (step.integer_key && is_exact(step.index))) {
      json.integer(step.index);
    } else if (step.integer_key) {
      json.begin_object().field("key", std::string_view(std::to_string(step.index))).end_object();
    } else if (step.other_key) {
      json.begin_object().field("key", std::string_view(step.text)).end_object();
    } else {
      json.string(step.text);
    }
  }
  json.end_array();
}

std::string format_finding(const Terminal& terminal, const Finding& finding) {
  const Role role = finding.severity == Severity::error     ? Role::bad
                    : finding.severity == Severity::warning ? Role::warning
                                                            : Role::dim;
  std::string text =
      fmt::format("{} {}", terminal.paint(fmt::format("{}:", to_string(finding.severity)), role), to_string(finding));
  std::string category(to_string(finding.category));
  for (char& c : category) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  text += terminal.paint(fmt::format("   [{}]", category), Role::dim);
  text += '\n';
  if (!finding.hint.empty()) text += fmt::format("  {}\n", finding.hint);
  return text;
}

std::string count_findings(std::span<const Finding> findings) {
  std::array<std::size_t, 3> counts{};
  for (const Finding& finding : findings) ++counts[static_cast<std::size_t>(finding.severity)];
  std::string text;
  constexpr std::array<std::string_view, 3> kNames = {"note", "warning", "error"};
  for (std::size_t i = 3; i-- > 0;) {
    if (counts[i] == 0) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}{}", counts[i], kNames[i], counts[i] == 1 ? "" : "s");
  }
  return text;
}

bool has_errors(const Context& context, std::span<const Finding> findings) {
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::error || (context.strict && finding.severity == Severity::warning)) return true;
  }
  return false;
}

int exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::io:
    case ErrorCode::not_found:
    case ErrorCode::out_of_memory:
    case ErrorCode::device:
    case ErrorCode::cancelled:
      return kCouldNotLook;
    case ErrorCode::invalid_argument:
      return kUsage;
    default:
      return kFindings;
  }
}

int fail(const Context& context, std::string_view command, std::string_view file, Error error) {
  const int code = exit_code_of(error.code);
  const std::string own = escaped_file(file);
  if (error.finding.file.empty()) error.finding.file = own;
  const bool is_own = error.finding.file == own && is_utf8(file);
  error.finding.file = file_of_finding(error.finding.file);
  if (context.json) {
    JsonWriter json = begin_envelope(command, is_own ? file : error.finding.file, false);
    json.field("error", to_string(error.code));
    write_findings(json, {&error.finding, 1});
    print_envelope(context, json);
  } else {
    print_error(fmt::format("rushlight{}{}: {}\n", command.empty() ? "" : " ", command, to_string(error.finding)));
    if (!error.finding.hint.empty()) print_error(fmt::format("  {}\n", error.finding.hint));
  }
  return code;
}

Error with_path_suggestion(Error error, const std::string& path) {
  if (error.code != ErrorCode::not_found || !error.finding.hint.empty()) return error;
  if (path == "-") {
    error.finding.hint = "the standard input is not read: name a file";
    return error;
  }
  const std::filesystem::path wanted(path);
  const std::filesystem::path folder = wanted.has_parent_path() ? wanted.parent_path() : ".";
  std::vector<std::string> names;
  std::error_code ignored;
  for (auto it = std::filesystem::directory_iterator(folder, ignored);
       !ignored && it != std::filesystem::directory_iterator() && names.size() < 10'000; it.increment(ignored)) {
    names.push_back(it->path().filename().string());
  }
  const std::vector<std::string> close = nearest(wanted.filename().string(), names, 1);
  if (!close.empty()) {
    const std::string suggestion = wanted.has_parent_path() ? (folder / close[0]).string() : close[0];
    error.finding.hint = fmt::format("did you mean '{}'?", format_file(suggestion));
  }
  return error;
}

}  // namespace rushlight::cli
