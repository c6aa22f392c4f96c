// Arrays, scalars and dtypes of NumPy, as every release of it writes them. Files that PyTorch wrote with such values
// are compared by tests/open/golden_test.cpp and tests/parity.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "built.hpp"
#include "checkpoint/numpy_dtype.hpp"
#include "numpy_pickles.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;

Built built_from(const Write& root, const LoadOptions& options = {}) {
  Built built = build(numpy_pickle_of(root), options);
  EXPECT_TRUE(built.ok) << built.line;
  return built;
}

std::string bytes_of(const Storage& storage) {
  return std::string(as_text(storage.bytes().value()));
}

template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
  const Tensor dense = tensor.contiguous().value();
  const auto values = dense.values<T>().value();
  return {values.begin(), values.end()};
}

TEST(NumpyDtypes, CodesAreALetterAndASize) {
  const auto text_of = [](std::string_view code) {
    const auto parsed = checkpoint::parse_type_code(code);
    return parsed ? parsed->text() + " " + std::to_string(parsed->item_bytes) : std::string("unknown");
  };
  EXPECT_EQ(text_of("f4"), "<f4 4");
  EXPECT_EQ(text_of(">f8"), ">f8 8");
  EXPECT_EQ(text_of("b1"), "|b1 1");
  EXPECT_EQ(text_of(">u1"), "|u1 1");
  EXPECT_EQ(text_of("U5"), "<U5 20");
  EXPECT_EQ(text_of("S7"), "|S7 7");
  EXPECT_EQ(text_of("V"), "|V0 0");
  EXPECT_EQ(text_of("O8"), "|O 8");
  EXPECT_EQ(text_of("O"), "|O 8");
  EXPECT_EQ(text_of("M8"), "<M8 8");
  EXPECT_EQ(text_of("f16"), "<f16 16");
  for (const std::string_view wrong : {"", "<", "f", "f3", "f4x", "x4", "i16", "b4", "U-1", "U99999999999999999999",
                                       "V2147483647", "f 4", "M4", "M8[ns]", "4f"}) {
    EXPECT_EQ(text_of(wrong), "unknown") << wrong;
  }
}

TEST(NumpyDtypes, ThoseThatTorchHasAreItsOwn) {
  const std::pair<std::string_view, DType> pairs[] = {
      {"b1", DType::boolean}, {"i1", DType::i8},  {"i2", DType::i16}, {"i4", DType::i32},  {"i8", DType::i64},
      {"u1", DType::u8},      {"u2", DType::u16}, {"u4", DType::u32}, {"u8", DType::u64},  {"f2", DType::f16},
      {"f4", DType::f32},     {"f8", DType::f64}, {"c8", DType::c64}, {"c16", DType::c128}};
  for (const auto& [code, dtype] : pairs) EXPECT_EQ(checkpoint::torch_dtype(*checkpoint::parse_type_code(code)), dtype);
  for (const std::string_view code : {"f16", "c32", "S4", "U1", "V8", "O", "M8", "m8"}) {
    EXPECT_EQ(checkpoint::torch_dtype(*checkpoint::parse_type_code(code)), std::nullopt) << code;
  }
}

TEST(Numpy, AnArrayIsAValueOfItsOwnAndNoTensor) {
  for (const char* module : {"numpy.core.multiarray", "numpy._core.multiarray"}) {
    const Built built = built_from(ArrayParts{.module = module}.write());
    EXPECT_TRUE(built.findings.empty());
    const Value root = built.root;
    ASSERT_EQ(root.kind(), ValueKind::ndarray);
    EXPECT_EQ(root.class_name(), "numpy.ndarray");
    EXPECT_EQ(root.as_tensor(), std::nullopt);
    EXPECT_EQ(root.numpy_dtype(), "<f4");
    const NdArray& array = *root.as_ndarray();
    EXPECT_EQ(array.dtype, "<f4");
    EXPECT_EQ(array.item_bytes, 4u);
    EXPECT_EQ(array.shape, Shape{2});
    EXPECT_EQ(array.order, ArrayOrder::c);
    EXPECT_FALSE(array.is_scalar);
    EXPECT_EQ(bytes_of(*array.data), "\0\0\x80\x3f\0\0\0\x40"sv);
    EXPECT_EQ(elements_of<float>(*array.tensor), (std::vector<float>{1, 2}));
    EXPECT_EQ(root.size(), 0u);
  }
}

