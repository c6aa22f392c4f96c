#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/attributes.hpp"
#include "model/describe.hpp"
#include "model/graph_impl.hpp"
#include "model/operator_table.hpp"
#include "model/parameters.hpp"
#include "model/shapes.hpp"

namespace rushlight {
namespace {

// What a call that failed returns. Using it is no further mistake.
constexpr Edge kPoison{-2};
// Mistakes beyond these are only counted.
constexpr std::size_t kListedProblems = 50;

std::string preprocessing_problem(const Preprocessing& given) {
  if (!std::isfinite(given.scale) || given.scale == 0) return "scale: expected a number other than 0";
  if (!given.mean.empty() && !given.std.empty() && given.mean.size() != given.std.size()) {
    return "mean and std: expected as many of one as of the other, found " + std::to_string(given.mean.size()) +
           " and " + std::to_string(given.std.size());
  }
  for (const double mean : given.mean) {
    if (!std::isfinite(mean)) return "mean: expected finite numbers";
  }
  for (const double std : given.std) {
    if (!std::isfinite(std) || std == 0) return "std: expected numbers other than 0";
  }
  return {};
}

std::string arrays_problem(const char* kind, const std::vector<Port>& ports,
                           const std::vector<SelfTest::Array>& arrays) {
  if (arrays.size() != ports.size()) {
    return "expected " + model::count_text(ports.size(), kind) + ", found " + std::to_string(arrays.size());
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    std::optional<std::uint64_t> count = std::uint64_t{1};
    for (const std::int64_t size : arrays[i].shape) {
      if (size < 0) return std::string(kind) + " " + quoted(ports[i].name) + ": expected sizes of at least 0";
      if (count) count = checked_mul(*count, static_cast<std::uint64_t>(size));
    }
    if (count == arrays[i].values.size()) continue;
    return std::string(kind) + " " + quoted(ports[i].name) + ": expected as many values as " +
           model::shape_text(arrays[i].shape) + " has, found " + std::to_string(arrays[i].values.size());
  }
  return {};
}

std::string self_test_problem(const Graph::Impl& graph) {
  if (!(graph.self_test->tolerance > 0) || std::isinf(graph.self_test->tolerance)) {
    return "tolerance: expected a number above 0";
  }
  std::string problem = arrays_problem("input", graph.inputs, graph.self_test->inputs);
  return problem.empty() ? arrays_problem("output", graph.outputs, graph.self_test->outputs) : problem;
}

}  // namespace

struct GraphBuilder::Impl {
  Graph::Impl graph;
  std::unordered_set<std::string> input_names;
  std::unordered_set<std::string> output_names;
  std::unordered_map<std::string, std::size_t> modules;  // what parameters are named after: the node that was first
  std::unordered_set<std::string> node_names;
  std::unordered_map<std::string, std::size_t> calls;  // suffixes that a name has been given
  std::vector<DType> dtypes;                           // of each edge
  std::vector<std::string> problems;
  std::size_t problem_count = 0;

  Edge fail(std::string problem) {
    if (++problem_count <= kListedProblems) problems.push_back(std::move(problem));
    return kPoison;
  }
  [[nodiscard]] bool exists(Edge edge) const noexcept {
    return edge.index >= 0 && static_cast<std::size_t>(edge.index) < graph.edge_count;
  }
  Edge next_edge(DType dtype) {
    dtypes.push_back(dtype);
    return Edge{static_cast<std::int32_t>(graph.edge_count++)};
  }

  // A name that no node before has: "fc", "fc_1", "fc_2" ...
  [[nodiscard]] std::string unused_name(const std::string& name) {
    std::string unused = name;
    while (node_names.contains(unused)) unused = name + "_" + std::to_string(++calls[name]);
    return unused;
  }

  // What is wrong with a node that reads the parameters of an earlier one; empty when nothing is.
  [[nodiscard]] std::string sharing_problem(const Operator& first, const Operator& again, bool is_by_name) const {
    const std::string named = is_by_name ? "another layer has this name" : "another layer has these parameters";
    if (first.kind() != again.kind()) return named + " and is a " + std::string(model::info(first)->spec_name);
    if (first == again) return {};
    if (is_by_name) return named + " and other attributes: a module that is called again has the same ones";
    const std::vector<model::ParameterShape> shapes = model::parameter_shapes(first);
    const std::vector<model::ParameterShape> wanted = model::parameter_shapes(again);
    const auto same = [](const model::ParameterShape& a, const model::ParameterShape& b) {
      return a.name == b.name && a.shape == b.shape;
    };
    if (std::equal(shapes.begin(), shapes.end(), wanted.begin(), wanted.end(), same)) return {};
    return named + " and other shapes for them";
  }

