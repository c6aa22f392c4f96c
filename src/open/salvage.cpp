#include "rushlight/salvage.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checkpoint/build_value.hpp"
#include "checkpoint/legacy_stream.hpp"
#include "checkpoint/salvaged_archive.hpp"
#include "open/index_check.hpp"
#include "open/listing.hpp"
#include "open/opened.hpp"
#include "open/rescue.hpp"
#include "open/save_checked.hpp"
#include "open/set_files.hpp"
#include "rushlight/save.hpp"
#include "tensor/memory.hpp"
#include "value/graph.hpp"
#include "value/leave_out.hpp"
#include "zip/rebuilt_directory.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;
using checkpoint::SalvagedArchive;

constexpr int kMostRefused = 64;                   // arrays whose headers are damaged
constexpr std::string_view kArraySuffix = ".npy";  // of the records of an archive of NumPy

Error wrong_target(std::string message, const fs::path& target) {
  return Error::of({.category = Category::argument,
                    .code = "SALVAGE-TARGET",
                    .message = std::move(message),
                    .file = escaped(target.native(), kPathBytes)});
}

// A file as long as it was before it was cut: what was behind the cut cannot be read.
class LongerSource final : public Source {
 public:
  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;

  LongerSource(std::shared_ptr<const Source> source, std::uint64_t size_bytes)
      : source_(std::move(source)), size_bytes_(std::max(size_bytes, source_->size_bytes())) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] std::string_view name() const noexcept override { return source_->name(); }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset <= source_->size_bytes() && out.size() <= source_->size_bytes() - offset) {
      return source_->read_at(offset, out);
    }
    Finding finding{
        .category = Category::trunc, .code = "SALVAGE-CUT", .message = "the file ends before the last of its bytes"};
    finding.offset = source_->size_bytes();
    return Error::of(std::move(finding));
  }

 private:
  std::shared_ptr<const Source> source_;
  std::uint64_t size_bytes_;
};

// What is known of the bytes of storages: each is asked once.
class Verdicts {
 public:
  explicit Verdicts(std::uint64_t file_size_bytes) : indices_(file_size_bytes) {}

  // Why a storage is lost; nullptr where it is whole. After an error that says nothing about the file, failure() has it
  // and answers mean nothing.
  const Error* of(const Storage& storage) {
    if (storage.device() == Device::meta()) return nullptr;  // it never had bytes
    const auto [known, is_new] = verdicts_.try_emplace(storage.memory().get());
    if (is_new && !failure_) {
      if (Result<ByteSpan> bytes = storage.bytes(); !bytes) {
        if (open::could_not_look(bytes.error())) {
          failure_ = std::move(bytes).error();
        } else {
          known->second = std::move(bytes).error();
        }
      } else if (storage.size_bytes() > 0 && storage.integrity() != Integrity::verified) {
        unchecked_ = true;
      }
    }
    return known->second ? &*known->second : nullptr;
  }
  const Error* of(const Tensor& tensor) {
    if (const Error* const error = of(tensor.storage())) return error;
    const std::shared_ptr<const Quantizer>& quantizer = tensor.options().quantizer;
    if (!quantizer || !quantizer->is_per_channel()) return nullptr;
    if (const Error* const error = of(quantizer->scales.storage())) return error;
    return of(quantizer->zero_points.storage());
  }
  const Error* of(const Value& value) {
    switch (value.kind()) {
      case ValueKind::tensor:
        return of(*value.as_tensor());
      case ValueKind::storage:
        return of(*value.as_storage());
      case ValueKind::composite: {
        const CompositeTensor composite = *value.as_composite();
        for (const auto& [name, tensor] : composite.components()) {
          if (const Error* const error = of(tensor)) return error;
        }
        return failure_ ? nullptr : of_indices(value, composite);
      }
      case ValueKind::ndarray: {
        const NdArray* const array = value.as_ndarray();
        return array->data ? of(*array->data) : nullptr;
      }
      default:
        return nullptr;
    }
  }
  [[nodiscard]] const std::optional<Error>& failure() const noexcept { return failure_; }
  [[nodiscard]] bool unchecked() const noexcept { return unchecked_; }
  // What is wrong with indices whose bytes were taken at their word.
  [[nodiscard]] std::vector<Finding> wrong_indices() const {
    std::vector<Finding> findings;
    for (const auto& [key, error] : composites_) {
      if (!error) continue;
      Finding finding = error->finding;
      finding.severity = Severity::warning;
      finding.message.insert(0, "a sparse or nested tensor is lost: ");
      findings.push_back(std::move(finding));
    }
    return findings;
  }

