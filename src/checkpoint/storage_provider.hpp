// Where the storages of a checkpoint lie: records of a zip archive, the end of a legacy stream, members of a tar
// archive.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "rushlight/dtype.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"
#include "tensor/memory.hpp"

namespace rushlight::checkpoint {

// The forms of persistent ids (torch/serialization.py: _load, _legacy_load, and legacy_load inside the latter).
enum class PersistentIds : std::uint8_t {
  zip,      // ("storage", class, key, location, numel)
  script,   // TorchScript: the same, in torch 1.3 and 1.4 with None behind it
  package,  // torch.package: the same with a number as key; ("reduce_package", number, function, arguments ...)
  legacy,   // as zip, and a view or None behind it; ("module", class, source file, source text)
  tar,      // the decimal key of a tensor or storage as text; (class, source file, source text)
};

// One persistent id that names a storage.
struct StorageRequest {
  // torch up to 0.3 saved slices of storages: a window on the storage `key`, in its elements.
  struct View {
    std::string_view key;
    std::uint64_t offset = 0;
    std::uint64_t numel = 0;
  };

  std::string_view key;
  std::string_view location;
  std::uint64_t numel = 0;  // elements of dtype
  DType dtype = DType::u8;  // of the storage class; u8 when untyped
  bool untyped = false;
  std::optional<View> view{};
};

class StorageProvider {
 public:
  virtual ~StorageProvider() = default;

  [[nodiscard]] virtual PersistentIds persistent_ids() const noexcept { return PersistentIds::zip; }

  // The host memory of the storage with this key, which must hold exactly `size_bytes` bytes, the size of what is
  // requested. Nothing is read yet. Asked once a key. Errors are of Category::store; the caller adds the place in the
  // pickle.
  virtual Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) = 0;

  // PersistentIds::tar, and Meaning::tensor_id: the tensor or storage with a key. Errors as above.
  struct Keyed {
    std::optional<Tensor> tensor;
    std::optional<Storage> storage;
    DType dtype = DType::u8;  // of the storage's class
  };
  virtual Result<Keyed> keyed(std::string_view key);

  // Whether elements are stored in big-endian order.
  [[nodiscard]] virtual bool is_big_endian() const noexcept { return false; }

 protected:
  StorageProvider() = default;
  StorageProvider(const StorageProvider&) = default;
  StorageProvider& operator=(const StorageProvider&) = default;
};

}  // namespace rushlight::checkpoint
