// Writes a pickle and its storages as torch.save's archive: the writing side of zip_container.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/seal.hpp"
#include "checkpoint/unbuild_value.hpp"
#include "checkpoint/zip_layout.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "zip/archive.hpp"
#include "zip/writer.hpp"

namespace rushlight::checkpoint {

class ArchiveWriter {
 public:
  struct Options {
    bool deflate = false;
    ManifestLevel manifest = ManifestLevel::none;
    std::vector<ManifestTensor> tensors{};  // for the manifest
    Progress* progress = nullptr;
  };

  // All must outlive it; `from` is what records of the layout are copied from, where there are any.
  ArchiveWriter(const UnbuiltValue& value, const ZipLayout& layout, const zip::Archive* from, Options options);

  // How large the file becomes; 0 where deflated records leave that open.
  [[nodiscard]] Result<std::uint64_t> size_bytes() const;
  // Once. Each storage is read, and so checked, when its turn comes.
  Status write(Sink& sink);

 private:
  // One record of the archive, in file order.
  struct Record {
    std::string name;  // in full
    std::uint64_t size_bytes = 0;
    enum class Kind : std::uint8_t { text, pickle, storage, copied, serialization_id } kind = Kind::text;
    std::size_t index = 0;  // into the layout's records, or the value's storages
  };

  void list_records();
  Status write_sealed(Sink& sink);
  // Where the manifest stands: before the records at the end that say the version and the serialization id.
  [[nodiscard]] std::size_t first_of_tail() const;
  TailRecord tail_record(const Record& record);
  [[nodiscard]] std::string serialization_id() const;
  [[nodiscard]] std::string_view short_name(const Record& record) const;
  Status write_record(zip::Writer& writer, const Record& record);
  Status write_storage(zip::Writer& writer, const Record& record);
  Status write_computed(zip::Writer& writer, const Record& record, Memory& memory);
  Status write_bytes(zip::Writer& writer, const Record& record, ByteSpan bytes);
  Status write_piece(zip::Writer& writer, const Record& record, ByteSpan piece);
  Status finish(const Record& record, const zip::WrittenRecord& written);
  // So many more bytes of storages were written.
  Status report(std::uint64_t more_bytes);
  void remember(std::uint64_t size_bytes, std::uint32_t crc, std::string_view name);

  const UnbuiltValue& value_;
  const ZipLayout& layout_;
  const zip::Archive* from_;
  Options options_;
  SealingSink* sealing_ = nullptr;  // while there is a manifest to be written
  std::vector<Record> records_;
  std::uint64_t total_bytes_ = 0;  // of storages
  std::uint64_t done_bytes_ = 0;
  std::uint64_t names_hash_ = 0;  // the two halves of the serialization id
  std::uint64_t crcs_hash_ = 0;
  std::uint32_t last_crc_ = 0;  // of the record written last
};

}  // namespace rushlight::checkpoint
