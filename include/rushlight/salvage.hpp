/// \file
/// salvage(): what can be proven of a damaged or truncated checkpoint, in a new file (`rushlight doctor --salvage`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "rushlight/source.hpp"

namespace rushlight {

struct SalvageOptions {
  bool overwrite = false;  ///< an existing file at the target; the damaged file itself is never replaced
  Limits limits{};
  FileAccess access = FileAccess::mapped;  ///< for salvage(path)
  Progress* progress = nullptr;            ///< phase "save", in bytes of storages
};

/// Why a tensor is not in the new file. The names of to_string() are part of the JSON contract.
enum class LossReason : std::uint8_t {
  beyond_end,    ///< the file ends before the last of its bytes, or before the checksum that would prove them
  checksum,      ///< its bytes are not those that were written
  not_proven,    ///< where its bytes lie, or whether they are its own, does not follow from the file
  in_container,  ///< it is whole, and stands in a list, tuple or object beside something that is lost
};
RUSHLIGHT_API std::string_view to_string(LossReason reason) noexcept;

/// One name of a tensor, or of a storage saved by itself.
struct LostTensor {
  std::string name{};
  LossReason reason = LossReason::not_proven;
  std::string record{};   ///< of its storage: "data/3", the key in a legacy file, or ""
  std::string message{};  ///< what is wrong, as errors word it
};

enum class RecordState : std::uint8_t {
  whole,      ///< its checksum fits
  unchecked,  ///< where it ends is known, and the file has no checksums
  damaged,    ///< its checksum does not fit, or is damaged itself
  cut,        ///< the file ends in it
};
RUSHLIGHT_API std::string_view to_string(RecordState state) noexcept;

/// A record of an archive whose central directory is of no use.
struct SalvagedRecord {
  std::string name{};            ///< in full, escaped
  std::uint64_t offset = 0;      ///< of its data, in the file
  std::uint64_t size_bytes = 0;  ///< 0 where it is not known
  RecordState state = RecordState::cut;
};

struct SalvageReport {
  std::string file{};
  FormatInfo format{};
  std::string output{};                   ///< the new file; "" of a Sink
  bool written = false;                   ///< there is one
  bool complete = false;                  ///< it has everything that the damaged one had
  std::uint64_t output_bytes = 0;         ///< its size
  bool has_values = false;                ///< the pickle is whole, or the header: names and shapes are known
  std::vector<std::string> rescued{};     ///< names of tensors, as listings have them
  std::uint64_t rescued_bytes = 0;        ///< of their storages, each once
  std::vector<LostTensor> lost{};         ///< in traversal order
  std::vector<std::string> left_out{};    ///< containers that could not do without what they lost
  std::vector<SalvagedRecord> records{};  ///< in file order; of archives without a central directory
  std::vector<Finding> findings{};        ///< what is wrong with the file, and what became of it
};

/// Writes a torch zip with the values of the file as they were, and every tensor whose bytes are proven: by the
/// checksum of the central directory or of the data descriptor behind them (format-spec/05, "Salvage"). Files without
/// checksums (the legacy container, archives written with checksums off) are taken at their word, with a warning.
/// Nothing is made up: dicts and sets lose what is lost; a list, a tuple or an object that would have to is left out
/// whole, of the nearest dict around it. Nothing is written when no dict is there, or when the pickle is not whole: the
/// report then says what is.
///
/// An Error means that it could not look or write: ErrorCode::io, ::not_found, ::invalid_argument (the target is there,
/// or is the file itself), or that the file is nothing that holds tensors.
RUSHLIGHT_API Result<SalvageReport> salvage(const std::filesystem::path& path, const std::filesystem::path& target,
                                            const SalvageOptions& options = {});
RUSHLIGHT_API Result<SalvageReport> salvage(std::shared_ptr<const Source> source, const std::filesystem::path& target,
                                            const SalvageOptions& options = {});
/// The same to any Sink, which is not asked for anything where nothing can be written.
RUSHLIGHT_API Result<SalvageReport> salvage(std::shared_ptr<const Source> source, Sink& sink,
                                            const SalvageOptions& options = {});

}  // namespace rushlight
