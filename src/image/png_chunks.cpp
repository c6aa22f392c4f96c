#include "image/png_chunks.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checksum/crc32.hpp"
#include "image/geometry.hpp"

namespace rushlight::image {
namespace {

constexpr std::size_t kSignatureBytes = 8;
constexpr std::uint32_t kMostSize = 0x7FFFFFFF;
// DEFLATE makes at most 258 bytes of two bits.
constexpr std::uint64_t kMostInflation = 1032;

struct Chunk {
  std::uint64_t offset;  // of its length
  std::string_view type;
  ByteSpan data;
};

class ChunkReader {
 public:
  explicit ChunkReader(const FileBytes& file) : file_(file), reader_(file.bytes) {
    (void)reader_.read_bytes(kSignatureBytes);
  }

  Result<Chunk> next() {
    const std::uint64_t offset = reader_.position();
    const std::optional<ByteSpan> head = reader_.read_bytes(8);
    if (!head) return fail(offset, ErrorCode::truncated, "IMAGE-TRUNCATED", "the picture ends early: no IEND chunk");
    const std::uint32_t size = byte_swapped(load_le<std::uint32_t>(head->data()));
    const std::string_view type = as_text(head->subspan(4));
    for (const char c : type) {
      if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) continue;
      return fail(offset, ErrorCode::corrupt, "IMAGE-CHUNK",
                  "expected the name of a chunk, four letters, found " + quoted(type));
    }
    const std::optional<ByteSpan> data = reader_.read_bytes(size);
    const std::optional<std::uint32_t> stored = data ? reader_.read<std::uint32_t>() : std::nullopt;
    if (!stored) {
      return fail(offset, ErrorCode::truncated, "IMAGE-TRUNCATED",
                  "the picture ends early: chunk " + std::string(type) + " needs " + std::to_string(12ULL + size) +
                      " bytes, found " + std::to_string(file_.bytes.size() - offset));
    }
    const std::uint32_t crc = checksum::crc32(file_.bytes.subspan(static_cast<std::size_t>(offset) + 4, 4ULL + size));
    if (crc != byte_swapped(*stored)) {
      return fail(offset, ErrorCode::corrupt, "IMAGE-CRC",
                  "chunk " + std::string(type) + " is damaged: crc-32, expected " + hex8(byte_swapped(*stored)) +
                      ", found " + hex8(crc));
    }
    return Chunk{offset, type, *data};
  }

  [[nodiscard]] std::uint64_t position() const noexcept { return reader_.position(); }

  [[nodiscard]] Error fail(std::uint64_t offset, ErrorCode error_code, std::string code, std::string message) const {
    Error error = damaged(file_, error_code, std::move(code), std::move(message));
    error.finding.offset = offset;
    return error;
  }

