// JSON values as the fields of operators. Needs simdjson: for .cpp files of this folder only.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/operator_table.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/result.hpp"

namespace rushlight::doors {

using JsonElement = simdjson::dom::element;

// What a value is, for "found": "2.5", "'same'", "an array".
[[nodiscard]] std::string json_text(const JsonElement& value);

// Errors of a spec. `where` is "layers[3] 'conv1'" or a key.
[[nodiscard]] Error spec_error(std::string code, const std::string& where, std::string message, std::string hint = {});
[[nodiscard]] Error expected_error(const std::string& where, std::string expected, std::string found);

// Each says "where: expected ..., found ..." when the value is of another type or out of range.
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, bool& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, double& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, std::int64_t& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, IntPair& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, IntTriple& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, Padding1d& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, Padding& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, Padding3d& out);
// An array of integers, or one integer.
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, Shape& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, std::optional<double>& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, std::optional<std::int64_t>& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, const model::WordField& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, std::string& out);
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, std::vector<std::string>& out);
// An array of numbers, or one number.
[[nodiscard]] Status read_value(const JsonElement& value, const std::string& where, std::vector<double>& out);

}  // namespace rushlight::doors
