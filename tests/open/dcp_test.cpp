// Distributed checkpoints: the metadata, the items in the files of the ranks, and everything that can be wrong there.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "opened_bytes.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/scan.hpp"
#include "said_of_set.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;
using Sizes = std::vector<std::int64_t>;

constexpr std::string_view kModule = "torch.distributed.checkpoint.metadata";
constexpr const char* kFile = "__0_0.distcp";

// One file of torch.save with a tensor of these values.
std::string tensor_file(const Sizes& shape, const std::vector<float>& values, std::string_view dtype = "FloatStorage") {
  TorchZip zip("archive");
  zip.add("data.pkl", PickleBuilder().proto(2).tensor(dtype, "0", shape).stop().bytes());
  zip.add("data/0", bytes_of(values)).add("byteorder", "little").add("version", "3\n");
  const Bytes bytes = zip.build();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
// One with another value; tensors in it view storage "0", eight floats.
std::string value_file(const PickleBuilder& pickle, bool has_storage = false) {
  TorchZip zip("archive");
  zip.add("data.pkl", pickle.bytes());
  if (has_storage) zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  const Bytes bytes = zip.add("byteorder", "little").add("version", "3\n").build();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What `.metadata` says, right or wrong.
struct Chunk {
  Sizes offsets;
  Sizes sizes;
};
struct Entry {
  std::string name;
  std::optional<Sizes> size{};  // of a tensor
  std::vector<Chunk> chunks{};
  std::string dtype = "float32";
  std::string layout = "torch.strided";
};
struct Item {
  std::string name;
  std::optional<Sizes> offset;
  std::int64_t begin = 0;
  std::int64_t length = 0;
  std::string file = kFile;
  std::string transform{};
};
using Step = std::pair<std::string, std::int64_t>;  // a key, or a position where the key is empty
struct Metadata {
  std::vector<Entry> entries;
  std::vector<Item> items;
  std::vector<std::pair<std::string, std::vector<Step>>> paths;
  std::string module{kModule};
  std::string storage_module = "torch.distributed.checkpoint.filesystem";

  [[nodiscard]] std::string pickle() const {
    PickleBuilder out;
    const auto object = [&](std::string_view name) { out.global(module, name).empty_tuple().newobj(); };
    const auto size = [&](const Sizes& sizes) { out.global("torch", "Size").integers(sizes).tuple1().reduce(); };
    out.proto(2);
    object("Metadata");
    out.empty_dict().mark().text("state_dict_metadata").empty_dict().mark();
    for (const Entry& entry : entries) {
      out.text(entry.name);
      if (!entry.size) {
        object("BytesStorageMetadata");
        out.empty_dict().build();
        continue;
      }
      object("TensorStorageMetadata");
      out.empty_dict().mark().text("properties");
      object("TensorProperties");
      out.mark().global("torch", entry.dtype).global("torch.serialization", "_get_layout").text(entry.layout).tuple1();
      out.reduce().boolean(false).global(module, "_MEM_FORMAT_ENCODING").integer(0).tuple1().reduce().boolean(false);
      out.tuple().build().text("size");
      size(*entry.size);
      out.text("chunks").empty_list().mark();
      for (const Chunk& chunk : entry.chunks) {
        object("ChunkStorageMetadata");
        out.empty_dict().mark().text("offsets");
        size(chunk.offsets);
        out.text("sizes");
        size(chunk.sizes);
        out.setitems().build();
      }
      out.appends().setitems().build();
    }
    out.setitems().text("planner_data").empty_dict().mark();
    for (const auto& [name, path] : paths) {
      out.text(name).mark();
      for (const auto& [key, position] : path) key.empty() ? out.integer(position) : out.text(key);
      out.tuple();
    }
    out.setitems().text("storage_data").empty_dict().mark();
    for (const Item& item : items) {
      object("MetadataIndex");
      out.empty_dict().mark().text("fqn").text(item.name).text("index").none();
      if (item.offset) {
        out.text("offset");
        size(*item.offset);
      }
      out.setitems().build().global(storage_module, "_StorageInfo").empty_tuple().newobj().empty_dict().mark();
      out.text("relative_path").text(item.file).text("offset").integer(item.begin).text("length").integer(item.length);
      if (!item.transform.empty()) {
        out.text("transform_descriptors").empty_list().text(item.transform).append();
      }
      out.setitems().build();
    }
    out.setitems().text("version").text("1.0.0").setitems().build().stop();
    return out.str();
  }
};

// A tensor `t` of 2 x 3 in a left column and the rest, and a value `n`.
class Dcp : public testing::Test {
 protected:
  void SetUp() override {
    add("t", Sizes{0, 0}, tensor_file({2, 1}, {1, 4}));
    add("t", Sizes{0, 1}, tensor_file({2, 2}, {2, 3, 5, 6}));
    add("n", std::nullopt, value_file(PickleBuilder().proto(2).integer(7).stop()));
    metadata_.entries = {{"t", Sizes{2, 3}, {{{0, 0}, {2, 1}}, {{0, 1}, {2, 2}}}}, {"n"}};
  }
  // One more item at the end of the file.
  void add(std::string name, std::optional<Sizes> offset, const std::string& bytes) {
    metadata_.items.push_back({std::move(name), std::move(offset), static_cast<std::int64_t>(data_.size()),
                               static_cast<std::int64_t>(bytes.size())});
    data_ += bytes;
  }
  // Another item in place of one: what stood there stays.
  void replace(std::size_t item, const std::string& bytes) {
    metadata_.items[item].begin = static_cast<std::int64_t>(data_.size());
    metadata_.items[item].length = static_cast<std::int64_t>(bytes.size());
    data_ += bytes;
  }
  Result<Checkpoint> open(const LoadOptions& options = {}) {
    write_file(folder_ / ".metadata", metadata_.pickle());
    write_file(folder_ / kFile, data_);
    return Checkpoint::open(folder_.path(), options);
  }
  std::string verdict(const LoadOptions& options = {}) { return said(open(options)); }
  // What reading the tensor says.
  std::string read(std::string_view name = "t") {
    const Result<Checkpoint> checkpoint = open();
    if (!checkpoint) return "not opened: " + said(checkpoint);
    const std::optional<Tensor> tensor = checkpoint->root()[name].as_tensor();
    return tensor ? said(tensor->bytes()) : std::string("no tensor");
  }
  std::string refused(std::string_view message) { return ".metadata: " + std::string(message); }

  Metadata metadata_;
  std::string data_;
  TemporaryFolder folder_;
};

std::vector<float> floats(const Value& value) {
  const Result<std::span<const float>> values = value.as_tensor()->values<float>();
  if (!values) return {};
  return {values->begin(), values->end()};
}

TEST_F(Dcp, ChunksBecomeOneTensor) {
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(to_string(checkpoint->format().kind), "dcp");
  EXPECT_EQ(checkpoint->file(), (folder_ / ".metadata").string());
  EXPECT_TRUE(checkpoint->findings().empty());
  EXPECT_EQ(checkpoint->root().kind(), ValueKind::dict);
  EXPECT_EQ(checkpoint->root()["n"].as_int(), 7);
  const Tensor tensor = *checkpoint->root()["t"].as_tensor();
  EXPECT_EQ(tensor.storage().record(), kFile);
  EXPECT_EQ(tensor.storage().integrity(), Integrity::not_checked);
  EXPECT_EQ(floats(checkpoint->root()["t"]), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(tensor.storage().integrity(), Integrity::verified);
  for (const GlobalUse& use : checkpoint->globals()) EXPECT_TRUE(use.allowed) << use.name;
}

TEST_F(Dcp, ManyDimensionsAndEmptyChunks) {
  // 2 x 3 x 4, cut in the middle dimension and in the first, as a mesh of devices does; one rank has nothing.
  data_.clear();
  metadata_ = {};
  Entry entry{"t", Sizes{2, 3, 4}};
  for (std::int64_t i = 0; i < 2; ++i) {
    for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 1}}) {
      std::vector<float> values;
      for (std::int64_t j = begin; j < begin + count; ++j) {
        for (std::int64_t k = 0; k < 4; ++k) values.push_back(static_cast<float>((i * 3 + j) * 4 + k));
      }
      add("t", Sizes{i, begin, 0}, tensor_file({1, count, 4}, values));
      entry.chunks.push_back({{i, begin, 0}, {1, count, 4}});
    }
  }
  add("t", Sizes{0, 3, 0}, tensor_file({2, 0, 4}, {}));
  entry.chunks.push_back({{0, 3, 0}, {2, 0, 4}});
  metadata_.entries = {entry};
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  std::vector<float> expected;
  for (int i = 0; i < 24; ++i) expected.push_back(static_cast<float>(i));
  EXPECT_EQ(floats(checkpoint->root()["t"]), expected);
}

