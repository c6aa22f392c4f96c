#include "cli/output_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/format.hpp"
#include "rushlight/error.hpp"

namespace rushlight::cli {
namespace {

Error stands_in_the_way(ErrorCode code, const std::string& path, std::string finding_code, std::string message) {
  return Error::of(code, {.category = Category::io,
                          .code = std::move(finding_code),
                          .message = std::move(message),
                          .file = escaped_file(path)});
}

}  // namespace

Status check_output(const std::string& path, bool overwrite) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::file_type type = fs::status(path, ignored).type();
  if (type == fs::file_type::directory) {
    return stands_in_the_way(ErrorCode::io, path, "IO-NOT-A-FILE",
                             "only a regular file can be replaced, found a directory");
  }
  if (type == fs::file_type::regular && !overwrite) {
    return stands_in_the_way(ErrorCode::io, path, "IO-EXISTS", "the file exists already, and is not to be replaced");
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) {
    return stands_in_the_way(ErrorCode::not_found, path, "IO-NOT-FOUND",
                             fmt::format("there is no folder '{}'", format_file(folder.string())));
  }
  return {};
}

Status check_is_no_input(const std::string& path, std::initializer_list<std::string> inputs) {
  for (const std::string& input : inputs) {
    std::error_code ignored;
    if (input.empty() || !std::filesystem::equivalent(path, input, ignored)) continue;
    return Error::of({.category = Category::argument,
                      .code = "ARG-OUTPUT",
                      .message = "what is written would take the place of a file that is read",
                      .file = escaped_file(path)});
  }
  return {};
}

}  // namespace rushlight::cli
