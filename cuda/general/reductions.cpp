// Many elements to one, or to a few: TopK; and two lines to one number.
#include <algorithm>

#include "cuda/general/maker.hpp"
#include "cuda/general/nests.hpp"

namespace rushlight::cuda {
namespace {

bool add_reduction(GeneralMaker& maker, ReduceRule rule, const Shape& dims, double number, float* values,
                   std::int64_t* positions) {
  const runtime::Operand& input = maker.input();
  Nest kept;
  Nest gone;
  for (std::size_t d = 0; d < input.shape.size(); ++d) {
    (goes(dims, d, input.shape.size()) ? gone : kept).push(input.shape[d], {input.strides[d]});
  }
  ReduceArguments a;
  a.rule = rule;
  a.number = number;
  a.input = maker.floats_in();
  a.values = values;
  a.positions = positions;
  const auto kept_shape = kept.walk<1>(true);
  const auto gone_shape = gone.walk<1>(true);
  if (!kept_shape || !gone_shape) return false;
  a.kept = *kept_shape;
  a.gone = *gone_shape;
  a.lanes = lanes_for(a.kept.elements, a.gone.elements, kept.is_adjacent(0) && !gone.is_adjacent(0));
  maker.add(a);
  return true;
}
bool add_reduction(GeneralMaker& maker, ReduceRule rule, const Shape& dims, double number = 0) {
  return add_reduction(maker, rule, dims, number, maker.floats_out(), nullptr);
}

// Values, or positions, or both.
bool add_extremum(GeneralMaker& maker, ReduceRule rule, const std::optional<std::int64_t>& dim, bool positions_only) {
  const Shape dims = dim ? Shape{*dim} : Shape();
  float* const values = positions_only ? nullptr : maker.floats_out();
  std::byte* positions = positions_only ? maker.output_at(0) : nullptr;
  if (!positions_only && maker.output_count() > 1) positions = maker.output_at(1);
  return add_reduction(maker, rule, dims, 0, values, reinterpret_cast<std::int64_t*>(positions));
}

bool add_top_k(GeneralMaker& maker, const TopK& op) {
  const runtime::Operand& input = maker.input();
  const runtime::Operand& output = maker.output();
  const Shape along = {op.dim};
  TopKArguments a;
  a.largest = op.largest;
  a.input = maker.floats_in();
  a.values = maker.floats_out();
  if (maker.output_count() > 1) {
    if (maker.output(1).strides != output.strides) return false;
    a.positions = reinterpret_cast<std::int64_t*>(maker.output_at(1));
  }
  a.size = 1;
  a.wanted = op.k.value_or(0);
  Nest lines;
  for (std::size_t d = 0; d < input.shape.size(); ++d) {
    if (!goes(along, d, input.shape.size())) {
      lines.push(input.shape[d], {input.strides[d], output.strides[d]});
      continue;
    }
    a.size = input.shape[d];
    a.input_step = input.strides[d];
    a.output_step = output.strides[d];
  }
  const auto walk = lines.walk<2>(true);
  if (!walk) return false;
  a.lines = *walk;
  a.lanes = lanes_for(walk->elements, a.size, lines.is_adjacent(0) && a.input_step != 1);
  maker.add(a);
  return true;
}

// Two inputs broadcast to one shape, along one dimension of it.
bool add_pairs(GeneralMaker& maker, std::int64_t dim, PairsArguments a) {
  Shape shape(std::max(maker.input(0).shape.size(), maker.input(1).shape.size()), 1);
  for (std::size_t i = 0; i < 2; ++i) {
    const Shape& own = maker.input(i).shape;
    for (std::size_t d = 0; d < own.size(); ++d) {
      if (own[d] != 1) shape[shape.size() - own.size() + d] = own[d];
    }
  }
  const Strides strides[2] = {broadcast_strides(maker.input(0), shape), broadcast_strides(maker.input(1), shape)};
  Nest kept;
  Nest gone;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    (goes({dim}, d, shape.size()) ? gone : kept).push(shape[d], {strides[0][d], strides[1][d]});
  }
  const auto kept_walk = kept.walk<2>(true);
  const auto gone_walk = gone.walk<2>(true);
  if (!kept_walk || !gone_walk) return false;
  a.a = maker.floats_in(0);
  a.b = maker.floats_in(1);
  a.output = maker.floats_out();
  a.kept = *kept_walk;
  a.gone = *gone_walk;
  a.lanes = lanes_for(kept_walk->elements, gone_walk->elements, kept.is_adjacent(0) && !gone.is_adjacent(0));
  maker.add(a);
  return true;
}

}  // namespace

bool make_reductions(GeneralMaker& maker) {
  using R = ReduceRule;
  switch (maker.op().kind()) {
    case OperatorKind::Mean:
      return add_reduction(maker, R::mean, maker.get<Mean>().dim);
    case OperatorKind::Sum:
      return add_reduction(maker, R::sum, maker.get<Sum>().dim);
    case OperatorKind::Prod:
      return add_reduction(maker, R::product, maker.get<Prod>().dim);
    case OperatorKind::Amax:
      return add_reduction(maker, R::largest, maker.get<Amax>().dim);
    case OperatorKind::Amin:
      return add_reduction(maker, R::smallest, maker.get<Amin>().dim);
    case OperatorKind::Max:
      return add_extremum(maker, R::largest, maker.get<Max>().dim, false);
    case OperatorKind::Min:
      return add_extremum(maker, R::smallest, maker.get<Min>().dim, false);
    case OperatorKind::ArgMax:
      return add_extremum(maker, R::largest, maker.get<ArgMax>().dim, true);
    case OperatorKind::ArgMin:
      return add_extremum(maker, R::smallest, maker.get<ArgMin>().dim, true);
    case OperatorKind::Std:
      return add_reduction(maker, R::deviation, maker.get<Std>().dim, maker.get<Std>().correction);
    case OperatorKind::Var:
      return add_reduction(maker, R::variance, maker.get<Var>().dim, maker.get<Var>().correction);
    case OperatorKind::VectorNorm:
      return add_reduction(maker, R::norm, maker.get<VectorNorm>().dim, maker.get<VectorNorm>().ord);
    case OperatorKind::LogSumExp:
      return add_reduction(maker, R::log_sum_exp, maker.get<LogSumExp>().dim);
    case OperatorKind::TopK:
      return add_top_k(maker, maker.get<TopK>());
    case OperatorKind::CosineSimilarity: {
      const CosineSimilarity& op = maker.get<CosineSimilarity>();
      PairsArguments a;
      a.eps = op.eps;
      return add_pairs(maker, op.dim, a);
    }
    case OperatorKind::PairwiseDistance: {
      const PairwiseDistance& op = maker.get<PairwiseDistance>();
      PairsArguments a;
      a.rule = PairRule::distance;
      a.eps = op.eps;
      a.order = op.p;
      return add_pairs(maker, -1, a);
    }
    default:
      return false;
  }
}

}  // namespace rushlight::cuda
