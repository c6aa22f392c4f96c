// Raw DEFLATE (RFC 1951), for records that are written.
#pragma once

#include "base/bytes.hpp"
#include "rushlight/result.hpp"
#include "zip/file_view.hpp"

namespace rushlight::zip {

// Deflates all of `bytes` into `out`, as hard as zlib does unless told otherwise. The same bytes give the same bytes on
// every machine that has the same libdeflate.
Status deflate(ByteSpan bytes, Buffer& out);

}  // namespace rushlight::zip
