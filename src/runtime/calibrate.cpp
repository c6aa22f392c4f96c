// calibrate(): ranges of activations from a run in float32.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/model_impl.hpp"
#include "runtime/failure.hpp"
#include "runtime/make_session.hpp"
#include "rushlight/calibration.hpp"

namespace rushlight {
namespace {

using runtime::wrong_argument;

// How often values occur, by their sign, exponent and five bits more: within 1/32 of each other they count as one. No
// range has to be known beforehand, and sums of counts do not depend on the order in which values come.
class Histogram {
 public:
  Histogram() : counts_(kBins, 0) {}

  void add(const float* values, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      const float x = values[i];
      if (!std::isfinite(x)) continue;
      has_values_ = true;
      least_ = std::min(least_, x);
      most_ = std::max(most_, x);
      ++counts_[std::bit_cast<std::uint32_t>(x) >> kShift];
    }
  }

  [[nodiscard]] bool has_values() const noexcept { return has_values_; }
  // Zero lies in every range: it must have a code of its own.
  [[nodiscard]] float least() const noexcept { return std::min(least_, 0.0F); }
  [[nodiscard]] float most() const noexcept { return std::max(most_, 0.0F); }

  [[nodiscard]] ActivationRange range(RangeChoice choice) const {
    ActivationRange range{.low = least(), .high = most(), .least = least(), .most = most()};
    if (choice == RangeChoice::min_max || range.low == range.high) return range;
    const std::vector<Bin> bins = filled();
    // The ends move inwards together first, then each alone: one of them may be an outlier.
    double best = error(bins, range.low, range.high);
    const auto offer = [&](double low, double high) {
      const double found = error(bins, low, high);
      if (found >= best) return;
      best = found;
      range.low = static_cast<float>(low);
      range.high = static_cast<float>(high);
    };
    for (int part = kParts - 1; part >= kLeastParts; --part) offer(of(range.least, part), of(range.most, part));
    for (int part = kParts; part >= kLeastParts && range.low < 0; --part) {
      offer(of(range.least, part), static_cast<double>(range.high));
    }
    for (int part = kParts; part >= kLeastParts && range.high > 0; --part) {
      offer(static_cast<double>(range.low), of(range.most, part));
    }
    return range;
  }

 private:
  static constexpr unsigned kShift = 18;
  static constexpr std::size_t kBins = std::size_t{1} << (32 - kShift);
  // Ends of ranges are sixty-fourths of the extremes, down to an eighth.
  static constexpr int kParts = 64;
  static constexpr int kLeastParts = 8;

  struct Bin {
    double value;
    double count;
  };

  static double of(float extreme, int part) noexcept {
    return static_cast<double>(extreme) * part / static_cast<double>(kParts);
  }

  [[nodiscard]] std::vector<Bin> filled() const {
    std::vector<Bin> bins;
    for (std::size_t i = 0; i < kBins; ++i) {
      if (counts_[i] == 0) continue;
      const auto bits = static_cast<std::uint32_t>(i) << kShift;
      const float middle = std::bit_cast<float>(bits | 1U << (kShift - 1));
      bins.push_back({static_cast<double>(middle), static_cast<double>(counts_[i])});
    }
    return bins;
  }

  // The sum of squared differences between values and what their codes stand for.
  static double error(const std::vector<Bin>& bins, double low, double high) noexcept {
    const double scale = (high - low) / 255;
    // Within the range a value lies anywhere between two codes; what is nearest to 0 becomes 0.
    const double rounding = scale * scale / 12;
    double sum = 0;
    for (const Bin& bin : bins) {
      const double over = bin.value > high ? bin.value - high : bin.value < low ? low - bin.value : 0;
      const double inside = std::abs(bin.value) < scale / 2 ? bin.value * bin.value : rounding;
      sum += bin.count * (over > 0 ? over * over : inside);
    }
    return sum;
  }

  std::vector<std::uint64_t> counts_;
  bool has_values_ = false;
  float least_ = std::numeric_limits<float>::max();
  float most_ = std::numeric_limits<float>::lowest();
};

class Recorder final : public runtime::ActivationRecorder {
 public:
  void record(std::string_view layer, const float* first, std::size_t rows, std::size_t channels,
              std::size_t row_stride) override {
    auto found = layers_.find(layer);
    if (found == layers_.end()) found = layers_.emplace(std::string(layer), Histogram()).first;
    if (row_stride == channels) return found->second.add(first, rows * channels);
    for (std::size_t row = 0; row < rows; ++row) found->second.add(first + row * row_stride, channels);
  }

