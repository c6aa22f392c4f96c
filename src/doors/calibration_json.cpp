// Calibration as JSON:
//
//   {"rushlight_calibration": 1, "items": 64, "choice": "least_error",
//    "layers": {"conv1": {"low": 0, "high": 1.5, "least": 0, "most": 2.25}}}
//
// Every key must be there, and no other.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/json_text.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "doors/json_syntax.hpp"
#include "doors/spec_values.hpp"
#include "io/atomic_file.hpp"
#include "rushlight/calibration.hpp"
#include "rushlight/source.hpp"

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
namespace rushlight {
namespace doors {
namespace {

using simdjson::dom::object;

constexpr std::int64_t kVersion = 1;
// A valid one has three levels.
constexpr std::size_t kMaxDepth = 8;

constexpr std::array<std::string_view, 2> kChoices = {"least_error", "min_max"};  // in the order of RangeChoice

Error wrong(std::string code, const std::string& where, std::string message) {
  return Error::of({.category = Category::model,
                    .code = std::move(code),
                    .message = "calibration: " + (where.empty() ? "" : where + ": ") + std::move(message)});
}

Error expected(const std::string& where, std::string what, std::string found) {
  Error error = wrong("CALIBRATION-VALUE", where, "expected " + what + ", found " + found);
  error.finding.expected = std::move(what);
  error.finding.found = std::move(found);
  return error;
}

// The members of an object: just these, each once.
template <std::size_t N>
Result<std::array<JsonElement, N>> members(const JsonElement& value, const std::string& where,
                                           const std::array<std::string_view, N>& keys) {
  object source;
  if (value.get(source) != simdjson::SUCCESS) return expected(where, "an object", json_text(value));
  std::array<JsonElement, N> found;
  std::array<bool, N> is_there{};
  for (const auto& member : source) {
    const auto place = static_cast<std::size_t>(std::find(keys.begin(), keys.end(), member.key) - keys.begin());
    if (place == N) return wrong("CALIBRATION-KEY", where, "unknown key " + rushlight::quoted(member.key));
    if (is_there[place]) {
      return wrong("CALIBRATION-KEY", where, "key " + rushlight::quoted(member.key) + " occurs twice");
    }
    found[place] = member.value;
    is_there[place] = true;
  }
  for (std::size_t i = 0; i < N; ++i) {
    if (!is_there[i]) return wrong("CALIBRATION-KEY", where, "key " + rushlight::quoted(keys[i]) + " is missing");
  }
  return found;
}

Result<float> read_float(const JsonElement& value, const std::string& where) {
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS) return expected(where, "a number", json_text(value));
  // Halfway between the largest float32 and what would come next.
  if (!(std::abs(number) < 0x1.ffffffp127)) {
    return expected(where, "a number that float32 holds", json_text(value));
  }
  return static_cast<float>(number);
}

Result<std::int64_t> read_integer(const JsonElement& value, const std::string& where, std::string what) {
  std::int64_t number = 0;
  if (value.type() != simdjson::dom::element_type::INT64 || value.get(number) != simdjson::SUCCESS || number < 0) {
    return expected(where, std::move(what), json_text(value));
  }
  return number;
}

Result<ActivationRange> read_range(const JsonElement& value, const std::string& where) {
  constexpr std::array<std::string_view, 4> kKeys = {"low", "high", "least", "most"};
  RUSHLIGHT_TRY_ASSIGN(const auto found, members(value, where, kKeys));
  ActivationRange range;
  const std::array<float*, 4> fields = {&range.low, &range.high, &range.least, &range.most};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(*fields[i], read_float(found[i], where + ": " + std::string(kKeys[i])));
  }
  if (range.low > 0) return expected(where + ": low", "at most 0", json_text(found[0]));
  if (range.high < 0) return expected(where + ": high", "at least 0", json_text(found[1]));
  return range;
}

Result<Calibration> read_document(const JsonElement& document, const Limits& limits) {
  // What is no calibration at all should be told so, and not by the first key that it lacks.
  object root;
  if (document.get(root) != simdjson::SUCCESS) return expected("", "an object", json_text(document));
  constexpr std::string_view kMark = "rushlight_calibration";
  JsonElement version;
  if (root.at_key(kMark).get(version) != simdjson::SUCCESS) {
    Error error = wrong("CALIBRATION-KEY", "", "key 'rushlight_calibration' is missing: this is another kind of JSON");
    error.finding.hint = "`rushlight calibrate` writes calibrations";
    return error;
  }
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t number, read_integer(version, std::string(kMark), "1"));
  if (number != kVersion) {
    return Error::of({.category = Category::unsup,
                      .code = "CALIBRATION-VERSION",
                      .message = "calibration: rushlight_calibration: expected 1, found " + std::to_string(number),
                      .found = std::to_string(number),
                      .expected = "1"});
  }
  constexpr std::array<std::string_view, 4> kKeys = {kMark, "items", "choice", "layers"};
  RUSHLIGHT_TRY_ASSIGN(const auto found, members(document, "", kKeys));
  Calibration calibration;
  RUSHLIGHT_TRY_ASSIGN(calibration.items, read_integer(found[1], "items", "a number of items"));
  std::string_view choice;
  const bool is_text = found[2].get(choice) == simdjson::SUCCESS;
  const auto at = std::find(kChoices.begin(), kChoices.end(), choice);
  if (!is_text || at == kChoices.end()) {
    return expected("choice", "'least_error' or 'min_max'", json_text(found[2]));
  }
  calibration.choice = static_cast<RangeChoice>(at - kChoices.begin());
  object layers;
  if (found[3].get(layers) != simdjson::SUCCESS) return expected("layers", "an object", json_text(found[3]));
  for (const auto& layer : layers) {
    if (calibration.layers.size() == limits.graph_nodes) {
      return Error::of(
          {.category = Category::limit,
           .code = "LIMIT-GRAPH-NODES",
           .message = "calibration: layers: more than " + std::to_string(limits.graph_nodes) + " of them"});
    }
    const std::string where = "layers: " + rushlight::quoted(layer.key);
    RUSHLIGHT_TRY_ASSIGN(const ActivationRange range, read_range(layer.value, where));
    if (!calibration.layers.emplace(std::string(layer.key), range).second) {
      return wrong("CALIBRATION-KEY", "layers", "key " + rushlight::quoted(layer.key) + " occurs twice");
    }
  }
  return calibration;
}

