// Checkpoints cut into files: the index, its shards, and everything that can be wrong between them.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
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

std::string text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A shard with tensors of these names; all view storage "0", eight floats.
std::string shard_of(const std::vector<std::string>& names) {
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().mark();
  const std::vector<std::int64_t> shape = {8};
  for (const std::string& name : names) pickle.text(name).tensor("FloatStorage", "0", shape);
  pickle.setitems().stop();
  TorchZip zip("base");
  zip.add("data.pkl", pickle.bytes());
  zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  zip.add("byteorder", "little").add("version", "3\n");
  return text_of(zip.build());
}

class Sharded : public testing::Test {
 protected:
  // w and v share a storage in the first shard; x is in the second.
  void SetUp() override {
    index(R"({"metadata": {"total_size": 64}, "weight_map": {"x": "b.bin", "w": "a.bin", "v": "a.bin"}})");
    put("a.bin", shard_of({"v", "w"}));
    put("b.bin", shard_of({"x"}));
  }
  void put(std::string_view name, std::string_view bytes) { write_file(folder_ / name, bytes); }
  void index(std::string_view json) { put("pytorch_model.bin.index.json", json); }
  [[nodiscard]] fs::path index_path() const { return folder_ / "pytorch_model.bin.index.json"; }
  [[nodiscard]] Result<Checkpoint> open(const LoadOptions& options = {}) const {
    return Checkpoint::open(index_path(), options);
  }
  [[nodiscard]] std::string verdict() const { return said(open()); }
  [[nodiscard]] std::string warnings() const {
    const Result<Checkpoint> checkpoint = open();
    if (!checkpoint) return said(checkpoint);
    std::string all;
    for (const Finding& finding : checkpoint->findings()) all += said(finding) + "\n";
    return all;
  }

  TemporaryFolder folder_;
};

// Found by fuzzing: what is no tensor had the verdict of a damaged one.
TEST_F(Sharded, VerdictsAreOfTensors) {
  PickleBuilder pickle;
  const std::vector<std::int64_t> shape = {8};
  pickle.proto(2).empty_dict().text("w").global("my", "Wrapper").empty_tuple().newobj().empty_dict();
  pickle.text("inner").tensor("FloatStorage", "0", shape).setitem().build().setitem();
  pickle.text("v").tensor("FloatStorage", "0", shape).setitem().text("n").integer(1).setitem().stop();
  TorchZip zip("base");
  zip.add("data.pkl", pickle.bytes());
  zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  put("a.bin", text_of(zip.add("byteorder", "little").add("version", "3\n").build()));
  index(R"({"weight_map": {"x": "b.bin", "w": "a.bin", "v": "a.bin", "n": "a.bin"}})");
  const Result<VerifyReport> report = verify(index_path());
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_TRUE(report->ok);
  std::vector<std::string> names;
  for (const TensorVerdict& verdict : report->tensors) {
    names.push_back(verdict.name);
    EXPECT_EQ(verdict.state, TensorState::intact) << verdict.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"x", "w.inner", "v"}));
  std::vector<std::string> listed;
  for (const TensorEntry& entry : inspect(*open()).value().tensors) listed.push_back(entry.name);
  EXPECT_EQ(listed, names);
}

TEST_F(Sharded, IsOneDictInTheOrderOfTheIndex) {
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::sharded);
  EXPECT_EQ(to_string(checkpoint->format().kind), "sharded");
  EXPECT_EQ(checkpoint->file(), index_path().string());
  EXPECT_EQ(checkpoint->format().size_bytes,
            fs::file_size(index_path()) + fs::file_size(folder_ / "a.bin") + fs::file_size(folder_ / "b.bin"));
  EXPECT_EQ(warnings(), "");
  const Value& root = checkpoint->root();
  EXPECT_EQ(root.class_name(), "collections.OrderedDict");
  ASSERT_EQ(root.entry_count(), 3u);
  EXPECT_EQ(root.entry(0).first.as_string(), "x");
  EXPECT_EQ(root.entry(1).first.as_string(), "w");
  EXPECT_EQ(root.entry(2).first.as_string(), "v");
  EXPECT_TRUE(root["w"].as_tensor()->shares_storage_with(*root["v"].as_tensor()));
  EXPECT_FALSE(root["w"].as_tensor()->shares_storage_with(*root["x"].as_tensor()));
  EXPECT_EQ(root["x"].as_tensor()->values<float>().value()[7], 7);
  const Result<StateDict> state = checkpoint->state_dict();
  ASSERT_TRUE(state);
  EXPECT_EQ(state->size(), 3u);
}

