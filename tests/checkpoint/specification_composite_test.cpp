// Rules of format-spec/05-checkpoint.md and 04-tensors.md about tensors that are more than a view on a storage: of
// codes, sparse, nested, wrapped; and about elements in the other byte order. Held against whole files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "open/opened_bytes.hpp"
#include "rushlight/composite_tensor.hpp"
#include "rushlight/inspect.hpp"

namespace rushlight::test {
namespace {

using Sizes = std::vector<std::int64_t>;
using Longs = std::vector<std::int64_t>;

// One archive with its pickle: a storage for each tensor that is put in.
class Writer {
 public:
  Writer() : zip_("base") { pickle.proto(2); }

  template <class T>
  std::string add(const std::vector<T>& values) {
    const std::string key = std::to_string(storages_++);
    zip_.add("data/" + key, bytes_of(values));
    return key;
  }
  // A tensor in C order.
  void put_floats(const std::vector<float>& values, const Sizes& size) {
    pickle.tensor("FloatStorage", add(values), size);
  }
  void put_longs(const Longs& values, const Sizes& size) { pickle.tensor("LongStorage", add(values), size); }

  // torch._utils._rebuild_qtensor over these codes; `write` adds what is inside of the quantizer.
  template <class T, class Write>
  void put_quantized(std::string_view storage_class, const std::vector<T>& codes, const Sizes& size, Write write) {
    pickle.global("torch._utils", "_rebuild_qtensor").mark();
    pickle.storage(storage_class, add(codes), static_cast<std::int64_t>(codes.size())).integer(0).integers(size);
    Sizes strides(size.size(), 1);
    for (std::size_t i = size.size(); i-- > 1;) strides[i - 1] = strides[i] * size[i];
    pickle.integers(strides).mark();
    write();
    pickle.tuple().boolean(false).none().tuple().reduce();
  }
  void per_tensor(double scale, std::int64_t zero_point) {
    pickle.global("torch", "per_tensor_affine").real(scale).integer(zero_point);
  }
  // torch._utils.FUNCTION(layout, (...)): `write` adds the parts and what follows.
  template <class Write>
  void put_sparse(std::string_view layout, Write write, std::string_view function = "_rebuild_sparse_tensor") {
    pickle.global("torch._utils", function).mark();
    pickle.global("torch.serialization", "_get_layout").text(layout).tuple1().reduce().mark();
    write();
    pickle.tuple().tuple().reduce();
  }

  Result<Checkpoint> open(std::string_view byteorder = "little") {
    pickle.stop();
    zip_.add("data.pkl", pickle.bytes()).add("byteorder", byteorder).add("version", "3\n");
    return open_bytes(zip_.build());
  }
  // The code of the error; "ok" where it opens.
  std::string code() {
    const Result<Checkpoint> checkpoint = open();
    return checkpoint ? "ok" : checkpoint.error().finding.code;
  }

  PickleBuilder pickle;

