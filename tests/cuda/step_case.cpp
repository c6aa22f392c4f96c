#include "cuda/step_case.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace rushlight::cuda {
namespace {

constexpr std::size_t kGapFloats = 64;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::size_t elements_of(const Shape& shape) {
  std::size_t elements = 1;
  for (const std::int64_t size : shape) elements *= static_cast<std::size_t>(size);
  return elements;
}

Tensor packed(const StepCase& step_case, const WeightCopy& copy) {
  const Shape& shape = step_case.constant_shapes[copy.constant];
  const auto values = std::span(step_case.memory).subspan(step_case.constant_floats[copy.constant], elements_of(shape));
  return in_form(Tensor::from_values<float>(values, shape).value(), copy.form).value();
}

// How many floats, rounded up to the arena's alignment.
std::size_t whole_lines(std::uint64_t bytes) {
  constexpr std::uint64_t kAlignment = runtime::kArenaAlignment;
  return static_cast<std::size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment / sizeof(float));
}

}  // namespace

std::vector<float> memory_for(const StepCase& step_case, const Needs& needs) {
  std::vector<float> memory = step_case.memory;
  for (const WeightCopy& copy : needs.weights) {
    if (copy.form == WeightForm::plain) continue;
    const Tensor tensor = packed(step_case, copy);
    const std::span<const std::byte> bytes = tensor.bytes().value();
    const std::size_t begin = memory.size();
    memory.resize(begin + whole_lines(bytes.size()), kNaN);
    if (!bytes.empty()) std::memcpy(&memory[begin], bytes.data(), bytes.size());
  }
  memory.resize(memory.size() + whole_lines(needs.scratch_bytes), kNaN);
  memory.resize(memory.size() + whole_lines(needs.tickets * sizeof(std::uint32_t)), 0.0F);
  return memory;
}

Addresses addresses_of(const StepCase& step_case, const Needs& needs, float* base) {
  Addresses addresses;
  addresses.arena = reinterpret_cast<std::byte*>(base);
  std::size_t behind = step_case.memory.size();
  for (const WeightCopy& copy : needs.weights) {
    std::size_t begin = step_case.constant_floats[copy.constant];
    if (copy.form != WeightForm::plain) {
      begin = behind;
      behind += whole_lines(packed(step_case, copy).size_bytes());
    }
    addresses.weights.emplace(copy, reinterpret_cast<const std::byte*>(base + begin));
  }
  addresses.scratch = reinterpret_cast<std::byte*>(base + behind);
  behind += whole_lines(needs.scratch_bytes);
  addresses.tickets = reinterpret_cast<std::uint32_t*>(base + behind);
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

runtime::ConstantId StepCaseBuilder::constant(const Shape& shape) {
  const auto floats = elements_of(shape);
  const std::size_t begin = reserve(floats);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < floats; ++i) case_.memory[begin + i] = normal(random_);
  case_.constant_floats.push_back(begin);
  case_.constant_shapes.push_back(shape);
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
  for (std::size_t i = 0; i < step_case.memory.size(); ++i) {
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
