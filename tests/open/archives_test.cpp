// Archives of torch.jit.save, torch.export.save and torch.package, put together by hand: weights, values, and what is
// refused (format-spec/10-archives). Files that PyTorch wrote are in golden_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/script_classes.hpp"
#include "opened_bytes.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/scan.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;

const std::vector<float> kFloats{0, 1, 2, 3, 4, 5, 6, 7};
const std::vector<std::int64_t> kFour{4};

// The findings of an open file, a line each: "note unsup KIND-VALUES-ONLY: ...".
std::string findings_of(const Checkpoint& checkpoint) {
  std::string lines;
  for (const Finding& finding : checkpoint.findings()) {
    lines += (lines.empty() ? "" : "\n") + std::string(to_string(finding.severity)) + " " + line_of(finding);
  }
  return lines;
}

// "name:class:numel" of all listed tensors, those outside the state dict in parentheses.
std::string listing_of(const Checkpoint& checkpoint) {
  const Inspection inspection = inspect(checkpoint).value();
  std::string text;
  for (const TensorEntry& entry : inspection.tensors) {
    const TensorClass kind = entry.tensor.options().tensor_class;
    const std::string word = kind == TensorClass::parameter ? "parameter"
                             : kind == TensorClass::buffer  ? "buffer"
                                                            : "tensor";
    const std::string item = entry.name + ":" + word + ":" + std::to_string(entry.tensor.numel());
    text += (text.empty() ? "" : " ") + (entry.persistent ? item : "(" + item + ")");
  }
  return text;
}

std::string names_of(const StateDict& state) {
  std::string names;
  for (const auto& [name, tensor] : state) names += (names.empty() ? "" : " ") + name;
  return names;
}

constexpr std::string_view kPt2Note =
    "note unsup KIND-VALUES-ONLY: weights and values of the torch.export archive only: running it comes later";
constexpr std::string_view kScriptNote =
    "note unsup KIND-VALUES-ONLY: weights and values of the TorchScript archive only: running it comes later";
constexpr std::string_view kPackageNote =
    "note unsup KIND-VALUES-ONLY: weights and values of the torch.package archive only: running it comes later";

// --- .pt2
// -------------------------------------------------------------------------------------------------------------

std::string sizes_json(const std::vector<std::int64_t>& sizes) {
  std::string text = "[";
  for (const std::int64_t size : sizes)
    text += (text.size() > 1 ? ", " : "") + ("{\"as_int\": " + std::to_string(size) + "}");
  return text + "]";
}

struct Entry {
  std::string name;
  std::string path_name = "weight_0";
  std::vector<std::int64_t> sizes{2, 4};
  std::vector<std::int64_t> strides{4, 1};
  std::int64_t offset = 0;
  bool is_param = true;
  int dtype = 7;
};

std::string meta_json(const Entry& entry) {
  return "{\"dtype\": " + std::to_string(entry.dtype) + ", \"sizes\": " + sizes_json(entry.sizes) +
         ", \"requires_grad\": " + (entry.is_param ? "true" : "false") +
         ", \"device\": {\"type\": \"cpu\", \"index\": null}, \"strides\": " + sizes_json(entry.strides) +
         ", \"storage_offset\": {\"as_int\": " + std::to_string(entry.offset) + "}, \"layout\": 7}";
}
std::string entry_json(const Entry& entry) {
  return "\"" + entry.name + "\": {\"path_name\": \"" + entry.path_name +
         "\", \"is_param\": " + (entry.is_param ? "true" : "false") +
         ", \"use_pickle\": false, \"tensor_meta\": " + meta_json(entry) + "}";
}
std::string config_json(const std::vector<Entry>& entries) {
  std::string text;
  for (const Entry& entry : entries) text += (text.empty() ? "" : ", ") + entry_json(entry);
  return "{\"config\": {" + text + "}}";
}

// A program with one weight record of eight floats and this config.
TorchZip exported(std::string_view config) {
  TorchZip zip("m");
  zip.add("data/weights/weight_0", bytes_of(kFloats));
  zip.add("data/weights/model_weights_config.json", config);
  zip.add("data/constants/model_constants_config.json", "{\"config\": {}}");
  zip.add("models/model.json", "{}").add("archive_format", "pt2").add("archive_version", "0");
  zip.add(".data/version", "6\n").add("byteorder", "little");
  return zip;
}
std::string verdict_of_config(std::string_view config) {
  return verdict_of(exported(config).build());
}
// What is said of one entry with this JSON.
std::string verdict_of_entry(const std::string& json) {
  return verdict_of_config("{\"config\": {\"w\": " + json + "}}");
}
std::string payload(const std::string& meta) {
  return "{\"path_name\": \"weight_0\", \"is_param\": true, \"use_pickle\": false, \"tensor_meta\": " + meta + "}";
}

TEST(ExportedArchive, AConfigNamesTheTensors) {
  Entry column{.name = "column", .sizes = {2}, .strides = {4}, .offset = 1, .is_param = false};
  const Result<Checkpoint> checkpoint =
      open_bytes(exported(config_json({{.name = "a.weight"}, {.name = "tied.weight"}, column})).build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::pt2);
  EXPECT_EQ(checkpoint->format().version, 6);
  EXPECT_EQ(checkpoint->format().torch, ">=2.8");
  EXPECT_EQ(findings_of(*checkpoint), kPt2Note);
  EXPECT_EQ(checkpoint->root().class_name(), "collections.OrderedDict");
  EXPECT_EQ(listing_of(*checkpoint), "a.weight:parameter:8 tied.weight:parameter:8 column:tensor:2");
  const StateDict state = checkpoint->state_dict().value();
  EXPECT_EQ(state.find("a.weight")->storage().memory(), state.find("tied.weight")->storage().memory());
  EXPECT_EQ(state.find("a.weight")->storage().record(), "data/weights/weight_0");
  EXPECT_TRUE(state.find("a.weight")->options().requires_grad);
  const Tensor values = state.find("column")->contiguous().value();
  EXPECT_EQ(values.values<float>().value()[0], 1.0f);
  EXPECT_EQ(values.values<float>().value()[1], 5.0f);
}

