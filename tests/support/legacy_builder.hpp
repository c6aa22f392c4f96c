// Writes files as torch.save did before the zip format, right or wrong, for tests: the legacy stream of 0.1.10 to 1.5
// (five pickles, then the storages), and the tar archive of releases before.
//
//   LegacyFile file;
//   file.object.empty_dict().text("w");
//   legacy_tensor(file.object, {.storage_class = "FloatStorage", .key = "94", .numel = 6}, {2, 3});
//   file.object.setitem().stop();
//   file.add("94", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5}), 4);
//   Bytes bytes = file.build();
//
// Nothing is checked: a part may be replaced by whatever a test needs. Source: torch/serialization.py, _legacy_save and
// legacy_load.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/pickle_builder.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::test {

// ("storage", class, key, location, numel, view or None) as a persistent id.
struct LegacyStorageId {
  std::string_view storage_class = "FloatStorage";
  std::string_view key;
  std::int64_t numel = 0;
  struct View {
    std::string_view key;
    std::int64_t offset = 0;
    std::int64_t numel = 0;
  };
  std::optional<View> view{};
  std::string_view location = "cpu";
};
PickleBuilder& legacy_storage(PickleBuilder& pickle, const LegacyStorageId& id);
// A call of torch._utils._rebuild_tensor_v2 with C-order strides.
PickleBuilder& legacy_tensor(PickleBuilder& pickle, const LegacyStorageId& id, std::vector<std::int64_t> shape);
// (shape) and strides of a call that rebuilds a tensor, behind its storage: offset, size, stride, False, OrderedDict().
PickleBuilder& rest_of_tensor(PickleBuilder& pickle, const std::vector<std::int64_t>& shape);

class LegacyFile {
 public:
  // Of all five pickles. Protocols 0 and 1 have no opcode that says so.
  explicit LegacyFile(int protocol = 2);

  // The pickles, in file order. `object` begins with its protocol and is the caller's to go on with; `keys` is written
  // from the storages unless the caller puts something into it. The others are right.
  PickleBuilder magic, version, system, object, keys;
  Bytes trailing;

  // `numel` is what the file says in front of the data; by default what is there.
  LegacyFile& add(std::string key, Bytes data, std::uint32_t unit_bytes, std::optional<std::uint64_t> numel = {});

  [[nodiscard]] Bytes build();

  // Of the last build(), in the file.
  struct Places {
    std::uint64_t version = 0, system = 0, object = 0, keys = 0;
    std::vector<std::uint64_t> storages;  // their counts
    std::uint64_t end = 0;                // one past the last storage
  };
  [[nodiscard]] const Places& places() const { return places_; }

 private:
  struct Part {
    std::string key;
    Bytes data;
    std::uint64_t numel = 0;
  };
  int protocol_;
  std::vector<Part> storages_;
  Places places_;
};

// One member of a tar archive, as Python's tarfile writes it (ustar).
struct TarMember {
  std::string name;
  Bytes data{};
  char type = '0';
  std::optional<std::string> size_field{};  // instead of the octal size
  std::string link_name{};
};

class TarFile {
 public:
  TarFile& add(TarMember member);
  TarFile& add(std::string name, Bytes data) { return add({.name = std::move(name), .data = std::move(data)}); }
  // An extended header (pax) for the member that follows.
  TarFile& add_extended(std::string_view key, std::string_view value);
  [[nodiscard]] TarMember& member(std::string_view name);
  [[nodiscard]] Bytes build();
  // Of the last build(): the header of a member, in the file.
  [[nodiscard]] std::uint64_t header(std::string_view name) const;
  [[nodiscard]] std::uint64_t data(std::string_view name) const { return header(name) + 512; }

 private:
  std::vector<TarMember> members_;
  std::vector<std::uint64_t> headers_;
};

}  // namespace rushlight::test
