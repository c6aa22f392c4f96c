#include <algorithm>
#include <utility>

#include "rushlight/checkpoint.hpp"

namespace rushlight {

MapLocation MapLocation::table(std::vector<std::pair<std::string, Device>> recorded_to_wanted) {
  MapLocation location;
  location.table_ = std::move(recorded_to_wanted);
  return location;
}

MapLocation MapLocation::function(Function function) {
  MapLocation location;
  location.function_ = std::move(function);
  return location;
}

Device MapLocation::map(std::string_view recorded_device) const {
  if (function_) return function_(recorded_device);
  const auto row = std::find_if(table_.begin(), table_.end(),
                                [&](const std::pair<std::string, Device>& r) { return r.first == recorded_device; });
  return row != table_.end() ? row->second : device_;
}

std::string_view to_string(Encoding encoding) noexcept {
  switch (encoding) {
    case Encoding::utf8:
      return "utf-8";
    case Encoding::ascii:
      return "ascii";
    case Encoding::latin1:
      return "latin1";
    case Encoding::bytes:
      return "bytes";
  }
  return "?";
}

}  // namespace rushlight