TEST(ExportedArchive, ConstantsFollowWithAPrefix) {
  TorchZip zip = exported(config_json({{.name = "w"}}));
  zip.record("data/constants/model_constants_config.json").data = to_bytes(
      config_json({{.name = "anchor", .path_name = "tensor_0", .sizes = {3}, .strides = {1}, .is_param = false}}));
  zip.add("data/constants/tensor_0", bytes_of(std::vector<float>{1, 2, 3}));
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(listing_of(*checkpoint), "w:parameter:8 constants.anchor:tensor:3");
  TorchZip clash = exported(config_json({{.name = "constants.anchor"}}));
  clash.record("data/constants/model_constants_config.json").data =
      to_bytes(config_json({{.name = "anchor", .path_name = "tensor_0", .sizes = {}, .strides = {}}}));
  clash.add("data/constants/tensor_0", bytes_of(std::vector<float>{1}));
  EXPECT_EQ(verdict_of(clash.build()), "ambig PT2-DUPLICATE: there are two entries 'constants.anchor'");
}

TEST(ExportedArchive, SeveralProgramsAreADict) {
  TorchZip zip = exported(config_json({{.name = "w"}}));
  zip.add("models/other.json", "{}").add("data/weights/other_weights_config.json", config_json({{.name = "v"}}));
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(listing_of(*checkpoint), "model.w:parameter:8 other.v:parameter:8");
  EXPECT_EQ(names_of(checkpoint->state_dict("other").value()), "v");
}

TEST(ExportedArchive, EveryFieldOfTheConfigIsJudged) {
  const std::string at = "data/weights/model_weights_config.json: ";
  const std::string good = meta_json({.name = ""});
  const auto without = [&](std::string_view field) {
    std::string text = good;
    const std::size_t begin = text.find("\"" + std::string(field) + "\"");
    text.replace(begin, field.size() + 2, "\"x\"");
    return payload(text);
  };
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return payload(text);
  };
  EXPECT_EQ(verdict_of_entry(payload(good)), "ok");
  const std::pair<std::string, std::string> cases[] = {
      {"7", "type JSON-TYPE " + at + "entry 'w': expected an object, found 7"},
      {"{\"is_param\": true, \"use_pickle\": false}", "type JSON-FIELD " + at + "entry 'w' has no field 'path_name'"},
      {"{\"path_name\": 3, \"is_param\": true, \"use_pickle\": false}",
       "type JSON-TYPE " + at + "entry 'w', path_name: expected a string, found 3"},
      {"{\"path_name\": \"weight_0\", \"is_param\": \"yes\", \"use_pickle\": false}",
       "type JSON-TYPE " + at + "entry 'w', is_param: expected true or false, found 'yes'"},
      {"{\"path_name\": \"weight_0\", \"is_param\": true}",
       "type JSON-FIELD " + at + "entry 'w' has no field 'use_pickle'"},
      {"{\"path_name\": \"weight_0\", \"is_param\": true, \"use_pickle\": false, \"tensor_meta\": null}",
       "type JSON-FIELD " + at + "entry 'w' has no field 'tensor_meta', and is no pickle"},
      {"{\"path_name\": \"weight_0\", \"path_name\": \"weight_1\"}",
       "ambig JSON-DUPLICATE " + at + "entry 'w': key 'path_name' comes twice"},
      {without("dtype"), "type JSON-FIELD " + at + "entry 'w', tensor_meta has no field 'dtype'"},
      {without("sizes"), "type JSON-FIELD " + at + "entry 'w', tensor_meta has no field 'sizes'"},
      {without("strides"), "type JSON-FIELD " + at + "entry 'w', tensor_meta has no field 'strides'"},
      {without("storage_offset"), "type JSON-FIELD " + at + "entry 'w', tensor_meta has no field 'storage_offset'"},
      {without("requires_grad"), "type JSON-FIELD " + at + "entry 'w', tensor_meta has no field 'requires_grad'"},
      {with("\"dtype\": 7", "\"dtype\": 99"),
       "unsup PT2-DTYPE " + at + "entry 'w', tensor_meta: dtype 99 is not one that is known"},
      {with("\"layout\": 7", "\"layout\": 1"),
       "unsup PT2-LAYOUT " + at + "entry 'w', tensor_meta: layout 1, expected 7 (strided)"},
      {with("[{\"as_int\": 2}", "[{\"as_expr\": {}}"),
       "type JSON-FIELD " + at + "entry 'w', tensor_meta, sizes has no field 'as_int'"},
      {with("{\"as_int\": 2}", "2"),
       "type JSON-TYPE " + at + "entry 'w', tensor_meta, sizes: expected an object, found 2"},
      {with("{\"as_int\": 2}", "{\"as_int\": 1.5}"),
       "type JSON-TYPE " + at + "entry 'w', tensor_meta, sizes: expected an integer, found a number"},
      // Geometry that the record does not hold.
      {payload(meta_json({.name = "", .sizes = {2, 5}})),
       "tensor TENSOR-BOUNDS " + at +
           "tensor 'w': sizes [2, 5], strides [4, 1] and offset 0 reach element 8, the storage holds 8 of float32 (32 "
           "bytes)"},
      {payload(meta_json({.name = "", .sizes = {-1, 4}})),
       "tensor TENSOR-SIZE " + at + "tensor 'w': the size of dimension 0 is -1, expected 0 or more"},
      {payload(meta_json({.name = "", .strides = {1 << 30, 1}})),
       "tensor TENSOR-BOUNDS " + at +
           "tensor 'w': sizes [2, 4], strides [1073741824, 1] and offset 0 reach element 1073741827, the storage holds "
           "8 "
           "of float32 (32 bytes)"},
      {payload(meta_json({.name = "", .sizes = {INT64_MAX, 4}, .strides = {INT64_MAX, 1}})),
       "tensor TENSOR-OVERFLOW " + at + "tensor 'w': sizes [9223372036854775807, 4] overflow a 64-bit count"},
      {payload(meta_json({.name = "", .strides = {4}})),
       "tensor TENSOR-STRIDE " + at + "tensor 'w': a tensor of 2 dimensions has 1 strides"},
      {payload(meta_json({.name = "", .offset = -1})),
       "tensor TENSOR-OFFSET " + at + "tensor 'w': the storage offset is -1, expected 0 or more"},
      {payload(meta_json({.name = "", .offset = 1})),
       "tensor TENSOR-BOUNDS " + at +
           "tensor 'w': sizes [2, 4], strides [4, 1] and offset 1 reach element 8, the storage holds 8 of float32 (32 "
           "bytes)"},
  };
  for (const auto& [json, expected] : cases) EXPECT_EQ(verdict_of_entry(json), expected) << json;
}

