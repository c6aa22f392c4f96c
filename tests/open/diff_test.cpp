#include "rushlight/diff.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "open/compare_elements.hpp"
#include "open/opened_bytes.hpp"
#include "rushlight/interchange.hpp"
#include "support/test_sink.hpp"

namespace rushlight {
namespace {

using test::PickleBuilder;
using test::TestSink;
using test::TorchZip;
using Kind = TensorChange::Kind;
using Write = std::function<void(PickleBuilder&)>;

// --- checkpoints

using Named = std::vector<std::pair<std::string, Tensor>>;

Checkpoint opened(const std::string& bytes) {
  Result<Checkpoint> checkpoint =
      Checkpoint::open(std::make_shared<test::TestSource>(test::to_bytes(bytes), test::TestSource::Access::mapped), {});
  EXPECT_TRUE(checkpoint) << to_string(checkpoint.error());
  return *std::move(checkpoint);
}
StateDict state_of(const Named& tensors) {
  StateDict state;
  for (const auto& [name, tensor] : tensors) state.insert(name, tensor);
  return state;
}
Checkpoint safetensors_of(const Named& tensors, const SafetensorsOptions& options = {}) {
  TestSink sink;
  EXPECT_TRUE(write_safetensors(state_of(tensors), sink, options));
  return opened(sink.text());
}
Checkpoint npz_of(const Named& tensors) {
  TestSink sink;
  EXPECT_TRUE(write_npz(state_of(tensors), sink));
  return opened(sink.text());
}

template <class T>
Tensor of(std::vector<T> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Tensor::from_values<T>(std::span<const T>(values), {count}).value();
}

// A view on eight floats, 0 to 7.
Write view(std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides, std::int64_t offset = 0,
           std::string key = "0") {
  return [=](PickleBuilder& p) {
    p.global("torch._utils", "_rebuild_tensor").mark().storage("FloatStorage", key, 8).integer(offset);
    p.integers(sizes).integers(strides).tuple().reduce();
  };
}
PickleBuilder dict_of(const std::vector<std::pair<std::string, Write>>& entries) {
  PickleBuilder pickle;
  pickle.proto(2).empty_dict();
  for (const auto& [name, write] : entries) {
    pickle.text(name);
    write(pickle);
    pickle.setitem();
  }
  pickle.stop();
  return pickle;
}
// With a second storage "2" of the same eight floats.
Checkpoint torch_of(const std::vector<std::pair<std::string, Write>>& entries) {
  TorchZip zip = test::zip_with(dict_of(entries));
  zip.add("data/2", test::bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  Result<Checkpoint> checkpoint = test::open_bytes(zip.build());
  EXPECT_TRUE(checkpoint) << to_string(checkpoint.error());
  return *std::move(checkpoint);
}

DiffReport compared(const Checkpoint& a, const Checkpoint& b, const DiffOptions& options = {}) {
  Result<DiffReport> report = diff(a, b, options);
  EXPECT_TRUE(report) << to_string(report.error());
  return *std::move(report);
}
// "name kind, ...".
std::string changes(const DiffReport& report) {
  std::string text;
  for (const TensorChange& change : report.changed) {
    text += (text.empty() ? "" : ", ") + change.name + " " + std::string(to_string(change.kind));
  }
  return text;
}
std::string names(const std::vector<TensorEntry>& entries) {
  std::string text;
  for (const TensorEntry& entry : entries) text += (text.empty() ? "" : " ") + entry.name;
  return text;
}
ElementDifferences differences(const Tensor& a, const Tensor& b, const DiffOptions& options = {}) {
  const DiffReport report = compared(safetensors_of({{"t", a}}), safetensors_of({{"t", b}}), options);
  EXPECT_EQ(report.changed.size(), 1U);
  EXPECT_FALSE(report.same);
  return report.changed.empty() ? ElementDifferences{} : report.changed[0].differences;
}
bool are_same(const Tensor& a, const Tensor& b, const DiffOptions& options = {}) {
  return compared(safetensors_of({{"t", a}}), safetensors_of({{"t", b}}), options).same;
}

constexpr float kInf = std::numeric_limits<float>::infinity();
float nan_of(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

// --- elements
// ---------------------------------------------------------------------------------------------------------

TEST(Diff, FiguresOfTwoSmallTensors) {
  const ElementDifferences d = differences(of<float>({1, 2, 4, 0}), of<float>({1, 2.5F, 3, 0}));
  EXPECT_EQ(d.elements, 4);
  EXPECT_EQ(d.different, 2);
  EXPECT_EQ(d.nan, 0);
  EXPECT_EQ(d.max_abs, 1.0);
  EXPECT_EQ(d.max_abs_index, (Shape{2}));
  EXPECT_EQ(d.max_rel, 0.25);
  EXPECT_EQ(d.max_ulp, std::uint64_t{1} << 22);  // 4 to 3: half of a binade of 2^23
  EXPECT_DOUBLE_EQ(*d.rel_l2, std::sqrt(1.25) / std::sqrt(21.0));
  EXPECT_DOUBLE_EQ(*d.cosine, (1 + 5 + 12) / (std::sqrt(21.0) * std::sqrt(16.25)));
}

TEST(Diff, ZerosOfOtherSignDifferByNothing) {
  const ElementDifferences d = differences(of<float>({0.0F, 1}), of<float>({-0.0F, 1}));
  EXPECT_EQ(d.different, 1);
  EXPECT_EQ(d.max_abs, 0.0);
  EXPECT_EQ(d.max_rel, 0.0);
  EXPECT_EQ(d.max_ulp, 0U);
  EXPECT_TRUE(are_same(of<float>({0.0F}), of<float>({-0.0F}), {.atol = 1e-30}));
}

TEST(Diff, NeighboursAreOneUlpApartAcrossZeroToo) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(differences(of<float>({kTiny}), of<float>({0})).max_ulp, 1U);
  EXPECT_EQ(differences(of<float>({-kTiny}), of<float>({kTiny})).max_ulp, 2U);
  EXPECT_EQ(differences(of<double>({1.0}), of<double>({std::nextafter(1.0, 2.0)})).max_ulp, 1U);
  EXPECT_EQ(differences(of<double>({-std::numeric_limits<double>::infinity()}),
                        of<double>({std::numeric_limits<double>::infinity()}))
                .max_ulp,
            2 * 0x7FF0000000000000U);
}

TEST(Diff, NansOfTheSameBitsAreEqualOthersDifferWhateverIsTolerated) {
  EXPECT_TRUE(are_same(of<float>({nan_of(0x7FC00001), kInf}), of<float>({nan_of(0x7FC00001), kInf})));
  for (const float other : {nan_of(0x7FC00002), 1.0F, kInf}) {
    const ElementDifferences d =
        differences(of<float>({nan_of(0x7FC00001), 1}), of<float>({other, 1}), {.rtol = 10, .atol = 10});
    EXPECT_EQ(d.different, 1);
    EXPECT_EQ(d.nan, 1);
    EXPECT_FALSE(d.max_abs);
    EXPECT_FALSE(d.rel_l2);
  }
}

TEST(Diff, ToleranceIsMeasuredAgainstTheFirst) {
  const Tensor a = of<float>({100, 1});
  const Tensor b = of<float>({101, 1});
  EXPECT_TRUE(are_same(a, b, {.rtol = 0.01}));
  EXPECT_FALSE(are_same(a, b, {.rtol = 0.0099}));
  EXPECT_FALSE(are_same(b, a, {.rtol = 0.0099}));
  EXPECT_TRUE(are_same(b, a, {.rtol = 0.00991}));
  EXPECT_TRUE(are_same(a, b, {.atol = 1}));
  EXPECT_TRUE(are_same(a, b, {.rtol = 0.005, .atol = 0.5}));
  const DiffReport close =
      compared(safetensors_of({{"t", a}, {"u", a}}), safetensors_of({{"t", b}, {"u", a}}), {.atol = 1});
  EXPECT_EQ(close.close, 1);
  EXPECT_EQ(close.equal, 1);
  // Figures are those of all that differ; the count is of what is beyond.
  const ElementDifferences d = differences(of<float>({100, 1}), of<float>({100.5F, 4}), {.atol = 1});
  EXPECT_EQ(d.different, 1);
  EXPECT_EQ(d.max_abs, 3.0);
  // An infinity is near nothing.
  EXPECT_FALSE(are_same(of<float>({kInf}), of<float>({1}), {.rtol = 1}));
  EXPECT_FALSE(diff(safetensors_of({}), safetensors_of({}), {.rtol = -1}));
  EXPECT_FALSE(diff(safetensors_of({}), safetensors_of({}), {.atol = std::nan("")}));
}

TEST(Diff, IntegersAndBoolsAreExactWhateverIsTolerated) {
  const ElementDifferences d =
      differences(of<std::int64_t>({std::numeric_limits<std::int64_t>::min(), 5, 7}),
                  of<std::int64_t>({std::numeric_limits<std::int64_t>::max(), 5, 8}), {.rtol = 1, .atol = 100});
  EXPECT_EQ(d.different, 2);
  EXPECT_EQ(d.max_abs, 0x1p64);
  EXPECT_EQ(d.max_abs_index, (Shape{0}));
  EXPECT_FALSE(d.max_ulp);
  EXPECT_EQ(differences(of<std::uint64_t>({0}), of<std::uint64_t>({~std::uint64_t{0}})).max_abs, 0x1p64);
  const auto booleans = [](std::vector<std::byte> bytes) {
    return Tensor::from_bytes(bytes, DType::boolean, {static_cast<std::int64_t>(bytes.size())}).value();
  };
  EXPECT_EQ(differences(booleans({std::byte{0}, std::byte{1}}), booleans({std::byte{1}, std::byte{1}})).different, 1);
}

TEST(Diff, ComplexNumbersDifferByTheirDistance) {
  const auto complex = [](std::vector<float> parts) {
    return Tensor::from_bytes(std::as_bytes(std::span<const float>(parts)), DType::c64,
                              {static_cast<std::int64_t>(parts.size() / 2)})
        .value();
  };
  const ElementDifferences d = differences(complex({3, 4, 1, 1}), complex({6, 8, 1, 1}));
  EXPECT_EQ(d.elements, 2);
  EXPECT_EQ(d.different, 1);
  EXPECT_EQ(d.max_abs, 5.0);
  EXPECT_EQ(d.max_rel, 1.0);
  EXPECT_EQ(d.max_ulp, std::uint64_t{1} << 23);  // both parts doubled
  EXPECT_TRUE(are_same(complex({3, 4}), complex({6, 8}), {.rtol = 1}));
}

TEST(Diff, EveryDtypeIsMeasuredInItsOwnNumbers) {
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    SCOPED_TRACE(row.name);
    std::vector<std::byte> a(4 * row.size_bytes, std::byte{0});
    std::vector<std::byte> b = a;
    b[2 * row.size_bytes] = std::byte{1};  // the third element becomes the smallest number, or 1
    const open::ElementTally tally = open::compare_elements(row.dtype, a, b, {});
    EXPECT_EQ(tally.elements, 4);
    EXPECT_EQ(tally.different, 1);
    if (open::has_numbers(row.dtype)) {
      EXPECT_EQ(tally.max_abs_at, 2);
      EXPECT_GT(tally.max_abs, 0);
      EXPECT_EQ(tally.max_ulp, open::has_ulps(row.dtype) ? 1U : 0U);
    }
    EXPECT_EQ(open::compare_elements(row.dtype, a, a, {}).unequal, 0);
  }
}

TEST(Diff, RunsAddUpToTheWholeOnAnyNumberOfThreads) {
  // Several runs, and a transposed pair that is one.
  constexpr std::int64_t kRows = 1500;
  constexpr std::int64_t kColumns = 700;
  std::vector<float> numbers(kRows * kColumns);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::sin(static_cast<float>(i));
  std::vector<float> others = numbers;
  for (std::size_t i = 5; i < others.size(); i += 1000) others[i] += 0.125F;
  others[others.size() - 3] += 2;
  const auto tensor = [&](const std::vector<float>& values) {
    return Tensor::from_values<float>(std::span<const float>(values), {kRows, kColumns}).value();
  };
  const Checkpoint a = safetensors_of({{"t", tensor(numbers)}});
  const Checkpoint b = safetensors_of({{"t", tensor(others)}});
  const std::unique_ptr<Executor> threads = make_thread_pool(3);
  const ElementDifferences one = compared(a, b).changed.at(0).differences;
  const ElementDifferences many = compared(a, b, {.executor = threads.get()}).changed.at(0).differences;
  EXPECT_EQ(one.different, 1051);
  EXPECT_EQ(one.max_abs_index, (Shape{kRows - 1, kColumns - 3}));
  EXPECT_EQ(std::tie(one.different, one.max_abs, one.max_rel, one.max_ulp, one.rel_l2, one.cosine),
            std::tie(many.different, many.max_abs, many.max_rel, many.max_ulp, many.rel_l2, many.cosine));
  // numpy keeps columns that lie together: read again they are strided.
  const auto transposed = [&](const std::vector<float>& values) {
    const Tensor t = tensor(values);
    return Tensor::view(t.storage(), DType::f32, {kColumns, kRows}, {1, kColumns}, 0).value();
  };
  const ElementDifferences strided =
      compared(npz_of({{"t", transposed(numbers)}}), npz_of({{"t", transposed(others)}}), {.executor = threads.get()})
          .changed.at(0)
          .differences;
  EXPECT_EQ(strided.different, one.different);
  EXPECT_EQ(strided.max_abs, one.max_abs);
  EXPECT_EQ(strided.max_abs_index, (Shape{kColumns - 3, kRows - 1}));
  EXPECT_NEAR(*strided.rel_l2, *one.rel_l2, 1e-12);
}

// --- names, shapes, dtypes
// ---------------------------------------------------------------------------------------------------------

TEST(Diff, TensorsOfOneFileAloneAreAddedOrRemoved) {
  const DiffReport report = compared(safetensors_of({{"a", of<float>({1})}, {"both", of<float>({2})}}),
                                     safetensors_of({{"b", of<float>({3})}, {"both", of<float>({2})}}));
  EXPECT_EQ(names(report.removed), "a");
  EXPECT_EQ(names(report.added), "b");
  EXPECT_EQ(report.equal, 1);
  EXPECT_FALSE(report.same);
}

TEST(Diff, ATensorUnderAnotherNameIsRenamed) {
  const DiffReport report = compared(
      safetensors_of(
          {{"w", of<float>({1, 2})}, {"x", of<float>({5, 5})}, {"zero.1", of<float>({0})}, {"zero.2", of<float>({0})}}),
      safetensors_of({{"m.w", of<float>({1, 2})},
                      {"m.x", of<float>({5, 6})},
                      {"m.zero.1", of<float>({0})},
                      {"m.zero.2", of<float>({0})}}));
  ASSERT_EQ(report.renamed.size(), 3U);
  EXPECT_EQ(report.renamed[0].from + ">" + report.renamed[0].to, "w>m.w");
  EXPECT_EQ(report.renamed[1].from + ">" + report.renamed[1].to, "zero.1>m.zero.1");
  EXPECT_EQ(report.renamed[2].from + ">" + report.renamed[2].to, "zero.2>m.zero.2");
  EXPECT_EQ(names(report.removed), "x");
  EXPECT_EQ(names(report.added), "m.x");
  // The same bytes in another shape or dtype are another tensor.
  const DiffReport other =
      compared(safetensors_of({{"i", of<std::int32_t>({1})}}), safetensors_of({{"f", of<std::uint32_t>({1})}}));
  EXPECT_TRUE(other.renamed.empty());
}

TEST(Diff, ShapesAndDtypesAreToldAndTheElementsThenLeftAlone) {
  const Tensor row = Tensor::from_values<float>(std::vector<float>{1, 2}, {1, 2}).value();
  const DiffReport report = compared(
      safetensors_of({{"both", of<float>({1, 2})}, {"dtype", of<float>({1})}, {"shape", of<float>({1, 2})}}),
      safetensors_of({{"both", row.to(DType::f64).value()}, {"dtype", of<std::int32_t>({1})}, {"shape", row}}));
  EXPECT_EQ(changes(report), "both dtype, both shape, dtype dtype, shape shape");
  EXPECT_EQ(report.equal, 0);
}

TEST(Diff, APatternMayFitNamesOfOneOfTheTwo) {
  const Checkpoint a = safetensors_of({{"w.1", of<float>({1})}, {"v", of<float>({1})}});
  const Checkpoint b = safetensors_of({{"v", of<float>({2})}});
  const DiffReport report = compared(a, b, {.match = "w.*"});
  EXPECT_EQ(names(report.removed), "w.1");
  EXPECT_EQ(changes(report), "");
  EXPECT_FALSE(report.compared_values);
  EXPECT_EQ(compared(b, a, {.match = "w.*"}).added.size(), 1U);
  const Result<DiffReport> none = diff(a, b, {.match = "x*"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
}

// --- strides and ties
// ---------------------------------------------------------------------------------------------------------

TEST(Diff, StridesAreComparedBetweenFilesOfTorch) {
  const Checkpoint a = torch_of({{"t", view({2, 4}, {4, 1})}, {"one", view({1, 8}, {8, 1})}});
  const Checkpoint b = torch_of({{"t", view({2, 4}, {1, 2})}, {"one", view({1, 8}, {3, 1})}});
  const DiffReport report = compared(a, b);
  EXPECT_EQ(changes(report), "t values, t strides");
  EXPECT_TRUE(report.compared_strides);
  const Checkpoint packed =
      safetensors_of({{"t", Tensor::from_values<float>(std::vector<float>{0, 2, 4, 6, 1, 3, 5, 7}, {2, 4}).value()},
                      {"one", Tensor::from_values<float>(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, {1, 8}).value()}});
  const DiffReport other_format = compared(b, packed);
  EXPECT_FALSE(other_format.compared_strides);
  EXPECT_TRUE(other_format.same);
}

TEST(Diff, TiesAreComparedBetweenFilesOfTorch) {
  const Checkpoint tied = torch_of({{"a", view({8}, {1})}, {"b", view({8}, {1})}, {"c", view({8}, {1}, 0, "2")}});
  const Checkpoint untied =
      torch_of({{"a", view({8}, {1})}, {"b", view({8}, {1}, 0, "2")}, {"c", view({8}, {1}, 0, "2")}});
  const DiffReport report = compared(tied, untied);
  EXPECT_EQ(changes(report), "a tying, b tying, c tying");
  EXPECT_EQ(report.changed[0].tied_a, (std::vector<std::string>{"b"}));
  EXPECT_EQ(report.changed[0].tied_b, (std::vector<std::string>{}));
  EXPECT_EQ(report.changed[1].tied_a, (std::vector<std::string>{"a"}));
  EXPECT_EQ(report.changed[1].tied_b, (std::vector<std::string>{"c"}));
  EXPECT_TRUE(compared(tied, tied).same);
  // A third tensor that only one has changes no tie of the others.
  const Checkpoint more =
      torch_of({{"a", view({8}, {1})}, {"b", view({8}, {1})}, {"c", view({8}, {1}, 0, "2")}, {"d", view({8}, {1})}});
  EXPECT_EQ(changes(compared(tied, more)), "");
}

// --- values
// ---------------------------------------------------------------------------------------------------------

TEST(Diff, PlainValuesAreComparedByTheirBits) {
  const auto values = [](double loss, std::int64_t epoch, const char* name, bool more) {
    return torch_of({{"loss", [=](PickleBuilder& p) { p.real(loss); }},
                     {"epoch", [=](PickleBuilder& p) { p.integer(epoch); }},
                     {"name", [=](PickleBuilder& p) { p.text(name); }},
                     {"none", [](PickleBuilder& p) { p.none(); }},
                     {more ? "more" : "less", [](PickleBuilder& p) { p.boolean(true); }}});
  };
  EXPECT_TRUE(compared(values(0.5, 3, "x", true), values(0.5, 3, "x", true)).same);
  const DiffReport report = compared(values(0.0, 3, "x", true), values(-0.0, 4, "y", false));
  ASSERT_EQ(report.values.size(), 5U);
  EXPECT_EQ(report.values[0].name, "loss");
  EXPECT_EQ(report.values[1].a->as_int(), 3);
  EXPECT_EQ(report.values[1].b->as_int(), 4);
  EXPECT_EQ(report.values[3].name, "more");
  EXPECT_FALSE(report.values[3].b);
  EXPECT_FALSE(report.values[4].a);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(compared(values(nan, 3, "x", true), values(nan, 3, "x", true)).same);
  EXPECT_TRUE(compared(values(0, 3, "x", true), values(1, 4, "y", false), {.values = false}).same);
}

TEST(Diff, AnIntegerIsNoFloatAndAnUnknownObjectIsItsClass) {
  const Write seven = [](PickleBuilder& p) { p.integer(7); };
  const Write real = [](PickleBuilder& p) { p.real(7); };
  const auto object = [](std::string name) {
    return [=](PickleBuilder& p) { p.global("my", name).empty_tuple().newobj(); };
  };
  EXPECT_EQ(compared(torch_of({{"v", seven}}), torch_of({{"v", real}})).values.size(), 1U);
  EXPECT_EQ(compared(torch_of({{"v", object("A")}}), torch_of({{"v", object("B")}})).values.size(), 1U);
  EXPECT_TRUE(compared(torch_of({{"v", object("A")}}), torch_of({{"v", object("A")}})).same);
}

TEST(Diff, ValuesAreComparedWhereBothFormatsHaveThem) {
  const Checkpoint torch = torch_of({{"w", view({8}, {1})}, {"epoch", [](PickleBuilder& p) { p.integer(7); }}});
  const Named weights = {{"w", of<float>({0, 1, 2, 3, 4, 5, 6, 7})}};
  const DiffReport across = compared(torch, safetensors_of(weights, {.metadata = {{"format", "pt"}}}));
  EXPECT_FALSE(across.compared_values);
  EXPECT_TRUE(across.same);
  const DiffReport metadata = compared(safetensors_of(weights, {.metadata = {{"format", "pt"}}}),
                                       safetensors_of(weights, {.metadata = {{"format", "np"}}}));
  EXPECT_TRUE(metadata.compared_values);
  ASSERT_EQ(metadata.values.size(), 1U);
  EXPECT_EQ(metadata.values[0].b->as_string(), "np");
  EXPECT_TRUE(compared(npz_of(weights), safetensors_of(weights)).same);
}

// --- what cannot be read, and stopping
// ---------------------------------------------------------------------------------------------------------

TEST(Diff, ADamagedTensorIsAFindingAndTheOthersAreCompared) {
  TorchZip zip = test::zip_with(dict_of({{"bad", view({8}, {1})}, {"good", view({8}, {1}, 0, "2")}}));
  zip.add("data/2", test::bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  test::Bytes bytes = zip.build();
  const Checkpoint whole = *test::open_bytes(bytes);
  bytes[zip.place("data/0").data + 5] ^= std::byte{1};
  const Checkpoint damaged = *test::open_bytes(bytes);
  for (const bool first : {true, false}) {
    const DiffReport report = first ? compared(damaged, whole) : compared(whole, damaged);
    ASSERT_EQ(report.findings.size(), 1U);
    EXPECT_EQ(report.findings[0].category, Category::crc);
    EXPECT_EQ(report.findings[0].tensors, (std::vector<std::string>{"bad"}));
    EXPECT_EQ(report.equal, 1);
    EXPECT_EQ(changes(report), "");
    EXPECT_FALSE(report.same);
  }
}

TEST(Diff, ViewsThatRepeatAByteForTerabytesAreRefused) {
  const Checkpoint bomb = torch_of({{"t", view({std::int64_t{1} << 40}, {0})}});
  const Result<DiffReport> report = diff(bomb, bomb);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().finding.code, "LIMIT-DIFF");
}

class StoppingProgress final : public Progress {
 public:
  explicit StoppingProgress(bool go_on) : go_on_(go_on) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ(phase, "diff");
    EXPECT_LE(done, total);
    last_ = done;
    total_ = total;
    return go_on_;
  }
  [[nodiscard]] bool is_done() const { return total_ > 0 && last_ == total_; }

 private:
  bool go_on_;
  std::uint64_t last_ = 0;
  std::uint64_t total_ = 0;
};

TEST(Diff, ToldAboutProgressItCanBeStopped) {
  const Checkpoint a = safetensors_of({{"t", of<float>({1, 2})}, {"u", of<float>({1})}});
  StoppingProgress whole(true);
  EXPECT_TRUE(compared(a, a, {.progress = &whole}).same);
  EXPECT_TRUE(whole.is_done());
  StoppingProgress stopping(false);
  const Result<DiffReport> stopped = diff(a, a, {.progress = &stopping});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace rushlight
