// A file that is written: what will stand in the way is known before anything is computed.
#pragma once

#include <initializer_list>
#include <string>

#include "rushlight/result.hpp"

namespace rushlight::cli {

// The errors of writing it then, as far as they can be seen now: no folder, something else of that name, a file that
// is not to be replaced.
Status check_output(const std::string& path, bool overwrite);
// That it takes the place of none of the files that the command reads, whatever it is called; empty names are none.
Status check_is_no_input(const std::string& path, std::initializer_list<std::string> inputs);

}  // namespace rushlight::cli