TEST(ExportedArchive, TheConfigAsAWholeIsJudged) {
  const std::string at = "data/weights/model_weights_config.json: ";
  EXPECT_EQ(verdict_of_config("{\"config\": {"), "zip JSON-SYNTAX " + at + "the record is no JSON document");
  EXPECT_EQ(verdict_of_config("[]"), "type JSON-TYPE " + at + "the config: expected an object, found an array");
  EXPECT_EQ(verdict_of_config("{}"), "type JSON-FIELD " + at + "the config has no field 'config'");
  EXPECT_EQ(verdict_of_config("{\"config\": {" + entry_json({.name = "w"}) + ", " + entry_json({.name = "w"}) + "}}"),
            "ambig JSON-DUPLICATE " + at + "config: key 'w' comes twice");
  LoadOptions few;
  few.limits.tensors = 1;
  EXPECT_EQ(verdict_of(exported(config_json({{.name = "a"}, {.name = "b"}})).build(), few),
            "limit LIMIT-TENSORS " + at + "there are more tensors than the limit tensors, expected at most 1");
}

TEST(ExportedArchive, PathNamesAreNamesOfRecords) {
  const std::string at = "data/weights/model_weights_config.json: tensor 'w': ";
  for (const char* path : {"weight_1", "../../../etc/passwd", "/etc/passwd", "", "../weights/weight_0", "weight_0/"}) {
    EXPECT_EQ(verdict_of_config(config_json({{.name = "w", .path_name = path}})),
              "store STORE-MISSING " + at + "there is no record 'data/weights/" + path + "'");
  }
  // One record under two devices would be two storages.
  std::string other = meta_json({.name = ""});
  other.replace(other.find("\"cpu\""), 5, "\"cuda\"");
  EXPECT_EQ(verdict_of_config("{\"config\": {\"v\": " + payload(meta_json({.name = ""})) +
                              ", \"w\": " + payload(other) + "}}"),
            "store STORE-CONFLICT " + at +
                "storage 'weight_0' is named twice as different things, first as 32 of bytes on 'cpu', then as 32 of "
                "bytes on 'cuda'");
}

TEST(ExportedArchive, ARecordHoldsWholeElements) {
  TorchZip zip = exported(config_json({{.name = "w"}}));
  append(zip.record("data/weights/weight_0").data, to_bytes("ab"));
  EXPECT_EQ(verdict_of(zip.build()),
            "store STORE-SIZE data/weights/model_weights_config.json: tensor 'w': record 'data/weights/weight_0' holds "
            "34 bytes, expected a multiple of the 4 of float32");
}

TEST(ExportedArchive, ManyEntriesAreReadInOnePass) {
  std::string config = "{\"config\": {";
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    config += (i == 0 ? "" : ", ") + entry_json({.name = "w" + std::to_string(i), .sizes = {}, .strides = {}});
  }
  const Result<Checkpoint> checkpoint = open_bytes(exported(config + "}}").build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().entry_count(), std::size_t{kCount});
  // A million entries are more than the budget for JSON; that is known before a byte is read.
  TorchZip zip = exported("");
  zip.record("data/weights/model_weights_config.json").hole_bytes = 200u << 20;
  TemporaryFolder folder;
  ASSERT_TRUE(zip.write_file(folder.path() / "m.pt2"));
  const Result<Checkpoint> large = Checkpoint::open(folder.path() / "m.pt2");
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().finding.message,
            "JSON is larger than the limit json_bytes, expected at most 67108864, found 209715200");
}

TEST(ExportedArchive, FakeTensorsHaveNoBytes) {
  TorchZip zip = exported(config_json({{.name = "w", .path_name = "weight_1"}}));
  zip.add("data/weights/weight_1", "");
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Tensor tensor = checkpoint->root()["w"].as_tensor().value();
  EXPECT_EQ(tensor.device(), Device::meta());
  EXPECT_EQ(tensor.numel(), 8);
  EXPECT_NE(findings_of(*checkpoint)
                .find("warning store PT2-NO-BYTES: tensor 'w' was saved without bytes: it and others "
                      "like it are on the meta device"),
            std::string::npos)
      << findings_of(*checkpoint);
}

TEST(ExportedArchive, ObjectsOfCppClassesStayOpaque) {
  TorchZip zip = exported(
      "{\"config\": {\"o\": {\"path_name\": \"custom_obj_0\", \"is_param\": false, \"use_pickle\": true, "
      "\"tensor_meta\": null}, " +
      entry_json({.name = "w"}) + "}}");
  zip.add("data/weights/custom_obj_0", "anything");
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()["o"].class_name(), "torch.ScriptObject");
  EXPECT_EQ(findings_of(*checkpoint),
            std::string(kPt2Note) +
                "\nwarning unsup PT2-CUSTOM-OBJECT data/weights/custom_obj_0: entry 'o' is an object of "
                "a C++ class: it is kept as an opaque value without content");
}

// A torch.save file with one tensor of four floats as the root.
Bytes saved_tensor() {
  PickleBuilder pickle;
  pickle.proto(2).tensor("FloatStorage", "0", kFour).stop();
  TorchZip zip("archive");
  zip.add("data.pkl", pickle.bytes()).add("data/0", bytes_of(std::vector<float>{9, 8, 7, 6}));
  zip.add("byteorder", "little").add("version", "3\n");
  return zip.build();
}

TorchZip with_pickled_weight(const Bytes& saved, bool deflate) {
  TorchZip zip = exported(
      "{\"config\": {\"w\": {\"path_name\": \"weight_1\", \"is_param\": true, \"use_pickle\": true, "
      "\"tensor_meta\": null}}}");
  zip.add("data/weights/weight_1", saved);
  zip.record("data/weights/weight_1").deflate = deflate;
  return zip;
}

