/// \file
/// evaluate(): a whole set through a model, with labels, scores, accuracy and time (`rushlight run`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rushlight/model.hpp"

namespace rushlight {

struct EvaluateOptions {
  Device device = Device::cpu();
  SessionOptions session = {};
  std::int64_t batch = 64;
  std::int64_t top = 5;                  ///< best classes per item
  std::vector<std::string> labels = {};  ///< names of all classes, in their order; empty: the graph's own
  const Tensor* targets = nullptr;       ///< uint8 or int64 [N]: the right classes, for the accuracy
  Progress* progress = nullptr;          ///< in items
};

struct ScoredClass {
  std::int64_t index = 0;
  std::string label{};
  double score = 0;        ///< the output itself
  double probability = 0;  ///< softmax over the outputs, unless the graph ends in one
};

struct EvaluatedItem {
  std::vector<ScoredClass> top{};
};

struct Evaluation {
  Device device{};
  std::int64_t items = 0;
  Tensor output{};                       ///< all of it, [N, ...]
  std::vector<EvaluatedItem> results{};  ///< for float32 outputs of shape [N, classes]; empty otherwise
  std::optional<double> accuracy{};      ///< where targets were given
  double milliseconds = 0;               ///< in Session::run alone
};

/// `input` holds all items along its first dimension, of the dtype of the model's single input.
RUSHLIGHT_API Result<Evaluation> evaluate(const Model& model, const Tensor& input, const EvaluateOptions& options = {});

/// Runs the sample that the graph carries (SelfTest) and returns the largest error, relative to the largest value of
/// its output. ErrorCode::mismatch where that is above the sample's tolerance or a NaN stands elsewhere than in the
/// sample;
/// ::invalid_argument when the graph has none.
RUSHLIGHT_API Result<double> self_test(const Model& model, Device device = Device::cpu(),
                                       const SessionOptions& options = {});

}  // namespace rushlight