TEST(Numpy, BigEndianElementsAreSwappedAndTheirBytesKept) {
  const Value root =
      built_from(ArrayParts{.shape = integers({1, 2}), .dtype = dtype_part("i2", ">"), .data = bytes_part("\1\2\3\4"sv)}
                     .write())
          .root;
  const NdArray& array = *root.as_ndarray();
  EXPECT_EQ(array.dtype, ">i2");
  EXPECT_EQ(bytes_of(*array.data), "\1\2\3\4"sv);
  EXPECT_EQ(elements_of<std::int16_t>(*array.tensor), (std::vector<std::int16_t>{0x0102, 0x0304}));
  // Halves of complex numbers are swapped by themselves.
  const Value complex = built_from(ArrayParts{.shape = integers({1}),
                                              .dtype = dtype_part("c8", ">"),
                                              .data = bytes_part("\x3f\x80\0\0\x40\0\0\0"sv)}
                                       .write())
                            .root;
  EXPECT_EQ(as_text(complex.as_ndarray()->tensor->bytes().value()), "\0\0\x80\x3f\0\0\0\x40"sv);
}

TEST(Numpy, FortranOrderIsInTheStrides) {
  const Value root = built_from(ArrayParts{.shape = integers({2, 3}),
                                           .dtype = dtype_part("u1", "|"),
                                           .fortran_order = boolean(true),
                                           .data = bytes_part("\0\1\2\3\4\5"sv)}
                                    .write())
                         .root;
  const NdArray& array = *root.as_ndarray();
  EXPECT_EQ(array.order, ArrayOrder::fortran);
  EXPECT_EQ(array.strides, (Strides{1, 2}));
  EXPECT_EQ(elements_of<std::uint8_t>(*array.tensor), (std::vector<std::uint8_t>{0, 2, 4, 1, 3, 5}));
}

TEST(Numpy, BytesComeInEveryFormThatPythonWrites) {
  const std::string bytes = "\xff\x01";
  const Write encoded = call_of("_codecs", "encode", {text("\xC3\xBF\1"), text("latin1")});
  const Write bytearray = [=](PickleBuilder& p) { p.bytearray_value(bytes); };
  for (const Write& data : {bytes_part(bytes), python2_part(bytes), encoded, bytearray}) {
    // Python 2's strings are bytes here, whatever they are as values.
    for (const Encoding encoding : {Encoding::utf8, Encoding::ascii, Encoding::latin1, Encoding::bytes}) {
      const Value root =
          built_from(ArrayParts{.dtype = dtype_part("u1", "|"), .data = data}.write(), {.encoding = encoding}).root;
      EXPECT_EQ(elements_of<std::uint8_t>(*root.as_ndarray()->tensor), (std::vector<std::uint8_t>{255, 1}));
    }
  }
  // Protocol 2's way to write no bytes.
  const Value empty =
      built_from(ArrayParts{.shape = integers({0, 4}), .data = call_of("builtins", "bytes", {})}.write()).root;
  EXPECT_EQ(empty.as_ndarray()->tensor->numel(), 0);
}

TEST(Numpy, Python2WroteStringsForTextsAndNumbersForFlags) {
  const Write dtype =
      built_part(call_of("numpy", "dtype", {python2_part("f4"), integer(0), integer(1)}),
                 tuple_of({integer(3), python2_part("<"), kNone, kNone, kNone, integer(-1), integer(-1), integer(0)}));
  const Value root =
      built_from(ArrayParts{.dtype = dtype, .data = python2_part("\0\0\x80\x3f\0\0\0\x40"sv)}.write()).root;
  EXPECT_EQ(elements_of<float>(*root.as_ndarray()->tensor), (std::vector<float>{1, 2}));
  // Before version 1 the state had none.
  const Write oldest =
      built_part(ArrayParts{}.call(),
                 tuple_of({integers({2}), dtype_part("f4"), boolean(false), bytes_part("\0\0\x80\x3f\0\0\0\x40"sv)}));
  EXPECT_EQ(elements_of<float>(*built_from(oldest).root.as_ndarray()->tensor), (std::vector<float>{1, 2}));
}

