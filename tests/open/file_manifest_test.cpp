// Manifests beside files that are no archives, and signatures on them; the rows M for such files.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "checkpoint/manifest_text.hpp"
#include "checkpoint/signature.hpp"
#include "checksum/ed25519.hpp"
#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"
#include "opened_bytes.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "sealed_file.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_keys.hpp"
#include "support/test_sink.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

bool has_openssl() {
  return checksum::ed25519_available();
}

VerifyReport report_of(const std::string& file, const std::string& sidecar, VerifyOptions options = {}) {
  options.manifest = Source::from_memory(as_byte_span(sidecar), "sidecar");
  const Result<VerifyReport> report = verify(Source::from_memory(as_byte_span(file)), options);
  EXPECT_TRUE(report) << to_string(report.error());
  return report.value();
}

std::string said_of(const std::string& file, const std::string& sidecar, const VerifyOptions& options = {}) {
  const VerifyReport report = report_of(file, sidecar, options);
  return report.ok ? "ok" : lines_of(report);
}

std::map<std::string, TensorState> states(const VerifyReport& report) {
  std::map<std::string, TensorState> found;
  for (const TensorVerdict& tensor : report.tensors) found[tensor.name] = tensor.state;
  return found;
}

bool all_are(const VerifyReport& report, TensorState state) {
  return std::ranges::all_of(report.tensors, [&](const TensorVerdict& tensor) { return tensor.state == state; });
}

const Finding* finding_of(const VerifyReport& report, std::string_view code) {
  const auto found = std::ranges::find(report.findings, code, &Finding::code);
  return found == report.findings.end() ? nullptr : &*found;
}

const ManifestTensor& tensor_of(const Manifest& manifest, std::string_view name) {
  return *std::ranges::find(manifest.tensors, name, &ManifestTensor::name);
}

// One tensor of eight floats.
std::string small_gguf() {
  const auto number = [](auto value) {
    std::array<std::byte, sizeof(value)> bytes{};
    store_le(bytes.data(), value);
    return std::string(as_text(bytes));
  };
  std::string file = "GGUF" + number(std::uint32_t{3}) + number(std::uint64_t{1}) + number(std::uint64_t{0});
  file += number(std::uint64_t{1}) + "w" + number(std::uint32_t{1}) + number(std::uint64_t{8});
  file += number(std::uint32_t{0}) + number(std::uint64_t{0});
  file.resize((file.size() + 31) / 32 * 32, '\0');
  for (int i = 0; i < 8; ++i) file += number(std::uint32_t{0x3F800000});
  return file;
}

// --- what is written ----------------------------------------------------------------------------------------------

TEST(FileManifest, OfALegacyFileListsItsStoragesAndTensors) {
  const std::string file = saved_legacy();
  const std::string text = sidecar_of(file);
  EXPECT_EQ(text.substr(0, 2), "{\"");
  EXPECT_NE(text.find(",\n\"container\":\"file\",\n\"records\":[\n{\"data_offset\":0,\"size_bytes\":"),
            std::string::npos);
  const Manifest manifest = parse_manifest(text).value();
  EXPECT_EQ(manifest.container, ManifestContainer::file);
  EXPECT_EQ(manifest.size_bytes, file.size());
  EXPECT_EQ(manifest.file_xxh3, checksum::xxh3_128(as_byte_span(file)));
  EXPECT_FALSE(manifest.file_sha256);
  // The pickles, and the storages of six floats and of one long, each with its size in 8 bytes before it.
  ASSERT_EQ(manifest.records.size(), 3u);
  for (const ManifestRecord& record : manifest.records) {
    EXPECT_EQ(record.name, "@" + hex(record.data_offset));
    EXPECT_EQ(record.xxh3, checksum::xxh3_128(as_byte_span(file).subspan(record.data_offset, record.size_bytes)));
  }
  EXPECT_EQ(manifest.records[0].data_offset, 0u);
  std::multiset<std::uint64_t> sizes;
  for (const ManifestRecord& record : manifest.records) sizes.insert(record.size_bytes);
  EXPECT_EQ(sizes.count(24), 1u);
  EXPECT_EQ(sizes.count(8), 1u);
  // Where the elements lie.
  ASSERT_EQ(manifest.tensors.size(), 4u);
  const ManifestTensor& weight = tensor_of(manifest, "weight");
  const ManifestTensor& row = tensor_of(manifest, "row");
  EXPECT_EQ(row, (ManifestTensor{"row", "float32", {3}, {1}, "", 0, *weight.data_offset + 12}));
  float value = 0;
  std::memcpy(&value, file.data() + *row.data_offset, sizeof(value));
  EXPECT_EQ(value, 4.0F);
  EXPECT_TRUE(tensor_of(manifest, "none").data_offset);
}

