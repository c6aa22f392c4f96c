// A distributed checkpoint: a folder with `.metadata` and the `.distcp` files of the ranks (format-spec/11-sets).
#pragma once

#include "open/opened.hpp"
#include "rushlight/result.hpp"

namespace rushlight::open {

// `opened` holds `.metadata`; it gets the nested dicts and lists of the program that saved it. Tensors are put together
// from their chunks when they are first read; other values are read now.
Status load_dcp(const LoadOptions& options, Opened& opened);

}  // namespace rushlight::open
