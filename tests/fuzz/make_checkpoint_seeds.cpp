// Writes corpus/checkpoint: one small archive for each road through the reader.
//   make_checkpoint_seeds FOLDER
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "support/pickle_builder.hpp"
#include "support/zip_builder.hpp"

namespace {

using rushlight::test::Bytes;
using rushlight::test::PickleBuilder;
using rushlight::test::TorchZip;
using Integers = std::vector<std::int64_t>;

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}

TorchZip zip_with(const PickleBuilder& pickle) {
  TorchZip zip("base");
  zip.add("data.pkl", pickle.bytes());
  zip.add("data/0", rushlight::test::bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  zip.add("data/1", rushlight::test::bytes_of(std::vector<std::int64_t>{0, 1, 2, 3}));
  zip.add("byteorder", "little").add("version", "3\n");
  return zip;
}

PickleBuilder& view(PickleBuilder& pickle, const Integers& shape, const Integers& strides, std::int64_t offset) {
  pickle.global("torch._utils", "_rebuild_tensor_v2").mark().storage("FloatStorage", "0", 8).integer(offset);
  pickle.integers(shape).integers(strides).boolean(false);
  return pickle.global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce();
}

PickleBuilder views() {
  PickleBuilder pickle = start();
  pickle.empty_dict();
  view(pickle.text("transposed"), {4, 2}, {1, 4}, 0).setitem();
  view(pickle.text("expanded"), {100, 2}, {0, 1}, 6).setitem();
  view(pickle.text("overlapping"), {3, 4}, {2, 1}, 0).setitem();
  view(pickle.text("empty"), {0, 7}, {7, 1}, 8).setitem();
  view(pickle.text("scalar"), {}, {}, 7).setitem();
  pickle.stop();
  return pickle;
}

PickleBuilder dtypes() {
  PickleBuilder pickle = start();
  pickle.empty_dict();
  const std::initializer_list<std::pair<const char*, std::int64_t>> classes = {
      {"DoubleStorage", 4}, {"HalfStorage", 16},     {"BFloat16Storage", 16},
      {"ByteStorage", 32},  {"BoolStorage", 32},     {"ComplexFloatStorage", 4},
      {"QInt8Storage", 32}, {"QUInt4x2Storage", 32}, {"ComplexDoubleStorage", 2}};
  for (const auto& [name, count] : classes) {
    pickle.text(name).tensor(name, "0", Integers{count}).setitem();
  }
  pickle.text("untyped").global("torch._utils", "_rebuild_tensor_v3").mark();
  pickle.mark().text("storage").global("torch.storage", "UntypedStorage").text("1").text("cuda:0").integer(32);
  pickle.tuple().binpersid().integer(0).integers(Integers{32}).integers(Integers{1}).boolean(true);
  pickle.global("collections", "OrderedDict").empty_tuple().reduce().global("torch", "float8_e4m3fn");
  pickle.tuple().reduce().setitem().stop();
  return pickle;
}

PickleBuilder parameters() {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("parameter").global("torch._utils", "_rebuild_parameter").mark();
  pickle.tensor("FloatStorage", "0", Integers{2, 4}).boolean(true);
  pickle.global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce().setitem();
  pickle.text("meta").global("torch._utils", "_rebuild_meta_tensor_no_storage").mark();
  pickle.global("torch", "float32").integers(Integers{1000, 1000}).integers(Integers{1000, 1}).boolean(false);
  pickle.tuple().reduce().setitem();
  pickle.text("storage").storage("FloatStorage", "0", 8).setitem();
  pickle.text("dtype").global("torch", "float16").setitem();
  pickle.text("device").global("torch", "device").text("cuda").integer(1).tuple2().reduce().setitem();
  pickle.text("size").global("torch", "Size").integers(Integers{2, 4}).tuple1().reduce().setitem();
  pickle.stop();
  return pickle;
}

void write_module(PickleBuilder& pickle, int depth) {
  pickle.global("my", "Net").empty_tuple().newobj().empty_dict();
  pickle.text("training").boolean(false).setitem();
  pickle.text("_parameters").empty_dict();
  pickle.text("weight").tensor("FloatStorage", "0", Integers{2, 4}).setitem().setitem();
  pickle.text("_buffers").empty_dict();
  pickle.text("count").tensor("LongStorage", "1", Integers{4}).setitem().setitem();
  pickle.text("_non_persistent_buffers_set").global("__builtin__", "set").empty_list().text("count").append();
  pickle.tuple1().reduce().setitem();
  pickle.text("_modules").empty_dict();
  if (depth > 0) {
    pickle.text("fc");
    write_module(pickle, depth - 1);
    pickle.setitem();
  }
  pickle.setitem().build();
}

PickleBuilder values() {
  PickleBuilder pickle = start();
  pickle.empty_dict();
  pickle.text("keys").empty_dict();
  pickle.integer(1).text("one").setitem().real(1.5).none().setitem().none().boolean(true).setitem();
  pickle.integer(1).text("a").tuple2().text("pair").setitem().setitem();
  pickle.text("big").long1("\xff\xff\xff\xff\xff\xff\xff\xff\x7f").setitem();
  pickle.text("large").real(0x1p70).setitem();
  pickle.text("set").global("__builtin__", "set").mark().integer(1).text("x").list().tuple1().reduce().setitem();
  pickle.text("frozen").global("__builtin__", "frozenset").mark().integer(1).list().tuple1().reduce().setitem();
  pickle.text("complex").global("__builtin__", "complex").real(1).real(-2).tuple2().reduce().setitem();
  pickle.text("bytes").global("_codecs", "encode").text("\xc3\xbf").text("latin1").tuple2().reduce().setitem();
  pickle.text("\x1b[31m\xe2\x80\xae").text("\xed\xa0\x80").setitem();
  pickle.text("a.b").integer(1).setitem().text("").integer(2).setitem();
  pickle.stop();
  return pickle;
}

PickleBuilder cycles() {
  PickleBuilder pickle = start();
  pickle.empty_list().put(1).mark().get(1).empty_dict().put(2).text("self").get(2).setitem();
  pickle.text("list").get(1).setitem().appends();
  pickle.global("my", "Node").empty_tuple().newobj().put(3).empty_dict().text("next").get(3).setitem().build();
  pickle.append().stop();
  return pickle;
}

// Every key leads to the dict itself: what looks for weights below it must not look again.
PickleBuilder self_reference() {
  PickleBuilder pickle = start();
  pickle.empty_dict().put(1).mark();
  for (int i = 0; i < 250; ++i) pickle.text("k" + std::to_string(i)).get(1);
  for (const char* key : {"model_state_dict", "state_dict", "model", "module", "net", "network", "weights", "ema"}) {
    pickle.text(key).get(1);
  }
  pickle.setitems().stop();
  return pickle;
}

PickleBuilder tuple_bomb() {
  PickleBuilder pickle = start();
  pickle.text("x").put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) pickle.get(i).get(i).tuple2().put(i + 1).pop();
  pickle.get(60).stop();
  return pickle;
}

