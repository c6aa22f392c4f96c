#include "base/quote.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/hex_digits.hpp"

namespace rushlight {
namespace {

enum class SequenceKind : std::uint8_t { scalar, surrogate, invalid };

struct Sequence {
  SequenceKind kind = SequenceKind::invalid;
  std::uint32_t code_point = 0;  // the byte itself when invalid
  std::size_t bytes = 1;
};

// One UTF-8 sequence by the table of well-formed sequences (Unicode 15, table 3-7); an ill-formed one is taken a byte
// at a time. Surrogates (ED A0..BF xx) are told apart, because Python's "surrogatepass" writes them.
Sequence next_sequence(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {SequenceKind::scalar, lead, 1};
  if (lead >= 0xC2 && lead <= 0xDF && continues(1)) {
    return {SequenceKind::scalar, (lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  }
  if (lead >= 0xE0 && lead <= 0xEF && continues(1) && continues(2)) {
    const std::uint32_t code_point = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    if (code_point >= 0xD800 && code_point <= 0xDFFF) return {SequenceKind::surrogate, code_point, 3};
    if (code_point >= 0x800) return {SequenceKind::scalar, code_point, 3};
  }
  if (lead >= 0xF0 && lead <= 0xF4 && continues(1) && continues(2) && continues(3)) {
    const std::uint32_t code_point =
        (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    if (code_point >= 0x10000 && code_point <= 0x10FFFF) return {SequenceKind::scalar, code_point, 4};
  }
  return {SequenceKind::invalid, lead, 1};
}

// Characters that a terminal obeys instead of showing, or that reorder or hide their neighbours.
bool is_deceptive(std::uint32_t code_point) noexcept {
  struct Range {
    std::uint32_t first, last;
  };
  static constexpr std::array<Range, 11> kRanges{{
      {0x0000, 0x001F},    // C0 controls
      {0x007F, 0x009F},    // DEL and C1 controls
      {0x00AD, 0x00AD},    // soft hyphen
      {0x061C, 0x061C},    // Arabic letter mark
      {0x180E, 0x180E},    // Mongolian vowel separator
      {0x200B, 0x200F},    // zero-width characters, left-to-right and right-to-left marks
      {0x2028, 0x202E},    // line and paragraph separator, bidirectional embeddings and overrides
      {0x2060, 0x206F},    // word joiner, invisible operators, bidirectional isolates
      {0xFEFF, 0xFEFF},    // byte order mark
      {0xFFF9, 0xFFFB},    // interlinear annotation
      {0xE0000, 0xE0FFF},  // tags and variation selectors
  }};
  return std::any_of(kRanges.begin(), kRanges.end(),
                     [&](const Range& range) { return code_point >= range.first && code_point <= range.last; });
}

void append_hex(std::string& out, std::uint32_t value, unsigned digits) {
  while (digits-- > 0) out += kHexDigits[value >> (4 * digits) & 15];
}

void append_escaped(std::string& out, const Sequence& sequence, std::string_view bytes) {
  const std::uint32_t code_point = sequence.code_point;
  if (sequence.kind == SequenceKind::invalid) {
    out += "\\x";
    append_hex(out, code_point, 2);
  } else if (code_point == '\n') {
    out += "\\n";
  } else if (code_point == '\r') {
    out += "\\r";
  } else if (code_point == '\t') {
    out += "\\t";
  } else if (code_point == '\\' || code_point == '\'' || code_point == '"') {
    out += '\\';
    out += bytes;
  } else if (sequence.kind == SequenceKind::scalar && !is_deceptive(code_point)) {
    out += bytes;
  } else if (code_point < 0x80) {
    out += "\\x";
    append_hex(out, code_point, 2);
  } else if (code_point < 0x10000) {
    out += "\\u";
    append_hex(out, code_point, 4);
  } else {
    out += "\\U";
    append_hex(out, code_point, 8);
  }
}

bool is_utf8(std::string_view text, bool surrogates_pass) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const Sequence sequence = next_sequence(text.substr(i));
    if (sequence.kind == SequenceKind::invalid) return false;
    if (sequence.kind == SequenceKind::surrogate && !surrogates_pass) return false;
    i += sequence.bytes;
  }
  return true;
}

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_but_for_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

// True when one is the other behind a dotted or slashed prefix: "fc1.weight" and "module.fc1.weight".
bool shares_tail(std::string_view a, std::string_view b) noexcept {
  if (a.size() > b.size()) std::swap(a, b);
  if (a.empty() || a.size() == b.size() || !b.ends_with(a)) return false;
  const char before = b[b.size() - a.size() - 1];
  return before == '.' || before == '/';
}

// Longer names are not misspelt by hand; the bound also keeps hostile names cheap.
constexpr std::size_t kLongestTyped = 128;

// Optimal string alignment distance (insert, delete, replace, swap neighbours), letters compared without case; a
// value above `most` when it exceeds that. Needs both lengths <= kLongestTyped.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t most) noexcept {
  const std::size_t length_difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (length_difference > most) return most + 1;
  using Row = std::array<std::size_t, kLongestTyped + 1>;
  std::array<Row, 3> rows;  // of which the first b.size() + 1 entries are used
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    Row& row = rows[i % 3];
    const Row& above = rows[(i + 2) % 3];
    const Row& two_above = rows[(i + 1) % 3];
    row[0] = i;
    std::size_t best = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      std::size_t cost = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) cost = std::min(cost, two_above[j - 2] + 1);
      row[j] = cost;
      best = std::min(best, cost);
    }
    if (best > most) return most + 1;
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string escaped(std::string_view text, std::size_t max_bytes) {
  std::string out;
  out.reserve(std::min(text.size(), max_bytes) + 3);
  for (std::size_t i = 0; i < text.size();) {
    const Sequence sequence = next_sequence(text.substr(i));
    // A character that does not fit whole is left out, unless the text ends with it inside the budget.
    if (sequence.bytes > max_bytes - i) {
      out += "...";
      break;
    }
    append_escaped(out, sequence, text.substr(i, sequence.bytes));
    i += sequence.bytes;
  }
  return out;
}

std::string quoted(std::string_view text, std::size_t max_bytes) {
  // Not "'" + ...: at -O3 g++ 12 takes that for an overlapping copy (GCC PR 105651).
  std::string out(1, '\'');
  out += escaped(text, max_bytes);
  out += '\'';
  return out;
}

bool is_valid_utf8(std::string_view text) noexcept {
  return is_utf8(text, false);
}
bool is_valid_utf8_surrogatepass(std::string_view text) noexcept {
  return is_utf8(text, true);
}

std::vector<std::string> nearest(std::string_view wanted, std::span<const std::string> candidates, std::size_t count) {
  struct Match {
    std::size_t score, length_difference;
    const std::string* candidate;
  };
  // A third of the letters may be wrong, at least one; a typo in a long name is still a handful of letters.
  const std::size_t most = std::clamp<std::size_t>(wanted.size() / 3, 1, 8);
  std::vector<Match> matches;
  for (const std::string& candidate : candidates) {
    const std::size_t length_difference =
        candidate.size() > wanted.size() ? candidate.size() - wanted.size() : wanted.size() - candidate.size();
    if (equal_but_for_case(wanted, candidate)) {
      matches.push_back({0, length_difference, &candidate});
    } else if (shares_tail(wanted, candidate)) {
      matches.push_back({1, length_difference, &candidate});
    } else if (!wanted.empty() && wanted.size() <= kLongestTyped && candidate.size() <= kLongestTyped) {
      const std::size_t distance = edit_distance(wanted, candidate, most);
      // A distance of the whole length shares nothing: "a" is no misspelling of "b".
      if (distance <= most && distance < std::max(wanted.size(), candidate.size())) {
        matches.push_back({1 + distance, length_difference, &candidate});
      }
    }
  }
  std::stable_sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    return std::pair(a.score, a.length_difference) < std::pair(b.score, b.length_difference);
  });
  std::vector<std::string> names;
  for (const Match& match : matches) {
    if (names.size() == count) break;
    if (std::find(names.begin(), names.end(), *match.candidate) == names.end()) names.push_back(*match.candidate);
  }
  return names;
}

}  // namespace rushlight