 private:
  // Parts that no checksum vouches for may not fit each other.
  const Error* of_indices(const Value& value, const CompositeTensor& composite) {
    const auto [known, is_new] = composites_.try_emplace({value.graph().get(), value.identity()});
    if (is_new) {
      known->second = indices_.check(composite);
      if (known->second && open::could_not_look(*known->second)) failure_ = *known->second;
    }
    return known->second ? &*known->second : nullptr;
  }

  std::unordered_map<const Memory*, std::optional<Error>> verdicts_;
  std::map<std::pair<const ValueGraph*, NodeId>, std::optional<Error>> composites_;
  open::IndexCheck indices_;
  std::optional<Error> failure_;
  bool unchecked_ = false;
};

LossReason reason_of(const Error& error) noexcept {
  switch (error.finding.category) {
    case Category::trunc:
      return LossReason::beyond_end;
    case Category::crc:
      return LossReason::checksum;
    default:
      return LossReason::not_proven;
  }
}

// The names of what holds bytes, before and after.
class NameLister final : public open::ListingVisitor {
 public:
  using Visit = std::function<void(std::string_view name, const Storage& storage, const Error* error)>;
  NameLister(Verdicts& verdicts, Visit visit) : verdicts_(verdicts), visit_(std::move(visit)) {}

  void tensor(std::string_view name, std::span<const PathStep>, Tensor tensor, bool) override {
    visit_(name, tensor.storage(), verdicts_.of(tensor));
  }
  void value(std::string_view name, std::span<const PathStep>, const Value& value) override {
    if (const std::optional<Storage> storage = value.as_storage()) visit_(name, *storage, verdicts_.of(*storage));
  }
  void object(std::string_view, std::span<const PathStep>, const Value&) override {}

 private:
  Verdicts& verdicts_;
  Visit visit_;
};

class Salvage {
 public:
  // How the values are written in the end; none: only the report is wanted. `finish` completes the report, which takes
  // memory, and so comes before the new file appears.
  using Finish = std::function<void(const SaveReport& saved)>;
  using Write = std::function<Status(const Value& root, const SaveOptions& options, const Finish& finish)>;

  Salvage(std::shared_ptr<const Source> source, std::string output, Write write, const SalvageOptions& options)
      : source_(std::move(source)), write_(std::move(write)), options_(options) {
    report_.output = std::move(output);
    load_.limits = options.limits;
    load_.progress = options.progress;
  }

  Result<SalvageReport> run() {
    report_.file = open::printable_file(std::string(source_->name()));
    RUSHLIGHT_TRY_ASSIGN(report_.has_values, read());
    if (report_.has_values) RUSHLIGHT_TRY(write());
    if (!report_.written) name_file_of_findings();
    return std::move(report_);
  }

 private:
  void name_file_of_findings() {
    for (Finding& finding : report_.findings) {
      if (finding.file.empty()) finding.file = report_.file;
    }
  }

