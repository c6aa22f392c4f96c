// What `run` and `bench` say about Precision: its words, and the calibration that int8 needs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/context.hpp"

namespace rushlight::cli {

// ErrorCode::unsupported for words that the contract has and this version has not.
[[nodiscard]] Result<Precision> precision_of(std::string_view word);

void add_calibration_option(OptionTable& table, std::string& file);
// With Precision::int8 what `file` holds, for as long as the sessions are made; otherwise nothing.
[[nodiscard]] Result<std::optional<Calibration>> read_calibration_for(Precision precision, const std::string& file,
                                                                      const Context& context);

}  // namespace rushlight::cli
