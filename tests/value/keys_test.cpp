// Dict keys in Python's terms. The comments give what CPython says.
#include "value/keys.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "value/graph.hpp"

namespace rushlight {
namespace {

using namespace std::string_literals;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A dict being made, asked what it takes for equal.
class Keys {
 public:
  ValueGraphBuilder b;

  // Two keys fall together in a dict, whatever their order, in small dicts and in large ones, within one graph and
  // across two; and their hashes agree.
  bool equal(NodeId x, NodeId y) {
    const bool forth = falls_together(x, y, 0);
    EXPECT_EQ(falls_together(y, x, 0), forth);
    EXPECT_EQ(falls_together(x, y, 20), forth);
    EXPECT_EQ(falls_together(y, x, 20), forth);
    KeyMemo memo;
    EXPECT_EQ(equal_keys(b.graph(), x, memo, b.graph(), y, memo, 5), forth);
    if (forth) {
      EXPECT_EQ(hash_key(b.graph(), x, 5, memo), hash_key(b.graph(), y, 5, memo));
    }
    return forth;
  }

  NodeId tuple(std::initializer_list<NodeId> items) { return b.tuple(std::vector<NodeId>(items)); }
  NodeId frozenset(std::initializer_list<NodeId> items) { return b.frozenset(std::vector<NodeId>(items)); }
  // A Python integer of any size from its two's complement.
  NodeId big(const std::string& bytes) { return b.big_integer(bytes); }

