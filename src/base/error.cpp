#include "rushlight/error.hpp"

#include <utility>

#include "base/fail.hpp"

namespace rushlight {

Error::Error() = default;
Error::Error(const Error& other) = default;
Error::Error(Error&& other) noexcept = default;
Error& Error::operator=(const Error& other) = default;
Error& Error::operator=(Error&& other) noexcept = default;
Error::~Error() = default;

Error Error::of(Finding finding) {
  const ErrorCode code = code_of(finding.category);
  return of(code, std::move(finding));
}

Error Error::of(ErrorCode code, Finding finding) {
  Error error;
  error.code = code;
  error.finding = std::move(finding);
  return error;
}

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::io:
      return "io";
    case ErrorCode::not_a_checkpoint:
      return "not_a_checkpoint";
    case ErrorCode::truncated:
      return "truncated";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::ambiguous:
      return "ambiguous";
    case ErrorCode::checksum_mismatch:
      return "checksum_mismatch";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::forbidden:
      return "forbidden";
    case ErrorCode::limit_exceeded:
      return "limit_exceeded";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::mismatch:
      return "mismatch";
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::device:
      return "device";
    case ErrorCode::cancelled:
      return "cancelled";
  }
  return "?";
}

std::string_view to_string(Severity severity) noexcept {
  switch (severity) {
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "?";
}

std::string_view to_string(Category category) noexcept {
  switch (category) {
    case Category::kind:
      return "kind";
    case Category::trunc:
      return "trunc";
    case Category::zip:
      return "zip";
    case Category::ambig:
      return "ambig";
    case Category::unsup:
      return "unsup";
    case Category::limit:
      return "limit";
    case Category::pkl:
      return "pkl";
    case Category::global:
      return "global";
    case Category::type:
      return "type";
    case Category::tensor:
      return "tensor";
    case Category::store:
      return "store";
    case Category::crc:
      return "crc";
    case Category::mani:
      return "mani";
    case Category::sig:
      return "sig";
    case Category::changed:
      return "changed";
    case Category::io:
      return "io";
    case Category::model:
      return "model";
    case Category::device:
      return "device";
    case Category::argument:
      return "argument";
  }
  return "?";
}

// The place first, from the widest part to the narrowest: "file: record at 0x1f3: message". Where the offset within the
// record is known it is the one to look at (a disassembly shows the same number), and the one in the file stands
// behind it in brackets.
std::string to_string(const Finding& finding) {
  std::string line = finding.file;
  if (finding.record) {
    if (!line.empty()) line += ": ";
    line += *finding.record;
  }
  if (finding.record_offset || finding.offset) {
    if (!line.empty()) line += ' ';
    line += "at ";
    line += hex(finding.record_offset ? *finding.record_offset : *finding.offset);
    if (finding.record_offset && finding.offset) line += " (" + hex(*finding.offset) + " in the file)";
  }
  if (!line.empty()) line += ": ";
  line += finding.message;
  return line;
}

std::string to_string(const Error& error) {
  return to_string(error.finding);
}

}  // namespace rushlight
