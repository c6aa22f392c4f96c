#include "power_cut.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

namespace rushlight::test {
namespace {

using Kind = Operation::Kind;
using Names = std::map<std::string, int>;

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kSectorBytes = 512;
constexpr std::size_t kMostExhaustivePages = 12;
constexpr int kSampledSets = 2048;

// A file as the program sees it, and as it was at its last sync.
struct File {
  std::string synced;
  std::size_t written_at_sync = 0;  // where the next write goes
  std::vector<Operation> unsynced;

  [[nodiscard]] std::string after(std::size_t operations) const {
    std::string content = synced;
    std::size_t at = written_at_sync;
    for (std::size_t i = 0; i < operations; ++i) {
      const Operation& operation = unsynced[i];
      switch (operation.kind) {
        case Kind::allocate:
          content.resize(std::max(content.size(), operation.size_bytes));
          break;
        case Kind::truncate:
          content.resize(operation.size_bytes);
          break;
        default:
          content.resize(std::max(content.size(), at + operation.bytes.size()));
          content.replace(at, operation.bytes.size(), operation.bytes);
          at += operation.bytes.size();
      }
    }
    return content;
  }
  [[nodiscard]] std::string now() const { return after(unsynced.size()); }

  void sync() {
    synced = now();
    for (const Operation& operation : unsynced) written_at_sync += operation.bytes.size();
    unsynced.clear();
  }
};

// Does it to a listing.
void list(const Operation& operation, Names& names) {
  switch (operation.kind) {
    case Kind::create:
      names[operation.name] = operation.file;
      break;
    case Kind::rename:
    case Kind::link:
      names[operation.to] = operation.file;
      if (operation.kind == Kind::rename) names.erase(operation.name);
      break;
    default:
      names.erase(operation.name);
  }
}

// Everything that may be left of a file, each content once.
std::set<std::string> contents_after_cut(const File& file) {
  std::set<std::string> contents{file.synced};
  if (file.unsynced.empty()) return contents;
  for (std::size_t i = 1; i <= file.unsynced.size(); ++i) contents.insert(file.after(i));
  const std::string now = file.now();
  // The new size with nothing new in it.
  std::string base = file.synced;
  base.resize(now.size());
  contents.insert(base);
  // Up to some byte: at the sectors, and within them.
  for (std::size_t at = 0; at < now.size(); at += kSectorBytes) {
    for (const std::size_t end : {at, at + 1, at + kSectorBytes / 2}) {
      if (end > now.size()) continue;
      contents.insert(now.substr(0, end));
      contents.insert(now.substr(0, end) + base.substr(end));
    }
  }
  const auto keep = [&](std::string& content, std::size_t begin, std::size_t end) {
    end = std::min(end, now.size());
    content.replace(begin, end - begin, now, begin, end - begin);
  };
  // Sets of pages.
  std::vector<std::size_t> changed;
  for (std::size_t at = 0; at < now.size(); at += kPageBytes) {
    if (now.compare(at, kPageBytes, base, at, kPageBytes) != 0) changed.push_back(at);
  }
  const auto insert_set = [&](const std::function<bool(std::size_t)>& is_kept) {
    std::string content = base;
    for (std::size_t i = 0; i < changed.size(); ++i) {
      if (is_kept(i)) keep(content, changed[i], changed[i] + kPageBytes);
    }
    contents.insert(std::move(content));
  };
  if (changed.size() <= kMostExhaustivePages) {
    for (std::size_t set = 0; set < std::size_t{1} << changed.size(); ++set) {
      insert_set([set](std::size_t i) { return (set >> i & 1) != 0; });
    }
  } else {
    std::minstd_rand random(1);
    for (int i = 0; i < kSampledSets; ++i) insert_set([&](std::size_t) { return (random() & 64) != 0; });
    for (std::size_t only = 0; only < changed.size(); ++only) {
      insert_set([only](std::size_t i) { return i == only; });
      insert_set([only](std::size_t i) { return i != only; });
    }
  }
  // Pages that are torn: some of their sectors, the last of these perhaps in part, in a file that is whole or empty.
  for (const std::size_t page : changed) {
    for (std::size_t kept = 0; kept < kPageBytes; kept += kSectorBytes / 2) {
      const std::size_t end = page + kept;
      if (end >= now.size()) break;
      std::string content = base;
      keep(content, page, end);
      contents.insert(content);
      content = now;
      const std::size_t lost = std::min(page + kPageBytes, now.size()) - end;
      content.replace(end, lost, base, end, lost);
      contents.insert(std::move(content));
    }
  }
  return contents;
}

}  // namespace

std::optional<std::string_view> DiskState::at(const std::string& name) const {
  const auto found = names.find(name);
  if (found == names.end()) return std::nullopt;
  return contents.at(found->second);
}

PowerCut::PowerCut(const std::map<std::string, std::string>& before, std::vector<Operation> operations)
    : operations_(std::move(operations)) {
  int number = 0;
  for (const auto& [name, content] : before) {
    names_[name] = --number;
    contents_[number] = content;
  }
}

std::size_t PowerCut::for_each_state(std::size_t done, const std::function<void(const DiskState&)>& look) const {
  std::map<int, File> files;
  for (const auto& [number, content] : contents_) files[number].synced = content;
  Names synced = names_;
  Names now = names_;
  std::vector<Operation> unsynced;  // of the folder
  for (std::size_t i = 0; i < done; ++i) {
    Operation operation = operations_[i];
    switch (operation.kind) {
      case Kind::sync_file:
        files[operation.file].sync();
        break;
      case Kind::sync_folder:
        synced = now;
        unsynced.clear();
        break;
      case Kind::create:
        files[operation.file] = File{};
        [[fallthrough]];
      case Kind::rename:
      case Kind::link:
      case Kind::unlink:
        if (operation.kind != Kind::create) operation.file = now.at(operation.name);
        list(operation, now);
        unsynced.push_back(std::move(operation));
        break;
      default:
        files[operation.file].unsynced.push_back(std::move(operation));
    }
  }

  std::set<Names> listings;
  for (std::size_t set = 0; set < std::size_t{1} << unsynced.size(); ++set) {
    Names names = synced;
    for (std::size_t i = 0; i < unsynced.size(); ++i) {
      if ((set >> i & 1) != 0) list(unsynced[i], names);
    }
    listings.insert(std::move(names));
  }
  // At most one file has anything unsynced: a writer finishes one before it begins the next.
  int open_file = 0;
  DiskState state;
  for (const auto& [number, file] : files) {
    state.contents[number] = file.synced;
    if (!file.unsynced.empty()) open_file = number;
  }
  const std::set<std::string> contents =
      open_file == 0 ? std::set<std::string>{""} : contents_after_cut(files[open_file]);
  std::size_t count = 0;
  for (const std::string& content : contents) {
    if (open_file != 0) state.contents[open_file] = content;
    for (const Names& names : listings) {
      state.names = names;
      look(state);
      ++count;
    }
  }
  return count;
}

}  // namespace rushlight::test
