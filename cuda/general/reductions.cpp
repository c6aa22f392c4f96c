// Many elements to one.
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
    default:
      return false;
  }
}

}  // namespace rushlight::cuda
