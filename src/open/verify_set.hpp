// verify() of a set: each part by itself, and what the set says about them.
#pragma once

#include "open/opened.hpp"
#include "rushlight/verify.hpp"

namespace rushlight::open {

// `opened` went through open_container() and is a set. The format stays in `opened`; findings are in the order of the
// set's files, its own last. Errors are those of verify().
Status verify_set(const VerifyOptions& options, const LoadOptions& load, Opened& opened, VerifyReport& report);

// One part, a file of its own or a window in one; it has a source.
Result<VerifyReport> verify_part(const Part& part, bool is_window, const VerifyOptions& options);

}  // namespace rushlight::open
