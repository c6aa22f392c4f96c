#include "open/sniff.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "open/sniff_pickle.hpp"

namespace rushlight::open {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kHeadBytes = 4096;
// Looked at for all-zero files and for damage on the way.
constexpr std::uint64_t kSampleBytes = 64 << 10;
// Files up to this size are read whole before they are called all zero.
constexpr std::uint64_t kReadWholeBytes = 1 << 20;

struct Signature {
  std::size_t at;
  std::string_view bytes;
  std::string_view what;  // "the file is ..."
  std::string_view hint;
  FileKind kind = FileKind::unknown;
  Category category = Category::kind;
};

constexpr std::string_view kUnpack = "unpack it first";
constexpr std::string_view kWrongFile = "this is another file than you meant: look for the one with the weights";

// In the order in which they are tried.
constexpr Signature kSignatures[] = {
    // Formats of neural networks.
    {0, "PYTORCH1", "a container of the PyTorch 1.0 preview, which is not read here",
     "load it with PyTorch 1.0 and save it again", FileKind::unknown, Category::unsup},
    {4, "PTMF", "a mobile model as flatbuffer (.ptl), which is not read here",
     "save the weights of the original model: torch.save(model.state_dict(), 'weights.pt')",
     FileKind::torchscript_mobile, Category::unsup},
    {0, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights, perhaps)",
     "convert it with the library that wrote it, and save with torch.save"},
    {4, "TFL3", "a TensorFlow Lite model", "convert it with the library that wrote it, and save with torch.save"},
    {0, "ggml", "an old GGML model", "convert it with the tools of llama.cpp"},
    {0, "lmgg", "an old GGML model", "convert it with the tools of llama.cpp"},
    {0, "tjgg", "an old GGML model", "convert it with the tools of llama.cpp"},
    {0, "ggjt", "an old GGML model", "convert it with the tools of llama.cpp"},
    // Archives and compressors.
    {0, "\x1f\x8b", "compressed with gzip", "gunzip it first, and unpack the tar archive that may be inside"},
    {0, "7z\xbc\xaf\x27\x1c", "a 7z archive", kUnpack},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "compressed with xz", "decompress it first: unxz FILE.xz"},
    {0, "\x28\xb5\x2f\xfd", "compressed with Zstandard", "decompress it first: unzstd FILE.zst"},
    {0, "BZh", "compressed with bzip2", "decompress it first: bunzip2 FILE.bz2"},
    {0, "\x04\x22\x4d\x18", "compressed with LZ4", "decompress it first: unlz4 FILE.lz4"},
    {0, "Rar!\x1a\x07", "a RAR archive", kUnpack},
    {0, "!<arch>\n", "an ar archive (a static library or a Debian package)", kWrongFile},
    // Things that lie about.
    {0, "version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself",
     "fetch the file: git lfs pull, or download it from the host's page for large files"},
    {0, "\x89PNG\r\n\x1a\n", "a PNG picture", kWrongFile},
    {0, "\xff\xd8\xff", "a JPEG picture", kWrongFile},
    {0, "GIF8", "a GIF picture", kWrongFile},
    {0, "RIFF", "a RIFF file (WAV or WebP)", kWrongFile},
    {0, "%PDF-", "a PDF document", kWrongFile},
    {0,
     "\x7f"
     "ELF",
     "a program or library (ELF)", kWrongFile},
    {0, "SQLite format 3\0"sv, "an SQLite database", kWrongFile},
    {0, "PAR1", "a Parquet table", kWrongFile},
    {0, "ARROW1", "an Arrow table", kWrongFile},
    {0, "UEsDB", "base64 text of a zip archive", "decode it first: base64 -d FILE > model.pt"},
    {0, "gAKKCmz8nEb5IGqoUBkug", "base64 text of a checkpoint", "decode it first: base64 -d FILE > model.pt"},
};

Error refuse(const Signature& row) {
  return Error::of({.category = row.category,
                    .code = row.category == Category::unsup ? "KIND-UNSUPPORTED" : "KIND-FOREIGN",
                    .message = "the file is " + std::string(row.what),
                    .offset = 0,
                    .hint = std::string(row.hint)});
}

Sniffed foreign(std::string_view what, std::string_view hint) {
  return {Container::other, FileKind::unknown, refuse({0, {}, what, hint})};
}

bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool starts_ignoring_case(std::string_view text, std::string_view prefix) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(), [&](char a, char b) { return a == lower(b); });
}

