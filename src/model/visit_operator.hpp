// For the few places that know every operator by its struct. What walks names and attributes needs operator_table.hpp
// alone, which does not compile one copy of the caller for each of the table's rows.
#pragma once

#include "model/operator_table.hpp"

namespace rushlight::model {

// Calls f(const Conv2d&) or whatever is inside, unless there is nothing.
template <class F>
void visit_operator(const Operator& op, F&& f) {
  switch (op.kind()) {
    case OperatorKind::nothing:
      return;
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) \
  case OperatorKind::Type:                                                         \
    return f(op.get<Type>());
#include "rushlight/operators.def"
  }
}

}  // namespace rushlight::model
