#include "cuda/step_case.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace rushlight::cuda {
namespace {

constexpr std::size_t kGapFloats = 64;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace

Addresses addresses_of(const StepCase& step_case, float* base) {
  Addresses addresses;
  addresses.arena = reinterpret_cast<std::byte*>(base);
  for (const std::size_t offset : step_case.constant_floats) addresses.constants.push_back(base + offset);
  return addresses;
}

StepCaseBuilder::StepCaseBuilder(std::string name, std::uint64_t seed) : random_(seed) {
  case_.name = std::move(name);
  case_.memory.assign(kGapFloats, kNaN);
}

// A gap follows each piece; pieces begin at multiples of the arena's alignment.
std::size_t StepCaseBuilder::reserve(std::size_t floats) {
  constexpr std::size_t kAlignmentFloats = runtime::kArenaAlignment / sizeof(float);
  const std::size_t begin = case_.memory.size();
  const std::size_t end = (begin + floats + kGapFloats + kAlignmentFloats - 1) / kAlignmentFloats * kAlignmentFloats;
  case_.memory.resize(end, kNaN);
  return begin;
}

runtime::TensorId StepCaseBuilder::output(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
                                          std::int64_t row_stride) {
  runtime::PlannedTensor tensor;
  tensor.n = n;
  tensor.h = h;
  tensor.w = w;
  tensor.c = c;
  tensor.row_stride = row_stride == 0 ? c : row_stride;
  tensor.offset_bytes = reserve(static_cast<std::size_t>(tensor.rows() * tensor.row_stride)) * sizeof(float);
  case_.plan.tensors.push_back(tensor);
  return static_cast<runtime::TensorId>(case_.plan.tensors.size() - 1);
}

runtime::TensorId StepCaseBuilder::tensor(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
                                          std::int64_t row_stride) {
  const runtime::TensorId id = output(n, h, w, c, row_stride);
  const runtime::PlannedTensor& tensor = case_.plan.tensors[id];
  std::normal_distribution<float> normal;
  const std::span<float> memory = values(id);
  for (std::int64_t row = 0; row < tensor.rows(); ++row) {
    for (std::int64_t i = 0; i < c; ++i)
      memory[static_cast<std::size_t>(row * tensor.row_stride + i)] = normal(random_);
  }
  return id;
}

runtime::TensorId StepCaseBuilder::tensor_on(runtime::TensorId other) {
  case_.plan.tensors.push_back(case_.plan.tensors[other]);
  return static_cast<runtime::TensorId>(case_.plan.tensors.size() - 1);
}

runtime::ConstantId StepCaseBuilder::constant(std::int64_t size) {
  const auto floats = static_cast<std::size_t>(size);
  const std::size_t begin = reserve(floats);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < floats; ++i) case_.memory[begin + i] = normal(random_);
  case_.constant_floats.push_back(begin);
  case_.constant_sizes.push_back(floats);
  case_.plan.constants.push_back({});
  return static_cast<runtime::ConstantId>(case_.plan.constants.size() - 1);
}

std::span<float> StepCaseBuilder::values(runtime::TensorId tensor) {
  const runtime::PlannedTensor& found = case_.plan.tensors[tensor];
  return std::span(case_.memory)
      .subspan(found.offset_bytes / sizeof(float), static_cast<std::size_t>(found.rows() * found.row_stride));
}

std::int64_t StepCaseBuilder::pick(std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
}

StepCase StepCaseBuilder::finish(double tolerance) {
  case_.tolerance = tolerance;
  case_.plan.arena_bytes = case_.memory.size() * sizeof(float);
  return std::move(case_);
}

std::string judge(const StepCase& step_case, const Expected& expected, std::span<const float> memory) {
  const double allowed = step_case.tolerance * expected.largest;
  const auto difference = [&](std::size_t i, const std::string& wanted) {
    return step_case.name + ": float " + std::to_string(i) + " of the memory is " + std::to_string(memory[i]) +
           ", expected " + wanted;
  };
  for (std::size_t i = 0; i < memory.size(); ++i) {
    if (!expected.is_output[i]) {
      if (std::memcmp(&memory[i], &step_case.memory[i], sizeof(float)) == 0) continue;
      return difference(i, "it untouched: " + std::to_string(step_case.memory[i]));
    }
    const double wanted = expected.values[i];
    const auto found = static_cast<double>(memory[i]);
    if (std::isnan(wanted) && std::isnan(found)) continue;
    if (wanted == found || std::abs(static_cast<double>(static_cast<float>(wanted)) - found) <= allowed) continue;
    return difference(i, std::to_string(wanted) + " within " + std::to_string(allowed));
  }
  return {};
}

}  // namespace rushlight::cuda
