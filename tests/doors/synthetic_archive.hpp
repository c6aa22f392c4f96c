// Whole-module pickles without their storages (architectures/README.md of the test data): an archive around one, whose
// weights are generated when they are read, so that nothing big is stored or held.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "rushlight/source.hpp"

namespace rushlight::test {

// Element i of the tensor called `name` is base + scale * r(name, i), r in [0, 1).
inline std::uint64_t synthetic_seed(std::string_view name) noexcept {
  std::uint64_t seed = 0xCBF29CE484222325u;
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return seed;
}
inline float synthetic_value(std::uint64_t seed, std::uint64_t index, double base, double scale) noexcept {
  std::uint64_t z = seed + index + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<float>(base + scale * (static_cast<double>(z >> 40) * 0x1p-24));
}

// A storage of an archive: generated floats, or bytes.
struct SyntheticStorage {
  std::uint64_t size_bytes = 0;
  std::string name{};
  double base = 0;
  double scale = 0;
  std::vector<std::byte> bytes{};  // instead, if there are any
};

class SyntheticArchive final : public Source {
 public:
  SyntheticArchive() {
    add_bytes("archive/version", "3\n");
    add_bytes("archive/byteorder", "little");
  }
  void add_bytes(const std::string& name, std::string_view text) {
    SyntheticStorage stored{.size_bytes = text.size()};
    for (const char c : text) stored.bytes.push_back(static_cast<std::byte>(c));
    add(name, std::move(stored));
  }
  void add_storage(const std::string& key, SyntheticStorage storage) { add("archive/data/" + key, std::move(storage)); }
  // Nothing is added afterwards.
  std::shared_ptr<const SyntheticArchive> finish() && {
    const std::uint64_t directory = size_;
    std::vector<std::byte> bytes;
    for (const Record& record : records_) {
      put(bytes, std::uint32_t{0x02014B50});
      put(bytes, std::uint32_t{0});
      put_common(bytes, record);
      for (int i = 0; i < 3; ++i) put(bytes, std::uint16_t{0});
      put(bytes, std::uint32_t{0});
      put(bytes, static_cast<std::uint32_t>(record.offset));
      put_text(bytes, record.name);
    }
    const auto directory_bytes = static_cast<std::uint32_t>(bytes.size());
    put(bytes, std::uint32_t{0x06054B50});
    put(bytes, std::uint32_t{0});
    put(bytes, static_cast<std::uint16_t>(records_.size()));
    put(bytes, static_cast<std::uint16_t>(records_.size()));
    put(bytes, directory_bytes);
    put(bytes, static_cast<std::uint32_t>(directory));
    put(bytes, std::uint16_t{0});
    pieces_.push_back({size_, {.size_bytes = bytes.size(), .bytes = bytes}});
    size_ += bytes.size();
    return std::make_shared<const SyntheticArchive>(std::move(*this));
  }

  SyntheticArchive(SyntheticArchive&& other) noexcept
      : records_(std::move(other.records_)), pieces_(std::move(other.pieces_)), size_(other.size_) {}
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_; }
  [[nodiscard]] std::string_view name() const noexcept override { return "synthetic.pt"; }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), offset,
                                  [](std::uint64_t at, const Piece& other) { return at < other.offset; });
    --piece;
    while (!out.empty()) {
      const std::uint64_t from = offset - piece->offset;
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), piece->storage.size_bytes - from));
      fill(piece->storage, from, out.first(count));
      out = out.subspan(count);
      offset += count;
      ++piece;
    }
    return {};
  }

 private:
  struct Record {
    std::string name;
    std::uint64_t offset;
    std::uint32_t size_bytes;
  };
  struct Piece {
    std::uint64_t offset;
    SyntheticStorage storage;
  };

  template <class T>
  static void put(std::vector<std::byte>& bytes, T value) {
    bytes.resize(bytes.size() + sizeof value);
    store_le(bytes.data() + bytes.size() - sizeof value, value);
  }
  static void put_text(std::vector<std::byte>& bytes, std::string_view text) {
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  }
  // What local headers and the directory have alike, from the flags to the length of the extra field.
  static void put_common(std::vector<std::byte>& bytes, const Record& record) {
    put(bytes, std::uint16_t{0x0800});
    put(bytes, std::uint16_t{0});
    put(bytes, std::uint32_t{0});
    put(bytes, std::uint32_t{0});  // CRC-32: not computed
    put(bytes, record.size_bytes);
    put(bytes, record.size_bytes);
    put(bytes, static_cast<std::uint16_t>(record.name.size()));
    put(bytes, std::uint16_t{0});
  }
  void add(const std::string& name, SyntheticStorage storage) {
    Record record{name, size_, static_cast<std::uint32_t>(storage.size_bytes)};
    std::vector<std::byte> header;
    put(header, std::uint32_t{0x04034B50});
    put(header, std::uint16_t{0});
    put_common(header, record);
    put_text(header, name);
    pieces_.push_back({size_, {.size_bytes = header.size(), .bytes = header}});
    size_ += header.size();
    if (storage.size_bytes > 0) pieces_.push_back({size_, storage});
    size_ += storage.size_bytes;
    records_.push_back(std::move(record));
  }
  static void fill(const SyntheticStorage& storage, std::uint64_t from, std::span<std::byte> out) {
    if (!storage.bytes.empty()) {
      std::memcpy(out.data(), storage.bytes.data() + from, out.size());
      return;
    }
    const std::uint64_t seed = synthetic_seed(storage.name);
    while (!out.empty()) {
      const float value = synthetic_value(seed, from / 4, storage.base, storage.scale);
      const std::size_t skip = from % 4;
      const std::size_t count = std::min<std::size_t>(4 - skip, out.size());
      std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&value) + skip, count);
      out = out.subspan(count);
      from += count;
    }
  }

  std::vector<Record> records_;
  std::vector<Piece> pieces_;
  std::uint64_t size_ = 0;
};

}  // namespace rushlight::test
