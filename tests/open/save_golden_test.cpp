// Every golden file written again: as it was, byte for byte; and in every other form, with equal values.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "rushlight/diff.hpp"
#include "rushlight/save.hpp"
#include "support/test_sink.hpp"
#include "zip/archive.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

// Files of torch.save's two containers that do not come out as they were, and why.
const std::map<std::string, std::string> kOtherBytes = {
    {"format/container/bare.pt", "a pickle that torch.save did not write"},
    {"format/container/byteorder_big.pt", "written little-endian"},
    {"format/container/byteorder_big_v3.pt", "written little-endian"},
    {"format/container/byteorder_big.legacy.pt", "says that it is little-endian, as its elements are"},
    {"format/container/foreign_records.pt", "records outside the root folder stay behind"},
    {"format/container/legacy_two_objects.pt", "the first of two objects in a row"},
    {"format/container/reordered.pt", "storages stand together"},
    {"format/container/rezipped_deflated.pt", "by another zip tool"},
    {"format/container/rezipped_directories.pt", "by another zip tool"},
    {"format/container/rezipped_stored.pt", "by another zip tool"},
    {"format/container/skip_data.pt", "storages left out have a CRC now"},
    {"format/container/trailing_bytes.pt", "bytes behind the archive stay behind"},
    {"format/geometry/storage_shared.legacy.pt", "a storage saved twice by itself is one object"},
    {"format/pickle/protocol1.pt", "protocol 1 becomes 2"},
    {"format/pickle/protocol1.legacy.pt", "protocol 1 becomes 2"},
    {"format/quirks/alignment_wrong.pt", "aligned as its record says"},
    {"format/quirks/comment.pt", "the archive comment stays behind"},
    {"format/quirks/foreign_first.pt", "records outside the root folder stay behind"},
    {"format/quirks/foreign_last.pt", "records outside the root folder stay behind"},
    {"format/quirks/leading_bytes.pt", "bytes before the archive stay behind"},
    {"format/quirks/legacy_trailing.pt", "bytes behind the stream stay behind"},
    {"format/quirks/no_prefix.pt", "gets a root folder"},
    {"format/quirks/no_zip64_end.pt", "gets the end records of torch"},
    {"format/quirks/other_case.pt", "names in torch's case"},
    {"format/quirks/trailing_64k.pt", "bytes behind the archive stay behind"},
};
// Python 2 wrote texts and integers with opcodes that Python 3 does not use.
bool by_python2(const std::string& name) {
  return name.find("-py27/") != std::string::npos;
}

struct Golden {
  std::string name;
  fs::path path;
};

