// Graph::from_spec: a network as a short JSON text. The grammar stands in format-spec/models.md and, for tools, in
// format-spec/model-spec.schema.json; operators and their attributes come from operators.def.
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/json_syntax.hpp"
#include "doors/spec_values.hpp"
#include "model/operator_table.hpp"
#include "rushlight/graph.hpp"

namespace rushlight {
namespace doors {
namespace {

using simdjson::dom::array;
using simdjson::dom::object;

// A valid spec has 5 levels.
constexpr std::size_t kMaxDepth = 16;

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
std::string did_you_mean(std::string_view wanted, std::span<const std::string> candidates) {
  const std::vector<std::string> near = nearest(wanted, candidates, 1);
  return near.empty() ? std::string() : "did you mean " + rushlight::quoted(near[0]) + "?";
}

Error unknown_key(const std::string& where, std::string_view key, std::span<const std::string> known) {
  return spec_error("SPEC-KEY", where, "unknown key " + rushlight::quoted(key), did_you_mean(key, known));
}

// The members of an object, each known and given once. Reads no values.
Result<std::map<std::string_view, JsonElement>> members(const object& source, const std::string& where,
                                                        std::span<const std::string> known) {
  std::map<std::string_view, JsonElement> found;
  for (const auto& member : source) {
    if (std::find(known.begin(), known.end(), member.key) == known.end()) return unknown_key(where, member.key, known);
    if (!found.emplace(member.key, member.value).second) {
      return spec_error("SPEC-KEY", where, "key " + rushlight::quoted(member.key) + " occurs twice");
    }
  }
  return found;
}

class SpecReader {
 public:
  explicit SpecReader(const Limits& limits) : limits_(limits) {}

  Result<Graph> read(const JsonElement& document) {
    object root;
    if (document.get(root) != simdjson::SUCCESS) return expected_error("", "an object", json_text(document));
    static const std::vector<std::string> kKeys = {"schema", "description", "input",   "inputs",  "normalise",
                                                   "labels", "layers",      "outputs", "selftest"};
    RUSHLIGHT_TRY_ASSIGN(const auto keys, members(root, "", kKeys));
    const auto find = [&](std::string_view key) -> const JsonElement* {
      const auto at = keys.find(key);
      return at == keys.end() ? nullptr : &at->second;
    };
    RUSHLIGHT_TRY(read_schema(find("schema")));
    if (const JsonElement* description = find("description")) {
      std::string unused;
      RUSHLIGHT_TRY(read_value(*description, "description", unused));
    }
    RUSHLIGHT_TRY(read_inputs(find("input"), find("inputs")));
    if (const JsonElement* normalise = find("normalise")) RUSHLIGHT_TRY(read_normalise(*normalise));
    if (const JsonElement* labels = find("labels")) RUSHLIGHT_TRY(read_labels(*labels));
    const JsonElement* layers = find("layers");
    if (layers == nullptr) return spec_error("SPEC-KEY", "", "key 'layers' is missing");
    RUSHLIGHT_TRY(read_layers(*layers));
    RUSHLIGHT_TRY(read_outputs(find("outputs")));
    if (const JsonElement* test = find("selftest")) RUSHLIGHT_TRY(read_self_test(*test));
    return builder_.build();
  }

 private:
  static Status read_schema(const JsonElement* value) {
    if (value == nullptr) return spec_error("SPEC-KEY", "", "key 'schema' is missing", "write \"schema\": 1");
    std::int64_t version = 0;
    RUSHLIGHT_TRY(read_value(*value, "schema", version));
    if (version == 1) return {};
    return Error::of({.category = Category::unsup,
                      .code = "SPEC-SCHEMA",
                      .message = "spec: schema: expected 1, found " + std::to_string(version),
                      .found = std::to_string(version),
                      .expected = "1"});
  }

  // The shape of one item: the batch is put before it. Without any size an item is one number.
  Result<Shape> read_shape(const JsonElement& value, const std::string& where) const {
    array sizes;
    if (value.get(sizes) != simdjson::SUCCESS) return expected_error(where, "an array of sizes", json_text(value));
    if (sizes.size() >= limits_.tensor_dims) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-TENSOR-DIMS",
                        .message = "spec: " + where + ": " + std::to_string(sizes.size()) +
                                   " dimensions and the batch, the limit is " + std::to_string(limits_.tensor_dims)});
    }
    Shape shape{-1};
    for (const JsonElement item : sizes) {
      const std::string place = where + "[" + std::to_string(shape.size() - 1) + "]";
      std::int64_t size = 0;
      RUSHLIGHT_TRY(read_value(item, place, size));
      if (size != -1 && size < 1) return expected_error(place, "at least 1, or -1 for any", std::to_string(size));
      shape.push_back(size);
    }
    return shape;
  }

