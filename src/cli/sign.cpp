// rushlight sign: a signature on the manifest of a file.
#include <fmt/format.h>

#include <memory>

#include "cli/format.hpp"
#include "cli/output_file.hpp"
#include "cli/stop_signals.hpp"
#include "cli/verbs.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct SignArguments {
  std::string file;
  std::string key;
  std::string output;
  std::string sidecar;
  std::string manifest;
  bool force = false;
};

int write(Context& context, const SignArguments& options) {
  const bool detached = !options.sidecar.empty();
  if ((detached && !options.output.empty()) || (!detached && !options.manifest.empty())) {
    return fail(context, "sign", options.file,
                Error::of({.category = Category::argument,
                           .code = "CLI-USAGE",
                           .message = detached ? "--sidecar leaves the file alone, and so there is no -o"
                                               : "the signature of a sidecar manifest is a sidecar too: --sidecar"}));
  }
  Status apart;
  if (detached) apart = check_is_no_input(options.sidecar, {options.file, options.key, options.manifest});
  if (apart && !options.manifest.empty()) apart = check_is_no_input(options.manifest, {options.file, options.key});
  if (apart && !options.output.empty()) apart = check_is_no_input(options.output, {options.key});
  if (!apart) return fail(context, "sign", options.file, apart.error());
  Result<KeyFile> key = read_key_file(options.key, true);
  if (!key) return fail(context, "sign", options.file, with_path_suggestion(std::move(key).error(), options.key));
  StopSignals stop;
  ProgressBar progress;
  SignOptions sign_options;
  sign_options.private_key_pem = std::move(key->pem);
  sign_options.limits = context.limits;
  sign_options.manifest = options.manifest;
  sign_options.executor = &context.executor();
  sign_options.progress = &progress;
  const std::string& to = detached ? options.sidecar : options.output.empty() ? options.file : options.output;
  sign_options.overwrite = options.force || (!detached && options.output.empty());
  Result<SignReport> report =
      detached ? sign_detached(options.file, to, sign_options) : sign(options.file, to, sign_options);
  if (!report) {
    return fail(context, "sign", options.file, with_path_suggestion(std::move(report).error(), options.file));
  }
  if (context.json) {
    JsonWriter json = begin_envelope("sign", options.file, true);
    json.field("output", std::string_view(to)).field("sidecar", detached).field("key", std::string_view(report->key));
    if (report->manifest.empty()) {
      json.key("manifest").null();
    } else {
      json.field("manifest", std::string_view(report->manifest.native()));
    }
    json.field("manifest_written", report->manifest_written);
    write_findings(json, key->findings);
    print_envelope(context, json);
  } else if (!context.quiet) {
    std::string out;
    for (const Finding& finding : key->findings) out += format_finding(context.terminal, finding);
    if (report->manifest_written) {
      out += fmt::format("{}  {}   manifest of {}\n", context.terminal.paint("ok", Role::good),
                         format_file(report->manifest.native()), format_file(options.file));
    }
    print(out + fmt::format("{}  {}   signed with key {}\n", context.terminal.paint("ok", Role::good), format_file(to),
                            report->key));
  }
  return kGood;
}

}  // namespace

Verb sign_verb() {
  return {
      "sign",
      {},
      "sign the manifest of a file (Ed25519)",
      {"openssl genpkey -algorithm ed25519 -out private.pem", "openssl pkey -in private.pem -pubout -out public.pem",
       "rushlight sign model.pt --key private.pem", "rushlight verify model.pt --require-signature --pub public.pem",
       "rushlight sign model.safetensors --key private.pem --sidecar model.safetensors.sig",
       "rushlight verify model.safetensors --manifest model.safetensors.manifest.json --signature "
       "model.safetensors.sig --require-signature --pub public.pem"},
      [](OptionTable& table, Context& context) {
        auto options = std::make_shared<SignArguments>();
        table.add("FILE", &options->file, "a file with a manifest that has SHA-256; with --sidecar any file")
            .required();
        table.add("--key", &options->key, "private key, PKCS#8 PEM as openssl writes it").required();
        table.add("-o,--output", &options->output, "sign a copy of the file");
        table.add("--sidecar", &options->sidecar, "write 64 bytes beside the file, and a manifest where there is none");
        table.add("--manifest", &options->manifest, "the sidecar manifest to sign, or to write (FILE.manifest.json)");
        table.add("--force", &options->force, "replace what is there");
        return [options, &context] { return write(context, *options); };
      }};
}

}  // namespace rushlight::cli
