#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/quote.hpp"
#include "model/parameters.hpp"
#include "rushlight/graph.hpp"

namespace rushlight {

Layer::Layer(Sequential nested) : children(std::make_shared<const Sequential>(std::move(nested))) {}
Layer::Layer(std::string name_in, Sequential nested)
    : name(std::move(name_in)), children(std::make_shared<const Sequential>(std::move(nested))) {}

Sequential::Sequential(std::initializer_list<Layer> layers) : layers_(layers) {}
Sequential::Sequential(std::vector<Layer> layers) : layers_(std::move(layers)) {}

Result<Graph> Sequential::graph(Shape input) const {
  if (!input.empty()) input.insert(input.begin(), -1);  // the batch
  GraphBuilder builder;
  Edge edge = builder.input("input", std::move(input));

  struct Level {
    const Sequential* layers;
    std::string prefix;
    std::size_t next = 0;
  };
  std::vector<Level> levels{{this, "", 0}};
  std::unordered_set<std::string> names;  // of layers with parameters
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.next == level.layers->layers_.size()) {
      levels.pop_back();
      continue;
    }
    const std::size_t position = level.next++;
    const Layer& layer = level.layers->layers_[position];
    std::string name = level.prefix + (layer.name.empty() ? std::to_string(position) : layer.name);
    if (layer.children != nullptr) {
      levels.push_back({layer.children.get(), std::move(name) + ".", 0});
    } else {
      // Layers are values: two of one name are a mistake, not one module that is called twice.
      if (model::has_parameters(layer.op) && !names.insert(name).second) {
        return Error::of(
            {.category = Category::argument,
             .code = "GRAPH-BUILD",
             .message = "graph: layer " + quoted(name) + ": another layer has this name, and both have parameters"});
      }
      edge = builder.apply(std::move(name), layer.op, edge);
    }
  }
  builder.output("output", edge);
  return builder.build();
}

}  // namespace rushlight
