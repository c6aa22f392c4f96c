// Rules of format-spec/06-legacy.md, held against whole files: the legacy stream, the tar archive, bare pickles. And
// those of 08-security.md about what is known of files without checksums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "open/opened_bytes.hpp"
#include "rushlight/inspect.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;

const std::vector<std::int64_t> kFour{4};
const std::vector<std::int64_t> kOne{1};

std::string le64(std::uint64_t value) {
  std::string text(8, '\0');
  store_le(reinterpret_cast<std::byte*>(text.data()), value);
  return text;
}
std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}
PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}
std::string number(std::int64_t value) {
  return start().integer(value).stop().str();
}

// The code of the error; "ok" where it opens.
std::string code_of(std::string_view file, const LoadOptions& options = {}) {
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(file), options);
  return checkpoint ? "ok" : checkpoint.error().finding.code;
}

const std::string kMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

// ("storage", torch.CLASS, key, "cpu", numel, view), with what `view` adds.
void put_storage(PickleBuilder& pickle, std::string_view storage_class, std::string_view key, std::int64_t numel,
                 const PickleBuilder* view = nullptr) {
  pickle.mark().text("storage").global("torch", storage_class).text(key).text("cpu").integer(numel);
  if (view != nullptr) {
    pickle.raw(view->str());
  } else {
    pickle.none();
  }
  pickle.tuple().binpersid();
}
void put_tensor(PickleBuilder& pickle, std::string_view storage_class, std::string_view key, std::int64_t numel,
                const std::vector<std::int64_t>& size, const PickleBuilder* view = nullptr) {
  pickle.global("torch._utils", "_rebuild_tensor").mark();
  put_storage(pickle, storage_class, key, numel, view);
  pickle.integer(0).integers(size).integers(kOne).tuple().reduce();
}
std::string keys_of(const std::vector<std::string>& keys) {
  PickleBuilder pickle = start();
  pickle.empty_list();
  for (const std::string& key : keys) pickle.text(key).append();
  return pickle.stop().str();
}

struct Stream {
  std::string version = number(1001);
  std::string system = start().empty_dict().stop().str();
  PickleBuilder object = start();
  std::string keys;
  std::string data;
  [[nodiscard]] std::string build() const { return kMagic + version + system + object.str() + keys + data; }
};
// A stream of one tensor of four floats, 1 2 3 4, under key "7".
Stream one_tensor() {
  Stream stream;
  put_tensor(stream.object, "FloatStorage", "7", 4, kFour);
  stream.object.stop();
  stream.keys = keys_of({"7"});
  stream.data = le64(4) + floats({1, 2, 3, 4});
  return stream;
}

std::string vector_of_the_page() {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/vectors/legacy.pt", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// --- the stream
// -------------------------------------------------------------------------------------------------------

TEST(LegacyPage, TheVectorIsReadAsThePageSays) {
  const std::string file = vector_of_the_page();
  ASSERT_EQ(file.size(), 357u);
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(file));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torch_legacy);
  const Tensor tensor = checkpoint->root().as_tensor().value();
  EXPECT_TRUE(std::ranges::equal(tensor.shape(), Shape{2, 2}));
  const std::vector<float> expected{-0.609375f, -0.03125f, 0.546875f, -0.453125f};
  EXPECT_TRUE(std::ranges::equal(tensor.values<float>().value(), expected));
  EXPECT_EQ(tensor.storage().integrity(), Integrity::none);
}

TEST(LegacyPage, NamesInTheSmallPicklesAreListed) {
  Stream stream = one_tensor();
  stream.version = start().global("os", "system").pop().integer(1001).stop().str();
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(stream.build()));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_TRUE(std::ranges::any_of(checkpoint->globals(),
                                  [](const GlobalUse& use) { return use.name == "os.system" && !use.allowed; }));
}

