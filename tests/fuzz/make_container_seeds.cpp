// Writes corpus/legacy, corpus/tar and corpus/sets: small files that need pickles or archives inside.
//   make_container_seeds CORPUS
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/packed_files.hpp"
#include "support/legacy_builder.hpp"
#include "support/pickle_builder.hpp"
#include "support/zip_builder.hpp"

namespace {

using namespace rushlight::test;
using rushlight::ByteSpan;
using Integers = std::vector<std::int64_t>;

const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};

std::string text_of(ByteSpan bytes) {
  return std::string(rushlight::as_text(bytes));
}

// --- the stream
// -------------------------------------------------------------------------------------------------------

LegacyFile legacy(int protocol = 2) {
  LegacyFile file(protocol);
  file.object.empty_dict().text("weight");
  legacy_tensor(file.object, {.key = "94", .numel = 6}, {2, 3});
  file.object.setitem().text("bias");
  legacy_tensor(file.object, {.key = "94", .numel = 6, .view = {{"95", 2, 3}}}, {3});
  file.object.setitem().text("count");
  legacy_tensor(file.object, {.storage_class = "LongStorage", .key = "96", .numel = 2, .location = "cuda:0"}, {2});
  file.object.setitem().stop();
  file.add("94", bytes_of(kSix), 4);
  return file.add("96", bytes_of(Integers{-7, 1 << 20}), 8);
}

// A persistent id of kind `module`, as whole modules have them.
LegacyFile legacy_module() {
  LegacyFile file;
  PickleBuilder& p = file.object;
  p.mark().text("module").global("my.models", "Net").text("models.py").text("class Net: pass").tuple().binpersid();
  p.empty_tuple().newobj().empty_dict().text("_parameters").empty_dict().text("w");
  legacy_tensor(p, {.key = "1", .numel = 6}, {6});
  p.setitem().setitem().text("training").boolean(false).setitem().build().stop();
  return file.add("1", bytes_of(kSix), 4);
}

// Storages that are whole files inside a bare pickle.
PickleBuilder bare_pickle() {
  LegacyFile inner;
  legacy_storage(inner.object, {.key = "7", .numel = 6}).stop();
  const Bytes bytes = inner.add("7", bytes_of(kSix), 4).build();
  PickleBuilder p;
  p.proto(2).empty_dict().text("w").global("torch._utils", "_rebuild_tensor_v2").mark();
  p.global("torch.storage", "_load_from_bytes").bytes_value(text_of(bytes)).tuple1().reduce();
  return rest_of_tensor(p, {2, 3}).tuple().reduce().setitem().stop();
}

// --- the tar archive
// --------------------------------------------------------------------------------------------------

template <class T>
void append_number(std::string& to, T value) {
  to += text_of(std::as_bytes(std::span(&value, 1)));
}

std::string count(std::int64_t value) {
  return PickleBuilder().proto(2).integer(value).stop().str();
}

std::string tar_storages() {
  std::string member = count(1);
  PickleBuilder entry;
  member += entry.proto(2).mark().integer(1).text("cpu").global("torch", "FloatStorage").tuple().stop().str();
  append_number(member, std::uint64_t{kSix.size()});
  member += text_of(bytes_of(kSix));
  PickleBuilder views;
  views.proto(2).empty_list().mark().integer(2).integer(1).integer(2).integer(3).tuple().append().stop();
  return member + views.str();
}

void add_tar_tensor(std::string& member, std::int64_t key, std::int64_t storage, const Integers& geometry) {
  PickleBuilder entry;
  entry.proto(2).mark().integer(key).integer(storage).global("torch", "FloatTensor").tuple().stop();
  member += entry.str();
  append_number(member, static_cast<std::int32_t>(geometry.size() / 2));
  append_number(member, std::int32_t{0});
  for (const std::int64_t value : geometry) append_number(member, value);
}

TarFile tar_file() {
  std::string tensors = count(2);
  add_tar_tensor(tensors, 10, 1, {2, 3, 3, 1, 0});
  add_tar_tensor(tensors, 11, 2, {3, 1, 0});
  PickleBuilder root;
  root.proto(2).empty_dict().text("a").text("10").binpersid().setitem().text("b").text("11").binpersid().setitem();
  root.text("s").text("1").binpersid().setitem().stop();
  TarFile tar;
  tar.add("sys_info", to_bytes("x")).add("pickle", root.copy());
  return tar.add("tensors", to_bytes(tensors)).add("storages", to_bytes(tar_storages()));
}

