// SHA-256 (FIPS 180-4), for digests that must also hold against intent. Needs OpenSSL in the build.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"

namespace rushlight::checksum {

using Sha256Digest = std::array<std::byte, 32>;

// False in builds without OpenSSL.
[[nodiscard]] bool sha256_available() noexcept;

// Piecewise: create, update any number of times, finish once.
class Sha256 {
 public:
  // ErrorCode::unsupported in builds without OpenSSL, or where its configuration forbids the algorithm.
  static Result<Sha256> create();

  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  // A failure of OpenSSL is kept and reported by finish().
  void update(ByteSpan bytes) noexcept;
  [[nodiscard]] Result<Sha256Digest> finish() &&;

 private:
  struct State;
  explicit Sha256(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Result<Sha256Digest> sha256(ByteSpan bytes);

}  // namespace rushlight::checksum
