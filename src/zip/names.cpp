#include "zip/names.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <vector>

#include "zip/archive.hpp"
#include "zip/failure.hpp"
#include "zip/siphash.hpp"

namespace rushlight::zip {
namespace {

#include "zip/unicode_tables.inc"

bool is_ascii_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// --- folding beyond ASCII -----------------------------------------------------------------------------------------

constexpr std::uint32_t kHangulFirst = 0xAC00;
constexpr std::uint32_t kHangulCount = 11172;

bool is_mark(std::uint32_t code) noexcept {
  if (code < 0x300) return false;
  const auto after =
      std::upper_bound(kCombiningMarks.begin(), kCombiningMarks.end(), std::uint64_t{code} << 32 | 0xFFFFFFFF);
  return after != kCombiningMarks.begin() && code <= static_cast<std::uint32_t>(*(after - 1));
}

// Appends the canonical decomposition (Unicode 3.7; Hangul 3.12).
void decompose(std::uint32_t code, std::vector<std::uint32_t>& out) {
  if (code < 0xC0) {
    out.push_back(code);
    return;
  }
  if (code - kHangulFirst < kHangulCount) {
    const std::uint32_t index = code - kHangulFirst;
    out.push_back(0x1100 + index / 588);
    out.push_back(0x1161 + index % 588 / 28);
    if (index % 28 != 0) out.push_back(0x11A7 + index % 28);
    return;
  }
  const auto found = std::lower_bound(kDecompositions.begin(), kDecompositions.end(), std::uint64_t{code} << 42);
  if (found == kDecompositions.end() || *found >> 42 != code) {
    out.push_back(code);
    return;
  }
  constexpr std::uint32_t kMask = (1u << 21) - 1;
  const auto second = static_cast<std::uint32_t>(*found) & kMask;
  decompose(static_cast<std::uint32_t>(*found >> 21) & kMask, out);  // at most four deep
  if (second != 0) decompose(second, out);
}

// One character, or one byte of what is not UTF-8, which is told apart by a value beyond Unicode.
std::uint32_t next_character(std::string_view text, std::size_t& at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t lead = byte(at);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size() - at || !is_valid_utf8(text.substr(at, length))) {
    return 0x110000 + byte(at++);
  }
  std::uint32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(at + i) & 0x3F);
  at += length;
  return code;
}

// Runs of marks are sorted by their number, not by their class as normalisation would: names that differ only in the
// order of their marks fold together, which errs on the safe side and needs no further table.
void fold_unicode(std::string& folded) {
  std::vector<std::uint32_t> characters;
  characters.reserve(folded.size());
  for (std::size_t at = 0; at < folded.size();) decompose(next_character(folded, at), characters);
  for (auto begin = characters.begin(); begin != characters.end();) {
    const auto end = std::find_if_not(begin, characters.end(), is_mark);
    std::sort(begin, end);
    begin = end == characters.end() ? end : end + 1;
  }
  // Four bytes a character: it is compared and hashed, never shown.
  folded.resize(characters.size() * 4);
  for (std::size_t i = 0; i < characters.size(); ++i) {
    // Decomposition lays bare the letter under an accent.
    const std::uint32_t code = characters[i] >= 'A' && characters[i] <= 'Z' ? characters[i] + 0x20 : characters[i];
    for (std::size_t k = 0; k < 4; ++k) folded[4 * i + k] = static_cast<char>(code >> (8 * k) & 0xFF);
  }
}

}  // namespace

bool is_plain_name(std::string_view name) noexcept {
  enum Class : std::uint8_t { other, word, separator };
  static constexpr auto kClasses = [] {
    std::array<Class, 256> classes{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789_-")) {
      classes[static_cast<unsigned char>(c)] = word;
    }
    classes['/'] = classes['.'] = separator;
    return classes;
  }();
  Class last = separator;
  for (const char c : name) {
    const Class now = kClasses[static_cast<unsigned char>(c)];
    if (now == other || (now == separator && last == separator)) return false;
    last = now;
  }
  return last == word;
}

