// Every file that PyTorch wrote and described, read here and compared (tests/golden). What is not built must say so by
// its own name; nothing is passed over in silence, and the counts are printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "expectation.hpp"
#include "rushlight/verify.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

struct Golden {
  fs::path file;
  fs::path expect;
  std::string name;  // below the golden folder
};

// FILE.expect.json beside FILE (or a folder of that name), or NAME.expect.json beside NAME.pt.
std::vector<Golden> golden_files(const fs::path& top) {
  std::vector<Golden> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(top)) {
    const std::string json = entry.path().string();
    constexpr std::string_view kSuffix = ".expect.json";
    if (!json.ends_with(kSuffix)) continue;
    const fs::path exact = json.substr(0, json.size() - kSuffix.size());
    const fs::path with_suffix = exact.string() + ".pt";
    const fs::path file = fs::exists(exact) ? exact : with_suffix;
    if (!fs::exists(file)) continue;
    found.push_back({file, entry.path(), fs::relative(file, top).string()});
  }
  std::sort(found.begin(), found.end(), [](const Golden& a, const Golden& b) { return a.name < b.name; });
  return found;
}

// How each container other than torch.save's zip is named.
struct OtherKind {
  FileKind kind;
  ErrorCode code;
};
const std::map<std::string, OtherKind> kOtherKinds = {
    {"mobile flatbuffer", {FileKind::torchscript_mobile, ErrorCode::unsupported}},
};

// The kinds of files that are read, by the description's word for them.
const std::map<std::string, std::vector<FileKind>> kKinds = {
    {"torchscript", {FileKind::torchscript, FileKind::torchscript_mobile}},
    {"pt2", {FileKind::pt2}},
    {"package", {FileKind::torch_package}},
};

// Files with a verdict of their own: the code of the refusal, or "" for those that are read although torch refuses
// them. Where torch reads what we refuse, the reason stands beside it.
const std::map<std::string, std::string> kVerdicts = {
    // Two readers see different bytes: torch the second record, others the first.
    {"quirks/duplicate_same.pt", "ZIP-DUPLICATE"},
    {"quirks/duplicate_other.pt", "ZIP-DUPLICATE"},
    // Whoever reads from front to back finds another record there.
    {"quirks/local_name.pt", "ZIP-LOCAL-NAME"},
    // What follows a pickle may be a second one.
    {"quirks/pickle_trailing.pt", "PKL-TRAILING"},
    // Torch refuses these too.
    {"quirks/backslash.pt", "ZIP-NAME"},
    {"quirks/byteorder_middle.pt", "ZIP-BYTEORDER"},
    {"quirks/byteorder_newline.pt", "ZIP-BYTEORDER"},
    {"quirks/empty.pt", "KIND-FOREIGN"},
    {"quirks/encrypted_flag.pt", "ZIP-FLAGS"},
    {"quirks/gzipped.pt", "KIND-FOREIGN"},
    {"quirks/html.pt", "KIND-FOREIGN"},
    {"quirks/lfs_pointer.pt", "KIND-FOREIGN"},
    {"quirks/legacy_count_wrong.pt", "LEGACY-COUNT"},
    {"quirks/legacy_protocol_1002.pt", "LEGACY-VERSION"},
    {"quirks/legacy_truncated_1.pt", "LEGACY-TRUNCATED"},
    {"quirks/legacy_truncated_pickle.pt", "PKL-NEWLINE"},
    {"quirks/local_signature.pt", "ZIP-LOCAL-SIGNATURE"},
    {"quirks/no_pickle.pt", "ZIP-NO-PICKLE"},
    {"quirks/pickle_cut.pt", "PKL-TRUNCATED"},
    {"quirks/preview_container.pt", "KIND-UNSUPPORTED"},
    {"quirks/storage_long.pt", "STORE-SIZE"},
    {"quirks/storage_missing.pt", "STORE-MISSING"},
    {"quirks/storage_short.pt", "STORE-SIZE"},
    {"quirks/truncated_1.pt", "ZIP-TRUNCATED"},
    {"quirks/truncated_half.pt", "ZIP-TRUNCATED"},
    {"quirks/version_0.pt", "ZIP-VERSION"},
    {"quirks/version_11.pt", "ZIP-VERSION"},
    {"quirks/version_x.pt", "ZIP-VERSION"},
    {"quirks/zip64_end_differs.pt", "ZIP-END64-MISMATCH"},
    // Torch refuses these, and users have them (DESIGN, "whose word wins").
    {"quirks/foreign_first.pt", ""},
    {"quirks/foreign_last.pt", ""},
    {"quirks/leading_bytes.pt", ""},
    {"quirks/no_prefix.pt", ""},
    {"quirks/no_version.pt", ""},
    {"quirks/trailing_64k.pt", ""},
};

