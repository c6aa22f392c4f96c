/// \file
/// Where bytes come from: a mapped file, a file read piece by piece, memory, or whatever the caller implements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rushlight/export.hpp"
#include "rushlight/result.hpp"

namespace rushlight {

/// Random access to a fixed number of bytes. Implement it for HTTP ranges, assets, decryption.
///
/// All members may be called from several threads at once. The bytes must not change while a Source is in use.
class RUSHLIGHT_API Source {
 public:
  virtual ~Source();

  [[nodiscard]] virtual std::uint64_t size_bytes() const noexcept = 0;

  /// Fills all of `out` from `offset`, or fails; offset + out.size() <= size_bytes() holds when Rushlight calls it.
  virtual Status read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;

  /// All bytes, when they lie in memory for as long as the Source lives; otherwise empty (and size_bytes() > 0).
  [[nodiscard]] virtual std::span<const std::byte> mapping() const noexcept { return {}; }

  /// For messages: a path, a URL. Need not be unique.
  [[nodiscard]] virtual std::string_view name() const noexcept { return {}; }

  /// The caller's bytes, which must outlive everything read from them; `keep_alive` is released after the last use.
  static std::shared_ptr<const Source> from_memory(std::span<const std::byte> bytes, std::string name = "memory",
                                                   std::shared_ptr<const void> keep_alive = nullptr);

 protected:
  Source() = default;
  Source(const Source&) = default;
  Source& operator=(const Source&) = default;
};

/// How a local file is read.
enum class FileAccess : std::uint8_t {
  mapped,  ///< mapped privately: nothing is copied, and the file must not be truncated meanwhile (SIGBUS)
  pread,   ///< read on request: for files that may change, and for network file systems
};

/// Opens a regular file. Directories, FIFOs, sockets and devices are refused by name, without waiting for them.
RUSHLIGHT_API Result<std::shared_ptr<const Source>> open_file(const std::filesystem::path& path,
                                                              FileAccess access = FileAccess::mapped);

}  // namespace rushlight
