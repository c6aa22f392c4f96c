#include "zip/directory.hpp"

#include <algorithm>
#include <limits>
#include <new>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/checked.hpp"
#include "zip/failure.hpp"

namespace rushlight::zip {
namespace {

// DEFLATE's longest match is 258 bytes for a length and a distance code of one bit each (RFC 1951 3.2.5).
constexpr std::uint64_t kMostDeflateRatio = 1032;

constexpr std::uint16_t kRefusedFlags =
    static_cast<std::uint16_t>(~(kFlagDeflateOptions | kFlagDescriptor | kFlagUtf8));

// Hosts whose upper 16 bits of external attributes are a Unix mode (APPNOTE 4.4.2).
constexpr unsigned kHostUnix = 3;
constexpr unsigned kHostDarwin = 19;

std::string flag_text(std::uint16_t flag) {
  switch (flag) {
    case kFlagEncrypted:
      return "record is encrypted";
    case kFlagPatched:
      return "record is a patch to another file";
    case kFlagStrongEncryption:
      return "record uses strong encryption";
    case kFlagMaskedHeaders:
      return "record has masked headers";
    default:
      return "record sets a reserved flag";
  }
}

std::string_view file_type_name(std::uint32_t unix_mode) noexcept {
  switch (unix_mode & 0170000) {
    case 0120000:
      return "a symbolic link";
    case 0060000:
      return "a block device";
    case 0020000:
      return "a character device";
    case 0010000:
      return "a FIFO";
    case 0140000:
      return "a socket";
    default:
      return {};
  }
}

}  // namespace

std::string_view method_name(std::uint16_t method) noexcept {
  switch (method) {
    case 0:
      return "stored";
    case 1:
      return "shrink";
    case 2:
    case 3:
    case 4:
    case 5:
      return "reduce";
    case 6:
      return "implode";
    case 8:
      return "deflate";
    case 9:
      return "deflate64";
    case 10:
      return "dcl implode";
    case 12:
      return "bzip2";
    case 14:
      return "lzma";
    case 16:
      return "cmpsc";
    case 18:
      return "terse";
    case 19:
      return "lz77";
    case 20:
    case 93:
      return "zstd";
    case 94:
      return "mp3";
    case 95:
      return "xz";
    case 96:
      return "jpeg";
    case 97:
      return "wavpack";
    case 98:
      return "ppmd";
    case 99:
      return "aes encryption";
    default:
      return "unknown";
  }
}

// One walk over the directory. Each entry's fields are judged in file order, then what they say together.
class Directory::Auditor {
 public:
  Auditor(const EndRecords& ends, const Limits& limits, std::vector<Finding>& oddities)
      : ends_(ends), limits_(limits), oddities_(oddities) {}

  // Decodes the entry at `position` of the directory's bytes and moves behind it.
  Status entry(ByteSpan directory, std::size_t& position, Entry& out) {
    offset_ = ends_.directory_begin + position;
    name_ = {};
    const ByteSpan rest = directory.subspan(position);
    if (!has_signature(rest, CentralEntry::kSignature)) {
      return failure(Category::zip, "ZIP-CENTRAL-SIGNATURE",
                     "central entry " + std::to_string(number_) + " has no signature, " +
                         count_text(rest.size(), "byte") + " of the directory " + (rest.size() == 1 ? "is" : "are") +
                         " left",
                     {.offset = offset_});
    }
    if (rest.size() < CentralEntry::kBytes) return overrun(CentralEntry::kBytes, rest.size());
    const auto fields = decode<CentralEntry>(rest);
    const std::uint64_t entry_bytes =
        CentralEntry::kBytes + std::uint64_t{fields.name_bytes} + fields.extra_bytes + fields.comment_bytes;
    if (entry_bytes > rest.size()) return overrun(entry_bytes, rest.size());
    name_ = as_text(rest.subspan(CentralEntry::kBytes, fields.name_bytes));
    const ByteSpan extra = rest.subspan(CentralEntry::kBytes + fields.name_bytes, fields.extra_bytes);
    position += static_cast<std::size_t>(entry_bytes);
    number_ += 1;

    out.name = name_;
    out.directory_offset = offset_;
    out.crc = fields.crc;
    out.flags = fields.flags;
    RUSHLIGHT_TRY(flags(fields));
    RUSHLIGHT_TRY(method(fields, out));
    RUSHLIGHT_TRY(file_type(fields));
    RUSHLIGHT_TRY(name(fields));
    RUSHLIGHT_TRY(extra_fields(fields, extra, out));
    RUSHLIGHT_TRY(sizes(out));
    return range(out);
  }