TEST(LegacyPage, PersistentIdsMayLeaveOutTheView) {
  Stream stream = one_tensor();
  stream.object = start();
  stream.object.tensor("FloatStorage", "7", kFour).stop();
  EXPECT_EQ(code_of(stream.build()), "ok");
  stream.object = start();
  stream.object.mark().text("storage").global("torch", "FloatStorage").text("7").text("cpu").tuple().binpersid().stop();
  stream.keys = keys_of({});
  EXPECT_EQ(code_of(stream.build()), "TYPE-PERSISTENT-ID");
}

TEST(LegacyPage, ViewsAreWindowsOnTheirStorage) {
  const auto with_view = [](std::int64_t offset, std::int64_t numel, std::int64_t second_offset) {
    PickleBuilder view;
    view.mark().text("v").integer(offset).integer(numel).tuple();
    PickleBuilder second;
    second.mark().text("v").integer(second_offset).integer(numel).tuple();
    Stream stream = one_tensor();
    stream.object = start();
    put_tensor(stream.object, "FloatStorage", "7", 4, {2}, &view);
    put_tensor(stream.object, "FloatStorage", "7", 4, {2}, &second);
    put_tensor(stream.object, "FloatStorage", "7", 4, kFour);
    stream.object.tuple3().stop();
    return stream.build();
  };
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(with_view(1, 2, 1)));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Tensor window = checkpoint->root()[0].as_tensor().value();
  EXPECT_EQ(window.storage().size_bytes(), 8u);
  EXPECT_EQ(window.values<float>().value()[0], 2.0f);
  EXPECT_EQ(window.storage(), checkpoint->root()[1].as_tensor()->storage());
  EXPECT_EQ(checkpoint->root()[2].as_tensor()->values<float>().value()[3], 4.0f);
}

TEST(LegacyPage, TheCountIsThatOfTheFirstId) {
  Stream stream = one_tensor();
  stream.data = le64(3) + floats({1, 2, 3, 4});
  EXPECT_EQ(code_of(stream.build()), "LEGACY-COUNT");
  stream = one_tensor();
  stream.object = start();
  put_tensor(stream.object, "DoubleStorage", "7", std::int64_t{1} << 62, kFour);
  stream.object.stop();
  stream.data = le64(std::uint64_t{1} << 62);
  EXPECT_EQ(code_of(stream.build()), "STORE-OVERFLOW");
  // 16 bytes, named as bytes first and as four floats then.
  stream = one_tensor();
  stream.object = start();
  put_tensor(stream.object, "ByteStorage", "7", 16, {16});
  put_tensor(stream.object, "FloatStorage", "7", 4, kFour);
  stream.object.tuple2().stop();
  EXPECT_EQ(code_of(stream.build()), "LEGACY-COUNT");
  stream.data = le64(16) + floats({1, 2, 3, 4});
  EXPECT_EQ(code_of(stream.build()), "STORE-CONFLICT");
}

TEST(LegacyPage, BehindAnUnknownClassNothingIsFound) {
  const auto with_classes = [](std::string_view first, std::string_view second) {
    Stream stream = one_tensor();
    stream.object = start();
    put_tensor(stream.object, first, "7", 4, kFour);
    put_tensor(stream.object, second, "8", 4, kFour);
    stream.object.tuple2().stop();
    stream.keys = keys_of({"7", "8"});
    stream.data += stream.data;
    return stream.build();
  };
  EXPECT_EQ(code_of(with_classes("Float3Storage", "FloatStorage")), "LEGACY-CLASS");
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(with_classes("FloatStorage", "Float3Storage")));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_TRUE(checkpoint->root()[0].as_tensor().has_value());
  EXPECT_EQ(checkpoint->root()[1].kind(), ValueKind::opaque);
}

// --- the tar archive
// --------------------------------------------------------------------------------------------------