// Text of some kind; what it is, as far as its beginning says.
std::optional<Sniffed> sniff_text(std::string_view head) {
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  while (!head.empty() && is_space(head.front())) head.remove_prefix(1);
  constexpr std::array kPage = {"<!doctype html"sv, "<html"sv, "<head"sv, "<body"sv, "<script"sv};
  if (std::any_of(kPage.begin(), kPage.end(), [&](std::string_view tag) { return starts_ignoring_case(head, tag); })) {
    return foreign("an HTML page, not the file itself",
                   "a web page was saved in its place, perhaps a login or an error: download it again from its direct "
                   "address");
  }
  if (starts_ignoring_case(head, "<?xml")) {
    return foreign("an XML document, not the file itself", "it may hold an error message of the server: look at it");
  }
  const auto printable = [](char c) { return is_space(c) || static_cast<unsigned char>(c) >= 0x20; };
  if (head.empty() || !std::all_of(head.begin(), head.end(), printable)) return std::nullopt;
  // The last character may be cut.
  std::string_view whole = head;
  for (int i = 0; i < 3 && !whole.empty() && !is_valid_utf8(whole); ++i) whole.remove_suffix(1);
  if (whole.empty() || !is_valid_utf8(whole)) return std::nullopt;
  if (head.front() == '{' || head.front() == '[') {
    if (head.find("\"weight_map\"") != std::string_view::npos) {
      return Sniffed{Container::sharded, FileKind::sharded, {}};
    }
    return foreign("a JSON document, not a checkpoint", "it may hold an error message of the server: look at it");
  }
  // A script in front of an archive is text too.
  Sniffed text = foreign("text, not a checkpoint", "look at it: it may say why the download failed");
  text.container = Container::unknown;
  return text;
}

// [header length as u64][JSON object of that length][data]
bool is_safetensors(std::string_view head, std::uint64_t size_bytes) noexcept {
  if (head.size() < 10) return false;
  const auto length = load_le<std::uint64_t>(as_byte_span(head).data());
  return length >= 2 && length <= size_bytes - 8 && head[8] == '{' &&
         (head[9] == '"' || head[9] == '}' || head[9] == ' ');
}

