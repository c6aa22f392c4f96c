// T14, T16 and T18 of the catalogue of hostile inputs: quantised, sparse, nested and wrapped tensors with every
// argument replaced by every other kind, and with parts that do not fit each other.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "built.hpp"
#include "pickle_parts.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;
using Ints = std::vector<std::int64_t>;

Write tensor(std::string storage_class, std::string key, Ints shape, std::int64_t numel) {
  return [=](PickleBuilder& p) {
    p.global("torch._utils", "_rebuild_tensor_v2").mark().storage(storage_class, key, numel).integer(0).integers(shape);
    Ints strides(shape.size(), 1);
    for (std::size_t i = shape.size(); i > 1; --i) strides[i - 2] = strides[i - 1] * shape[i - 1];
    p.integers(strides).boolean(false).global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce();
  };
}
const Write kFloats = tensor("FloatStorage", "0", {2, 4}, 8);
const Write kLongs = tensor("LongStorage", "1", {2}, 2);  // of bytes 0 to 15
const Write kBig = [](PickleBuilder& p) { p.long1("\0\0\0\0\0\0\0\0\1"s); };

// One thing of each kind. `kind` is what messages call it.
struct Kind {
  std::string kind;
  Write write;
};
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"None", kNone},
      {"bool", boolean(true)},
      {"int", integer(1)},
      {"big int", kBig},
      {"float", real(0.5)},
      {"str", text("x")},
      {"bytes", [](PickleBuilder& p) { p.bytes_value("x"); }},
      {"list", list_of({})},
      {"tuple", tuple_of({})},
      {"dict", dict({})},
      {"set", [](PickleBuilder& p) { p.empty_set(); }},
      {"class", global("torch", "Tensor")},
      {"dtype", global("torch", "float32")},
      {"scheme", global("torch", "per_tensor_affine")},
      {"layout", call_of("torch.serialization", "_get_layout", {text("torch.sparse_coo")})},
      {"device", call_of("torch", "device", {text("cpu")})},
      {"storage", storage("FloatStorage", "0", 8)},
      {"tensor", kFloats},
      {"ordered dict", kHooks},
      {"unknown", call_of("my", "Class", {})},
  };
  return all;
}

Built built_of(const Write& write) {
  MemoryStorages storages = usual_storages();
  // Of eight codes of one byte and of four longer ones; of bools, and of other integers.
  storages.add("q", 8).add("i", 16).add("b", 8).add("n", 16);
  return build(pickle_of(write), storages);
}
// "ok", or category, code and message.
std::string said_of(const Write& write) {
  const Built built = built_of(write);
  if (built.ok) return "ok";
  EXPECT_TRUE(built.error.finding.record_offset.has_value()) << built.line;
  const std::size_t at = built.line.find(" at ");
  return built.line.substr(0, at) + built.line.substr(std::min(built.line.size(), built.line.find(": ")));
}

// Each argument in turn is one of every kind: what is not among its kinds is refused, and the message names its place
// in the call. Too few and too many are refused by number.
struct Place {
  std::string what;                // as the message names it
  std::vector<std::string> right;  // kinds that are not refused as of a wrong type
};
void expect_types(const std::string& module, const std::string& name, const std::vector<Write>& good,
                  const std::vector<Place>& places) {
  ASSERT_EQ(said_of(call_of(module, name, good)), "ok") << name;
  ASSERT_EQ(good.size(), places.size());
  const std::string callee = module + "." + name;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const Kind& kind : kinds()) {
      if (std::find(places[i].right.begin(), places[i].right.end(), kind.kind) != places[i].right.end()) continue;
      std::vector<Write> arguments = good;
      arguments[i] = kind.write;
      const std::string said = said_of(call_of(module, name, arguments));
      const bool is_big = said.starts_with("tensor TENSOR-OVERFLOW: ");
      EXPECT_TRUE(said.starts_with("type TYPE-ARGUMENT: ") || (kind.kind == "big int" && is_big))
          << i << " " << kind.kind << ": " << said;
      EXPECT_NE(said.find("tensor at the root: " + callee + ": argument " + std::to_string(i) + " (" + places[i].what),
                std::string::npos)
          << i << " " << kind.kind << ": " << said;
    }
  }
  for (std::size_t count : {std::size_t{0}, good.size() - 1, good.size() + 1}) {
    std::vector<Write> arguments(good.begin(),
                                 good.begin() + static_cast<std::ptrdiff_t>(std::min(count, good.size())));
    if (count > good.size()) arguments.push_back(kNone);
    EXPECT_EQ(said_of(call_of(module, name, arguments)),
              "type TYPE-ARGUMENT-COUNT: tensor at the root: " + callee + ": wrong number of arguments, expected " +
                  std::to_string(good.size()) + ", found " + std::to_string(count));
  }
}

