// What convert and extract do: a checkpoint, or a part of one, in another file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/save_options.hpp"

namespace rushlight::cli {

struct ConvertRequest {
  std::string file;
  std::string out;
  std::vector<std::string> parts;      // of the checkpoint; all of it when empty
  std::vector<std::string> cast_only;  // names and globs of the tensors that --dtype is for
  std::string dtype;
  WriteOptions write;
};

// Gives the exit code.
int convert_file(Context& context, std::string_view verb, const ConvertRequest& request);

}  // namespace rushlight::cli