  // [3, 224, 224], or {"shape": [20], "dtype": "int64"}, of which each may be left out.
  Result<EdgeType> read_type(const JsonElement& value, const std::string& where) const {
    EdgeType type;
    object source;
    if (value.get(source) != simdjson::SUCCESS) {
      RUSHLIGHT_TRY_ASSIGN(type.shape, read_shape(value, where));
      return type;
    }
    static const std::vector<std::string> kKeys = {"shape", "dtype"};
    RUSHLIGHT_TRY_ASSIGN(const auto keys, members(source, where, kKeys));
    for (const auto& [key, member] : keys) {
      const std::string place = where + ": " + std::string(key);
      if (key == "shape") {
        RUSHLIGHT_TRY_ASSIGN(type.shape, read_shape(member, place));
        continue;
      }
      std::string name;
      RUSHLIGHT_TRY(read_value(member, place, name));
      const std::optional<DType> dtype = dtype_from_name(name);
      static constexpr DType kDTypes[] = {DType::f32, DType::i64, DType::i32, DType::boolean};  // GraphBuilder::input
      if (!dtype || std::find(std::begin(kDTypes), std::end(kDTypes), *dtype) == std::end(kDTypes)) {
        return expected_error(place, "'float32', 'int64', 'int32' or 'bool'", rushlight::quoted(name));
      }
      type.dtype = *dtype;
    }
    return type;
  }

  void add_input(std::string_view name, EdgeType type) {
    last_ = builder_.input(std::string(name), std::move(type.shape), type.dtype);
    values_.emplace(std::string(name), last_);
  }

  Status read_inputs(const JsonElement* one, const JsonElement* several) {
    if (one != nullptr && several != nullptr) {
      return spec_error("SPEC-KEY", "", "give one of 'input' and 'inputs', not both");
    }
    if (several == nullptr) {
      EdgeType type;
      if (one != nullptr) {
        RUSHLIGHT_TRY_ASSIGN(type, read_type(*one, "input"));
      }
      add_input("input", std::move(type));
      return {};
    }
    object named;
    if (several->get(named) != simdjson::SUCCESS) {
      return expected_error("inputs", "an object of names and shapes", json_text(*several));
    }
    if (named.size() == 0) return expected_error("inputs", "at least one name", "none");
    for (const auto& member : named) {
      const std::string where = "inputs: " + rushlight::quoted(member.key);
      if (member.key.empty()) return spec_error("SPEC-VALUE", "inputs", "expected names, found ''");
      if (values_.contains(std::string(member.key))) {
        return spec_error("SPEC-KEY", "inputs", "key " + rushlight::quoted(member.key) + " occurs twice");
      }
      RUSHLIGHT_TRY_ASSIGN(EdgeType type, read_type(member.value, where));
      add_input(member.key, std::move(type));
    }
    several_inputs_ = named.size() > 1;
    return {};
  }

  Status read_normalise(const JsonElement& value) {
    object source;
    if (value.get(source) != simdjson::SUCCESS) return expected_error("normalise", "an object", json_text(value));
    static const std::vector<std::string> kKeys = {"scale", "mean", "std"};
    RUSHLIGHT_TRY_ASSIGN(const auto keys, members(source, "normalise", kKeys));
    Preprocessing preprocessing;
    for (const auto& member : keys) {
      const std::string where = "normalise.";
      if (member.first == "scale") RUSHLIGHT_TRY(read_value(member.second, where + "scale", preprocessing.scale));
      if (member.first == "mean") RUSHLIGHT_TRY(read_value(member.second, where + "mean", preprocessing.mean));
      if (member.first == "std") RUSHLIGHT_TRY(read_value(member.second, where + "std", preprocessing.std));
    }
    builder_.preprocessing(std::move(preprocessing));
    return {};
  }

