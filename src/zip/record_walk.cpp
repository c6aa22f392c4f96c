#include "zip/record_walk.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.hpp"
#include "checksum/crc32.hpp"
#include "zip/records.hpp"
#include "zip/writer.hpp"

namespace rushlight::zip {
namespace {

using namespace std::string_view_literals;
constexpr std::string_view kRecordMark = "PK\3\4"sv;

Result<std::uint32_t> crc_in_pieces(const FileView& view, std::uint64_t offset, std::uint64_t size_bytes,
                                    Buffer& scratch) {
  std::uint32_t crc = 0;
  while (size_bytes > 0) {
    const std::uint64_t piece = std::min(size_bytes, kSearchPieceBytes);
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, view.read(offset, piece, scratch));
    crc = checksum::crc32(bytes, crc);
    offset += piece;
    size_bytes -= piece;
  }
  return crc;
}

}  // namespace

Result<std::uint32_t> RecordWalk::crc_of(std::uint64_t offset, std::uint64_t size_bytes) {
  return crc_in_pieces(view_, offset, size_bytes, scratch_);
}

Result<std::optional<std::string>> RecordWalk::name_at(std::uint64_t offset) {
  if (offset > view_.end() || view_.end() - offset < LocalHeader::kBytes) return std::optional<std::string>();
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan head, view_.read(offset, LocalHeader::kBytes, scratch_));
  if (!has_signature(head, LocalHeader::kSignature)) return std::optional<std::string>();
  const auto header = decode<LocalHeader>(head);
  const std::uint64_t left = view_.end() - offset - LocalHeader::kBytes;
  if (header.name_bytes == 0 || header.name_bytes > limits_.record_name_bytes || header.name_bytes > left) {
    return std::optional<std::string>();
  }
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan name, view_.read(offset + LocalHeader::kBytes, header.name_bytes, scratch_));
  return std::optional(std::string(as_text(name)));
}

Result<bool> RecordWalk::directory_at(std::uint64_t offset) {
  if (offset > view_.end() || view_.end() - offset < kSignatureBytes) return false;
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan head, view_.read(offset, kSignatureBytes, scratch_));
  return has_signature(head, CentralEntry::kSignature);
}

Result<bool> RecordWalk::has_name_at(std::uint64_t header_offset, std::string_view name) {
  const std::uint64_t needed = LocalHeader::kBytes + name.size();
  if (header_offset > view_.end() || view_.end() - header_offset < needed) return false;
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan found, view_.read(header_offset + LocalHeader::kBytes, name.size(), scratch_));
  return as_text(found) == name;
}

Result<RecordWalk::Behind> RecordWalk::behind(std::uint64_t end, std::uint64_t size_bytes) {
  Behind found;
  const std::uint64_t left = view_.end() - end;
  // Signature and checksum prove the data; the sizes behind them may be cut off.
  if (left < kSignatureBytes + sizeof(std::uint32_t)) {
    found.next = view_.end();
    return found;
  }
  std::array<std::byte, Descriptor64::kBytes> bytes{};
  const std::uint64_t count = std::min<std::uint64_t>(left, bytes.size());
  RUSHLIGHT_TRY(view_.read_into(end, std::span(bytes).first(static_cast<std::size_t>(count))));
  const bool is_marked = has_signature(bytes, Descriptor::kSignature);
  found.crc = load_le<std::uint32_t>(bytes.data() + kSignatureBytes);
  const auto narrow = decode<Descriptor>(bytes);
  const auto wide = decode<Descriptor64>(bytes);
  const bool is_narrow = narrow.compressed_bytes == size_bytes && narrow.size_bytes == size_bytes;
  const bool is_wide =
      count >= Descriptor64::kBytes && wide.compressed_bytes == size_bytes && wide.size_bytes == size_bytes;
  if (count < Descriptor::kBytes) {
    found.sound = is_marked;
    found.next = view_.end();
    return found;
  }
  found.sound = is_marked && (is_narrow || is_wide);
  if (is_narrow || is_wide) {
    found.next = end + (is_narrow ? Descriptor::kBytes : Descriptor64::kBytes);
    return found;
  }
  // Its sizes are damaged: what follows says how long it is.
  for (const std::uint64_t next : {end + Descriptor::kBytes, end + Descriptor64::kBytes}) {
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::string> name, name_at(next));
    RUSHLIGHT_TRY_ASSIGN(const bool directory, directory_at(next));
    if (name || directory) {
      found.next = next;
      return found;
    }
  }
  found.next = std::min(end + Descriptor::kBytes, view_.end());
  return found;
}

Status RecordWalk::settle(FoundRecord& record, std::uint32_t stored, bool sound) {
  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t computed, crc_of(record.data_offset, record.size_bytes));
  record.stored_crc = stored;
  if (computed == stored) {
    record.state = FoundRecord::State::whole;
  } else {
    record.state = stored == 0 && sound ? FoundRecord::State::unchecked : FoundRecord::State::damaged;
  }
  return {};
}

