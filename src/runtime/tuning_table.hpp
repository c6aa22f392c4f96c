// What a Tuning holds, for the backends that read it and add to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rushlight/tuning.hpp"

namespace rushlight {

struct Tuning::Impl {
  // Runs `work` and tells how long it took, in nanoseconds: the layer by this choice or, where it is empty, what comes
  // before. Tests put a function of their own here, so that no clock decides what they see.
  using Stopwatch = std::function<std::uint64_t(std::string_view choice, const std::function<void()>& work)>;

  [[nodiscard]] static Impl& of(Tuning& tuning) noexcept { return *tuning.impl_; }

  // The word noted for a layer of a machine. Both are texts of the backend's: printable ASCII, without " : ".
  [[nodiscard]] std::optional<std::string> find(std::string_view machine, std::string_view layer) const;
  // Replaces what is there. `times`: what was measured, for people; printable ASCII.
  void set(std::string_view machine, std::string_view layer, std::string_view choice, std::string_view times = {});

  struct Choice {
    std::string word;
    std::string times = {};
  };

  bool measures = true;
  Stopwatch stopwatch;  // never empty

  mutable std::mutex mutex;                                       // of what follows
  std::map<std::pair<std::string, std::string>, Choice> choices;  // by machine and layer
  std::size_t measured = 0;
};

}  // namespace rushlight
