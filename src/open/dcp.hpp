// A distributed checkpoint: a folder with `.metadata` and the `.distcp` files of the ranks (format-spec/11-sets).
#pragma once

#include <optional>
#include <vector>

#include "open/opened.hpp"
#include "rushlight/result.hpp"

namespace rushlight::open {

// `opened` holds `.metadata`; it gets the nested dicts and lists of the program that saved it. Tensors are put together
// from their chunks when they are first read; other values are read now.
Status load_dcp(const LoadOptions& options, Opened& opened);

// The same, and then for each of opened.members that is a tensor the first chunk, if any, that is not what the metadata
// says it is: another dtype, another shape.
Status load_dcp(const LoadOptions& options, Opened& opened, std::vector<std::optional<Error>>& wrong_chunks);

}  // namespace rushlight::open
