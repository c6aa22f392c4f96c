// torch.package: any number of pickles, by the names that the program gave them.
// Source: torch/package/package_exporter.py, package_importer.py.
#include <array>
#include <cassert>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/archive_reading.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight::checkpoint {
namespace {

// save_pickle() writes protocol 3, or 4 on request; save_text() and save_binary() write anything. What the record
// begins and ends with counts, whatever its name is. A record called .pkl is a pickle even where damage hides that.
bool is_pickle(ArchiveReading& reading, const zip::Entry& entry) {
  if (entry.is_directory() || entry.name.ends_with(".py")) return false;
  if (entry.name.ends_with(".pkl")) return true;
  if (entry.size_bytes < 4 || entry.size_bytes > reading.options.limits.pickle_bytes) return false;
  const Result<zip::RecordBytes> record = reading.container.context().archive->read(entry, entry.size_bytes);
  if (!record) return false;  // verify() says why
  const ByteSpan bytes = record->span();
  return bytes[0] == std::byte{0x80} && (bytes[1] == std::byte{3} || bytes[1] == std::byte{4}) &&
         bytes.back() == std::byte{'.'};
}

// ".data/N.storage". The number is text or a number, with the suffix or without, by release.
class PackageStorages final : public StorageProvider {
 public:
  explicit PackageStorages(ZipContainer& container) noexcept : container_(container) {}

  [[nodiscard]] PersistentIds persistent_ids() const noexcept override { return PersistentIds::package; }
  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override {
    constexpr std::array<std::string_view, 1> kFolders = {".data/"};
    StorageRequest record = request;
    std::string key(request.key);
    if (!key.ends_with(".storage")) key += ".storage";
    record.key = key;
    return container_.memory_in(kFolders, record, size_bytes);
  }
  [[nodiscard]] bool is_big_endian() const noexcept override { return container_.is_big_endian(); }

 private:
  ZipContainer& container_;
};

}  // namespace

Result<Value> read_package(ArchiveReading& reading) {
  ZipContainer& container = reading.container;
  const RecordContext& context = container.context();
  PackageStorages storages(container);
  struct Found {
    std::string_view name;
    Value value;
  };
  std::vector<Found> found;
  for (const zip::Entry& entry : context.archive->entries()) {
    const std::string_view name = container.short_name(entry);
    if (!entry.name.starts_with(context.root) || name.starts_with(".data/") || name == "byteorder") continue;
    if (!is_pickle(reading, entry)) continue;
    RUSHLIGHT_TRY_ASSIGN(Value value, read_pickle_record(reading, entry, storages));
    found.push_back({name, std::move(value)});
  }
  // Resources and code are the program's own; of `.data` only the storages are to be accounted for.
  for (const zip::Entry& entry : context.archive->entries()) {
    if (!container.short_name(entry).starts_with(".data/")) container.mark_used(entry);
  }
  container.mark_used_below(".data/extern_modules");
  container.mark_used_below(".data/python_version");
  container.mark_used_below(".data/ts_code/");
  if (found.empty()) {
    return with_file(Error::of({.category = Category::unsup,
                                .code = "PACKAGE-NO-PICKLE",
                                .message = "the torch.package archive holds no pickle, so no weights",
                                .hint = "it holds code: import it with torch.package"}),
                     context.file);
  }
  if (found.size() == 1) return std::move(found.front().value);
  // Several objects: by the names of their records.
  ValueGraphBuilder builder;
  Grafter grafter;
  const NodeId root = builder.dict();
  for (const Found& item : found) {
    const NodeId value = grafter.graft(builder, item.value);
    [[maybe_unused]] const bool hashable = builder.set_item(root, builder.string(item.name), value);
    assert(hashable);
  }
  return Value(std::move(builder).finish(), root);
}

}  // namespace rushlight::checkpoint
