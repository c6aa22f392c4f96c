// What every verb gets: where it prints, and the options all verbs share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/json_writer.hpp"
#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "rushlight/rushlight.hpp"

namespace rushlight::cli {

// Exit codes of the contract (cli.md 1).
enum Exit : int { kGood = 0, kFindings = 1, kUsage = 2, kCouldNotLook = 3 };

struct Context {
  // Options every verb takes.
  bool help = false;
  bool json = false;
  bool strict = false;
  bool quiet = false;
  ColorChoice color = ColorChoice::automatic;
  std::optional<unsigned> threads;  // 0: as many as there are processors
  // Of a session: one, unless others are asked for.
  [[nodiscard]] unsigned session_threads() const;
  Limits limits;
  Encoding encoding = Encoding::utf8;
  std::vector<std::string> raised_limits;  // said in the report

  Terminal terminal;
  Terminal errors;  // standard error
  // Where a verb over several files wants the objects of each; null: they are printed.
  std::vector<std::string>* envelopes = nullptr;

  // Made at the first use, so that verbs which need no threads start none.
  [[nodiscard]] Executor& executor();
  [[nodiscard]] LoadOptions load_options();

 private:
  std::unique_ptr<Executor> executor_;
};

// Adds the shared options to the program or to a verb.
void add_shared_options(OptionTable& table, Context& context);

// The budgets by name with their defaults, a line each.
std::string limits_text();

// For verbs that print values: what strings of Python 2 become.
void add_encoding_option(OptionTable& table, Context& context);

// Opens and closes the JSON object of the contract: {"schema":1,"command":...,"file":...,"ok":...  }.
JsonWriter begin_envelope(std::string_view command, std::string_view file, bool ok);
void write_finding(JsonWriter& json, const Finding& finding);
void write_findings(JsonWriter& json, std::span<const Finding> findings);
// Strings, integers that JSON holds exactly, {"attr": NAME}, and {"key": TEXT} for all other keys (cli.md 2).
void write_path(JsonWriter& json, std::span<const PathStep> path);
// Ends the object and prints it with a newline, or hands it to the object around it.
void print_envelope(const Context& context, JsonWriter& json);

// Runs `look` for each file. One file prints its own JSON object; several are the "files" of one. Gives the highest
// exit code. `apart`: an empty line between the texts.
int for_each_file(Context& context, std::string_view command, const std::vector<std::string>& files, bool apart,
                  const std::function<int(const std::string& file)>& look);

// Prints to standard output. A closed pipe ends the program quietly.
void print(std::string_view text);

// One finding a line: message, category in brackets, the tensors it hurts, the hint.
std::string format_finding(const Terminal& terminal, const Finding& finding);
// "2 errors, 1 warning"; empty for none.
std::string count_findings(std::span<const Finding> findings);
// True when a finding is an error (or, under --strict, a warning).
bool has_errors(const Context& context, std::span<const Finding> findings);

// Reports a failure as text on standard error or as the JSON object on standard output; gives the exit code.
int fail(const Context& context, std::string_view command, std::string_view file, Error error);
int exit_code_of(ErrorCode code) noexcept;

// Adds "did you mean" from the folder when a path does not exist.
Error with_path_suggestion(Error error, const std::string& path);

}  // namespace rushlight::cli
