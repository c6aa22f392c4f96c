// Rules of format-spec/05-checkpoint.md that speak of whole files, and the lists that the page prints.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checksum/xxh3.hpp"
#include "open/opened_bytes.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;
using Write = std::function<void(PickleBuilder&)>;

const std::vector<std::int64_t> kEight{8};

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}
PickleBuilder& add_tensor(PickleBuilder& pickle, std::string_view key) {
  return pickle.text(key).tensor("FloatStorage", "0", kEight).setitem();
}
// A dict that `write` fills.
PickleBuilder dict_of(const Write& write) {
  PickleBuilder pickle = start();
  pickle.empty_dict();
  write(pickle);
  pickle.stop();
  return pickle;
}

// The words of that block of code of the page which begins with this one.
std::vector<std::string> words_of_block(const std::string& first) {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/05-checkpoint.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  const std::size_t begin = page.find("\n\n      " + first + " ");
  if (begin == std::string::npos) return {};
  std::istringstream block(page.substr(begin, page.find("\n\n", begin + 2) - begin));
  return {std::istream_iterator<std::string>(block), {}};
}

// --- records
// ----------------------------------------------------------------------------------------------------------

TEST(CheckpointRecords, WhatTheWriterSaysOfItselfMayBeAnything) {
  for (const char* name : {".format_version", ".FORMAT_VERSION", ".data/serialization_id", ".data/Serialization_ID"}) {
    for (const std::string& text :
         {std::string(), std::string("9"), std::string("no number\n"), std::string(500, '7')}) {
      TorchZip zip = base_zip();
      zip.add(name, text);
      const Result<Checkpoint> checkpoint = open_bytes(zip.build());
      ASSERT_TRUE(checkpoint) << name << ": " << to_string(checkpoint.error());
      EXPECT_TRUE(checkpoint->findings().empty()) << name << ": " << to_string(checkpoint->findings()[0]);
    }
  }
}

TEST(CheckpointRecords, NeitherTheFoldersNameNorTheOrderMeansAnything) {
  for (const char* root : {"archive", "my.model.v1.pth", "with space (1)", "\xD0\xBC-\xC3\xA9", "data", "version"}) {
    TorchZip zip(root);
    zip.add("version", "3\n").add("data/1", bytes_of(std::vector<std::int64_t>{0, 1, 2, 3}));
    zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7})).add("data.pkl", base_pickle());
    const Result<Checkpoint> checkpoint = open_bytes(zip.build());
    ASSERT_TRUE(checkpoint) << root << ": " << to_string(checkpoint.error());
    EXPECT_EQ(checkpoint->format().root, root);
    EXPECT_TRUE(checkpoint->findings().empty()) << root;
    EXPECT_EQ(checkpoint->root()["a"].as_tensor()->values<float>().value()[7], 7.0f);
  }
}

// --- values
// -----------------------------------------------------------------------------------------------------------

TEST(CheckpointValues, NamesOfTheListThatMakeNothingAreOpaqueWhenTheyAreCalled) {
  for (const auto& [module, name] :
       {std::pair("torch", "float16"), std::pair("torch", "FloatStorage"), std::pair("torch", "per_tensor_affine"),
        std::pair("torch", "uint3"), std::pair("torch.nn.parameter", "Buffer")}) {
    PickleBuilder pickle = start();
    pickle.global(module, name).integer(3).tuple1().reduce().stop();
    const Result<Checkpoint> checkpoint = open_pickle(pickle);
    ASSERT_TRUE(checkpoint) << name << ": " << to_string(checkpoint.error());
    EXPECT_EQ(checkpoint->root().kind(), ValueKind::opaque) << name;
    EXPECT_EQ(checkpoint->root().class_name(), std::string(module) + "." + name);
    EXPECT_EQ(checkpoint->root().arguments()[0].as_int(), 3);
    EXPECT_TRUE(checkpoint->globals()[0].allowed) << name;
  }
}

TEST(CheckpointValues, NamesThatAreNotCalledAreValuesByThemselves) {
  PickleBuilder pickle = start();
  pickle.global("torch", "qint8").global("torch._utils", "_rebuild_tensor_v2").global("__builtin__", "long").tuple3();
  pickle.stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()[0].as_dtype(), DType::qi8);
  EXPECT_EQ(checkpoint->root()[1].kind(), ValueKind::global);
  EXPECT_EQ(checkpoint->root()[1].class_name(), "torch._utils._rebuild_tensor_v2");
  EXPECT_EQ(checkpoint->root()[2].class_name(), "builtins.int");
  EXPECT_FALSE(checkpoint->globals()[2].allowed);
}

