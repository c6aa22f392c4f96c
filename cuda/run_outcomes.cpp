#include "cuda/run_outcomes.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::cuda {

void RunOutcomes::note(Status outcome) {
  const std::lock_guard lock(mutex_);
  ++last_noted_;
  if (outcome) return;
  if (failures_.size() == kMostFailures) {
    last_forgotten_ = failures_.front().ticket;
    failures_.pop_front();
  }
  failures_.push_back({last_noted_, std::move(outcome)});
}

void RunOutcomes::take_back(std::uint64_t last_ticket) {
  const std::lock_guard lock(mutex_);
  last_noted_ = last_ticket;
  while (!failures_.empty() && failures_.back().ticket > last_ticket) failures_.pop_back();
}

Status RunOutcomes::of(std::uint64_t ticket) const {
  const std::lock_guard lock(mutex_);
  if (ticket <= last_forgotten_) {
    return Error::of({.category = Category::device,
                      .code = "RUN-FORGOTTEN",
                      .message = "nobody knows any more how this run went: " + std::to_string(kMostFailures) +
                                 " later ones have failed",
                      .hint = "wait for a run before so many others fail"});
  }
  const auto found = std::lower_bound(failures_.begin(), failures_.end(), ticket,
                                      [](const Failure& failure, std::uint64_t t) { return failure.ticket < t; });
  return found == failures_.end() || found->ticket != ticket ? Status() : found->outcome;
}

}  // namespace rushlight::cuda
