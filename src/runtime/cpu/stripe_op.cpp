// StripeStep: a few rows of a picture go through all its layers before the next ones begin.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/line_filter.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/winograd.hpp"

namespace rushlight::runtime::cpu {
namespace {

// What lies between two layers: some rows of pictures, in scratch.
struct Between {
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t channels = 0;

  explicit Between(const PlannedTensor& tensor)
      : height(static_cast<std::size_t>(tensor.h)),
        width(static_cast<std::size_t>(tensor.w)),
        channels(static_cast<std::size_t>(tensor.c)) {}
  [[nodiscard]] std::size_t row_floats() const noexcept { return width * channels; }
};

// Stripes for each thread: with few, one that is slower or comes late keeps the others waiting. Of few rows the layers
// compute little at a time.
constexpr std::size_t kStripesEach = 8;
constexpr std::size_t kLeastStripeRows = 4;

// Of the window layer's output, that the last layer reads at once: enough rows for a product.
constexpr std::size_t kNarrowPixels = 96;

// The part of L2 that rows have; where the window layer has tiles these have it, and rows half as much.
constexpr std::size_t kPartOfCache = 2;

Result<std::unique_ptr<RowsOp>> make_first(const ConvStep& step, const OpContext& context) {
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<RowsOp> op, make_line_filter_op(step, context));
  if (op != nullptr) return op;
  return make_rows_op(step, context);
}

class StripeOp final : public Op {
 public:
  StripeOp(const StripeStep& step, const OpContext& context)
      : step_(step),
        images_(static_cast<std::size_t>(context.tensor(step.first.output).n)),
        wide_(context.tensor(step.first.output)),
        narrow_(context.tensor(step.window_output())),
        made_(context.tensor(step.output())) {}

