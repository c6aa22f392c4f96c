// Memory that runs out. Inside the library containers throw std::bad_alloc, and everything holds its resources so that
// they go then; at its face that becomes an Error. A build without exceptions ends the program instead, as its standard
// library does. Buffers whose size a file decides do not throw in the first place: they are asked for with
// std::nothrow or realloc, and their errors say what they were for.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>
#include <type_traits>

#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"

namespace rushlight {

// Allocates nothing.
[[nodiscard]] RUSHLIGHT_COLD Error no_memory() noexcept;

// What `work` returns, a Result or a Status; no_memory() where it ran out of memory.
template <class Work>
std::invoke_result_t<Work> or_no_memory(Work&& work) {
#if defined(__cpp_exceptions)
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
#else
  return work();
#endif
}

// Executor::for_each_index for tasks that allocate. Where one of them runs out of memory on whatever thread, this
// throws, when all have ended.
template <class Task>
void for_each_index(Executor& executor, std::size_t count, const Task& task) {
#if defined(__cpp_exceptions)
  std::atomic<bool> ran_out{false};
  executor.for_each_index(count, [&](std::size_t index) {
    try {
      task(index);
    } catch (const std::bad_alloc&) {
      ran_out = true;
    }
  });
  if (ran_out) throw std::bad_alloc();
#else
  executor.for_each_index(count, task);
#endif
}

}  // namespace rushlight