  // An edge is made after what it is computed from, so that a graph has no cycles and its nodes stand in running order.
  std::vector<Edge> apply(std::string name, std::optional<std::string> module, Operator op,
                          std::span<const Edge> inputs, std::size_t output_count) {
    const std::vector<Edge> poison(std::max<std::size_t>(output_count, 1), kPoison);
    const model::OperatorInfo* row = model::info(op);
    if (row == nullptr) {
      fail("layer " + quoted(name) + ": it has no operator");
      return poison;
    }
    model::complete_attributes(op);
    if (name.empty() && !row->has_parameters) {
      name = std::string(row->spec_name) + "_" + std::to_string(graph.nodes.size());
    }
    Node node{std::move(name), std::move(op), {inputs.begin(), inputs.end()}, {}, {}};
    const std::string where = model::layer_text(node) + ": ";
    const auto refuse = [&](const std::string& problem) {
      fail(where + problem);
      return poison;
    };
    if (std::string problem = model::attribute_problem(node.op); !problem.empty()) return refuse(problem);
    std::optional<std::string> owner;  // what its parameters are named after
    if (model::has_parameters(node.op)) {
      owner = module ? *module : node.name;
      const auto first = modules.find(*owner);
      if (first != modules.end()) {
        const Operator& there = graph.nodes[first->second].op;
        if (std::string problem = sharing_problem(there, node.op, !module); !problem.empty()) return refuse(problem);
      }
      // Two calls are told apart. That another layer without parameters has the name is nothing new.
      if (module || first != modules.end()) node.name = unused_name(node.name.empty() ? *owner : node.name);
      if (node.name != *owner) node.module = owner;
    } else if (module) {
      return refuse("it has no parameters to be shared");
    }
    for (const Edge edge : inputs) {
      if (edge == kPoison) return poison;
      if (!exists(edge)) return refuse("its input, edge " + std::to_string(edge.index) + ", does not exist");
    }
    if (inputs.size() < row->min_inputs || inputs.size() > row->max_inputs) {
      return refuse("expected " +
                    model::count_text(inputs.size() < row->min_inputs ? row->min_inputs : row->max_inputs, "input") +
                    ", found " + std::to_string(inputs.size()));
    }
    if (output_count < 1 || output_count > row->max_outputs) {
      return refuse("it has " + model::count_text(row->max_outputs, "output") + ", not " +
                    std::to_string(output_count));
    }
    std::vector<DType> input_dtypes;
    for (const Edge edge : inputs) input_dtypes.push_back(dtypes[static_cast<std::size_t>(edge.index)]);
    for (std::size_t i = 0; i < output_count; ++i) {
      node.outputs.push_back(next_edge(model::output_dtype(node.op, input_dtypes, i)));
    }
    node_names.insert(node.name);
    if (owner) modules.try_emplace(*std::move(owner), graph.nodes.size());
    graph.nodes.push_back(std::move(node));
    return graph.nodes.back().outputs;
  }
};

GraphBuilder::GraphBuilder() : impl_(std::make_unique<Impl>()) {}
GraphBuilder::GraphBuilder(GraphBuilder&&) noexcept = default;
GraphBuilder& GraphBuilder::operator=(GraphBuilder&&) noexcept = default;
GraphBuilder::~GraphBuilder() = default;

Edge GraphBuilder::input(std::string name, Shape shape, DType dtype) {
  const std::string where = "input " + quoted(name) + ": ";
  if (name.empty()) return impl_->fail("an input has no name");
  if (!impl_->input_names.insert(name).second) return impl_->fail(where + "another input has this name");
  for (const std::int64_t size : shape) {
    if (size != -1 && size < 1) {
      return impl_->fail(where + "expected sizes of at least 1, or -1, found " + model::shape_text(shape));
    }
  }
  if (dtype != DType::f32 && dtype != DType::i64 && dtype != DType::i32 && dtype != DType::boolean) {
    return impl_->fail(where + "expected float32, int64, int32 or bool, found " + std::string(to_string(dtype)));
  }
  const Edge edge = impl_->next_edge(dtype);
  impl_->graph.inputs.push_back({std::move(name), dtype, std::move(shape), edge});
  return edge;
}

Edge GraphBuilder::apply(std::string name, Operator op, Edge input) {
  return apply(std::move(name), std::move(op), {input});
}
Edge GraphBuilder::apply(std::string name, Operator op, Edge first, Edge second) {
  return apply(std::move(name), std::move(op), {first, second});
}
Edge GraphBuilder::apply(std::string name, Operator op, std::initializer_list<Edge> inputs) {
  return apply(std::move(name), std::move(op), std::span(inputs.begin(), inputs.size()));
}
Edge GraphBuilder::apply(std::string name, Operator op, std::span<const Edge> inputs) {
  return impl_->apply(std::move(name), {}, std::move(op), inputs, 1).front();
}
std::vector<Edge> GraphBuilder::apply(std::string name, Operator op, std::span<const Edge> inputs, std::size_t count) {
  return impl_->apply(std::move(name), {}, std::move(op), inputs, count);
}
std::vector<Edge> GraphBuilder::apply_shared(std::string name, std::string module, Operator op,
                                             std::span<const Edge> inputs, std::size_t count) {
  return impl_->apply(std::move(name), std::move(module), std::move(op), inputs, count);
}

void GraphBuilder::output(std::string name, Edge edge) {
  const std::string where = "output " + quoted(name) + ": ";
  if (name.empty()) {
    impl_->fail("an output has no name");
  } else if (!impl_->output_names.insert(name).second) {
    impl_->fail(where + "another output has this name");
  } else if (edge != kPoison && !impl_->exists(edge)) {
    impl_->fail(where + "edge " + std::to_string(edge.index) + " does not exist");
  } else {
    const DType dtype = edge == kPoison ? DType::f32 : impl_->dtypes[static_cast<std::size_t>(edge.index)];
    impl_->graph.outputs.push_back({std::move(name), dtype, {}, edge});
  }
}

void GraphBuilder::labels(std::vector<std::string> labels) {
  impl_->graph.labels = std::move(labels);
}
void GraphBuilder::note(std::string note) {
  std::vector<std::string>& notes = impl_->graph.notes;
  if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(std::move(note));
}
void GraphBuilder::ignore(std::string name) {
  impl_->graph.ignored.push_back(std::move(name));
}

void GraphBuilder::preprocessing(Preprocessing preprocessing) {
  if (const std::string problem = preprocessing_problem(preprocessing); !problem.empty()) {
    impl_->fail("preprocessing: " + problem);
  }
  impl_->graph.preprocessing = std::move(preprocessing);
}

void GraphBuilder::self_test(SelfTest test) {
  impl_->graph.self_test = std::move(test);
}

Result<Graph> GraphBuilder::build() {
  const std::unique_ptr<Impl> done = std::exchange(impl_, std::make_unique<Impl>());
  if (done->graph.inputs.empty() && done->problem_count == 0) done->fail("it has no inputs");
  if (done->graph.outputs.empty() && done->problem_count == 0) done->fail("it has no outputs");
  if (done->problem_count == 0 && done->graph.self_test) {
    if (std::string problem = self_test_problem(done->graph); !problem.empty()) done->fail("selftest: " + problem);
  }
  if (done->problem_count > 0) {
    std::string message = "graph: ";
    if (done->problem_count > 1) message += model::count_text(done->problem_count, "problem") + ": ";
    for (std::size_t i = 0; i < done->problems.size(); ++i) {
      if (i > 0) message += "; ";
      message += done->problems[i];
    }
    if (done->problem_count > done->problems.size()) {
      message += "; and " + std::to_string(done->problem_count - done->problems.size()) + " more";
    }
    return Error::of({.category = Category::argument, .code = "GRAPH-BUILD", .message = std::move(message)});
  }
  RUSHLIGHT_TRY(model::check_declared_shapes(done->graph));
  return Graph(std::make_shared<const Graph::Impl>(std::move(done->graph)));
}

}  // namespace rushlight
