// What a Model holds, and where backends keep what they made of its parameters.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/model.hpp"

namespace rushlight {

namespace model {

// Weights in the form a backend packed them, kept as long as the model and shared by its sessions. Type-erased: the
// model layer knows no backend.
class PackedWeightsCache {
 public:
  // What is kept under `key`, or what `make()` (a Result<std::shared_ptr<void>>) gives. Others wait meanwhile, so that
  // weights are packed once; a failure is returned and not kept.
  template <class Make>
  [[nodiscard]] Result<std::shared_ptr<void>> get_or_make(std::string_view key, Make&& make) {
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(key); found != entries_.end()) return found->second;
    Result<std::shared_ptr<void>> made = std::forward<Make>(make)();
    if (made) entries_.emplace(std::string(key), *made);
    return made;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<void>, std::less<>> entries_;
};

}  // namespace model

struct Model::Impl {
  // For what stands beside Model in the library and makes sessions of its own.
  static const std::shared_ptr<const Impl>& of(const Model& model) noexcept { return model.impl_; }

  Graph graph;                       // every attribute is known, unless parameters are missing
  StateDict parameters;              // float32, C order, host memory, checked; in graph order; tied ones share
  std::vector<std::string> missing;  // names without a tensor: such a model has no sessions

  mutable model::PackedWeightsCache packed_weights;

  explicit Impl(Graph graph_in) noexcept : graph(std::move(graph_in)) {}
};

}  // namespace rushlight
