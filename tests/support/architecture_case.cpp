#include "support/architecture_case.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

#include "rushlight/npy.hpp"

namespace rushlight::test {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", file.c_str(), what.c_str());
  std::abort();
}

// simdjson's results convert by themselves only with exceptions, which a build may be without.
template <class T>
T get(simdjson::simdjson_result<element> result) {
  T value{};
  if (result.get(value) != simdjson::SUCCESS) fail("architecture", "a key is missing or of another type");
  return value;
}
std::string text(simdjson::simdjson_result<element> result) {
  return std::string(get<std::string_view>(result));
}
std::vector<std::int64_t> integers(array values) {
  std::vector<std::int64_t> numbers;
  for (const element value : values) numbers.push_back(value.get_int64().value_unsafe());
  return numbers;
}

Recipe read_recipe(array row) {
  Recipe recipe{.name = text(row.at(0)),
                .dtype = text(row.at(1)) == "int64" ? DType::i64 : DType::f32,
                .shape = integers(get<array>(row.at(2)))};
  if (row.size() == 4) {
    recipe.file = text(row.at(3));
  } else {
    recipe.base = get<double>(row.at(3));
    recipe.scale = get<double>(row.at(4));
  }
  return recipe;
}

ArchitectureRun read_run(object run, const std::string& arch, const std::filesystem::path& folder) {
  ArchitectureRun result{.arch = arch};
  const object input = get<object>(run["input"]);
  result.input = {.name = text(input["name"]),
                  .shape = integers(get<array>(input["shape"])),
                  .base = get<double>(input["base"]),
                  .scale = get<double>(input["scale"])};
  const object errors = get<object>(run["error"]);
  for (const auto [name, file] : get<object>(run["outputs64"])) {
    result.outputs.push_back(
        {std::string(name), folder / std::string(file.get_string().value_unsafe()), get<double>(errors.at_key(name))});
  }
  array values;
  if (run["every"].get(values) == simdjson::SUCCESS) result.every = integers(values);
  if (run["top1"].get(values) == simdjson::SUCCESS) result.top1 = integers(values);
  bool transform = false;
  if (run["constructor"]["transform_input"].get(transform) == simdjson::SUCCESS && transform) {
    result.arch += ":transform_input";
  }
  return result;
}

Activation read_activation(object row) {
  Activation activation{.module = text(row["module"]),
                        .shape = integers(get<array>(row["shape"])),
                        .mean = get<double>(row["mean"]),
                        .std = get<double>(row["std"]),
                        .max_abs = get<double>(row["max_abs"]),
                        .error = get<double>(row["error"])};
  for (const element value : get<array>(row["first"])) activation.first.push_back(value.get_double().value_unsafe());
  return activation;
}

element load(simdjson::dom::parser& parser, const std::filesystem::path& file) {
  element root;
  if (const auto error = parser.load(file.string()).get(root); error != simdjson::SUCCESS) {
    fail(file, simdjson::error_message(error));
  }
  return root;
}

}  // namespace

std::vector<std::string> architecture_names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    // resnet18.json, not resnet18.trace.json; INDEX.json describes the folder.
    const std::filesystem::path stem = entry.path().stem();
    if (entry.path().extension() == ".json" && stem.extension().empty() && stem != "INDEX") names.push_back(stem);
  }
  std::sort(names.begin(), names.end());
  return names;
}

ArchitectureCase read_architecture(const std::filesystem::path& folder, const std::string& name) {
  simdjson::dom::parser parser;
  const object root = get<object>(load(parser, folder / (name + ".json")));
  ArchitectureCase result{.name = name, .folder = folder};
  for (const element row : get<array>(root["state_dict"])) {
    result.state_dict.push_back(read_recipe(row.get_array().value_unsafe()));
  }
  result.runs.push_back(read_run(root, name, folder));
  array more;
  if (root["more_runs"].get(more) == simdjson::SUCCESS) {
    for (const element run : more) result.runs.push_back(read_run(run.get_object().value_unsafe(), name, folder));
  }
  const std::filesystem::path trace = folder / (name + ".trace.json");
  if (std::filesystem::exists(trace)) {
    const object described = get<object>(load(parser, trace));
    for (const element row : get<array>(described["activations"])) {
      result.trace.push_back(read_activation(row.get_object().value_unsafe()));
    }
  }
  return result;
}

// FNV-1a of the name, then splitmix64 counting from there; 24 bits of each.
std::vector<float> synthetic(std::string_view name, std::size_t count, double base, double scale) {
  std::uint64_t seed = 0xCBF29CE484222325u;
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t z = seed + i + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    values[i] = static_cast<float>(base + scale * (static_cast<double>(z >> 40) * 0x1p-24));
  }
  return values;
}

Tensor make_tensor(const Recipe& recipe, const std::filesystem::path& folder) {
  // A constant that is not there is one that no graph reads: zeros stand for it.
  if (!recipe.file.empty()) {
    if (std::filesystem::exists(folder / recipe.file)) return read_npy(folder / recipe.file).value();
    return Tensor::zeros(recipe.dtype, recipe.shape).value();
  }
  std::size_t count = 1;
  for (const std::int64_t size : recipe.shape) count *= static_cast<std::size_t>(size);
  if (recipe.dtype == DType::i64) {
    const std::vector<std::int64_t> values(count, static_cast<std::int64_t>(recipe.base));
    return Tensor::from_values<std::int64_t>(values, recipe.shape).value();
  }
  const std::vector<float> values = synthetic(recipe.name, count, recipe.base, recipe.scale);
  return Tensor::from_values<float>(values, recipe.shape).value();
}

StateDict make_state_dict(const ArchitectureCase& architecture) {
  StateDict state;
  state.reserve(architecture.state_dict.size());
  for (const Recipe& recipe : architecture.state_dict) {
    state.insert(recipe.name, make_tensor(recipe, architecture.folder));
  }
  return state;
}

}  // namespace rushlight::test
