// An executor of the caller's own that does everything on one thread, the last task first: the last of five threads is
// done with its share before any other has begun, and helps itself to all of theirs.
#pragma once

#include <cstddef>

#include "rushlight/executor.hpp"

namespace rushlight {

class BackwardExecutor final : public Executor {
 public:
  [[nodiscard]] unsigned concurrency() const noexcept override { return 5; }
  void run(std::size_t count, void (*task)(void*, std::size_t), void* context) noexcept override {
    for (std::size_t i = count; i-- > 0;) task(context, i);
    tasks += count;
  }
  std::size_t tasks = 0;
};

}  // namespace rushlight
