/// \file
/// statistics_of_all(): figures over every tensor of a checkpoint (`rushlight stats`), and a gate on what they show.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rushlight/inspect.hpp"

namespace rushlight {

struct StatisticsOptions {
  std::string match{};       ///< as find_tensors(); "" for all
  bool fail_on_nan = false;  ///< a tensor with NaN is an error finding
  bool fail_on_inf = false;  ///< a tensor with an infinity is one
  Limits limits{};
  Executor* executor = nullptr;
  Progress* progress = nullptr;  ///< in bytes of tensors
};

/// One name of one tensor.
struct TensorFigures {
  std::string name{};
  DType dtype = DType::f32;
  Shape shape{};
  std::optional<TensorStatistics> figures{};  ///< nullopt: complex and bit types, no bytes, unreadable bytes
  std::string why{};                          ///< why there are none
};

struct StatisticsReport {
  std::string file{};
  bool ok = false;                       ///< no error findings
  std::vector<TensorFigures> tensors{};  ///< in traversal order
  std::vector<Finding> findings{};       ///< those of opening, damaged tensors, and what the gate found
};

/// Reads every tensor that matches. A tensor whose bytes are damaged is an error finding; an Error means that the
/// pattern fits nothing or that nothing could be read.
RUSHLIGHT_API Result<StatisticsReport> statistics_of_all(const Checkpoint& checkpoint,
                                                         const StatisticsOptions& options = {});

}  // namespace rushlight