TEST(Numpy, Protocol5WritesABufferWithItsOrder) {
  const auto from_buffer = [](const char* module, Write shape, std::vector<Write> order) {
    std::vector<Write> arguments = {bytes_part("\0\1\2\3\4\5"sv), dtype_part("u1", "|"), std::move(shape)};
    arguments.insert(arguments.end(), order.begin(), order.end());
    return call_of(module, "_frombuffer", arguments);
  };
  const Value c = built_from(from_buffer("numpy.core.numeric", integers({2, 3}), {text("C")})).root;
  EXPECT_EQ(c.as_ndarray()->order, ArrayOrder::c);
  EXPECT_EQ(elements_of<std::uint8_t>(*c.as_ndarray()->tensor), (std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5}));
  const Value f = built_from(from_buffer("numpy._core.numeric", integers({2, 3}), {text("F"), kNone})).root;
  EXPECT_EQ(f.as_ndarray()->order, ArrayOrder::fortran);
  EXPECT_EQ(elements_of<std::uint8_t>(*f.as_ndarray()->tensor), (std::vector<std::uint8_t>{0, 2, 4, 1, 3, 5}));
  // reshape(2, 3, 1).transpose(1, 2, 0)
  const Value k =
      built_from(from_buffer("numpy._core.numeric", integers({2, 3, 1}), {text("K"), integers({1, 2, 0})})).root;
  EXPECT_EQ(k.as_ndarray()->order, ArrayOrder::permuted);
  EXPECT_EQ(k.as_ndarray()->shape, (Shape{3, 1, 2}));
  EXPECT_EQ(elements_of<std::uint8_t>(*k.as_ndarray()->tensor), (std::vector<std::uint8_t>{0, 3, 1, 4, 2, 5}));
}

TEST(Numpy, ArraysOfTextsTimesAndBytesKeepTheirBytes) {
  const Write nanoseconds =
      DtypeParts{.code = text("M8"),
                 .metadata = tuple_of({kNone, tuple_of({bytes_part("ns"), integer(25), integer(1), integer(1)})}),
                 .version = 4}
          .write();
  const Write days =
      DtypeParts{.code = text("m8"),
                 .order = text(">"),
                 .metadata = tuple_of({[](PickleBuilder& p) { p.empty_dict(); },
                                       tuple_of({call_of("_codecs", "encode", {text("D"), text("latin1")}), integer(1),
                                                 integer(1), integer(1)})}),
                 .version = 4}
          .write();
  const std::string eight(8, 'x');
  const std::tuple<Write, std::string_view, const char*> rows[] = {
      {dtype_part("U1", "<", 4), eight, "<U1"},       {dtype_part("U1", ">", 4), eight, ">U1"},
      {dtype_part("S4", "|", 4), eight, "|S4"},       {dtype_part("V4", "|", 4), eight, "|V4"},
      {dtype_part("S0", "|", 0), "", "|S0"},          {dtype_part("f16"), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "<f16"},
      {nanoseconds, "xxxxxxxxxxxxxxxx", "<M8[25ns]"}, {days, "xxxxxxxxxxxxxxxx", ">m8[D]"},
  };
  for (const auto& [dtype, bytes, text] : rows) {
    const Value root = built_from(ArrayParts{.dtype = dtype, .data = bytes_part(bytes)}.write()).root;
    ASSERT_EQ(root.kind(), ValueKind::ndarray) << text;
    EXPECT_EQ(root.numpy_dtype(), text);
    EXPECT_EQ(bytes_of(*root.as_ndarray()->data), bytes);
    EXPECT_EQ(root.as_ndarray()->tensor, std::nullopt);
    EXPECT_TRUE(root.attributes().empty()) << text;
  }
}