// Found by fuzzing: reading said nothing of the checksum of an empty chunk, and "none" of one in another order.
TEST_F(Dcp, TheChecksumIsThatOfTheChunksRecord) {
  data_.clear();
  metadata_ = {};
  add("empty", Sizes{0}, tensor_file({0}, {}));
  PickleBuilder columns;
  columns.proto(2).global("torch._utils", "_rebuild_tensor_v2").mark().storage("FloatStorage", "0", 8).integer(0);
  columns.integers(Sizes{2, 3}).integers(Sizes{1, 2}).boolean(false);
  columns.global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce().stop();
  add("columns", Sizes{0, 0}, value_file(columns, true));
  metadata_.entries = {{"empty", Sizes{0}, {{{0}, {0}}}}, {"columns", Sizes{2, 3}, {{{0, 0}, {2, 3}}}}};
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(floats(checkpoint->root()["columns"]), (std::vector<float>{0, 2, 4, 1, 3, 5}));
  const Result<VerifyReport> report = verify(folder_.path());
  ASSERT_TRUE(report);
  ASSERT_EQ(report->tensors.size(), 2u);
  for (const TensorVerdict& verdict : report->tensors) {
    const Tensor tensor = *checkpoint->root()[verdict.name].as_tensor();
    ASSERT_TRUE(tensor.storage().bytes()) << verdict.name;
    EXPECT_EQ(tensor.storage().integrity(), Integrity::verified) << verdict.name;
    EXPECT_EQ(verdict.state, TensorState::intact) << verdict.name;
  }
}

