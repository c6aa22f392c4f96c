#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rushlight/value.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

// "name kind", with a star where the object was met before.
std::vector<std::string> visits(const Value& root) {
  std::vector<std::string> seen;
  const Status walked = walk(root, [&](const WalkItem& item) {
    seen.push_back(to_string(item.path) + " " + std::string(to_string(item.value->kind())) +
                   (item.seen_before ? "*" : ""));
    return true;
  });
  EXPECT_TRUE(walked);
  return seen;
}

TEST(Walk, VisitsParentsBeforeChildrenInInsertionOrder) {
  const Value root = Value::dict(std::vector<std::pair<Value, Value>>{
      {"model", Value::dict(std::vector<std::pair<Value, Value>>{{"fc.weight", Tensor()}, {"fc.bias", Tensor()}})},
      {"epoch", 3},
      {7, Value::list(std::vector<Value>{1.5, Value::tuple(std::vector<Value>{"x"})})}});
  EXPECT_EQ(visits(root),
            (std::vector<std::string>{" dict", "model dict", "model.fc.weight tensor", "model.fc.bias tensor",
                                      "epoch int", "[7] list", "[7][0] float", "[7][1] tuple", "[7][1][0] str"}));
}

TEST(Walk, LeavesAndAbsentValuesHaveNoChildren) {
  EXPECT_EQ(visits(Value()), std::vector<std::string>{" none"});
  EXPECT_EQ(visits(Value(3)), std::vector<std::string>{" int"});
  EXPECT_TRUE(visits(Value(3)["nothing"]).empty());
}

TEST(Walk, StepsSayWhatTheyAre) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("my.Object", kNoNode);
  const NodeId state = b.dict();
  const NodeId list = b.list();
  b.append(list, b.integer(1));
  ASSERT_TRUE(b.set_item(state, b.string("lr"), list));
  b.set_state(object, state);
  const NodeId root = b.dict();
  ASSERT_TRUE(b.set_item(root, b.integer(-4), object));
  ASSERT_TRUE(b.set_item(root, b.boolean(true), b.integer(2)));
  const Value value(std::move(b).finish(), root);
  std::vector<Path> paths;
  ASSERT_TRUE(walk(value, [&](const WalkItem& item) {
    paths.emplace_back(item.path.begin(), item.path.end());
    return true;
  }));
  ASSERT_EQ(paths.size(), 5U);
  EXPECT_EQ(paths[3], (Path{{.kind = PathStep::Kind::key, .index = -4, .integer_key = true},
                            {.kind = PathStep::Kind::attr, .text = "lr"},
                            {.kind = PathStep::Kind::index, .index = 0}}));
  EXPECT_EQ(paths[4].size(), 1U);
  EXPECT_EQ(paths[4][0].text, "True");
  ASSERT_TRUE(paths[4][0].other_key);
  EXPECT_EQ(paths[4][0].other_key->as_bool(), true);
}

TEST(Walk, P28_SharedAndCyclicObjectsAreEnteredOnce) {
  ValueGraphBuilder b;
  const NodeId list = b.list();
  const NodeId dict = b.dict();
  b.append(list, dict);
  b.append(list, list);
  b.append(list, dict);
  ASSERT_TRUE(b.set_item(dict, b.string("up"), list));
  ASSERT_TRUE(b.set_item(dict, b.string("x"), b.integer(1)));
  EXPECT_EQ(visits(Value(std::move(b).finish(), list)),
            (std::vector<std::string>{" list", "[0] dict", "[0].up list*", "[0].x int", "[1] list*", "[2] dict*"}));
}

TEST(Walk, TuplesAndTensorsAreVisitedUnderEveryNameTheyHave) {
  ValueGraphBuilder b;
  const NodeId tensor = b.tensor(Tensor());
  const NodeId betas = b.tuple(std::vector<NodeId>{b.real(0.9)});
  const NodeId root = b.list();
  for (const NodeId item : {tensor, betas, tensor, betas}) b.append(root, item);
  EXPECT_EQ(visits(Value(std::move(b).finish(), root)),
            (std::vector<std::string>{" list", "[0] tensor", "[1] tuple", "[1][0] float", "[2] tensor", "[3] tuple",
                                      "[3][0] float"}));
}

TEST(Walk, P28_TuplesAndTensorsInsideThemselvesAreNotEnteredAgain) {
  ValueGraphBuilder b;
  const NodeId self = b.placeholder();
  b.becomes(self, b.tuple(std::vector<NodeId>{self, b.integer(1)}));
  EXPECT_EQ(visits(Value(std::move(b).finish(), self)), (std::vector<std::string>{" tuple", "[0] tuple*", "[1] int"}));

  ValueGraphBuilder c;
  const NodeId tensor = c.tensor(Tensor());
  const NodeId attributes = c.dict();
  ASSERT_TRUE(c.set_item(attributes, c.string("me"), tensor));
  ASSERT_TRUE(c.set_item(attributes, c.string("tag"), c.string("t")));
  c.set_state(tensor, attributes);
  EXPECT_EQ(visits(Value(std::move(c).finish(), tensor)),
            (std::vector<std::string>{" tensor", "me tensor*", "tag str"}));
}

TEST(Walk, OpaqueObjectsShowArgumentsAttributesItemsAndEntriesInThisOrder) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("my.Object", b.tuple(std::vector<NodeId>{b.tensor(Tensor())}));
  const NodeId state = b.dict();
  ASSERT_TRUE(b.set_item(state, b.string("lr"), b.real(0.1)));
  const NodeId slots = b.dict();
  ASSERT_TRUE(b.set_item(slots, b.string("slot"), b.integer(1)));
  b.set_state(object, b.tuple(std::vector<NodeId>{state, slots}));
  b.append(object, b.string("item"));
  ASSERT_TRUE(b.set_item(object, b.string("key"), b.boolean(true)));
  EXPECT_EQ(visits(Value(std::move(b).finish(), object)),
            (std::vector<std::string>{" opaque", "args tuple", "args[0] tensor", "lr float", "slot int", "[0] str",
                                      "key bool"}));
}

