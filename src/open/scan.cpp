#include "rushlight/scan.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "open/listing.hpp"
#include "open/opened.hpp"
#include "open/scan_pickles.hpp"
#include "open/set_files.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

// What checkpoints are called.
constexpr std::array kSuffixes = {".pt"sv, ".pth"sv, ".bin"sv, ".ckpt"sv, ".tar"sv, ".pkl"sv};

class OpaqueCollector final : public open::ListingVisitor {
 public:
  explicit OpaqueCollector(std::vector<OpaqueEntry>& out) : out_(out) {}
  void tensor(std::string_view, std::span<const PathStep>, Tensor, bool) override {}
  void value(std::string_view, std::span<const PathStep>, const Value&) override {}
  void object(std::string_view name, std::span<const PathStep> path, const Value& value) override {
    out_.push_back({std::string(name), Path(path.begin(), path.end()), std::string(value.class_name())});
  }

 private:
  std::vector<OpaqueEntry>& out_;
};

bool has_suffix(const fs::path& path) {
  if (path.filename() == ".metadata") return true;  // of a distributed checkpoint
  std::string suffix = path.extension().native();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::find(kSuffixes.begin(), kSuffixes.end(), suffix) != kSuffixes.end();
}

// The names that are not on the allow-list, each an error here.
void add_refusals(ScannedFile& file) {
  for (const GlobalUse& use : file.globals) {
    if (use.allowed) continue;
    Finding finding{.severity = Severity::error,
                    .category = Category::global,
                    .code = "GLOBAL-UNKNOWN",
                    .message = "global '" + use.name + "' is not on the allow-list",
                    .file = file.file,
                    .found = use.name};
    if (!use.record.empty()) {
      finding.record = use.record;
      finding.record_offset = use.record_offset;
    } else {
      finding.offset = use.record_offset;
    }
    file.findings.push_back(std::move(finding));
  }
}

// Everything but the verdict: names beyond the allow-list are no findings yet.
ScannedFile look_into(const std::shared_ptr<const Source>& source, const LoadOptions& options);

// The names in each part of a set. What a part says was not said by the whole: that stops at the first error.
void look_into_parts(const open::Opened& opened, const LoadOptions& options, ScannedFile& file) {
  const LoadOptions alone = open::options_for_part(options);
  for (const open::Part& part : opened.parts) {
    if (part.source == nullptr) continue;
    const std::string prefix = escaped(part.name) + ":";
    std::vector<GlobalUse> names;
    if (opened.container == open::Container::dcp) {
      open::Opened item;
      if (!open::open_window(part, alone, item)) continue;  // verify() says why
      names = open::scan_records(*item.archive, {}, {}, alone);
    } else {
      ScannedFile shard = look_into(part.source, alone);
      names = std::move(shard.globals);
      for (Finding& finding : shard.findings) {
        const bool known = std::any_of(file.findings.begin(), file.findings.end(), [&](const Finding& other) {
          return other.code == finding.code && other.file == finding.file && other.offset == finding.offset;
        });
        if (!known) file.findings.push_back(std::move(finding));
      }
    }
    for (GlobalUse& use : names) {
      use.record = prefix + use.record;
      file.globals.push_back(std::move(use));
    }
  }
}

