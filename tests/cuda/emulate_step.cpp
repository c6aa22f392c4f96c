#include "cuda/emulate_step.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "cuda/emulate_work.hpp"

namespace rushlight::cuda {

std::vector<float> emulate_calls(const std::string& name, const std::vector<float>& before, const CallsAt& calls_at) {
  std::vector<float> memory = before;
  std::vector<float> first;
  const std::vector<Work> calls = calls_at(memory.data());
  for (const emulation::Order order :
       {emulation::Order::forward, emulation::Order::backward, emulation::Order::shuffled}) {
    std::copy(before.begin(), before.end(), memory.begin());
    emulation::Emulator emulator(order);
    for (const Work& call : calls) emulation::emulate(call, emulator);
    EXPECT_EQ(emulator.failure(), "") << name;
    if (first.empty()) first = memory;
    EXPECT_EQ(std::memcmp(first.data(), memory.data(), memory.size() * sizeof(float)), 0)
        << name << ": the order of the threads shows";
  }
  return first;
}

std::vector<float> emulate_step(const StepCase& step_case, const CallOptions& options) {
  const Result<Needs> needs = find_needs(step_case.plan, options);
  if (!needs) {
    ADD_FAILURE() << step_case.name << ": " << to_string(needs.error());
    return step_case.memory;
  }
  return emulate_calls(step_case.name, memory_for(step_case, *needs), [&](float* base) {
    std::vector<Work> works;
    Result<std::vector<Call>> calls = make_calls(step_case.plan, addresses_of(step_case, *needs, base), options);
    if (!calls) {
      ADD_FAILURE() << step_case.name << ": " << to_string(calls.error());
      return works;
    }
    EXPECT_FALSE(calls->empty()) << step_case.name;
    for (Call& call : *calls) works.push_back(std::move(call.work));
    return works;
  });
}

}  // namespace rushlight::cuda
