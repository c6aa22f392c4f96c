#include "rushlight/salvage.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "rushlight/inspect.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/save.hpp"
#include "support/pickle_builder.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_sink.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::test {
namespace {

using Contents = std::map<std::string, std::string>;  // of tensors, by name: dtype, shape and bytes

Contents contents_of(const Value& root) {
  Contents contents;
  const Status walked = walk(root, [&](const WalkItem& item) {
    if (const auto tensor = item.value->as_tensor()) {
      const Tensor dense = tensor->contiguous().value();
      std::string text = std::string(to_string(dense.dtype())) + " ";
      for (const std::int64_t size : dense.shape()) text += std::to_string(size) + ",";
      text += as_text(dense.bytes().value());
      contents[to_string(item.path)] = text;
    }
    return true;
  });
  EXPECT_TRUE(walked);
  return contents;
}

bool notes(const SalvageReport& report, std::string_view code) {
  return std::ranges::any_of(report.findings, [&](const Finding& finding) { return finding.code == code; });
}

class Salvaging : public testing::Test {
 protected:
  Result<SalvageReport> rescue(ByteSpan bytes) {
    TestSink sink;
    Result<SalvageReport> report = salvage(Source::from_memory(bytes), sink);
    written_ = to_bytes(sink.text());
    return report;
  }

  Value rescued_root() { return Checkpoint::open(Source::from_memory(written_)).value().root(); }
  Contents rescued_contents() { return contents_of(rescued_root()); }

  // Whatever it rescued equals the original, and its report is about the file that is there.
  void expect_true(const SalvageReport& report, const Contents& original, const std::string& what) {
    if (!report.written) {
      EXPECT_TRUE(report.rescued.empty()) << what;
      return;
    }
    const Contents rescued = rescued_contents();
    EXPECT_EQ(rescued.size(), report.rescued.size()) << what;
    EXPECT_EQ(rescued.size() + report.lost.size(), original.size()) << what;
    for (const auto& [name, content] : rescued) {
      const auto found = original.find(name);
      ASSERT_NE(found, original.end()) << what << ": " << name;
      EXPECT_TRUE(found->second == content) << what << ": another " << name;
    }
    EXPECT_EQ(report.complete, report.lost.empty()) << what;
  }

