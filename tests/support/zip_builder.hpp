// Writes zip archives in torch's own layout (format-spec/02-zip), and any deviation from it that a test asks for.
//
//   TorchZip zip("base");                                    // the root folder
//   zip.add("data.pkl", pickle).add("data/0", floats);       // records, in this order
//   std::vector<std::byte> bytes = zip.build();
//
// Every structure passes through a hook just before it is written; what the hook leaves alone is right, and nothing
// else is repaired after it:
//
//   zip.record("data/0").local = [](zip::LocalHeader& header) { header.method = 8; };
//   zip.end64 = [](zip::End64Record& end) { end.entries += 1; };
//
// For a change of a few bytes it is often shorter to build first and patch afterwards; places() says where things are:
//
//   put<std::uint16_t>(bytes, zip.place("data/0").local + 6, 0x0001);
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "zip/records.hpp"

namespace rushlight::test {

using Bytes = std::vector<std::byte>;

[[nodiscard]] Bytes to_bytes(std::string_view text);
// `count` bytes of the given value.
[[nodiscard]] Bytes repeated(std::size_t count, std::uint8_t value);
// Bytes of a trivially copyable sequence, as this (little-endian) machine holds them.
template <class T>
[[nodiscard]] Bytes bytes_of(const std::vector<T>& values) {
  const ByteSpan span = std::as_bytes(std::span<const T>(values));
  return {span.begin(), span.end()};
}

// Overwrites a little-endian field.
template <std::integral T>
void put(Bytes& bytes, std::uint64_t offset, T value) {
  store_le(bytes.data() + offset, value);
}
template <std::integral T>
[[nodiscard]] T get(const Bytes& bytes, std::uint64_t offset) {
  return load_le<T>(bytes.data() + offset);
}

// Behind what is there.
inline void append(Bytes& to, ByteSpan from) {
  to.insert(to.end(), from.begin(), from.end());
}
// Little-endian.
template <std::integral T>
void append_number(Bytes& to, T value) {
  to.resize(to.size() + sizeof(T));
  put(to, to.size() - sizeof(T), value);
}

// CRC-32 by the table of APPNOTE's polynomial: written here once more, so that tests do not judge src/checksum by
// itself.
[[nodiscard]] std::uint32_t plain_crc32(ByteSpan bytes, std::uint32_t crc = 0);
// Raw DEFLATE data.
[[nodiscard]] Bytes deflated(ByteSpan bytes, int level = 9);

enum class DescriptorForm : std::uint8_t {
  automatic,  // as torch: 24 bytes where the local header has a zip64 field, else 16, none for empty records
  none,
  signed_32,    // 16 bytes
  signed_64,    // 24 bytes
  unsigned_32,  // 12 bytes
  unsigned_64,  // 20 bytes
};

// One extra field, or raw bytes of an extra block.
[[nodiscard]] Bytes extra_field(std::uint16_t id, ByteSpan content);

// One record and everything that can be wrong with it.
struct RecordPlan {
  std::string name;  // in full, root folder included
  Bytes data;        // decoded
  // A hole of this many zeros instead of `data`; write_file() leaves it a hole.
  std::uint64_t hole_bytes = 0;
  bool deflate = false;
  std::optional<Bytes> stored;  // what lies in the file instead of the data (or of its deflated form)

  std::optional<std::string> local_name;    // instead of `name`
  std::optional<std::string> central_name;  // instead of `name`
  std::optional<Bytes> local_extra;         // the whole extra block instead of zip64 and padding
  std::optional<Bytes> central_extra;
  std::string central_comment;
  DescriptorForm descriptor_form = DescriptorForm::automatic;
  Bytes gap_before;           // unexplained bytes in front of the local header
  bool in_directory = true;   // false: a hidden record
  bool in_file = true;        // false: a central entry only (its offset is that of `same_place_as`, or 0)
  std::string same_place_as;  // the central entry points at the local header of this record (full name)
  int directory_copies = 1;   // how often the central entry is written

