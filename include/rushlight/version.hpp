/// \file
/// Which Rushlight this is, and what it was built with.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/export.hpp"

/// The version of these headers. A test holds them to the version in CMakeLists.txt.
#define RUSHLIGHT_VERSION_MAJOR 0
#define RUSHLIGHT_VERSION_MINOR 1
#define RUSHLIGHT_VERSION_PATCH 0

namespace rushlight {

/// The version of the library that was linked: "0.1.0".
RUSHLIGHT_API std::string_view version_string() noexcept;

/// What the library was built with and what it found on this machine, as names and values in a fixed order, ready to
/// print: compiler, build type, exceptions, isa (the instruction set the kernels use here), cpu, crc32, sha256, cuda,
/// and the versions of the libraries underneath.
struct BuildInfo {
  std::vector<std::pair<std::string, std::string>> rows;

  /// The value of a row, or an empty view. Not of a temporary, whose texts are gone by the end of the line.
  [[nodiscard]] RUSHLIGHT_API std::string_view find(std::string_view name) const& noexcept;
  std::string_view find(std::string_view name) && = delete;
};
RUSHLIGHT_API BuildInfo build_info();

}  // namespace rushlight
