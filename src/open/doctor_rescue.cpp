#include "open/doctor_rescue.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/build_value.hpp"
#include "checksum/crc32.hpp"
#include "open/listing.hpp"
#include "pickle/machine.hpp"
#include "tensor/file_memory.hpp"
#include "zip/records.hpp"

namespace rushlight::open {
namespace {

using namespace std::string_view_literals;
using zip::decode;
using zip::Descriptor;
using zip::Descriptor64;
using zip::LocalHeader;

constexpr std::string_view kRecordMark = "PK\3\4"sv;
constexpr std::string_view kDescriptorMark = "PK\7\10"sv;

struct FoundRecord {
  std::string name;
  std::uint64_t offset = 0;  // of the data
  std::uint64_t size_bytes = 0;
  bool is_stored = false;
  bool fits = false;  // its CRC-32, over stored data
};

struct End {
  std::uint64_t compressed_bytes = 0;
  std::uint32_t crc = 0;
  std::uint64_t behind = 0;
};

// Data descriptors by where the data they describe must begin: the two sizes of stored data are equal, and are the
// distance. One pass, whatever the file holds.
std::unordered_map<std::uint64_t, End> find_descriptors(ByteSpan file, const Limits& limits) {
  std::unordered_map<std::uint64_t, End> ends;
  const std::string_view text = as_text(file);
  for (std::size_t at = text.find(kDescriptorMark);
       at != std::string_view::npos && ends.size() < limits.archive_entries; at = text.find(kDescriptorMark, at + 1)) {
    const ByteSpan rest = file.subspan(at);
    // The first descriptor that fits is the end: what looks like another behind it belongs to later records.
    if (rest.size() >= Descriptor64::kBytes) {
      const auto wide = decode<Descriptor64>(rest);
      if (wide.compressed_bytes <= at && wide.compressed_bytes == wide.size_bytes) {
        ends.try_emplace(at - wide.compressed_bytes, End{wide.compressed_bytes, wide.crc, at + Descriptor64::kBytes});
      }
    }
    if (rest.size() >= Descriptor::kBytes) {
      const auto narrow = decode<Descriptor>(rest);
      if (narrow.compressed_bytes <= at && narrow.compressed_bytes == narrow.size_bytes) {
        ends.try_emplace(at - narrow.compressed_bytes,
                         End{narrow.compressed_bytes, narrow.crc, at + Descriptor::kBytes});
      }
    }
  }
  return ends;
}

std::vector<FoundRecord> find_parts(ByteSpan file, const Limits& limits) {
  const std::string_view text = as_text(file);
  const std::unordered_map<std::uint64_t, End> ends = find_descriptors(file, limits);
  std::vector<FoundRecord> parts;
  std::size_t at = text.find(kRecordMark);
  while (at != std::string_view::npos && parts.size() < limits.archive_entries) {
    const ByteSpan rest = file.subspan(at);
    std::size_t next = at + kRecordMark.size();
    if (rest.size() >= LocalHeader::kBytes) {
      const auto header = decode<LocalHeader>(rest);
      const std::uint64_t head_bytes = LocalHeader::kBytes + std::uint64_t{header.name_bytes} + header.extra_bytes;
      if (head_bytes <= rest.size() && header.name_bytes <= limits.record_name_bytes) {
        std::optional<End> end;
        if ((header.flags & zip::kFlagDescriptor) != 0 && header.compressed_bytes == 0) {
          if (const auto found = ends.find(at + head_bytes); found != ends.end()) end = found->second;
        } else if (header.compressed_bytes <= rest.size() - head_bytes) {
          end = End{header.compressed_bytes, header.crc, at + head_bytes + header.compressed_bytes};
        }
        if (end) {
          FoundRecord part{.name = std::string(text.substr(at + LocalHeader::kBytes, header.name_bytes)),
                           .offset = at + head_bytes,
                           .size_bytes = end->compressed_bytes,
                           .is_stored = header.method == 0 && (header.flags & zip::kFlagEncrypted) == 0};
          const ByteSpan data =
              file.subspan(static_cast<std::size_t>(part.offset), static_cast<std::size_t>(part.size_bytes));
          // A stored 0 may mean that nobody computed it.
          part.fits = part.is_stored && (end->crc == 0 || checksum::crc32(data) == end->crc);
          parts.push_back(std::move(part));
          next = static_cast<std::size_t>(end->behind);
        }
      }
    }
    at = next < text.size() ? text.find(kRecordMark, next) : std::string_view::npos;
  }
  return parts;
}

// The storages that are whole; the others are shapes without data.
class WholeStorages final : public checkpoint::StorageProvider {
 public:
  WholeStorages(std::shared_ptr<const Source> source, const std::map<std::string, const FoundRecord*>& parts,
                std::string_view root)
      : source_(std::move(source)), parts_(parts), root_(root) {}