// A pickle of one array, a file of one array, a tar, and what else has no room for a manifest.
TEST(FileManifest, OfEveryKindOfFileHoldsAndCoversEveryByte) {
  const TemporaryFolder folder;
  std::map<FileKind, std::size_t> kinds;
  const auto check = [&](const fs::path& path) {
    const Result<VerifyReport> before = verify(path);
    if (!before || !before->ok) return;
    const FileKind kind = before->format.kind;
    const bool is_archive = !before->records.empty();
    if (is_archive || kinds[kind] >= 12) return;
    const Result<Manifest> made = write_manifest_sidecar(path, folder / "sidecar.json", {.overwrite = true});
    if (!made) {
      EXPECT_EQ(made.error().finding.code, "MANI-CONTAINER") << path << ": " << to_string(made.error());
      return;  // of a set
    }
    kinds[kind] += 1;
    EXPECT_EQ(parse_manifest(read_file(folder / "sidecar.json")).value(), *made) << path;
    std::uint64_t outside = made->size_bytes;
    std::uint64_t end = 0;
    for (const ManifestRecord& record : made->records) {
      EXPECT_GE(record.data_offset, end) << path;
      EXPECT_LT(record.data_offset - end, 64u) << path;
      end = record.data_offset + record.size_bytes;
      outside -= record.size_bytes;
    }
    EXPECT_LT(made->size_bytes - end, 64u) << path;
    EXPECT_LE(outside, 63 * (made->records.size() + 1)) << path;
    for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
      VerifyOptions options;
      options.access = access;
      options.require_manifest = true;
      options.manifest = open_file(folder / "sidecar.json").value();
      const VerifyReport report = verify(path, options).value();
      EXPECT_TRUE(report.ok) << path << ": " << lines_of(report);
      EXPECT_EQ(report.manifest->state, Integrity::verified) << path;
      EXPECT_EQ(report.tensors.size(), made->tensors.size()) << path;
      EXPECT_TRUE(all_are(report, TensorState::intact)) << path;
    }
  };
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fs::path(RUSHLIGHT_GOLDEN_DIR))) {
    if (entry.is_regular_file() && entry.file_size() < 4'000'000) check(entry.path());
  }
  TestSink npy;
  ASSERT_TRUE(write_npy(Tensor::from_values<float>(std::vector<float>(60), {60}).value(), npy));
  write_file(folder / "a.npy", npy.text());
  check(folder / "a.npy");
  write_file(folder / "a.safetensors", saved_safetensors());
  check(folder / "a.safetensors");
  write_file(folder / "a.legacy.pt", saved_legacy());
  check(folder / "a.legacy.pt");
  write_file(folder / "a.gguf", small_gguf());
  check(folder / "a.gguf");
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().stop();
  write_file(folder / "a.pkl", std::string(as_text(pickle.bytes())));
  check(folder / "a.pkl");
  for (const FileKind kind : {FileKind::torch_legacy, FileKind::safetensors, FileKind::npy, FileKind::torch_tar,
                              FileKind::gguf, FileKind::unknown}) {
    EXPECT_GE(kinds[kind], 1u) << to_string(kind);
  }
}

