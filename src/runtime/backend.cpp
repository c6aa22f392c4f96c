#include "runtime/backend.hpp"

#include "base/fail.hpp"
#include "runtime/plan.hpp"

namespace rushlight::runtime {

Result<std::unique_ptr<Program>> Backend::compile_plan(const Network&, Plan, const std::shared_ptr<PackedWeights>&,
                                                       const RunOptions&) const {
  return Error::of({.category = Category::unsup,
                    .code = "DEVICE-PLAN",
                    .message = std::string(name()) + " computes no plan that another backend made"});
}

}  // namespace rushlight::runtime
