#include "io/io_error.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::io {

std::string errno_text(int error_number) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 32))
  const char* description = strerrordesc_np(error_number);  // never translated, unlike strerror
#else
  const char* description = std::strerror(error_number);
#endif
  if (description == nullptr) return "error " + std::to_string(error_number);
  std::string text = description;
  const auto is_upper = [&](std::size_t i) { return i < text.size() && text[i] >= 'A' && text[i] <= 'Z'; };
  if (is_upper(0) && !is_upper(1)) text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Error system_error(std::string_view code, std::string_view what, int error_number, std::string_view path) {
  const ErrorCode error_code = error_number == ENOENT || error_number == ENOTDIR ? ErrorCode::not_found
                               : error_number == ENOMEM                          ? ErrorCode::out_of_memory
                                                                                 : ErrorCode::io;
  return with_file(Error::of(error_code, {.category = Category::io,
                                          .code = std::string(code),
                                          .message = std::string(what) + ": " + errno_text(error_number)}),
                   path);
}

}  // namespace rushlight::io