Result<FoundRecord> RecordWalk::judge(std::string name, std::uint64_t header_offset, std::uint64_t data_offset,
                                      std::uint64_t size_bytes) {
  FoundRecord record{
      .name = std::move(name), .header_offset = header_offset, .data_offset = data_offset, .size_bytes = size_bytes};
  if (data_offset > view_.end() || size_bytes > view_.end() - data_offset) return record;
  RUSHLIGHT_TRY_ASSIGN(const Behind after, behind(data_offset + size_bytes, size_bytes));
  if (!after.crc) return record;
  RUSHLIGHT_TRY(settle(record, *after.crc, after.sound));
  return record;
}

// The end of the data in front of the first descriptor whose two sizes are the distance to it.
Result<std::optional<std::uint64_t>> RecordWalk::search_end(std::uint64_t data_offset, std::uint64_t most_bytes) {
  std::uint64_t piece_bytes = 256;
  const std::uint64_t left = view_.end() - data_offset;
  const std::uint64_t stop = left <= most_bytes ? view_.end() : data_offset + most_bytes;
  for (std::uint64_t from = data_offset; stop - from >= Descriptor::kBytes;) {
    piece_bytes = std::min({2 * piece_bytes, kSearchPieceBytes, stop - from});
    if (piece_bytes > search_left_) break;
    search_left_ -= piece_bytes;
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan piece, view_.read(from, piece_bytes, scratch_));
    const std::string_view text = as_text(piece);
    for (std::size_t at = text.find(kDescriptorMark); at != std::string_view::npos;
         at = text.find(kDescriptorMark, at + 1)) {
      const ByteSpan rest = piece.subspan(at);
      const std::uint64_t distance = from + at - data_offset;
      if (rest.size() >= Descriptor64::kBytes) {
        const auto wide = decode<Descriptor64>(rest);
        if (wide.compressed_bytes == distance && wide.size_bytes == distance) return std::optional(from + at);
      }
      if (rest.size() < Descriptor::kBytes) continue;
      const auto narrow = decode<Descriptor>(rest);
      if (narrow.compressed_bytes == distance && narrow.size_bytes == distance) return std::optional(from + at);
    }
    if (piece_bytes == stop - from) break;
    from += piece_bytes - (Descriptor64::kBytes - 1);  // a descriptor may straddle two pieces
  }
  return std::optional<std::uint64_t>();
}

Result<std::optional<std::uint64_t>> RecordWalk::search_header(std::uint64_t from, std::uint64_t to) {
  to = std::min(to, view_.end());
  if (from >= to || to - from > search_left_) return std::optional<std::uint64_t>();
  search_left_ -= to - from;
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, view_.read(from, to - from, scratch_));
  const std::size_t at = as_text(bytes).find(kRecordMark);
  return at == std::string_view::npos ? std::optional<std::uint64_t>() : std::optional(from + at);
}

// No checksum covers the length of the extra block: a wrong one could lead to the data of another record, and to a
// checksum that fits. So the block must explain itself: fields that fill it, torch's padding full of 'Z'.
Result<std::optional<std::uint64_t>> RecordWalk::data_begin(const LocalHeader& header, std::string_view name) {
  const std::uint64_t extra = position_ + LocalHeader::kBytes + header.name_bytes;
  if (header.extra_bytes <= view_.end() - extra) {
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan block, view_.read(extra, header.extra_bytes, scratch_));
    ExtraReader fields(block);
    bool sound = true;
    while (const std::optional<ExtraField> field = fields.next()) {
      sound = sound && (field->id != kExtraPadding ||
                        std::ranges::all_of(field->bytes, [](std::byte byte) { return byte == kPaddingFill; }));
    }
    if (sound && fields.at_end()) return std::optional(extra + header.extra_bytes);
  }
  // The name is as long as the header says where torch's padding begins behind it; then only the padding's length is
  // damaged.
  if (view_.end() - extra < sizeof(std::uint16_t)) return std::optional(view_.end() + 1);
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan id, view_.read(extra, sizeof(std::uint16_t), scratch_));
  if (load_le<std::uint16_t>(id.data()) != kExtraPadding) return std::optional<std::uint64_t>();
  const Result<RecordPlace> place = place_record({.name = name}, position_, alignment_);
  return place ? std::optional(place->data_offset) : std::optional<std::uint64_t>();
}