  Result<std::shared_ptr<Memory>> memory(const checkpoint::StorageRequest& request, std::uint64_t size_bytes) override {
    const std::string record = "data/" + std::string(request.key);
    const auto found = parts_.find(root_ + record);
    if (found == parts_.end() || !found->second->fits || found->second->size_bytes != size_bytes) {
      return make_meta_memory(size_bytes);
    }
    return std::shared_ptr<Memory>(std::make_shared<FileMemory>(source_, found->second->offset, size_bytes,
                                                                std::string(request.location), record));
  }

 private:
  std::shared_ptr<const Source> source_;
  const std::map<std::string, const FoundRecord*>& parts_;
  std::string root_;
};

class TensorCounter final : public ListingVisitor {
 public:
  explicit TensorCounter(Rescue& rescue) : rescue_(rescue) {}
  void tensor(std::string_view, std::span<const PathStep>, Tensor tensor, bool) override {
    ++rescue_.named_tensors;
    if (tensor.device().kind == Device::Kind::meta) return;
    ++rescue_.tensors;
    const Storage& storage = tensor.storage();
    if (records_.insert(std::string(storage.record())).second) rescue_.tensor_bytes += storage.size_bytes();
  }
  void value(std::string_view, std::span<const PathStep>, const Value&) override {}
  void object(std::string_view, std::span<const PathStep>, const Value&) override {}

 private:
  Rescue& rescue_;
  std::set<std::string> records_;
};

Status count_tensors(const std::shared_ptr<const Source>& source, const FoundRecord& pickle_record,
                     const std::map<std::string, const FoundRecord*>& parts, const Limits& limits, Rescue& rescue) {
  const checkpoint::PickleBytes bytes{
      source->mapping().subspan(static_cast<std::size_t>(pickle_record.offset),
                                static_cast<std::size_t>(pickle_record.size_bytes)),
      source,
      {.file = escaped(source->name()), .record = "data.pkl", .file_offset = pickle_record.offset}};
  RUSHLIGHT_TRY_ASSIGN(const pickle::Pickle pickle, pickle::read_pickle(bytes.bytes, limits));
  const std::string root = pickle_record.name.substr(0, pickle_record.name.size() - "data.pkl"sv.size());
  WholeStorages storages(source, parts, root);
  LoadOptions options;
  options.limits = limits;
  std::vector<Finding> findings;
  RUSHLIGHT_TRY_ASSIGN(const checkpoint::BuiltValue built,
                       checkpoint::build_value(pickle, bytes, storages, options, findings));
  TensorCounter counter(rescue);
  return visit_listing(built.root, limits.visited_nodes, counter);
}

}  // namespace

std::optional<Rescue> find_whole_parts(const std::shared_ptr<const Source>& source, const Limits& limits) {
  const ByteSpan file = source->mapping();
  if (!as_text(file).starts_with(kRecordMark)) return std::nullopt;
  Rescue rescue;
  const std::vector<FoundRecord> found = find_parts(file, limits);
  std::map<std::string, const FoundRecord*> parts;
  const FoundRecord* pickle = nullptr;
  for (const FoundRecord& part : found) {
    // Compressed ones are neither: nothing was inflated.
    if (part.fits) ++rescue.records;
    if (part.is_stored && !part.fits) ++rescue.bad_records;
    parts.try_emplace(part.name, &part);
    if (pickle == nullptr && part.fits && (part.name == "data.pkl" || part.name.ends_with("/data.pkl"))) pickle = &part;
  }
  if (pickle != nullptr) {
    Rescue with_tensors = rescue;
    if (count_tensors(source, *pickle, parts, limits, with_tensors)) {
      rescue = with_tensors;
      rescue.has_values = true;
    }
  }
  return rescue;
}

}  // namespace rushlight::open
