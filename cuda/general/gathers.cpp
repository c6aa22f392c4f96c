// Elements at places that other numbers name: Embedding, EmbeddingBag, IndexSelect, Gather.
#include "cuda/general/maker.hpp"

namespace rushlight::cuda {

bool add_check(GeneralMaker& maker, const runtime::Operand& indices, const void* data, std::int64_t size) {
  CheckIndicesArguments a;
  a.indices = data;
  a.element = element_of(indices.dtype);
  a.size = size;
  a.note = maker.note();
  const auto places = strided<1>(indices.shape, {indices.strides}, true);
  if (!places) return false;
  a.places = *places;
  maker.add(a);
  return true;
}

namespace {

// The last two strides of each dimension: of the table, 0 along the dimension that is indexed, and of the indices.
bool add_gather(GeneralMaker& maker, std::size_t indices, const void* table, std::int64_t size,
                std::int64_t index_stride, const Strides& table_strides, const Strides& index_strides) {
  if (!add_check(maker, maker.input(indices), maker.input_at(indices), size)) return false;
  const runtime::Operand& output = maker.output();
  GatherArguments a;
  a.table = table;
  a.indices = maker.input_at(indices);
  a.output = maker.output_at();
  a.element = element_of(maker.input(indices).dtype);
  a.word_bytes = static_cast<int>(size_bytes(output.dtype));
  a.size = size;
  a.index_stride = index_stride;
  const auto shape = strided<3>(output.shape, {output.strides, table_strides, index_strides});
  if (!shape) return false;
  a.shape = *shape;
  maker.add(a);
  return true;
}

bool add_embedding(GeneralMaker& maker, const Embedding& op) {
  Strides table(maker.output().shape.size(), 0);
  table.back() = 1;
  Strides indices = maker.input().strides;
  indices.push_back(0);
  return add_gather(maker, 0, maker.parameter("weight"), op.num_embeddings, op.embedding_dim, table, indices);
}

std::size_t place_of(std::int64_t dim, std::size_t rank) {
  return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(rank) : dim);
}

bool add_index_select(GeneralMaker& maker, const IndexSelect& op) {
  const runtime::Operand& from = maker.input(0);
  const runtime::Operand& indices = maker.input(1);
  if (from.shape.empty()) return false;
  const std::size_t dim = place_of(op.dim, from.shape.size());
  Strides table = from.strides;
  table[dim] = 0;
  Strides places(from.shape.size(), 0);
  if (!indices.strides.empty()) places[dim] = indices.strides[0];
  return add_gather(maker, 1, maker.input_at(0), from.shape[dim], from.strides[dim], table, places);
}

bool add_gather(GeneralMaker& maker, const Gather& op) {
  const runtime::Operand& from = maker.input(0);
  if (from.shape.empty() || maker.input(1).shape.size() != from.shape.size()) return false;
  const std::size_t dim = place_of(op.dim, from.shape.size());
  Strides table = from.strides;
  table[dim] = 0;
  return add_gather(maker, 1, maker.input_at(0), from.shape[dim], from.strides[dim], table, maker.input(1).strides);
}

BagRule rule_of(BagMode mode) noexcept {
  switch (mode) {
    case BagMode::mean:
      return BagRule::mean;
    case BagMode::max:
      return BagRule::largest;
    default:
      return BagRule::sum;
  }
}

// A matrix of indices has a bag in each row; of a vector the second input says where bags begin.
bool add_embedding_bag(GeneralMaker& maker, const EmbeddingBag& op) {
  const runtime::Operand& indices = maker.input(0);
  const bool is_matrix = indices.shape.size() == 2;
  BagArguments a;
  a.rule = rule_of(op.mode);
  a.table = maker.parameter("weight");
  a.indices = maker.input_at(0);
  a.index_element = element_of(indices.dtype);
  a.output = maker.floats_out();
  a.rows = op.num_embeddings;
  a.columns = Divisor64(op.embedding_dim);
  a.bags = maker.output().shape[0];
  a.members = indices.elements();
  if (op.padding_idx) a.padding = *op.padding_idx < 0 ? *op.padding_idx + op.num_embeddings : *op.padding_idx;
  if (!add_check(maker, indices, a.indices, a.rows)) return false;
  if (is_matrix) {
    a.bag_size = indices.shape[1];
  } else {
    const runtime::Operand& offsets = maker.input(1);
    a.offsets = maker.input_at(1);
    a.offset_element = element_of(offsets.dtype);
    a.offset_count = offsets.elements();
    if (!add_check(maker, offsets, a.offsets, a.members + 1)) return false;
  }
  const std::size_t weights = is_matrix ? 1 : 2;
  if (maker.input_count() > weights) a.weights = maker.floats_in(weights);
  maker.add(a);
  return true;
}

}  // namespace

bool make_gathers(GeneralMaker& maker) {
  switch (maker.op().kind()) {
    case OperatorKind::Embedding:
      return add_embedding(maker, maker.get<Embedding>());
    case OperatorKind::EmbeddingBag:
      return add_embedding_bag(maker, maker.get<EmbeddingBag>());
    case OperatorKind::IndexSelect:
      return add_index_select(maker, maker.get<IndexSelect>());
    case OperatorKind::Gather:
      return add_gather(maker, maker.get<Gather>());
    default:
      return false;
  }
}

}  // namespace rushlight::cuda
