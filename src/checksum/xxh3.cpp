#include "checksum/xxh3.hpp"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(RUSHLIGHT_HAS_XXH_DISPATCH)
#include <xxh_x86dispatch.h>
#endif

#include <cstring>

#include "base/hex_digits.hpp"

namespace rushlight::checksum {
namespace {

// The header above may make macros of the plain names; these two are never ambiguous.
XXH128_hash_t hash_128(const void* data, std::size_t size) noexcept {
#if defined(RUSHLIGHT_HAS_XXH_DISPATCH)
  return XXH3_128bits_dispatch(data, size);
#else
  return XXH3_128bits(data, size);
#endif
}

void update_128(XXH3_state_t* state, const void* data, std::size_t size) noexcept {
#if defined(RUSHLIGHT_HAS_XXH_DISPATCH)
  static_cast<void>(XXH3_128bits_update_dispatch(state, data, size));
#else
  static_cast<void>(XXH3_128bits_update(state, data, size));
#endif
}

Xxh3Digest canonical(XXH128_hash_t hash) noexcept {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, hash);
  Xxh3Digest digest;
  static_assert(sizeof bytes.digest == sizeof digest);
  std::memcpy(digest.data(), bytes.digest, sizeof digest);
  return digest;
}

}  // namespace

Xxh3Digest xxh3_128(ByteSpan bytes) noexcept {
  return canonical(hash_128(bytes.data(), bytes.size()));
}

struct Xxh3Stream::State {
  XXH3_state_t xxh;  // aligned to 64 bytes by its own declaration
};

Xxh3Stream::Xxh3Stream() : state_(std::make_unique<State>()) {
  // Fails only for a null state.
  static_cast<void>(XXH3_128bits_reset(&state_->xxh));
}
Xxh3Stream::Xxh3Stream(Xxh3Stream&&) noexcept = default;
Xxh3Stream& Xxh3Stream::operator=(Xxh3Stream&&) noexcept = default;
Xxh3Stream::~Xxh3Stream() = default;

void Xxh3Stream::update(ByteSpan bytes) noexcept {
  if (!bytes.empty()) update_128(&state_->xxh, bytes.data(), bytes.size());
}

Xxh3Digest Xxh3Stream::digest() const noexcept {
  return canonical(XXH3_128bits_digest(&state_->xxh));
}

const char* xxh3_implementation() noexcept {
#if defined(RUSHLIGHT_HAS_XXH_DISPATCH)
  return "dispatched";
#else
  return "plain";
#endif
}

std::string to_hex(ByteSpan bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kHexDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kHexDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

}  // namespace rushlight::checksum
