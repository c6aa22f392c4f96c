#include "cuda/general_calls.hpp"

#include <algorithm>
#include <cstdlib>

#include "cuda/general/maker.hpp"

namespace rushlight::cuda {

using runtime::GeneralStep;

namespace {

// The table: which family has an operator. What it does not name the host computes.
using Family = bool (*)(GeneralMaker&);
Family family_of(OperatorKind kind) noexcept {
  switch (kind) {
    case OperatorKind::Identity:
    case OperatorKind::Cat:
    case OperatorKind::Pad:
    case OperatorKind::Roll:
    case OperatorKind::Where:
      return make_shapes;
    case OperatorKind::Embedding:
    case OperatorKind::EmbeddingBag:
    case OperatorKind::IndexSelect:
    case OperatorKind::Gather:
      return make_gathers;
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
    case OperatorKind::TopK:
    case OperatorKind::CosineSimilarity:
    case OperatorKind::PairwiseDistance:
      return make_reductions;
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
    case OperatorKind::Softmax:
    case OperatorKind::Softmax2d:
    case OperatorKind::Softmin:
    case OperatorKind::LogSoftmax:
    case OperatorKind::Normalize:
    case OperatorKind::CumSum:
      return make_norms;
    case OperatorKind::MatMul:
    case OperatorKind::Bmm:
    case OperatorKind::AddMM:
      return make_products;
    case OperatorKind::ScaledDotProductAttention:
    case OperatorKind::MultiheadAttention:
      return make_attention;
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
    case OperatorKind::Conv3d:
    case OperatorKind::ConvTranspose1d:
    case OperatorKind::ConvTranspose2d:
    case OperatorKind::ConvTranspose3d:
    case OperatorKind::FractionalMaxPool2d:
    case OperatorKind::FractionalMaxPool3d:
    case OperatorKind::Upsample:
      return make_volumes;
    case OperatorKind::Unfold:
    case OperatorKind::Fold:
    case OperatorKind::MaxUnpool1d:
    case OperatorKind::MaxUnpool2d:
    case OperatorKind::MaxUnpool3d:
      return make_folds;
    case OperatorKind::GridSample:
    case OperatorKind::AffineGrid:
    case OperatorKind::LocalResponseNorm:
    case OperatorKind::CrossMapLRN2d:
      return make_sampling;
    case OperatorKind::RNN:
    case OperatorKind::LSTM:
    case OperatorKind::GRU:
    case OperatorKind::RNNCell:
    case OperatorKind::LSTMCell:
    case OperatorKind::GRUCell:
      return make_recurrence;
    case OperatorKind::ShiftedWindowAttention:
      return make_windows;
    case OperatorKind::Einsum:
    case OperatorKind::Bilinear:
      return make_contractions;
    default:
      return make_elements;
  }
}

bool is_empty(const GeneralStep& step) {
  return std::all_of(step.outputs.begin(), step.outputs.end(),
                     [](const runtime::Operand& output) { return output.elements() == 0; });
}

// False where there is no kernel.
bool make(const GeneralStep& step, GeneralMaker& maker) {
  return is_empty(step) || family_of(step.op.kind())(maker);
}

struct GeneralName {
  std::string_view operator()(const MapArguments&) const noexcept { return "map"; }
  std::string_view operator()(const MoveArguments&) const noexcept { return "move"; }
  std::string_view operator()(const PadArguments&) const noexcept { return "pad"; }
  std::string_view operator()(const CheckIndicesArguments&) const noexcept { return "check_indices"; }
  std::string_view operator()(const GatherArguments&) const noexcept { return "gather"; }
  std::string_view operator()(const ReduceArguments&) const noexcept { return "reduce"; }
  std::string_view operator()(const NormaliseArguments&) const noexcept { return "normalise"; }
  std::string_view operator()(const BatchedProductArguments&) const noexcept { return "batched_product"; }
  std::string_view operator()(const AttentionArguments&) const noexcept { return "attention"; }
  std::string_view operator()(const VolumePoolArguments&) const noexcept { return "volume_pool"; }
  std::string_view operator()(const VolumeConvArguments&) const noexcept { return "volume_conv"; }
  std::string_view operator()(const ResizeArguments&) const noexcept { return "resize"; }
  std::string_view operator()(const RecurrentStepArguments&) const noexcept { return "recurrent_step"; }
  std::string_view operator()(const ContractArguments&) const noexcept { return "contract"; }
  std::string_view operator()(const WindowMoveArguments&) const noexcept { return "window_move"; }
  std::string_view operator()(const WindowMaskArguments&) const noexcept { return "window_mask"; }
  std::string_view operator()(const DistanceBiasArguments&) const noexcept { return "distance_bias"; }
  std::string_view operator()(const AntialiasArguments&) const noexcept { return "antialias"; }
  std::string_view operator()(const GridSampleArguments&) const noexcept { return "grid_sample"; }
  std::string_view operator()(const AffineGridArguments&) const noexcept { return "affine_grid"; }
  std::string_view operator()(const ResponseNormArguments&) const noexcept { return "response_norm"; }
  std::string_view operator()(const FoldArguments&) const noexcept { return "fold"; }
  std::string_view operator()(const UnpoolArguments&) const noexcept { return "unpool"; }
  std::string_view operator()(const TopKArguments&) const noexcept { return "top_k"; }
  std::string_view operator()(const PairsArguments&) const noexcept { return "pairs"; }
  std::string_view operator()(const BagArguments&) const noexcept { return "bag"; }
};

}  // namespace

std::optional<std::vector<GeneralCall>> make_general_calls(const GeneralStep& step, const GeneralOperands& operands) {
  GeneralMaker maker(step, &operands);
  if (!make(step, maker)) return std::nullopt;
  return std::move(maker.calls());
}

GeneralNeeds general_needs(const GeneralStep& step) {
  GeneralMaker maker(step, nullptr);
  if (!make(step, maker)) return {};
  return {.has_kernels = true,
          .constants = std::move(maker.constants()),
          .scratch_bytes = maker.scratch_bytes(),
          .notes = maker.notes()};
}

std::string_view kernel_name(const GeneralCall& call) noexcept {
  return std::visit(GeneralName{}, call.work);
}

Element element_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::i64:
      return Element::int64;
    case DType::i32:
      return Element::int32;
    case DType::boolean:
      return Element::boolean;
    default:
      return Element::float32;
  }
}