TEST(ExportedArchive, PickledWeightsAreFilesOfTorchSave) {
  for (const bool deflate : {false, true}) {
    TorchZip zip = with_pickled_weight(saved_tensor(), deflate);
    const Bytes bytes = zip.build();
    const Result<Checkpoint> checkpoint = open_bytes(bytes);
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    const Tensor tensor = checkpoint->root()["w"].as_tensor().value();
    EXPECT_EQ(tensor.values<float>().value()[0], 9.0f);
    EXPECT_EQ(tensor.storage().record(), "data/weights/weight_1");
    const VerifyReport report = verified(bytes);
    EXPECT_TRUE(report.ok) << lines_of(report);
    ASSERT_EQ(report.tensors.size(), 1u);
    EXPECT_EQ(report.tensors[0].state, TensorState::intact);
  }
  // One flipped bit of the inner file: the tensor is named, no element is made up.
  TorchZip zip = with_pickled_weight(saved_tensor(), false);
  Bytes bytes = zip.build();
  const Bytes nine = bytes_of(std::vector<float>{9});
  const auto inner = std::search(bytes.begin(), bytes.end(), nine.begin(), nine.end());
  ASSERT_NE(inner, bytes.end());
  *inner ^= std::byte{1};
  const VerifyReport report = verified(bytes);
  EXPECT_FALSE(report.ok);
  ASSERT_EQ(report.tensors.size(), 1u);
  EXPECT_EQ(report.tensors[0].state, TensorState::damaged);
  EXPECT_EQ(report.tensors[0].element, std::nullopt);
}

TEST(ExportedArchive, WhatIsPickledMustBeOfTorchSave) {
  TorchZip text = with_pickled_weight(to_bytes("no zip file"), false);
  EXPECT_EQ(
      verdict_of(text.build()),
      "zip ZIP-NONE data/weights/weight_1 at 0x480: what torch.save wrote into the record: file is too short for a "
      "zip archive, expected at least 22 bytes, found 11");
  TorchZip other = with_pickled_weight(exported(config_json({{.name = "w"}})).build(), false);
  EXPECT_EQ(
      verdict_of(other.build()),
      "unsup NESTED-KIND data/weights/weight_1: the record is an archive of kind pt2, expected one of torch.save");
}

// torch 2.1 to 2.7: no root folder, and dicts that torch.save wrote.
Bytes saved_dict(std::string_view key) {
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().text(key).tensor("FloatStorage", "0", kFour).setitem().stop();
  TorchZip zip("archive");
  zip.add("data.pkl", pickle.bytes()).add("data/0", bytes_of(std::vector<float>{1, 2, 3, 4}));
  zip.add("byteorder", "little").add("version", "3\n");
  return zip.build();
}

TEST(ExportedArchive, TheOldLayoutHoldsFilesOfTorchSave) {
  for (const char* suffix : {".pt", ".json"}) {
    TorchZip zip("");
    zip.add_full_name("serialized_exported_program.json", as_byte_span("{}"));
    zip.add_full_name("serialized_state_dict" + std::string(suffix), saved_dict("fc.weight"));
    zip.add_full_name("serialized_constants" + std::string(suffix), saved_dict("anchor"));
    zip.add_full_name("version", as_byte_span("8.3"));
    const Bytes bytes = zip.build();
    const Result<Checkpoint> checkpoint = open_bytes(bytes);
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    EXPECT_EQ(checkpoint->format().kind, FileKind::pt2);
    EXPECT_EQ(checkpoint->format().torch, "2.1-2.7");
    EXPECT_EQ(findings_of(*checkpoint), kPt2Note);
    EXPECT_EQ(listing_of(*checkpoint), "fc.weight:tensor:4 constants.anchor:tensor:4");
    EXPECT_TRUE(verified(bytes).ok) << lines_of(verified(bytes));
  }
  TorchZip bare("");
  bare.add_full_name("serialized_exported_program.json", as_byte_span("{}"));
  EXPECT_EQ(
      verdict_of(bare.build()),
      "zip PT2-NO-WEIGHTS: there is no record 'serialized_state_dict.pt' beside 'serialized_exported_program.json'");
  TorchZip tensor("");
  tensor.add_full_name("serialized_exported_program.json", as_byte_span("{}"));
  tensor.add_full_name("serialized_state_dict.pt", saved_tensor());
  EXPECT_EQ(verdict_of(tensor.build()),
            "type PT2-SAVED-DICT serialized_state_dict.pt: the saved object is no dict, found torch.Tensor");
}

TEST(ExportedArchive, TheRecordsOfAProgramAreJudged) {
  TorchZip format = exported(config_json({{.name = "w"}}));
  format.record("archive_format").data = to_bytes("pt3");
  EXPECT_EQ(
      verdict_of(format.build()),
      "unsup KIND-UNSUPPORTED archive_format: archive format is not one that is known, expected 'pt2', found 'pt3'");
  TorchZip both = exported(config_json({{.name = "w"}}));
  both.add("data/weights/model.pt", saved_dict("w"));
  EXPECT_EQ(verdict_of(both.build()),
            "ambig PT2-TWO-FORMS: 'data/weights/model_weights_config.json' and 'data/weights/model.pt' both hold the "
            "tensors of model 'model'");
  TorchZip compiled("m");
  compiled.add("archive_format", "pt2").add("data/aotinductor/model/a.so", "x").add(".data/version", "6\n");
  EXPECT_EQ(verdict_of(compiled.build()),
            "unsup PT2-NO-MODEL: the torch.export archive holds no program (models/NAME.json), so no weights");
  TorchZip none("m");
  none.add("archive_format", "pt2").add("models/a.json", "{}").add(".data/version", "6\n");
  EXPECT_EQ(verdict_of(none.build()),
            "zip PT2-NO-WEIGHTS: there is no record 'data/weights/a_weights_config.json' beside 'models/a.json'");
  TorchZip saved("m");
  saved.add("archive_format", "pt2").add("models/a.json", "{}").add(".data/version", "6\n");
  saved.add("data/weights/a.pt", saved_dict("w"));
  EXPECT_EQ(listing_of(*open_bytes(saved.build())), "w:tensor:4");
}

TEST(ExportedArchive, VerifyNamesWhatIsDamaged) {
  TorchZip zip = exported(config_json({{.name = "a"}, {.name = "b"}}));
  Bytes bytes = zip.build();
  EXPECT_TRUE(verified(bytes).ok);
  bytes[zip.place("data/weights/weight_0").data + 5] ^= std::byte{4};
  VerifyReport report = verified(bytes);
  EXPECT_FALSE(report.ok);
  ASSERT_EQ(report.tensors.size(), 2u);
  EXPECT_EQ(report.tensors[1].state, TensorState::damaged);
  EXPECT_EQ(report.tensors[1].element, 1);
  // The names and shapes themselves.
  bytes = zip.build();
  const std::uint64_t config = zip.place("data/weights/model_weights_config.json").data;
  bytes[config + 13] = std::byte{'c'};
  report = verified(bytes);
  ASSERT_EQ(report.tensors.size(), 2u);
  EXPECT_EQ(report.tensors[0].state, TensorState::damaged);
  EXPECT_EQ(report.tensors[1].state, TensorState::damaged);
  EXPECT_EQ(verdict_of(bytes).find("crc CRC-MISMATCH data/weights/model_weights_config.json at 0x"), 0u);
}