ScannedFile look_into(const std::shared_ptr<const Source>& source, const LoadOptions& options) {
  ScannedFile file;
  open::Opened opened;
  const Status status = [&]() -> Status {
    RUSHLIGHT_TRY(open::open_container(source, options, opened));
    return open::load_values(options, opened);
  }();
  file.file = open::printable_file(opened.file);
  file.kind = opened.format.kind;
  file.globals = std::move(opened.globals);
  for (Finding& finding : opened.findings) {
    if (finding.category != Category::global) file.findings.push_back(std::move(finding));
  }
  if (!status) file.findings.push_back(status.error().finding);
  if (opened.is_set()) {
    file.globals.resize(opened.own_globals);
    look_into_parts(opened, options, file);
  } else if (opened.archive != nullptr) {
    const std::string root = opened.format.root.empty() ? "" : opened.format.root + "/";
    // Those that make up the checkpoint were read already.
    std::vector<GlobalUse> more = open::scan_records(*opened.archive, root, opened.index, options);
    file.globals.insert(file.globals.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  } else if (!status && opened.is_pickle) {
    Result<std::vector<GlobalUse>> names = open::scan_stream(*source, options);
    if (names) {
      file.globals = *std::move(names);
    } else {
      file.findings.push_back(std::move(names).error().finding);
    }
  }
  if (opened.root.exists()) {
    OpaqueCollector collector(file.opaque);
    Status visited = open::visit_listing(opened.root, options.limits.visited_nodes, collector);
    if (!visited) file.findings.push_back(std::move(visited).error().finding);
  }
  return file;
}

ScannedFile scan_source(const std::shared_ptr<const Source>& source, LoadOptions options) {
  // A scan lists everything: strictness is in the verdict.
  options.strict = false;
  options.globals = Globals::opaque;
  ScannedFile file = look_into(source, options);
  add_refusals(file);
  file.ok = std::none_of(file.findings.begin(), file.findings.end(),
                         [](const Finding& finding) { return finding.severity == Severity::error; });
  return file;
}

ScannedFile failed(const fs::path& path, Error error) {
  ScannedFile file;
  file.file = open::printable_file(path.native());
  file.findings.push_back(with_file(std::move(error), path.native()).finding);
  return file;
}

Error folder_error(const std::error_code& problem) {
  return Error::of(
      ErrorCode::io,
      {.category = Category::io, .code = "IO-FOLDER", .message = "the folder cannot be read: " + problem.message()});
}

// Files below a folder, those behind symbolic links too: folders of downloads hold nothing else. Links to folders are
// not followed, since they may lead back. Folders that cannot be read become results of their own: a
// scan must not pass over them in silence.
void collect_files(const fs::path& top, std::vector<fs::path>& files, std::vector<ScannedFile>& unreadable) {
  std::vector<fs::path> pending{top};
  while (!pending.empty()) {
    const fs::path folder = std::move(pending.back());
    pending.pop_back();
    std::error_code problem;
    for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
      std::error_code unknown;
      const bool is_link = entry->symlink_status(unknown).type() == fs::file_type::symlink;
      const fs::file_type type = entry->status(unknown).type();
      if (type == fs::file_type::directory && !is_link) pending.push_back(entry->path());
      // A link that leads nowhere is opened too, and is then a result that says so.
      const bool is_file = type == fs::file_type::regular || (is_link && type != fs::file_type::directory);
      if (is_file && has_suffix(entry->path())) files.push_back(entry->path());
    }
    if (problem) unreadable.push_back(failed(folder, folder_error(problem)));
  }
}

}  // namespace

Result<ScanReport> scan(const std::vector<fs::path>& paths, const LoadOptions& options) {
  return or_no_memory([&]() -> Result<ScanReport> {
    ScanReport report;
    std::vector<fs::path> files;
    for (const fs::path& path : paths) {
      std::error_code problem;
      if (!fs::is_directory(path, problem)) {
        // Opened here once, so that a path that was named and cannot be read is an error before anything is scanned.
        Result<std::shared_ptr<const Source>> source = open_file(path, options.access);
        if (!source) return std::move(source).error();
        files.push_back(path);
        continue;
      }
      const fs::directory_iterator readable(path, problem);
      if (problem) return with_file(folder_error(problem), path.native());
      collect_files(path, files, report.files);
    }
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    std::uint64_t done = 0;
    for (const fs::path& path : files) {
      Result<open::FileInFolder> file = open::open_path(path, options.access);
      if (file) {
        LoadOptions with_folder = options;
        if (!with_folder.open_beside) with_folder.open_beside = std::move(file->open_beside);
        report.files.push_back(scan_source(file->source, with_folder));
      } else {
        report.files.push_back(failed(path, std::move(file).error()));
      }
      if (options.progress != nullptr && !options.progress->on_progress("scan", ++done, files.size())) {
        return Error::of(ErrorCode::cancelled,
                         {.category = Category::io, .code = "CANCELLED", .message = "the scan was cancelled"});
      }
    }
    std::stable_sort(report.files.begin(), report.files.end(),
                     [](const ScannedFile& a, const ScannedFile& b) { return a.file < b.file; });
    report.ok = std::all_of(report.files.begin(), report.files.end(), [](const ScannedFile& file) { return file.ok; });
    return report;
  });
}

}  // namespace rushlight
