// Checkpoint::open and what it says about a whole file.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "checkpoint/numpy_pickles.hpp"
#include "opened_bytes.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/stats.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;
const std::vector<std::int64_t> kEight{8};

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}

TEST(Checkpoint, TheBaseFileGivesItsTensors) {
  const Result<Checkpoint> checkpoint = open_bytes(base_zip().build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->file(), "test.pt");
  EXPECT_EQ(checkpoint->format().kind, FileKind::torch_zip);
  EXPECT_EQ(checkpoint->format().pickle_protocol, 2);
  EXPECT_TRUE(checkpoint->findings().empty());
  const Tensor a = checkpoint->root()["a"].as_tensor().value();
  const auto values = a.values<float>().value();
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(values[i], static_cast<float>(i));
  EXPECT_EQ(a.storage().record(), "data/0");
  EXPECT_EQ(a.storage().integrity(), Integrity::verified);
  for (const GlobalUse& use : checkpoint->globals()) EXPECT_TRUE(use.allowed) << use.name;
}

TEST(Checkpoint, TensorsOutliveIt) {
  Tensor tensor;
  { tensor = open_bytes(base_zip().build())->root()["b"].as_tensor().value(); }
  EXPECT_EQ(tensor.values<std::int64_t>().value()[3], 3);
}

TEST(Checkpoint, ADamagedStorageHurtsItsTensorsOnly) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  bytes[zip.place("data/0").data + 3] ^= std::byte{0x80};
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->root()["a"].as_tensor()->bytes().error().code, ErrorCode::checksum_mismatch);
  EXPECT_TRUE(checkpoint->root()["b"].as_tensor()->bytes());
  LoadOptions ignore;
  ignore.checksums = Checksums::ignore;
  EXPECT_EQ(open_bytes(bytes, ignore)->root()["a"].as_tensor()->values<float>().value()[0], -0.0f);
  LoadOptions all;
  all.checksums = Checksums::all_at_open;
  EXPECT_EQ(open_bytes(bytes, all).error().code, ErrorCode::checksum_mismatch);
}

TEST(Checkpoint, P11_BytesBehindThePickleAreRefused) {
  const auto with_tail = [](std::string_view tail) {
    PickleBuilder pickle = start();
    pickle.none().stop().raw(tail);
    return verdict_of(zip_with(pickle).build());
  };
  EXPECT_EQ(with_tail("garbage"), "pkl PKL-TRAILING data.pkl at 0x44: 7 bytes follow the pickle");
  EXPECT_EQ(with_tail("\0"sv), "pkl PKL-TRAILING data.pkl at 0x44: 1 byte follows the pickle");
  PickleBuilder second = start();
  second.global("os", "system").text("true").tuple1().reduce().stop();
  EXPECT_EQ(with_tail(as_text(second.bytes())),
            "ambig PKL-SECOND data.pkl at 0x44: " + std::to_string(second.size()) +
                " bytes follow the pickle and make a second one, which name 'os.system'");
}

TEST(Checkpoint, P01_StrictGlobalsRefuseTheFileByAllItsNames) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("x").global("os", "system").text("true").tuple1().reduce().setitem();
  pickle.text("y").global("argparse", "Namespace").empty_tuple().newobj().setitem().stop();
  LoadOptions options;
  options.globals = Globals::strict;
  const Result<Checkpoint> strict = open_pickle(pickle, options);
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, ErrorCode::forbidden);
  EXPECT_EQ(line_of(strict.error().finding),
            "global GLOBAL-UNKNOWN data.pkl at 0x49: 2 globals are not on the allow-list: 'os.system', "
            "'argparse.Namespace'");
  const Result<Checkpoint> lenient = open_pickle(pickle);
  ASSERT_TRUE(lenient);
  EXPECT_EQ(lenient->findings().size(), 3u);  // and the records that no tensor uses
  options.accepted_globals = {"os.system", "argparse.Namespace"};
  EXPECT_TRUE(open_pickle(pickle, options));
}

TEST(Checkpoint, F07_TheWeightsBesideUnknownObjectsLoad) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("args").global("argparse", "Namespace").empty_tuple().newobj().setitem();
  pickle.text("w").tensor("FloatStorage", "0", kEight).setitem().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->state_dict()->at("w")->values<float>().value()[5], 5.0f);
  EXPECT_EQ(checkpoint->globals()[0].name, "argparse.Namespace");
  EXPECT_EQ(checkpoint->globals()[0].paths, std::vector<std::string>{"args"});
}

