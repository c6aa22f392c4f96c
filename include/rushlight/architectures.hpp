/// \file
/// Architectures that are built in: every classification model of torchvision, and FCN, DeepLabV3 and LRASPP. A state
/// dict says how wide they are; what it does not say (strides, eps, activations) is torchvision's.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "rushlight/export.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/operators.hpp"
#include "rushlight/result.hpp"
#include "rushlight/state_dict.hpp"

namespace rushlight {

struct ArchitectureInfo {
  std::string_view name{};    ///< torchvision's function: "resnet18"
  std::string_view family{};  ///< its module: "resnet"
  IntPair input_size{};       ///< what the published weights were trained for; most take any size
};

/// All of them, sorted by name within each family.
[[nodiscard]] RUSHLIGHT_API std::span<const ArchitectureInfo> architectures() noexcept;
/// nullptr when there is none of this name.
[[nodiscard]] RUSHLIGHT_API const ArchitectureInfo* find_architecture(std::string_view name) noexcept;

/// The graph of an architecture for these weights: channels, classes, groups, heads, and the image size of a ViT are
/// read off them, depth and kernels are the architecture's. Model::create() then says whether they fit. The input is
/// "input", the output "logits"; of segmentation models "out", and "aux" where the head is in the state dict. Other
/// auxiliary heads are ignored, as torch ignores them in eval mode.
///
/// `arch` is a name, or one with an option: "googlenet:transform_input" and "inception_v3:transform_input" change the
/// normalisation of the input as torchvision does for its published weights (and not for nets made without them).
///
/// ErrorCode::invalid_argument lists the names, or names an option that there is not.
[[nodiscard]] RUSHLIGHT_API Result<Graph> architecture_graph(std::string_view arch, const StateDict& weights);

/// For each input of an architecture's graph one picture of the size that its published weights were trained for, [1,
/// 3, 224, 224]; sizes that the weights decide stand. Empty when there is no such name.
[[nodiscard]] RUSHLIGHT_API std::vector<Shape> architecture_input_shapes(std::string_view arch, const Graph& graph);

/// The architectures whose names and shapes these weights fit best, if any fits nearly. Those that are returned
/// together differ in what the weights say, so that each of them computes the same.
[[nodiscard]] RUSHLIGHT_API std::vector<const ArchitectureInfo*> architectures_like(const StateDict& weights);

}  // namespace rushlight
