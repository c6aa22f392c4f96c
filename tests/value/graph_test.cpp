#include "value/graph.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rushlight {
namespace {

TEST(ValueGraph, OneMillionNestedListsAreMadeCopiedAndFreed) {
  ValueGraphBuilder b;
  const NodeId root = b.list();
  NodeId inner = root;
  for (int i = 0; i < 1'000'000; ++i) {
    const NodeId next = b.list();
    b.append(inner, next);
    inner = next;
  }
  const Value value(std::move(b).finish(), root);
  const Value copy = Value::tuple(std::vector<Value>{value});
  EXPECT_TRUE(copy[0][0][0].exists());
}

TEST(ValueGraph, SmallGraphsAreSmall) {
  EXPECT_EQ(sizeof(ValueNode), 24U);
  ValueGraphBuilder b;
  EXPECT_EQ(b.node_count(), 3U);  // None, False, True
  EXPECT_EQ(b.none(), b.none());
  EXPECT_EQ(b.boolean(true), b.boolean(true));
  EXPECT_NE(b.boolean(true), b.boolean(false));
  EXPECT_EQ(b.node_count(), 3U);
  EXPECT_NE(b.integer(5), b.integer(5));
}

TEST(ValueGraph, ListsGrowByAnyNumberOfItems) {
  for (const int count : {0, 1, 4, 5, 100, 5000}) {
    ValueGraphBuilder b;
    const NodeId list = b.list();
    for (int i = 0; i < count; ++i) b.append(list, b.integer(i));
    const Value value(std::move(b).finish(), list);
    ASSERT_EQ(value.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) ASSERT_EQ(value[static_cast<std::size_t>(i)].as_int(), i);
  }
}

TEST(ValueGraph, DictsFindTheirKeysAtEverySize) {
  for (const int count : {1, 7, 8, 9, 10, 31, 32, 33, 1000}) {
    ValueGraphBuilder b;
    const NodeId dict = b.dict();
    for (int i = 0; i < count; ++i) ASSERT_TRUE(b.set_item(dict, b.string("k" + std::to_string(i)), b.integer(i)));
    // Once more, now replacing.
    for (int i = 0; i < count; ++i) ASSERT_TRUE(b.set_item(dict, b.string("k" + std::to_string(i)), b.integer(2 * i)));
    const Value value(std::move(b).finish(), dict);
    ASSERT_EQ(value.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) ASSERT_EQ(value["k" + std::to_string(i)].as_int(), 2 * i) << count;
    EXPECT_FALSE(value.contains("k" + std::to_string(count)));
  }
}

TEST(ValueGraph, SetsTakeEqualItemsOnceAtEverySize) {
  for (const int count : {1, 8, 9, 1000}) {
    ValueGraphBuilder b;
    const NodeId set = b.set();
    std::vector<NodeId> items;
    for (int i = 0; i < count; ++i) items.push_back(b.integer(i));
    for (int i = 0; i < count; ++i) items.push_back(b.real(i));
    for (const NodeId item : items) EXPECT_TRUE(b.append(set, item));
    const NodeId frozen = b.frozenset(items);
    const Value value(std::move(b).finish(), set);
    EXPECT_EQ(value.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(Value(value.graph(), frozen).size(), static_cast<std::size_t>(count));
    EXPECT_EQ(value.item(0).kind(), ValueKind::integer);
  }
}

TEST(ValueGraph, EntriesOfDictSubclassesAreFoundLikeThoseOfDicts) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("collections.defaultdict", kNoNode);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(b.set_item(object, b.integer(i), b.string(std::to_string(i))));
  const Value value(std::move(b).finish(), object);
  EXPECT_EQ(value.entry_count(), 50U);
  EXPECT_EQ(value.get(33).as_string(), "33");
  EXPECT_EQ(value.get(33.0).as_string(), "33");
  EXPECT_FALSE(value.get(50).exists());
}

TEST(ValueGraph, ClassNamesAreKeptOnce) {
  ValueGraphBuilder b;
  std::vector<NodeId> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(b.opaque("my.package.Class" + std::to_string(i % 3), kNoNode));
  EXPECT_EQ(b.graph().class_names.size(), 3U);
  const Value last(std::move(b).finish(), objects[99]);
  EXPECT_EQ(last.class_name(), "my.package.Class0");
  EXPECT_EQ(Value(last.graph(), objects[0]).class_name().data(), last.class_name().data());
}

}  // namespace
}  // namespace rushlight
