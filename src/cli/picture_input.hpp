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
  // Says that pixels go in as they are.
  void note_unscaled(const ImageTransform& transform, std::vector<std::string>& notes) const;
  // The pictures of --images, by name. An empty folder is an error.
  [[nodiscard]] Result<std::vector<std::string>> files() const;
};

// One picture as uint8 [C, H, W]: PNG, JPEG, PGM, PPM, or .npy of uint8 [H, W], [H, W, C] or [C, H, W].
Result<Tensor> read_picture(const std::string& path, const Limits& limits);

// How a network takes a picture.
struct PictureForm {
  std::int64_t channels = 0;  // 0: as it is
  bool as_row = false;        // flattened, as view(N, -1): networks whose first layer is linear
};
// For pictures that are [1, C, H, W] now. By the declared shape of the network's input, else by what its layers take.
PictureForm form_for(const Graph& graph, std::span<const std::int64_t> picture);

}  // namespace rushlight::cli