TEST_F(Sharded, NamesOfShardsStayInTheFolder) {
  const auto with_file_name = [&](const std::string& name) {
    index(R"({"weight_map": {"x": ")" + name + "\"}}");
    return verdict();
  };
  const std::string head = "pytorch_model.bin.index.json: store SHARD-PATH: the file name ";
  const std::string tail = ", expected the plain name of a file beside this one";
  EXPECT_EQ(with_file_name("../a.bin"), head + "'../a.bin' leads to another folder" + tail);
  EXPECT_EQ(with_file_name("/etc/passwd"), head + "'/etc/passwd' leads to another folder" + tail);
  EXPECT_EQ(with_file_name("below/a.bin"), head + "'below/a.bin' leads to another folder" + tail);
  EXPECT_EQ(with_file_name("below\\\\a.bin"), head + R"('below\\a.bin' leads to another folder)" + tail);
  EXPECT_EQ(with_file_name(".."), head + "'..' is a folder" + tail);
  EXPECT_EQ(with_file_name("."), head + "'.' is a folder" + tail);
  EXPECT_EQ(with_file_name(""), head + "'' is empty" + tail);
  EXPECT_EQ(with_file_name("a\\u0000b"), head + R"('a\x00b' holds a NUL character)" + tail);
  EXPECT_TRUE(with_file_name(std::string(256, 'a')).ends_with(" is longer than 255 bytes" + tail));
  // Dots alone lead nowhere.
  put("a..bin", shard_of({"x"}));
  EXPECT_EQ(with_file_name("a..bin"), "ok");
}

TEST_F(Sharded, IndexesThatAreNone) {
  const std::string head = "pytorch_model.bin.index.json: ";
  const auto with_index = [&](std::string_view json) {
    index(json);
    return verdict();
  };
  EXPECT_EQ(with_index(R"({"weight_map": {"x": "b.bin"})"), head + "store SHARD-INDEX: the index is no valid JSON");
  EXPECT_EQ(with_index(R"([{"weight_map": {"x": "b.bin"}}])"), head + "store SHARD-INDEX: the index is no JSON object");
  EXPECT_EQ(with_index(R"({"a": {"weight_map": 1}})"), head + "store SHARD-INDEX: the index has no key 'weight_map'");
  EXPECT_EQ(with_index(R"({"weight_map": []})"),
            head + "store SHARD-INDEX: the index has a 'weight_map' that is no object");
  EXPECT_EQ(with_index(R"({"weight_map": {"x": 1}})"), head + "store SHARD-INDEX: the index maps 'x' to no string");
  EXPECT_EQ(with_index(R"({"metadata": {"total_size": "1"}, "weight_map": {}})"),
            head + "store SHARD-INDEX: the index has a total_size that is no number of bytes");
  EXPECT_EQ(with_index(R"({"weight_map": {"x": "b.bin", "x": "b.bin"}})"),
            head + "ambig SHARD-INDEX-DUPLICATE: key 'x' stands twice in 'weight_map'");
  EXPECT_EQ(with_index(R"({"weight_map": {}, "weight_map": {"x": "b.bin"}})"),
            head + "ambig SHARD-INDEX-DUPLICATE: key 'weight_map' stands twice in the index");
  EXPECT_EQ(with_index(R"({"metadata": {"a": 1, "a": 2}, "weight_map": {"x": "b.bin"}})"),
            head + "ambig SHARD-INDEX-DUPLICATE: key 'a' stands twice in 'metadata'");
  const std::string deep = R"({"weight_map": {}, "metadata": )";
  EXPECT_EQ(with_index(deep + std::string(70, '[') + std::string(70, ']') + "}"),
            head + "store SHARD-INDEX: the index nests more than 64 levels deep");
  index(R"({"weight_map": {"x": "b.bin"}})");
  LoadOptions small;
  small.limits.json_bytes = 20;
  EXPECT_EQ(said(open(small)),
            head + "limit LIMIT-JSON-BYTES: the index takes 30 bytes, expected at most 20 (json_bytes)");
  small.limits.json_bytes = 30;
  small.limits.tensors = 0;
  EXPECT_EQ(said(open(small)), head + "limit LIMIT-TENSORS: there are more than 0 tensors (tensors)");
}

TEST_F(Sharded, NamesThatAreNotWhereTheIndexSays) {
  put("b.bin", shard_of({"other"}));
  EXPECT_EQ(verdict(), "pytorch_model.bin.index.json: store SHARD-TENSOR-MISSING: 'x' is not in its shard 'b.bin'");
  put("a.bin", shard_of({"v", "w", "x"}));
  EXPECT_EQ(
      verdict(),
      "pytorch_model.bin.index.json: store SHARD-TENSOR-MISSING: 'x' is not in its shard 'b.bin', but in 'a.bin'");
  put("b.bin", shard_of({"x"}));
  EXPECT_EQ(verdict(),
            "pytorch_model.bin.index.json: ambig SHARD-DUPLICATE: 'x' is in shard 'b.bin' and in shard 'a.bin'");
}