TEST(CheckpointValues, CallsThatCannotBeAreRefused) {
  PickleBuilder keywords;
  keywords.proto(4).global("collections", "OrderedDict").empty_tuple().empty_dict().short_text("k").none().setitem();
  keywords.newobj_ex().stop();
  EXPECT_EQ(open_pickle(keywords).error().finding.code, "TYPE-KEYWORDS");
  PickleBuilder storage = start();
  storage.storage("FloatStorage", "0", 8).empty_tuple().reduce().stop();
  EXPECT_EQ(open_pickle(storage).error().finding.code, "TYPE-CALLABLE");
  PickleBuilder tensor = start();
  tensor.tensor("FloatStorage", "0", kEight).empty_tuple().reduce().stop();
  EXPECT_EQ(open_pickle(tensor).error().finding.code, "TYPE-CALLABLE");
  PickleBuilder legacy_class = start();
  legacy_class.mark().text("module").global("my", "Net").text("net.py").text("class Net: pass").tuple().binpersid();
  legacy_class.empty_tuple().newobj().stop();
  EXPECT_EQ(open_pickle(legacy_class).error().finding.code, "TYPE-PERSISTENT-KIND");
  EXPECT_EQ(open_pickle(legacy_class).error().code, ErrorCode::unsupported);
}

TEST(CheckpointValues, EveryKindOfTensorThatIsNotBuiltHasItsWarning) {
  struct Row {
    const char* module;
    const char* name;
    const char* code;
  };
  constexpr Row kRows[] = {
      {"torch.sparse", "FloatTensor", "TENSOR-SPARSE"},
      {"torch.cuda.sparse", "DoubleTensor", "TENSOR-SPARSE"},
      {"torch._utils", "_rebuild_device_tensor_from_numpy", "TENSOR-NUMPY"},
      {"torch._utils", "_rebuild_xla_tensor", "TENSOR-NUMPY"},
  };
  for (const Row& row : kRows) {
    // Its arguments hold a tensor, which is listed, and another one is beside it.
    const Result<Checkpoint> checkpoint = open_pickle(dict_of([&](PickleBuilder& p) {
      p.text("x").global(row.module, row.name).tensor("FloatStorage", "0", kEight).tuple1().reduce().setitem();
      p.text("y").tensor("LongStorage", "1", std::vector<std::int64_t>{4}).setitem();
    }));
    ASSERT_TRUE(checkpoint) << row.name << ": " << to_string(checkpoint.error());
    EXPECT_EQ(checkpoint->root()["x"].kind(), ValueKind::opaque) << row.name;
    ASSERT_EQ(checkpoint->findings().size(), 1u) << row.name;
    const Finding& finding = checkpoint->findings()[0];
    EXPECT_EQ(finding.code, row.code) << row.name;
    EXPECT_EQ(finding.severity, Severity::warning);
    EXPECT_EQ(finding.tensors, std::vector<std::string>{"x"});
    const Inspection report = inspect(*checkpoint).value();
    ASSERT_EQ(report.tensors.size(), 2u) << row.name;
    EXPECT_EQ(report.tensors[0].name, "x.args[0]");
  }
}

// --- storages
// ---------------------------------------------------------------------------------------------------------

TEST(CheckpointStorages, AnyRecordedLocationIsReadToTheCpuAndStaysReadable) {
  for (const char* location : {"cpu", "cpu:0", "cuda:7", "mps", "xpu:1", "hpu", "no such device", ""}) {
    PickleBuilder pickle = start();
    pickle.global("torch._utils", "_rebuild_tensor").mark().storage("FloatStorage", "0", 8, location);
    pickle.integer(0).integers(kEight).integers(std::vector<std::int64_t>{1}).tuple().reduce().stop();
    const Result<Checkpoint> checkpoint = open_pickle(pickle);
    ASSERT_TRUE(checkpoint) << location << ": " << to_string(checkpoint.error());
    const Tensor tensor = checkpoint->root().as_tensor().value();
    EXPECT_EQ(tensor.device(), Device::cpu()) << location;
    EXPECT_EQ(tensor.storage().recorded_device(), location);
    EXPECT_EQ(tensor.values<float>().value()[7], 7.0f) << location;
  }
}

