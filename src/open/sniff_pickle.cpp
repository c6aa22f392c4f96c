#include "open/sniff_pickle.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/hex_digits.hpp"

namespace rushlight::open {
namespace {

using namespace std::string_view_literals;

// The magic number 0x1950A86A20F9469CFC6C, little-endian, behind LONG1 and its length (torch/serialization.py).
// The first names of a pickle stand within so many bytes.
constexpr std::size_t kNamesBytes = 256;
constexpr std::string_view kMagicOpcode = "\x8a\x0a"sv;
constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;
// The same as protocols 0 and 1 write it.
constexpr std::string_view kMagicText = "L119547037146038801333356L\n."sv;

Sniffed refuse(FileKind kind, Category category, std::string message, std::string hint) {
  return {Container::other, kind,
          Error::of({.category = category,
                     .code = category == Category::unsup ? "KIND-UNSUPPORTED" : "KIND-FOREIGN",
                     .message = std::move(message),
                     .offset = 0,
                     .hint = std::move(hint)}),
          true};
}

Sniffed legacy() {
  return {Container::legacy, FileKind::torch_legacy, {}, true};
}

std::string hex_bytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto value = static_cast<unsigned char>(c);
    if (!text.empty()) text += ' ';
    text += kHexDigits[value >> 4];
    text += kHexDigits[value & 15];
  }
  return text;
}

bool is_name(std::string_view text) noexcept {
  const auto part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), part);
}

// Protocols 0 and 1 have no mark of their own: a container, or a class by its two lines.
bool is_old_pickle(std::string_view head) noexcept {
  for (const std::string_view start : {"}q\0"sv, "]q\0"sv, "(dp0\n"sv, "(lp0\n"sv, "(dp1\n"sv, "(lp1\n"sv}) {
    if (head.starts_with(start)) return true;
  }
  if (!head.starts_with('c')) return false;
  const std::size_t first = head.find('\n');
  const std::size_t second = first == std::string_view::npos ? first : head.find('\n', first + 1);
  return second != std::string_view::npos && is_name(head.substr(1, first - 1)) &&
         is_name(head.substr(first + 1, second - first - 1));
}

}  // namespace

std::optional<Sniffed> sniff_pickle(std::string_view head) {
  if (head.starts_with(kMagicText)) return legacy();
  const bool has_protocol = head.size() > 2 && head[0] == '\x80' && static_cast<unsigned char>(head[1]) <= 5;
  if (!has_protocol && !is_old_pickle(head)) return std::nullopt;
  if (has_protocol) {
    // Protocols 4 and 5 put a frame around it: 95 and eight bytes of length.
    const std::size_t at = head[2] == '\x95' ? 11 : 2;
    if (head.substr(std::min(at, head.size())).starts_with(kMagicOpcode)) {
      const std::string_view found = head.substr(std::min(at + 2, head.size()), kMagic.size());
      if (found == kMagic) return legacy();
      // One wrong bit in the number, and torch takes it for a pickle of a long.
      return refuse(
          FileKind::unknown, Category::kind,
          "the file begins as the legacy format of torch.save does, but its magic number is wrong, expected " +
              hex_bytes(kMagic) + ", found " + hex_bytes(found),
          "the first bytes are damaged: fetch the file again");
    }
  }
  // The class of the root comes first, and its module's name with it.
  if (head.substr(0, kNamesBytes).find("checkpoint.metadata") != std::string_view::npos &&
      head.substr(0, kNamesBytes).find("Metadata") != std::string_view::npos) {
    return Sniffed{Container::dcp, FileKind::dcp, {}, true};
  }
  return Sniffed{Container::pickle, FileKind::unknown, {}, true};
}

}  // namespace rushlight::open