// A long name above many values: names must not cost their product.
PickleBuilder long_name() {
  PickleBuilder pickle = start();
  pickle.empty_dict().text(std::string(2000, 'n')).empty_list().mark();
  for (int i = 0; i < 1000; ++i) pickle.none();
  pickle.appends().setitem().stop();
  return pickle;
}

PickleBuilder deep_lists() {
  PickleBuilder pickle = start();
  for (int i = 0; i < 200; ++i) pickle.empty_list();
  pickle.mark();
  for (int i = 0; i < 500; ++i) pickle.none();
  pickle.appends();
  for (int i = 1; i < 200; ++i) pickle.append();
  pickle.stop();
  return pickle;
}

PickleBuilder unknown_names() {
  PickleBuilder pickle = start();
  pickle.empty_dict();
  pickle.text("call").global("os", "system").text("true").tuple1().reduce().setitem();
  pickle.text("object").global("argparse", "Namespace").empty_tuple().newobj().empty_dict();
  pickle.text("lr").real(0.1).setitem().text("w").tensor("FloatStorage", "0", Integers{8}).setitem().build().setitem();
  pickle.text("name").global("my\x1b", "f").setitem().text("w").tensor("FloatStorage", "0", Integers{8}).setitem();
  pickle.stop();
  return pickle;
}

PickleBuilder protocol4() {
  PickleBuilder pickle;
  pickle.proto(4).frame(64).empty_dict().memoize().short_text("s").memoize().empty_set().memoize().mark().integer(1);
  pickle.additems().setitem().short_text("f").mark().integer(2).frozenset().setitem();
  pickle.short_text("o").short_text("collections").short_text("OrderedDict").stack_global().empty_tuple().reduce();
  pickle.setitem().short_text("b").bytearray_value("abc").setitem().stop();
  return pickle;
}

bool write(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return file.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_checkpoint_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  bool ok = true;
  const auto add = [&](std::string_view name, TorchZip zip) {
    ok = write(folder / (std::string(name) + ".pt"), zip.build()) && ok;
  };
  add("base", rushlight::test::base_zip());
  add("views", zip_with(views()));
  add("dtypes", zip_with(dtypes()));
  add("parameters", zip_with(parameters()));
  PickleBuilder module = start();
  write_module(module, 2);
  module.stop();
  add("module", zip_with(module));
  add("values", zip_with(values()));
  add("cycles", zip_with(cycles()));
  add("self_reference", zip_with(self_reference()));
  add("tuple_bomb", zip_with(tuple_bomb()));
  add("long_name", zip_with(long_name()));
  add("deep_lists", zip_with(deep_lists()));
  add("unknown_names", zip_with(unknown_names()));
  add("protocol4", zip_with(protocol4()));

  TorchZip deflated = rushlight::test::base_zip();
  for (auto& plan : deflated.records()) plan.deflate = true;
  add("deflated", deflated);
  TorchZip no_crc = rushlight::test::base_zip();
  no_crc.crc = false;
  add("no_crc", no_crc);
  TorchZip unaligned = rushlight::test::base_zip();
  unaligned.alignment = 1;
  unaligned.add("unused", "x");
  add("unaligned", unaligned);
  for (const char* record : {"data.pkl", "data/0", "version"}) {
    TorchZip zip = rushlight::test::base_zip();
    Bytes bytes = zip.build();
    bytes[zip.place(record).data_end - 1] ^= std::byte{0x10};
    std::string name = std::string("damaged_") + record;
    for (char& c : name) c = c == '/' || c == '.' ? '_' : c;
    ok = write(folder / (name + ".pt"), bytes) && ok;
  }
  return ok ? 0 : 1;
}
