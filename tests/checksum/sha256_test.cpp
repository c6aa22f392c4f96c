#include "checksum/sha256.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "checksum/xxh3.hpp"

namespace rushlight::checksum {
namespace {

using std::string_view_literals::operator""sv;

std::string hex_of(std::string_view text) {
  return to_hex(sha256(as_byte_span(text)).value());
}

TEST(Sha256, OfThePublishedMessagesIsThePublishedDigest) {
  if (!sha256_available()) GTEST_SKIP() << "built without OpenSSL";
  // FIPS 180-2, appendix B.
  EXPECT_EQ(hex_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex_of(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, IsTheSameInPieces) {
  if (!sha256_available()) GTEST_SKIP() << "built without OpenSSL";
  const std::string text(1000, 'x');
  Sha256 whole = *Sha256::create();
  Sha256 hash = std::move(whole);  // a moved one goes on
  for (std::size_t i = 0; i < text.size(); i += 7) hash.update(as_byte_span(std::string_view(text).substr(i, 7)));
  hash.update({});
  EXPECT_EQ(to_hex(*std::move(hash).finish()), hex_of(text));
}

TEST(Sha256, IsUnsupportedInABuildWithoutOpenSsl) {
  if (sha256_available()) GTEST_SKIP() << "built with OpenSSL";
  const Result<Sha256Digest> digest = sha256(as_byte_span("abc"sv));
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, ErrorCode::unsupported);
  EXPECT_EQ(digest.error().finding.message, "sha-256 needs OpenSSL, which this build does not have");
}

}  // namespace
}  // namespace rushlight::checksum
