// Memory: what a Storage owns. Host buffers, the caller's blobs, records of a file, device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "rushlight/device.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

// All members may be called from several threads at once.
class Memory {
 public:
  virtual ~Memory();
  [[nodiscard]] virtual std::uint64_t size_bytes() const noexcept = 0;
  [[nodiscard]] virtual Device device() const noexcept { return Device::cpu(); }
  [[nodiscard]] virtual std::string_view recorded_device() const noexcept { return "cpu"; }
  [[nodiscard]] virtual std::string_view record() const noexcept { return {}; }
  [[nodiscard]] virtual std::optional<FilePlace> place() const { return std::nullopt; }
  [[nodiscard]] virtual Integrity integrity() const noexcept { return Integrity::none; }

  // Host memory: exactly size_bytes() bytes, aligned to 16 (the caller's blobs: to what they are), stable for the life
  // of this object. The first call may read and check; later ones return the same answer, errors included.
  [[nodiscard]] virtual Result<ByteSpan> bytes() = 0;
  // For those who read all of it once and compute its CRC-32 on the way: the bytes before the check that bytes() makes,
  // valid as long as this object, and the CRC that they must have. nullopt where they are checked already, where there
  // is nothing to check, and where they do not lie in memory as they are.
  struct Unchecked {
    ByteSpan bytes;
    std::uint32_t crc = 0;
  };
  [[nodiscard]] virtual std::optional<Unchecked> unchecked_bytes() { return std::nullopt; }
  // Memory whose bytes are made from others, and take memory of their own once bytes() was called. Who reads all of
  // them once can take them piece by piece instead (each_piece() in tensor/computed_memory.hpp).
  [[nodiscard]] virtual bool is_computed() const noexcept { return false; }
  // The bytes [offset, offset + out.size()), which must be whole elements within it; those of computed memory are made
  // and not kept. Once it succeeded, for no bytes too, it succeeds always.
  [[nodiscard]] virtual Status compute(std::uint64_t offset, std::span<std::byte> out);
  // Memory that may be written; an invalid_argument error by default.
  [[nodiscard]] virtual Result<std::span<std::byte>> mutable_bytes();

 protected:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};

// Zero-filled, aligned to 64 bytes. ErrorCode::out_of_memory instead of std::bad_alloc.
Result<std::shared_ptr<Memory>> make_host_memory(std::uint64_t size_bytes);

// The caller's bytes. `deleter(data)`, where there is one, runs when the last handle goes.
std::shared_ptr<Memory> make_blob_memory(void* data, std::uint64_t size_bytes, std::function<void(void*)> deleter);

// Size without bytes, on Device::meta(): whatever the size, it costs nothing. bytes() is ErrorCode::device.
std::shared_ptr<Memory> make_meta_memory(std::uint64_t size_bytes);

// The bytes of another Memory on `device` (src/tensor/devices.cpp names every kind of memory).
Result<std::shared_ptr<Memory>> copy_to_device(Memory& source, Device device);

}  // namespace rushlight
