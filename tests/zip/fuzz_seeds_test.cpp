// The seeds of tests/fuzz/zip_fuzzer.cpp: one small archive for each thing that the reader tells apart. They lie in the
// tree; this test says when they are not those that this file makes, and RUSHLIGHT_BLESS=1 writes them again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "support/zip_builder.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

// Two records of torch, without alignment: half a kilobyte.
TorchZip small_zip() {
  TorchZip zip("base");
  zip.alignment = 1;
  zip.add("data.pkl", "pickle").add("data/0", "0123456789abcdef");
  return zip;
}

std::map<std::string, Bytes> fuzz_seeds() {
  std::map<std::string, Bytes> seeds;
  seeds["torch.zip"] = base_zip().build();
  seeds["small.zip"] = small_zip().build();
  seeds["no_records.zip"] = TorchZip("base").build();
  const auto with = [&](const char* name, const std::function<void(TorchZip&)>& change) {
    TorchZip zip = small_zip();
    change(zip);
    seeds[name] = zip.build();
  };
  with("no_zip64_end.zip", [](TorchZip& zip) { zip.zip64_end = false; });
  with("no_descriptors.zip", [](TorchZip& zip) { zip.descriptors = false; });
  with("no_crc.zip", [](TorchZip& zip) { zip.crc = false; });
  with("comment.zip", [](TorchZip& zip) { zip.comment = "comment"; });
  with("trailing.zip", [](TorchZip& zip) { zip.trailing = repeated(30, 0); });
  with("prefix.zip", [](TorchZip& zip) { zip.prefix = repeated(6, 1); });
  with("prefix_counted.zip", [](TorchZip& zip) { zip.prefix = repeated(6, 1), zip.prefix_in_offsets = true; });
  with("two_archives.zip", [](TorchZip& zip) { zip.prefix = small_zip().build(); });
  with("gap.zip", [](TorchZip& zip) { zip.record("data/0").gap_before = repeated(5, 0); });
  with("gap_before_end64.zip", [](TorchZip& zip) { zip.before_end64 = repeated(5, 0); });
  with("hidden.zip", [](TorchZip& zip) { zip.add("x", "hidden"), zip.records().back().in_directory = false; });
  with("duplicate.zip", [](TorchZip& zip) { zip.record("data/0").directory_copies = 2; });
  with("duplicate_case.zip", [](TorchZip& zip) { zip.add("DATA/0", "x"); });
  with("duplicate_unicode.zip", [](TorchZip& zip) { zip.add("\u00e9", "x").add("e\u0301", "y"); });
  with("directory.zip", [](TorchZip& zip) { zip.add_full_name("base/data/", {}); });
  with("empty_record.zip", [](TorchZip& zip) { zip.add("data/1", ""); });
  with("deflated.zip", [](TorchZip& zip) {
    zip.add("code.py", "####");
    zip.record("code.py").deflate = true;
    zip.record("code.py").stored = to_bytes(std::string_view("\x01\x04\x00\xfb\xff####", 9));  // one stored block
  });
  with("wide.zip", [](TorchZip& zip) {
    zip.record("data/0").local_extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{16, 0}));
    zip.record("data/0").descriptor_form = DescriptorForm::signed_64;
    zip.record("data/0").central = [](zip::CentralEntry& entry) {
      entry.size_bytes = entry.compressed_bytes = 0xFFFFFFFF;
    };
    zip.record("data/0").central_extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{16, 16}));
  });
  with("bare_descriptor.zip",
       [](TorchZip& zip) { zip.record("data/0").descriptor_form = DescriptorForm::unsigned_32; });
  with("extra_fields.zip", [](TorchZip& zip) {
    zip.record("data/0").local_extra = extra_field(0x5455, to_bytes("\x03mmmmaaaa"));
    zip.record("data/0").central_extra = extra_field(0x5455, to_bytes("\x03mmmm"));
    zip.record("data/0").central_comment = "entry comment";
  });
  with("unicode_path.zip", [](TorchZip& zip) {
    zip.record("data/0").central_extra = extra_field(zip::kExtraUnicodePath, to_bytes("\1\1\1\1\1base/data/0"));
  });
  Bytes cut = seeds["torch.zip"];
  cut.resize(700);
  seeds["cut.zip"] = cut;
  return seeds;
}

TEST(ZipFuzzSeeds, TheSeedsInTheTreeAreThoseMadeHere) {
  const fs::path folder = RUSHLIGHT_TESTS_SOURCE_DIR "/fuzz/corpus/zip";
  const bool bless = std::getenv("RUSHLIGHT_BLESS") != nullptr;
  if (bless) fs::create_directories(folder);
  for (const auto& [name, bytes] : fuzz_seeds()) {
    if (bless) {
      std::ofstream file(folder / name, std::ios::binary);
      const std::string_view text = as_text(bytes);
      file.write(text.data(), static_cast<std::streamsize>(text.size()));
    }
    std::ifstream file(folder / name, std::ios::binary);
    const std::string found{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(found, as_text(bytes)) << name << ": run with RUSHLIGHT_BLESS=1 to write it";
  }
}

}  // namespace
}  // namespace rushlight::test