TEST(FileManifest, TheDigestOfTheFileIsThatOfStockTools) {
  if (!has_openssl()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
  for (const std::string& file : {saved_legacy(), saved_safetensors(), saved_small(ManifestLevel::none)}) {
    const std::string sidecar = sidecar_of(file, ManifestLevel::sha256);
    EXPECT_EQ(parse_manifest(sidecar).value().file_sha256, checksum::sha256(as_byte_span(file)).value());
    const VerifyReport report = report_of(file, sidecar);
    EXPECT_TRUE(report.ok) << lines_of(report);
    EXPECT_EQ(report.manifest->file_sha256, Integrity::verified);
    EXPECT_FALSE(parse_manifest(sidecar_of(file)).value().file_sha256);
    EXPECT_EQ(report_of(file, sidecar_of(file)).manifest->file_sha256, Integrity::not_computed);
  }
  EXPECT_EQ(report_of(saved_legacy(), sidecar_of(saved_legacy())).manifest->file_xxh3, Integrity::verified);
  const std::string archive = saved_small(ManifestLevel::none);
  EXPECT_EQ(report_of(archive, sidecar_of(archive)).manifest->file_xxh3, Integrity::not_computed);
}

TEST(FileManifest, OfADamagedFileThereIsNone) {
  const TemporaryFolder folder;
  write_file(folder / "a.pt", saved_legacy().substr(0, saved_legacy().size() - 3));
  const Result<Manifest> made = write_manifest_sidecar(folder / "a.pt", folder / "a.json");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().finding.category, Category::trunc) << line_of(made.error().finding);
  EXPECT_FALSE(fs::exists(folder / "a.json"));
  write_file(folder / "text.pt", "This is no checkpoint at all.\n");
  EXPECT_FALSE(write_manifest_sidecar(folder / "text.pt", folder / "a.json"));
  EXPECT_EQ(add_manifest(folder / "text.pt", folder / "b.pt").has_value(), false);
  write_file(folder / "good.pt", saved_legacy());
  EXPECT_EQ(line_of(add_manifest(folder / "good.pt", folder / "b.pt").error().finding),
            "unsup MANI-CONTAINER: only zip archives have room for a manifest, and this file is none");
}

// --- damage -------------------------------------------------------------------------------------------------------

TEST(FileManifest, DamageIsNamedToTensorChunkAndRange) {
  StateDict state;
  std::vector<float> values(3 * (std::size_t{1} << 20) + 7);  // three chunks and a little
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto count = static_cast<std::int64_t>(values.size());
  const Tensor all = Tensor::from_values<float>(values, {count}).value();
  state.insert("all", all);
  state.insert("first", Tensor::view(all.storage(), DType::f32, {10}, {1}, 0).value());
  state.insert("other", Tensor::from_values<float>(std::vector<float>{1, 2}, {2}).value());
  SaveOptions save_options;
  save_options.kind = FileKind::torch_legacy;
  std::string file = saved(state, save_options);
  const std::string sidecar = sidecar_of(file);
  const Manifest manifest = parse_manifest(sidecar).value();
  const std::uint64_t begin = *tensor_of(manifest, "all").data_offset;
  EXPECT_EQ(std::ranges::find(manifest.records, begin, &ManifestRecord::data_offset)->chunks.size(), 4u);
  const auto pool = make_thread_pool(3);
  for (Executor* const executor : {static_cast<Executor*>(nullptr), pool.get()}) {
    VerifyOptions options;
    options.executor = executor;
    EXPECT_EQ(said_of(file, sidecar, options), "ok");
    file[begin + (5u << 20)] ^= 4;
    const VerifyReport report = report_of(file, sidecar, options);
    file[begin + (5u << 20)] ^= 4;
    const Finding* const finding = finding_of(report, "MANI-MISMATCH");
    ASSERT_NE(finding, nullptr) << lines_of(report);
    EXPECT_EQ(finding->message, "bytes [" + hex(begin + (4u << 20)) + ", " + hex(begin + (8u << 20)) +
                                    ") of the file are not those that the manifest vouches for");
    EXPECT_EQ(finding->record, "@" + hex(begin));
    EXPECT_EQ(finding->offset, begin + (4u << 20));
    EXPECT_EQ(finding->record_offset, 4u << 20);
    EXPECT_EQ(finding->tensors, std::vector<std::string>{"all"});
    EXPECT_EQ(states(report),
              (std::map<std::string, TensorState>{
                  {"all", TensorState::damaged}, {"first", TensorState::intact}, {"other", TensorState::intact}}));
    EXPECT_EQ(finding_of(report, "MANI-SELF"), nullptr);
    EXPECT_EQ(report.manifest->file_xxh3, Integrity::mismatch);
  }
  // Cut off within the last chunk, and a byte longer.
  VerifyReport report = report_of(file.substr(0, begin + (9u << 20)), sidecar);
  EXPECT_NE(finding_of(report, "MANI-SIZE"), nullptr);
  const Finding* const cut = finding_of(report, "MANI-MISMATCH");
  ASSERT_NE(cut, nullptr);
  EXPECT_EQ(cut->record_offset, 8u << 20);
  report = report_of(file + "x", sidecar);
  EXPECT_NE(finding_of(report, "MANI-SIZE"), nullptr);
  EXPECT_FALSE(report.ok);
  EXPECT_TRUE(all_are(report, TensorState::damaged));
}

