#include "image/pnm.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "image/geometry.hpp"

namespace rushlight::image {
namespace {

constexpr std::uint64_t kMostMaxval = 65535;
// Digits of a number in a header; more say nothing but that somebody is trying something.
constexpr std::uint64_t kMostNumber = 999'999'999;

bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}
bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

// White space, comments to the end of their line, and decimal numbers.
class TextReader {
 public:
  TextReader(const FileBytes& file, std::size_t position) : file_(file), text_(as_text(file.bytes)), at_(position) {}

  [[nodiscard]] std::size_t position() const noexcept { return at_; }
  [[nodiscard]] std::size_t bytes_left() const noexcept { return text_.size() - at_; }

  // `name` is what the number stands for.
  Result<std::uint64_t> number(const char* name, std::uint64_t least, std::uint64_t most) {
    skip_space_and_comments();
    const std::size_t begin = at_;
    std::uint64_t value = 0;
    while (at_ < text_.size() && is_digit(text_[at_]) && value <= kMostNumber) {
      value = value * 10 + static_cast<std::uint64_t>(text_[at_++] - '0');
    }
    if (at_ == begin) {
      const bool ended = at_ == text_.size();
      return fail(
          begin, ended ? ErrorCode::truncated : ErrorCode::corrupt, ended ? "IMAGE-TRUNCATED" : "IMAGE-HEADER",
          std::string(name) + ": expected a number, found " + (ended ? "the end of the file" : "another character"));
    }
    if (value < least || value > most) {
      const std::string found =
          value > kMostNumber ? "more than " + std::to_string(kMostNumber) : std::to_string(value);
      return fail(begin, ErrorCode::corrupt, "IMAGE-HEADER",
                  std::string(name) + ": expected " + std::to_string(least) + " to " + std::to_string(most) +
                      ", found " + found);
    }
    return value;
  }

  // Exactly one white space stands before binary samples: the next byte is a sample, even if it looks like a space.
  Status single_space() {
    if (at_ < text_.size() && is_space(text_[at_])) {
      ++at_;
      return {};
    }
    return fail(at_, at_ == text_.size() ? ErrorCode::truncated : ErrorCode::corrupt,
                at_ == text_.size() ? "IMAGE-TRUNCATED" : "IMAGE-HEADER", "expected a white space after maxval");
  }

  [[nodiscard]] Error fail(std::size_t offset, ErrorCode error_code, std::string code, std::string message) const {
    Error error = damaged(file_, error_code, std::move(code), std::move(message));
    error.finding.offset = offset;
    return error;
  }

 private:
  void skip_space_and_comments() noexcept {
    while (at_ < text_.size()) {
      if (is_space(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
      } else {
        return;
      }
    }
  }

  const FileBytes& file_;
  std::string_view text_;
  std::size_t at_;
};

struct Header {
  bool binary;
  std::uint64_t channels;
  std::uint64_t width;
  std::uint64_t height;
  std::uint64_t maxval;
  std::uint64_t samples;
};

Result<Header> read_header(const FileBytes& file, TextReader& reader) {
  const char kind = static_cast<char>(file.bytes[1]);
  Header header{};
  header.binary = kind == '5' || kind == '6';
  header.channels = kind == '3' || kind == '6' ? 3 : 1;
  RUSHLIGHT_TRY_ASSIGN(header.width, reader.number("width", 1, kMostNumber));
  RUSHLIGHT_TRY_ASSIGN(header.height, reader.number("height", 1, kMostNumber));
  RUSHLIGHT_TRY_ASSIGN(header.maxval, reader.number("maxval", 1, kMostMaxval));
  if (header.binary) RUSHLIGHT_TRY(reader.single_space());
  header.samples = header.width * header.height * header.channels;  // below 3e18
  // Every sample takes room in the file, so that no header can claim memory that the file does not justify.
  const std::uint64_t bytes = header.samples * (header.binary && header.maxval > 255 ? 2 : 1);
  if (bytes > reader.bytes_left()) {
    return reader.fail(reader.position(), ErrorCode::truncated, "IMAGE-TRUNCATED",
                       "the picture ends early: " + std::to_string(header.samples) + " samples need at least " +
                           std::to_string(bytes) + " bytes, found " + std::to_string(reader.bytes_left()));
  }
  return header;
}

Error too_large(const TextReader& reader, std::size_t offset, std::uint64_t sample, std::uint64_t maxval) {
  return reader.fail(offset, ErrorCode::corrupt, "IMAGE-SAMPLE",
                     "a sample of " + std::to_string(sample) + " exceeds maxval " + std::to_string(maxval));
}

}  // namespace

bool is_pnm(ByteSpan bytes) noexcept {
  if (bytes.size() < 3) return false;
  const std::string_view text = as_text(bytes);
  const bool kind = text[1] == '2' || text[1] == '3' || text[1] == '5' || text[1] == '6';
  return text[0] == 'P' && kind && (is_space(text[2]) || text[2] == '#');
}

Result<Tensor> read_pnm(const FileBytes& file, const Limits& limits) {
  TextReader reader(file, 2);
  RUSHLIGHT_TRY_ASSIGN(const Header header, read_header(file, reader));
  RUSHLIGHT_TRY(check_size(file, header.width, header.height, 2, limits));
  RUSHLIGHT_TRY_ASSIGN(Tensor picture, Tensor::zeros(DType::u8, {static_cast<std::int64_t>(header.channels),
                                                                 static_cast<std::int64_t>(header.height),
                                                                 static_cast<std::int64_t>(header.width)}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> out, picture.mutable_bytes());
  const std::uint64_t pixels = header.width * header.height;
  const std::byte* binary = file.bytes.data() + reader.position();
  for (std::uint64_t i = 0; i < header.samples; ++i) {
    std::uint64_t sample = 0;
    if (!header.binary) {
      RUSHLIGHT_TRY_ASSIGN(sample, reader.number("sample", 0, header.maxval));
    } else if (header.maxval < 256) {
      sample = std::to_integer<std::uint64_t>(binary[i]);
    } else {
      sample = byte_swapped(load_le<std::uint16_t>(binary + 2 * i));
    }
    if (sample > header.maxval) {
      const std::uint64_t width = header.maxval < 256 ? 1 : 2;
      return too_large(reader, reader.position() + static_cast<std::size_t>(i * width), sample, header.maxval);
    }
    if (header.maxval != 255) sample = (sample * 255 + header.maxval / 2) / header.maxval;
    // Interleaved in the file, planes in the tensor.
    const std::uint64_t plane = i % header.channels;
    out[static_cast<std::size_t>(plane * pixels + i / header.channels)] = static_cast<std::byte>(sample);
  }
  return picture;
}

}  // namespace rushlight::image
