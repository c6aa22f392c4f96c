// The stream of torch.save before 1.6, read and refused: L rows of the catalogue of hostile inputs. Each file is made
// here from a good one.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"
#include "rushlight/scan.hpp"
#include "support/legacy_builder.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// A dict of "weight", six floats 2 x 3; "bias", a view of three of them; "count", two longs.
LegacyFile good_file(int protocol = 2) {
  LegacyFile file(protocol);
  file.object.empty_dict().text("weight");
  legacy_tensor(file.object, {.key = "94", .numel = 6}, {2, 3});
  file.object.setitem().text("bias");
  legacy_tensor(file.object, {.key = "94", .numel = 6, .view = {{"95", 2, 3}}}, {3});
  file.object.setitem().text("count");
  legacy_tensor(file.object, {.storage_class = "LongStorage", .key = "96", .numel = 2}, {2});
  file.object.setitem().stop();
  file.add("94", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5}), 4);
  return file.add("96", bytes_of(std::vector<std::int64_t>{-7, 1 << 20}), 8);
}

void expect_good(const Result<Checkpoint>& checkpoint) {
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torch_legacy);
  EXPECT_EQ(checkpoint->format().byteorder, "little");
  const Tensor weight = checkpoint->root()["weight"].as_tensor().value();
  const Tensor bias = checkpoint->root()["bias"].as_tensor().value();
  const Tensor count = checkpoint->root()["count"].as_tensor().value();
  EXPECT_EQ(Shape(weight.shape().begin(), weight.shape().end()), (Shape{2, 3}));
  EXPECT_EQ(weight.values<float>().value()[5], 5.0f);
  EXPECT_EQ(count.values<std::int64_t>().value()[0], -7);
  EXPECT_EQ(count.values<std::int64_t>().value()[1], 1 << 20);
  const auto three = bias.values<float>().value();
  EXPECT_EQ(std::vector<float>(three.begin(), three.end()), (std::vector<float>{2, 3, 4}));
  // One memory: what torch shares is shared here.
  EXPECT_EQ(bias.bytes().value().data(), weight.bytes().value().data() + 8);
  EXPECT_EQ(weight.storage().record(), "94");
  EXPECT_EQ(weight.storage().integrity(), Integrity::none);
}

TEST(LegacyStream, AGoodFileReadsInEveryProtocol) {
  for (const int protocol : {0, 1, 2, 3, 4, 5}) {
    SCOPED_TRACE(protocol);
    LegacyFile file = good_file(protocol);
    const Bytes bytes = file.build();
    const Result<Checkpoint> checkpoint = open_bytes(bytes, {.strict = true});
    expect_good(checkpoint);
    EXPECT_TRUE(checkpoint->findings().empty());
    const VerifyReport report = verified(bytes);
    EXPECT_TRUE(report.ok) << lines_of(report);
    EXPECT_EQ(report.explained_bytes, bytes.size());
    ASSERT_EQ(report.tensors.size(), 3u);
    EXPECT_EQ(report.tensors[1].name, "bias");
    EXPECT_EQ(report.tensors[1].state, TensorState::unverified);
  }
}

TEST(LegacyStream, L01_NoBitOfTheMagicNumberMayDiffer) {
  const Bytes good = good_file().build();
  for (std::size_t bit = 0; bit < 80; ++bit) {
    Bytes wrong = good;
    wrong[4 + bit / 8] ^= std::byte{1} << bit % 8;
    const std::string verdict = verdict_of(wrong);
    EXPECT_TRUE(
        verdict.starts_with("kind KIND-FOREIGN at 0x0: the file begins as the legacy format of torch.save does, "
                            "but its magic number is wrong, expected 6c fc 9c 46 f9 20 6a a8 50 19, found "))
        << bit << ": " << verdict;
  }
}

