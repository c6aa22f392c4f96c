// Unfold, Fold and MaxUnpool: pictures as columns of their windows and back, and values back to where they came from.
#include <array>

#include "cuda/general/maker.hpp"

namespace rushlight::cuda {
namespace {

template <class Op>
bool add_fold(GeneralMaker& maker, const Op& op, std::int64_t planes, IntPair picture) {
  const std::array<std::int64_t, 2> sizes = {picture.h, picture.w};
  const std::array<VolumeTaps, 2> taps = {
      VolumeTaps{op.kernel_size.h, op.stride.h, op.padding.h, op.dilation.h},
      VolumeTaps{op.kernel_size.w, op.stride.w, op.padding.w, op.dilation.w},
  };
  FoldArguments a;
  a.input = maker.floats_in();
  a.output = maker.floats_out();
  a.planes = planes;
  for (std::size_t i = 0; i < 2; ++i) {
    a.taps[i] = taps[i];
    a.sizes[i] = Divisor64(sizes[i]);
    const std::int64_t reach = taps[i].dilation * (taps[i].kernel - 1) + 1;
    a.windows[i] = Divisor64((sizes[i] + 2 * taps[i].padding - reach) / taps[i].stride + 1);
  }
  a.kernel_columns = Divisor64(taps[1].kernel);
  a.taps_of_window = Divisor64(taps[0].kernel * taps[1].kernel);
  a.is_fold = maker.op().kind() == OperatorKind::Fold;
  maker.add(a);
  return true;
}

bool add_unpool(GeneralMaker& maker, std::size_t spatial) {
  const Shape& in = maker.input(0).shape;
  const Shape& out = maker.output().shape;
  UnpoolArguments a;
  a.values = maker.floats_in(0);
  a.indices = maker.input_at(1);
  a.element = element_of(maker.input(1).dtype);
  a.output = maker.floats_out();
  a.planes = a.count = a.size = 1;
  for (std::size_t d = 0; d < in.size(); ++d) {
    const bool is_spatial = d + spatial >= in.size();
    (is_spatial ? a.count : a.planes) *= in[d];
    if (is_spatial) a.size *= out[d];
  }
  if (!add_check(maker, maker.input(1), a.indices, a.size)) return false;
  maker.add(a);
  return true;
}

}  // namespace

bool make_folds(GeneralMaker& maker) {
  switch (maker.op().kind()) {
    case OperatorKind::Unfold: {
      const Shape& in = maker.input().shape;
      const IntPair picture{in[in.size() - 2], in[in.size() - 1]};
      return add_fold(maker, maker.get<Unfold>(), maker.input().elements() / (picture.h * picture.w), picture);
    }
    case OperatorKind::Fold: {
      const IntPair picture = maker.get<Fold>().output_size;
      return add_fold(maker, maker.get<Fold>(), maker.output().elements() / (picture.h * picture.w), picture);
    }
    case OperatorKind::MaxUnpool1d:
      return add_unpool(maker, 1);
    case OperatorKind::MaxUnpool2d:
      return add_unpool(maker, 2);
    default:
      return add_unpool(maker, 3);
  }
}

}  // namespace rushlight::cuda
