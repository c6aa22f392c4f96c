// save() and edit() of what was made here and of what was changed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <complex>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/convert.hpp"
#include "rushlight/diff.hpp"
#include "rushlight/edit.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/save.hpp"
#include "support/pickle_builder.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_sink.hpp"
#include "support/zip_builder.hpp"
#include "value/graph.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;

Tensor floats(std::vector<float> values, Shape shape) {
  return Tensor::from_values<float>(values, std::move(shape)).value();
}

std::string saved(const Value& value, const SaveOptions& options = {}) {
  TestSink sink;
  const Result<SaveReport> report = save(value, sink, options);
  EXPECT_TRUE(report) << to_string(report.error());
  return sink.text();
}

Checkpoint opened(const std::string& bytes) {
  static std::vector<std::unique_ptr<std::string>> kept;  // sources do not own their bytes
  kept.push_back(std::make_unique<std::string>(bytes));
  return Checkpoint::open(Source::from_memory(as_byte_span(*kept.back()))).value();
}

std::string said(const Result<SaveReport>& report) {
  return report ? "ok" : std::string(to_string(report.error().code)) + ": " + report.error().finding.message;
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Save, ValuesOfEveryKindComeBackAtEveryProtocol) {
  const std::array<Value, 3> items = {Value(1), Value("two"), Value::none()};
  const std::string long_text(70000, 'x');
  const std::vector<std::pair<Value, Value>> entries = {
      {Value("none"), Value::none()},
      {Value("yes"), Value(true)},
      {Value("small"), Value(200)},
      {Value("negative"), Value(-1)},
      {Value("large"), Value(std::numeric_limits<std::int64_t>::min())},
      {Value("real"), Value(0.1)},
      {Value("nan"), Value(std::numeric_limits<double>::quiet_NaN())},
      {Value("text"), Value("caf\xC3\xA9 \xED\xA0\x80")},
      {Value("long"), Value(long_text)},
      {Value("bytes"), Value::bytes(as_byte_span(std::string_view("\0\x80\xff", 3)))},
      {Value("no bytes"), Value::bytes({})},
      {Value("list"), Value::list(items)},
      {Value("tuple"), Value::tuple(items)},
      {Value("empty"), Value::tuple({})},
      {Value(7), Value("a key of another kind")},
      {Value::tuple(items), Value(2)},
      {Value("tensor"), Value(floats({1, 2, 3, 4, 5, 6}, {2, 3}))}};
  const Value root = Value::dict(entries);
  for (const int protocol : {2, 3, 4, 5}) {
    for (const FileKind kind : {FileKind::torch_zip, FileKind::torch_legacy}) {
      const Checkpoint again = opened(saved(root, {.kind = kind, .protocol = protocol}));
      EXPECT_EQ(again.format().kind, kind);
      EXPECT_EQ(again.format().pickle_protocol, protocol);
      const Value& read = again.root();
      ASSERT_EQ(read.entry_count(), entries.size()) << protocol;
      EXPECT_TRUE(read["none"].is_none());
      EXPECT_EQ(read["yes"].as_bool(), true);
      EXPECT_EQ(read["small"].as_int(), 200);
      EXPECT_EQ(read["negative"].as_int(), -1);
      EXPECT_EQ(read["large"].as_int(), std::numeric_limits<std::int64_t>::min());
      EXPECT_EQ(read["real"].as_double(), 0.1);
      EXPECT_TRUE(std::isnan(*read["nan"].as_double()));
      EXPECT_EQ(read["text"].as_string(), "caf\xC3\xA9 \xED\xA0\x80");
      EXPECT_EQ(read["long"].as_string(), long_text);
      EXPECT_EQ(as_text(*read["bytes"].as_bytes()), std::string_view("\0\x80\xff", 3));
      EXPECT_EQ(read["no bytes"].as_bytes()->size(), 0u);
      EXPECT_EQ(read["list"].kind(), ValueKind::list);
      EXPECT_EQ(read["list"].item(1).as_string(), "two");
      EXPECT_EQ(read["tuple"].kind(), ValueKind::tuple);
      EXPECT_EQ(read["empty"].item_count(), 0u);
      EXPECT_EQ(read.get(Value(7)).as_string(), "a key of another kind");
      EXPECT_EQ(read.get(Value::tuple(items)).as_int(), 2);
      EXPECT_EQ(read["tensor"].as_tensor()->values<float>().value()[5], 6);
    }
  }
}

