#include "zip/local.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "zip/directory.hpp"
#include "zip/failure.hpp"

namespace rushlight::zip {
namespace {

// Most extra blocks are shorter: a zip64 field and torch's padding to 64 bytes.
constexpr std::uint64_t kUsualExtraBytes = 112;

// Extra fields that ordinary zip tools put into local headers and that say nothing about the data (APPNOTE 4.5.2,
// 4.6.1): times, owners, names in other encodings, Java's mark, alignment.
constexpr std::array<std::uint16_t, 9> kHarmlessExtras = {0x000A, 0x000D, 0x5455, 0x5855, 0x6375,
                                                          0x7075, 0x7855, 0x7875, 0xCAFE};

class LocalAudit {
 public:
  LocalAudit(const FileView& view, const LocalQuestion& question, Buffer& scratch)
      : view_(view),
        entry_(question.entry),
        archive_begin_(question.archive_begin),
        boundary_(question.boundary),
        scratch_(scratch) {}

  void look_closely(const CentralEntry& stored, std::vector<Finding>& oddities) {
    stored_ = &stored;
    oddities_ = &oddities;
  }

  Result<LocalRecord> run() {
    RUSHLIGHT_TRY(read_head());
    RUSHLIGHT_TRY(fixed_fields());
    RUSHLIGHT_TRY(name());
    RUSHLIGHT_TRY(extra_fields());
    RUSHLIGHT_TRY(data_range());
    RUSHLIGHT_TRY(descriptor());
    if (oddities_ != nullptr && record_.padded) writer_fields();
    return record_;
  }

 private:
  [[nodiscard]] Place at(std::size_t field) const {
    return {.offset = entry_.header_offset + field, .record = entry_.name};
  }
  [[nodiscard]] bool described() const { return (entry_.flags & kFlagDescriptor) != 0; }

  void odd(Severity severity, std::string_view code, std::string message, std::size_t field) const {
    if (oddities_ != nullptr) {
      oddities_->push_back(finding(severity, Category::zip, code, std::move(message), at(field)));
    }
  }

  // Header, name and extra block in one read, or in two where the extra block is long.
  Status read_head() {
    const std::uint64_t left = boundary_ - entry_.header_offset;
    const std::uint64_t guess =
        std::min(left, LocalHeader::kBytes + std::uint64_t{entry_.name.size()} + kUsualExtraBytes);
    RUSHLIGHT_TRY_ASSIGN(head_, view_.read(entry_.header_offset, guess, scratch_));
    if (!has_signature(head_, LocalHeader::kSignature)) {
      return failure(Category::ambig, "ZIP-LOCAL-SIGNATURE", "no local header where the central directory says one is",
                     at(0));
    }
    header_ = decode<LocalHeader>(head_);  // the directory left room for it
    const std::uint64_t needed = LocalHeader::kBytes + std::uint64_t{header_.name_bytes} + header_.extra_bytes;
    if (header_.name_bytes != entry_.name.size()) {
      // A header that is sound otherwise shows what the other name is.
      const std::uint64_t shown = std::min<std::uint64_t>(left - LocalHeader::kBytes, header_.name_bytes);
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan name,
                           view_.read(entry_.header_offset + LocalHeader::kBytes, shown, scratch_));
      return other_name(as_text(name), 26);
    }
    if (needed > left) {
      return failure(Category::ambig, "ZIP-DATA-START",
                     "data start not explained: the local header's extra field of " +
                         std::to_string(header_.extra_bytes) + " bytes reaches beyond the record, which ends at " +
                         hex(boundary_),
                     at(28));
    }
    if (needed > head_.size()) {
      RUSHLIGHT_TRY_ASSIGN(head_, view_.read(entry_.header_offset, needed, scratch_));
    }
    return {};
  }

  [[nodiscard]] Error other_name(std::string_view found, std::size_t field) const {
    return differs(Category::ambig, "ZIP-LOCAL-NAME", "local header names another record than the central directory",
                   quoted(entry_.name), quoted(found), at(field));
  }

