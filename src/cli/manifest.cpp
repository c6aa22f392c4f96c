// rushlight manifest: what a file is now, written down so that any change is found.
#include "rushlight/manifest.hpp"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/format.hpp"
#include "cli/output_file.hpp"
#include "cli/stop_signals.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct ManifestArguments {
  std::string file;
  std::string output;
  std::string sidecar;
  bool in_place = false;
  bool sha256 = false;
  bool force = false;
};

std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

// Of the whole file: null where the manifest has none.
template <class Bytes>
void write_digest(JsonWriter& json, std::string_view key, const std::optional<Bytes>& digest) {
  if (digest) {
    json.field(key, std::string_view(to_hex(*digest)));
  } else {
    json.key(key).null();
  }
}

int write(Context& context, const ManifestArguments& options) {
  const int places = (options.in_place ? 1 : 0) + (options.output.empty() ? 0 : 1) + (options.sidecar.empty() ? 0 : 1);
  if (places != 1) {
    return fail(
        context, "manifest", options.file,
        Error::of({.category = Category::argument,
                   .code = "CLI-USAGE",
                   .message = "one of --in-place, -o OUT.pt and --sidecar M.json says where the manifest goes"}));
  }
  if (!options.sidecar.empty()) {
    const Status apart = check_is_no_input(options.sidecar, {options.file});
    if (!apart) return fail(context, "manifest", options.file, apart.error());
  }
  StopSignals stop;
  ProgressBar progress;
  ManifestOptions manifest_options;
  manifest_options.level = options.sha256 ? ManifestLevel::sha256 : ManifestLevel::xxh3;
  manifest_options.limits = context.limits;
  manifest_options.overwrite = options.in_place || options.force;
  manifest_options.executor = &context.executor();
  manifest_options.progress = &progress;
  const std::string& to = !options.sidecar.empty() ? options.sidecar : options.in_place ? options.file : options.output;
  Result<Manifest> manifest = options.sidecar.empty() ? add_manifest(options.file, to, manifest_options)
                                                      : write_manifest_sidecar(options.file, to, manifest_options);
  if (!manifest) {
    return fail(context, "manifest", options.file, with_path_suggestion(std::move(manifest).error(), options.file));
  }
  if (context.json) {
    JsonWriter json = begin_envelope("manifest", options.file, true);
    json.field("output", std::string_view(to)).field("sidecar", !options.sidecar.empty());
    json.field("level", to_string(manifest->level())).field("records", std::uint64_t{manifest->records.size()});
    json.field("tensors", std::uint64_t{manifest->tensors.size()});
    json.field("digest", std::string_view(to_hex(manifest->self_xxh3)));
    write_digest(json, "file_xxh3", manifest->file_xxh3);
    write_digest(json, "file_sha256", manifest->file_sha256);
    write_findings(json, {});
    print_envelope(context, json);
  } else if (!context.quiet) {
    print(fmt::format("{}  {}   {}, {}   {}\n", context.terminal.paint("ok", Role::good), format_file(to),
                      plural(std::int64_t(manifest->records.size()), "record"),
                      plural(std::int64_t(manifest->tensors.size()), "tensor"),
                      options.sha256 ? "xxh3-128 and sha-256" : "xxh3-128"));
  }
  return kGood;
}

}  // namespace

Verb manifest_verb() {
  return {"manifest",
          {},
          "write down what a file is, so that verify finds any change",
          {"rushlight manifest model.pt --in-place", "rushlight manifest model.pt --sha256 -o vouched.pt",
           "rushlight manifest model.pt --sidecar model.pt.manifest.json",
           "rushlight manifest model.safetensors --sha256 --sidecar model.safetensors.manifest.json"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<ManifestArguments>();
            table.add("FILE", &options->file, "a checkpoint; with --sidecar of any kind that list reads").required();
            table.add("--sha256", &options->sha256, "SHA-256 too: holds against intent, and can be signed");
            table.add("--in-place", &options->in_place, "into the file itself, which is replaced at once");
            table.add("-o,--output", &options->output, "into a copy of the file");
            table.add("--sidecar", &options->sidecar, "beside the file, which is left alone");
            table.add("--force", &options->force, "replace what is there");
            return [options, &context] { return write(context, *options); };
          }};
}

}  // namespace rushlight::cli
