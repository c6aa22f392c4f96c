#include "cli/model_input.hpp"

#include <fmt/format.h>

#include "cli/format.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

// What is wrong in a spec is wrong in its file, and nobody typed it.
Error of_spec(Error error, const std::string& file) {
  if (!error.finding.code.starts_with("SPEC-")) return error;
  error.code = ErrorCode::mismatch;
  error.finding.file = escaped_file(file);
  return error;
}

}  // namespace

void ModelInput::add_to(OptionTable& table) {
  table.add("MODEL", &model, "a checkpoint, a pickled module, or a JSON spec with --weights").required();
  table.add("--spec", &spec, "the network as a JSON spec, for files that hold only weights")
      .idle_when([this] { return model.ends_with(".json"); }, "where MODEL is a spec itself")
      .in("Model");
  table
      .add("--arch", &arch,
           "a network of torchvision by name, for files that hold only weights; another name lists them")
      .in("Model");
  table.add("--weights", &weights, "another file with the weights").in("Model");
  table.add("--state-dict", &state_dict, "path of the state dict inside the file, e.g. model_state_dict").in("Model");
  table.add("--no-strict", &loose, "accept unexpected names in the state dict").in("Model");
}

Result<std::string> read_text_file(const std::string& path, std::uint64_t max_bytes) {
  Result<std::shared_ptr<const Source>> source = open_file(path, FileAccess::pread);
  if (!source) return with_path_suggestion(std::move(source).error(), path);
  const std::uint64_t size = (*source)->size_bytes();
  if (size > max_bytes) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-JSON-BYTES",
                      .message = fmt::format("text file has {} bytes, the limit is {}", size, max_bytes),
                      .file = escaped_file(path),
                      .hint = "--max-json-bytes raises the limit"});
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  const Status read = (*source)->read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  if (!read) return read.error();
  return text;
}

Result<Model> ModelInput::load(Context& context) const {
  ModelOptions options;
  options.arch = arch;
  options.state_dict = state_dict;
  options.strict = loose ? Strict::no : Strict::yes;
  options.limits = context.limits;
  std::string weights_file = weights;
  std::string structure_file = model;
  std::string spec_file = spec;
  if (model.ends_with(".json")) {
    if (weights.empty()) {
      const Result<std::string> text = read_text_file(model, context.limits.json_bytes);
      if (!text) return text.error();
      Result<Graph> graph = Graph::from_spec(*text, context.limits);
      if (!graph) return of_spec(std::move(graph).error(), model);
      if (graph->parameters().empty()) return Model::create(*std::move(graph), StateDict());
      return Error::of({.category = Category::argument,
                        .code = "ARG-WEIGHTS",
                        .message = "a spec describes a network without weights",
                        .hint = "add --weights FILE, or give the checkpoint and --spec"});
    }
    spec_file = model;
    structure_file = weights;
    weights_file.clear();
  }
  if (!spec_file.empty()) {
    Result<std::string> text = read_text_file(spec_file, context.limits.json_bytes);
    if (!text) return std::move(text).error();
    options.spec = *std::move(text);
    if (options.spec.empty()) options.spec = " ";  // a file of nothing is no spec, and not none
  }
  Result<Model> loaded = load_with(context, options, structure_file, weights_file);
  if (!loaded) return of_spec(std::move(loaded).error(), spec_file);
  return loaded;
}

Result<Model> ModelInput::load_with(Context& context, const ModelOptions& options, const std::string& structure_file,
                                    const std::string& weights_file) const {
  Result<Checkpoint> checkpoint = Checkpoint::open(structure_file, context.load_options());
  if (!checkpoint) return with_path_suggestion(std::move(checkpoint).error(), structure_file);
  if (weights_file.empty()) return load_model(*checkpoint, options);
  Result<Checkpoint> other = Checkpoint::open(weights_file, context.load_options());
  if (!other) return with_path_suggestion(std::move(other).error(), weights_file);
  Result<StateDict> state = other->state_dict(state_dict);
  if (!state) return std::move(state).error();
  return load_model(*checkpoint, *state, options);
}

}  // namespace rushlight::cli
