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

// What stands under an attribute's key: a schema reference, and words for the table.
template <class Field>
struct FieldText;
template <>
struct FieldText<std::int64_t> {
  static constexpr const char* schema = R"({"type": "integer"})";
  static constexpr const char* words = "integer";
};
template <>
struct FieldText<bool> {
  static constexpr const char* schema = R"({"type": "boolean"})";
  static constexpr const char* words = "`true` or `false`";
};
template <>
struct FieldText<double> {
  static constexpr const char* schema = R"({"type": "number"})";
  static constexpr const char* words = "number";
};
template <>
struct FieldText<IntPair> {
  static constexpr const char* schema = R"({"$ref": "#/$defs/pair"})";
  static constexpr const char* words = "integer or `[height, width]`";
};
template <>
struct FieldText<Padding> {
  static constexpr const char* schema = R"({"$ref": "#/$defs/padding"})";
  static constexpr const char* words = "integer, `[height, width]`, `\"same\"` or `\"valid\"`";
};

// Explicit values of attributes that have no default value are never 0.
template <class Field>
std::string value_schema(const AttributeInfo& attribute) {
  if (attribute.default_kind == DefaultKind::value) return FieldText<Field>::schema;
  if constexpr (std::is_same_v<Field, std::int64_t>) return R"({"type": "integer", "not": {"const": 0}})";
  if constexpr (std::is_same_v<Field, IntPair>) return R"({"$ref": "#/$defs/size"})";
  return FieldText<Field>::schema;
}

std::string default_words(const AttributeInfo& attribute) {
  switch (attribute.default_kind) {
    case DefaultKind::value:
      return "`" + std::string(attribute.default_text) + "`";
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
  model::visit_operator(op, [&](auto& inside) {
    model::for_each_attribute(inside, [&](const AttributeInfo& attribute, auto& field) {
      const std::string schema = value_schema<std::remove_cvref_t<decltype(field)>>(attribute);
      if (first && !row.has_parameters) main = R"({"anyOf": [{"$ref": "#/$defs/name"}, )" + schema + "]}";
      if (first && !row.has_parameters) {
        main_attribute = std::string(attribute.name);
        required = attribute.default_kind == DefaultKind::required;
      }
      first = false;
      properties += ",\n        \"" + std::string(attribute.name) + "\": " + schema;
    });
  });
  std::string input = R"({"$ref": "#/$defs/name"})";
  if (row.min_inputs == 2) {
    input = R"({"type": "array", "items": {"$ref": "#/$defs/name"}, "minItems": 2, "maxItems": 2})";
  } else {
    input = R"({"anyOf": [{"$ref": "#/$defs/name"}, )"
            R"({"type": "array", "items": {"$ref": "#/$defs/name"}, "minItems": 1, "maxItems": 1}]})";
  }
  std::string text =
      "    \"" + name + "\": {\n      \"type\": \"object\",\n      \"properties\": {\n        \"" + name +
      "\": " + main + ",\n        \"name\": {\"$ref\": \"#/$defs/name\"},\n        \"input\": " + input + properties +
      "\n      },\n      \"required\": [\"" + name + "\"" + (row.min_inputs == 2 ? ", \"input\"" : "") + "],\n";
  // The name stands in one place, under the operator's key or under "name"; so does the first attribute.
  if (row.has_parameters) {
    text += "      \"not\": {\"required\": [\"name\"]},\n";
  } else {
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
  bool alone = !row.has_parameters && row.max_inputs == 1;
  Operator op = model::make_operator(row);
  model::visit_operator(op, [&](auto& inside) {
    model::for_each_attribute(inside, [&](const AttributeInfo& attribute, auto&) {
      alone = alone && attribute.default_kind != DefaultKind::required;
    });
  });
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
    "input": {"$ref": "#/$defs/shape"},
    "inputs": {
      "type": "object",
      "propertyNames": {"$ref": "#/$defs/name"},
      "additionalProperties": {"$ref": "#/$defs/shape"},
      "minProperties": 1
    },
    "normalise": {
      "type": "object",
      "properties": {
        "scale": {"type": "number", "not": {"const": 0}},
        "mean": {"type": "array", "items": {"type": "number"}},
        "std": {"type": "array", "items": {"type": "number", "not": {"const": 0}}}
      },
      "additionalProperties": false
    },
    "labels": {"type": "array", "items": {"type": "string"}},
    "layers": {"type": "array", "items": {"$ref": "#/$defs/layer"}},
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
      "minItems": 1,
      "maxItems": 63
    },
    "pair": {
      "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}]
    },
    "size": {"allOf": [{"$ref": "#/$defs/pair"}, {"not": {"enum": [0, [0, 0]]}}]},
    "padding": {"anyOf": [{"$ref": "#/$defs/pair"}, {"enum": ["same", "valid"]}]},
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
    model::visit_operator(op, [&](auto& inside) {
      model::for_each_attribute(inside, [&](const AttributeInfo& attribute, auto& field) {
        lead();
        out << "| `" << attribute.name << "` | " << FieldText<std::remove_cvref_t<decltype(field)>>::words << " | "
            << default_words(attribute) << " | " << attribute.meaning << " |\n";
      });
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

TEST(ModelsMd, TheExamplesUseEveryLayer) {
  std::set<std::string_view> used;
  for (const std::string& block : examples()) {
    const Result<Graph> graph = Graph::from_spec(block);
    ASSERT_TRUE(graph);
    for (const Node& node : graph->nodes()) used.insert(model::info(node.op)->spec_name);
  }
  for (const OperatorInfo& row : model::operator_table()) EXPECT_TRUE(used.contains(row.spec_name)) << row.spec_name;
}

}  // namespace
}  // namespace rushlight
