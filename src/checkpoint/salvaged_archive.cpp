#include "checkpoint/salvaged_archive.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/build_value.hpp"
#include "checkpoint/lost_memory.hpp"
#include "checkpoint/zip_container.hpp"
#include "checksum/crc32.hpp"
#include "pickle/machine.hpp"
#include "tensor/file_memory.hpp"
#include "zip/writer.hpp"

namespace rushlight::checkpoint {
namespace {

using namespace std::string_view_literals;
using zip::FoundRecord;
using State = zip::FoundRecord::State;

constexpr std::string_view kPickle = "data.pkl";
constexpr std::array<std::string_view, 2> kFolders = {"data/", "tensors/"};  // the second before torch 1.5
// Damaged places that the walk is led past; behind more of them nothing is looked for.
constexpr int kMostGaps = 64;

bool could_not_look(const Error& error) noexcept {
  return error.code == ErrorCode::io || error.code == ErrorCode::out_of_memory || error.code == ErrorCode::cancelled;
}

Error why_lost(Category category, std::string_view code, std::string message, const Source& source, std::string record,
               std::optional<std::uint64_t> offset = {}) {
  Finding finding{.category = category,
                  .code = std::string(code),
                  .message = std::move(message),
                  .file = escaped(source.name(), kPathBytes),
                  .record = std::move(record)};
  finding.offset = offset;
  return Error::of(std::move(finding));
}

Error refusal(const Source& source, std::string_view code, std::string message) {
  return Error::of({.category = Category::pkl,
                    .code = std::string(code),
                    .message = std::move(message),
                    .file = escaped(source.name(), kPathBytes)});
}

// The bytes of a pickle whose place is known.
Result<PickleBytes> pickle_at(const std::shared_ptr<const Source>& source, std::uint64_t offset,
                              std::uint64_t size_bytes, const Limits& limits) {
  if (size_bytes > limits.pickle_bytes) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-PICKLE-BYTES",
                      .message = "pickle is larger than the limit pickle_bytes, expected at most " +
                                 std::to_string(limits.pickle_bytes) + ", found " + std::to_string(size_bytes),
                      .file = escaped(source->name(), kPathBytes)});
  }
  PickleBytes bytes{
      .bytes = {},
      .owner = source,
      .place = {.file = escaped(source->name(), kPathBytes), .record = std::string(kPickle), .file_offset = offset},
      .storage_record = std::string(kPickle),
      .integrity = Integrity::verified};
  if (const ByteSpan mapping = source->mapping(); !mapping.empty()) {
    bytes.bytes = mapping.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size_bytes));
    return bytes;
  }
  const auto copy = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(size_bytes));
  RUSHLIGHT_TRY(source->read_at(offset, *copy));
  bytes.bytes = *copy;
  bytes.owner = copy;
  return bytes;
}

Result<pickle::Pickle> whole_pickle(const PickleBytes& bytes, const Source& source, const Limits& limits) {
  Result<pickle::Pickle> pickle = pickle::read_pickle(bytes.bytes, limits);
  if (!pickle) {
    Error error = std::move(pickle).error();
    bytes.place.fill(error.finding, error.finding.record_offset.value_or(0));
    return error;
  }
  if (pickle->bytes_used != bytes.bytes.size()) {
    return refusal(source, "PKL-TRAILING", "bytes follow the pickle in its record");
  }
  return pickle;
}

// --- by the directory -----------------------------------------------------------------------------------------------

class DirectoryStorages final : public StorageProvider {
 public:
  DirectoryStorages(ZipContainer& container, const FormatInfo& format, SalvagedArchive& salvaged)
      : container_(container), format_(format), salvaged_(salvaged) {}