TEST(Numpy, StructuredDtypesAreNamedByTheirFieldsAndKept) {
  const Write pair = DtypeParts{.code = text("V16"),
                                .order = text("|"),
                                .subarray = tuple_of({dtype_part("f8"), integers({2})}),
                                .item_bytes = integer(16)}
                         .write();
  const Write fields = [=](PickleBuilder& p) {
    p.mark();
    text("a")(p);
    tuple_of({dtype_part("i4", ">"), integer(0)})(p);
    text("b")(p);
    tuple_of({pair, integer(4), text("title")})(p);
    p.dict();
  };
  const Write dtype = DtypeParts{.code = text("V20"),
                                 .order = text("|"),
                                 .names = tuple_of({text("a"), text("b")}),
                                 .fields = fields,
                                 .item_bytes = integer(20)}
                          .write();
  const Value root =
      built_from(ArrayParts{.shape = integers({1}), .dtype = dtype, .data = bytes_part(std::string(20, 'x'))}.write())
          .root;
  EXPECT_EQ(root.numpy_dtype(), "[('a', '>i4'), ('b', '<f8', (2,))]");
  EXPECT_EQ(root.as_ndarray()->item_bytes, 20u);
  // What the text leaves out is there to be written again.
  const Value whole = root.attr("dtype");
  ASSERT_EQ(whole.kind(), ValueKind::opaque);
  EXPECT_EQ(whole.class_name(), "numpy.dtype");
  EXPECT_EQ(whole.arguments()[0].as_string(), "V20");
  EXPECT_EQ(whole.state()[4]["b"][2].as_string(), "title");
}

TEST(Numpy, AnArrayOfObjectsHoldsThemAndMayHoldItself) {
  PickleBuilder pickle;
  pickle.proto(3);
  const ArrayParts parts;
  parts.call()(pickle);
  pickle.put(9).mark().integer(1).integers(std::vector<std::int64_t>{1, 3});
  dtype_part("O8", "|")(pickle);
  pickle.boolean(false).mark().integer(7).text("x").get(9).list().tuple().build().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.numpy_dtype(), "|O");
  EXPECT_EQ(built.root.as_ndarray()->data, std::nullopt);
  ASSERT_EQ(built.root.size(), 3u);
  EXPECT_EQ(built.root[0].as_int(), 7);
  EXPECT_EQ(built.root[1].as_string(), "x");
  EXPECT_TRUE(built.root[2].same_object(built.root));
  std::size_t visited = 0;
  EXPECT_TRUE(walk(built.root, [&](const WalkItem&) { return ++visited < 100; }));
  EXPECT_EQ(visited, 4u);
  EXPECT_EQ(built.root.at("[1]").as_string(), "x");
}