// --- TorchScript
// ------------------------------------------------------------------------------------------------------

PickleBuilder& add_script_tensor(PickleBuilder& pickle, std::string_view name, std::string_view key, bool requires_grad,
                                 bool sixth = false) {
  pickle.text(name).global("torch._utils", "_rebuild_tensor_v2").mark();
  pickle.mark().text("storage").global("torch", "FloatStorage").text(key).text("cpu").integer(4);
  if (sixth) pickle.none();
  pickle.tuple().binpersid();
  pickle.integer(0).integers(kFour).integers(std::vector<std::int64_t>{1}).boolean(requires_grad);
  return pickle.global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce();
}

// A module `__torch__.net.Net`: a plain tensor, a buffer, a child with a parameter, then a parameter of its own.
PickleBuilder script_module() {
  PickleBuilder pickle;
  pickle.proto(2).global("__torch__.net", "Net").empty_tuple().newobj().empty_dict().mark();
  pickle.text("training").boolean(false);
  add_script_tensor(pickle, "plain", "0", false);
  add_script_tensor(pickle, "mean", "1", false);
  pickle.text("child").global("__torch__.sub.___torch_mangle_0", "Child").empty_tuple().newobj().empty_dict().mark();
  add_script_tensor(pickle, "weight", "2", true);
  pickle.setitems().build();
  add_script_tensor(pickle, "scale", "3", false);
  return pickle.setitems().build().stop();
}

constexpr std::string_view kNetCode =
    "class Net(Module):\n  __parameters__ = [\"scale\", ]\n  __buffers__ = [\"mean\", ]\n  training : bool\n"
    "  def forward(self: __torch__.net.Net) -> Tensor:\n    return self.mean\n";
constexpr std::string_view kChildCode = "class Child(Module):\n  __parameters__ = [\"weight\", ]\n  __buffers__ = []\n";

TorchZip script_zip(const PickleBuilder& module, std::string_view net_code = kNetCode) {
  TorchZip zip("net");
  for (const char* key : {"0", "1", "2", "3"})
    zip.add("data/" + std::string(key), bytes_of(std::vector<float>{1, 2, 3, 4}));
  zip.add("data.pkl", module.bytes());
  if (!net_code.empty()) zip.add("code/__torch__/net.py", net_code);
  zip.add("code/__torch__/sub/___torch_mangle_0.py", kChildCode);
  zip.add("code/__torch__/net.py.debug_pkl", "x");
  zip.add("constants.pkl", "\x80\x02).").add("version", "3\n").add("byteorder", "little");
  return zip;
}

TEST(ScriptArchive, TheCodeSaysWhatAParameterIs) {
  const Result<Checkpoint> checkpoint = open_bytes(script_zip(script_module()).build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torchscript);
  EXPECT_EQ(checkpoint->root().class_name(), "__torch__.net.Net");
  EXPECT_EQ(findings_of(*checkpoint), kScriptNote);
  // As torch lists them: own parameters, own buffers, then children. `scale` needs no gradient.
  EXPECT_EQ(listing_of(*checkpoint), "scale:parameter:4 mean:buffer:4 (plain:tensor:4) child.weight:parameter:4");
  const StateDict state = checkpoint->state_dict().value();
  EXPECT_EQ(state.path(), "");
  EXPECT_EQ(names_of(state), "scale mean child.weight");
  EXPECT_EQ(names_of(checkpoint->state_dict("child").value()), "weight");
  EXPECT_EQ(checkpoint->root().at("child.weight").as_tensor()->options().tensor_class, TensorClass::parameter);
  EXPECT_EQ(checkpoint->root().attr("training").as_bool(), false);
}