std::vector<Golden> golden_files() {
  std::vector<Golden> found;
  const fs::path top = RUSHLIGHT_GOLDEN_DIR;
  for (const char* set : {"fashion", "format", "numpy", "torch-releases"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(top / set)) {
      const std::string extension = entry.path().extension().string();
      const bool is_checkpoint =
          std::set<std::string>{".pt", ".pth", ".bin", ".pkl", ".safetensors", ".npz", ".tar", ".gguf", ".ptl", ".pt2"}
              .contains(extension);
      if (!entry.is_regular_file() || !is_checkpoint) continue;
      found.push_back({fs::relative(entry.path(), top).string(), entry.path()});
    }
  }
  std::ranges::sort(found, {}, &Golden::name);
  return found;
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// With the serialization id and its three CRC fields blanked: torch makes it of a hash that differs between libraries.
std::string without_id(std::string file) {
  std::vector<Finding> findings;
  const auto archive = zip::Archive::open(Source::from_memory(as_byte_span(file)),
                                          {.limits = {}, .window_offset = 0, .window_bytes = {}}, findings);
  if (!archive) return file;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> blanks;
  for (const zip::Entry& entry : (*archive)->entries()) {
    if (!entry.name.ends_with("/.data/serialization_id") || entry.size_bytes != 40) continue;
    const zip::Extent data = (*archive)->data_extent(entry).value();
    blanks.emplace_back(data.begin, data.end + 8);  // and the descriptor's signature and CRC
    blanks.emplace_back(entry.directory_offset + 16, entry.directory_offset + 20);
  }
  for (const auto& [begin, end] : blanks) {
    for (std::uint64_t i = begin; i < end; ++i) file[static_cast<std::size_t>(i)] = '-';
  }
  return file;
}

bool is_torch_save(const Checkpoint& checkpoint) {
  const FileKind kind = checkpoint.format().kind;
  return kind == FileKind::torch_zip || kind == FileKind::torch_legacy;
}

TEST(SaveGolden, UntouchedFilesComeOutAsTheyWere) {
  std::size_t same_zip = 0;
  std::size_t same_legacy = 0;
  std::size_t others = 0;
  std::set<std::string> met;
  for (const Golden& golden : golden_files()) {
    const Result<Checkpoint> checkpoint = Checkpoint::open(golden.path);
    if (!checkpoint || !is_torch_save(*checkpoint)) continue;
    TestSink sink;
    const Result<SaveReport> saved = save(*checkpoint, sink);
    if (golden.name == "format/quirks/crc_mismatch.pt") {  // nobody copies damage
      ASSERT_FALSE(saved);
      EXPECT_EQ(saved.error().code, ErrorCode::checksum_mismatch);
      continue;
    }
    ASSERT_TRUE(saved) << golden.name << ": " << to_string(saved.error());
    EXPECT_EQ(saved->size_bytes, sink.text().size());
    const bool same = without_id(sink.text()) == without_id(content(golden.path));
    if (by_python2(golden.name) || kOtherBytes.contains(golden.name)) {
      EXPECT_FALSE(same && !by_python2(golden.name)) << golden.name << " comes out as it was: it needs no exception";
      met.insert(golden.name);
      ++others;
    } else {
      EXPECT_TRUE(same) << golden.name;
      (checkpoint->format().kind == FileKind::torch_zip ? same_zip : same_legacy) += 1;
    }
    // Once written, it stays: the second round changes nothing at all.
    const Result<Checkpoint> again = Checkpoint::open(Source::from_memory(as_byte_span(sink.text())));
    ASSERT_TRUE(again) << golden.name << ": " << to_string(again.error());
    TestSink second;
    ASSERT_TRUE(save(*again, second)) << golden.name;
    EXPECT_EQ(second.text() == sink.text(), true) << golden.name;
  }
  for (const auto& [name, reason] : kOtherBytes) EXPECT_TRUE(met.contains(name)) << name << ": " << reason;
  std::cout << same_zip << " archives and " << same_legacy << " legacy streams come out byte for byte, " << others
            << " in another form for a reason\n";
  EXPECT_GE(same_zip, 440u);
  EXPECT_GE(same_legacy, 230u);
}

// Tensors and names alone, as StateDict has them, become the bytes that torch wrote for its own state dict.
TEST(SaveGolden, StateDictsAreSpeltAsTorchSpellsThem) {
  // Attributes, classes and addresses that a StateDict does not have.
  const std::set<std::string> others = {"container/location_cuda0.pt",
                                        "container/location_xpu1.pt",
                                        "geometry/buffers.pt",
                                        "geometry/parameters.pt",
                                        "geometry/subclass.pt",
                                        "geometry/subclass_torchvision.pt",
                                        "geometry/conj_neg.pt",
                                        "geometry/tied.pt",
                                        "container/sharded/pytorch_model-00001-of-00002.bin"};
  std::size_t same = 0;
  for (const Golden& golden : golden_files()) {
    if (!golden.name.starts_with("format/") || golden.name.starts_with("format/quirks/")) continue;
    const std::string name = golden.name.substr(7);
    const Result<Checkpoint> checkpoint = Checkpoint::open(golden.path);
    if (!checkpoint || checkpoint->format().kind != FileKind::torch_zip || kOtherBytes.contains(golden.name)) continue;
    if (checkpoint->root().class_name() != "collections.OrderedDict" || others.contains(name)) continue;
    const Result<StateDict> state = checkpoint->state_dict();
    if (!state || !state->path().empty() || state->size() != checkpoint->root().entry_count()) continue;
    TestSink sink;
    const Result<SaveReport> saved = save(*state, sink, {.like = &*checkpoint});
    ASSERT_TRUE(saved) << golden.name << ": " << to_string(saved.error());
    EXPECT_TRUE(without_id(sink.text()) == without_id(content(golden.path))) << golden.name;
    ++same;
  }
  std::cout << same << " state dicts have torch's bytes\n";
  EXPECT_GE(same, 60u);
}

struct Form {
  const char* name;
  SaveOptions options;
};
std::vector<Form> forms() {
  return {{"zip", {.kind = FileKind::torch_zip, .torch = "2.15"}},
          {"zip, protocol 3", {.kind = FileKind::torch_zip, .protocol = 3}},
          {"zip, protocol 4", {.kind = FileKind::torch_zip, .protocol = 4}},
          {"zip, protocol 5", {.kind = FileKind::torch_zip, .protocol = 5}},
          {"as torch 1.6, protocol 2", {.kind = FileKind::torch_zip, .torch = "1.6", .protocol = 2}},
          {"aligned to 4096", {.kind = FileKind::torch_zip, .torch = "2.7", .storage_alignment = 4096}},
          {"legacy, protocol 2", {.kind = FileKind::torch_legacy, .protocol = 2}},
          {"legacy, protocol 5", {.kind = FileKind::torch_legacy, .protocol = 5}}};
}

// The first difference of a report, for people.
std::string first_of(const DiffReport& report) {
  if (!report.findings.empty()) return to_string(report.findings[0]);
  if (!report.changed.empty()) {
    return report.changed[0].name + ": " + std::string(to_string(report.changed[0].kind));
  }
  if (!report.added.empty()) return "added " + report.added[0].name;
  if (!report.removed.empty()) return "removed " + report.removed[0].name;
  return report.values.empty() ? std::string("?") : "value " + report.values[0].name;
}

// What keeps a form from being written: by the end of the message.
bool may_refuse(const std::string& message) {
  for (const std::string_view reason :
       {"it is made with keyword arguments, which needs pickle protocol 4",
        "an object in it is made with keyword arguments, which needs pickle protocol 4",
        "which torch does not save either", "how it is made is known only of objects that a pickle made",
        "a storage in it is named in a way that is not written",
        "of jagged nested tensors only what a file held can be",
        "of a subclass of torch.Tensor only what a file held can be, with the "
        "attributes it had"}) {
    if (message.ends_with(reason)) return true;
  }
  return false;
}

TEST(SaveGolden, EveryFormHoldsEqualValues) {
  std::size_t written = 0;
  std::map<std::string, std::size_t> refused;
  for (const Golden& golden : golden_files()) {
    const Result<Checkpoint> checkpoint = Checkpoint::open(golden.path);
    if (!checkpoint || golden.name == "format/quirks/crc_mismatch.pt") continue;
    for (const Form& form : forms()) {
      TestSink sink;
      const Result<SaveReport> saved = save(*checkpoint, sink, form.options);
      if (!saved) {
        const std::string& message = saved.error().finding.message;
        EXPECT_EQ(saved.error().code, ErrorCode::unsupported) << golden.name << ", " << form.name << ": " << message;
        EXPECT_TRUE(may_refuse(message)) << golden.name << ", " << form.name << ": " << message;
        ++refused[message.substr(message.rfind(':') + 2)];
        continue;
      }
      ++written;
      const Result<Checkpoint> again = Checkpoint::open(Source::from_memory(as_byte_span(sink.text())));
      ASSERT_TRUE(again) << golden.name << ", " << form.name << ": " << to_string(again.error());
      EXPECT_EQ(again->format().kind, form.options.kind) << golden.name;
      const Result<DiffReport> report = diff(*checkpoint, *again);
      ASSERT_TRUE(report) << golden.name << ", " << form.name << ": " << to_string(report.error());
      EXPECT_TRUE(report->same) << golden.name << ", " << form.name << ": " << first_of(*report);
    }
  }
  std::cout << written << " files written in " << forms().size() << " forms\n";
  for (const auto& [reason, count] : refused) std::cout << "  refused " << count << ": " << reason << "\n";
  EXPECT_GE(written, 7000u);
}

}  // namespace
}  // namespace rushlight::test
