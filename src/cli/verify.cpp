// rushlight verify: is every byte what its writer wrote?
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct VerifyArguments {
  std::vector<std::string> files;
  bool all = false;
  bool require_crc = false;
  bool pread = false;
  std::string manifest;
  std::string signature;
  std::string public_key;
  bool require_manifest = false;
  bool require_signature = false;
};

// Where there is a manifest: "not-checked" is not what a record without one is.
void write_digest_state(JsonWriter& json, std::string_view key, Integrity state) {
  if (state == Integrity::not_computed) {
    json.key(key).null();
  } else {
    json.field(key, to_string(state));
  }
}

void write_manifest(JsonWriter& json, const VerifyReport& report) {
  json.key("manifest");
  if (report.manifest) {
    const ManifestVerdict& manifest = *report.manifest;
    json.begin_object().field("state", to_string(manifest.state)).field("sidecar", manifest.is_sidecar);
    json.field("level", to_string(manifest.level)).field("records", manifest.records);
    json.field("tensors", manifest.tensors).field("digest", std::string_view(manifest.self_digest));
    write_digest_state(json, "file_xxh3", manifest.file_xxh3);
    write_digest_state(json, "file_sha256", manifest.file_sha256);
    json.end_object();
  } else {
    json.null();
  }
  json.key("signature");
  if (report.signature) {
    json.begin_object().field("state", to_string(report.signature->state));
    json.field("sidecar", report.signature->is_sidecar);
    json.field("key", std::string_view(report.signature->key)).end_object();
  } else {
    json.null();
  }
}

void write_json(const Context& context, const VerifyReport& report) {
  JsonWriter json = begin_envelope("verify", report.file, report.ok);
  json.field("kind", to_string(report.format.kind)).field("structure", report.structure_ok ? "ok" : "bad");
  json.field("size_bytes", report.format.size_bytes).field("explained_bytes", report.explained_bytes);
  json.field("checked_bytes", report.checked_bytes);
  json.key("records").begin_array();
  for (const RecordReport& record : report.records) {
    json.begin_object().field("name", std::string_view(record.name)).field("offset", record.offset);
    json.field("size_bytes", record.size_bytes).field("compressed_bytes", record.compressed_bytes);
    json.field("method", record.deflated ? "deflated" : "stored").field("crc", to_string(record.crc));
    write_digest_state(json, "xxh3", record.xxh3);
    write_digest_state(json, "sha256", record.sha256);
    json.end_object();
  }
  json.end_array();
  write_manifest(json, report);
  json.key("tensors").begin_array();
  for (const TensorVerdict& tensor : report.tensors) {
    json.begin_object().field("name", std::string_view(tensor.name)).field("state", to_string(tensor.state));
    if (tensor.element) json.field("element", *tensor.element);
    json.end_object();
  }
  json.end_array().key("flipped_bits").begin_array();
  for (const FlippedBit& flip : report.flips) {
    json.begin_object().field("offset", flip.offset).field("record_offset", flip.record_offset);
    json.field("bit", static_cast<int>(flip.bit)).field("found", static_cast<int>(flip.found));
    json.field("expected", static_cast<int>(flip.expected)).end_object();
  }
  json.end_array();
  write_findings(json, report.findings);
  print_envelope(context, json);
}

// "manifest: verified (sha256)   signature: verified (key 0123456789abcdef)".
std::string manifest_text(const VerifyReport& report) {
  std::string out = "manifest: none";
  if (report.manifest) {
    out = fmt::format("manifest: {}", to_string(report.manifest->state));
    if (report.manifest->level != ManifestLevel::none) {
      out += fmt::format(" ({})", to_string(report.manifest->level));
    }
  }
  if (report.signature) {
    out += fmt::format("   signature: {}", to_string(report.signature->state));
    if (!report.signature->key.empty()) out += fmt::format(" (key {})", report.signature->key);
  }
  return out;
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (part == whole) return "100%";
  // Never rounds up to 100: one unexplained byte must show.
  return fmt::format("{:.4f}%", std::min(99.9999, 100.0 * static_cast<double>(part) / static_cast<double>(whole)));
}

