// A state dict meets a graph: sizes are read off the weights, every name and shape is compared, and what fits becomes
// float32 parameters.
#pragma once

#include <string>
#include <vector>

#include "model/graph_impl.hpp"
#include "rushlight/model.hpp"

namespace rushlight::model {

struct Binding {
  Graph::Impl graph;  // with the attributes resolved
  StateDict parameters;
  std::vector<std::string> missing;
};

// `fallback` (if not null) has the parameters that names absent from `state` keep; `report` names them as missing all
// the same. Reads the tensors' bytes.
[[nodiscard]] Result<Binding> load_state_dict(const Graph::Impl& graph, const StateDict& state,
                                              const StateDict* fallback, Strict strict, LoadReport& report);

// What a person should try when names do not fit: a prefix to drop or to add, names that look alike.
[[nodiscard]] std::vector<std::string> name_hints(const std::vector<std::string>& missing,
                                                  const std::vector<std::string>& unexpected);

}  // namespace rushlight::model
