// XXH3-128 through the dispatched entry points: the plain ones are compiled for the baseline and eight times slower.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "base/bytes.hpp"

namespace rushlight::checksum {

// Canonical (big-endian) form, as xxhsum prints it.
using Xxh3Digest = std::array<std::byte, 16>;

[[nodiscard]] Xxh3Digest xxh3_128(ByteSpan bytes) noexcept;

// Piecewise.
class Xxh3Stream {
 public:
  Xxh3Stream();
  Xxh3Stream(Xxh3Stream&&) noexcept;
  Xxh3Stream& operator=(Xxh3Stream&&) noexcept;
  ~Xxh3Stream();
  void update(ByteSpan bytes) noexcept;
  [[nodiscard]] Xxh3Digest digest() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "dispatched" or "plain": for bench, and for the test that keeps the slow one out.
[[nodiscard]] const char* xxh3_implementation() noexcept;

// Lower case, as sha256sum and xxhsum print.
[[nodiscard]] std::string to_hex(ByteSpan bytes);

}  // namespace rushlight::checksum
