#include "value/big_integer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace rushlight {
namespace {

unsigned byte_at(std::string_view bytes, std::size_t i) noexcept {
  return static_cast<unsigned char>(bytes[i]);
}

bool is_negative(std::string_view bytes) noexcept {
  return !bytes.empty() && (byte_at(bytes, bytes.size() - 1) & 0x80U) != 0;
}

constexpr std::size_t limbs_of(std::size_t bytes) noexcept {
  return (bytes + 3) / 4;
}

// The magnitude in limbs of 32 bits, least significant first. `limbs` are limbs_of(bytes.size()) zeros; gives how many
// there are without zeros at the top.
std::size_t magnitude(std::string_view bytes, std::span<std::uint32_t> limbs) noexcept {
  const bool negative = is_negative(bytes);
  unsigned carry = negative ? 1 : 0;  // -x is ~x + 1
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned byte = (negative ? ~byte_at(bytes, i) & 0xFFU : byte_at(bytes, i)) + carry;
    carry = byte >> 8;
    limbs[i / 4] |= (byte & 0xFFU) << (8 * (i % 4));
  }
  // Only -2^(8n-1) carries into its top bit, and that is in range.
  std::size_t count = limbs_of(bytes.size());
  while (count > 0 && limbs[count - 1] == 0) --count;
  return count;
}

}  // namespace

std::string_view shortest_twos_complement(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const unsigned top = byte_at(bytes, bytes.size() - 1);
    const bool below_is_negative = bytes.size() > 1 && (byte_at(bytes, bytes.size() - 2) & 0x80U) != 0;
    if (top == 0 ? below_is_negative : !(top == 0xFF && below_is_negative)) break;
    bytes.remove_suffix(1);
  }
  return bytes;
}

std::optional<std::int64_t> to_int64(std::string_view twos_complement) noexcept {
  const std::string_view bytes = shortest_twos_complement(twos_complement);
  if (bytes.size() > 8) return std::nullopt;
  std::uint64_t value = is_negative(bytes) ? ~std::uint64_t{0} : 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | byte_at(bytes, i);
  return static_cast<std::int64_t>(value);
}

std::string to_decimal(std::string_view twos_complement) {
  constexpr std::uint32_t kNineDigits = 1'000'000'000;
  std::vector<std::uint32_t> limbs(limbs_of(twos_complement.size()), 0);
  limbs.resize(magnitude(twos_complement, limbs));
  if (limbs.empty()) return "0";
  std::string reversed;
  while (!limbs.empty()) {
    std::uint64_t rest = 0;
    for (std::size_t i = limbs.size(); i-- > 0;) {
      const std::uint64_t value = rest << 32 | limbs[i];
      limbs[i] = static_cast<std::uint32_t>(value / kNineDigits);
      rest = value % kNineDigits;
    }
    while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
    for (int digit = 0; digit < 9; ++digit) {
      reversed += static_cast<char>('0' + rest % 10);
      rest /= 10;
    }
  }
  while (reversed.size() > 1 && reversed.back() == '0') reversed.pop_back();
  if (is_negative(twos_complement)) reversed += '-';
  std::reverse(reversed.begin(), reversed.end());
  return reversed;
}

std::optional<double> to_double(std::string_view twos_complement) noexcept {
  twos_complement = shortest_twos_complement(twos_complement);
  constexpr std::size_t kMostBytes = 1024 / 8 + 1;  // with the sign
  if (twos_complement.size() > kMostBytes) return std::nullopt;
  std::array<std::uint32_t, limbs_of(kMostBytes)> buffer{};
  const std::span<const std::uint32_t> limbs(buffer.data(), magnitude(twos_complement, buffer));
  if (limbs.empty()) return 0.0;
  const auto bits = static_cast<std::int64_t>(32 * limbs.size()) - std::countl_zero(limbs.back());
  if (bits > 1024) return std::nullopt;
  // The top 64 bits; whatever lies below only matters when it decides a tie, so one bit stands for all of it.
  const std::int64_t shift = bits - 64;
  std::uint64_t top = 0;
  bool sticky = false;
  for (std::int64_t i = 0; i < bits; ++i) {
    const bool bit = (limbs[static_cast<std::size_t>(i / 32)] >> (i % 32) & 1U) != 0;
    if (i < shift) {
      sticky = sticky || bit;
    } else if (bit) {
      top |= std::uint64_t{1} << (i - std::max<std::int64_t>(shift, 0));
    }
  }
  if (sticky) top |= 1;
  const double value = std::ldexp(static_cast<double>(top), static_cast<int>(std::max<std::int64_t>(shift, 0)));
  if (std::isinf(value)) return std::nullopt;
  return is_negative(twos_complement) ? -value : value;
}

}  // namespace rushlight
