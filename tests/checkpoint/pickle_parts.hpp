// Parts of pickles as values: a test puts any of them into any place.
//
//   build(pickle_of(call_of("torch._utils", "_rebuild_tensor", {storage(), integer(0), integers({8}),
//   integers({1})})));
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/pickle_builder.hpp"

namespace rushlight::test {

using Write = std::function<void(PickleBuilder&)>;

inline Write integer(std::int64_t value) {
  return [=](PickleBuilder& p) { p.integer(value); };
}
inline Write real(double value) {
  return [=](PickleBuilder& p) { p.real(value); };
}
inline Write boolean(bool value) {
  return [=](PickleBuilder& p) { p.boolean(value); };
}
inline Write text(std::string value) {
  return [=](PickleBuilder& p) { p.text(value); };
}
inline Write global(std::string module, std::string name) {
  return [=](PickleBuilder& p) { p.global(module, name); };
}
inline const Write kNone = [](PickleBuilder& p) { p.none(); };

inline Write tuple_of(std::vector<Write> parts) {
  return [=](PickleBuilder& p) {
    p.mark();
    for (const Write& part : parts) part(p);
    p.tuple();
  };
}
inline Write list_of(std::vector<Write> parts) {
  return [=](PickleBuilder& p) {
    p.mark();
    for (const Write& part : parts) part(p);
    p.list();
  };
}
inline Write integers(std::vector<std::int64_t> values) {
  return [=](PickleBuilder& p) { p.integers(values); };
}
inline Write dict(std::vector<std::pair<std::string, Write>> entries) {
  return [=](PickleBuilder& p) {
    p.empty_dict();
    for (const auto& [key, value] : entries) {
      p.text(key);
      value(p);
      p.setitem();
    }
  };
}
// A call of module.name with these arguments.
inline Write call_of(std::string module, std::string name, std::vector<Write> arguments) {
  return [=](PickleBuilder& p) {
    p.global(module, name);
    tuple_of(arguments)(p);
    p.reduce();
  };
}
inline const Write kHooks = call_of("collections", "OrderedDict", {});

inline Write storage(std::string storage_class = "FloatStorage", std::string key = "0", std::int64_t numel = 8) {
  return [=](PickleBuilder& p) { p.storage(storage_class, key, numel); };
}
inline Write untyped(std::int64_t bytes = 32, std::string key = "0") {
  return [=](PickleBuilder& p) {
    p.mark().text("storage").global("torch.storage", "UntypedStorage").text(key).text("cpu").integer(bytes).tuple();
    p.binpersid();
  };
}

inline PickleBuilder pickle_of(const Write& write, unsigned protocol = 2) {
  PickleBuilder pickle;
  write(pickle.proto(protocol));
  return pickle.stop();
}

}  // namespace rushlight::test
