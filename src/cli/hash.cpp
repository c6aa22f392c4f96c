// rushlight hash: digests that do not depend on the container.
#include <fmt/format.h>

#include <memory>

#include "cli/format.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct HashArguments {
  std::vector<std::string> files;
  DigestAlgorithm algorithm = DigestAlgorithm::xxh3_128;
  bool per_tensor = false;
};

int look(Context& context, const HashArguments& options, const std::string& file) {
  Result<Checkpoint> checkpoint = Checkpoint::open(file, context.load_options());
  if (!checkpoint) {
    return fail(context, "hash", file, with_path_suggestion(std::move(checkpoint).error(), file));
  }
  ProgressBar progress;
  Result<DigestReport> report = digest(*checkpoint, options.algorithm, &context.executor(), &progress);
  if (!report) return fail(context, "hash", file, std::move(report).error());
  const std::string_view algorithm = to_string(report->algorithm);
  if (context.json) {
    JsonWriter json = begin_envelope("hash", file, true);
    json.field("algorithm", algorithm).key("tensors").begin_array();
    for (const TensorDigest& tensor : report->tensors) {
      json.begin_object().field("name", std::string_view(tensor.name)).field("dtype", to_string(tensor.dtype));
      json.key("shape").integers(tensor.shape).field("digest", std::string_view(tensor.digest)).end_object();
    }
    json.end_array().key("arrays").begin_array();
    for (const ArrayDigest& array : report->arrays) {
      json.begin_object().field("name", std::string_view(array.name)).field("dtype", std::string_view(array.dtype));
      json.key("shape").integers(array.shape).field("digest", std::string_view(array.digest)).end_object();
    }
    json.end_array().field("content_digest", std::string_view(report->content_digest));
    write_findings(json, checkpoint->findings());
    print_envelope(context, json);
    return kGood;
  }
  std::string out;
  if (options.per_tensor) {
    for (const TensorDigest& tensor : report->tensors) {
      out += fmt::format("{}  {}  {} {}\n", tensor.digest, escaped(tensor.name), info(tensor.dtype).brief,
                         format_shape(tensor.shape));
    }
    for (const ArrayDigest& array : report->arrays) {
      out += fmt::format("{}  {}  numpy {} {}\n", array.digest, escaped(array.name), escaped(array.dtype),
                         format_shape(array.shape));
    }
  }
  out += fmt::format("{}  content-{}  {}\n", report->content_digest, algorithm, format_file(file));
  if (!context.quiet) print(out);
  return kGood;
}

}  // namespace

Verb hash_verb() {
  return {
      "hash",
      {},
      "digests of the tensors and of the whole content",
      {"rushlight hash *.pt", "rushlight hash model.pt --per-tensor", "rushlight hash model.pt --algo sha256 --json"},
      [](OptionTable& table, Context& context) {
        auto options = std::make_shared<HashArguments>();
        table.add("FILE", &options->files, "checkpoints").required();
        const auto set_algorithm = [options](const std::string& name) {
          options->algorithm = name == "sha256" ? DigestAlgorithm::sha256 : DigestAlgorithm::xxh3_128;
        };
        table.add("--algo", set_algorithm, "xxh3-128 (accidents) or sha256 (also intent)")
            .one_of({"xxh3-128", "sha256"});
        table.add("--per-tensor", &options->per_tensor, "one line a tensor as well");
        return [options, &context] {
          return for_each_file(context, "hash", options->files, false,
                               [&](const std::string& file) { return look(context, *options, file); });
        };
      }};
}

}  // namespace rushlight::cli