TEST(CheckpointStorages, AnUntypedStorageWithoutADtypeIsBytes) {
  PickleBuilder pickle = start();
  pickle.global("torch._utils", "_rebuild_tensor").mark();
  pickle.mark().text("storage").global("torch.storage", "UntypedStorage").text("0").text("cpu").integer(32).tuple();
  pickle.binpersid().integer(4).integers(kEight).integers(std::vector<std::int64_t>{1}).tuple().reduce().stop();
  const Tensor tensor = open_pickle(pickle)->root().as_tensor().value();
  EXPECT_EQ(tensor.dtype(), DType::u8);
  EXPECT_EQ(tensor.numel(), 8);
}

// --- tensors
// ----------------------------------------------------------------------------------------------------------

// _rebuild_from_type_v2 around a plain tensor of eight floats.
PickleBuilder typed(std::string_view function_module, std::string_view function, std::string_view type_module,
                    std::string_view type) {
  PickleBuilder pickle = start();
  pickle.global(function_module, function).mark().global("torch._utils", "_rebuild_tensor");
  pickle.global(type_module, type).mark().storage("FloatStorage", "0", 8).integer(0).integers(kEight);
  pickle.integers(std::vector<std::int64_t>{1}).tuple().empty_dict().text("tag").integer(5).setitem();
  pickle.tuple().reduce().stop();
  return pickle;
}

TEST(CheckpointTensors, TheTypeBesideARebuildFunctionSaysWhatTheTensorIs) {
  struct Row {
    const char* module;
    const char* name;
    TensorClass tensor_class;
    const char* class_name;
  };
  constexpr Row kRows[] = {
      {"torch", "Tensor", TensorClass::tensor, "torch.Tensor"},
      {"torch.cuda", "FloatTensor", TensorClass::tensor, "torch.Tensor"},
      {"torch.nn.parameter", "Parameter", TensorClass::parameter, "torch.nn.parameter.Parameter"},
      {"torch.nn.parameter", "Buffer", TensorClass::buffer, "torch.nn.parameter.Buffer"},
      {"my.types", "Tagged", TensorClass::tensor, "my.types.Tagged"},
  };
  for (const Row& row : kRows) {
    for (const auto& [module, function] :
         {std::pair("torch._tensor", "_rebuild_from_type_v2"), std::pair("torch._tensor", "_rebuild_from_type"),
          std::pair("torch.tensor", "_rebuild_from_type")}) {
      const Result<Checkpoint> checkpoint = open_pickle(typed(module, function, row.module, row.name));
      ASSERT_TRUE(checkpoint) << row.name << ": " << to_string(checkpoint.error());
      ASSERT_EQ(checkpoint->root().kind(), ValueKind::tensor) << row.name;
      EXPECT_EQ(checkpoint->root().as_tensor()->options().tensor_class, row.tensor_class) << row.name;
      EXPECT_EQ(checkpoint->root().class_name(), row.class_name);
      EXPECT_EQ(checkpoint->root().attr("tag").as_int(), 5) << row.name;
    }
  }
  const Result<Checkpoint> wrong =
      open_pickle(typed("torch._tensor", "_rebuild_from_type_v2", "collections", "OrderedDict"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().finding.message,
            "tensor at the root: torch._tensor._rebuild_from_type_v2: argument 1 (type), expected a tensor class, "
            "found global 'collections.OrderedDict'");
}

TEST(CheckpointTensors, AFunctionThatIsNotOnTheListMakesAnOpaqueObjectOfTheType) {
  PickleBuilder pickle = start();
  pickle.global("torch._tensor", "_rebuild_from_type_v2").mark().global("my.types", "_rebuild");
  pickle.global("my.types", "Tagged").mark().storage("FloatStorage", "0", 8).tuple().empty_dict().tuple().reduce();
  pickle.stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().kind(), ValueKind::opaque);
  EXPECT_EQ(checkpoint->root().class_name(), "my.types.Tagged");
}

TEST(CheckpointTensors, AParameterSharesTheStorageOfTheTensorInside) {
  PickleBuilder pickle = start();
  pickle.tensor("FloatStorage", "0", kEight).put(40).global("torch._utils", "_rebuild_parameter").get(40);
  pickle.boolean(true).global("collections", "OrderedDict").empty_tuple().reduce().tuple3().reduce().tuple2().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Tensor data = checkpoint->root()[0].as_tensor().value();
  const Tensor parameter = checkpoint->root()[1].as_tensor().value();
  EXPECT_TRUE(parameter.shares_storage_with(data));
  EXPECT_FALSE(data.options().requires_grad);
  EXPECT_EQ(data.options().tensor_class, TensorClass::tensor);
  EXPECT_TRUE(parameter.options().requires_grad);
}

