#include "open/name_pattern.hpp"

#include <cstddef>

namespace rushlight::open {
namespace {

// One element of a pattern, at `at`: whether it takes the character, and where the next element begins.
struct Element {
  bool takes = false;
  std::size_t next = 0;
};

// [abc], [a-z], [!a-z]; a bracket that is never closed, or holds nothing, stands for itself.
Element bracket(std::string_view pattern, std::size_t at, char c) noexcept {
  std::size_t i = at + 1;
  const bool inverted = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (inverted) ++i;
  const std::size_t first = i;
  bool found = false;
  for (; i < pattern.size() && (pattern[i] != ']' || i == first); ++i) {
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      found = found || (pattern[i] <= c && c <= pattern[i + 2]);
      i += 2;
    } else {
      found = found || pattern[i] == c;
    }
  }
  if (i == pattern.size()) return {c == '[', at + 1};
  return {found != inverted, i + 1};
}

enum class Brackets { sets, characters };

Element element(std::string_view pattern, std::size_t at, char c, Brackets brackets) noexcept {
  if (pattern[at] == '?') return {true, at + 1};
  if (pattern[at] == '[' && brackets == Brackets::sets) return bracket(pattern, at, c);
  return {pattern[at] == c, at + 1};
}

bool matches(std::string_view pattern, std::string_view name, Brackets brackets) noexcept {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;  // behind the last one, and what it has taken up to
  std::size_t taken = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      taken = n;
      continue;
    }
    if (p < pattern.size()) {
      const Element next = element(pattern, p, name[n], brackets);
      if (next.takes) {
        p = next.next;
        ++n;
        continue;
      }
    }
    if (star == std::string_view::npos) return false;
    p = star;
    n = ++taken;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

bool is_glob(std::string_view pattern) noexcept {
  return pattern.find_first_of("*?[") != std::string_view::npos;
}

bool matches_glob(std::string_view pattern, std::string_view name) noexcept {
  return matches(pattern, name, Brackets::sets) || matches(pattern, name, Brackets::characters);
}

}  // namespace rushlight::open
