// What is still whole in a zip archive that cannot be opened.
#pragma once

#include <memory>
#include <optional>

#include "rushlight/doctor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/source.hpp"

namespace rushlight::open {

// Goes by the local headers, from the front: the central directory may be missing or lie. Counts records whose end is
// known and reached, and the tensors whose storages are among them where the pickle is. nullopt for sources that are
// not mapped, and for files that do not begin with a record.
[[nodiscard]] std::optional<Rescue> find_whole_parts(const std::shared_ptr<const Source>& source, const Limits& limits);

}  // namespace rushlight::open