 private:
  TorchZip zip_;
  int storages_ = 0;
};

std::vector<float> floats_of(const Tensor& tensor) {
  const Result<Tensor> dense = tensor.contiguous();
  const std::span<const float> values = dense->values<float>().value();
  return {values.begin(), values.end()};
}

// --- quantised
// --------------------------------------------------------------------------------------------------------

TEST(CheckpointQuantised, TensorsOfCodesBringTheirQuantizer) {
  Writer writer;
  writer.put_quantized<std::int8_t>("QInt8Storage", {1, 2, -3}, {3}, [&] { writer.per_tensor(0.5, -1); });
  const Tensor per_tensor = writer.open()->root().as_tensor().value();
  EXPECT_EQ(per_tensor.dtype(), DType::qi8);
  ASSERT_NE(per_tensor.options().quantizer, nullptr);
  EXPECT_EQ(per_tensor.options().quantizer->scheme, Quantizer::Scheme::per_tensor_affine);
  EXPECT_EQ(per_tensor.options().quantizer->scale, 0.5);
  EXPECT_EQ(per_tensor.options().quantizer->zero_point, -1);

  // Zero points that are floats make it another scheme, whatever the file calls it; lists stand for tensors.
  for (const bool in_float : {false, true}) {
    Writer channels;
    channels.put_quantized<std::uint8_t>("QUInt8Storage", {1, 2, 3, 4}, {2, 2}, [&] {
      channels.pickle.global("torch", "per_channel_affine").empty_list().real(0.5).append().real(2).append();
      channels.pickle.empty_list();
      for (const int zero_point : {3, 1}) {
        (in_float ? channels.pickle.real(zero_point) : channels.pickle.integer(zero_point)).append();
      }
      channels.pickle.integer(1);
    });
    const Result<Checkpoint> checkpoint = channels.open();
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    const Quantizer& quantizer = *checkpoint->root().as_tensor()->options().quantizer;
    EXPECT_EQ(quantizer.scheme,
              in_float ? Quantizer::Scheme::per_channel_affine_float_qparams : Quantizer::Scheme::per_channel_affine);
    EXPECT_EQ(quantizer.axis, 1);
    EXPECT_EQ(quantizer.scales.numel(), 2);
  }
}

// --- sparse
// -----------------------------------------------------------------------------------------------------------

void put_coo(Writer& writer, const Longs& indices, const Sizes& indices_size, const Sizes& size, int coalesced = -1) {
  writer.put_sparse("torch.sparse_coo", [&] {
    writer.put_longs(indices, indices_size);
    const std::int64_t count = indices_size.back();
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i + 1));
    writer.put_floats(values, {count});
    writer.pickle.integers(size);
    if (coalesced >= 0) writer.pickle.boolean(coalesced != 0);
  });
}
// Two rows of three columns, values 1 2 3 at (0, 0), (0, 2) and (1, 1).
void put_csr(Writer& writer, const Longs& pointers, const Longs& columns, const Sizes& size,
             std::string_view function = "_rebuild_sparse_tensor", std::string_view layout = "torch.sparse_csr") {
  writer.put_sparse(
      layout,
      [&] {
        writer.put_longs(pointers, {static_cast<std::int64_t>(pointers.size())});
        writer.put_longs(columns, {static_cast<std::int64_t>(columns.size())});
        writer.put_floats({1, 2, 3}, {3});
        writer.pickle.integers(size);
      },
      function);
}

TEST(CheckpointSparse, CooTensorsHaveThreeOrFourParts) {
  for (const int coalesced : {-1, 0, 1}) {
    Writer writer;
    put_coo(writer, {0, 0, 1, 0, 0, 2}, {2, 3}, {2, 3}, coalesced);
    const Result<Checkpoint> checkpoint = writer.open();
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    ASSERT_EQ(checkpoint->root().kind(), ValueKind::composite);
    const CompositeTensor tensor = checkpoint->root().as_composite().value();
    EXPECT_EQ(tensor.layout(), Layout::sparse_coo);
    EXPECT_EQ(tensor.shape(), (Shape{2, 3}));
    EXPECT_EQ(tensor.nnz(), 3);
    EXPECT_EQ(tensor.is_coalesced(), coalesced == 1);
    ASSERT_EQ(tensor.check_indices().has_value(), true);
    // Two values at one place add up.
    EXPECT_EQ(floats_of(tensor.to_dense().value()), (std::vector<float>{3, 0, 0, 0, 0, 3}));
  }
}