  // The values, with storages that say where they are lost. False where there is nothing to write: the report says why.
  Result<bool> read() {
    open::Opened opened;
    Status status = open::open_source(source_, load_, opened);
    report_.format = opened.format;
    if (!status && open::could_not_look(status.error())) return std::move(status).error();
    if (opened.is_set()) {
      return Error::of({.category = Category::unsup,
                        .code = "SALVAGE-KIND",
                        .message = "a checkpoint of several files is not rescued as a whole: rescue its files",
                        .file = report_.file});
    }
    if (std::ranges::any_of(opened.findings, [](const Finding& finding) { return finding.code == "ZIP-PREFIX"; })) {
      return read_behind_prefix();
    }
    const bool is_torch_zip = opened.format.kind == FileKind::torch_zip;
    if (status && !is_torch_zip) {
      trust_integrity_ = true;
      root_ = std::move(opened.root);
      add_findings(std::move(opened.findings));
      return true;
    }
    if (status && archive_is_sound(opened)) return true;
    if (!status) {
      // Of an archive, what it seems to be instead may be the damage.
      const Category category = status.error().finding.category;
      const bool is_other = category == Category::kind || category == Category::unsup;
      if (category == Category::limit || (is_other && opened.container != open::Container::zip)) {
        return std::move(status).error();
      }
      Finding why = status.error().finding;
      why.severity = Severity::warning;
      report_.findings.push_back(std::move(why));
    }
    // By the directory, and where that leaves something, without it: damage may lie in the directory. The better one
    // counts; each gives only what is proven.
    std::optional<SalvagedArchive> best;
    std::uint64_t fewest = 0;
    if (opened.archive != nullptr) {
      best.emplace();
      const Status by_directory = checkpoint::salvage_by_directory(opened.archive, load_, *best);
      if (!by_directory && open::could_not_look(by_directory.error())) return by_directory.error();
      if (!by_directory) best.reset();
    }
    if (best) {
      RUSHLIGHT_TRY_ASSIGN(fewest, lost_in(best->root));
      if (fewest > 0 && opened.container == open::Container::zip) {
        SalvagedArchive walked;
        const Status by_walk = checkpoint::salvage_by_walk(source_, load_, walked);
        if (!by_walk && open::could_not_look(by_walk.error())) return by_walk.error();
        if (by_walk) {
          RUSHLIGHT_TRY_ASSIGN(const std::uint64_t lost, lost_in(walked.root));
          if (lost < fewest) best = std::move(walked);
        }
      }
      take(*std::move(best));
      return true;
    }
    switch (opened.container) {
      case open::Container::zip:
      case open::Container::unknown:
        return walk(std::move(status));
      case open::Container::legacy:
        return read_legacy();
      case open::Container::safetensors:
        return read_cut_safetensors(status.error());
      default:
        return std::move(status).error();
    }
  }

  // What opens begins in the middle of the file: it may be an archive that was a tensor of the one that is damaged,
  // with other values under the same names.
  Result<bool> read_behind_prefix() {
    report_.format = {};
    report_.format.size_bytes = source_->size_bytes();
    report_.findings.push_back({.severity = Severity::warning,
                                .category = Category::ambig,
                                .code = "SALVAGE-PREFIX",
                                .message = "an archive stands behind bytes that are no part of it: it is not taken for "
                                           "what was saved"});
    return walk({});
  }

  // How many names hold something that is lost.
  Result<std::uint64_t> lost_in(const Value& root) const {
    Verdicts verdicts(source_->size_bytes());
    std::uint64_t lost = 0;
    NameLister lister(verdicts,
                      [&](std::string_view, const Storage&, const Error* error) { lost += error != nullptr ? 1 : 0; });
    RUSHLIGHT_TRY(open::visit_listing(root, options_.limits.visited_nodes, lister));
    if (verdicts.failure()) return *verdicts.failure();
    return lost;
  }

  // That all of its storages can be read, as the ordinary way reads them.
  bool archive_is_sound(open::Opened& opened) {
    if (checkpoint::hides_byteorder(*opened.archive, opened.format)) return false;
    const Result<std::uint64_t> lost = lost_in(opened.root);
    if (!lost || *lost > 0) return false;
    trust_integrity_ = true;
    root_ = std::move(opened.root);
    add_findings(std::move(opened.findings));
    return true;
  }

  void take(SalvagedArchive salvaged) {
    root_ = std::move(salvaged.root);
    report_.format = std::move(salvaged.format);
    unchecked_ = unchecked_ || salvaged.unchecked;
    add_findings(std::move(salvaged.findings));
  }

  Result<bool> walk(Status opened) {
    RUSHLIGHT_TRY_ASSIGN(const std::optional<zip::RebuiltArchive> rebuilt,
                         zip::rebuild_directory(source_, options_.limits));
    const auto is_array = [](const std::string& name) { return name.ends_with(kArraySuffix); };
    if (rebuilt && std::ranges::all_of(rebuilt->names, is_array)) return read_cut_arrays(*rebuilt, opened);
    SalvagedArchive salvaged;
    const Status walked = checkpoint::salvage_by_walk(source_, load_, salvaged);
    if (salvaged.records.empty() && !opened) return std::move(opened).error();
    for (const zip::FoundRecord& found : salvaged.records) {
      report_.records.push_back({.name = escaped(found.name, kPathBytes),
                                 .offset = found.data_offset,
                                 .size_bytes = found.size_bytes,
                                 .state = state_of(found.state)});
    }
    if (walked) {
      take(std::move(salvaged));
      return true;
    }
    if (open::could_not_look(walked.error())) return walked.error();
    if (!opened) {
      const Category category = opened.error().finding.category;
      if (category == Category::kind || category == Category::unsup) return std::move(opened).error();
    }
    report_.findings.push_back(walked.error().finding);
    return false;
  }

