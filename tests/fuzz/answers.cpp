#include "fuzz/answers.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quote.hpp"
#include "cli/json_writer.hpp"
#include "open/opened.hpp"
#include "open/scan_pickles.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/text.hpp"
#include "rushlight/verify.hpp"
#include "support/test_source.hpp"

namespace rushlight::test {

void require(bool condition, int line, const char* file) {
  if (condition) return;
  std::fprintf(stderr, "%s:%d: a rule is broken\n", file, line);
  std::abort();
}

namespace {

using cli::JsonWriter;

// Items of a walk whose paths are followed back, and entries of a listing that are written as JSON.
constexpr std::size_t kFollowedPaths = 32;
constexpr std::size_t kWrittenEntries = 128;

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

Limits small_limits() {
  Limits limits;
  limits.archive_entries = 1024;
  limits.central_directory_bytes = kMostBytes;
  limits.pickle_bytes = kMostBytes;
  limits.pickle_nodes = 1 << 16;
  limits.pickle_depth = 256;
  limits.pickle_memo = 1 << 16;
  limits.pickle_string_bytes = 1 << 16;
  limits.pickle_integer_bytes = 1 << 10;
  limits.visited_nodes = 1 << 12;
  limits.tensors = 1 << 10;
  limits.inflated_bytes = kMostBytes;
  limits.materialised_bytes = kMostBytes;
  return limits;
}

bool is_plain_text(std::string_view text) {
  return is_valid_utf8(text) && !has_control_characters(text);
}

std::string checked_line(const Finding& finding) {
  require(!finding.code.empty() && !finding.message.empty());
  std::string line = std::string(to_string(finding.severity)) + " " + std::string(to_string(finding.category)) + " " +
                     finding.code + " " + to_string(finding) + " | " + finding.found + " | " + finding.expected +
                     " | " + finding.hint;
  for (const std::string& name : finding.tensors) line += " | " + escaped(name);
  if (finding.record_offset) line += " | " + std::to_string(*finding.record_offset);
  require(is_plain_text(line));
  return line + "\n";
}

std::string checked_line(const Error& error) {
  return std::string(to_string(error.code)) + " " + checked_line(error.finding);
}

namespace {

std::shared_ptr<const Source> source_of(const std::vector<std::byte>& bytes, TestSource::Access access) {
  return std::make_shared<TestSource>(bytes, access);
}

// The files beside the first one, as LoadOptions::open_beside finds them. Names lead nowhere else, and each is asked
// for once by one opening.
class Beside {
 public:
  Beside(const FileSet& files, TestSource::Access access) : files_(files), access_(access) {}

  Result<std::shared_ptr<const Source>> operator()(std::string_view name) {
    require(!name.empty() && name != "." && name != ".." && name.find_first_of("/\\") == std::string_view::npos);
    require(name.find('\0') == std::string_view::npos);
    require(!std::exchange(asked_[std::string(name)], true));
    const auto found = files_.others.find(name);
    if (found == files_.others.end()) {
      return Error::of(ErrorCode::not_found,
                       {.category = Category::io, .code = "TEST-MISSING", .message = "there is no such file"});
    }
    return source_of(found->second, access_);
  }

 private:
  const FileSet& files_;
  TestSource::Access access_;
  std::map<std::string, bool> asked_;
};

// One way of looking at the input. Options are made anew for every opening: see Beside.
struct Input {
  const FileSet& files;
  TestSource::Access access;

