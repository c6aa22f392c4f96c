// The functions that make tensors, with right arguments and with every wrong kind in every place.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "built.hpp"
#include "pickle_parts.hpp"

namespace rushlight::test {
namespace {

using Shape64 = std::vector<std::int64_t>;

const Write kDict = [](PickleBuilder& p) { p.empty_dict(); };
const Write kTensor = [](PickleBuilder& p) { p.tensor("FloatStorage", "0", Shape64{2, 4}); };

Write rebuild(std::string name, std::vector<Write> arguments) {
  return call_of("torch._utils", std::move(name), std::move(arguments));
}
// _rebuild_tensor_v2 on storage "0" of eight floats.
Write tensor_v2(Write sizes, Write strides, Write offset = integer(0)) {
  return rebuild("_rebuild_tensor_v2",
                 {storage(), offset, std::move(sizes), std::move(strides), boolean(false), kHooks});
}

Tensor made(const Write& write) {
  const Built built = build(pickle_of(write));
  EXPECT_TRUE(built.ok) << built.line;
  const std::optional<Tensor> tensor = built.root.as_tensor();
  EXPECT_TRUE(tensor) << to_string(built.root.kind());
  return tensor.value_or(Tensor());
}
std::string refused(const Write& write, const LoadOptions& options = {}) {
  const Built built = build(pickle_of(write), options);
  EXPECT_FALSE(built.ok);
  if (built.ok) return "no error";
  EXPECT_EQ(built.error.finding.record, "data.pkl");
  EXPECT_TRUE(built.error.finding.record_offset);
  return std::string(to_string(built.error.finding.category)) + " " + built.error.finding.code + ": " +
         built.error.finding.message;
}

// --- what works
// -------------------------------------------------------------------------------------------------------

TEST(Rebuild, TheThreeFormsOfTorchsFunctionsGiveOneTensor) {
  const Tensor v1 = made(rebuild("_rebuild_tensor", {storage(), integer(1), integers({2, 3}), integers({3, 1})}));
  const Tensor v2 = made(tensor_v2(integers({2, 3}), integers({3, 1}), integer(1)));
  const Tensor v3 = made(rebuild("_rebuild_tensor_v3", {untyped(), integer(1), integers({2, 3}), integers({3, 1}),
                                                        boolean(true), kHooks, global("torch", "float32")}));
  for (const Tensor& tensor : {v1, v2, v3}) {
    EXPECT_EQ(tensor.dtype(), DType::f32);
    EXPECT_EQ(Shape64(tensor.shape().begin(), tensor.shape().end()), (Shape64{2, 3}));
    EXPECT_EQ(tensor.storage_offset(), 1);
    EXPECT_EQ(std::to_integer<int>(tensor.bytes().value()[0]), 4);
  }
  EXPECT_TRUE(v3.options().requires_grad);
  EXPECT_FALSE(v2.options().requires_grad);
}

TEST(Rebuild, A10_ExpandedOverlappingZeroSizedAndZeroDimensionalViewsAreLegal) {
  EXPECT_EQ(made(tensor_v2(integers({1000, 2}), integers({0, 1}))).numel(), 2000);
  EXPECT_EQ(made(tensor_v2(integers({3, 4}), integers({2, 1}))).numel(), 12);
  EXPECT_EQ(made(tensor_v2(integers({0, 7}), integers({7, 1}))).numel(), 0);
  EXPECT_EQ(made(tensor_v2(integers({}), integers({}), integer(7))).dim(), 0);
  EXPECT_FALSE(made(tensor_v2(integers({2, 4}), integers({1, 2}))).is_contiguous());
}

TEST(Rebuild, SizesMayBeListsOrTorchSizes) {
  const Write list = [](PickleBuilder& p) { p.mark().integer(2).integer(4).list(); };
  const Write size = [](PickleBuilder& p) {
    p.global("torch", "Size").integer(2).integer(4).tuple2().tuple1().reduce();
  };
  EXPECT_EQ(made(tensor_v2(list, integers({4, 1}))).numel(), 8);
  const Write strides = [](PickleBuilder& p) { p.mark().integer(4).integer(1).list(); };
  EXPECT_EQ(made(tensor_v2(size, strides)).numel(), 8);
}

TEST(Rebuild, HooksMayBeNone) {
  EXPECT_EQ(
      made(rebuild("_rebuild_tensor_v2", {storage(), integer(0), integers({8}), integers({1}), boolean(false), kNone}))
          .numel(),
      8);
}

TEST(Rebuild, ConjAndNegAreBitsInTheMetadata) {
  const Write metadata = [](PickleBuilder& p) { p.empty_dict().text("neg").boolean(true).setitem(); };
  const Tensor tensor = made(rebuild(
      "_rebuild_tensor_v2", {storage(), integer(0), integers({8}), integers({1}), boolean(false), kHooks, metadata}));
  EXPECT_TRUE(tensor.options().neg);
  EXPECT_FALSE(tensor.options().conj);
  const Write conj = [](PickleBuilder& p) { p.empty_dict().text("conj").boolean(true).setitem(); };
  const Tensor complex =
      made(rebuild("_rebuild_tensor_v2", {storage("ComplexFloatStorage", "0", 4), integer(0), integers({4}),
                                          integers({1}), boolean(false), kHooks, conj}));
  EXPECT_TRUE(complex.options().conj);
}

TEST(Rebuild, ParametersTakeTheFlagOfTheOuterCall) {
  const Tensor parameter = made(rebuild("_rebuild_parameter", {kTensor, boolean(true), kHooks}));
  EXPECT_EQ(parameter.options().tensor_class, TensorClass::parameter);
  EXPECT_TRUE(parameter.options().requires_grad);

  const Write state = [](PickleBuilder& p) { p.empty_dict().text("note").integer(3).setitem(); };
  const Built built =
      build(pickle_of(rebuild("_rebuild_parameter_with_state", {kTensor, boolean(false), kHooks, state})));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.attr("note").as_int(), 3);
}

TEST(Rebuild, MetaTensorsCostNothing) {
  const std::int64_t huge = std::int64_t{1} << 50;
  const Tensor tensor = made(rebuild("_rebuild_meta_tensor_no_storage",
                                     {global("torch", "bfloat16"), integers({huge}), integers({1}), boolean(false)}));
  EXPECT_EQ(tensor.device(), Device::meta());
  EXPECT_EQ(tensor.numel(), huge);
  EXPECT_EQ(tensor.bytes().error().code, ErrorCode::device);
  EXPECT_EQ(refused(rebuild(
                "_rebuild_meta_tensor_no_storage",
                {global("torch", "float32"), integers({std::int64_t{1} << 62, 8}), integers({8, 1}), boolean(false)})),
            "tensor TENSOR-OVERFLOW: tensor at the root: sizes [4611686018427387904, 8] overflow a 64-bit count");
}

TEST(Rebuild, DeviceTensorsAreTheirCpuTensors) {
  const Write on_device = rebuild("_rebuild_device_tensor_from_cpu_tensor",
                                  {kTensor, global("torch", "float32"), text("xla:1"), boolean(true)});
  EXPECT_TRUE(made(on_device).options().requires_grad);
  EXPECT_EQ(refused(rebuild("_rebuild_device_tensor_from_cpu_tensor",
                            {kTensor, global("torch", "float64"), text("xla:1"), boolean(true)})),
            "type TYPE-ARGUMENT: tensor at the root: torch._utils._rebuild_device_tensor_from_cpu_tensor: argument 1 "
            "(dtype), expected torch.float32, found global 'torch.float64'");
}

Write from_type(Write function, Write type, Write arguments, Write state) {
  return call_of("torch._tensor", "_rebuild_from_type_v2",
                 {std::move(function), std::move(type), std::move(arguments), std::move(state)});
}
const Write kV2Arguments = tuple_of({storage(), integer(0), integers({8}), integers({1}), boolean(false), kHooks});
const Write kV2 = global("torch._utils", "_rebuild_tensor_v2");

TEST(Rebuild, TensorsKeepTheirAttributes) {
  const Write state = [](PickleBuilder& p) { p.empty_dict().text("tag").text("x").setitem(); };
  const Built built = build(pickle_of(from_type(kV2, global("torch", "Tensor"), kV2Arguments, state)));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.attr("tag").as_string(), "x");
  EXPECT_EQ(built.root.class_name(), "torch.Tensor");
  // As (None, slots) too.
  const Write slots = [](PickleBuilder& p) { p.none().empty_dict().text("tag").text("y").setitem().tuple2(); };
  EXPECT_TRUE(build(pickle_of(from_type(kV2, global("torch", "Tensor"), kV2Arguments, slots))).ok);
}