  Status read_labels(const JsonElement& value) {
    if (value.is_string()) {
      return spec_error("SPEC-VALUE", "labels", "expected an array of strings, found " + json_text(value),
                        "write the names themselves; `rushlight run --labels FILE` reads them from a file");
    }
    std::vector<std::string> labels;
    RUSHLIGHT_TRY(read_value(value, "labels", labels));
    builder_.labels(std::move(labels));
    return {};
  }

  Status read_layers(const JsonElement& value) {
    array layers;
    if (value.get(layers) != simdjson::SUCCESS) return expected_error("layers", "an array", json_text(value));
    std::uint64_t index = 0;  // array::size() saturates at 2^24 - 1
    for (const JsonElement layer : layers) {
      if (index == limits_.graph_nodes) {
        return Error::of({.category = Category::limit,
                          .code = "LIMIT-GRAPH-NODES",
                          .message = "spec: layers: more than " + std::to_string(limits_.graph_nodes) + " of them"});
      }
      RUSHLIGHT_TRY(read_layer(layer, "layers[" + std::to_string(index++) + "]"));
    }
    return {};
  }

  Status read_layer(const JsonElement& layer, const std::string& place) {
    std::string_view word;
    if (layer.get(word) == simdjson::SUCCESS) {
      const model::OperatorInfo* row = model::find_spec_name(word);
      if (row == nullptr) return unknown_operator(place, word);
      if (row->has_parameters) {
        return spec_error("SPEC-VALUE", place, rushlight::quoted(word) + " has parameters and needs a name",
                          "write {\"" + std::string(word) + "\": \"NAME\"}, where NAME.weight is in the state dict");
      }
      return apply(*row, model::make_operator(*row), "", {}, nullptr, nullptr, place);
    }
    object source;
    if (layer.get(source) != simdjson::SUCCESS) {
      return expected_error(place, "a string or an object", json_text(layer));
    }
    return read_layer_object(source, place);
  }

  static Error unknown_operator(const std::string& place, std::string_view word) {
    std::vector<std::string> names;
    for (const model::OperatorInfo& row : model::operator_table()) names.emplace_back(row.spec_name);
    return spec_error("SPEC-OPERATOR", place, "unknown layer " + rushlight::quoted(word), did_you_mean(word, names));
  }

  // Whether the operator has attributes of these names, its own aside.
  static bool has_attributes(const model::OperatorInfo& row, std::span<const model::OperatorInfo* const> names) {
    Operator op = model::make_operator(row);
    const std::vector<model::Attribute> attributes = model::attributes(op);
    return std::all_of(names.begin(), names.end(), [&](const model::OperatorInfo* name) {
      return name == &row || std::any_of(attributes.begin(), attributes.end(), [&](const model::Attribute& attribute) {
               return attribute.info->name == name->spec_name;
             });
    });
  }

  Status read_layer_object(const object& source, const std::string& place) {
    // The one key that names an operator says how to read the others. Some attributes are called as operators are,
    // `max` of clamp and `threshold` of softplus: the operator is then the one that has all others as attributes.
    std::vector<const model::OperatorInfo*> rows;
    std::string_view unknown;
    for (const auto& member : source) {
      const model::OperatorInfo* found = model::find_spec_name(member.key);
      if (found != nullptr && std::find(rows.begin(), rows.end(), found) == rows.end()) rows.push_back(found);
      if (found == nullptr && unknown.empty()) unknown = member.key;
    }
    const auto fitting = std::find_if(rows.begin(), rows.end(), [&](const model::OperatorInfo* candidate) {
      return has_attributes(*candidate, rows);
    });
    const model::OperatorInfo* const row = fitting == rows.end() ? nullptr : *fitting;
    if (row == nullptr) {
      if (rows.size() > 1) {
        return spec_error("SPEC-OPERATOR", place,
                          "one layer cannot be both " + rushlight::quoted(rows[0]->spec_name) + " and " +
                              rushlight::quoted(rows[1]->spec_name));
      }
      if (unknown.empty()) return spec_error("SPEC-OPERATOR", place, "it names no layer");
      Error error = unknown_operator(place, unknown);
      error.finding.message = "spec: " + place + ": none of its keys names a layer";
      error.finding.found = escaped(unknown);
      return error;
    }

    Operator op = model::make_operator(*row);
    std::vector<std::string> known = {std::string(row->spec_name), "name", "input"};
    if (row->max_outputs > 1) known.emplace_back("outputs");
    for (const model::Attribute& attribute : model::attributes(op)) known.emplace_back(attribute.info->name);
    const std::string where = place + shown_name(source, row->spec_name);
    RUSHLIGHT_TRY_ASSIGN(const auto keys, members(source, where, known));

    std::string name;
    std::optional<std::string> module;
    RUSHLIGHT_TRY(read_main_key(*row, keys.at(row->spec_name), keys, where, name, module, op));
    Status status;
    model::for_each_attribute(op, [&](const model::AttributeInfo& attribute, auto& field) {
      if (attribute.name == row->spec_name) return;  // of the same name, `pad`: read_main_key() has read it
      const auto given = keys.find(attribute.name);
      if (status && given != keys.end()) status = read_attribute(attribute, given->second, where, field);
    });
    RUSHLIGHT_TRY(std::move(status));
    const auto find = [&](std::string_view key) -> const JsonElement* {
      const auto at = keys.find(key);
      return at == keys.end() ? nullptr : &at->second;
    };
    return apply(*row, std::move(op), std::move(name), module, find("input"), find("outputs"), where);
  }