TEST(CheckpointTensors, CallsThatMakeTensorsStandEightDeepInTheFirst) {
  const auto nested = [](int parameters) {
    PickleBuilder pickle = start();
    for (int i = 0; i < parameters; ++i) pickle.global("torch._utils", "_rebuild_parameter");
    pickle.tensor("FloatStorage", "0", kEight);
    for (int i = 0; i < parameters; ++i) pickle.boolean(true).none().tuple3().reduce();
    return pickle.stop();
  };
  EXPECT_TRUE(open_pickle(nested(8)));
  EXPECT_EQ(open_pickle(nested(9)).error().finding.code, "LIMIT-TENSOR-NESTING");
}

// --- modules and names
// ------------------------------------------------------------------------------------------------

struct ModuleParts {
  Write parameters = [](PickleBuilder&) {};
  Write buffers = [](PickleBuilder&) {};
  Write modules = [](PickleBuilder&) {};
  Write attributes = [](PickleBuilder&) {};
};
void write_module(PickleBuilder& pickle, const ModuleParts& parts) {
  pickle.global("my", "Net").empty_tuple().newobj().empty_dict().text("_parameters").empty_dict();
  parts.parameters(pickle);
  pickle.setitem().text("_buffers").empty_dict();
  parts.buffers(pickle);
  pickle.setitem().text("_modules").empty_dict();
  parts.modules(pickle);
  pickle.setitem();
  parts.attributes(pickle);
  pickle.build();
}
PickleBuilder module_of(const ModuleParts& parts) {
  PickleBuilder pickle = start();
  write_module(pickle, parts);
  pickle.stop();
  return pickle;
}

std::vector<std::string> tensor_names(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  const Inspection report = inspect(checkpoint).value();
  for (const TensorEntry& entry : report.tensors) names.push_back(entry.name);
  return names;
}
std::vector<std::string> value_names(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  const Inspection report = inspect(checkpoint).value();
  for (const ValueEntry& entry : report.values) names.push_back(entry.name);
  return names;
}
std::vector<std::string> state_names(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  return names;
}

TEST(CheckpointModules, TheMachineryOfEveryModuleIsThatOfThePage) {
  const std::vector<std::string> machinery = words_of_block("_non_persistent_buffers_set");
  ASSERT_EQ(machinery.size(), 14u);
  ModuleParts parts;
  parts.attributes = [&](PickleBuilder& p) {
    for (const std::string& name : machinery) p.text(name).integer(1).setitem();
    p.text("_other").integer(2).setitem().text("training").boolean(true).setitem();
  };
  const Result<Checkpoint> checkpoint = open_pickle(module_of(parts));
  EXPECT_EQ(value_names(*checkpoint), (std::vector<std::string>{"_other", "training"}));
  for (const std::string& name : machinery) EXPECT_EQ(checkpoint->root().attr(name).as_int(), 1) << name;
}

TEST(CheckpointModules, AModuleUnderTwoNamesHasItsTensorsUnderBoth) {
  ModuleParts inner;
  inner.parameters = [](PickleBuilder& p) { add_tensor(p, "weight"); };
  inner.attributes = [](PickleBuilder& p) { add_tensor(p, "cached"); };
  ModuleParts outer;
  outer.modules = [&](PickleBuilder& p) {
    p.text("encoder");
    write_module(p, inner);
    p.put(77).setitem().text("decoder").get(77).setitem();
  };
  const Result<Checkpoint> checkpoint = open_pickle(module_of(outer));
  EXPECT_EQ(state_names(*checkpoint->state_dict()), (std::vector<std::string>{"encoder.weight", "decoder.weight"}));
  EXPECT_EQ(tensor_names(*checkpoint),
            (std::vector<std::string>{"encoder.weight", "encoder.cached", "decoder.weight"}));
  EXPECT_EQ(inspect(*checkpoint)->opaque.size(), 2u);
}

TEST(CheckpointModules, WithoutAllThreeDictsAnObjectIsNoModule) {
  PickleBuilder pickle = start();
  pickle.global("my", "Net").empty_tuple().newobj().empty_dict().text("_parameters").empty_dict();
  add_tensor(pickle, "weight").setitem().text("_buffers").empty_dict().setitem().text("_modules").none().setitem();
  pickle.build().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  EXPECT_EQ(tensor_names(*checkpoint), std::vector<std::string>{"_parameters.weight"});
  EXPECT_FALSE(checkpoint->state_dict());
}