  TemporaryFolder folder_;
  std::filesystem::path out_ = folder_ / "rescued.pt";
  Bytes written_;
};

Tensor floats(float first, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return Tensor::from_values<float>(values, {count}).value();
}

// Twelve tensors, of which several have one size, so that orders by number and by text differ.
Value twelve() {
  std::vector<std::pair<Value, Value>> items;
  for (int i = 0; i < 12; ++i) {
    items.emplace_back("layer" + std::to_string(i) + ".w", floats(static_cast<float>(100 * i), i % 3 == 0 ? 5 : 7));
  }
  items.emplace_back("epoch", 3);
  return Value::dict(items);
}

Bytes saved(const Value& value, const SaveOptions& options) {
  TestSink sink;
  save(value, sink, options).value();
  return to_bytes(sink.text());
}

struct Form {
  std::string name;
  SaveOptions options;
};
std::vector<Form> zip_forms() {
  std::vector<Form> forms(4);
  forms[0].name = "2.15";
  forms[1].name = "2.6";
  forms[1].options.torch = "2.6";
  forms[2].name = "1.13";
  forms[2].options.torch = "1.13";
  forms[3].name = "256";
  forms[3].options.storage_alignment = 256;
  return forms;
}

TEST_F(Salvaging, AWholeFileIsWrittenAgain) {
  const Bytes whole = saved(twelve(), {});
  const SalvageReport report = rescue(whole).value();
  EXPECT_TRUE(report.complete);
  EXPECT_EQ(report.rescued.size(), 12u);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(rescued_contents(), contents_of(twelve()));
  EXPECT_EQ(rescued_root()["epoch"].as_int(), 3);
}

std::uint64_t first_of(const std::map<std::string, std::uint64_t>& ends) {
  return std::ranges::min_element(ends, {}, [](const auto& end) { return end.second; })->second;
}

// Where the data of each storage and its descriptor end.
std::map<std::string, std::uint64_t> ends_of(const Bytes& whole) {
  std::map<std::string, std::uint64_t> ends;
  const auto source = Source::from_memory(whole);
  const Checkpoint checkpoint = Checkpoint::open(source).value();
  for (const TensorEntry& entry : inspect(checkpoint).value().tensors) {
    ends[entry.name] = entry.tensor.storage().place()->offset + entry.tensor.storage().size_bytes() +
                       (entry.tensor.storage().size_bytes() == 0 ? 0 : 16);
  }
  return ends;
}

TEST_F(Salvaging, WhereverAnArchiveIsCutWhatIsBeforeTheCutIsRescued) {
  const Contents original = contents_of(twelve());
  for (const Form& form : zip_forms()) {
    const Bytes whole = saved(twelve(), form.options);
    const std::map<std::string, std::uint64_t> ends = ends_of(whole);
    const std::uint64_t first = first_of(ends);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string what = form.name + " cut at " + std::to_string(size);
      const Result<SalvageReport> report = rescue(ByteSpan(whole).first(size));
      if (!report) {  // too short to be anything
        EXPECT_LT(size, first) << what;
        continue;
      }
      EXPECT_TRUE(size < first || report->written) << what;
      expect_true(*report, original, what);
      const std::set<std::string> rescued(report->rescued.begin(), report->rescued.end());
      for (const auto& [name, end] : ends) {
        // Signature and checksum are proof enough: the sizes behind them need not be there.
        EXPECT_EQ(rescued.contains(name), report->written && end - 8 <= size) << what << ": " << name;
      }
      if (HasFailure()) return;
    }
  }
}

