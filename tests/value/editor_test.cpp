#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rushlight/value.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

using Items = std::vector<std::pair<Value, Value>>;

Value training_checkpoint() {
  const Value group = Value::dict(Items{{"lr", 0.1}, {"betas", Value::tuple(std::vector<Value>{0.9, 0.999})}});
  return Value::dict(Items{{"epoch", 3},
                           {"model", Value::dict(Items{{"fc.weight", Tensor()}, {"fc.bias", Tensor()}})},
                           {"groups", Value::list(std::vector<Value>{group})},
                           {2, "two"}});
}

std::string message(const Status& status) {
  return status ? "done" : status.error().finding.message;
}

TEST(ValueEditor, ChangesACopyAndNeverTheOriginal) {
  const Value original = training_checkpoint();
  ValueEditor edit(original);
  EXPECT_TRUE(edit.set("epoch", 99));
  EXPECT_TRUE(edit.set("groups[0].lr", 0.5));
  EXPECT_TRUE(edit.set("[2]", "zwei"));
  const Value changed = edit.value();
  EXPECT_EQ(changed["epoch"].as_int(), 99);
  EXPECT_EQ(changed.at("groups[0].lr").as_double(), 0.5);
  EXPECT_EQ(changed.get(2).as_string(), "zwei");
  EXPECT_EQ(original["epoch"].as_int(), 3);
  EXPECT_EQ(original.at("groups[0].lr").as_double(), 0.1);
  EXPECT_EQ(original.get(2).as_string(), "two");
}

TEST(ValueEditor, WithoutAChangeTheValueIsTheSameObject) {
  const Value original = training_checkpoint();
  EXPECT_TRUE(ValueEditor(original).value().same_object(original));
  EXPECT_TRUE(ValueEditor(Value()).value().is_none());
}

TEST(ValueEditor, SnapshotsStayAsTheyWereTaken) {
  ValueEditor edit(training_checkpoint());
  ASSERT_TRUE(edit.set("epoch", 4));
  const Value first = edit.value();
  ASSERT_TRUE(edit.set("epoch", 5));
  const Value second = edit.value();
  EXPECT_EQ(first["epoch"].as_int(), 4);
  EXPECT_EQ(second["epoch"].as_int(), 5);
  EXPECT_TRUE(edit.value().same_object(second));
}

TEST(ValueEditor, TensorsAreSharedNotCopied) {
  const Tensor tensor = Tensor::zeros(DType::f32, {3}).value();
  ValueEditor edit(Value::dict(Items{{"w", tensor}}));
  ASSERT_TRUE(edit.set("x", 1));
  EXPECT_TRUE(edit.value()["w"].as_tensor()->shares_storage_with(tensor));
}

TEST(ValueEditor, NewKeysGoToTheEndOfTheirDict) {
  ValueEditor edit(training_checkpoint());
  EXPECT_TRUE(edit.set("loss", 0.25));
  EXPECT_TRUE(edit.set("groups[0].momentum", 0.9));
  EXPECT_TRUE(edit.set("[7]", "seven"));
  const Value changed = edit.value();
  EXPECT_EQ(changed.entry(4).first.as_string(), "loss");
  EXPECT_EQ(changed.at("groups[0].momentum").as_double(), 0.9);
  EXPECT_EQ(changed.get(7).as_string(), "seven");
}

TEST(ValueEditor, NewKeysMayHaveDotsWhereOthersHaveThem) {
  ValueEditor edit(training_checkpoint());
  EXPECT_TRUE(edit.set("model.fc2.weight", Tensor()));
  EXPECT_TRUE(edit.value()["model"].contains("fc2.weight"));
  // Elsewhere that is a typing mistake.
  const Status mistake = edit.set("modle.fc2.weight", Tensor());
  EXPECT_EQ(message(mistake), "there is no 'modle' in the root");
  EXPECT_EQ(mistake.error().code, ErrorCode::not_found);
  EXPECT_NE(mistake.error().finding.hint.find("'model'"), std::string::npos);
}

TEST(ValueEditor, StepsThatLeadNowhereAreNamed) {
  ValueEditor edit(training_checkpoint());
  EXPECT_EQ(message(edit.set("groups[1].lr", 1)), "there is no '[1]' in 'groups'");
  EXPECT_EQ(message(edit.set("groups[4]", 1)), "there is no '[4]' in 'groups'");
  EXPECT_EQ(message(edit.set("epoch.x", 1)), "there is no 'x' in 'epoch'");
  EXPECT_EQ(message(edit.set(Path{{.text = "nothing"}, {.text = "x"}}, 1)), "there is no 'nothing' in the root");
  EXPECT_EQ(message(edit.append("nothing", 1)), "there is no 'nothing' in the root");
  EXPECT_EQ(message(edit.erase("groups[0].nothing")), "there is no 'nothing' in 'groups[0]'");
  for (const Status& status : {edit.set("groups[1].lr", 1), edit.append("x", 1), edit.erase("x")}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::not_found);
  }
  // Nothing was changed on the way.
  EXPECT_EQ(edit.value().size(), 4U);
}

