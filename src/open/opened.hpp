// What a file turned out to hold, as far as it could be read: behind Checkpoint, verify() and scan().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "open/sniff.hpp"
#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

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
};

// Finds out what the file is, and opens the archive in a file that is one. `opened` gets the kind and the zip layer's
// warnings; the error says what the file is instead of a checkpoint.
Status open_container(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened);

// Builds the values. `opened` is filled as far as it gets, also when it fails: what names a damaged pickle mentions is
// of use to a scan.
Status load_values(const LoadOptions& options, Opened& opened);

// Both; and LoadOptions::strict.
Status open_source(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened);

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