TEST(FileManifest, StatesAreNeverConflated) {
  const std::string file = saved_legacy();
  const std::string sidecar = sidecar_of(file);
  // Without one nobody knows.
  const VerifyReport plain = verify(Source::from_memory(as_byte_span(file))).value();
  EXPECT_TRUE(plain.ok);
  EXPECT_TRUE(plain.records.empty());
  EXPECT_TRUE(all_are(plain, TensorState::unverified));
  VerifyReport report = report_of(file, sidecar);
  EXPECT_TRUE(all_are(report, TensorState::intact));
  for (const RecordReport& record : report.records) {
    EXPECT_EQ(record.crc, Integrity::not_computed);
    EXPECT_EQ(record.xxh3, Integrity::verified);
    EXPECT_EQ(record.sha256, Integrity::not_computed);
  }
  EXPECT_EQ(report.checked_bytes, file.size());
  // One bit of a storage: one record, its tensors.
  const std::uint64_t at = *tensor_of(parse_manifest(sidecar).value(), "count").data_offset;
  std::string damaged = file;
  damaged[at] ^= 1;
  report = report_of(damaged, sidecar);
  for (const RecordReport& record : report.records) {
    EXPECT_EQ(record.xxh3, record.offset == at ? Integrity::mismatch : Integrity::verified);
  }
  EXPECT_EQ(states(report)["count"], TensorState::damaged);
  EXPECT_EQ(states(report)["weight"], TensorState::intact);
  // A sidecar that cannot be read says nothing.
  std::string broken = sidecar;
  broken[0] = '[';
  report = report_of(file, broken);
  EXPECT_EQ(report.manifest->state, Integrity::mismatch);
  EXPECT_EQ(report.manifest->level, ManifestLevel::none);
  EXPECT_EQ(report.manifest->file_xxh3, Integrity::not_computed);
  EXPECT_TRUE(report.records.empty());
  EXPECT_TRUE(all_are(report, TensorState::unverified));
  // The pickle: a damaged one says nothing about any tensor.
  damaged = file;
  damaged[damaged.find("weight")] ^= 1;
  report = report_of(damaged, sidecar);
  EXPECT_EQ(report.records[0].xxh3, Integrity::mismatch);
  EXPECT_TRUE(all_are(report, TensorState::damaged));
  EXPECT_EQ(finding_of(report, "MANI-MISMATCH")->tensors.size(), 4u);
  EXPECT_EQ(finding_of(report, "MANI-TENSOR"), nullptr);
  // The size before a storage lies in no record.
  damaged = file;
  damaged[at - 1] ^= 1;
  report = report_of(damaged, sidecar);
  EXPECT_NE(finding_of(report, "MANI-SELF"), nullptr);
}

TEST(FileManifest, AFileThatCannotBeReadIsComparedAllTheSame) {
  const std::string file = saved_safetensors();
  const std::string sidecar = sidecar_of(file);
  std::string damaged = file;
  damaged[8] = '[';
  const VerifyReport report = report_of(damaged, sidecar);
  EXPECT_FALSE(report.ok);
  EXPECT_TRUE(report.tensors.empty());
  ASSERT_GE(report.records.size(), 3u);
  EXPECT_EQ(report.records[0].xxh3, Integrity::mismatch);
  EXPECT_EQ(report.records[1].xxh3, Integrity::verified);
  EXPECT_EQ(report.records[2].xxh3, Integrity::verified);
  EXPECT_EQ(finding_of(report, "MANI-MISMATCH")->tensors.size(), 4u);
}

