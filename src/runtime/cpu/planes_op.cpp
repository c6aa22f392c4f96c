// A convolution of few channels that reads planes: the lines of the picture that some lines of its output need are
// turned into pixels in scratch, zeros at both ends, and multiplied from there while they are in cache.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Of turned lines, where so many hold any windows: they stay in L1 until they are multiplied. What goes by way of L2
// takes as long as turning the whole picture first.
constexpr std::size_t kTurnedBytes = std::size_t{32} << 10;
// Rows of a product that are worth reading the weights for.
constexpr std::size_t kLeastRows = 96;
// Parts of the picture a thread: one that is held up leaves some to the others.
constexpr std::size_t kPartsOfAThread = 8;
// What of the picture is in a line begins a cache line: turning stores whole vectors.
constexpr std::size_t kCacheFloats = kCacheLine / sizeof(float);

class PlanesOp final : public RowsOp {
 public:
  PlanesOp(const ConvStep& step, const OpContext& context)
      : step_(step),
        transpose_(context.kernels.transpose),
        planes_(context.tensor(step.input)),
        images_(static_cast<std::size_t>(context.tensor(step.output).n)),
        out_height_(context.tensor(step.output).h),
        out_width_(context.tensor(step.output).w) {}

  Status init(const OpContext& context) {
    const std::int64_t needed_columns = step_.columns_under(out_width_);
    const std::int64_t left = std::min(step_.padding.w, needed_columns);
    const std::int64_t columns = std::min(needed_columns - left, planes_.w);
    zeros_before_ = static_cast<std::size_t>(left * planes_.c);
    columns_ = static_cast<std::size_t>(columns);
    zeros_behind_ = static_cast<std::size_t>((needed_columns - left - columns) * planes_.c);
    // To the product lines are at least as long as its windows reach, and nothing pads them.
    ConvStep inner = step_;
    inner.padding.w = 0;
    PlannedTensor pixels = planes_;
    pixels.is_planar = false;
    pixels.w =
        static_cast<std::int64_t>(parts_of(static_cast<std::size_t>(needed_columns), kCacheFloats) * kCacheFloats);
    line_floats_ = static_cast<std::size_t>(pixels.w * pixels.c);
    RUSHLIGHT_TRY_ASSIGN(product_, make_window_op(inner, pixels, context));
    cut(context);
    operations_ = product_->operations();
    return {};
  }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    const std::size_t image = task / parts_ * static_cast<std::size_t>(out_height_);
    const Range lines = part_range(task % parts_, static_cast<std::size_t>(out_height_), part_lines_);
    const auto width = static_cast<std::size_t>(out_width_);
    const TensorId residual = step_.epilogue.residual;
    run_rows({(image + lines.first) * width, (image + lines.last) * width}, tensors[step_.input], tensors[step_.output],
             residual == kNone ? nullptr : tensors[residual], scratch);
  }

  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* scratch) const noexcept override {
    const auto width = static_cast<std::size_t>(out_width_);
    const auto height = static_cast<std::size_t>(out_height_);
    auto* const turned = reinterpret_cast<float*>(scratch) + shift_;
    std::size_t image = images_;
    Range there{0, 0};
    for (std::size_t first = rows.first, last = first; first < rows.last; first = last) {
      const std::size_t line = first / width;
      if (line / height != image) there = {0, 0};
      image = line / height;
      const std::size_t end = std::min(line + turned_lines_, (image + 1) * height);
      last = std::min(rows.last, end * width);
      const Range lines = needed({line - image * height, (last - 1) / width + 1 - image * height});
      turn(input, image, there, lines, turned);
      there = lines;
      const std::size_t skipped = image * static_cast<std::size_t>(planes_.h) + lines.first;
      product_->run_rows({first, last}, before(turned, skipped * line_floats_), output, residual,
                         scratch + turned_bytes_);
    }
  }

 private:
  // The lines of the picture under these lines of windows.
  [[nodiscard]] Range needed(const Range& windows) const noexcept {
    const std::int64_t first = static_cast<std::int64_t>(windows.first) * step_.stride.h - step_.padding.h;
    const std::int64_t end = first + step_.lines_under(static_cast<std::int64_t>(windows.last - windows.first));
    const auto inside = [&](std::int64_t line) {
      return static_cast<std::size_t>(std::clamp<std::int64_t>(line, 0, planes_.h));
    };
    return {inside(first), inside(end)};
  }

  // Makes `to` begin with these lines, after it began with those that are `there`: neither end lies before theirs.
  void turn(const float* input, std::size_t image, const Range& there, const Range& lines, float* to) const noexcept {
    const std::size_t kept = there.last > lines.first ? there.last - lines.first : 0;
    if (kept > 0) {
      std::memmove(to, to + (lines.first - there.first) * line_floats_, kept * line_floats_ * sizeof(float));
      to += kept * line_floats_;
    }
    const auto channels = static_cast<std::size_t>(planes_.c);
    const auto width = static_cast<std::size_t>(planes_.w);
    const std::size_t plane = static_cast<std::size_t>(planes_.h) * width;
    TransposeCall call;
    call.rows = channels;
    call.columns = plane;
    call.last_column = columns_;
    for (std::size_t line = lines.first + kept; line < lines.last; ++line, to += line_floats_) {
      std::fill_n(to, zeros_before_, 0.0F);
      call.input = input + image * channels * plane + line * width;
      call.output = to + zeros_before_;
      transpose_(call);
      std::fill_n(call.output + columns_ * channels, zeros_behind_, 0.0F);
    }
  }

  // A task is a part of a picture, as large as leaves some for all threads and is enough for a product; both of two
  // neighbours turn the lines that both read. Within it as many lines at a time as L1 holds.
  void cut(const OpContext& context) {
    const auto height = static_cast<std::size_t>(out_height_);
    const std::size_t wanted = context.slots <= 1 ? 1 : parts_of(kPartsOfAThread * context.slots, images_);
    const std::size_t least = parts_of(kLeastRows, static_cast<std::size_t>(out_width_));
    part_lines_ = std::min(std::max(parts_of(height, wanted), least), height);
    parts_ = parts_of(height, part_lines_);
    task_count_ = images_ * parts_;

    const std::size_t line_bytes = line_floats_ * sizeof(float);
    const auto reach = static_cast<std::size_t>(step_.lines_under(1));
    const std::size_t room = kTurnedBytes / line_bytes;
    turned_lines_ = room > reach ? (room - reach) / static_cast<std::size_t>(step_.stride.h) + 1 : 1;
    turned_lines_ = std::min(std::max(turned_lines_, least), part_lines_);
    const auto turned = std::min(planes_.h, step_.lines_under(static_cast<std::int64_t>(turned_lines_)));
    shift_ = (kCacheFloats - zeros_before_ % kCacheFloats) % kCacheFloats;
    turned_bytes_ = static_cast<std::size_t>(turned) * line_bytes + kCacheLine;
    scratch_bytes_ = turned_bytes_ + product_->scratch_bytes();
  }

  ConvStep step_;
  void (*transpose_)(const TransposeCall&);
  PlannedTensor planes_;
  std::size_t images_;
  std::int64_t out_height_;
  std::int64_t out_width_;
  std::unique_ptr<RowsOp> product_;
  // A line: floats of padding, columns of the picture, floats of padding, and what it takes to whole cache lines.
  std::size_t zeros_before_ = 0;
  std::size_t columns_ = 0;
  std::size_t zeros_behind_ = 0;
  std::size_t line_floats_ = 0;
  std::size_t shift_ = 0;         // of the first one
  std::size_t part_lines_ = 1;    // of the output, a task
  std::size_t parts_ = 0;         // of one image
  std::size_t turned_lines_ = 1;  // of the output, whose lines of the picture are in scratch at a time
  std::size_t turned_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<RowsOp>> make_planes_op(const ConvStep& step, const OpContext& context) {
  auto op = std::make_unique<PlanesOp>(step, context);
  RUSHLIGHT_TRY(op->init(context));
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
