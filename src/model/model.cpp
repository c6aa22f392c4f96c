#include "rushlight/model.hpp"

#include <utility>

#include "base/fail.hpp"
#include "model/graph_impl.hpp"
#include "model/load_state_dict.hpp"
#include "model/model_impl.hpp"

namespace rushlight {

Model::Model(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Result<Model> Model::create(Graph graph, const StateDict& state, LoadReport* report, Strict strict) {
  return bind(graph, state, nullptr, report, strict);
}

Result<Model> Model::with_state_dict(const StateDict& state, LoadReport* report, Strict strict) const {
  return bind(impl_->graph, state, strict == Strict::no ? &impl_->parameters : nullptr, report, strict);
}

Result<Model> Model::bind(const Graph& graph, const StateDict& state, const StateDict* fallback, LoadReport* report,
                          Strict strict) {
  LoadReport unseen;
  RUSHLIGHT_TRY_ASSIGN(model::Binding binding, model::load_state_dict(*graph.impl_, state, fallback, strict,
                                                                      report == nullptr ? unseen : *report));
  auto impl = std::make_shared<Impl>(Graph(std::make_shared<const Graph::Impl>(std::move(binding.graph))));
  impl->parameters = std::move(binding.parameters);
  impl->missing = std::move(binding.missing);
  return Model(std::move(impl));
}

const Graph& Model::graph() const noexcept {
  return impl_->graph;
}
const StateDict& Model::state_dict() const noexcept {
  return impl_->parameters;
}
std::span<const std::string> Model::missing() const noexcept {
  return impl_->missing;
}

}  // namespace rushlight