Error syntax_error(std::string_view json, simdjson::error_code code) {
  if (code == simdjson::MEMALLOC) {
    return Error::of(
        ErrorCode::out_of_memory,
        {.category = Category::model, .code = "OUT-OF-MEMORY", .message = "calibration: no memory to parse it"});
  }
  if (const std::optional<JsonError> error = find_json_error(json, kMaxDepth)) {
    return wrong("CALIBRATION-SYNTAX",
                 "line " + std::to_string(error->line) + ", column " + std::to_string(error->column), error->message);
  }
  // Valid by RFC 8259, and still no value: 1e999, "\ud800", bytes that are no UTF-8.
  return wrong("CALIBRATION-SYNTAX", "", "a number does not fit 64 bits, or a text is no UTF-8");
}

// The fewest digits that give the number back.
void append_number(std::string& out, std::string_view key, float value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value == 0 ? 0.0F : value);  // -0 is no number of its own
  out += key;
  out.append(text, end.ptr);
}

Result<Calibration> read(std::string_view json, const Limits& limits) {
  if (json.size() > limits.json_bytes) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-JSON-BYTES",
                      .message = "calibration: it has " + std::to_string(json.size()) + " bytes, the limit is " +
                                 std::to_string(limits.json_bytes)});
  }
  simdjson::dom::parser parser;
  simdjson::error_code code = parser.allocate(std::max<std::size_t>(json.size(), 1), kMaxDepth + 1);
  JsonElement document;
  if (code == simdjson::SUCCESS) code = parser.parse(json.data(), json.size()).get(document);
  if (code != simdjson::SUCCESS) return syntax_error(json, code);
  return read_document(document, limits);
}

}  // namespace
}  // namespace doors

Result<Calibration> Calibration::from_json(std::string_view json, const Limits& limits) {
  return or_no_memory([&] { return doors::read(json, limits); });
}

std::string Calibration::to_json() const {
  std::string out = "{\"rushlight_calibration\": " + std::to_string(doors::kVersion) +
                    ", \"items\": " + std::to_string(items) + ", \"choice\": \"";
  out += doors::kChoices[static_cast<std::size_t>(choice)];
  out += "\",\n \"layers\": {";
  for (const auto& [name, range] : layers) {
    out += &name == &layers.begin()->first ? "\n  " : ",\n  ";
    append_json_text(out, name);
    doors::append_number(out, ": {\"low\": ", range.low);
    doors::append_number(out, ", \"high\": ", range.high);
    doors::append_number(out, ", \"least\": ", range.least);
    doors::append_number(out, ", \"most\": ", range.most);
    out += "}";
  }
  out += "}}\n";
  return out;
}

Result<Calibration> read_calibration(const std::filesystem::path& path, const Limits& limits) {
  return or_no_memory([&]() -> Result<Calibration> {
    RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<const Source> source, open_file(path, FileAccess::pread));
    const std::string file = escaped(path.string());
    if (source->size_bytes() > limits.json_bytes) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-JSON-BYTES",
                        .message = "calibration: it has " + std::to_string(source->size_bytes()) +
                                   " bytes, the limit is " + std::to_string(limits.json_bytes),
                        .file = file});
    }
    std::string text(static_cast<std::size_t>(source->size_bytes()), '\0');
    RUSHLIGHT_TRY(source->read_at(0, std::as_writable_bytes(std::span(text))));
    Result<Calibration> calibration = doors::read(text, limits);
    if (!calibration) return with_file(std::move(calibration).error(), file);
    return calibration;
  });
}

Status write_calibration(const Calibration& calibration, const std::filesystem::path& path, bool overwrite) {
  return or_no_memory([&]() -> Status {
    for (const auto& [name, range] : calibration.layers) {
      if (is_valid_utf8(name)) continue;
      return Error::of(
          {.category = Category::unsup,
           .code = "CALIBRATION-NAME",
           .message = "layer " + rushlight::quoted(name) + ": its name is no UTF-8, which JSON cannot hold"});
    }
    const std::string text = calibration.to_json();
    RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> file,
                         io::AtomicFile::create(path, text.size(), {.overwrite = overwrite}));
    RUSHLIGHT_TRY(file->write(std::as_bytes(std::span(text))));
    return file->commit();
  });
}

}  // namespace rushlight