// --- T14: quantised
// -------------------------------------------------------------------------------------------------

Write quantized_with(Write quantizer, std::string storage_class = "QInt8Storage", std::string key = "q",
                     std::int64_t numel = 8) {
  return call_of("torch._utils", "_rebuild_qtensor",
                 {storage(storage_class, key, numel), integer(0), integers({numel / 2, 2}), integers({2, 1}), quantizer,
                  boolean(false), kHooks});
}
Write per_tensor(Write scale, Write zero_point) {
  return tuple_of({global("torch", "per_tensor_affine"), std::move(scale), std::move(zero_point)});
}
Write per_channel(Write scales, Write zero_points, Write axis) {
  return tuple_of({global("torch", "per_channel_affine"), std::move(scales), std::move(zero_points), std::move(axis)});
}

TEST(HostileComposites, T14_EveryArgumentOfAQuantizedTensorHasItsType) {
  expect_types("torch._utils", "_rebuild_qtensor",
               {storage("QInt8Storage", "q", 8), integer(0), integers({4, 2}), integers({2, 1}),
                per_tensor(real(0.5), integer(3)), boolean(false), kHooks},
               {{"storage", {}},
                {"storage_offset", {"int"}},
                {"size", {"tuple", "list"}},
                {"stride", {"tuple", "list"}},
                {"quantizer", {}},
                {"requires_grad", {"bool"}},
                {"backward hooks", {"None", "dict", "ordered dict"}}});
}

TEST(HostileComposites, T14_EveryPartOfAQuantizerHasItsType) {
  const auto expect_place = [](std::size_t i, std::string_view what, std::vector<std::string> right, bool channels) {
    for (const Kind& kind : kinds()) {
      if (std::find(right.begin(), right.end(), kind.kind) != right.end()) continue;
      std::vector<Write> parts = {global("torch", "per_tensor_affine"), real(0.5), integer(0)};
      if (channels) {
        parts = {global("torch", "per_channel_affine"), list_of({real(1), real(2)}), list_of({integer(0), integer(1)}),
                 integer(1)};
      }
      parts[i] = kind.write;
      const std::string said = said_of(quantized_with(tuple_of(parts)));
      EXPECT_NE(said.find("torch._utils._rebuild_qtensor quantizer: argument " + std::to_string(i) + " (" +
                          std::string(what)),
                std::string::npos)
          << kind.kind << ": " << said;
    }
  };
  expect_place(0, "scheme", {"scheme"}, false);
  expect_place(1, "scale", {"float"}, false);
  expect_place(2, "zero_point", {"int"}, false);
  // A tensor or sequence of a wrong length is judged by its length: below.
  expect_place(1, "scales", {"tensor", "list", "tuple"}, true);
  expect_place(2, "zero points", {"tensor", "list", "tuple"}, true);
  expect_place(3, "axis", {"int"}, true);
  EXPECT_EQ(said_of(quantized_with(tuple_of({global("torch", "per_tensor_affine"), real(1)}))),
            "type TYPE-ARGUMENT-COUNT: tensor at the root: torch._utils._rebuild_qtensor quantizer: wrong number of "
            "arguments, expected 3, found 2");
  EXPECT_EQ(said_of(quantized_with(tuple_of({global("torch", "per_channel_affine"), real(1)}))),
            "type TYPE-ARGUMENT-COUNT: tensor at the root: torch._utils._rebuild_qtensor quantizer: wrong number of "
            "arguments, expected 4, found 2");
}