TEST(Rebuild, BuffersAreTensorsWithAnAttribute) {
  const Write state = [](PickleBuilder& p) {
    p.empty_dict().mark().text("persistent").boolean(true).text("_is_buffer").boolean(true).setitems();
  };
  EXPECT_EQ(made(from_type(kV2, global("torch", "Tensor"), kV2Arguments, state)).options().tensor_class,
            TensorClass::buffer);
}

TEST(Rebuild, T20_ATensorOfAnUnknownSubclassIsATensorWithAWarning) {
  const Built built = build(pickle_of(from_type(kV2, global("my.types", "Tagged"), kV2Arguments, kDict)));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.kind(), ValueKind::tensor);
  EXPECT_EQ(built.root.class_name(), "my.types.Tagged");
  ASSERT_EQ(built.findings.size(), 1u);
  EXPECT_EQ(built.findings[0].category, Category::global);
  EXPECT_EQ(built.globals[2].paths, std::vector<std::string>{""});
}

TEST(Rebuild, T20_CallsInsideCallsHaveALimit) {
  Write nested = kTensor;
  for (int i = 0; i < 20; ++i) nested = rebuild("_rebuild_parameter", {nested, boolean(false), kHooks});
  EXPECT_EQ(refused(nested),
            "limit LIMIT-TENSOR-NESTING: tensor at the root: torch._utils._rebuild_parameter: too many calls that make "
            "tensors stand inside each other");
  EXPECT_EQ(refused(from_type(global("torch._tensor", "_rebuild_from_type_v2"), global("torch", "Tensor"),
                              tuple_of({kV2, global("torch", "Tensor"), kV2Arguments, kDict}), kDict)),
            "type TYPE-ARGUMENT: tensor at the root: torch._tensor._rebuild_from_type_v2: argument 0 (function), "
            "expected a rebuild function, found global 'torch._tensor._rebuild_from_type_v2'");
}

