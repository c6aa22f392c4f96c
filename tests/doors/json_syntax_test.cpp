#include "doors/json_syntax.hpp"

#include <gtest/gtest.h>

#include <simdjson.h>

#include <string>

namespace rushlight::doors {
namespace {

constexpr std::size_t kDepth = 16;

std::string error_in(std::string_view text) {
  const std::optional<JsonError> error = find_json_error(text, kDepth);
  if (!error) return "none";
  return std::to_string(error->line) + ":" + std::to_string(error->column) + " " + error->message;
}

TEST(JsonSyntax, SaysNothingAboutJson) {
  for (const char* text : {"{}", "[]", " [1, -2.5e+3, 0, 1E5, 0.5] ",
                           R"({"a": {"b": [true, false, null]}, "c": "é\n\u00e9"})", "\"x\"", "-0"}) {
    EXPECT_EQ(error_in(text), "none") << text;
  }
}

TEST(JsonSyntax, NamesTheLineAndTheColumnOfTheFirstError) {
  EXPECT_EQ(error_in(""), "1:1 expected a value, found the end of the text");
  EXPECT_EQ(error_in("{\"a\": 1,\n \"b\": 2,\n}"), "3:1 expected a key in double quotes, found '}'");
  EXPECT_EQ(error_in("[1, 2,]"), "1:7 expected a value, found ']'");
  EXPECT_EQ(error_in("[1 2]"), "1:4 expected ',' or ']', found '2'");
  EXPECT_EQ(error_in("{\"a\" 1}"), "1:6 expected ':', found '1'");
  EXPECT_EQ(error_in("{\"a\": 1 \"b\": 2}"), "1:9 expected ',' or '}', found '\\\"'");
  EXPECT_EQ(error_in("{'a': 1}"), "1:2 expected a key in double quotes, found '\\''");
  EXPECT_EQ(error_in("[True]"), "1:2 expected a value, found 'T'");
  EXPECT_EQ(error_in("[tru]"), "1:2 expected a value, found 't'");
  EXPECT_EQ(error_in("[01]"), "1:3 expected no digit after a leading 0, found '1'");
  EXPECT_EQ(error_in("[1.]"), "1:4 expected a digit, found ']'");
  EXPECT_EQ(error_in("[-]"), "1:3 expected a digit, found ']'");
  EXPECT_EQ(error_in("[.5]"), "1:2 expected a value, found '.'");
  EXPECT_EQ(error_in("[NaN]"), "1:2 expected a value, found 'N'");
  EXPECT_EQ(error_in("\"abc"), "1:5 expected '\"' at the end of the string, found the end of the text");
  EXPECT_EQ(error_in("\"a\\x\""), "1:4 expected an escape of JSON, found 'x'");
  EXPECT_EQ(error_in("\"\\u12g4\""), "1:6 expected four hexadecimal digits, found 'g'");
  EXPECT_EQ(error_in("\"a\nb\""), "1:3 expected no bare control character in a string, found '\\n'");
  EXPECT_EQ(error_in("\"\xC3(\""), "1:2 expected a string of valid UTF-8, found '\\xc3'");
  EXPECT_EQ(error_in("{} {}"), "1:4 expected the end of the text, found '{'");
  EXPECT_EQ(error_in("[// no\n1]"), "1:2 expected a value, found '/'");
  EXPECT_EQ(error_in("[1, €]"), "1:5 expected a value, found '€'");
}

TEST(JsonSyntax, DepthIsLimitedAndCostsNoStack) {
  const std::string fits = std::string(kDepth, '[') + "1" + std::string(kDepth, ']');
  EXPECT_EQ(error_in(fits), "none");
  EXPECT_EQ(error_in("[" + fits + "]"), "1:17 expected at most 16 levels of nesting, found '['");
  EXPECT_EQ(error_in(std::string(1 << 20, '[')), "1:17 expected at most 16 levels of nesting, found '['");
}

// Every cut of a good text is an error for both; what one accepts, the other does.
TEST(JsonSyntax, AgreesWithSimdjsonOnEveryCutAndEveryFlippedCharacter) {
  const std::string good = R"({"schema": 1, "x": [1.5e3, -0, "a\u00e9\n", true], "y": {"z": null}})";
  simdjson::dom::parser parser;
  const auto check = [&](const std::string& text) {
    simdjson::dom::element document;
    const bool accepted = parser.parse(text).get(document) == simdjson::SUCCESS;
    EXPECT_EQ(accepted, !find_json_error(text, kDepth).has_value()) << text;
  };
  for (std::size_t length = 0; length <= good.size(); ++length) check(good.substr(0, length));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char c : std::string("{}[],:\"\\x0.e-\x01")) {
      std::string text = good;
      text[at] = c;
      check(text);
    }
  }
}

}  // namespace
}  // namespace rushlight::doors