TEST(Save, TensorsKeepWhatTheyAre) {
  const Tensor whole = floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4});
  const Tensor column = Tensor::view(whole.storage(), DType::f32, {3}, {4}, 1).value();
  TensorOptions parameter;
  parameter.tensor_class = TensorClass::parameter;
  parameter.requires_grad = true;
  const Tensor weight = Tensor::view(whole.storage(), DType::f32, {4, 3}, {1, 4}, 0, parameter).value();
  TensorOptions bits;
  bits.conj = true;
  const Tensor complex = Tensor::zeros(DType::c64, {2}).value();
  const Tensor conjugate = Tensor::view(complex.storage(), DType::c64, {2}, {1}, 0, bits).value();
  Quantizer channels;
  channels.scheme = Quantizer::Scheme::per_channel_affine;
  channels.scales = Tensor::from_values<double>(std::vector<double>{0.5, 0.25}, {2}).value();
  channels.zero_points = Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{3, -1}, {2}).value();
  TensorOptions quantized;
  quantized.quantizer = std::make_shared<const Quantizer>(channels);
  const Tensor codes =
      Tensor::view(Tensor::zeros(DType::i8, {2, 2}).value().storage(), DType::qi8, {2, 2}, {2, 1}, 0, quantized)
          .value();
  StateDict state;
  state.insert("whole", whole);
  state.insert("column", column);
  state.insert("weight", weight);
  state.insert("half", Tensor::zeros(DType::bf16, {2, 0}).value());
  state.insert("float8", Tensor::zeros(DType::f8_e4m3fn, {5}).value());
  state.insert("conjugate", conjugate);
  state.insert("codes", codes);
  for (const int protocol : {2, 5}) {
    TestSink sink;
    ASSERT_TRUE(save(state, sink, {.protocol = protocol}));
    const Checkpoint again = opened(sink.text());
    const StateDict read = again.state_dict().value();
    ASSERT_EQ(read.size(), state.size());
    EXPECT_EQ(again.root().class_name(), "collections.OrderedDict");
    for (const auto& [name, tensor] : state) {
      const Tensor found = read.at(name).value();
      EXPECT_EQ(found.dtype(), tensor.dtype()) << name;
      EXPECT_TRUE(std::ranges::equal(found.shape(), tensor.shape())) << name;
      EXPECT_TRUE(std::ranges::equal(found.strides(), tensor.strides())) << name;
      EXPECT_EQ(found.storage_offset(), tensor.storage_offset()) << name;
      EXPECT_EQ(found.options().requires_grad, tensor.options().requires_grad) << name;
      EXPECT_EQ(found.options().tensor_class, tensor.options().tensor_class) << name;
      EXPECT_EQ(found.options().conj, tensor.options().conj) << name;
    }
    EXPECT_TRUE(read.at("whole")->shares_storage_with(*read.at("column")));
    EXPECT_TRUE(read.at("whole")->shares_storage_with(*read.at("weight")));
    const Tensor found = read.at("codes").value();
    ASSERT_TRUE(found.options().quantizer);
    EXPECT_EQ(found.options().quantizer->scales.values<double>().value()[1], 0.25);
    EXPECT_EQ(found.options().quantizer->zero_points.values<std::int64_t>().value()[0], 3);
  }
}

TEST(Save, SparseTensorsAreWritten) {
  const Tensor indices = Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{0, 2, 1, 0}, {2, 2}).value();
  const CompositeTensor coo =
      CompositeTensor::sparse(Layout::sparse_coo, {3, 2}, {indices, floats({5, 6}, {2})}).value().with_coalesced(true);
  const Checkpoint again = opened(saved(Value(coo)));
  const CompositeTensor read = *again.root().as_composite();
  EXPECT_EQ(read.layout(), Layout::sparse_coo);
  EXPECT_TRUE(read.is_coalesced());
  EXPECT_EQ(read.to_dense().value().values<float>().value()[4], 6);
}

