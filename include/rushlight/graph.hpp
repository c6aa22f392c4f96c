/// \file
/// Graph: a network as typed operators in SSA form, with named inputs and outputs. Built in C++ (GraphBuilder,
/// Sequential), from a JSON spec, or by a door that reads a file.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/dtype.hpp"
#include "rushlight/export.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/operators.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// One SSA value of a graph. Meaningful only with the graph or builder that made it.
struct Edge {
  std::int32_t index = -1;
  friend bool operator==(const Edge&, const Edge&) = default;
};

/// One application of an operator.
struct Node {
  std::string name{};  ///< "layer1.0.conv1": its parameters are name + ".weight" and so on, unless `module` is set
  Operator op{};
  std::vector<Edge> inputs{};
  std::vector<Edge> outputs{};  ///< at least one; those that the operator has beyond them are not computed
  /// What its parameters are named after where that is not `name`: of a module that is called again, whose first call
  /// has its name ("fc"; the second is "fc_1").
  std::optional<std::string> module{};
  [[nodiscard]] Edge output() const { return outputs.front(); }
  /// The full name of one of its parameters: name + ".weight"; "weight" alone where there is no name, and the name
  /// alone where the parameter has none (Parameter).
  [[nodiscard]] std::string parameter(std::string_view parameter_name) const {
    const std::string& owner = module ? *module : name;
    if (owner.empty() || parameter_name.empty()) return std::string(owner.empty() ? parameter_name : owner);
    return (owner + ".").append(parameter_name);
  }
};

/// What an edge carries. Networks compute in float32; int64 are indices, booleans are masks.
struct EdgeType {
  DType dtype = DType::f32;
  /// -1 for sizes that are not known.
  Shape shape{};
  friend bool operator==(const EdgeType&, const EdgeType&) = default;
};

/// A named input or output.
struct Port {
  std::string name{};
  DType dtype = DType::f32;
  /// As torch has it (NCHW); -1 for sizes that may differ from run to run, the batch first of all. Empty: not declared.
  Shape shape{};
  Edge edge{};
};

/// How pixels become input: (pixel / scale - mean[c]) / std[c].
struct Preprocessing {
  double scale = 1;
  std::vector<double> mean = {};  ///< one per channel, one for all, or empty
  std::vector<double> std = {};
};

/// A sample of what a network computes, kept beside it: self_test() (evaluate.hpp) runs it on a Model.
struct SelfTest {
  struct Array {
    Shape shape{};
    std::vector<double> values{};  ///< in C order
  };
  std::vector<Array> inputs{};   ///< in port order
  std::vector<Array> outputs{};  ///< in port order
  double tolerance = 2e-5;       ///< of the largest value of each output
};

/// One parameter or buffer that a graph needs.
struct ParameterSpec {
  std::string name{};  ///< "conv1.weight"
  /// -1 where the size is to be read off the weights.
  Shape shape{};
  std::size_t node = 0;  ///< index into Graph::nodes()
};

/// Immutable; copies share. Nodes stand in an order in which they can run.
class RUSHLIGHT_API Graph {
 public:
  [[nodiscard]] std::span<const Port> inputs() const noexcept;
  [[nodiscard]] std::span<const Port> outputs() const noexcept;
  [[nodiscard]] std::span<const Node> nodes() const noexcept;
  /// Edges are numbered 0 .. edge_count() - 1.
  [[nodiscard]] std::size_t edge_count() const noexcept;
  [[nodiscard]] const std::vector<std::string>& labels() const noexcept;
  [[nodiscard]] const Preprocessing& preprocessing() const noexcept;
  /// nullptr when there is none.
  [[nodiscard]] const SelfTest* self_test() const noexcept;
  /// What the door that made it has to say: "stored in training mode; inference means eval".
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept;
  /// Names of a state dict that it has no use for (GraphBuilder::ignore).
  [[nodiscard]] const std::vector<std::string>& ignored() const noexcept;
  /// What a state dict must hold, in node order; parameters of a module that is called again are listed once.
  [[nodiscard]] std::vector<ParameterSpec> parameters() const;

  /// Shapes of every edge, by Edge::index, for given shapes of the inputs. A size of -1 is unknown, and so is what
  /// follows from it, or from an attribute that is still to be read off the weights. ErrorCode::mismatch names the
  /// layer that does not fit. Empty shapes follow a Parameter whose shape its tensor decides, until a Model has it.
  [[nodiscard]] Result<std::vector<Shape>> infer_shapes(std::span<const Shape> input_shapes) const;
  /// The same with the dtypes; those of the inputs are their ports'.
  [[nodiscard]] Result<std::vector<EdgeType>> infer_types(std::span<const Shape> input_shapes) const;

  /// The same network with these outputs instead of its own. A name is that of an output, or else of a node, or else
  /// what stands before a dot in the names of nodes: the last of them computes what the module of that name gives
  /// ("layer3.0" of "layer3.0.conv2"). ErrorCode::not_found.
  [[nodiscard]] Result<Graph> with_outputs(std::span<const std::string> names) const;

