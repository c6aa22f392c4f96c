#include "zip/rebuilt_directory.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "zip/file_view.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {
namespace {

// The first bytes of a source, and others behind them.
class RejoinedSource final : public Source {
 public:
  RejoinedSource(std::shared_ptr<const Source> source, std::uint64_t kept_bytes, std::vector<std::byte> tail) noexcept
      : source_(std::move(source)), kept_bytes_(kept_bytes), tail_(std::move(tail)) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return kept_bytes_ + tail_.size(); }
  [[nodiscard]] std::string_view name() const noexcept override { return source_->name(); }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_bytes() || out.size() > size_bytes() - offset) {
      return Error::of({.category = Category::argument, .code = "ARG-RANGE", .message = "read beyond the end"});
    }
    const std::uint64_t in_file = offset < kept_bytes_ ? std::min<std::uint64_t>(out.size(), kept_bytes_ - offset) : 0;
    if (in_file > 0) RUSHLIGHT_TRY(source_->read_at(offset, out.first(static_cast<std::size_t>(in_file))));
    out = out.subspan(static_cast<std::size_t>(in_file));
    if (!out.empty()) std::memcpy(out.data(), tail_.data() + (offset + in_file - kept_bytes_), out.size());
    return {};
  }

 private:
  std::shared_ptr<const Source> source_;
  std::uint64_t kept_bytes_;
  std::vector<std::byte> tail_;
};

struct Sizes {
  std::uint64_t size_bytes = 0;
  std::uint64_t compressed_bytes = 0;
};

// As the header and its zip64 field say (APPNOTE 4.5.3); nullopt where they do not.
std::optional<Sizes> stated_sizes(const LocalHeader& header, ByteSpan extra) {
  if ((header.flags & (kFlagDescriptor | kFlagEncrypted)) != 0) return std::nullopt;
  Sizes sizes{header.size_bytes, header.compressed_bytes};
  if (header.size_bytes != kSaturated32 && header.compressed_bytes != kSaturated32) return sizes;
  ExtraReader fields(extra);
  while (const std::optional<ExtraField> field = fields.next()) {
    if (field->id != kExtraZip64) continue;
    ByteReader numbers(field->bytes);
    const auto size = numbers.read<std::uint64_t>();
    const auto compressed = numbers.read<std::uint64_t>();
    if (!size || !compressed) return std::nullopt;
    return Sizes{*size, *compressed};
  }
  return std::nullopt;
}

void append_entry(std::vector<std::byte>& directory, const LocalHeader& header, std::string_view name,
                  const Sizes& sizes, std::uint64_t header_offset) {
  // All of them in the zip64 field: any reader takes them from there.
  constexpr std::uint16_t kZip64Bytes = 4 + 3 * 8;
  CentralEntry entry;
  entry.version_needed = entry.made_by = std::max<std::uint16_t>(header.version_needed, 45);
  entry.flags = header.flags;
  entry.method = header.method;
  entry.time = header.time;
  entry.date = header.date;
  entry.crc = header.crc;
  entry.compressed_bytes = entry.size_bytes = entry.header_offset = kSaturated32;
  entry.name_bytes = header.name_bytes;
  entry.extra_bytes = kZip64Bytes;
  append_bytes(directory, encode(entry));
  append_bytes(directory, as_byte_span(name));
  append_number(directory, kExtraZip64);
  append_number(directory, static_cast<std::uint16_t>(kZip64Bytes - 4));
  append_number(directory, sizes.size_bytes);
  append_number(directory, sizes.compressed_bytes);
  append_number(directory, header_offset);
}

void append_end(std::vector<std::byte>& directory, std::uint64_t offset, std::uint64_t entries) {
  const std::uint64_t directory_bytes = directory.size();
  End64Record end64;
  end64.made_by = end64.version_needed = 45;
  end64.entries = end64.entries_on_disk = entries;
  end64.directory_bytes = directory_bytes;
  end64.directory_offset = offset;
  append_bytes(directory, encode(end64));
  append_bytes(directory, encode(End64Locator{.end64_offset = offset + directory_bytes}));
  EndRecord end;
  end.entries = end.entries_on_disk = kSaturated16;
  end.directory_bytes = end.directory_offset = kSaturated32;
  append_bytes(directory, encode(end));
}

}  // namespace

Result<std::optional<RebuiltArchive>> rebuild_directory(std::shared_ptr<const Source> source, const Limits& limits,
                                                        const std::set<std::string, std::less<>>& without) {
  const FileView view(*source, 0, source->size_bytes());
  Buffer scratch;
  RebuiltArchive rebuilt;
  std::vector<std::byte> directory;
  std::uint64_t at = 0;
  while (view.end() - at >= kSignatureBytes && rebuilt.names.size() < limits.archive_entries) {
    const std::uint64_t left = view.end() - at;
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan head,
                         view.read(at, std::min<std::uint64_t>(left, LocalHeader::kBytes), scratch));
    rebuilt.at_directory = has_signature(head, CentralEntry::kSignature);
    if (!has_signature(head, LocalHeader::kSignature) || left < LocalHeader::kBytes) break;
    const auto header = decode<LocalHeader>(head);
    const std::uint64_t begin = LocalHeader::kBytes + std::uint64_t{header.name_bytes} + header.extra_bytes;
    if (header.name_bytes == 0 || header.name_bytes > limits.record_name_bytes || begin > left) break;
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan words,
                         view.read(at + LocalHeader::kBytes, begin - LocalHeader::kBytes, scratch));
    const std::optional<Sizes> sizes = stated_sizes(header, words.subspan(header.name_bytes));
    std::string name(as_text(words.first(header.name_bytes)));
    if (!sizes || sizes->compressed_bytes > left - begin) {
      rebuilt.cut_name = std::move(name);
      break;
    }
    if (!without.contains(name)) {
      append_entry(directory, header, name, *sizes, at);
      rebuilt.names.push_back(std::move(name));
    }
    if (directory.size() > limits.central_directory_bytes) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-DIRECTORY",
                        .message = "the directory would be larger than the limit central_directory_bytes, expected at "
                                   "most " +
                                   std::to_string(limits.central_directory_bytes),
                        .expected = std::to_string(limits.central_directory_bytes)});
    }
    at += begin + sizes->compressed_bytes;
  }
  if (rebuilt.names.empty()) return std::optional<RebuiltArchive>();
  append_end(directory, at, rebuilt.names.size());
  rebuilt.source = std::make_shared<RejoinedSource>(std::move(source), at, std::move(directory));
  return std::optional(std::move(rebuilt));
}

}  // namespace rushlight::zip
