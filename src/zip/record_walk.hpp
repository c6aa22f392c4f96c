// The records of an archive whose central directory is lost, one behind the other from the front (format-spec/02-zip,
// "Without a directory"). A local header of torch says neither size nor checksum: both stand behind the data.
//
// A record counts where the one before it ended, and nowhere else: what looks like a header inside the data of a
// damaged record is none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "zip/archive.hpp"
#include "zip/file_view.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {

struct FoundRecord {
  enum class State : std::uint8_t {
    whole,      // the checksum fits, and is not 0 unless it must be
    unchecked,  // the stored checksum is 0, and the computed one is not
    damaged,    // the checksum does not fit, or is damaged
    cut,        // the file ends in it
  };
  std::string name;  // in full, as stored
  std::uint64_t header_offset = 0;
  std::uint64_t data_offset = 0;
  std::uint64_t size_bytes = 0;  // 0 where it is not known
  State state = State::cut;
  std::optional<std::uint32_t> stored_crc{};
};

class RecordWalk {
 public:
  // The size of a record, where the pickle tells it: its end then needs no search.
  using SizeOf = std::function<std::optional<std::uint64_t>(std::string_view name)>;

  // `source` must outlive the walk.
  RecordWalk(const Source& source, const Limits& limits)
      : view_(source, 0, source.size_bytes()), limits_(limits), search_left_(4 * view_.end() + kSearchPieceBytes) {}

  // The next record; nullopt where none is certain: at the central directory (at_directory()), at the end of the file,
  // where no sound header stands, or where nothing tells where the record ends. Errors are those of the source.
  Result<std::optional<FoundRecord>> next(const SizeOf& size_of);

  // Where the next record is expected.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] bool at_directory() const noexcept { return at_directory_; }
  [[nodiscard]] std::uint64_t end() const noexcept { return view_.end(); }
  // Where torch would put the data of a record, for headers whose own word is damaged; 64 unless said otherwise.
  void set_alignment(std::uint64_t alignment) noexcept { alignment_ = alignment; }
  // Past damage, for whoever knows what stood there.
  void go_on_at(std::uint64_t position) noexcept { position_ = position; }

  // The name in a sound local header at `offset`; nullopt where there is none.
  Result<std::optional<std::string>> name_at(std::uint64_t offset);
  // The first signature of a local header that begins in [from, to); for short ranges.
  Result<std::optional<std::uint64_t>> search_header(std::uint64_t from, std::uint64_t to);
  // Whether the central directory begins at `offset`.
  Result<bool> directory_at(std::uint64_t offset);
  // The same for a header that is damaged, whose name still stands where it should.
  Result<bool> has_name_at(std::uint64_t header_offset, std::string_view name);
  // A stored record of known place and size, judged by what stands behind its data. The walk stays where it is.
  Result<FoundRecord> judge(std::string name, std::uint64_t header_offset, std::uint64_t data_offset,
                            std::uint64_t size_bytes);

 private:
  // Where the data begin behind a header at position_; nullopt where that is not certain.
  Result<std::optional<std::uint64_t>> data_begin(const LocalHeader& header, std::string_view name);

  // A descriptor, as far as it is there.
  struct Behind {
    std::optional<std::uint32_t> crc;
    bool sound = false;      // signature and both sizes are right
    std::uint64_t next = 0;  // one past it
  };
  Result<Behind> behind(std::uint64_t end, std::uint64_t size_bytes);
  Result<std::optional<std::uint64_t>> search_end(std::uint64_t data_offset, std::uint64_t most_bytes);
  Result<std::uint32_t> crc_of(std::uint64_t offset, std::uint64_t size_bytes);
  Status settle(FoundRecord& record, std::uint32_t stored, bool sound);

  FileView view_;
  Limits limits_;
  std::uint64_t position_ = 0;
  std::uint64_t alignment_ = 64;
  std::uint64_t search_left_;  // bytes that searches may still look at: hostile files ask for many
  bool at_directory_ = false;
  Buffer scratch_;
};

// Where the data of a record lie, whose central entry is right and whose local header or descriptor is damaged: where
// the header says or where torch's arithmetic puts them, if the CRC-32 of the entry fits there. Stored records only.
// `named`: the header must still have the entry's name, lest it is the entry's that is damaged.
Result<std::optional<Extent>> find_by_checksum(const Archive& archive, const Entry& entry, std::uint64_t alignment,
                                               bool named);

}  // namespace rushlight::zip