std::string octal(std::size_t value, std::size_t width) {
  std::string digits(width - 1, '0');
  for (std::size_t i = digits.size(); value != 0; value /= 8) digits[--i] = static_cast<char>('0' + value % 8);
  return digits + '\0';
}
// A ustar header and its data, padded. Checksums are left out: nobody compares them.
std::string member(std::string_view name, std::string_view data, char type = '0') {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(124, 12, octal(data.size(), 12));
  header[156] = type;
  header.replace(257, 8, "ustar\00000"sv);
  std::string all = header + std::string(data);
  all.resize((all.size() + 511) / 512 * 512, '\0');
  return all;
}
const std::string kEnd(1024, '\0');

PickleBuilder keyed(std::string_view key) {
  PickleBuilder pickle = start();
  pickle.text(key).binpersid().stop();
  return pickle;
}
std::string storage_entry(std::int64_t key, std::string_view storage_class, const std::vector<float>& values) {
  PickleBuilder entry = start();
  entry.integer(key).text("cpu").global("torch", storage_class).tuple3().stop();
  return entry.str() + le64(values.size()) + floats(values);
}
std::string view_list(std::int64_t key, std::int64_t whole, std::int64_t offset, std::int64_t numel) {
  PickleBuilder views = start();
  views.empty_list().mark().integer(key).integer(whole).integer(offset).integer(numel).tuple().append().stop();
  return views.str();
}
const std::string kNoViews = start().empty_list().stop().str();
std::string tensor_entry(std::int64_t key, std::int64_t storage, std::int32_t dims,
                         const std::vector<std::uint64_t>& numbers) {
  PickleBuilder entry = start();
  entry.integer(key).integer(storage).global("torch", "FloatTensor").tuple3().stop();
  std::string text = entry.str() + std::string(8, '\0');
  store_le(reinterpret_cast<std::byte*>(text.data() + text.size() - 8), dims);
  for (const std::uint64_t n : numbers) text += le64(n);
  return text;
}
// Storage 1 of four floats, view 2 of its last two, tensor 3 on the view.
const std::string kStorages = number(1) + storage_entry(1, "FloatStorage", {1, 2, 3, 4}) + view_list(2, 1, 2, 2);
const std::string kTensors = number(1) + tensor_entry(3, 2, 1, {2, 1, 0});
std::string tar_of(const std::string& storages, const std::string& tensors, const PickleBuilder& object) {
  return member("storages", storages) + member("tensors", tensors) + member("pickle", object.str()) + kEnd;
}

TEST(TarPage, StoragesViewsAndTensorsAreTables) {
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(tar_of(kStorages, kTensors, keyed("3"))));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torch_tar);
  const Tensor tensor = checkpoint->root().as_tensor().value();
  EXPECT_TRUE(std::ranges::equal(tensor.shape(), Shape{2}));
  EXPECT_EQ(tensor.values<float>().value()[1], 4.0f);
  EXPECT_EQ(code_of(tar_of(kStorages, kTensors, keyed("4"))), "STORE-MISSING");
  PickleBuilder object = start();
  object.mark().global("my", "Net").text("net.py").text("class Net: pass").tuple().binpersid();
  object.empty_tuple().newobj().stop();
  const Result<Checkpoint> with_class = open_bytes(to_bytes(tar_of(kStorages, kTensors, object)));
  ASSERT_TRUE(with_class) << to_string(with_class.error());
  EXPECT_EQ(with_class->root().class_name(), "my.Net");
}

TEST(TarPage, TensorsMayBeMissing) {
  PickleBuilder object = start();
  object.global("torch._utils", "_rebuild_tensor").mark().text("1").binpersid().integer(0).integers(kFour);
  object.integers(kOne).tuple().reduce().stop();
  const std::string file = member("pickle", object.str()) + member("storages", kStorages) + kEnd;
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(file));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().as_tensor()->values<float>().value()[3], 4.0f);
}