TEST(Numpy, ScalarsAreNumbersThatKnowTheirDtype) {
  const auto scalar = [](std::string code, std::string_view bytes, std::string order = "<", std::int64_t size = -1) {
    return built_from(scalar_part(dtype_part(std::move(code), std::move(order), size), bytes_part(bytes),
                                  "numpy._core.multiarray"))
        .root;
  };
  const Value best = scalar("f8", "\0\0\0\0\0\0\xf8\x3f"sv);
  EXPECT_EQ(best.kind(), ValueKind::real);
  EXPECT_EQ(best.as_double(), 1.5);
  EXPECT_EQ(best.class_name(), "numpy.float64");
  EXPECT_EQ(best.numpy_dtype(), "<f8");
  EXPECT_EQ(best.as_ndarray(), nullptr);
  const Value big = scalar("f4", "\x3f\xc0\0\0"sv, ">");
  EXPECT_EQ(big.as_double(), 1.5);
  EXPECT_EQ(big.numpy_dtype(), ">f4");
  EXPECT_EQ(scalar("f2", "\0\x3e"sv).as_double(), 1.5);
  EXPECT_EQ(scalar("i8", "\xfe\xff\xff\xff\xff\xff\xff\xff").as_int(), -2);
  EXPECT_EQ(scalar("u8", "\xff\xff\xff\xff\xff\xff\xff\xff").as_decimal(), "18446744073709551615");
  EXPECT_EQ(scalar("u1", "\xff", "|").as_int(), 255);
  EXPECT_EQ(scalar("i1", "\xff", "|").as_int(), -1);
  EXPECT_EQ(scalar("c8", "\0\0\x80\x3f\0\0\0\x40"sv).as_complex(), (std::complex<double>{1, 2}));
  EXPECT_EQ(scalar("U3", "a\0\0\0\xe9\0\0\0\0\0\0\0"sv, "<", 12).as_string(), "a\xC3\xA9");
  EXPECT_EQ(scalar("S4", "a\0b\0"sv, "|", 4).as_bytes()->size(), 3u);

  const Value yes = scalar("b1", "\1"sv, "|");
  EXPECT_EQ(yes.as_bool(), true);
  EXPECT_EQ(yes.class_name(), "numpy.bool_");
  // Python's own True is still bool.
  const Value both = built_from(tuple_of({scalar_part(dtype_part("b1", "|"), bytes_part("\1")), boolean(true)})).root;
  EXPECT_EQ(both[0].numpy_dtype(), "|b1");
  EXPECT_EQ(both[1].numpy_dtype(), std::nullopt);
  EXPECT_EQ(both[1].class_name(), "bool");
}

TEST(Numpy, ScalarsThatNoValueStandsForKeepTheirBytes) {
  const Write day =
      DtypeParts{.code = text("M8"),
                 .metadata = tuple_of({kNone, tuple_of({bytes_part("D"), integer(1), integer(1), integer(1)})}),
                 .version = 4}
          .write();
  const Value root = built_from(scalar_part(day, bytes_part("VG\0\0\0\0\0\0"sv))).root;
  ASSERT_EQ(root.kind(), ValueKind::ndarray);
  EXPECT_EQ(root.class_name(), "numpy.datetime64");
  EXPECT_TRUE(root.as_ndarray()->is_scalar);
  EXPECT_EQ(root.numpy_dtype(), "<M8[D]");
  EXPECT_EQ(bytes_of(*root.as_ndarray()->data), "VG\0\0\0\0\0\0"sv);
  // Characters that Unicode does not have.
  const Value odd = built_from(scalar_part(dtype_part("U1", "<", 4), bytes_part("\0\0\x11\0"sv))).root;
  EXPECT_EQ(odd.class_name(), "numpy.str_");
  EXPECT_TRUE(odd.as_ndarray()->is_scalar);
}

// The classes themselves, as args and configurations keep them.
TEST(Numpy, ClassesAreNamesWithoutAWarning) {
  const std::pair<const char*, const char*> classes[] = {{"numpy", "float32"}, {"numpy.dtypes", "Float32DType"}};
  for (const auto& known : classes) {
    const Built built = built_from([&](PickleBuilder& p) { p.global(known.first, known.second); });
    EXPECT_EQ(built.root.kind(), ValueKind::global);
    EXPECT_EQ(built.root.class_name(), std::string(known.first) + "." + known.second);
    EXPECT_TRUE(built.findings.empty());
  }
}

TEST(Numpy, WhatIsNewerThanTheTableStaysOpaqueWithAWarning) {
  const Write string_dtype = call_of("numpy.dtypes", "StringDType", {});
  const Write foreign = call_of(
      "numpy", "dtype", {[](PickleBuilder& p) { p.global("ml_dtypes", "bfloat16"); }, boolean(false), boolean(true)});
  const Write unknown[] = {
      ArrayParts{.dtype = string_dtype}.write(),     ArrayParts{.dtype = foreign}.write(),
      ArrayParts{.dtype = dtype_part("x9")}.write(), ArrayParts{.dtype = DtypeParts{.version = 5}.write()}.write(),
      ArrayParts{.version = integer(2)}.write(),     ArrayParts{}.call()};
  for (const Write& part : unknown) {
    const Built built = built_from(part);
    ASSERT_EQ(built.root.kind(), ValueKind::opaque);
    EXPECT_EQ(built.root.class_name(), "numpy.ndarray");
    ASSERT_FALSE(built.findings.empty());
    EXPECT_EQ(built.findings.back().code, "VALUE-NUMPY");
    EXPECT_EQ(built.findings.back().message, "1 NumPy array is kept as an opaque value");
  }
  EXPECT_EQ(built_from(scalar_part(dtype_part("O8", "|"), integer(1))).root.kind(), ValueKind::opaque);
}

