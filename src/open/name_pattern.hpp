// Names as people type them: globs with *, ? and [a-z].
#pragma once

#include <string_view>

namespace rushlight::open {

[[nodiscard]] bool is_glob(std::string_view pattern) noexcept;
// The whole name; `*` also matches dots. Brackets are sets, or all of them stand for themselves: names have some of
// their own, so that `state[*].step` fits `state[0].step`. Without recursion, in time proportional to name times
// pattern at worst.
[[nodiscard]] bool matches_glob(std::string_view pattern, std::string_view name) noexcept;

}  // namespace rushlight::open