  /// From a JSON spec (format-spec/models.md). ErrorCode::invalid_argument names the layer and the key, ::mismatch the
  /// layer whose shapes do not fit, ::unsupported what is not built.
  static Result<Graph> from_spec(std::string_view json, const Limits& limits = {});

  struct Impl;  ///< opaque

 private:
  friend class GraphBuilder;
  friend class Model;
  explicit Graph(std::shared_ptr<const Impl> impl) noexcept;
  std::shared_ptr<const Impl> impl_;
};

/// Builds a graph step by step. Mistakes are remembered and reported by build(), so calls can be chained.
///
///     GraphBuilder g;
///     Edge x = g.input("image", {-1, 1, 28, 28});
///     Edge y = g.apply("conv1", Conv2d{.padding = 1}, x);
///     g.output("sum", g.apply("", Add{}, y, x));
///     Graph graph = g.build().value();
class RUSHLIGHT_API GraphBuilder {
 public:
  GraphBuilder();
  GraphBuilder(GraphBuilder&&) noexcept;
  GraphBuilder& operator=(GraphBuilder&&) noexcept;
  ~GraphBuilder();

  /// Dimension sizes >= 1, or -1 for free ones.
  /// float32; int64 and int32 for indices; boolean for masks.
  Edge input(std::string name, Shape shape = {}, DType dtype = DType::f32);
  /// An empty name becomes "add_3" and the like; an operator with parameters keeps it, and its parameters have no
  /// prefix ("weight"), as those of a lone torch module. An operator with parameters that comes again with the same
  /// name and attributes is one module called twice: it reads the same parameters, and its node gets a name of its own
  /// ("fc_1").
  Edge apply(std::string name, Operator op, Edge input);
  Edge apply(std::string name, Operator op, Edge first, Edge second);
  Edge apply(std::string name, Operator op, std::initializer_list<Edge> inputs);
  Edge apply(std::string name, Operator op, std::span<const Edge> inputs);
  /// The first `count` outputs of an operator that has several: the pieces of a Split, the states of an LSTM.
  std::vector<Edge> apply(std::string name, Operator op, std::span<const Edge> inputs, std::size_t count);
  /// The same with parameters that are named after `module` instead of `name`, as those of other nodes may be. Their
  /// attributes may differ where shapes of parameters do not follow from them: one weight, two dilations.
  std::vector<Edge> apply_shared(std::string name, std::string module, Operator op, std::span<const Edge> inputs,
                                 std::size_t count = 1);
  void output(std::string name, Edge edge);
  void labels(std::vector<std::string> labels);
  void preprocessing(Preprocessing preprocessing);
  /// Arrays for every input and output, of the declared shapes.
  void self_test(SelfTest test);
  /// For Graph::notes(). What has been noted already is not noted again.
  void note(std::string note);
  /// A name that a state dict may hold and the graph has no use for, and all names below it: "aux1" stands for
  /// "aux1.fc.weight" too, heads that only training runs. A strict load takes them.
  void ignore(std::string name);
  /// Checks everything that needs no weights and reports all mistakes: ErrorCode::invalid_argument, or ::mismatch where
  /// shapes do not fit. The builder is empty afterwards.
  Result<Graph> build();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Sequential;

/// One element of a Sequential: an operator with or without a name, or a nested Sequential.
struct RUSHLIGHT_API Layer {
  std::string name{};  ///< empty: its position, "0", "1", ... as in torch
  Operator op{};
  std::shared_ptr<const Sequential> children;  ///< set for nested ones

  template <class Op>
  requires std::is_constructible_v<Operator, Op> Layer(Op op_in)
      : op(std::move(op_in)) {}  // NOLINT(google-explicit-constructor)
  template <class Op>
  requires std::is_constructible_v<Operator, Op> Layer(std::string name_in, Op op_in)
      : name(std::move(name_in)), op(std::move(op_in)) {}
  Layer(Sequential nested);  // NOLINT(google-explicit-constructor)
  Layer(std::string name, Sequential nested);
};

/// Layers one after the other, as torch.nn.Sequential: parameters are "0.weight" or "fc1.weight".
///
///     Graph net = Sequential{Linear{784, 128}, ReLU{}, Linear{128, 10}}.graph({784}).value();
class RUSHLIGHT_API Sequential {
 public:
  Sequential(std::initializer_list<Layer> layers);
  explicit Sequential(std::vector<Layer> layers);
  /// The shape of one input, without the batch dimension; empty: not declared.
  [[nodiscard]] Result<Graph> graph(Shape input = {}) const;
  [[nodiscard]] const std::vector<Layer>& layers() const noexcept { return layers_; }

 private:
  std::vector<Layer> layers_;
};

}  // namespace rushlight
