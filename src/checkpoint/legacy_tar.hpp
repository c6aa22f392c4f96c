// The container of torch.save up to 0.1.9: a tar archive of four members. Nothing is unpacked: members are read where
// they lie, by their exact names. Source: torch/serialization.py (legacy_load), format-spec/06-legacy.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/storage_provider.hpp"
#include "checkpoint/stream_pickle.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::checkpoint {

class LegacyTar final : public StorageProvider {
 public:
  // Reads the tables of storages and tensors, and the pickle; no data of storages. Of the options: limits,
  // map_location.
  static Result<std::unique_ptr<LegacyTar>> open(std::shared_ptr<const Source> source, std::string_view file,
                                                 const LoadOptions& options);

  [[nodiscard]] const StreamPickle& object() const noexcept { return object_; }

  [[nodiscard]] PersistentIds persistent_ids() const noexcept override { return PersistentIds::tar; }
  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override;
  Result<Keyed> keyed(std::string_view key) override;

 private:
  LegacyTar(std::shared_ptr<const Source> source, std::string_view file) : source_(std::move(source)), file_(file) {}

  // By name, where a member with data has it; the last one counts, as in Python.
  using Members = std::map<std::string, StreamPart, std::less<>>;
  Result<Members> list_members() const;

  Status read_storages(StreamPart member, const LoadOptions& options);
  Status read_storage(StreamPart& rest, const LoadOptions& options);
  Status read_views(StreamPart& rest, const LoadOptions& options);
  Status read_tensors(StreamPart member, const LoadOptions& options);
  Status read_tensor(StreamPart& rest, const LoadOptions& options);

  // The pickle at the beginning of what is left of a member, which then begins behind it.
  Result<StreamPickle> next_pickle(StreamPart& rest, const LoadOptions& options) const;
  // How many entries a table has, by its first pickle; each takes a byte at least.
  Result<std::uint64_t> read_count(StreamPart& rest, std::string_view what, const LoadOptions& options) const;
  Status read(StreamPart& rest, std::span<std::byte> out) const;
  [[nodiscard]] Error failure(Category category, std::string_view code, std::string message,
                              std::uint64_t offset) const;
  [[nodiscard]] Error wrong_entry(const StreamPickle& entry, std::string_view what) const;

  std::shared_ptr<const Source> source_;
  std::string file_;
  StreamPickle object_;
  std::map<std::int64_t, Keyed> objects_;  // storages and tensors share one numbering
};

}  // namespace rushlight::checkpoint