TEST(HostileComposites, T14_ScalesAreFiniteAndPositive) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const auto& [scale, shown] :
       {std::pair(0.0, "0.000000"), std::pair(-0.5, "-0.500000"), std::pair(kInfinity, "inf"),
        std::pair(-kInfinity, "-inf"), std::pair(std::numeric_limits<double>::quiet_NaN(), "nan")}) {
    EXPECT_EQ(
        said_of(quantized_with(per_tensor(real(scale), integer(0)))),
        "tensor TENSOR-QUANTIZER: tensor at the root: quantizer: scale, expected a positive number, found "s + shown);
  }
}

TEST(HostileComposites, T14_ZeroPointsAreCodes) {
  struct Row {
    const char* storage_class;
    const char* key;
    std::int64_t numel;
    std::int64_t least;
    std::int64_t most;
  };
  for (const Row& row : {Row{"QInt8Storage", "q", 8, -128, 127}, Row{"QUInt8Storage", "q", 8, 0, 255},
                         Row{"QInt32Storage", "i", 4, std::numeric_limits<std::int32_t>::min(),
                             std::numeric_limits<std::int32_t>::max()},
                         Row{"QUInt4x2Storage", "q", 8, 0, 15}, Row{"QUInt2x4Storage", "q", 8, 0, 3}}) {
    const auto with = [&](std::int64_t zero_point) {
      return said_of(quantized_with(per_tensor(real(1), integer(zero_point)), row.storage_class, row.key, row.numel));
    };
    const std::string range = std::to_string(row.least) + " to " + std::to_string(row.most);
    for (const std::int64_t wrong : {row.least - 1, row.most + 1, std::numeric_limits<std::int64_t>::min(),
                                     std::numeric_limits<std::int64_t>::max()}) {
      EXPECT_EQ(with(wrong), "tensor TENSOR-QUANTIZER: tensor at the root: quantizer: zero point, expected " + range +
                                 ", found " + std::to_string(wrong));
    }
    EXPECT_EQ(with(row.least), "ok") << row.storage_class;
    EXPECT_EQ(with(row.most), "ok") << row.storage_class;
  }
}