// What torch up to 2.6 did, and since; offsets are those that torch's own tests name for such files.
TEST(Save, LaysOutAsTheReleaseAsked) {
  StateDict state;
  for (int i = 0; i < 12; ++i) state.insert("w" + std::to_string(i), floats({1, 2, 3}, {3}));
  const auto records = [&](const char* torch) {
    TestSink sink;
    EXPECT_TRUE(save(state, sink, {.torch = torch, .root = "r"}));
    std::vector<std::string> names;
    const std::string& file = sink.text();
    for (std::size_t at = file.find("PK\1\2"); at != std::string::npos; at = file.find("PK\1\2", at + 4)) {
      names.push_back(file.substr(at + 46, static_cast<unsigned char>(file[at + 28])));
    }
    return names;
  };
  std::vector<std::string> names = records("1.13");
  ASSERT_EQ(names.size(), 14u);
  EXPECT_EQ(names[0], "r/data.pkl");
  EXPECT_EQ(names[3], "r/data/10");  // as text
  EXPECT_EQ(names.back(), "r/version");
  names = records("2.6");
  EXPECT_EQ(names[1], "r/byteorder");
  EXPECT_EQ(names[4], "r/data/10");
  EXPECT_EQ(names.back(), "r/.data/serialization_id");
  names = records("2.15");
  EXPECT_EQ(
      (std::vector<std::string>(names.begin(), names.begin() + 5)),
      (std::vector<std::string>{"r/data.pkl", "r/.format_version", "r/.storage_alignment", "r/byteorder", "r/data/0"}));
  EXPECT_EQ(names[6], "r/data/2");
  EXPECT_EQ(names[14], "r/data/10");
}

TEST(Save, TheSameInputGivesTheSameBytes) {
  const Value root = Value::list(std::array<Value, 2>{Value("a"), Value(floats({1}, {1}))});
  EXPECT_EQ(saved(root), saved(root));
  TestSink other;
  StateDict state;
  state.insert("a", floats({1}, {1}));
  ASSERT_TRUE(save(state, other));
  TestSink same;
  ASSERT_TRUE(save(state, same));
  EXPECT_EQ(other.text(), same.text());
}

// One integer of a training checkpoint: one byte of the pickle, and the checksums that follow from it.
TEST(Save, AChangeChangesWhatItIsAbout) {
  const std::filesystem::path golden = std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / "fashion" / "fashion_ckpt.pt";
  const Checkpoint checkpoint = Checkpoint::open(golden).value();
  ValueEditor editor(checkpoint.root());
  ASSERT_TRUE(editor.set("epoch", Value(77)));
  TestSink sink;
  ASSERT_TRUE(save(editor.value(), sink, {.like = &checkpoint}));
  const std::string before = content(golden);
  ASSERT_EQ(before.size(), sink.text().size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < before.size(); ++i) different += before[i] != sink.text()[i] ? 1 : 0;
  // The integer, the pickle's CRC twice, and the serialization id with its CRC twice.
  EXPECT_LE(different, 1u + 8u + 40u + 8u);
  EXPECT_EQ(opened(sink.text()).root()["epoch"].as_int(), 77);
}

