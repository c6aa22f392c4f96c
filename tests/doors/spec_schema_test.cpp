// format-spec/model-spec.schema.json and the table in format-spec/models.md are generated from operators.def, and every
// example of models.md is a good spec. RUSHLIGHT_BLESS=1 in the environment writes them anew.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "model/operator_table.hpp"

namespace rushlight {
namespace {

using model::AttributeInfo;
using model::DefaultKind;
using model::OperatorInfo;

const std::string kFormatSpec = std::string(RUSHLIGHT_TESTS_SOURCE_DIR) + "/../format-spec/";

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool blessing() {
  return std::getenv("RUSHLIGHT_BLESS") != nullptr;
}

std::string any_of_words(const model::WordField& field, std::string_view before, std::string_view after) {
  std::string text;
  for (const std::string_view word : field.words) {
    text += (text.empty() ? "" : ", ") + std::string(before) + "\"" + std::string(word) + "\"" + std::string(after);
  }
  return text;
}

// What stands under an attribute's key: a schema, and words for the table.
template <class Field>
std::string schema_of(const Field&) {
  const auto reference = [](const char* name) { return R"({"$ref": "#/$defs/)" + std::string(name) + "\"}"; };
  if constexpr (std::is_same_v<Field, bool>) return R"({"type": "boolean"})";
  if constexpr (std::is_same_v<Field, std::int64_t>) return R"({"type": "integer"})";
  if constexpr (std::is_same_v<Field, std::optional<std::int64_t>>) return R"({"type": "integer"})";
  if constexpr (std::is_same_v<Field, double>) return R"({"type": "number"})";
  if constexpr (std::is_same_v<Field, std::optional<double>>) return R"({"type": "number"})";
  if constexpr (std::is_same_v<Field, IntPair>) return reference("pair");
  if constexpr (std::is_same_v<Field, IntTriple>) return reference("triple");
  if constexpr (std::is_same_v<Field, Padding1d>) return reference("padding1d");
  if constexpr (std::is_same_v<Field, Padding>) return reference("padding");
  if constexpr (std::is_same_v<Field, Padding3d>) return reference("padding3d");
  if constexpr (std::is_same_v<Field, Shape>) return reference("integers");
  if constexpr (std::is_same_v<Field, std::vector<double>>) return reference("numbers");
  if constexpr (std::is_same_v<Field, std::string>) return R"({"type": "string"})";
  return "";
}
std::string schema_of(const model::WordField& field) {
  return R"({"enum": [)" + any_of_words(field, "", "") + "]}";
}

template <class Field>
std::string value_words(const Field&) {
  if constexpr (std::is_same_v<Field, bool>) return "`true` or `false`";
  if constexpr (std::is_same_v<Field, std::int64_t>) return "integer";
  if constexpr (std::is_same_v<Field, std::optional<std::int64_t>>) return "integer";
  if constexpr (std::is_same_v<Field, double>) return "number";
  if constexpr (std::is_same_v<Field, std::optional<double>>) return "number";
  if constexpr (std::is_same_v<Field, IntPair>) return "integer or `[height, width]`";
  if constexpr (std::is_same_v<Field, IntTriple>) return "integer or `[depth, height, width]`";
  if constexpr (std::is_same_v<Field, Padding1d>) return "integer, `\"same\"` or `\"valid\"`";
  if constexpr (std::is_same_v<Field, Padding>) return "integer, `[height, width]`, `\"same\"` or `\"valid\"`";
  if constexpr (std::is_same_v<Field, Padding3d>) return "integer, `[depth, height, width]`, `\"same\"` or `\"valid\"`";
  if constexpr (std::is_same_v<Field, Shape>) return "integers, or one";
  if constexpr (std::is_same_v<Field, std::vector<double>>) return "numbers, or one";
  if constexpr (std::is_same_v<Field, std::string>) return "string";
  return "";
}
std::string value_words(const model::WordField& field) {
  return any_of_words(field, "`", "`");
}

// Explicit values of attributes that have no default value are never 0.
template <class Field>
std::string value_schema(const AttributeInfo& attribute, const Field& field) {
  if (attribute.default_kind == DefaultKind::value) return schema_of(field);
  if constexpr (std::is_same_v<Field, std::int64_t>) return R"({"type": "integer", "not": {"const": 0}})";
  if constexpr (std::is_same_v<Field, IntPair>) return R"({"$ref": "#/$defs/size"})";
  if constexpr (std::is_same_v<Field, IntTriple>) return R"({"$ref": "#/$defs/size3d"})";
  return schema_of(field);
}

std::string default_words(const AttributeInfo& attribute) {
  switch (attribute.default_kind) {
    case DefaultKind::value: {
      // Of a word the word alone: `PaddingMode::zeros` is "zeros" in a spec.
      const std::size_t scope = attribute.default_text.rfind("::");
      if (scope == std::string_view::npos) return "`" + std::string(attribute.default_text) + "`";
      return "`\"" + std::string(attribute.default_text.substr(scope + 2)) + "\"`";
    }
    case DefaultKind::from_weights:
      return "from the weights";
    case DefaultKind::from_kernel:
      return "`kernel_size`";
    case DefaultKind::required:
      return "required";
    case DefaultKind::not_given:
      return "none";
  }
  return "?";
}

std::string layer_schema(const OperatorInfo& row) {
  const std::string name(row.spec_name);
  std::string main = R"({"$ref": "#/$defs/name"})";
  std::string properties;
  std::string main_attribute;  // the one that may stand under the operator's key
  bool required = false;
  bool first = true;
  Operator op = model::make_operator(row);
  model::for_each_attribute(op, [&](const AttributeInfo& attribute, auto& field) {
    const std::string schema = value_schema(attribute, field);
    // One that is called as its operator stands under the operator's key, and nowhere else.
    const bool has_its_name = attribute.name == row.spec_name;
    if (first && !row.has_parameters) {
      required = attribute.default_kind == DefaultKind::required;
      main = has_its_name && required ? schema : R"({"anyOf": [{"$ref": "#/$defs/name"}, )" + schema + "]}";
      if (has_its_name) required = false;
      if (!has_its_name) main_attribute = std::string(attribute.name);
    }
    first = false;
    if (has_its_name) return;
    properties += ",\n        \"" + std::string(attribute.name) + "\": " + schema;
  });
  std::string input = R"({"$ref": "#/$defs/name"})";
  const std::string count =
      "\"minItems\": " + std::to_string(row.min_inputs) + ", \"maxItems\": " + std::to_string(row.max_inputs) + "}";
  if (row.min_inputs != 1) {
    input = R"({"type": "array", "items": {"$ref": "#/$defs/name"}, )" + count;
  } else {
    input = R"({"anyOf": [{"$ref": "#/$defs/name"}, )"
            R"({"type": "array", "items": {"$ref": "#/$defs/name"}, )" +
            count + "]}";
  }
  if (row.max_outputs > 1) {
    properties += R"(,
        "outputs": {"type": "array", "items": {"$ref": "#/$defs/name"}, "minItems": 1, "maxItems": )" +
                  std::to_string(row.max_outputs) + "}";
  }
  std::string text =
      "    \"" + name + "\": {\n      \"type\": \"object\",\n      \"properties\": {\n        \"" + name +
      "\": " + main + ",\n        \"name\": {\"$ref\": \"#/$defs/name\"},\n        \"input\": " + input + properties +
      "\n      },\n      \"required\": [\"" + name + "\"" + (row.min_inputs > 1 ? ", \"input\"" : "") + "],\n";
  // The name stands in one place, under the operator's key or under "name"; so does the first attribute. A layer with
  // parameters has the name of those under its key, and may have another of its own.
  if (!row.has_parameters) {
    text += "      \"if\": {\"properties\": {\"" + name + "\": {\"type\": \"string\"}}},\n";
    text += "      \"then\": {\"not\": {\"required\": [\"name\"]}";
    if (required) text += ", \"required\": [\"" + main_attribute + "\"]";
    text += "},\n";
    if (!main_attribute.empty()) text += "      \"else\": {\"not\": {\"required\": [\"" + main_attribute + "\"]}},\n";
  }
  text += "      \"additionalProperties\": false\n    }";
  return text;
}

// "relu" and the like: no name is needed, one input, and no attribute must be given.
bool stands_alone(const OperatorInfo& row) {
  bool alone = !row.has_parameters && row.min_inputs == 1;
  Operator op = model::make_operator(row);
  for (const model::Attribute& attribute : model::attributes(op)) {
    alone = alone && attribute.info->default_kind != DefaultKind::required;
  }
  return alone;
}

std::string schema_text() {
  std::string words;
  std::string references;
  std::string layers;
  for (const OperatorInfo& row : model::operator_table()) {
    if (stands_alone(row)) words += (words.empty() ? "\"" : ", \"") + std::string(row.spec_name) + "\"";
    references += ",\n        {\"$ref\": \"#/$defs/" + std::string(row.spec_name) + "\"}";
    layers += ",\n" + layer_schema(row);
  }
  return R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Rushlight model spec",
  "$comment": "Generated from include/rushlight/operators.def by tests/doors/spec_schema_test.cpp. Do not edit.",
  "type": "object",
  "properties": {
    "schema": {"const": 1},
    "description": {"type": "string"},
    "input": {"$ref": "#/$defs/input"},
    "inputs": {
      "type": "object",
      "propertyNames": {"$ref": "#/$defs/name"},
      "additionalProperties": {"$ref": "#/$defs/input"},
      "minProperties": 1
    },
    "normalise": {
      "type": "object",
      "properties": {
        "scale": {"type": "number", "not": {"const": 0}},
        "mean": {"$ref": "#/$defs/numbers"},
        "std": {"allOf": [{"$ref": "#/$defs/numbers"}, {"not": {"const": 0}}], "items": {"not": {"const": 0}}}
      },
      "additionalProperties": false
    },
    "labels": {"type": "array", "items": {"type": "string"}},
    "layers": {"type": "array", "items": {"$ref": "#/$defs/layer"}},
    "selftest": {
      "type": "object",
      "properties": {
        "inputs": {"$ref": "#/$defs/arrays"},
        "outputs": {"$ref": "#/$defs/arrays"},
        "tolerance": {"type": "number", "exclusiveMinimum": 0}
      },
      "required": ["inputs", "outputs"],
      "additionalProperties": false
    },
    "outputs": {"type": "array", "items": {"$ref": "#/$defs/name"}, "minItems": 1, "uniqueItems": true}
  },
  "required": ["schema", "layers"],
  "not": {"required": ["input", "inputs"]},
  "additionalProperties": false,
  "$defs": {
    "name": {"type": "string", "minLength": 1},
    "shape": {
      "type": "array",
      "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": -1}]},
      "maxItems": 63
    },
    "input": {
      "anyOf": [
        {"$ref": "#/$defs/shape"},
        {
          "type": "object",
          "properties": {
            "shape": {"$ref": "#/$defs/shape"},
            "dtype": {"enum": ["float32", "int64", "int32", "bool"]}
          },
          "additionalProperties": false
        }
      ]
    },
    "arrays": {
      "type": "array",
      "items": {
        "type": "object",
        "properties": {"shape": {"$ref": "#/$defs/integers"}, "values": {"$ref": "#/$defs/numbers"}},
        "required": ["values"],
        "additionalProperties": false
      }
    },
    "pair": {
      "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}]
    },
    "size": {"allOf": [{"$ref": "#/$defs/pair"}, {"not": {"enum": [0, [0, 0]]}}]},
    "triple": {
      "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3}]
    },
    "size3d": {"allOf": [{"$ref": "#/$defs/triple"}, {"not": {"enum": [0, [0, 0, 0]]}}]},
    "integers": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
    "numbers": {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]},
    "padding1d": {"anyOf": [{"type": "integer"}, {"enum": ["same", "valid"]}]},
    "padding": {"anyOf": [{"$ref": "#/$defs/pair"}, {"enum": ["same", "valid"]}]},
    "padding3d": {"anyOf": [{"$ref": "#/$defs/triple"}, {"enum": ["same", "valid"]}]},
    "layer": {
      "anyOf": [
        {"enum": [)" +
         words + "]}" + references + "\n      ]\n    }" + layers + "\n  }\n}\n";
}

TEST(ModelSpecSchema, IsThatOfTheOperatorTable) {
  const std::string path = kFormatSpec + "model-spec.schema.json";
  if (blessing()) std::ofstream(path, std::ios::binary) << schema_text();
  EXPECT_EQ(read_file(path), schema_text()) << "run this test with RUSHLIGHT_BLESS=1 to write the file anew";
}

std::string table_text() {
  std::ostringstream out;
  out << "| layer | torch class | attribute | value | default | meaning |\n|---|---|---|---|---|---|\n";
  for (const OperatorInfo& row : model::operator_table()) {
    Operator op = model::make_operator(row);
    bool any = false;
    const auto lead = [&] {
      if (any) {
        out << "| | ";
      } else {
        out << "| `" << row.spec_name << "` | `" << row.torch_class << "` ";
      }
      any = true;
    };
    model::for_each_attribute(op, [&](const AttributeInfo& attribute, auto& field) {
      lead();
      out << "| `" << attribute.name << "` | " << value_words(field) << " | " << default_words(attribute) << " | "
          << attribute.meaning << " |\n";
    });
    if (!any) {
      lead();
      out << "| | | | |\n";
    }
  }
  return out.str();
}

constexpr std::string_view kBegin = "<!-- operators.def: begin -->\n";
constexpr std::string_view kEnd = "<!-- operators.def: end -->";

TEST(ModelsMd, TheTableOfLayersIsThatOfTheOperatorTable) {
  const std::string path = kFormatSpec + "models.md";
  std::string text = read_file(path);
  const std::size_t begin = text.find(kBegin);
  const std::size_t end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::size_t from = begin + kBegin.size();
  if (blessing()) {
    text.replace(from, end - from, table_text());
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  EXPECT_EQ(text.substr(from, end - from), table_text()) << "run this test with RUSHLIGHT_BLESS=1 to write it anew";
}

std::vector<std::string> examples() {
  const std::string text = read_file(kFormatSpec + "models.md");
  std::vector<std::string> blocks;
  constexpr std::string_view kOpen = "```json\n";
  for (std::size_t at = text.find(kOpen); at != std::string::npos; at = text.find(kOpen, at)) {
    at += kOpen.size();
    const std::size_t end = text.find("```", at);
    blocks.push_back(text.substr(at, end - at));
    at = end;
  }
  return blocks;
}

TEST(ModelsMd, EveryExampleIsAGoodSpec) {
  const std::vector<std::string> blocks = examples();
  EXPECT_GE(blocks.size(), 4u);
  for (const std::string& block : blocks) {
    const Result<Graph> graph = Graph::from_spec(block);
    EXPECT_TRUE(graph.has_value()) << block << graph.error().finding.message;
  }
}

}  // namespace
}  // namespace rushlight