TEST(HostileComposites, T14_ChannelsHaveOneScaleEach) {
  const Write two = list_of({real(1), real(2)});
  const Write zeros = list_of({integer(0), integer(1)});
  const std::string quantizer = "tensor TENSOR-QUANTIZER: tensor at the root: quantizer: ";
  EXPECT_EQ(said_of(quantized_with(per_channel(two, zeros, integer(1)))), "ok");
  for (const std::int64_t axis : {std::int64_t{-1}, std::int64_t{2}, std::numeric_limits<std::int64_t>::max(),
                                  std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_EQ(said_of(quantized_with(per_channel(two, zeros, integer(axis)))),
              quantizer + "axis, expected 0 to 1, found " + std::to_string(axis));
  }
  EXPECT_EQ(said_of(quantized_with(per_channel(two, zeros, integer(0)))),
            quantizer + "scales, expected 4 values, one for each index of axis 0, found [2]");
  EXPECT_EQ(said_of(quantized_with(per_channel(two, list_of({integer(0)}), integer(1)))),
            quantizer + "zero points, expected 2 values, one for each index of axis 1, found [1]");
  EXPECT_EQ(said_of(quantized_with(per_channel(list_of({}), zeros, integer(1)))),
            quantizer + "scales, expected 2 values, one for each index of axis 1, found [0]");
  EXPECT_EQ(said_of(quantized_with(per_channel(kFloats, zeros, integer(1)))),
            quantizer + "scales, expected 2 values, one for each index of axis 1, found [2, 4]");
  // Neither floats nor integers.
  EXPECT_EQ(said_of(quantized_with(per_channel(zeros, zeros, integer(1)))),
            quantizer + "scales and zero points, expected floats, and integers or floats, found int64 and int64");
  EXPECT_EQ(said_of(quantized_with(per_channel(two, tensor("BoolStorage", "b", {2}, 8), integer(1)))),
            quantizer + "scales and zero points, expected floats, and integers or floats, found float64 and bool");
  // Mixed lists are of no type.
  EXPECT_NE(said_of(quantized_with(per_channel(list_of({real(1), integer(2)}), zeros, integer(1))))
                .find("quantizer: argument 1 (scales), expected a tensor or a list of numbers"),
            std::string::npos);
}

TEST(HostileComposites, T14_CodesAndTheirGeometryAreChecked) {
  const std::string said = said_of(quantized_with(per_tensor(real(1), integer(0)), "FloatStorage", "0"));
  EXPECT_EQ(said,
            "type TYPE-ARGUMENT: tensor at the root: torch._utils._rebuild_qtensor: argument 0 (storage), expected "
            "a storage of codes, found a storage");
  EXPECT_TRUE(said_of(call_of("torch._utils", "_rebuild_qtensor",
                              {storage("QInt8Storage", "q", 8), integer(1), integers({4, 2}), integers({2, 1}),
                               per_tensor(real(1), integer(0)), boolean(false), kHooks}))
                  .starts_with("tensor TENSOR-"));
}

// --- T16: sparse
// ----------------------------------------------------------------------------------------------------

Write layout(const std::string& name) {
  return call_of("torch.serialization", "_get_layout", {text("torch." + name)});
}
Write sparse(const std::string& name, std::vector<Write> data) {
  return call_of("torch._utils", "_rebuild_sparse_tensor", {layout(name), tuple_of(std::move(data))});
}
// Longs of storage "z": zeros.
Write longs(Ints shape) {
  std::int64_t numel = 1;
  for (const std::int64_t size : shape) numel *= size;
  return numel == 0 ? tensor("LongStorage", "e", std::move(shape), 0) : tensor("LongStorage", "1", std::move(shape), 2);
}
Write floats(Ints shape) {
  std::int64_t numel = 1;
  for (const std::int64_t size : shape) numel *= size;
  return numel == 0 ? tensor("FloatStorage", "e", std::move(shape), 0)
                    : tensor("FloatStorage", "0", std::move(shape), 8);
}

TEST(HostileComposites, T16_EveryArgumentOfASparseTensorHasItsType) {
  const Write data = tuple_of({longs({2, 1}), floats({1}), integers({3, 3})});
  for (const char* name : {"_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor"}) {
    const bool csr = name == "_rebuild_sparse_csr_tensor"s;
    const Write good = csr ? tuple_of({longs({2}), longs({1}), floats({1}), integers({1, 3})}) : data;
    expect_types(
        "torch._utils", name, {layout(csr ? "sparse_csr" : "sparse_coo"), good},
        {{"layout", csr ? std::vector<std::string>{} : std::vector<std::string>{"layout"}}, {"data", {"tuple"}}});
  }
  for (const char* wrong : {"strided", "_mkldnn", "jagged"}) {
    EXPECT_NE(said_of(sparse(wrong, {longs({2, 1}), floats({1}), integers({3, 3})}))
                  .find("argument 0 (layout), expected a sparse layout, found "),
              std::string::npos);
  }
  const std::vector<Write> coo = {longs({2, 1}), floats({1}), integers({3, 3}), boolean(true)};
  const std::vector<Write> csr = {longs({2}), longs({1}), floats({1}), integers({1, 3})};
  EXPECT_EQ(said_of(sparse("sparse_coo", coo)), "ok");
  EXPECT_EQ(said_of(sparse("sparse_csr", csr)), "ok");
  const auto expect_part = [](const char* of, std::vector<Write> parts, std::size_t i, std::string_view what,
                              const std::vector<std::string>& right) {
    for (const Kind& kind : kinds()) {
      if (std::find(right.begin(), right.end(), kind.kind) != right.end()) continue;
      std::vector<Write> wrong = parts;
      wrong[i] = kind.write;
      const std::string said = said_of(sparse(of, wrong));
      EXPECT_NE(said.find("_rebuild_sparse_tensor: argument " + std::to_string(i) + " (" + std::string(what)),
                std::string::npos)
          << of << " " << i << " " << kind.kind << ": " << said;
    }
  };
  expect_part("sparse_coo", coo, 0, "indices", {"tensor"});
  expect_part("sparse_coo", coo, 1, "values", {"tensor"});
  expect_part("sparse_coo", coo, 2, "size", {"tuple", "list"});
  expect_part("sparse_coo", coo, 3, "is_coalesced", {"bool", "None"});
  expect_part("sparse_csr", csr, 0, "compressed indices", {"tensor"});
  expect_part("sparse_csr", csr, 1, "plain indices", {"tensor"});
  expect_part("sparse_csr", csr, 2, "values", {"tensor"});
  expect_part("sparse_csr", csr, 3, "size", {"tuple", "list"});
  // A sparse tensor is no part of another one.
  EXPECT_NE(said_of(sparse("sparse_coo", {longs({2, 1}), sparse("sparse_coo", coo), integers({3, 3})}))
                .find("argument 1 (values), expected a strided tensor, found a tensor"),
            std::string::npos);
}

TEST(HostileComposites, T16_ThePartsOfASparseTensorFitEachOther) {
  struct Row {
    const char* layout;
    std::vector<Write> data;
    const char* said;
  };
  const std::vector<Row> rows = {
      {"sparse_coo",
       {floats({2, 1}), floats({1}), integers({3, 3})},
       "COO tensor: indices, expected int64, found float32"},
      {"sparse_coo",
       {longs({2}), floats({1}), integers({3, 3})},
       "COO tensor: indices, expected 2 dimensions, found 1"},
      {"sparse_coo",
       {longs({2, 1}), floats({}), integers({3, 3})},
       "COO tensor: values, expected 1 dimension or more, found 0"},
      {"sparse_coo", {longs({1, 2}), floats({1}), integers({3})}, "COO tensor: "},
      {"sparse_coo", {longs({2, 1}), floats({1}), integers({3, 3, 3})}, "COO tensor: "},
      {"sparse_coo",
       {longs({1, 2}), floats({2, 3}), integers({3, 4})},
       "COO tensor: values, expected dense sizes of [3, 4], found [2, 3]"},
      {"sparse_csr",
       {longs({2}), floats({1}), floats({1}), integers({1, 3})},
       "csr tensor: col_indices, expected int64 or int32, found float32"},
      {"sparse_csr",
       {longs({2}), tensor("IntStorage", "n", {1}, 4), floats({1}), integers({1, 3})},
       "csr tensor: col_indices, expected int64, found int32"},
      {"sparse_csr",
       {longs({}), longs({1}), floats({1}), integers({1, 3})},
       "csr tensor: crow_indices, expected 1 dimension or more, found 0"},
      {"sparse_csr",
       {longs({2}), longs({1, 1}), floats({1}), integers({1, 3})},
       "csr tensor: col_indices, expected 1 dimensions, found 2"},
      {"sparse_csr",
       {longs({2}), longs({1}), floats({2}), integers({1, 3})},
       "csr tensor: values, expected as many as col_indices, 1, found 2"},
      {"sparse_csr",
       {longs({2}), longs({1}), floats({1}), integers({2, 3})},
       "csr tensor: crow_indices, expected 3 pointers, found 2"},
      {"sparse_csc",
       {longs({2}), longs({1}), floats({1}), integers({1, 3})},
       "csc tensor: ccol_indices, expected 4 pointers, found 2"},
      {"sparse_csr",
       {longs({2}), longs({1}), floats({1}), integers({3})},
       "csr tensor: size, expected 2 dimensions, found 1"},
      {"sparse_bsr",
       {longs({2}), longs({1}), floats({1}), integers({2, 2})},
       "bsr tensor: values, expected 3 dimensions or more, found 1"},
      {"sparse_bsr",
       {longs({2}), longs({1}), floats({1, 2, 2}), integers({2, 3})},
       "bsr tensor: values, expected blocks that divide [2, 3], found [1, 2, 2]"},
      {"sparse_bsr",
       {longs({2}), longs({1}), floats({1, 0, 2}), integers({2, 2})},
       "bsr tensor: values, expected blocks that divide [2, 2], found [1, 0, 2]"},
      {"sparse_bsc",
       {longs({1}), longs({1}), floats({1, 2, 2}), integers({2, 2})},
       "bsc tensor: ccol_indices, expected 2 pointers, found 1"},
      {"sparse_csr",
       {longs({2, 1}), longs({1, 1}), floats({1, 1}), integers({1, 1, 3})},
       "csr tensor: crow_indices, expected batch sizes of [1, 1, 3], found [2, 1]"},
      {"sparse_csr",
       {longs({2}), longs({1}), floats({1, 2}), integers({1, 3, 3})},
       "csr tensor: values, expected dense sizes of [1, 3, 3], found [1, 2]"},
  };
  for (const Row& row : rows) {
    const std::string said = said_of(sparse(row.layout, row.data));
    EXPECT_TRUE(said.starts_with("tensor TENSOR-COMPONENT: tensor at the root: sparse "s + row.said))
        << row.said << "\n"
        << said;
  }
  // Sizes that are negative or overflow.
  for (const Ints& size : {Ints{-1, 3}, Ints{std::numeric_limits<std::int64_t>::max(), 3}}) {
    EXPECT_TRUE(
        said_of(sparse("sparse_coo", {longs({2, 1}), floats({1}), integers(size)})).starts_with("tensor TENSOR-"))
        << said_of(sparse("sparse_coo", {longs({2, 1}), floats({1}), integers(size)}));
  }
  EXPECT_EQ(
      said_of(sparse("sparse_csr", {longs({2}), longs({1}), floats({1})})),
      "type TYPE-ARGUMENT-COUNT: tensor at the root: torch._utils._rebuild_sparse_tensor: wrong number of arguments, "
      "expected 4, found 3");
}

// --- T18: nested
// ----------------------------------------------------------------------------------------------------

constexpr const char* kNestedModule = "torch.nested._internal.nested_tensor";

Write jagged(std::vector<std::pair<std::string, Write>> parts) {
  return call_of(kNestedModule, "_rebuild_njt", {dict(std::move(parts))});
}

TEST(HostileComposites, T18_EveryArgumentOfANestedTensorHasItsType) {
  expect_types("torch._utils", "_rebuild_nested_tensor", {floats({8}), longs({1, 1}), longs({1, 1}), longs({1})},
               {{"buffer", {"tensor", "unknown"}},
                {"sizes", {"tensor", "unknown"}},
                {"strides", {"tensor", "unknown"}},
                {"storage_offsets", {"tensor", "unknown"}}});
  for (const Kind& kind : kinds()) {
    if (kind.kind == "unknown") continue;
    const std::string said = said_of(call_of(kNestedModule, "_rebuild_njt", {kind.write}));
    EXPECT_NE(said.find("_rebuild_njt: argument 0 (" + std::string(kind.kind == "dict" ? "values" : "parts")),
              std::string::npos)
        << kind.kind << ": " << said;
  }
  const std::vector<std::pair<std::string, Write>> good = {
      {"values", floats({8})}, {"offsets", longs({2})}, {"lengths", kNone}, {"_ragged_idx", integer(1)}};
  ASSERT_EQ(said_of(jagged(good)), "ok");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const Kind& kind : kinds()) {
      const bool right = kind.kind == "tensor" ? i < 3 : kind.kind == "int" ? i == 3 : kind.kind == "None" && i == 2;
      if (right) continue;
      auto wrong = good;
      wrong[i].second = kind.write;
      const std::string said = said_of(jagged(wrong));
      EXPECT_NE(said.find(" (" + good[i].first), std::string::npos) << i << " " << kind.kind << ": " << said;
    }
  }
  EXPECT_NE(said_of(jagged({{"values", floats({8})}})).find("(offsets), expected a tensor"), std::string::npos);
}

