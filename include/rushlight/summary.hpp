/// \file
/// summarize(): a model layer by layer, as torchinfo prints it (`rushlight summary`).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rushlight/limits.hpp"
#include "rushlight/model.hpp"

namespace rushlight {

struct SummaryRow {
  std::string name{};
  std::string type{};    ///< "Conv2d"
  std::string detail{};  ///< "1->32 k3 s1 p1"
  Shape output{};
  std::int64_t parameters = 0;
  std::int64_t macs = 0;            ///< multiply-adds
  std::vector<std::string> read{};  ///< state-dict names it reads
};

struct Summary {
  std::vector<SummaryRow> rows{};
  std::vector<Shape> inputs{};
  std::int64_t parameters = 0;  ///< learnable ones; buffers are not counted
  std::int64_t macs = 0;
  std::uint64_t workspace_bytes = 0;  ///< of a CPU session
  std::vector<std::string> notes{};   ///< "stored in training mode; inference means eval"
};

/// `input_shapes` with the batch dimension; empty: the declared ones with a batch of 1. A session is planned, nothing
/// runs; limits.arena_bytes bounds it.
RUSHLIGHT_API Result<Summary> summarize(const Model& model, std::vector<Shape> input_shapes = {},
                                        const Limits& limits = {});

}  // namespace rushlight
