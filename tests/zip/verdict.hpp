// What Rushlight says about an archive, as lines of text, after it was asked in every way: from a mapping and by
// reading, with one thread and with four. All ways must give the same lines, or the test fails.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/error.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"

namespace rushlight::test {

// "ambig ZIP-LOCAL-NAME base/data/0 at 0x1e: local header names ..."; warnings and notes say so in front.
std::string line(const Finding& finding);
std::string line(const Error& error);

struct Verdict {
  std::shared_ptr<const zip::Archive> archive;  // null where open() refused
  ErrorCode code = ErrorCode::io;               // of open(), where it refused
  std::string error;                            // of open(); empty where it succeeded
  std::string oddities;                         // of open(), a line each
  std::string findings;                         // of audit(), a line each
  std::uint64_t explained_bytes = 0;
  std::uint64_t checked_bytes = 0;
  std::uint64_t size_bytes = 0;

  [[nodiscard]] bool opened() const { return archive != nullptr; }
  [[nodiscard]] bool fully_explained() const { return opened() && explained_bytes == size_bytes; }
  // Everything that was said: the refusal, or oddities and findings.
  [[nodiscard]] std::string text() const { return opened() ? oddities + findings : error; }
};

Verdict judge(const Bytes& bytes, const zip::OpenOptions& options = {});

// The line of read()'s error for the record, or "ok" where it gives bytes.
std::string use(const Bytes& bytes, std::string_view full_name);
// The bytes read() gives, as text; fails the test where it gives none.
std::string content(const Verdict& verdict, std::string_view full_name);

}  // namespace rushlight::test