TEST(HostileComposites, T18_ThePartsOfANestedTensorFitEachOther) {
  const auto strided = [](Write buffer, Write sizes, Write strides, Write offsets) {
    return said_of(call_of("torch._utils", "_rebuild_nested_tensor",
                           {std::move(buffer), std::move(sizes), std::move(strides), std::move(offsets)}));
  };
  const std::string nested = "tensor TENSOR-COMPONENT: tensor at the root: nested tensor: ";
  EXPECT_EQ(strided(floats({2, 4}), longs({1, 1}), longs({1, 1}), longs({1})),
            nested + "buffer, expected 1 dimension, found 2");
  EXPECT_EQ(strided(floats({8}), floats({1, 1}), longs({1, 1}), longs({1})),
            nested + "sizes, expected int64, found float32");
  EXPECT_EQ(strided(floats({8}), longs({2}), longs({2}), longs({1})), nested + "sizes, expected 2 dimensions, found 1");
  EXPECT_EQ(strided(floats({8}), longs({1, 2}), longs({2, 1}), longs({1})),
            nested + "strides, expected the shape of sizes, [1, 2], found [2, 1]");
  EXPECT_EQ(strided(floats({8}), longs({1, 2}), longs({1, 2}), longs({2})), nested + "offsets, expected 1, found 2");
  for (const std::int64_t dim :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{2}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(said_of(jagged({{"values", floats({8})}, {"offsets", longs({2})}, {"_ragged_idx", integer(dim)}})),
              nested + "ragged dimension, expected 1 to 1, found " + std::to_string(dim));
  }
  EXPECT_EQ(said_of(jagged({{"values", floats({8})}, {"offsets", longs({2, 1})}})),
            nested + "offsets, expected 1 dimension, found 2");
  EXPECT_EQ(said_of(jagged({{"values", floats({})}, {"offsets", longs({2})}})),
            nested + "values, expected 1 dimension or more, found 0");
}

