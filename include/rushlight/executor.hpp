/// \file
/// Where parallel work runs, and how long work reports and is cancelled. Both are the caller's to replace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

#include "rushlight/export.hpp"

namespace rushlight {

/// Runs a number of independent tasks and waits for them. Implement it to lend Rushlight your own threads.
///
/// Results never depend on which thread runs which task, nor on how many threads there are.
class RUSHLIGHT_API Executor {
 public:
  virtual ~Executor();

  /// Tasks that can make progress at the same time, the calling thread included; at least 1.
  [[nodiscard]] virtual unsigned concurrency() const noexcept = 0;

  /// Calls task(context, i) once for each i in [0, count), in any order and on any thread, and returns when all have
  /// returned. Must not throw. May be called from several threads at once only if the implementation says so.
  virtual void run(std::size_t count, void (*task)(void* context, std::size_t index), void* context) noexcept = 0;

  /// The same for a callable `f(std::size_t index)`, which must not throw; allocates nothing.
  template <class F>
  void for_each_index(std::size_t count, F&& f) noexcept {
    using Callable = std::remove_reference_t<F>;
    run(
        count, [](void* context, std::size_t index) { (*static_cast<Callable*>(context))(index); },
        const_cast<void*>(static_cast<const void*>(std::addressof(f))));
  }

 protected:
  Executor() = default;
  Executor(const Executor&) = default;
  Executor& operator=(const Executor&) = default;
};

/// A pool with `threads` tasks in flight: threads - 1 workers and the caller itself, so 1 creates no thread at all.
/// 0 means the number of processors this process may use. Workers spin for microseconds after a job, then sleep.
/// run() may be called from several threads; calls are served one after the other.
RUSHLIGHT_API std::unique_ptr<Executor> make_thread_pool(unsigned threads = 0);

/// Told about long work, and able to stop it. Called from the thread that does the work, at most about every 4 MiB.
class RUSHLIGHT_API Progress {
 public:
  virtual ~Progress();
  /// `done` of `total` units (bytes, unless a function says otherwise) of the named phase ("verify", "pack", ...).
  /// Return false to cancel: the operation then fails with ErrorCode::cancelled and leaves nothing half done.
  [[nodiscard]] virtual bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) = 0;

 protected:
  Progress() = default;
  Progress(const Progress&) = default;
  Progress& operator=(const Progress&) = default;
};

}  // namespace rushlight
