#include "checkpoint/zip_root.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/record_names.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::string_view kPickle = "data.pkl";

// The folder of a name, with its slash: "a/b/" of "a/b/data.pkl".
std::string_view folder_of(std::string_view name) noexcept {
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash + 1);
}

// Above this, torch looks at no folder: the one that the first record lies in (inline_container.cc).
std::string_view first_folder(std::span<const zip::Entry> entries) noexcept {
  if (entries.empty()) return {};
  const std::string_view name = entries.front().name;
  const std::size_t slash = name.find('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash + 1);
}

struct Candidate {
  const zip::Entry* entry = nullptr;
  std::size_t depth = 0;  // folders above it
};

// Records called data.pkl, shallowest first; in any case where `any_case` is set.
std::vector<Candidate> find_pickles(std::span<const zip::Entry> entries, bool any_case) {
  std::vector<Candidate> found;
  for (const zip::Entry& entry : entries) {
    if (entry.name.size() < kPickle.size()) continue;
    const std::string_view last = entry.name.substr(entry.name.size() - kPickle.size());
    if (any_case ? !equal_ignoring_case(last, kPickle) : last != kPickle) continue;
    if (entry.name.size() > last.size() && entry.name[entry.name.size() - last.size() - 1] != '/') continue;
    found.push_back({&entry, static_cast<std::size_t>(std::count(entry.name.begin(), entry.name.end(), '/'))});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Candidate& a, const Candidate& b) { return a.depth < b.depth; });
  return found;
}

// Records that only archives of another kind have (format-facts 1.7), the most telling first.
struct TellTale {
  std::string_view name;
  FileKind kind;
  bool has_pickle;  // a data.pkl beside it
};
constexpr std::array kTellTales = {
    TellTale{"archive_format", FileKind::pt2, false},
    TellTale{"serialized_exported_program.json", FileKind::pt2, false},
    TellTale{".data/extern_modules", FileKind::torch_package, false},
    TellTale{"bytecode.pkl", FileKind::torchscript_mobile, true},
    TellTale{"constants.pkl", FileKind::torchscript, true},
    TellTale{"model.json", FileKind::torchscript, false},
};

struct OtherKind {
  FileKind kind = FileKind::unknown;
  const zip::Entry* entry = nullptr;
  std::string_view folder;  // of the entry
  bool has_pickle = true;
};

std::optional<OtherKind> find_tell_tale(const zip::Archive& archive, std::string_view folder) {
  for (const TellTale& row : kTellTales) {
    const zip::Entry* entry = archive.find_ignoring_case(std::string(folder).append(row.name));
    if (entry == nullptr || entry->is_directory() || entry->name.size() != folder.size() + row.name.size()) continue;
    return OtherKind{row.kind, entry, entry->name.substr(0, folder.size()), row.has_pickle};
  }
  return std::nullopt;
}

bool all_end_with(std::span<const zip::Entry> entries, std::string_view suffix) {
  const auto fits = [&](const zip::Entry& e) { return e.is_directory() || e.name.ends_with(suffix); };
  return !entries.empty() && std::all_of(entries.begin(), entries.end(), fits);
}

// No data.pkl anywhere: what else is it?
Error no_pickle(const zip::Archive& archive, FileKind& kind) {
  const std::span<const zip::Entry> entries = archive.entries();
  if (entries.empty()) {
    return Error::of({.category = Category::zip,
                      .code = "ZIP-NO-PICKLE",
                      .message = "the archive is empty, expected a record 'data.pkl'"});
  }
  if (all_end_with(entries, ".npy")) {
    kind = FileKind::npz;
    return Error::of({.category = Category::unsup,
                      .code = "KIND-UNSUPPORTED",
                      .message = "the file is a NumPy .npz archive, which is not read here",
                      .record = escaped(entries.front().name),
                      .found = "npz",
                      .hint = "turn it into a checkpoint: torch.save({k: torch.from_numpy(v) for k, v in "
                              "numpy.load('FILE').items()}, 'weights.pt')"});
  }
  const std::string folder(first_folder(entries));
  for (const std::string_view record : {"version", ".data/version", "byteorder", "data/0", "tensors/0"}) {
    if (archive.find(folder + std::string(record)) == nullptr) continue;
    const zip::Entry* in_its_place = archive.find(folder + "data.pkl/");
    return Error::of({.category = Category::zip,
                      .code = "ZIP-NO-PICKLE",
                      .message = in_its_place == nullptr ? "there is no record 'data.pkl' beside " + quoted(record)
                                                         : "'data.pkl' is a folder, expected a record",
                      .record = "data.pkl",
                      .hint = "torch.save leaves such a file when it fails half way; or the archive was changed since: "
                              "save or fetch it again"});
  }
  for (const zip::Entry& entry : entries) {
    for (const std::string_view suffix : {".pt", ".pth", ".bin", ".ckpt", ".safetensors"}) {
      if (!entry.name.ends_with(suffix)) continue;
      return Error::of(
          {.category = Category::kind,
           .code = "KIND-ZIP",
           .message = "the file is a zip archive that holds other checkpoints, first " + quoted(entry.name),
           .record = escaped(entry.name),
           .hint = "unzip it, and open the files in it"});
    }
  }
  return Error::of(
      {.category = Category::kind,
       .code = "KIND-ZIP",
       .message = "the file is a zip archive without 'data.pkl', so torch.save did not write it; its first "
                  "record is " +
                  quoted(entries.front().name),
       .record = escaped(entries.front().name)});
}