TEST_F(Dcp, OneWholeChunkIsNotCopied) {
  metadata_.entries[0] = {"t", Sizes{2, 3}, {{{0, 0}, {2, 3}}}};
  metadata_.items.erase(metadata_.items.begin() + 1);
  replace(0, tensor_file({2, 3}, {1, 2, 3, 4, 5, 6}));
  // Alignment is counted from the start of each archive.
  metadata_.items[0].begin = static_cast<std::int64_t>((data_.size() + 63) / 64 * 64);
  data_.resize(static_cast<std::size_t>(metadata_.items[0].begin));
  data_ += tensor_file({2, 3}, {1, 2, 3, 4, 5, 6});
  open().value();
  const std::shared_ptr<const Source> file = open_file(folder_ / kFile).value();
  LoadOptions options;
  options.open_beside = [&](std::string_view) { return Result<std::shared_ptr<const Source>>(file); };
  const Result<Checkpoint> checkpoint = Checkpoint::open(folder_.path(), options);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const std::span<const std::byte> bytes = checkpoint->root()["t"].as_tensor()->bytes().value();
  EXPECT_GE(bytes.data(), file->mapping().data());
  EXPECT_LT(bytes.data(), file->mapping().data() + file->mapping().size());
  EXPECT_EQ(floats(checkpoint->root()["t"]), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST_F(Dcp, OlderModulesSayTheSame) {
  metadata_.module = "torch.distributed._shard.checkpoint.metadata";
  metadata_.storage_module = "torch.distributed._shard.checkpoint.filesystem";
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(floats(checkpoint->root()["t"]), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(checkpoint->findings().empty());
}

TEST_F(Dcp, PathsBecomeDictsAndLists) {
  add("a.b", std::nullopt, value_file(PickleBuilder().proto(2).text("dotted").stop()));
  add("l.1", std::nullopt, value_file(PickleBuilder().proto(2).text("second").stop()));
  metadata_.entries.push_back({"a.b"});
  metadata_.entries.push_back({"l.1"});
  metadata_.paths = {
      {"t", {{"m", 0}, {"w.t", 0}}}, {"n", {{"l", 0}, {"", 0}, {"lr", 0}}}, {"l.1", {{"l", 0}, {"", 2}}}};
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Value& root = checkpoint->root();
  EXPECT_TRUE(root["m"]["w.t"].as_tensor());
  EXPECT_EQ(root["a.b"].as_string(), "dotted");
  ASSERT_EQ(root["l"].kind(), ValueKind::list);
  ASSERT_EQ(root["l"].size(), 3u);
  EXPECT_EQ(root["l"][0]["lr"].as_int(), 7);
  EXPECT_TRUE(root["l"][1].exists() && root["l"][1].is_none());
  EXPECT_EQ(root["l"][2].as_string(), "second");
}

TEST_F(Dcp, PathsThatContradict) {
  const auto with_paths = [&](std::vector<Step> of_t, std::vector<Step> of_n) {
    metadata_.paths = {{"t", std::move(of_t)}, {"n", std::move(of_n)}};
    return verdict();
  };
  EXPECT_EQ(with_paths({{"a", 0}}, {{"a", 0}}), refused("ambig DCP-PATH: 'n': its path 'a' is also that of 't'"));
  EXPECT_EQ(with_paths({{"a", 0}}, {{"a", 0}, {"b", 0}}),
            refused("ambig DCP-PATH: 'n': its path 'a.b' goes through what 't' is"));
  EXPECT_EQ(with_paths({{"a", 0}, {"b", 0}}, {{"a", 0}, {"", 0}}),
            refused("ambig DCP-PATH: 'n': its path 'a[0]' goes through what 't' is"));
  EXPECT_EQ(with_paths({{"a", 0}, {"", 1000000000000}}, {{"n", 0}}),
            refused("limit DCP-PATH: 't': its path in 'planner_data' has position 1000000000000 of a list of which "
                    "little else is there"));
  EXPECT_EQ(with_paths({}, {{"n", 0}}),
            refused("type DCP-PATH: 't': its path in 'planner_data' is a tuple of names, found tuple"));
  EXPECT_EQ(with_paths({{"", 0}}, {{"n", 0}}),
            refused("type DCP-PATH: 't': its path in 'planner_data' begins with a position in a list"));
  EXPECT_EQ(with_paths({{"a", 0}, {"", -1}}, {{"n", 0}}),
            refused("type DCP-PATH: 't': its path in 'planner_data' has a step that is neither a str nor a position in "
                    "a list, found int"));
  LoadOptions shallow;
  shallow.limits.pickle_depth = 12;
  metadata_.paths = {{"t", std::vector<Step>(13, Step("a", 0))}};
  EXPECT_EQ(verdict(shallow), refused("limit LIMIT-PICKLE-DEPTH: 't': its path has more than 12 steps (pickle_depth)"));
}

TEST_F(Dcp, ChunksThatDoNotCover) {
  std::vector<Chunk>& chunks = metadata_.entries[0].chunks;
  chunks[1].sizes = {2, 1};
  EXPECT_EQ(verdict(), refused("store DCP-CHUNK-MISSING: 't': its chunks hold 4 of the 6 elements of shape [2, 3]"));
  chunks[1].sizes = {2, 2};
  chunks[0].sizes = {2, 2};
  EXPECT_EQ(verdict(), refused("store DCP-CHUNK-OVERLAP: 't': chunks at [0, 2) x [0, 2) and [0, 2) x [1, 3) overlap"));
  chunks[0].sizes = {2, 1};
  chunks.push_back(chunks[0]);
  EXPECT_EQ(verdict(), refused("store DCP-CHUNK-OVERLAP: 't': chunks at [0, 2) x [0, 1) and [0, 2) x [0, 1) overlap"));
  chunks.pop_back();
  chunks[1].sizes = {2, 3};
  EXPECT_EQ(verdict(), refused("tensor DCP-CHUNK-RANGE: 't': chunk 1 at [0, 2) x [1, 4) lies outside of the shape "
                               "[2, 3]"));
  chunks[1].sizes = {2, -1};
  EXPECT_EQ(verdict(), refused("tensor DCP-CHUNK-RANGE: 't': chunk 1 at [0, 2) x [1, 0) lies outside of the shape "
                               "[2, 3]"));
  chunks[1].sizes = {2};
  EXPECT_EQ(verdict(),
            refused("tensor DCP-CHUNK-RANGE: 't': chunk 1 has offsets [0, 1] and sizes [2] in a tensor of shape "
                    "[2, 3]"));
  chunks.clear();
  EXPECT_EQ(verdict(), refused("store DCP-CHUNK-MISSING: 't': its chunks hold 0 of the 6 elements of shape [2, 3]"));
}

TEST_F(Dcp, TensorsThatCannotBe) {
  Entry& entry = metadata_.entries[0];
  entry.size = Sizes{2, -3};
  EXPECT_TRUE(verdict().starts_with(".metadata: tensor DCP-SHAPE: 't': ")) << verdict();
  entry.size = Sizes{std::int64_t{1} << 61, 3};
  EXPECT_EQ(verdict(),
            refused("tensor DCP-SHAPE: 't': the bytes of [2305843009213693952, 3] float32 overflow a 64-bit count"));
  entry.size = Sizes(65, 1);
  EXPECT_EQ(verdict(),
            refused("limit LIMIT-TENSOR-DIMS: torch.Size: argument 0 (sizes) has more dimensions than the limit "
                    "tensor_dims, expected at most 64, found 65"));
  entry.size = Sizes{2, 3};
  entry.dtype = "quint4x2";
  EXPECT_EQ(verdict(), refused("unsup DCP-DTYPE: 't': elements of dtype quint4x2 are not read from chunks"));
  entry.dtype = "float32";
  entry.layout = "torch.sparse_coo";
  EXPECT_EQ(verdict(), refused("unsup DCP-LAYOUT: 't': its layout is torch.strided, found torch.sparse_coo"));
  LoadOptions few;
  few.limits.tensors = 0;
  EXPECT_EQ(verdict(few), refused("limit LIMIT-TENSORS: there are more than 0 tensors (tensors)"));
}

TEST_F(Dcp, ItemsThatAreNotThere) {
  const Metadata right = metadata_;
  metadata_.items.erase(metadata_.items.begin() + 1);
  EXPECT_EQ(verdict(), refused("store DCP-ITEM-MISSING: 't': no item of 'storage_data' holds its chunk at [0, 1]"));
  metadata_ = right;
  metadata_.items.pop_back();
  EXPECT_EQ(verdict(), refused("store DCP-ITEM-MISSING: 'n': no item of 'storage_data' holds it"));
  metadata_ = right;
  metadata_.items.push_back(right.items[0]);
  EXPECT_EQ(verdict(), refused("ambig DCP-DUPLICATE: 't': two items of 'storage_data' are at [0, 0]"));
  metadata_ = right;
  metadata_.items[0].transform = "zstd";
  EXPECT_EQ(verdict(), refused("unsup DCP-TRANSFORM: 't at [0, 0]': its bytes went through a transform ('zstd'), which "
                               "is not undone here"));
  metadata_ = right;
  metadata_.items[2].length = -1;
  EXPECT_EQ(verdict(), refused("type DCP-METADATA: item 'n' lies in a _StorageInfo with a relative_path, an offset and "
                               "a length, found torch.distributed.checkpoint.filesystem._StorageInfo"));
  metadata_ = right;
  add("extra", std::nullopt, value_file(PickleBuilder().proto(2).none().stop()));
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  ASSERT_EQ(checkpoint->findings().size(), 1u);
  EXPECT_EQ(
      said(checkpoint->findings()[0]),
      refused("store DCP-ITEM-UNUSED: 1 item of 'storage_data' belongs to nothing in 'state_dict_metadata', first "
              "'extra'"));
}

TEST_F(Dcp, FilesThatAreNotThere) {
  metadata_.items[2].file = "../n.distcp";
  EXPECT_EQ(verdict(), refused("store SHARD-PATH: the file name '../n.distcp' leads to another folder, expected the "
                               "plain name of a file beside this one"));
  metadata_.items[2].file = "__1_0.distcp";
  EXPECT_EQ(verdict(), refused("store SHARD-MISSING: file '__1_0.distcp' of the set is missing"));
  metadata_.items[2].file = kFile;
  const std::string size = std::to_string(data_.size());
  metadata_.items[2].length += 1;
  const std::string begin = std::to_string(metadata_.items[2].begin);
  EXPECT_EQ(verdict(), "__0_0.distcp: trunc DCP-WINDOW: item 'n' takes the bytes [" + begin + ", " +
                           std::to_string(data_.size() + 1) + "), and the file has " + size);
  metadata_.items[2].length = std::numeric_limits<std::int64_t>::max();
  EXPECT_TRUE(verdict().starts_with("__0_0.distcp: trunc DCP-WINDOW: ")) << verdict();
}

TEST_F(Dcp, ChunksOfAnotherKind) {
  replace(0, tensor_file({1, 2}, {1, 4}));
  const std::string shape =
      "__0_0.distcp: tensor DCP-CHUNK-SHAPE: chunk 't at [0, 0]' is of shape [1, 2], expected [2, 1]";
  EXPECT_EQ(read(), shape);
  // verify() finds it too, whose checksums all fit; and so does opening that wants all of them (found by fuzzing).
  const Result<VerifyReport> report = verify(folder_.path());
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->ok);
  ASSERT_FALSE(report->tensors.empty());
  EXPECT_EQ(report->tensors[0].state, TensorState::damaged);
  EXPECT_TRUE(std::any_of(report->findings.begin(), report->findings.end(), [&](const Finding& finding) {
    return said(finding) == shape && finding.tensors == std::vector<std::string>{"t"};
  }));
  EXPECT_EQ(verdict({.checksums = Checksums::all_at_open}), shape);
  replace(0, tensor_file({2, 1}, {1, 4}, "IntStorage"));
  EXPECT_EQ(read(), "__0_0.distcp: tensor DCP-CHUNK-DTYPE: chunk 't at [0, 0]' is of dtype int32, expected float32");
  replace(0, value_file(PickleBuilder().proto(2).integer(7).stop()));
  EXPECT_EQ(read(), "__0_0.distcp: type DCP-CHUNK-TYPE: chunk 't at [0, 0]' is a int, expected a tensor");
  replace(0, "no archive at all");
  EXPECT_TRUE(read().starts_with("__0_0.distcp: ")) << read();
  // A value is read when the checkpoint is opened.
  replace(2, "no archive at all");
  EXPECT_FALSE(open());
}

TEST_F(Dcp, MetadataThatIsNone) {
  metadata_.module = "other.checkpoint.metadata";
  EXPECT_EQ(verdict(), refused("type DCP-METADATA: the metadata of a distributed checkpoint is an object of class "
                               "Metadata, found other.checkpoint.metadata.Metadata"));
  write_file(folder_ / ".metadata",
             PickleBuilder().proto(2).global(kModule, "Metadata").empty_tuple().newobj().stop().str());
  EXPECT_EQ(said(Checkpoint::open(folder_.path())),
            refused("type DCP-METADATA: 'storage_data' is a dict, found nothing"));
  metadata_.module = kModule;
  write_file(folder_ / ".metadata", metadata_.pickle() + "x");
  EXPECT_EQ(said(Checkpoint::open(folder_.path())),
            refused("ambig PKL-TRAILING: 1 byte follows the pickle of the metadata"));
  const std::string pickle = metadata_.pickle();
  EXPECT_EQ(said(Checkpoint::open(Source::from_memory(std::as_bytes(std::span<const char>(pickle))))),
            "memory: argument SHARD-NO-FOLDER: the file names others beside it, first '__0_0.distcp', and was opened "
            "without a folder");
}

// Each part under a name of the same length that means nothing.
TEST_F(Dcp, PartsOfTheMetadataThatAreSomethingElse) {
  open().value();
  const auto renamed = [&](std::string_view from, std::string_view to, std::size_t after = 0) {
    std::string pickle = metadata_.pickle();
    const std::size_t at = pickle.find(from, after);
    EXPECT_NE(at, std::string::npos) << from;
    pickle.replace(at, to.size(), to);
    write_file(folder_ / ".metadata", pickle);
    return said(Checkpoint::open(folder_.path()));
  };
  const std::string module = std::string(kModule) + ".";
  EXPECT_EQ(renamed("state_dict_metadata", "state_dict_metadatZ"),
            refused("type DCP-METADATA: 'state_dict_metadata' is a dict, found nothing"));
  EXPECT_EQ(renamed("BytesStorageMetadata", "BytesStorageMetadatZ"),
            refused("type DCP-METADATA: 'n': it is a TensorStorageMetadata or a BytesStorageMetadata, found " + module +
                    "BytesStorageMetadatZ"));
  EXPECT_EQ(
      renamed("TensorProperties", "TensorPropertieZ"),
      refused("type DCP-METADATA: 't': its properties are a TensorProperties, found " + module + "TensorPropertieZ"));
  EXPECT_EQ(renamed("ChunkStorageMetadata", "ChunkStorageMetadatZ"),
            refused("type DCP-METADATA: 't': chunk 0 is a ChunkStorageMetadata with offsets and sizes, found " +
                    module + "ChunkStorageMetadatZ"));
  EXPECT_EQ(renamed("MetadataIndex", "MetadataIndeZ"),
            refused("type DCP-METADATA: a key of 'storage_data' is a MetadataIndex with a name, found " + module +
                    "MetadataIndeZ"));
  // Keys of attributes, which are then absent.
  EXPECT_EQ(renamed("\x04"
                    "\0\0\0size"sv,
                    "\x04"
                    "\0\0\0sizZ"sv),
            refused("type DCP-METADATA: 't': its size is a torch.Size, found nothing"));
  EXPECT_EQ(renamed("chunks", "chunkZ"), refused("type DCP-METADATA: 't': its chunks are a list, found nothing"));
  EXPECT_EQ(renamed("fqn", "fqZ"),
            refused("type DCP-METADATA: a key of 'storage_data' is a MetadataIndex with a name, found " + module +
                    "MetadataIndex"));
  EXPECT_EQ(renamed("torch\nSize", "torch\nSizZ", metadata_.pickle().find("storage_data")),
            refused("type DCP-METADATA: the offset of 't' is a torch.Size, found torch.SizZ"));
}

TEST_F(Dcp, ChunksAreComparedWithinTheLimit) {
  LoadOptions options;
  options.limits.visited_nodes = 0;
  EXPECT_EQ(verdict(options), refused("limit LIMIT-VISITED-NODES: 't': its chunks take more than 0 comparisons "
                                      "(visited_nodes)"));
}

TEST_F(Dcp, DamageIsFoundWhereItIs) {
  // The 4 of the first chunk.
  const std::size_t at = data_.find(std::string_view("\0\0\x80\x3f\0\0\x80\x40", 8));
  ASSERT_NE(at, std::string::npos);
  data_[at + 7] = '\x41';
  EXPECT_TRUE(read().starts_with("__0_0.distcp: crc CRC-MISMATCH: ")) << read();
  EXPECT_TRUE(verdict({.checksums = Checksums::all_at_open}).starts_with("__0_0.distcp: crc CRC-MISMATCH: "));
  const Result<VerifyReport> report = verify(folder_.path());
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->ok);
  ASSERT_EQ(report->findings.size(), 1u);
  EXPECT_EQ(report->findings[0].tensors, std::vector<std::string>{"t"});
  EXPECT_EQ(report->findings[0].offset, at);
  EXPECT_NE(report->findings[0].hint.find("in element 1 of t at [0, 0]"), std::string::npos);
  ASSERT_EQ(report->tensors.size(), 1u);
  EXPECT_EQ(report->tensors[0].name, "t");
  EXPECT_EQ(report->tensors[0].state, TensorState::damaged);
}

// Found by fuzzing sets: a tensor was called intact that could not be read, for want of a record beside its data.
TEST_F(Dcp, ATensorIsDamagedWhereItsArchiveCannotBeOpened) {
  const std::size_t at = data_.find("little");
  ASSERT_NE(at, std::string::npos);
  data_[at] = 'L';
  EXPECT_TRUE(read().starts_with("__0_0.distcp: crc CRC-MISMATCH: ")) << read();
  const Result<VerifyReport> report = verify(folder_.path());
  ASSERT_TRUE(report) << to_string(report.error());
  ASSERT_EQ(report->tensors.size(), 1u);
  EXPECT_EQ(report->tensors[0].state, TensorState::damaged);
}

TEST_F(Dcp, AllIsVerified) {
  PickleBuilder dict;
  dict.proto(2).empty_dict().text("x").tensor("FloatStorage", "0", Sizes{8}).setitem().stop();
  add("v", std::nullopt, value_file(dict, true));
  metadata_.entries.push_back({"v"});
  open().value();
  Result<VerifyReport> report = verify(folder_.path());
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_TRUE(report->ok);
  EXPECT_EQ(report->explained_bytes, report->format.size_bytes);
  ASSERT_EQ(report->tensors.size(), 2u);
  EXPECT_EQ(report->tensors[0].name, "t");
  EXPECT_EQ(report->tensors[1].name, "v.x");
  EXPECT_EQ(report->tensors[1].state, TensorState::intact);
  data_.insert(data_.size(), "tail");
  open().value();
  report = verify(folder_.path());
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->ok);
  ASSERT_FALSE(report->findings.empty());
  EXPECT_EQ(said(report->findings.back()), "__0_0.distcp: store DCP-GAP: 4 bytes belong to no item of the metadata");
  EXPECT_EQ(report->explained_bytes, report->format.size_bytes - 4);
}