TEST(Numpy, SubclassesOfArraysKeepTheirName) {
  const Built built = built_from(ArrayParts{.array_class = {"numpy", "matrix"}}.write());
  ASSERT_EQ(built.root.kind(), ValueKind::ndarray);
  EXPECT_EQ(built.root.class_name(), "numpy.matrix");
  ASSERT_EQ(built.findings.size(), 1u);
  EXPECT_EQ(built.findings[0].code, "GLOBAL-UNKNOWN");
}

TEST(Numpy, RandomGeneratorsAreObjectsWithTheirState) {
  const Write state = [](PickleBuilder& p) {
    p.mark();
    text("bit_generator")(p);
    text("MT19937")(p);
    text("key")(p);
    ArrayParts{.dtype = dtype_part("u4")}.write()(p);
    p.dict();
  };
  const Built built =
      built_from(built_part(call_of("numpy.random._pickle", "__randomstate_ctor", {text("MT19937")}), state));
  EXPECT_TRUE(built.findings.empty());
  ASSERT_EQ(built.root.kind(), ValueKind::opaque);
  EXPECT_EQ(built.root.attr("key").numpy_dtype(), "<u4");
}

TEST(Numpy, ArraysOfOneBytesObjectShareItsMemory) {
  PickleBuilder pickle;
  pickle.proto(3).mark();
  bytes_part("\0\1\2\3"sv)(pickle);
  pickle.put(7);
  const Write shared = [](PickleBuilder& p) { p.get(7); };
  ArrayParts{.shape = integers({1}), .dtype = dtype_part("i4", ">"), .data = shared}.write()(pickle);
  ArrayParts{.shape = integers({1}), .dtype = dtype_part("i4", ">"), .data = shared}.write()(pickle);
  ArrayParts{.shape = integers({1}), .dtype = dtype_part("i4"), .data = shared}.write()(pickle);
  pickle.tuple().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  const NdArray& first = *built.root[1].as_ndarray();
  EXPECT_EQ(*first.data, *built.root[2].as_ndarray()->data);
  EXPECT_EQ(*first.data, *built.root[3].as_ndarray()->data);
  EXPECT_TRUE(first.tensor->shares_storage_with(*built.root[2].as_ndarray()->tensor));
  EXPECT_FALSE(first.tensor->shares_storage_with(*built.root[3].as_ndarray()->tensor));
}

TEST(Numpy, TensorsOfDevicesThatTravelAsArraysAreBuilt) {
  const auto device_tensor = [](const ArrayParts& array, const char* dtype) {
    return call_of("torch._utils", "_rebuild_device_tensor_from_numpy",
                   {array.write(), [=](PickleBuilder& p) { p.global("torch", dtype); }, text("xla:0"), boolean(true)});
  };
  const Value same = built_from(device_tensor({}, "float32")).root;
  ASSERT_EQ(same.kind(), ValueKind::tensor);
  EXPECT_TRUE(same.as_tensor()->options().requires_grad);
  EXPECT_EQ(elements_of<float>(*same.as_tensor()), (std::vector<float>{1, 2}));
  // bfloat16 came as float32.
  const Tensor narrow = *built_from(device_tensor({}, "bfloat16")).root.as_tensor();
  EXPECT_EQ(narrow.dtype(), DType::bf16);
  EXPECT_EQ(elements_of<float>(narrow.to(DType::f32).value()), (std::vector<float>{1, 2}));
}

