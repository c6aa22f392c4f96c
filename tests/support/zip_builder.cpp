#include "support/zip_builder.hpp"

#include <fcntl.h>
#include <libdeflate.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace rushlight::test {
namespace {

using zip::CentralEntry;
using zip::Descriptor;
using zip::Descriptor64;
using zip::LocalHeader;

constexpr std::uint64_t kLimit32 = 0xFFFFFFFF;  // from here on a value needs its zip64 twin

const std::array<std::uint32_t, 256>& crc_table() {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320u : 0);
      made[i] = value;
    }
    return made;
  }();
  return table;
}

// The CRC register after `count` zero bytes: one zero byte is a linear map, applied by repeated squaring.
std::uint32_t crc_register_after_zeros(std::uint32_t state, std::uint64_t count) {
  using Matrix = std::array<std::uint32_t, 32>;
  const auto apply = [](const Matrix& matrix, std::uint32_t vector) {
    std::uint32_t sum = 0;
    for (std::size_t bit = 0; bit < 32; ++bit) {
      if ((vector >> bit & 1) != 0) sum ^= matrix[bit];
    }
    return sum;
  };
  Matrix power{};
  for (std::size_t bit = 0; bit < 32; ++bit) {
    const std::uint32_t one = 1u << bit;
    power[bit] = crc_table()[one & 0xFF] ^ (one >> 8);
  }
  for (; count != 0; count >>= 1) {
    if ((count & 1) != 0) state = apply(power, state);
    Matrix squared{};
    for (std::size_t bit = 0; bit < 32; ++bit) squared[bit] = apply(power, power[bit]);
    power = squared;
  }
  return state;
}

std::uint32_t crc_of_zeros(std::uint64_t count) {
  return ~crc_register_after_zeros(0xFFFFFFFF, count);
}

template <std::integral T>
void append(Bytes& out, T value) {
  out.resize(out.size() + sizeof(T));
  store_le(out.data() + out.size() - sizeof(T), value);
}

std::uint32_t narrowed(std::uint64_t value) {
  return value >= kLimit32 ? zip::kSaturated32 : static_cast<std::uint32_t>(value);
}

}  // namespace

Bytes to_bytes(std::string_view text) {
  const ByteSpan span = as_byte_span(text);
  return {span.begin(), span.end()};
}

Bytes repeated(std::size_t count, std::uint8_t value) {
  return Bytes(count, std::byte{value});
}

std::uint32_t plain_crc32(ByteSpan bytes, std::uint32_t crc) {
  std::uint32_t state = ~crc;
  for (const std::byte byte : bytes)
    state = crc_table()[(state ^ std::to_integer<std::uint32_t>(byte)) & 0xFF] ^ (state >> 8);
  return ~state;
}