  Status fixed_fields() const {
    if (stored_ != nullptr && header_.version_needed != stored_->version_needed) {
      odd(Severity::warning, "ZIP-LOCAL-VERSION",
          "local header and central directory differ on the version needed, " + std::to_string(header_.version_needed) +
              " and " + std::to_string(stored_->version_needed),
          4);
    }
    if (header_.flags != entry_.flags) {
      return differs(Category::ambig, "ZIP-LOCAL-FLAGS", "local header has other flags than the central directory",
                     hex(entry_.flags), hex(header_.flags), at(6));
    }
    const auto method = static_cast<std::uint16_t>(entry_.method);
    if (header_.method != method) {
      return differs(Category::ambig, "ZIP-LOCAL-METHOD",
                     "local header has another compression method than the central directory", method_text(method),
                     method_text(header_.method), at(8));
    }
    if (stored_ != nullptr && (header_.time != stored_->time || header_.date != stored_->date)) {
      odd(Severity::warning, "ZIP-LOCAL-TIME",
          "local header and central directory differ on the time, " + hex(header_.date) + " " + hex(header_.time) +
              " and " + hex(stored_->date) + " " + hex(stored_->time),
          10);
    }
    // With a descriptor the fields may be 0 (APPNOTE 4.4.4 bit 3), and torch leaves them so even for zip64.
    if (header_.crc != entry_.crc && !(described() && header_.crc == 0)) {
      return differs(Category::ambig, "ZIP-LOCAL-CRC", "local header has another crc-32 than the central directory",
                     hex8(entry_.crc), hex8(header_.crc), at(14));
    }
    RUSHLIGHT_TRY(size_field(header_.compressed_bytes, entry_.compressed_bytes, "compressed size", 18));
    RUSHLIGHT_TRY(size_field(header_.size_bytes, entry_.size_bytes, "size", 22));
    const auto left_open = [](std::uint64_t found, std::uint64_t expected) { return found == 0 && expected != 0; };
    const auto stated = [](std::uint32_t size) { return size != 0 && size != kSaturated32; };
    const bool some_open = left_open(header_.crc, entry_.crc) ||
                           left_open(header_.compressed_bytes, entry_.compressed_bytes) ||
                           left_open(header_.size_bytes, entry_.size_bytes);
    const bool some_stated = header_.crc != 0 || stated(header_.compressed_bytes) || stated(header_.size_bytes);
    if (some_open && some_stated) {
      odd(Severity::warning, "ZIP-LOCAL-PARTIAL",
          "local header states some of crc-32 and sizes and leaves the others to the data descriptor", 14);
    }
    return {};
  }

  static std::string method_text(std::uint16_t method) {
    return std::to_string(method) + " (" + std::string(method_name(method)) + ")";
  }

  Status size_field(std::uint32_t found, std::uint64_t expected, std::string_view what, std::size_t field) const {
    if (found == kSaturated32) return {};  // its zip64 twin is judged in extra_fields()
    if (found == expected || (described() && found == 0)) return {};
    return differs(Category::ambig, "ZIP-LOCAL-SIZE",
                   "local header has another " + std::string(what) + " than the central directory",
                   std::to_string(expected), std::to_string(found), at(field));
  }

  Status name() const {
    const std::string_view found = as_text(head_.subspan(LocalHeader::kBytes, header_.name_bytes));
    if (found == entry_.name) return {};
    return other_name(found, LocalHeader::kBytes);
  }