TEST(CheckpointSparse, CompressedTensorsHaveThreePartsAndASize) {
  Writer rows;
  put_csr(rows, {0, 2, 3}, {0, 2, 1}, {2, 3});
  EXPECT_EQ(floats_of(rows.open()->root().as_composite()->to_dense().value()), (std::vector<float>{1, 0, 2, 0, 3, 0}));
  Writer columns;
  put_csr(columns, {0, 2, 3}, {0, 2, 1}, {3, 2}, "_rebuild_sparse_tensor", "torch.sparse_csc");
  EXPECT_EQ(floats_of(columns.open()->root().as_composite()->to_dense().value()),
            (std::vector<float>{1, 0, 0, 3, 2, 0}));
  for (const bool by_rows : {true, false}) {
    Writer blocks;
    blocks.put_sparse(by_rows ? "torch.sparse_bsr" : "torch.sparse_bsc", [&] {
      blocks.put_longs({0, 1, 2}, {3});
      blocks.put_longs({1, 0}, {2});
      blocks.put_floats({1, 2, 3, 4}, {2, 1, 2});
      blocks.pickle.integers(by_rows ? Sizes{2, 4} : Sizes{2, 4});
    });
    EXPECT_EQ(floats_of(blocks.open()->root().as_composite()->to_dense().value()),
              by_rows ? (std::vector<float>{0, 0, 1, 2, 3, 4, 0, 0}) : (std::vector<float>{0, 0, 3, 4, 1, 2, 0, 0}));
  }
}

TEST(CheckpointSparse, TheOlderFunctionMakesCsrTensorsOnly) {
  Writer writer;
  put_csr(writer, {0, 2, 3}, {0, 2, 1}, {2, 3}, "_rebuild_sparse_csr_tensor");
  EXPECT_EQ(writer.open()->root().as_composite()->layout(), Layout::sparse_csr);
  Writer other;
  put_csr(other, {0, 2, 3}, {0, 2, 1}, {3, 2}, "_rebuild_sparse_csr_tensor", "torch.sparse_csc");
  EXPECT_EQ(other.code(), "TYPE-ARGUMENT");
}

TEST(CheckpointNames, PartsOfATensorFollowItsName) {
  Writer writer;
  writer.pickle.empty_dict().text("x");
  put_coo(writer, {0, 0, 1, 0, 0, 2}, {2, 3}, {2, 3});
  writer.pickle.setitem();
  const Result<Checkpoint> checkpoint = writer.open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Inspection report = inspect(*checkpoint).value();
  ASSERT_EQ(report.composites.size(), 1u);
  EXPECT_EQ(report.composites[0].name, "x");
  ASSERT_EQ(report.tensors.size(), 2u);
  EXPECT_EQ(report.tensors[0].name, "x.indices");
  EXPECT_EQ(report.tensors[1].name, "x.values");
}

TEST(CheckpointTensors, ParametersMayBeOfAnyKindOfTensor) {
  Writer writer;
  writer.pickle.global("torch._utils", "_rebuild_parameter").mark();
  put_coo(writer, {0, 0, 1, 0, 0, 2}, {2, 3}, {2, 3});
  writer.pickle.boolean(true).none().tuple().reduce();
  const TensorOptions options = writer.open()->root().as_composite()->options();
  EXPECT_EQ(options.tensor_class, TensorClass::parameter);
  EXPECT_TRUE(options.requires_grad);
}

// --- nested
// -----------------------------------------------------------------------------------------------------------

// Two matrices over a buffer of ten floats.
CompositeTensor nested_of(const Longs& sizes, const Longs& strides, const Longs& offsets) {
  Writer writer;
  writer.pickle.global("torch._utils", "_rebuild_nested_tensor").mark();
  writer.put_floats(std::vector<float>(10), {10});
  writer.put_longs(sizes, {2, 2});
  writer.put_longs(strides, {2, 2});
  writer.put_longs(offsets, {2});
  writer.pickle.tuple().reduce();
  return writer.open()->root().as_composite().value();
}

