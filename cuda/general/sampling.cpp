// GridSample and AffineGrid; the norms over neighbouring channels.
#include "cuda/general/maker.hpp"
#include "cuda/general/nests.hpp"

namespace rushlight::cuda {
namespace {

SampleRule rule_of(GridMode mode) noexcept {
  switch (mode) {
    case GridMode::nearest:
      return SampleRule::nearest;
    case GridMode::bicubic:
      return SampleRule::cubic;
    default:
      return SampleRule::linear;
  }
}
SampleOutside outside_of(GridPadding padding) noexcept {
  switch (padding) {
    case GridPadding::border:
      return SampleOutside::border;
    case GridPadding::reflection:
      return SampleOutside::reflection;
    default:
      return SampleOutside::zeros;
  }
}

bool add_grid_sample(GeneralMaker& maker, const GridSample& op) {
  const runtime::Operand& input = maker.input(0);
  const runtime::Operand& grid = maker.input(1);
  const runtime::Operand& output = maker.output();
  const std::size_t spatial = input.shape.size() - 2;
  GridSampleArguments a;
  a.rule = rule_of(op.mode);
  a.outside = outside_of(op.padding_mode);
  a.align_corners = op.align_corners;
  a.input = maker.floats_in(0);
  a.grid = maker.floats_in(1);
  a.output = maker.floats_out();
  a.spatial = static_cast<int>(spatial);
  a.coordinate_stride = grid.strides.back();
  Nest nest;
  nest.push(output.shape[0], {output.strides[0], input.strides[0], grid.strides[0]});
  nest.push(output.shape[1], {output.strides[1], input.strides[1], 0});
  for (std::size_t i = 0; i < spatial; ++i) {
    a.sizes[kSpatialDims - spatial + i] = input.shape[2 + i];
    a.strides[kSpatialDims - spatial + i] = input.strides[2 + i];
    nest.push(output.shape[2 + i], {output.strides[2 + i], 0, grid.strides[1 + i]});
  }
  const auto walk = nest.walk<3>(false);
  if (!walk) return false;
  a.shape = *walk;
  maker.add(a);
  return true;
}

bool add_affine_grid(GeneralMaker& maker, const AffineGrid& op) {
  const std::size_t spatial = op.size.size() - 2;
  AffineGridArguments a;
  a.align_corners = op.align_corners;
  a.theta = maker.floats_in();
  a.grid = maker.floats_out();
  a.images = op.size[0];
  a.spatial = Divisor64(static_cast<std::int64_t>(spatial));
  for (std::size_t i = 0; i < spatial; ++i) a.sizes[kSpatialDims - spatial + i] = Divisor64(op.size[2 + i]);
  maker.add(a);
  return true;
}

bool add_response_norm(GeneralMaker& maker, ResponseNormArguments a) {
  const runtime::Operand& input = maker.input();
  const runtime::Operand& output = maker.output();
  a.input = maker.floats_in();
  a.output = maker.floats_out();
  a.channels = Divisor64(input.shape[1]);
  a.input_channel = input.strides[1];
  a.output_channel = output.strides[1];
  Nest lines;
  for (std::size_t d = 0; d < input.shape.size(); ++d) {
    if (d != 1) lines.push(input.shape[d], {input.strides[d], output.strides[d]});
  }
  const auto walk = lines.walk<2>(true);
  if (!walk) return false;
  a.lines = *walk;
  maker.add(a);
  return true;
}

}  // namespace

bool make_sampling(GeneralMaker& maker) {
  switch (maker.op().kind()) {
    case OperatorKind::GridSample:
      return add_grid_sample(maker, maker.get<GridSample>());
    case OperatorKind::AffineGrid:
      return add_affine_grid(maker, maker.get<AffineGrid>());
    case OperatorKind::LocalResponseNorm: {
      const LocalResponseNorm& op = maker.get<LocalResponseNorm>();
      ResponseNormArguments a;
      a.size = op.size;
      a.alpha = op.alpha;
      a.beta = op.beta;
      a.k = op.k;
      return add_response_norm(maker, a);
    }
    default: {
      const CrossMapLRN2d& op = maker.get<CrossMapLRN2d>();
      ResponseNormArguments a;
      a.runs = true;
      a.size = op.size;
      a.alpha = op.alpha;
      a.beta = op.beta;
      a.k = op.k;
      return add_response_norm(maker, a);
    }
  }
}

}  // namespace rushlight::cuda
