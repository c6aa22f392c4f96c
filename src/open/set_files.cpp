#include "open/set_files.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::open {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

constexpr std::string_view kIndexSuffix = ".index.json";
constexpr std::string_view kDcpMetadata = ".metadata";
// What files with a checkpoint in them are called.
constexpr std::array kSuffixes = {".pt"sv,          ".pth"sv, ".bin"sv, ".ckpt"sv, ".pkl"sv,
                                  ".safetensors"sv, ".npz"sv, ".npy"sv, ".gguf"sv};
constexpr std::size_t kNamed = 8;
constexpr std::size_t kMaxNameBytes = 255;  // of a file, on every file system

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i)
    text += (i == 0 ? "" : ", ") + rushlight::quoted(names[i]);
  return names.size() > kNamed ? text + " ..." : text;
}

// The names in a folder that may be what the user means, the likeliest kind only.
Result<std::vector<std::string>> candidates_in(const fs::path& folder) {
  std::vector<std::string> sets;
  std::vector<std::string> files;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    std::error_code unknown;
    if (!entry->is_regular_file(unknown)) continue;
    const std::string name = entry->path().filename().native();
    if (name.ends_with(kIndexSuffix) || name == kDcpMetadata) {
      sets.push_back(name);
    } else if (std::any_of(kSuffixes.begin(), kSuffixes.end(),
                           [&](std::string_view suffix) { return name.ends_with(suffix); })) {
      files.push_back(name);
    }
  }
  if (failed) {
    return with_file(Error::of(ErrorCode::io, {.category = Category::io,
                                               .code = "IO-FOLDER",
                                               .message = "the folder cannot be read: " + failed.message()}),
                     folder.native());
  }
  std::vector<std::string>& found = sets.empty() ? files : sets;
  std::sort(found.begin(), found.end());
  return std::move(found);
}

}  // namespace

Result<FileInFolder> open_path(const fs::path& path, FileAccess access) {
  fs::path file = path;
  Result<std::shared_ptr<const Source>> source = open_file(file, access);
  if (!source && source.error().finding.code == "IO-NOT-A-FILE" && source.error().finding.found == "a directory") {
    RUSHLIGHT_TRY_ASSIGN(const std::vector<std::string> candidates, candidates_in(path));
    if (candidates.empty()) {
      Error error = std::move(source).error();
      error.finding.hint =
          "a folder can be opened when it holds an index of shards (*.index.json), the .metadata of a "
          "distributed checkpoint, or one checkpoint; this one holds none";
      return error;
    }
    if (candidates.size() > 1) {
      return with_file(Error::of({.category = Category::ambig,
                                  .code = "FOLDER-CHOICE",
                                  .message = "the folder holds " + std::to_string(candidates.size()) +
                                             " checkpoints, expected one: " + listed(candidates),
                                  .found = std::to_string(candidates.size()),
                                  .expected = "1",
                                  .hint = "say which of them"}),
                       path.native());
    }
    file = path / candidates.front();
    source = open_file(file, access);
  }
  if (!source) return std::move(source).error();
  return FileInFolder{*std::move(source), [folder = file.parent_path(), access](std::string_view name) {
                        return open_file(folder / name, access);
                      }};
}

Status check_set_file(std::string_view name) {
  const char* what = nullptr;
  if (name.empty()) what = "is empty";
  if (name == "." || name == "..") what = "is a folder";
  if (name.find_first_of("/\\") != std::string_view::npos) what = "leads to another folder";
  if (name.find('\0') != std::string_view::npos) what = "holds a NUL character";
  if (name.size() > kMaxNameBytes) what = "is longer than 255 bytes";
  if (what == nullptr) return {};
  return Error::of({.category = Category::store,
                    .code = "SHARD-PATH",
                    .message = "the file name " + rushlight::quoted(name) + " " + what +
                               ", expected the plain name of a file beside this one",
                    .found = escaped(name)});
}

Result<std::shared_ptr<const Source>> open_set_file(const LoadOptions& options, std::string_view name) {
  RUSHLIGHT_TRY(check_set_file(name));
  if (!options.open_beside) {
    return Error::of({.category = Category::argument,
                      .code = "SHARD-NO-FOLDER",
                      .message = "the file names others beside it, first " + rushlight::quoted(name) +
                                 ", and was opened without a folder",
                      .hint = "open it by its path, or give LoadOptions::open_beside"});
  }
  Result<std::shared_ptr<const Source>> source = options.open_beside(name);
  if (source && *source != nullptr) return source;
  if (source || source.error().code == ErrorCode::not_found) {
    return Error::of({.category = Category::store,
                      .code = "SHARD-MISSING",
                      .message = "file " + rushlight::quoted(name) + " of the set is missing",
                      .found = escaped(name),
                      .hint = "fetch the missing file into the folder of the others"});
  }
  return with_file(std::move(source).error(), name);
}

LoadOptions options_for_part(const LoadOptions& options) {
  LoadOptions part = options;
  part.open_beside = nullptr;  // a set of sets would not end
  part.strict = false;         // judged once, for the whole set
  part.progress = nullptr;
  return part;
}

}  // namespace rushlight::open