TEST(NumpyCheckpoint, ArraysAreValuesAndNoWeights) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("w").tensor("FloatStorage", "0", kEight).setitem().text("a");
  ArrayParts{}.write()(pickle);
  pickle.setitem().text("s");
  ArrayParts{.shape = integers({2}), .dtype = dtype_part("S4", "|", 4)}.write()(pickle);
  pickle.setitem().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const StateDict weights = checkpoint->state_dict().value();
  EXPECT_EQ(weights.size(), 1u);
  EXPECT_EQ(weights.find("a"), nullptr);
  const Inspection inspection = inspect(*checkpoint).value();
  EXPECT_EQ(inspection.tensors.size(), 1u);
  ASSERT_EQ(inspection.values.size(), 2u);
  EXPECT_EQ(inspection.values[0].value.kind(), ValueKind::ndarray);
  // Only the first has elements that torch knows.
  const std::vector<TensorEntry> arrays = array_entries(inspection);
  ASSERT_EQ(arrays.size(), 1u);
  EXPECT_EQ(arrays[0].name, "a");
  EXPECT_FALSE(arrays[0].persistent);
  EXPECT_EQ(arrays[0].tensor.storage().record(), "data.pkl");
  EXPECT_EQ(arrays[0].tensor.storage().integrity(), Integrity::verified);
  EXPECT_EQ(arrays[0].tensor.values<float>().value()[1], 2.0f);

  const DigestReport digests = digest(*checkpoint, DigestAlgorithm::xxh3_128).value();
  EXPECT_EQ(digests.tensors.size(), 1u);
  ASSERT_EQ(digests.arrays.size(), 2u);
  EXPECT_EQ(digests.arrays[1].dtype, "|S4");
  EXPECT_EQ(digests.arrays[1].digest, digests.arrays[0].digest);  // the same bytes
  PickleBuilder alone = start();
  alone.empty_dict().text("w").tensor("FloatStorage", "0", kEight).setitem().stop();
  const Result<Checkpoint> weights_alone = open_pickle(alone);
  EXPECT_EQ(digest(*weights_alone, DigestAlgorithm::xxh3_128)->content_digest, digests.content_digest);

  const StatisticsReport statistics = statistics_of_all(*checkpoint, {}).value();
  ASSERT_EQ(statistics.tensors.size(), 2u);
  EXPECT_EQ(statistics.tensors[1].figures->max, 2);
}

TEST(Checkpoint, StrictOptionsMakeTheFirstOddityAnError) {
  LoadOptions strict;
  strict.strict = true;
  EXPECT_EQ(verdict_of(base_zip().build(), strict), "ok");
  TorchZip comment = base_zip();
  comment.comment = "hello";
  EXPECT_TRUE(open_bytes(comment.build()));
  EXPECT_EQ(open_bytes(comment.build(), strict).error().finding.code, "ZIP-COMMENT");
  EXPECT_EQ(open_bytes(comment.build(), strict).error().finding.severity, Severity::error);
  TorchZip unused = base_zip();
  unused.add("data/99", "hidden");
  EXPECT_TRUE(open_bytes(unused.build()));
  const Result<Checkpoint> refused = open_bytes(unused.build(), strict);
  EXPECT_EQ(refused.error().code, ErrorCode::ambiguous);  // S07
  EXPECT_EQ(refused.error().finding.message, "1 record belongs to no tensor: 'data/99' (6 bytes)");
}

TEST(Checkpoint, S01_AMissingStorageIsNamedWithItsTensor) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("fc.weight").tensor("FloatStorage", "7", kEight).setitem().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_FALSE(checkpoint);
  EXPECT_EQ(checkpoint.error().finding.message, "tensor 'fc.weight': storage '7' has no record 'data/7'");
  EXPECT_EQ(checkpoint.error().finding.tensors, std::vector<std::string>{"fc.weight"});
  EXPECT_TRUE(checkpoint.error().finding.hint.starts_with("the nearest records are data/"))
      << checkpoint.error().finding.hint;
}

