// The trained Fashion-MNIST network with images and the logits PyTorch gives for them.
#pragma once

#include <cstdint>
#include <vector>

#include "rushlight/model.hpp"

namespace rushlight::cuda {

struct FashionCase {
  Model model;
  Tensor images;  // [count, 1, 28, 28]
  std::vector<float> logits;
};

// The first `count` images of the golden set, at most 1,000.
FashionCase fashion_case(std::int64_t count);

// Of the logits, relative to the largest one.
inline constexpr double kFashionTolerance = 1e-5;

}  // namespace rushlight::cuda
