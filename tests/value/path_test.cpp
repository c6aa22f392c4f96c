#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "rushlight/value.hpp"
#include "value/graph.hpp"
#include "value/literal.hpp"

namespace rushlight {
namespace {

using Items = std::vector<std::pair<Value, Value>>;

Value training_checkpoint() {
  const Value group = Value::dict(Items{{"lr", 0.1}, {"betas", Value::tuple(std::vector<Value>{0.9, 0.999})}});
  const Value optimizer =
      Value::dict(Items{{"state", Value::dict(Items{{0, Value::dict(Items{{"exp_avg", Tensor()}})}})},
                        {"param_groups", Value::list(std::vector<Value>{group})}});
  return Value::dict(Items{{"model_state_dict", Value::dict(Items{{"conv1.weight", Tensor()}, {"conv1", "short"}})},
                           {"optimizer", optimizer},
                           {"epoch", 3}});
}

TEST(Paths, ReadableFormsJoinKeysWithDotsAndPutIntegersInBrackets) {
  const Path path = {{.text = "optimizer"},
                     {.text = "state"},
                     {.index = 0, .integer_key = true},
                     {.kind = PathStep::Kind::attr, .text = "exp_avg"},
                     {.kind = PathStep::Kind::index, .index = 2}};
  EXPECT_EQ(to_string(path), "optimizer.state[0].exp_avg[2]");
  EXPECT_EQ(to_string(Path{}), "");
  EXPECT_EQ(to_string(Path{{.text = "_metadata"}, {.text = ""}, {.text = "version"}}), "_metadata..version");
}

TEST(Paths, ReachInside) {
  const Value root = training_checkpoint();
  EXPECT_EQ(root.at("epoch").as_int(), 3);
  EXPECT_EQ(root.at("optimizer.param_groups[0].lr").as_double(), 0.1);
  EXPECT_EQ(root.at("optimizer.param_groups[0].betas[1]").as_double(), 0.999);
  EXPECT_EQ(root.at("optimizer.state[0].exp_avg").kind(), ValueKind::tensor);
  EXPECT_TRUE(root.at("").same_object(root));
  EXPECT_EQ(root["optimizer"].at("param_groups[0]").size(), 2U);
}

TEST(Paths, KeysWithDotsAreTriedLongestFirst) {
  const Value root = training_checkpoint();
  EXPECT_EQ(root.at("model_state_dict.conv1.weight").kind(), ValueKind::tensor);
  EXPECT_EQ(root.at("model_state_dict.conv1").as_string(), "short");
  // Where the longest key is a dead end, shorter ones are tried.
  const Value tricky = Value::dict(Items{{"a.b", Value::dict(Items{{"x", 1}})},
                                         {"a", Value::dict(Items{{"b.c", 2}, {"b", Value::dict(Items{{"c", 3}})}})}});
  EXPECT_EQ(tricky.at("a.b.x").as_int(), 1);
  EXPECT_EQ(tricky.at("a.b.c").as_int(), 2);
}

// Found by fuzzing: the empty key was read again and again where it came first.
TEST(Paths, AnEmptyFirstKeyLeadsOn) {
  const Value inner = Value::dict(Items{{"a", 1}, {"", 2}, {0, 3}});
  const Value root = Value::dict(Items{{"", inner}});
  EXPECT_EQ(root.at(".a").as_int(), 1);
  EXPECT_EQ(root.at(".").as_int(), 2);
  EXPECT_EQ(root.at("[0]").as_int(), 3);
  EXPECT_FALSE(root.at("a").exists());
  EXPECT_FALSE(root.at("..").exists());
}

TEST(Paths, WhatLeadsNowhereDoesNotExist) {
  const Value root = training_checkpoint();
  for (const char* path :
       {"epochs", "epoch.x", "epoch[0]", "optimizer.param_groups[1]", "optimizer.param_groups[-1]",
        "optimizer.param_groups[00]", "optimizer.param_groups[0", "optimizer.param_groups[0]lr", "optimizer..state",
        "optimizer.", ".optimizer", "optimizer.state.0", "optimizer[state]", "[0]", "[", "]", "."}) {
    EXPECT_FALSE(root.at(path).exists()) << path;
  }
  EXPECT_FALSE(Value().at("x").exists());
  EXPECT_FALSE(root["nothing"].at("x").exists());
}

TEST(Paths, StepsReachWhatTheyWereReadFrom) {
  const Value root = training_checkpoint();
  EXPECT_EQ(root.at(Path{{.text = "optimizer"},
                         {.text = "param_groups"},
                         {.kind = PathStep::Kind::index, .index = 0},
                         {.text = "lr"}})
                .as_double(),
            0.1);
  EXPECT_FALSE(root.at(Path{{.text = "optimizer"}, {.kind = PathStep::Kind::attr, .text = "state"}}).exists());
  EXPECT_FALSE(root.at(Path{{.kind = PathStep::Kind::index, .index = 0}}).exists());
  EXPECT_FALSE(
      root.at(Path{{.text = "optimizer"}, {.text = "param_groups"}, {.kind = PathStep::Kind::index, .index = -1}})
          .exists());
}

// Every kind of key, in one dict: names are unique, and lead back to what they name, by text and by steps.
TEST(Paths, EveryKeyHasAUniqueNameThatLeadsBack) {
  ValueGraphBuilder b;
  const NodeId root = b.dict();
  const auto tuple = [&](std::vector<NodeId> items) { return b.tuple(items); };
  const std::vector<NodeId> keys = {
      b.none(),
      b.boolean(true),
      b.integer(2),
      b.integer(-3),
      b.big_integer(std::string(9, '\x7f')),
      b.real(0.5),
      b.real(1e300),
      b.real(-INFINITY),
      b.real(std::numeric_limits<double>::quiet_NaN()),
      b.real(std::numeric_limits<double>::quiet_NaN()),
      b.complex(1, -2.5),
      b.bytes(std::string_view("a\0'\xff", 4)),
      b.string("plain"),
      b.string("a.b"),
      b.string("[7]"),
      b.string("None"),
      b.string("with ] and [ and ."),
      tuple({}),
      tuple({b.integer(1)}),
      tuple({b.integer(1), b.string("a].b'"), tuple({b.none()})}),
      b.size(std::vector<NodeId>{b.integer(4), b.integer(5)}),
      b.frozenset(std::vector<NodeId>{b.integer(6)}),
      b.frozenset({}),
      b.dtype(DType::f16),
      b.device("cuda:0"),
      b.global("torch.nn.ReLU"),
      b.tensor(Tensor()),
      b.tensor(Tensor()),
      b.opaque("my.Key", kNoNode),
      b.opaque("my.Key", kNoNode),
      tuple({b.string(std::string(500, 'x'))}),
      tuple({b.string(std::string(500, 'x') + "y")}),
  };
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ASSERT_TRUE(b.set_item(root, keys[i], b.integer(static_cast<std::int64_t>(i)))) << i;
  }
  const Value value(std::move(b).finish(), root);
  ASSERT_EQ(value.size(), keys.size());
  std::vector<std::string> names;
  ASSERT_TRUE(walk(value, [&](const WalkItem& item) {
    if (item.path.empty()) return true;
    const std::string name = to_string(item.path);
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 0) << name;
    names.push_back(name);
    EXPECT_TRUE(value.at(item.path).same_object(*item.value)) << name;
    EXPECT_TRUE(value.at(name).same_object(*item.value)) << name;
    return true;
  }));
  const std::vector<std::string> want = {"[None]",
                                         "[True]",
                                         "[2]",
                                         "[-3]",
                                         "[2351923699311548792703]",
                                         "[0.5]",
                                         "[1e+300]",
                                         "[-inf]",
                                         "[<float #8>]",
                                         "[<float #9>]",
                                         "[(1.0-2.5j)]",
                                         "[b'a\\x00\\'\\xff']",
                                         "plain",
                                         "a.b",
                                         "[7]",
                                         "None",
                                         "with ] and [ and .",
                                         "[()]",
                                         "[(1,)]"};
  ASSERT_GE(names.size(), want.size());
  EXPECT_EQ(std::vector<std::string>(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(want.size())), want);
  EXPECT_EQ(names[20], "[torch.Size([4, 5])]");
  EXPECT_EQ(names[21], "[frozenset({6})]");
  EXPECT_EQ(names[22], "[frozenset()]");
  EXPECT_EQ(names[23], "[torch.float16]");
  EXPECT_EQ(names[25], "[torch.nn.ReLU]");
  EXPECT_EQ(names[26], "[<torch.Tensor #26>]");
  EXPECT_EQ(names[28], "[<my.Key #28>]");
  EXPECT_EQ(names[30], "[<tuple #30>]");
}

