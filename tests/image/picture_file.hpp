// A file with given bytes, for as long as a test needs it.
#pragma once

#include <filesystem>
#include <string_view>

#include "support/temporary_folder.hpp"

namespace rushlight {

class PictureFile {
 public:
  explicit PictureFile(std::string_view bytes) { test::write_file(path(), bytes); }
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "picture"; }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace rushlight