 private:
  bool falls_together(NodeId x, NodeId y, int others) {
    const NodeId dict = b.dict();
    for (int i = 0; i < others; ++i) EXPECT_TRUE(b.set_item(dict, b.string("other " + std::to_string(i)), b.none()));
    EXPECT_TRUE(b.set_item(dict, x, b.boolean(false)));
    EXPECT_TRUE(b.set_item(dict, y, b.boolean(true)));
    const std::size_t count = b.graph().entries(dict).size() / 2 - static_cast<std::size_t>(others);
    EXPECT_TRUE(count == 1 || count == 2);
    return count == 1;
  }
};

TEST(DictKeys, P34_NumbersAreEqualByValueWhateverTheirType) {
  Keys k;
  EXPECT_TRUE(k.equal(k.b.integer(1), k.b.boolean(true)));
  EXPECT_TRUE(k.equal(k.b.integer(1), k.b.real(1.0)));
  EXPECT_TRUE(k.equal(k.b.boolean(false), k.b.real(-0.0)));
  EXPECT_TRUE(k.equal(k.b.real(0.0), k.b.real(-0.0)));
  EXPECT_TRUE(k.equal(k.b.integer(1), k.b.complex(1, 0)));
  EXPECT_TRUE(k.equal(k.b.real(0.5), k.b.complex(0.5, -0.0)));
  EXPECT_TRUE(k.equal(k.b.complex(1, 2), k.b.complex(1, 2)));
  EXPECT_TRUE(k.equal(k.b.complex(0.0, 2), k.b.complex(-0.0, 2)));
  EXPECT_FALSE(k.equal(k.b.complex(1, 2), k.b.complex(1, -2)));
  EXPECT_FALSE(k.equal(k.b.integer(1), k.b.integer(2)));
  EXPECT_FALSE(k.equal(k.b.integer(1), k.b.real(1.5)));
  EXPECT_TRUE(k.equal(k.b.real(INFINITY), k.b.real(INFINITY)));
  EXPECT_FALSE(k.equal(k.b.real(INFINITY), k.b.real(-INFINITY)));
  EXPECT_FALSE(k.equal(k.b.integer(0), k.b.none()));
}

TEST(DictKeys, IntegersAndFloatsAreComparedExactlyAt2To53AndBeyond) {
  Keys k;
  const std::int64_t limit = std::int64_t{1} << 53;
  EXPECT_TRUE(k.equal(k.b.integer(limit), k.b.real(0x1p53)));
  EXPECT_FALSE(k.equal(k.b.integer(limit + 1), k.b.real(0x1p53)));  // float(2**53 + 1) == 2**53, yet they differ
  EXPECT_TRUE(k.equal(k.b.integer(std::numeric_limits<std::int64_t>::min()), k.b.real(-0x1p63)));
  EXPECT_FALSE(k.equal(k.b.integer(std::numeric_limits<std::int64_t>::max()), k.b.real(0x1p63)));
  EXPECT_TRUE(k.equal(k.big("\0\0\0\0\0\0\0\x80\0"s), k.b.real(0x1p63)));
  EXPECT_TRUE(k.equal(k.big("\0\0\0\0\0\0\0\0\x01"s), k.b.real(0x1p64)));
  EXPECT_TRUE(k.equal(k.big("\0\0\0\0\0\0\0\0\xff"s), k.b.real(-0x1p64)));
  EXPECT_TRUE(k.equal(k.big("\0\0\0\0\0\0\0\0\xfd"s), k.b.real(-3 * 0x1p64)));
  EXPECT_FALSE(k.equal(k.big("\x01\0\0\0\0\0\0\0\x01"s), k.b.real(0x1p64)));
  EXPECT_FALSE(k.equal(k.big("\0\0\0\0\0\0\0\0\x01"s), k.big("\0\0\0\0\0\0\0\0\xff"s)));
  // int(1.7976931348623157e308)
  std::string largest(129, '\0');
  for (std::size_t i = 122; i < 128; ++i) largest[i] = '\xff';
  largest[121] = '\xf8';
  EXPECT_TRUE(k.equal(k.big(largest), k.b.real(std::numeric_limits<double>::max())));
  // Superfluous bytes of sign change nothing.
  EXPECT_TRUE(k.equal(k.big("\x05\0\0\0\0\0\0\0\0\0\0"s), k.b.integer(5)));
  EXPECT_EQ(k.b.kind(k.big("\x05\0\0\0\0\0\0\0\0\0\0"s)), ValueKind::integer);
}

TEST(DictKeys, P34_NanIsEqualToItselfAlone) {
  Keys k;
  const NodeId nan = k.b.real(kNan);
  EXPECT_TRUE(k.equal(nan, nan));
  EXPECT_FALSE(k.equal(nan, k.b.real(kNan)));
  EXPECT_FALSE(k.equal(k.b.complex(kNan, 0), k.b.complex(kNan, 0)));
  // Inside tuples identity comes before equality as well: (x,) == (x,) for x = nan.
  EXPECT_TRUE(k.equal(k.tuple({nan}), k.tuple({nan})));
  EXPECT_FALSE(k.equal(k.tuple({nan}), k.tuple({k.b.real(kNan)})));
}

TEST(DictKeys, TextAndBytesNeverMeet) {
  Keys k;
  EXPECT_TRUE(k.equal(k.b.string("a"), k.b.string("a")));
  EXPECT_FALSE(k.equal(k.b.string("a"), k.b.bytes("a")));
  EXPECT_TRUE(k.equal(k.b.bytes(std::string_view("\0a", 2)), k.b.bytes(std::string_view("\0a", 2))));
  EXPECT_FALSE(k.equal(k.b.string(""), k.b.none()));
  EXPECT_FALSE(k.equal(k.b.string("1"), k.b.integer(1)));
  EXPECT_FALSE(k.equal(k.b.string("\xed\xa0\x80"), k.b.string("\xed\xa0\x81")));
  const std::string long_text(1000, 'x');
  EXPECT_TRUE(k.equal(k.b.string(long_text), k.b.string(long_text)));
  EXPECT_FALSE(k.equal(k.b.string(long_text), k.b.string(long_text + "y")));
}

TEST(DictKeys, TuplesAreEqualItemByItemAndSizesAreTuples) {
  Keys k;
  EXPECT_TRUE(k.equal(k.tuple({}), k.tuple({})));
  EXPECT_TRUE(k.equal(k.tuple({k.b.integer(1), k.b.string("a")}), k.tuple({k.b.real(1), k.b.string("a")})));
  EXPECT_FALSE(k.equal(k.tuple({k.b.integer(1), k.b.integer(2)}), k.tuple({k.b.integer(2), k.b.integer(1)})));
  EXPECT_FALSE(k.equal(k.tuple({k.b.integer(1)}), k.tuple({k.b.integer(1), k.b.integer(1)})));
  EXPECT_FALSE(k.equal(k.tuple({k.tuple({})}), k.tuple({})));
  EXPECT_FALSE(k.equal(k.tuple({k.b.integer(1)}), k.b.integer(1)));
  const std::vector<NodeId> items = {k.b.integer(2), k.b.integer(3)};
  EXPECT_TRUE(k.equal(k.b.size(items), k.b.tuple(items)));  // torch.Size([2, 3]) == (2, 3)
}

TEST(DictKeys, FrozensetsAreEqualInAnyOrder) {
  Keys k;
  const NodeId a = k.b.string("a");
  const NodeId one = k.b.integer(1);
  EXPECT_TRUE(k.equal(k.frozenset({a, one}), k.frozenset({k.b.real(1), k.b.string("a")})));
  EXPECT_FALSE(k.equal(k.frozenset({a}), k.frozenset({a, one})));
  EXPECT_FALSE(k.equal(k.frozenset({a}), k.tuple({a})));
  EXPECT_TRUE(
      k.equal(k.frozenset({k.frozenset({a}), k.tuple({one})}), k.frozenset({k.tuple({one}), k.frozenset({a})})));
  EXPECT_TRUE(k.equal(k.frozenset({a, a, one}), k.frozenset({one, a})));
}

TEST(DictKeys, DtypesDevicesAndClassesAreEqualByNameAndObjectsByIdentity) {
  Keys k;
  EXPECT_TRUE(k.equal(k.b.dtype(DType::f16), k.b.dtype(DType::f16)));
  EXPECT_FALSE(k.equal(k.b.dtype(DType::f16), k.b.dtype(DType::f32)));
  EXPECT_TRUE(k.equal(k.b.device("cuda:0"), k.b.device("cuda:0")));
  EXPECT_FALSE(k.equal(k.b.device("cuda:0"), k.b.string("cuda:0")));
  EXPECT_TRUE(k.equal(k.b.global("a.B"), k.b.global("a.B")));
  const NodeId tensor = k.b.tensor(Tensor());
  EXPECT_TRUE(k.equal(tensor, tensor));
  EXPECT_FALSE(k.equal(tensor, k.b.tensor(Tensor())));
  const NodeId object = k.b.opaque("a.B", kNoNode);
  EXPECT_TRUE(k.equal(object, object));
  EXPECT_FALSE(k.equal(object, k.b.opaque("a.B", kNoNode)));
}

TEST(DictKeys, P34_WhatCanChangeIsNoKey) {
  ValueGraphBuilder b;
  const NodeId dict = b.dict();
  const NodeId list = b.list();
  const auto tuple_of = [&](NodeId item) { return b.tuple(std::vector<NodeId>{item}); };
  for (const NodeId key : {list, b.dict(), b.set(), b.bytearray("x"), tuple_of(list), tuple_of(tuple_of(list))}) {
    EXPECT_FALSE(b.hashable(key));
    EXPECT_FALSE(b.set_item(dict, key, b.none()));
  }
  EXPECT_EQ(b.graph().entries(dict).size(), 0U);
  EXPECT_EQ(b.frozenset(std::vector<NodeId>{list}), kNoNode);
  const NodeId set = b.set();
  EXPECT_FALSE(b.append(set, list));
  EXPECT_TRUE(b.append(set, tuple_of(b.none())));
  EXPECT_EQ(b.graph().items(set).size(), 1U);
}

TEST(DictKeys, ATupleInsideItselfIsNoKeyAndEndsNoLoop) {
  ValueGraphBuilder b;
  const NodeId self = b.placeholder();
  b.becomes(self, b.tuple(std::vector<NodeId>{b.integer(1), self}));
  EXPECT_FALSE(b.hashable(self));
  EXPECT_FALSE(b.set_item(b.dict(), self, b.none()));
}

TEST(DictKeys, ALaterEqualKeyReplacesTheValueAndKeepsTheFirstKey) {
  ValueGraphBuilder b;
  const NodeId dict = b.dict();
  ASSERT_TRUE(b.set_item(dict, b.integer(1), b.string("int")));
  ASSERT_TRUE(b.set_item(dict, b.string("x"), b.none()));
  ASSERT_TRUE(b.set_item(dict, b.real(1.0), b.string("float")));
  ASSERT_TRUE(b.set_item(dict, b.boolean(true), b.string("bool")));
  const Value value(std::move(b).finish(), dict);
  ASSERT_EQ(value.size(), 2U);
  EXPECT_EQ(value.entry(0).first.kind(), ValueKind::integer);  // {1: ...}
  EXPECT_EQ(value.entry(0).second.as_string(), "bool");
}

// Without a memo each of these would take hours. Processor seconds, so that other programs do not matter; many, for
// builds with sanitizers.
class Deadline {
 public:
  ~Deadline() { EXPECT_LT((std::clock() - start_) / CLOCKS_PER_SEC, 120); }

