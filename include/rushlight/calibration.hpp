/// \file
/// Calibration: which values the activations of a network take, for Precision::int8.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/executor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

class Model;

/// Of one layer's input. 8-bit codes cover `low` to `high`; what lies outside becomes the nearer end. Both are finite,
/// `low` <= 0 <= `high`.
struct ActivationRange {
  float low = 0;
  float high = 0;
  float least = 0;  ///< the smallest value that the samples gave, for people
  float most = 0;   ///< the largest

  friend bool operator==(const ActivationRange&, const ActivationRange&) = default;
};

/// How a range is chosen from the values that the samples gave.
enum class RangeChoice : std::uint8_t {
  least_error,  ///< the range with the smallest mean squared error of the codes
  min_max,      ///< all values
};

/// A range for each convolution and each Linear, under the name of its node in the graph ("layer1.0.conv1"), so that it
/// serves every session of the network, whatever the shapes.
struct RUSHLIGHT_API Calibration {
  std::map<std::string, ActivationRange, std::less<>> layers{};
  std::int64_t items = 0;  ///< of the samples
  RangeChoice choice = RangeChoice::least_error;

  /// From the text that to_json() gives. What it does not have to hold it must not hold. ErrorCode::mismatch says where
  /// what is wrong, ::unsupported that a later version wrote it, ::limit_exceeded names the limit.
  static Result<Calibration> from_json(std::string_view json, const Limits& limits = {});
  [[nodiscard]] std::string to_json() const;
};

/// Reads what write_calibration() wrote.
RUSHLIGHT_API Result<Calibration> read_calibration(const std::filesystem::path& path, const Limits& limits = {});
/// The file appears whole or not at all; with `overwrite` it takes the place of an old one, otherwise that is
/// ErrorCode::io.
RUSHLIGHT_API Status write_calibration(const Calibration& calibration, const std::filesystem::path& path,
                                       bool overwrite = true);

struct CalibrateOptions {
  RangeChoice choice = RangeChoice::least_error;
  std::int64_t batch = 8;        ///< items that are run at a time, where the model leaves that open
  unsigned threads = 1;          ///< as SessionOptions::threads
  Progress* progress = nullptr;  ///< phase "calibrate", in items
  Limits limits = {};
};

/// Runs the model on samples in float32, strictly, and looks at what its layers read. For models of one input; a sample
/// is a batch of any size in torch's order. Same samples, same calibration, whatever `batch` and `threads`. A few dozen
/// items like those to come are enough. Values that are infinite or NaN are left out; a layer
/// that reads no others is an error.
///
/// ErrorCode::invalid_argument when there are no samples, or when they do not fit the model's input.
RUSHLIGHT_API Result<Calibration> calibrate(const Model& model, std::span<const Tensor> samples,
                                            const CalibrateOptions& options = {});

}  // namespace rushlight
