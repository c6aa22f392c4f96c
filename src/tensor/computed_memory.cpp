#include "tensor/computed_memory.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "tensor/byte_order.hpp"
#include "tensor/element_cast.hpp"

namespace rushlight {
namespace {

// A multiple of every element. Large enough that a piece costs little, small enough to stay in a cache.
constexpr std::uint64_t kComputedBytes = std::uint64_t{256} << 10;

class SwappedMemory final : public ComputedMemory {
 public:
  SwappedMemory(std::shared_ptr<Memory> memory, std::uint32_t unit_bytes) noexcept
      : ComputedMemory(std::move(memory)), unit_bytes_(unit_bytes) {}

  // The elements are those of the file: where they lie, and what vouches for them, is as it was.
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return original().size_bytes(); }
  [[nodiscard]] Device device() const noexcept override { return original().device(); }
  [[nodiscard]] std::string_view record() const noexcept override { return original().record(); }
  [[nodiscard]] std::optional<FilePlace> place() const override { return original().place(); }
  [[nodiscard]] Integrity integrity() const noexcept override { return original().integrity(); }
  [[nodiscard]] Status make(std::uint64_t offset, std::span<std::byte> out) override {
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan from, original().bytes());
    if (out.empty()) return {};
    std::memcpy(out.data(), from.data() + offset, out.size());
    swap_units(out, unit_bytes_);
    return {};
  }

 private:
  std::uint32_t unit_bytes_;
};

class CastMemory final : public ComputedMemory {
 public:
  CastMemory(std::shared_ptr<Memory> memory, const ElementCast& cast) noexcept
      : ComputedMemory(std::move(memory)), cast_(cast) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override {
    return original().size_bytes() / cast_.from_bytes() * cast_.to_bytes();
  }
  [[nodiscard]] Status make(std::uint64_t offset, std::span<std::byte> out) override {
    assert(offset % cast_.to_bytes() == 0 && out.size() % cast_.to_bytes() == 0);
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan from, original().bytes());
    const auto first = static_cast<std::size_t>(offset) / cast_.to_bytes();
    if (!out.empty()) cast_.run(from.data() + first * cast_.from_bytes(), out.size() / cast_.to_bytes(), out.data());
    return {};
  }
  // New elements, which are nobody's file.
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() override { return held(); }

 private:
  ElementCast cast_;
};

}  // namespace

Result<std::span<std::byte>> ComputedMemory::make_all() {
  RUSHLIGHT_TRY(make(0, {}));  // nothing is allocated for what cannot be read
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> copy, make_host_memory(size_bytes()));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> target, copy->mutable_bytes());
  RUSHLIGHT_TRY(make(0, target));
  copy_ = std::move(copy);
  is_held_.store(true, std::memory_order_release);
  return target;
}

const Result<std::span<std::byte>>& ComputedMemory::held() {
  std::call_once(once_, [this] { answer_ = make_all(); });
  return *answer_;
}

Result<ByteSpan> ComputedMemory::bytes() {
  const Result<std::span<std::byte>>& all = held();
  if (!all) return all.error();
  return ByteSpan(*all);
}

Status ComputedMemory::compute(std::uint64_t offset, std::span<std::byte> out) {
  return is_computed() ? make(offset, out) : Memory::compute(offset, out);
}

std::shared_ptr<Memory> make_swapped_memory(std::shared_ptr<Memory> original, std::uint32_t unit_bytes) {
  return std::make_shared<SwappedMemory>(std::move(original), unit_bytes);
}

Result<std::shared_ptr<Memory>> make_cast_memory(std::shared_ptr<Memory> original, DType from, DType to) {
  RUSHLIGHT_TRY_ASSIGN(const ElementCast cast, ElementCast::find(from, to));
  return std::static_pointer_cast<Memory>(std::make_shared<CastMemory>(std::move(original), cast));
}

Status each_piece(Memory& memory, const std::function<Status(ByteSpan piece)>& take) {
  if (!memory.is_computed()) {
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan all, memory.bytes());
    return take(all);
  }
  RUSHLIGHT_TRY(memory.compute(0, {}));
  const std::uint64_t size = memory.size_bytes();
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min(kComputedBytes, size)));
  for (std::uint64_t done = 0; done < size; done += piece.size()) {
    const std::span<std::byte> out =
        std::span(piece).first(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), size - done)));
    RUSHLIGHT_TRY(memory.compute(done, out));
    RUSHLIGHT_TRY(take(out));
  }
  return {};
}

}  // namespace rushlight