TEST(Checkpoint, S09_ManyViewsOfOneStorageReadItOnce) {
  PickleBuilder pickle = start();
  pickle.empty_list().mark();
  for (int i = 0; i < 1000; ++i) pickle.tensor("FloatStorage", "0", kEight);
  pickle.appends().stop();
  TorchZip zip = zip_with(pickle);
  zip.add("data/2", repeated(200000, 0));  // keeps the first records out of the tail
  const auto source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);
  const Result<Checkpoint> checkpoint = Checkpoint::open(source);
  ASSERT_TRUE(checkpoint);
  const std::byte* first = checkpoint->root()[0].as_tensor()->bytes().value().data();
  const std::uint64_t read = source->bytes_read();
  for (std::size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(checkpoint->root()[i].as_tensor()->bytes().value().data(), first);
  }
  EXPECT_EQ(source->bytes_read(), read);
}

TEST(Checkpoint, S08_AStorageThatClaimsMuchIsOnlyTouchedWhenAsked) {
  PickleBuilder pickle = start();
  const std::int64_t numel = std::int64_t{10} << 30;
  pickle.empty_dict().text("w").tensor("FloatStorage", "2", std::vector<std::int64_t>{numel}).setitem().stop();
  TorchZip zip = zip_with(pickle);
  zip.add("data/2", repeated(1 << 16, 0));
  zip.record("data/2").deflate = true;
  zip.record("data/2").central = [](zip::CentralEntry& entry) { entry.size_bytes = std::uint32_t{0xFFFFFFFF}; };
  // 40 GiB behind a few bytes of DEFLATE: a size of 32 bits alone already exceeds what so few bytes can inflate to.
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_FALSE(checkpoint);
}

TEST(Checkpoint, LimitsComeFromTheOptions) {
  PickleBuilder pickle = start();
  for (int i = 0; i < 100; ++i) pickle.none().tuple1();
  PickleBuilder deep = start();
  deep.none();
  for (int i = 0; i < 600; ++i) deep.tuple1();
  deep.stop();
  EXPECT_EQ(open_pickle(deep).error().finding.code, "LIMIT-PICKLE-DEPTH");
  LoadOptions off;
  off.limits = Limits::off();
  EXPECT_TRUE(open_pickle(deep, off));
}

TEST(Checkpoint, P27_DepthWithoutALimitCostsNoStack) {
  PickleBuilder deep = start();
  deep.none();
  for (int i = 0; i < 1000000; ++i) deep.tuple1();
  deep.stop();
  LoadOptions off;
  off.limits = Limits::off();
  const Result<Checkpoint> checkpoint = open_pickle(deep, off);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()[0][0][0].kind(), ValueKind::tuple);
}

TEST(Checkpoint, Z51_WhatIsNoFileIsAnErrorOfReading) {
  EXPECT_EQ(Checkpoint::open("/nonexistent/model.pt").error().code, ErrorCode::not_found);
  EXPECT_EQ(Checkpoint::open(TemporaryFolder().path()).error().code, ErrorCode::io);
  EXPECT_EQ(Checkpoint::open(std::filesystem::path("/dev/zero")).error().code, ErrorCode::io);
  EXPECT_EQ(Checkpoint::open(std::shared_ptr<const Source>()).error().code, ErrorCode::invalid_argument);
}

TEST(Checkpoint, ASourceThatFailsIsAnIoError) {
  TorchZip zip = base_zip();
  const auto source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);
  source->fail_within(0, zip.places().size_bytes);
  const Result<Checkpoint> checkpoint = Checkpoint::open(source);
  EXPECT_EQ(checkpoint.error().code, ErrorCode::io);
  EXPECT_EQ(checkpoint.error().finding.file, "test.pt");
}

TEST(Checkpoint, ManyThreadsMayReadOneCheckpoint) {
  const Result<Checkpoint> checkpoint = open_bytes(base_zip().build());
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const Tensor a = checkpoint->root()["a"].as_tensor().value();
      const Result<StateDict> state = checkpoint->state_dict();
      if (a.values<float>().value()[7] == 7.0f && state->size() == 2) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 8);
}

