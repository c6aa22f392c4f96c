#include "rushlight/verify.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checkpoint/zip_container.hpp"
#include "checksum/crc32.hpp"
#include "open/element_position.hpp"
#include "open/index_check.hpp"
#include "open/listing.hpp"
#include "open/manifest_tensors.hpp"
#include "open/opened.hpp"
#include "open/set_files.hpp"
#include "open/verify_manifest.hpp"
#include "open/verify_set.hpp"

namespace rushlight {
namespace {

// In one finding; the verdicts name all of them.
constexpr std::size_t kNamedTensors = 1000;

// One name of a tensor, and the record its bytes are in.
struct Use {
  std::string name;
  Tensor tensor;
};

// One name of a sparse or nested tensor.
struct CompositeUse {
  std::string name;
  CompositeTensor tensor;
};

class UseCollector final : public open::ListingVisitor {
 public:
  // `root`: the name of the root, where the file is a part of a set.
  explicit UseCollector(std::string_view root) : root_(root) {}
  void tensor(std::string_view name, std::span<const PathStep>, Tensor tensor, bool) override {
    uses.push_back({below_root(name), std::move(tensor)});
  }
  // Its parts come as tensors too. Under further names it is the same one.
  void composite(std::string_view name, std::span<const PathStep>, CompositeTensor tensor, bool) override {
    if (known_.insert(tensor.components().data()).second) {
      composites.push_back({below_root(name), std::move(tensor)});
    }
  }
  void value(std::string_view, std::span<const PathStep>, const Value&) override {}
  void object(std::string_view, std::span<const PathStep>, const Value&) override {}

  std::vector<Use> uses;
  std::vector<CompositeUse> composites;

 private:
  [[nodiscard]] std::string below_root(std::string_view name) const {
    const bool dot = !root_.empty() && !name.empty() && name.front() != '[';
    return std::string(root_) + (dot ? "." : "") + std::string(name);
  }

  std::string_view root_;
  std::set<const CompositeTensor::Component*> known_;
};

class Verifier {
 public:
  // `window`: the part of the source that is an archive; null for a file of its own.
  Verifier(std::shared_ptr<const Source> source, const VerifyOptions& options, const open::Part* window)
      : source_(std::move(source)), options_(options), window_(window), manifest_(*source_, options_) {}

  Result<VerifyReport> run() {
    Status looked = look();
    report_.file = open::printable_file(opened_.file);
    report_.format = opened_.format;
    if (!looked) return std::move(looked).error();
    finish();
    return std::move(report_);
  }

 private:
  // An error only where nothing can be said about the file.
  Status look() {
    LoadOptions load;
    load.limits = options_.limits;
    // The audit computes every CRC; what is damaged is described as well as it can be read.
    load.checksums = Checksums::ignore;
    load.open_beside = options_.open_beside;
    Status opened =
        window_ != nullptr ? open::open_window(*window_, load, opened_) : open::open_container(source_, load, opened_);
    report_.file = open::printable_file(opened_.file);
    if (!opened) {
      RUSHLIGHT_TRY(add_error(std::move(opened).error()));
      RUSHLIGHT_TRY(manifest_.find(nullptr));
      if (manifest_.is_of_file()) RUSHLIGHT_TRY(manifest_.compare_file(report_));
      return manifest_.conclude(report_);
    }
    if (opened_.is_set()) {
      // What is demanded of a file is demanded of each of a set that is one, and of the whole, which has none of it.
      RUSHLIGHT_TRY(open::verify_set(options_, load, opened_, report_));
      RUSHLIGHT_TRY(manifest_.find(nullptr, true));
      return manifest_.conclude(report_);
    }
    archive_ = opened_.archive;
    // An item of a distributed checkpoint is no file of its own: what its records would vouch for lies elsewhere.
    const bool has_manifest = window_ == nullptr;
    if (has_manifest) RUSHLIGHT_TRY(manifest_.find(archive_.get()));
    if (archive_ == nullptr) {
      RUSHLIGHT_TRY(look_at_stream(load));
      return has_manifest ? manifest_.conclude(report_) : Status();
    }
    RUSHLIGHT_TRY_ASSIGN(audit_, archive_->audit(options_.executor, options_.progress, manifest_.hashes()));
    report_.structure_ok = std::none_of(audit_.findings.begin(), audit_.findings.end(), [](const Finding& finding) {
      return finding.severity == Severity::error && finding.category != Category::crc;
    });
    report_.explained_bytes = audit_.explained_bytes;
    report_.checked_bytes = audit_.checked_bytes;

    Status loaded = open::load_values(load, opened_);
    take_records();
    for (Finding& finding : audit_.findings) add(std::move(finding));
    if (!loaded) RUSHLIGHT_TRY(add_load_error(std::move(loaded).error()));
    for (Finding& finding : opened_.findings) report_.findings.push_back(std::move(finding));
    if (has_manifest) RUSHLIGHT_TRY(manifest_.compare(audit_, context_.root, report_));
    RUSHLIGHT_TRY(judge_tensors());
    if (has_manifest) RUSHLIGHT_TRY(manifest_.conclude(report_));
    return explain_mismatches();
  }