TEST(Numpy, AnEditedGraphHasItsArraysAndScalars) {
  const Value root = built_from(tuple_of({ArrayParts{}.write(), scalar_part(dtype_part("b1", "|"), bytes_part("\1")),
                                          scalar_part(dtype_part("f4"), bytes_part("\0\0\x80\x3f"sv))}))
                         .root;
  const Value copy = Value::list(std::vector<Value>{root, true});
  EXPECT_EQ(copy[0][0].numpy_dtype(), "<f4");
  EXPECT_EQ(copy[0][0].as_ndarray()->shape, Shape{2});
  EXPECT_EQ(copy[0][1].class_name(), "numpy.bool_");
  EXPECT_EQ(copy[0][2].numpy_dtype(), "<f4");
  EXPECT_EQ(copy[1].class_name(), "bool");
}

TEST(Python2Strings, EncodingDecidesWhatTheyAre) {
  PickleBuilder pickle;
  pickle.proto(2).byte_string("abc").byte_string("caf\xC3\xA9").byte_string("caf\xE9").tuple3().stop();
  const auto kinds = [&](Encoding encoding) {
    const Built built = build(pickle, {.encoding = encoding});
    EXPECT_TRUE(built.ok) << built.line;
    std::string said;
    for (std::size_t i = 0; i < 3; ++i) {
      const Value item = built.root[i];
      said += std::string(to_string(item.kind())) + " " + std::string(item.as_string().value_or("")) + ";";
    }
    return said;
  };
  EXPECT_EQ(kinds(Encoding::utf8), "str abc;str caf\xC3\xA9;bytes ;");
  EXPECT_EQ(kinds(Encoding::ascii), "str abc;bytes ;bytes ;");
  EXPECT_EQ(kinds(Encoding::latin1), "str abc;str caf\xC3\x83\xC2\xA9;str caf\xC3\xA9;");
  EXPECT_EQ(kinds(Encoding::bytes), "bytes ;bytes ;bytes ;");
  EXPECT_EQ(to_string(Encoding::utf8), "utf-8");
  EXPECT_EQ(to_string(Encoding::latin1), "latin1");
}

TEST(Python2Strings, KeysOfWeightsAndAttributesStayText) {
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().byte_string("fc.weight").put(1).integer(1).setitem();
  pickle.byte_string("\xFF").get(1).setitem().stop();
  const Built built = build(pickle, {.encoding = Encoding::bytes});
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root["fc.weight"].as_int(), 1);
  // The same object as a value is bytes.
  EXPECT_EQ(built.root.entry(1).second.kind(), ValueKind::bytes);
  EXPECT_EQ(built.root.entry(1).first.kind(), ValueKind::bytes);

  PickleBuilder object;
  object.proto(2)
      .mark()
      .raw("(")
      .raw("imy\nThing\n")
      .raw("}")
      .byte_string("lr")
      .integer(3)
      .setitem()
      .build()
      .list()
      .stop();
  const Built attributes = build(object, {.encoding = Encoding::bytes});
  ASSERT_TRUE(attributes.ok) << attributes.line;
  EXPECT_EQ(attributes.root[0].attr("lr").as_int(), 3);
}

TEST(Python2Strings, StoragesAreFoundUnderEveryEncoding) {
  for (const Encoding encoding : {Encoding::utf8, Encoding::ascii, Encoding::latin1, Encoding::bytes}) {
    PickleBuilder pickle;
    pickle.proto(2).global("torch._utils", "_rebuild_tensor").mark();
    pickle.mark()
        .byte_string("storage")
        .global("torch", "FloatStorage")
        .byte_string("0")
        .byte_string("cpu")
        .integer(8)
        .tuple();
    pickle.binpersid().integer(0).integers(std::vector<std::int64_t>{8}).integers(std::vector<std::int64_t>{1}).tuple();
    pickle.reduce().stop();
    const Built built = build(pickle, {.encoding = encoding});
    ASSERT_TRUE(built.ok) << built.line;
    EXPECT_EQ(built.root.kind(), ValueKind::tensor);
  }
}

}  // namespace
}  // namespace rushlight::test