// torch compares integers: whoever spells the number in another way must not get past a scan.
TEST(LegacyStream, L01_AMagicNumberInAnotherSpellingIsOneToo) {
  constexpr auto kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;
  const std::function<void(PickleBuilder&)> spellings[] = {
      [&](PickleBuilder& p) { p.proto(2).long4(10, kMagic); },
      [&](PickleBuilder& p) { p.proto(2).long1(std::string(kMagic) + '\0'); },
      [&](PickleBuilder& p) { p.proto(2).line('L', "119547037146038801333356L"); },
      [&](PickleBuilder& p) { p.proto(2).line('L', "119547037146038801333356"); },
      [&](PickleBuilder& p) { p.proto(2).none().pop().long1(kMagic); },
      [&](PickleBuilder& p) { p.proto(2).empty_list().put(0).pop().long1(kMagic).put(1); },
  };
  const TemporaryFolder folder;
  for (const auto& spell : spellings) {
    LegacyFile file = good_file();
    file.magic = PickleBuilder();
    spell(file.magic);
    file.magic.stop();
    expect_good(open_bytes(file.build()));
    file.object = PickleBuilder();
    file.object.proto(2).global("os", "system").text("true").tuple1().reduce().stop();
    file.keys.proto(2).empty_list().stop();
    write_file(folder / "model.pt", as_text(file.build()));
    const ScanReport report = scan({folder / "model.pt"}).value();
    EXPECT_FALSE(report.ok);
    ASSERT_EQ(report.files.at(0).globals.size(), 1u);
    EXPECT_EQ(report.files[0].globals[0].name, "os.system");
  }
}

TEST(LegacyStream, L01_AMagicNumberThatACallMakesIsRefusedByTheName) {
  LegacyFile file = good_file();
  file.magic = PickleBuilder();
  file.magic.proto(2).global("builtins", "int").text("0x1950a86a20f9469cfc6c").integer(16).tuple2().reduce().stop();
  EXPECT_EQ(verdict_of(file.build(), {.globals = Globals::strict}),
            "global GLOBAL-UNKNOWN at 0x2: global 'builtins.int' is not on the allow-list");
  const TemporaryFolder folder;
  write_file(folder / "model.pt", as_text(file.build()));
  EXPECT_FALSE(scan({folder / "model.pt"}).value().ok);
}

TEST(LegacyStream, L02_OtherVersionsAreNotKnown) {
  const auto with = [](const std::function<void(PickleBuilder&)>& write) {
    LegacyFile file = good_file();
    file.version = PickleBuilder();
    write(file.version.proto(2));
    file.version.stop();
    return verdict_of(file.build());
  };
  for (const std::int64_t version : {1000, 1002, -1, 0}) {
    EXPECT_EQ(with([&](PickleBuilder& p) { p.integer(version); }),
              "unsup LEGACY-VERSION at 0xf: the version of the legacy format is not known, expected 1001, found " +
                  std::to_string(version));
  }
  EXPECT_EQ(with([](PickleBuilder& p) { p.text("1001"); }),
            "unsup LEGACY-VERSION at 0xf: the version of the legacy format is not known, expected 1001, found str");
  EXPECT_EQ(with([](PickleBuilder& p) { p.real(1001); }),
            "unsup LEGACY-VERSION at 0xf: the version of the legacy format is not known, expected 1001, found float");
  EXPECT_EQ(with([](PickleBuilder& p) { p.long1("\xe9\x03\0\0\0\0\0\0\0\1"sv); }),
            "unsup LEGACY-VERSION at 0xf: the version of the legacy format is not known, expected 1001, found int");
}

TEST(LegacyStream, L02_TheSystemIsADictAndSaysNothingAboutTheData) {
  LegacyFile file = good_file();
  file.system = PickleBuilder();
  file.system.proto(2).empty_list().stop();
  const Bytes wrong = file.build();
  EXPECT_EQ(verdict_of(wrong), "pkl LEGACY-SYSTEM at " + hex(file.places().system) +
                                   ": what describes the writer's machine is no dict, found list");
  // torch/csrc/serialization.cpp swaps on big-endian machines, so the data is little-endian whatever this says.
  file.system = PickleBuilder();
  file.system.proto(2).empty_dict().text("little_endian").boolean(false).setitem();
  file.system.text("type_sizes").empty_dict().text("long").integer(-1).setitem().setitem().stop();
  expect_good(open_bytes(file.build()));
}