TEST(CheckpointNames, AModuleInsideADictTakesItsNameAsAPrefix) {
  ModuleParts parts;
  parts.parameters = [](PickleBuilder& p) { add_tensor(p, "weight"); };
  const Result<Checkpoint> checkpoint = open_pickle(dict_of([&](PickleBuilder& p) {
    p.text("nets").empty_list();
    write_module(p, parts);
    p.append().setitem();
  }));
  const Inspection report = inspect(*checkpoint).value();
  ASSERT_EQ(report.tensors.size(), 1u);
  EXPECT_EQ(report.tensors[0].name, "nets[0].weight");
  EXPECT_EQ(to_string(std::span<const PathStep>(report.tensors[0].path)), "nets[0]._parameters.weight");
}

TEST(CheckpointNames, AttributesOfTensorsFollowThemButForTheTwoThatMakeABuffer) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("b").global("torch._tensor", "_rebuild_from_type_v2").mark();
  pickle.global("torch._utils", "_rebuild_tensor").global("torch", "Tensor").mark().storage("FloatStorage", "0", 8);
  pickle.integer(0).integers(kEight).integers(std::vector<std::int64_t>{1}).tuple().empty_dict();
  pickle.text("persistent").boolean(true).setitem().text("_is_buffer").boolean(true).setitem();
  pickle.text("note").text("x").setitem().tuple().reduce().setitem();
  pickle.text("persistent").boolean(true).setitem().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()["b"].as_tensor()->options().tensor_class, TensorClass::buffer);
  EXPECT_EQ(value_names(*checkpoint), (std::vector<std::string>{"b.note", "persistent"}));
}

// --- state dicts
// ------------------------------------------------------------------------------------------------------

std::string found_at(const PickleBuilder& pickle) {
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  const Result<StateDict> state = checkpoint->state_dict();
  if (!state) return state.error().finding.code;
  std::string names = "'" + state->path() + "':";
  for (const auto& [name, tensor] : *state) names += " " + name;
  return names;
}
void add_dict(PickleBuilder& pickle, std::string_view key, std::string_view tensor) {
  pickle.text(key).empty_dict();
  add_tensor(pickle, tensor).setitem();
}

TEST(CheckpointStateDicts, TheUsualKeysAndTheirOrderAreThoseOfThePage) {
  const std::vector<std::string> keys = words_of_block("model_state_dict");
  ASSERT_EQ(keys.size(), 12u);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    // All later ones stand before it in the file, and so do tensors of the root.
    EXPECT_EQ(found_at(dict_of([&](PickleBuilder& p) {
                add_tensor(p, "loss");
                for (std::size_t j = keys.size(); j-- > i;) add_dict(p, keys[j], "w" + std::to_string(j));
              })),
              "'" + keys[i] + "': w" + std::to_string(i));
  }
}

TEST(CheckpointStateDicts, AUsualKeyWithoutTensorsIsPassedOver) {
  EXPECT_EQ(found_at(dict_of([](PickleBuilder& p) {
              p.text("model_state_dict").text("resnet18").setitem().text("state_dict").empty_dict().setitem();
              add_dict(p, "net", "w");
            })),
            "'net': w");
  EXPECT_EQ(found_at(dict_of([](PickleBuilder& p) {
              p.text("model").text("resnet18").setitem();
              add_tensor(p, "fc.weight");
            })),
            "'': fc.weight");
}

TEST(CheckpointStateDicts, AnEmptyDictIsThatOfAModuleWithoutParameters) {
  EXPECT_EQ(found_at(dict_of([](PickleBuilder&) {})), "'':");
  const Result<Checkpoint> checkpoint =
      open_pickle(dict_of([](PickleBuilder& p) { p.text("net").empty_dict().setitem(); }));
  ASSERT_TRUE(checkpoint);
  EXPECT_TRUE(checkpoint->state_dict("net").value().empty());
  EXPECT_EQ(checkpoint->state_dict("").error().finding.code, "STATE-DICT-NONE");
}

TEST(CheckpointStateDicts, WrappersAreOpenedFourDeep) {
  const auto wrapped = [](int depth) {
    return dict_of([&](PickleBuilder& p) {
      for (int i = 1; i < depth; ++i) p.text("model").empty_dict();
      add_dict(p, "model", "w");
      for (int i = 1; i < depth; ++i) p.setitem();
    });
  };
  EXPECT_EQ(found_at(wrapped(4)), "'model.model.model.model': w");
  EXPECT_EQ(found_at(wrapped(5)), "STATE-DICT-NONE");
}