  [[nodiscard]] bool is_big_endian() const noexcept override { return container_.is_big_endian(); }

  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override {
    Result<std::shared_ptr<Memory>> memory = container_.memory(request, size_bytes);
    std::optional<Error> why;
    if (!memory) {
      why = std::move(memory).error();
    } else if (size_bytes > 0) {
      if (const Result<ByteSpan> bytes = (*memory)->bytes(); !bytes) why = bytes.error();
    }
    if (!why) {
      if (size_bytes > 0 && (*memory)->integrity() != Integrity::verified) salvaged_.unchecked = true;
      return *std::move(memory);
    }
    if (could_not_look(*why)) return *std::move(why);
    std::string record = std::string(kFolders[0]) + std::string(request.key);
    if (size_bytes == 0) {  // no bytes are no loss
      return std::shared_ptr<Memory>(
          std::make_shared<FileMemory>(source(), 0, 0, std::string(request.location), std::move(record)));
    }
    for (const std::string_view folder : kFolders) {
      const zip::Entry* const entry = container_.find(std::string(folder) + std::string(request.key));
      if (entry == nullptr || entry->size_bytes != size_bytes) continue;
      RUSHLIGHT_TRY_ASSIGN(
          const std::optional<zip::Extent> extent,
          zip::find_by_checksum(*container_.context().archive, *entry, format_.storage_alignment, true));
      if (!extent) continue;
      return std::shared_ptr<Memory>(std::make_shared<FileMemory>(source(), extent->begin, size_bytes,
                                                                  std::string(request.location), std::move(record)));
    }
    return make_lost_memory(size_bytes, std::string(request.location), std::move(record), *std::move(why));
  }

 private:
  [[nodiscard]] const std::shared_ptr<const Source>& source() const { return container_.context().archive->source(); }

  ZipContainer& container_;
  const FormatInfo& format_;
  SalvagedArchive& salvaged_;
};

}  // namespace

bool hides_byteorder(const zip::Archive& archive, const FormatInfo& format) {
  constexpr std::string_view kBig = "big";
  const std::uint32_t crc = checksum::crc32(as_byte_span(kBig));
  return format.byteorder != kBig && std::ranges::any_of(archive.entries(), [&](const zip::Entry& entry) {
           return entry.size_bytes == kBig.size() && entry.crc == crc;
         });
}

Status salvage_by_directory(const std::shared_ptr<const zip::Archive>& archive, const LoadOptions& options,
                            SalvagedArchive& salvaged) {
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<ZipContainer> container,
                       ZipContainer::open(archive, options, salvaged.format, salvaged.findings));
  if (salvaged.format.kind != FileKind::torch_zip || container->pickle() == nullptr) {
    return refusal(*archive->source(), "SALVAGE-KIND", "the archive is not one of torch.save");
  }
  if (hides_byteorder(*archive, salvaged.format)) {
    return refusal(*archive->source(), "SALVAGE-BYTEORDER", "the record that says the byte order has another name");
  }
  Result<PickleBytes> bytes = container->read_pickle(*container->pickle());
  if (!bytes && !could_not_look(bytes.error())) {
    RUSHLIGHT_TRY_ASSIGN(
        const std::optional<zip::Extent> extent,
        zip::find_by_checksum(*archive, *container->pickle(), salvaged.format.storage_alignment, false));
    if (extent) bytes = pickle_at(archive->source(), extent->begin, extent->size_bytes(), options.limits);
  }
  if (!bytes) return std::move(bytes).error();
  RUSHLIGHT_TRY_ASSIGN(const pickle::Pickle pickle, whole_pickle(*bytes, *archive->source(), options.limits));
  salvaged.format.pickle_protocol = pickle.protocol;
  DirectoryStorages storages(*container, salvaged.format, salvaged);
  RUSHLIGHT_TRY_ASSIGN(BuiltValue built, build_value(pickle, *bytes, storages, options, salvaged.findings));
  salvaged.root = std::move(built.root);
  return {};
}

namespace {

// --- without a directory --------------------------------------------------------------------------------------------

// Which storages the pickle names, and how large they are: asks for none of them.
class NamedStorages final : public StorageProvider {
 public:
  explicit NamedStorages(const Source& source) : source_(source) {}

  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override {
    if (sizes_.emplace(std::string(request.key), size_bytes).second) keys_.emplace_back(request.key);
    return make_lost_memory(size_bytes, "cpu", {},
                            why_lost(Category::zip, "SALVAGE-UNPROVEN", "nothing was read", source_, {}));
  }
  [[nodiscard]] const std::vector<std::string>& keys() const noexcept { return keys_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t, std::less<>>& sizes() const noexcept { return sizes_; }

 private:
  const Source& source_;
  std::vector<std::string> keys_;  // as the pickle names them
  std::map<std::string, std::uint64_t, std::less<>> sizes_;
};

class Walk {
 public:
  Walk(const std::shared_ptr<const Source>& source, const LoadOptions& options, SalvagedArchive& salvaged)
      : source_(source), options_(options), salvaged_(salvaged), walk_(*source, options.limits), names_(*source) {}