Bytes deflated(ByteSpan bytes, int level) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(level);
  if (compressor == nullptr) std::abort();
  Bytes out(libdeflate_deflate_compress_bound(compressor, bytes.size()));
  out.resize(libdeflate_deflate_compress(compressor, bytes.data(), bytes.size(), out.data(), out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

Bytes extra_field(std::uint16_t id, ByteSpan content) {
  Bytes out;
  append(out, id);
  append(out, static_cast<std::uint16_t>(content.size()));
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

// Where bytes go: into memory, or into a file that keeps holes.
class TorchZip::Output {
 public:
  explicit Output(Bytes& memory) : memory_(&memory) {}
  explicit Output(int fd) : fd_(fd) {}

  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] bool ok() const { return ok_; }

  void append(ByteSpan bytes) {
    if (memory_ != nullptr) {
      memory_->insert(memory_->end(), bytes.begin(), bytes.end());
    } else if (ok_ && !bytes.empty()) {
      ok_ = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(position_)) ==
            static_cast<ssize_t>(bytes.size());
    }
    position_ += bytes.size();
  }
  void hole(std::uint64_t count) {
    position_ += count;
    if (memory_ != nullptr) {
      memory_->resize(position_);
    } else if (ok_) {
      ok_ = ::ftruncate(fd_, static_cast<off_t>(position_)) == 0;
    }
  }

 private:
  Bytes* memory_ = nullptr;
  int fd_ = -1;
  std::uint64_t position_ = 0;
  bool ok_ = true;
};

namespace {

std::uint64_t decoded_size(const RecordPlan& plan) {
  return plan.hole_bytes != 0 ? plan.hole_bytes : plan.data.size();
}

Bytes compressed_data(const RecordPlan& plan) {
  if (plan.stored) return *plan.stored;
  if (plan.deflate) return deflated(plan.data);
  return plan.data;
}

std::uint32_t crc_of(const RecordPlan& plan) {
  return plan.hole_bytes != 0 ? crc_of_zeros(plan.hole_bytes) : plain_crc32(plan.data);
}

}  // namespace

TorchZip& TorchZip::add(std::string_view name, ByteSpan data) {
  return add_full_name(root_ + "/" + std::string(name), data);
}

TorchZip& TorchZip::add_hole(std::string_view name, std::uint64_t size_bytes) {
  add(name, ByteSpan());
  records_.back().hole_bytes = size_bytes;
  return *this;
}

TorchZip& TorchZip::add_full_name(std::string_view full_name, ByteSpan data) {
  RecordPlan plan;
  plan.name = full_name;
  plan.data.assign(data.begin(), data.end());
  records_.push_back(std::move(plan));
  return *this;
}

RecordPlan& TorchZip::record(std::string_view name) {
  for (RecordPlan& plan : records_) {
    if (plan.name == name || plan.name == root_ + "/" + std::string(name)) return plan;
  }
  std::abort();  // a test names a record that it did not add
}

const RecordPlace& TorchZip::place(std::string_view name) const {
  for (const RecordPlace& place : places_.records) {
    if (place.name == name || place.name == root_ + "/" + std::string(name)) return place;
  }
  std::abort();
}

Bytes TorchZip::build() {
  Bytes bytes;
  Output out(bytes);
  write(out);
  return bytes;
}

bool TorchZip::write_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  Output out(fd);
  write(out);
  const bool closed = ::close(fd) == 0;
  return out.ok() && closed;
}

void TorchZip::write(Output& out) {
  places_ = {};
  places_.records.resize(records_.size());
  out.append(prefix);
  const std::uint64_t base = prefix_in_offsets ? 0 : prefix.size();
  for (std::size_t i = 0; i < records_.size(); ++i) write_record(out, records_[i], places_.records[i], base);
  out.append(before_directory);
  write_directory(out, base);
  write_end(out, base);
  out.append(trailing);
  places_.size_bytes = out.position();
}

