// The fixed-size structures of a zip file (APPNOTE 6.3.10, 4.3.7 to 4.3.16), each with one list of its fields in file
// order. decode() and encode() both walk that list, so the reader and the writer of a structure cannot drift apart.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace rushlight::zip {

// Flag bits (APPNOTE 4.4.4).
inline constexpr std::uint16_t kFlagEncrypted = 0x0001;
inline constexpr std::uint16_t kFlagDeflateOptions = 0x0006;  // how hard the writer tried; says nothing about the data
inline constexpr std::uint16_t kFlagDescriptor = 0x0008;      // CRC and sizes follow the data
inline constexpr std::uint16_t kFlagPatched = 0x0020;
inline constexpr std::uint16_t kFlagStrongEncryption = 0x0040;
inline constexpr std::uint16_t kFlagUtf8 = 0x0800;
inline constexpr std::uint16_t kFlagMaskedHeaders = 0x2000;

// What a descriptor begins with (4.3.9.3).
inline constexpr std::string_view kDescriptorMark{"PK\7\10", 4};

// A 16- or 32-bit field with all bits set says "see the zip64 twin" (APPNOTE 4.4.1.4).
inline constexpr std::uint16_t kSaturated16 = 0xFFFF;
inline constexpr std::uint32_t kSaturated32 = 0xFFFFFFFF;

// Extra field ids (APPNOTE 4.5.2; 4.6.1 for third parties).
inline constexpr std::uint16_t kExtraZip64 = 0x0001;
inline constexpr std::uint16_t kExtraPadding = 0x4246;      // "FB": torch aligns data with it, filled with 'Z'
inline constexpr std::uint16_t kExtraUnicodePath = 0x7075;  // "up": a second name (APPNOTE 4.6.9)
inline constexpr std::byte kPaddingFill{'Z'};

// 4.3.7
struct LocalHeader {
  static constexpr std::uint32_t kSignature = 0x04034B50;
  static constexpr std::size_t kBytes = 30;
  std::uint16_t version_needed = 0;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint16_t time = 0;
  std::uint16_t date = 0;
  std::uint32_t crc = 0;
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;
  std::uint16_t name_bytes = 0;
  std::uint16_t extra_bytes = 0;

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.version_needed), visit(self.flags), visit(self.method), visit(self.time), visit(self.date);
    visit(self.crc), visit(self.compressed_bytes), visit(self.size_bytes);
    visit(self.name_bytes), visit(self.extra_bytes);
  }
};

// 4.3.12
struct CentralEntry {
  static constexpr std::uint32_t kSignature = 0x02014B50;
  static constexpr std::size_t kBytes = 46;
  std::uint16_t made_by = 0;
  std::uint16_t version_needed = 0;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint16_t time = 0;
  std::uint16_t date = 0;
  std::uint32_t crc = 0;
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;
  std::uint16_t name_bytes = 0;
  std::uint16_t extra_bytes = 0;
  std::uint16_t comment_bytes = 0;
  std::uint16_t disk = 0;
  std::uint16_t internal_attributes = 0;
  std::uint32_t external_attributes = 0;
  std::uint32_t header_offset = 0;  // of the local header, from the start of the archive

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.made_by), visit(self.version_needed), visit(self.flags), visit(self.method);
    visit(self.time), visit(self.date), visit(self.crc), visit(self.compressed_bytes), visit(self.size_bytes);
    visit(self.name_bytes), visit(self.extra_bytes), visit(self.comment_bytes), visit(self.disk);
    visit(self.internal_attributes), visit(self.external_attributes), visit(self.header_offset);
  }
};

// 4.3.16: the end record, "EOCD".
struct EndRecord {
  static constexpr std::uint32_t kSignature = 0x06054B50;
  static constexpr std::size_t kBytes = 22;
  std::uint16_t disk = 0;
  std::uint16_t directory_disk = 0;
  std::uint16_t entries_on_disk = 0;
  std::uint16_t entries = 0;
  std::uint32_t directory_bytes = 0;
  std::uint32_t directory_offset = 0;
  std::uint16_t comment_bytes = 0;

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.disk), visit(self.directory_disk), visit(self.entries_on_disk), visit(self.entries);
    visit(self.directory_bytes), visit(self.directory_offset), visit(self.comment_bytes);
  }
};

