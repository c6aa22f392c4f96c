// A tensor that lies in chunks, put together when it is first read.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/dcp_metadata.hpp"
#include "open/opened.hpp"
#include "tensor/memory.hpp"

namespace rushlight::open {

// What all tensors of one distributed checkpoint share.
struct DcpFiles {
  std::vector<Part> parts;                 // by item
  std::vector<checkpoint::DcpItem> items;  // their names
  LoadOptions options;                     // of chunks: on the CPU, wherever they were
};

// A file of torch.save within a `.distcp` file: its values, findings and names. `opened` is filled as far as it gets.
Status open_item(const DcpFiles& files, std::size_t item, const LoadOptions& options, Opened& opened);

// A chunk's tensor as its item has it: of the dtype and the shape that the metadata says. Reads no element.
Result<Tensor> open_chunk(const DcpFiles& files, const checkpoint::DcpEntry& entry, const checkpoint::DcpChunk& chunk,
                          const LoadOptions& options);

class DcpMemory final : public Memory {
 public:
  // `entry` is a tensor whose chunks cover it (checkpoint/dcp_metadata.hpp).
  DcpMemory(std::shared_ptr<const DcpFiles> files, checkpoint::DcpEntry entry);

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] std::string_view record() const noexcept override { return record_; }
  [[nodiscard]] Integrity integrity() const noexcept override { return integrity_.load(std::memory_order_acquire); }
  // The bytes of the chunk itself where there is one and it lies as it should.
  [[nodiscard]] Result<ByteSpan> bytes() override;

 private:
  struct Chunk {
    Storage stored;  // as the item has it: its checksum is that of the chunk
    Tensor dense;
  };
  [[nodiscard]] Result<ByteSpan> load();
  [[nodiscard]] Result<Chunk> load_chunk(const checkpoint::DcpChunk& chunk);
  void note(Integrity integrity) noexcept;

  std::shared_ptr<const DcpFiles> files_;
  checkpoint::DcpEntry entry_;
  std::uint64_t size_bytes_;
  std::string record_;
  std::atomic<Integrity> integrity_{Integrity::not_checked};
  std::optional<Tensor> chunk_;             // whose bytes are handed out as they are
  std::shared_ptr<Memory> whole_;           // or where they were put together
  std::optional<Result<ByteSpan>> answer_;  // written once, under once_
  std::once_flag once_;
};

}  // namespace rushlight::open