TEST(Rebuild, OldTensorObjectsTakeTheirStateFromBuild) {
  const Write state = tuple_of({storage(), integer(2), integers({2, 2}), integers({2, 1})});
  const Write old = [=](PickleBuilder& p) {
    p.global("torch", "FloatTensor").empty_tuple().reduce();
    state(p);
    p.build();
  };
  EXPECT_EQ(made(old).storage_offset(), 2);
  const Write plain = [=](PickleBuilder& p) {
    p.global("torch", "Tensor").empty_tuple().newobj();
    state(p);
    p.build();
  };
  EXPECT_EQ(made(plain).numel(), 4);
  EXPECT_EQ(made([](PickleBuilder& p) { p.global("torch.cuda", "LongTensor").empty_tuple().reduce(); }).dtype(),
            DType::i64);
}

TEST(Rebuild, OldParametersHaveThreeFormsOfState) {
  const auto parameter = [](std::vector<Write> state, bool with_data) {
    return [=](PickleBuilder& p) {
      p.global("torch.nn.parameter", "Parameter");
      if (with_data) {
        tuple_of({kTensor})(p);
      } else {
        p.empty_tuple();
      }
      p.newobj();
      tuple_of(state)(p);
      p.build();
    };
  };
  const Tensor five = made(parameter({kTensor, kNone, kHooks, boolean(true), kNone}, false));
  EXPECT_EQ(five.options().tensor_class, TensorClass::parameter);
  EXPECT_TRUE(five.options().requires_grad);
  EXPECT_EQ(five.numel(), 8);
  EXPECT_FALSE(made(parameter({boolean(false), kNone, kHooks}, true)).options().requires_grad);
  EXPECT_EQ(made(parameter({storage(), integer(0), integers({8}), integers({1})}, false)).numel(), 8);
}

TEST(Rebuild, T25_OldTensorObjectsWithAWrongStateAreRefused) {
  const auto with_state = [](Write state) {
    return [=](PickleBuilder& p) {
      p.global("torch", "FloatTensor").empty_tuple().reduce();
      state(p);
      p.build();
    };
  };
  EXPECT_EQ(refused(with_state(kDict)),
            "type TYPE-BUILD: tensor at the root: torch.FloatTensor state, expected a tuple, found dict");
  EXPECT_EQ(
      refused(with_state(tuple_of({storage(), integer(0), integers({8})}))),
      "type TYPE-ARGUMENT-COUNT: tensor at the root: torch.FloatTensor state: wrong number of arguments, expected "
      "4, found 3");
  EXPECT_EQ(refused(with_state(tuple_of({storage("LongStorage", "0", 4), integer(0), integers({4}), integers({1})}))),
            "type TYPE-ARGUMENT: tensor at the root: torch.FloatTensor state: argument 0 (storage), expected one of "
            "float32, found a storage");
  EXPECT_EQ(
      refused(with_state(tuple_of({text("0"), integer(0), integers({8}), integers({1})}))),
      "type TYPE-ARGUMENT: tensor at the root: torch.FloatTensor state: argument 0 (storage), expected a storage, "
      "found str");
}

// --- P33: each argument replaced by each other type
// --------------------------------------------------------------------

struct Kind {
  std::string name;  // as messages have it
  Write write;
};
std::vector<Kind> all_kinds() {
  return {{"None", kNone},
          {"bool", boolean(true)},
          {"int", integer(0)},
          {"big int", [](PickleBuilder& p) { p.long1(std::string_view("\0\0\0\0\0\0\0\0\x01", 9)); }},
          {"float", [](PickleBuilder& p) { p.real(1); }},
          {"str", text("x")},
          {"Python 2 str", [](PickleBuilder& p) { p.byte_string("x"); }},
          {"bytes", [](PickleBuilder& p) { p.bytes_value("x"); }},
          {"list", [](PickleBuilder& p) { p.empty_list(); }},
          {"tuple", [](PickleBuilder& p) { p.empty_tuple(); }},
          {"dict", kDict},
          {"global 'torch.float16'", global("torch", "float16")},
          {"global 'torch.FloatStorage'", global("torch", "FloatStorage")},
          {"an object of 'collections.OrderedDict'", kHooks},
          {"a tensor", kTensor},
          {"a storage", storage()}};
}