TEST(ScriptArchive, BeforeTorch16AllOtherTensorsAreBuffers) {
  const Result<Checkpoint> checkpoint = open_bytes(
      script_zip(script_module(), "class Net(Module):\n  __parameters__ = [\"scale\", ]\n  mean : Tensor\n").build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(listing_of(*checkpoint), "scale:parameter:4 plain:buffer:4 mean:buffer:4 child.weight:parameter:4");
}

TEST(ScriptArchive, WithoutCodeGradientsTellThemApart) {
  const Result<Checkpoint> checkpoint = open_bytes(script_zip(script_module(), "").build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(listing_of(*checkpoint), "plain:buffer:4 mean:buffer:4 scale:buffer:4 child.weight:parameter:4");
  EXPECT_EQ(findings_of(*checkpoint),
            std::string(kScriptNote) +
                "\nwarning unsup SCRIPT-NO-CODE: class '__torch__.net.Net' has no source in the "
                "archive: its parameters are told from its buffers by requires_grad");
}

TEST(ScriptArchive, ItsClassesAreItsOwn) {
  LoadOptions strict;
  strict.globals = Globals::strict;
  const Result<Checkpoint> checkpoint = open_bytes(script_zip(script_module()).build(), strict);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  for (const GlobalUse& use : checkpoint->globals()) EXPECT_TRUE(use.allowed) << use.name;
  PickleBuilder evil;
  evil.proto(2).global("__torch__evil", "X").empty_tuple().newobj().stop();
  EXPECT_EQ(verdict_of(script_zip(evil).build(), strict).substr(0, 31), "global GLOBAL-UNKNOWN data.pkl ");
}

TEST(ScriptArchive, ConstantsAreAnAttributeOfTheRoot) {
  PickleBuilder constants;
  constants.proto(2).mark();
  constants.tensor("FloatStorage", "0", kFour).text("mode").tuple().stop();
  TorchZip zip = script_zip(script_module());
  zip.record("constants.pkl").data = constants.copy();
  zip.add("constants/0", bytes_of(std::vector<float>{5, 6, 7, 8}));
  const Bytes bytes = zip.build();
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(findings_of(*checkpoint), kScriptNote);
  EXPECT_EQ(listing_of(*checkpoint),
            "scale:parameter:4 mean:buffer:4 (plain:tensor:4) (CONSTANTS.c0:tensor:4) child.weight:parameter:4");
  EXPECT_EQ(names_of(checkpoint->state_dict().value()), "scale mean child.weight");
  EXPECT_EQ(names_of(checkpoint->state_dict("CONSTANTS").value()), "c0");
  EXPECT_EQ(checkpoint->root().at("CONSTANTS.c0").as_tensor()->values<float>().value()[0], 5.0f);
  EXPECT_EQ(checkpoint->root().at("CONSTANTS.c1").as_string(), "mode");
  const VerifyReport report = verified(bytes);
  EXPECT_TRUE(report.ok) << lines_of(report);
  for (const TensorVerdict& tensor : report.tensors) EXPECT_EQ(tensor.state, TensorState::intact) << tensor.name;
}

TEST(ScriptArchive, ConstantsCountInTheDigest) {
  const auto digest_of = [](const std::vector<float>& values) {
    PickleBuilder module;
    module.proto(2).global("__torch__.net", "Net").empty_tuple().newobj().empty_dict().build().stop();
    PickleBuilder constants;
    constants.proto(2).tensor("FloatStorage", "0", kFour).tuple1().stop();
    TorchZip zip = script_zip(module);
    zip.record("constants.pkl").data = constants.copy();
    zip.add("constants/0", bytes_of(values));
    const Result<Checkpoint> checkpoint = open_bytes(zip.build());
    EXPECT_TRUE(checkpoint->state_dict()->empty());
    return digest(*checkpoint, DigestAlgorithm::xxh3_128).value();
  };
  const DigestReport one = digest_of({1, 2, 3, 4});
  ASSERT_EQ(one.tensors.size(), 1u);
  EXPECT_EQ(one.tensors[0].name, "CONSTANTS.c0");
  EXPECT_NE(one.content_digest, digest_of({1, 2, 3, 5}).content_digest);
}

TEST(ScriptArchive, ConstantsAreATuple) {
  TorchZip zip = script_zip(script_module());
  zip.record("constants.pkl").data = to_bytes("\x80\x02].");
  EXPECT_EQ(verdict_of(zip.build()), "type SCRIPT-CONSTANTS constants.pkl: the constants are no tuple, found list");
  PickleBuilder missing;
  missing.proto(2).mark().tensor("FloatStorage", "7", kFour).tuple().stop();
  zip.record("constants.pkl").data = missing.copy();
  EXPECT_EQ(verdict_of(zip.build()),
            "store STORE-MISSING constants.pkl at 0x817: tensor '[0]': storage '7' has no record 'constants/7'");
}

TEST(ScriptArchive, TypeTagsStandForTheirValue) {
  PickleBuilder pickle;
  pickle.proto(2).global("__torch__.net", "Net").empty_tuple().newobj().empty_dict().mark();
  pickle.text("sizes").global("torch.jit._pickle", "build_intlist");
  pickle.empty_list().mark().integer(3).integer(4).appends().tuple1().reduce();
  pickle.text("table").global("torch.jit._pickle", "restore_type_tag").empty_dict().mark();
  pickle.text("x").real(0.5).setitems().text("Dict[str, float]").tuple2().reduce();
  pickle.setitems().build().stop();
  const Result<Checkpoint> checkpoint = open_bytes(script_zip(pickle).build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().attr("sizes").kind(), ValueKind::list);
  EXPECT_EQ(checkpoint->root().attr("sizes").item(1).as_int(), 4);
  EXPECT_EQ(checkpoint->root().attr("table")["x"].as_double(), 0.5);
}

TEST(ScriptArchive, TypeTagsAreJudged) {
  const std::string at = " data.pkl: torch.jit._pickle.restore_type_tag: ";
  // Without the offset, which is that of the name's opcode.
  const auto verdict = [](auto&& write) {
    PickleBuilder pickle;
    pickle.proto(2).global("torch.jit._pickle", "restore_type_tag");
    write(pickle);
    const Result<Checkpoint> checkpoint = open_bytes(script_zip(pickle.stop()).build());
    if (checkpoint) return std::string("ok");
    Finding finding = checkpoint.error().finding;
    finding.offset.reset();
    return line_of(finding);
  };
  EXPECT_EQ(verdict([](PickleBuilder& p) { p.empty_tuple().reduce(); }),
            "type TYPE-ARGUMENT-COUNT" + at + "wrong number of arguments, expected 1 or 2, found 0");
  EXPECT_EQ(verdict([](PickleBuilder& p) { p.none().integer(3).tuple2().reduce(); }),
            "type TYPE-ARGUMENT" + at + "argument 1 (type), expected str, found int");
  EXPECT_EQ(verdict([](PickleBuilder& p) { p.empty_list().tuple1().reduce().integer(1).append(); }),
            "type TYPE-APPEND data.pkl: items are appended to the result of torch.jit._pickle.restore_type_tag");
  EXPECT_EQ(
      verdict([](PickleBuilder& p) { p.empty_tuple().newobj(); }),
      "type TYPE-NEWOBJ" + std::string(" data.pkl: torch.jit._pickle.restore_type_tag is a function, and an object "
                                       "of it is made"));
}

TEST(ScriptArchive, Torch13WroteASixthPart) {
  PickleBuilder pickle;
  pickle.proto(2).global("__torch__.net", "Net").empty_tuple().newobj().empty_dict().mark();
  add_script_tensor(pickle, "mean", "1", false, true);
  pickle.setitems().build().stop();
  EXPECT_EQ(verdict_of(script_zip(pickle).build()), "ok");
  // Only there.
  EXPECT_EQ(
      verdict_of(zip_with(pickle).build()),
      "type TYPE-PERSISTENT-ID data.pkl at 0xb7: tensor 'mean': persistent id, expected a tuple of 5, found a tuple "
      "of 6");
}

TEST(ScriptArchive, OtherPicklesMakeItAmbiguous) {
  TorchZip rival = script_zip(script_module());
  rival.add_full_name("other/data.pkl", as_byte_span("N."));
  EXPECT_EQ(verdict_of(rival.build()).substr(0, 32), "ambig ZIP-TWO-PICKLES other/data");
  TorchZip pt2 = exported(config_json({{.name = "w"}}));
  pt2.add("data.pkl", "N.");
  EXPECT_EQ(verdict_of(pt2.build()),
            "ambig ZIP-TWO-KINDS m/data.pkl at 0x77b: 'm/data.pkl' and 'm/archive_format' belong to archives of two "
            "kinds");
  TorchZip none("net");
  none.add("constants.pkl", "\x80\x02).").add("version", "3\n");
  EXPECT_EQ(verdict_of(none.build()),
            "zip ZIP-NO-PICKLE data.pkl: there is no record 'data.pkl' beside 'constants.pkl'");
}

TEST(ScriptArchive, MobileArchivesAreTheSame) {
  TorchZip zip = script_zip(script_module());
  zip.add("bytecode.pkl", "\x80\x02N.");
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torchscript_mobile);
  EXPECT_EQ(findings_of(*checkpoint), kScriptNote);
}

TEST(ScriptArchive, ScansNameOnlyWhatIsStrange) {
  TemporaryFolder folder;
  TorchZip zip = script_zip(script_module());
  zip.add("traced_inputs.pkl",
          "\x80\x02"
          "cos\nsystem\n.");
  ASSERT_TRUE(zip.write_file(folder.path() / "m.pt"));
  const ScanReport report = scan({folder.path() / "m.pt"}).value();
  ASSERT_EQ(report.files.size(), 1u);
  std::string names;
  for (const GlobalUse& use : report.files[0].globals) {
    if (!use.allowed) names += use.name + " in " + use.record + " ";
  }
  EXPECT_EQ(names, "os.system in traced_inputs.pkl ");
}

TEST(ScriptClasses, OnlyDeclarationsCount) {
  const checkpoint::ScriptClassTable classes = checkpoint::parse_script_classes(
      "import x\nclass A(Module):\n  __parameters__ = [\"0\", \"a\\\"b\", ]\n  def f(self):\n    __buffers__ = "
      "[\"no\", ]\n"
      "def free():\n  __buffers__ = [\"no\", ]\nclass B(NamedTuple):\n  x : int\nclass A(Module):\n  __buffers__ = "
      "[\"later\", ]\n"
      "class C(Module):\n  __parameters__ = [\"cut");
  ASSERT_EQ(classes.size(), 3u);
  EXPECT_FALSE(classes.at("A").parameters);
  EXPECT_EQ(classes.at("A").buffers, std::vector<std::string>{"later"});
  EXPECT_FALSE(classes.at("B").parameters);
  EXPECT_EQ(classes.at("C").parameters, std::vector<std::string>());
  const checkpoint::ScriptClassTable first =
      checkpoint::parse_script_classes("class A(Module):\n  __parameters__ = [\"0\", \"a\\\"b\", ]\n");
  EXPECT_EQ(first.at("A").parameters, (std::vector<std::string>{"0", "a\"b"}));
  EXPECT_FALSE(first.at("A").buffers);
}

// --- TorchScript of torch 1.0 to 1.2
// ----------------------------------------------------------------------------------

constexpr std::string_view kTable =
    "[{\"dims\":[\"2\",\"2\"],\"offset\":\"0\",\"strides\":[\"2\",\"1\"],\"requiresGrad\":true,\"dataType\":\"FLOAT\","
    "\"data\":{\"key\":\"tensors/0\"},\"device\":\"cpu\"},"
    "{\"offset\":\"0\",\"requiresGrad\":false,\"dataType\":\"INT64\",\"data\":{\"key\":\"tensors/"
    "1\"},\"device\":\"cpu\"}]";

TorchZip json_zip(std::string_view module, std::string_view table = kTable, std::string_view attributes = "") {
  TorchZip zip("script");
  zip.add("version", "1\n").add("code/script.py", "x");
  zip.add("tensors/0", bytes_of(std::vector<float>{1, 2, 3, 4}))
      .add("tensors/1", bytes_of(std::vector<std::int64_t>{7}));
  if (!attributes.empty()) zip.add("attributes.pkl", attributes);
  zip.add("model.json",
          "{\"protoVersion\":\"5\",\"mainModule\":" + std::string(module) + ",\"tensors\":" + std::string(table) + "}");
  return zip;
}

TEST(ScriptJson, TheTableOfTensorsIsShared) {
  // (build_tensor_from_id(1), 3)
  PickleBuilder attributes;
  attributes.proto(2).mark().global("torch.jit._pickle", "build_tensor_from_id").mark().integer(1).tuple().reduce();
  attributes.integer(3).tuple().stop();
  TorchZip zip = json_zip(
      "{\"name\":\"script\",\"submodules\":[{\"name\":\"fc\",\"parameters\":[{\"isBuffer\":false,\"tensorId\":\"0\","
      "\"name\":\"weight\"},{\"isBuffer\":true,\"tensorId\":\"0\",\"name\":\"twin\"}],\"attributes\":[{\"type\":"
      "\"Tensor\","
      "\"name\":\"count\",\"id\":\"0\"},{\"type\":\"int\",\"name\":\"k\",\"id\":\"1\"}]}]}",
      kTable, attributes.str());
  const Bytes bytes = zip.build();
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().torch, "1.0-1.2");
  EXPECT_EQ(findings_of(*checkpoint), kScriptNote);
  EXPECT_EQ(listing_of(*checkpoint), "fc.weight:parameter:4 fc.twin:buffer:4 fc.count:buffer:1");
  EXPECT_EQ(checkpoint->root().at("fc.k").as_int(), 3);
  EXPECT_EQ(checkpoint->root().at("fc.count").as_tensor()->values<std::int64_t>().value()[0], 7);
  EXPECT_EQ(checkpoint->root().at("fc.weight").as_tensor()->storage().memory(),
            checkpoint->root().at("fc.twin").as_tensor()->storage().memory());
  EXPECT_TRUE(verified(bytes).ok) << lines_of(verified(bytes));
}