NameFault name_fault(std::string_view name) noexcept {
  if (name.empty()) return {"is empty"};
  if (name[0] == '/') return {"is an absolute path"};
  if (name.size() >= 2 && name[1] == ':' && is_ascii_letter(name[0])) return {"begins with a drive letter"};
  std::size_t component = 0;  // where it begins
  for (std::size_t i = 0; i <= name.size(); ++i) {
    const char c = i < name.size() ? name[i] : '/';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return {"has a control character", false, i};
    if (c == '\\') return {"has a backslash, which some readers take for a slash", true, i};
    if (c != '/') continue;
    const std::string_view part = name.substr(component, i - component);
    if (part.empty() && i < name.size()) return {"has an empty component", true, i};
    if (part == ".") return {"has the component '.'", true, component};
    if (part == "..") return {"leaves its folder by '..'", false, component};
    component = i + 1;
  }
  return {};
}

namespace {

// Names as torch writes them: nothing to fold.
bool is_folded(std::string_view name) noexcept {
  char last = '\0';
  for (const char c : name) {
    if ((c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80) return false;
    if (c == '/' && (last == ' ' || last == '.')) return false;
    last = c;
  }
  return last != ' ' && last != '.' && last != '/';
}

}  // namespace

void fold_name(std::string_view name, std::string& folded) {
  folded.clear();
  bool ascii = true;
  // Spaces and dots wait until something follows them in their component.
  std::size_t kept = 0;  // folded up to here is certain
  for (const char c : name) {
    if (c == '/') folded.resize(kept);
    ascii = ascii && static_cast<unsigned char>(c) < 0x80;
    folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (c != ' ' && c != '.') kept = folded.size();
  }
  folded.resize(kept);
  if (!folded.empty() && folded.back() == '/') folded.pop_back();
  if (!ascii) fold_unicode(folded);
}

Status NameIndex::prepare(std::size_t capacity, std::uint64_t key) {
  key_ = key;
  const std::size_t slots = std::bit_ceil(2 * capacity + 2);
  slots_.reset(new (std::nothrow) Slot[slots]);
  if (slots_ == nullptr) return no_memory_for(slots * sizeof(Slot), "the index of names");
  mask_ = slots - 1;
  return {};
}

namespace {

// The folded name: the name itself, or made in `scratch`.
std::string_view folded_name(std::string_view name, std::string& scratch) {
  if (is_folded(name)) return name;
  fold_name(name, scratch);
  return scratch;
}

}  // namespace

std::uint64_t NameIndex::hash(std::string_view folded) const noexcept {
  return siphash_1_3(as_byte_span(folded), key_, ~key_);
}

std::size_t NameIndex::insert(std::span<const Entry> entries, std::size_t index) {
  const std::string_view folded = folded_name(entries[index].name, scratch_);
  const std::uint64_t hash_value = hash(folded);
  const auto tag = static_cast<std::uint32_t>(hash_value >> 32);
  for (std::size_t at = hash_value & mask_;; at = (at + 1) & mask_) {
    Slot& slot = slots_[at];
    if (slot.index == 0) {
      slot = {tag, static_cast<std::uint32_t>(index + 1)};
      return index;
    }
    if (slot.tag != tag) continue;
    if (folded_name(entries[slot.index - 1].name, other_) == folded) return slot.index - 1;
  }
}

std::size_t NameIndex::find(std::span<const Entry> entries, std::string_view name) const {
  std::string scratch, other;
  const std::string_view folded = folded_name(name, scratch);
  const std::uint64_t hash_value = hash(folded);
  const auto tag = static_cast<std::uint32_t>(hash_value >> 32);
  for (std::size_t at = hash_value & mask_;; at = (at + 1) & mask_) {
    const Slot& slot = slots_[at];
    if (slot.index == 0) return entries.size();
    if (slot.tag != tag) continue;
    // Equal names fold alike; most look-ups end here.
    if (entries[slot.index - 1].name == name) return slot.index - 1;
    if (folded_name(entries[slot.index - 1].name, other) == folded) return slot.index - 1;
  }
}

}  // namespace rushlight::zip
