#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checksum/crc32.hpp"
#include "interchange/npy_layout.hpp"
#include "interchange/npz.hpp"
#include "interchange/tensor_output.hpp"
#include "interchange/write_checked.hpp"
#include "zip/deflate.hpp"
#include "zip/names.hpp"
#include "zip/records.hpp"

namespace rushlight::interchange {
namespace {

// rushlight:: stands before quoted(), since <filesystem> brings std::quoted along, which look-up would prefer.

// What Python's zipfile writes, which NumPy leaves to it.
constexpr std::uint16_t kVersion = 45;          // zip64: NumPy asks for it whatever the size
constexpr std::uint16_t kMadeBy = 3 << 8 | 45;  // Unix
constexpr std::uint16_t kFirstOfJanuary1980 = 0x21;
constexpr std::uint32_t kAttributes = 0600U << 16;
constexpr std::uint64_t kMostPlain = 0x7FFFFFFF;  // beyond it sizes and offsets stand in their zip64 twins
constexpr std::uint16_t kStored = 0;
constexpr std::uint16_t kDeflated = 8;
constexpr std::size_t kMostNameBytes = 0xFFFF;
constexpr std::uint64_t kMostFileBytes = std::numeric_limits<std::int64_t>::max();

// Arrays that are deflated at the same time.
constexpr std::uint64_t kRoundBytes = std::uint64_t{64} << 20;

struct Member {
  const NamedTensor* named = nullptr;
  std::string record;
  NpyArray array;
  std::uint16_t method = kStored;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::uint32_t crc = 0;
  std::uint64_t header_offset = 0;

