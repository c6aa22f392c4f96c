// Windows over lines, pictures and volumes.
#include <algorithm>

#include "cuda/general/maker.hpp"
#include "model/infer/infer.hpp"
#include "runtime/general.hpp"

namespace rushlight::cuda {
namespace {

using runtime::Form;
// [N, C, ...], or without a batch [C, ...]; dimensions that are not there have one place.
Volume volume_of(const runtime::Operand& operand, std::size_t spatial) {
  Volume volume;
  const std::size_t c = operand.shape.size() - spatial - 1;
  volume.images = c > 0 ? operand.shape[0] : 1;
  volume.image_stride = c > 0 ? operand.strides[0] : 0;
  volume.channels = Divisor64(operand.shape[c]);
  volume.channel_stride = operand.strides[c];
  for (std::size_t i = 0; i < kSpatialDims; ++i) {
    volume.sizes[i] = Divisor64(1);
    if (i + spatial < kSpatialDims) continue;
    const std::size_t d = c + 1 + i + spatial - kSpatialDims;
    volume.sizes[i] = Divisor64(operand.shape[d]);
    volume.strides[i] = operand.strides[d];
  }
  return volume;
}

// Writes the amounts of an attribute into the last dimensions.
template <class Attribute>
void set(VolumeTaps (&taps)[kSpatialDims], std::int64_t VolumeTaps::*field, const Attribute& attribute) {
  const std::vector<std::int64_t> values = model::amounts(attribute);
  for (std::size_t i = 0; i < values.size(); ++i) taps[kSpatialDims - values.size() + i].*field = values[i];
}

// --- poolings ---

template <class Pool>
void set_windows(VolumePoolArguments& a, const Pool& op) {
  set(a.taps, &VolumeTaps::kernel, op.kernel_size);
  set(a.taps, &VolumeTaps::stride, op.stride);
  for (VolumeTaps& taps : a.taps) {
    if (taps.stride == 0) taps.stride = taps.kernel;
  }
  if constexpr (requires { op.padding; }) set(a.taps, &VolumeTaps::padding, op.padding);
  if constexpr (requires { op.dilation; }) set(a.taps, &VolumeTaps::dilation, op.dilation);
}

bool add_pool(GeneralMaker& maker, VolumePoolArguments a) {
  const std::size_t spatial = a.spatial != 0 ? static_cast<std::size_t>(a.spatial)
                                             : runtime::spatial_dimensions(maker.op(), maker.input().shape.size());
  a.input = maker.floats_in();
  a.output = maker.floats_out();
  if (maker.output_count() > 1) {
    a.indices = reinterpret_cast<std::int64_t*>(maker.output_at(1));
    a.index_places = volume_of(maker.output(1), spatial);
  }
  a.in = volume_of(maker.input(), spatial);
  a.out = volume_of(maker.output(), spatial);
  maker.add(a);
  return true;
}

template <OperatorStruct Pool>
bool add_max_pool(GeneralMaker& maker) {
  VolumePoolArguments a;
  set_windows(a, maker.get<Pool>());
  return add_pool(maker, a);
}
template <OperatorStruct Pool>
bool add_power_pool(GeneralMaker& maker) {
  VolumePoolArguments a;
  a.rule = VolumePoolRule::power;
  a.power = maker.get<Pool>().norm_type;
  set_windows(a, maker.get<Pool>());
  return add_pool(maker, a);
}
bool add_adaptive_pool(GeneralMaker& maker, VolumePoolRule rule) {
  VolumePoolArguments a;
  a.rule = rule;
  a.is_adaptive = true;
  return add_pool(maker, a);
}
bool add_avg_pool3d(GeneralMaker& maker) {
  const AvgPool3d& op = maker.get<AvgPool3d>();
  VolumePoolArguments a;
  a.rule = VolumePoolRule::mean;
  a.count_include_pad = op.count_include_pad;
  a.divisor_override = op.divisor_override;
  set_windows(a, op);
  return add_pool(maker, a);
}

// Windows where the second input, dense, has them.
template <OperatorStruct Pool>
bool add_fractional_pool(GeneralMaker& maker, int spatial) {
  VolumePoolArguments a;
  set(a.taps, &VolumeTaps::kernel, maker.get<Pool>().kernel_size);
  a.samples = maker.floats_in(1);
  a.spatial = spatial;
  return add_pool(maker, a);
}

// --- convolutions ---

template <class Conv>
bool add_conv(GeneralMaker& maker, const Conv& op, VolumeConvArguments a) {
  const std::size_t spatial = runtime::spatial_dimensions(maker.op(), maker.input().shape.size());
  set(a.taps, &VolumeTaps::kernel, op.kernel_size);
  set(a.taps, &VolumeTaps::stride, op.stride);
  set(a.taps, &VolumeTaps::dilation, op.dilation);
  a.input = maker.floats_in();
  a.output = maker.floats_out();
  a.in = volume_of(maker.input(), spatial);
  a.out = volume_of(maker.output(), spatial);
  a.weights = maker.constant({.form = a.is_transposed ? Form::transposed_weight : Form::conv_weight});
  if (op.bias) a.bias = maker.constant({.form = Form::bias});
  a.depth = a.in.channels.divisor() / op.groups;
  a.group_channels = Divisor64(a.out.channels.divisor() / op.groups);
  maker.add(a);
  return true;
}

template <OperatorStruct Conv>
bool add_transposed(GeneralMaker& maker) {
  const Conv& op = maker.get<Conv>();
  VolumeConvArguments a;
  a.is_transposed = true;
  set(a.taps, &VolumeTaps::padding, op.padding);
  return add_conv(maker, op, a);
}

bool add_conv3d(GeneralMaker& maker) {
  const Conv3d& op = maker.get<Conv3d>();
  VolumeConvArguments a;
  if (op.padding.kind == PaddingKind::amounts) set(a.taps, &VolumeTaps::padding, op.padding.amount);
  if (op.padding.kind == PaddingKind::same) {
    const std::vector<std::int64_t> kernel = model::amounts(op.kernel_size);
    const std::vector<std::int64_t> dilation = model::amounts(op.dilation);
    for (std::size_t i = 0; i < kSpatialDims; ++i) a.taps[i].padding = dilation[i] * (kernel[i] - 1) / 2;
  }
  return add_conv(maker, op, a);
}

// --- resizing ---

// `factor`: the scale_factor if coordinates follow from it, or 0: then the sizes say it.
ResizeScale scale_of(const Upsample& op, std::int64_t in, std::int64_t out, double factor, bool is_picture) {
  ResizeScale result;
  const auto size = static_cast<double>(in);
  result.scale = factor > 0 ? 1 / factor : size / static_cast<double>(out);
  if (op.align_corners) result.scale = out > 1 ? (size - 1) / static_cast<double>(out - 1) : 0;
  result.ratio = factor > 0 ? static_cast<float>(1 / factor) : static_cast<float>(in) / static_cast<float>(out);
  // Of pictures, and of neither lines nor volumes, torch copies equal sizes and doubles others whatever the given
  // factor says (nearest_idx in ATen/native/UpSample.h).
  if (op.mode == InterpolationMode::nearest && is_picture) result.copy = out == in ? 1 : out == 2 * in ? 2 : 0;
  return result;
}

bool add_antialias(GeneralMaker& maker, const Upsample& op, const ResizeArguments& resize) {
  AntialiasArguments a;
  a.is_cubic = op.mode == InterpolationMode::bicubic;
  a.input = resize.input;
  a.output = resize.output;
  a.in = resize.in;
  a.out = resize.out;
  for (std::size_t i = 0; i < kSpatialDims; ++i) a.scales[i] = resize.scales[i].scale;
  maker.add(a);
  return true;
}

bool add_upsample(GeneralMaker& maker) {
  const Upsample& op = maker.get<Upsample>();
  const std::size_t spatial = maker.input().shape.size() - 2;
  if (spatial > kSpatialDims) return false;
  if (op.mode == InterpolationMode::area) return add_adaptive_pool(maker, VolumePoolRule::mean);
  ResizeArguments a;
  switch (op.mode) {
    case InterpolationMode::nearest:
      a.rule = ResizeRule::nearest;
      break;
    case InterpolationMode::nearest_exact:
      a.rule = ResizeRule::nearest_exact;
      break;
    case InterpolationMode::bicubic:
      a.rule = ResizeRule::cubic;
      break;
    default:
      a.rule = ResizeRule::linear;
      break;
  }
  a.align_corners = op.align_corners;
  a.input = maker.floats_in();
  a.output = maker.floats_out();
  a.in = volume_of(maker.input(), spatial);
  a.out = volume_of(maker.output(), spatial);
  const bool uses_factors = !op.scale_factor.empty() && op.size.empty() && !op.recompute_scale_factor;
  for (std::size_t i = kSpatialDims - spatial; i < kSpatialDims; ++i) {
    const std::size_t dim = i + spatial - kSpatialDims;
    const double factor = uses_factors ? op.scale_factor[op.scale_factor.size() == 1 ? 0 : dim] : 0;
    a.scales[i] = scale_of(op, a.in.sizes[i].divisor(), a.out.sizes[i].divisor(), factor, spatial == 2);
  }
  if (op.antialias) return add_antialias(maker, op, a);
  maker.add(a);
  return true;
}

}  // namespace

bool make_volumes(GeneralMaker& maker) {
  switch (maker.op().kind()) {
    case OperatorKind::MaxPool1d:
      return add_max_pool<MaxPool1d>(maker);
    case OperatorKind::MaxPool2d:
      return add_max_pool<MaxPool2d>(maker);
    case OperatorKind::MaxPool3d:
      return add_max_pool<MaxPool3d>(maker);
    case OperatorKind::AvgPool3d:
      return add_avg_pool3d(maker);
    case OperatorKind::AdaptiveAvgPool3d:
      return add_adaptive_pool(maker, VolumePoolRule::mean);
    case OperatorKind::AdaptiveMaxPool1d:
    case OperatorKind::AdaptiveMaxPool2d:
    case OperatorKind::AdaptiveMaxPool3d:
      return add_adaptive_pool(maker, VolumePoolRule::largest);
    case OperatorKind::LPPool1d:
      return add_power_pool<LPPool1d>(maker);
    case OperatorKind::LPPool2d:
      return add_power_pool<LPPool2d>(maker);
    case OperatorKind::LPPool3d:
      return add_power_pool<LPPool3d>(maker);
    case OperatorKind::Conv3d:
      return add_conv3d(maker);
    case OperatorKind::ConvTranspose1d:
      return add_transposed<ConvTranspose1d>(maker);
    case OperatorKind::ConvTranspose2d:
      return add_transposed<ConvTranspose2d>(maker);
    case OperatorKind::ConvTranspose3d:
      return add_transposed<ConvTranspose3d>(maker);
    case OperatorKind::FractionalMaxPool2d:
      return add_fractional_pool<FractionalMaxPool2d>(maker, 2);
    case OperatorKind::FractionalMaxPool3d:
      return add_fractional_pool<FractionalMaxPool3d>(maker, 3);
    case OperatorKind::Upsample:
      return add_upsample(maker);
    default:
      return false;
  }
}

}  // namespace rushlight::cuda