  Status extra_fields() {
    const std::size_t block_at = LocalHeader::kBytes + header_.name_bytes;
    const ByteSpan block = head_.subspan(block_at, header_.extra_bytes);
    ExtraReader reader(block);
    std::optional<ExtraField> zip64;
    while (const std::optional<ExtraField> field = reader.next()) {
      const std::size_t position = block_at + field->position;
      if (field->id == kExtraZip64) {
        if (zip64) {
          return failure(Category::zip, "ZIP-ZIP64", "second zip64 extra field in one local header", at(position));
        }
        zip64 = field;
      } else if (field->id == kExtraPadding) {
        padding(*field, position);
      } else if (field->id == kExtraUnicodePath) {
        RUSHLIGHT_TRY(second_name(*field, position));
      } else if (std::find(kHarmlessExtras.begin(), kHarmlessExtras.end(), field->id) == kHarmlessExtras.end()) {
        odd(Severity::note, "ZIP-EXTRA-UNKNOWN",
            "unknown extra field " + hex(field->id) + " of " + count_text(field->bytes.size(), "byte"), position);
      }
    }
    if (!reader.at_end()) {
      return failure(Category::ambig, "ZIP-DATA-START",
                     "data start not explained: an extra field of the local header does not fit its block, " +
                         count_text(block.size() - reader.position(), "byte") + " of " + std::to_string(block.size()) +
                         " are left",
                     at(block_at + reader.position()));
    }
    record_.data.begin = entry_.header_offset + block_at + block.size();
    zip64_ = zip64.has_value();
    return zip64_field(zip64, block_at);
  }

  void padding(const ExtraField& field, std::size_t position) {
    record_.padded = true;
    if (oddities_ == nullptr) return;
    const auto other =
        std::find_if(field.bytes.begin(), field.bytes.end(), [](std::byte byte) { return byte != kPaddingFill; });
    if (other == field.bytes.end()) return;
    const auto index = static_cast<std::size_t>(other - field.bytes.begin());
    odd(Severity::note, "ZIP-PADDING",
        "padding holds " + hex(std::to_integer<std::uint8_t>(*other)) + " at its byte " + std::to_string(index) +
            ", torch fills it with 'Z'",
        position + 4 + index);
  }

  Status second_name(const ExtraField& field, std::size_t position) const {
    constexpr std::size_t kHeaderBytes = 5;
    const std::string_view other =
        field.bytes.size() < kHeaderBytes ? std::string_view() : as_text(field.bytes.subspan(kHeaderBytes));
    if (other == entry_.name) return {};
    return differs(Category::ambig, "ZIP-NAME-UNICODE", "Unicode path extra field names another record",
                   quoted(entry_.name), quoted(other), at(position));
  }

  // Three kinds of zip64 field occur in local headers: APPNOTE's (both sizes where one is saturated, 4.5.3), one with
  // the saturated size alone, and torch's, which leaves the 32-bit sizes 0 and stores size, 0 and offset, of which the
  // sizes or the offset may be missing (miniz, mz_zip_writer_add_mem_ex_v2).
  Status zip64_field(const std::optional<ExtraField>& field, std::size_t block_at) const {
    const bool wide_size = header_.size_bytes == kSaturated32;
    const bool wide_compressed = header_.compressed_bytes == kSaturated32;
    if (!field) {
      if (!wide_size && !wide_compressed) return {};
      return failure(Category::zip, "ZIP-ZIP64",
                     "no zip64 extra field, though a size of the local header refers to one", at(block_at));
    }
    const std::size_t position = block_at + field->position;
    const std::size_t length = field->bytes.size();
    const bool lone_size = length == 8 && wide_size != wide_compressed;
    const bool lone_offset = length == 8 && !wide_size && !wide_compressed;
    const bool both_sizes = length == 16 || length == 24;
    if (!lone_size && !lone_offset && !both_sizes) {
      return differs(Category::zip, "ZIP-ZIP64", "zip64 extra field (id 0x1) of a local header has a wrong length",
                     wide_size || wide_compressed ? "16" : "8, 16 or 24", std::to_string(length), at(position + 2));
    }
    const auto value = [&](std::size_t index) { return load_le<std::uint64_t>(field->bytes.data() + 8 * index); };
    const auto agrees = [&](std::size_t index, std::uint64_t expected, std::string_view what) -> Status {
      const std::uint64_t found = value(index);
      if (found == expected || (described() && found == 0)) return {};
      return differs(
          Category::ambig, "ZIP-LOCAL-SIZE",
          "zip64 extra field of the local header has another " + std::string(what) + " than the central directory",
          std::to_string(expected), std::to_string(found), at(position + 4 + 8 * index));
    };
    if (lone_size) {
      return wide_size ? agrees(0, entry_.size_bytes, "size") : agrees(0, entry_.compressed_bytes, "compressed size");
    }
    if (both_sizes) {
      RUSHLIGHT_TRY(agrees(0, entry_.size_bytes, "size"));
      RUSHLIGHT_TRY(agrees(1, entry_.compressed_bytes, "compressed size"));
      if (length == 16) return {};
    }
    const std::size_t index = lone_offset ? 0 : 2;
    const std::uint64_t offset = entry_.header_offset - archive_begin_;
    if (value(index) == offset) return {};
    return differs(Category::ambig, "ZIP-LOCAL-OFFSET",
                   "zip64 extra field of the local header has another offset than the central directory", hex(offset),
                   hex(value(index)), at(position + 4 + 8 * index));
  }