TEST(FileManifest, IsTheSameOnAnyNumberOfThreadsAndCanBeCancelled) {
  StateDict state;
  for (int i = 0; i < 300; ++i) state.insert("t" + std::to_string(i), Tensor::zeros(DType::f32, {100 * i}).value());
  TestSink sink;
  ASSERT_TRUE(write_safetensors(state, sink));
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors", sink.text());
  const Manifest alone = write_manifest_sidecar(folder / "a.safetensors", folder / "a.json").value();
  const auto pool = make_thread_pool(4);
  ManifestOptions options;
  options.executor = pool.get();
  options.access = FileAccess::pread;
  EXPECT_EQ(write_manifest_sidecar(folder / "a.safetensors", folder / "b.json", options).value(), alone);
  class Stop final : public Progress {
   public:
    bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
  } stop;
  options.progress = &stop;
  const Result<Manifest> cancelled = write_manifest_sidecar(folder / "a.safetensors", folder / "c.json", options);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(fs::exists(folder / "c.json"));
}

TEST(ManifestVector, OfALegacyFileIsWrittenAgain) {
  if (!has_openssl()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
  const fs::path vectors = fs::path(RUSHLIGHT_TESTS_SOURCE_DIR) / ".." / "format-spec" / "vectors";
  const TemporaryFolder folder;
  ManifestOptions options;
  options.level = ManifestLevel::sha256;
  ASSERT_TRUE(write_manifest_sidecar(vectors / "digest.legacy.pt", folder / "a.json", options));
  EXPECT_EQ(read_file(folder / "a.json"), read_file(vectors / "digest.legacy.json"));
}

// --- the rows M ---------------------------------------------------------------------------------------------------

TEST(HostileFileManifests, M01_NoManifestIsRefusedOnRequest) {
  VerifyOptions options;
  options.require_manifest = true;
  const std::string file = saved_legacy();
  EXPECT_EQ(lines_of(verify(Source::from_memory(as_byte_span(file)), options).value()),
            "mani MANI-ABSENT: the file has no manifest");
  EXPECT_EQ(said_of(file, sidecar_of(file), options), "ok");
}

TEST(HostileFileManifests, M03_AWrongDigestOfTheFileIsNamed) {
  const ManifestLevel level = has_openssl() ? ManifestLevel::sha256 : ManifestLevel::xxh3;
  const std::string file = saved_legacy();
  const auto said = [&](std::string_view field) {
    std::string sidecar = sidecar_of(file, level);
    forge_sidecar(file, sidecar, [&](std::string& text) {
      const std::size_t at = text.find(field) + field.size() + 3;
      text[at] = text[at] == '0' ? '1' : '0';
    });
    return said_of(file, sidecar);
  };
  EXPECT_EQ(said("\"file_xxh3"), "mani MANI-FILE-XXH3: the file's XXH3-128 is not that of the manifest");
  EXPECT_NE(said("\"xxh3").find("mani MANI-MISMATCH @0x0 at 0x0: bytes [0x0, "), std::string::npos);
  EXPECT_EQ(said("self_xxh3"), "ok") << "it is made to fit again";
  if (!has_openssl()) return;
  EXPECT_EQ(said("\"file_sha256"), "mani MANI-FILE-SHA256: the file's SHA-256 is not that of the manifest");
  EXPECT_NE(said("\"sha256").find("mani MANI-SHA256 @0x0 at 0x0: the SHA-256 of bytes [0x0, "), std::string::npos);
  // That of an archive too.
  const std::string archive = saved_small(ManifestLevel::none);
  std::string sidecar = sidecar_of(archive, level);
  char& digit = sidecar[sidecar.find("\"file_sha256") + 15];
  digit = digit == '0' ? '1' : '0';
  const VerifyReport report = report_of(archive, sidecar);
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.manifest->file_sha256, Integrity::mismatch);
}

