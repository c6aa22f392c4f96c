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

Status read_value(const JsonElement& value, const std::string& where, IntPair& out) {
  if (const std::optional<std::int64_t> both = integer(value)) {
    out = IntPair(*both);
    return {};
  }
  simdjson::dom::array pair;
  if (value.get(pair) == simdjson::SUCCESS && pair.size() == 2) {
    std::int64_t sizes[2] = {};
    std::size_t count = 0;
    for (const JsonElement item : pair) {
      const std::optional<std::int64_t> size = integer(item);
      if (!size) return expected_error(where, "two integers", json_text(item));
      sizes[count++] = *size;
    }
    out = IntPair(sizes[0], sizes[1]);
    return {};
  }
  return expected_error(where, "an integer or [height, width]", json_text(value));
}

Status read_value(const JsonElement& value, const std::string& where, Padding& out) {
  std::string_view word;
  if (value.get(word) == simdjson::SUCCESS) {
    if (word == "same") {
      out = Padding::same();
    } else if (word == "valid") {
      out = Padding::valid();
    } else {
      return expected_error(where, "an integer, [height, width], 'same' or 'valid'", json_text(value));
    }
    return {};
  }
  IntPair amounts;
  RUSHLIGHT_TRY(read_value(value, where, amounts));
  out = Padding(amounts);
  return {};
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
