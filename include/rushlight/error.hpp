/// \file
/// What can go wrong, as values: a coarse code for callers, a Finding for people and tools.
///
/// One damaged byte gives one message, the same on every machine and from every kind of Source: the first wrong byte
/// in reading order decides. Texts that come from a file are escaped and cut short before they enter a message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/export.hpp"

namespace rushlight {

/// Coarse classes of failure, for callers that branch on them.
enum class ErrorCode : std::uint8_t {
  io,                 ///< the operating system, or the caller's Source, failed
  not_a_checkpoint,   ///< the bytes are something else: HTML, a Git LFS pointer, another format
  truncated,          ///< the file ends too early
  corrupt,            ///< the structure contradicts itself
  ambiguous,          ///< two correct readers could read different things
  checksum_mismatch,  ///< bytes are not those that were written
  unsupported,        ///< valid, but not built here
  forbidden,          ///< names something beyond the allow-list, under Globals::strict
  limit_exceeded,     ///< a budget of Limits would be overrun
  not_found,          ///< no such file, record, tensor or key
  mismatch,           ///< state dict and model disagree
  invalid_argument,   ///< the caller's mistake
  out_of_memory,      ///< the allocator said no
  device,             ///< no such device, or the device failed
  cancelled,          ///< Progress asked to stop
};

enum class Severity : std::uint8_t { note, warning, error };

/// Where a finding belongs. The lower-case name is part of the JSON contract.
enum class Category : std::uint8_t {
  kind,      ///< not a checkpoint at all
  trunc,     ///< ends early
  zip,       ///< broken container structure
  ambig,     ///< two readers could disagree
  unsup,     ///< valid but refused or not built
  limit,     ///< a budget
  pkl,       ///< malformed pickle stream
  global,    ///< a name beyond the allow-list
  type,      ///< an opcode or a rebuild function on the wrong operand
  tensor,    ///< geometry of a tensor
  store,     ///< a storage and its record do not fit
  crc,       ///< CRC-32
  mani,      ///< manifest
  sig,       ///< signature
  changed,   ///< the file changed while it was read
  io,        ///< operating system
  model,     ///< graphs, specs, state dicts that do not fit a model
  device,    ///< compute devices
  argument,  ///< the caller's mistake
};

/// One observation about a file or a model. All strings but `tensors` are valid UTF-8 and already escaped.
struct Finding {
  Severity severity = Severity::error;
  Category category = Category::io;
  std::string code{};                            ///< stable, upper case: "ZIP-LOCAL-NAME"
  std::string message{};                         ///< lower case, no full stop: "what is wrong, expected A, found B"
  std::string file{};                            ///< path or Source::name(); empty when there is no file
  std::optional<std::string> record{};           ///< name inside the archive, without the root folder
  std::optional<std::uint64_t> offset{};         ///< bytes from the start of the file
  std::optional<std::uint64_t> record_offset{};  ///< bytes from the record's first decoded byte
  std::string found{};                           ///< the offending value, where one exists
  std::string expected{};                        ///< what would have been right
  std::vector<std::string> tensors{};            ///< names of the tensors that are hurt, as listings have them: raw
  std::string hint{};                            ///< a next step for the reader
};

/// A failure: the finding that caused it, and its class. Its special members are functions of the library, and cold:
/// every function that can fail moves and destroys errors, and inlined they would be most of the program.
struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::io;
  Finding finding;

  RUSHLIGHT_API RUSHLIGHT_COLD Error();
  RUSHLIGHT_API RUSHLIGHT_COLD Error(const Error& other);
  RUSHLIGHT_API RUSHLIGHT_COLD Error(Error&& other) noexcept;
  RUSHLIGHT_API RUSHLIGHT_COLD Error& operator=(const Error& other);
  RUSHLIGHT_API RUSHLIGHT_COLD Error& operator=(Error&& other) noexcept;
  RUSHLIGHT_API RUSHLIGHT_COLD ~Error();

  /// The class follows from the finding's category (DESIGN "errors").
  RUSHLIGHT_API RUSHLIGHT_COLD static Error of(Finding finding);
  /// As above, where the category alone does not decide (for example Category::io with ErrorCode::not_found).
  RUSHLIGHT_API RUSHLIGHT_COLD static Error of(ErrorCode code, Finding finding);
};

/// "corrupt", "not_a_checkpoint", ...
RUSHLIGHT_API std::string_view to_string(ErrorCode code) noexcept;
/// "note", "warning", "error".
RUSHLIGHT_API std::string_view to_string(Severity severity) noexcept;
/// "zip", "crc", ...
RUSHLIGHT_API std::string_view to_string(Category category) noexcept;

/// One line: `model.pt: data/14 at 0x11c0: crc-32 mismatch, expected b337254f, found 72bacc51`.
RUSHLIGHT_API std::string to_string(const Finding& finding);
RUSHLIGHT_API std::string to_string(const Error& error);

}  // namespace rushlight
