// Man pages in roff (man(7)), made from the verbs' option tables.
#pragma once

#include <string>

#include "cli/verbs.hpp"

namespace rushlight::cli {

std::string man_page();  // rushlight(1)
std::string man_page(const Verb& verb, const OptionTable& table);

}  // namespace rushlight::cli