  // An archive of NumPy: each record is an array by itself. Those whose headers are damaged are left out, one by one.
  Result<bool> read_cut_arrays(const zip::RebuiltArchive& all, const Status& opened_before) {
    std::set<std::string, std::less<>> refused;
    std::optional<zip::RebuiltArchive> rebuilt = all;
    open::Opened opened;
    for (int tries = 0;; ++tries) {
      opened = {};
      const Status status = open::open_source(rebuilt->source, load_, opened);
      if (status) break;
      if (open::could_not_look(status.error())) return status.error();
      // Findings escape names; those of arrays that can be told apart so are left out.
      const auto name = std::ranges::find_if(rebuilt->names, [&](const std::string& record) {
        return escaped(record, kPathBytes) == status.error().finding.record;
      });
      if (name == rebuilt->names.end() || tries == kMostRefused) {
        return opened_before ? status.error() : opened_before.error();
      }
      add_lost_array(*name, reason_of(status.error()), status.error().finding.message);
      refused.insert(*name);
      RUSHLIGHT_TRY_ASSIGN(rebuilt, zip::rebuild_directory(source_, options_.limits, refused));
      if (!rebuilt) return opened_before ? status.error() : opened_before.error();
    }
    report_.format = opened.format;
    report_.format.size_bytes = source_->size_bytes();
    trust_integrity_ = true;
    root_ = std::move(opened.root);
    add_findings(std::move(opened.findings));
    if (all.at_directory) return true;
    if (all.cut_name && all.cut_name->ends_with(kArraySuffix)) {
      add_lost_array(*all.cut_name, LossReason::beyond_end, "the file ends before the record does");
    }
    has_unknown_rest_ = true;
    return true;
  }

  void add_lost_array(std::string_view record, LossReason reason, std::string message) {
    lost_arrays_.push_back({.name = escaped(record.substr(0, record.size() - kArraySuffix.size()), kPathBytes),
                            .reason = reason,
                            .record = escaped(record, kPathBytes),
                            .message = std::move(message)});
  }

  static RecordState state_of(zip::FoundRecord::State state) noexcept {
    switch (state) {
      case zip::FoundRecord::State::whole:
        return RecordState::whole;
      case zip::FoundRecord::State::unchecked:
        return RecordState::unchecked;
      case zip::FoundRecord::State::damaged:
        return RecordState::damaged;
      case zip::FoundRecord::State::cut:
        break;
    }
    return RecordState::cut;
  }

  Result<bool> read_legacy() {
    std::vector<Finding> findings;
    const auto refuse = [&](const Error& error) -> Result<bool> {
      if (open::could_not_look(error)) return error;
      Finding finding = error.finding;
      finding.message = "the pickles, which name the tensors, are not whole: " + finding.message;
      report_.findings.push_back(std::move(finding));
      return false;
    };
    const auto stream =
        checkpoint::LegacyStream::open_cut(source_, escaped(source_->name(), kPathBytes), load_, findings);
    if (!stream) return refuse(stream.error());
    const checkpoint::StreamPickle& object = (*stream)->object();
    report_.format.byteorder = "little";
    report_.format.pickle_protocol = object.pickle.protocol;
    Result<checkpoint::BuiltValue> built =
        checkpoint::build_value(object.pickle, object.bytes, **stream, load_, findings);
    if (!built) return refuse(built.error());
    trust_integrity_ = true;
    root_ = std::move(built->root);
    add_findings(std::move(findings));
    return true;
  }

  void add_findings(std::vector<Finding> findings) {
    for (Finding& finding : findings) {
      if (finding.severity != Severity::error) report_.findings.push_back(std::move(finding));
    }
  }

