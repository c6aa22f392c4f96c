// Bytes that lie in a pickle itself: the elements of NumPy arrays.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tensor/memory.hpp"

namespace rushlight::checkpoint {

class PickleMemory final : public Memory {
 public:
  // `owner` keeps `bytes` alive. `record` and `integrity` are those of the pickle.
  PickleMemory(std::shared_ptr<const void> owner, ByteSpan bytes, std::string record, Integrity integrity)
      : owner_(std::move(owner)), bytes_(bytes), record_(std::move(record)), integrity_(integrity) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  [[nodiscard]] std::string_view record() const noexcept override { return record_; }
  [[nodiscard]] Integrity integrity() const noexcept override { return integrity_; }
  // As they lie there, aligned or not.
  [[nodiscard]] ByteSpan unaligned() const noexcept { return bytes_; }
  // Pickles align nothing: the bytes are copied to where they are aligned, when they are first asked for.
  [[nodiscard]] Result<ByteSpan> bytes() override;

 private:
  [[nodiscard]] Result<ByteSpan> aligned();

  std::shared_ptr<const void> owner_;
  ByteSpan bytes_;
  std::string record_;
  Integrity integrity_;
  std::shared_ptr<Memory> copy_;
  std::optional<Result<ByteSpan>> answer_;
  std::once_flag once_;
};

}  // namespace rushlight::checkpoint
