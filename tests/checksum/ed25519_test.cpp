#include "checksum/ed25519.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "checksum/chunks.hpp"
#include "checksum/xxh3.hpp"

namespace rushlight::checksum {
namespace {

template <std::size_t Bytes>
std::array<std::byte, Bytes> from_hex(std::string_view digits) {
  std::array<std::byte, Bytes> bytes{};
  for (std::size_t i = 0; i < Bytes; ++i) {
    bytes[i] = static_cast<std::byte>(std::stoul(std::string(digits.substr(2 * i, 2)), nullptr, 16));
  }
  return bytes;
}

// RFC 8032, section 7.1: seed, public key, message, signature.
struct Vector {
  const char* seed;
  const char* key;
  const char* message;
  const char* signature;
};
constexpr Vector kVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
     "655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
     "b00d291612bb0c00"},
};

class Ed25519 : public testing::Test {
 protected:
  void SetUp() override {
    if (!ed25519_available()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
  }
};

TEST_F(Ed25519, OfThePublishedVectorsIsThePublishedSignature) {
  for (const Vector& vector : kVectors) {
    const Ed25519PrivateKey key(from_hex<32>(vector.seed));
    EXPECT_EQ(to_hex(ed25519_public_key(key).value()), vector.key);
    std::vector<std::byte> message;
    for (std::size_t i = 0; i < std::string_view(vector.message).size(); i += 2) {
      message.push_back(from_hex<1>(std::string_view(vector.message).substr(i, 2))[0]);
    }
    const Ed25519Signature signature = ed25519_sign(key, message).value();
    EXPECT_EQ(to_hex(signature), vector.signature);
    EXPECT_TRUE(ed25519_verify(from_hex<32>(vector.key), message, signature).value());
    message.push_back(std::byte{0});
    EXPECT_FALSE(ed25519_verify(from_hex<32>(vector.key), message, signature).value());
  }
}

TEST_F(Ed25519, EveryFlippedBitOfASignatureIsSeen) {
  const Ed25519PublicKey key = from_hex<32>(kVectors[0].key);
  const Ed25519Signature good = from_hex<64>(kVectors[0].signature);
  ASSERT_TRUE(ed25519_verify(key, {}, good).value());
  for (unsigned bit = 0; bit < 512; ++bit) {
    Ed25519Signature bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_FALSE(ed25519_verify(key, {}, bad).value()) << bit;
  }
}

// S + L says the same to a reader that does not look whether S is reduced.
TEST_F(Ed25519, ASignatureHasOneFormOnly) {
  constexpr std::array<unsigned, 32> kOrder = {0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7,
                                               0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0,    0,    0,    0,    0,    0,
                                               0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
  Ed25519Signature other = from_hex<64>(kVectors[0].signature);
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned sum = std::to_integer<unsigned>(other[32 + i]) + kOrder[i] + carry;
    other[32 + i] = static_cast<std::byte>(sum & 0xFFu);
    carry = sum >> 8;
  }
  ASSERT_EQ(carry, 0u);
  EXPECT_FALSE(ed25519_verify(from_hex<32>(kVectors[0].key), {}, other).value());
}

TEST_F(Ed25519, KeysOfSmallOrderFitNothing) {
  // The neutral point as key and as R, and S = 0, fit every message in the equation without the factor 8.
  Ed25519PublicKey neutral{};
  neutral[0] = std::byte{1};
  Ed25519Signature signature{};
  signature[0] = std::byte{1};
  EXPECT_TRUE(has_small_order(neutral));
  EXPECT_FALSE(ed25519_verify(neutral, as_byte_span("any"), signature).value());
  neutral[31] = std::byte{0x80};
  EXPECT_TRUE(has_small_order(neutral));
  EXPECT_TRUE(has_small_order(Ed25519PublicKey{}));
  EXPECT_FALSE(has_small_order(from_hex<32>(kVectors[0].key)));
}

TEST_F(Ed25519, KeysAreReadFromPemFilesOfOpenssl) {
  // RFC 8410, section 10.3.
  constexpr std::string_view kPrivate =
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n";
  constexpr std::string_view kPublic =
      "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
      "-----END PUBLIC KEY-----\n";
  const Ed25519PrivateKey key = ed25519_private_key(kPrivate).value();
  EXPECT_EQ(ed25519_public_key(key).value(), ed25519_public_key(kPublic).value());
  EXPECT_EQ(ed25519_public_key(std::string(kPublic) + "\n\n").value(), ed25519_public_key(kPublic).value());

  const auto said = [](const auto& result) { return result ? "ok" : result.error().finding.message; };
  EXPECT_EQ(said(ed25519_public_key("")), "public key file has no line '-----BEGIN PUBLIC KEY-----'");
  EXPECT_EQ(said(ed25519_public_key(kPrivate)), "public key file has no line '-----BEGIN PUBLIC KEY-----'");
  EXPECT_EQ(said(ed25519_private_key(kPublic)), "private key file has no line '-----BEGIN PRIVATE KEY-----'");
  EXPECT_EQ(said(ed25519_private_key(kPrivate.substr(0, 60))), "private key file is no PEM file that OpenSSL reads");
  EXPECT_EQ(said(ed25519_public_key(std::string(70000, ' '))), "public key file is larger than 64 KiB");
  // X25519: the same length, another use.
  EXPECT_EQ(said(ed25519_public_key("-----BEGIN PUBLIC KEY-----\n"
                                    "MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                                    "-----END PUBLIC KEY-----\n")),
            "public key is not one of Ed25519");
  EXPECT_EQ(said(ed25519_public_key("-----BEGIN PUBLIC KEY-----\n"
                                    "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                                    "-----END PUBLIC KEY-----\n")),
            "public key is a point of small order: every message would fit it");
}

TEST(Chunks, AreThoseOfThePage) {
  const ChunkHashes both{.xxh3 = true, .sha256 = sha256_available()};
  std::vector<std::byte> bytes(2 * kChunkBytes + 5);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  const auto chunks_of = [&](std::size_t size, std::size_t step) {
    ChunkStream stream(both);
    for (std::size_t at = 0; at < size; at += step) {
      stream.update(ByteSpan(bytes).subspan(at, std::min(step, size - at)));
    }
    return stream.finish().value();
  };
  EXPECT_EQ(chunk_count(0), 0u);
  EXPECT_EQ(chunk_count(1), 1u);
  EXPECT_EQ(chunk_count(kChunkBytes), 1u);
  EXPECT_EQ(chunk_count(kChunkBytes + 1), 2u);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{kChunkBytes}, bytes.size()}) {
    const std::vector<ChunkDigest> chunks = chunks_of(size, 1 << 20);
    ASSERT_EQ(chunks.size(), chunk_count(size));
    const std::vector<ChunkDigest> other = chunks_of(size, 999'983);
    std::vector<std::byte> digests;
    std::vector<std::byte> record(9);
    record[0] = std::byte{1};
    store_le<std::uint64_t>(record.data() + 1, size);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const ByteSpan chunk =
          ByteSpan(bytes).subspan(i * kChunkBytes, std::min<std::size_t>(kChunkBytes, size - i * kChunkBytes));
      EXPECT_EQ(chunks[i].xxh3, xxh3_128(chunk));
      EXPECT_EQ(chunks[i].xxh3, other[i].xxh3);
      EXPECT_EQ(chunks[i].sha256, other[i].sha256);
      digests.insert(digests.end(), chunks[i].xxh3.begin(), chunks[i].xxh3.end());
      if (!both.sha256) continue;
      std::vector<std::byte> leaf{std::byte{0}};
      leaf.insert(leaf.end(), chunk.begin(), chunk.end());
      EXPECT_EQ(chunks[i].sha256, sha256(leaf).value());
      record.insert(record.end(), chunks[i].sha256.begin(), chunks[i].sha256.end());
    }
    EXPECT_EQ(record_xxh3(chunks), chunks.size() == 1 ? xxh3_128(ByteSpan(bytes).first(size)) : xxh3_128(digests));
    if (both.sha256) {
      EXPECT_EQ(record_sha256(size, chunks).value(), sha256(record).value());
    }
  }
}

}  // namespace
}  // namespace rushlight::checksum