  Status write() {
    Verdicts verdicts(source_->size_bytes());
    RUSHLIGHT_TRY_ASSIGN(
        LeftOut left, leave_out(
                          root_, [&](const Value& value) { return verdicts.of(value) != nullptr; }, options_.limits));
    if (verdicts.failure()) return *verdicts.failure();
    std::map<std::string, int, std::less<>> kept;
    if (left.has_root) {
      NameLister lister(verdicts,
                        [&](std::string_view name, const Storage&, const Error*) { ++kept[std::string(name)]; });
      RUSHLIGHT_TRY(open::visit_listing(left.root, options_.limits.visited_nodes, lister));
    }
    std::unordered_set<const Memory*> counted;
    NameLister lister(verdicts, [&](std::string_view name, const Storage& storage, const Error* error) {
      const auto found = kept.find(name);
      if (error == nullptr && found != kept.end() && found->second > 0) {
        --found->second;
        report_.rescued.emplace_back(name);
        if (counted.insert(storage.memory().get()).second) report_.rescued_bytes += storage.size_bytes();
        return;
      }
      LostTensor lost{.name = std::string(name), .reason = LossReason::in_container, .record = {}, .message = {}};
      lost.record = storage.record();
      if (error != nullptr) {
        lost.reason = reason_of(*error);
        lost.message = error->finding.message;
      } else {
        lost.message = "it stands beside something that is lost, in what cannot do without it";
      }
      report_.lost.push_back(std::move(lost));
    });
    RUSHLIGHT_TRY(open::visit_listing(root_, options_.limits.visited_nodes, lister));
    if (verdicts.failure()) return *verdicts.failure();
    report_.lost.insert(report_.lost.end(), lost_arrays_.begin(), lost_arrays_.end());
    report_.left_out = std::move(left.places);
    report_losses(left.has_root);
    for (Finding& finding : verdicts.wrong_indices()) report_.findings.push_back(std::move(finding));
    if (unchecked_ || (trust_integrity_ && verdicts.unchecked())) {
      report_.findings.push_back({.severity = Severity::warning,
                                  .category = Category::crc,
                                  .code = "SALVAGE-UNCHECKED",
                                  .message = "there are no checksums for some of it: the bytes are those that lie in "
                                             "the file, and may not be those that were written"});
    }
    if (!left.has_root || !write_) return {};
    return save_values(left.root);
  }

  void report_losses(bool has_root) {
    if (has_unknown_rest_) {
      report_.findings.push_back({.category = Category::trunc,
                                  .code = "SALVAGE-REST",
                                  .message = "what was behind the cut had names of its own: they are lost too"});
    } else if (report_.lost.empty() && report_.left_out.empty() && has_root) {
      report_.complete = true;
      return;
    }
    if (report_.lost.empty() && report_.left_out.empty() && has_root) return;
    const std::size_t all = report_.lost.size() + report_.rescued.size();
    Finding finding{.category = Category::store,
                    .code = "SALVAGE-LOST",
                    .message = std::to_string(report_.lost.size()) + " of " + std::to_string(all) +
                               (all == 1 ? " tensor is lost" : " tensors are lost")};
    for (const LostTensor& lost : report_.lost) finding.tensors.push_back(lost.name);
    report_.findings.push_back(std::move(finding));
    if (has_root) return;
    report_.findings.push_back({.category = Category::store,
                                .code = "SALVAGE-ROOT",
                                .message = "nothing was written: what was saved is a " +
                                           std::string(to_string(root_.kind())) +
                                           " that cannot do without what is lost"});
  }

  Status save_values(const Value& root) {
    SaveOptions options;
    options.kind = FileKind::torch_zip;
    const int protocol = report_.format.pickle_protocol;
    options.protocol = protocol >= 2 && protocol <= 5 ? protocol : 2;
    options.overwrite = options_.overwrite;
    options.limits = options_.limits;
    options.progress = options_.progress;
    return write_(root, options, [this](const SaveReport& saved) {
      report_.written = true;
      report_.output_bytes = saved.size_bytes;
      report_.findings.insert(report_.findings.end(), saved.findings.begin(), saved.findings.end());
      name_file_of_findings();
    });
  }

