#include "doors/json_syntax.hpp"

#include <algorithm>
#include <vector>

#include "base/quote.hpp"

namespace rushlight::doors {
namespace {

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
bool is_hex_digit(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Checker {
 public:
  Checker(std::string_view text, std::size_t max_depth) : text_(text), max_depth_(max_depth) {}

  std::optional<JsonError> run() {
    if (!check()) return located();
    return std::nullopt;
  }

 private:
  enum class Container : bool { array, object };

  bool check() {
    if (!value()) return false;
    // After a value: what may follow it depends on what it lies in.
    while (!open_.empty()) {
      skip_space();
      const bool in_object = open_.back() == Container::object;
      if (accept(',')) {
        if (!(in_object ? member() : value())) return false;
      } else if (accept(in_object ? '}' : ']')) {
        open_.pop_back();
      } else {
        return fail(in_object ? "',' or '}'" : "',' or ']'");
      }
    }
    skip_space();
    return at_end() || fail("the end of the text");
  }

  // A scalar, an empty container, or the beginning of one up to and with its first value.
  bool value() {
    while (true) {
      skip_space();
      if (at_end()) return fail("a value");
      const char c = text_[at_];
      if (c == '"') return string();
      if (c == '-' || is_digit(c)) return number();
      if (c == 't') return word("true");
      if (c == 'f') return word("false");
      if (c == 'n') return word("null");
      if (c != '{' && c != '[') return fail("a value");
      if (open_.size() == max_depth_) return fail("at most " + std::to_string(max_depth_) + " levels of nesting");
      ++at_;
      skip_space();
      if (accept(c == '{' ? '}' : ']')) return true;
      open_.push_back(c == '{' ? Container::object : Container::array);
      if (c == '{' && !key()) return false;
    }
  }

  bool member() { return key() && value(); }

  bool key() {
    skip_space();
    if (at_end() || text_[at_] != '"') return fail("a key in double quotes");
    if (!string()) return false;
    skip_space();
    return accept(':') || fail("':'");
  }

  bool string() {
    const std::size_t begin = ++at_;
    while (!at_end() && text_[at_] != '"') {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c < 0x20) return fail("no bare control character in a string");
      ++at_;
      if (c != '\\') continue;
      if (at_end()) break;
      const char escape = text_[at_];
      if (std::string_view("\"\\/bfnrtu").find(escape) == std::string_view::npos) return fail("an escape of JSON");
      ++at_;
      if (escape != 'u') continue;
      for (int i = 0; i < 4; ++i, ++at_) {
        if (at_end() || !is_hex_digit(text_[at_])) return fail("four hexadecimal digits");
      }
    }
    if (at_end()) return fail("'\"' at the end of the string");
    if (!is_valid_utf8(text_.substr(begin, at_ - begin))) {
      at_ = begin;
      return fail("a string of valid UTF-8");
    }
    ++at_;
    return true;
  }

  bool digits() {
    if (at_end() || !is_digit(text_[at_])) return fail("a digit");
    while (!at_end() && is_digit(text_[at_])) ++at_;
    return true;
  }

  bool number() {
    accept('-');
    if (accept('0')) {
      if (!at_end() && is_digit(text_[at_])) return fail("no digit after a leading 0");
    } else if (!digits()) {
      return false;
    }
    if (accept('.') && !digits()) return false;
    if (accept('e') || accept('E')) {
      if (!accept('+')) accept('-');
      if (!digits()) return false;
    }
    return true;
  }

  bool word(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return fail("a value");
    at_ += expected.size();
    return true;
  }

  void skip_space() noexcept {
    while (!at_end() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool accept(char c) noexcept {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }

  bool fail(std::string_view expected) {
    expected_ = expected;
    return false;
  }

  [[nodiscard]] JsonError located() const {
    const std::string_view before = text_.substr(0, at_);
    const auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
    const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    // A whole character, or what is left of one.
    std::size_t length = at_end() ? 0 : 1;
    while (length > 0 && at_ + length < text_.size() &&
           (static_cast<unsigned char>(text_[at_ + length]) & 0xC0) == 0x80) {
      ++length;
    }
    const std::string found =
        at_end() ? "the end of the text" : quoted(text_.substr(at_, std::min<std::size_t>(length, 4)));
    return {at_, line, at_ - line_start + 1, "expected " + expected_ + ", found " + found};
  }

  std::string_view text_;
  std::size_t max_depth_;
  std::size_t at_ = 0;
  std::vector<Container> open_;
  std::string expected_;
};

}  // namespace

std::optional<JsonError> find_json_error(std::string_view text, std::size_t max_depth) {
  return Checker(text, max_depth).run();
}

}  // namespace rushlight::doors