// Differences that are meant to be.
const std::map<std::string, std::string> kDifferences = {
    // Torch copies attributes when the call is made; the list in them leads back to the tensor only afterwards. Here
    // the cycle is kept as the program had it.
    {"geometry/attribute_cycle.pt", "t.me[0]: tensor: want none, have one"},
    // The description gives a generator's state as a digest; here it is the tensor that the pickle holds.
    {"training/generator.pt", "generator[2]: tensor: want none, have one"},
    {"training/generator.legacy.pt", "generator[2]: tensor: want none, have one"},
    // Torch cannot hold big-endian arrays; here they are swapped.
    {"container/big_endian.npy", ": tensor: want none, have one"},
    // Readers of these make what they like of an array without elements.
    {"container/state.npz", "empty: strides: want [0], have [1]"},
    {"container/state_compressed.npz", "empty: strides: want [0], have [1]"},
    {"container/state.safetensors", "empty: storage: want shared as group 0, have another storage"},
    // A description of the attributes that DTensor gives out; here they are those it has.
    {"container/dtensor_ranks/rank0.pt", "have rows._spec.mesh._rank_map"},
    {"container/dtensor_ranks/rank1.pt", "have rows._spec.mesh._rank_map"},
    // Parts of a tensor that is the root itself: a name does not begin with a dot here.
    {"geometry/root_sparse.pt", "have indices|have values"},
    {"geometry/root_sparse.legacy.pt", "have indices|have values"},
    // Torch does not look at the CRC: it returns the damaged tensor.
    {"quirks/crc_mismatch.pt", "crc-32 mismatch, stored 3f0328b7, computed 91087b23"},
};

// Whether a difference ends with one of several endings.
bool is_meant(std::string_view difference, std::string_view endings) {
  for (;;) {
    const std::size_t bar = endings.find('|');
    if (difference.ends_with(endings.substr(0, bar))) return true;
    if (bar == std::string_view::npos) return false;
    endings.remove_prefix(bar + 1);
  }
}

class GoldenFiles : public testing::TestWithParam<const char*> {};

struct Counts {
  std::size_t compared = 0, other_kinds = 0, verdicts = 0, tensors = 0, values = 0, not_built = 0, not_compared = 0;
};

// The descriptions of the Fashion-MNIST files, which come from another place, are in the source tree.
std::vector<Golden> fashion_files() {
  std::vector<Golden> found;
  for (const char* name : {"fashion_cnn", "fashion_ckpt", "fashion_module"}) {
    const std::string file(name);
    found.push_back({fs::path(RUSHLIGHT_GOLDEN_DIR) / "fashion" / (file + ".pt"),
                     fs::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "open" / "golden" / (file + ".expect.json"), file});
  }
  return found;
}