TEST(CheckpointStateDicts, AModuleUnderAUsualKeyIsOne) {
  ModuleParts parts;
  parts.parameters = [](PickleBuilder& p) { add_tensor(p, "weight"); };
  EXPECT_EQ(found_at(dict_of([&](PickleBuilder& p) {
              p.text("epoch").integer(1).setitem().text("model");
              write_module(p, parts);
              p.setitem();
            })),
            "'model': weight");
}

TEST(CheckpointStateDicts, OnlyTensorsThatStandDirectlyUnderTextsAreTaken) {
  EXPECT_EQ(found_at(dict_of([](PickleBuilder& p) {
              add_tensor(p, "w").text("inner").empty_dict();
              add_tensor(p, "v").setitem().integer(0).tensor("FloatStorage", "0", kEight).setitem();
              p.text("epoch").integer(3).setitem().text("list").empty_list().tensor("FloatStorage", "0", kEight);
              p.append().setitem();
              add_tensor(p, "a.b");
            })),
            "'': w a.b");
  // A subclass of dict that nobody knows is a dict all the same.
  PickleBuilder pickle = start();
  pickle.global("my", "Dict").empty_tuple().newobj();
  add_tensor(pickle, "w").stop();
  EXPECT_EQ(found_at(pickle), "'': w");
}

TEST(CheckpointStateDicts, APlaceThatIsNoneIsNamedWithThoseThatAre) {
  const Result<Checkpoint> checkpoint = open_pickle(dict_of([](PickleBuilder& p) {
    add_dict(p, "generator", "w");
    add_dict(p, "critic", "w");
    p.text("epoch").integer(3).setitem();
  }));
  EXPECT_EQ(checkpoint->state_dict("critic")->path(), "critic");
  for (const auto& [path, code] : {std::pair("", "STATE-DICT-CHOICE"), std::pair("critics", "STATE-DICT-PATH"),
                                   std::pair("epoch", "STATE-DICT-EMPTY")}) {
    const Result<StateDict> state = checkpoint->state_dict(path);
    ASSERT_FALSE(state) << path;
    EXPECT_EQ(state.error().code, ErrorCode::not_found);
    EXPECT_EQ(state.error().finding.code, code);
    EXPECT_EQ(state.error().finding.hint, "tensors are under: generator, critic");
  }
}

// --- the content digest
// -----------------------------------------------------------------------------------------------

std::string digest_of(const Checkpoint& checkpoint, DigestAlgorithm algorithm = DigestAlgorithm::xxh3_128) {
  const Result<DigestReport> report = digest(checkpoint, algorithm);
  return report ? report->content_digest : to_string(report.error());
}
std::string digest_of(const PickleBuilder& pickle) {
  return digest_of(*open_pickle(pickle));
}

// The bytes that the page says are hashed, put together once more.
class Message {
 public:
  explicit Message(std::uint64_t tensors) : text_("rushlight content digest 1\n") { number(tensors); }
  Message& number(std::uint64_t value) {
    for (int i = 0; i < 8; ++i) text_ += static_cast<char>(value >> (8 * i) & 0xFF);
    return *this;
  }
  Message& counted(std::string_view text) {
    number(text.size());
    text_ += text;
    return *this;
  }
  [[nodiscard]] std::string digest() const { return checksum::to_hex(checksum::xxh3_128(as_byte_span(text_))); }

 private:
  std::string text_;
};
template <class T>
std::string xxh3_of(const std::vector<T>& elements) {
  return checksum::to_hex(checksum::xxh3_128(std::as_bytes(std::span<const T>(elements))));
}

TEST(ContentDigest, IsTheHashOfTheBytesThatThePageSays) {
  const Result<Checkpoint> checkpoint = open_bytes(base_zip().build());
  const Result<DigestReport> report = digest(*checkpoint, DigestAlgorithm::xxh3_128);
  ASSERT_TRUE(report) << to_string(report.error());
  ASSERT_EQ(report->tensors.size(), 2u);
  const std::string a = xxh3_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7});
  const std::string b = xxh3_of(std::vector<std::int64_t>{0, 1, 2, 3});
  EXPECT_EQ(report->tensors[0].digest, a);
  EXPECT_EQ(report->tensors[1].digest, b);
  Message message(2);
  message.counted("a").counted("float32").number(1).number(8).counted(a);
  message.counted("b").counted("int64").number(1).number(4).counted(b);
  EXPECT_EQ(report->content_digest, message.digest());
}