TEST(HostileFileManifests, M04_TensorsThatDifferAreNamed) {
  const std::string file = saved_legacy();
  std::string sidecar = sidecar_of(file);
  forge_sidecar(file, sidecar, [](std::string& text) { replace_once(text, "\"count\"", "\"Count\""); });
  EXPECT_NE(said_of(file, sidecar).find("and the manifest has 'Count'"), std::string::npos);
  sidecar = sidecar_of(file);
  forge_sidecar(file, sidecar, [](std::string& text) { replace_once(text, "\"strides\":[3,1]", "\"strides\":[1,2]"); });
  EXPECT_EQ(said_of(file, sidecar),
            "mani MANI-TENSOR: tensor 0 is 'weight' in the file, and the manifest has another dtype, shape, strides or "
            "place for it");
  // A manifest of another file.
  EXPECT_FALSE(report_of(saved_safetensors(), sidecar_of(file)).ok);
}

TEST(HostileFileManifests, M05_AManifestOfTheOtherKindIsRefused) {
  const std::string archive = saved_small(ManifestLevel::none);
  EXPECT_EQ(said_of(archive, sidecar_of(saved_legacy())),
            "mani MANI-CONTAINER: the manifest is one of a file that is no archive, and the file is a zip archive: "
            "nothing was compared with it");
  EXPECT_EQ(said_of(saved_legacy(), sidecar_of(archive)),
            "mani MANI-CONTAINER: the manifest is one of a zip archive, and the file is none that could be opened: "
            "nothing was compared with it");
  EXPECT_EQ(report_of(saved_legacy(), sidecar_of(archive)).manifest->state, Integrity::mismatch);
  // In an archive neither a manifest of a file nor one that knows the whole file.
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().stop();
  TorchZip zip = zip_with(pickle);
  zip.add(".rushlight/manifest.json", sidecar_of(saved_legacy()));
  EXPECT_NE(lines_of(verified(zip.build())).find("MANI-CONTAINER: the manifest is one of a file that is no archive"),
            std::string::npos);
  if (!has_openssl()) return;
  TorchZip other = zip_with(pickle);
  other.add(".rushlight/manifest.json", sidecar_of(archive, ManifestLevel::sha256));
  EXPECT_NE(lines_of(verified(other.build()))
                .find("MANI-CONTAINER: the manifest says what the whole file is, which only one beside it can know"),
            std::string::npos);
}

TEST(HostileFileManifests, M07_FormsThatNoWriterMakesAreRefused) {
  const std::string good = sidecar_of(saved_legacy());
  const auto said_of_text = [](const std::string& text) {
    const Result<Manifest> manifest = parse_manifest(text);
    return manifest ? std::string("ok") : line_of(manifest.error().finding);
  };
  const auto said = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    replace_once(text, from, to);
    return said_of_text(text);
  };
  EXPECT_EQ(said("\"container\":\"file\"", "\"container\":\"tar\""),
            "mani MANI-FIELD: manifest container, expected 'zip' or 'file', found 'tar'");
  EXPECT_EQ(said("\"container\":\"file\"", "\"container\":\"file\",\"root\":\"\""),
            "mani MANI-FIELD: manifest has its field 'records' in another place");
  EXPECT_EQ(said("\"file_xxh3\"", "\"file_crc\""), "mani MANI-UNKNOWN: manifest has the unknown field 'file_crc'");
  const std::size_t at = good.find("\"file_xxh3\"");
  EXPECT_EQ(said_of_text(good.substr(0, at) + good.substr(good.find("\"container\""))),
            "mani MANI-FIELD: manifest has no field 'file_xxh3'");
  EXPECT_EQ(said("\"container\"", "\"file_sha256\":\"" + std::string(64, '0') + "\",\n\"container\""),
            "mani MANI-FIELD: manifest has 'file_sha256' and no 'self_sha256'");
  EXPECT_EQ(said("{\"data_offset\":0,", "{\"name\":\"x\",\"data_offset\":0,"),
            "mani MANI-FIELD: manifest record 0: has its field 'data_offset' in another place");
  // Records that overlap, are empty, or reach beyond the file.
  const Manifest manifest = parse_manifest(good).value();
  const auto with = [&](std::size_t record, std::uint64_t offset, std::uint64_t size) {
    Manifest other = manifest;
    other.records[record].data_offset = offset;
    other.records[record].size_bytes = size;
    return said_of_text(checkpoint::encode(other));
  };
  const ManifestRecord& second = manifest.records[1];
  EXPECT_EQ(with(1, second.data_offset - 9, second.size_bytes).substr(0, 49),
            "mani MANI-ORDER: manifest record 1: '@0x" + hex(second.data_offset - 9).substr(2, 3) + "' does");
  EXPECT_EQ(with(2, manifest.size_bytes - 1, 2),
            "mani MANI-FIELD: manifest record 2: bytes " + std::to_string(manifest.size_bytes - 1) +
                " and 2 more are no stretch of " + std::to_string(manifest.size_bytes) + " bytes");
  EXPECT_NE(with(2, 18446744073709551615u, 18446744073709551615u).find("MANI-FIELD"), std::string::npos);
  EXPECT_NE(with(0, 0, 0).find("are no stretch of"), std::string::npos);
  Manifest other = manifest;
  other.tensors[0].data_offset = manifest.size_bytes + 1;
  EXPECT_NE(
      said_of_text(checkpoint::encode(other)).find("MANI-FIELD: manifest tensor 0: data_offset, expected at most"),
      std::string::npos);
  // Of an archive, that of the whole file by XXH3.
  Manifest archive = parse_manifest(sidecar_of(saved_small(ManifestLevel::none))).value();
  archive.file_xxh3.emplace();
  EXPECT_EQ(said_of_text(checkpoint::encode(archive)), "mani MANI-FIELD: manifest of an archive has 'file_xxh3'");
}