void TorchZip::write_record(Output& out, const RecordPlan& plan, RecordPlace& place, std::uint64_t base) {
  place.name = plan.name;
  if (!plan.in_file) return;
  out.append(plan.gap_before);
  place.local = out.position();
  const std::uint64_t offset = place.local - base;
  const std::uint64_t size_bytes = decoded_size(plan);
  const Bytes stored = plan.hole_bytes != 0 ? Bytes() : compressed_data(plan);
  const std::uint64_t compressed_bytes = plan.hole_bytes != 0 ? plan.hole_bytes : stored.size();
  const bool size_is_long = size_bytes >= kLimit32;
  const bool offset_is_long = offset >= kLimit32;

  DescriptorForm form = plan.descriptor_form;
  if (form == DescriptorForm::automatic) {
    const bool wide = size_is_long || offset_is_long;
    form = size_bytes == 0 || !descriptors ? DescriptorForm::none
           : wide                          ? DescriptorForm::signed_64
                                           : DescriptorForm::signed_32;
  }
  const std::string& name = plan.local_name ? *plan.local_name : plan.name;

  // torch's two extra fields (format-facts 1.2): zip64 with a compressed size of 0, and the padding.
  Bytes extra;
  if (plan.local_extra) {
    extra = *plan.local_extra;
  } else {
    if (size_is_long || offset_is_long) {
      Bytes wide;
      if (size_is_long) append(wide, size_bytes), append(wide, descriptors ? 0 : compressed_bytes);
      if (offset_is_long && descriptors) append(wide, offset);
      if (!wide.empty()) extra = extra_field(zip::kExtraZip64, wide);
    }
    if (alignment != 0) {
      const std::uint64_t start = offset + LocalHeader::kBytes + name.size() + extra.size() + 4;
      const std::uint64_t pad = (start + alignment - 1) / alignment * alignment - start;
      const Bytes padding = extra_field(zip::kExtraPadding, repeated(static_cast<std::size_t>(pad), 'Z'));
      extra.insert(extra.end(), padding.begin(), padding.end());
    }
  }

  LocalHeader header;
  const std::uint32_t crc_value = crc ? crc_of(plan) : 0;
  header.version_needed = plan.deflate ? 20 : 0;
  header.flags = zip::kFlagUtf8;
  if (form != DescriptorForm::none) header.flags |= zip::kFlagDescriptor;
  header.method = plan.deflate ? 8 : 0;
  if (form == DescriptorForm::none) {
    header.crc = crc_value;
    header.compressed_bytes = narrowed(compressed_bytes);
    header.size_bytes = narrowed(size_bytes);
  }
  header.name_bytes = static_cast<std::uint16_t>(name.size());
  header.extra_bytes = static_cast<std::uint16_t>(extra.size());
  if (plan.local) plan.local(header);
  out.append(zip::encode(header));
  out.append(as_byte_span(name));
  place.local_extra = out.position();
  out.append(extra);

  place.data = out.position();
  if (plan.hole_bytes != 0) {
    out.hole(plan.hole_bytes);
  } else {
    out.append(stored);
  }
  place.data_end = out.position();

  Descriptor64 wide{.crc = crc_value, .compressed_bytes = compressed_bytes, .size_bytes = size_bytes};
  if (plan.descriptor) plan.descriptor(wide);
  const Descriptor narrow{.crc = wide.crc,
                          .compressed_bytes = static_cast<std::uint32_t>(wide.compressed_bytes),
                          .size_bytes = static_cast<std::uint32_t>(wide.size_bytes)};
  const auto wide_bytes = zip::encode(wide);
  const auto narrow_bytes = zip::encode(narrow);
  switch (form) {
    case DescriptorForm::automatic:
    case DescriptorForm::none:
      break;
    case DescriptorForm::signed_32:
      out.append(narrow_bytes);
      break;
    case DescriptorForm::signed_64:
      out.append(wide_bytes);
      break;
    case DescriptorForm::unsigned_32:
      out.append(ByteSpan(narrow_bytes).subspan(zip::kSignatureBytes));
      break;
    case DescriptorForm::unsigned_64:
      out.append(ByteSpan(wide_bytes).subspan(zip::kSignatureBytes));
      break;
  }
  place.descriptor_end = out.position();
}

void TorchZip::write_directory(Output& out, std::uint64_t base) {
  places_.directory = out.position();
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const RecordPlan& plan = records_[i];
    if (!plan.in_directory) continue;
    RecordPlace& place = places_.records[i];
    const RecordPlace& target = plan.same_place_as.empty() ? place : this->place(plan.same_place_as);
    const std::uint64_t offset = target.local - std::min(base, target.local);
    const std::uint64_t size_bytes = decoded_size(plan);
    const std::uint64_t compressed_bytes = plan.hole_bytes != 0 ? plan.hole_bytes : compressed_data(plan).size();

    CentralEntry entry;
    entry.version_needed = plan.deflate ? 20 : 0;
    entry.flags = zip::kFlagUtf8;
    const bool described = plan.descriptor_form == DescriptorForm::automatic
                               ? descriptors && size_bytes != 0
                               : plan.descriptor_form != DescriptorForm::none;
    if (described) entry.flags |= zip::kFlagDescriptor;
    entry.method = plan.deflate ? 8 : 0;
    entry.crc = crc ? crc_of(plan) : 0;
    entry.compressed_bytes = narrowed(compressed_bytes);
    entry.size_bytes = narrowed(size_bytes);
    entry.header_offset = narrowed(offset);

    Bytes extra;
    if (plan.central_extra) {
      extra = *plan.central_extra;
    } else {
      Bytes wide;
      if (size_bytes >= kLimit32) append(wide, size_bytes);
      if (compressed_bytes >= kLimit32) append(wide, compressed_bytes);
      if (offset >= kLimit32) append(wide, offset);
      if (!wide.empty()) extra = extra_field(zip::kExtraZip64, wide);
    }
    const std::string& name = plan.central_name ? *plan.central_name : plan.name;
    entry.name_bytes = static_cast<std::uint16_t>(name.size());
    entry.extra_bytes = static_cast<std::uint16_t>(extra.size());
    entry.comment_bytes = static_cast<std::uint16_t>(plan.central_comment.size());
    if (plan.central) plan.central(entry);
    for (int copy = 0; copy < plan.directory_copies; ++copy) {
      place.central = out.position();
      out.append(zip::encode(entry));
      out.append(as_byte_span(name));
      out.append(extra);
      out.append(as_byte_span(plan.central_comment));
    }
  }
  places_.directory_end = out.position();
}