TEST(Checkpoint, KindsHaveTheNamesOfTheContract) {
  EXPECT_EQ(to_string(FileKind::torch_zip), "torch-zip");
  EXPECT_EQ(to_string(FileKind::torch_legacy), "torch-legacy");
  EXPECT_EQ(to_string(FileKind::torch_tar), "torch-tar");
  EXPECT_EQ(to_string(FileKind::torchscript), "torchscript");
  EXPECT_EQ(to_string(FileKind::torchscript_mobile), "torchscript-mobile");
  EXPECT_EQ(to_string(FileKind::pt2), "pt2");
  EXPECT_EQ(to_string(FileKind::torch_package), "torch-package");
  EXPECT_EQ(to_string(FileKind::safetensors), "safetensors");
  EXPECT_EQ(to_string(FileKind::npz), "npz");
  EXPECT_EQ(to_string(FileKind::npy), "npy");
  EXPECT_EQ(to_string(FileKind::gguf), "gguf");
  EXPECT_EQ(to_string(FileKind::unknown), "unknown");
}

// As numpy.savez writes it: "w", eight float64.
TorchZip zip_of_array() {
  std::string array("\x93NUMPY\x01\x00\x76\x00", 10);
  array += "{'descr': '<f8', 'fortran_order': False, 'shape': (8,), }";
  array.resize(127, ' ');
  array += "\n" + std::string(64, '\0');
  TorchZip zip("");
  return std::move(zip.add_full_name("w.npy", as_byte_span(array)));
}

TEST(CheckpointOpen, ANumPyArchiveIsAuditedBeforeItOpensWhenAskedTo) {
  TorchZip zip = zip_of_array();
  const Bytes file = zip.build();
  LoadOptions all;
  all.checksums = Checksums::all_at_open;
  EXPECT_EQ(verdict_of(file, all), "ok");
  Bytes flipped = file;
  flipped[zip.place("w.npy").data + 150] ^= std::byte{4};
  EXPECT_EQ(verdict_of(flipped), "ok") << "nobody has read it yet";
  EXPECT_TRUE(verdict_of(flipped, all).starts_with("crc CRC-MISMATCH w.npy at ")) << verdict_of(flipped, all);
  EXPECT_NE(verdict_of(flipped, all).find(": crc-32 mismatch, stored "), std::string::npos) << "as verify() has it";
}

TEST(CheckpointOpen, TheAuditOfANumPyArchiveEscapesTheNameOfItsFile) {
  LoadOptions all;
  all.checksums = Checksums::all_at_open;
  const auto open = [&](const Bytes& file) {
    return Checkpoint::open(Source::from_memory(file, "a\x1b[31m\nb.npz"), all);
  };
  const std::string printable = "a\\x1b[31m\\nb.npz";
  TorchZip zip = zip_of_array();
  Bytes file = zip.build();
  file[zip.place("w.npy").data + 150] ^= std::byte{4};
  const Result<Checkpoint> damaged = open(file);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().finding.file, printable);
  zip.crc = false;
  const Bytes without = zip.build();
  const Result<Checkpoint> odd = open(without);
  ASSERT_TRUE(odd) << to_string(odd.error());
  ASSERT_EQ(odd->findings().size(), 1u);
  EXPECT_EQ(odd->findings()[0].code, "CRC-NOT-COMPUTED");
  EXPECT_EQ(odd->findings()[0].file, printable);
}

// --- where the weights are
// ----------------------------------------------------------------------------------------------

PickleBuilder& add_tensor(PickleBuilder& pickle, std::string_view key) {
  return pickle.text(key).tensor("FloatStorage", "0", kEight).setitem();
}
std::string found_at(const PickleBuilder& pickle) {
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  const Result<StateDict> state = checkpoint->state_dict();
  if (!state) return "none: " + state.error().finding.message + "; " + state.error().finding.hint;
  std::string names = "'" + state->path() + "':";
  for (const auto& [name, tensor] : *state) names += " " + name;
  return names;
}

TEST(StateDictOf, TheRootIsTakenWhereItHoldsTensors) {
  PickleBuilder pickle = start();
  pickle.empty_dict();
  add_tensor(pickle, "fc.weight");
  pickle.text("epoch").integer(3).setitem();
  add_tensor(pickle, "fc.bias").stop();
  EXPECT_EQ(found_at(pickle), "'': fc.weight fc.bias");
}

