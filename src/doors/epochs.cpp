// list_epochs() of rushlight/load_model.hpp.
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "rushlight/load_model.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> kExtensions = {".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors"};
constexpr std::array<std::string_view, 3> kKeys = {"epoch", "current_epoch", "global_step"};

// The last run of digits: 12 of "net3_epoch_12".
std::optional<std::int64_t> last_number(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  std::size_t begin = end;
  while (begin > 0 && is_digit(text[begin - 1])) --begin;
  std::int64_t number = 0;
  const auto [last, problem] = std::from_chars(text.data() + begin, text.data() + end, number);
  if (begin == end || problem != std::errc() || last != text.data() + end) return std::nullopt;
  return number;
}

std::optional<std::int64_t> epoch_of(const Checkpoint& checkpoint, const fs::path& path) {
  if (checkpoint.root().kind() == ValueKind::dict) {
    for (const std::string_view key : kKeys) {
      if (const std::optional<std::int64_t> epoch = checkpoint.root()[key].as_int()) return epoch;
    }
  }
  return last_number(path.stem().native());
}

Error unreadable(const fs::path& folder, const std::error_code& problem) {
  return Error::of({.category = Category::io,
                    .code = "IO-FOLDER",
                    .message = "cannot read the folder: " + problem.message(),
                    .file = escaped(folder.native())});
}

}  // namespace

Result<std::vector<EpochFile>> list_epochs(const fs::path& folder, const LoadOptions& options) {
  std::error_code problem;
  fs::directory_iterator entries(folder, problem);
  if (problem) return unreadable(folder, problem);
  std::vector<EpochFile> files;
  for (const fs::directory_iterator end; entries != end; entries.increment(problem)) {
    const fs::path& path = entries->path();
    const std::string extension = path.extension().native();
    std::error_code unknown;
    if (std::find(kExtensions.begin(), kExtensions.end(), extension) == kExtensions.end()) continue;
    if (!entries->is_regular_file(unknown)) continue;
    RUSHLIGHT_TRY_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(path, options));
    files.push_back({path, epoch_of(checkpoint, path)});
  }
  if (problem) return unreadable(folder, problem);
  std::sort(files.begin(), files.end(), [](const EpochFile& a, const EpochFile& b) {
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.path < b.path;
  });
  return files;
}

}  // namespace rushlight
