// Kills writers of one file at random moments while others read it: whoever looks sees one of two whole files.
//
//   kill_loop ROUNDS [SEED]
//
// Prints what it did as a JSON object; exits with 1 when anybody saw anything else. tests/faults/run.sh logs it.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "io/atomic_file.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "model.pt";
constexpr int kReaders = 2;

// Seen by all processes.
struct Shared {
  std::atomic<std::uint64_t> commits{0};
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> torn_reads{0};
  std::atomic<bool> stop{false};
};

// Of different sizes, so that neither can be taken for a part of the other; the sizes are no multiples of a page.
struct Contents {
  std::string a, b;
  Contents() {
    a.resize(300'001);
    b.resize(1'400'003);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<char>('a' + i % 23);
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<char>('A' + i % 19);
  }
};

// A child, which does not outlive a parent that is itself killed.
pid_t fork_child() {
  const pid_t child = fork();
#if defined(__linux__)
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  return child;
}

double seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// As savers write: small pieces, then one that is not gathered.
bool write_once(const fs::path& path, const std::string& text) {
  auto file = io::AtomicFile::create(path, text.size());
  if (!file) return false;
  ByteSpan rest = as_byte_span(text);
  for (int i = 0; i < 20; ++i) {
    if (!(*file)->write(rest.first(5'003))) return false;
    rest = rest.subspan(5'003);
  }
  return (*file)->write(rest) && (*file)->commit();
}

// By plain calls, not through our own reader. Empty when it cannot be opened.
std::string read_whole(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text;
  struct stat status {};
  if (::fstat(fd, &status) == 0) text.resize(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(fd, text.data() + done, text.size() - done);
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  ::close(fd);
  return text;
}

[[noreturn]] void read_for_ever(const fs::path& path, const Contents& contents, Shared& shared) {
  while (!shared.stop) {
    const std::string text = read_whole(path);
    if (text != contents.a && text != contents.b) ++shared.torn_reads;
    ++shared.reads;
  }
  _exit(0);
}

[[noreturn]] void write_for_ever(const fs::path& path, const Contents& contents, Shared& shared) {
  for (bool b = true;; b = !b) {
    if (!write_once(path, b ? contents.b : contents.a)) _exit(3);
    ++shared.commits;
  }
}

int run(int rounds, unsigned seed) {
  std::string pattern = (fs::temp_directory_path() / "rushlight-kill-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return 2;
  const fs::path folder = pattern;
  const fs::path path = folder / kName;
  const Contents contents;
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  Shared& shared = *new (memory) Shared;

  const double begin = seconds();
  bool wrote = write_once(path, contents.a);
  std::array<pid_t, kReaders> readers{};
  for (pid_t& reader : readers) {
    reader = fork_child();
    if (reader == 0) read_for_ever(path, contents, shared);
  }
  // How long one write takes, with the readers at work, decides when to kill.
  const double first = seconds();
  for (int i = 0; i < 10; ++i) wrote = wrote && write_once(path, i % 2 == 0 ? contents.b : contents.a);
  const double write_seconds = (seconds() - first) / 10;
  std::minstd_rand random(seed);
  std::uniform_real_distribution<double> delay(0, 2.5 * write_seconds);
  int old_or_new = 0, torn = 0, leftovers = 0, strangers = 0, ended_by_themselves = 0;
  for (int round = 0; wrote && round < rounds; ++round) {
    const pid_t writer = fork_child();
    if (writer == 0) write_for_ever(path, contents, shared);
    if (writer < 0) break;
    const auto nanoseconds = static_cast<long long>(delay(random) * 1e9);
    const timespec pause{static_cast<time_t>(nanoseconds / 1'000'000'000),
                         static_cast<long>(nanoseconds % 1'000'000'000)};
    nanosleep(&pause, nullptr);
    kill(writer, SIGKILL);
    int status = 0;
    waitpid(writer, &status, 0);
    if (!WIFSIGNALED(status)) ++ended_by_themselves;
    const std::string text = read_whole(path);
    if (text == contents.a || text == contents.b) {
      ++old_or_new;
    } else {
      ++torn;
    }
    // Nothing but temporaries of known names may be left, which the next save does not mind.
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
    for (const fs::path& file : found) {
      const std::string name = file.filename().string();
      if (name == kName) continue;
      const bool temporary = name.starts_with(std::string(".") + kName + ".") && name.ends_with(".tmp");
      temporary ? ++leftovers : ++strangers;
      // Every other one stays, so that savers meet them.
      if (round % 2 == 0) fs::remove(file);
    }
  }
  shared.stop = true;
  for (const pid_t reader : readers) {
    if (reader > 0) waitpid(reader, nullptr, 0);
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  const bool good = wrote && old_or_new == rounds && torn == 0 && strangers == 0 && ended_by_themselves == 0 &&
                    shared.torn_reads == 0;
  std::printf(
      "{\"rounds\": %d, \"seed\": %u, \"whole\": %d, \"torn\": %d, \"commits\": %llu, \"leftover_temporaries\": %d,\n"
      " \"other_files\": %d, \"writers_that_failed\": %d, \"reads\": %llu, \"torn_reads\": %llu,\n"
      " \"milliseconds_a_write\": %.2f, \"seconds\": %.1f, \"good\": %s}\n",
      rounds, seed, old_or_new, torn, static_cast<unsigned long long>(shared.commits.load()), leftovers, strangers,
      ended_by_themselves, static_cast<unsigned long long>(shared.reads.load()),
      static_cast<unsigned long long>(shared.torn_reads.load()), write_seconds * 1e3, seconds() - begin,
      good ? "true" : "false");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace rushlight::test

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 0;
  if (rounds <= 0) {
    std::fputs("usage: kill_loop ROUNDS [SEED]\n", stderr);
    return 2;
  }
  return rushlight::test::run(rounds, argc > 2 ? static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)) : 1);
}
