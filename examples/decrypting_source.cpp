// An encrypted checkpoint, decrypted as it is read: AES-256 in counter mode can start anywhere in a file, so a Source
// over it reads what is asked for and no plain text ever touches the disk.
//   openssl enc -aes-256-ctr -K 64_HEX_DIGITS -iv 32_HEX_DIGITS -in model.pt -out model.pt.enc
//   decrypting_source model.pt.enc model.key        model.key: the two numbers, a line each
//
// Counter mode keeps a secret and nothing more: whoever can write the file can flip any bit of the plain text, and a
// CRC-32, which they can compute as well, will fit. Against them helps a signature or a MAC (HMAC-SHA-256 over the
// encrypted file, say), checked before the file is opened. Never use a key with the same IV for a second file.
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

namespace {

struct Secret {
  std::array<unsigned char, 32> key;
  std::array<unsigned char, 16> iv;
};

class DecryptingSource final : public rl::Source {
 public:
  DecryptingSource(std::shared_ptr<const rl::Source> encrypted, const Secret& secret)
      : encrypted_(std::move(encrypted)), secret_(secret) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return encrypted_->size_bytes(); }
  [[nodiscard]] std::string_view name() const noexcept override { return encrypted_->name(); }
  // mapping() stays empty: what lies in memory is not the plain text.

  // From several threads at once: each call has its own cipher.
  rl::Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (auto read = encrypted_->read_at(offset, out); !read) return read;
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> cipher(EVP_CIPHER_CTX_new(),
                                                                                 EVP_CIPHER_CTX_free);
    const auto counter = counter_at(offset / kBlockBytes);
    if (!cipher ||
        EVP_DecryptInit_ex2(cipher.get(), EVP_aes_256_ctr(), secret_.key.data(), counter.data(), nullptr) != 1)
      return failure(offset);
    // The key stream begins at a block: what lies before the offset is thrown away.
    std::array<std::byte, kBlockBytes> skipped{};
    if (!decrypt(*cipher, std::span(skipped).first(offset % kBlockBytes))) return failure(offset);
    while (!out.empty()) {
      const auto piece = out.first(std::min(out.size(), kPieceBytes));
      if (!decrypt(*cipher, piece)) return failure(offset);
      out = out.subspan(piece.size());
    }
    return {};
  }

 private:
  static constexpr std::size_t kBlockBytes = 16;
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 30;  // lengths are int

  // The IV counts blocks, as one number of 128 bits with its highest byte first.
  [[nodiscard]] std::array<unsigned char, 16> counter_at(std::uint64_t block) const {
    std::array<unsigned char, 16> counter = secret_.iv;
    for (std::size_t i = counter.size(); i > 0 && block > 0; --i) {
      block += counter[i - 1];
      counter[i - 1] = static_cast<unsigned char>(block);
      block >>= 8;
    }
    return counter;
  }

  static bool decrypt(EVP_CIPHER_CTX& cipher, std::span<std::byte> bytes) {
    auto* const data = reinterpret_cast<unsigned char*>(bytes.data());
    int count = 0;
    return EVP_DecryptUpdate(&cipher, data, &count, data, static_cast<int>(bytes.size())) == 1;
  }

  [[nodiscard]] rl::Error failure(std::uint64_t offset) const {
    return rl::Error::of({.category = rl::Category::io,
                          .code = "DECRYPT",
                          .message = "OpenSSL cannot decrypt",
                          .file = rl::escaped(name(), 4096),
                          .offset = offset});
  }

  std::shared_ptr<const rl::Source> encrypted_;
  Secret secret_;
};

template <std::size_t kCount>
bool parse_hex(std::string_view text, std::array<unsigned char, kCount>& out) {
  if (text.size() != 2 * kCount) return false;
  for (std::size_t i = 0; i < kCount; ++i) {
    const char* const begin = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, out[i], 16);
    if (error != std::errc() || end != begin + 2) return false;
  }
  return true;
}

// From a file, never from the command line: everybody on the machine can read that.
std::optional<Secret> read_secret(const char* path) {
  std::ifstream file(path);
  std::string key;
  std::string iv;
  Secret secret{};
  if (!(file >> key >> iv) || !parse_hex(key, secret.key) || !parse_hex(iv, secret.iv)) return std::nullopt;
  return secret;
}

int report(const rl::Error& error) {
  std::fprintf(stderr, "error: %s\n", to_string(error).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto secret = read_secret(argv[2]);
  if (!secret) return std::fprintf(stderr, "error: no key and IV in hexadecimal in %s\n", argv[2]), 2;
  const auto file = rl::open_file(argv[1]);
  if (!file) return report(file.error());
  const auto checkpoint = rl::Checkpoint::open(std::make_shared<DecryptingSource>(*file, *secret));
  if (!checkpoint) return report(checkpoint.error());
  const auto digests = rl::digest(*checkpoint, rl::DigestAlgorithm::xxh3_128);
  if (!digests) return report(digests.error());
  for (const auto& tensor : digests->tensors) std::printf("%s  %s\n", tensor.digest.c_str(), tensor.name.c_str());
}
