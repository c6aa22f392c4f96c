// Elements made to fit those of their own item: norms, softmaxes, Normalize, CumSum.
#include <limits>

#include "cuda/general/maker.hpp"
#include "cuda/general/nests.hpp"
#include "runtime/general.hpp"

namespace rushlight::cuda {
namespace {

// Nests of the input, the output, and of what lies like the weight.
struct Items {
  Nest kept;
  Nest gone;
};

bool add_items(GeneralMaker& maker, NormaliseArguments a, const Items& items) {
  const auto kept = items.kept.walk<3>(false);
  const auto gone = items.gone.walk<3>(false);
  if (!kept || !gone) return false;
  a.input = maker.floats_in();
  a.output = maker.floats_out();
  a.kept = *kept;
  a.gone = *gone;
  a.lanes = lanes_for(kept->elements, gone->elements, items.kept.is_adjacent(0) && !items.gone.is_adjacent(0));
  maker.add(a);
  return true;
}

// --- statistics of pictures, whose channels may come in groups ---

// `one_set`: over all images together.
Items picture_items(const GeneralMaker& maker, std::size_t spatial, bool one_set, std::int64_t groups) {
  const runtime::Operand& in = maker.input();
  const runtime::Operand& out = maker.output();
  const std::size_t c = in.shape.size() - spatial - 1;
  const std::int64_t each = in.shape[c] / groups;
  Items items;
  if (c > 0) (one_set ? items.gone : items.kept).push(in.shape[0], {in.strides[0], out.strides[0], 0});
  items.kept.push(groups, {each * in.strides[c], each * out.strides[c], each});
  items.gone.push(each, {in.strides[c], out.strides[c], 1});
  for (std::size_t d = c + 1; d < in.shape.size(); ++d)
    items.gone.push(in.shape[d], {in.strides[d], out.strides[d], 0});
  return items;
}

NormaliseArguments affine(GeneralMaker& maker, NormRule rule, double eps, bool has_weight, bool has_bias) {
  NormaliseArguments a;
  a.rule = rule;
  a.eps = eps;
  if (has_weight) a.weight = maker.parameter("weight");
  if (has_bias) a.bias = maker.parameter("bias");
  return a;
}

template <OperatorStruct Norm>
bool add_batch_norm(GeneralMaker& maker) {
  const Norm& op = maker.get<Norm>();
  const std::size_t spatial = maker.input().shape.size() - 2;
  return add_items(maker, affine(maker, NormRule::layer, op.eps, op.affine, op.affine),
                   picture_items(maker, spatial, true, maker.input().shape[1]));
}

template <OperatorStruct Norm>
bool add_instance_norm(GeneralMaker& maker) {
  const Norm& op = maker.get<Norm>();
  const std::size_t rank = maker.input().shape.size();
  const std::size_t spatial = runtime::spatial_dimensions(maker.op(), rank);
  const NormRule rule = op.track_running_stats ? NormRule::given : NormRule::layer;
  NormaliseArguments a = affine(maker, rule, op.eps, op.affine, op.affine);
  if (op.track_running_stats) {
    a.mean = maker.parameter("running_mean");
    a.variance = maker.parameter("running_var");
  }
  return add_items(maker, a, picture_items(maker, spatial, false, maker.input().shape[rank - spatial - 1]));
}

bool add_group_norm(GeneralMaker& maker) {
  const GroupNorm& op = maker.get<GroupNorm>();
  return add_items(maker, affine(maker, NormRule::layer, op.eps, op.affine, op.affine),
                   picture_items(maker, maker.input().shape.size() - 2, false, op.num_groups));
}

// --- the last dimensions of rows, and lines along a dimension ---

Items row_items(const GeneralMaker& maker, const Shape& normalized) {
  const runtime::Operand& in = maker.input();
  const runtime::Operand& out = maker.output();
  const std::size_t first = in.shape.size() - normalized.size();
  Items items;
  std::int64_t inner = 1;
  for (std::size_t d = first; d < in.shape.size(); ++d) inner *= in.shape[d];
  for (std::size_t d = 0; d < in.shape.size(); ++d) {
    if (d < first) {
      items.kept.push(in.shape[d], {in.strides[d], out.strides[d], 0});
    } else {
      inner /= in.shape[d];
      items.gone.push(in.shape[d], {in.strides[d], out.strides[d], inner});
    }
  }
  return items;
}

bool add_line_rule(GeneralMaker& maker, NormRule rule, std::int64_t dim, double order = 0, double eps = 0) {
  const runtime::Operand& in = maker.input();
  const runtime::Operand& out = maker.output();
  Items items;
  for (std::size_t d = 0; d < in.shape.size(); ++d) {
    (goes({dim}, d, in.shape.size()) ? items.gone : items.kept).push(in.shape[d], {in.strides[d], out.strides[d], 0});
  }
  NormaliseArguments a;
  a.rule = rule;
  a.order = order;
  a.eps = eps;
  return add_items(maker, a, items);
}

bool add_running_sum(GeneralMaker& maker) {
  if (!add_line_rule(maker, NormRule::running_sum, maker.get<CumSum>().dim)) return false;
  std::get<NormaliseArguments>(maker.calls().back().work).lanes = 1;  // each sum needs the one before
  return true;
}

}  // namespace

bool make_norms(GeneralMaker& maker) {
  switch (maker.op().kind()) {
    case OperatorKind::BatchNorm1d:
      return add_batch_norm<BatchNorm1d>(maker);
    case OperatorKind::BatchNorm2d:
      return add_batch_norm<BatchNorm2d>(maker);
    case OperatorKind::BatchNorm3d:
      return add_batch_norm<BatchNorm3d>(maker);
    case OperatorKind::SyncBatchNorm:
      return add_batch_norm<SyncBatchNorm>(maker);
    case OperatorKind::InstanceNorm1d:
      return add_instance_norm<InstanceNorm1d>(maker);
    case OperatorKind::InstanceNorm2d:
      return add_instance_norm<InstanceNorm2d>(maker);
    case OperatorKind::InstanceNorm3d:
      return add_instance_norm<InstanceNorm3d>(maker);
    case OperatorKind::GroupNorm:
      return add_group_norm(maker);
    case OperatorKind::LayerNorm: {
      const LayerNorm& op = maker.get<LayerNorm>();
      const bool has_weight = op.elementwise_affine;
      return add_items(maker, affine(maker, NormRule::layer, op.eps, has_weight, has_weight && op.bias),
                       row_items(maker, op.normalized_shape));
    }
    case OperatorKind::RMSNorm: {
      const RMSNorm& op = maker.get<RMSNorm>();
      const double eps = op.eps.value_or(static_cast<double>(std::numeric_limits<float>::epsilon()));
      return add_items(maker, affine(maker, NormRule::rms, eps, op.elementwise_affine, false),
                       row_items(maker, op.normalized_shape));
    }
    case OperatorKind::Softmax:
      return add_line_rule(maker, NormRule::softmax, maker.get<Softmax>().dim, 1);
    case OperatorKind::Softmax2d:
      return add_line_rule(maker, NormRule::softmax, -3, 1);
    case OperatorKind::Softmin:
      return add_line_rule(maker, NormRule::softmax, maker.get<Softmin>().dim, -1);
    case OperatorKind::LogSoftmax:
      return add_line_rule(maker, NormRule::log_softmax, maker.get<LogSoftmax>().dim);
    case OperatorKind::Normalize: {
      const Normalize& op = maker.get<Normalize>();
      return add_line_rule(maker, NormRule::unit, op.dim, op.p, op.eps);
    }
    case OperatorKind::CumSum:
      return add_running_sum(maker);
    default:
      return false;
  }
}

}  // namespace rushlight::cuda
