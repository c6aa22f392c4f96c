// Pickles by themselves, and the five of the legacy container, by their first bytes.
#pragma once

#include <optional>
#include <string_view>

#include "open/sniff.hpp"

namespace rushlight::open {

// `head` is the beginning of the file.
std::optional<Sniffed> sniff_pickle(std::string_view head);

}  // namespace rushlight::open
