// The options by which `run` and `calibrate` find their inputs, and what reads them, for `bench` too: an array, a set in
// IDX form, or pictures.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/context.hpp"
#include "cli/picture_input.hpp"

namespace rushlight::cli {

// float32 with a batch dimension, and what was done to it.
struct Items {
  Tensor tensor;
  std::vector<std::string> notes;
};

struct ItemInput {
  PictureInput pictures;
  std::string npy;
  std::string idx;

  void add_to(OptionTable& table);
  [[nodiscard]] bool has_pictures() const noexcept;
  // That one of them is given.
  [[nodiscard]] Status check_one() const;
  // What --input or --idx names, as the network takes it.
  [[nodiscard]] Result<Items> read_items(const Context& context, const Graph& graph) const;
};

// That the network takes the shape that was given as --input.
Status check_given_shape(const Graph& graph, std::span<const std::int64_t> shape);
// That the network takes what picture_item() made of a picture.
Status check_picture(const Graph& graph, const std::string& file, std::span<const std::int64_t> shape);

// One picture as the network takes it: float32 [1, C, H, W], or a row.
Result<Tensor> picture_item(const Tensor& pixels, ImageTransform transform, const Graph& graph, const Limits& limits,
                            std::vector<std::string>& notes);

}  // namespace rushlight::cli