  // A file without checksums: that it can be read whole is all there is to know, unless a manifest lies beside it.
  Status look_at_stream(const LoadOptions& load) {
    if (manifest_.is_of_file()) RUSHLIGHT_TRY(manifest_.compare_file(report_));
    Status loaded = open::load_values(load, opened_);
    report_.structure_ok = loaded.has_value();
    report_.explained_bytes = opened_.explained_bytes;
    for (Finding& finding : opened_.findings) report_.findings.push_back(std::move(finding));
    if (!loaded) return add_error(std::move(loaded).error());
    UseCollector collector(window_ != nullptr ? std::string_view(window_->of) : std::string_view());
    Status visited = open::visit_listing(opened_.root, options_.limits.visited_nodes, collector);
    if (!visited) RUSHLIGHT_TRY(add_error(std::move(visited).error()));
    RUSHLIGHT_TRY(check_indices(collector.composites));
    std::vector<ManifestTensor> found;
    for (const Use& use : collector.uses) {
      if (manifest_.is_of_file()) {
        found.push_back(open::manifest_tensor_of_file(use.name, use.tensor, source_->size_bytes()));
      }
      const TensorState state =
          manifest_.is_of_file() ? manifest_.state_in_file(found.back()) : TensorState::unverified;
      report_.tensors.push_back({.name = use.name, .state = state, .element = {}});
    }
    if (manifest_.is_of_file() && !manifest_.is_index_damaged()) manifest_.compare_tensors(found);
    return {};
  }

  void take_records() {
    context_.archive = archive_;
    context_.file = opened_.file;
    context_.root = opened_.format.root.empty() ? "" : opened_.format.root + "/";
    report_.records.reserve(audit_.records.size());
    for (std::size_t i = 0; i < audit_.records.size(); ++i) {
      const zip::RecordAudit& record = audit_.records[i];
      const zip::Entry& entry = *record.entry;
      const std::string_view name = context_.short_name(entry);
      RecordReport out;
      out.name = is_valid_utf8(name) ? std::string(name) : escaped(name);
      out.offset = record.data ? record.data->begin : entry.header_offset;
      out.size_bytes = entry.size_bytes;
      out.compressed_bytes = entry.compressed_bytes;
      out.deflated = entry.method == zip::Method::deflated;
      out.crc = checkpoint::integrity_of(record);
      out.stored_crc = entry.crc;
      out.computed_crc = record.crc ? record.crc->computed : 0;
      report_.records.push_back(std::move(out));
    }
    uses_of_.resize(audit_.records.size());
  }

  void add(Finding finding) {
    checkpoint::place(finding, context_);
    report_.findings.push_back(std::move(finding));
  }

  Status add_error(Error error) {
    if (open::could_not_look(error)) return error;
    report_.findings.push_back(std::move(error).finding);
    return {};
  }