TEST_F(Sharded, OdditiesAreWarnings) {
  put("b.bin", shard_of({"x", "y", "z"}));
  EXPECT_EQ(warnings(),
            "b.bin: store SHARD-UNLISTED: shard 'b.bin' holds 2 names that the index does not list, first 'y'\n");
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->findings()[0].tensors, (std::vector<std::string>{"y", "z"}));
  EXPECT_EQ(said(open({.strict = true})),
            "b.bin: store SHARD-UNLISTED: shard 'b.bin' holds 2 names that the index does not list, first 'y'");
  put("b.bin", shard_of({"x"}));
  const auto with_total = [&](const std::string& total) {
    index(R"({"metadata": {"total_size": )" + total +
          R"(}, "weight_map": {"x": "b.bin", "w": "a.bin", "v": "a.bin"}})");
    return warnings();
  };
  EXPECT_EQ(with_total("64"), "");  // storages that names share count once
  EXPECT_EQ(with_total("96"), "");  // or for each name
  EXPECT_EQ(with_total("96.0"), "");
  EXPECT_EQ(with_total("97"),
            "pytorch_model.bin.index.json: store SHARD-TOTAL-SIZE: total_size is 97, and the tensors take 96 bytes\n");
}

TEST_F(Sharded, ShardsThatAreMissingOrDamaged) {
  fs::remove(folder_ / "b.bin");
  EXPECT_EQ(verdict(), "pytorch_model.bin.index.json: store SHARD-MISSING: file 'b.bin' of the set is missing");
  EXPECT_EQ(open().error().finding.tensors, std::vector<std::string>{"x"});
  put("b.bin", shard_of({"x"}).substr(0, 300));
  EXPECT_TRUE(verdict().starts_with("b.bin: trunc ZIP-TRUNCATED: ")) << verdict();
  put("b.bin", "");
  EXPECT_EQ(verdict(), "b.bin: kind KIND-FOREIGN: the file is empty");
  put("b.bin", text_of(zip_with(PickleBuilder().proto(2).integer(1).stop()).build()));
  EXPECT_EQ(verdict(), "b.bin: store SHARD-ROOT: shard 'b.bin' holds no dict of tensors, found int");
  index(R"({"weight_map": {"x": "pytorch_model.bin.index.json"}})");
  EXPECT_EQ(verdict(),
            "pytorch_model.bin.index.json: store SHARD-KIND: shard 'pytorch_model.bin.index.json' is itself the list "
            "of a set of files");
}

TEST_F(Sharded, SourcesOfTheCaller) {
  const std::string json = read_file(index_path());
  const auto from_memory = [](const std::string& text, const std::string& name) {
    return Source::from_memory(std::as_bytes(std::span<const char>(text)), name);
  };
  const Result<Checkpoint> alone = Checkpoint::open(from_memory(json, "memory"));
  EXPECT_EQ(said(alone),
            "memory: argument SHARD-NO-FOLDER: the file names others beside it, first 'b.bin', and was "
            "opened without a folder");
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(alone.error().finding.hint, "open it by its path, or give LoadOptions::open_beside");

  const std::map<std::string, std::string, std::less<>> files = {{"a.bin", read_file(folder_ / "a.bin")},
                                                                 {"b.bin", read_file(folder_ / "b.bin")}};
  std::vector<std::string> asked;
  LoadOptions options;
  options.open_beside = [&](std::string_view name) -> Result<std::shared_ptr<const Source>> {
    asked.emplace_back(name);
    return from_memory(files.find(name)->second, std::string(name));
  };
  const Result<Checkpoint> served = Checkpoint::open(from_memory(json, "memory"), options);
  ASSERT_TRUE(served) << to_string(served.error());
  EXPECT_EQ(asked, (std::vector<std::string>{"b.bin", "a.bin"}));
  EXPECT_EQ(served->root().entry_count(), 3u);
  options.open_beside = [](std::string_view) { return Result<std::shared_ptr<const Source>>(nullptr); };
  EXPECT_EQ(said(Checkpoint::open(from_memory(json, "memory"), options)),
            "memory: store SHARD-MISSING: file 'b.bin' of the set is missing");
  options.open_beside = [](std::string_view) -> Result<std::shared_ptr<const Source>> {
    return Error::of({.category = Category::io, .code = "NET", .message = "the line is dead"});
  };
  EXPECT_EQ(said(Checkpoint::open(from_memory(json, "memory"), options)), "b.bin: io NET: the line is dead");
}

