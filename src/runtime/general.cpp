#include "runtime/general.hpp"

namespace rushlight::runtime {

Arrangement arrangement_of(const Operator& op) noexcept {
  switch (op.kind()) {
    case OperatorKind::Conv3d:
    case OperatorKind::ConvTranspose1d:
    case OperatorKind::ConvTranspose2d:
    case OperatorKind::ConvTranspose3d:
    case OperatorKind::BatchNorm1d:
    case OperatorKind::BatchNorm2d:
    case OperatorKind::BatchNorm3d:
    case OperatorKind::SyncBatchNorm:
    case OperatorKind::InstanceNorm1d:
    case OperatorKind::InstanceNorm2d:
    case OperatorKind::InstanceNorm3d:
    case OperatorKind::GroupNorm:
    case OperatorKind::LocalResponseNorm:
    case OperatorKind::CrossMapLRN2d:
    case OperatorKind::MaxPool1d:
    case OperatorKind::MaxPool2d:
    case OperatorKind::MaxPool3d:
    case OperatorKind::AvgPool1d:
    case OperatorKind::AvgPool2d:
    case OperatorKind::AvgPool3d:
    case OperatorKind::AdaptiveAvgPool1d:
    case OperatorKind::AdaptiveAvgPool2d:
    case OperatorKind::AdaptiveAvgPool3d:
    case OperatorKind::AdaptiveMaxPool1d:
    case OperatorKind::AdaptiveMaxPool2d:
    case OperatorKind::AdaptiveMaxPool3d:
    case OperatorKind::LPPool1d:
    case OperatorKind::LPPool2d:
    case OperatorKind::LPPool3d:
    case OperatorKind::Upsample:
      return Arrangement::pictures;
    case OperatorKind::MatMul:
    case OperatorKind::Bmm:
    case OperatorKind::AddMM:
    case OperatorKind::Einsum:
    case OperatorKind::ScaledDotProductAttention:
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
    case OperatorKind::CosineSimilarity:
    case OperatorKind::PairwiseDistance:
    case OperatorKind::Gather:
    case OperatorKind::GridSample:
      return Arrangement::views;
    case OperatorKind::Bilinear:
    case OperatorKind::Unfold:
    case OperatorKind::Fold:
    case OperatorKind::LayerNorm:
    case OperatorKind::RMSNorm:
    case OperatorKind::Normalize:
    case OperatorKind::MaxUnpool1d:
    case OperatorKind::MaxUnpool2d:
    case OperatorKind::MaxUnpool3d:
    case OperatorKind::FractionalMaxPool2d:
    case OperatorKind::FractionalMaxPool3d:
    case OperatorKind::Softmax:
    case OperatorKind::LogSoftmax:
    case OperatorKind::Softmin:
    case OperatorKind::Softmax2d:
    case OperatorKind::AffineGrid:
    case OperatorKind::IndexSelect:
    case OperatorKind::CumSum:
    case OperatorKind::TopK:
    case OperatorKind::Embedding:
    case OperatorKind::EmbeddingBag:
    case OperatorKind::MultiheadAttention:
    case OperatorKind::ShiftedWindowAttention:
    case OperatorKind::RNN:
    case OperatorKind::LSTM:
    case OperatorKind::GRU:
    case OperatorKind::RNNCell:
    case OperatorKind::LSTMCell:
    case OperatorKind::GRUCell:
      return Arrangement::dense;
    default:
      return Arrangement::elements;
  }
}

std::size_t spatial_dimensions(const Operator& op, std::size_t rank) noexcept {
  switch (op.kind()) {
    case OperatorKind::Conv1d:
    case OperatorKind::ConvTranspose1d:
    case OperatorKind::InstanceNorm1d:
    case OperatorKind::MaxPool1d:
    case OperatorKind::AvgPool1d:
    case OperatorKind::AdaptiveAvgPool1d:
    case OperatorKind::AdaptiveMaxPool1d:
    case OperatorKind::LPPool1d:
      return 1;
    case OperatorKind::Conv2d:
    case OperatorKind::ConvTranspose2d:
    case OperatorKind::InstanceNorm2d:
    case OperatorKind::MaxPool2d:
    case OperatorKind::AvgPool2d:
    case OperatorKind::AdaptiveAvgPool2d:
    case OperatorKind::AdaptiveMaxPool2d:
    case OperatorKind::LPPool2d:
      return 2;
    case OperatorKind::Conv3d:
    case OperatorKind::ConvTranspose3d:
    case OperatorKind::InstanceNorm3d:
    case OperatorKind::MaxPool3d:
    case OperatorKind::AvgPool3d:
    case OperatorKind::AdaptiveAvgPool3d:
    case OperatorKind::AdaptiveMaxPool3d:
    case OperatorKind::LPPool3d:
      return 3;
    default:
      return rank - 2;  // always with a batch
  }
}

bool leaves_gaps(const Operator& op) noexcept {
  switch (op.kind()) {
    case OperatorKind::ConvTranspose1d:
    case OperatorKind::ConvTranspose2d:
    case OperatorKind::Upsample:
      return true;
    default:
      return false;
  }
}

bool works_by_item(const Operator& op) noexcept {
  switch (op.kind()) {
    case OperatorKind::BatchNorm1d:  // with the statistics of the batch
    case OperatorKind::BatchNorm2d:
    case OperatorKind::BatchNorm3d:
    case OperatorKind::SyncBatchNorm:
      return false;
    case OperatorKind::Identity:
      return true;
    default:
      return arrangement_of(op) == Arrangement::pictures || works_in_place(op);
  }
}

bool works_in_place(const Operator& op) noexcept {
  switch (op.kind()) {
    case OperatorKind::Cat:
    case OperatorKind::Pad:
    case OperatorKind::Roll:
    case OperatorKind::Identity:
      return false;
    default:
      return arrangement_of(op) == Arrangement::elements;
  }
}

}  // namespace rushlight::runtime