TEST(Save, WhatCannotBeWrittenIsNamed) {
  const Tensor real = floats({1, 2}, {2});
  const Tensor as_integers = Tensor::view(real.storage(), DType::i32, {2}, {1}, 0).value();
  TestSink sink;
  StateDict state;
  state.insert("a", real);
  state.insert("b", as_integers);
  EXPECT_EQ(
      said(save(state, sink)),
      "unsupported: a value cannot be written: two tensors view one storage, as float32 and as int32, which torch "
      "does not save either");
  StateDict padded;
  std::array<float, 3> buffer{};
  padded.insert("a", Tensor::from_blob(buffer.data(), 10, DType::f32, {2}).value());
  EXPECT_EQ(said(save(padded, sink)),
            "unsupported: a value cannot be written: its storage of 10 bytes does not hold whole elements of float32");
  EXPECT_EQ(said(save(Value(1), sink, {.protocol = 1})), "invalid_argument: pickle protocol, expected 2 to 5, found 1");
  EXPECT_EQ(said(save(Value(1), sink, {.torch = "1.5"})),
            "invalid_argument: no release of torch to write as, expected 1.6 or later, found '1.5'");
  EXPECT_EQ(said(save(Value(1), sink, {.storage_alignment = 65537})),
            "invalid_argument: storage alignment, expected at most 65536, found 65537");
  EXPECT_EQ(said(save(Value(1), sink, {.kind = FileKind::torch_legacy, .storage_alignment = 128})),
            "invalid_argument: in torch-legacy data are not aligned");
  EXPECT_EQ(said(save(Value(1), sink, {.kind = FileKind::torch_legacy, .deflate = true})),
            "invalid_argument: torch-legacy cannot be compressed");
  EXPECT_EQ(said(save(Value(1), sink, {.root = "a/b"})), "invalid_argument: the root folder has one name, found 'a/b'");
  EXPECT_EQ(said(save(Value(1), sink, {.kind = FileKind::npz})),
            "invalid_argument: save() writes torch-zip and torch-legacy, and no npz");
  EXPECT_EQ(said(save(Value::bytes({}), sink, {.weights_only = true})),
            "forbidden: torch.load(weights_only=True) does not read 'builtins.bytes'");
  const Result<SaveReport> unsafe = save(Value::bytes({}), sink);
  ASSERT_TRUE(unsafe);
  ASSERT_EQ(unsafe->findings.size(), 1u);
  EXPECT_EQ(unsafe->findings[0].code, "SAVE-NOT-SAFE");
}

// The lists grew: what 2.15 reads, 1.13 does not, and the other way round.
TEST(Save, SafeIsWhatTheReleaseThatIsNamedReads) {
  const auto refused = [](const Value& value, const std::string& torch, FileKind kind = FileKind::torch_zip) {
    TestSink sink;
    const Result<SaveReport> report = save(value, sink, {.kind = kind, .torch = torch, .weights_only = true});
    return report ? std::string() : said(report);
  };
  ValueGraphBuilder builder;
  const NodeId items = builder.list();
  ASSERT_TRUE(builder.append(items, builder.integer(7)));
  ASSERT_TRUE(builder.append(items, builder.real(0.5)));
  const Value floats_outside(std::move(builder).finish(), items);
  for (const FileKind kind : {FileKind::torch_zip, FileKind::torch_legacy}) {
    EXPECT_EQ(refused(floats_outside, "1.13", kind),
              "forbidden: torch.load(weights_only=True) of torch 1.13 does not read floats outside tensors");
    for (const char* torch : {"2.0", "2.5.1", "2.15", ""}) EXPECT_EQ(refused(floats_outside, torch, kind), "") << torch;
  }
  // There was no such mode yet.
  EXPECT_EQ(refused(floats_outside, "1.12"), "");

  ValueGraphBuilder other;
  const NodeId number = other.complex(1, 2);
  const Value complex(std::move(other).finish(), number);
  EXPECT_EQ(refused(complex, "2.5"),
            "forbidden: torch.load(weights_only=True) of torch 2.5 does not read 'builtins.complex'");
  EXPECT_EQ(refused(complex, "2.6"), "");
  const std::array<std::byte, 1> seven{std::byte{7}};
  const Value bytes = Value::bytes(seven);
  EXPECT_EQ(refused(bytes, "2.4"),
            "forbidden: torch.load(weights_only=True) of torch 2.4 does not read '_codecs.encode'");
  EXPECT_EQ(refused(bytes, "2.5"), "");
  StateDict dtypes;
  dtypes.insert("a", Tensor::zeros(DType::f8_e5m2fnuz, {2}).value());
  EXPECT_EQ(
      refused(to_value(dtypes), "2.2"),
      "forbidden: torch.load(weights_only=True) of torch 2.2 does not read 'torch.float8_e5m2fnuz', which 'a' needs");
  EXPECT_EQ(refused(to_value(dtypes), "2.3"), "");
  // Tensors of the usual dtypes, all of them.
  StateDict usual;
  for (const DType dtype : {DType::f32, DType::bf16, DType::u8, DType::boolean, DType::i64, DType::c64}) {
    usual.insert(std::string(to_string(dtype)), Tensor::zeros(dtype, {2}).value());
  }
  EXPECT_EQ(refused(to_value(usual), "1.13"), "");
  // Without the demand they are warnings.
  TestSink sink;
  const Result<SaveReport> report = save(floats_outside, sink, {.torch = "1.13"});
  ASSERT_TRUE(report);
  ASSERT_EQ(report->findings.size(), 1u);
  EXPECT_EQ(report->findings[0].code, "SAVE-NOT-SAFE");
  EXPECT_EQ(said(save(Value(1), sink, {.kind = FileKind::torch_legacy, .torch = "1.5"})),
            "invalid_argument: no release of torch to write as, expected 1.6 or later, found '1.5'");
}

