// What an Archive holds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "zip/archive.hpp"
#include "zip/directory.hpp"
#include "zip/end_records.hpp"
#include "zip/file_view.hpp"
#include "zip/local.hpp"

namespace rushlight::zip {

struct Archive::Impl {
  Impl(std::shared_ptr<const Source> from, const Limits& within, FileView window)
      : source(std::move(from)), limits(within), view(window) {}

  [[nodiscard]] std::size_t number_of(const Entry& entry) const noexcept {
    return static_cast<std::size_t>(&entry - directory.entries().data());
  }
  [[nodiscard]] LocalQuestion question(const Entry& entry) const noexcept {
    return {.entry = entry, .archive_begin = ends.archive_begin, .boundary = directory.boundary(number_of(entry))};
  }
  // The stored bytes of a record, decoded. `scratch` may hold them in the end.
  Result<ByteSpan> decode(const Entry& entry, const Extent& extent, Buffer& stored, Buffer& decoded) const;

  std::shared_ptr<const Source> source;
  Limits limits;
  FileView view;
  Buffer tail;  // the end of a file that is not mapped: end records, and the directory of a small archive
  EndRecords ends;
  Directory directory;
  // Where the data of each entry begins, once its local header was audited; 0 before. Threads that come at the same
  // time audit twice and store the same.
  std::unique_ptr<std::atomic<std::uint64_t>[]> data_begin;
};

}  // namespace rushlight::zip