// Found by fuzzing sets: such bytes counted twice, and more of the files was explained than there is.
TEST_F(Dcp, BytesThatTwoItemsClaimAreExplainedOnce) {
  const std::int64_t begin = metadata_.items.back().begin;
  add("m", std::nullopt, value_file(PickleBuilder().proto(2).integer(8).stop()));
  metadata_.entries.push_back({"m"});
  const auto claimed = static_cast<std::uint64_t>(metadata_.items.back().length);
  metadata_.items[2].length = static_cast<std::int64_t>(data_.size()) - begin;
  EXPECT_FALSE(open());  // the first of the two holds the second, end record and all
  const Result<VerifyReport> report = verify(folder_.path());
  ASSERT_TRUE(report) << to_string(report.error());
  const auto overlap = std::find_if(report->findings.begin(), report->findings.end(),
                                    [](const Finding& finding) { return finding.code == "DCP-OVERLAP"; });
  ASSERT_NE(overlap, report->findings.end());
  EXPECT_EQ(said(*overlap), "__0_0.distcp: store DCP-OVERLAP: " + std::to_string(claimed) +
                                " bytes belong to more than one item of the metadata");
  EXPECT_EQ(overlap->severity, Severity::warning);
  EXPECT_LE(report->explained_bytes, report->format.size_bytes);
}

