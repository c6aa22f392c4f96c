// The options by which `run` finds pictures and says what becomes of them, and what reads them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/context.hpp"

namespace rushlight::cli {

struct PictureInput {
  std::string image;   // one file
  std::string images;  // a folder, or a pattern
  std::string preset;
  std::string resize;
  std::string crop;
  std::string interpolation;
  std::optional<double> scale;
  std::vector<double> mean;
  std::vector<double> std;

  void add_to(OptionTable& table);
  // Whether any option says what becomes of pixels.
  [[nodiscard]] bool says_transform() const noexcept;
  // What the options say, and where they say nothing, the preset, and then the network.
  [[nodiscard]] Result<ImageTransform> transform(const Preprocessing& of_network) const;
  // The pictures of --images, by name. An empty folder is an error.
  [[nodiscard]] Result<std::vector<std::string>> files() const;
};

// One picture as uint8 [C, H, W]: PNG, JPEG, PGM, PPM, or .npy of uint8 [H, W], [H, W, C] or [C, H, W].
Result<Tensor> read_picture(const std::string& path, const Limits& limits);

// How many channels pictures must have for a network that is given `pixels` first; 0 where that cannot be told.
std::int64_t channels_for(const Graph& graph, const Tensor& pixels);

}  // namespace rushlight::cli