// 4.3.14: the zip64 end record. Version 1 has no extensible data, so that record_bytes is always 44.
struct End64Record {
  static constexpr std::uint32_t kSignature = 0x06064B50;
  static constexpr std::size_t kBytes = 56;
  static constexpr std::uint64_t kRecordBytes = kBytes - 12;  // counts what follows the field itself
  std::uint64_t record_bytes = kRecordBytes;
  std::uint16_t made_by = 0;
  std::uint16_t version_needed = 0;
  std::uint32_t disk = 0;
  std::uint32_t directory_disk = 0;
  std::uint64_t entries_on_disk = 0;
  std::uint64_t entries = 0;
  std::uint64_t directory_bytes = 0;
  std::uint64_t directory_offset = 0;

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.record_bytes), visit(self.made_by), visit(self.version_needed), visit(self.disk);
    visit(self.directory_disk), visit(self.entries_on_disk), visit(self.entries);
    visit(self.directory_bytes), visit(self.directory_offset);
  }
};

// 4.3.15: says where the zip64 end record is.
struct End64Locator {
  static constexpr std::uint32_t kSignature = 0x07064B50;
  static constexpr std::size_t kBytes = 20;
  std::uint32_t disk = 0;
  std::uint64_t end64_offset = 0;
  std::uint32_t disks = 1;

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.disk), visit(self.end64_offset), visit(self.disks);
  }
};

// 4.3.9: the data descriptor, with its customary signature.
struct Descriptor {
  static constexpr std::uint32_t kSignature = 0x08074B50;
  static constexpr std::size_t kBytes = 16;
  std::uint32_t crc = 0;
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.crc), visit(self.compressed_bytes), visit(self.size_bytes);
  }
};

// 4.3.9.2: the same with 64-bit sizes.
struct Descriptor64 {
  static constexpr std::uint32_t kSignature = Descriptor::kSignature;
  static constexpr std::size_t kBytes = 24;
  std::uint32_t crc = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;

  template <class Self, class Visit>
  static void for_each_field(Self& self, Visit visit) {
    visit(self.crc), visit(self.compressed_bytes), visit(self.size_bytes);
  }
};

inline constexpr std::size_t kSignatureBytes = 4;

[[nodiscard]] inline bool has_signature(ByteSpan bytes, std::uint32_t signature) noexcept {
  return bytes.size() >= kSignatureBytes && load_le<std::uint32_t>(bytes.data()) == signature;
}

// The fields behind a signature, which the caller has looked at. `bytes` holds at least Record::kBytes.
template <class Record>
[[nodiscard]] inline Record decode(ByteSpan bytes) noexcept {
  Record record;
  std::size_t position = kSignatureBytes;
  Record::for_each_field(record, [&]<std::integral T>(T& field) {
    field = load_le<T>(bytes.data() + position);
    position += sizeof(T);
  });
  return record;
}

// Signature and fields.
template <class Record>
[[nodiscard]] inline std::array<std::byte, Record::kBytes> encode(const Record& record) noexcept {
  std::array<std::byte, Record::kBytes> bytes{};
  store_le(bytes.data(), Record::kSignature);
  std::size_t position = kSignatureBytes;
  Record::for_each_field(record, [&]<std::integral T>(const T& field) {
    store_le(bytes.data() + position, field);
    position += sizeof(T);
  });
  return bytes;
}

// What structures of varying length are put together from.
inline void append_bytes(std::vector<std::byte>& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
template <std::integral T>
inline void append_number(std::vector<std::byte>& out, T value) {
  out.resize(out.size() + sizeof(T));
  store_le(out.data() + out.size() - sizeof(T), value);
}

// One field of an extra block (APPNOTE 4.5.1): id, length, bytes.
struct ExtraField {
  std::uint16_t id = 0;
  ByteSpan bytes;
  std::size_t position = 0;  // of the field's header within the block
};

// Walks an extra block. next() gives nullopt at the end, and where a field does not fit; the two are told apart by
// at_end().
class ExtraReader {
 public:
  explicit ExtraReader(ByteSpan block) noexcept : reader_(block) {}

  [[nodiscard]] std::optional<ExtraField> next() noexcept {
    ByteReader ahead = reader_;
    const std::size_t position = ahead.position();
    const auto id = ahead.read<std::uint16_t>();
    const auto length = ahead.read<std::uint16_t>();
    if (!id || !length) return std::nullopt;
    const auto bytes = ahead.read_bytes(*length);
    if (!bytes) return std::nullopt;
    reader_ = ahead;
    return ExtraField{*id, *bytes, position};
  }
  [[nodiscard]] bool at_end() const noexcept { return reader_.at_end(); }
  [[nodiscard]] std::size_t position() const noexcept { return reader_.position(); }

 private:
  ByteReader reader_;
};

}  // namespace rushlight::zip
