/// \file
/// diagnose(): what is the matter with a file that was meant to be a checkpoint, and what to do (`rushlight doctor`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/verify.hpp"

namespace rushlight {

/// The names of to_string() are part of the JSON contract.
enum class Condition : std::uint8_t {
  healthy,      ///< it opens, and every byte that carries a checksum fits it
  damaged,      ///< a checkpoint whose bytes are not those that were written
  incomplete,   ///< the beginning of one
  foreign,      ///< something else: an HTML page, a pointer of Git LFS, a picture
  unsupported,  ///< known, and not read here
  refused,      ///< over a limit, or with two meanings
};
RUSHLIGHT_API std::string_view to_string(Condition condition) noexcept;

/// What salvage() would take out of a file that is damaged.
struct Rescue {
  std::uint64_t records = 0;       ///< of an archive: whole records, their checksums fit
  std::uint64_t bad_records = 0;   ///< of an archive: records whose checksums do not fit
  bool has_values = false;         ///< the pickle is whole, or the header: names and shapes are known
  std::int64_t tensors = 0;        ///< names of tensors that would be rescued
  std::int64_t named_tensors = 0;  ///< names of tensors in all
  std::uint64_t tensor_bytes = 0;  ///< of the storages of `tensors`, each once
};

struct Diagnosis {
  std::string file{};
  FormatInfo format{};
  Condition condition = Condition::healthy;
  bool ok = false;                  ///< no error findings
  std::vector<Finding> findings{};  ///< what is wrong; each with a next step where one is known
  std::int64_t tensors = 0;         ///< of a file that opens
  std::optional<Rescue> rescue{};   ///< of damaged and incomplete files of which salvage() takes something out
};

/// Opens and verifies the file, and looks closer where that fails. An Error means that it could not look.
RUSHLIGHT_API Result<Diagnosis> diagnose(const std::filesystem::path& path, const VerifyOptions& options = {});

}  // namespace rushlight