  Status init(const OpContext& context) {
    RUSHLIGHT_TRY_ASSIGN(first_, make_first(step_.first, context));
    RUSHLIGHT_TRY(make_tiles(context));
    if (window_ == nullptr) {
      RUSHLIGHT_TRY_ASSIGN(window_,
                           std::visit([&](const auto& layer) { return make_rows_op(layer, context); }, step_.window));
      if (step_.last) {
        RUSHLIGHT_TRY_ASSIGN(last_, make_rows_op(*step_.last, context));
      } else if (step_.quads) {
        RUSHLIGHT_TRY_ASSIGN(last_, make_rows_op(*step_.quads, context));
        unit_ = 2;
      }
    }
    output_ = step_.output();
    residual_ = step_.epilogue().residual;
    std::visit(
        [&](const auto& layer) {
          reach_ = static_cast<std::size_t>((layer.kernel.h - 1) * layer.dilation.h + 1);
          stride_ = static_cast<std::size_t>(layer.stride.h);
          padding_ = static_cast<std::size_t>(layer.padding.h);
        },
        step_.window);
    cut(context);
    operations_ = first_->operations() + window_->operations() + (last_ ? last_->operations() : 0);
    return {};
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override {
    return has_tiles_ ? window_->algorithm() : first_->algorithm();
  }

  void prepare(std::size_t /*image*/, float* const* /*tensors*/, std::byte* memory) const noexcept override {
    held_in(memory) = {0, 0};
  }

  void run(std::size_t task, float* const* tensors, std::byte* memory) const noexcept override {
    const std::size_t image = task / stripes_;
    const Range units = even_part(task % stripes_, parts_of(narrow_.height, unit_), stripes_);
    const Range stripe{units.first * unit_, std::min(units.last * unit_, narrow_.height)};
    float* const wide = wide_in(memory);
    Range& held = held_in(memory);
    for (std::size_t row = stripe.first; row < stripe.last; row += rows_at_once_) {
      const Range rows{row, std::min(row + rows_at_once_, stripe.last)};
      const Range wide_rows = needed(rows);
      // What the rows before have read as well is there: it moves to the front.
      const bool is_next = held.first <= wide_rows.first && wide_rows.first < held.last;
      const std::size_t kept = is_next ? held.last - wide_rows.first : 0;
      std::memmove(wide, wide + (is_next ? wide_rows.first - held.first : 0) * wide_.row_floats(),
                   kept * wide_.row_floats() * sizeof(float));
      held = wide_rows;
      run_few({image, rows, wide_rows, kept}, tensors, memory);
    }
  }

 private:
  // The window layer, where it has tiles and its weights are usual ones.
  Status make_tiles(const OpContext& context) {
    const auto* const conv = std::get_if<ConvStep>(&step_.window);
    if (conv == nullptr) return {};
    const ConvAlgorithm algorithm = choose_conv_algorithm(*conv, context);
    if (algorithm == ConvAlgorithm::direct) return {};
    RUSHLIGHT_TRY_ASSIGN(window_,
                         make_winograd_rows_op(*conv, algorithm, context, step_.quads ? &*step_.quads : nullptr,
                                               l2_cache_bytes() / kPartOfCache));
    has_tiles_ = window_ != nullptr;
    if (has_tiles_) unit_ = winograd_form(algorithm)->tiling.outputs_down;
    return {};
  }

  struct Few {
    std::size_t image;
    Range rows;        // of the window layer's output
    Range wide_rows;   // of the first layer's, which they read
    std::size_t kept;  // of these, that are there
  };

  void run_few(const Few& few, float* const* tensors, std::byte* memory) const noexcept {
    float* const wide = wide_in(memory);
    auto* const narrow = reinterpret_cast<float*>(memory + kCacheLine + wide_bytes_);
    std::byte* const scratch = memory + kCacheLine + wide_bytes_ + narrow_bytes_;
    float* const wide_base = before(wide, (few.image * wide_.height + few.wide_rows.first) * wide_.row_floats());
    const auto pixels = [&](const Between& between, const Range& r) {
      return Range{(few.image * between.height + r.first) * between.width,
                   (few.image * between.height + r.last) * between.width};
    };
    const Range missing = pixels(wide_, {few.wide_rows.first + few.kept, few.wide_rows.last});
    if (missing.first < missing.last) {
      first_->run_rows(missing, tensors[step_.first.input], wide_base, nullptr, scratch);
    }
    const float* const residual = residual_ == kNone ? nullptr : tensors[residual_];
    if (last_ == nullptr) {
      return window_->run_rows(pixels(narrow_, few.rows), wide_base, tensors[output_], residual, scratch);
    }
    // A few lines at a time, so that they are still in L1 when the last layer reads them.
    for (std::size_t line = few.rows.first; line < few.rows.last; line += narrow_lines_) {
      const Range lines{line, std::min(line + narrow_lines_, few.rows.last)};
      const Range of_window = pixels(narrow_, lines);
      // They begin with an even one; of quads a last odd one is in none.
      const Range of_last = step_.quads ? pixels(made_, {lines.first / 2, lines.last / 2}) : of_window;
      float* const narrow_base = before(narrow, of_window.first * narrow_.channels);
      window_->run_rows(of_window, wide_base, narrow_base, nullptr, scratch);
      last_->run_rows(of_last, narrow_base, tensors[output_], residual, scratch);
    }
  }

  // The rows of the first layer's output that lie in `wide`, of the image that was computed last.
  static Range& held_in(std::byte* memory) noexcept { return *reinterpret_cast<Range*>(memory); }
  static float* wide_in(std::byte* memory) noexcept { return reinterpret_cast<float*>(memory + kCacheLine); }

  // The rows of the first layer's output that these rows of the window layer's read.
  [[nodiscard]] Range needed(const Range& rows) const noexcept {
    const std::size_t first = rows.first * stride_;
    const std::size_t end = (rows.last - 1) * stride_ + reach_;
    const auto inside = [&](std::size_t row) { return std::min(row < padding_ ? 0 : row - padding_, wide_.height); };
    return {inside(first), inside(end)};
  }

  // As many rows at once as their part of L2 holds. Stripes are tasks: what two neighbours read both compute, where
  // they are not computed one after the other by one thread.
  void cut(const OpContext& context) {
    const std::size_t narrow_row = last_ == nullptr ? 0 : narrow_.row_floats() * sizeof(float);
    const std::size_t wide_row = wide_.row_floats() * sizeof(float);
    const std::size_t a_row = stride_ * wide_row + narrow_row;
    const std::size_t fixed = reach_ * wide_row;
    const std::uint64_t cache_bytes = context.options.cache_bytes;
    const std::size_t part = has_tiles_ ? 2 * kPartOfCache : kPartOfCache;
    const std::size_t budget = (cache_bytes == 0 ? l2_cache_bytes() : static_cast<std::size_t>(cache_bytes)) / part;
    const std::size_t most = std::clamp<std::size_t>(budget > fixed ? (budget - fixed) / a_row : 0, 4, 1024) / unit_;
    const std::size_t units = parts_of(narrow_.height, unit_);
    stripes_ = 1;
    if (context.slots > 1) {
      const std::size_t wanted = parts_of(kStripesEach * context.slots, std::max<std::size_t>(1, images_));
      stripes_ = std::clamp<std::size_t>(wanted, 1,
                                         std::max<std::size_t>(1, parts_of(units, parts_of(kLeastStripeRows, unit_))));
    }
    block_tasks_ = stripes_;
    task_count_ = images_ * stripes_;
    const std::size_t stripe_units = parts_of(units, stripes_);
    rows_at_once_ = parts_of(stripe_units, parts_of(stripe_units, most)) * unit_;
    const std::size_t wide_rows = std::min(wide_.height, (rows_at_once_ - 1) * stride_ + reach_);
    wide_bytes_ = round_up(wide_rows * wide_row, kCacheLine);
    narrow_lines_ = std::clamp<std::size_t>(kNarrowPixels / std::max<std::size_t>(1, narrow_.width), 1, rows_at_once_);
    narrow_lines_ = round_up(narrow_lines_, unit_);
    narrow_bytes_ = round_up(narrow_lines_ * narrow_row, kCacheLine);
    scratch_bytes_ = kCacheLine + wide_bytes_ + narrow_bytes_ +
                     std::max({first_->scratch_bytes(), window_->scratch_bytes(), last_ ? last_->scratch_bytes() : 0});
  }

  StripeStep step_;
  std::size_t images_;
  Between wide_;    // the first layer's output
  Between narrow_;  // the window layer's
  Between made_;    // the last one's
  std::unique_ptr<RowsOp> first_;
  std::unique_ptr<RowsOp> window_;
  std::unique_ptr<RowsOp> last_;  // or null
  TensorId output_ = kNone;
  TensorId residual_ = kNone;
  bool has_tiles_ = false;  // of the window layer
  std::size_t unit_ = 1;    // rows of its output are computed in multiples of so many, or to the picture's end
  std::size_t reach_ = 1;   // rows from the first one a window reads to the last one
  std::size_t stride_ = 1;
  std::size_t padding_ = 0;
  std::size_t stripes_ = 1;  // of one image
  std::size_t rows_at_once_ = 1;
  std::size_t narrow_lines_ = 1;
  std::size_t wide_bytes_ = 0;
  std::size_t narrow_bytes_ = 0;
};

}  // namespace

MadeOp make_op(const StripeStep& step, const OpContext& context) {
  const ConvAlgorithm algorithm =
      step.pooling() == nullptr ? ConvAlgorithm::direct : choose_conv_algorithm(step.first, context);
  if (algorithm != ConvAlgorithm::direct) {
    RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, make_winograd_op(step.first, algorithm, context, step.pooling()));
    if (op != nullptr) return op;
  }
  return make_stripe_op(step, context);
}

MadeOp make_stripe_op(const StripeStep& step, const OpContext& context) {
  auto op = std::make_unique<StripeOp>(step, context);
  RUSHLIGHT_TRY(op->init(context));
  return std::unique_ptr<Op>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
