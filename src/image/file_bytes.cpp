#include "image/file_bytes.hpp"

#include <string>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::image {

Result<FileBytes> map_file(const std::filesystem::path& path) {
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(path));
  return bytes_of(std::move(source));
}

Result<FileBytes> bytes_of(std::shared_ptr<const Source> source) {
  FileBytes file{source, source->mapping()};
  if (source->size_bytes() == 0) return damaged(file, ErrorCode::truncated, "IMAGE-EMPTY", "the file is empty");
  return file;
}

Error damaged(const FileBytes& file, ErrorCode error_code, std::string code, std::string message, std::string hint) {
  const auto category = [&] {
    switch (error_code) {
      case ErrorCode::truncated:
        return Category::trunc;
      case ErrorCode::unsupported:
        return Category::unsup;
      case ErrorCode::limit_exceeded:
        return Category::limit;
      default:
        return Category::kind;
    }
  };
  return with_file(
      Error::of(
          error_code,
          {.category = category(), .code = std::move(code), .message = std::move(message), .hint = std::move(hint)}),
      file.source->name());
}

}  // namespace rushlight::image
