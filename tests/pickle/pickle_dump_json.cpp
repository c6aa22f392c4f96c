// What the machine makes of many streams, for comparison with CPython (tests/pickle/compare_with_cpython.py).
//
//   pickle_dump_json json|dis|globals|write < STREAMS
//
// STREAMS is any number of pickles, each behind its length (4 bytes, little-endian). One line of JSON comes out for
// each: {"root": ..., "nodes": [...]}, {"text": "..."}, {"globals": [["module", "name"], ...]}, {"bytes": "..."} (what
// the pickler writes for what was read, in hexadecimal) or {"error": "..."}.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "pickle/describe.hpp"
#include "pickle/machine.hpp"
#include "pickle/pickler.hpp"
#include "rushlight/limits.hpp"

namespace {

using namespace rushlight;

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\') {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string answer(const std::string& mode, ByteSpan stream) {
  if (mode == "json") {
    const auto pickle = pickle::read_pickle(stream, Limits{});
    return pickle ? test::dump_json(pickle->graph) : "{\"error\":" + json_text(to_string(pickle.error())) + "}";
  }
  if (mode == "dis") {
    const auto text = pickle::disassemble(stream);
    return text ? "{\"text\":" + json_text(*text) + "}" : "{\"error\":" + json_text(to_string(text.error())) + "}";
  }
  std::string out;
  if (mode == "write") {
    const auto read = pickle::read_pickle(stream, Limits{});
    if (!read) return "{\"error\":" + json_text(to_string(read.error())) + "}";
    const auto written = pickle::write_pickle(read->graph, {.protocol = read->protocol});
    if (!written) return "{\"error\":" + json_text(to_string(written.error())) + "}";
    for (const std::byte byte : written->bytes) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out += kDigits[std::to_integer<std::size_t>(byte >> 4)];
      out += kDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
    }
    return "{\"bytes\":\"" + out + "\"}";
  }
  for (const auto& name : pickle::list_globals(stream)) {
    out += (out.empty() ? "[" : ",[") + json_text(name.module) + "," + json_text(name.name) + "]";
  }
  return "{\"globals\":[" + out + "]}";
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 2 ? argv[1] : "";
  if (mode != "json" && mode != "dis" && mode != "globals" && mode != "write") return 2;
  for (;;) {
    std::byte length_bytes[4];
    if (std::fread(length_bytes, 1, sizeof length_bytes, stdin) != sizeof length_bytes) return 0;
    std::vector<std::byte> stream(load_le<std::uint32_t>(length_bytes));
    if (std::fread(stream.data(), 1, stream.size(), stdin) != stream.size()) return 2;
    std::printf("%s\n", answer(mode, stream).c_str());
  }
}