  std::function<void(zip::LocalHeader&)> local;
  std::function<void(zip::CentralEntry&)> central;
  std::function<void(zip::Descriptor64&)> descriptor;  // written in 32 bits where the form says so
};

// Where the last build() put a record. Offsets are those in the file, prefix included.
struct RecordPlace {
  std::string name;
  std::uint64_t local = 0;
  std::uint64_t local_extra = 0;
  std::uint64_t data = 0;
  std::uint64_t data_end = 0;
  std::uint64_t descriptor_end = 0;
  std::uint64_t central = 0;
};

struct ArchivePlaces {
  std::vector<RecordPlace> records;  // in the order of add()
  std::uint64_t directory = 0;
  std::uint64_t directory_end = 0;
  std::uint64_t end64 = 0;
  std::uint64_t locator = 0;
  std::uint64_t end = 0;
  std::uint64_t size_bytes = 0;
};

class TorchZip {
 public:
  explicit TorchZip(std::string root = "base") : root_(std::move(root)) {}

  // Adds `<root>/<name>`.
  TorchZip& add(std::string_view name, ByteSpan data);
  TorchZip& add(std::string_view name, std::string_view text) { return add(name, as_byte_span(text)); }
  TorchZip& add(std::string_view name, const char* text) { return add(name, std::string_view(text)); }
  // A record of `size_bytes` zeros which costs no memory here.
  TorchZip& add_hole(std::string_view name, std::uint64_t size_bytes);
  // Adds a record by its full name: other roots, directories ("base/data/"), hostile names.
  TorchZip& add_full_name(std::string_view full_name, ByteSpan data);

  // The plan of a record, by its name below the root (or its full name), to be changed before build().
  [[nodiscard]] RecordPlan& record(std::string_view name);
  [[nodiscard]] std::vector<RecordPlan>& records() { return records_; }

  // --- the archive's own knobs ---
  std::uint64_t alignment = 64;    // of data; 1 means an empty padding field, 0 none at all
  bool crc = true;                 // false: as torch with compute_crc32 off, every CRC field is 0
  bool zip64_end = true;           // the zip64 end record and its locator
  bool descriptors = true;         // false: CRC and sizes in the local header, as zip tools write
  Bytes prefix;                    // bytes before the archive
  bool prefix_in_offsets = false;  // true: offsets count from the start of the file, else from the archive's start
  Bytes before_directory;          // gap behind the last record
  Bytes before_end64;              // gap behind the directory
  Bytes before_locator;
  Bytes before_end;
  std::string comment;
  Bytes trailing;
  std::function<void(zip::End64Record&)> end64;
  std::function<void(zip::End64Locator&)> locator;
  std::function<void(zip::EndRecord&)> end;

  // The archive; may be called repeatedly, after changes too.
  [[nodiscard]] Bytes build();
  // The same into a file, where holes are holes and nothing large is held in memory. False where the file system
  // refuses (no space, no files of that size).
  [[nodiscard]] bool write_file(const std::filesystem::path& path);

  // Of the last build() or write_file().
  [[nodiscard]] const ArchivePlaces& places() const { return places_; }
  [[nodiscard]] const RecordPlace& place(std::string_view name) const;

 private:
  class Output;
  void write(Output& out);
  void write_record(Output& out, const RecordPlan& plan, RecordPlace& place, std::uint64_t base);
  void write_directory(Output& out, std::uint64_t base);
  void write_end(Output& out, std::uint64_t base);

  std::string root_;
  std::vector<RecordPlan> records_;
  ArchivePlaces places_;
};

// The base file of hostile-inputs 2: root `base`, data.pkl, data/0 (float32 0..7), data/1 (int64 0..3), byteorder,
// version. data.pkl is a true pickle of an ordered dict with the two tensors `a` and `b`.
[[nodiscard]] TorchZip base_zip();
[[nodiscard]] Bytes base_pickle();

}  // namespace rushlight::test