  Status data_range() {
    const std::uint64_t left = boundary_ - record_.data.begin;
    if (entry_.compressed_bytes > left) {
      return failure(Category::ambig, "ZIP-DATA-START",
                     "data start not explained: " + std::to_string(entry_.compressed_bytes) + " bytes from " +
                         hex(record_.data.begin) + " on reach beyond the record, which ends at " + hex(boundary_),
                     at(28));
    }
    record_.data.end = record_.end = record_.data.begin + entry_.compressed_bytes;
    return {};
  }

  // The descriptor says once more where the data ends: torch's silent shifts of the data show here.
  Status descriptor() {
    if (!described()) return {};
    const std::uint64_t left = boundary_ - record_.data.end;
    const std::uint64_t count = std::min<std::uint64_t>(left, Descriptor64::kBytes);
    std::array<std::byte, Descriptor64::kBytes> storage{};
    RUSHLIGHT_TRY(view_.read_into(record_.data.end, std::span(storage).first(static_cast<std::size_t>(count))));
    const ByteSpan bytes = ByteSpan(storage).first(static_cast<std::size_t>(count));
    const bool wide = zip64_ || entry_.size_bytes >= kSaturated32 || entry_.compressed_bytes >= kSaturated32;
    const std::size_t signed_bytes = wide ? Descriptor64::kBytes : Descriptor::kBytes;

    if (has_signature(bytes, Descriptor::kSignature)) {
      if (bytes.size() < signed_bytes) return wrong_width(signed_bytes, bytes.size());
      const Descriptor64 found = wide ? decode<Descriptor64>(bytes) : widened(decode<Descriptor>(bytes));
      if (agrees(found)) {
        record_.end = record_.data.end + signed_bytes;
        return {};
      }
      // The other width, where that would have been right, explains more than a comparison of its fields.
      if (wide && agrees(widened(decode<Descriptor>(bytes)))) return wrong_width(signed_bytes, Descriptor::kBytes);
      if (!wide && bytes.size() == Descriptor64::kBytes && agrees(decode<Descriptor64>(bytes))) {
        return wrong_width(signed_bytes, Descriptor64::kBytes);
      }
      return other_descriptor(found, kSignatureBytes, wide);
    }
    // Some writers leave the signature out (APPNOTE 4.3.9.3). Then nothing but the exact fit tells what this is, and
    // that no signature stands before it: data moved by 4 bytes look just so.
    const std::size_t bare_bytes = signed_bytes - kSignatureBytes;
    std::array<std::byte, kSignatureBytes> before{};
    RUSHLIGHT_TRY(view_.read_into(record_.data.end - kSignatureBytes, before));
    if (left == bare_bytes && !has_signature(before, Descriptor::kSignature)) {
      std::array<std::byte, Descriptor64::kBytes> shifted{};
      std::copy(bytes.begin(), bytes.end(), shifted.begin() + kSignatureBytes);
      const Descriptor64 found = wide ? decode<Descriptor64>(shifted) : widened(decode<Descriptor>(shifted));
      if (!agrees(found)) return other_descriptor(found, 0, wide);
      record_.end = record_.data.end + bare_bytes;
      if (oddities_ != nullptr) {
        oddities_->push_back(finding(Severity::warning, Category::zip, "ZIP-DESCRIPTOR-BARE",
                                     "data descriptor without a signature",
                                     {.offset = record_.data.end, .record = entry_.name}));
      }
      return {};
    }
    return failure(
        Category::ambig, "ZIP-DESCRIPTOR",
        "data start not explained: no data descriptor behind the data, which would end at " + hex(record_.data.end),
        {.offset = record_.data.end, .record = entry_.name});
  }

