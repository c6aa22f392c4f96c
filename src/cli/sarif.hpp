// What a scan found as SARIF 2.1.0, which code hosts show beside a file.
#pragma once

#include <string>

#include "rushlight/scan.hpp"

namespace rushlight::cli {

std::string to_sarif(const ScanReport& report);
// A scan that could not look.
std::string to_sarif(const Error& error);

}  // namespace rushlight::cli
