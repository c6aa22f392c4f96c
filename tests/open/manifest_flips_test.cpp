// Every single bit of a file with a manifest, flipped: verify() says so, each time (M03, Z50).
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <vector>

#include "base/bytes.hpp"
#include "checksum/ed25519.hpp"
#include "checksum/sha256.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/verify.hpp"
#include "sealed_file.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_keys.hpp"

namespace rushlight::test {
namespace {

bool is_found(const std::string& file, const std::string& sidecar = {}) {
  VerifyOptions options;
  if (!sidecar.empty()) options.manifest = Source::from_memory(as_byte_span(sidecar), "sidecar");
  const Result<VerifyReport> report = verify(Source::from_memory(as_byte_span(file)), options);
  return report && !report->ok && (sidecar.empty() || report->manifest->state == Integrity::mismatch);
}

// The bits that are not found, of those at the given positions.
std::vector<std::size_t> missed(const std::string& file, const std::vector<std::size_t>& bits,
                                const std::string& sidecar = {}) {
  const auto pool = make_thread_pool();
  std::vector<std::vector<std::size_t>> by_task(64);
  pool->for_each_index(by_task.size(), [&](std::size_t task) {
    std::string copy = file;
    for (std::size_t i = task; i < bits.size(); i += by_task.size()) {
      copy[bits[i] / 8] ^= static_cast<char>(1 << bits[i] % 8);
      if (!is_found(copy, sidecar)) by_task[task].push_back(bits[i]);
      copy[bits[i] / 8] ^= static_cast<char>(1 << bits[i] % 8);
    }
  });
  std::vector<std::size_t> all;
  for (const std::vector<std::size_t>& some : by_task) all.insert(all.end(), some.begin(), some.end());
  return all;
}

std::vector<std::size_t> all_bits(const std::string& file) {
  std::vector<std::size_t> bits(file.size() * 8);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = i;
  return bits;
}

std::string said(const std::string& file, const std::vector<std::size_t>& bits) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(bits.size(), 20); ++i) {
    text += "bit " + std::to_string(bits[i] % 8) + " of byte " + std::to_string(bits[i] / 8) + "\n";
  }
  return text + std::to_string(bits.size()) + " of " + std::to_string(file.size() * 8) + " bits";
}

TEST(ManifestFlips, EveryBitOfASmallFileIsFound) {
  const std::string file = saved_small(ManifestLevel::xxh3);
  ASSERT_FALSE(is_found(file));
  const std::vector<std::size_t> bits = missed(file, all_bits(file));
  EXPECT_TRUE(bits.empty()) << said(file, bits);
}

TEST(ManifestFlips, EveryBitOfASmallFileWithoutCrcsIsFound) {
  const std::string file = saved_small(ManifestLevel::xxh3, false);
  ASSERT_FALSE(is_found(file));
  const std::vector<std::size_t> bits = missed(file, all_bits(file));
  EXPECT_TRUE(bits.empty()) << said(file, bits);
}

TEST(ManifestFlips, EveryBitOfASignedFileIsFoundWithoutTheKey) {
  if (!checksum::ed25519_available()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
  const TemporaryFolder folder;
  write_file(folder / "a.pt", saved_small(ManifestLevel::sha256));
  SignOptions options;
  options.private_key_pem = kPrivateKey;
  ASSERT_TRUE(sign(folder / "a.pt", folder / "a.pt", options));
  const std::string file = read_file(folder / "a.pt");
  ASSERT_FALSE(is_found(file));
  const std::vector<std::size_t> not_found = missed(file, all_bits(file));
  EXPECT_TRUE(not_found.empty()) << said(file, not_found);
}

void expect_all_found_beside(const std::string& file, ManifestLevel level) {
  const std::string sidecar = sidecar_of(file, level);
  ASSERT_FALSE(is_found(file, sidecar));
  const std::vector<std::size_t> bits = missed(file, all_bits(file), sidecar);
  EXPECT_TRUE(bits.empty()) << said(file, bits);
}

TEST(ManifestFlips, EveryBitOfALegacyFileIsFound) {
  expect_all_found_beside(saved_legacy(), ManifestLevel::xxh3);
  if (checksum::sha256_available()) expect_all_found_beside(saved_legacy(), ManifestLevel::sha256);
}

TEST(ManifestFlips, EveryBitOfASafetensorsFileIsFound) {
  expect_all_found_beside(saved_safetensors(), ManifestLevel::xxh3);
}

TEST(ManifestFlips, EveryBitOfASidecarIsFound) {
  const ManifestLevel level = checksum::sha256_available() ? ManifestLevel::sha256 : ManifestLevel::xxh3;
  for (const std::string& file : {saved_legacy(), saved_safetensors()}) {
    std::string sidecar = sidecar_of(file, level);
    ASSERT_FALSE(is_found(file, sidecar));
    std::vector<std::size_t> not_found;
    for (std::size_t bit = 0; bit < sidecar.size() * 8; ++bit) {
      sidecar[bit / 8] ^= static_cast<char>(1 << bit % 8);
      if (!is_found(file, sidecar)) not_found.push_back(bit);
      sidecar[bit / 8] ^= static_cast<char>(1 << bit % 8);
    }
    EXPECT_TRUE(not_found.empty()) << said(sidecar, not_found);
  }
}

TEST(ManifestFlips, SampledBitsOfALargeFileAreFound) {
  StateDict state;
  std::mt19937_64 random(7);
  std::vector<std::int64_t> values((std::size_t{9} << 20) / 8);
  for (std::int64_t& value : values) value = static_cast<std::int64_t>(random());
  state.insert("big", Tensor::from_values<std::int64_t>(values, {std::int64_t(values.size())}).value());
  for (int i = 0; i < 40; ++i) {
    state.insert("small" + std::to_string(i), Tensor::zeros(DType::f32, {i}).value());
  }
  SaveOptions options;
  options.manifest = ManifestLevel::xxh3;
  const std::string file = saved(state, options);
  ASSERT_FALSE(is_found(file));
  std::vector<std::size_t> bits;
  for (int i = 0; i < 300; ++i) bits.push_back(random() % (file.size() * 8));
  // Most of what is no data lies at the end.
  for (int i = 0; i < 300; ++i) bits.push_back(file.size() * 8 - 1 - random() % (std::size_t{30000} * 8));
  const std::vector<std::size_t> not_found = missed(file, bits);
  EXPECT_TRUE(not_found.empty()) << said(file, not_found);
}

}  // namespace
}  // namespace rushlight::test
