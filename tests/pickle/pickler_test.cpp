// The pickler by itself; its bytes are compared with CPython's in compare_with_cpython.py.
#include "pickle/pickler.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "pickle/machine.hpp"
#include "pickle/object_builder.hpp"
#include "rushlight/limits.hpp"

namespace rushlight::pickle {
namespace {

std::string written(const ObjectGraphBuilder& objects, int protocol) {
  const Result<Pickled> pickled = write_pickle(objects.graph(), {.protocol = protocol});
  return pickled ? std::string(as_text(pickled->bytes)) : "error: " + pickled.error().finding.message;
}

TEST(PickleWriting, WhatAProtocolDoesNotHaveIsRefused) {
  const auto of = [](ObjectKind kind, int protocol) {
    ObjectGraphBuilder objects;
    const bool is_text = kind == ObjectKind::bytes || kind == ObjectKind::bytearray;
    objects.set_root(is_text ? objects.text(kind, "x") : objects.container(kind));
    return written(objects, protocol);
  };
  EXPECT_EQ(of(ObjectKind::bytes, 2), "error: a bytes object needs pickle protocol 3, this is 2");
  EXPECT_EQ(of(ObjectKind::bytearray, 4), "error: a bytearray needs pickle protocol 5, this is 4");
  EXPECT_EQ(of(ObjectKind::set, 3), "error: a set needs pickle protocol 4, this is 3");
  EXPECT_EQ(of(ObjectKind::frozenset, 2), "error: a frozenset needs pickle protocol 4, this is 2");
  EXPECT_EQ(of(ObjectKind::list, 1), "error: pickle protocol 1 is not written, expected 2 to 5");
  EXPECT_EQ(of(ObjectKind::list, 6), "error: pickle protocol 6 is not written, expected 2 to 5");
  ObjectGraphBuilder objects;
  const ObjectId name = objects.text(ObjectKind::string, "a\nb");
  objects.set_root(objects.global(name, name));
  EXPECT_EQ(written(objects, 2), "error: the name of a global holds a newline, which needs pickle protocol 4");
  EXPECT_TRUE(read_pickle(as_byte_span(written(objects, 4)), Limits{}));
}

TEST(PickleWriting, ACallThatNeedsItselfIsRefused) {
  ObjectGraphBuilder objects;
  const ObjectId name = objects.text(ObjectKind::string, "f");
  const ObjectId call = objects.call(CallKind::reduce);
  const ObjectId arguments = objects.container(ObjectKind::tuple);
  ASSERT_TRUE(objects.add_items(arguments, std::array{call}));
  ASSERT_TRUE(objects.set_call(call, objects.global(name, name), arguments));
  objects.set_root(call);
  EXPECT_EQ(written(objects, 2), "error: this object cannot be written: it is needed to make itself");
}

// Lists that are all in one tuple, and hold it: the square of their number.
TEST(PickleWriting, TheLimitIsMet) {
  ObjectGraphBuilder objects;
  const ObjectId tuple = objects.container(ObjectKind::tuple);
  std::vector<ObjectId> lists;
  for (int i = 0; i < 200; ++i) {
    lists.push_back(objects.container(ObjectKind::list));
    ASSERT_TRUE(objects.add_items(lists.back(), std::array{tuple}));
  }
  ASSERT_TRUE(objects.add_items(tuple, lists));
  objects.set_root(tuple);
  const Result<Pickled> whole = write_pickle(objects.graph(), {.protocol = 2});
  ASSERT_TRUE(whole);
  EXPECT_GT(whole->bytes.size(), 20'000u);
  const Result<Pickle> read = read_pickle(whole->bytes, Limits{});
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_TRUE(write_pickle(objects.graph(), {.protocol = 2, .max_bytes = whole->bytes.size()}));
  const Result<Pickled> cut = write_pickle(objects.graph(), {.protocol = 2, .max_bytes = whole->bytes.size() - 2});
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(cut.error().finding.code, "LIMIT-PICKLE");
}

// A million containers inside one another: no recursion anywhere.
TEST(PickleWriting, DepthCostsNoStack) {
  ObjectGraphBuilder objects;
  ObjectId inner = objects.container(ObjectKind::list);
  for (int i = 0; i < 1'000'000; ++i) {
    const ObjectId outer = objects.container(i % 2 == 0 ? ObjectKind::tuple : ObjectKind::list);
    ASSERT_TRUE(objects.add_items(outer, std::array{inner}));
    inner = outer;
  }
  objects.set_root(inner);
  const Result<Pickled> pickled = write_pickle(objects.graph(), {.protocol = 2});
  ASSERT_TRUE(pickled);
  Limits deep;
  deep.pickle_depth = 2'000'000;
  EXPECT_TRUE(read_pickle(pickled->bytes, deep));
}

}  // namespace
}  // namespace rushlight::pickle