TEST(ContentDigest, WithSha256IsWhatPythonsHashlibComputes) {
  if (!available(DigestAlgorithm::sha256)) {
    std::cout << "SKIPPED: SHA-256 needs OpenSSL in the build\n";
    GTEST_SKIP();
  }
  const Result<DigestReport> report = digest(*open_bytes(base_zip().build()), DigestAlgorithm::sha256);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->tensors[0].digest, "0571cfe42be5c7b95de9afc7c7ba1286fb7a2ef10a9035f8d6b87d21a3bc8387");
  EXPECT_EQ(report->tensors[1].digest, "a1e03200f1f82ad2c1cec8795c271aaecf98f5aa2d151d2229ec5fa0c177cf77");
  EXPECT_EQ(report->content_digest, "da67479d018924d57570bad2c682aa7e832653cda08d51b88d4cbccb2dbcee22");
}

// _rebuild_tensor on storage "0", eight floats.
Write view(std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides, std::int64_t offset = 0) {
  return [=](PickleBuilder& p) {
    p.global("torch._utils", "_rebuild_tensor").mark().storage("FloatStorage", "0", 8).integer(offset);
    p.integers(sizes).integers(strides).tuple().reduce();
  };
}
Write entry(std::string name, Write tensor) {
  return [=](PickleBuilder& p) {
    p.text(name);
    tensor(p);
    p.setitem();
  };
}

TEST(ContentDigest, OfATensorIsOverItsElementsInCOrder) {
  const PickleBuilder pickle = dict_of([](PickleBuilder& p) {
    entry("transposed", view({2, 4}, {1, 2}))(p);
    entry("expanded", view({2, 2}, {0, 1}, 6))(p);
    entry("scalar", view({}, {}, 3))(p);
    entry("empty", view({0, 3}, {3, 1}))(p);
  });
  const Result<DigestReport> report = digest(*open_pickle(pickle), DigestAlgorithm::xxh3_128);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->tensors[0].digest, xxh3_of(std::vector<float>{0, 2, 4, 6, 1, 3, 5, 7}));
  EXPECT_EQ(report->tensors[1].digest, xxh3_of(std::vector<float>{6, 7, 6, 7}));
  EXPECT_EQ(report->tensors[2].digest, xxh3_of(std::vector<float>{3}));
  EXPECT_EQ(report->tensors[3].digest, xxh3_of(std::vector<float>{}));
}

TEST(ContentDigest, ResolvesBitsAndCountsEveryTrueAsOne) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("conj").global("torch._utils", "_rebuild_tensor_v2").mark();
  pickle.storage("ComplexFloatStorage", "0", 4).integer(0).integers(std::vector<std::int64_t>{4});
  pickle.integers(std::vector<std::int64_t>{1}).boolean(false).none();
  pickle.empty_dict().text("conj").boolean(true).setitem().tuple().reduce().setitem();
  pickle.text("flags").global("torch._utils", "_rebuild_tensor").mark().storage("BoolStorage", "1", 32).integer(0);
  pickle.integers(std::vector<std::int64_t>{32}).integers(std::vector<std::int64_t>{1}).tuple().reduce().setitem();
  pickle.stop();
  const Result<DigestReport> report = digest(*open_pickle(pickle), DigestAlgorithm::xxh3_128);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->tensors[0].digest, xxh3_of(std::vector<float>{0, -1, 2, -3, 4, -5, 6, -7}));
  std::vector<std::uint8_t> flags(32);
  flags[8] = flags[16] = flags[24] = 1;  // of the int64 0, 1, 2, 3
  EXPECT_EQ(report->tensors[1].digest, xxh3_of(flags));
}

TEST(ContentDigest, OfAMetaTensorIsEmptyAndItsShapeCounts) {
  const auto meta = [](std::int64_t size) {
    return dict_of([=](PickleBuilder& p) {
      p.text("m").global("torch._utils", "_rebuild_meta_tensor_no_storage").mark().global("torch", "float32");
      p.integers(std::vector<std::int64_t>{size}).integers(std::vector<std::int64_t>{1}).boolean(false).tuple();
      p.reduce().setitem();
    });
  };
  const Result<DigestReport> report = digest(*open_pickle(meta(7)), DigestAlgorithm::xxh3_128);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->tensors[0].digest, "");
  EXPECT_EQ(report->content_digest,
            Message(1).counted("m").counted("float32").number(1).number(7).counted("").digest());
  EXPECT_NE(report->content_digest, digest_of(meta(8)));
}