  Status run() {
    salvaged_.format.kind = FileKind::torch_zip;
    salvaged_.format.size_bytes = source_->size_bytes();
    salvaged_.format.byteorder = "little";
    RUSHLIGHT_TRY(collect());
    if (no_values_) return *no_values_;
    if (!pickle_) return no_pickle();
    RUSHLIGHT_TRY(judge_kind());
    RUSHLIGHT_TRY(judge_checksums());
    RUSHLIGHT_TRY(read_byteorder());
    judge_names();
    return build();
  }

 private:
  [[nodiscard]] const std::string& root() const noexcept { return root_; }
  [[nodiscard]] std::vector<FoundRecord>& records() noexcept { return salvaged_.records; }

  // The key of a record that is a storage of the pickle.
  [[nodiscard]] std::optional<std::string_view> key_of(std::string_view name) const {
    if (!pickle_ || !name.starts_with(root_)) return std::nullopt;
    name.remove_prefix(root_.size());
    for (const std::string_view folder : kFolders) {
      if (!name.starts_with(folder)) continue;
      name.remove_prefix(folder.size());
      if (const auto known = names_.sizes().find(name); known != names_.sizes().end()) return known->first;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> size_of(std::string_view name) const {
    const std::optional<std::string_view> key = key_of(name);
    return key ? std::optional(names_.sizes().find(*key)->second) : std::nullopt;
  }
  [[nodiscard]] const FoundRecord* record(std::string_view name) const {
    const auto found = std::ranges::find_if(salvaged_.records, [&](const FoundRecord& found_record) {
      return found_record.name.size() == root_.size() + name.size() && found_record.name.starts_with(root_) &&
             found_record.name.ends_with(name);
    });
    return found == salvaged_.records.end() ? nullptr : &*found;
  }

  Status collect() {
    const zip::RecordWalk::SizeOf size = [this](std::string_view name) { return size_of(name); };
    int gaps = 0;
    while (records().size() < options_.limits.archive_entries) {
      if (!may_go_on()) return cancelled();
      RUSHLIGHT_TRY_ASSIGN(std::optional<FoundRecord> found, walk_.next(size));
      if (found) {
        const bool is_pickle = found->name == kPickle || found->name.ends_with("/data.pkl");
        if (!is_pickle || found->name.find('/') != found->name.rfind('/')) {
          const bool says_alignment = !knows_alignment_ && found->name == root_ + ".storage_alignment";
          records().push_back(*std::move(found));
          if (!says_alignment) continue;
          knows_alignment_ = true;
          RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> aligned, alignment());
          if (aligned) walk_.set_alignment(*aligned);
          continue;
        }
        records().push_back(*found);
        if (seen_pickle_) {
          return refusal(*source_, "SALVAGE-TWO-PICKLES", "two records could be the checkpoint's pickle");
        }
        seen_pickle_ = true;
        if (found->state == State::whole || found->state == State::unchecked) {
          // Without it, which records are whole is still worth knowing.
          if (Status read = read_pickle(*found); !read) {
            no_values_ = std::move(read).error();
            pickle_.reset();
          }
        }
        continue;
      }
      if (walk_.at_directory() || walk_.position() >= walk_.end() || ++gaps > kMostGaps) break;
      RUSHLIGHT_TRY_ASSIGN(const bool led_past, pass_gap());
      if (led_past) continue;
      // A record that ends nowhere: the file does.
      RUSHLIGHT_TRY_ASSIGN(std::optional<std::string> name, walk_.name_at(walk_.position()));
      if (name) {
        is_cut_ = true;
        seen_pickle_ = seen_pickle_ || *name == kPickle || name->ends_with("/data.pkl");
        records().push_back({.name = *std::move(name), .header_offset = walk_.position()});
      }
      break;
    }
    is_cut_ = is_cut_ || walk_.position() >= walk_.end();
    return {};
  }

  [[nodiscard]] bool may_go_on() const {
    return options_.progress == nullptr ||
           options_.progress->on_progress("salvage", walk_.position(), std::max(walk_.position(), walk_.end()));
  }
  static Error cancelled() {
    return Error::of(ErrorCode::cancelled,
                     {.category = Category::io, .code = "CANCELLED", .message = "the rescue was cancelled"});
  }

  Status read_pickle(const FoundRecord& found) {
    RUSHLIGHT_TRY_ASSIGN(PickleBytes bytes, pickle_at(source_, found.data_offset, found.size_bytes, options_.limits));
    RUSHLIGHT_TRY_ASSIGN(pickle_, whole_pickle(bytes, *source_, options_.limits));
    RUSHLIGHT_TRY_ASSIGN(root_, root_by_majority(found));
    std::vector<Finding> said_later;
    const Result<BuiltValue> built = build_value(*pickle_, bytes, names_, options_, said_later);
    if (!built) return built.error();
    bytes_ = std::move(bytes);
    orders_[0] = names_.keys();
    orders_[1] = names_.keys();
    std::ranges::sort(orders_[1]);
    for (std::size_t order = 0; order < orders_.size(); ++order) {
      for (std::size_t i = 0; i < orders_[order].size(); ++i) places_[order].emplace(orders_[order][i], i);
    }
    for (const auto& [key, size_bytes] : names_.sizes()) ++keys_of_size_[size_bytes];
    return {};
  }

  static std::string folder_of(std::string_view name) { return std::string(name.substr(0, name.find('/') + 1)); }

  // The folder of the pickle, unless the two records behind it agree on another one: its name may be damaged.
  Result<std::string> root_by_majority(const FoundRecord& found) {
    zip::RecordWalk ahead(*source_, options_.limits);
    ahead.go_on_at(walk_.position());
    std::vector<std::string> folders;
    for (int i = 0; i < 2; ++i) {
      RUSHLIGHT_TRY_ASSIGN(const std::optional<FoundRecord> next,
                           ahead.next([](std::string_view) { return std::nullopt; }));
      if (next) folders.push_back(folder_of(next->name));
    }
    return folders.size() == 2 && folders[0] == folders[1] ? folders[0] : folder_of(found.name);
  }

  // The alignment of the archive; nullopt where the record that says it is damaged.
  [[nodiscard]] Result<std::optional<std::uint64_t>> alignment() const {
    const FoundRecord* const found = record(".storage_alignment");
    if (found == nullptr) return std::optional<std::uint64_t>(zip::kTorchAlignment);
    std::array<char, 8> text{};
    if (found->state != State::whole || found->size_bytes > text.size()) return std::optional<std::uint64_t>();
    const auto digits = std::span(text).first(static_cast<std::size_t>(found->size_bytes));
    RUSHLIGHT_TRY(source_->read_at(found->data_offset, std::as_writable_bytes(digits)));
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (parsed.ec != std::errc() || value < 1 || value > zip::kMostAlignment) return std::optional<std::uint64_t>();
    return std::optional(value);
  }

  // Small records stand before the storages. Where the header of one is damaged, that of the next is near, and of one
  // of the few names that can come there.
  Result<bool> pass_small_gap() {
    constexpr std::uint64_t kNear = 8192;  // torch's padding is rarely longer than a page
    const std::uint64_t from = walk_.position();
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> at, walk_.search_header(from + 4, from + kNear));
    if (!at) return false;
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::string> name, walk_.name_at(*at));
    if (!name || !name->starts_with(root_)) return false;
    const std::string_view below = std::string_view(*name).substr(root_.size());
    bool is_next =
        below == ".storage_alignment" || below == "byteorder" || below == "version" || below.starts_with(".data/");
    for (const std::vector<std::string>& keys : orders_) {
      for (const std::string_view folder : kFolders) {
        is_next = is_next || (!keys.empty() && below == std::string(folder) + keys.front());
      }
    }
    if (!is_next) return false;
    FoundRecord gap{.name = {}, .header_offset = from, .data_offset = from, .size_bytes = *at - from};
    gap.state = State::damaged;
    records().push_back(std::move(gap));
    walk_.go_on_at(*at);
    return true;
  }

