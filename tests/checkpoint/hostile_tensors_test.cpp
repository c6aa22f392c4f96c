// T rows of the catalogue of hostile inputs: geometry and arguments that torch would have believed, with the place
// where each is refused. tests/checkpoint/rebuild_test.cpp has the words of every message; here the offsets are held
// too.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.hpp"
#include "built.hpp"
#include "pickle_parts.hpp"

namespace rushlight::test {
namespace {

using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// {"w": _rebuild_tensor(storage, offset, size, stride)}.
struct Entry {
  PickleBuilder pickle;
  std::uint64_t call = 0;  // where the REDUCE stands
};
Entry entry_of(const Write& make) {
  Entry entry;
  entry.pickle.proto(2).empty_dict().text("w");
  make(entry.pickle);
  entry.call = entry.pickle.size() - 1;
  entry.pickle.setitem().stop();
  return entry;
}
Write tensor_of(Write sizes, Write strides, Write offset = integer(0), Write on = storage()) {
  return call_of("torch._utils", "_rebuild_tensor",
                 {std::move(on), std::move(offset), std::move(sizes), std::move(strides)});
}
// "tensor TENSOR-SIZE: the size of ...": the error, its place checked to be the call that makes tensor w.
std::string refused(const Write& make) {
  const Entry entry = entry_of(make);
  const Built built = build(entry.pickle);
  if (built.ok) return "ok";
  const Finding& finding = built.error.finding;
  EXPECT_EQ(finding.record, "data.pkl");
  EXPECT_EQ(finding.record_offset, entry.call) << built.line;
  EXPECT_EQ(finding.offset, 0x40 + entry.call);
  EXPECT_EQ(finding.tensors, std::vector<std::string>{"w"});
  const std::string prefix = "tensor 'w': ";
  EXPECT_TRUE(finding.message.starts_with(prefix)) << finding.message;
  return std::string(to_string(finding.category)) + " " + finding.code + ": " + finding.message.substr(prefix.size());
}

TEST(HostileTensors, T01_SizesThatAreNoNaturalNumbers) {
  EXPECT_EQ(refused(tensor_of(integers({2, -1}), integers({1, 1}))),
            "tensor TENSOR-SIZE: the size of dimension 1 is -1, expected 0 or more");
  EXPECT_EQ(refused(tensor_of(integers({kMin}), integers({1}))),
            "tensor TENSOR-SIZE: the size of dimension 0 is -9223372036854775808, expected 0 or more");
  const std::string expected =
      "type TYPE-ARGUMENT: torch._utils._rebuild_tensor: argument 2 (size) at dimension 1, "
      "expected int, found ";
  const std::pair<const char*, Write> kinds[] = {{"bool", [](PickleBuilder& p) { p.boolean(true); }},
                                                 {"float", [](PickleBuilder& p) { p.real(2); }},
                                                 {"str", [](PickleBuilder& p) { p.text("2"); }},
                                                 {"None", [](PickleBuilder& p) { p.none(); }}};
  for (const auto& [name, write] : kinds) {
    EXPECT_EQ(refused(tensor_of(tuple_of({integer(2), write}), integers({1, 1}))), expected + name);
  }
}

TEST(HostileTensors, T02_ProductsOfSizesNeverWrap) {
  EXPECT_EQ(refused(tensor_of(integers({1LL << 32, 1LL << 32}), integers({0, 0}))),
            "tensor TENSOR-OVERFLOW: sizes [4294967296, 4294967296] overflow a 64-bit count");
  EXPECT_EQ(refused(tensor_of(integers({1LL << 62, 4}), integers({0, 0}))),
            "tensor TENSOR-OVERFLOW: sizes [4611686018427387904, 4] overflow a 64-bit count");
  EXPECT_EQ(refused(tensor_of(integers({kMax, kMax, kMax}), integers({0, 0, 0}))),
            "tensor TENSOR-OVERFLOW: sizes [9223372036854775807, 9223372036854775807, 9223372036854775807] overflow a "
            "64-bit count");
  // The count fits and the bytes do not.
  EXPECT_EQ(refused(tensor_of(integers({1LL << 62}), integers({0}))),
            "tensor TENSOR-OVERFLOW: sizes [4611686018427387904] overflow a 64-bit count");
  // With a zero among them there are no elements, wherever it stands.
  EXPECT_EQ(refused(tensor_of(integers({0, 1LL << 62, 4}), integers({0, 0, 0}))), "ok");
  EXPECT_EQ(refused(tensor_of(integers({1LL << 62, 4, 0}), integers({0, 0, 0}))), "ok");
}

TEST(HostileTensors, T04_StridesThatAreNoNaturalNumbersOrTooFew) {
  EXPECT_EQ(refused(tensor_of(integers({2, 2}), integers({2, -1}))),
            "tensor TENSOR-STRIDE: the stride of dimension 1 is -1, expected 0 or more");
  EXPECT_EQ(refused(tensor_of(integers({2}), integers({kMin}))),
            "tensor TENSOR-STRIDE: the stride of dimension 0 is -9223372036854775808, expected 0 or more");
  EXPECT_EQ(refused(tensor_of(integers({2, 2}), integers({1}))),
            "tensor TENSOR-STRIDE: a tensor of 2 dimensions has 1 strides");
  EXPECT_EQ(refused(tensor_of(integers({2}), integers({1, 1}))),
            "tensor TENSOR-STRIDE: a tensor of 1 dimensions has 2 strides");
  const std::pair<const char*, Write> kinds[] = {{"bool", [](PickleBuilder& p) { p.boolean(true); }},
                                                 {"float", [](PickleBuilder& p) { p.real(1); }},
                                                 {"str", [](PickleBuilder& p) { p.text("1"); }}};
  for (const auto& [name, write] : kinds) {
    EXPECT_EQ(refused(tensor_of(integers({2}), tuple_of({write}))),
              "type TYPE-ARGUMENT: torch._utils._rebuild_tensor: argument 3 (stride) at dimension 0, expected int, "
              "found " +
                  std::string(name));
  }
  // A step that wraps around to a small place.
  EXPECT_EQ(refused(tensor_of(integers({3}), integers({1LL << 63 >> 1 & kMax}))),
            "tensor TENSOR-BOUNDS: sizes [3], strides [4611686018427387904] and offset 0 reach beyond 64 bits, the "
            "storage holds 8 of float32 (32 bytes)");
}

TEST(HostileTensors, T06_OffsetsThatLeaveTheStorage) {
  EXPECT_EQ(refused(tensor_of(integers({1}), integers({1}), integer(-1))),
            "tensor TENSOR-OFFSET: the storage offset is -1, expected 0 or more");
  EXPECT_EQ(refused(tensor_of(integers({1}), integers({1}), integer(8))),
            "tensor TENSOR-BOUNDS: sizes [1], strides [1] and offset 8 reach element 8, the storage holds 8 of float32 "
            "(32 bytes)");
  EXPECT_EQ(refused(tensor_of(integers({2}), integers({1}), integer(7))),
            "tensor TENSOR-BOUNDS: sizes [2], strides [1] and offset 7 reach element 8, the storage holds 8 of float32 "
            "(32 bytes)");
  EXPECT_EQ(refused(tensor_of(integers({1}), integers({1}), integer(kMax))),
            "tensor TENSOR-BOUNDS: sizes [1], strides [1] and offset 9223372036854775807 reach element "
            "9223372036854775807, the storage holds 8 of float32 (32 bytes)");
  EXPECT_EQ(refused(tensor_of(integers({2}), integers({1}), integer(kMax))),
            "tensor TENSOR-BOUNDS: sizes [2], strides [1] and offset 9223372036854775807 reach beyond 64 bits, the "
            "storage holds 8 of float32 (32 bytes)");
  EXPECT_EQ(refused(tensor_of(integers({0}), integers({1}), integer(100))), "ok");
}

TEST(HostileTensors, T07_OneElementPastTheEndIsNamedForEveryDtype) {
  int dtypes = 0;
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    if (row.kind == DTypeKind::quantized) continue;
    const std::int64_t units = 32 / row.size_bytes;
    const auto view = [&](std::int64_t count) {
      return call_of(
          "torch._utils", "_rebuild_tensor_v3",
          {untyped(32), integer(0), integers({count}), integers({1}), [](PickleBuilder& p) { p.boolean(false); },
           [](PickleBuilder& p) { p.none(); }, [&](PickleBuilder& p) { p.global("torch", row.name); }});
    };
    EXPECT_EQ(refused(view(units)), "ok") << row.name;
    EXPECT_EQ(refused(view(units + 1)), "tensor TENSOR-BOUNDS: sizes [" + std::to_string(units + 1) +
                                            "], strides [1] and offset 0 reach element " + std::to_string(units) +
                                            ", the storage holds " + std::to_string(units) + " of " +
                                            std::string(row.name) + " (32 bytes)");
    ++dtypes;
  }
  EXPECT_GE(dtypes, 20);
}

TEST(HostileTensors, T10_MoreThan64Dimensions) {
  for (const std::size_t dims : {std::size_t{65}, std::size_t{1000}, std::size_t{1'000'000}}) {
    const Numbers sizes(dims, 1);
    EXPECT_EQ(refused(tensor_of(integers(sizes), integers(sizes))),
              "limit LIMIT-TENSOR-DIMS: torch._utils._rebuild_tensor: argument 2 (size) has more dimensions than the "
              "limit tensor_dims, expected at most 64, found " +
                  std::to_string(dims));
  }
}

TEST(HostileTensors, T11_AnExpandedTensorIsNotMadeWhole) {
  const Built built = build(entry_of(tensor_of(integers({1LL << 40}), integers({0}))).pickle);
  ASSERT_TRUE(built.ok) << built.line;
  const Result<Tensor> whole = built.root["w"].as_tensor()->contiguous(1 << 20);
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(whole.error().finding.category, Category::limit);
  EXPECT_NE(whole.error().finding.message.find("4398046511104"), std::string::npos) << whole.error().finding.message;
}

TEST(HostileTensors, T13_WhatIsNoDtypeAndADtypeThatNobodyKnows) {
  const auto v3 = [](Write dtype, Write storage = untyped(32)) {
    return call_of("torch._utils", "_rebuild_tensor_v3",
                   {std::move(storage), integer(0), integers({1}), integers({1}),
                    [](PickleBuilder& p) { p.boolean(false); }, [](PickleBuilder& p) { p.none(); }, std::move(dtype)});
  };
  const std::string expected =
      "type TYPE-ARGUMENT: torch._utils._rebuild_tensor_v3: argument 6 (dtype), expected a torch dtype, found ";
  EXPECT_EQ(refused(v3([](PickleBuilder& p) { p.text("float32"); })), expected + "str");
  EXPECT_EQ(refused(v3([](PickleBuilder& p) { p.global("torch", "FloatStorage"); })),
            expected + "global 'torch.FloatStorage'");
  MemoryStorages storages;
  storages.add("0", 12);
  const Entry odd = entry_of(v3([](PickleBuilder& p) { p.global("torch", "complex128"); },
                                [](PickleBuilder& p) { p.storage("FloatStorage", "0", 3); }));
  EXPECT_EQ(build(odd.pickle, storages).line, "tensor TENSOR-DTYPE-SIZE at " + hex(odd.call) +
                                                  ": tensor 'w': a storage of 3 float32 is no whole number of "
                                                  "complex128");
  // A dtype that is newer than this table: the tensor stays opaque, with two warnings.
  const Entry unknown = entry_of(v3([](PickleBuilder& p) { p.global("torch", "float3"); }));
  const Built built = build(unknown.pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root["w"].kind(), ValueKind::opaque);
  ASSERT_EQ(built.findings.size(), 2u);
  const std::uint64_t name = unknown.call - 1 - 14;  // "ctorch\nfloat3\n" before TUPLE and REDUCE
  EXPECT_EQ(line_of(built.findings[0]),
            "global GLOBAL-UNKNOWN at " + hex(name) + ": global 'torch.float3' is not on the allow-list");
  EXPECT_EQ(line_of(built.findings[1]),
            "unsup TENSOR-DTYPE at " + hex(unknown.call) + ": 1 unknown dtype tensor is kept as an opaque value");
  EXPECT_EQ(build(unknown.pickle, {.globals = Globals::strict}).line, line_of(built.findings[0]));
}

TEST(HostileTensors, T19_AParameterAroundNoTensorAndCallablesAmongItsHooks) {
  const auto parameter = [](Write data, Write grad, Write hooks) {
    return call_of("torch._utils", "_rebuild_parameter", {std::move(data), std::move(grad), std::move(hooks)});
  };
  const Write tensor = tensor_of(integers({8}), integers({1}));
  const Write yes = [](PickleBuilder& p) { p.boolean(true); };
  const Write none = [](PickleBuilder& p) { p.none(); };
  EXPECT_EQ(refused(parameter([](PickleBuilder& p) { p.text("w"); }, yes, none)),
            "type TYPE-ARGUMENT: torch._utils._rebuild_parameter: argument 0 (data), expected a tensor, found str");
  EXPECT_EQ(refused(parameter(
                tensor, [](PickleBuilder& p) { p.text("true"); }, none)),
            "type TYPE-ARGUMENT: torch._utils._rebuild_parameter: argument 1 (requires_grad), expected bool, found "
            "str");
  const Write hooks = [](PickleBuilder& p) { p.empty_dict().integer(1).global("os", "system").setitem(); };
  const Entry hooked = entry_of(parameter(tensor, yes, hooks));
  const std::uint64_t name = hooked.call - 1 - 1 - 11;  // "cos\nsystem\n", SETITEM, TUPLE
  EXPECT_EQ(build(hooked.pickle, {.globals = Globals::strict}).line,
            "global GLOBAL-UNKNOWN at " + hex(name) + ": global 'os.system' is not on the allow-list");
}

TEST(HostileTensors, T20_NestedCallsAndUnlistedTypes) {
  // Ten thousand parameters around a tensor, each by the memo.
  PickleBuilder chain;
  chain.proto(2).empty_dict().text("w");
  tensor_of(integers({8}), integers({1}))(chain);
  chain.put(0).pop();
  constexpr std::uint32_t kCalls = 10'000;
  for (std::uint32_t i = 0; i < kCalls; ++i) {
    chain.global("torch._utils", "_rebuild_parameter").get(i).boolean(true).none().tuple3().reduce().put(i + 1).pop();
  }
  const PickleBuilder nested = chain.get(kCalls).setitem().stop();
  const Built deep = build(nested);
  ASSERT_FALSE(deep.ok);
  EXPECT_EQ(deep.error.finding.code, "LIMIT-PICKLE-DEPTH");
  LoadOptions deeper;
  deeper.limits.pickle_depth = 100'000;
  const Built too_deep = build(nested, deeper);
  ASSERT_FALSE(too_deep.ok);
  EXPECT_EQ(too_deep.error.finding.category, Category::limit);
  EXPECT_EQ(too_deep.error.finding.code, "LIMIT-TENSOR-NESTING");
  EXPECT_EQ(too_deep.error.finding.message,
            "tensor 'w': torch._utils._rebuild_parameter: too many calls that make tensors stand inside each other");
  const Entry typed = entry_of(call_of(
      "torch._tensor", "_rebuild_from_type_v2",
      {[](PickleBuilder& p) { p.global("torch._utils", "_rebuild_tensor"); },
       [](PickleBuilder& p) { p.global("my", "Tagged"); },
       tuple_of({storage(), integer(0), integers({8}), integers({1})}), [](PickleBuilder& p) { p.empty_dict(); }}));
  const Built lenient = build(typed.pickle);
  ASSERT_TRUE(lenient.ok) << lenient.line;
  EXPECT_EQ(lenient.root["w"].class_name(), "my.Tagged");
  EXPECT_TRUE(build(typed.pickle, {.globals = Globals::strict})
                  .line.ends_with(": global 'my.Tagged' is not on the allow-list"));
}

TEST(HostileTensors, T25_StatesOfOldTensorObjects) {
  const auto old = [](const Write& state) {
    PickleBuilder pickle;
    pickle.proto(2).global("torch", "FloatTensor").empty_tuple().newobj();
    state(pickle);
    return pickle.build().stop();
  };
  const std::uint64_t call = 2 + 19 + 1;  // PROTO, "ctorch\nFloatTensor\n", EMPTY_TUPLE: NEWOBJ follows
  const std::string start = " at " + hex(call) + ": tensor at the root: torch.FloatTensor state: ";
  EXPECT_EQ(build(old(tuple_of({storage(), integer(0), integers({8})}))).line,
            "type TYPE-ARGUMENT-COUNT" + start + "wrong number of arguments, expected 4, found 3");
  EXPECT_EQ(build(old(tuple_of({storage(), integer(0), integers({8}), integers({1}), integer(0)}))).line,
            "type TYPE-ARGUMENT-COUNT" + start + "wrong number of arguments, expected 4, found 5");
  const std::tuple<std::vector<Write>, const char*> wrong[] = {
      {{integer(0), integer(0), integers({8}), integers({1})}, "argument 0 (storage), expected a storage, found int"},
      {{storage(), [](PickleBuilder& p) { p.none(); }, integers({8}), integers({1})},
       "argument 1 (storage_offset), expected int, found None"},
      {{storage(), integer(0), integer(8), integers({1})}, "argument 2 (size), expected a tuple of int, found int"},
      {{storage(), integer(0), integers({8}), [](PickleBuilder& p) { p.text("1"); }},
       "argument 3 (stride), expected a tuple of int, found str"},
  };
  for (const auto& [state, said] : wrong)
    EXPECT_EQ(build(old(tuple_of(state))).line, "type TYPE-ARGUMENT" + start + said);
}

}  // namespace
}  // namespace rushlight::test