void write_text(const Context& context, const VerifyArguments& options, const VerifyReport& report) {
  const auto count = [&](TensorState state) {
    return std::ranges::count(report.tensors, state, &TensorVerdict::state);
  };
  const auto damaged = count(TensorState::damaged);
  const auto unverified = count(TensorState::unverified);
  const auto intact = count(TensorState::intact);
  std::string out;
  for (const Finding& finding : report.findings) {
    if (finding.severity != Severity::note || options.all) out += format_finding(context.terminal, finding);
    if (!finding.tensors.empty()) {
      std::string names = escaped(finding.tensors[0]);
      for (std::size_t i = 1; i < std::min<std::size_t>(finding.tensors.size(), 4); ++i) {
        names += ", " + escaped(finding.tensors[i]);
      }
      if (finding.tensors.size() > 4) names += fmt::format(" and {} more", finding.tensors.size() - 4);
      out += fmt::format("  feeds {} ({} of {})\n", names, finding.tensors.size(),
                         plural(std::int64_t(report.tensors.size()), "tensor"));
    }
  }
  if (options.all) {
    const bool digests = report.manifest.has_value();
    std::vector<TextTable::Align> columns = {TextTable::Align::left, TextTable::Align::right, TextTable::Align::right,
                                             TextTable::Align::left};
    std::vector<std::string> heads = {"record", "offset", "bytes", "crc-32"};
    if (digests) {
      columns.push_back(TextTable::Align::left);
      heads.push_back("xxh3-128");
    }
    TextTable table(std::move(columns));
    table.header(std::move(heads));
    for (const RecordReport& record : report.records) {
      std::vector<std::string> cells = {escaped(record.name), fmt::format("0x{:x}", record.offset),
                                        format_count(std::int64_t(record.size_bytes)),
                                        std::string(to_string(record.crc))};
      if (digests) cells.emplace_back(to_string(record.xxh3));
      table.row(std::move(cells));
    }
    out += table.render(context.terminal);
  }
  const std::string structure =
      fmt::format("structure {} ({}, {} of bytes explained)   {}", report.structure_ok ? "ok" : "bad",
                  plural(std::int64_t(report.records.size()), "record"),
                  percent(report.explained_bytes, report.format.size_bytes), manifest_text(report));
  if (report.ok) {
    out += fmt::format("{}  {}   {} intact", context.terminal.paint("ok", Role::good), format_file(report.file),
                       plural(intact, "tensor"));
    if (unverified > 0) out += fmt::format(", {} unverified (no checksum in the file)", unverified);
    out += fmt::format("   {} checked\n    {}\n", format_bytes(report.checked_bytes), structure);
  } else {
    if (damaged > 0 && intact + unverified > 0) {
      const bool one = intact + unverified == 1;
      out += fmt::format("  the other {} {} {}\n", one ? "tensor" : plural(intact + unverified, "tensor"),
                         one ? "is" : "are",
                         unverified == 0 ? "intact"
                         : one           ? "not damaged, but unverified"
                                         : fmt::format("not damaged, {} of them unverified", unverified));
    }
    // A sound file may lack what is demanded of it.
    const bool sound = std::ranges::all_of(report.findings, [](const Finding& finding) {
      return finding.severity != Severity::error || finding.category == Category::sig || finding.code == "MANI-ABSENT";
    });
    const std::string verdict = fmt::format("{}: {}", sound ? "refused" : "corrupt", count_findings(report.findings));
    out += fmt::format("  {}\n{}\n", structure, context.terminal.paint(verdict, Role::bad));
  }
  print(out);
}

// What is demanded, and what it is judged by.
Status set_demands(const VerifyArguments& options, VerifyOptions& verify_options) {
  if (options.require_signature && options.public_key.empty()) {
    return Error::of({.category = Category::argument,
                      .code = "CLI-USAGE",
                      .message = "--require-signature needs the key of who may sign: --pub public.pem"});
  }
  const auto beside = [](const std::string& path, std::shared_ptr<const Source>& source) -> Status {
    if (path.empty()) return {};
    Result<std::shared_ptr<const Source>> opened = open_file(path);
    if (!opened) return with_path_suggestion(std::move(opened).error(), path);
    source = *std::move(opened);
    return {};
  };
  if (Status opened = beside(options.manifest, verify_options.manifest); !opened) return opened;
  if (Status opened = beside(options.signature, verify_options.signature); !opened) return opened;
  verify_options.require_manifest = options.require_manifest;
  if (options.public_key.empty()) return {};
  Result<KeyFile> key = read_key_file(options.public_key, false);
  if (!key) return with_path_suggestion(std::move(key).error(), options.public_key);
  verify_options.public_key_pem = std::move(key->pem);
  // An empty file is no key, and no key is no demand.
  if (verify_options.public_key_pem.empty()) verify_options.public_key_pem = "\n";
  return {};
}

int look(Context& context, const VerifyArguments& options, const std::string& file) {
  ProgressBar progress;
  VerifyOptions verify_options;
  if (Status demands = set_demands(options, verify_options); !demands) {
    return fail(context, "verify", file, std::move(demands).error());
  }
  verify_options.strict = context.strict;
  verify_options.require_crc = options.require_crc;
  verify_options.limits = context.limits;
  verify_options.access = options.pread ? FileAccess::pread : FileAccess::mapped;
  verify_options.executor = &context.executor();
  verify_options.progress = &progress;
  Result<VerifyReport> report = verify(file, verify_options);
  if (!report) {
    return fail(context, "verify", file, with_path_suggestion(std::move(report).error(), file));
  }
  if (context.json) {
    write_json(context, *report);
  } else if (!context.quiet || !report->ok) {
    write_text(context, options, *report);
  }
  return report->ok ? kGood : kFindings;
}

}  // namespace

Verb verify_verb() {
  return {"verify",
          {"check"},
          "check structure and checksums; name damage down to the tensor",
          {"rushlight verify *.pt", "rushlight verify model.pt --all --threads 2",
           "rushlight verify model.pt --require-signature --pub public.pem",
           "rushlight verify model.pt --json | jq '.tensors[] | select(.state != \"intact\")'"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<VerifyArguments>();
            table.add("FILE", &options->files, "checkpoints").required();
            table.add("--all", &options->all, "print every record, and notes");
            table.add("--require-crc", &options->require_crc, "records without a checksum are errors");
            table.add("--manifest", &options->manifest,
                      "the manifest beside the file, as rushlight manifest writes it");
            table.add("--require-manifest", &options->require_manifest, "a file without a manifest is an error");
            table.add("--pub", &options->public_key, "public key: what it has not signed is an error");
            table.add("--require-signature", &options->require_signature, "the same, said in so many words");
            table.add("--signature", &options->signature, "the signature beside the file, of 64 bytes");
            table.add("--pread", &options->pread, "read instead of mapping: for files that may change");
            return [options, &context] {
              return for_each_file(context, "verify", options->files, false,
                                   [&](const std::string& file) { return look(context, *options, file); });
            };
          }};
}

}  // namespace rushlight::cli
