#include "rushlight/value.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "tensor/memory.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

using namespace std::string_literals;

// One node of a graph, as a value.
template <class Make>
Value made(Make&& make) {
  ValueGraphBuilder builder;
  const NodeId node = make(builder);
  return Value(std::move(builder).finish(), node);
}

TEST(Value, DefaultIsNoneAndExists) {
  const Value none;
  EXPECT_TRUE(none.is_none());
  EXPECT_TRUE(none.exists());
  EXPECT_EQ(none.class_name(), "NoneType");
  EXPECT_TRUE(none.same_object(Value::none()));
  EXPECT_TRUE(none.same_object(made([](ValueGraphBuilder& b) { return b.none(); })));
}

TEST(Value, WhatIsNotThereReadsAsNoneAndDoesNotExist) {
  const Value dict = Value::dict(std::vector<std::pair<Value, Value>>{{"a", Value::none()}});
  EXPECT_TRUE(dict["a"].exists());
  EXPECT_TRUE(dict["a"].is_none());
  EXPECT_FALSE(dict["b"].exists());
  EXPECT_TRUE(dict["b"].is_none());
  EXPECT_FALSE(dict["b"]["c"][3].attr("d").exists());
  EXPECT_FALSE(dict.same_object(dict["b"]));
  EXPECT_FALSE(dict["b"].same_object(dict["b"]));
  EXPECT_FALSE(dict.get(dict["b"]).exists());
  EXPECT_FALSE(Value().item(0).exists());
  EXPECT_FALSE(Value().entry(0).first.exists());
  EXPECT_FALSE(Value(3)["x"].exists());
  EXPECT_FALSE(Value("text").get("x").exists());
  EXPECT_TRUE(Value(3).attributes().empty());
}

TEST(Value, BoolsAreIntegersAndIntegersAreFloatsAsInPython) {
  EXPECT_EQ(Value(true).as_bool(), true);
  EXPECT_EQ(Value(true).as_int(), 1);
  EXPECT_EQ(Value(false).as_double(), 0.0);
  EXPECT_EQ(Value(7).as_int(), 7);
  EXPECT_EQ(Value(7).as_double(), 7.0);
  EXPECT_EQ(Value(7).as_complex(), std::complex<double>(7, 0));
  EXPECT_EQ(Value(7).as_bool(), std::nullopt);
  EXPECT_EQ(Value(7).as_decimal(), "7");
  EXPECT_EQ(Value(0.5).as_double(), 0.5);
  EXPECT_EQ(Value(0.5).as_int(), std::nullopt);
  EXPECT_EQ(Value(1.0).as_int(), std::nullopt);
  EXPECT_EQ(Value("7").as_int(), std::nullopt);
  EXPECT_EQ(Value().as_double(), std::nullopt);
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.complex(1, -2); }).as_complex(), std::complex<double>(1, -2));
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.complex(1, 0); }).as_double(), std::nullopt);
}

TEST(Value, IntegersOfAnySizeAreKept) {
  const Value big = made([](ValueGraphBuilder& b) { return b.big_integer("\0\0\0\0\0\0\0\0\x01"s); });
  EXPECT_EQ(big.kind(), ValueKind::integer);
  EXPECT_EQ(big.as_int(), std::nullopt);
  EXPECT_EQ(big.as_decimal(), "18446744073709551616");
  EXPECT_EQ(big.as_double(), 0x1p64);
  const Value small = made([](ValueGraphBuilder& b) { return b.big_integer("\xfe\xff\xff"); });
  EXPECT_EQ(small.as_int(), -2);
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(Value(lowest).as_decimal(), "-9223372036854775808");
  const std::string googol_bits(200, '\x7f');
  EXPECT_EQ(made([&](ValueGraphBuilder& b) { return b.big_integer(googol_bits); }).as_double(), std::nullopt);
}

TEST(Value, TextAndBytesAreKeptByteForByte) {
  const std::string text = "a\0b\xed\xa0\x80"s;  // a NUL and a lone surrogate
  EXPECT_EQ(Value(text).as_string(), text);
  EXPECT_EQ(Value("").as_string(), "");
  EXPECT_EQ(Value("x").as_bytes(), std::nullopt);
  const std::vector<std::byte> bytes = {std::byte{0}, std::byte{255}};
  const Value value = Value::bytes(bytes);
  EXPECT_EQ(value.kind(), ValueKind::bytes);
  ASSERT_TRUE(value.as_bytes());
  EXPECT_EQ(std::vector<std::byte>(value.as_bytes()->begin(), value.as_bytes()->end()), bytes);
  EXPECT_EQ(value.as_string(), std::nullopt);
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.bytearray("ab"); }).as_bytes()->size(), 2U);
}

