// Power cuts at every moment of a save: in each state that the disk may then be in, the name holds the whole old file
// or the whole new one, and after success the new one (hostile-inputs W15, W16, W17).
#include "power_cut.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "checksum/ed25519.hpp"
#include "io/atomic_file.hpp"
#include "operation_recorder.hpp"
#include "rushlight/convert.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/save.hpp"
#include "rushlight/verify.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_keys.hpp"
#include "support/test_sink.hpp"

namespace rushlight::test {
namespace {

using Kind = Operation::Kind;
using Files = std::map<std::string, std::string>;
const std::string kName = "a.pt";

// Some pages of it, no two alike.
StateDict state_of(float seed, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = seed + static_cast<float>(i);
  StateDict state;
  state.insert("weight", Tensor::from_values<float>(values, {count}).value());
  state.insert("count", Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{7}, {}).value());
  return state;
}

std::string saved(const StateDict& state, ManifestLevel manifest = ManifestLevel::xxh3) {
  TestSink sink;
  EXPECT_TRUE(save(state, sink, {.root = "a", .manifest = manifest}));
  return sink.text();
}

// Does `write` in a folder of `before`. Gives its operations, and what stands under kName then.
std::vector<Operation> record(const Files& before, const std::function<Status(const std::filesystem::path&)>& write,
                              OperationRecorder::Plan plan, std::string* after = nullptr) {
  const TemporaryFolder folder;
  for (const auto& [name, bytes] : before) write_file(folder / name, bytes);
  std::vector<Operation> operations;
  {
    const OperationRecorder recorder(plan);
    const Status status = write(folder.path());
    EXPECT_EQ(status.has_value(), !recorder.has_failed()) << (status ? "" : to_string(status.error()));
    operations = recorder.operations();
  }
  if (after != nullptr) *after = read_file(folder / kName);
  return operations;
}

// States in which kName holds something that it must not. `allowed` has those that it may hold at some time: an old one
// and a new one, where nullopt is no file.
struct Verdict {
  std::size_t states = 0;
  std::size_t torn = 0;  // neither
  std::size_t lost = 0;  // not the new one, though the writing had succeeded
  std::vector<std::string> torn_contents{};
};

Verdict judge(const PowerCut& cut, const std::optional<std::string>& before, const std::string& after) {
  Verdict verdict;
  const std::size_t all = cut.operations().size();
  std::set<std::string_view> seen;
  for (std::size_t done = 0; done <= all; ++done) {
    verdict.states += cut.for_each_state(done, [&](const DiskState& state) {
      const std::optional<std::string_view> found = state.at(kName);
      const bool is_new = found == after;
      const bool is_old = found.has_value() == before.has_value() && (!found || *found == *before);
      if (!is_new && !is_old) {
        ++verdict.torn;
        if (found) verdict.torn_contents.emplace_back(*found);
      }
      if (done == all && !is_new) ++verdict.lost;
    });
  }
  return verdict;
}

Status save_new(const std::filesystem::path& folder) {
  const Result<SaveReport> report =
      save(state_of(1000, 9'000), folder / kName, {.root = "a", .manifest = ManifestLevel::xxh3});
  return report ? Status() : Status(report.error());
}

Status write_after_reserving(const std::filesystem::path& path, std::uint64_t reserved, const std::string& text) {
  const auto file = io::AtomicFile::create(path, reserved);
  if (!file) return file.error();
  if (Status status = (*file)->write(as_byte_span(text)); !status) return status;
  return (*file)->commit();
}

struct Road {
  std::string name;
  Files before;
  std::function<Status(const std::filesystem::path& folder)> write;
};

std::vector<Road> roads() {
  const std::string old = saved(state_of(0, 3'000));
  std::vector<Road> roads;
  roads.push_back({"save over an old file", {{kName, old}}, save_new});
  roads.push_back({"save where there was none", {}, save_new});
  // What was reserved in vain is given back.
  roads.push_back({"write more than was expected", {{kName, old}}, [](const std::filesystem::path& folder) {
                     return write_after_reserving(folder / kName, 10'000, std::string(30'000, 'x'));
                   }});
  roads.push_back({"write less than was expected", {{kName, old}}, [](const std::filesystem::path& folder) {
                     return write_after_reserving(folder / kName, 40'000, std::string(20'000, 'x'));
                   }});
  roads.push_back({"put a manifest into a file",
                   {{kName, saved(state_of(5, 9'000), ManifestLevel::none)}},
                   [](const std::filesystem::path& folder) {
                     const Result<Manifest> manifest = add_manifest(folder / kName, folder / kName);
                     return manifest ? Status() : Status(manifest.error());
                   }});
  roads.push_back(
      {"convert to safetensors, read back", {{"in.pt", old}, {kName, old}}, [](const std::filesystem::path& folder) {
         const Checkpoint checkpoint = Checkpoint::open(folder / "in.pt").value();
         const Result<ConvertReport> report =
             convert(checkpoint, folder / kName, {.kind = FileKind::safetensors, .verify = true});
         return report ? Status() : Status(report.error());
       }});
  roads.push_back({"write_npz", {}, [](const std::filesystem::path& folder) {
                     return write_npz(state_of(7, 5'000), folder / kName);
                   }});
  roads.push_back({"write where there must be none", {}, [](const std::filesystem::path& folder) {
                     const Result<SaveReport> report = save(state_of(3, 4'000), folder / kName, {.overwrite = false});
                     return report ? Status() : Status(report.error());
                   }});
  return roads;
}

std::optional<std::string> old_of(const Road& road) {
  const auto found = road.before.find(kName);
  return found == road.before.end() ? std::nullopt : std::optional(found->second);
}

TEST(PowerCut, W15_W16_W17_EveryStateOfTheDiskHasTheOldFileOrTheNewOne) {
  std::size_t states = 0;
  for (const Road& road : roads()) {
    // All at once, and in pieces that end within pages and sectors.
    for (const std::size_t most_bytes : {~std::size_t{0}, std::size_t{5'003}}) {
      std::string after;
      const PowerCut cut(road.before, record(road.before, road.write, {.most_bytes = most_bytes}, &after));
      const Verdict verdict = judge(cut, old_of(road), after);
      EXPECT_EQ(verdict.torn, 0U) << road.name;
      EXPECT_EQ(verdict.lost, 0U) << road.name;
      states += verdict.states;
    }
  }
  EXPECT_GE(states, 10'000U);
  RecordProperty("disk_states", static_cast<int>(states));
}

TEST(PowerCut, W15_AfterASaveThatFailedAnywhereTheOldFileIsThere) {
  std::size_t states = 0;
  for (const Road& road : roads()) {
    for (int n = 0;; ++n) {
      const TemporaryFolder folder;
      for (const auto& [name, bytes] : road.before) write_file(folder / name, bytes);
      std::vector<Operation> operations;
      bool succeeded = false;
      bool failed = false;
      bool in_place = false;
      {
        const OperationRecorder recorder({.fail_at = n});
        const Status status = road.write(folder.path());
        operations = recorder.operations();
        succeeded = status.has_value();
        in_place = status || status.error().finding.code == "IO-SYNC-FOLDER";
        failed = recorder.has_failed();
      }
      if (!failed) break;
      const std::string after = in_place ? read_file(folder / kName) : std::string("nothing of it");
      const PowerCut cut(road.before, operations);
      const Verdict verdict = judge(cut, old_of(road), after);
      EXPECT_EQ(verdict.torn, 0U) << road.name << " " << n;
      // The failure of the last sync says that the name may not survive; and so it may not.
      EXPECT_EQ(succeeded, verdict.lost == 0) << road.name << " " << n;
      states += verdict.states;
    }
  }
  EXPECT_GE(states, 10'000U);
  RecordProperty("disk_states", static_cast<int>(states));
}

TEST(PowerCut, W16_OfTwoSavesInARowTheFirstIsNeverUndone) {
  const std::string old = saved(state_of(0, 3'000));
  const std::string first = saved(state_of(1, 4'000));
  std::vector<std::size_t> behind_sync;
  std::string second;
  const std::vector<Operation> operations = record(
      {{kName, old}},
      [&](const std::filesystem::path& folder) -> Status {
        for (const float seed : {1.0F, 2.0F}) {
          const Result<SaveReport> report =
              save(state_of(seed, 4'000), folder / kName, {.root = "a", .manifest = ManifestLevel::xxh3});
          if (!report) return report.error();
        }
        return {};
      },
      {.most_bytes = 4'000}, &second);
  const PowerCut cut({{kName, old}}, operations);
  const auto first_sync = std::ranges::find(operations, Kind::sync_folder, &Operation::kind);
  const auto first_done = static_cast<std::size_t>(first_sync - operations.begin()) + 1;
  ASSERT_LT(first_done, operations.size());
  for (std::size_t done = first_done; done <= operations.size(); ++done) {
    cut.for_each_state(done, [&](const DiskState& state) {
      const auto found = state.at(kName);
      ASSERT_TRUE(found == second || (done < operations.size() && found == first)) << done;
    });
  }
}

// Files that belong together. Each save is on the disk when it returns, and so whoever writes the parts first and what
// names them last never has a new name for an old part. `order`: the names as they are written.
std::size_t expect_whole_in_order(const std::string& what, const Files& before, const std::vector<std::string>& order,
                                  const std::function<Status(const std::filesystem::path& folder)>& write) {
  Files after;
  const std::vector<Operation> operations = record(before,
                                                   [&](const std::filesystem::path& folder) {
                                                     Status status = write(folder);
                                                     for (const std::string& name : order)
                                                       after[name] = read_file(folder / name);
                                                     return status;
                                                   },
                                                   {.most_bytes = 5'003});
  const PowerCut cut(before, operations);
  std::size_t states = 0;
  std::set<std::size_t> counts;
  for (std::size_t done = 0; done <= operations.size(); ++done) {
    states += cut.for_each_state(done, [&](const DiskState& state) {
      std::size_t in_place = 0;
      for (std::size_t i = 0; i < order.size(); ++i) {
        const std::optional<std::string_view> found = state.at(order[i]);
        if (found == after.at(order[i])) {
          EXPECT_EQ(in_place, i) << what << ": " << order[i] << " comes before those that it needs, " << done;
          in_place = i + 1;
          continue;
        }
        const auto old = before.find(order[i]);
        EXPECT_EQ(found.has_value(), old != before.end()) << what << ": " << order[i] << " " << done;
        EXPECT_TRUE(old == before.end() || found == old->second) << what << ": " << order[i] << " " << done;
      }
      for (const auto& [name, bytes] : before) {
        EXPECT_TRUE(after.contains(name) || state.at(name) == bytes) << what << ": " << name << " " << done;
      }
      counts.insert(in_place);
    });
  }
  EXPECT_EQ(counts.size(), order.size() + 1) << what;  // none of them, the first, ... all
  return states;
}

TEST(PowerCut, W36_AnIndexIsNeverThereBeforeItsShards) {
  const Files before{
      {"a.json", "of a-1.pt and a-2.pt"}, {"a-1.pt", saved(state_of(1, 2'000))}, {"a-2.pt", saved(state_of(2, 2'000))}};
  const std::size_t states = expect_whole_in_order(
      "shards", before, {"b-1.pt", "b-2.pt", "b-3.pt", "a.json"}, [](const std::filesystem::path& folder) -> Status {
        for (const int shard : {1, 2, 3}) {
          const Result<SaveReport> report =
              save(state_of(static_cast<float>(shard), 3'000), folder / ("b-" + std::to_string(shard) + ".pt"));
          if (!report) return report.error();
        }
        return write_after_reserving(folder / "a.json", 100, "of b-1.pt, b-2.pt and b-3.pt");
      });
  EXPECT_GT(states, 1'000U);
  RecordProperty("disk_states", static_cast<int>(states));
}

TEST(PowerCut, W36_ASignatureIsNeverThereBeforeItsManifest) {
  if (!checksum::ed25519_available()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
  const std::size_t states =
      expect_whole_in_order("sign_detached", {{"a.pt", saved(state_of(1, 2'000), ManifestLevel::none)}},
                            {"a.pt.manifest.json", "a.sig"}, [](const std::filesystem::path& folder) {
                              const Result<SignReport> report = sign_detached(
                                  folder / "a.pt", folder / "a.sig", {.private_key_pem = std::string(kPrivateKey)});
                              return report ? Status() : Status(report.error());
                            });
  RecordProperty("disk_states", static_cast<int>(states));
}

// --- that the model can find fault ---

std::vector<Operation> without(std::vector<Operation> operations, Kind kind) {
  std::erase_if(operations, [kind](const Operation& operation) { return operation.kind == kind; });
  return operations;
}

struct Saved {
  std::string old = saved(state_of(0, 3'000));
  std::string now;
  std::vector<Operation> operations = record({{kName, old}}, save_new, {.most_bytes = 10'000}, &now);

  [[nodiscard]] Verdict judged(const std::vector<Operation>& as) const {
    return judge(PowerCut({{kName, old}}, as), old, now);
  }
};

TEST(PowerCutModel, FindsAWriterThatDoesNotSyncItsFile) {
  const Saved save;
  EXPECT_EQ(save.judged(save.operations).torn, 0U);
  const Verdict verdict = save.judged(without(save.operations, Kind::sync_file));
  EXPECT_GT(verdict.torn, 1000U);
  EXPECT_GT(verdict.lost, 1000U);
  const auto has = [&](const auto& predicate) { return std::ranges::any_of(verdict.torn_contents, predicate); };
  EXPECT_TRUE(has([](const std::string& content) { return content.empty(); }));
  EXPECT_TRUE(has([&](const std::string& content) { return content == std::string(save.now.size(), '\0'); }));
  EXPECT_TRUE(has([&](const std::string& content) { return content == save.now.substr(0, 513); }));
}

TEST(PowerCutModel, FindsAWriterThatRenamesBeforeItSyncs) {
  const Saved save;
  std::vector<Operation> operations = save.operations;
  const auto sync = std::ranges::find(operations, Kind::sync_file, &Operation::kind);
  const auto rename = std::ranges::find(operations, Kind::rename, &Operation::kind);
  ASSERT_TRUE(sync < rename && rename != operations.end());
  std::iter_swap(sync, rename);
  const Verdict verdict = save.judged(operations);
  EXPECT_GT(verdict.torn, 0U);
  EXPECT_EQ(verdict.lost, 0U);  // the sync came after all
}

TEST(PowerCutModel, FindsAWriterThatDoesNotSyncTheFolder) {
  const Saved save;
  const Verdict verdict = save.judged(without(save.operations, Kind::sync_folder));
  EXPECT_EQ(verdict.torn, 0U);
  EXPECT_GT(verdict.lost, 0U);
}

TEST(PowerCutModel, FindsAWriterThatWritesInPlace) {
  const Saved save;
  const std::vector<Operation> in_place{{.kind = Kind::truncate, .file = -1, .size_bytes = 0},
                                        {.kind = Kind::write, .file = -1, .bytes = save.now},
                                        {.kind = Kind::sync_file, .file = -1},
                                        {.kind = Kind::sync_folder}};
  const Verdict verdict = save.judged(in_place);
  EXPECT_GT(verdict.torn, 100U);
  EXPECT_EQ(verdict.lost, 0U);
}

TEST(PowerCutModel, FindsAWriterThatRemovesTheOldFileFirst) {
  const Saved save;
  std::vector<Operation> operations = save.operations;
  const auto rename = std::ranges::find(operations, Kind::rename, &Operation::kind);
  operations.insert(rename, {.kind = Kind::unlink, .name = kName});
  EXPECT_GT(save.judged(operations).torn, 0U);
}

// What no program can mend: a disk that says that it has synced and has not. Then a manifest finds whatever is neither
// the old file nor the new one. (Where all is as before the save, there is nothing to find: that file is whole.)
TEST(PowerCutModel, W18_WhatADiskThatLiesAboutSyncsLeavesIsFoundByTheManifest) {
  const Saved save;
  std::vector<Operation> lies = without(without(save.operations, Kind::sync_file), Kind::sync_folder);
  const Verdict verdict = save.judged(lies);
  std::set<std::string> contents(verdict.torn_contents.begin(), verdict.torn_contents.end());
  EXPECT_GT(contents.size(), 1000U);
  for (const std::string& content : contents) {
    const Result<VerifyReport> report = verify(Source::from_memory(as_byte_span(content)));
    // Without a sealed end it is no archive at all; a file that opens is vouched for by its manifest, or it is not
    // good.
    EXPECT_FALSE(report && report->ok) << content.size();
  }
}

}  // namespace
}  // namespace rushlight::test
