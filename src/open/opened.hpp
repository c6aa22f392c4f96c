// What a file turned out to hold, as far as it could be read: behind Checkpoint, verify() and scan().
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

struct Opened {
  std::string file;  // Source::name()
  FormatInfo format;
  bool is_pickle = false;         // begins as a pickle does: a legacy file, or a bare one
  std::vector<Finding> findings;  // warnings and notes, in reading order
  std::vector<GlobalUse> globals;
  Value root;
};

// The archive in a file that is one. `opened` gets the kind and the zip layer's warnings; the error says what the file
// is instead.
Result<std::shared_ptr<const zip::Archive>> open_archive(std::shared_ptr<const Source> source,
                                                         const LoadOptions& options, Opened& opened);

// Builds the values. `opened` is filled as far as it gets, also when it fails: what names a damaged pickle mentions is
// of use to a scan.
Status load_archive(std::shared_ptr<const zip::Archive> archive, const LoadOptions& options, Opened& opened);

// Both, for a Source of any kind; and LoadOptions::strict.
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