TEST(Value, BorrowedTextsLieWhereTheyLay) {
  const auto owner = std::make_shared<const std::string>("a long text in a pickle record");
  ValueGraphBuilder builder(owner);
  const NodeId borrowed = builder.string(std::string_view(*owner).substr(7, 4), true);
  const NodeId copied = builder.string(std::string_view(*owner).substr(7, 4));
  const Value value(std::move(builder).finish(), borrowed);
  EXPECT_EQ(value.as_string(), "text");
  EXPECT_EQ(value.as_string()->data(), owner->data() + 7);
  EXPECT_NE(Value(value.graph(), copied).as_string()->data(), owner->data() + 7);
  EXPECT_EQ(owner.use_count(), 2);
}

TEST(Value, TensorsStoragesDtypesAndDevicesComeBack) {
  const Tensor tensor = Tensor::zeros(DType::f16, {2, 3}).value();
  const Value value(tensor);
  EXPECT_EQ(value.kind(), ValueKind::tensor);
  EXPECT_TRUE(value.as_tensor()->shares_storage_with(tensor));
  EXPECT_EQ(Value(1).as_tensor(), std::nullopt);
  const Value storage = made([&](ValueGraphBuilder& b) { return b.storage(tensor.storage(), DType::f16); });
  EXPECT_TRUE(*storage.as_storage() == tensor.storage());
  EXPECT_EQ(storage.as_dtype(), DType::f16);
  EXPECT_EQ(value.as_storage().has_value(), false);
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.dtype(DType::bf16); }).as_dtype(), DType::bf16);
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.device("cuda:1"); }).as_device(), "cuda:1");
  EXPECT_EQ(value.as_device(), std::nullopt);
}

TEST(Value, ClassNamesArePythons) {
  EXPECT_EQ(Value(true).class_name(), "bool");
  EXPECT_EQ(Value(1).class_name(), "int");
  EXPECT_EQ(Value(1.5).class_name(), "float");
  EXPECT_EQ(Value("x").class_name(), "str");
  EXPECT_EQ(Value::list({}).class_name(), "list");
  EXPECT_EQ(Value::dict({}).class_name(), "dict");
  EXPECT_EQ(Value(Tensor()).class_name(), "torch.Tensor");
  const Tensor parameter =
      Tensor::view(Tensor().storage(), DType::f32, {0}, {1}, 0, {.tensor_class = TensorClass::parameter}).value();
  EXPECT_EQ(Value(parameter).class_name(), "torch.nn.parameter.Parameter");
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.size({}); }).class_name(), "torch.Size");
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.global("torch.nn.ReLU"); }).class_name(), "torch.nn.ReLU");
  EXPECT_EQ(made([](ValueGraphBuilder& b) { return b.opaque("a.B", kNoNode); }).class_name(), "a.B");
  EXPECT_EQ(made([](ValueGraphBuilder& b) {
              const NodeId dict = b.dict();
              b.set_class(dict, "collections.OrderedDict");
              return dict;
            }).class_name(),
            "collections.OrderedDict");
}

TEST(Value, ContainersKeepTheirOrder) {
  const Value list = Value::list(std::vector<Value>{1, "two", 3.0});
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].as_int(), 1);
  EXPECT_EQ(list[1].as_string(), "two");
  EXPECT_FALSE(list[3].exists());
  const Value tuple = Value::tuple(std::vector<Value>{list, list});
  EXPECT_EQ(tuple.kind(), ValueKind::tuple);
  EXPECT_TRUE(tuple[0].same_object(tuple[1]));
  const Value dict = Value::dict(std::vector<std::pair<Value, Value>>{{"z", 1}, {"a", 2}, {"z", 3}});
  ASSERT_EQ(dict.size(), 2U);
  EXPECT_EQ(dict.entry(0).first.as_string(), "z");
  EXPECT_EQ(dict["z"].as_int(), 3);
  EXPECT_EQ(dict.entry(1).second.as_int(), 2);
  EXPECT_TRUE(dict.contains("a"));
  EXPECT_FALSE(dict.contains("b"));
  const Value set = made([](ValueGraphBuilder& b) {
    const NodeId node = b.set();
    for (const int i : {5, 3, 5}) b.append(node, b.integer(i));
    return node;
  });
  ASSERT_EQ(set.size(), 2U);
  EXPECT_EQ(set.item(0).as_int(), 5);
  EXPECT_EQ(set.item(1).as_int(), 3);
}