  // " 'conv1'", for messages: the string under the operator's key, or else under "name".
  static std::string shown_name(const object& source, std::string_view spec_name) {
    for (const std::string_view key : {spec_name, std::string_view("name")}) {
      std::string_view name;
      if (source.at_key(key).get(name) == simdjson::SUCCESS) return " " + rushlight::quoted(name);
    }
    return {};
  }

  // {"conv2d": "conv1"} names the layer; {"maxpool2d": 2} gives the first attribute of one that needs no name.
  Status read_main_key(const model::OperatorInfo& row, const JsonElement& value,
                       const std::map<std::string_view, JsonElement>& keys, const std::string& where, std::string& name,
                       std::optional<std::string>& module, Operator& op) {
    const auto name_key = keys.find("name");
    if (name_key != keys.end()) {
      RUSHLIGHT_TRY(read_value(name_key->second, where + ": name", name));
      if (name.empty()) return spec_error("SPEC-VALUE", where, "name: expected a name, found ''");
    }
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) {
      if (text.empty()) {
        return spec_error("SPEC-VALUE", where, std::string(row.spec_name) + ": expected a name, found ''");
      }
      for (const model::Attribute& attribute : model::attributes(op)) {
        if (attribute.info->name != row.spec_name || attribute.info->default_kind != model::DefaultKind::required)
          continue;
        Error error = expected_error(where + ": " + std::string(row.spec_name), "an integer or an array of integers",
                                     rushlight::quoted(text));
        error.finding.hint =
            "write {\"" + std::string(row.spec_name) + "\": ..., \"name\": \"" + std::string(text) + "\"}";
        return error;
      }
      if (name_key == keys.end()) {
        name = std::string(text);
      } else if (row.has_parameters) {
        module = std::string(text);  // a layer that is called again has a name of its own
      } else {
        return spec_error("SPEC-KEY", where,
                          "the name stands under both " + rushlight::quoted(row.spec_name) + " and 'name'");
      }
      return {};
    }
    if (row.has_parameters) {
      return expected_error(where + ": " + std::string(row.spec_name), "the layer's name in the state dict",
                            json_text(value));
    }
    bool first = true;
    Status status;
    model::for_each_attribute(op, [&](const model::AttributeInfo& attribute, auto& field) {
      if (!std::exchange(first, false)) return;
      if (attribute.name != row.spec_name && keys.contains(attribute.name)) {
        status = spec_error("SPEC-KEY", where,
                            std::string(attribute.name) + " stands under both " + rushlight::quoted(row.spec_name) +
                                " and " + rushlight::quoted(attribute.name));
        return;
      }
      model::AttributeInfo shown = attribute;
      shown.name = row.spec_name;
      status = read_attribute(shown, value, where, field);
    });
    if (first) return expected_error(where + ": " + std::string(row.spec_name), "a name", json_text(value));
    return status;
  }

  // A key whose default is no value is left out, or has one that is: 0 would mean "left out" behind our back.
  template <class Field>
  static Status read_attribute(const model::AttributeInfo& attribute, const JsonElement& value,
                               const std::string& where, Field& field) {
    const std::string place = where + ": " + std::string(attribute.name);
    RUSHLIGHT_TRY(read_value(value, place, field));
    if (attribute.default_kind == model::DefaultKind::value) return {};
    if constexpr (std::is_same_v<Field, std::int64_t>) {
      if (field == 0) return expected_error(place, "a number other than 0", "0");
    }
    if constexpr (std::is_same_v<Field, IntPair> || std::is_same_v<Field, IntTriple>) {
      if (field == Field(0)) return expected_error(place, "sizes other than 0", json_text(value));
    }
    return {};
  }

  Result<Edge> find_value(const std::string& name, const std::string& where) const {
    if (const auto found = values_.find(name); found != values_.end()) return found->second;
    std::vector<std::string> names;
    for (const auto& value : values_) names.push_back(value.first);
    std::sort(names.begin(), names.end());
    return spec_error("SPEC-INPUT", where, "nothing before it is named " + rushlight::quoted(name),
                      did_you_mean(name, names));
  }

  // `module`: what its parameters are named after, where that is not its name.
  Status apply(const model::OperatorInfo& row, Operator op, std::string name, const std::optional<std::string>& module,
               const JsonElement* input, const JsonElement* outputs, const std::string& where) {
    std::vector<std::string> names;
    if (input != nullptr && input->is_string()) {
      RUSHLIGHT_TRY(read_value(*input, where + ": input", names.emplace_back()));
    } else if (input != nullptr) {
      RUSHLIGHT_TRY(read_value(*input, where + ": input", names));
    }
    std::vector<Edge> edges;
    if (input == nullptr && row.max_inputs > 0) {
      if (several_inputs_ && !any_layer_) {
        return spec_error("SPEC-INPUT", where, "there are several inputs: name one under 'input'");
      }
      edges.push_back(last_);
    }
    for (const std::string& value : names) {
      RUSHLIGHT_TRY_ASSIGN(const Edge edge, find_value(value, where + ": input"));
      edges.push_back(edge);
    }
    if (edges.size() < row.min_inputs || edges.size() > row.max_inputs) {
      const std::size_t count = edges.size() < row.min_inputs ? row.min_inputs : row.max_inputs;
      const std::string expected = count == 1 ? "1 input" : std::to_string(count) + " inputs";
      Error error = expected_error(where + ": " + std::string(row.spec_name), expected, std::to_string(edges.size()));
      if (row.min_inputs == 2) error.finding.hint = "write \"input\": [\"NAME\", \"NAME\"]";
      return error;
    }
    any_layer_ = true;
    std::vector<std::string> output_names;
    if (outputs != nullptr) {
      RUSHLIGHT_TRY(read_value(*outputs, where + ": outputs", output_names));
      if (output_names.empty()) return expected_error(where + ": outputs", "at least one name", "none");
    }
    const std::size_t count = std::max<std::size_t>(output_names.size(), 1);
    if (!module && row.has_parameters && !name.empty() && values_.contains(name)) {
      Error error = name_is_taken(name, where);
      error.finding.hint = "a layer that is called again has a name of its own: {\"" + std::string(row.spec_name) +
                           "\": \"" + name + "\", \"name\": \"" + name + "_1\"}";
      return error;
    }
    const std::vector<Edge> made = module ? builder_.apply_shared(name, *module, std::move(op), edges, count)
                                          : builder_.apply(name, std::move(op), edges, count);
    last_ = made.front();
    for (std::size_t i = 0; i < output_names.size(); ++i) RUSHLIGHT_TRY(name_value(output_names[i], made[i], where));
    return name.empty() ? Status() : name_value(name, last_, where);
  }

  Status name_value(const std::string& name, Edge edge, const std::string& where) {
    if (values_.emplace(name, edge).second) return {};
    return name_is_taken(name, where);
  }

  static Error name_is_taken(const std::string& name, const std::string& where) {
    return spec_error("SPEC-KEY", where, "the name " + rushlight::quoted(name) + " is taken");
  }

  Status read_outputs(const JsonElement* value) {
    if (value == nullptr) {
      if (several_inputs_ && !any_layer_) return spec_error("SPEC-KEY", "", "key 'outputs' is missing");
      builder_.output("output", last_);
      return {};
    }
    std::vector<std::string> names;
    RUSHLIGHT_TRY(read_value(*value, "outputs", names));
    if (names.empty()) return expected_error("outputs", "at least one name", "none");
    for (const std::string& name : names) {
      RUSHLIGHT_TRY_ASSIGN(const Edge edge, find_value(name, "outputs"));
      builder_.output(name, edge);
    }
    return {};
  }

  Status read_self_test(const JsonElement& value) {
    object source;
    if (value.get(source) != simdjson::SUCCESS) return expected_error("selftest", "an object", json_text(value));
    static const std::vector<std::string> kKeys = {"inputs", "outputs", "tolerance"};
    RUSHLIGHT_TRY_ASSIGN(const auto keys, members(source, "selftest", kKeys));
    SelfTest test;
    for (const auto& [key, member] : keys) {
      const std::string where = "selftest." + std::string(key);
      if (key == "tolerance") {
        RUSHLIGHT_TRY(read_value(member, where, test.tolerance));
      } else {
        RUSHLIGHT_TRY(read_arrays(member, where, key == "inputs" ? test.inputs : test.outputs));
      }
    }
    builder_.self_test(std::move(test));
    return {};
  }

  // [{"shape": [1, 4], "values": [...]}], one for each input or output.
  Status read_arrays(const JsonElement& value, const std::string& where, std::vector<SelfTest::Array>& arrays) {
    array items;
    if (value.get(items) != simdjson::SUCCESS) return expected_error(where, "an array of objects", json_text(value));
    static const std::vector<std::string> kKeys = {"shape", "values"};
    for (const JsonElement item : items) {
      const std::string place = where + "[" + std::to_string(arrays.size()) + "]";
      object source;
      if (item.get(source) != simdjson::SUCCESS) return expected_error(place, "an object", json_text(item));
      RUSHLIGHT_TRY_ASSIGN(const auto keys, members(source, place, kKeys));
      SelfTest::Array& read = arrays.emplace_back();
      for (const auto& [key, member] : keys) {
        if (key == "shape") {
          RUSHLIGHT_TRY(read_value(member, place + ".shape", read.shape));
        } else {
          RUSHLIGHT_TRY(read_value(member, place + ".values", read.values));
        }
      }
      if (read.shape.size() > limits_.tensor_dims) return expected_error(place + ".shape", "fewer sizes", "too many");
    }
    return {};
  }

  const Limits& limits_;
  GraphBuilder builder_;
  std::unordered_map<std::string, Edge> values_;
  Edge last_;
  bool several_inputs_ = false;
  bool any_layer_ = false;
};

