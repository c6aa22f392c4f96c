// A checkpoint cut into files, and the index that says which tensor is in which (format-spec/11-sets).
#pragma once

#include "open/opened.hpp"
#include "rushlight/result.hpp"

namespace rushlight::open {

// `opened` holds the index; it gets one dict with the names of the index, in its order. Storages that names of one
// shard share stay shared.
Status load_sharded(const LoadOptions& options, Opened& opened);

}  // namespace rushlight::open
