// How many threads can run at the same time.
#pragma once

namespace rushlight {

// Processors that this process may use, by its affinity mask; at least 1.
[[nodiscard]] unsigned usable_processors() noexcept;

}  // namespace rushlight