TEST(CheckpointNested, StridedOnesAreAViewARowOnTheirBuffer) {
  const CompositeTensor tensor = nested_of({2, 3, 1, 4}, {3, 1, 4, 1}, {0, 6});
  EXPECT_EQ(tensor.layout(), Layout::strided);
  EXPECT_EQ(tensor.dim(), 3);
  EXPECT_TRUE(tensor.shape().empty());
  ASSERT_NE(tensor.component("offsets"), nullptr);
  EXPECT_TRUE(tensor.check_indices().has_value());
  EXPECT_FALSE(nested_of({2, 3, 1, 4}, {3, 1, 4, 1}, {0, 7}).check_indices().has_value());
  EXPECT_FALSE(nested_of({2, -3, 1, 4}, {3, 1, 4, 1}, {0, 6}).check_indices().has_value());
  Writer wrong;
  wrong.pickle.global("torch._utils", "_rebuild_nested_tensor").mark();
  wrong.put_floats(std::vector<float>(10), {10});
  wrong.put_longs({2, 3, 1, 4}, {2, 2});
  wrong.put_longs({3, 1}, {1, 2});
  wrong.put_longs({0, 6}, {2});
  wrong.pickle.tuple().reduce();
  EXPECT_EQ(wrong.code(), "TENSOR-COMPONENT");
}

// torch.nested._internal.nested_tensor._rebuild_njt({...}): offsets and perhaps lengths over five values.
void put_jagged(Writer& writer, const Longs& offsets, const Longs& lengths, std::int64_t ragged_dim) {
  writer.pickle.global("torch.nested._internal.nested_tensor", "_rebuild_njt").empty_dict().text("values");
  writer.put_floats({1, 2, 3, 4, 5}, {5});
  writer.pickle.setitem().text("offsets");
  writer.put_longs(offsets, {static_cast<std::int64_t>(offsets.size())});
  writer.pickle.setitem().text("lengths");
  if (lengths.empty()) {
    writer.pickle.none();
  } else {
    writer.put_longs(lengths, {static_cast<std::int64_t>(lengths.size())});
  }
  writer.pickle.setitem().text("_ragged_idx").integer(ragged_dim).setitem();
  writer.pickle.text("requires_grad").boolean(true).setitem().tuple1().reduce();
}

TEST(CheckpointNested, JaggedOnesAreADictOfParts) {
  for (const Longs& lengths : {Longs{}, Longs{1, 3}}) {
    Writer writer;
    put_jagged(writer, {0, 2, 5}, lengths, 1);
    const Result<Checkpoint> checkpoint = writer.open();
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    const CompositeTensor tensor = checkpoint->root().as_composite().value();
    EXPECT_EQ(tensor.layout(), Layout::jagged);
    EXPECT_EQ(tensor.ragged_dim(), 1);
    EXPECT_EQ(tensor.dim(), 2);
    EXPECT_TRUE(tensor.options().requires_grad);
    EXPECT_EQ(tensor.components().size(), lengths.empty() ? 2u : 3u);
    EXPECT_TRUE(tensor.check_indices().has_value());
  }
  const auto status = [](const Longs& offsets, const Longs& lengths) {
    Writer writer;
    put_jagged(writer, offsets, lengths, 1);
    return writer.open()->root().as_composite()->check_indices().has_value();
  };
  EXPECT_FALSE(status({0, 3, 2}, {}));
  EXPECT_FALSE(status({0, 2, 6}, {}));
  EXPECT_FALSE(status({0, 2, 5}, {3, 3}));
  Writer out_of_range;
  put_jagged(out_of_range, {0, 2, 5}, {}, 2);
  EXPECT_EQ(out_of_range.code(), "TENSOR-COMPONENT");
}

// --- wrapper subclasses
// -----------------------------------------------------------------------------------------------