 private:
  const FileBytes& file_;
  ByteReader reader_;
};

// Which depths each kind of colour has (REC-png-3, table 12).
bool exists(unsigned colour, unsigned depth) noexcept {
  switch (colour) {
    case 0:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case 3:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case 2:
    case 4:
    case 6:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

Result<PngFrame> read_header(const ChunkReader& chunks, const Chunk& chunk) {
  const auto bad = [&](std::string message) {
    return chunks.fail(chunk.offset, ErrorCode::corrupt, "IMAGE-HEADER", std::move(message));
  };
  if (chunk.type != "IHDR") return bad("expected the chunk IHDR, found " + std::string(chunk.type));
  if (chunk.data.size() != 13) return bad("IHDR: expected 13 bytes, found " + std::to_string(chunk.data.size()));
  const auto byte = [&](std::size_t i) { return std::to_integer<unsigned>(chunk.data[i]); };
  PngFrame frame;
  frame.width = byte_swapped(load_le<std::uint32_t>(chunk.data.data()));
  frame.height = byte_swapped(load_le<std::uint32_t>(chunk.data.data() + 4));
  for (const auto& [name, size] : {std::pair("width", frame.width), std::pair("height", frame.height)}) {
    if (size >= 1 && size <= kMostSize) continue;
    return bad(std::string(name) + ": expected 1 to " + std::to_string(kMostSize) + ", found " + std::to_string(size));
  }
  if (!exists(byte(9), byte(8))) {
    return bad("colour type " + std::to_string(byte(9)) + " with " + std::to_string(byte(8)) +
               " bits a sample does not exist");
  }
  if (byte(10) != 0 || byte(11) != 0 || byte(12) > 1) {
    return bad("compression, filter and interlace method: expected 0, 0 and 0 or 1, found " + std::to_string(byte(10)) +
               ", " + std::to_string(byte(11)) + " and " + std::to_string(byte(12)));
  }
  frame.depth = static_cast<std::uint8_t>(byte(8));
  frame.colour = static_cast<PngColour>(byte(9));
  frame.interlaced = byte(12) == 1;
  return frame;
}

// The text of an iTXt chunk that holds XMP: keyword, two flags, a language, a keyword in it, the text. A compressed one
// is passed over: XMP has to be readable without decompression (XMP part 3, 1.1.5).
std::string_view xmp_of(ByteSpan itxt) noexcept {
  constexpr std::string_view kKeyword("XML:com.adobe.xmp\0", 18);
  std::string_view text = as_text(itxt);
  if (!text.starts_with(kKeyword) || text.size() < kKeyword.size() + 2 || text[kKeyword.size()] != 0) return {};
  text.remove_prefix(kKeyword.size() + 2);
  for (int i = 0; i < 2; ++i) {
    const std::size_t end = text.find('\0');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text;
}

}  // namespace

Result<PngFrame> read_png_frame(const FileBytes& file, const Limits& limits) {
  ChunkReader chunks(file);
  RUSHLIGHT_TRY_ASSIGN(const Chunk first, chunks.next());
  RUSHLIGHT_TRY_ASSIGN(PngFrame frame, read_header(chunks, first));
  RUSHLIGHT_TRY(check_size(file, frame.width, frame.height, first.offset + 8, limits));

  std::uint64_t compressed = 0;
  for (;;) {
    RUSHLIGHT_TRY_ASSIGN(const Chunk chunk, chunks.next());
    if (chunk.type == "IEND") break;
    if (chunk.type == "IDAT") {
      if (frame.colour == PngColour::palette && frame.palette.empty()) {
        return chunks.fail(chunk.offset, ErrorCode::corrupt, "IMAGE-PALETTE",
                           "the picture has no palette: no PLTE chunk before its data");
      }
      compressed += chunk.data.size();
    } else if (chunk.type == "PLTE") {
      if (chunk.data.empty() || chunk.data.size() % 3 != 0 || chunk.data.size() > 768) {
        return chunks.fail(
            chunk.offset, ErrorCode::corrupt, "IMAGE-PALETTE",
            "PLTE: expected 1 to 256 colours of 3 bytes, found " + std::to_string(chunk.data.size()) + " bytes");
      }
      frame.palette = chunk.data;
    } else if (chunk.type == "eXIf") {
      frame.metadata.exif = chunk.data;
    } else if (chunk.type == "iTXt") {
      if (const std::string_view xmp = xmp_of(chunk.data); !xmp.empty()) frame.metadata.xmp = xmp;
    }
  }
  frame.end = chunks.position();
  if (compressed == 0) {
    return chunks.fail(frame.end, ErrorCode::corrupt, "IMAGE-DATA", "the picture has no data: no IDAT chunk");
  }
  // Below 2^62 pixels of at most 64 bits: divided first, their product fits.
  const std::uint64_t pixels = std::uint64_t{frame.width} * frame.height;
  if (pixels / (8 * kMostInflation) * (frame.depth * samples_of(frame.colour)) > compressed) {
    return chunks.fail(frame.end, ErrorCode::truncated, "IMAGE-TRUNCATED",
                       "the picture ends early: " + std::to_string(frame.width) + " x " + std::to_string(frame.height) +
                           " pixels cannot come from " + std::to_string(compressed) + " compressed bytes");
  }
  return frame;
}

}  // namespace rushlight::image