struct Place {
  std::string what;                    // "argument 2 (size)"
  std::string expected;                // "a tuple of int"
  std::vector<std::string> fits = {};  // kinds that are of the right type
};

void expect_matrix(const std::string& module, const std::string& name, const std::vector<Write>& right,
                   const std::vector<Place>& places, std::size_t least, std::size_t most) {
  const std::string callee = module + "." + name;
  ASSERT_TRUE(build(pickle_of(call_of(module, name, right))).ok) << callee;
  ASSERT_EQ(right.size(), places.size());
  for (std::size_t i = 0; i < right.size(); ++i) {
    for (const Kind& kind : all_kinds()) {
      std::vector<Write> arguments = right;
      arguments[i] = kind.write;
      const Built built = build(pickle_of(call_of(module, name, arguments)));
      const Place& place = places[i];
      if (std::find(place.fits.begin(), place.fits.end(), kind.name) != place.fits.end()) {
        // The type is right; the value may still not suit the others.
        EXPECT_NE(built.error.finding.code, "TYPE-ARGUMENT") << callee << " " << i << " " << built.line;
        continue;
      }
      ASSERT_FALSE(built.ok) << callee << ", " << place.what << ": " << kind.name;
      const std::string& message = built.error.finding.message;
      if (kind.name == "big int" && place.expected == "int") {
        EXPECT_EQ(message, "tensor at the root: " + callee + ": " + place.what + " does not fit 64 bits");
        continue;
      }
      const std::string found = kind.name == "big int" ? "int" : kind.name;
      EXPECT_EQ(message, "tensor at the root: " + callee + ": " + place.what + ", expected " + place.expected +
                             ", found " + found);
      EXPECT_EQ(built.error.finding.code, "TYPE-ARGUMENT");
      EXPECT_EQ(built.error.finding.category, Category::type);
      EXPECT_EQ(built.error.finding.expected, place.expected);
      EXPECT_EQ(built.error.finding.found, found);
      EXPECT_EQ(built.error.finding.tensors, std::vector<std::string>{""});
    }
  }
  // 0 arguments up to two too many.
  std::string expected = std::to_string(least);
  if (most > least) expected += (most == least + 1 ? " or " : " to ") + std::to_string(most);
  for (std::size_t count = 0; count <= most + 2; ++count) {
    if (count >= least && count <= most) continue;
    std::vector<Write> arguments(right.begin(),
                                 right.begin() + static_cast<std::ptrdiff_t>(std::min(count, right.size())));
    while (arguments.size() < count) arguments.push_back(kNone);
    const Built built = build(pickle_of(call_of(module, name, arguments)));
    ASSERT_FALSE(built.ok) << callee << " " << count;
    EXPECT_EQ(built.error.finding.message, "tensor at the root: " + callee + ": wrong number of arguments, expected " +
                                               expected + ", found " + std::to_string(count));
  }
}

const Place kStoragePlace{"argument 0 (storage)", "a storage", {"a storage"}};
const Place kOffsetPlace{"argument 1 (storage_offset)", "int", {"int"}};
const Place kSizePlace{"argument 2 (size)", "a tuple of int", {"tuple", "list"}};
const Place kStridePlace{"argument 3 (stride)", "a tuple of int", {"tuple", "list"}};
const Place kGradPlace{"argument 4 (requires_grad)", "bool", {"bool"}};
const Place kHooksPlace{
    "argument 5 (backward hooks)", "a dict or None", {"None", "dict", "an object of 'collections.OrderedDict'"}};

