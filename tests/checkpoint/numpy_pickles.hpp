// What NumPy writes into pickles, part by part, so that a test can put something else in the place of each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/pickle_builder.hpp"

namespace rushlight::test {

using WritePart = std::function<void(PickleBuilder&)>;

inline WritePart integer_part(std::int64_t value) {
  return [=](PickleBuilder& p) { p.integer(value); };
}
inline WritePart boolean_part(bool value) {
  return [=](PickleBuilder& p) { p.boolean(value); };
}
inline WritePart text_part(std::string text) {
  return [=](PickleBuilder& p) { p.text(text); };
}
inline WritePart bytes_part(std::string_view bytes) {
  return [kept = std::string(bytes)](PickleBuilder& p) { p.bytes_value(kept); };
}
inline WritePart python2_part(std::string_view bytes) {
  return [kept = std::string(bytes)](PickleBuilder& p) { p.byte_string(kept); };
}
inline WritePart shape_part(std::vector<std::int64_t> sizes) {
  return [=](PickleBuilder& p) { p.integers(sizes); };
}
inline WritePart tuple_part(std::vector<WritePart> parts) {
  return [=](PickleBuilder& p) {
    p.mark();
    for (const WritePart& part : parts) part(p);
    p.tuple();
  };
}
inline WritePart list_part(std::vector<WritePart> parts) {
  return [=](PickleBuilder& p) {
    p.mark();
    for (const WritePart& part : parts) part(p);
    p.list();
  };
}
inline WritePart call_part(std::string module, std::string name, std::vector<WritePart> arguments) {
  return [=](PickleBuilder& p) {
    p.global(module, name);
    tuple_part(arguments)(p);
    p.reduce();
  };
}
inline WritePart built_part(WritePart object, WritePart state) {
  return [=](PickleBuilder& p) {
    object(p);
    state(p);
    p.build();
  };
}
inline const WritePart kNonePart = [](PickleBuilder& p) { p.none(); };

// numpy.dtype(code, False, True) with (3, order, subarray, names, fields, item size, alignment, flags[, metadata]).
struct DtypeParts {
  WritePart code = text_part("f4");
  WritePart order = text_part("<");
  WritePart subarray = kNonePart;
  WritePart names = kNonePart;
  WritePart fields = kNonePart;
  WritePart item_bytes = integer_part(-1);
  WritePart metadata{};
  std::int64_t version = 3;

  [[nodiscard]] WritePart write() const {
    std::vector<WritePart> state = {integer_part(version), order,          subarray, names, fields, item_bytes,
                                    integer_part(-1),      integer_part(0)};
    if (metadata) state.push_back(metadata);
    return built_part(call_part("numpy", "dtype", {code, boolean_part(false), boolean_part(true)}), tuple_part(state));
  }
};
inline WritePart dtype_part(std::string code, std::string order = "<", std::int64_t item_bytes = -1) {
  return DtypeParts{.code = text_part(code), .order = text_part(order), .item_bytes = integer_part(item_bytes)}.write();
}

// _reconstruct(numpy.ndarray, (0,), b'b') with (1, shape, dtype, fortran_order, data).
struct ArrayParts {
  WritePart shape = shape_part({2});
  WritePart dtype = dtype_part("f4");
  WritePart fortran_order = boolean_part(false);
  WritePart data = bytes_part(std::string_view("\0\0\x80\x3f\0\0\0\x40", 8));  // 1, 2
  WritePart version = integer_part(1);
  std::string module = "numpy.core.multiarray";
  std::pair<std::string, std::string> array_class = {"numpy", "ndarray"};

  [[nodiscard]] WritePart call() const {
    const WritePart class_part = [kept = array_class](PickleBuilder& p) { p.global(kept.first, kept.second); };
    return call_part(module, "_reconstruct", {class_part, shape_part({0}), bytes_part("b")});
  }
  [[nodiscard]] WritePart write() const {
    return built_part(call(), tuple_part({version, shape, dtype, fortran_order, data}));
  }
};

inline WritePart scalar_part(WritePart dtype, WritePart data, std::string module = "numpy.core.multiarray") {
  return call_part(std::move(module), "scalar", {std::move(dtype), std::move(data)});
}

inline PickleBuilder pickle_of(const WritePart& root, unsigned protocol = 3) {
  PickleBuilder pickle;
  pickle.proto(protocol);
  root(pickle);
  pickle.stop();
  return pickle;
}

}  // namespace rushlight::test
