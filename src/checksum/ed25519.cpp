#include "checksum/ed25519.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/hex_digits.hpp"

#if defined(RUSHLIGHT_USE_OPENSSL)
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "checksum/openssl_failure.hpp"
#endif

namespace rushlight::checksum {
namespace {

using Seed = std::array<std::byte, 32>;

// Not by a plain loop, which compilers leave out before a destructor ends.
void wipe(Seed& seed) noexcept {
  volatile std::byte* bytes = seed.data();
  for (std::size_t i = 0; i < seed.size(); ++i) bytes[i] = std::byte{0};
}

}  // namespace

Ed25519PrivateKey::Ed25519PrivateKey(Ed25519PrivateKey&& other) noexcept : seed_(other.seed_) {
  wipe(other.seed_);
}
Ed25519PrivateKey::~Ed25519PrivateKey() {
  wipe(seed_);
}

bool has_small_order(const Ed25519PublicKey& key) noexcept {
  // The y coordinates, as u8 hexadecimal, of the eight points whose order divides 8, and p and p + 1 for 0 and 1: some
  // readers take them. The sign of x, the topmost bit, is left out.
  static constexpr std::array<std::string_view, 7> kSmall = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  std::array<char, 64> text{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    const unsigned byte = std::to_integer<unsigned>(key[i]) & (i == 31 ? 0x7Fu : 0xFFu);
    text[2 * i] = kHexDigits[byte >> 4];
    text[2 * i + 1] = kHexDigits[byte & 15u];
  }
  return std::find(kSmall.begin(), kSmall.end(), std::string_view(text.data(), text.size())) != kSmall.end();
}

#if defined(RUSHLIGHT_USE_OPENSSL)

namespace {

struct Free {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

const unsigned char* bytes_of(ByteSpan bytes) noexcept {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Error wrong_key(std::string message) {
  return Error::of({.category = Category::sig, .code = "SIG-KEY", .message = std::move(message)});
}

Error failed() {
  return openssl_failure(Error::of(
      ErrorCode::unsupported,
      {.category = Category::unsup, .code = "ED25519-FAILED", .message = "OpenSSL on this machine failed at Ed25519"}));
}

// Nobody is asked for a pass phrase.
int no_pass_phrase(char*, int, int, void*) {
  return -1;
}

// A PEM file is short; the bound keeps the length an int.
constexpr std::size_t kMostPemBytes = std::size_t{64} << 10;

template <class ReadPem>
Result<Key> read_pem(std::string_view pem, const char* begin, const char* what, ReadPem read) {
  if (pem.size() > kMostPemBytes) return wrong_key(std::string(what) + " file is larger than 64 KiB");
  if (pem.find(begin) == std::string_view::npos) {
    Error error = wrong_key(std::string(what) + " file has no line '" + begin + "'");
    error.finding.expected = begin;
    return error;
  }
  begin_openssl();
  const std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return failed();
  Key key(read(bio.get()));
  if (key == nullptr) return openssl_failure(wrong_key(std::string(what) + " file is no PEM file that OpenSSL reads"));
  if (EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) return wrong_key(std::string(what) + " is not one of Ed25519");
  return key;
}

Result<Key> key_of(const Ed25519PrivateKey& key) {
  begin_openssl();
  Key made(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(key.seed()), key.seed().size()));
  if (made == nullptr) return failed();
  return made;
}

}  // namespace

bool ed25519_available() noexcept {
  return true;
}

Result<Ed25519PrivateKey> ed25519_private_key(std::string_view pem) {
  RUSHLIGHT_TRY_ASSIGN(const Key key, read_pem(pem, "-----BEGIN PRIVATE KEY-----", "private key", [](BIO* bio) {
                         return PEM_read_bio_PrivateKey(bio, nullptr, no_pass_phrase, nullptr);
                       }));
  Seed seed{};
  std::size_t size = seed.size();
  if (EVP_PKEY_get_raw_private_key(key.get(), reinterpret_cast<unsigned char*>(seed.data()), &size) != 1 ||
      size != seed.size()) {
    return failed();
  }
  Ed25519PrivateKey made(seed);
  wipe(seed);
  return made;
}

Result<Ed25519PublicKey> ed25519_public_key(std::string_view pem) {
  RUSHLIGHT_TRY_ASSIGN(const Key key, read_pem(pem, "-----BEGIN PUBLIC KEY-----", "public key", [](BIO* bio) {
                         return PEM_read_bio_PUBKEY(bio, nullptr, no_pass_phrase, nullptr);
                       }));
  Ed25519PublicKey made{};
  std::size_t size = made.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(made.data()), &size) != 1 ||
      size != made.size()) {
    return failed();
  }
  if (has_small_order(made)) return wrong_key("public key is a point of small order: every message would fit it");
  return made;
}

Result<Ed25519PublicKey> ed25519_public_key(const Ed25519PrivateKey& private_key) {
  RUSHLIGHT_TRY_ASSIGN(const Key key, key_of(private_key));
  Ed25519PublicKey made{};
  std::size_t size = made.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(made.data()), &size) != 1 ||
      size != made.size()) {
    return failed();
  }
  return made;
}

Result<Ed25519Signature> ed25519_sign(const Ed25519PrivateKey& private_key, ByteSpan message) {
  RUSHLIGHT_TRY_ASSIGN(const Key key, key_of(private_key));
  const Context context(EVP_MD_CTX_new());
  Ed25519Signature signature{};
  std::size_t size = signature.size();
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes_of(message),
                     message.size()) != 1 ||
      size != signature.size()) {
    return failed();
  }
  return signature;
}

Result<bool> ed25519_verify(const Ed25519PublicKey& public_key, ByteSpan message, const Ed25519Signature& signature) {
  if (has_small_order(public_key)) return false;
  begin_openssl();
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(public_key), public_key.size()));
  const Context context(EVP_MD_CTX_new());
  if (key == nullptr || context == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) {
    return failed();
  }
  if (EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1) {
    return true;
  }
  // A signature that does not fit is an error to OpenSSL, too.
  if (openssl_errors().out_of_memory) return no_memory();
  return false;
}

#else

namespace {

Error not_built() {
  return Error::of({.category = Category::unsup,
                    .code = "ED25519-NOT-BUILT",
                    .message = "signatures need OpenSSL, which this build does not have",
                    .hint = "install OpenSSL's development files (Debian: libssl-dev) and build again"});
}

}  // namespace

bool ed25519_available() noexcept {
  return false;
}
Result<Ed25519PrivateKey> ed25519_private_key(std::string_view) {
  return not_built();
}
Result<Ed25519PublicKey> ed25519_public_key(std::string_view) {
  return not_built();
}
Result<Ed25519PublicKey> ed25519_public_key(const Ed25519PrivateKey&) {
  return not_built();
}
Result<Ed25519Signature> ed25519_sign(const Ed25519PrivateKey&, ByteSpan) {
  return not_built();
}
Result<bool> ed25519_verify(const Ed25519PublicKey&, ByteSpan, const Ed25519Signature&) {
  return not_built();
}

#endif

}  // namespace rushlight::checksum