  // What the audit said already is not said again: reading data.pkl meets the same damage.
  Status add_load_error(Error error) {
    Finding& finding = error.finding;
    const bool known = std::any_of(report_.findings.begin(), report_.findings.end(), [&](const Finding& other) {
      return other.code == finding.code && other.offset == finding.offset;
    });
    if (known) return {};
    // An archive of another kind is checked in full; only its tensors have no names here.
    if (finding.code == "KIND-UNSUPPORTED") {
      finding.severity = Severity::warning;
      finding.message += "; its records are checked, its tensors are not listed";
      report_.findings.push_back(std::move(finding));
      return {};
    }
    return add_error(std::move(error));
  }

  Status judge_tensors() {
    UseCollector collector(window_ != nullptr ? std::string_view(window_->of) : std::string_view());
    if (opened_.root.exists()) {
      Status visited = open::visit_listing(opened_.root, options_.limits.visited_nodes, collector);
      if (!visited) RUSHLIGHT_TRY(add_error(std::move(visited).error()));
    }
    uses_ = std::move(collector.uses);
    // A tensor is damaged too where what says its name, dtype and shape is.
    const bool index_damaged = std::any_of(opened_.index.begin(), opened_.index.end(), [&](const std::string& record) {
      return state_of(record) == TensorState::damaged;
    });
    report_.tensors.reserve(uses_.size());
    for (std::size_t i = 0; i < uses_.size(); ++i) {
      const std::string_view record = uses_[i].tensor.storage().record();
      const auto found = find_record(record);
      TensorState state = found ? state_of_use(uses_[i], *found) : TensorState::unverified;
      if (index_damaged) state = TensorState::damaged;
      report_.tensors.push_back({.name = uses_[i].name, .state = state, .element = {}});
      if (found) uses_of_[*found].push_back(i);
    }
    if (!index_damaged) compare_tensors();
    for (Finding& finding : report_.findings) {
      if (finding.severity != Severity::error || !finding.record || !finding.tensors.empty()) continue;
      if (const auto found = find_record(*finding.record)) name_tensors(finding, *found);
    }
    // What is wrong with damaged indices follows from their damage.
    std::erase_if(collector.composites, [&](const CompositeUse& use) {
      const auto parts = use.tensor.components();
      return index_damaged || std::any_of(parts.begin(), parts.end(), [&](const CompositeTensor::Component& part) {
               return state_of(part.second.storage().record()) == TensorState::damaged;
             });
    });
    return check_indices(collector.composites);
  }

  Status check_indices(const std::vector<CompositeUse>& composites) {
    open::IndexCheck indices(opened_.format.size_bytes);
    for (const CompositeUse& use : composites) {
      std::optional<Error> error = indices.check(use.tensor);
      if (!error) continue;
      error->finding.tensors.push_back(use.name);
      if (error->finding.file.empty()) error->finding.file = open::printable_file(opened_.file);
      if (error->finding.category == Category::limit) {
        report_.findings.push_back(std::move(error->finding));
        return {};
      }
      error->finding.message = "tensor " + rushlight::quoted(use.name) + ": " + std::move(error->finding.message);
      RUSHLIGHT_TRY(add_error(*std::move(error)));
    }
    return {};
  }

  // The position in the directory of a record, by its name without the root folder.
  [[nodiscard]] std::optional<std::size_t> find_record(std::string_view name) const {
    const zip::Entry* entry = archive_->find_ignoring_case(context_.root + std::string(name));
    if (entry == nullptr) return std::nullopt;
    return static_cast<std::size_t>(entry - archive_->entries().data());
  }

  [[nodiscard]] TensorState state_of(std::string_view record) const {
    const auto found = find_record(record);
    if (!found) return TensorState::unverified;  // meta tensors have no bytes
    const zip::RecordAudit& audit = audit_.records[*found];
    if (!audit.data || !audit.crc) return TensorState::damaged;
    switch (audit.crc->state) {
      case zip::CrcState::verified:
        return TensorState::intact;
      case zip::CrcState::mismatch:
        return TensorState::damaged;
      case zip::CrcState::not_computed:
        return TensorState::unverified;
    }
    return TensorState::unverified;
  }