  [[nodiscard]] const std::map<std::string, Histogram, std::less<>>& layers() const noexcept { return layers_; }

 private:
  std::map<std::string, Histogram, std::less<>> layers_;
};

// Runs a sample, some items at a time, into outputs that nobody looks at.
class Samples {
 public:
  Samples(Session& session, const CalibrateOptions& options, std::int64_t total)
      : session_(session), options_(options), total_(total) {}

  Status run(const Tensor& sample) {
    RUSHLIGHT_TRY_ASSIGN(const Tensor host, sample.to(Device::cpu()));
    RUSHLIGHT_TRY_ASSIGN(const Tensor dense, host.contiguous());
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, std::as_const(dense).bytes());
    const Port& port = session_.inputs()[0];
    Shape shape(dense.shape().begin(), dense.shape().end());
    const std::int64_t items = shape[0];
    const std::int64_t declared = port.shape.empty() ? -1 : port.shape[0];
    const std::int64_t batch = declared >= 1 ? declared : options_.batch;
    for (std::int64_t first = 0; first < items; first += batch) {
      shape[0] = std::min(batch, items - first);
      const std::size_t item_bytes = bytes.size() / static_cast<std::size_t>(items);
      const TensorView in{
          .data = bytes.data() + static_cast<std::size_t>(first) * item_bytes, .dtype = dense.dtype(), .shape = shape};
      RUSHLIGHT_TRY(run(in));
      done_ += shape[0];
      if (options_.progress != nullptr &&
          !options_.progress->on_progress("calibrate", static_cast<std::uint64_t>(done_),
                                          static_cast<std::uint64_t>(total_))) {
        return runtime::run_was_cancelled();
      }
    }
    return {};
  }

 private:
  Status run(const TensorView& in) {
    const Shape shape(in.shape.begin(), in.shape.end());
    RUSHLIGHT_TRY_ASSIGN(const std::vector<Shape> shapes, session_.output_shapes(std::span(&shape, 1)));
    std::vector<Tensor> outputs;
    std::vector<MutableTensorView> out;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      RUSHLIGHT_TRY_ASSIGN(Tensor output, Tensor::zeros(session_.outputs()[i].dtype, shapes[i]));
      outputs.push_back(std::move(output));
    }
    for (Tensor& output : outputs) {
      RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, output.mutable_bytes());
      out.push_back({.data = bytes.data(), .dtype = output.dtype(), .shape = output.shape()});
    }
    return session_.run(std::span(&in, 1), out);
  }

  Session& session_;
  const CalibrateOptions& options_;
  std::int64_t total_;
  std::int64_t done_ = 0;
};

Result<Calibration> run_calibration(const Model& model, std::span<const Tensor> samples,
                                    const CalibrateOptions& options) {
  if (model.inputs().size() != 1) {
    return wrong_argument("CALIBRATE-PORTS",
                          "calibration wants a model with 1 input, found " + std::to_string(model.inputs().size()));
  }
  if (options.batch < 1) {
    return wrong_argument("CALIBRATE-BATCH", "batch: expected at least 1, found " + std::to_string(options.batch));
  }
  Calibration calibration;
  calibration.choice = options.choice;
  for (const Tensor& sample : samples) {
    if (sample.dim() == 0) return wrong_argument("CALIBRATE-INPUT", "a sample is a single number, not a batch");
    calibration.items += sample.shape()[0];
  }
  if (calibration.items == 0) return wrong_argument("CALIBRATE-INPUT", "there are no samples");
  Recorder recorder;
  SessionOptions how;
  how.threads = options.threads;
  how.limits = options.limits;
  RUSHLIGHT_TRY_ASSIGN(Session session,
                       runtime::make_session(Model::Impl::of(model), Device::cpu(), how, nullptr, &recorder));
  Samples run(session, options, calibration.items);
  for (const Tensor& sample : samples) RUSHLIGHT_TRY(run.run(sample));
  for (const auto& [layer, histogram] : recorder.layers()) {
    if (!histogram.has_values()) {
      return wrong_argument("CALIBRATE-NUMBERS",
                            "layer " + rushlight::quoted(layer) +
                                " read no finite number: what the samples become there is NaN or infinite");
    }
    calibration.layers.emplace(layer, histogram.range(options.choice));
  }
  return calibration;
}

}  // namespace

Result<Calibration> calibrate(const Model& model, std::span<const Tensor> samples, const CalibrateOptions& options) {
  return or_no_memory([&] { return run_calibration(model, samples, options); });
}

}  // namespace rushlight
