// What `list` prints for people.
#pragma once

#include <string>
#include <vector>

#include "cli/context.hpp"

namespace rushlight::cli {

struct ListOptions {
  std::vector<std::string> files;
  std::string match;
  std::string sort;
  bool tree = false;
  bool long_rows = false;
  bool all = false;
  bool verbose = false;
};

// `tensors` are those of the report that are asked for, in the order asked for.
void print_listing(const Context& context, const ListOptions& options, const Inspection& report,
                   const std::vector<TensorEntry>& tensors);

}  // namespace rushlight::cli