  void note_directories() {
    if (directories_ == 0) return;
    oddities_.push_back(finding(Severity::warning, Category::zip, "ZIP-DIRECTORIES",
                                "archive lists " + std::to_string(directories_) +
                                    (directories_ == 1 ? " directory" : " directories") + " besides its records",
                                {.offset = first_directory_}));
  }

 private:
  [[nodiscard]] Place at(std::size_t field) const { return {.offset = offset_ + field, .record = name_}; }

  [[nodiscard]] Error overrun(std::uint64_t needed, std::uint64_t left) const {
    return failure(Category::zip, "ZIP-CENTRAL-SIZE",
                   "central entry " + std::to_string(number_) + " of " + std::to_string(needed) +
                       " bytes runs past the end of the directory, " + std::to_string(left) + " bytes are left",
                   {.offset = offset_});
  }

  Status flags(const CentralEntry& fields) const {
    const auto refused = static_cast<std::uint16_t>(fields.flags & kRefusedFlags);
    if (refused == 0) return {};
    const auto lowest = static_cast<std::uint16_t>(refused & -refused);
    return failure(Category::unsup, "ZIP-FLAGS", flag_text(lowest) + ", flag bit " + hex(lowest), at(8));
  }

  Status method(const CentralEntry& fields, Entry& out) const {
    if (fields.method != 0 && fields.method != 8) {
      return failure(Category::unsup, "ZIP-METHOD",
                     "compression method " + std::to_string(fields.method) + " (" +
                         std::string(method_name(fields.method)) + "), only stored and deflate are read",
                     at(10));
    }
    out.method = static_cast<Method>(fields.method);
    return {};
  }

  Status file_type(const CentralEntry& fields) const {
    const unsigned host = fields.made_by >> 8;
    if (host != kHostUnix && host != kHostDarwin) return {};
    const std::string_view type = file_type_name(fields.external_attributes >> 16);
    if (type.empty()) return {};
    return failure(Category::zip, "ZIP-FILE-TYPE", "record is " + std::string(type) + ", not a regular file", at(38));
  }

