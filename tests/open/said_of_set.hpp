// What is said of checkpoints that are sets of files, whatever folder they lie in.
#pragma once

#include <filesystem>
#include <string>

#include "rushlight/error.hpp"
#include "rushlight/result.hpp"

namespace rushlight::test {

// FILE: category CODE: message; the file without its folder.
inline std::string said(const Finding& finding) {
  return std::filesystem::path(finding.file).filename().string() + ": " + std::string(to_string(finding.category)) +
         " " + finding.code + ": " + finding.message;
}

template <class T>
std::string said(const Result<T>& result) {
  return result ? "ok" : said(result.error().finding);
}

}  // namespace rushlight::test