TEST(LegacyStream, L04_AStorageLargerThanTheFileIsRefusedBeforeAnythingIsAllocated) {
  const auto with = [](std::int64_t named, std::uint64_t counted) {
    LegacyFile file;
    legacy_tensor(file.object, {.key = "0", .numel = named}, {named});
    file.object.stop();
    file.add("0", bytes_of(std::vector<float>{1, 2}), 4, counted);
    const Bytes bytes = file.build();
    EXPECT_LT(bytes.size(), 400u);
    return std::pair(verdict_of(bytes), file.places().storages[0]);
  };
  const auto [huge, at] = with(1 << 30, 1 << 30);
  EXPECT_EQ(huge, "trunc LEGACY-TRUNCATED at " + hex(at) +
                      ": storage '0' (1 of 1) ends early, expected 4294967296 bytes, found 8");
  const auto [other, there] = with(1 << 30, 2);
  EXPECT_EQ(other, "store LEGACY-COUNT at " + hex(there) +
                       ": storage '0' (1 of 1) does not have the elements that the object names, expected 1073741824, "
                       "found 2");
  const auto [negative, where] = with(2, ~std::uint64_t{0});
  EXPECT_EQ(negative, "store LEGACY-COUNT at " + hex(where) +
                          ": storage '0' (1 of 1) does not have the elements that the object names, expected 2, found "
                          "-1");
  constexpr std::int64_t kOverflow = std::int64_t{1} << 62;
  const auto [overflow, place] = with(kOverflow, std::uint64_t{1} << 62);
  EXPECT_EQ(overflow, "store STORE-OVERFLOW at " + hex(place) +
                          ": storage '0' (1 of 1) of 4611686018427387904 elements overflows 64 bits");
}

TEST(LegacyStream, L05_TheListOfKeysNamesEachStorageOnce) {
  const auto with = [](const std::function<void(PickleBuilder&)>& write) {
    LegacyFile file = good_file();
    write(file.keys.proto(2));
    file.keys.stop();
    const std::string verdict = verdict_of(file.build());
    return std::pair(verdict, file.places());
  };
  const auto [twice, at] = with([](PickleBuilder& p) { p.empty_list().mark().text("94").text("94").appends(); });
  EXPECT_EQ(twice, "store LEGACY-KEY-TWICE at " + hex(at.keys + 2 + 2 + 7) + ": storage '94' is listed twice");
  const auto [extra, at2] = with([](PickleBuilder& p) { p.empty_list().mark().text("94").text("9\x1b").appends(); });
  EXPECT_EQ(extra, "store LEGACY-KEY-UNKNOWN at " + hex(at2.keys + 11) +
                       ": storage '9\\x1b' is listed, and no object names it");
  const auto [missing, at3] = with([](PickleBuilder& p) { p.empty_list().mark().text("94").appends(); });
  EXPECT_TRUE(missing.starts_with("store STORE-MISSING the object at 0x")) << missing;
  EXPECT_TRUE(missing.ends_with(": tensor 'count': storage '96' is not in the list of storage keys")) << missing;
  const auto [number, at4] = with([](PickleBuilder& p) { p.empty_list().mark().integer(94).appends(); });
  EXPECT_EQ(number, "type LEGACY-KEY-TYPE at " + hex(at4.keys + 4) + ": a storage key is no text, found int");
  const auto [dict, at5] = with([](PickleBuilder& p) { p.empty_dict(); });
  EXPECT_EQ(dict, "pkl LEGACY-KEYS at " + hex(at5.keys + 2) + ": the storage keys are no list, found dict");
  const auto [swapped, at6] = with([](PickleBuilder& p) { p.empty_list().mark().text("96").text("94").appends(); });
  EXPECT_EQ(swapped,
            "store LEGACY-COUNT at " + hex(at6.storages[0]) +
                ": storage '96' (1 of 2) does not have the elements that the object names, expected 2, found 6");
}

TEST(LegacyStream, L05_AMillionKeysAreReadInLinearTime) {
  LegacyFile file = good_file();
  file.keys.proto(2).empty_list().mark();
  for (int i = 0; i < 1'000'000; ++i) file.keys.text(std::to_string(i));
  file.keys.appends().stop();
  const Bytes bytes = file.build();
  EXPECT_EQ(verdict_of(bytes), "store LEGACY-KEY-UNKNOWN at " + hex(file.places().keys + 4) +
                                   ": storage '0' is listed, and no object names it");
}

