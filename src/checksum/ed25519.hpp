// Ed25519 (RFC 8032), through OpenSSL, with keys as `openssl genpkey -algorithm ed25519` writes them.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"

namespace rushlight::checksum {

using Ed25519PublicKey = std::array<std::byte, 32>;
using Ed25519Signature = std::array<std::byte, 64>;

// The seed, which is the private key; wiped when it goes.
class Ed25519PrivateKey {
 public:
  explicit Ed25519PrivateKey(const std::array<std::byte, 32>& seed) noexcept : seed_(seed) {}
  Ed25519PrivateKey(const Ed25519PrivateKey&) = delete;
  Ed25519PrivateKey(Ed25519PrivateKey&& other) noexcept;
  Ed25519PrivateKey& operator=(const Ed25519PrivateKey&) = delete;
  Ed25519PrivateKey& operator=(Ed25519PrivateKey&&) = delete;
  ~Ed25519PrivateKey();

  [[nodiscard]] const std::array<std::byte, 32>& seed() const noexcept { return seed_; }

 private:
  std::array<std::byte, 32> seed_;
};

// False in builds without OpenSSL.
[[nodiscard]] bool ed25519_available() noexcept;

// PKCS#8 PEM ("BEGIN PRIVATE KEY"), without a pass phrase. SIG-KEY.
Result<Ed25519PrivateKey> ed25519_private_key(std::string_view pem);
// SubjectPublicKeyInfo PEM ("BEGIN PUBLIC KEY"). SIG-KEY, also for the points of small order, under which signatures
// exist that fit every message.
Result<Ed25519PublicKey> ed25519_public_key(std::string_view pem);
// The points of small order, in every spelling.
[[nodiscard]] bool has_small_order(const Ed25519PublicKey& key) noexcept;

Result<Ed25519PublicKey> ed25519_public_key(const Ed25519PrivateKey& key);
Result<Ed25519Signature> ed25519_sign(const Ed25519PrivateKey& key, ByteSpan message);
// True when it fits. An S that is not reduced, and a key of small order, never fit. An Error: nothing was checked.
Result<bool> ed25519_verify(const Ed25519PublicKey& key, ByteSpan message, const Ed25519Signature& signature);

}  // namespace rushlight::checksum
