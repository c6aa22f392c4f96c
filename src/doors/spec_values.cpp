#include "doors/spec_values.hpp"

#include <charconv>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
namespace rushlight::doors {
namespace {

using simdjson::dom::element_type;

constexpr std::size_t kShownBytes = 60;

// nullopt when the value is no integer of 64 bits.
std::optional<std::int64_t> integer(const JsonElement& value) noexcept {
  std::int64_t number = 0;
  if (value.type() != element_type::INT64 || value.get(number) != simdjson::SUCCESS) return std::nullopt;
  return number;
}

}  // namespace

std::string json_text(const JsonElement& value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::INT64: {
      std::int64_t number = 0;
      if (value.get(number) == simdjson::SUCCESS) return std::to_string(number);
      break;
    }
    case element_type::UINT64: {
      std::uint64_t number = 0;
      if (value.get(number) == simdjson::SUCCESS) return std::to_string(number);
      break;
    }
    case element_type::DOUBLE: {
      double number = 0;
      if (value.get(number) != simdjson::SUCCESS) break;
      char text[64];
      const auto end = std::to_chars(text, text + sizeof text, number);
      return {text, end.ptr};
    }
    case element_type::STRING: {
      std::string_view text;
      if (value.get(text) == simdjson::SUCCESS) return rushlight::quoted(text, kShownBytes);
      break;
    }
    case element_type::BOOL: {
      bool truth = false;
      if (value.get(truth) == simdjson::SUCCESS) return truth ? "true" : "false";
      break;
    }
    case element_type::NULL_VALUE:
      return "null";
  }
  return "something else";
}

Error spec_error(std::string code, const std::string& where, std::string message, std::string hint) {
  return Error::of(ErrorCode::invalid_argument,
                   {.category = Category::model,
                    .code = std::move(code),
                    .message = "spec: " + (where.empty() ? "" : where + ": ") + std::move(message),
                    .hint = std::move(hint)});
}

Error expected_error(const std::string& where, std::string expected, std::string found) {
  Error error = spec_error("SPEC-VALUE", where, "expected " + expected + ", found " + found);
  error.finding.expected = std::move(expected);
  error.finding.found = std::move(found);
  return error;
}

Status read_value(const JsonElement& value, const std::string& where, bool& out) {
  if (value.get(out) == simdjson::SUCCESS) return {};
  return expected_error(where, "true or false", json_text(value));
}

Status read_value(const JsonElement& value, const std::string& where, double& out) {
  if (value.is_number() && value.get(out) == simdjson::SUCCESS) return {};
  return expected_error(where, "a number", json_text(value));
}

Status read_value(const JsonElement& value, const std::string& where, std::int64_t& out) {
  const std::optional<std::int64_t> number = integer(value);
  if (!number) return expected_error(where, "an integer", json_text(value));
  out = *number;
  return {};
}

namespace {

// As many integers as `names` says: "[height, width]".
template <std::size_t Count>
Status read_integers(const JsonElement& value, const std::string& where, const char* words, const char* names,
                     std::int64_t (&out)[Count]) {
  if (const std::optional<std::int64_t> all = integer(value)) {
    for (std::int64_t& size : out) size = *all;
    return {};
  }
  simdjson::dom::array items;
  if (value.get(items) != simdjson::SUCCESS || items.size() != Count) {
    return expected_error(where, std::string("an integer or ") + names, json_text(value));
  }
  std::size_t count = 0;
  for (const JsonElement item : items) {
    const std::optional<std::int64_t> size = integer(item);
    if (!size) return expected_error(where, words, json_text(item));
    out[count++] = *size;
  }
  return {};
}

template <class Amount>
Status read_padding(const JsonElement& value, const std::string& where, const char* amounts,
                    BasicPadding<Amount>& out) {
  std::string_view word;
  if (value.get(word) == simdjson::SUCCESS) {
    if (word == "same") {
      out = BasicPadding<Amount>::same();
    } else if (word == "valid") {
      out = BasicPadding<Amount>::valid();
    } else {
      return expected_error(where, std::string(amounts) + ", 'same' or 'valid'", json_text(value));
    }
    return {};
  }
  Amount amount{};
  RUSHLIGHT_TRY(read_value(value, where, amount));
  out = BasicPadding<Amount>(amount);
  return {};
}

}  // namespace