TEST(StateDictOf, TheUsualKeysComeBeforeTensorsOfTheRoot) {
  for (const char* key : {"model_state_dict", "state_dict", "model", "module", "net", "network", "ema"}) {
    PickleBuilder pickle = start();
    pickle.empty_dict();
    add_tensor(pickle, "loss");
    pickle.text(key).empty_dict();
    add_tensor(pickle, "w").setitem().stop();
    EXPECT_EQ(found_at(pickle), "'" + std::string(key) + "': w");
  }
  PickleBuilder both = start();
  both.empty_dict().text("model").empty_dict();
  add_tensor(both, "a").setitem().text("model_state_dict").empty_dict();
  add_tensor(both, "b").setitem().stop();
  EXPECT_EQ(found_at(both), "'model_state_dict': b");
}

TEST(StateDictOf, WrappersInsideWrappersAreOpened) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("model").empty_dict().text("state_dict").empty_dict();
  add_tensor(pickle, "w").setitem().setitem().stop();
  EXPECT_EQ(found_at(pickle), "'model.state_dict': w");
}

TEST(StateDictOf, AnyOnlyDictOfTensorsWillDo) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("generator").empty_dict();
  add_tensor(pickle, "w").setitem().stop();
  EXPECT_EQ(found_at(pickle), "'generator': w");
}

TEST(StateDictOf, SeveralWithoutAUsualNameAreListed) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("generator").empty_dict();
  add_tensor(pickle, "w").setitem().text("critic").empty_dict();
  add_tensor(pickle, "w").setitem().stop();
  EXPECT_EQ(found_at(pickle),
            "none: several dicts hold tensors, and none has a usual name: say which; tensors are under: generator, "
            "critic");
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  EXPECT_EQ(checkpoint->state_dict("critic")->size(), 1u);
  const Result<StateDict> wrong = checkpoint->state_dict("critc");
  EXPECT_EQ(wrong.error().code, ErrorCode::not_found);
  EXPECT_EQ(wrong.error().finding.message, "there is nothing at 'critc'");
  EXPECT_EQ(wrong.error().finding.hint, "tensors are under: generator, critic");
}

TEST(StateDictOf, AFileWithoutTensorsSaysSo) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("epoch").integer(1).setitem().stop();
  EXPECT_EQ(found_at(pickle), "none: there is no state dict in the file; there is no dict of tensors in this file");
  EXPECT_EQ(open_pickle(pickle)->state_dict("epoch").error().finding.message,
            "'epoch' is a int without tensors of its own");
}

// Every key is followed four levels deep: 10^16 ways lead through this dict, and none to tensors.
TEST(StateDictOf, ADictThatHoldsItselfUnderManyKeysIsSearchedOnce) {
  PickleBuilder pickle = start();
  pickle.empty_dict().put(1);
  for (const char* key : {"model_state_dict", "state_dict", "model", "net"}) pickle.text(key).get(1).setitem();
  for (int i = 0; i < 10'000; ++i) pickle.text("k" + std::to_string(i)).get(1).setitem();
  pickle.stop();
  EXPECT_EQ(found_at(pickle), "none: there is no state dict in the file; there is no dict of tensors in this file");
}

TEST(StateDictOf, MetadataComesAlong) {
  PickleBuilder pickle = start();
  pickle.global("collections", "OrderedDict").empty_tuple().reduce();
  add_tensor(pickle, "w");
  pickle.empty_dict().text("_metadata").empty_dict().text("").integer(1).setitem().setitem().build().stop();
  const Result<StateDict> state = open_pickle(pickle)->state_dict();
  EXPECT_EQ(state->metadata()[""].as_int(), 1);
}

// A module of the given class, its parts written by the caller.
template <class Parameters, class Buffers, class Modules>
void write_module(PickleBuilder& pickle, Parameters&& parameters, Buffers&& buffers, Modules&& modules,
                  std::string_view not_persistent = "") {
  pickle.global("my", "Net").empty_tuple().newobj().empty_dict();
  pickle.text("training").boolean(false).setitem();
  pickle.text("_parameters").empty_dict();
  parameters(pickle);
  pickle.setitem().text("_buffers").empty_dict();
  buffers(pickle);
  pickle.setitem().text("_non_persistent_buffers_set").global("__builtin__", "set").empty_list();
  if (!not_persistent.empty()) pickle.text(not_persistent).append();
  pickle.tuple1().reduce().setitem().text("_modules").empty_dict();
  modules(pickle);
  pickle.setitem().text("scale").tensor("FloatStorage", "0", kEight).setitem();
  pickle.text("_forward_hooks").empty_dict().setitem().build();
}

PickleBuilder module_pickle() {
  const auto nothing = [](PickleBuilder&) {};
  PickleBuilder pickle = start();
  write_module(
      pickle, [](PickleBuilder& p) { add_tensor(p, "weight").text("bias").none().setitem(); },
      [](PickleBuilder& p) {
        add_tensor(p, "mean");
        add_tensor(p, "cache");
      },
      [&](PickleBuilder& p) {
        p.text("fc");
        write_module(
            p, [](PickleBuilder& q) { add_tensor(q, "weight"); }, nothing, nothing);
        p.setitem().text("act").none().setitem();
      },
      "cache");
  pickle.stop();
  return pickle;
}

TEST(StateDictOf, AModuleAnswersAsModuleStateDictWould) {
  const Result<Checkpoint> checkpoint = open_pickle(module_pickle());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Result<StateDict> state = checkpoint->state_dict();
  ASSERT_TRUE(state);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : *state) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"weight", "mean", "fc.weight"}));
  EXPECT_EQ(state->at("weight")->options().tensor_class, TensorClass::parameter);
  EXPECT_EQ(state->at("mean")->options().tensor_class, TensorClass::buffer);
}