  // A manifest says which chunks of a record are damaged: what lies in the others is not.
  [[nodiscard]] TensorState state_of_use(const Use& use, std::size_t record) const {
    const TensorState state = state_of(use.tensor.storage().record());
    if (!audit_.records[record].data || !manifest_.is_compared(record)) return state;
    const auto damage = manifest_.damage(record);
    // The CRC alone is wrong, and reading fails on it.
    if (damage.empty()) return state == TensorState::damaged ? state : TensorState::intact;
    return is_hit(use, record) ? TensorState::damaged : TensorState::intact;
  }

  [[nodiscard]] bool is_hit(const Use& use, std::size_t record) const {
    const zip::Entry& entry = *audit_.records[record].entry;
    const auto damage = manifest_.damage(record);
    if (entry.method != zip::Method::stored || use.tensor.storage().size_bytes() != entry.size_bytes) return true;
    const zip::Extent bytes = open::reach(open::manifest_tensor(use.name, use.tensor, ""));
    return std::any_of(damage.begin(), damage.end(),
                       [&](const zip::Extent& range) { return bytes.begin < range.end && range.begin < bytes.end; });
  }

  void compare_tensors() {
    if (!opened_.root.exists()) return;
    std::vector<ManifestTensor> found;
    found.reserve(uses_.size());
    for (const Use& use : uses_) {
      found.push_back(open::manifest_tensor(use.name, use.tensor, std::string(use.tensor.storage().record())));
    }
    manifest_.compare_tensors(found);
  }

  void name_tensors(Finding& finding, std::size_t record) const {
    const std::string_view name = context_.short_name(*audit_.records[record].entry);
    const bool all = std::find(opened_.index.begin(), opened_.index.end(), name) != opened_.index.end();
    const std::size_t count = all ? uses_.size() : uses_of_[record].size();
    const bool by_chunk = !all && !manifest_.damage(record).empty();
    for (std::size_t i = 0; i < count && finding.tensors.size() < kNamedTensors; ++i) {
      const Use& use = uses_[all ? i : uses_of_[record][i]];
      if (!by_chunk || is_hit(use, record)) finding.tensors.push_back(use.name);
    }
  }

  // Where the two CRCs of a record differ as one flipped bit would make them differ, says which bit.
  Status explain_mismatches() {
    std::map<std::string_view, Finding*> mismatches;  // by record, its name escaped
    for (Finding& finding : report_.findings) {
      if (finding.code == "CRC-MISMATCH" && finding.record) mismatches.emplace(*finding.record, &finding);
    }
    for (std::size_t i = 0; i < audit_.records.size(); ++i) {
      const zip::RecordAudit& record = audit_.records[i];
      if (!record.crc || record.crc->state != zip::CrcState::mismatch || !record.data) continue;
      // Of a deflated record the decoded bytes are known, not where they come from.
      if (record.entry->method != zip::Method::stored) continue;
      const auto position =
          checksum::locate_flipped_bit(record.crc->stored ^ record.crc->computed, record.entry->size_bytes);
      if (!position) continue;
      FlippedBit flip;
      flip.offset = record.data->begin + position->byte;
      flip.record_offset = position->byte;
      flip.bit = position->bit;
      std::array<std::byte, 1> byte{};
      RUSHLIGHT_TRY(source_->read_at(flip.offset, byte));
      flip.found = std::to_integer<std::uint8_t>(byte[0]);
      flip.expected = static_cast<std::uint8_t>(flip.found ^ (1u << flip.bit));
      report_.flips.push_back(flip);
      const auto finding = mismatches.find(escaped(context_.short_name(*record.entry)));
      explain(i, flip, finding != mismatches.end() ? finding->second : nullptr);
    }
    std::sort(report_.flips.begin(), report_.flips.end(),
              [](const FlippedBit& a, const FlippedBit& b) { return a.offset < b.offset; });
    return {};
  }

