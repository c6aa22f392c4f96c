/// \file
/// Checkpoint: one entry for every file torch.save wrote.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "rushlight/state_dict.hpp"
#include "rushlight/value.hpp"

namespace rushlight {

/// What a file is; the names of to_string() are part of the JSON contract.
enum class FileKind : std::uint8_t {
  torch_zip,
  torch_legacy,
  torch_tar,
  torchscript,
  torchscript_mobile,
  pt2,
  torch_package,
  safetensors,
  npz,
  npy,
  gguf,
  dcp,      ///< a folder of torch.distributed.checkpoint
  sharded,  ///< several files and the index that says which tensor is in which
  unknown,
};
/// "torch-zip", "torch-legacy", ...
RUSHLIGHT_API std::string_view to_string(FileKind kind) noexcept;

/// When CRC-32 is compared. A mismatch is an error for the tensors of that record, never for the rest of the file.
enum class Checksums : std::uint8_t {
  on_first_read,  ///< when a storage is first touched (default)
  all_at_open,    ///< of every record, before open() returns, which then also audits the structure as verify() does
  ignore,         ///< never; Storage::integrity() stays not_checked
};

/// What to do with names beyond the allow-list (src/checkpoint/globals.def).
enum class Globals : std::uint8_t {
  opaque,  ///< keep such objects as opaque values with a warning; the weights beside them load (default)
  strict,  ///< refuse the file, naming all of them
};

/// Where tensors go, as torch.load's map_location. Devices that the file recorded stay readable as data either way.
class RUSHLIGHT_API MapLocation {
 public:
  using Function = std::function<Device(std::string_view recorded_device)>;

  /// Everything on the CPU (the default).
  MapLocation() noexcept = default;
  MapLocation(Device device) noexcept : device_(device) {}  // NOLINT(google-explicit-constructor)
  /// By recorded name; the CPU for names that are not in the table.
  static MapLocation table(std::vector<std::pair<std::string, Device>> recorded_to_wanted);
  static MapLocation function(Function function);

  [[nodiscard]] Device map(std::string_view recorded_device) const;

 private:
  Device device_ = Device::cpu();
  std::vector<std::pair<std::string, Device>> table_;
  Function function_;
};

/// What the str of Python 2 becomes, as torch.load's and pickle.load's `encoding`. Keys, locations and whatever else of
/// a checkpoint must be text are read as such under each of them.
enum class Encoding : std::uint8_t {
  utf8,    ///< text; bytes where it is not valid (Python: an error). torch.load's default
  ascii,   ///< the same for ASCII: pickle.load's default
  latin1,  ///< text, a character for each byte
  bytes,   ///< bytes; keys of dicts are text all the same where they are UTF-8
};
/// Python's words: "utf-8", "ascii", "latin1", "bytes".
RUSHLIGHT_API std::string_view to_string(Encoding encoding) noexcept;

struct LoadOptions {
  MapLocation map_location{};
  Checksums checksums = Checksums::on_first_read;
  Globals globals = Globals::opaque;
  /// Further `module.name` classes that pass without a warning; their objects are opaque values all the same.
  std::vector<std::string> accepted_globals{};
  Encoding encoding = Encoding::utf8;
  /// Refuse what is merely odd too: every warning becomes the error it would be under `--strict`.
  bool strict = false;
  Limits limits{};
  FileAccess access = FileAccess::mapped;  ///< for open(path)
  /// Opens a file beside the one that is read: the shards of an index, the `.distcp` files of a distributed checkpoint.
  /// `name` is a plain file name, never a path. open(path) looks in the file's own folder when this is empty; without
  /// it such a set cannot be opened from a Source. ErrorCode::not_found says that there is no such file. Called while
  /// the checkpoint is opened, once for each name.
  std::function<Result<std::shared_ptr<const Source>>(std::string_view name)> open_beside{};
  Executor* executor = nullptr;  ///< null: the calling thread only
  Progress* progress = nullptr;
};

/// A name that the pickle mentions.
struct GlobalUse {
  std::string name{};  ///< "collections.OrderedDict", escaped
  bool allowed = false;
  std::string record{};              ///< "data.pkl"
  std::uint64_t record_offset = 0;   ///< of the opcode that names it first
  std::vector<std::string> paths{};  ///< where objects of that class stand, readable; empty for allowed names
};

/// Facts about the container.
struct FormatInfo {
  FileKind kind = FileKind::unknown;
  std::string root{};            ///< folder inside the archive, "" when there is none
  std::uint64_t size_bytes = 0;  ///< of the file; of a set, of all its files
  int version = 0;               ///< of the archive: the `version` record; 0 when absent
  std::string byteorder{};       ///< "little", "big"; "little" when no record says so
  std::string torch{};           ///< what the records tell about the writer: ">=2.7", "1.6-2.0"
  std::uint64_t storage_alignment = 64;
  int pickle_protocol = 0;
};

/// An open file: the value graph is built, the tensors' bytes are read when first touched. A handle; immutable;
/// usable from several threads at once. Tensors and values outlive it.
class RUSHLIGHT_API Checkpoint {
 public:
  /// Errors are those of the structure: a damaged tensor is found when it is read (or by verify()).
  ///
  /// The index of a sharded checkpoint (`model.safetensors.index.json`) and the `.metadata` of a distributed one stand
  /// for the whole set. A folder stands for the one set in it, or else the one file with a checkpoint's name;
  /// ErrorCode::ambiguous lists the candidates where there are several.
  static Result<Checkpoint> open(const std::filesystem::path& path, const LoadOptions& options = {});
  static Result<Checkpoint> open(std::shared_ptr<const Source> source, const LoadOptions& options = {});

  /// What it was opened from: the path, or Source::name(), as valid UTF-8.
  [[nodiscard]] const std::string& file() const noexcept;
  [[nodiscard]] const Value& root() const noexcept;
  [[nodiscard]] const FormatInfo& format() const noexcept;
  /// Refused globals, leniencies used, oddities: in reading order.
  [[nodiscard]] std::span<const Finding> findings() const noexcept;
  [[nodiscard]] std::span<const GlobalUse> globals() const noexcept;

  /// The tensors under a path ("" lets it choose: the root when it is a state dict, else `model_state_dict`,
  /// `state_dict`, `model`, `module`, `net` ..., first that holds tensors; StateDict::path() says which).
  /// Modules answer with what Module.state_dict() would give; an empty dict is that of a module without parameters.
  /// ErrorCode::not_found lists the candidates.
  [[nodiscard]] Result<StateDict> state_dict(std::string_view path = "") const;

  struct Impl;  ///< opaque
  /// For the library's own layers.
  [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }

 private:
  explicit Checkpoint(std::shared_ptr<const Impl> impl) noexcept;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace rushlight