TEST(Paths, KeysWithoutEqualityAreFoundInACopyByTheirPlace) {
  ValueGraphBuilder b;
  const NodeId dict = b.dict();
  ASSERT_TRUE(b.set_item(dict, b.tensor(Tensor()), b.string("first")));
  ASSERT_TRUE(b.set_item(dict, b.tensor(Tensor()), b.string("second")));
  const Value original(std::move(b).finish(), dict);
  Path path;
  ASSERT_TRUE(walk(original, [&](const WalkItem& item) {
    if (item.value->as_string() == "second") path.assign(item.path.begin(), item.path.end());
    return true;
  }));
  const Value copy = Value::list(std::vector<Value>{original})[0];
  EXPECT_EQ(copy.at(path).as_string(), "second");
  EXPECT_EQ(copy.at("[<torch.Tensor #1>]").as_string(), "second");
}

TEST(Paths, LookingForAHostilePathTakesItsLengthNotItsPower) {
  // {"a": d, "a.a": d, ...} where every way to cut the text is a dead end.
  ValueGraphBuilder b;
  const NodeId dict = b.dict();
  std::string key = "a";
  for (int i = 0; i < 40; ++i, key += ".a") ASSERT_TRUE(b.set_item(dict, b.string(key), dict));
  const Value value(std::move(b).finish(), dict);
  std::string path = "a";
  for (int i = 0; i < 400; ++i) path += ".a";
  EXPECT_TRUE(value.at(path).same_object(value));
  EXPECT_FALSE(value.at(path + ".b").exists());
}

TEST(Paths, FloatsAreWrittenAsPythonWritesThem) {
  EXPECT_EQ(python_float(0.0), "0.0");
  EXPECT_EQ(python_float(-0.0), "-0.0");
  EXPECT_EQ(python_float(0.1), "0.1");
  EXPECT_EQ(python_float(1e15), "1000000000000000.0");
  EXPECT_EQ(python_float(1e16), "1e+16");
  EXPECT_EQ(python_float(123456789012345680.0), "1.2345678901234568e+17");
  EXPECT_EQ(python_float(0.0001), "0.0001");
  EXPECT_EQ(python_float(0.00001), "1e-05");
  EXPECT_EQ(python_float(5e-324), "5e-324");
  EXPECT_EQ(python_float(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(python_float(INFINITY), "inf");
  EXPECT_EQ(python_float(NAN), "nan");
}

}  // namespace
}  // namespace rushlight
