// Files of other programs that lie in the source tree, with a MANIFEST.json of their SHA-256. Needs layer checksum and
// simdjson.
#pragma once

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstddef>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {

// The whole of a test: the folder's files are `count`, each as the manifest has it.
inline void expect_files_of_manifest(const std::filesystem::path& folder, std::size_t count) {
  if (!checksum::sha256_available()) {
    std::cout << "SKIPPED: SHA-256 needs OpenSSL in the build\n";
    GTEST_SKIP();
  }
  simdjson::dom::parser parser;
  simdjson::dom::element manifest = parser.load((folder / "MANIFEST.json").string());
  std::size_t found = 0;
  for (const auto [name, hash] : simdjson::dom::object(manifest["sha256"])) {
    const std::string bytes = read_file(folder / std::string(name));
    checksum::Sha256 sha256 = checksum::Sha256::create().value();
    sha256.update(as_byte_span(bytes));
    EXPECT_EQ(checksum::to_hex(std::move(sha256).finish().value()), std::string_view(hash)) << name;
    ++found;
  }
  EXPECT_EQ(found, count);
}

}  // namespace rushlight::test
