// An archive that ends before its central directory: how far did it get? Torch's local headers carry no sizes, so the
// end of a record is found by its data descriptor, whose size field must equal the distance to it. This serves a
// message and nothing else: no record is ever read by what is found here.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "zip/end_records.hpp"
#include "zip/failure.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {
namespace {

using namespace std::string_view_literals;
// How much of a file is searched for descriptors before the message does without.
constexpr std::uint64_t kSearchBytes = std::uint64_t{64} << 20;

class Walk {
 public:
  explicit Walk(const FileView& view) : view_(view), position_(view.begin()) {}

  // As far as whole records reach. An error is an i/o error.
  Status run() {
    for (;;) {
      RUSHLIGHT_TRY_ASSIGN(const bool more, step());
      if (!more) return {};
    }
  }

  [[nodiscard]] Error verdict() const {
    const std::uint64_t size_bytes = view_.end() - view_.begin();
    std::string message;
    if (directory_entries_) {
      message = "end record missing: the file ends after " + count_text(size_bytes, "byte") + ", " +
                (after_directory_ ? "behind" : "in") + " the central directory, all " + count_text(records_, "record") +
                " before it " + (records_ == 1 ? "is" : "are") + " complete";
    } else {
      message = "central directory missing: the file ends after " + count_text(size_bytes, "byte");
      if (!gave_up_) {
        if (!current_.empty()) message += ", in record " + quoted(std::string_view(current_));
        message += records_ == 0 ? ", no record is complete"
                                 : ", the last complete record is " + quoted(std::string_view(last_)) + " (" +
                                       count_text(records_, "record") + " in all)";
      }
    }
    Error error = failure(Category::trunc, "ZIP-TRUNCATED", std::move(message), {.offset = view_.end()});
    error.finding.hint = kCutShortHint;
    return error;
  }

 private:
  [[nodiscard]] std::uint64_t left() const { return view_.end() - position_; }

  // One structure; false where the walk ends.
  Result<bool> step() {
    current_.clear();
    const std::uint64_t head_bytes = std::min<std::uint64_t>(left(), CentralEntry::kBytes);
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan head, view_.read(position_, head_bytes, scratch_));
    if (has_signature(head, LocalHeader::kSignature)) {
      if (directory_entries_) return false;
      if (head.size() < LocalHeader::kBytes) return false;
      return record(decode<LocalHeader>(head));
    }
    if (has_signature(head, CentralEntry::kSignature)) {
      directory_entries_ = directory_entries_.value_or(0);
      if (head.size() < CentralEntry::kBytes) return false;
      const auto entry = decode<CentralEntry>(head);
      const std::uint64_t entry_bytes =
          CentralEntry::kBytes + std::uint64_t{entry.name_bytes} + entry.extra_bytes + entry.comment_bytes;
      if (entry_bytes > left()) return false;
      *directory_entries_ += 1;
      position_ += entry_bytes;
      return true;
    }
    after_directory_ = directory_entries_.has_value() && *directory_entries_ == records_;
    return false;
  }

  Result<bool> record(const LocalHeader& header) {
    const std::uint64_t name_end = LocalHeader::kBytes + std::uint64_t{header.name_bytes};
    if (name_end > left()) return false;
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan name, view_.read(position_ + LocalHeader::kBytes, header.name_bytes, scratch_));
    current_ = as_text(name);
    const std::uint64_t head_bytes = LocalHeader::kBytes + std::uint64_t{header.name_bytes} + header.extra_bytes;
    if (head_bytes > left()) return false;
    const std::uint64_t data = position_ + head_bytes;
    std::uint64_t end = data;
    if ((header.flags & kFlagDescriptor) != 0 && header.compressed_bytes == 0) {
      RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> found, descriptor_end(data, header.method == 0));
      if (!found) return false;
      end = *found;
    } else if (header.compressed_bytes > view_.end() - data) {
      return false;
    } else {
      end = data + header.compressed_bytes;
    }
    records_ += 1;
    last_ = std::exchange(current_, {});
    position_ = end;
    return true;
  }

  // The end of the first descriptor behind `data` whose size is its distance (both sizes, where the data are stored:
  // the beginning of a wide descriptor is no narrow one).
  Result<std::optional<std::uint64_t>> descriptor_end(std::uint64_t data, bool stored) {
    std::uint64_t piece_bytes = 4096;  // doubled each time: most records are small
    for (std::uint64_t from = data; view_.end() - from >= Descriptor::kBytes;) {
      piece_bytes = std::min({2 * piece_bytes, kSearchPieceBytes, view_.end() - from});
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan piece, view_.read(from, piece_bytes, scratch_));
      for (std::size_t at = as_text(piece).find(kDescriptorMark); at != std::string_view::npos;
           at = as_text(piece).find(kDescriptorMark, at + 1)) {
        const ByteSpan rest = piece.subspan(at);
        const std::uint64_t distance = from + at - data;
        if (rest.size() >= Descriptor64::kBytes && decode<Descriptor64>(rest).compressed_bytes == distance) {
          return std::optional(from + at + Descriptor64::kBytes);
        }
        if (rest.size() < Descriptor::kBytes) continue;
        const auto narrow = decode<Descriptor>(rest);
        if (narrow.compressed_bytes == distance && (!stored || narrow.size_bytes == distance)) {
          return std::optional(from + at + Descriptor::kBytes);
        }
      }
      searched_ += piece_bytes;
      if (searched_ > kSearchBytes) {
        gave_up_ = true;
        break;
      }
      if (piece_bytes == view_.end() - from) break;
      from += piece_bytes - (Descriptor64::kBytes - 1);  // a descriptor may straddle two pieces
    }
    return std::optional<std::uint64_t>();
  }

  FileView view_;
  std::uint64_t position_;
  std::uint64_t records_ = 0;
  std::uint64_t searched_ = 0;
  std::optional<std::uint64_t> directory_entries_;
  std::string last_;     // the last complete record
  std::string current_;  // the one the walk stopped in
  bool after_directory_ = false;
  bool gave_up_ = false;
  Buffer scratch_;
};

}  // namespace

Error truncated_archive(const FileView& view) {
  Walk walk(view);
  if (Status walked = walk.run(); !walked) return std::move(walked).error();
  return walk.verdict();
}

}  // namespace rushlight::zip
