// Arrays and scalars of NumPy that are not what NumPy writes: each is refused at its call, in words.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "built.hpp"
#include "numpy_pickles.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// {"a": PART}: what is said, without the name of the value; "ok" when nothing is.
std::string refused(const Write& part) {
  PickleBuilder pickle;
  pickle.proto(3).empty_dict().text("a");
  part(pickle);
  pickle.setitem().stop();
  const Built built = build(pickle);
  if (built.ok) return "ok";
  const Finding& finding = built.error.finding;
  EXPECT_EQ(finding.record, "data.pkl");
  EXPECT_TRUE(finding.record_offset.has_value());
  std::string message = finding.message;
  if (const std::string prefix = "array 'a': "; message.starts_with(prefix)) {
    EXPECT_EQ(finding.tensors, std::vector<std::string>{"a"});
    message = message.substr(prefix.size());
  }
  return std::string(to_string(finding.category)) + " " + finding.code + ": " + message;
}

std::string array(const ArrayParts& parts) {
  return refused(parts.write());
}

TEST(HostileNumpy, ShapesAreNaturalNumbersThatMultiply) {
  EXPECT_EQ(array({.shape = integers({2, -1})}),
            "tensor TENSOR-SIZE: the size of dimension 1 is -1, expected 0 or more");
  EXPECT_EQ(array({.shape = integers({1LL << 32, 1LL << 32})}),
            "tensor TENSOR-OVERFLOW: sizes [4294967296, 4294967296] overflow a 64-bit count");
  // The count fits and the bytes do not.
  EXPECT_EQ(array({.shape = integers({kMax})}),
            "tensor TENSOR-OVERFLOW: sizes [9223372036854775807] overflow a 64-bit count");
  EXPECT_EQ(array({.shape = integers({1, 1}), .data = bytes_part("\0\0\x80\x3f"sv)}), "ok");
  EXPECT_EQ(array({.shape = integer(2)}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 1 (shape), expected a tuple of int, found int");
  EXPECT_EQ(array({.shape = tuple_of({integer(2), boolean(true)})}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 1 (shape) at dimension 1, expected int, found bool");
  EXPECT_EQ(array({.shape = integers(std::vector<std::int64_t>(65, 1))}),
            "limit LIMIT-TENSOR-DIMS: numpy.ndarray state: argument 1 (shape) has more dimensions than the limit "
            "tensor_dims, expected at most 64, found 65");
  // No elements, whatever the other sizes.
  EXPECT_EQ(array({.shape = integers({0, kMax, kMax}), .data = bytes_part("")}), "ok");
}

TEST(HostileNumpy, TheBytesAreThoseOfTheShape) {
  EXPECT_EQ(array({.shape = integers({3})}),
            "tensor TENSOR-NUMPY-SIZE: an array of [3] and dtype <f4 takes 12 bytes, found 8");
  EXPECT_EQ(array({.shape = integers({})}),
            "tensor TENSOR-NUMPY-SIZE: an array of [] and dtype <f4 takes 4 bytes, found 8");
  EXPECT_EQ(
      array({.shape = integers({1LL << 60}), .data = bytes_part("")}),
      "tensor TENSOR-NUMPY-SIZE: an array of [1152921504606846976] and dtype <f4 takes 4611686018427387904 bytes, "
      "found 0");
  EXPECT_EQ(array({.dtype = dtype_part("U2", "<", 8)}),
            "tensor TENSOR-NUMPY-SIZE: an array of [2] and dtype <U2 takes 16 bytes, found 8");
  // Elements of no bytes take none, however many there are.
  EXPECT_EQ(array({.shape = integers({kMax}), .dtype = dtype_part("S0", "|", 0), .data = bytes_part("")}), "ok");
  EXPECT_EQ(array({.data = text("12345678")}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 4 (data), expected bytes, found str");
  EXPECT_EQ(array({.data = integer(8)}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 4 (data), expected bytes, found int");
  EXPECT_EQ(array({.data = list_of({integer(1), integer(2)})}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 4 (data), expected bytes, found list");
  EXPECT_EQ(array({.data = call_of("_codecs", "encode", {text("\xC4\x80"), text("latin1")})}),
            "type TYPE-ARGUMENT: _codecs.encode: argument 0 (text), expected characters up to U+00FF, found "
            "'\xC4\x80'");
  EXPECT_EQ(array({.data = call_of("_codecs", "encode", {text("12345678"), text("utf-8")})}),
            "type TYPE-ARGUMENT: _codecs.encode: argument 1 (encoding), expected 'latin1', found 'utf-8'");
}

TEST(HostileNumpy, ObjectsAreCountedAsBytesAre) {
  const Write objects = dtype_part("O8", "|");
  EXPECT_EQ(array({.dtype = objects, .data = list_of({kNone})}),
            "tensor TENSOR-NUMPY-SIZE: an array of [2] and dtype |O takes 2 objects, found 1");
  EXPECT_EQ(
      array({.shape = integers({kMax}), .dtype = objects, .data = list_of({})}),
      "tensor TENSOR-NUMPY-SIZE: an array of [9223372036854775807] and dtype |O takes 9223372036854775807 objects, "
      "found 0");
  EXPECT_EQ(array({.dtype = objects}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 4 (data), expected a list, found bytes");
}

TEST(HostileNumpy, FlagsAndVersionsHaveTheirTypes) {
  EXPECT_EQ(array({.fortran_order = integer(1)}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 3 (fortran_order), expected bool, found int");
  EXPECT_EQ(array({.fortran_order = kNone}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 3 (fortran_order), expected bool, found None");
  EXPECT_EQ(array({.version = text("1")}),
            "type TYPE-ARGUMENT: numpy.ndarray state: argument 0 (version), expected int, found str");
  const ArrayParts usual;
  EXPECT_EQ(refused(built_part(usual.call(), integer(1))),
            "type TYPE-BUILD: numpy.ndarray state, expected a tuple, found int");
  EXPECT_EQ(
      refused(built_part(call_of("numpy.core.multiarray", "_reconstruct", {integers({0}), bytes_part("b")}),
                         tuple_of({integer(1), integers({0}), dtype_part("f4"), boolean(false), bytes_part("")}))),
      "type TYPE-ARGUMENT-COUNT: numpy.core.multiarray._reconstruct: wrong number of arguments, expected 3, "
      "found 2");
  EXPECT_EQ(
      refused(built_part(call_of("numpy.core.multiarray", "_reconstruct", {integer(1), integers({0}), bytes_part("b")}),
                         tuple_of({integer(1), integers({0}), dtype_part("f4"), boolean(false), bytes_part("")}))),
      "type TYPE-ARGUMENT: numpy.core.multiarray._reconstruct: argument 0 (class), expected a class of arrays, "
      "found int");
}

TEST(HostileNumpy, T26_DtypesAreWhatNumpyWrites) {
  const auto dtype = [](const DtypeParts& parts) { return array({.dtype = parts.write()}); };
  EXPECT_EQ(dtype({.code = integer(4)}), "type TYPE-ARGUMENT: numpy.dtype: argument 0 (type), expected str, found int");
  EXPECT_EQ(dtype({.order = text("x")}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 1 (byte order), expected '<', '>' or '|', found 'x'");
  EXPECT_EQ(dtype({.order = text("")}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 1 (byte order), expected '<', '>' or '|', found ''");
  EXPECT_EQ(dtype({.order = kNone}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 1 (byte order), expected '<', '>' or '|', found None");
  EXPECT_EQ(dtype({.names = integer(1)}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 3 (names), expected a tuple of str or None, found int");
  EXPECT_EQ(dtype({.names = tuple_of({text("a")})}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 4 (fields), expected a dict, found None");
  EXPECT_EQ(dtype({.code = text("V8"), .item_bytes = integer(-2)}),
            "tensor TENSOR-NUMPY-DTYPE: numpy.dtype state: elements of '|V8' cannot take -2 bytes");
  EXPECT_EQ(dtype({.code = text("V8"), .item_bytes = integer(1LL << 31)}),
            "tensor TENSOR-NUMPY-DTYPE: numpy.dtype state: elements of '|V8' cannot take 2147483648 bytes");
  EXPECT_EQ(dtype({.code = text("U2"), .item_bytes = integer(7)}),
            "tensor TENSOR-NUMPY-DTYPE: numpy.dtype state: elements of '<U2' cannot take 7 bytes");
  EXPECT_EQ(dtype({.code = text("V8"), .item_bytes = kNone}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 5 (item size), expected int, found None");
  EXPECT_EQ(dtype({.code = text("M8"), .metadata = tuple_of({kNone, kNone})}),
            "type TYPE-ARGUMENT: numpy.dtype state: argument 8 (metadata), expected a pair with a unit of time, found "
            "tuple");
  EXPECT_EQ(array({.dtype = built_part(call_of("numpy", "dtype", {text("f4")}), integer(1))}),
            "type TYPE-BUILD: numpy.dtype state, expected a tuple, found int");
  EXPECT_EQ(array({.dtype = call_of("numpy", "dtype", {})}),
            "type TYPE-ARGUMENT-COUNT: numpy.dtype: wrong number of arguments, expected 1 to 3, found 0");
  EXPECT_EQ(array({.dtype = call_of("numpy", "dtype", {text("f4"), text("no")})}),
            "type TYPE-ARGUMENT: numpy.dtype: argument 1 (align), expected bool, found str");
}

TEST(HostileNumpy, ADtypeMayBeAFieldOfItself) {
  // fields = {"a": (this dtype, 0)}, names ("a",)
  PickleBuilder pickle;
  pickle.proto(3);
  ArrayParts{}.call()(pickle);
  pickle.mark()
      .integer(1)
      .integers(std::vector<std::int64_t>{1})
      .global("numpy", "dtype")
      .text("V8")
      .tuple1()
      .reduce()
      .put(5);
  pickle.mark().integer(3).text("|").none().text("a").tuple1();
  pickle.empty_dict().text("a").get(5).integer(0).tuple2().setitem();
  pickle.integer(8).integer(1).integer(0).tuple().build();
  pickle.boolean(false).bytes_value("12345678").tuple().build().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.numpy_dtype(), "[('a', '|V8')]");
  std::size_t visited = 0;
  EXPECT_TRUE(walk(built.root, [&](const WalkItem&) { return ++visited < 1000; }));
  EXPECT_LT(visited, 40u);
}

TEST(HostileNumpy, TheTextOfADtypeIsShort) {
  const Write fields = [](PickleBuilder& p) {
    p.mark();
    for (int i = 0; i < 500; ++i) {
      p.text("field" + std::to_string(i));
      tuple_of({dtype_part("f4"), integer(4 * i)})(p);
    }
    p.dict();
  };
  std::vector<Write> names;
  for (int i = 0; i < 500; ++i) names.push_back(text("field" + std::to_string(i)));
  const Write dtype = DtypeParts{.code = text("V2000"),
                                 .order = text("|"),
                                 .names = tuple_of(names),
                                 .fields = fields,
                                 .item_bytes = integer(2000)}
                          .write();
  const Built built =
      build(numpy_pickle_of(ArrayParts{.shape = integers({0}), .dtype = dtype, .data = bytes_part("")}.write()));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_LT(built.root.numpy_dtype()->size(), 300u);
  EXPECT_TRUE(built.root.numpy_dtype()->ends_with(", ...]"));
}

TEST(HostileNumpy, BuffersHaveAnOrder) {
  const auto from_buffer = [](std::vector<Write> behind_dtype) {
    std::vector<Write> arguments = {bytes_part("12345678"), dtype_part("f4")};
    arguments.insert(arguments.end(), behind_dtype.begin(), behind_dtype.end());
    return refused(call_of("numpy._core.numeric", "_frombuffer", arguments));
  };
  const std::string start = "type TYPE-ARGUMENT: numpy._core.numeric._frombuffer: argument ";
  EXPECT_EQ(from_buffer({integers({2}), text("C")}), "ok");
  EXPECT_EQ(from_buffer({integers({2}), text("A")}),
            start + "3 (order), expected 'C', 'F', or 'K' with axes, found 'A'");
  EXPECT_EQ(from_buffer({integers({2}), text("K")}),
            start + "3 (order), expected 'C', 'F', or 'K' with axes, found 'K'");
  EXPECT_EQ(from_buffer({integers({1, 2}), text("K"), integers({0, 0})}),
            start + "4 (axes), expected each axis once, found tuple");
  EXPECT_EQ(from_buffer({integers({1, 2}), text("K"), integers({0, 2})}),
            start + "4 (axes), expected each axis once, found tuple");
  EXPECT_EQ(from_buffer({integers({1, 2}), text("K"), integers({0})}),
            start + "4 (axes), expected each axis once, found tuple");
  EXPECT_EQ(from_buffer({integers({-1}), text("C")}),
            "tensor TENSOR-SIZE: the size of dimension 0 is -1, expected 0 or more");
  EXPECT_EQ(from_buffer({integers({2})}),
            "type TYPE-ARGUMENT-COUNT: numpy._core.numeric._frombuffer: wrong number of arguments, expected 4 or 5, "
            "found 3");
}

TEST(HostileNumpy, ScalarsHaveTheirBytes) {
  EXPECT_EQ(refused(scalar_part(dtype_part("f8"), bytes_part("1234"))),
            "tensor TENSOR-NUMPY-SIZE: a scalar of dtype <f8 takes 8 bytes, found 4");
  EXPECT_EQ(refused(scalar_part(dtype_part("b1", "|"), bytes_part(""))),
            "tensor TENSOR-NUMPY-SIZE: a scalar of dtype |b1 takes 1 bytes, found 0");
  EXPECT_EQ(refused(scalar_part(dtype_part("f8"), text("12345678"))),
            "type TYPE-ARGUMENT: numpy.core.multiarray.scalar: argument 1 (data), expected bytes, found str");
  EXPECT_EQ(refused(call_of("numpy.core.multiarray", "scalar", {dtype_part("f8")})),
            "type TYPE-ARGUMENT-COUNT: numpy.core.multiarray.scalar: wrong number of arguments, expected 2, found 1");
}

TEST(HostileNumpy, NothingElseIsAddedToArraysAndScalars) {
  const auto with = [](Write part, std::string_view opcodes) {
    return refused([=](PickleBuilder& p) {
      part(p);
      if (opcodes == "a") p.integer(1).append();
      if (opcodes == "s") p.text("k").integer(1).setitem();
      if (opcodes == "b") p.empty_dict().build();
    });
  };
  const Write scalar = scalar_part(dtype_part("b1", "|"), bytes_part("\1"));
  EXPECT_EQ(with(ArrayParts{}.write(), "a"),
            "type TYPE-APPEND: items are appended to the result of numpy.core.multiarray._reconstruct");
  EXPECT_EQ(with(ArrayParts{}.write(), "s"),
            "type TYPE-SETITEM: keys are set on the result of numpy.core.multiarray._reconstruct");
  EXPECT_EQ(with(scalar, "a"), "type TYPE-APPEND: items are appended to the result of numpy.core.multiarray.scalar");
  EXPECT_EQ(with(scalar, "b"), "type TYPE-BUILD: a state is set on the result of numpy.core.multiarray.scalar");
}

TEST(HostileNumpy, ArraysCountAsTensorsDo) {
  LoadOptions options;
  options.limits.tensors = 1;
  const Built built = build(numpy_pickle_of(tuple_of({ArrayParts{}.write(), ArrayParts{}.write()})), options);
  EXPECT_EQ(built.error.finding.code, "LIMIT-TENSORS");
  EXPECT_EQ(built.error.finding.message,
            "there are more tensors and arrays than the limit tensors, expected at most 1");
}

}  // namespace
}  // namespace rushlight::test
