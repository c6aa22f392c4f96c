#include "tensor/byte_order.hpp"

#include <cassert>
#include <cstring>

#include "base/bytes.hpp"

namespace rushlight {
namespace {

template <class Word>
void swap_words(std::span<std::byte> bytes) noexcept {
  for (; bytes.size() >= sizeof(Word); bytes = bytes.subspan(sizeof(Word))) {
    Word word;
    std::memcpy(&word, bytes.data(), sizeof word);
    word = byte_swapped(word);
    std::memcpy(bytes.data(), &word, sizeof word);
  }
}

}  // namespace

std::uint32_t swap_unit(DType dtype) noexcept {
  return info(dtype).kind == DTypeKind::complex ? size_bytes(dtype) / 2 : size_bytes(dtype);
}

void swap_units(std::span<std::byte> bytes, std::uint32_t unit) noexcept {
  assert(unit == 1 || unit == 2 || unit == 4 || unit == 8);
  if (unit == 2) swap_words<std::uint16_t>(bytes);
  if (unit == 4) swap_words<std::uint32_t>(bytes);
  if (unit == 8) swap_words<std::uint64_t>(bytes);
}

}  // namespace rushlight