  // No header stands where one must. In each of torch's two orders it is known which storages come now and how long
  // they are: where a sound header of the next one, or the end of the records, stands just where it would, those in
  // between are explained.
  Result<bool> pass_gap() {
    if (!pickle_) return false;
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> aligned, alignment());
    if (!aligned) return pass_small_gap();
    std::optional<std::string_view> last;
    std::string_view folder = kFolders[0];
    if (!records().empty()) {
      last = key_of(records().back().name);
      if (last && records().back().name.substr(root_.size()).starts_with(kFolders[1])) folder = kFolders[1];
    }
    const bool any = std::ranges::any_of(records(), [&](const auto& r) { return key_of(r.name).has_value(); });
    // Storages come one behind the other.
    if (!last && any) return pass_small_gap();
    if (!last && !records().back().name.ends_with("byteorder")) {
      RUSHLIGHT_TRY_ASSIGN(const bool passed, pass_small_gap());
      if (passed) return true;
    }
    for (std::size_t order = 0; order < orders_.size(); ++order) {
      RUSHLIGHT_TRY_ASSIGN(const bool passed, pass_gap_in(order, last, folder, *aligned));
      if (passed) return true;
    }
    return false;
  }

  Result<bool> pass_gap_in(std::size_t order, std::optional<std::string_view> last, std::string_view folder,
                           std::uint64_t aligned) {
    const std::vector<std::string>& keys = orders_[order];
    std::vector<FoundRecord> between;
    std::uint64_t at = walk_.position();
    for (std::size_t i = last ? places_[order].find(*last)->second + 1 : 0; i < keys.size(); ++i) {
      FoundRecord damaged{.name = root_ + std::string(folder) + keys[i], .header_offset = at};
      damaged.size_bytes = names_.sizes().find(keys[i])->second;
      const Result<zip::RecordPlace> place =
          zip::place_record({.name = damaged.name, .size_bytes = damaged.size_bytes}, at, aligned);
      if (!place || place->end_offset > walk_.end()) return false;
      damaged.data_offset = place->data_offset;
      damaged.state = State::damaged;
      between.push_back(std::move(damaged));
      at = place->end_offset;
      RUSHLIGHT_TRY_ASSIGN(const std::optional<std::string> name, walk_.name_at(at));
      RUSHLIGHT_TRY_ASSIGN(const bool directory, walk_.directory_at(at));
      const bool is_last = i + 1 == keys.size();
      const bool is_next = name && !is_last && *name == root_ + std::string(folder) + keys[i + 1];
      const bool is_behind = is_last && (directory || (name && name->starts_with(root_)));
      if (!is_next && !is_behind) continue;
      RUSHLIGHT_TRY(judge_between(between));
      records().insert(records().end(), std::make_move_iterator(between.begin()),
                       std::make_move_iterator(between.end()));
      walk_.go_on_at(at);
      return true;
    }
    return false;
  }