TEST(Value, KeysAreFoundInPythonsEqualityAcrossGraphs) {
  const Value dict = Value::dict(std::vector<std::pair<Value, Value>>{
      {1, "one"}, {Value::none(), "none"}, {Value::tuple(std::vector<Value>{1, "a"}), "tuple"}, {0.5, "half"}});
  EXPECT_EQ(dict.get(true).as_string(), "one");
  EXPECT_EQ(dict.get(1.0).as_string(), "one");
  EXPECT_EQ(dict.get(Value::none()).as_string(), "none");
  EXPECT_EQ(dict.get(Value::tuple(std::vector<Value>{1.0, "a"})).as_string(), "tuple");
  EXPECT_FALSE(dict.get("1").exists());
  EXPECT_FALSE(dict.get(Value::list({})).exists());
  const Value unhashable = Value::dict(std::vector<std::pair<Value, Value>>{{Value::list({}), 1}, {"k", 2}});
  EXPECT_EQ(unhashable.size(), 1U);
}

TEST(Value, OpaqueObjectsHaveArgumentsStateItemsAndEntries) {
  const Value object = made([](ValueGraphBuilder& b) {
    const NodeId node = b.opaque("my.Object", b.tuple(std::vector<NodeId>{b.integer(1)}));
    const NodeId state = b.dict();
    EXPECT_TRUE(b.set_item(state, b.string("lr"), b.real(0.1)));
    b.set_state(node, state);
    b.append(node, b.string("item"));
    EXPECT_TRUE(b.set_item(node, b.string("key"), b.string("value")));
    return node;
  });
  EXPECT_EQ(object.arguments()[0].as_int(), 1);
  EXPECT_EQ(object.attr("lr").as_double(), 0.1);
  EXPECT_FALSE(object.attr("key").exists());
  EXPECT_EQ(object.state()["lr"].as_double(), 0.1);
  EXPECT_EQ(object.item_count(), 1U);
  EXPECT_EQ(object.entry_count(), 1U);
  EXPECT_EQ(object.size(), 1U);
  EXPECT_EQ(object.item(0).as_string(), "item");
  EXPECT_EQ(object["key"].as_string(), "value");
  EXPECT_EQ(object.entry(0).second.as_string(), "value");
  const Value bare = made([](ValueGraphBuilder& b) { return b.opaque("my.Bare", kNoNode); });
  EXPECT_FALSE(bare.arguments().exists());
  EXPECT_FALSE(bare.state().exists());
  EXPECT_EQ(bare.size(), 0U);
}

// copyreg gives objects with __slots__ the state (dict or None, slots).
TEST(Value, AttributesComeFromADictAndFromSlots) {
  const auto with_state = [](bool has_dict) {
    return made([=](ValueGraphBuilder& b) {
      const NodeId node = b.opaque("my.Slotted", kNoNode);
      const NodeId dict = b.dict();
      const NodeId slots = b.dict();
      EXPECT_TRUE(b.set_item(dict, b.string("a"), b.integer(1)));
      EXPECT_TRUE(b.set_item(slots, b.string("b"), b.integer(2)));
      b.set_state(node, b.tuple(std::vector<NodeId>{has_dict ? dict : b.none(), slots}));
      return node;
    });
  };
  const Value both = with_state(true);
  EXPECT_EQ(both.attr("a").as_int(), 1);
  EXPECT_EQ(both.attr("b").as_int(), 2);
  ASSERT_EQ(both.attributes().size(), 2U);
  EXPECT_EQ(both.attributes()[0].first, "a");
  EXPECT_EQ(both.attributes()[1].first, "b");
  const Value slots = with_state(false);
  EXPECT_FALSE(slots.attr("a").exists());
  EXPECT_EQ(slots.attr("b").as_int(), 2);
  EXPECT_EQ(slots.attributes().size(), 1U);
}

TEST(Value, AStateOfAnotherFormIsNoSetOfAttributes) {
  const Value object = made([](ValueGraphBuilder& b) {
    const NodeId node = b.opaque("my.Tuple", kNoNode);
    const NodeId dict = b.dict();
    EXPECT_TRUE(b.set_item(dict, b.string("a"), b.integer(1)));
    b.set_state(node, b.tuple(std::vector<NodeId>{dict, b.integer(2)}));
    return node;
  });
  EXPECT_TRUE(object.attributes().empty());
  EXPECT_FALSE(object.attr("a").exists());
  EXPECT_EQ(object.state()[1].as_int(), 2);
}

TEST(Value, OrderedDictsHaveAttributesBesideTheirEntries) {
  const Value dict = made([](ValueGraphBuilder& b) {
    const NodeId node = b.dict();
    b.set_class(node, "collections.OrderedDict");
    EXPECT_TRUE(b.set_item(node, b.string("weight"), b.tensor(Tensor())));
    const NodeId attributes = b.dict();
    EXPECT_TRUE(b.set_item(attributes, b.string("_metadata"), b.dict()));
    b.set_state(node, attributes);
    return node;
  });
  EXPECT_TRUE(dict.attr("_metadata").exists());
  EXPECT_FALSE(dict["_metadata"].exists());
  EXPECT_EQ(dict.size(), 1U);
}