 private:
  std::clock_t start_ = std::clock();
};

TEST(DictKeys, P34_AMillionKeysTakeLinearTime) {
  const Deadline deadline;
  ValueGraphBuilder b;
  const NodeId dict = b.dict();
  for (int i = 0; i < 1'000'000; ++i) ASSERT_TRUE(b.set_item(dict, b.string(std::to_string(i)), b.none()));
  // Integers that one double stands for, and floats with a common pattern of bits.
  const NodeId numbers = b.dict();
  for (std::int64_t i = 0; i < 200'000; ++i) {
    ASSERT_TRUE(b.set_item(numbers, b.integer((std::int64_t{1} << 62) + i), b.none()));
    ASSERT_TRUE(b.set_item(numbers, b.real(std::ldexp(1.0 + 0x1p-52 * static_cast<double>(i), -700)), b.none()));
  }
  const Value value(std::move(b).finish(), dict);
  EXPECT_EQ(value.size(), 1'000'000U);
  EXPECT_TRUE(value.contains("999999"));
  EXPECT_FALSE(value.contains("1000000"));
  EXPECT_EQ(Value(value.graph(), numbers).size(), 400'000U);
}

TEST(DictKeys, TuplesThatShareTheirPartsAreHashedAndComparedOnce) {
  const Deadline deadline;
  ValueGraphBuilder b;
  const auto tower = [&] {  // 2^60 leaves, if it were unfolded
    NodeId part = b.tuple(std::vector<NodeId>{b.integer(1)});
    for (int i = 0; i < 60; ++i) part = b.tuple(std::vector<NodeId>{part, part});
    return part;
  };
  const NodeId dict = b.dict();
  const NodeId first = tower();
  const NodeId second = tower();
  ASSERT_TRUE(b.set_item(dict, first, b.none()));
  ASSERT_TRUE(b.set_item(dict, second, b.none()));
  EXPECT_EQ(b.graph().entries(dict).size(), 2U);
  // A finished graph is asked with a key of another one.
  const Value value(std::move(b).finish(), dict);
  ValueGraphBuilder other;
  NodeId part = other.tuple(std::vector<NodeId>{other.integer(1)});
  for (int i = 0; i < 60; ++i) part = other.tuple(std::vector<NodeId>{part, part});
  EXPECT_TRUE(value.get(Value(std::move(other).finish(), part)).exists());
}

TEST(DictKeys, LongKeysAreNotHashedAndComparedAgainAndAgain) {
  const Deadline deadline;
  ValueGraphBuilder b;
  const std::string text(std::size_t{8} << 20, 'x');
  const NodeId dict = b.dict();
  std::vector<NodeId> keys;
  for (int i = 0; i < 6; ++i) keys.push_back(b.string(text + static_cast<char>('0' + i % 3)));
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(b.set_item(dict, keys[static_cast<std::size_t>(i) % keys.size()], b.none()));
  }
  EXPECT_EQ(b.graph().entries(dict).size(), 6U);
  const NodeId many = b.tuple(std::vector<NodeId>(100'000, keys[0]));
  ASSERT_TRUE(b.set_item(dict, many, b.none()));
}

TEST(DictKeys, DeeplyNestedTuplesAreKeysWithoutRecursion) {
  ValueGraphBuilder b;
  const auto nested = [&] {
    NodeId part = b.tuple({});
    for (int i = 0; i < 300'000; ++i) part = b.tuple(std::vector<NodeId>{part});
    return part;
  };
  const NodeId dict = b.dict();
  ASSERT_TRUE(b.set_item(dict, nested(), b.none()));
  ASSERT_TRUE(b.set_item(dict, nested(), b.none()));
  EXPECT_EQ(b.graph().entries(dict).size(), 2U);
}

}  // namespace
}  // namespace rushlight