  Status name(const CentralEntry& fields) {
    if (name_.size() > limits_.record_name_bytes) {
      Error error =
          failure(Category::limit, "LIMIT-RECORD-NAME-BYTES",
                  "record name is longer than limits.record_name_bytes allows, expected at most " +
                      std::to_string(limits_.record_name_bytes) + " bytes, found " + std::to_string(name_.size()),
                  at(28));
      error.finding.expected = std::to_string(limits_.record_name_bytes);
      error.finding.found = std::to_string(name_.size());
      return error;
    }
    if (is_plain_name(name_)) return {};
    const NameFault fault = name_fault(name_);
    if (fault.what != nullptr) {
      return failure(fault.ambiguous ? Category::ambig : Category::zip, "ZIP-NAME",
                     "record name " + quoted(name_) + " " + fault.what, at(CentralEntry::kBytes + fault.position));
    }
    const bool ascii =
        std::all_of(name_.begin(), name_.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (ascii) return {};
    if ((fields.flags & kFlagUtf8) != 0) {
      if (is_valid_utf8(name_)) return {};
      return failure(Category::zip, "ZIP-NAME",
                     "record name " + quoted(name_) + " is not UTF-8, though its flags say so",
                     at(CentralEntry::kBytes));
    }
    if (!odd_encoding_) {
      odd_encoding_ = true;  // said once: such an archive has it on most records
      oddities_.push_back(finding(Severity::warning, Category::zip, "ZIP-NAME-ENCODING",
                                  "record name " + quoted(name_) + " is not ASCII and its flags do not say UTF-8",
                                  at(CentralEntry::kBytes)));
    }
    return {};
  }

  // The extra block: well formed, at most one zip64 field of exactly the size that the other fields call for, and no
  // second name.
  Status extra_fields(const CentralEntry& fields, ByteSpan block, Entry& out) {
    const std::size_t block_at = CentralEntry::kBytes + fields.name_bytes;
    std::optional<ExtraField> zip64;
    ExtraReader reader(block);
    while (const std::optional<ExtraField> field = reader.next()) {
      if (field->id == kExtraZip64) {
        if (zip64) {
          return failure(Category::zip, "ZIP-ZIP64", "second zip64 extra field in one central entry",
                         at(block_at + field->position));
        }
        zip64 = field;
      } else if (field->id == kExtraUnicodePath) {
        RUSHLIGHT_TRY(second_name(*field, block_at));
      }
    }
    if (!reader.at_end()) {
      return failure(Category::zip, "ZIP-EXTRA",
                     "extra field does not fit its block, " + count_text(block.size() - reader.position(), "byte") +
                         " of " + std::to_string(block.size()) + " are left",
                     at(block_at + reader.position()));
    }

    const bool wide_size = fields.size_bytes == kSaturated32;
    const bool wide_compressed = fields.compressed_bytes == kSaturated32;
    const bool wide_offset = fields.header_offset == kSaturated32;
    const bool wide_disk = fields.disk == kSaturated16;
    const std::size_t needed = 8 * (std::size_t{wide_size} + wide_compressed + wide_offset) + (wide_disk ? 4 : 0);
    if (!zip64 && needed != 0) {
      return failure(Category::zip, "ZIP-ZIP64",
                     "no zip64 extra field, though a field of the central entry refers to one", at(block_at));
    }
    if (zip64 && zip64->bytes.size() != needed) {
      return differs(Category::zip, "ZIP-ZIP64", "zip64 extra field (id 0x1) has a wrong length",
                     std::to_string(needed), std::to_string(zip64->bytes.size()), at(block_at + zip64->position + 2));
    }
    ByteReader values(zip64 ? zip64->bytes : ByteSpan());
    const auto value = [&](bool wide, std::uint32_t narrow) {
      return wide ? *values.read<std::uint64_t>() : std::uint64_t{narrow};
    };
    out.zip64 = zip64.has_value();
    out.size_bytes = value(wide_size, fields.size_bytes);
    out.compressed_bytes = value(wide_compressed, fields.compressed_bytes);
    out.header_offset = value(wide_offset, fields.header_offset);
    const std::uint32_t disk = wide_disk ? *values.read<std::uint32_t>() : fields.disk;
    if (disk != 0) {
      return failure(Category::unsup, "ZIP-MULTI-DISK",
                     "archive is spread over several files: the record lies on disk " + std::to_string(disk), at(34));
    }
    return {};
  }

  // Info-ZIP's Unicode path (APPNOTE 4.6.9): some readers take the name from here.
  Status second_name(const ExtraField& field, std::size_t block_at) const {
    constexpr std::size_t kHeaderBytes = 5;  // version and the CRC of the other name
    const std::string_view other =
        field.bytes.size() < kHeaderBytes ? std::string_view() : as_text(field.bytes.subspan(kHeaderBytes));
    if (other == name_) return {};
    return differs(Category::ambig, "ZIP-NAME-UNICODE", "Unicode path extra field names another record", quoted(name_),
                   quoted(other), at(block_at + field.position));
  }

  Status sizes(const Entry& out) {
    if (out.method == Method::stored && out.compressed_bytes != out.size_bytes) {
      return failure(Category::zip, "ZIP-STORED-SIZE",
                     "stored sizes differ, " + std::to_string(out.compressed_bytes) + " bytes in the file and " +
                         std::to_string(out.size_bytes) + " bytes of content",
                     at(20));
    }
    if (out.method == Method::deflated && out.size_bytes / kMostDeflateRatio > out.compressed_bytes) {
      return failure(Category::zip, "ZIP-DEFLATE-SIZE",
                     std::to_string(out.compressed_bytes) + " deflated bytes cannot become " +
                         std::to_string(out.size_bytes) + ", at most " + std::to_string(kMostDeflateRatio) +
                         " times as many",
                     at(24));
    }
    if (out.is_directory()) {
      if (out.size_bytes != 0) {
        return failure(Category::ambig, "ZIP-NAME",
                       "record name " + quoted(name_) + " ends in a slash like a directory, yet the record has " +
                           count_text(out.size_bytes, "byte"),
                       at(CentralEntry::kBytes));
      }
      if (directories_ == 0) first_directory_ = offset_;
      directories_ += 1;
    }
    return {};
  }

  // The record must lie between the archive's start and the directory.
  Status range(Entry& out) const {
    const auto header = checked_add(ends_.archive_begin, out.header_offset);
    const std::uint64_t head_bytes = LocalHeader::kBytes + name_.size();
    const auto head_end = header ? checked_add(*header, head_bytes) : std::nullopt;
    const auto end = head_end ? checked_add(*head_end, out.compressed_bytes) : std::nullopt;
    if (!end || *end > ends_.directory_begin) {
      return failure(Category::zip, "ZIP-RECORD-RANGE",
                     "record of " + std::to_string(out.compressed_bytes) + " bytes at offset " +
                         hex(out.header_offset) + " does not end before the central directory at " +
                         hex(ends_.directory_begin - ends_.archive_begin),
                     at(42));
    }
    out.header_offset = *header;
    return {};
  }

  const EndRecords& ends_;
  const Limits& limits_;
  std::vector<Finding>& oddities_;
  std::uint64_t offset_ = 0;  // of the entry
  std::uint64_t number_ = 0;  // of the entry
  std::string_view name_;
  std::uint64_t directories_ = 0;
  std::uint64_t first_directory_ = 0;
  bool odd_encoding_ = false;
};

namespace {

Error entry_count(const EndRecords& ends, std::uint64_t counted) {
  const std::uint64_t field = ends.end64 ? ends.end64_offset + 32 : ends.end_offset + 10;
  return differs(Category::zip, "ZIP-END-COUNT", "end record miscounts the records of the central directory",
                 std::to_string(counted), std::to_string(ends.entries), {.offset = field});
}

Error too_many(std::string_view code, std::string_view what, std::string_view field, std::uint64_t limit,
               std::uint64_t found, std::uint64_t offset) {
  return differs(Category::limit, code, std::string(what) + " than limits." + std::string(field) + " allows",
                 "at most " + std::to_string(limit), std::to_string(found), {.offset = offset});
}

Error listed_twice(const Entry& first, const Entry& second) {
  if (first.name == second.name) {
    return failure(Category::ambig, "ZIP-DUPLICATE",
                   "record is listed twice, at " + hex(first.directory_offset) + " and at " +
                       hex(second.directory_offset) + ": readers differ in which of them they take",
                   {.offset = second.directory_offset, .record = second.name});
  }
  return failure(Category::ambig, "ZIP-DUPLICATE",
                 "record names " + quoted(first.name) + " at " + hex(first.directory_offset) + " and " +
                     quoted(second.name) + " at " + hex(second.directory_offset) + " are one name to some readers",
                 {.offset = second.directory_offset, .record = second.name});
}

}  // namespace

Status Directory::read(const FileView& view, const EndRecords& ends, const Limits& limits, std::uint64_t name_key,
                       std::vector<Finding>& oddities) {
  begin_ = ends.directory_begin;
  const std::uint64_t directory_bytes = ends.directory_end - ends.directory_begin;
  if (directory_bytes > limits.central_directory_bytes) {
    return too_many("LIMIT-CENTRAL-DIRECTORY-BYTES", "central directory has more bytes", "central_directory_bytes",
                    limits.central_directory_bytes, directory_bytes, begin_);
  }
  // The table of names counts in 32 bits; an entry takes at least 46 bytes, so that no honest file comes near.
  const std::uint64_t most_entries = std::min<std::uint64_t>(limits.archive_entries, 0xFFFFFFFE);
  if (ends.entries > most_entries) {
    return too_many("LIMIT-ARCHIVE-ENTRIES", "archive declares more records", "archive_entries", most_entries,
                    ends.entries, ends.end64 ? ends.end64_offset + 32 : ends.end_offset + 10);
  }
  if (ends.entries > directory_bytes / CentralEntry::kBytes) {
    return failure(Category::zip, "ZIP-END-COUNT",
                   "end record counts " + std::to_string(ends.entries) + " records, too many for a directory of " +
                       std::to_string(directory_bytes) + " bytes",
                   {.offset = ends.end64 ? ends.end64_offset + 32 : ends.end_offset + 10});
  }
  RUSHLIGHT_TRY_ASSIGN(bytes_, view.read(begin_, directory_bytes, storage_));

  const auto declared = static_cast<std::size_t>(ends.entries);
  entries_.reset(new (std::nothrow) Entry[declared]);
  if (entries_ == nullptr) return no_memory_for(declared * sizeof(Entry), "central directory");
  RUSHLIGHT_TRY(names_.prepare(declared, name_key));
  Auditor auditor(ends, limits, oddities);
  std::size_t position = 0;
  while (count_ < declared) {
    if (position == bytes_.size()) return entry_count(ends, count_);
    RUSHLIGHT_TRY(auditor.entry(bytes_, position, entries_[count_]));
    count_ += 1;
    const std::size_t same = names_.insert(entries(), count_ - 1);
    if (same != count_ - 1) return listed_twice(entries_[same], entries_[count_ - 1]);
  }
  if (position != bytes_.size()) {
    // Entries beyond the count, or something else behind the last one.
    std::uint64_t counted = count_;
    Entry entry;
    while (position != bytes_.size()) {
      RUSHLIGHT_TRY(auditor.entry(bytes_, position, entry));
      counted += 1;
    }
    return entry_count(ends, counted);
  }
  auditor.note_directories();
  return arrange(ends.directory_begin);
}

Status Directory::arrange(std::uint64_t directory_begin) {
  by_offset_.reset(new (std::nothrow) std::uint32_t[count_]);
  boundaries_.reset(new (std::nothrow) std::uint64_t[count_]);
  if (by_offset_ == nullptr || boundaries_ == nullptr) return no_memory_for(12 * count_, "record offsets");
  const std::span<std::uint32_t> order(by_offset_.get(), count_);
  std::iota(order.begin(), order.end(), std::uint32_t{0});
  const auto earlier = [&](std::uint32_t a, std::uint32_t b) {
    // Equal offsets are refused below; the entry's number keeps the message the same everywhere.
    return entries_[a].header_offset != entries_[b].header_offset
               ? entries_[a].header_offset < entries_[b].header_offset
               : a < b;
  };
  if (!std::is_sorted(order.begin(), order.end(), earlier)) std::sort(order.begin(), order.end(), earlier);
  for (std::size_t i = 0; i < count_; ++i) {
    const Entry& entry = entries_[order[i]];
    const std::uint64_t boundary = i + 1 < count_ ? entries_[order[i + 1]].header_offset : directory_begin;
    boundaries_[order[i]] = boundary;
    // At least so far the record reaches; its extra fields and descriptor are seen when it is touched.
    const std::uint64_t end = entry.header_offset + LocalHeader::kBytes + entry.name.size() + entry.compressed_bytes;
    if (end > boundary) {
      const Entry& next = entries_[order[i + 1]];
      return failure(Category::ambig, "ZIP-OVERLAP",
                     "records overlap, " + quoted(entry.name) + " takes at least " +
                         range_text(entry.header_offset, end) + " and " + quoted(next.name) + " begins at " +
                         hex(next.header_offset),
                     {.offset = next.header_offset, .record = next.name});
    }
  }
  return {};
}

std::uint64_t Directory::first_record() const noexcept {
  return count_ == 0 ? begin_ : entries_[by_offset_[0]].header_offset;
}

CentralEntry Directory::stored(const Entry& entry) const noexcept {
  return decode<CentralEntry>(bytes_.subspan(static_cast<std::size_t>(entry.directory_offset - begin_)));
}

ByteSpan Directory::bytes_of(const Entry& entry) const noexcept {
  const CentralEntry fixed = stored(entry);
  const std::size_t size = CentralEntry::kBytes + fixed.name_bytes + fixed.extra_bytes + fixed.comment_bytes;
  return bytes_.subspan(static_cast<std::size_t>(entry.directory_offset - begin_), size);
}

}  // namespace rushlight::zip