TEST(Save, AFailureLeavesTheOldFile) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "model.pt";
  StateDict state;
  state.insert("w", floats({1, 2, 3}, {3}));
  ASSERT_TRUE(save(state, path));
  const std::string before = content(path);
  EXPECT_EQ(said(save(state, path, {.overwrite = false})).substr(0, 3), "io:");
  EXPECT_EQ(content(path), before);
  // In place of the very file that the tensors are read from.
  const Checkpoint checkpoint = Checkpoint::open(path).value();
  ValueEditor editor(checkpoint.root());
  ASSERT_TRUE(editor.set("b", Value(floats({4}, {1}))));
  ASSERT_TRUE(save(editor.value(), path, {.like = &checkpoint}));
  EXPECT_EQ(Checkpoint::open(path)->state_dict()->size(), 2u);
  EXPECT_EQ(checkpoint.state_dict()->at("w")->values<float>().value()[2], 3);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  // A sink that is full at any byte.
  TestSink whole;
  ASSERT_TRUE(save(state, whole));
  for (std::uint64_t most = 0; most < whole.text().size(); most += 97) {
    TestSink sink(most);
    EXPECT_EQ(said(save(state, sink)), "io: the sink is full") << most;
    EXPECT_EQ(sink.failures(), 1) << most;
  }
}

class Stop final : public Progress {
 public:
  bool on_progress(std::string_view, std::uint64_t done, std::uint64_t) override { return done == 0; }
};

TEST(Save, CanBeStopped) {
  const TemporaryFolder folder;
  StateDict state;
  state.insert("w", floats({1, 2, 3}, {3}));
  Stop stop;
  for (const FileKind kind : {FileKind::torch_zip, FileKind::torch_legacy}) {
    EXPECT_EQ(said(save(state, folder / "x.pt", {.kind = kind, .progress = &stop})), "cancelled: saving was cancelled");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// --- edit()
// ------------------------------------------------------------------------------------------------------------

Checkpoint training() {
  StateDict state;
  state.insert("module.fc.weight", floats({1, -2, 3.001F, 4}, {2, 2}));
  state.insert("module.fc.bias", floats({0.5F, 1e30F}, {2}));
  state.insert("module.steps", Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{3}, {1}).value());
  const std::array<std::pair<Value, Value>, 3> entries = {
      std::pair{Value("model"), to_value(state)}, std::pair{Value("epoch"), Value(3)},
      std::pair{Value("history"), Value::list(std::array<Value, 2>{Value(0.5), Value(0.25)})}};
  return opened(saved(Value::dict(entries)));
}

// Integers in names are spelt [0], which is a glob for 0 as well.
TEST(Edit, NamesThatLookLikeGlobsAreThemselves) {
  const Checkpoint checkpoint = training();
  EditOptions options;
  options.drop = {"history[0]"};
  const Result<EditReport> report = edit(checkpoint, options);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->dropped, (std::vector<std::string>{"history[0]"}));
  ASSERT_EQ(report->value["history"].size(), 1u);
  EXPECT_EQ(report->value["history"][0].as_double(), 0.25);
}