  [[nodiscard]] std::uint16_t flags() const noexcept {
    const bool is_ascii =
        std::all_of(record.begin(), record.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
    return is_ascii ? 0 : zip::kFlagUtf8;
  }
};

Result<Member> plan(const NamedTensor& named, NameSet& names) {
  const auto bad_name = [&](Category category, const char* code, std::string what) {
    return of_tensor(Error::of({.category = category, .code = code, .message = std::move(what)}), named.name);
  };
  Member member;
  member.named = &named;
  member.record = named.name + ".npy";
  if (!is_valid_utf8(named.name)) return bad_name(Category::unsup, "NPZ-NAME", "its name is no UTF-8");
  const zip::NameFault fault = zip::name_fault(member.record);
  if (fault.what != nullptr) {
    return bad_name(Category::unsup, "NPZ-NAME", std::string("its name as a record of an archive ") + fault.what);
  }
  if (member.record.size() > kMostNameBytes) {
    return bad_name(Category::unsup, "NPZ-NAME", "its name is longer than the 65535 bytes of an archive's names");
  }
  std::string folded;
  zip::fold_name(member.record, folded);
  if (!names.insert(folded)) {
    return bad_name(Category::ambig, "NPZ-DUPLICATE",
                    "its name stands twice, or differs from another only in what some readers of archives ignore");
  }
  Result<NpyArray> array = lay_out_npy(named.tensor);
  if (!array) return of_tensor(std::move(array).error(), named.name);
  member.array = *std::move(array);
  member.size_bytes = member.array.header.size() + named.tensor.size_bytes();
  member.stored_bytes = member.size_bytes;
  return member;
}

// Two 64-bit sizes and perhaps an offset (APPNOTE 4.5.3).
std::vector<std::byte> zip64_field(std::initializer_list<std::uint64_t> values) {
  std::vector<std::byte> field(4 + 8 * values.size());
  store_le(field.data(), zip::kExtraZip64);
  store_le(field.data() + 2, static_cast<std::uint16_t>(8 * values.size()));
  std::size_t at = 4;
  for (const std::uint64_t value : values) {
    store_le(field.data() + at, value);
    at += 8;
  }
  return field;
}

std::vector<std::byte> local_header(const Member& member) {
  const std::vector<std::byte> extra = zip64_field({member.size_bytes, member.stored_bytes});
  const zip::LocalHeader header = {.version_needed = kVersion,
                                   .flags = member.flags(),
                                   .method = member.method,
                                   .date = kFirstOfJanuary1980,
                                   .crc = member.crc,
                                   .compressed_bytes = zip::kSaturated32,
                                   .size_bytes = zip::kSaturated32,
                                   .name_bytes = static_cast<std::uint16_t>(member.record.size()),
                                   .extra_bytes = static_cast<std::uint16_t>(extra.size())};
  std::vector<std::byte> bytes;
  zip::append_bytes(bytes, zip::encode(header));
  zip::append_bytes(bytes, as_byte_span(member.record));
  zip::append_bytes(bytes, extra);
  return bytes;
}

std::vector<std::byte> central_entry(const Member& member) {
  const bool is_large = member.size_bytes > kMostPlain || member.stored_bytes > kMostPlain;
  const bool is_far = member.header_offset > kMostPlain;
  std::vector<std::byte> extra;
  if (is_large && is_far) {
    extra = zip64_field({member.size_bytes, member.stored_bytes, member.header_offset});
  } else if (is_large) {
    extra = zip64_field({member.size_bytes, member.stored_bytes});
  } else if (is_far) {
    extra = zip64_field({member.header_offset});
  }
  const auto plain = [](bool saturated, std::uint64_t value) {
    return saturated ? zip::kSaturated32 : static_cast<std::uint32_t>(value);
  };
  const zip::CentralEntry entry = {.made_by = kMadeBy,
                                   .version_needed = kVersion,
                                   .flags = member.flags(),
                                   .method = member.method,
                                   .date = kFirstOfJanuary1980,
                                   .crc = member.crc,
                                   .compressed_bytes = plain(is_large, member.stored_bytes),
                                   .size_bytes = plain(is_large, member.size_bytes),
                                   .name_bytes = static_cast<std::uint16_t>(member.record.size()),
                                   .extra_bytes = static_cast<std::uint16_t>(extra.size()),
                                   .external_attributes = kAttributes,
                                   .header_offset = plain(is_far, member.header_offset)};
  std::vector<std::byte> bytes;
  zip::append_bytes(bytes, zip::encode(entry));
  zip::append_bytes(bytes, as_byte_span(member.record));
  zip::append_bytes(bytes, extra);
  return bytes;
}

// Behind a directory that lies in [begin, end).
std::vector<std::byte> end_records(std::size_t members, std::uint64_t begin, std::uint64_t end) {
  std::vector<std::byte> bytes;
  if (members >= zip::kSaturated16 || begin > kMostPlain || end - begin > kMostPlain) {
    zip::End64Record wide;
    wide.made_by = wide.version_needed = kVersion;
    wide.entries_on_disk = wide.entries = members;
    wide.directory_bytes = end - begin;
    wide.directory_offset = begin;
    zip::append_bytes(bytes, zip::encode(wide));
    zip::append_bytes(bytes, zip::encode(zip::End64Locator{.end64_offset = end}));
  }
  zip::EndRecord record;
  record.entries_on_disk = record.entries =
      static_cast<std::uint16_t>(std::min<std::uint64_t>(members, zip::kSaturated16));
  record.directory_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(end - begin, zip::kSaturated32));
  record.directory_offset = static_cast<std::uint32_t>(std::min<std::uint64_t>(begin, zip::kSaturated32));
  zip::append_bytes(bytes, zip::encode(record));
  return bytes;
}

// The whole file but for the elements.
struct NpzLayout {
  std::vector<Member> members;
  std::uint64_t elements_bytes = 0;
};

Result<NpzLayout> lay_out(std::span<const NamedTensor> tensors) {
  NpzLayout layout;
  layout.members.reserve(tensors.size());
  NameSet names;
  for (const NamedTensor& named : tensors) {
    RUSHLIGHT_TRY_ASSIGN(Member member, plan(named, names));
    layout.members.push_back(std::move(member));
  }
  RUSHLIGHT_TRY_ASSIGN(layout.elements_bytes, bytes_to_write(tensors));
  return layout;
}

// Of the whole file, when every array is stored as it is.
std::uint64_t stored_size_bytes(NpzLayout& layout) {
  if (layout.elements_bytes > kMostFileBytes) return layout.elements_bytes;
  std::uint64_t offset = 0;
  for (Member& member : layout.members) {
    member.header_offset = offset;
    offset += local_header(member).size() + member.size_bytes;
  }
  const std::uint64_t directory = offset;
  for (const Member& member : layout.members) offset += central_entry(member).size();
  return offset + end_records(layout.members.size(), directory, offset).size();
}

class Writer {
 public:
  Writer(Sink& sink, const NpzOptions& options, std::uint64_t total)
      : output_(sink, options.progress, total), executor_(options.executor) {}

  Status write_stored(Member& member) {
    RUSHLIGHT_TRY_ASSIGN(ElementStream elements, open(member));
    // The Sink cannot go back to a header that lacks its CRC.
    member.crc = checksum::crc32(as_byte_span(member.array.header));
    const std::uint64_t elements_bytes = member.named->tensor.size_bytes();
    if (elements.whole()) {
      const std::uint32_t crc = checksum::crc32_parallel(*elements.whole(), executor_);
      member.crc = checksum::crc32_combine(member.crc, crc, elements_bytes);
      RUSHLIGHT_TRY(output_.advance(elements_bytes));
    } else {
      RUSHLIGHT_TRY_ASSIGN(ElementStream once, open(member));
      for (ByteSpan piece = once.next(); !piece.empty(); piece = once.next()) {
        member.crc = checksum::crc32(piece, member.crc);
        RUSHLIGHT_TRY(output_.advance(piece.size()));
      }
    }
    RUSHLIGHT_TRY(write_header(member));
    RUSHLIGHT_TRY(output_.write(as_byte_span(member.array.header)));
    return output_.write_elements(std::move(elements));
  }