TEST(Rebuild, P33_EveryWrongArgumentIsNamed) {
  const std::vector<Write> v1 = {storage(), integer(0), integers({8}), integers({1})};
  expect_matrix("torch._utils", "_rebuild_tensor", v1, {kStoragePlace, kOffsetPlace, kSizePlace, kStridePlace}, 4, 4);
  std::vector<Write> v2 = v1;
  v2.insert(v2.end(), {boolean(false), kHooks, kDict});
  expect_matrix("torch._utils", "_rebuild_tensor_v2", v2,
                {kStoragePlace,
                 kOffsetPlace,
                 kSizePlace,
                 kStridePlace,
                 kGradPlace,
                 kHooksPlace,
                 {"argument 6 (metadata)", "a dict", {"None", "dict"}}},
                6, 7);
  std::vector<Write> v3 = {
      untyped(), integer(0), integers({8}), integers({1}), boolean(false), kHooks, global("torch", "float32"), kDict};
  expect_matrix("torch._utils", "_rebuild_tensor_v3", v3,
                {kStoragePlace,
                 kOffsetPlace,
                 kSizePlace,
                 kStridePlace,
                 kGradPlace,
                 kHooksPlace,
                 {"argument 6 (dtype)", "a torch dtype", {"global 'torch.float16'"}},
                 {"argument 7 (metadata)", "a dict", {"None", "dict"}}},
                7, 8);
  expect_matrix("torch._utils", "_rebuild_parameter", {kTensor, boolean(true), kHooks},
                {{"argument 0 (data)", "a tensor", {"a tensor"}},
                 {"argument 1 (requires_grad)", "bool", {"bool"}},
                 {"argument 2 (backward hooks)", "a dict or None", kHooksPlace.fits}},
                3, 3);
  expect_matrix("torch._utils", "_rebuild_parameter_with_state", {kTensor, boolean(true), kHooks, kDict},
                {{"argument 0 (data)", "a tensor", {"a tensor"}},
                 {"argument 1 (requires_grad)", "bool", {"bool"}},
                 {"argument 2 (backward hooks)", "a dict or None", kHooksPlace.fits},
                 {"argument 3 (state)", "a dict", kHooksPlace.fits}},
                4, 4);
  expect_matrix("torch._utils", "_rebuild_meta_tensor_no_storage",
                {global("torch", "float32"), integers({8}), integers({1}), boolean(false)},
                {{"argument 0 (dtype)", "a torch dtype", {"global 'torch.float16'"}},
                 {"argument 1 (size)", "a tuple of int", {"tuple", "list"}},
                 {"argument 2 (stride)", "a tuple of int", {"tuple", "list"}},
                 {"argument 3 (requires_grad)", "bool", {"bool"}}},
                4, 4);
  expect_matrix(
      "torch._tensor", "_rebuild_from_type_v2", {kV2, global("torch", "Tensor"), kV2Arguments, kDict},
      {{"argument 0 (function)", "a rebuild function", {"global 'torch.float16'", "global 'torch.FloatStorage'"}},
       {"argument 1 (type)", "a tensor class", {}},
       {"argument 2 (arguments)", "a tuple", {"tuple"}},
       {"argument 3 (state)", "a dict", kHooksPlace.fits}},
      4, 4);
}

TEST(Rebuild, T19_FlagsAndHooksHaveTheirTypes) {
  EXPECT_EQ(refused(rebuild("_rebuild_parameter", {kTensor, text("true"), kHooks})),
            "type TYPE-ARGUMENT: tensor at the root: torch._utils._rebuild_parameter: argument 1 (requires_grad), "
            "expected bool, found str");
  // A callable among the hooks is a name like any other.
  const Write hooks = [](PickleBuilder& p) { p.empty_dict().integer(1).global("os", "system").setitem(); };
  const Built built = build(pickle_of(rebuild("_rebuild_parameter", {kTensor, boolean(true), hooks})));
  ASSERT_TRUE(built.ok) << built.line;
  ASSERT_EQ(built.findings.size(), 1u);
  EXPECT_EQ(built.findings[0].message, "global 'os.system' is not on the allow-list");
}

// --- T rows: geometry
// --------------------------------------------------------------------------------------------------

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

TEST(Rebuild, T01_SizesMustBeNaturalNumbers) {
  EXPECT_EQ(refused(tensor_v2(integers({2, -1}), integers({1, 1}))),
            "tensor TENSOR-SIZE: tensor at the root: the size of dimension 1 is -1, expected 0 or more");
  EXPECT_EQ(
      refused(tensor_v2(integers({kMin}), integers({1}))),
      "tensor TENSOR-SIZE: tensor at the root: the size of dimension 0 is -9223372036854775808, expected 0 or more");
  for (const Kind& kind : all_kinds()) {
    if (kind.name == "int" || kind.name == "big int") continue;
    EXPECT_EQ(
        refused(tensor_v2(tuple_of({integer(2), kind.write}), integers({1, 1}))),
        "type TYPE-ARGUMENT: tensor at the root: torch._utils._rebuild_tensor_v2: argument 2 (size) at dimension 1, "
        "expected int, found " +
            kind.name);
  }
}

TEST(Rebuild, P19_IntegersBeyond64BitsAreNoSizesStridesOrOffsets) {
  const Write big = [](PickleBuilder& p) { p.long1(std::string_view("\0\0\0\0\0\0\0\x80\0", 9)); };
  EXPECT_EQ(
      refused(tensor_v2(tuple_of({big}), integers({1}))),
      "tensor TENSOR-OVERFLOW: tensor at the root: torch._utils._rebuild_tensor_v2: argument 2 (size) at dimension "
      "0 does not fit 64 bits");
  EXPECT_EQ(refused(tensor_v2(integers({1}), tuple_of({big}))),
            "tensor TENSOR-OVERFLOW: tensor at the root: torch._utils._rebuild_tensor_v2: argument 3 (stride) at "
            "dimension 0 does not fit 64 bits");
  EXPECT_EQ(refused(tensor_v2(integers({1}), integers({1}), big)),
            "tensor TENSOR-OVERFLOW: tensor at the root: torch._utils._rebuild_tensor_v2: argument 1 (storage_offset) "
            "does not fit 64 bits");
}