TEST(ValueEditor, WhatPythonCannotChangeIsRefused) {
  ValueEditor edit(training_checkpoint());
  EXPECT_EQ(message(edit.set("groups[0].betas[0]", 1)), "a tuple at 'groups[0].betas' cannot be changed");
  EXPECT_EQ(message(edit.erase("groups[0].betas[0]")), "a tuple at 'groups[0].betas' cannot be changed");
  EXPECT_EQ(message(edit.append("groups[0].betas", 1)), "'groups[0].betas' is a tuple, nothing can be appended to it");
  EXPECT_EQ(message(edit.append("epoch", 1)), "'epoch' is a int, nothing can be appended to it");
  EXPECT_EQ(message(edit.erase("")), "the value at the root cannot be changed");
  const Path unhashable = {{.text = "[]", .other_key = Value::list({})}};
  EXPECT_EQ(message(edit.set(unhashable, 1)), "'[[]]' is no key for a dict: it is not hashable");
}

TEST(ValueEditor, ListsGrowAndShrink) {
  ValueEditor edit(Value::dict(Items{{"l", Value::list(std::vector<Value>{1, 2, 3})}}));
  EXPECT_TRUE(edit.append("l", 4));
  EXPECT_TRUE(edit.erase("l[1]"));
  EXPECT_TRUE(edit.set("l[0]", "one"));
  const Value list = edit.value()["l"];
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].as_string(), "one");
  EXPECT_EQ(list[1].as_int(), 3);
  EXPECT_EQ(list[2].as_int(), 4);
}

TEST(ValueEditor, SetsTakeWhatIsHashable) {
  ValueGraphBuilder b;
  const NodeId set = b.set();
  b.append(set, b.integer(1));
  ValueEditor edit(Value(std::move(b).finish(), set));
  EXPECT_TRUE(edit.append("", 1.0));
  EXPECT_TRUE(edit.append("", "x"));
  EXPECT_EQ(message(edit.append("", Value::list({}))), "a list cannot be an item of a set: it is not hashable");
  EXPECT_EQ(edit.value().size(), 2U);
}

TEST(ValueEditor, EntriesOfLargeDictsAreErasedAndTheOthersStillFound) {
  Items items;
  for (int i = 0; i < 40; ++i) items.emplace_back("k" + std::to_string(i), i);
  items.emplace_back(5, "five");
  ValueEditor edit(Value::dict(items));
  ASSERT_TRUE(edit.erase("k3"));
  ASSERT_TRUE(edit.erase("[5]"));
  ASSERT_TRUE(edit.set("k40", 40));
  const Value changed = edit.value();
  EXPECT_EQ(changed.size(), 40U);
  EXPECT_FALSE(changed.contains("k3"));
  for (const int i : {0, 2, 4, 39, 40}) EXPECT_EQ(changed["k" + std::to_string(i)].as_int(), i);
  EXPECT_EQ(changed.entry(3).first.as_string(), "k4");
  for (int i = 4; i < 39; ++i) ASSERT_TRUE(edit.erase("k" + std::to_string(i)));
  EXPECT_EQ(edit.value().size(), 5U);
  EXPECT_EQ(edit.value()["k39"].as_int(), 39);
}

TEST(ValueEditor, OtherKeysAreSetByTheirSteps) {
  const Value key = Value::tuple(std::vector<Value>{1, "a"});
  ValueEditor edit(Value::dict(Items{{key, "old"}}));
  ASSERT_TRUE(edit.set("[(1, 'a')]", "new"));
  EXPECT_EQ(edit.value().get(key).as_string(), "new");
  const Value other = Value::tuple(std::vector<Value>{2});
  ASSERT_TRUE(edit.set(Path{{.text = "(2,)", .other_key = other}}, "two"));
  EXPECT_EQ(edit.value().get(other).as_string(), "two");
  EXPECT_EQ(edit.value().size(), 2U);
  ASSERT_TRUE(edit.erase("[(2,)]"));
  EXPECT_EQ(edit.value().size(), 1U);
}