  // As many as make a round; gives how many.
  Result<std::size_t> write_deflated(std::span<Member> members) {
    std::size_t count = 0;
    for (std::uint64_t bytes = 0; count < members.size() && (count == 0 || bytes < kRoundBytes); ++count) {
      bytes += members[count].size_bytes;
    }
    std::vector<zip::Buffer> data(count);
    std::vector<Status> statuses(count);
    const auto deflate_one = [&](std::size_t i) { statuses[i] = deflate(members[i], data[i]); };
    if (executor_ != nullptr && count > 1) {
      for_each_index(*executor_, count, deflate_one);
    } else {
      for (std::size_t i = 0; i < count; ++i) deflate_one(i);
    }
    for (std::size_t i = 0; i < count; ++i) {
      RUSHLIGHT_TRY(statuses[i]);
      RUSHLIGHT_TRY(write_header(members[i]));
      RUSHLIGHT_TRY(output_.write(data[i].span()));
      RUSHLIGHT_TRY(output_.advance(members[i].named->tensor.size_bytes()));
    }
    return count;
  }

  Status write_directory(std::span<const Member> members) {
    const std::uint64_t begin = output_.offset();
    for (const Member& member : members) RUSHLIGHT_TRY(output_.write(central_entry(member)));
    return output_.write(end_records(members.size(), begin, output_.offset()));
  }

 private:
  static Result<ElementStream> open(const Member& member) {
    Result<ElementStream> elements = elements_of(member.array.elements);
    if (!elements) return of_tensor(std::move(elements).error(), member.named->name);
    return elements;
  }

  static Status deflate(Member& member, zip::Buffer& out) {
    RUSHLIGHT_TRY_ASSIGN(ElementStream elements, open(member));
    zip::Buffer whole;
    RUSHLIGHT_TRY(whole.resize(member.size_bytes, "an array to be deflated"));
    std::memcpy(whole.data(), member.array.header.data(), member.array.header.size());
    std::size_t at = member.array.header.size();
    for (ByteSpan piece = elements.next(); !piece.empty(); piece = elements.next()) {
      std::memcpy(whole.data() + at, piece.data(), piece.size());
      at += piece.size();
    }
    member.crc = checksum::crc32(whole.span());
    RUSHLIGHT_TRY(zip::deflate(whole.span(), out));
    // What does not shrink is stored.
    if (out.size() >= whole.size()) {
      std::swap(out, whole);
    } else {
      member.method = kDeflated;
    }
    member.stored_bytes = out.size();
    return {};
  }

  Status write_header(Member& member) {
    member.header_offset = output_.offset();
    return output_.write(local_header(member));
  }

  TensorOutput output_;
  Executor* executor_;
};

Status write_layout(NpzLayout& layout, Sink& sink, const NpzOptions& options) {
  Writer writer(sink, options, options.compressed ? layout.elements_bytes : 2 * layout.elements_bytes);
  const std::span<Member> members = layout.members;
  if (options.compressed) {
    for (std::size_t begin = 0; begin < members.size();) {
      RUSHLIGHT_TRY_ASSIGN(const std::size_t count, writer.write_deflated(members.subspan(begin)));
      begin += count;
    }
  } else {
    for (Member& member : members) RUSHLIGHT_TRY(writer.write_stored(member));
  }
  return writer.write_directory(members);
}

}  // namespace

Status write_npz(std::span<const NamedTensor> tensors, Sink& sink, const NpzOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(NpzLayout layout, lay_out(tensors));
  return write_layout(layout, sink, options);
}

Result<std::uint64_t> write_npz_checked(const StateDict& tensors, const std::filesystem::path& path,
                                        const NpzOptions& options, const io::AtomicFile::Check& check) {
  const std::vector<NamedTensor> items = items_of(tensors);
  RUSHLIGHT_TRY_ASSIGN(NpzLayout layout, lay_out(items));
  // How far arrays shrink is known when they are deflated.
  return write_file(
      path, options.compressed ? 0 : stored_size_bytes(layout), {.overwrite = options.overwrite},
      [&](Sink& sink) { return write_layout(layout, sink, options); }, check);
}

}  // namespace rushlight::interchange

namespace rushlight {

Status write_npz(const StateDict& tensors, Sink& sink, const NpzOptions& options) {
  return or_no_memory(
      [&]() -> Status { return interchange::write_npz(interchange::items_of(tensors), sink, options); });
}

Status write_npz(const StateDict& tensors, const std::filesystem::path& path, const NpzOptions& options) {
  return or_no_memory([&]() -> Status {
    RUSHLIGHT_TRY(interchange::write_npz_checked(tensors, path, options));
    return {};
  });
}

}  // namespace rushlight