// --- sets
// -------------------------------------------------------------------------------------------------------------

std::string shard(const std::vector<std::string>& names) {
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().mark();
  for (const std::string& name : names) pickle.text(name).tensor("FloatStorage", "0", Integers{6});
  pickle.setitems().stop();
  TorchZip zip("a");
  zip.alignment = 1;
  zip.add("data.pkl", pickle.bytes()).add("data/0", bytes_of(kSix)).add("byteorder", "little").add("version", "3\n");
  return text_of(zip.build());
}

std::string safetensors() {
  const std::string header = R"({"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";
  std::string file;
  append_number(file, std::uint64_t{header.size()});
  return file + header + text_of(bytes_of(kSix));
}

constexpr std::string_view kDcp = "torch.distributed.checkpoint.metadata";

PickleBuilder& size(PickleBuilder& p, const Integers& sizes) {
  return p.global("torch", "Size").integers(sizes).tuple1().reduce();
}
PickleBuilder& object(PickleBuilder& p, std::string_view name) {
  return p.global(kDcp, name).empty_tuple().newobj();
}

struct DcpItem {
  std::string name;
  Integers offset;  // of the chunk; empty for another value
  Integers sizes;
  std::string bytes;
};

// Tensor `t` of 2 x 3 in two columns, and the value `n`.
std::vector<PackedFile> dcp() {
  const auto item_of = [](const PickleBuilder& pickle, const std::vector<float>& values) {
    TorchZip zip("archive");
    zip.alignment = 1;
    zip.add("data.pkl", pickle.bytes());
    if (!values.empty()) zip.add("data/0", bytes_of(values));
    return text_of(zip.add("byteorder", "little").add("version", "3\n").build());
  };
  const auto tensor = [](const Integers& shape) {
    PickleBuilder pickle;
    pickle.proto(2).tensor("FloatStorage", "0", shape).stop();
    return pickle;
  };
  const std::vector<DcpItem> items = {
      {"t", {0, 0}, {2, 1}, item_of(tensor({2, 1}), {1, 4})},
      {"t", {0, 1}, {2, 2}, item_of(tensor({2, 2}), {2, 3, 5, 6})},
      {"n", {}, {}, item_of(PickleBuilder().proto(2).integer(7).stop(), {})},
  };
  PickleBuilder p;
  object(p.proto(2), "Metadata").empty_dict().mark().text("state_dict_metadata").empty_dict().mark().text("t");
  object(p, "TensorStorageMetadata").empty_dict().mark().text("properties");
  object(p, "TensorProperties").mark().global("torch", "float32").global("torch.serialization", "_get_layout");
  p.text("torch.strided").tuple1().reduce().boolean(false).global(kDcp, "_MEM_FORMAT_ENCODING").integer(0).tuple1();
  p.reduce().boolean(false).tuple().build().text("size");
  size(p, {2, 3}).text("chunks").empty_list().mark();
  for (const DcpItem& item : items) {
    if (item.offset.empty()) continue;
    size(object(p, "ChunkStorageMetadata").empty_dict().mark().text("offsets"), item.offset).text("sizes");
    size(p, item.sizes).setitems().build();
  }
  p.appends().setitems().build().text("n");
  object(p, "BytesStorageMetadata").empty_dict().build().setitems();
  p.text("planner_data").empty_dict().mark();
  p.text("t").mark().text("model").text("t").tuple().text("n").mark().text("step").tuple().setitems();
  p.text("storage_data").empty_dict().mark();
  std::string file;
  for (const DcpItem& item : items) {
    object(p, "MetadataIndex").empty_dict().mark().text("fqn").text(item.name).text("index").none();
    if (!item.offset.empty()) size(p.text("offset"), item.offset);
    p.setitems().build().global("torch.distributed.checkpoint.filesystem", "_StorageInfo").empty_tuple().newobj();
    p.empty_dict().mark().text("relative_path").text("__0_0.distcp").text("offset");
    p.integer(static_cast<std::int64_t>(file.size())).text("length");
    p.integer(static_cast<std::int64_t>(item.bytes.size())).setitems().build();
    file += item.bytes;
  }
  p.setitems().text("version").text("1.0.0").setitems().build().stop();
  return {{".metadata", p.str()}, {"__0_0.distcp", file}};
}