TEST_F(Sharded, FoldersStandForWhatIsInThem) {
  const auto opened = [&] {
    const Result<Checkpoint> checkpoint = Checkpoint::open(folder_.path());
    return checkpoint ? fs::path(checkpoint->file()).filename().string() : said(checkpoint);
  };
  const std::string folder = folder_.path().filename().string();
  EXPECT_EQ(opened(), "pytorch_model.bin.index.json");
  put("model.safetensors.index.json", "{}");
  EXPECT_EQ(opened(), folder +
                          ": ambig FOLDER-CHOICE: the folder holds 2 checkpoints, expected one: "
                          "'model.safetensors.index.json', 'pytorch_model.bin.index.json'");
  fs::remove(folder_ / "model.safetensors.index.json");
  fs::remove(index_path());
  EXPECT_EQ(opened(), folder + ": ambig FOLDER-CHOICE: the folder holds 2 checkpoints, expected one: 'a.bin', 'b.bin'");
  fs::remove(folder_ / "a.bin");
  put("config.json", "{}");
  EXPECT_EQ(opened(), "b.bin");
  fs::remove(folder_ / "b.bin");
  const Result<Checkpoint> none = Checkpoint::open(folder_.path());
  EXPECT_EQ(said(none), folder + ": io IO-NOT-A-FILE: expected a regular file, found a directory");
  EXPECT_FALSE(none.error().finding.hint.empty());
}

TEST_F(Sharded, AllIsVerified) {
  const Result<VerifyReport> whole = verify(folder_.path());
  ASSERT_TRUE(whole) << to_string(whole.error());
  EXPECT_TRUE(whole->ok);
  EXPECT_EQ(whole->explained_bytes, whole->format.size_bytes);
  ASSERT_EQ(whole->tensors.size(), 3u);
  EXPECT_EQ(whole->tensors[0].name, "x");
  EXPECT_EQ(whole->records[0].name, "b.bin:data.pkl");

  std::string bytes = shard_of({"v", "w"});
  const std::size_t one = bytes.find(std::string_view("\0\0\x80\x3f\0\0\0\x40", 8));  // the floats 1 and 2
  ASSERT_NE(one, std::string::npos);
  bytes[one + 2] = '\0';
  put("a.bin", bytes);
  const Result<VerifyReport> damaged = verify(index_path());
  ASSERT_TRUE(damaged);
  EXPECT_FALSE(damaged->ok);
  ASSERT_EQ(damaged->findings.size(), 1u);
  EXPECT_TRUE(said(damaged->findings[0]).starts_with("a.bin: crc CRC-MISMATCH: crc-32 mismatch, stored "));
  EXPECT_EQ(damaged->findings[0].tensors, (std::vector<std::string>{"v", "w"}));
  EXPECT_EQ(damaged->tensors[0].state, TensorState::intact);
  EXPECT_EQ(damaged->tensors[1].state, TensorState::damaged);
  EXPECT_EQ(damaged->tensors[2].state, TensorState::damaged);

  // What is there is checked all the same.
  fs::remove(folder_ / "b.bin");
  const Result<VerifyReport> half = verify(index_path());
  ASSERT_TRUE(half);
  ASSERT_EQ(half->findings.size(), 2u);
  EXPECT_EQ(said(half->findings[0]),
            "pytorch_model.bin.index.json: store SHARD-MISSING: file 'b.bin' of the set is missing");
  EXPECT_EQ(half->findings[1].code, "CRC-MISMATCH");
  EXPECT_EQ(half->tensors[0].state, TensorState::damaged);
}

TEST_F(Sharded, HashesAndScansAreThoseOfAllShards) {
  const Result<Checkpoint> checkpoint = open();
  ASSERT_TRUE(checkpoint);
  const Result<DigestReport> sharded = digest(*checkpoint, DigestAlgorithm::xxh3_128);
  ASSERT_TRUE(sharded);
  put("one.pt", shard_of({"v", "w", "x"}));
  const Result<Checkpoint> one = Checkpoint::open(folder_ / "one.pt");
  ASSERT_TRUE(one);
  EXPECT_EQ(sharded->content_digest, digest(*one, DigestAlgorithm::xxh3_128)->content_digest);

  put("b.bin", text_of(zip_with(PickleBuilder().proto(2).global("os", "system").stop()).build()));
  const Result<ScanReport> report = scan({index_path()});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->ok);
  ASSERT_EQ(report->files.size(), 1u);
  EXPECT_EQ(report->files[0].kind, FileKind::sharded);
  bool named = false;
  for (const GlobalUse& use : report->files[0].globals) {
    named = named || (use.name == "os.system" && !use.allowed && use.record == "b.bin:data.pkl");
  }
  EXPECT_TRUE(named);
}

}  // namespace
}  // namespace rushlight::test
