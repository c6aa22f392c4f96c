// Writes files that are legal and made to upset whoever prints them, for printing_test.py.
//   write_hostile_files FOLDER
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/pickle_builder.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::test {
namespace {

bool write(const std::filesystem::path& folder, std::string_view name, const PickleBuilder& pickle) {
  TorchZip zip = base_zip();
  const ByteSpan stream = pickle.bytes();
  zip.record("data.pkl").data.assign(stream.begin(), stream.end());
  const Bytes bytes = zip.build();
  std::ofstream file(folder / name, std::ios::binary);
  file.write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  return bool(file);
}

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}

// Keys of every hashable kind, half characters, and the dict itself inside it.
PickleBuilder a11() {
  PickleBuilder pickle = start();
  pickle.empty_dict().put(0).mark();
  pickle.integer(3).text("int").integer(1).text("a").tuple2().text("tuple").boolean(true).text("bool");
  pickle.text("\xed\xb2\x80").text("half a character: \xed\xa0\x80").text("self").get(0);
  return pickle.text("list").empty_list().put(1).get(1).append().setitems().stop();
}

PickleBuilder p25() {
  PickleBuilder pickle = start();
  pickle.text("x").put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) pickle.get(i).get(i).tuple2().put(i + 1).pop();
  return pickle.get(60).stop();
}

PickleBuilder p26() {
  PickleBuilder pickle = start();
  pickle.text("ha").put(0).pop();
  for (std::uint32_t level = 0; level < 10; ++level) {
    pickle.empty_list().mark();
    for (int i = 0; i < 10; ++i) pickle.get(level);
    pickle.appends().put(level + 1).pop();
  }
  return pickle.get(10).stop();
}

PickleBuilder p28() {
  PickleBuilder pickle = start();
  pickle.global("my", "Class").empty_tuple().newobj().put(0).empty_dict().text("me").get(0).setitem().build();
  return pickle.stop();
}

PickleBuilder p42() {
  PickleBuilder pickle = start();
  const std::vector<std::int64_t> eight{8};
  pickle.empty_dict();
  for (const char* key : {"\x1b[31mred\x1b[0m", "over\rwritten",
                          "\xe2\x80\xae"
                          "sdrawkcab",
                          "__proto__", "=cmd|' /C calc'!A0", "line\nbreak",
                          "\x07"
                          "bell",
                          "\"quoted\\\"", "a\x7f",
                          "\xc2\x9b"
                          "31m"}) {
    pickle.text(key).tensor("FloatStorage", "0", eight).setitem();
    pickle.text("value of " + std::string(key)).text(key).setitem();
  }
  pickle.text("object").global("my\x1b[31m", "Cla\rss").empty_tuple().newobj().setitem();
  return pickle.stop();
}

PickleBuilder t11() {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("w").global("torch._utils", "_rebuild_tensor").mark().storage("FloatStorage", "0", 8);
  pickle.integer(0).integers(std::vector<std::int64_t>{std::int64_t{1} << 40}).integers(std::vector<std::int64_t>{0});
  return pickle.tuple().reduce().setitem().stop();
}

}  // namespace
}  // namespace rushlight::test

int main(int argc, char** argv) {
  using namespace rushlight::test;
  if (argc != 2) {
    std::fputs("usage: write_hostile_files FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const bool all = write(folder, "a11.pt", a11()) && write(folder, "p25.pt", p25()) && write(folder, "p26.pt", p26()) &&
                   write(folder, "p28.pt", p28()) && write(folder, "p42.pt", p42()) && write(folder, "t11.pt", t11());
  return all ? 0 : 1;
}
