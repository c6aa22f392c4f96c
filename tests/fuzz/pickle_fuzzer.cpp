// The pickle machine on any bytes: whatever it accepts can be walked, disassembled, and its names are found without it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "pickle/machine.hpp"
#include "rushlight/limits.hpp"

namespace {

using namespace rushlight;
using pickle::kNoObject;
using pickle::ObjectGraph;
using pickle::ObjectId;
using pickle::ObjectKind;

void require(bool condition) {
  if (!condition) std::abort();
}

std::uint64_t sum_of(std::string_view text) {
  std::uint64_t sum = 0;
  for (const char c : text) sum += static_cast<unsigned char>(c);
  return sum;
}

// Reads every field of every object; children are earlier objects or, through the memo, later ones.
std::uint64_t read_all(const ObjectGraph& graph) {
  std::uint64_t sum = 0;
  const auto check = [&graph](ObjectId id) { require(id < graph.size()); };
  const auto check_all = [&check](std::span<const ObjectId> ids) {
    for (const ObjectId id : ids) check(id);
  };
  check(graph.root());
  for (ObjectId id = 0; id < graph.size(); ++id) {
    sum += graph.offset(id);
    switch (graph.kind(id)) {
      case ObjectKind::none:
        break;
      case ObjectKind::boolean:
        sum += graph.boolean(id) ? 1 : 0;
        break;
      case ObjectKind::integer:
        sum += static_cast<std::uint64_t>(graph.integer(id));
        break;
      case ObjectKind::real:
        sum += graph.real(id) > 0 ? 1 : 0;
        break;
      case ObjectKind::big_integer:
        require(graph.text(id).size() > sizeof(std::int64_t));
        [[fallthrough]];
      case ObjectKind::string:
      case ObjectKind::byte_string:
      case ObjectKind::bytes:
      case ObjectKind::bytearray:
        sum += sum_of(graph.text(id));
        break;
      case ObjectKind::list:
      case ObjectKind::tuple:
      case ObjectKind::set:
      case ObjectKind::frozenset:
        check_all(graph.items(id));
        break;
      case ObjectKind::dict:
        require(graph.pairs(id).size() % 2 == 0);
        check_all(graph.pairs(id));
        break;
      case ObjectKind::global:
        sum += sum_of(graph.module(id)) + sum_of(graph.name(id));
        break;
      case ObjectKind::call:
        check(graph.callable(id));
        check(graph.arguments(id));
        require(graph.kind(graph.arguments(id)) == ObjectKind::tuple);
        if (graph.keywords(id) != kNoObject) check(graph.keywords(id));
        check_all(graph.items(id));
        check_all(graph.pairs(id));
        check_all(graph.states(id));
        break;
      case ObjectKind::persistent:
        check(graph.persistent_argument(id));
        check_all(graph.states(id));
        break;
    }
  }
  return sum;
}

void check_names(const pickle::Pickle& pickle, ByteSpan stream) {
  // The lister reads on behind STOP, so it may know more names, but the first ones are the machine's.
  const auto names = pickle::list_globals(stream);
  require(names.size() >= pickle.globals.size());
  for (std::size_t i = 0; i < pickle.globals.size(); ++i) {
    require(names[i].module == pickle.globals[i].module && names[i].name == pickle.globals[i].name);
    require(names[i].offset == pickle.globals[i].offset);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan stream = std::as_bytes(std::span(data, size));
  [[maybe_unused]] static volatile std::uint64_t sink;
  for (const Limits& limits : {Limits{}, Limits::strict(), Limits::off()}) {
    const auto pickle = pickle::read_pickle(stream, limits);
    if (!pickle) {
      const Finding& finding = pickle.error().finding;
      require(!finding.code.empty() && !finding.message.empty());
      require(finding.record_offset && *finding.record_offset <= size);
      continue;
    }
    require(pickle->bytes_used <= size);
    sink = read_all(pickle->graph);
    check_names(*pickle, stream);
    require(pickle::disassemble(stream).has_value());
  }
  sink = pickle::list_globals(stream).size();
  const auto text = pickle::disassemble(stream);
  sink = text ? text->size() : 0;
  return 0;
}