TEST(ScriptJson, NumbersMustNameSomething) {
  const std::string at = " model.json: ";
  const auto parameter = [](std::string_view id) {
    return "{\"parameters\":[{\"isBuffer\":false,\"tensorId\":" + std::string(id) + ",\"name\":\"w\"}]}";
  };
  EXPECT_EQ(verdict_of(json_zip(parameter("\"1\"")).build()), "ok");
  EXPECT_EQ(verdict_of(json_zip(parameter("\"2\"")).build()),
            "type SCRIPT-JSON-ID" + at + "module '', parameters 'w' is tensor 2 of 2");
  EXPECT_EQ(verdict_of(json_zip(parameter("-1")).build()),
            "type SCRIPT-JSON-ID" + at + "module '', parameters 'w' is tensor -1 of 2");
  EXPECT_EQ(verdict_of(json_zip(parameter("\"x\"")).build()),
            "type JSON-TYPE" + at + "module '', parameters 'w', tensorId: expected an integer, found 'x'");
  EXPECT_EQ(verdict_of(json_zip("{\"attributes\":[{\"name\":\"a\",\"id\":\"0\"}]}").build()),
            "type SCRIPT-JSON-ID" + at + "module '', attributes 'a' is value 0 of 0");
  EXPECT_EQ(verdict_of(json_zip("{\"submodules\":[{\"name\":\"a\"},{\"name\":\"a\"}]}").build()),
            "ambig JSON-DUPLICATE" + at + "module '': 'a' comes twice");
  PickleBuilder attributes;
  attributes.proto(2).mark().global("torch.jit._pickle", "build_tensor_from_id").mark().integer(2).tuple().reduce();
  attributes.tuple().stop();
  EXPECT_EQ(verdict_of(json_zip("{}", kTable, attributes.str()).build()),
            "store STORE-MISSING attributes.pkl at 0x26f: tensor '[0]': nothing has the key '2'");
}