  static Descriptor64 widened(const Descriptor& narrow) {
    return {.crc = narrow.crc, .compressed_bytes = narrow.compressed_bytes, .size_bytes = narrow.size_bytes};
  }
  [[nodiscard]] bool agrees(const Descriptor64& found) const {
    return found.crc == entry_.crc && found.compressed_bytes == entry_.compressed_bytes &&
           found.size_bytes == entry_.size_bytes;
  }
  [[nodiscard]] Error wrong_width(std::size_t expected, std::size_t found) const {
    return differs(Category::ambig, "ZIP-DESCRIPTOR", "data descriptor has a wrong length", std::to_string(expected),
                   std::to_string(found), {.offset = record_.data.end, .record = entry_.name});
  }
  [[nodiscard]] Error other_descriptor(const Descriptor64& found, std::size_t crc_at, bool wide) const {
    const auto place = [&](std::size_t field) {
      return Place{.offset = record_.data.end + crc_at + field, .record = entry_.name};
    };
    constexpr std::string_view kWhat = "data descriptor has another ";
    if (found.crc != entry_.crc) {
      return differs(Category::ambig, "ZIP-DESCRIPTOR", std::string(kWhat) + "crc-32 than the central directory",
                     hex8(entry_.crc), hex8(found.crc), place(0));
    }
    if (found.compressed_bytes != entry_.compressed_bytes) {
      return differs(Category::ambig, "ZIP-DESCRIPTOR",
                     std::string(kWhat) + "compressed size than the central directory",
                     std::to_string(entry_.compressed_bytes), std::to_string(found.compressed_bytes), place(4));
    }
    return differs(Category::ambig, "ZIP-DESCRIPTOR", std::string(kWhat) + "size than the central directory",
                   std::to_string(entry_.size_bytes), std::to_string(found.size_bytes), place(wide ? 12 : 8));
  }

  // Fields of the central entry that no reader uses. torch, which alone pads, leaves them 0 in every release.
  void writer_fields() const {
    const auto expect_zero = [&](std::uint32_t value, std::string_view what, std::size_t field) {
      if (value == 0) return;
      oddities_->push_back(finding(Severity::note, Category::zip, "ZIP-WRITER",
                                   "central entry's " + std::string(what) + " is " + hex(value) + ", torch writes 0",
                                   {.offset = entry_.directory_offset + field, .record = entry_.name}));
    };
    expect_zero(stored_->made_by, "made-by field", 4);
    expect_zero(stored_->internal_attributes, "internal attributes field", 36);
    expect_zero(stored_->external_attributes, "external attributes field", 38);
  }

  const FileView& view_;
  const Entry& entry_;
  std::uint64_t archive_begin_;
  std::uint64_t boundary_;
  Buffer& scratch_;
  const CentralEntry* stored_ = nullptr;
  std::vector<Finding>* oddities_ = nullptr;
  ByteSpan head_;
  LocalHeader header_;
  LocalRecord record_;
  bool zip64_ = false;
};

}  // namespace

Result<LocalRecord> check_local(const FileView& view, const LocalQuestion& question, Buffer& scratch) {
  return LocalAudit(view, question, scratch).run();
}

Result<LocalRecord> check_local_closely(const FileView& view, const LocalQuestion& question, const CentralEntry& stored,
                                        Buffer& scratch, std::vector<Finding>& oddities) {
  const std::size_t before = oddities.size();
  LocalAudit audit(view, question, scratch);
  audit.look_closely(stored, oddities);
  Result<LocalRecord> record = audit.run();
  if (!record) oddities.resize(before);  // a record that is refused needs no remarks
  return record;
}

}  // namespace rushlight::zip
