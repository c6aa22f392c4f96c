// The bytes of a part of a file that carries no checksum for them: legacy torch files, tar members, safetensors, GGUF.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rushlight/source.hpp"
#include "tensor/memory.hpp"

namespace rushlight {

// Read when it is first asked for; without a copy where the source is mapped, the part begins at a multiple of 16 and
// nothing is swapped.
class FileMemory final : public Memory {
 public:
  // [offset, offset + size_bytes) must lie within the source. `record` names the part, for listings; an error names it
  // and the file. `swap_unit` (tensor/byte_order.hpp) is for elements of the other byte order; 1 leaves them.
  FileMemory(std::shared_ptr<const Source> source, std::uint64_t offset, std::uint64_t size_bytes,
             std::string recorded_device = "cpu", std::string record = {}, std::uint32_t swap_unit = 1) noexcept
      : source_(std::move(source)),
        offset_(offset),
        size_bytes_(size_bytes),
        recorded_device_(std::move(recorded_device)),
        record_(std::move(record)),
        swap_unit_(swap_unit) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return recorded_device_; }
  [[nodiscard]] std::string_view record() const noexcept override { return record_; }
  [[nodiscard]] std::optional<FilePlace> place() const override { return FilePlace{source_->name(), offset_}; }
  [[nodiscard]] Result<ByteSpan> bytes() override;

 private:
  [[nodiscard]] Result<ByteSpan> load();

  std::shared_ptr<const Source> source_;
  std::uint64_t offset_;
  std::uint64_t size_bytes_;
  std::string recorded_device_;
  std::string record_;
  std::uint32_t swap_unit_;
  std::shared_ptr<Memory> copy_;            // where the mapping could not be handed out
  std::optional<Result<ByteSpan>> answer_;  // written once, under once_
  std::once_flag once_;
};

}  // namespace rushlight