TEST(ContentDigest, KnowsNothingOfContainerOrderSharingAndWhatIsNoTensor) {
  const PickleBuilder plain = dict_of([](PickleBuilder& p) {
    entry("a", view({8}, {1}))(p);
    entry("b.c", view({2}, {1}, 3))(p);
  });
  const std::string expected = digest_of(plain);
  // Other order, nested, a parameter that requires a gradient, other values and objects beside it.
  const PickleBuilder other = dict_of([](PickleBuilder& p) {
    p.text("epoch").integer(5).setitem().text("args").global("my", "Args").empty_tuple().newobj().setitem();
    p.text("b").empty_dict();
    entry("c", view({2}, {1}, 3))(p);
    p.setitem().text("a").global("torch._utils", "_rebuild_parameter");
    view({8}, {1})(p);
    p.boolean(true).none().tuple3().reduce().setitem();
  });
  EXPECT_EQ(digest_of(other), expected);
  TorchZip zip("another");
  zip.add("version", "3\n").add("data.pkl", plain.bytes());
  zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7})).add("data/9", "unused");
  zip.record("data/0").deflate = true;
  EXPECT_EQ(digest_of(*open_bytes(zip.build())), expected);
}

TEST(ContentDigest, ChangesWithEveryNameDtypeShapeAndBit) {
  const auto one = [](std::string name, Write tensor) { return digest_of(dict_of(entry(name, tensor))); };
  const Write as_ints = [](PickleBuilder& p) { p.tensor("IntStorage", "0", kEight); };
  std::vector<std::string> digests = {
      one("w", view({8}, {1})), one("v", view({8}, {1})), one("w", view({2, 4}, {4, 1})),
      one("w", view({7}, {1})), one("w", as_ints),        digest_of(dict_of([](PickleBuilder&) {}))};
  PickleBuilder pickle = dict_of(entry("w", view({8}, {1})));
  TorchZip zip = zip_with(pickle);
  zip.record("data/0").data[5] ^= std::byte{1};
  digests.push_back(digest_of(*open_bytes(zip.build())));
  std::sort(digests.begin(), digests.end());
  EXPECT_EQ(std::adjacent_find(digests.begin(), digests.end()), digests.end());
  for (const std::string& text : digests) EXPECT_EQ(text.size(), 32u);
}

TEST(ContentDigest, AModuleAndItsStateDictHaveTheSame) {
  ModuleParts inner;
  inner.parameters = [](PickleBuilder& p) { add_tensor(p, "weight").text("bias").none().setitem(); };
  inner.attributes = [](PickleBuilder& p) { add_tensor(p, "scale"); };
  ModuleParts parts;
  parts.buffers = [](PickleBuilder& p) {
    add_tensor(p, "mean");
    add_tensor(p, "cache");
  };
  parts.modules = [&](PickleBuilder& p) {
    p.text("fc");
    write_module(p, inner);
    p.setitem();
  };
  parts.attributes = [](PickleBuilder& p) {
    p.text("_non_persistent_buffers_set").global("__builtin__", "set").empty_list().text("cache").append().tuple1();
    p.reduce().setitem();
  };
  const PickleBuilder state = dict_of([](PickleBuilder& p) {
    add_tensor(p, "mean");
    add_tensor(p, "fc.weight");
  });
  EXPECT_EQ(digest_of(module_of(parts)), digest_of(state));
}

TEST(ContentDigest, IsTheSameOnAnyNumberOfThreadsAndCanBeCancelled) {
  const Result<Checkpoint> checkpoint = open_bytes(base_zip().build());
  const auto pool = make_thread_pool(3);
  EXPECT_EQ(digest(*checkpoint, DigestAlgorithm::xxh3_128, pool.get())->content_digest, digest_of(*checkpoint));
  class Cancel final : public Progress {
   public:
    bool on_progress(std::string_view, std::uint64_t, std::uint64_t) noexcept override { return false; }
  } cancel;
  EXPECT_EQ(digest(*checkpoint, DigestAlgorithm::xxh3_128, nullptr, &cancel).error().code, ErrorCode::cancelled);
}

TEST(ContentDigest, IsNoneWhereATensorCannotBeReadOrUnfoldsBeyondTheLimit) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  bytes[zip.place("data/1").data] ^= std::byte{1};
  const Result<DigestReport> damaged = digest(*open_bytes(bytes), DigestAlgorithm::xxh3_128);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::checksum_mismatch);
  EXPECT_EQ(damaged.error().finding.tensors, std::vector<std::string>{"b"});
  const PickleBuilder bomb = dict_of(entry("w", view({std::int64_t{1} << 40}, {0})));
  EXPECT_EQ(digest(*open_pickle(bomb), DigestAlgorithm::xxh3_128).error().code, ErrorCode::limit_exceeded);
}

}  // namespace
}  // namespace rushlight::test