void compare_all(const std::vector<Golden>& files, Counts& counts) {
  for (const Golden& golden : files) {
    const Expectation expectation = read_expectation(golden.expect);
    const Result<Checkpoint> checkpoint = Checkpoint::open(golden.file);
    const std::string outcome = checkpoint ? "" : checkpoint.error().finding.code;
    if (const auto verdict = kVerdicts.find(golden.name); verdict != kVerdicts.end()) {
      EXPECT_EQ(outcome, verdict->second) << golden.name;
      ++counts.verdicts;
      if (!checkpoint) continue;
    } else {
      EXPECT_FALSE(expectation.load_error && expectation.kind == "zip" && checkpoint)
          << golden.name << " is read here and not by torch: it needs a verdict";
    }
    if (const auto other = kOtherKinds.find(expectation.kind); other != kOtherKinds.end()) {
      ++counts.other_kinds;
      ASSERT_FALSE(checkpoint) << golden.name;
      EXPECT_EQ(checkpoint.error().code, other->second.code) << golden.name << ": " << to_string(checkpoint.error());
      EXPECT_FALSE(checkpoint.error().finding.hint.empty()) << golden.name;
      const Result<VerifyReport> report = verify(golden.file);
      ASSERT_TRUE(report) << golden.name;
      EXPECT_EQ(to_string(report->format.kind), to_string(other->second.kind)) << golden.name;
      continue;
    }
    if (!checkpoint) {
      ADD_FAILURE() << golden.name << ": " << to_string(checkpoint.error());
      continue;
    }
    if (const auto kinds = kKinds.find(expectation.kind); kinds != kKinds.end()) {
      const auto& named = kinds->second;
      EXPECT_NE(std::find(named.begin(), named.end(), checkpoint->format().kind), named.end()) << golden.name;
      const Result<VerifyReport> report = verify(golden.file);
      ASSERT_TRUE(report) << golden.name;
      EXPECT_TRUE(report->ok) << golden.name;
      for (const Finding& finding : checkpoint->findings()) {
        // A package pickles whole modules, by the names of Python's classes.
        const bool python_class = expectation.kind == "package" && finding.code == "GLOBAL-UNKNOWN";
        EXPECT_TRUE(python_class || finding.code == "KIND-VALUES-ONLY") << golden.name << ": " << finding.message;
      }
    }
    const Comparison comparison = compare(*checkpoint, golden.expect);
    const auto meant = kDifferences.find(golden.name);
    for (const std::string& difference : comparison.differences) {
      if (meant != kDifferences.end() && is_meant(difference, meant->second)) continue;
      ADD_FAILURE() << golden.name << ": " << difference;
    }
    if (meant != kDifferences.end()) {
      EXPECT_FALSE(comparison.differences.empty()) << golden.name;
    }
    ++counts.compared;
    counts.tensors += comparison.tensors;
    counts.values += comparison.values;
    counts.not_built += comparison.not_built;
    counts.not_compared += comparison.not_compared;
  }
}

TEST_P(GoldenFiles, AreReadAsTorchReadsThem) {
  const std::string set = GetParam();
  const std::vector<Golden> files =
      set == "fashion" ? fashion_files() : golden_files(fs::path(RUSHLIGHT_GOLDEN_DIR) / set);
  ASSERT_FALSE(files.empty());
  Counts counts;
  compare_all(files, counts);
  std::cout << GetParam() << ": " << counts.compared << " files compared (" << counts.tensors << " tensors, "
            << counts.values << " values; " << counts.not_built << " tensors stay opaque, " << counts.not_compared
            << " values are not comparable), " << counts.other_kinds << " of other kinds named, " << counts.verdicts
            << " with a verdict of their own\n";
}

// The shards are described one by one.
TEST(GoldenSets, ShardsAreReadAsOne) {
  const fs::path folder = fs::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container" / "sharded";
  const Result<Checkpoint> checkpoint = Checkpoint::open(folder);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(to_string(checkpoint->format().kind), "sharded");
  EXPECT_EQ(checkpoint->root().class_name(), "collections.OrderedDict");
  EXPECT_TRUE(checkpoint->findings().empty());
  std::size_t tensors = 0;
  for (const char* shard : {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}) {
    const Comparison comparison = compare_shard(*checkpoint, folder / (std::string(shard) + ".expect.json"));
    for (const std::string& difference : comparison.differences) ADD_FAILURE() << shard << ": " << difference;
    tensors += comparison.tensors;
  }
  EXPECT_EQ(checkpoint->root().entry_count(), tensors);
}

// Every byte of the sets of files is checked and in order.
TEST(GoldenSets, SetsAreIntact) {
  for (const char* name : {"dcp", "dcp_two_ranks", "sharded"}) {
    const fs::path folder = fs::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container" / name;
    const Result<VerifyReport> report = verify(folder, {.strict = true});
    ASSERT_TRUE(report) << to_string(report.error());
    for (const Finding& finding : report->findings) {
      if (finding.severity != Severity::note) ADD_FAILURE() << name << ": " << to_string(finding);
    }
    EXPECT_TRUE(report->ok && report->structure_ok) << name;
    EXPECT_EQ(report->explained_bytes, report->format.size_bytes) << name;
    EXPECT_FALSE(report->tensors.empty()) << name;
    for (const TensorVerdict& tensor : report->tensors) {
      EXPECT_EQ(to_string(tensor.state), "intact") << name << ": " << tensor.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, GoldenFiles, testing::Values("fashion", "format", "numpy", "torch-releases"),
                         [](const testing::TestParamInfo<const char*>& set) {
                           std::string name = set.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace rushlight::test