TEST(CheckpointWrappers, AreAShapeWithoutBytesAndTheirAttributes) {
  Writer writer;
  writer.pickle.global("torch._tensor", "_rebuild_from_type_v2").mark();
  writer.pickle.global("torch._utils", "_rebuild_wrapper_subclass").global("my", "Masked").mark();
  writer.pickle.global("my", "Masked").global("torch", "float32").integers(Sizes{2, 2}).integers(Sizes{2, 1});
  writer.pickle.integer(0).global("torch.serialization", "_get_layout").text("torch.strided").tuple1().reduce();
  writer.pickle.text("cpu").boolean(false).tuple().empty_dict().text("data");
  writer.put_floats({1, 2, 3, 4}, {2, 2});
  writer.pickle.setitem().tuple().reduce();
  const Result<Checkpoint> checkpoint = writer.open();
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Tensor tensor = checkpoint->root().as_tensor().value();
  EXPECT_TRUE(std::ranges::equal(tensor.shape(), Shape{2, 2}));
  EXPECT_EQ(tensor.device(), Device::meta());
  EXPECT_EQ(checkpoint->root().class_name(), "my.Masked");
  EXPECT_EQ(floats_of(checkpoint->root().attr("data").as_tensor().value()), (std::vector<float>{1, 2, 3, 4}));
}

// --- the other byte order
// ---------------------------------------------------------------------------------------------

TEST(CheckpointByteOrder, ElementsAreSwappedByTheDtypeOfTheirTensor) {
  Writer writer;
  const std::string floats = writer.add(std::vector<std::uint8_t>{0x3F, 0x80, 0, 0, 0x40, 0, 0, 0});
  const std::string shorts = writer.add(std::vector<std::uint8_t>{1, 2, 3, 4});
  const std::string complex = writer.add(std::vector<std::uint8_t>{0x3F, 0x80, 0, 0, 0x40, 0, 0, 0});
  writer.pickle.tensor("FloatStorage", floats, Sizes{2});
  // A dtype without a storage class: over bytes.
  const auto put_v3 = [&](std::string_view dtype, std::int64_t count) {
    writer.pickle.global("torch._utils", "_rebuild_tensor_v3").mark();
    writer.pickle.mark().text("storage").global("torch.storage", "UntypedStorage").text(shorts).text("cpu").integer(4);
    writer.pickle.tuple().binpersid().integer(0).integers(Sizes{count}).integers(Sizes{1}).boolean(false).none();
    writer.pickle.global("torch", dtype).tuple().reduce();
  };
  put_v3("uint16", 2);
  writer.pickle.tensor("ComplexFloatStorage", complex, Sizes{1}).tuple3();
  put_v3("uint8", 4);
  writer.pickle.mark().text("storage").global("torch.storage", "UntypedStorage").text(shorts).text("cpu").integer(4);
  writer.pickle.tuple().binpersid().tuple3();
  const Result<Checkpoint> checkpoint = writer.open("big");
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Value parts = checkpoint->root()[0];
  EXPECT_EQ(floats_of(parts[0].as_tensor().value()), (std::vector<float>{1, 2}));
  EXPECT_EQ(parts[1].as_tensor()->values<std::uint16_t>().value()[1], 0x0304);
  const Result<std::span<const std::byte>> number = parts[2].as_tensor()->bytes();
  EXPECT_EQ(std::to_integer<int>((*number)[3]), 0x3F);  // each half by itself
  EXPECT_EQ(std::to_integer<int>((*number)[7]), 0x40);
  EXPECT_EQ(checkpoint->root()[1].as_tensor()->values<std::uint8_t>().value()[0], 1);
  EXPECT_EQ(std::to_integer<int>(checkpoint->root()[2].as_storage()->bytes().value()[0]), 1);
}

TEST(CheckpointByteOrder, TensorsOfOneDtypeShareTheSwappedStorage) {
  Writer writer;
  const std::string key = writer.add(std::vector<std::uint8_t>{0x3F, 0x80, 0, 0, 0x40, 0, 0, 0});
  writer.pickle.tensor("FloatStorage", key, Sizes{2}).tensor("FloatStorage", key, Sizes{2}).tuple2();
  const Result<Checkpoint> checkpoint = writer.open("big");
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()[0].as_tensor()->storage(), checkpoint->root()[1].as_tensor()->storage());
}

}  // namespace
}  // namespace rushlight::test
