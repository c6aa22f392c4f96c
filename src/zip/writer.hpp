// Writes archives as torch does, byte for byte (format-spec/02-zip 2), to a Sink that only goes forward.
//
// A saver that knows its names and sizes asks plan_archive() first: the file can then be reserved, and every offset is
// known before the first byte. Knows nothing of PyTorch's records: names come with their root folder, and the pickle is
// a record like any other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "zip/archive.hpp"

namespace rushlight::zip {

inline constexpr std::uint64_t kTorchAlignment = 64;
inline constexpr std::uint64_t kMostAlignment = 65536;
inline constexpr std::size_t kMostNameBytes = 511;  // torch's reader cuts longer ones

// Sees what a Writer writes, before the sink does, in the order of the file.
class WriteObserver {
 public:
  virtual ~WriteObserver() = default;
  // Headers, padding, descriptors, the directory, the end records.
  virtual void on_structure(ByteSpan bytes) = 0;
  // Data of the record that was begun last, as they are stored, at most 1 MiB at a time.
  virtual void on_content(ByteSpan bytes) = 0;

 protected:
  WriteObserver() = default;
  WriteObserver(const WriteObserver&) = default;
  WriteObserver& operator=(const WriteObserver&) = default;
};

struct WriterOptions {
  // Of the data of every record. 1 to 65536; torch takes any number, not powers of two alone.
  std::uint64_t alignment = kTorchAlignment;
  // False: every CRC field holds 0, as after torch.serialization.set_crc32_options(False).
  bool crc = true;
  WriteObserver* observer = nullptr;  // outlives the writer
};

// What decides where a record lies.
struct RecordSpec {
  std::string_view name;  // in full
  std::uint64_t size_bytes = 0;
  Method method = Method::stored;
  std::uint64_t deflated_bytes = 0;  // where it is deflated

  [[nodiscard]] std::uint64_t stored_bytes() const noexcept {
    return method == Method::deflated ? deflated_bytes : size_bytes;
  }
  // Its content alone takes 64-bit fields.
  [[nodiscard]] bool is_long() const noexcept;
};

// Offsets from the start of the archive.
struct RecordPlace {
  std::uint64_t header_offset = 0;
  std::uint64_t data_offset = 0;
  std::uint64_t descriptor_offset = 0;  // where the data end
  std::uint64_t end_offset = 0;         // where the next record begins

  friend bool operator==(const RecordPlace&, const RecordPlace&) = default;
};

// Where a record lies whose local header is at `header_offset`. Fails where padding and names do not fit a local
// header, and beyond 2^62 bytes.
Result<RecordPlace> place_record(const RecordSpec& record, std::uint64_t header_offset, std::uint64_t alignment);

// The flags of a record as torch writes them: they depend on whether it is empty.
[[nodiscard]] std::uint16_t flags_of_written(std::uint64_t size_bytes) noexcept;

// All bytes between header_offset and data_offset.
[[nodiscard]] std::vector<std::byte> local_header_bytes(const RecordSpec& record, const RecordPlace& place);

struct ArchivePlan {
  std::vector<RecordPlace> records;  // as given
  std::uint64_t directory_offset = 0;
  std::uint64_t directory_bytes = 0;
  std::uint64_t size_bytes = 0;  // of the archive
};

// Where a Writer would put these records, one after the other. Names are not judged.
Result<ArchivePlan> plan_archive(std::span<const RecordSpec> records, const WriterOptions& options = {});

struct WrittenRecord {
  RecordPlace place;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;
  Method method = Method::stored;
  std::uint32_t crc = 0;  // as stored: 0 without WriterOptions::crc
};

// One archive. After a failure, of the sink or of its user, every call gives that failure again.
class Writer {
 public:
  // `sink` outlives the writer, and nobody else writes to it meanwhile. Its first byte is the archive's.
  explicit Writer(Sink& sink, const WriterOptions& options = {}) noexcept : sink_(sink), options_(options) {}

  // A writer that goes on behind the first `end` bytes of an archive, which its user has given to the sink: the records
  // that begin before `end` stay in the directory as they are, the others are gone.
  static Result<Writer> behind(Sink& sink, const WriterOptions& options, const Archive& archive, std::uint64_t end);

  // Where these records would lie if they came next and were the last.
  [[nodiscard]] Result<ArchivePlan> plan_rest(std::span<const RecordSpec> records) const;

  // Method::deflated: where that makes the record smaller; its compressed form is held in memory.
  Result<WrittenRecord> add(std::string_view full_name, ByteSpan data, Method method = Method::stored);
  // A record whose DEFLATE data exist already, for instance in another archive: taken over as they are, unchecked.
  Result<WrittenRecord> add_deflated(std::string_view full_name, ByteSpan deflated, std::uint64_t size_bytes,
                                     std::uint32_t crc);

  // A stored record, piece by piece, of exactly `size_bytes`.
  Status begin_record(std::string_view full_name, std::uint64_t size_bytes);
  Status write(ByteSpan piece);
  Result<WrittenRecord> end_record();

  // Directory and end records; gives the size of the archive. Nothing is added after it.
  Result<std::uint64_t> finish();

  [[nodiscard]] std::uint64_t written_bytes() const noexcept { return written_bytes_; }

 private:
  struct OpenRecord {
    std::string name;
    RecordSpec spec;  // its name is left empty: `name` may move
    RecordPlace place;
    std::uint64_t bytes_left = 0;
    std::uint32_t crc = 0;
  };

  Status begin(RecordSpec spec, std::uint32_t crc);
  Result<WrittenRecord> end();
  Result<std::uint64_t> write_end();
  Status pass_on(ByteSpan bytes);
  Status pass_on_structure(ByteSpan bytes);
  Status pass_on_content(ByteSpan bytes);
  Status check_name(std::string_view full_name);
  void list(const OpenRecord& record);
  template <class T>
  T keep_failure(T result);

  Sink& sink_;
  WriterOptions options_;
  std::uint64_t written_bytes_ = 0;
  std::optional<OpenRecord> open_;
  std::vector<std::byte> directory_;
  std::uint64_t records_ = 0;
  std::unordered_set<std::string> folded_names_;
  bool finished_ = false;
  std::optional<Error> failure_;
};

}  // namespace rushlight::zip
