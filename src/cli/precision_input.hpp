// What `run` and `bench` say about Precision: its words, and the calibration that int8 needs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"

namespace rushlight::cli {

// What --precision takes.
[[nodiscard]] std::vector<std::string> precision_words();

// Of a word of those.
[[nodiscard]] Precision precision_of(std::string_view word);

Option& add_calibration_option(OptionTable& table, std::string& file);
// With Precision::int8 what `file` holds, for as long as the sessions are made; otherwise nothing.
[[nodiscard]] Result<std::optional<Calibration>> read_calibration_for(Precision precision, const std::string& file,
                                                                      const Context& context);

}  // namespace rushlight::cli
