/// \file
/// Model: a graph with its parameters, immutable and shared by threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rushlight/graph.hpp"
#include "rushlight/session.hpp"
#include "rushlight/state_dict.hpp"

namespace rushlight {

enum class Strict : std::uint8_t {
  no,   ///< unexpected and missing names are reported, not refused; an incomplete model has no sessions
  yes,  ///< every name must fit, as torch's load_state_dict(strict=True)
};

/// What load_state_dict found; all of it, not the first problem.
struct LoadReport {
  struct WrongShape {
    std::string name{};
    Shape expected{};  ///< -1 where the graph leaves a size open
    Shape found{};
  };
  struct Cast {
    std::string name{};
    DType from{};
    DType to{};
  };
  struct WrongDType {
    std::string name{};
    DType found{};
  };
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;
  std::vector<WrongShape> wrong_shape;
  std::vector<WrongDType> wrong_dtype;  ///< complex and quantised ones: they are no float32 parameters
  std::vector<Cast> casts;              ///< float16, bfloat16, float64, integers: to float32
  std::vector<std::string> hints;       ///< "without the prefix 'module.' 18 of 18 missing names would be there"
  [[nodiscard]] bool ok() const noexcept {
    return missing.empty() && unexpected.empty() && wrong_shape.empty() && wrong_dtype.empty();
  }
};

/// Immutable after creation; a handle; all members may be called from several threads at once.
class RUSHLIGHT_API Model {
 public:
  /// Binds tensors to the graph's parameters; reads and checks their bytes. With Strict::yes any problem is
  /// ErrorCode::mismatch, its message listing all of them (the first hundred); wrong shapes and dtypes are refused with
  /// Strict::no too, as in torch. Buffers that inference does not read (`num_batches_tracked` beside a
  /// BatchNorm) and what Graph::ignored() names may be there. `report` (if not null) is filled either way.
  static Result<Model> create(Graph graph, const StateDict& state, LoadReport* report = nullptr,
                              Strict strict = Strict::yes);

  [[nodiscard]] const Graph& graph() const noexcept;
  [[nodiscard]] std::span<const Port> inputs() const noexcept { return graph().inputs(); }
  [[nodiscard]] std::span<const Port> outputs() const noexcept { return graph().outputs(); }
  /// The parameters as they were loaded (float32 after casts), in graph order.
  [[nodiscard]] const StateDict& state_dict() const noexcept;
  /// Names that have no value yet (Strict::no).
  [[nodiscard]] std::span<const std::string> missing() const noexcept;
  /// Another model on the same graph, of the same sizes; names absent from `state` keep their values under Strict::no.
  [[nodiscard]] Result<Model> with_state_dict(const StateDict& state, LoadReport* report = nullptr,
                                              Strict strict = Strict::yes) const;

  /// A session of one thread. Weights are packed at the first session of a device and shared by the others.
  /// ErrorCode::device when the device cannot be used, ::mismatch when parameters are missing, ::unsupported names an
  /// operator that the device's backend lacks.
  [[nodiscard]] Result<Session> session(Device device = Device::cpu(), const SessionOptions& options = {}) const;

  struct Impl;  ///< opaque

 private:
  explicit Model(std::shared_ptr<const Impl> impl) noexcept;
  static Result<Model> bind(const Graph& graph, const StateDict& state, const StateDict* fallback, LoadReport* report,
                            Strict strict);
  std::shared_ptr<const Impl> impl_;
};

/// One model that runs them all on the same inputs and gives the mean of each output: several epochs, folds, or models
/// of one checkpoint. Parameters are shared with the models, and named after their place: "0.conv1.weight",
/// "1.conv1.weight". Sessions, sizes and devices are those of any model. The mean is of the outputs as they are; end
/// the networks with a Softmax for one of probabilities.
///
/// ErrorCode::invalid_argument when there are none, ::mismatch when their ports differ or parameters are missing.
RUSHLIGHT_API Result<Model> make_ensemble(std::span<const Model> models);

}  // namespace rushlight