Result<std::optional<FoundRecord>> RecordWalk::next(const SizeOf& size_of) {
  RUSHLIGHT_TRY_ASSIGN(at_directory_, directory_at(position_));
  RUSHLIGHT_TRY_ASSIGN(std::optional<std::string> name, name_at(position_));
  if (at_directory_ || !name) return std::optional<FoundRecord>();
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan head, view_.read(position_, LocalHeader::kBytes, scratch_));
  const auto header = decode<LocalHeader>(head);
  FoundRecord record{.name = *std::move(name), .header_offset = position_};
  RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> begin, data_begin(header, record.name));
  if (!begin) return std::optional<FoundRecord>();
  if (*begin > view_.end()) {
    position_ = view_.end();
    return std::optional(std::move(record));
  }
  record.data_offset = *begin;
  const std::uint64_t left = view_.end() - record.data_offset;
  const bool has_descriptor = (header.flags & kFlagDescriptor) != 0;
  const std::optional<std::uint64_t> known = size_of(record.name);
  bool stated =
      !has_descriptor && header.compressed_bytes == header.size_bytes && (!known || *known == header.size_bytes);
  if (stated && header.size_bytes == 0 && !known) {
    // An empty record, if another one follows at once; otherwise it is the flag that is damaged.
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::string> follows, name_at(record.data_offset));
    RUSHLIGHT_TRY_ASSIGN(const bool directory, directory_at(record.data_offset));
    stated = follows || directory || left == 0;
  }
  if (stated || (known && *known == 0)) {
    // Nothing stands behind the data: an empty record, or one of another zip tool.
    record.size_bytes = stated ? header.size_bytes : 0;
    if (record.size_bytes > left) {
      position_ = view_.end();
      return std::optional(std::move(record));
    }
    position_ = record.data_offset + record.size_bytes;
    RUSHLIGHT_TRY(settle(record, stated ? header.crc : 0, stated));
  } else if (!has_descriptor && !known && header.compressed_bytes != 0) {
    // Compressed: what it holds is not judged here.
    record.state = header.compressed_bytes > left ? FoundRecord::State::cut : FoundRecord::State::damaged;
    position_ = record.state == FoundRecord::State::cut ? view_.end() : record.data_offset + header.compressed_bytes;
  } else if (known) {
    if (*known > left) {
      record.size_bytes = *known;
      position_ = view_.end();
      return std::optional(std::move(record));
    }
    RUSHLIGHT_TRY_ASSIGN(const Behind after, behind(record.data_offset + *known, *known));
    RUSHLIGHT_TRY_ASSIGN(record, judge(std::move(record.name), position_, record.data_offset, *known));
    position_ = after.next;
  } else {
    const bool is_pickle = record.name == "data.pkl" || record.name.ends_with("/data.pkl");
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> end,
                         search_end(record.data_offset, is_pickle ? limits_.pickle_bytes : left));
    if (!end) return std::optional<FoundRecord>();
    record.size_bytes = *end - record.data_offset;
    RUSHLIGHT_TRY_ASSIGN(const Behind after, behind(*end, record.size_bytes));
    RUSHLIGHT_TRY_ASSIGN(record, judge(std::move(record.name), position_, record.data_offset, record.size_bytes));
    position_ = after.next;
  }
  // A checksum of compressed bytes is no record's: where it fits, it is the method that is damaged.
  if (header.method != 0 && record.state == FoundRecord::State::unchecked) record.state = FoundRecord::State::damaged;
  return std::optional(std::move(record));
}

Result<std::optional<Extent>> find_by_checksum(const Archive& archive, const Entry& entry, std::uint64_t alignment,
                                               bool named) {
  const Source& source = *archive.source();
  const FileView view(source, 0, source.size_bytes());
  Buffer scratch;
  if (entry.method != Method::stored || entry.size_bytes != entry.compressed_bytes) return std::optional<Extent>();
  if (entry.crc == 0 && entry.size_bytes > 0) return std::optional<Extent>();
  std::array<std::optional<std::uint64_t>, 2> places;
  if (entry.header_offset <= view.end() && view.end() - entry.header_offset >= LocalHeader::kBytes) {
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan head, view.read(entry.header_offset, LocalHeader::kBytes, scratch));
    const auto header = decode<LocalHeader>(head);
    const std::uint64_t name_at = entry.header_offset + LocalHeader::kBytes;
    if (entry.name.size() > view.end() - name_at) return std::optional<Extent>();
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan name, view.read(name_at, entry.name.size(), scratch));
    if (named && as_text(name) != entry.name) return std::optional<Extent>();
    places[0] = entry.header_offset + LocalHeader::kBytes + header.name_bytes + header.extra_bytes;
  }
  const RecordSpec spec{.name = entry.name, .size_bytes = entry.size_bytes};
  if (const Result<RecordPlace> place = place_record(spec, entry.header_offset, alignment)) {
    places[1] = place->data_offset;
  }
  for (const std::optional<std::uint64_t>& at : places) {
    if (!at || *at > view.end() || entry.size_bytes > view.end() - *at) continue;
    RUSHLIGHT_TRY_ASSIGN(const std::uint32_t crc, crc_in_pieces(view, *at, entry.size_bytes, scratch));
    if (crc == entry.crc) return std::optional(Extent{*at, *at + entry.size_bytes});
  }
  return std::optional<Extent>();
}

}  // namespace rushlight::zip