TEST(Inspect, ModulesAreListedByTheNamesOfTheirStateDict) {
  const Result<Checkpoint> checkpoint = open_pickle(module_pickle());
  const Result<Inspection> report = inspect(*checkpoint);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->root_class, "my.Net");
  std::vector<std::string> tensors;
  for (const TensorEntry& entry : report->tensors) tensors.push_back(entry.name + (entry.persistent ? "" : " -"));
  EXPECT_EQ(tensors, (std::vector<std::string>{"weight", "mean", "cache -", "scale -", "fc.weight", "fc.scale -"}));
  EXPECT_EQ(to_string(std::span<const PathStep>(report->tensors[4].path)), "_modules.fc._parameters.weight");
  EXPECT_TRUE(checkpoint->root().at(std::span<const PathStep>(report->tensors[4].path)).as_tensor());
  std::vector<std::string> values;
  for (const ValueEntry& entry : report->values) values.push_back(entry.name);
  EXPECT_EQ(values, (std::vector<std::string>{"bias", "training", "fc.training", "act"}));
  ASSERT_EQ(report->opaque.size(), 2u);
  EXPECT_EQ(report->opaque[1].name, "fc");
  EXPECT_EQ(report->opaque[1].class_name, "my.Net");
  EXPECT_EQ(report->tensor_bytes, 32u);
  EXPECT_EQ(report->elements, 48);
}

TEST(Inspect, AModuleInsideItselfEndsThere) {
  PickleBuilder pickle = start();
  pickle.global("my", "Net").empty_tuple().newobj().put(9).empty_dict();
  pickle.text("_parameters").empty_dict().setitem().text("_buffers").empty_dict().setitem();
  pickle.text("_modules").empty_dict().text("self").get(9).setitem().setitem().build().stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  const Result<Inspection> report = inspect(*checkpoint);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->opaque.size(), 1u);
  EXPECT_EQ(checkpoint->state_dict()->size(), 0u);
}

TEST(Inspect, A11_SharedAndCyclicContainersAreListedOnce) {
  PickleBuilder pickle = start();
  pickle.empty_list().put(5).mark().integer(1).get(5);
  pickle.empty_dict().put(6).text("k").text("v").setitem().get(6).appends().stop();
  const Result<Inspection> report = inspect(*open_pickle(pickle));
  ASSERT_TRUE(report);
  ASSERT_EQ(report->values.size(), 2u);
  EXPECT_EQ(report->values[1].name, "[2].k");
}