  // The header says how long the file was; with that length it can be opened.
  Result<bool> read_cut_safetensors(const Error& error) {
    if (error.finding.category != Category::trunc) return error;
    std::uint64_t size_bytes = LongerSource::kMostBytes;
    for (int round = 0; round < 2; ++round) {
      open::Opened opened;
      opened.file = std::string(source_->name());
      opened.source = std::make_shared<LongerSource>(source_, size_bytes);
      opened.container = open::Container::safetensors;
      const Status status = open::load_values(load_, opened);
      if (status) {
        trust_integrity_ = true;
        root_ = std::move(opened.root);
        add_findings(std::move(opened.findings));
        return true;
      }
      if (open::could_not_look(status.error())) return status.error();
      const Finding& finding = status.error().finding;
      if (finding.code != "SAFETENSORS-TRAILING" || !finding.offset) break;
      size_bytes = *finding.offset;
    }
    Finding finding = error.finding;
    finding.code = "SALVAGE-NO-HEADER";
    finding.message = "the header, which names the tensors, is not whole: nothing can be rescued";
    report_.findings.push_back(std::move(finding));
    return false;
  }

  std::shared_ptr<const Source> source_;
  Write write_;
  const SalvageOptions& options_;
  LoadOptions load_;
  Value root_;
  bool unchecked_ = false;               // storages without checksums are among what is rescued
  std::vector<LostTensor> lost_arrays_;  // of an archive of NumPy: their names are all that is known of them
  bool has_unknown_rest_ = false;        // others may have followed
  bool trust_integrity_ = false;         // storages say themselves whether they have been checked
  SalvageReport report_;
};

Status check_source(const std::shared_ptr<const Source>& source) {
  if (source != nullptr) return {};
  return Error::of({.category = Category::argument, .code = "ARG-SOURCE", .message = "there is no source to open"});
}

Status check_target(const fs::path& path, const fs::path& target, const SalvageOptions& options) {
  std::error_code error;
  if (!path.empty() && fs::equivalent(path, target, error) && !error) {
    return wrong_target("the rescued file cannot take the place of the damaged one", target);
  }
  if (!options.overwrite && fs::exists(fs::symlink_status(target, error))) {
    return wrong_target("the file is there already", target);
  }
  return {};
}

}  // namespace

std::string_view to_string(LossReason reason) noexcept {
  switch (reason) {
    case LossReason::beyond_end:
      return "beyond-end";
    case LossReason::checksum:
      return "checksum";
    case LossReason::not_proven:
      return "not-proven";
    case LossReason::in_container:
      return "in-container";
  }
  return "?";
}

std::string_view to_string(RecordState state) noexcept {
  switch (state) {
    case RecordState::whole:
      return "whole";
    case RecordState::unchecked:
      return "unchecked";
    case RecordState::damaged:
      return "damaged";
    case RecordState::cut:
      return "cut";
  }
  return "?";
}

Result<SalvageReport> salvage(const fs::path& path, const fs::path& target, const SalvageOptions& options) {
  return or_no_memory([&]() -> Result<SalvageReport> {
    RUSHLIGHT_TRY(check_target(path, target, options));
    RUSHLIGHT_TRY_ASSIGN(open::FileInFolder file, open::open_path(path, options.access));
    return salvage(std::move(file.source), target, options);
  });
}

Result<SalvageReport> salvage(std::shared_ptr<const Source> source, const fs::path& target,
                              const SalvageOptions& options) {
  return or_no_memory([&]() -> Result<SalvageReport> {
    RUSHLIGHT_TRY(check_source(source));
    RUSHLIGHT_TRY(check_target({}, target, options));
    const auto write = [&](const Value& root, const SaveOptions& how, const auto& finish) -> Status {
      const auto check = [&](const fs::path&, const SaveReport& saved) -> Status {
        finish(saved);
        return {};
      };
      RUSHLIGHT_TRY(open::save_checked(root, target, how, check));
      return {};
    };
    return Salvage(std::move(source), open::printable_file(target.native()), write, options).run();
  });
}

Result<SalvageReport> salvage(std::shared_ptr<const Source> source, Sink& sink, const SalvageOptions& options) {
  return or_no_memory([&]() -> Result<SalvageReport> {
    RUSHLIGHT_TRY(check_source(source));
    const auto write = [&](const Value& root, const SaveOptions& how, const auto& finish) -> Status {
      RUSHLIGHT_TRY_ASSIGN(const SaveReport saved, save(root, sink, how));
      finish(saved);
      return {};
    };
    return Salvage(std::move(source), "", write, options).run();
  });
}

Result<SalvageReport> open::judge_rescue(std::shared_ptr<const Source> source, const Limits& limits) {
  const SalvageOptions options{.limits = limits};
  return Salvage(std::move(source), "", nullptr, options).run();
}

}  // namespace rushlight