Error syntax_error(std::string_view json, simdjson::error_code code) {
  if (code == simdjson::MEMALLOC) {
    return Error::of(ErrorCode::out_of_memory,
                     {.category = Category::model, .code = "OUT-OF-MEMORY", .message = "spec: no memory to parse it"});
  }
  if (const std::optional<JsonError> error = find_json_error(json, kMaxDepth)) {
    return spec_error("SPEC-SYNTAX",
                      "line " + std::to_string(error->line) + ", column " + std::to_string(error->column),
                      error->message);
  }
  // Valid by RFC 8259, and still nothing to compute with: 1e999, "\ud800".
  if (code == simdjson::NUMBER_ERROR || code == simdjson::NUMBER_OUT_OF_RANGE) {
    return spec_error("SPEC-SYNTAX", "", "a number does not fit 64 bits");
  }
  if (code == simdjson::STRING_ERROR) return spec_error("SPEC-SYNTAX", "", "a string has half a surrogate pair");
  return spec_error("SPEC-SYNTAX", "", "it cannot be parsed as JSON");
}

}  // namespace
}  // namespace doors

Result<Graph> Graph::from_spec(std::string_view json, const Limits& limits) {
  if (json.size() > limits.json_bytes) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-JSON-BYTES",
                      .message = "spec: it has " + std::to_string(json.size()) + " bytes, the limit is " +
                                 std::to_string(limits.json_bytes)});
  }
  simdjson::dom::parser parser;
  simdjson::error_code code = parser.allocate(std::max<std::size_t>(json.size(), 1), doors::kMaxDepth + 1);
  doors::JsonElement document;
  if (code == simdjson::SUCCESS) code = parser.parse(json.data(), json.size()).get(document);
  if (code != simdjson::SUCCESS) return doors::syntax_error(json, code);
  return doors::SpecReader(limits).read(document);
}

}  // namespace rushlight