  // Those whose names still stand where they should, by what stands behind their data.
  Status judge_between(std::vector<FoundRecord>& between) {
    for (FoundRecord& record : between) {
      RUSHLIGHT_TRY_ASSIGN(const bool named, walk_.has_name_at(record.header_offset, record.name));
      if (!named || record.size_bytes == 0) continue;
      RUSHLIGHT_TRY_ASSIGN(record,
                           walk_.judge(record.name, record.header_offset, record.data_offset, record.size_bytes));
      if (record.state == State::unchecked) record.state = State::damaged;
    }
    return {};
  }

  Error no_pickle() const {
    const std::string whole = std::to_string(
        std::ranges::count_if(salvaged_.records, [](const FoundRecord& found) { return found.state == State::whole; }));
    return refusal(
        *source_, "SALVAGE-NO-PICKLE",
        seen_pickle_
            ? "the pickle, which names the tensors, is not whole: nothing can be rescued (" + whole + " whole records)"
            : "there is no pickle, which names the tensors: nothing can be rescued (" + whole + " whole records)");
  }

  Status judge_kind() const {
    const bool is_script = std::ranges::any_of(salvaged_.records, [&](const FoundRecord& found) {
      if (!found.name.starts_with(root_)) return false;
      const std::string_view name = std::string_view(found.name).substr(root_.size());
      return name == "constants.pkl" || name.starts_with("code/") || name.starts_with("constants/");
    });
    if (!is_script) return {};
    return Error::of({.category = Category::unsup,
                      .code = "SALVAGE-KIND",
                      .message = "archives of TorchScript are not rescued without their central directory",
                      .file = escaped(source_->name(), kPathBytes)});
  }

