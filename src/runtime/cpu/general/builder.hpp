// What the makers of general operators share: a step comes in, Ops that run one after the other come out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/cpu/op.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// What a task may touch besides what it captured.
struct Frame {
  float* const* tensors;
  std::byte* shared;   // of all Ops of a step: results of one that a later one reads
  std::byte* scratch;  // of this task alone

  template <class T = float>
  [[nodiscard]] T* at(TensorId id) const noexcept {
    return reinterpret_cast<T*>(tensors[id]);
  }
  template <class T = float>
  [[nodiscard]] T* at(const Operand& operand) const noexcept {
    return at<T>(operand.tensor);
  }
  template <class T = float>
  [[nodiscard]] T* shared_at(std::size_t offset_floats) const noexcept {
    return reinterpret_cast<T*>(shared + offset_floats * sizeof(float));
  }
};

// f(task, frame) for each task, in any order and on any thread: it allocates nothing and throws nothing.
template <class F>
class TaskOp final : public Op {
 public:
  TaskOp(std::size_t tasks, double operations, std::size_t scratch_bytes, TensorId shared, F f)
      : f_(std::move(f)), shared_(shared) {
    task_count_ = tasks;
    operations_ = operations;
    scratch_bytes_ = scratch_bytes;
  }
  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    f_(task, Frame{tensors, reinterpret_cast<std::byte*>(tensors[shared_]), scratch});
  }

 private:
  F f_;
  TensorId shared_;
};

// Looks for a number from outside that is no index before anybody follows it. One task, so that the first one is named.
class CheckOp final : public Op {
 public:
  struct Bounds {
    Operand indices;
    std::int64_t size = 0;   // indices are 0 .. size - 1
    bool ascending = false;  // offsets: the first is 0, none is below the one before
  };
  CheckOp(Bounds bounds, const Node& node) : bounds_(std::move(bounds)), node_(node) {
    task_count_ = 1;
    can_fail_ = true;
  }
  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override;
  [[nodiscard]] Status failure() const override;

 private:
  Bounds bounds_;
  const Node& node_;  // of the network, which outlives every program
  mutable std::int64_t bad_index_ = 0;
  mutable std::int64_t bad_place_ = -1;
};

using Ops = std::vector<std::unique_ptr<Op>>;

class Builder {
 public:
  Builder(const GeneralStep& step, const OpContext& context) : step_(step), context_(context) {}

  [[nodiscard]] const OpContext& context() const noexcept { return context_; }
  [[nodiscard]] const Kernels& kernels() const noexcept { return context_.kernels; }
  [[nodiscard]] const Operator& op() const noexcept { return step_.op; }
  template <OperatorStruct Attributes>
  [[nodiscard]] const Attributes& get() const noexcept {
    return step_.op.get<Attributes>();
  }
  [[nodiscard]] std::size_t input_count() const noexcept { return step_.inputs.size(); }
  [[nodiscard]] std::size_t output_count() const noexcept { return step_.outputs.size(); }
  [[nodiscard]] const Operand& input(std::size_t i = 0) const noexcept { return step_.inputs[i]; }
  [[nodiscard]] const Operand& output(std::size_t i = 0) const noexcept { return step_.outputs[i]; }

  // Values of a parameter of the node; they outlive the program. ErrorCode::mismatch when it is absent.
  [[nodiscard]] Result<std::span<const float>> parameter(std::string_view name) const;

  [[nodiscard]] Result<Shape> parameter_shape(std::string_view name) const;
  // Constant::node of its packed parameters.
  [[nodiscard]] std::size_t weights_node() const noexcept { return step_.weights_node; }

  // Floats in Frame::shared, aligned to a cache line: the offset in floats. What cannot be counted fails in finish().
  [[nodiscard]] std::size_t share(std::initializer_list<std::size_t> sizes);

  // To be asked before an Op computes a table that it keeps, of so many elements of so many bytes: limits.arena_bytes
  // bounds all tables of a program together with its activations. ErrorCode::limit_exceeded, with the layer's name.
  [[nodiscard]] Status claim_table(std::initializer_list<std::size_t> sizes);

  template <class F>
  void add(std::size_t tasks, double operations, std::size_t scratch_bytes, F f) {
    auto op = std::make_unique<TaskOp<F>>(tasks, operations, scratch_bytes, context_.shared(), std::move(f));
    ops_.push_back(std::move(op));
  }
  // f(range, frame) over `count` items that cost so many operations each.
  template <class F>
  void add_ranges(std::size_t count, double operations_each, F f, std::size_t scratch_bytes = 0) {
    const std::size_t part = part_of(operations_each);
    const double operations = operations_each * static_cast<double>(count);
    add(parts_of(count, part), operations, scratch_bytes,
        [count, part, f](std::size_t task, const Frame& frame) { f(part_range(task, count, part), frame); });
  }
  void check_indices(const Operand& indices, std::int64_t size, bool ascending);

  [[nodiscard]] Result<Ops> finish();

  // Items a task takes: enough that handing them out costs nothing. By shape alone.
  [[nodiscard]] static std::size_t part_of(double operations_each) noexcept {
    constexpr double kTask = 65536;
    return operations_each >= kTask ? 1 : static_cast<std::size_t>(kTask / (operations_each < 1 ? 1 : operations_each));
  }

 private:
  const GeneralStep& step_;
  const OpContext& context_;
  Ops ops_;
  std::size_t shared_floats_ = 0;
  bool is_countable_ = true;
};

[[nodiscard]] Status build_elements(Builder& b);
[[nodiscard]] Status build_shapes(Builder& b);
[[nodiscard]] Status build_reductions(Builder& b);
[[nodiscard]] Status build_norms(Builder& b);
[[nodiscard]] Status build_pools(Builder& b);
[[nodiscard]] Status build_convolutions(Builder& b);
[[nodiscard]] Status build_resampling(Builder& b);
[[nodiscard]] Status build_matrices(Builder& b);
[[nodiscard]] Status build_attention(Builder& b);
[[nodiscard]] Status build_recurrence(Builder& b);

// Indices are int64 or int32.
[[nodiscard]] inline std::int64_t index_at(const void* indices, DType dtype, std::int64_t i) noexcept {
  if (dtype == DType::i32) return static_cast<const std::int32_t*>(indices)[i];
  return static_cast<const std::int64_t*>(indices)[i];
}

[[nodiscard]] inline std::size_t size_of(std::int64_t size) noexcept {
  return static_cast<std::size_t>(size);
}

}  // namespace rushlight::runtime::cpu
