// How runs went of which several are under way at a time: whoever waits for one is told of that one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "rushlight/result.hpp"

namespace rushlight::cuda {

// What runs say of themselves when they end: an index that pointed nowhere. Runs have tickets 1, 2, ... and end in this
// order, in a stream, where note() is called behind the calls of each; of() may be asked on any thread. Only failures
// take memory, where note() is called and not where a run begins.
class RunOutcomes {
 public:
  // So many failed runs are remembered. Of runs before them nobody knows any more how they went, and of() says so.
  static constexpr std::size_t kMostFailures = 256;

  // Of the run with the next ticket.
  void note(Status outcome);
  // The tickets above this one were not given to anybody, though their runs may have ended: they come once more.
  void take_back(std::uint64_t last_ticket);
  // Of a run that is over.
  [[nodiscard]] Status of(std::uint64_t ticket) const;

 private:
  struct Failure {
    std::uint64_t ticket = 0;
    Status outcome;
  };

  mutable std::mutex mutex_;
  std::uint64_t last_noted_ = 0;
  std::uint64_t last_forgotten_ = 0;  // a ticket; 0: none
  std::deque<Failure> failures_;      // by ticket
};

}  // namespace rushlight::cuda