TEST(Walk, ArgumentsGiveWayToAnAttributeOfTheirName) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("my.Error", b.tuple(std::vector<NodeId>{b.integer(1)}));
  const NodeId state = b.dict();
  ASSERT_TRUE(b.set_item(state, b.string("args"), b.integer(2)));
  b.set_state(object, state);
  const Value value(std::move(b).finish(), object);
  EXPECT_EQ(visits(value), (std::vector<std::string>{" opaque", "__args__ tuple", "__args__[0] int", "args int"}));
  EXPECT_EQ(value.at("args").as_int(), 2);
  EXPECT_EQ(value.at("__args__[0]").as_int(), 1);
}

// torch.ScriptObject and functools.partial keep tuples as their state.
TEST(Walk, AStateThatIsASequenceOrADictStandsForItsObject) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("torch.ScriptObject", kNoNode);
  b.set_state(object, b.tuple(std::vector<NodeId>{b.tensor(Tensor()), b.string("class")}));
  const Value tuple(std::move(b).finish(), object);
  EXPECT_EQ(visits(tuple), (std::vector<std::string>{" opaque", "[0] tensor", "[1] str"}));
  EXPECT_EQ(tuple.at("[1]").as_string(), "class");

  ValueGraphBuilder c;
  const NodeId counter = c.opaque("my.Counter", kNoNode);
  const NodeId state = c.dict();
  ASSERT_TRUE(c.set_item(state, c.integer(3), c.string("three")));
  c.set_state(counter, state);
  const Value mixed(std::move(c).finish(), counter);
  EXPECT_EQ(visits(mixed), (std::vector<std::string>{" opaque", "[3] str"}));
  EXPECT_EQ(mixed.at("[3]").as_string(), "three");
}

TEST(Walk, AStateThatFitsNowhereElseIsAnAttribute) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("my.List", kNoNode);
  b.append(object, b.integer(1));
  b.set_state(object, b.tuple(std::vector<NodeId>{b.integer(2)}));
  const Value value(std::move(b).finish(), object);
  EXPECT_EQ(visits(value), (std::vector<std::string>{" opaque", "__state__ tuple", "__state__[0] int", "[0] int"}));
  EXPECT_EQ(value.at("__state__[0]").as_int(), 2);

  ValueGraphBuilder c;
  const NodeId wrapper = c.opaque("my.Wrapper", kNoNode);
  c.set_state(wrapper, c.tensor(Tensor()));
  EXPECT_EQ(visits(Value(std::move(c).finish(), wrapper)), (std::vector<std::string>{" opaque", "__state__ tensor"}));
}

TEST(Walk, ChildrenAreSkippedWhereTheVisitorSaysSo) {
  const Value root = Value::dict(std::vector<std::pair<Value, Value>>{{"a", Value::list(std::vector<Value>{1, 2})},
                                                                      {"b", Value::list(std::vector<Value>{3})}});
  std::vector<std::string> names;
  ASSERT_TRUE(walk(root, [&](const WalkItem& item) {
    names.push_back(to_string(item.path));
    return names.back() != "a";
  }));
  EXPECT_EQ(names, (std::vector<std::string>{"", "a", "b", "b[0]"}));
}

TEST(Walk, P25_MemoBombsEndAtTheLimit) {
  ValueGraphBuilder b;
  NodeId part = b.tuple(std::vector<NodeId>{b.integer(1)});
  for (int i = 0; i < 60; ++i) part = b.tuple(std::vector<NodeId>{part, part});
  const Value bomb(std::move(b).finish(), part);
  std::uint64_t count = 0;
  const Status walked = walk(
      bomb,
      [&](const WalkItem&) {
        ++count;
        return true;
      },
      100'000);
  ASSERT_FALSE(walked);
  EXPECT_EQ(walked.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(walked.error().finding.message, "the values unfold to more than 100000 nodes (visited_nodes)");
  EXPECT_EQ(count, 100'000U);
}

TEST(Walk, TheLimitItselfIsStillAllowed) {
  const Value list = Value::list(std::vector<Value>{1, 2, 3});
  const auto all = [](const WalkItem&) { return true; };
  EXPECT_TRUE(walk(list, all, 4));
  EXPECT_FALSE(walk(list, all, 3));
  EXPECT_FALSE(walk(list, all, 0));
}

TEST(Walk, P27_OneMillionLevelsAreWalkedWithoutRecursion) {
  ValueGraphBuilder b;
  const NodeId root = b.list();
  NodeId inner = root;
  for (int i = 0; i < 1'000'000; ++i) {
    const NodeId next = i % 2 == 0 ? b.list() : b.set();
    b.append(inner, next);
    // A set would not take a list, so lists hold the sets and a fresh list goes on.
    if (i % 2 == 1) {
      const NodeId beside = b.list();
      b.append(inner, beside);
      inner = beside;
    } else {
      inner = next;
    }
  }
  const Value value(std::move(b).finish(), root);
  std::size_t deepest = 0;
  std::uint64_t count = 0;
  ASSERT_TRUE(walk(value, [&](const WalkItem& item) {
    deepest = std::max(deepest, item.path.size());
    ++count;
    return true;
  }));
  EXPECT_EQ(deepest, 1'000'000U);
  EXPECT_EQ(count, 1'500'001U);
}

}  // namespace
}  // namespace rushlight
