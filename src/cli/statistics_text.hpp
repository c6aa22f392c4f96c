// TensorStatistics as JSON, for `show` and `stats`.
#pragma once

#include "cli/json_writer.hpp"
#include "rushlight/inspect.hpp"

namespace rushlight::cli {

void write_statistics(JsonWriter& json, const TensorStatistics& figures);
// Of all elements, 0 when there are none.
double fraction_of_zeros(const TensorStatistics& figures);

}  // namespace rushlight::cli