TEST(Value, IdentityIsNotEquality) {
  ValueGraphBuilder b;
  const NodeId shared = b.list();
  const NodeId equal = b.list();
  const NodeId root = b.tuple(std::vector<NodeId>{shared, shared, equal});
  const Value value(std::move(b).finish(), root);
  EXPECT_TRUE(value[0].same_object(value[1]));
  EXPECT_EQ(value[0].identity(), value[1].identity());
  EXPECT_FALSE(value[0].same_object(value[2]));
  EXPECT_TRUE(Value(true).same_object(true));
  EXPECT_FALSE(Value(true).same_object(false));
  EXPECT_FALSE(Value(1000).same_object(1000));
}

TEST(Value, CyclesAreHeldAndLetGo) {
  ValueGraphBuilder b;
  const NodeId list = b.list();
  const NodeId self = b.placeholder();
  b.append(list, self);
  b.becomes(self, b.tuple(std::vector<NodeId>{list, b.integer(1)}));
  const Value value(std::move(b).finish(), self);
  EXPECT_EQ(value[1].as_int(), 1);
  EXPECT_TRUE(value[0][0].same_object(value));
  EXPECT_TRUE(value[0][0][0][0].same_object(value));
}

TEST(Value, ValuesOfDifferentGraphsAreCombinedWithTheirSharingAndCycles) {
  ValueGraphBuilder b;
  const NodeId list = b.list();
  b.append(list, list);
  b.append(list, b.string("inside"));
  const NodeId object = b.opaque("my.Object", b.tuple(std::vector<NodeId>{list}));
  const NodeId state = b.dict();
  ASSERT_TRUE(b.set_item(state, b.string("list"), list));
  b.set_state(object, state);
  const Value original(std::move(b).finish(), object);

  const Value combined = Value::list(std::vector<Value>{original, original.attr("list"), 5, original});
  EXPECT_TRUE(combined[0].same_object(combined[3]));
  EXPECT_TRUE(combined[0].attr("list").same_object(combined[1]));
  EXPECT_TRUE(combined[0].arguments()[0].same_object(combined[1]));
  EXPECT_TRUE(combined[1][0].same_object(combined[1]));
  EXPECT_EQ(combined[1][1].as_string(), "inside");
  EXPECT_EQ(combined[0].class_name(), "my.Object");
  EXPECT_EQ(combined[2].as_int(), 5);
  EXPECT_FALSE(combined[0].same_object(original));
}

TEST(Value, CopiesOfLargeDictsFindTheirKeys) {
  std::vector<std::pair<Value, Value>> items;
  for (int i = 0; i < 100; ++i) {
    items.emplace_back(Value::tuple(std::vector<Value>{i, "t"}), i);
    items.emplace_back(std::to_string(i), i);
  }
  const Value copy = Value::list(std::vector<Value>{Value::dict(items)})[0];
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(copy.get(Value::tuple(std::vector<Value>{i, "t"})).as_int(), i);
    EXPECT_EQ(copy[std::to_string(i)].as_int(), i);
  }
}

TEST(Value, AValueKeepsItsGraphAlive) {
  Value inner;
  {
    const Value outer = Value::dict(std::vector<std::pair<Value, Value>>{{"a", Value::list(std::vector<Value>{"x"})}});
    inner = outer["a"];
  }
  EXPECT_EQ(inner[0].as_string(), "x");
}

TEST(Value, LongChainsOfCombinedValuesAreLetGoWithoutRecursion) {
  // Each graph is on its own: none keeps the one it was copied from.
  Value value = 0;
  for (int i = 0; i < 300; ++i) value = Value::list(std::vector<Value>{value});
  int depth = 0;
  for (Value v = value; v.kind() == ValueKind::list; v = v[0]) ++depth;
  EXPECT_EQ(depth, 300);
}

TEST(Value, ReadersOnManyThreadsShareAGraph) {
  std::vector<std::pair<Value, Value>> items;
  for (int i = 0; i < 1000; ++i) items.emplace_back("key" + std::to_string(i), i);
  const Value dict = Value::dict(items);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&dict, &right] {
      for (int i = 0; i < 1000; ++i) right += dict["key" + std::to_string(i)].as_int() == i ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 4000);
}

TEST(Value, KindsHaveTheNamesOfTheJsonContract) {
  EXPECT_EQ(to_string(ValueKind::none), "none");
  EXPECT_EQ(to_string(ValueKind::boolean), "bool");
  EXPECT_EQ(to_string(ValueKind::integer), "int");
  EXPECT_EQ(to_string(ValueKind::real), "float");
  EXPECT_EQ(to_string(ValueKind::string), "str");
  EXPECT_EQ(to_string(ValueKind::bytearray), "bytearray");
  EXPECT_EQ(to_string(ValueKind::opaque), "opaque");
}

}  // namespace
}  // namespace rushlight
