#include "rushlight/salvage.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "rushlight/inspect.hpp"
#include "rushlight/save.hpp"
#include "support/legacy_builder.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_sink.hpp"
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
      for (const unsigned flip : {1u, 0x80u, 0xFFu}) {
        Bytes damaged = whole;
        damaged[at] ^= static_cast<std::byte>(flip);
        const std::string what = form.name + " byte " + std::to_string(at) + " ^ " + std::to_string(flip);
            const Result<SalvageReport> report = rescue(damaged);
        if (!report) continue;
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
    if (random() % 8 == 0) damaged.insert(damaged.begin() + static_cast<std::ptrdiff_t>(random() % damaged.size()), std::byte{0});
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

}  // namespace
}  // namespace rushlight::test
