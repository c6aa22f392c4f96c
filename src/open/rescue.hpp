// What salvage() would rescue, without writing it.
#pragma once

#include <memory>

#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/salvage.hpp"
#include "rushlight/source.hpp"

namespace rushlight::open {

// The report that salvage() would give, with `written` and `output_bytes` unset.
Result<SalvageReport> judge_rescue(std::shared_ptr<const Source> source, const Limits& limits);

}  // namespace rushlight::open
