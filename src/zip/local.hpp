// A record's own structures, judged against its central entry: local header, extra fields, data range, descriptor
// (APPNOTE 4.3.7, 4.3.9, 4.5). torch takes the start of the data from here, so every byte of it is looked at.
#pragma once

#include <cstdint>
#include <vector>

#include "rushlight/result.hpp"
#include "zip/archive.hpp"
#include "zip/file_view.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {

struct LocalRecord {
  Extent data;            // as stored
  std::uint64_t end = 0;  // behind the descriptor, where there is one
  bool padded = false;    // carries torch's padding field
};

struct LocalQuestion {
  const Entry& entry;
  std::uint64_t archive_begin = 0;
  std::uint64_t boundary = 0;  // the record ends here or before
};

// The audit that every access makes: two readers must find the same bytes.
Result<LocalRecord> check_local(const FileView& view, const LocalQuestion& question, Buffer& scratch);

// The same, and what is merely odd besides: fields that no reader looks at, compared with `stored`, the central entry
// of the file; padding, unknown extra fields.
Result<LocalRecord> check_local_closely(const FileView& view, const LocalQuestion& question, const CentralEntry& stored,
                                        Buffer& scratch, std::vector<Finding>& oddities);

}  // namespace rushlight::zip