TEST(HostileFileManifests, M08_WhatNobodyCouldReadIsNotWritten) {
  const TemporaryFolder folder;
  write_file(folder / "a.pt", saved_legacy());
  ManifestOptions options;
  options.limits.archive_entries = 2;
  const Result<Manifest> made = write_manifest_sidecar(folder / "a.pt", folder / "a.json", options);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().finding.code, "LIMIT-MANIFEST");
  EXPECT_FALSE(fs::exists(folder / "a.json"));
  VerifyOptions verify_options;
  verify_options.limits.archive_entries = 2;
  const std::string file = saved_legacy();
  EXPECT_NE(said_of(file, sidecar_of(file), verify_options).find("limit LIMIT-ENTRIES"), std::string::npos);
}

// --- signatures ---------------------------------------------------------------------------------------------------

class HostileFileSignatures : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!has_openssl()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
    const std::string kind = GetParam();
    file_ = kind == "legacy"        ? saved_legacy()
            : kind == "safetensors" ? saved_safetensors()
                                    : saved_small(ManifestLevel::none);
    path_ = folder_ / "a.model";
    write_file(path_, file_);
    options_.private_key_pem = kPrivateKey;
    options_.overwrite = false;
  }
  std::string said(const std::string& file, const fs::path& manifest, const fs::path& signature,
                   std::string_view key = kPublicKey) const {
    VerifyOptions options;
    options.public_key_pem = key;
    if (!manifest.empty()) options.manifest = open_file(manifest).value();
    if (!signature.empty()) options.signature = open_file(signature).value();
    const Result<VerifyReport> report = verify(Source::from_memory(as_byte_span(file)), options);
    if (!report) return to_string(report.error());
    EXPECT_EQ(report->ok, report->signature && report->signature->state == Integrity::verified);
    return report->ok ? "ok" : lines_of(*report);
  }
  TemporaryFolder folder_;
  std::string file_;
  fs::path path_;
  SignOptions options_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, HostileFileSignatures, testing::Values("legacy", "safetensors", "zip"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(HostileFileSignatures, M11_OneStepWritesTheManifestAndItsSignature) {
  const Result<SignReport> made = sign_detached(path_, folder_ / "a.sig", options_);
  ASSERT_TRUE(made) << to_string(made.error());
  const fs::path manifest = folder_ / "a.model.manifest.json";
  EXPECT_EQ(made->manifest, manifest);
  EXPECT_EQ(manifest, sidecar_manifest_path(path_));
  EXPECT_TRUE(made->manifest_written);
  EXPECT_EQ(read_file(path_), file_);
  EXPECT_EQ(read_file(manifest), sidecar_of(file_, ManifestLevel::sha256));
  EXPECT_EQ(said(file_, manifest, folder_ / "a.sig"), "ok");
  // Everything else fails closed.
  EXPECT_NE(said(file_, manifest, "").find("SIG-UNSIGNED"), std::string::npos);
  EXPECT_NE(said(file_, "", folder_ / "a.sig").find("SIG-NO-MANIFEST"), std::string::npos);
  EXPECT_NE(said(file_, "", "").find("SIG-UNSIGNED"), std::string::npos);
  EXPECT_NE(said(file_, manifest, folder_ / "a.sig", kOtherPublicKey).find("SIG-MISMATCH"), std::string::npos);
  std::string other = file_;
  other[other.size() / 2] ^= 1;
  EXPECT_NE(said(other, manifest, folder_ / "a.sig"), "ok");
  // Who makes a manifest of the other file fit has no signature for it.
  if (std::string_view(GetParam()) != "zip") {
    std::string with_other_value = file_;
    with_other_value[*tensor_of(parse_manifest(read_file(manifest)).value(), "weight").data_offset] ^= 1;
    write_file(folder_ / "other.json", sidecar_of(with_other_value, ManifestLevel::sha256));
    EXPECT_NE(said(with_other_value, folder_ / "other.json", folder_ / "a.sig").find("SIG-MISMATCH"),
              std::string::npos);
  }
  // One without SHA-256 is never enough, whoever signed it.
  write_file(folder_ / "fast.json", sidecar_of(file_));
  EXPECT_NE(said(file_, folder_ / "fast.json", folder_ / "a.sig").find("SIG-NO-MANIFEST"), std::string::npos);
}

TEST_P(HostileFileSignatures, M11_AManifestThatIsThereIsSignedAndNeverWrittenAgain) {
  const fs::path manifest = sidecar_manifest_path(path_);
  write_file(manifest, sidecar_of(file_, ManifestLevel::sha256));
  Result<SignReport> made = sign_detached(path_, folder_ / "a.sig", options_);
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_FALSE(made->manifest_written);
  EXPECT_EQ(said(file_, manifest, folder_ / "a.sig"), "ok");
  // Without SHA-256, of another file, torn: the error, and nothing is written.
  const std::string of_other =
      sidecar_of(saved_safetensors() == file_ ? saved_legacy() : saved_safetensors(), ManifestLevel::sha256);
  for (const std::string& text : {sidecar_of(file_), of_other, std::string("{}")}) {
    write_file(manifest, text);
    EXPECT_FALSE(sign_detached(path_, folder_ / "b.sig", options_)) << text;
    EXPECT_FALSE(fs::exists(folder_ / "b.sig"));
    EXPECT_EQ(read_file(manifest), text);
  }
  // Another name, as wished.
  options_.manifest = folder_ / "mine.json";
  made = sign_detached(path_, folder_ / "c.sig", options_);
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_EQ(made->manifest, folder_ / "mine.json");
  EXPECT_EQ(said(file_, folder_ / "mine.json", folder_ / "c.sig"), "ok");
  // A signature that is there stays, and then no manifest appears.
  options_.manifest = folder_ / "late.json";
  EXPECT_EQ(sign_detached(path_, folder_ / "c.sig", options_).error().finding.code, "IO-EXISTS");
  EXPECT_FALSE(fs::exists(folder_ / "late.json"));
  // Of a damaged file there is nothing to sign.
  write_file(path_, file_.substr(0, file_.size() - 2));
  EXPECT_FALSE(sign_detached(path_, folder_ / "d.sig", options_));
  EXPECT_FALSE(fs::exists(folder_ / "late.json"));
  EXPECT_FALSE(fs::exists(folder_ / "d.sig"));
}

TEST_P(HostileFileSignatures, M12_StrippedSidecarsAreUnsigned) {
  ASSERT_TRUE(sign_detached(path_, folder_ / "a.sig", options_));
  write_file(folder_ / "short.sig", read_file(folder_ / "a.sig").substr(0, 63));
  EXPECT_NE(said(file_, sidecar_manifest_path(path_), folder_ / "short.sig").find("SIG-LENGTH"), std::string::npos);
  write_file(folder_ / "zero.sig", std::string(64, '\0'));
  EXPECT_NE(said(file_, sidecar_manifest_path(path_), folder_ / "zero.sig").find("SIG-MISMATCH"), std::string::npos);
}

}  // namespace
}  // namespace rushlight::test
