// What the output goes to: how wide, in colour or not, and the one progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "rushlight/executor.hpp"

namespace rushlight::cli {

enum class ColorChoice : std::uint8_t { automatic, always, never };

// Roles, not colours: what a piece of text means.
enum class Role : std::uint8_t { plain, heading, good, warning, bad, dim };

struct Terminal {
  bool is_terminal = false;
  bool color = false;
  std::size_t columns = 80;
  std::size_t rows = 0;  // 0: endless, as in a file or a pipe

  // Standard output or standard error, under the user's choice, NO_COLOR and TERM=dumb (no-color.org).
  static Terminal of(int stream, ColorChoice choice);
  [[nodiscard]] std::string paint(std::string_view text, Role role) const;
};

// To standard error. Where that takes nothing there is nobody to tell: the exit code says it.
void print_error(std::string_view text) noexcept;

// What the caller closed of the three standard streams stays closed to reads and writes: without this the next file
// that is opened takes its place, and messages are written into that.
void hold_standard_streams() noexcept;

// One bar on standard error: only on a terminal, and only once the work has taken half a second. Stops the work where
// StopSignals has received a signal.
class ProgressBar final : public Progress {
 public:
  ProgressBar();
  ~ProgressBar() override;
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override;

 private:
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point drawn_;
  bool enabled_;
  bool visible_ = false;
};

}  // namespace rushlight::cli
