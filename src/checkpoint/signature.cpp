#include "checkpoint/signature.hpp"

#include "base/fail.hpp"
#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::string_view kPayloadType = "application/vnd.rushlight.manifest+json";
constexpr std::string_view kBegin = "{\"rushlight_signature\":1,\n\"public_key\":\"";
constexpr std::string_view kMiddle = "\",\n\"ed25519\":\"";
constexpr std::string_view kEnd = "\"}\n";

Error malformed() {
  return Error::of({.category = Category::sig,
                    .code = "SIG-SYNTAX",
                    .message = "signature is not spelt as a writer does: it may have been cut or changed"});
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

template <std::size_t Bytes>
bool take_hex(std::string_view& text, std::array<std::byte, Bytes>& out) {
  if (text.size() < 2 * Bytes) return false;
  for (std::size_t i = 0; i < Bytes; ++i) {
    unsigned value = 0;
    for (const char c : text.substr(2 * i, 2)) {
      const bool letter = c >= 'a' && c <= 'f';
      if (!letter && (c < '0' || c > '9')) return false;
      value = value * 16 + static_cast<unsigned>(letter ? c - 'a' + 10 : c - '0');
    }
    out[i] = static_cast<std::byte>(value);
  }
  text.remove_prefix(2 * Bytes);
  return true;
}

}  // namespace

std::string signed_message(std::string_view manifest_text) {
  std::string message = "DSSEv1 " + std::to_string(kPayloadType.size()) + " ";
  message += kPayloadType;
  message += " " + std::to_string(manifest_text.size()) + " ";
  message += manifest_text;
  return message;
}

Result<std::string> key_name(const checksum::Ed25519PublicKey& key) {
  RUSHLIGHT_TRY_ASSIGN(const checksum::Sha256Digest digest, checksum::sha256(key));
  return checksum::to_hex(ByteSpan(digest).first(8));
}

std::string encode(const SignatureRecord& record) {
  std::string text(kBegin);
  text += checksum::to_hex(record.key);
  text += kMiddle;
  text += checksum::to_hex(record.signature);
  text += kEnd;
  return text;
}

std::size_t signature_record_bytes() {
  return encode(SignatureRecord{}).size();
}

Result<SignatureRecord> decode_signature(std::string_view text) {
  SignatureRecord record;
  if (take(text, kBegin) && take_hex(text, record.key) && take(text, kMiddle) && take_hex(text, record.signature) &&
      text == kEnd) {
    return record;
  }
  return malformed();
}

Result<SignatureRecord> make_signature(const checksum::Ed25519PrivateKey& key, std::string_view manifest_text) {
  SignatureRecord record;
  RUSHLIGHT_TRY_ASSIGN(record.key, checksum::ed25519_public_key(key));
  const std::string message = signed_message(manifest_text);
  RUSHLIGHT_TRY_ASSIGN(record.signature, checksum::ed25519_sign(key, as_byte_span(message)));
  return record;
}

}  // namespace rushlight::checkpoint
