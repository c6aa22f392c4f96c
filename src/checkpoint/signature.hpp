// What is signed, and how a signature lies in an archive (format-spec/07, section 5).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "checksum/ed25519.hpp"
#include "rushlight/result.hpp"

namespace rushlight::checkpoint {

// The message under the signature: the manifest in the pre-authentication encoding of DSSE v1, so that no other use of
// the key signs it by accident.
[[nodiscard]] std::string signed_message(std::string_view manifest_text);

// The first 8 bytes of the SHA-256 of a public key, in hexadecimal.
Result<std::string> key_name(const checksum::Ed25519PublicKey& key);

struct SignatureRecord {
  checksum::Ed25519PublicKey key{};  // says whose it claims to be; whoever wants to know brings the key along
  checksum::Ed25519Signature signature{};
};
// All of one size.
[[nodiscard]] std::string encode(const SignatureRecord& record);
[[nodiscard]] std::size_t signature_record_bytes();
// SIG-SYNTAX.
Result<SignatureRecord> decode_signature(std::string_view text);

Result<SignatureRecord> make_signature(const checksum::Ed25519PrivateKey& key, std::string_view manifest_text);

}  // namespace rushlight::checkpoint
