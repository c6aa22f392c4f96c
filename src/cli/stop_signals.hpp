// Ctrl-C while a file is written: the work is told to stop, so that it removes what it had begun.
#pragma once

#include <signal.h>

#include <array>
#include <cstddef>

namespace rushlight::cli {

// While one lives, the first SIGINT, SIGTERM or SIGHUP does not end the program: Progress of the program (ProgressBar)
// says stop, and the work fails with ErrorCode::cancelled. The second one of a kind ends it at once. Signals that are
// ignored stay so (nohup). For verbs that write; the others have nothing to clean up, and end at once as ever.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that came, 0 for none. Also after the object is gone.
  static int received() noexcept;

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_{};
};

}  // namespace rushlight::cli
