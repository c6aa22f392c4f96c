#include "cli/terminal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cli/stop_signals.hpp"

namespace rushlight::cli {
namespace {

std::string_view escape_of(Role role) {
  switch (role) {
    case Role::heading:
      return "\x1b[1m";
    case Role::good:
      return "\x1b[32m";
    case Role::warning:
      return "\x1b[33m";
    case Role::bad:
      return "\x1b[1;31m";
    case Role::dim:
      return "\x1b[2m";
    case Role::plain:
      break;
  }
  return {};
}

bool environment_set(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread starts
  return value != nullptr && *value != '\0';
}

}  // namespace

Terminal Terminal::of(int stream, ColorChoice choice) {
  Terminal terminal;
  terminal.is_terminal = isatty(stream) == 1;
  const char* term = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe)
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  terminal.color = choice == ColorChoice::always ||
                   (choice == ColorChoice::automatic && terminal.is_terminal && !dumb && !environment_set("NO_COLOR"));
  winsize size{};
  if (terminal.is_terminal && ioctl(stream, TIOCGWINSZ, &size) == 0) {
    if (size.ws_col > 0) terminal.columns = std::clamp<std::size_t>(size.ws_col, 40, 240);
    terminal.rows = size.ws_row;
  }
  return terminal;
}

std::string Terminal::paint(std::string_view text, Role role) const {
  if (!color || role == Role::plain) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(role), text);
}

void print_error(std::string_view text) noexcept {
  if (std::fwrite(text.data(), 1, text.size(), stderr) == text.size()) std::fflush(stderr);
}

void hold_standard_streams() noexcept {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) != -1) continue;
    // The other way round than the stream is used. The lowest number that is free is this one.
    if (open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream) return;
  }
}

ProgressBar::ProgressBar()
    : started_(std::chrono::steady_clock::now()), drawn_(started_), enabled_(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (visible_) print_error("\r\x1b[K");
}

bool ProgressBar::on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) {
  if (StopSignals::received() != 0) return false;
  if (!enabled_ || total == 0) return true;
  const auto now = std::chrono::steady_clock::now();
  if (now - started_ < std::chrono::milliseconds(500) || now - drawn_ < std::chrono::milliseconds(100)) return true;
  drawn_ = now;
  visible_ = true;
  constexpr std::size_t kCells = 30;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kCells));
  print_error(fmt::format("\r{} [{}{}] {:3.0f}%\x1b[K", phase, std::string(filled, '#'),
                          std::string(kCells - filled, ' '), share * 100));
  return true;
}

}  // namespace rushlight::cli
