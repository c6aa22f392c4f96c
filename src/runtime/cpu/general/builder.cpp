#include "runtime/cpu/general/builder.hpp"

#include <optional>
#include <string>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {

void CheckOp::run(std::size_t, float* const* tensors, std::byte*) const noexcept {
  const void* indices = tensors[bounds_.indices.tensor];
  const std::int64_t count = bounds_.indices.elements();
  const Shape& shape = bounds_.indices.shape;
  bad_place_ = -1;
  std::int64_t before = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t place = 0;
    std::int64_t rest = i;
    for (std::size_t d = shape.size(); d-- > 0; rest /= shape[d]) place += rest % shape[d] * bounds_.indices.strides[d];
    const std::int64_t index = index_at(indices, bounds_.indices.dtype, place);
    const bool is_bad =
        index < 0 || index >= bounds_.size || (bounds_.ascending && (index < before || (i == 0 && index != 0)));
    if (is_bad) {
      bad_index_ = index;
      bad_place_ = i;
      return;
    }
    before = index;
  }
}

Status CheckOp::failure() const {
  if (bad_place_ < 0) return {};
  Error error = index_outside(bad_index_, bounds_.size);
  error.finding.message = model::layer_text(node_) + ": " + error.finding.message;
  return error;
}

namespace {

Result<Tensor> find_parameter(const Network& network, std::size_t index, std::string_view name) {
  const Node& node = network.graph.nodes()[index];
  const Tensor* tensor = network.parameters.find(node.parameter(name));
  if (tensor != nullptr) return *tensor;
  return Error::of({.category = Category::model,
                    .code = "MODEL-MISSING",
                    .message = "no parameter " + quoted(node.parameter(name))});
}

}  // namespace

Result<std::span<const float>> Builder::parameter(std::string_view name) const {
  RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, find_parameter(context_.network, step_.node, name));
  return tensor.values<float>();
}

Result<Shape> Builder::parameter_shape(std::string_view name) const {
  RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, find_parameter(context_.network, step_.node, name));
  return Shape(tensor.shape().begin(), tensor.shape().end());
}

std::size_t Builder::share(std::initializer_list<std::size_t> sizes) {
  constexpr std::size_t kLine = kCacheLine / sizeof(float);
  std::optional<std::size_t> floats = 1;
  for (const std::size_t size : sizes) floats = floats ? checked_mul(*floats, size) : floats;
  const auto rounded = floats ? checked_add(*floats, kLine - 1) : std::nullopt;
  const auto end = rounded ? checked_add(shared_floats_, *rounded / kLine * kLine) : std::nullopt;
  if (!end || !checked_mul(*end, sizeof(float))) {
    is_countable_ = false;
    return 0;
  }
  const std::size_t offset = shared_floats_;
  shared_floats_ = *end;
  return offset;
}

Status Builder::claim_table(std::initializer_list<std::size_t> sizes) {
  std::optional<std::uint64_t> bytes = 1;
  for (const std::size_t size : sizes) bytes = bytes ? checked_mul<std::uint64_t>(*bytes, size) : bytes;
  const std::uint64_t limit = context_.options.limits.arena_bytes;
  // Other steps may be claiming theirs at the same time.
  std::uint64_t before = context_.table_bytes.load(std::memory_order_relaxed);
  while (true) {
    const auto tables = bytes ? checked_add(before, *bytes) : std::nullopt;
    const auto total = tables ? checked_add(context_.plan.arena_bytes, *tables) : std::nullopt;
    if (!total || *total > limit) {
      const Node& node = context_.network.graph.nodes()[step_.node];
      return arena_too_large(total, context_.options.limits,
                             model::layer_text(node) + ": its tables and all activations");
    }
    if (context_.table_bytes.compare_exchange_weak(before, *tables, std::memory_order_relaxed)) return {};
  }
}

void Builder::check_indices(const Operand& indices, std::int64_t size, bool ascending) {
  ops_.push_back(
      std::make_unique<CheckOp>(CheckOp::Bounds{indices, size, ascending}, context_.network.graph.nodes()[step_.node]));
}

Result<Ops> Builder::finish() {
  if (!is_countable_) return arena_too_large(std::nullopt, context_.options.limits);
  if (!ops_.empty()) ops_.front()->set_shared_bytes(shared_floats_ * sizeof(float));
  return std::move(ops_);
}

}  // namespace rushlight::runtime::cpu
