/// \file
/// load_model(): from a checkpoint to something that runs, by the best door the file offers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
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

/// For a ModuleBuilder: what `module`'s child computes of `input`, so that only forward() is left to write. A child of
/// a child is named as in state dicts, "down1.0"; parameters are named after it. The child is a stock layer, one of
/// torchvision's, or of a class that `options.classes` names; of one that returns a tuple (an LSTM) it is the first
/// item.
///
///     Result<Graph> build_generator(const Value& module) {
///       GraphBuilder graph;
///       const Result<Edge> image = apply_child(graph, module, "main", graph.input("noise", {-1, 100, 1, 1}));
///       if (!image) return image.error();
///       graph.output("image", *image);
///       return graph.build();
///     }
RUSHLIGHT_API Result<Edge> apply_child(GraphBuilder& builder, const Value& module, std::string_view child, Edge input,
                                       const ModelOptions& options = {});

/// Doors, best first: `spec` or `arch` when given; a pickled module whose class `classes` names; a pickled tree of
/// torch.nn's layers and torchvision's models. A file with weights only and none of these is ErrorCode::unsupported,
/// naming the remedies and the architecture that the weights look like; so does the refusal of weights that do not fit
/// `arch`.
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