  [[nodiscard]] std::shared_ptr<const Source> source() const { return source_of(files.first, access); }
  template <class Options>
  [[nodiscard]] Options options() const {
    Options options;
    options.limits = small_limits();
    if (!files.others.empty()) options.open_beside = Beside(files, access);
    return options;
  }
};

void write_leaf(JsonWriter& json, const Value& value) {
  if (const auto text = value.as_string()) {
    json.string(*text);
  } else if (const auto bytes = value.as_bytes()) {
    json.base64(*bytes);
  } else if (const auto integer = value.as_int()) {
    json.integer(*integer);
  } else if (value.kind() == ValueKind::real) {
    json.real(*value.as_double());
  } else if (const auto complex = value.as_complex()) {
    json.begin_array().real(complex->real()).real(complex->imag()).end_array();
  } else if (const auto device = value.as_device()) {
    json.string(*device);
  } else {
    json.string(value.as_decimal().value_or(std::string(value.class_name())));
  }
}

// Every accessor of every value, whatever its kind.
void ask_value(const Value& value) {
  require(!to_string(value.kind()).empty() && value.exists());
  const ValueKind kind = value.kind();
  require(value.as_string().has_value() == (kind == ValueKind::string));
  require(value.as_tensor().has_value() == (kind == ValueKind::tensor));
  if (const auto text = value.as_string()) require(is_valid_utf8_surrogatepass(*text));
  if (value.as_int()) require(value.as_decimal() == std::to_string(*value.as_int()));
  require(is_valid_utf8(escaped(value.class_name())));
  for (std::size_t i = 0; i < std::min<std::size_t>(value.item_count(), 4); ++i) require(value.item(i).exists());
  require(!value.item(value.item_count()).exists());
  for (std::size_t i = 0; i < std::min<std::size_t>(value.entry_count(), 4); ++i) {
    const auto [key, item] = value.entry(i);
    require(key.exists() && item.exists());
    require(value.get(key).same_object(item));
  }
  (void)value.arguments();
  (void)value.state();
  for (const auto& [name, attribute] : value.attributes()) require(attribute.exists() && value.attr(name).exists());
}

// Walks, and follows the paths back. Gives what it saw as JSON.
void walk_values(const Checkpoint& checkpoint, const Limits& limits, JsonWriter& json) {
  std::size_t items = 0;
  json.begin_array();
  const Status status = walk(
      checkpoint.root(),
      [&](const WalkItem& item) {
        if (items++ >= kFollowedPaths) return true;
        ask_value(*item.value);
        write_leaf(json, *item.value);
        require(checkpoint.root().at(item.path).same_object(*item.value));
        const std::string name = to_string(item.path);
        json.string(name);
        require(is_valid_utf8(escaped(name, name.size())));
        require(checkpoint.root().at(name).exists());
        return true;
      },
      limits.visited_nodes);
  json.end_array();
  if (!status) {
    require(status.error().code == ErrorCode::limit_exceeded);
    (void)checked_line(status.error());
  }
}

std::uint64_t total_bytes(const Inspection& inspection) {
  std::uint64_t total = inspection.tensor_bytes;
  for (const TensorEntry& entry : inspection.tensors) {
    if (__builtin_add_overflow(total, entry.tensor.size_bytes(), &total)) return ~std::uint64_t{0};
  }
  return total;
}

}  // namespace

std::string read_tensor(const Tensor& tensor) {
  require(tensor.shape().size() == tensor.strides().size() && tensor.numel() >= 0);
  const Result<std::span<const std::byte>> storage = tensor.storage().bytes();
  const Result<std::span<const std::byte>> bytes = tensor.bytes();
  const Result<Tensor> dense = tensor.contiguous(kMostBytes);
  std::string said;
  if (!storage) {
    said += checked_line(storage.error());
    require(tensor.numel() == 0 || !bytes);
  } else {
    require(storage->size() == tensor.storage().size_bytes() && bytes.has_value());
    require(bytes->empty() ||
            (bytes->data() >= storage->data() && bytes->data() + bytes->size() <= storage->data() + storage->size()));
    // Reads all of them: they are really there.
    said += std::to_string(std::count(bytes->begin(), bytes->end(), std::byte{0})) + "\n";
  }
  if (dense) {
    require(dense->is_contiguous() && dense->numel() == tensor.numel() && dense->dtype() == tensor.dtype());
    // A contiguous tensor is handed on before it is read.
    const Result<std::span<const std::byte>> dense_bytes = dense->bytes();
    require(dense_bytes.has_value() == (storage.has_value() || tensor.numel() == 0));
    if (dense_bytes) {
      require(dense_bytes->size() == dense->size_bytes());
      said += std::to_string(std::count(dense_bytes->begin(), dense_bytes->end(), std::byte{0})) + "\n";
    }
  } else {
    said += checked_line(dense.error());
  }
  if (tensor.size_bytes() > kMostBytes) return said;
  const Result<TensorStatistics> figures = statistics(tensor);
  if (figures) {
    require(storage.has_value() || tensor.numel() == 0);
    require(figures->count == tensor.numel() && figures->nan + figures->infinite <= figures->count);
  } else {
    said += checked_line(figures.error());
  }
  if (const Result<Tensor> converted = tensor.to(DType::f32); !converted) said += checked_line(converted.error());
  return said;
}

namespace {

// As the program prints them; what comes out must be JSON.
void write_inspection(JsonWriter& json, const Inspection& inspection) {
  const auto first = [](const auto& entries) {
    return std::span(entries).first(std::min(entries.size(), kWrittenEntries));
  };
  const auto check_name = [](const auto& entry) { require(is_valid_utf8_surrogatepass(entry.name)); };
  std::for_each(inspection.tensors.begin(), inspection.tensors.end(), check_name);
  std::for_each(inspection.values.begin(), inspection.values.end(), check_name);
  std::for_each(inspection.opaque.begin(), inspection.opaque.end(), check_name);
  json.begin_object().field("root", inspection.root_class).key("names").begin_array();
  for (const TensorEntry& entry : first(inspection.tensors)) json.string(entry.name).integers(entry.tensor.shape());
  for (const ValueEntry& entry : first(inspection.values)) {
    json.string(entry.name);
    write_leaf(json, entry.value);
  }
  for (const OpaqueEntry& entry : first(inspection.opaque)) json.string(entry.name).string(entry.class_name);
  for (const GlobalUse& use : inspection.globals) {
    require(is_valid_utf8(use.name) && !has_control_characters(use.name));
    json.string(use.name);
    for (const std::string& path : use.paths) json.string(path);
  }
  json.end_array().end_object();
}

void check_json(const JsonWriter& json) {
  require(is_valid_utf8(json.text()) && !has_control_characters(json.text()));
  // A lone surrogate is JSON by its grammar, as Python writes and reads it; simdjson wants pairs.
  std::string text = json.text();
  for (std::size_t at = 0; (at = text.find("\\ud", at)) != std::string::npos;) text[at + 2] = '0';
  simdjson::dom::parser parser;
  require(parser.parse(simdjson::padded_string(text)).error() == simdjson::SUCCESS);
}

// What one way of opening gives, as text: equal whatever the kind of Source.
struct Answer {
  std::optional<Checkpoint> checkpoint;
  std::optional<Inspection> inspection;
  std::string text;
};

Answer ask(const Input& input) {
  const auto options = input.options<LoadOptions>();
  Answer answer;
  Result<Checkpoint> opened = Checkpoint::open(input.source(), options);
  if (!opened) {
    require(opened.error().code != ErrorCode::io);
    answer.text = checked_line(opened.error());
    return answer;
  }
  answer.checkpoint = *std::move(opened);
  const Checkpoint& checkpoint = *answer.checkpoint;
  for (const Finding& finding : checkpoint.findings()) {
    require(finding.severity != Severity::error);
    answer.text += checked_line(finding);
  }
  JsonWriter json;
  json.begin_array();
  walk_values(checkpoint, options.limits, json);
  Result<Inspection> inspection = inspect(checkpoint, options.limits);
  if (!inspection) {
    answer.text += checked_line(inspection.error());
    return answer;
  }
  write_inspection(json, *inspection);
  json.end_array();
  check_json(json);
  answer.text += json.text() + "\n";

  if (const Result<StateDict> state = checkpoint.state_dict(); state) {
    require(checkpoint.root().at(state->path()).exists());
    for (const auto& [name, tensor] : *state) require(state->find(name) == &tensor);
    answer.text += state->path() + " " + std::to_string(state->size()) + "\n";
  } else {
    answer.text += checked_line(state.error());
  }
  for (const std::string_view pattern : {"*", "a", "[a-f]?*"}) {
    const auto found = find_tensors(*inspection, pattern);
    answer.text += found ? std::to_string(found->size()) + "\n" : checked_line(found.error());
  }
  if (total_bytes(*inspection) <= kMostBytes) {
    for (const TensorEntry& entry : inspection->tensors) answer.text += read_tensor(entry.tensor);
    const Result<DigestReport> digests = digest(checkpoint, DigestAlgorithm::xxh3_128);
    if (digests) {
      for (const TensorDigest& tensor : digests->tensors) answer.text += tensor.name + " " + tensor.digest + "\n";
      answer.text += digests->content_digest + "\n";
    } else {
      require(!digests.error().finding.tensors.empty());
      answer.text += checked_line(digests.error());
    }
  }
  answer.inspection = *std::move(inspection);
  return answer;
}

// nullopt for the index of a set, which cannot be looked at without the files beside it.
std::optional<VerifyReport> verified(const Input& input, std::string& text) {
  Result<VerifyReport> looked = verify(input.source(), input.options<VerifyOptions>());
  if (!looked) {
    require(looked.error().code == ErrorCode::invalid_argument);
    text = checked_line(looked.error().finding);
    return std::nullopt;
  }
  VerifyReport report = *std::move(looked);
  for (const Finding& finding : report.findings) text += checked_line(finding);
  for (const RecordReport& record : report.records) {
    require(is_valid_utf8(record.name));
    text += record.name + " " + std::to_string(record.offset) + " " + std::string(to_string(record.crc)) + " " +
            std::to_string(record.computed_crc) + "\n";
  }
  for (const TensorVerdict& tensor : report.tensors) {
    text += tensor.name + " " + std::string(to_string(tensor.state)) + " " +
            std::to_string(tensor.element.value_or(-1)) + "\n";
  }
  for (const FlippedBit& flip : report.flips) {
    require(flip.offset < report.format.size_bytes && flip.bit < 8 && flip.found != flip.expected);
    text += std::to_string(flip.offset) + " " + std::to_string(flip.bit) + "\n";
  }
  const auto is_error = [](const Finding& finding) { return finding.severity == Severity::error; };
  require(report.ok == std::none_of(report.findings.begin(), report.findings.end(), is_error));
  require(report.explained_bytes <= report.format.size_bytes);
  return report;
}

// What verify() says of tensors is what reading them says.
void compare_verdicts(const VerifyReport& report, const Answer& answer) {
  if (!answer.checkpoint) {
    // An archive of another kind is sound, and no checkpoint.
    require(!report.ok || report.format.kind != FileKind::torch_zip);
    return;
  }
  if (!answer.inspection) return;
  std::vector<const TensorEntry*> tensors;
  for (const TensorEntry& entry : answer.inspection->tensors) tensors.push_back(&entry);
  std::vector<const TensorVerdict*> verdicts;
  for (const TensorVerdict& verdict : report.tensors) verdicts.push_back(&verdict);
  require(verdicts.size() == tensors.size());
  // Of a distributed checkpoint the metadata's own order is not that of the dicts that its paths make.
  if (report.format.kind == FileKind::dcp) {
    const auto by_name = [](const auto* a, const auto* b) { return a->name < b->name; };
    std::stable_sort(tensors.begin(), tensors.end(), by_name);
    std::stable_sort(verdicts.begin(), verdicts.end(), by_name);
  }
  const bool few_bytes = total_bytes(*answer.inspection) <= kMostBytes;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    require(verdicts[i]->name == tensors[i]->name);
    if (!few_bytes) continue;
    const Storage& storage = tensors[i]->tensor.storage();
    const Result<std::span<const std::byte>> bytes = storage.bytes();
    switch (verdicts[i]->state) {
      case TensorState::intact:
        // Of a distributed tensor that no chunk makes up there is nothing to check.
        // A manifest says so of a part of a record too, and of one without a CRC.
        require(report.manifest ||
                (bytes.has_value() && (storage.integrity() == Integrity::verified || bytes->empty())));
        break;
      case TensorState::damaged:
        require(!report.ok && (!bytes || report.manifest));
        break;
      case TensorState::unverified:
        require(storage.integrity() != Integrity::mismatch);
        break;
    }
  }
}

// The stricter way accepts nothing that the other refuses, and what it refuses was reported by the other.
void compare_strictness(const Input& input, const VerifyReport& report, const Answer& answer) {
  const auto open_with = [&](auto change) {
    auto options = input.options<LoadOptions>();
    change(options);
    return Checkpoint::open(input.source(), options);
  };
  const bool strict = open_with([](LoadOptions& options) { options.strict = true; }).has_value();
  const Result<Checkpoint> known_names = open_with([](LoadOptions& options) { options.globals = Globals::strict; });
  const bool audited = open_with([](LoadOptions& options) { options.checksums = Checksums::all_at_open; }).has_value();
  const bool unchecked = open_with([](LoadOptions& options) { options.checksums = Checksums::ignore; }).has_value();
  if (!answer.checkpoint) {
    require(!strict && !known_names && !audited);
    return;
  }
  require(unchecked);
  const auto findings = answer.checkpoint->findings();
  require(strict == std::none_of(findings.begin(), findings.end(), [](const Finding& finding) {
            return finding.severity == Severity::warning || finding.code == "ZIP-UNUSED-RECORD";
          }));
  // Opening looks at no element; verify() does, at the indices of sparse tensors.
  const bool elements_are_wrong =
      std::any_of(report.findings.begin(), report.findings.end(),
                  [](const Finding& finding) { return finding.category == Category::tensor; });
  require(audited == report.ok || (audited && elements_are_wrong) || report.manifest || !answer.inspection);
  const auto uses = answer.checkpoint->globals();
  const bool all_allowed = std::all_of(uses.begin(), uses.end(), [](const GlobalUse& use) { return use.allowed; });
  require(known_names.has_value() == all_allowed);
  if (!known_names) require(known_names.error().code == ErrorCode::forbidden);
}

// The names that a scan lists: at least those that opening knows.
void scan_names(const Input& input, const Answer& answer) {
  const auto options = input.options<LoadOptions>();
  const std::shared_ptr<const Source> source = input.source();
  open::Opened opened;
  if (!open::open_container(source, options, opened)) {
    if (!opened.is_pickle) return;
    if (const auto uses = open::scan_stream(*source, options)) {
      for (const GlobalUse& use : *uses) require(is_valid_utf8(use.name) && use.record_offset < source->size_bytes());
    }
    return;
  }
  const bool loaded = open::load_values(options, opened).has_value();
  require(loaded == answer.checkpoint.has_value());
  if (loaded) require(opened.globals.size() == answer.checkpoint->globals().size());
  if (opened.archive == nullptr) return;
  for (const GlobalUse& use : open::scan_records(*opened.archive, opened.format.root, {}, options)) {
    require(is_valid_utf8(use.name) && !use.record.empty());
  }
}

}  // namespace

void check_answers(const FileSet& files) {
  const Input mapped{files, TestSource::Access::mapped};
  const Input read{files, TestSource::Access::read_only};

  const Answer answer = ask(mapped);
  require(answer.text == ask(read).text);
  std::string said;
  std::string said_of_reads;
  const std::optional<VerifyReport> report = verified(mapped, said);
  (void)verified(read, said_of_reads);
  require(said == said_of_reads);
  if (!report) {
    require(!answer.checkpoint);
    return;
  }
  compare_verdicts(*report, answer);
  compare_strictness(mapped, *report, answer);
  scan_names(mapped, answer);
}

void check_answers(std::span<const std::uint8_t> data) {
  const ByteSpan bytes = std::as_bytes(data);
  check_answers(FileSet{{bytes.begin(), bytes.end()}, {}});
}

void check_refusal(std::span<const std::uint8_t> data, std::initializer_list<FileKind> kinds) {
  const ByteSpan bytes = std::as_bytes(data);
  LoadOptions options;
  options.limits = small_limits();
  const auto source = source_of({bytes.begin(), bytes.end()}, TestSource::Access::mapped);
  const Result<Checkpoint> opened = Checkpoint::open(source, options);
  if (!opened) {
    (void)checked_line(opened.error());
    return;
  }
  require(std::find(kinds.begin(), kinds.end(), opened->format().kind) == kinds.end());
}

}  // namespace rushlight::test
