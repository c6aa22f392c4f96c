// The ways to write a file by its path, each for tests that make it fail.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rushlight/result.hpp"

namespace rushlight::test {

// One way to write a file.
struct Road {
  std::string name;
  std::map<std::string, std::string> before;  // the files of the folder
  std::string out;                            // the one that is written, which is there already
  // Gives what writes it, with all that the test itself needs made beforehand: what allocates then is the library.
  std::function<std::function<Status()>(const std::filesystem::path& folder)> prepare;
  bool reserves = true;  // room on the disk, before it writes
  bool signs = false;
};

// Saving with a manifest, manifests and signatures in a file and beside it, conversions, salvage, the writers
// themselves.
[[nodiscard]] std::vector<Road> write_roads();

}  // namespace rushlight::test