TEST_F(Salvaging, DamageOfSingleBytesLosesLittleAndNeverGivesAWrongTensor) {
  const Contents original = contents_of(twelve());
  for (const Form& form : zip_forms()) {
    const Bytes whole = saved(twelve(), form.options);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const unsigned flip : {1u, 0xFFu}) {
        Bytes damaged = whole;
        damaged[at] ^= static_cast<std::byte>(flip);
        const std::string what = form.name + " byte " + std::to_string(at) + " ^ " + std::to_string(flip);
        const Result<SalvageReport> report = rescue(damaged);
        ASSERT_TRUE(report) << what << ": " << to_string(report.error());
        expect_true(*report, original, what);
        EXPECT_LE(report->lost.size(), report->written ? 1u : 12u) << what;
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(Salvaging, DamageWithoutADirectoryNeverGivesAWrongTensor) {
  const Contents original = contents_of(twelve());
  for (const Form& form : zip_forms()) {
    const Bytes whole = saved(twelve(), form.options);
    std::uint64_t cut = whole.size() - 120;
    std::size_t kept = 0;
    std::size_t tried = 0;
    for (std::size_t at = 0; at < cut; ++at) {
      Bytes damaged = whole;
      damaged.resize(cut);
      damaged[at] ^= static_cast<std::byte>(1u << (at % 8));
      const std::string what = form.name + " byte " + std::to_string(at);
      const Result<SalvageReport> report = rescue(damaged);
      if (!report) continue;
      expect_true(*report, original, what);
      if (report->written) kept += report->rescued.size(), ++tried;
      if (HasFailure()) return;
    }
    EXPECT_GT(kept, 11 * tried - tried / 10) << form.name;  // one lost at most, nearly always
  }
}

TEST_F(Salvaging, RandomDamageNeverGivesAWrongTensor) {
  const Contents original = contents_of(twelve());
  std::mt19937 random(7);
  const Bytes whole = saved(twelve(), {});
  for (int round = 0; round < 3000; ++round) {
    Bytes damaged = whole;
    if (random() % 2 == 0) damaged.resize(damaged.size() - random() % 2000);
    const std::size_t places = 1 + random() % 4;
    for (std::size_t i = 0; i < places; ++i) {
      const std::size_t at = random() % damaged.size();
      const std::size_t count = std::min<std::size_t>(damaged.size() - at, random() % 3 == 0 ? random() % 600 : 1);
      for (std::size_t k = 0; k < count; ++k) damaged[at + k] = static_cast<std::byte>(count > 1 ? 0 : random());
    }
    if (random() % 8 == 0)
      damaged.insert(damaged.begin() + static_cast<std::ptrdiff_t>(random() % damaged.size()), std::byte{0});
    const Result<SalvageReport> report = rescue(damaged);
    if (!report) continue;
    expect_true(*report, original, "round " + std::to_string(round));
    if (HasFailure()) return;
  }
}

TEST_F(Salvaging, ALegacyStreamIsRescuedUpToTheCut) {
  SaveOptions options;
  options.kind = FileKind::torch_legacy;
  const Bytes whole = saved(twelve(), options);
  const Contents original = contents_of(twelve());
  const Checkpoint checkpoint = Checkpoint::open(Source::from_memory(whole)).value();
  std::map<std::string, std::uint64_t> ends;
  for (const TensorEntry& entry : inspect(checkpoint).value().tensors) {
    ends[entry.name] = entry.tensor.storage().place()->offset + entry.tensor.storage().size_bytes();
  }
  const std::uint64_t first = first_of(ends);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string what = "cut at " + std::to_string(size);
    const Result<SalvageReport> report = rescue(ByteSpan(whole).first(size));
    if (!report) {
      EXPECT_LT(size, first) << what;
      continue;
    }
    EXPECT_TRUE(size < first || report->written) << what;
    expect_true(*report, original, what);
    EXPECT_TRUE(!report->written || report->rescued.empty() || notes(*report, "SALVAGE-UNCHECKED")) << what;
    const std::set<std::string> rescued(report->rescued.begin(), report->rescued.end());
    for (const auto& [name, end] : ends) EXPECT_EQ(rescued.contains(name), report->written && end <= size) << what;
    if (HasFailure()) return;
  }
}

// A tensor whose bytes are a whole archive, of other values under the same names: what a search for headers would find.
TEST_F(Salvaging, AnArchiveInsideATensorIsNeverTakenForTheOneAroundIt) {
  std::vector<std::pair<Value, Value>> inner_items;
  for (int i = 0; i < 4; ++i)
    inner_items.emplace_back("w" + std::to_string(i), floats(-50.0F * static_cast<float>(i), 6));
  const Bytes inner = saved(Value::dict(inner_items), {});
  const auto size = static_cast<std::int64_t>(inner.size());
  for (const int position : {0, 2}) {
    std::vector<std::pair<Value, Value>> items;
    for (int i = 0; i < 4; ++i) {
      if (i == position) items.emplace_back("blob", Tensor::from_bytes(inner, DType::u8, {size}).value());
      items.emplace_back("w" + std::to_string(i), floats(1000.0F * static_cast<float>(i), 6));
    }
    const Contents original = contents_of(Value::dict(items));
    const Bytes whole = saved(Value::dict(items), {});
    for (std::size_t at = 0; at + 1 < whole.size(); ++at) {
      // Cut where the directory is, or in the middle of the inner one, and damaged before.
      for (const std::size_t cut : {whole.size() - 100, whole.size() * 2 / 3}) {
        if (at >= cut) continue;
        Bytes damaged(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut));
        damaged[at] ^= static_cast<std::byte>(1u << (at % 8));
        const Result<SalvageReport> report = rescue(damaged);
        if (!report) continue;
        expect_true(*report, original, "byte " + std::to_string(at) + " cut at " + std::to_string(cut));
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(Salvaging, DictsAndSetsLoseWhatIsLostOtherContainersGoWhole) {
  const std::vector<std::pair<Value, Value>> state = {{"exp_avg", floats(1, 3)}, {"step", 4}};
  const std::vector<Value> pair = {Value("first"), Value(floats(10, 3))};
  const std::vector<Value> list = {Value(floats(20, 3)), Value(floats(30, 5))};
  const std::vector<std::pair<Value, Value>> items = {{"model", Value::dict(state)},
                                                      {"pair", Value::tuple(pair)},
                                                      {"list", Value::list(list)},
                                                      {"epoch", 3},
                                                      {"deep", Value::list(std::vector<Value>{Value::tuple(pair)})}};
  const Bytes whole = saved(Value::dict(items), {});
  const Checkpoint checkpoint = Checkpoint::open(Source::from_memory(whole)).value();
  const auto damaged_at = [&](std::string_view name) {
    Bytes damaged = whole;
    const auto place = checkpoint.root().at(name).as_tensor()->storage().place();
    damaged[static_cast<std::size_t>(place->offset)] ^= std::byte{1};
    return damaged;
  };
  {
    const SalvageReport report = rescue(damaged_at("model.exp_avg")).value();
    EXPECT_TRUE(report.written);
    EXPECT_FALSE(report.complete);
    ASSERT_EQ(report.lost.size(), 1u);
    EXPECT_EQ(report.lost[0].name, "model.exp_avg");
    EXPECT_EQ(report.lost[0].reason, LossReason::checksum);
    EXPECT_EQ(report.lost[0].record, "data/0");
    EXPECT_TRUE(report.left_out.empty());
    EXPECT_EQ(rescued_root()["model"].size(), 1u);
    EXPECT_EQ(rescued_root()["model"]["step"].as_int(), 4);
    EXPECT_FALSE(rescued_root()["model"].contains("exp_avg"));
    EXPECT_EQ(rescued_root().size(), 5u);
  }
  {
    const SalvageReport report = rescue(damaged_at("list[1]")).value();
    EXPECT_TRUE(report.written);
    EXPECT_EQ(report.left_out, std::vector<std::string>{"list"});
    ASSERT_EQ(report.lost.size(), 2u);
    EXPECT_EQ(report.lost[0].name, "list[0]");
    EXPECT_EQ(report.lost[0].reason, LossReason::in_container);
    EXPECT_EQ(report.lost[1].reason, LossReason::checksum);
    EXPECT_FALSE(rescued_root().contains("list"));
    EXPECT_EQ(rescued_root()["epoch"].as_int(), 3);
  }
  {
    // Both places of the tuple go, and the list around one of them.
    const SalvageReport report = rescue(damaged_at("pair[1]")).value();
    EXPECT_TRUE(report.written);
    EXPECT_FALSE(rescued_root().contains("pair"));
    EXPECT_EQ(report.left_out.front(), "pair");
  }
}

TEST_F(Salvaging, ARootThatCannotLoseWhatIsLostIsNotWritten) {
  const std::vector<Value> items = {Value(floats(20, 3)), Value(floats(30, 5))};
  Bytes whole = saved(Value::list(items), {});
  const Checkpoint checkpoint = Checkpoint::open(Source::from_memory(whole)).value();
  const auto place = checkpoint.root()[0].as_tensor()->storage().place();
  whole[static_cast<std::size_t>(place->offset)] ^= std::byte{1};
  const SalvageReport report = rescue(whole).value();
  EXPECT_FALSE(report.written);
  EXPECT_TRUE(written_.empty());
  EXPECT_TRUE(report.rescued.empty());
  EXPECT_EQ(report.lost.size(), 2u);
  EXPECT_TRUE(notes(report, "SALVAGE-ROOT"));
}

TEST_F(Salvaging, WithoutAPickleTheWholeRecordsAreNamed) {
  Bytes whole = saved(twelve(), {});
  whole[100] ^= std::byte{1};  // in the pickle
  whole.resize(whole.size() - 60);
  const SalvageReport report = rescue(whole).value();
  EXPECT_FALSE(report.written);
  EXPECT_TRUE(notes(report, "SALVAGE-NO-PICKLE"));
  ASSERT_GE(report.records.size(), 17u);
  EXPECT_EQ(report.records[0].state, RecordState::damaged);
  EXPECT_EQ(std::ranges::count(report.records, RecordState::whole, &SalvagedRecord::state),
            static_cast<std::ptrdiff_t>(report.records.size()) - 1);
}

TEST_F(Salvaging, FilesWithoutChecksumsAreTakenAtTheirWord) {
  SaveOptions options;
  options.crc = false;
  Bytes whole = saved(twelve(), options);
  const SalvageReport sound = rescue(whole).value();
  EXPECT_TRUE(sound.complete);
  EXPECT_TRUE(notes(sound, "SALVAGE-UNCHECKED"));
  whole.resize(whole.size() - 60);
  const SalvageReport cut = rescue(whole).value();
  EXPECT_TRUE(cut.complete);
  EXPECT_TRUE(notes(cut, "SALVAGE-UNCHECKED"));
  EXPECT_EQ(rescued_contents(), contents_of(twelve()));
}

// A stored 0 among checksums is a damaged checksum.
TEST_F(Salvaging, AChecksumOfZeroAmongOthersIsNone) {
  Bytes whole = saved(twelve(), {});
  const std::map<std::string, std::uint64_t> ends = ends_of(whole);
  put<std::uint32_t>(whole, ends.at("layer4.w") - 12, 0);
  whole.resize(whole.size() - 60);
  const SalvageReport report = rescue(whole).value();
  ASSERT_EQ(report.lost.size(), 1u);
  EXPECT_EQ(report.lost[0].name, "layer4.w");
  EXPECT_EQ(report.lost[0].reason, LossReason::checksum);
}

TEST_F(Salvaging, BigEndianElementsKeepTheirValues) {
  TorchZip zip("base");
  PickleBuilder pickle;
  const std::vector<std::int64_t> shape = {2};
  pickle.proto(2).empty_dict().text("a").tensor("FloatStorage", "0", shape).setitem();
  pickle.text("b").tensor("FloatStorage", "1", shape).setitem().stop();
  const Bytes elements = to_bytes({"\x3f\x80\0\0\x40\0\0\0", 8});  // 1, 2
  zip.add("data.pkl", pickle.bytes()).add("byteorder", "big").add("data/0", elements).add("data/1", elements);
  zip.add("version", "3\n");
  Bytes bytes = zip.build();
  const std::uint64_t word = zip.place("byteorder").data;
  {
    Bytes renamed = bytes;  // in the directory, which nobody would miss
    renamed[static_cast<std::size_t>(zip.place("byteorder").central) + 46 + 5] ^= std::byte{1};
    const SalvageReport report = rescue(renamed).value();
    EXPECT_EQ(report.rescued.size(), 2u);
    EXPECT_EQ(rescued_root()["a"].as_tensor()->values<float>().value()[1], 2.0F);
  }
  bytes.resize(bytes.size() - 30);
  for (const bool damaged : {false, true}) {
    if (damaged) bytes[static_cast<std::size_t>(word)] ^= std::byte{1};  // its checksum still says which word it was
    const SalvageReport report = rescue(bytes).value();
    EXPECT_EQ(report.rescued.size(), 2u) << damaged;
    EXPECT_EQ(rescued_root()["a"].as_tensor()->values<float>().value()[1], 2.0F);
  }
  bytes[static_cast<std::size_t>(word) + 9] ^= std::byte{1};  // and now it says nothing
  const SalvageReport report = rescue(bytes).value();
  EXPECT_FALSE(report.written);
  EXPECT_TRUE(notes(report, "SALVAGE-BYTEORDER"));
}

TEST_F(Salvaging, TheDamagedFileIsNeverReplacedAndOthersOnlyOnRequest) {
  const Bytes whole = saved(twelve(), {});
  const std::filesystem::path damaged = folder_ / "damaged.pt";
  write_file(damaged, as_text(ByteSpan(whole).first(whole.size() - 10)));
  const auto code = [&](const std::filesystem::path& target, bool overwrite) {
    const auto report = salvage(damaged, target, {.overwrite = overwrite});
    return report ? std::string("written") : report.error().finding.code;
  };
  EXPECT_EQ(code(damaged, false), "SALVAGE-TARGET");
  EXPECT_EQ(code(damaged, true), "SALVAGE-TARGET");
  std::filesystem::create_symlink(damaged, folder_ / "link.pt");
  EXPECT_EQ(code(folder_ / "link.pt", true), "SALVAGE-TARGET");
  EXPECT_EQ(read_file(damaged).size(), whole.size() - 10);
  write_file(out_, "old");
  EXPECT_EQ(code(out_, false), "SALVAGE-TARGET");
  EXPECT_EQ(read_file(out_), "old");
  EXPECT_EQ(code(out_, true), "written");
  EXPECT_EQ(contents_of(Checkpoint::open(out_).value().root()), contents_of(twelve()));
  EXPECT_EQ(salvage(folder_ / "nothing.pt", folder_ / "new.pt").error().code, ErrorCode::not_found);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new.pt"));
}

TEST_F(Salvaging, WhatHoldsNoTensorsIsAnError) {
  EXPECT_EQ(rescue(to_bytes("<html></html>")).error().code, ErrorCode::not_a_checkpoint);
  EXPECT_EQ(rescue({}).error().code, ErrorCode::not_a_checkpoint);
}

TEST_F(Salvaging, ItIsTheSameWhetherAFileIsMappedOrRead) {
  const Bytes whole = saved(twelve(), {});
  for (std::size_t size = 900; size < whole.size(); size += 37) {
    Bytes damaged(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    damaged[size / 2] ^= std::byte{4};
    std::array<TestSink, 2> sinks;
    std::array<std::vector<std::string>, 2> rescued;
    for (const std::size_t i : {0u, 1u}) {
      const auto access = i == 0 ? TestSource::Access::mapped : TestSource::Access::read_only;
      const auto report = salvage(std::make_shared<TestSource>(damaged, access), sinks[i]);
      if (report) rescued[i] = report->rescued;
    }
    EXPECT_EQ(rescued[0], rescued[1]) << size;
    EXPECT_EQ(sinks[0].text(), sinks[1].text()) << size;
  }
}

TEST_F(Salvaging, ACutSafetensorsFileKeepsWhatIsBeforeTheCut) {
  StateDict state;
  for (int i = 0; i < 5; ++i) state.insert("w" + std::to_string(i), floats(static_cast<float>(i), 3));
  TestSink sink;
  ASSERT_TRUE(write_safetensors(state, sink));
  const Bytes whole = to_bytes(sink.text());
  const Checkpoint checkpoint = Checkpoint::open(Source::from_memory(whole)).value();
  const Contents original = contents_of(checkpoint.root());
  const std::uint64_t data = checkpoint.root()["w0"].as_tensor()->storage().place()->offset;
  for (std::size_t size = 10; size < whole.size(); ++size) {
    const Result<SalvageReport> report = rescue(ByteSpan(whole).first(size));
    if (!report) {
      EXPECT_LT(size, data);
      continue;
    }
    EXPECT_EQ(report->written, size >= data) << size;
    if (!report->written) continue;
    expect_true(*report, original, "cut at " + std::to_string(size));
    EXPECT_EQ(report->rescued.size(), (size - data) / 12) << size;
  }
}

TEST_F(Salvaging, ALegacyCountThatDoesNotFitEndsWhatIsKnown) {
  SaveOptions options;
  options.kind = FileKind::torch_legacy;
  Bytes whole = saved(twelve(), options);
  const Checkpoint checkpoint = Checkpoint::open(Source::from_memory(whole)).value();
  std::map<std::uint64_t, std::string> names;  // by place
  for (const TensorEntry& entry : inspect(checkpoint).value().tensors) {
    names[entry.tensor.storage().place()->offset] = entry.name;
  }
  const auto fifth = std::next(names.begin(), 4);
  whole[static_cast<std::size_t>(fifth->first) - 8] ^= std::byte{1};
  const SalvageReport report = rescue(whole).value();
  EXPECT_EQ(report.rescued.size(), 4u);
  expect_true(report, contents_of(twelve()), "count");
}

TEST_F(Salvaging, SparsePartsThatDoNotFitAreLost) {
  const auto part = [](std::vector<std::int64_t> values) {
    return Tensor::from_values<std::int64_t>(values, {static_cast<std::int64_t>(values.size())}).value();
  };
  const CompositeTensor sparse =
      CompositeTensor::sparse(Layout::sparse_csr, {2, 3}, {part({0, 1, 2}), part({2, 0}), floats(1, 2)}).value();
  SaveOptions options;
  options.kind = FileKind::torch_legacy;
  const Value root = Value::dict(
      std::vector<std::pair<Value, Value>>{{Value("dense"), Value(floats(3, 4))}, {Value("sparse"), Value(sparse)}});
  Bytes whole = saved(root, options);
  EXPECT_TRUE(rescue(whole).value().complete);
  const Bytes rows = bytes_of(std::vector<std::int64_t>{0, 1, 2});
  const auto found = std::search(whole.begin(), whole.end(), rows.begin(), rows.end());
  ASSERT_NE(found, whole.end());
  found[16] = std::byte{9};
  const SalvageReport report = rescue(whole).value();
  ASSERT_TRUE(report.written);
  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.rescued, (std::vector<std::string>{"dense"}));
  ASSERT_EQ(report.lost.size(), 3u);
  EXPECT_EQ(report.lost[0].reason, LossReason::in_container);
  const auto finding = std::ranges::find_if(
      report.findings, [](const Finding& found_finding) { return found_finding.category == Category::tensor; });
  ASSERT_NE(finding, report.findings.end());
  EXPECT_EQ(finding->message, "a sparse or nested tensor is lost: crow_indices 2, expected from 1 to 2, found 9");
}

TEST_F(Salvaging, ArchivesOfNumPyKeepTheArraysBeforeTheCut) {
  StateDict state;
  for (int i = 0; i < 5; ++i) state.insert("a" + std::to_string(i), floats(static_cast<float>(10 * i), 7 + i));
  for (const bool compressed : {false, true}) {
    TestSink sink;
    ASSERT_TRUE(write_npz(state, sink, {.compressed = compressed}));
    const Bytes whole = to_bytes(sink.text());
    const Contents original = contents_of(Checkpoint::open(Source::from_memory(whole)).value().root());
    std::size_t most = 0;
    for (std::size_t size = 4; size < whole.size(); ++size) {
      const Result<SalvageReport> report = rescue(ByteSpan(whole).first(size));
      if (!report || !report->written) {
        EXPECT_EQ(most, 0u) << size;
        continue;
      }
      EXPECT_GE(report->rescued.size(), most) << size;
      most = report->rescued.size();
      const Contents rescued = rescued_contents();
      EXPECT_EQ(rescued.size(), most) << size;
      for (const auto& [name, content] : rescued) EXPECT_TRUE(original.at(name) == content) << name << " " << size;
      // Whether others followed is known once the directory begins.
      EXPECT_EQ(report->complete, !notes(*report, "SALVAGE-REST")) << size;
      EXPECT_LE(report->lost.size(), 1u);
    }
    EXPECT_EQ(most, 5u);
    // Damage inside of one array, and no directory.
    Bytes damaged(whole.begin(), whole.end() - 30);
    const std::size_t third = sink.text().find("a2.npy") + (compressed ? 40 : 150);
    damaged[third] ^= std::byte{1};
    const SalvageReport report = rescue(damaged).value();
    EXPECT_EQ(report.rescued.size() + report.lost.size(), 5u);
    EXPECT_EQ(report.lost.at(0).name, "a2");
    EXPECT_EQ(report.lost.at(0).reason, LossReason::checksum);
  }
}

}  // namespace
}  // namespace rushlight::test