void TorchZip::write_end(Output& out, std::uint64_t base) {
  std::uint64_t entries = 0;
  for (const RecordPlan& plan : records_) {
    if (plan.in_directory) entries += static_cast<std::uint64_t>(plan.directory_copies);
  }
  const std::uint64_t directory_bytes = places_.directory_end - places_.directory;
  const std::uint64_t directory_offset = places_.directory - base;

  out.append(before_end64);
  if (zip64_end) {
    places_.end64 = out.position();
    zip::End64Record record{.made_by = 0x031E,
                            .version_needed = 45,
                            .entries_on_disk = entries,
                            .entries = entries,
                            .directory_bytes = directory_bytes,
                            .directory_offset = directory_offset};
    if (end64) end64(record);
    out.append(zip::encode(record));
    out.append(before_locator);
    places_.locator = out.position();
    zip::End64Locator place{.end64_offset = places_.end64 - base};
    if (locator) locator(place);
    out.append(zip::encode(place));
  }
  out.append(before_end);
  places_.end = out.position();
  const auto count = static_cast<std::uint16_t>(std::min<std::uint64_t>(entries, zip::kSaturated16));
  zip::EndRecord record{.entries_on_disk = count,
                        .entries = count,
                        .directory_bytes = narrowed(directory_bytes),
                        .directory_offset = narrowed(directory_offset),
                        .comment_bytes = static_cast<std::uint16_t>(comment.size())};
  if (end) end(record);
  out.append(zip::encode(record));
  out.append(as_byte_span(comment));
}

Bytes base_pickle() {
  // What torch.save writes at protocol 2 for OrderedDict(a=<float32, 8>, b=<int64, 4>).
  using namespace std::string_view_literals;
  return to_bytes(
      "\x80\x02"
      "ccollections\nOrderedDict\nq\x00)Rq\x01("
      "X\x01\x00\x00\x00"
      "aq\x02"
      "ctorch._utils\n_rebuild_tensor_v2\nq\x03(("
      "X\x07\x00\x00\x00storageq\x04"
      "ctorch\nFloatStorage\nq\x05"
      "X\x01\x00\x00\x00"
      "0q\x06"
      "X\x03\x00\x00\x00"
      "cpuq\x07K\x08tq\x08QK\x00K\x08\x85q\x09K\x01\x85q\x0a\x89h\x00)Rq\x0btq\x0cRq\x0d"
      "X\x01\x00\x00\x00"
      "bq\x0eh\x03((h\x04"
      "ctorch\nLongStorage\nq\x0f"
      "X\x01\x00\x00\x00"
      "1q\x10h\x07K\x04tq\x11QK\x00K\x04\x85q\x12K\x01\x85q\x13\x89h\x00)Rq\x14tq\x15Rq\x16u."sv);
}

TorchZip base_zip() {
  TorchZip zip("base");
  zip.add("data.pkl", base_pickle());
  zip.add("byteorder", "little");
  zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  zip.add("data/1", bytes_of(std::vector<std::int64_t>{0, 1, 2, 3}));
  zip.add("version", "3\n");
  return zip;
}

}  // namespace rushlight::test
