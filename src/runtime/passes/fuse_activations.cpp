// An activation after something that stores each element once is done while it stores.
#include <cstddef>
#include <vector>

#include "runtime/draft.hpp"

namespace rushlight::runtime {
namespace {

using Kind = Activation::Kind;

Activation clamp_to(double low, double high) {
  // A bound that is NaN, and bounds that cross, have rules of their own.
  if (!(low <= high)) return {};
  return {.kind = Kind::clamp, .low = static_cast<float>(low), .high = static_cast<float>(high)};
}

// Kind::none for what is no activation, or none that kernels have.
Activation activation_of(const Operator& op) {
  switch (op.kind()) {
    case OperatorKind::ReLU:
      return {.kind = Kind::relu};
    case OperatorKind::ReLU6:
      return clamp_to(0, 6);
    case OperatorKind::Hardtanh:
      return clamp_to(op.get<Hardtanh>().min_val, op.get<Hardtanh>().max_val);
    case OperatorKind::Sigmoid:
      return {.kind = Kind::sigmoid};
    case OperatorKind::SiLU:
      return {.kind = Kind::silu};
    case OperatorKind::Tanh:
      return {.kind = Kind::tanh};
    case OperatorKind::Hardsigmoid:
      return {.kind = Kind::hardsigmoid};
    case OperatorKind::Hardswish:
      return {.kind = Kind::hardswish};
    case OperatorKind::GELU:
      if (op.get<GELU>().approximate == GeluApproximation::none) return {.kind = Kind::gelu};
      return {};
    default:
      return {};
  }
}

// Steps whose epilogue takes any activation.
bool is_layer(const Operator& op) {
  return op.is<Conv1d>() || op.is<Conv2d>() || op.is<Linear>();
}

bool takes_relu(const Operator& op) {
  if (const auto* norm = op.get_if<BatchNorm1d>()) return norm->track_running_stats;
  if (const auto* norm = op.get_if<BatchNorm2d>()) return norm->track_running_stats;
  if (const auto* norm = op.get_if<BatchNorm3d>()) return norm->track_running_stats;
  if (const auto* norm = op.get_if<SyncBatchNorm>()) return norm->track_running_stats;
  if (const auto* add = op.get_if<Add>()) return add->alpha == 1 && !add->other;
  return is_layer(op) || op.is<ReLU>();
}

}  // namespace

void fuse_activations(Draft& draft, bool all) {
  Uses uses(draft);
  std::vector<bool> fused(draft.ops.size(), false);
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    const DraftOp& op = draft.ops[i];
    const Activation activation = activation_of(draft.node(op).op);
    if (activation.kind == Kind::none || (activation.kind != Kind::relu && !all)) continue;
    const ValueId value = op.inputs[0];
    const std::size_t producer = uses.producer[value];
    if (producer == kNoNode || uses.count[value] != 1) continue;
    DraftOp& maker = draft.ops[producer];
    const Operator& kind = draft.node(maker).op;
    const bool is_relu = activation.kind == Kind::relu;
    if (maker.output != value || !(is_relu ? takes_relu(kind) : is_layer(kind))) continue;
    // ReLU twice is once; other pairs stay two.
    if (maker.activation.kind != Kind::none && !(maker.activation == activation && is_relu)) continue;
    maker.activation = activation;
    maker.output = op.output;
    uses.producer[op.output] = producer;
    fused[i] = true;
  }
  erase_ops(draft, fused);
}

}  // namespace rushlight::runtime
