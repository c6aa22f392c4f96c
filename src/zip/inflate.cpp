#include "zip/inflate.hpp"

#include <libdeflate.h>

#include <memory>
#include <string>

#include "base/checked.hpp"
#include "zip/failure.hpp"

namespace rushlight::zip {
namespace {

// What the budget grants for each compressed byte (hostile-inputs 4: torch never deflates storages, and texts and
// pickles shrink less).
constexpr std::uint64_t kHonestRatio = 16;

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const noexcept { libdeflate_free_decompressor(decompressor); }
};

}  // namespace

Status spend(InflateCost& cost, const Entry& entry, const Limits& limits) {
  // Records do not overlap, so that compressed bytes add up to no more than the file; DEFLATE makes at most 1032 times
  // as many of them.
  const std::uint64_t compressed_bytes = cost.compressed_bytes + entry.compressed_bytes;
  const auto size_bytes = checked_add(cost.size_bytes, entry.size_bytes);
  const auto ordinary = checked_mul(compressed_bytes, kHonestRatio);
  const auto budget = ordinary ? checked_add(*ordinary, limits.inflated_bytes) : std::nullopt;
  if (budget && (!size_bytes || *size_bytes > *budget)) {
    Error error = differs(
        Category::limit, "LIMIT-INFLATED-BYTES",
        std::to_string(compressed_bytes) + " deflated bytes become more than limits.inflated_bytes allows",
        "at most " + std::to_string(*budget), size_bytes ? std::to_string(*size_bytes) : "more than 64 bits can count",
        {.offset = entry.header_offset, .record = entry.name});
    error.finding.hint = "raise the limit if you trust the file";
    return error;
  }
  cost = {.compressed_bytes = compressed_bytes, .size_bytes = size_bytes.value_or(cost.size_bytes)};
  return {};
}

Status inflate(const Entry& entry, ByteSpan compressed, std::uint64_t offset, Buffer& out) {
  RUSHLIGHT_TRY(out.resize(entry.size_bytes, "inflated data"));
  if (compressed.empty() && entry.size_bytes == 0) return {};  // some tools write nothing at all for nothing
  const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(libdeflate_alloc_decompressor());
  if (decompressor == nullptr) return no_memory_for(0, "inflate tables");
  const Place place{.offset = offset, .record = entry.name};
  std::size_t consumed = 0;
  std::size_t produced = 0;
  const libdeflate_result result = libdeflate_deflate_decompress_ex(
      decompressor.get(), compressed.data(), compressed.size(), out.data(), out.size(), &consumed, &produced);
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
    return failure(Category::zip, "ZIP-INFLATE",
                   "deflated data become more than the declared " + count_text(entry.size_bytes, "byte"), place);
  }
  if (result != LIBDEFLATE_SUCCESS) {
    return failure(Category::zip, "ZIP-INFLATE", "deflated data are damaged or end too early", place);
  }
  if (produced != entry.size_bytes) {
    return differs(Category::zip, "ZIP-INFLATE", "deflated data become fewer bytes than declared",
                   std::to_string(entry.size_bytes), std::to_string(produced), place);
  }
  if (consumed != compressed.size()) {
    return failure(
        Category::zip, "ZIP-INFLATE",
        "deflated data end early, " + count_text(compressed.size() - consumed, "byte") + " of the record are left over",
        {.offset = offset + consumed, .record = entry.name});
  }
  return {};
}

}  // namespace rushlight::zip