TEST(Edit, LeavesOutRenamesCastsAndSets) {
  const Checkpoint checkpoint = training();
  EditOptions options;
  options.drop = {"history", "*.steps"};
  options.rename = [](std::string_view key) { return std::string(key.starts_with("module.") ? key.substr(7) : key); };
  options.casts = {{.match = "*.weight", .from = {}, .to = DType::f16}};
  options.set = {{"epoch", Value(4)}, {"note", Value("resumed")}};
  const Result<EditReport> report = edit(checkpoint, options);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->dropped, (std::vector<std::string>{"model.module.steps", "history"}));
  ASSERT_EQ(report->renamed.size(), 2u);
  EXPECT_EQ(report->renamed[0].second, "fc.weight");
  ASSERT_EQ(report->casts.size(), 1u);
  EXPECT_EQ(report->casts[0].elements, 4);
  EXPECT_EQ(report->casts[0].overflowed, 0);
  const Checkpoint again = opened(saved(report->value));
  EXPECT_FALSE(again.root().contains("history"));
  EXPECT_EQ(again.root()["epoch"].as_int(), 4);
  EXPECT_EQ(again.root()["note"].as_string(), "resumed");
  const Value model = again.root()["model"];
  EXPECT_EQ(model.entry_count(), 2u);
  EXPECT_EQ(model["fc.weight"].as_tensor()->dtype(), DType::f16);
  EXPECT_EQ(model["fc.bias"].as_tensor()->dtype(), DType::f32);
  // The checkpoint is as it was.
  EXPECT_EQ(checkpoint.root()["epoch"].as_int(), 3);
  EXPECT_TRUE(checkpoint.root()["model"].contains("module.steps"));
}

TEST(Edit, CastsSayWhatTheyCost) {
  EditOptions options;
  options.casts = {{.match = {}, .from = {}, .to = DType::f16}};
  const EditReport report = edit(training(), options).value();
  ASSERT_EQ(report.casts.size(), 2u);  // the integers stay
  EXPECT_EQ(report.casts[0].name, "model.module.fc.weight");
  EXPECT_EQ(report.casts[0].changed, 1);
  EXPECT_GT(report.casts[0].max_abs, 0);
  EXPECT_LT(report.casts[0].rel_l2, 1e-3);
  EXPECT_EQ(report.casts[1].overflowed, 1);  // 1e30
}

TEST(Edit, TiedTensorsStayTied) {
  const Tensor weight = floats({1, 2, 3, 4}, {2, 2});
  StateDict state;
  state.insert("in", weight);
  state.insert("out", Tensor::view(weight.storage(), DType::f32, {2, 2}, {1, 2}, 0).value());
  TestSink sink;
  ASSERT_TRUE(save(state, sink));
  EditOptions options;
  options.casts = {{.match = {}, .from = {}, .to = DType::bf16}};
  const EditReport report = edit(opened(sink.text()), options).value();
  const Tensor in = *report.value["in"].as_tensor();
  const Tensor out = *report.value["out"].as_tensor();
  EXPECT_TRUE(in.shares_storage_with(out));
  EXPECT_EQ(out.strides()[0], 1);
  EXPECT_EQ(out.to(DType::f32).value().values<float>().value()[1], 3);
}

TEST(Edit, WeightsBecomeQuantisedPerChannel) {
  StateDict state;
  state.insert("w", floats({1, -0.5F, 0, 0, 1e-3F, -2e-3F}, {3, 2}));
  state.insert("b", floats({1, 2}, {2}));
  TestSink sink;
  ASSERT_TRUE(save(state, sink));
  EditOptions options;
  options.casts = {{.match = {}, .from = {}, .to = DType::qi8}};
  const EditReport report = edit(opened(sink.text()), options).value();
  const Tensor weight = *opened(saved(report.value)).root()["w"].as_tensor();
  EXPECT_EQ(weight.dtype(), DType::qi8);
  const Tensor back = weight.dequantize().value();
  const auto values = back.values<float>().value();
  EXPECT_NEAR(values[0], 1, 1e-6);
  EXPECT_NEAR(values[1], -0.5, 0.5 / 127);
  EXPECT_EQ(values[2], 0);
  EXPECT_NEAR(values[5], -2e-3, 1e-8);
  EXPECT_EQ(report.value["b"].as_tensor()->dtype(), DType::f32);
}