Status read_value(const JsonElement& value, const std::string& where, IntPair& out) {
  std::int64_t sizes[2] = {};
  RUSHLIGHT_TRY(read_integers(value, where, "two integers", "[height, width]", sizes));
  out = IntPair(sizes[0], sizes[1]);
  return {};
}
Status read_value(const JsonElement& value, const std::string& where, IntTriple& out) {
  std::int64_t sizes[3] = {};
  RUSHLIGHT_TRY(read_integers(value, where, "three integers", "[depth, height, width]", sizes));
  out = IntTriple(sizes[0], sizes[1], sizes[2]);
  return {};
}
Status read_value(const JsonElement& value, const std::string& where, Padding1d& out) {
  return read_padding(value, where, "an integer", out);
}
Status read_value(const JsonElement& value, const std::string& where, Padding& out) {
  return read_padding(value, where, "an integer, [height, width]", out);
}
Status read_value(const JsonElement& value, const std::string& where, Padding3d& out) {
  return read_padding(value, where, "an integer, [depth, height, width]", out);
}

Status read_value(const JsonElement& value, const std::string& where, Shape& out) {
  if (const std::optional<std::int64_t> number = integer(value)) {
    out = {*number};
    return {};
  }
  simdjson::dom::array items;
  if (value.get(items) != simdjson::SUCCESS) return expected_error(where, "an array of integers", json_text(value));
  for (const JsonElement item : items) {
    std::int64_t number = 0;
    RUSHLIGHT_TRY(read_value(item, where + "[" + std::to_string(out.size()) + "]", number));
    out.push_back(number);
  }
  return {};
}

Status read_value(const JsonElement& value, const std::string& where, std::optional<double>& out) {
  double number = 0;
  RUSHLIGHT_TRY(read_value(value, where, number));
  out = number;
  return {};
}
Status read_value(const JsonElement& value, const std::string& where, std::optional<std::int64_t>& out) {
  std::int64_t number = 0;
  RUSHLIGHT_TRY(read_value(value, where, number));
  out = number;
  return {};
}

Status read_value(const JsonElement& value, const std::string& where, const model::WordField& out) {
  std::string_view word;
  if (value.get(word) == simdjson::SUCCESS && out.set(word)) return {};
  std::string expected;
  for (const std::string_view known : out.words)
    expected += (expected.empty() ? "'" : ", '") + std::string(known) + "'";
  return expected_error(where, expected, json_text(value));
}

Status read_value(const JsonElement& value, const std::string& where, std::string& out) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return expected_error(where, "a string", json_text(value));
  out = std::string(text);
  return {};
}

Status read_value(const JsonElement& value, const std::string& where, std::vector<std::string>& out) {
  simdjson::dom::array items;
  if (value.get(items) != simdjson::SUCCESS) return expected_error(where, "an array of strings", json_text(value));
  for (const JsonElement item : items) {
    std::string text;
    RUSHLIGHT_TRY(read_value(item, where + "[" + std::to_string(out.size()) + "]", text));
    out.push_back(std::move(text));
  }
  return {};
}

Status read_value(const JsonElement& value, const std::string& where, std::vector<double>& out) {
  if (value.is_number()) {
    RUSHLIGHT_TRY(read_value(value, where, out.emplace_back()));
    return {};
  }
  simdjson::dom::array items;
  if (value.get(items) != simdjson::SUCCESS) return expected_error(where, "an array of numbers", json_text(value));
  for (const JsonElement item : items) {
    double number = 0;
    RUSHLIGHT_TRY(read_value(item, where + "[" + std::to_string(out.size()) + "]", number));
    out.push_back(number);
  }
  return {};
}

}  // namespace rushlight::doors