// --- subclasses
// -----------------------------------------------------------------------------------------------------

TEST(HostileComposites, EveryArgumentOfAWrapperSubclassHasItsType) {
  const std::vector<Write> good = {global("torch", "Tensor"),
                                   global("torch", "float32"),
                                   integers({2, 3}),
                                   integers({3, 1}),
                                   integer(0),
                                   layout("strided"),
                                   text("cpu"),
                                   boolean(false)};
  // The layout is not looked at: the shape has strides.
  const std::vector<std::string> any = [] {
    std::vector<std::string> all;
    for (const Kind& kind : kinds()) all.push_back(kind.kind);
    return all;
  }();
  expect_types("torch._utils", "_rebuild_wrapper_subclass", good,
               {{"class", {"class", "dtype", "scheme"}},
                {"dtype", {"dtype", "class", "scheme"}},
                {"size", {"tuple", "list"}},
                {"stride", {"tuple", "list"}},
                {"storage_offset", {"int"}},
                {"layout", any},
                {"device", {"device", "str"}},
                {"requires_grad", {"bool"}}});
  for (const auto& [size, strides] :
       {std::pair(Ints{-1}, Ints{1}), std::pair(Ints{2, 3}, Ints{1}), std::pair(Ints{2}, Ints{-1}),
        std::pair(Ints{std::numeric_limits<std::int64_t>::max(), 2}, Ints{2, 1})}) {
    std::vector<Write> wrong = good;
    wrong[2] = integers(size);
    wrong[3] = integers(strides);
    EXPECT_TRUE(said_of(call_of("torch._utils", "_rebuild_wrapper_subclass", wrong)).starts_with("tensor TENSOR-"));
  }
}

