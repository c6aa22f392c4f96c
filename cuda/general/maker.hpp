// GeneralMaker: what the families share. A family looks at the step and adds calls, or says that it has no kernel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/general_calls.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda {

// A walk over `shape`: operand 0 is written, the others are read. Dimensions that all operands walk alike are joined;
// unless `in_c_order`, they are put into the order of operand 0's memory first. nullopt: more than kStridedDims are
// left.
template <std::size_t kOperands>
[[nodiscard]] std::optional<StridedShape<static_cast<int>(kOperands)>> strided(
    const Shape& shape, const std::array<Strides, kOperands>& strides, bool in_c_order = false);

// The same dimensions, with strides of 0 where the operand is broadcast to `shape`.
[[nodiscard]] Strides broadcast_strides(const runtime::Operand& operand, const Shape& shape);

class GeneralMaker {
 public:
  // Without `operands` it only finds out whether there are kernels, and which weights they read.
  GeneralMaker(const runtime::GeneralStep& step, const GeneralOperands* operands) : step_(step), operands_(operands) {}

  [[nodiscard]] const Operator& op() const noexcept { return step_.op; }
  template <OperatorStruct Attributes>
  [[nodiscard]] const Attributes& get() const noexcept {
    return step_.op.get<Attributes>();
  }
  [[nodiscard]] std::size_t input_count() const noexcept { return step_.inputs.size(); }
  [[nodiscard]] std::size_t output_count() const noexcept { return step_.outputs.size(); }
  [[nodiscard]] const runtime::Operand& input(std::size_t i = 0) const noexcept { return step_.inputs[i]; }
  [[nodiscard]] const runtime::Operand& output(std::size_t i = 0) const noexcept { return step_.outputs[i]; }

  [[nodiscard]] std::byte* input_at(std::size_t i = 0) const { return operands_ ? operands_->inputs[i] : nullptr; }
  [[nodiscard]] std::byte* output_at(std::size_t i = 0) const { return operands_ ? operands_->outputs[i] : nullptr; }
  [[nodiscard]] const float* floats_in(std::size_t i = 0) const { return reinterpret_cast<float*>(input_at(i)); }
  [[nodiscard]] float* floats_out(std::size_t i = 0) const { return reinterpret_cast<float*>(output_at(i)); }

  // Weights of the step's node on the device. Asked for in the same order whether or not there are operands.
  const float* parameter(std::string name) {
    return constant({.form = runtime::Form::parameter, .name = std::move(name)});
  }
  const float* constant(runtime::Constant wanted) {
    wanted.node = step_.weights_node;
    constants_.push_back(std::move(wanted));
    return operands_ ? operands_->constants[constants_.size() - 1] : nullptr;
  }

  // Memory for so many floats between the kernels of this step; null without operands.
  [[nodiscard]] float* scratch(std::int64_t floats) {
    constexpr std::uint64_t kLine = runtime::kArenaAlignment;
    const std::uint64_t offset = scratch_bytes_;
    scratch_bytes_ += (static_cast<std::uint64_t>(floats) * sizeof(float) + kLine - 1) / kLine * kLine;
    return operands_ ? reinterpret_cast<float*>(operands_->scratch + offset) : nullptr;
  }

  // Where to note an index that points nowhere: one for each check.
  [[nodiscard]] IndexNote* note() {
    const std::size_t i = notes_++;
    return operands_ && operands_->notes != nullptr ? operands_->notes + i : nullptr;
  }

  void add(GeneralWork work) { calls_.push_back({std::move(work)}); }

  [[nodiscard]] std::vector<GeneralCall>& calls() noexcept { return calls_; }
  [[nodiscard]] std::vector<runtime::Constant>& constants() noexcept { return constants_; }
  [[nodiscard]] std::uint64_t scratch_bytes() const noexcept { return scratch_bytes_; }
  [[nodiscard]] std::size_t notes() const noexcept { return notes_; }

 private:
  const runtime::GeneralStep& step_;
  const GeneralOperands* operands_;
  std::vector<GeneralCall> calls_;
  std::vector<runtime::Constant> constants_;
  std::uint64_t scratch_bytes_ = 0;
  std::size_t notes_ = 0;
};

// Families: false where there is no kernel for the step.
[[nodiscard]] bool make_elements(GeneralMaker& maker);
[[nodiscard]] bool make_shapes(GeneralMaker& maker);
[[nodiscard]] bool make_gathers(GeneralMaker& maker);
[[nodiscard]] bool make_reductions(GeneralMaker& maker);
[[nodiscard]] bool make_norms(GeneralMaker& maker);
[[nodiscard]] bool make_products(GeneralMaker& maker);
[[nodiscard]] bool make_attention(GeneralMaker& maker);
[[nodiscard]] bool make_volumes(GeneralMaker& maker);
[[nodiscard]] bool make_recurrence(GeneralMaker& maker);
[[nodiscard]] bool make_windows(GeneralMaker& maker);
[[nodiscard]] bool make_contractions(GeneralMaker& maker);
[[nodiscard]] bool make_sampling(GeneralMaker& maker);
[[nodiscard]] bool make_folds(GeneralMaker& maker);

// Looks for the first of `indices`, at `data`, that points outside [0, size), and notes it. Families call it before
// kernels that follow them.
[[nodiscard]] bool add_check(GeneralMaker& maker, const runtime::Operand& indices, const void* data, std::int64_t size);

[[nodiscard]] Element element_of(DType dtype) noexcept;

// --- strided() ---

struct StridedDimension {
  std::int64_t size = 1;
  std::vector<std::int64_t> strides;  // of each operand
};
[[nodiscard]] std::vector<StridedDimension> join_strides(const Shape& shape, const std::vector<const Strides*>& strides,
                                                         bool in_c_order);

template <std::size_t kOperands>
std::optional<StridedShape<static_cast<int>(kOperands)>> strided(const Shape& shape,
                                                                 const std::array<Strides, kOperands>& strides,
                                                                 bool in_c_order) {
  std::vector<const Strides*> operands;
  for (const Strides& each : strides) operands.push_back(&each);
  const std::vector<StridedDimension> joined = join_strides(shape, operands, in_c_order);
  if (joined.size() > static_cast<std::size_t>(kStridedDims)) return std::nullopt;
  StridedShape<static_cast<int>(kOperands)> result;
  result.dims = static_cast<std::int32_t>(joined.size());
  for (std::size_t d = 0; d < joined.size(); ++d) {
    result.elements *= joined[d].size;
    result.sizes[d] = Divisor64(joined[d].size);
    for (std::size_t i = 0; i < kOperands; ++i) result.strides[i][d] = joined[d].strides[i];
  }
  return result;
}

}  // namespace rushlight::cuda
