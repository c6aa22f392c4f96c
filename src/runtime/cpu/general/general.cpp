// Which family makes the Ops of which operator.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"

namespace rushlight::runtime::cpu {
namespace {

using Family = Status (*)(Builder&);

Family family_of(OperatorKind kind) noexcept {
  switch (kind) {
    case OperatorKind::Identity:
    case OperatorKind::Cat:
    case OperatorKind::Pad:
    case OperatorKind::Roll:
    case OperatorKind::IndexSelect:
    case OperatorKind::Gather:
      return build_shapes;
    case OperatorKind::Mean:
    case OperatorKind::Sum:
    case OperatorKind::Amax:
    case OperatorKind::Amin:
    case OperatorKind::Prod:
    case OperatorKind::Max:
    case OperatorKind::Min:
    case OperatorKind::ArgMax:
    case OperatorKind::ArgMin:
    case OperatorKind::Std:
    case OperatorKind::Var:
    case OperatorKind::VectorNorm:
    case OperatorKind::LogSumExp:
    case OperatorKind::CumSum:
    case OperatorKind::TopK:
    case OperatorKind::CosineSimilarity:
    case OperatorKind::PairwiseDistance:
    case OperatorKind::Normalize:
    case OperatorKind::Softmax:
    case OperatorKind::LogSoftmax:
    case OperatorKind::Softmin:
    case OperatorKind::Softmax2d:
      return build_reductions;
    case OperatorKind::BatchNorm1d:
    case OperatorKind::BatchNorm2d:
    case OperatorKind::BatchNorm3d:
    case OperatorKind::SyncBatchNorm:
    case OperatorKind::InstanceNorm1d:
    case OperatorKind::InstanceNorm2d:
    case OperatorKind::InstanceNorm3d:
    case OperatorKind::GroupNorm:
    case OperatorKind::LayerNorm:
    case OperatorKind::RMSNorm:
    case OperatorKind::LocalResponseNorm:
    case OperatorKind::CrossMapLRN2d:
      return build_norms;
    case OperatorKind::MaxPool1d:
    case OperatorKind::MaxPool2d:
    case OperatorKind::MaxPool3d:
    case OperatorKind::AvgPool3d:
    case OperatorKind::AdaptiveAvgPool3d:
    case OperatorKind::AdaptiveMaxPool1d:
    case OperatorKind::AdaptiveMaxPool2d:
    case OperatorKind::AdaptiveMaxPool3d:
    case OperatorKind::LPPool1d:
    case OperatorKind::LPPool2d:
    case OperatorKind::LPPool3d:
    case OperatorKind::FractionalMaxPool2d:
    case OperatorKind::FractionalMaxPool3d:
    case OperatorKind::MaxUnpool1d:
    case OperatorKind::MaxUnpool2d:
    case OperatorKind::MaxUnpool3d:
      return build_pools;
    case OperatorKind::Conv3d:
    case OperatorKind::ConvTranspose1d:
    case OperatorKind::ConvTranspose2d:
    case OperatorKind::ConvTranspose3d:
    case OperatorKind::Bilinear:
    case OperatorKind::Unfold:
    case OperatorKind::Fold:
      return build_convolutions;
    case OperatorKind::Upsample:
    case OperatorKind::GridSample:
    case OperatorKind::AffineGrid:
      return build_resampling;
    case OperatorKind::MatMul:
    case OperatorKind::Bmm:
    case OperatorKind::AddMM:
    case OperatorKind::Einsum:
      return build_matrices;
    case OperatorKind::Embedding:
    case OperatorKind::EmbeddingBag:
    case OperatorKind::ScaledDotProductAttention:
    case OperatorKind::MultiheadAttention:
    case OperatorKind::ShiftedWindowAttention:
      return build_attention;
    case OperatorKind::RNN:
    case OperatorKind::LSTM:
    case OperatorKind::GRU:
    case OperatorKind::RNNCell:
    case OperatorKind::LSTMCell:
    case OperatorKind::GRUCell:
      return build_recurrence;
    default:
      return build_elements;
  }
}

}  // namespace

Result<std::vector<std::unique_ptr<Op>>> make_general_ops(const GeneralStep& step, const OpContext& context) {
  Builder builder(step, context);
  const bool is_empty = std::all_of(step.outputs.begin(), step.outputs.end(),
                                    [](const Operand& output) { return output.elements() == 0; });
  if (is_empty) return builder.finish();
  RUSHLIGHT_TRY(family_of(step.op.kind())(builder));
  return builder.finish();
}

}  // namespace rushlight::runtime::cpu