TEST(ScriptJson, TensorsAreJudged) {
  const auto table = [](std::string_view from, std::string_view to) {
    std::string text(kTable);
    text.replace(text.find(from), from.size(), to);
    return verdict_of(json_zip("{}", text).build());
  };
  EXPECT_EQ(table("\"FLOAT\"", "\"STRING\""),
            "unsup SCRIPT-JSON-DTYPE model.json: tensor 0: data type 'STRING' is not read here");
  EXPECT_EQ(table("\"tensors/0\"", "\"../../x\""),
            "store STORE-MISSING model.json: tensor 0: there is no record '../../x'");
  EXPECT_EQ(table("\"key\"", "\"no\""), "type JSON-FIELD model.json: tensor 0, data has no field 'key'");
  EXPECT_EQ(table("[\"2\",\"2\"]", "[\"2\",\"3\"]"),
            "tensor TENSOR-BOUNDS model.json: tensor 0: sizes [2, 3], strides [2, 1] and offset 0 reach element 4, the "
            "storage holds 4 of float32 (16 bytes)");
  EXPECT_EQ(table("[\"2\",\"2\"]", "[\"2\"]"),
            "tensor TENSOR-STRIDE model.json: tensor 0: a tensor of 1 dimensions has 2 strides");
  EXPECT_EQ(table("\"offset\":\"0\"", "\"offset\":\"-1\""),
            "tensor TENSOR-OFFSET model.json: tensor 0: the storage offset is -1, expected 0 or more");
}

// --- torch.package
// ----------------------------------------------------------------------------------------------------

PickleBuilder& add_packaged(PickleBuilder& pickle, std::int64_t key) {
  pickle.global("torch._utils", "_rebuild_tensor_v2").mark();
  pickle.mark().text("storage").global("torch", "FloatStorage").integer(key).text("cpu").integer(4).tuple().binpersid();
  pickle.integer(0).integers(kFour).integers(std::vector<std::int64_t>{1}).boolean(false);
  return pickle.global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce();
}
PickleBuilder packaged(std::string_view name, std::int64_t key) {
  PickleBuilder pickle;
  pickle.proto(3).empty_dict().text(name);
  return add_packaged(pickle, key).setitem().stop();
}
TorchZip package_zip() {
  TorchZip zip("p");
  zip.add(".data/0.storage", bytes_of(std::vector<float>{1, 2, 3, 4}));
  zip.add(".data/1.storage", bytes_of(std::vector<float>{5, 6, 7, 8}));
  zip.add(".data/extern_modules", "torch\n").add(".data/python_version", "3.11.7").add(".data/version", "6\n");
  zip.add("byteorder", "little").add("notes/a.txt", "text").add("code.py", "\x80\x03N.");
  return zip;
}

TEST(PackageArchive, OnePickleIsTheRoot) {
  TorchZip zip = package_zip();
  zip.add("model/model.pkl", packaged("w", 1).bytes());
  const Bytes bytes = zip.build();
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torch_package);
  EXPECT_EQ(listing_of(*checkpoint), "w:tensor:4");
  EXPECT_EQ(checkpoint->root()["w"].as_tensor()->storage().record(), ".data/1.storage");
  EXPECT_EQ(findings_of(*checkpoint).substr(0, kPackageNote.size()), kPackageNote);
  // The other storage belongs to nothing.
  EXPECT_NE(findings_of(*checkpoint).find("ZIP-UNUSED-RECORD .data/0.storage"), std::string::npos)
      << findings_of(*checkpoint);
  EXPECT_TRUE(verified(bytes).ok);
}

TEST(PackageArchive, SeveralPicklesAreADictWhateverTheirNames) {
  TorchZip zip = package_zip();
  zip.add("model/model.pkl", packaged("w", 1).bytes()).add("model/extra", packaged("v", 0).bytes());
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().entry_count(), 2u);
  EXPECT_EQ(checkpoint->root()["model/extra"]["v"].as_tensor()->values<float>().value()[0], 1.0f);
  EXPECT_EQ(names_of(checkpoint->state_dict("model/model.pkl").value()), "w");
  EXPECT_EQ(findings_of(*checkpoint), kPackageNote);
}

TEST(PackageArchive, ReducedObjectsStayOpaque) {
  PickleBuilder pickle;
  pickle.proto(3).mark().text("reduce_package").integer(99).global("torch.jit._script", "unpackage_script_module");
  pickle.text("0").tuple().binpersid().stop();
  TorchZip zip = package_zip();
  zip.add("model/model.pkl", pickle.bytes());
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().class_name(), "torch.jit._script.unpackage_script_module");
}

TEST(PackageArchive, WithoutPicklesThereIsNothing) {
  EXPECT_EQ(verdict_of(package_zip().build()),
            "unsup PACKAGE-NO-PICKLE: the torch.package archive holds no pickle, so no weights");
  TorchZip zip = package_zip();
  zip.add("model/model.pkl", packaged("w", 9).bytes());
  EXPECT_EQ(verdict_of(zip.build()),
            "store STORE-MISSING model/model.pkl at 0x419: tensor 'w': storage '9.storage' has no record "
            "'.data/9.storage'");
}

}  // namespace
}  // namespace rushlight::test