TEST(Rebuild, T02_ProductsThatWrapAreRefused) {
  for (const Shape64& sizes : {Shape64{1LL << 32, 1LL << 32}, Shape64{1LL << 62, 4}, Shape64{kMax, kMax, kMax}}) {
    const Shape64 zeros(sizes.size(), 0);
    const std::string line = refused(tensor_v2(integers(sizes), integers(zeros)));
    EXPECT_TRUE(line.starts_with("tensor TENSOR-OVERFLOW: tensor at the root: sizes [")) << line;
  }
  // With a zero among them there are no elements, wherever it stands.
  EXPECT_EQ(made(tensor_v2(integers({0, 1LL << 62, 4}), integers({0, 0, 0}))).numel(), 0);
  EXPECT_EQ(made(tensor_v2(integers({1LL << 62, 4, 0}), integers({0, 0, 0}))).numel(), 0);
}

TEST(Rebuild, T04_StridesMustBeNaturalNumbersOnePerDimension) {
  EXPECT_EQ(refused(tensor_v2(integers({2, 2}), integers({2, -1}))),
            "tensor TENSOR-STRIDE: tensor at the root: the stride of dimension 1 is -1, expected 0 or more");
  EXPECT_EQ(
      refused(tensor_v2(integers({2}), integers({kMin}))),
      "tensor TENSOR-STRIDE: tensor at the root: the stride of dimension 0 is -9223372036854775808, expected 0 or "
      "more");
  EXPECT_EQ(refused(tensor_v2(integers({2, 2}), integers({1}))),
            "tensor TENSOR-STRIDE: tensor at the root: a tensor of 2 dimensions has 1 strides");
}

TEST(Rebuild, T06_OffsetsMustLieInTheStorage) {
  EXPECT_EQ(refused(tensor_v2(integers({1}), integers({1}), integer(-1))),
            "tensor TENSOR-OFFSET: tensor at the root: the storage offset is -1, expected 0 or more");
  EXPECT_EQ(
      refused(tensor_v2(integers({1}), integers({1}), integer(8))),
      "tensor TENSOR-BOUNDS: tensor at the root: sizes [1], strides [1] and offset 8 reach element 8, the storage "
      "holds 8 of float32 (32 bytes)");
  EXPECT_EQ(
      refused(tensor_v2(integers({2}), integers({1}), integer(7))),
      "tensor TENSOR-BOUNDS: tensor at the root: sizes [2], strides [1] and offset 7 reach element 8, the storage "
      "holds 8 of float32 (32 bytes)");
  EXPECT_EQ(
      refused(tensor_v2(integers({2}), integers({1}), integer(kMax))),
      "tensor TENSOR-BOUNDS: tensor at the root: sizes [2], strides [1] and offset 9223372036854775807 reach beyond "
      "64 bits, the storage holds 8 of float32 (32 bytes)");
  EXPECT_EQ(made(tensor_v2(integers({0}), integers({1}), integer(100))).numel(), 0);
}

TEST(Rebuild, T07_TheLastElementMayEndTheStorageAndNotPassIt) {
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    if (row.kind == DTypeKind::quantized) continue;
    const std::int64_t units = 32 / row.size_bytes;
    const auto view = [&](std::int64_t count) {
      return rebuild("_rebuild_tensor_v3", {untyped(), integer(0), integers({count}), integers({1}), boolean(false),
                                            kHooks, global("torch", std::string(row.name))});
    };
    EXPECT_EQ(made(view(units)).numel(), units) << row.name;
    EXPECT_TRUE(refused(view(units + 1)).starts_with("tensor TENSOR-BOUNDS")) << row.name;
  }
}

TEST(Rebuild, T09_TheNumelMustFitTheStorage) {
  EXPECT_EQ(
      refused(rebuild("_rebuild_tensor", {storage("FloatStorage", "0", 9), integer(0), integers({9}), integers({1})})),
      "store STORE-SIZE: tensor at the root: expected 36 bytes, found 32");
  EXPECT_EQ(
      refused(
          rebuild("_rebuild_tensor", {storage("FloatStorage", "0", kMax), integer(0), integers({1}), integers({1})})),
      "store STORE-OVERFLOW: tensor at the root: storage '0' of 9223372036854775807 of float32 on 'cpu' overflows "
      "64 bits");
}

TEST(Rebuild, T10_DimensionsHaveALimit) {
  const Shape64 most(64, 1);
  EXPECT_EQ(made(tensor_v2(integers(most), integers(most))).dim(), 64);
  for (const std::size_t dims : {std::size_t{65}, std::size_t{1000}, std::size_t{1000000}}) {
    const Shape64 sizes(dims, 1);
    EXPECT_EQ(
        refused(tensor_v2(integers(sizes), integers(sizes))),
        "limit LIMIT-TENSOR-DIMS: tensor at the root: torch._utils._rebuild_tensor_v2: argument 2 (size) has more "
        "dimensions than the limit tensor_dims, expected at most 64, found " +
            std::to_string(dims));
  }
}

TEST(Rebuild, T11_AnExpandedTensorIsAViewUntilItIsCopied) {
  const Tensor tensor = made(tensor_v2(integers({1LL << 40}), integers({0})));
  EXPECT_EQ(tensor.numel(), 1LL << 40);
  EXPECT_EQ(tensor.contiguous(1 << 20).error().code, ErrorCode::limit_exceeded);
}