// A protobuf that begins with ir_version (field 1, a small number) and a producer's name (field 2) or the like.
bool is_onnx(std::string_view head) noexcept {
  if (head.size() < 8 || head[0] != '\x08' || head[1] < 1 || head[1] > 0x20) return false;
  const auto length = static_cast<unsigned char>(head[3]);
  if (head[2] != '\x12' || length == 0 || length > 64 || head.size() < 4u + length) return false;
  const std::string_view producer = head.substr(4, length);
  return std::all_of(producer.begin(), producer.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// The name of a tar member, and how far the next one is.
struct TarMember {
  std::string_view name;
  std::uint64_t size_bytes = 0;
};
std::optional<TarMember> tar_member(std::string_view block) {
  if (block.size() < 512 || block.substr(257, 5) != "ustar") return std::nullopt;
  TarMember member{block.substr(0, 100), 0};
  member.name = member.name.substr(0, member.name.find('\0'));
  for (const char c : block.substr(124, 12)) {
    if (c >= '0' && c <= '7') member.size_bytes = member.size_bytes * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return member;
}

// A tar archive whose members are those of torch.save up to 0.1.9.
Result<Sniffed> sniff_tar(const Source& source) {
  constexpr std::array kMembers = {"sys_info"sv, "pickle"sv, "tensors"sv, "storages"sv};
  constexpr int kLookedAt = 8;  // pax headers stand before each
  std::array<std::byte, 512> block{};
  std::uint64_t at = 0;
  for (int i = 0; i < kLookedAt && range_fits<std::uint64_t>(at, block.size(), source.size_bytes()); ++i) {
    RUSHLIGHT_TRY(source.read_at(at, block));
    const std::optional<TarMember> member = tar_member(as_text(block));
    if (!member) break;
    if (std::find(kMembers.begin(), kMembers.end(), member->name) != kMembers.end()) {
      return Sniffed{Container::tar, FileKind::torch_tar, {}};
    }
    const auto next = checked_add(at, (member->size_bytes + 511) / 512 * 512 + 512);
    if (!next) break;
    at = *next;
  }
  return foreign("a tar archive", "unpack it first: tar -xf FILE");
}

std::size_t leading_zeros(std::string_view bytes) noexcept {
  const std::size_t first = bytes.find_first_not_of('\0');
  return first == std::string_view::npos ? bytes.size() : first;
}

Result<std::string> read_text(const Source& source, std::uint64_t offset, std::uint64_t size_bytes) {
  std::string text(static_cast<std::size_t>(size_bytes), '\0');
  RUSHLIGHT_TRY(source.read_at(offset, std::as_writable_bytes(std::span<char>(text))));
  return text;
}

// Files that were allocated and never written, and files whose beginning was lost.
Result<std::optional<Sniffed>> sniff_zeros(const Source& source, std::string_view head) {
  if (leading_zeros(head) < std::min<std::size_t>(head.size(), 512)) return std::optional<Sniffed>();
  const std::uint64_t size_bytes = source.size_bytes();
  const bool whole = size_bytes <= kReadWholeBytes;
  const std::uint64_t sample_bytes = whole ? size_bytes : kSampleBytes;
  RUSHLIGHT_TRY_ASSIGN(const std::string first, read_text(source, 0, sample_bytes));
  RUSHLIGHT_TRY_ASSIGN(const std::string last, read_text(source, size_bytes - sample_bytes, sample_bytes));
  const std::size_t zeros = leading_zeros(first);
  if (zeros < first.size() || leading_zeros(last) < last.size()) {
    const std::string at_least = zeros == first.size() && !whole ? "at least " : "";
    Sniffed sniffed = foreign("damaged: it begins with " + at_least + std::to_string(zeros) + " zero bytes",
                              "the download or the disk lost its beginning: fetch it again");
    sniffed.container = Container::unknown;
    return std::optional(std::move(sniffed));
  }
  const std::string what = whole
                               ? "all zero (" + std::to_string(size_bytes) + " bytes)"
                               : "zero in its first and last 64 KiB (" + std::to_string(size_bytes) + " bytes in all)";
  return std::optional(foreign(what, "a save or download was interrupted: restore it from a copy, or fetch it again"));
}

}  // namespace

Result<Sniffed> sniff(const Source& source) {
  const std::uint64_t size_bytes = source.size_bytes();
  if (size_bytes == 0) {
    return foreign("empty", "a save or download was interrupted: restore it from a copy, or fetch it again");
  }
  RUSHLIGHT_TRY_ASSIGN(const std::string head_bytes, read_text(source, 0, std::min(size_bytes, kHeadBytes)));
  const std::string_view head = head_bytes;
  if (head.starts_with("PK\3\4") || head.starts_with("PK\5\6")) return Sniffed{Container::zip, FileKind::unknown, {}};

  if (std::optional<Sniffed> pickle = sniff_pickle(head)) return *std::move(pickle);
  if (head.starts_with("GGUF")) return Sniffed{Container::gguf, FileKind::gguf, {}};
  if (head.starts_with("\x93NUMPY")) return Sniffed{Container::npy, FileKind::npy, {}};
  for (const Signature& row : kSignatures) {
    if (head.size() >= row.at + row.bytes.size() && head.substr(row.at, row.bytes.size()) == row.bytes) {
      return Sniffed{Container::other, row.kind, refuse(row)};
    }
  }
  if (is_safetensors(head, size_bytes)) {
    return Sniffed{Container::safetensors, FileKind::safetensors, {}};
  }
  if (tar_member(head)) return sniff_tar(source);
  if (is_onnx(head)) {
    return foreign("an ONNX model", "export the weights from the original model with torch.save");
  }
  RUSHLIGHT_TRY_ASSIGN(std::optional<Sniffed> zeros, sniff_zeros(source, head));
  if (zeros) return *std::move(zeros);
  if (std::optional<Sniffed> text = sniff_text(head)) return *std::move(text);
  Sniffed unknown = foreign("no checkpoint that is known here: it begins with " + quoted(head.substr(0, 8)),
                            "files of torch.save begin with 'PK' (or, before 1.6, with the bytes 80 02 8a 0a)");
  unknown.container = Container::unknown;
  unknown.refusal->finding.code = "KIND-UNKNOWN";
  return unknown;
}

std::string transport_damage(const Source& source) {
  const Result<std::string> sample = read_text(source, 0, std::min(source.size_bytes(), kSampleBytes));
  if (!sample) return {};
  const std::string_view text = *sample;
  std::size_t line_feeds = 0;
  std::size_t carriage_returns = 0;  // in front of them
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n') continue;
    ++line_feeds;
    if (i > 0 && text[i - 1] == '\r') ++carriage_returns;
  }
  constexpr std::size_t kEnough = 4;
  if (line_feeds >= kEnough && carriage_returns == line_feeds) {
    return "every line feed has a carriage return before it: the file went through a transfer in text mode (ftp, git "
           "with autocrlf); fetch it again in binary mode";
  }
  std::size_t replaced = 0;
  for (std::size_t at = text.find("\xEF\xBF\xBD"); at != std::string_view::npos;
       at = text.find("\xEF\xBF\xBD", at + 3)) {
    ++replaced;
  }
  std::string_view whole = text;
  for (int i = 0; i < 3 && !is_valid_utf8(whole); ++i) whole.remove_suffix(1);
  if (replaced >= kEnough && is_valid_utf8(whole)) {
    return "bytes were replaced by U+FFFD: the file was read as text and written back; fetch it again in binary mode";
  }
  return {};
}

}  // namespace rushlight::open
