#include "zip/deflate.hpp"

#include <libdeflate.h>

#include <cassert>
#include <memory>

#include "zip/failure.hpp"

namespace rushlight::zip {
namespace {

constexpr int kLevel = 6;

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const noexcept { libdeflate_free_compressor(compressor); }
};

}  // namespace

Status deflate(ByteSpan bytes, Buffer& out) {
  const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(libdeflate_alloc_compressor(kLevel));
  if (compressor == nullptr) return no_memory_for(0, "deflate tables");
  RUSHLIGHT_TRY(out.resize(libdeflate_deflate_compress_bound(compressor.get(), bytes.size()), "deflated data"));
  const std::size_t size =
      libdeflate_deflate_compress(compressor.get(), bytes.data(), bytes.size(), out.data(), out.size());
  assert(size > 0);  // the bound is one
  return out.resize(size, "deflated data");
}

}  // namespace rushlight::zip