Strides broadcast_strides(const runtime::Operand& operand, const Shape& shape) {
  Strides strides(shape.size(), 0);
  const std::size_t missing = shape.size() - operand.shape.size();
  for (std::size_t d = 0; d < operand.shape.size(); ++d) {
    if (operand.shape[d] != 1) strides[missing + d] = operand.strides[d];
  }
  return strides;
}

std::vector<StridedDimension> join_strides(const Shape& shape, const std::vector<const Strides*>& strides,
                                           bool in_c_order) {
  std::vector<std::size_t> order;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1) order.push_back(d);
  }
  if (!in_c_order) {
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::abs((*strides[0])[a]) > std::abs((*strides[0])[b]);
    });
  }
  std::vector<StridedDimension> joined;
  for (const std::size_t d : order) {
    StridedDimension next{.size = shape[d], .strides = {}};
    for (const Strides* const each : strides) next.strides.push_back((*each)[d]);
    bool joins = !joined.empty();
    for (std::size_t i = 0; joins && i < strides.size(); ++i) {
      joins = joined.back().strides[i] == next.strides[i] * next.size;
    }
    if (joins) {
      joined.back().size *= next.size;
      joined.back().strides = std::move(next.strides);
    } else {
      joined.push_back(std::move(next));
    }
  }
  return joined;
}

}  // namespace rushlight::cuda