  // A stored 0 means that nobody computed checksums, if that is so of all of them.
  Status judge_checksums() {
    const bool any = std::ranges::any_of(records(), [](const FoundRecord& found) {
      return found.state == State::whole && found.size_bytes > 0 && found.stored_crc.value_or(0) != 0;
    });
    for (FoundRecord& found : records()) {
      if (found.state != State::unchecked || !any) continue;
      found.state = State::damaged;
      if (found.name == root_ + std::string(kPickle)) return no_pickle();
    }
    return {};
  }

  // The checksum says which of two words a damaged record held.
  Status read_byteorder() {
    const FoundRecord* const found = record("byteorder");
    const auto is = [](const FoundRecord& given, std::string_view word) {
      return given.size_bytes == word.size() && given.stored_crc == checksum::crc32(as_byte_span(word));
    };
    if (found == nullptr) {
      // torch before 2.1 writes none. One under a damaged name, or in a gap, must not be missed.
      RUSHLIGHT_TRY_ASSIGN(const bool big_in_gap, stands_in_gap(checksum::crc32(as_byte_span("big"sv))));
      RUSHLIGHT_TRY_ASSIGN(const bool little_in_gap, stands_in_gap(checksum::crc32(as_byte_span("little"sv))));
      const auto first_storage =
          std::ranges::find_if(records(), [&](const auto& r) { return key_of(r.name).has_value(); });
      const bool any_gap = std::any_of(records().begin(), first_storage, [](const auto& r) { return r.name.empty(); });
      const bool any_big = big_in_gap || std::ranges::any_of(records(), [&](const auto& r) { return is(r, "big"); });
      if (!any_big && (little_in_gap || !any_gap)) return {};
    } else if (is(*found, "little")) {
      return {};
    } else if (is(*found, "big")) {
      salvaged_.format.byteorder = "big";
      return {};
    } else if (found->state == State::unchecked && found->size_bytes <= 8) {
      std::array<char, 8> text{};
      const auto word = std::span(text).first(static_cast<std::size_t>(found->size_bytes));
      RUSHLIGHT_TRY(source_->read_at(found->data_offset, std::as_writable_bytes(word)));
      salvaged_.format.byteorder = std::string(word.data(), word.size());
      if (salvaged_.format.byteorder == "little" || salvaged_.format.byteorder == "big") return {};
    }
    return refusal(*source_, "SALVAGE-BYTEORDER", "the record that says the byte order is damaged: nothing is certain");
  }

  // Whether the descriptor of a record with this checksum stands in one of the gaps.
  Result<bool> stands_in_gap(std::uint32_t crc) const {
    std::array<std::byte, 4> wanted{};
    store_le(wanted.data(), crc);
    for (const FoundRecord& gap : salvaged_.records) {
      if (!gap.name.empty()) continue;
      std::vector<std::byte> bytes(static_cast<std::size_t>(gap.size_bytes));
      RUSHLIGHT_TRY(source_->read_at(gap.data_offset, bytes));
      if (as_text(bytes).find(as_text(wanted)) != std::string_view::npos) return true;
    }
    return false;
  }

