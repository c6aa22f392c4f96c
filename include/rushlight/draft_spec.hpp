/// \file
/// draft_spec(): a first JSON spec for weights that come without their network (`rushlight summary --guess`).
#pragma once

#include <string>
#include <vector>

#include "rushlight/export.hpp"
#include "rushlight/result.hpp"
#include "rushlight/state_dict.hpp"

namespace rushlight {

struct SpecDraft {
  /// A spec by format-spec/models.md, to be read and corrected by a person. Nothing runs it by itself.
  std::string spec{};
  /// Everything in it that the weights do not say: strides, paddings, activations, pools, the order of the layers.
  std::vector<std::string> assumptions{};
  /// Names of tensors that the draft does not read.
  std::vector<std::string> unread{};
  /// The weights load into the draft and its shapes fit.
  bool fits = false;
};

struct DraftSpecOptions {
  /// The shape of one input without its batch, if it is known: {1, 28, 28}. It decides between the sizes of pools and
  /// paddings that fit the first Linear; without it usual sizes of pictures are tried.
  Shape input{};
};

/// Takes the layers in the order of the state dict, one after the other; their kinds are read off names and shapes.
/// ErrorCode::unsupported when no layer is recognised.
RUSHLIGHT_API Result<SpecDraft> draft_spec(const StateDict& state, const DraftSpecOptions& options = {});

}  // namespace rushlight
