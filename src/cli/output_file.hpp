// A file that is written when all is computed: what will stand in the way is known before.
#pragma once

#include <string>

#include "rushlight/result.hpp"

namespace rushlight::cli {

// The errors of writing it then, as far as they can be seen now: no folder, something else of that name, a file that
// is not to be replaced.
Status check_output(const std::string& path, bool overwrite);

}  // namespace rushlight::cli
