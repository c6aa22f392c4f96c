#include "cli/stop_signals.hpp"

#include <atomic>

namespace rushlight::cli {
namespace {

std::atomic<int> received_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "written by a signal handler");

extern "C" void remember_signal(int number) {
  received_signal.store(number, std::memory_order_relaxed);
}

}  // namespace

StopSignals::StopSignals() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = remember_signal;
    sigemptyset(&action.sa_mask);
    // Once only: who asks twice means it. Calls that were interrupted go on; the work asks for itself.
    action.sa_flags = static_cast<int>(static_cast<unsigned>(SA_RESETHAND) | SA_RESTART);
    sigaction(kSignals[i], &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

int StopSignals::received() noexcept {
  return received_signal.load(std::memory_order_relaxed);
}

}  // namespace rushlight::cli
