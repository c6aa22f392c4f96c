#include "checksum/sha256.hpp"

#include <utility>

#include "base/fail.hpp"

#if defined(RUSHLIGHT_USE_OPENSSL)
#include <openssl/evp.h>

#include "checksum/openssl_failure.hpp"
#endif

namespace rushlight::checksum {

#if defined(RUSHLIGHT_USE_OPENSSL)

struct Sha256::State {
  State() noexcept : context(EVP_MD_CTX_new()) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }

  EVP_MD_CTX* context;
  bool ok = true;
};

bool sha256_available() noexcept {
  return true;
}

Result<Sha256> Sha256::create() {
  begin_openssl();
  auto state = std::make_unique<State>();
  if (state->context == nullptr) {
    return openssl_failure(no_memory());
  }
  if (EVP_DigestInit_ex(state->context, EVP_sha256(), nullptr) != 1) {
    return openssl_failure(Error::of({.category = Category::unsup,
                                      .code = "SHA256-REFUSED",
                                      .message = "OpenSSL on this machine does not offer sha-256"}));
  }
  return Sha256(std::move(state));
}

void Sha256::update(ByteSpan bytes) noexcept {
  state_->ok = EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1 && state_->ok;
}

Result<Sha256Digest> Sha256::finish() && {
  Sha256Digest digest{};
  unsigned written = 0;
  const int finished = EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()), &written);
  if (!state_->ok || finished != 1 || written != digest.size()) {
    return openssl_failure(Error::of(
        ErrorCode::io, {.category = Category::io, .code = "SHA256-FAILED", .message = "OpenSSL failed at sha-256"}));
  }
  return digest;
}

#else

struct Sha256::State {};

bool sha256_available() noexcept {
  return false;
}

Result<Sha256> Sha256::create() {
  return Error::of({.category = Category::unsup,
                    .code = "SHA256-NOT-BUILT",
                    .message = "sha-256 needs OpenSSL, which this build does not have",
                    .hint = "install OpenSSL's development files (Debian: libssl-dev) and build again"});
}

// Nobody has a Sha256 in this build.
void Sha256::update(ByteSpan) noexcept {}
Result<Sha256Digest> Sha256::finish() && {
  return Sha256::create().error();
}

#endif

Sha256::Sha256(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

Result<Sha256Digest> sha256(ByteSpan bytes) {
  RUSHLIGHT_TRY_ASSIGN(Sha256 hash, Sha256::create());
  hash.update(bytes);
  return std::move(hash).finish();
}

}  // namespace rushlight::checksum