TEST(TarPage, MembersAreFoundByTheirExactNames) {
  const std::string pickle = member("pickle", keyed("1").str());
  EXPECT_EQ(code_of(pickle + member("../storages", kStorages) + kEnd), "TAR-MEMBER");
  EXPECT_EQ(code_of(member("storages", kStorages) + kEnd), "TAR-MEMBER");
  EXPECT_EQ(code_of(pickle + member("storages", kStorages, '2') + kEnd), "TAR-LINK");
  // The last one counts.
  EXPECT_EQ(code_of(pickle + member("storages", "") + member("storages", kStorages) + kEnd), "ok");
}

// --- bare pickles
// -----------------------------------------------------------------------------------------------------

std::string file_of_a_storage() {
  Stream stream = one_tensor();
  stream.object = start();
  put_storage(stream.object, "FloatStorage", "7", 4);
  stream.object.stop();
  return stream.build();
}
void put_nested_tensor(PickleBuilder& pickle, const std::string& file) {
  pickle.global("torch._utils", "_rebuild_tensor").mark();
  pickle.global("torch.storage", "_load_from_bytes").bytes_value(file).tuple1().reduce();
  pickle.integer(0).integers(kFour).integers(kOne).tuple().reduce();
}

TEST(BarePicklePage, IsKnownByItsFirstBytes) {
  for (const std::string_view file :
       {"}q\0."sv, "]q\0."sv, "(dp0\n."sv, "(lp0\n."sv, "cmy\nNet\n."sv, "\x80\x02}."sv}) {
    EXPECT_EQ(code_of(file), "ok") << file;
  }
  EXPECT_EQ(code_of("call me\nIshmael\n."), "KIND-FOREIGN");
}

TEST(BarePicklePage, StoragesAreFilesInsideIt) {
  PickleBuilder pickle = start();
  put_nested_tensor(pickle, file_of_a_storage());
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes(pickle.stop().str()));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().as_tensor()->values<float>().value()[3], 4.0f);
}

TEST(BarePicklePage, PersistentIdsLeadNowhere) {
  PickleBuilder pickle = start();
  pickle.tensor("FloatStorage", "0", kFour).stop();
  EXPECT_EQ(code_of(pickle.str()), "STORE-MISSING");
}

TEST(BarePicklePage, BytesBehindItAreOdd) {
  const Result<Checkpoint> checkpoint = open_bytes(to_bytes("\x80\x02}.\x80\x02]."));
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  ASSERT_EQ(checkpoint->findings().size(), 1u);
  EXPECT_EQ(checkpoint->findings()[0].code, "PKL-TRAILING");
  EXPECT_EQ(checkpoint->findings()[0].offset, 4u);
}

// --- 08-security
// ------------------------------------------------------------------------------------------------------

TEST(SecurityPage, StatesHaveTheirWords) {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/08-security.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const Integrity state :
       {Integrity::not_checked, Integrity::verified, Integrity::mismatch, Integrity::not_computed, Integrity::none}) {
    EXPECT_NE(page.find("\n| `" + std::string(to_string(state)) + "` | "), std::string::npos) << to_string(state);
  }
}

TEST(SecurityPage, VerifyOfAFileWithoutChecksumsCallsNoTensorIntact) {
  std::string file = vector_of_the_page();
  for (const bool changed : {false, true}) {
    if (changed) file.back() = static_cast<char>(file.back() ^ 1);
    const VerifyReport report = verified(to_bytes(file));
    EXPECT_TRUE(report.ok);
    EXPECT_TRUE(report.structure_ok);
    EXPECT_EQ(report.explained_bytes, file.size());
    EXPECT_EQ(report.checked_bytes, 0u);
    ASSERT_EQ(report.tensors.size(), 1u);
    EXPECT_EQ(report.tensors[0].state, TensorState::unverified);
  }
  const VerifyReport cut = verified(to_bytes(file.substr(0, 356)));
  EXPECT_FALSE(cut.ok);
  EXPECT_FALSE(cut.structure_ok);
}

}  // namespace
}  // namespace rushlight::test