  void explain(std::size_t record, const FlippedBit& flip, Finding* finding) {
    std::string element;
    for (const std::size_t use : uses_of_[record]) {
      // Of an archive inside the record, offsets are not those of the storage.
      if (uses_[use].tensor.storage().size_bytes() != audit_.records[record].entry->size_bytes) continue;
      const std::optional<std::int64_t> index = open::element_at_byte(uses_[use].tensor, flip.record_offset);
      report_.tensors[use].element = index;
      if (index && element.empty()) {
        element = ", in element " + std::to_string(*index) + " of " + escaped(uses_[use].name);
      }
    }
    if (finding == nullptr) return;
    finding->hint = "one flipped bit explains it: bit " + std::to_string(flip.bit) + " of the byte at " +
                    hex(flip.record_offset) + " (" + hex(flip.offset) + " in the file), found " + hex(flip.found) +
                    ", expected " + hex(flip.expected) + element;
  }

  void finish() {
    for (Finding& finding : report_.findings) {
      const bool missing_crc = options_.require_crc && finding.code == "CRC-NOT-COMPUTED";
      if (missing_crc ||
          (options_.strict && (finding.severity == Severity::warning || finding.code == "ZIP-UNUSED-RECORD"))) {
        finding.severity = Severity::error;
      }
    }
    // Findings without a place in the file come last. Those of a set are in the order of its files already.
    if (!opened_.is_set()) {
      std::stable_sort(report_.findings.begin(), report_.findings.end(), [](const Finding& a, const Finding& b) {
        constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();
        return a.offset.value_or(kNowhere) < b.offset.value_or(kNowhere);
      });
    }
    report_.ok = std::none_of(report_.findings.begin(), report_.findings.end(),
                              [](const Finding& finding) { return finding.severity == Severity::error; });
  }

  std::shared_ptr<const Source> source_;
  const VerifyOptions& options_;
  const open::Part* window_;
  open::ManifestCheck manifest_;
  open::Opened opened_;
  std::shared_ptr<const zip::Archive> archive_;
  zip::Audit audit_;
  checkpoint::RecordContext context_;
  std::vector<Use> uses_;
  std::vector<std::vector<std::size_t>> uses_of_;  // by record: positions in uses_
  VerifyReport report_;
};

}  // namespace

std::string_view to_string(TensorState state) noexcept {
  switch (state) {
    case TensorState::intact:
      return "intact";
    case TensorState::damaged:
      return "damaged";
    case TensorState::unverified:
      return "unverified";
  }
  return "?";
}

Result<VerifyReport> verify(const std::filesystem::path& path, const VerifyOptions& options) {
  return or_no_memory([&]() -> Result<VerifyReport> {
    RUSHLIGHT_TRY_ASSIGN(open::FileInFolder file, open::open_path(path, options.access));
    if (options.open_beside) return verify(std::move(file.source), options);
    VerifyOptions with_folder = options;
    with_folder.open_beside = std::move(file.open_beside);
    return verify(std::move(file.source), with_folder);
  });
}

Result<VerifyReport> verify(std::shared_ptr<const Source> source, const VerifyOptions& options) {
  return or_no_memory([&]() -> Result<VerifyReport> {
    if (source == nullptr) {
      return Error::of(
          {.category = Category::argument, .code = "ARG-SOURCE", .message = "there is no source to verify"});
    }
    return Verifier(std::move(source), options, nullptr).run();
  });
}

Result<VerifyReport> open::verify_part(const Part& part, bool is_window, const VerifyOptions& options) {
  VerifyOptions alone = options;
  alone.open_beside = nullptr;
  alone.manifest = nullptr;
  alone.signature = nullptr;
  return Verifier(part.source, alone, is_window ? &part : nullptr).run();
}

}  // namespace rushlight