bool write(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return file.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_container_seeds CORPUS\n");
    return 2;
  }
  const std::filesystem::path corpus = argv[1];
  bool ok = true;
  const auto add = [&](std::string_view name, std::string_view bytes) { ok = write(corpus / name, bytes) && ok; };
  const auto add_set = [&](std::string_view name, const std::vector<PackedFile>& files) {
    add(name, pack_files(files));
  };

  for (const int protocol : {0, 1, 2, 4}) {
    add("legacy/protocol" + std::to_string(protocol) + ".pt", text_of(legacy(protocol).build()));
  }
  add("legacy/module.pt", text_of(legacy_module().build()));
  add("legacy/bare_pickle.pkl", bare_pickle().str());
  LegacyFile trailing = legacy();
  trailing.trailing = to_bytes("more");
  add("legacy/trailing.pt", text_of(trailing.build()));
  LegacyFile names = legacy();
  names.system = PickleBuilder();
  names.system.proto(2).global("my.module", "f").stop();
  add("legacy/names_around.pt", text_of(names.build()));
  std::string cut = text_of(legacy().build());
  cut.resize(cut.size() - 5);
  add("legacy/cut.pt", cut);

  add("tar/base.tar", text_of(tar_file().build()));
  TarFile extended;
  extended.add_extended("path", "pickle");
  extended.add({.name = "longname", .data = tar_file().member("pickle").data});
  for (const char* name : {"tensors", "storages"}) extended.add(name, tar_file().member(name).data);
  extended.add({.name = "sys_info", .type = '5'});
  add("tar/extended.tar", text_of(extended.build()));
  TarFile dotted;
  for (const char* name : {"pickle", "tensors", "storages"}) {
    dotted.add(std::string("./") + name, tar_file().member(name).data);
  }
  dotted.add({.name = "link", .type = '1', .link_name = "pickle"});
  add("tar/dotted.tar", text_of(dotted.build()));

  constexpr std::string_view kIndex =
      R"({"metadata":{"total_size":72},"weight_map":{"x":"b.bin","w":"a.bin","v":"a.bin"}})";
  add_set("sets/sharded.bin",
          {{"i.index.json", std::string(kIndex)}, {"a.bin", shard({"v", "w"})}, {"b.bin", shard({"x"})}});
  add_set("sets/safetensors.bin",
          {{"i.index.json", R"({"weight_map":{"x":"a.safetensors"}})"}, {"a.safetensors", safetensors()}});
  add_set("sets/unlisted.bin",
          {{"i.index.json", R"({"metadata":{"total_size":7},"weight_map":{"x":"b"}})"}, {"b", shard({"x", "y"})}});
  add_set("sets/elsewhere.bin",
          {{"i.index.json", R"({"weight_map":{"x":"a","y":"b"}})"}, {"a", shard({"y"})}, {"b", shard({"x", "y"})}});
  add_set("sets/missing.bin", {{"i.index.json", R"({"weight_map":{"x":"a"}})"}, {"c", "c"}});
  add_set("sets/path.bin", {{"i.index.json", R"({"weight_map":{"x":"../a"}})"}, {"a", shard({"x"})}});
  add_set("sets/of_itself.bin",
          {{"i.index.json", R"({"weight_map":{"x":"i"}})"}, {"i", R"({"weight_map":{"x":"i"}})"}});
  add_set("sets/dcp.bin", dcp());
  std::vector<PackedFile> damaged = dcp();
  damaged[1].second[damaged[1].second.find("\x00\x00\x80\x3f") + 3] ^= 1;
  add_set("sets/dcp_damaged.bin", damaged);
  std::vector<PackedFile> without = dcp();
  without.back() = {"other", "x"};
  add_set("sets/dcp_missing.bin", without);
  return ok ? 0 : 1;
}