TEST(Rebuild, T13_DtypesOfVersion3AreChecked) {
  const auto v3 = [](Write typed, Write dtype) {
    return rebuild("_rebuild_tensor_v3", {std::move(typed), integer(0), integers({1}), integers({1}), boolean(false),
                                          kHooks, std::move(dtype)});
  };
  EXPECT_EQ(made(v3(storage(), global("torch", "uint16"))).dtype(), DType::u16);
  MemoryStorages storages;
  storages.add("0", 12);
  const Built odd = build(pickle_of(v3(storage("FloatStorage", "0", 3), global("torch", "complex128"))), storages);
  EXPECT_EQ(odd.error.finding.message, "tensor at the root: a storage of 3 float32 is no whole number of complex128");
  // A dtype that is newer than we are: the tensor stays opaque, the others load.
  const Built unknown = build(pickle_of(v3(untyped(), global("torch", "float3"))));
  ASSERT_TRUE(unknown.ok) << unknown.line;
  EXPECT_EQ(unknown.root.kind(), ValueKind::opaque);
  ASSERT_EQ(unknown.findings.size(), 2u);
  EXPECT_EQ(line_of(unknown.findings[1]).substr(0, 24), "unsup TENSOR-DTYPE at 0x");
}

TEST(Rebuild, T23_BoolsAreBytes) {
  const Tensor tensor = made(rebuild("_rebuild_tensor_v2", {storage("BoolStorage", "0", 32), integer(0), integers({32}),
                                                            integers({1}), boolean(false), kHooks}));
  EXPECT_EQ(std::to_integer<int>(tensor.bytes().value()[31]), 31);
}

TEST(Rebuild, TensorsHaveALimit) {
  LoadOptions options;
  options.limits.tensors = 1;
  EXPECT_EQ(refused(tuple_of({kTensor, kTensor}), options),
            "limit LIMIT-TENSORS: there are more tensors than the limit tensors, expected at most 1");
}

TEST(Rebuild, ErrorsNameTheTensorByItsPath) {
  const auto bad = tensor_v2(integers({9}), integers({1}));
  const Write model = [&](PickleBuilder& p) {
    p.empty_dict().text("model").empty_dict().text("fc.weight");
    bad(p);
    p.setitem().setitem();
  };
  const Built built = build(pickle_of(model));
  EXPECT_EQ(built.error.finding.tensors, std::vector<std::string>{"model.fc.weight"});
  EXPECT_TRUE(built.error.finding.message.starts_with("tensor 'model.fc.weight': sizes [9]")) << built.line;
  const Write in_list = [&](PickleBuilder& p) {
    p.empty_dict().integer(3).empty_list();
    kTensor(p);
    p.append();
    bad(p);
    p.append().setitem();
  };
  EXPECT_EQ(build(pickle_of(in_list)).error.finding.tensors, std::vector<std::string>{"[3][1]"});
  const Write in_module = [&](PickleBuilder& p) {
    p.global("my", "Net").empty_tuple().newobj().empty_dict().text("_parameters").empty_dict().text("weight");
    bad(p);
    p.setitem().setitem().build();
  };
  EXPECT_EQ(build(pickle_of(in_module)).error.finding.tensors, std::vector<std::string>{"weight"});
  const Write in_pairs = [&](PickleBuilder& p) {
    p.global("collections", "OrderedDict").empty_list().mark().empty_list().mark().byte_string("w");
    bad(p);
    p.appends().appends().tuple1().reduce();
  };
  EXPECT_EQ(build(pickle_of(in_pairs)).error.finding.tensors, std::vector<std::string>{"w"});
}

// --- S rows: storages
// --------------------------------------------------------------------------------------------------

TEST(Rebuild, S04_OneKeyIsOneStorage) {
  const auto pair = [](Write first, Write second) {
    const auto tensor = [](Write of) {
      return rebuild("_rebuild_tensor", {std::move(of), integer(0), integers({1}), integers({1})});
    };
    return tuple_of({tensor(std::move(first)), tensor(std::move(second))});
  };
  MemoryStorages storages = usual_storages();
  const Built built = build(pickle_of(pair(storage(), storage())), storages);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(storages.asked(), 1);
  EXPECT_TRUE(built.root[0].as_tensor()->shares_storage_with(*built.root[1].as_tensor()));

  EXPECT_EQ(
      refused(pair(storage(), storage("LongStorage", "0", 4))),
      "store STORE-CONFLICT: tensor '[1]': storage '0' is named twice as different things, first as 8 of float32 on "
      "'cpu', then as 4 of int64 on 'cpu'");
  EXPECT_EQ(
      refused(pair(storage(), storage("FloatStorage", "0", 4))),
      "store STORE-CONFLICT: tensor '[1]': storage '0' is named twice as different things, first as 8 of float32 on "
      "'cpu', then as 4 of float32 on 'cpu'");
  const Write on_gpu = [](PickleBuilder& p) { p.storage("FloatStorage", "0", 8, "cuda:0"); };
  EXPECT_EQ(
      refused(pair(storage(), on_gpu)),
      "store STORE-CONFLICT: tensor '[1]': storage '0' is named twice as different things, first as 8 of float32 on "
      "'cpu', then as 8 of float32 on 'cuda:0'");
  EXPECT_EQ(
      refused(pair(storage(), untyped(32))),
      "store STORE-CONFLICT: tensor '[1]': storage '0' is named twice as different things, first as 8 of float32 on "
      "'cpu', then as 32 of bytes on 'cpu'");
  // The two legal cases.
  EXPECT_TRUE(build(pickle_of(pair(storage("ByteStorage", "0", 32), untyped(32)))).ok);
  EXPECT_TRUE(build(pickle_of(pair(untyped(32), storage("ByteStorage", "0", 32)))).ok);
}