TEST(LegacyStream, L08_BytesBehindTheLastStorageAreAWarning) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{1000}}) {
    LegacyFile file = good_file();
    file.trailing = repeated(count, 0x2E);
    const Bytes bytes = file.build();
    const std::string said = "ambig LEGACY-TRAILING at " + hex(file.places().end) + ": " + std::to_string(count) +
                             (count == 1 ? " byte follows" : " bytes follow") + " the last storage, and were not read";
    const Result<Checkpoint> checkpoint = open_bytes(bytes);
    expect_good(checkpoint);
    ASSERT_EQ(checkpoint->findings().size(), 1u);
    EXPECT_EQ(checkpoint->findings()[0].severity, Severity::warning);
    EXPECT_EQ(line_of(checkpoint->findings()[0]), said);
    EXPECT_EQ(verdict_of(bytes, {.strict = true}), said);
    const VerifyReport lenient = verified(bytes);
    EXPECT_TRUE(lenient.ok);
    EXPECT_EQ(lines_of(lenient), "warning " + said);
    EXPECT_EQ(lenient.explained_bytes, bytes.size() - count);
    EXPECT_FALSE(verified(bytes, {.strict = true}).ok);
  }
}

TEST(LegacyStream, L09_EveryCutIsPlacedInItsPickleOrStorage) {
  LegacyFile file = good_file();
  const Bytes good = file.build();
  const LegacyFile::Places places = file.places();
  for (std::size_t size = 14; size < good.size(); ++size) {
    const std::string verdict = verdict_of(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    // Where the whole pickle is there, the next one is what is missing.
    const std::string where = size < places.version       ? " the magic number at "
                              : size < places.system      ? " the version at "
                              : size < places.object      ? " the system at "
                              : size < places.keys        ? " the object at "
                              : size < places.storages[0] ? " the list of storage keys at "
                                                          : std::string();
    if (!where.empty()) {
      EXPECT_TRUE((verdict.starts_with("pkl PKL-TRUNCATED") || verdict.starts_with("pkl PKL-NEWLINE")) &&
                  verdict.find(where) != std::string::npos)
          << size << ": " << verdict;
      continue;
    }
    const bool first = size < places.storages[1];
    const std::uint64_t begin = places.storages[first ? 0 : 1];
    const std::uint64_t left = size - begin;
    const std::uint64_t data_bytes = first ? 24 : 16;
    const std::string counts =
        left < 8 ? "expected 8 bytes, found " + std::to_string(left)
                 : "expected " + std::to_string(data_bytes) + " bytes, found " + std::to_string(left - 8);
    EXPECT_EQ(verdict, "trunc LEGACY-TRUNCATED at " + hex(begin) + ": storage '" + (first ? "94' (1" : "96' (2") +
                           " of 2) ends early, " + counts)
        << size;
  }
  // Shorter than the magic number there is nothing to know it by.
  for (std::size_t size = 1; size < 14; ++size) {
    EXPECT_NE(verdict_of(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))), "ok") << size;
  }
}

