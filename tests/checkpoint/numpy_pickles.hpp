// What NumPy writes into pickles, part by part, so that a test can put something else in the place of each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/pickle_parts.hpp"
#include "support/pickle_builder.hpp"

namespace rushlight::test {

inline Write bytes_part(std::string_view bytes) {
  return [kept = std::string(bytes)](PickleBuilder& p) { p.bytes_value(kept); };
}
inline Write python2_part(std::string_view bytes) {
  return [kept = std::string(bytes)](PickleBuilder& p) { p.byte_string(kept); };
}
inline Write built_part(Write object, Write state) {
  return [=](PickleBuilder& p) {
    object(p);
    state(p);
    p.build();
  };
}

// numpy.dtype(code, False, True) with (3, order, subarray, names, fields, item size, alignment, flags[, metadata]).
struct DtypeParts {
  Write code = text("f4");
  Write order = text("<");
  Write subarray = kNone;
  Write names = kNone;
  Write fields = kNone;
  Write item_bytes = integer(-1);
  Write metadata{};
  std::int64_t version = 3;

  [[nodiscard]] Write write() const {
    std::vector<Write> state = {integer(version), order, subarray, names, fields, item_bytes, integer(-1), integer(0)};
    if (metadata) state.push_back(metadata);
    return built_part(call_of("numpy", "dtype", {code, boolean(false), boolean(true)}), tuple_of(state));
  }
};
inline Write dtype_part(std::string code, std::string order = "<", std::int64_t item_bytes = -1) {
  return DtypeParts{.code = text(code), .order = text(order), .item_bytes = integer(item_bytes)}.write();
}

// _reconstruct(numpy.ndarray, (0,), b'b') with (1, shape, dtype, fortran_order, data).
struct ArrayParts {
  Write shape = integers({2});
  Write dtype = dtype_part("f4");
  Write fortran_order = boolean(false);
  Write data = bytes_part(std::string_view("\0\0\x80\x3f\0\0\0\x40", 8));  // 1, 2
  Write version = integer(1);
  std::string module = "numpy.core.multiarray";
  std::pair<std::string, std::string> array_class = {"numpy", "ndarray"};

  [[nodiscard]] Write call() const {
    const Write class_part = [kept = array_class](PickleBuilder& p) { p.global(kept.first, kept.second); };
    return call_of(module, "_reconstruct", {class_part, integers({0}), bytes_part("b")});
  }
  [[nodiscard]] Write write() const {
    return built_part(call(), tuple_of({version, shape, dtype, fortran_order, data}));
  }
};

inline Write scalar_part(Write dtype, Write data, std::string module = "numpy.core.multiarray") {
  return call_of(std::move(module), "scalar", {std::move(dtype), std::move(data)});
}

// Bytes have opcodes of their own from protocol 3 on.
inline PickleBuilder numpy_pickle_of(const Write& root) {
  return pickle_of(root, 3);
}

}  // namespace rushlight::test
