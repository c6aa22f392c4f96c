// What a file turned out to hold, as far as it could be read: behind Checkpoint, verify() and scan().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "open/sniff.hpp"
#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

// Of a set: a file, or a window in one, that is a checkpoint of its own.
struct Part {
  std::string name;                      // the file's, as the set names it
  std::shared_ptr<const Source> source;  // null where it could not be opened
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
  std::string of{};                  // what a window holds: the name of its root
  std::optional<Finding> problem{};  // why there is no source
};

// Of a set: something that the set itself names, and the parts that hold it.
struct Member {
  std::string name;  // as listings have it
  std::vector<std::size_t> parts;
  bool is_tensor = true;
};

struct Opened {
  std::string file;  // Source::name()
  std::shared_ptr<const Source> source;
  std::shared_ptr<const zip::Archive> archive;  // where the file is one
  Container container = Container::unknown;
  bool is_pickle = false;  // begins as a pickle does
  FormatInfo format;
  std::vector<Finding> findings;  // warnings and notes, in reading order
  std::vector<GlobalUse> globals;
  Value root;
  // Of an archive: the records that say what the bytes of the others mean, as they are named below its root.
  std::vector<std::string> index;
  std::uint64_t explained_bytes = 0;  // of a file that is no archive

  [[nodiscard]] bool is_set() const noexcept { return container == Container::sharded || container == Container::dcp; }
  // Of a set, filled before any part is looked into.
  std::vector<Part> parts;
  std::vector<Member> members;
  std::size_t own_globals = 0;  // how many of `globals`, the first, are those of the set's own file
};

// Finds out what the file is, and opens the archive in a file that is one. `opened` gets the kind and the zip layer's
// warnings; the error says what the file is instead of a checkpoint.
Status open_container(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened);

// The same for a window that holds an archive of torch.save: an item of a distributed checkpoint.
Status open_window(const Part& part, const LoadOptions& options, Opened& opened);

// Builds the values. `opened` is filled as far as it gets, also when it fails: what names a damaged pickle mentions is
// of use to a scan.
Status load_values(const LoadOptions& options, Opened& opened);

// Both; and LoadOptions::strict.
Status open_source(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened);

// The same for a torch.save archive that is open already: one of several in a file.
Status load_archive(const LoadOptions& options, Opened& opened);

// A file's name for reports: as it is, unless it is no UTF-8.
[[nodiscard]] std::string printable_file(const std::string& file);

// True for errors that say that nothing was learnt about the file: it could not be read, there is no memory, the work
// was cancelled.
[[nodiscard]] bool could_not_look(const Error& error) noexcept;

}  // namespace rushlight::open

namespace rushlight {

struct Checkpoint::Impl {
  open::Opened opened;
  std::string file;  // printable
};

}  // namespace rushlight