TEST(LegacyStream, ViewsLieWithinTheirStorage) {
  const auto with = [](const LegacyStorageId& id, const LegacyStorageId& second, std::vector<std::int64_t> shape) {
    LegacyFile file;
    file.object.mark();
    legacy_tensor(file.object, id, shape);
    legacy_tensor(file.object, second, shape);
    file.object.tuple().stop();
    file.add("94", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5}), 4);
    const std::string verdict = verdict_of(file.build());
    return verdict.substr(0, verdict.find(" at ")) + verdict.substr(std::min(verdict.size(), verdict.find(": ")));
  };
  const LegacyStorageId good{.key = "94", .numel = 6, .view = {{"95", 2, 3}}};
  EXPECT_EQ(with(good, good, {3}), "ok");
  LegacyStorageId wrong = good;
  wrong.view = {{"95", 4, 3}};
  EXPECT_EQ(
      with(wrong, good, {3}),
      "store STORE-VIEW the object: tensor '[0]': view '95' of storage '94' reaches from element 4 over 3 elements, "
      "expected at most 6 in all");
  wrong.view = {{"95", std::int64_t{1} << 62, std::int64_t{1} << 62}};
  EXPECT_EQ(with(wrong, good, {3}),
            "store STORE-VIEW the object: tensor '[0]': view '95' of storage '94' reaches from element "
            "4611686018427387904 over 4611686018427387904 elements, expected at most 6 in all");
  wrong.view = {{"95", 1, 3}};
  EXPECT_EQ(with(good, wrong, {3}),
            "store STORE-VIEW the object: tensor '[1]': view '95' of storage '94' is named twice as different things, "
            "expected offset 2 and 3 elements");
  wrong.view = {{"95", -1, 3}};
  EXPECT_EQ(
      with(wrong, good, {3}),
      "type TYPE-PERSISTENT-ID the object: tensor '[0]': persistent id part 5 (view), expected a key, an offset and "
      "a size of 0 or more, found another tuple");
  // A tensor reaches as far as its view does, not as far as the storage.
  EXPECT_EQ(with(good, good, {4}).substr(0, 34), "tensor TENSOR-BOUNDS the object: t");
}

TEST(LegacyStream, L11_ClassesWithSourceTextAreInertAndNothingIsWritten) {
  const TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder / "");
  LegacyFile file;
  const auto module_id = [&](std::string_view source) {
    file.object.mark().text("module").global("__main__", "Net").text("net.py").text(source).tuple().binpersid();
  };
  file.object.mark();
  module_id("import os; os.system('touch evil')");
  file.object.empty_tuple().newobj().empty_dict().text("w");
  legacy_tensor(file.object, {.key = "94", .numel = 2}, {2});
  file.object.setitem().build();
  module_id("another text, for which torch would write a patch");
  file.object.tuple().stop();
  file.add("94", bytes_of(std::vector<float>{3, 4}), 4);
  const Result<Checkpoint> checkpoint = open_bytes(file.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Value& net = checkpoint->root()[0];
  EXPECT_EQ(net.kind(), ValueKind::opaque);
  EXPECT_EQ(net.class_name(), "__main__.Net");
  EXPECT_EQ(checkpoint->root()[1].class_name(), "__main__.Net");
  ASSERT_EQ(checkpoint->findings().size(), 1u);
  EXPECT_EQ(checkpoint->findings()[0].code, "GLOBAL-UNKNOWN");
  const Inspection listed = inspect(*checkpoint).value();
  ASSERT_EQ(listed.tensors.size(), 1u);
  EXPECT_EQ(listed.tensors[0].tensor.values<float>().value()[1], 4.0f);
  EXPECT_TRUE(
      verdict_of(file.build(), {.globals = Globals::strict}).starts_with("global GLOBAL-UNKNOWN the object at "));
  EXPECT_TRUE(std::filesystem::is_empty(folder / ""));
  std::filesystem::current_path(before);
}

TEST(LegacyStream, L13_NamesAndTextsOfPython2AreRead) {
  LegacyFile file;
  file.object.empty_dict().byte_string("old");
  // An object of the class itself, with its geometry as a state.
  file.object.global("torch", "DoubleTensor").empty_tuple().reduce().mark();
  legacy_storage(file.object, {.storage_class = "DoubleStorage", .key = "7", .numel = 2});
  file.object.integer(0).integer(2).tuple1().integer(1).tuple1().tuple().build().setitem();
  file.object.byte_string("seen").global("__builtin__", "set").empty_list().integer(1).append().tuple1().reduce();
  file.object.setitem().byte_string("\xff\xfe").byte_string("\xe9").setitem().stop();
  file.keys.proto(2).empty_list().byte_string("7").append().stop();
  file.add("7", bytes_of(std::vector<double>{0.5, -0.25}), 8);
  const Result<Checkpoint> checkpoint = open_bytes(file.build(), {.strict = true});
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_TRUE(checkpoint->findings().empty());
  EXPECT_EQ(checkpoint->root()["old"].as_tensor()->values<double>().value()[1], -0.25);
  EXPECT_EQ(checkpoint->root()["seen"].kind(), ValueKind::set);
}

}  // namespace
}  // namespace rushlight::test
