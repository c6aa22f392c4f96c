// A manifest as text: written in one way only, and read only when it is written so (format-spec/07, sections 2 and 4).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rushlight/limits.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/result.hpp"

namespace rushlight::checkpoint {

inline constexpr std::string_view kManifestName = ".rushlight/manifest.json";
inline constexpr std::string_view kSignatureName = ".rushlight/signature";

// The self-digests stand at the same place in every manifest, so that they can be taken as zero without reading it.
inline constexpr std::string_view kManifestBegin = "{\"rushlight_manifest\":1,\n\"self_xxh3\":\"";
inline constexpr std::size_t kSelfXxh3At = kManifestBegin.size();
inline constexpr std::size_t kXxh3Digits = 32;
inline constexpr std::string_view kSelfSha256Begin = "\",\n\"self_sha256\":\"";
inline constexpr std::size_t kSelfSha256At = kSelfXxh3At + kXxh3Digits + kSelfSha256Begin.size();
inline constexpr std::size_t kSha256Digits = 64;

// What a stretch of a file that is no archive is called: "@0x1f8".
[[nodiscard]] std::string stretch_name(std::uint64_t offset);

[[nodiscard]] std::string encode(const Manifest& manifest);
// MANI-*: the first thing that is wrong in reading order, and whatever a writer would spell otherwise.
Result<Manifest> decode_manifest(std::string_view text, const Limits& limits);

// The digests go into a text that is there already.
void put_self_digests(const Manifest& manifest, char* text);

}  // namespace rushlight::checkpoint