TEST(HostileComposites, OldSparseClassesStayOpaque) {
  for (const char* module : {"torch.sparse", "torch.cuda.sparse"}) {
    const Built built = built_of(call_of(module, "FloatTensor", {kLongs, kFloats, integers({2, 2})}));
    ASSERT_TRUE(built.ok) << built.line;
    EXPECT_EQ(built.root.kind(), ValueKind::opaque);
    EXPECT_EQ(built.root.class_name(), module + ".FloatTensor"s);
    ASSERT_EQ(built.findings.size(), 1u);
    EXPECT_EQ(built.findings[0].code, "TENSOR-SPARSE");
    EXPECT_EQ(built.findings[0].severity, Severity::warning);
    EXPECT_EQ(built.findings[0].message, "1 old sparse tensor is kept as an opaque value");
  }
}

// --- amplification
// --------------------------------------------------------------------------------------------------

// One text of 64 KiB, and 100,000 calls that turn it into bytes: 6.5 GB where each call had its own.
TEST(HostileComposites, OneTextThatManyCallsEncodeIsDecodedOnce) {
  std::string shown;
  for (int i = 0; i < (32 << 10); ++i) shown += "\xc3\xa9";
  PickleBuilder pickle;
  pickle.proto(2).text(shown).put(0).pop().text("latin1").put(1).pop().global("_codecs", "encode").put(2).pop();
  pickle.empty_list().mark();
  for (int i = 0; i < 100'000; ++i) pickle.get(2).get(0).get(1).tuple2().reduce();
  pickle.appends().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  ASSERT_EQ(built.root.size(), 100'000u);
  const auto bytes_at = [&](std::size_t i) { return built.root[i].as_bytes().value(); };
  EXPECT_EQ(bytes_at(0).size(), 32u << 10);
  // The same bytes, not equal ones.
  EXPECT_EQ(bytes_at(0).data(), bytes_at(1).data());
  EXPECT_EQ(bytes_at(0).data(), bytes_at(99'999).data());
}

}  // namespace
}  // namespace rushlight::test