TEST(Rebuild, S04_AnEmptyStorageMayHaveAnyClass) {
  const auto empty = [](std::string storage_class) {
    return rebuild("_rebuild_tensor",
                   {storage(std::move(storage_class), "e", 0), integer(0), integers({0}), integers({1})});
  };
  const Built built = build(pickle_of(tuple_of({empty("FloatStorage"), empty("IntStorage")})));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root[0].as_tensor()->dtype(), DType::f32);
  EXPECT_EQ(built.root[1].as_tensor()->dtype(), DType::i32);
}

TEST(Rebuild, S01_KeysAreExact) {
  for (const char* key : {"", "00", "+0", "0x0", "0 ", "E"}) {
    EXPECT_EQ(refused(rebuild("_rebuild_tensor",
                              {storage("FloatStorage", key, 8), integer(0), integers({1}), integers({1})})),
              "store STORE-MISSING: tensor at the root: no such storage");
  }
}

TEST(Rebuild, AStorageOfAnUnknownClassStaysOpaqueWithItsTensors) {
  const Built built =
      build(pickle_of(rebuild("_rebuild_tensor_v2", {storage("FloatStorageX"), integer(0), integers({8}), integers({1}),
                                                     boolean(false), kHooks})));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.kind(), ValueKind::opaque);
  EXPECT_EQ(built.root.arguments()[0].class_name(), "torch.FloatStorageX");
  EXPECT_FALSE(built.globals[1].allowed);
}

TEST(Rebuild, AStorageByItselfIsAValue) {
  const Built built = build(pickle_of(tuple_of({storage(), storage(), untyped(16, "1")})));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root[0].kind(), ValueKind::storage);
  EXPECT_EQ(built.root[0].as_dtype(), DType::f32);
  EXPECT_TRUE(built.root[0].same_object(built.root[1]));
  EXPECT_EQ(built.root[2].as_dtype(), DType::u8);
}

TEST(Rebuild, RecognisedTensorsThatAreNotBuiltStayOpaqueWithAWarning) {
  const Write sparse = call_of("torch.sparse", "FloatTensor", {kTensor, kTensor, integers({2, 2})});
  const Write model = [&](PickleBuilder& p) {
    p.empty_dict().text("s");
    sparse(p);
    p.setitem().text("t");
    sparse(p);
    p.setitem().text("p");
    rebuild("_rebuild_parameter", {rebuild("_rebuild_device_tensor_from_numpy", {kNone}), boolean(true), kHooks})(p);
    p.setitem().text("w");
    kTensor(p);
    p.setitem();
  };
  const Built built = build(pickle_of(model));
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root["w"].kind(), ValueKind::tensor);
  EXPECT_EQ(built.root["s"].kind(), ValueKind::opaque);
  EXPECT_EQ(built.root["p"].kind(), ValueKind::opaque);
  ASSERT_EQ(built.findings.size(), 2u);
  EXPECT_EQ(built.findings[0].code, "TENSOR-SPARSE");
  EXPECT_EQ(built.findings[0].message, "2 old sparse tensors are kept as opaque values");
  EXPECT_EQ(built.findings[0].severity, Severity::warning);
  EXPECT_EQ(built.findings[0].category, Category::unsup);
  EXPECT_EQ(built.findings[0].tensors, (std::vector<std::string>{"s", "t"}));
  EXPECT_EQ(built.findings[1].message, "1 NumPy-backed device tensor is kept as an opaque value");
}

TEST(Rebuild, TensorsCanGoToTheMetaDevice) {
  LoadOptions options;
  options.map_location = Device::meta();
  const Built built = build(pickle_of(kTensor), options);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.as_tensor()->device(), Device::meta());
  options.map_location = MapLocation::table({{"cpu", Device::meta()}});
  EXPECT_EQ(build(pickle_of(kTensor), options).root.as_tensor()->device(), Device::meta());
  options.map_location = MapLocation::function([](std::string_view) { return Device::cpu(); });
  EXPECT_EQ(build(pickle_of(kTensor), options).root.as_tensor()->device(), Device::cpu());
}

}  // namespace
}  // namespace rushlight::test
