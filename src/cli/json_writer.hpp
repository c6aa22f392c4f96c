// JSON out: stable key order, valid UTF-8 whatever the input, shortest round-trip numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rushlight::cli {

// Whether a JSON string holds the text as it is.
[[nodiscard]] bool is_utf8(std::string_view text);

// Appends to one string. Keys and values must alternate as JSON wants it; containers are closed by end_*().
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  JsonWriter& null();
  JsonWriter& boolean(bool value);
  // Beyond 2^53 a decimal string, so that no reader loses digits (cli.md 3).
  JsonWriter& integer(std::int64_t value);
  JsonWriter& natural(std::uint64_t value);
  // NaN and infinities become "NaN", "Infinity", "-Infinity".
  JsonWriter& real(double value);
  // Lone surrogates (as three bytes) become \udXXX, other invalid bytes U+FFFD.
  JsonWriter& string(std::string_view text);
  // A number's text as it is.
  JsonWriter& raw(std::string_view json);
  JsonWriter& base64(std::span<const std::byte> bytes);
  JsonWriter& integers(std::span<const std::int64_t> values);

  // key() and a value in one.
  JsonWriter& field(std::string_view name, std::string_view value) { return key(name).string(value); }
  JsonWriter& field(std::string_view name, const char* value) { return key(name).string(value); }
  JsonWriter& field(std::string_view name, bool value) { return key(name).boolean(value); }
  JsonWriter& field(std::string_view name, std::int64_t value) { return key(name).integer(value); }
  JsonWriter& field(std::string_view name, std::uint64_t value) { return key(name).natural(value); }
  JsonWriter& field(std::string_view name, int value) { return key(name).integer(value); }
  JsonWriter& field(std::string_view name, double value) { return key(name).real(value); }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  void separate();

  std::string text_;
  std::vector<bool> has_items_;
  bool after_key_ = false;
};

}  // namespace rushlight::cli
