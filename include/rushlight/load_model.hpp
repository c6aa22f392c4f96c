/// \file
/// load_model(): from a checkpoint to something that runs, by the best door the file offers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/model.hpp"

namespace rushlight {

/// Makes the graph of a pickled module of the caller's own class; `module` is the opaque object with its attributes.
using ModuleBuilder = std::function<Result<Graph>(const Value& module)>;

struct ModelOptions {
  /// A named architecture ("resnet18", "googlenet:transform_input"): rushlight/architectures.hpp.
  std::string arch = {};
  /// The text of a JSON spec (format-spec/models.md).
  std::string spec = {};
  /// `module.name` of a Python class to what it computes: {"__main__.Net", build_net}.
  std::map<std::string, ModuleBuilder> classes = {};
  /// Where the weights are; "" chooses as Checkpoint::state_dict("") does.
  std::string state_dict = {};
  Strict strict = Strict::yes;
  LoadReport* report = nullptr;
  Limits limits = {};
};

/// Doors, best first: `spec` or `arch` when given; a pickled module whose class `classes` names; a pickled tree of
/// stock torch.nn layers. A file with weights only and none of these is ErrorCode::unsupported, naming the remedies and
/// the architecture that the weights look like; so does the refusal of weights that do not fit `arch`.
RUSHLIGHT_API Result<Model> load_model(const Checkpoint& checkpoint, const ModelOptions& options = {});

/// Takes the graph from the checkpoint or the options, the weights from another file.
RUSHLIGHT_API Result<Model> load_model(const Checkpoint& checkpoint, const StateDict& weights,
                                       const ModelOptions& options);

/// A checkpoint in a folder of a training.
struct EpochFile {
  std::filesystem::path path{};
  /// What the file says under "epoch" (or "current_epoch", "global_step" failing that), or else the last number in its
  /// name: 12 of "epoch_12.pt".
  std::optional<std::int64_t> epoch{};
};

/// The checkpoints right inside a folder, by their epochs; those without one come first, by name. Files of other kinds
/// are left out; one that looks like a checkpoint and cannot be opened is an error that names it.
RUSHLIGHT_API Result<std::vector<EpochFile>> list_epochs(const std::filesystem::path& folder,
                                                         const LoadOptions& options = {});

}  // namespace rushlight