TEST(ValueEditor, AttributesOfObjectsAreSetAddedAndErased) {
  ValueGraphBuilder b;
  const NodeId object = b.opaque("my.Object", kNoNode);
  const NodeId state = b.dict();
  const NodeId slots = b.dict();
  ASSERT_TRUE(b.set_item(state, b.string("a"), b.integer(1)));
  ASSERT_TRUE(b.set_item(slots, b.string("s"), b.integer(2)));
  b.set_state(object, b.tuple(std::vector<NodeId>{state, slots}));
  const NodeId bare = b.opaque("my.Bare", kNoNode);
  const NodeId ordered = b.dict();
  b.set_class(ordered, "collections.OrderedDict");
  const NodeId metadata = b.dict();
  ASSERT_TRUE(b.set_item(metadata, b.string("_metadata"), b.none()));
  b.set_state(ordered, metadata);
  const NodeId root = b.list();
  for (const NodeId item : {object, bare, ordered}) b.append(root, item);

  ValueEditor edit(Value(std::move(b).finish(), root));
  EXPECT_TRUE(edit.set("[0].a", 10));
  EXPECT_TRUE(edit.set("[0].s", 20));
  EXPECT_TRUE(edit.set("[0].fresh", 30));
  EXPECT_TRUE(edit.set("[1].first", 40));
  EXPECT_TRUE(edit.set("[2]._metadata", "kept"));
  EXPECT_TRUE(edit.set("[2].key", "entry"));
  const Value changed = edit.value();
  EXPECT_EQ(changed[0].attr("a").as_int(), 10);
  EXPECT_EQ(changed[0].attr("s").as_int(), 20);
  EXPECT_EQ(changed[0].attr("fresh").as_int(), 30);
  EXPECT_EQ(changed[1].attr("first").as_int(), 40);
  EXPECT_EQ(changed[2].attr("_metadata").as_string(), "kept");
  EXPECT_FALSE(changed[2].contains("_metadata"));
  EXPECT_EQ(changed[2]["key"].as_string(), "entry");
  EXPECT_EQ(changed[2].class_name(), "collections.OrderedDict");
  EXPECT_TRUE(edit.erase("[0].a"));
  EXPECT_FALSE(edit.value()[0].attr("a").exists());
  EXPECT_EQ(edit.value()[0].attr("s").as_int(), 20);
}

TEST(ValueEditor, SharedObjectsChangeForAllWhoShareThem) {
  ValueGraphBuilder b;
  const NodeId shared = b.list();
  const NodeId root = b.dict();
  ASSERT_TRUE(b.set_item(root, b.string("a"), shared));
  ASSERT_TRUE(b.set_item(root, b.string("b"), shared));
  ValueEditor edit(Value(std::move(b).finish(), root));
  ASSERT_TRUE(edit.append("a", 1));
  EXPECT_EQ(edit.value()["b"].size(), 1U);
  EXPECT_TRUE(edit.value()["a"].same_object(edit.value()["b"]));
}

TEST(ValueEditor, ForeignValuesComeInWithTheirSharingAndCycles) {
  ValueGraphBuilder b;
  const NodeId list = b.list();
  b.append(list, list);
  const Value cyclic(std::move(b).finish(), list);
  ValueEditor edit(training_checkpoint());
  ASSERT_TRUE(edit.set("c1", cyclic));
  ASSERT_TRUE(edit.set("c2", cyclic));
  const Value changed = edit.value();
  EXPECT_TRUE(changed["c1"][0].same_object(changed["c1"]));
  EXPECT_TRUE(changed["c1"].same_object(changed["c2"]));
  // And still, after a snapshot, in later changes.
  ASSERT_TRUE(edit.set("c3", cyclic));
  ASSERT_TRUE(edit.set("c4", changed["c1"]));
  const Value later = edit.value();
  EXPECT_TRUE(later["c3"].same_object(later["c1"]));
  EXPECT_TRUE(later["c4"].same_object(later["c1"]));
}

TEST(ValueEditor, PartsOfTheEditedValueMayBeSetElsewhereInIt) {
  const Value original = training_checkpoint();
  ValueEditor edit(original);
  ASSERT_TRUE(edit.set("alias", original["model"]));
  ASSERT_TRUE(edit.set("model.extra", 1));
  const Value changed = edit.value();
  EXPECT_TRUE(changed["alias"].same_object(changed["model"]));
  EXPECT_EQ(changed["alias"]["extra"].as_int(), 1);
  // A container may be put into itself.
  ASSERT_TRUE(edit.set("self", changed));
  EXPECT_TRUE(edit.value()["self"].same_object(edit.value()));
}

TEST(ValueEditor, TheRootItselfIsReplaced) {
  ValueEditor edit(training_checkpoint());
  ASSERT_TRUE(edit.set("", Value::list(std::vector<Value>{1})));
  EXPECT_EQ(edit.value().kind(), ValueKind::list);
  ASSERT_TRUE(edit.append("", 2));
  EXPECT_EQ(edit.value().size(), 2U);
}

TEST(ValueEditor, AnEditorOfNoneBuildsFromNothing) {
  ValueEditor edit{Value()};
  EXPECT_FALSE(edit.set("a", 1));
  ASSERT_TRUE(edit.set("", Value::dict({})));
  ASSERT_TRUE(edit.set("a", 1));
  EXPECT_EQ(edit.value()["a"].as_int(), 1);
}

TEST(ValueEditor, ThousandsOfSnapshotsAreLetGo) {
  ValueEditor edit(Value::dict(Items{{"n", 0}}));
  for (int i = 1; i <= 5000; ++i) {
    ASSERT_TRUE(edit.set("n", i));
    ASSERT_EQ(edit.value()["n"].as_int(), i);
  }
}

}  // namespace
}  // namespace rushlight