// Names and paths are kept for every entry: their product must meet the limit too.
TEST(Inspect, LongNamesAndDeepPathsCountAsSeveralNodes) {
  constexpr int kValues = 20'000;
  Limits limits;
  limits.visited_nodes = 100'000;
  const auto add_values = [](PickleBuilder& pickle) {
    pickle.mark();
    for (int i = 0; i < kValues; ++i) pickle.none();
    pickle.appends();
  };
  PickleBuilder plain = start();
  plain.empty_list();
  add_values(plain);
  plain.stop();
  EXPECT_EQ(inspect(*open_pickle(plain), limits)->values.size(), static_cast<std::size_t>(kValues));

  PickleBuilder long_name = start();
  long_name.empty_dict().text(std::string(100'000, 'n')).empty_list();
  add_values(long_name);
  long_name.setitem().stop();
  EXPECT_EQ(inspect(*open_pickle(long_name), limits).error().finding.code, "LIMIT-VISITED-NODES");

  PickleBuilder deep = start();
  for (int i = 0; i < 200; ++i) deep.empty_list();
  add_values(deep);
  for (int i = 1; i < 200; ++i) deep.append();
  deep.stop();
  EXPECT_EQ(inspect(*open_pickle(deep), limits).error().finding.code, "LIMIT-VISITED-NODES");
}

TEST(Inspect, P25_ABombOfTuplesMeetsTheLimit) {
  PickleBuilder pickle = start();
  pickle.text("x").put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) pickle.get(i).get(i).tuple2().put(i + 1).pop();
  pickle.get(60).stop();
  const Result<Checkpoint> checkpoint = open_pickle(pickle);
  ASSERT_TRUE(checkpoint);
  Limits limits;
  limits.visited_nodes = 100000;
  const Result<Inspection> report = inspect(*checkpoint, limits);
  EXPECT_EQ(report.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(report.error().finding.message, "the values unfold to more than 100000 nodes, the limit visited_nodes");
  // P26: of lists each is entered once.
  PickleBuilder lists = start();
  lists.empty_list().put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) lists.empty_list().mark().get(i).get(i).appends().put(i + 1).pop();
  lists.get(60).stop();
  EXPECT_TRUE(inspect(*open_pickle(lists), limits));
}

TEST(FindTensors, NamesLastPartsAndGlobs) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("model").empty_dict();
  for (const char* name : {"conv1.weight", "conv1.bias", "conv2.weight", "fc.weight"}) add_tensor(pickle, name);
  pickle.setitem().text("state").empty_dict().integer(0).empty_dict();
  add_tensor(pickle, "exp_avg").setitem().setitem().stop();
  const Result<Inspection> report = inspect(*open_pickle(pickle));
  const auto find = [&](std::string_view pattern) {
    const auto found = find_tensors(*report, pattern);
    if (!found) return found.error().finding.message + "; " + found.error().finding.hint;
    std::string names;
    for (const TensorEntry& entry : *found) names += (names.empty() ? "" : " ") + entry.name;
    return names;
  };
  EXPECT_EQ(find("model.fc.weight"), "model.fc.weight");
  EXPECT_EQ(find("fc.weight"), "model.fc.weight");
  EXPECT_EQ(find("state[0].exp_avg"), "state[0].exp_avg");
  EXPECT_EQ(find("[0].exp_avg"), "state[0].exp_avg");
  EXPECT_EQ(find("exp_avg"), "state[0].exp_avg");
  EXPECT_EQ(find("model.conv?.weight"), "model.conv1.weight model.conv2.weight");
  EXPECT_EQ(find("conv*"), "model.conv1.weight model.conv1.bias model.conv2.weight");
  EXPECT_EQ(find("model.conv[!1].*"), "model.conv2.weight");
  EXPECT_EQ(find("weight"),
            "'weight' is the last part of 3 names of tensors; say which: model.conv1.weight, model.conv2.weight, "
            "model.fc.weight");
  EXPECT_EQ(find("model.fc.wieght"), "no tensor is called 'model.fc.wieght'; did you mean model.fc.weight");
  EXPECT_EQ(find("eight"), "no tensor is called 'eight'; ");
  EXPECT_EQ(find(""), "no tensor is called ''; ");
  EXPECT_EQ(find_tensors(*report, "weight").error().code, ErrorCode::ambiguous);
  EXPECT_EQ(find_tensors(*report, "nothing").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace rushlight::test