TEST_F(Dcp, ScansLookIntoEveryItem) {
  open().value();
  Result<ScanReport> report = scan({folder_.path()});
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->ok);
  ASSERT_EQ(report->files.size(), 1u);
  EXPECT_EQ(report->files[0].kind, FileKind::dcp);
  // In a tensor's chunk, which opening leaves alone.
  replace(1, value_file(PickleBuilder().proto(2).global("os", "system").stop()));
  open().value();
  report = scan({folder_.path()});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->ok);
  ASSERT_EQ(report->files[0].findings.size(), 1u);
  EXPECT_EQ(report->files[0].findings[0].message, "global 'os.system' is not on the allow-list");
}

TEST_F(Dcp, HashesAreThoseOfTheWhole) {
  const Result<Checkpoint> parts = open();
  ASSERT_TRUE(parts);
  const std::string digest_of_parts = digest(*parts, DigestAlgorithm::xxh3_128)->content_digest;
  metadata_.entries[0].chunks = {{{0, 0}, {2, 3}}};
  metadata_.items.erase(metadata_.items.begin() + 1);
  replace(0, tensor_file({2, 3}, {1, 2, 3, 4, 5, 6}));
  const Result<Checkpoint> whole = open();
  ASSERT_TRUE(whole) << to_string(whole.error());
  EXPECT_EQ(digest(*whole, DigestAlgorithm::xxh3_128)->content_digest, digest_of_parts);
}

}  // namespace
}  // namespace rushlight::test