TEST(Edit, WhatFitsNothingIsAnError) {
  const Checkpoint checkpoint = training();
  const auto said_of = [&](const EditOptions& options) {
    const Result<EditReport> report = edit(checkpoint, options);
    return report ? "ok"s : std::string(to_string(report.error().code)) + ": " + report.error().finding.message;
  };
  EXPECT_EQ(said_of({.drop = {"optimizer*"}}), "not_found: nothing is called 'optimizer*'");
  EXPECT_EQ(said_of({.casts = {{.match = "x", .from = {}, .to = DType::f16}}}), "not_found: nothing is called 'x'");
  EXPECT_EQ(said_of({.rename = [](std::string_view) { return "same"s; }}),
            "invalid_argument: two keys would both become 'same', the second of them 'module.fc.bias'");
  EXPECT_EQ(said_of({.set = {{"history[9]", Value(1)}}}).substr(0, 10), "not_found:");
}

// --- convert()
// ---------------------------------------------------------------------------------------------------------

TEST(Convert, NamesSayWhatIsWritten) {
  EXPECT_EQ(kind_of_name("a/b.PT"), FileKind::torch_zip);
  EXPECT_EQ(kind_of_name("model.pth.tar"), FileKind::torch_zip);
  EXPECT_EQ(kind_of_name("x.safetensors"), FileKind::safetensors);
  EXPECT_EQ(kind_of_name("x.npz"), FileKind::npz);
  EXPECT_EQ(kind_of_name("x.onnx"), std::nullopt);
  const TemporaryFolder folder;
  const Result<ConvertReport> report = convert(training(), folder / "model.onnx");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::invalid_argument);
}

TEST(Convert, EveryFormatHoldsTheSameTensors) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = training();
  for (const char* name : {"a.pt", "a.safetensors", "a.npz"}) {
    const Result<ConvertReport> report = convert(checkpoint, folder / name, {.verify = true});
    ASSERT_TRUE(report) << name << ": " << to_string(report.error());
    EXPECT_TRUE(report->verified);
    EXPECT_EQ(report->tensors, 3);
    const StateDict state = Checkpoint::open(folder / name)->state_dict().value();
    EXPECT_EQ(state.at("module.fc.weight")->values<float>().value()[1], -2) << name;
  }
  const ConvertReport report = convert(checkpoint, folder / "b.safetensors").value();
  EXPECT_EQ(report.left_behind, (std::vector<std::string>{"epoch", "history[0]", "history[1]"}));
  const Result<ConvertReport> one =
      convert(checkpoint, folder / "w.npy", {.parts = {"module.fc.weight"}, .verify = true});
  ASSERT_TRUE(one) << to_string(one.error());
  const Result<ConvertReport> many = convert(checkpoint, folder / "m.npy");
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().finding.code, "CONVERT-ONE");
}

// Makes a file of its own when it is first told of progress.
class MeanwhileFile final : public Progress {
 public:
  explicit MeanwhileFile(std::filesystem::path path) : path_(std::move(path)) {}
  bool on_progress(std::string_view phase, std::uint64_t, std::uint64_t) override {
    if (phase != "edit" && !std::exchange(made_, true)) write_file(path_, "another program's");
    return true;
  }
  [[nodiscard]] bool made() const { return made_; }

 private:
  std::filesystem::path path_;
  bool made_ = false;
};

TEST(Convert, AFileThatIsNotToBeReplacedStaysThoughItCameMeanwhile) {
  const Checkpoint checkpoint = training();
  for (const char* name : {"a.pt", "a.safetensors", "a.npz", "a.npy"}) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    const std::filesystem::path path = folder / name;
    ConvertOptions options = {.parts = {"module.fc.weight"}, .overwrite = false};
    MeanwhileFile meanwhile(path);
    options.progress = &meanwhile;
    const auto code = [&] {
      const Result<ConvertReport> report = convert(checkpoint, path, options);
      return report ? "ok"s : report.error().finding.code;
    };
    EXPECT_EQ(code(), "IO-EXISTS");
    EXPECT_TRUE(meanwhile.made());
    EXPECT_EQ(content(path), "another program's");
    EXPECT_EQ(code(), "IO-EXISTS") << "there from the start";
    EXPECT_EQ(content(path), "another program's");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
    options.overwrite = true;
    EXPECT_EQ(code(), "ok");
    std::filesystem::remove(path);
    options.overwrite = false;
    EXPECT_EQ(code(), "ok");
  }
}

}  // namespace
}  // namespace rushlight::test