Error two_pickles(const zip::Entry& one, const zip::Entry& other) {
  const bool in_order = one.directory_offset < other.directory_offset;
  const zip::Entry& first = in_order ? one : other;
  const zip::Entry& second = in_order ? other : one;
  return Error::of(
      {.category = Category::ambig,
       .code = "ZIP-TWO-PICKLES",
       .message = quoted(first.name) + " and " + quoted(second.name) + " could both be the checkpoint's pickle",
       .record = escaped(second.name),
       .offset = second.directory_offset});
}

// The root of an archive of torch.jit, torch.export or torch.package: the folder with the tell-tale record.
Result<ZipRoot> root_of_other(const zip::Archive& archive, const OtherKind& other, std::span<const Candidate> pickles) {
  ZipRoot root{std::string(other.folder), nullptr, false};
  for (const Candidate& candidate : pickles) {
    const bool own = folder_of(candidate.entry->name) == other.folder;
    if (own && other.has_pickle) {
      root.pickle = candidate.entry;
      continue;
    }
    // torch.load would read it, and take the file for something else.
    if (candidate.depth > 1 && !own) continue;
    if (root.pickle != nullptr) return two_pickles(*root.pickle, *candidate.entry);
    return Error::of({.category = Category::ambig,
                      .code = "ZIP-TWO-KINDS",
                      .message = quoted(candidate.entry->name) + " and " + quoted(other.entry->name) +
                                 " belong to archives of two kinds",
                      .record = escaped(candidate.entry->name),
                      .offset = candidate.entry->directory_offset});
  }
  if (root.pickle != nullptr || !other.has_pickle) return root;
  return Error::of(
      {.category = Category::zip,
       .code = "ZIP-NO-PICKLE",
       .message = archive.find(root.folder + "data.pkl/") == nullptr
                      ? "there is no record 'data.pkl' beside " + quoted(other.entry->name.substr(other.folder.size()))
                      : "'data.pkl' is a folder, expected a record",
       .record = "data.pkl",
       .hint = "the archive was changed after it was saved: fetch it again"});
}

}  // namespace

Result<ZipRoot> locate_root(const zip::Archive& archive, FileKind& kind) {
  kind = FileKind::unknown;
  const auto placed = [&](Error error) { return with_file(std::move(error), archive.source()->name()); };
  const std::span<const zip::Entry> entries = archive.entries();
  std::vector<Candidate> pickles = find_pickles(entries, false);
  bool other_case = false;
  if (pickles.empty()) {
    pickles = find_pickles(entries, true);
    other_case = !pickles.empty();
  }

  std::optional<OtherKind> other = find_tell_tale(archive, first_folder(entries));
  if (!other) other = find_tell_tale(archive, "");
  if (!other && !pickles.empty()) other = find_tell_tale(archive, folder_of(pickles.front().entry->name));
  if (other) {
    kind = other->kind;
    Result<ZipRoot> root = root_of_other(archive, *other, pickles);
    if (!root) return placed(std::move(root).error());
    root->other_case = root->pickle != nullptr && other_case;
    return root;
  }
  if (pickles.empty()) return placed(no_pickle(archive, kind));

  kind = FileKind::torch_zip;
  // The root is one folder, as torch writes it. A data.pkl in no folder rivals it; deeper ones do only where there is
  // no other, as when a folder that was unpacked is packed again together with its parent.
  const auto is_torchs = [](const Candidate& c) { return c.depth == 1; };
  auto chosen = std::find_if(pickles.begin(), pickles.end(), is_torchs);
  if (chosen == pickles.end()) chosen = pickles.begin();
  const auto rival = std::find_if(pickles.begin(), pickles.end(), [&](const Candidate& c) {
    return c.entry != chosen->entry && (c.depth <= 1 || c.depth == chosen->depth);
  });
  if (rival != pickles.end()) return placed(two_pickles(*chosen->entry, *rival->entry));
  return ZipRoot{std::string(folder_of(chosen->entry->name)), chosen->entry, other_case};
}

}  // namespace rushlight::checkpoint
