// Which optional libraries this build has.
#pragma once

#include <string_view>

#include "rushlight/version.hpp"

namespace rushlight::test {

// "png" or "jpeg".
inline bool is_built_in(std::string_view library) {
  const BuildInfo info = build_info();
  return info.find(library) != "not built in";
}

}  // namespace rushlight::test
