// Files with a manifest, and forgers of them: what whoever can write every byte of a file makes of it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "rushlight/manifest.hpp"
#include "rushlight/save.hpp"

namespace rushlight::test {

// Two tensors on storages of their own, one view, one empty: small enough to flip every bit.
[[nodiscard]] StateDict small_state();
// What save() makes of it.
[[nodiscard]] std::string saved(const StateDict& state, const SaveOptions& options);
[[nodiscard]] std::string saved_small(ManifestLevel level, bool crc = true);

// The same tensors where no manifest has room.
[[nodiscard]] std::string saved_legacy();
[[nodiscard]] std::string saved_safetensors();
// The text of a manifest beside it.
[[nodiscard]] std::string sidecar_of(const std::string& file, ManifestLevel level = ManifestLevel::xxh3);
// Edits it, keeping its length, and then its self-digests fit the file again.
void forge_sidecar(const std::string& file, std::string& sidecar, const std::function<void(std::string& text)>& edit);

// Where a record's data lie in an archive: [begin, end).
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};
[[nodiscard]] Range data_of(std::string_view archive, std::string_view short_name);

// The CRC fields of a record become those of its data.
void fix_crc(std::string& archive, std::string_view short_name);
// Edits the text of the manifest, keeping its length, and then its self-digests and CRCs fit again.
void forge_manifest(std::string& archive, const std::function<void(std::string& text)>& edit);
// In a text, once.
void replace_once(std::string& text, std::string_view from, std::string_view to);

}  // namespace rushlight::test