  // No checksum covers the names in local headers. A name is proven by its neighbours in torch's order, or by a size
  // that no other storage has; and no name may stand twice.
  void judge_names() {
    std::vector<std::optional<std::string_view>> keys;
    std::map<std::string_view, int> times;
    for (const FoundRecord& found : records()) {
      keys.push_back(key_of(found.name));
      ++times[found.name];
    }
    const auto follows = [&](std::size_t order, std::size_t i) {  // i + 1 is the next one of i
      return i + 1 < keys.size() && keys[i] && keys[i + 1] &&
             places_[order].find(*keys[i])->second + 1 == places_[order].find(*keys[i + 1])->second;
    };
    std::array<std::size_t, 2> pairs{};
    for (std::size_t i = 0; i < keys.size(); ++i) {
      for (std::size_t order = 0; order < pairs.size(); ++order) pairs[order] += follows(order, i) ? 1 : 0;
    }
    const std::size_t order = pairs[1] > pairs[0] ? 1 : 0;
    bool any_before = false;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (!keys[i]) continue;
      const bool is_first = !any_before && places_[order].find(*keys[i])->second == 0;
      any_before = true;
      const std::uint64_t size_bytes = names_.sizes().find(*keys[i])->second;
      const bool proven = is_first || follows(order, i) || (i > 0 && follows(order, i - 1)) ||
                          keys_of_size_.find(size_bytes)->second == 1;
      const bool once = times.find(records()[i].name)->second == 1;
      storages_.emplace(*keys[i], Storage{i, proven && once});
    }
  }

  struct Storage {
    std::size_t record = 0;
    bool is_named = false;  // its name is proven
  };

  class Proven final : public StorageProvider {
   public:
    explicit Proven(Walk& walk) : walk_(walk) {}
    [[nodiscard]] bool is_big_endian() const noexcept override { return walk_.salvaged_.format.byteorder == "big"; }
    Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override {
      return walk_.memory(request, size_bytes);
    }

   private:
    Walk& walk_;
  };

  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) {
    const std::string name = std::string(kFolders[0]) + escaped(request.key);
    const std::string location(request.location);
    const auto in_file = [&](std::uint64_t offset) {
      return std::shared_ptr<Memory>(std::make_shared<FileMemory>(source_, offset, size_bytes, location, name));
    };
    if (size_bytes == 0) return in_file(0);  // no bytes are no loss
    const auto lost = [&](Category category, std::string_view code, std::string message,
                          std::optional<std::uint64_t> offset = {}) {
      return make_lost_memory(size_bytes, location, name,
                              why_lost(category, code, std::move(message), *source_, name, offset));
    };
    const auto known = storages_.find(request.key);
    if (known == storages_.end()) {
      if (is_cut_) {
        return lost(Category::trunc, "SALVAGE-CUT", "the file ends before the record");
      }
      return lost(Category::zip, "SALVAGE-UNPROVEN", "where the record lies cannot be proven");
    }
    const FoundRecord& found = records()[known->second.record];
    if (!known->second.is_named) {
      return lost(Category::ambig, "SALVAGE-NAME", "the record may be another one: its name is not proven",
                  found.header_offset);
    }
    if (found.state == State::cut) {
      return lost(Category::trunc, "SALVAGE-CUT", "the file ends before the record does", found.data_offset);
    }
    if (found.size_bytes != size_bytes) {
      return lost(Category::store, "SALVAGE-SIZE",
                  "the record does not fit its storage, expected " + std::to_string(size_bytes) + " bytes, found " +
                      std::to_string(found.size_bytes),
                  found.data_offset);
    }
    if (found.state == State::damaged) {
      return lost(Category::crc, "SALVAGE-CHECKSUM", "the record or its checksum is damaged", found.data_offset);
    }
    if (found.state == State::unchecked) salvaged_.unchecked = true;
    return in_file(found.data_offset);
  }

  Status build() {
    salvaged_.format.root = escaped(root_.empty() ? root_ : root_.substr(0, root_.size() - 1));
    salvaged_.format.pickle_protocol = pickle_->protocol;
    Proven storages(*this);
    RUSHLIGHT_TRY_ASSIGN(BuiltValue built, build_value(*pickle_, bytes_, storages, options_, salvaged_.findings));
    salvaged_.root = std::move(built.root);
    return {};
  }

  std::shared_ptr<const Source> source_;
  const LoadOptions& options_;
  SalvagedArchive& salvaged_;
  zip::RecordWalk walk_;
  bool seen_pickle_ = false;
  bool knows_alignment_ = false;
  bool is_cut_ = false;  // the records go on to the end of the file
  std::optional<pickle::Pickle> pickle_;
  std::optional<Error> no_values_;  // why the pickle that is there is of no use
  PickleBytes bytes_;
  std::string root_;
  NamedStorages names_;
  // By torch's orders: as the pickle names them (2.7 and later), by their texts (before).
  std::array<std::vector<std::string>, 2> orders_;
  std::array<std::map<std::string, std::size_t, std::less<>>, 2> places_;
  std::map<std::uint64_t, std::size_t> keys_of_size_;
  std::map<std::string, Storage, std::less<>> storages_;
};

}  // namespace

Status salvage_by_walk(const std::shared_ptr<const Source>& source, const LoadOptions& options,
                       SalvagedArchive& salvaged) {
  return Walk(source, options, salvaged).run();
}

}  // namespace rushlight::checkpoint
