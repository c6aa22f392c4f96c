#include "zip/archive.hpp"

#include <new>
#include <string>
#include <utility>

#include "base/checked.hpp"
#include "checksum/crc32.hpp"
#include "zip/archive_impl.hpp"
#include "zip/failure.hpp"
#include "zip/inflate.hpp"

namespace rushlight::zip {

Archive::Archive(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Archive::~Archive() = default;

Result<std::shared_ptr<const Archive>> Archive::open(std::shared_ptr<const Source> source, const OpenOptions& options,
                                                     std::vector<Finding>& oddities) {
  const std::uint64_t file_bytes = source->size_bytes();
  if (options.window_offset > file_bytes ||
      (options.window_bytes && !range_fits(options.window_offset, *options.window_bytes, file_bytes))) {
    return Error::of(
        {.category = Category::argument,
         .code = "ZIP-WINDOW",
         .message = "window of the archive does not lie within the source of " + std::to_string(file_bytes) + " bytes",
         .offset = options.window_offset});
  }
  const std::uint64_t window_end = options.window_bytes ? options.window_offset + *options.window_bytes : file_bytes;
  const FileView window(*source, options.window_offset, window_end);
  auto impl = std::make_unique<Impl>(std::move(source), options.limits, window);

  RUSHLIGHT_TRY_ASSIGN(const ByteSpan tail, read_tail(impl->view, impl->tail));
  impl->view.keep(window_end - tail.size(), tail);
  RUSHLIGHT_TRY_ASSIGN(impl->ends, find_end_records(impl->view, tail, oddities));
  // An address differs from process to process, which is all that a key must do here.
  const auto key = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(impl.get()));
  RUSHLIGHT_TRY(impl->directory.read(impl->view, impl->ends, options.limits, key, oddities));
  RUSHLIGHT_TRY(check_prefix(impl->view, impl->ends, impl->directory.first_record(), oddities));
  const std::size_t count = impl->directory.entries().size();
  impl->data_begin.reset(new (std::nothrow) std::atomic<std::uint64_t>[count]());
  if (impl->data_begin == nullptr) return no_memory_for(8 * count, "record offsets");
  return std::shared_ptr<const Archive>(new Archive(std::move(impl)));
}

std::span<const Entry> Archive::entries() const noexcept {
  return impl_->directory.entries();
}

const std::shared_ptr<const Source>& Archive::source() const noexcept {
  return impl_->source;
}

ByteSpan Archive::directory_bytes(const Entry& entry) const noexcept {
  return impl_->directory.bytes_of(entry);
}

std::uint64_t Archive::directory_begin() const noexcept {
  return impl_->ends.directory_begin;
}

Extent Archive::extent() const noexcept {
  return {impl_->ends.archive_begin, impl_->ends.archive_end};
}

const Entry* Archive::find_ignoring_case(std::string_view full_name) const noexcept {
  const std::size_t number = impl_->directory.find(full_name);
  return number == entries().size() ? nullptr : &entries()[number];
}

const Entry* Archive::find(std::string_view full_name) const noexcept {
  const Entry* entry = find_ignoring_case(full_name);
  return entry != nullptr && entry->name == full_name ? entry : nullptr;
}

Result<Extent> Archive::data_extent(const Entry& entry) const {
  std::atomic<std::uint64_t>& known = impl_->data_begin[impl_->number_of(entry)];
  if (const std::uint64_t begin = known.load(std::memory_order_relaxed); begin != 0) {
    return Extent{begin, begin + entry.compressed_bytes};
  }
  Buffer scratch;
  RUSHLIGHT_TRY_ASSIGN(const LocalRecord record, check_local(impl_->view, impl_->question(entry), scratch));
  known.store(record.data.begin, std::memory_order_relaxed);
  return record.data;
}

Result<ByteSpan> Archive::Impl::decode(const Entry& entry, const Extent& extent, Buffer& stored,
                                       Buffer& decoded) const {
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, view.read(extent.begin, extent.size_bytes(), stored));
  if (entry.method == Method::stored) return bytes;
  RUSHLIGHT_TRY(inflate(entry, bytes, extent.begin, decoded));
  return ByteSpan(decoded.span());
}

Result<RecordBytes> Archive::read(const Entry& entry, std::uint64_t max_bytes) const {
  if (entry.size_bytes > max_bytes) {
    return differs(Category::limit, "LIMIT-RECORD-BYTES", "record is larger than what is asked for may be",
                   "at most " + std::to_string(max_bytes), std::to_string(entry.size_bytes),
                   {.offset = entry.header_offset, .record = entry.name});
  }
  if (entry.method == Method::deflated) {
    InflateCost alone;
    RUSHLIGHT_TRY(spend(alone, entry, impl_->limits));
  }
  RUSHLIGHT_TRY_ASSIGN(const Extent extent, data_extent(entry));
  if (entry.method == Method::stored && !impl_->view.is_mapped()) {
    // Not through view.read(): what was kept of the tail does not outlive the archive.
    Buffer owned;
    RUSHLIGHT_TRY(owned.resize(extent.size_bytes(), "a record"));
    RUSHLIGHT_TRY(impl_->view.read_into(extent.begin, owned.span()));
    const ByteSpan bytes = owned.span();
    return RecordBytes(bytes, std::move(owned).share());
  }
  Buffer stored, decoded;
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, impl_->decode(entry, extent, stored, decoded));
  if (entry.method == Method::stored) return RecordBytes(bytes, impl_->source);
  return RecordBytes(bytes, std::move(decoded).share());
}

CrcCheck Archive::check_crc(const Entry& entry, ByteSpan decoded, Executor* executor) noexcept {
  return judge_crc(entry.crc, checksum::crc32_parallel(decoded, executor));
}

}  // namespace rushlight::zip
