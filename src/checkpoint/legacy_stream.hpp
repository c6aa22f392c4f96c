// The container of torch.save from 0.1.10 to 1.5, and since then on request: five pickles in a row, then the storages.
// Source: torch/serialization.py (_legacy_save, _legacy_load), format-spec/06-legacy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/storage_provider.hpp"
#include "checkpoint/stream_pickle.hpp"
#include "rushlight/checkpoint.hpp"
#include "value/hash_index.hpp"

namespace rushlight::checkpoint {

class LegacyStream final : public StorageProvider {
 public:
  // Reads the five pickles and finds where each storage lies, by its element count alone: no data is read. The stream
  // begins at `offset` of the source. Of the options, limits. `findings` gets what is odd.
  static Result<std::unique_ptr<LegacyStream>> open(std::shared_ptr<const Source> source, std::uint64_t offset,
                                                    std::string_view file, const LoadOptions& options,
                                                    std::vector<Finding>& findings);

  // The same of a file that may end before the last storage, or in it: memory() of what is not there says so.
  static Result<std::unique_ptr<LegacyStream>> open_cut(std::shared_ptr<const Source> source, std::string_view file,
                                                        const LoadOptions& options, std::vector<Finding>& findings);

  // Whether a stream's first pickle is the magic number, however it is spelt: torch compares the integer.
  [[nodiscard]] static bool is_magic(const pickle::Pickle& pickle);
  // A stream that holds a storage and nothing else: how pickle.dump() writes storages.
  struct NestedStorage {
    Storage storage;
    DType dtype;
  };
  static Result<NestedStorage> read_storage(std::shared_ptr<const Source> source, const LoadOptions& options,
                                            int file_depth);

  // The fourth of the pickles: the object that was saved.
  [[nodiscard]] const StreamPickle& object() const noexcept { return object_; }
  // Names in the four small pickles: there should be none.
  [[nodiscard]] const std::vector<GlobalUse>& other_globals() const noexcept { return other_globals_; }
  // One past the last storage, in the source.
  [[nodiscard]] std::uint64_t end() const noexcept { return end_; }

  [[nodiscard]] PersistentIds persistent_ids() const noexcept override { return PersistentIds::legacy; }
  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override;

 private:
  // What the persistent ids say about a key, and where its elements lie.
  struct Place {
    std::string_view key;  // in the object's pickle
    std::uint64_t numel = 0;
    std::uint32_t unit_bytes = 0;  // 0: of a class that is not known here
    std::uint64_t id_offset = 0;   // of the persistent id, in the pickle
    std::uint64_t data_offset = 0;
    bool is_listed = false;
    std::optional<Error> lost{};  // of open_cut(): why its bytes are not there
  };

  LegacyStream(std::shared_ptr<const Source> source, std::string_view file) : source_(std::move(source)), file_(file) {}

  // From an offset to the end of the file.
  [[nodiscard]] StreamPart part(std::uint64_t offset, std::string_view name) const {
    return {offset, source_->size_bytes(), name};
  }
  Status read(std::uint64_t offset, const LoadOptions& options, std::vector<Finding>& findings);
  Status read_head(std::uint64_t& offset, const LoadOptions& options);
  void collect_places();
  [[nodiscard]] Place* find(std::string_view key);
  Status locate_storages(const pickle::Pickle& keys, const PickleBytes& keys_bytes, const LoadOptions& options);
  void note_trailing(std::vector<Finding>& findings) const;
  [[nodiscard]] Error failure(Category category, std::string_view code, std::string message,
                              std::uint64_t offset) const;

  std::shared_ptr<const Source> source_;
  std::string file_;
  StreamPickle object_;
  std::vector<GlobalUse> other_globals_;
  std::uint64_t seed_ = random_seed();
  std::vector<Place> places_;
  HashIndex index_;
  std::uint64_t end_ = 0;
  bool may_be_cut_ = false;
};

}  // namespace rushlight::checkpoint
