// Convolutions and Linear on 8-bit codes: one Op makes codes of the input, the next multiplies them.
//
// An activation x has the code q = round(x / scale) + zero_point in 0 .. 255, of a range that a Calibration found; what
// lies outside the range becomes its nearest end. Weights have a scale for each output (int8_weights.hpp).
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "runtime/cpu/adjacent_rows.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/cpu/int8_weights.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/window_picture.hpp"
#include "runtime/cpu/window_rows.hpp"
#include "runtime/failure.hpp"
#include "rushlight/calibration.hpp"

namespace rushlight::runtime::cpu {
namespace {

using Ops = std::vector<std::unique_ptr<Op>>;

// With tiles: rows of a block, whole pairs of tiles, and products in the time of one that vectors form, by the widths
// of the instructions: 16384 in 16 cycles against 128 in one.
constexpr std::size_t kTileRows = kWindowTileRows;
constexpr std::size_t kMostTileBlockRows = 384;
constexpr std::size_t kMostPictureBlockRows = 4096;
constexpr double kTileSpeed = 8;
// What staging takes, in products of vectors: a line of codes, and beginning a run of them.
constexpr double kStageLine = 96;
constexpr double kStageRun = 128;
// Floats that one task makes codes of.
constexpr std::size_t kQuantisedPart = 16384;
// Products of one output, so that their sum fits 32 bits whatever they are: 2^31 / (255 * 127), rounded down.
constexpr std::size_t kMostDepth = std::size_t{1} << 16;
// Of a group's channels: whole units, whichever the instruction set has.
constexpr std::int64_t kGroupChannels = 4;

// The codes of a tensor's values.
struct Quantisation {
  float scale = 1;
  unsigned zero_point = 0;

  explicit Quantisation(const ActivationRange& range) {
    const double low = std::min(range.low, 0.0F);
    const double high = std::max(range.high, 0.0F);
    const auto wanted = static_cast<float>((high - low) / 255);
    // Where all values were 0, or nearly so, any scale serves.
    if (std::isnormal(wanted) && std::isnormal(1 / wanted)) scale = wanted;
    zero_point = static_cast<unsigned>(std::clamp(std::nearbyint(-low / static_cast<double>(scale)), 0.0, 255.0));
  }
};

// The codes of a step's input in the memory that its Ops share: rows of whole units, then a byte for each task that
// made them, 1 where it met NaN or infinity, then what tiles may read behind the end. Rows are pixels, or, where tiles
// read windows in place (window_picture.hpp), lines of the picture.
struct Codes {
  std::size_t units = 0;  // of a row
  std::size_t pitch = 0;  // from row to row, in units
  std::size_t rows = 0;
  std::size_t part_rows = 0;
  std::size_t parts = 0;
  std::size_t overrun_bytes = 0;

  [[nodiscard]] std::size_t code_bytes() const noexcept { return rows * pitch * 4; }
  [[nodiscard]] std::size_t bytes() const noexcept { return code_bytes() + parts + overrun_bytes; }
};

// Everything but where from, where to and how many rows.
QuantiseCall quantise_call(const PlannedTensor& input, std::size_t output_pitch, const Quantisation& quantisation) {
  QuantiseCall call;
  call.input_stride = static_cast<std::size_t>(input.row_stride);
  call.channels = static_cast<std::size_t>(input.c);
  call.output_pitch = output_pitch;
  call.inverse_scale = 1 / quantisation.scale;
  call.zero_point = quantisation.zero_point;
  call.low = -static_cast<float>(quantisation.zero_point);
  call.high = 255 + call.low;
  return call;
}

class QuantiseOp final : public Op {
 public:
  QuantiseOp(const PlannedTensor& input, TensorId id, const Codes& codes, const Quantisation& quantisation,
             const OpContext& context)
      : quantise_(context.kernels.int8.quantise),
        input_(id),
        shared_(context.shared()),
        codes_(codes),
        codes_in_row_(codes.pitch * context.kernels.int8.codes_per_unit),
        call_(quantise_call(input, codes.pitch, quantisation)) {
    task_count_ = codes.parts;
    operations_ = 2 * kPerElement * static_cast<double>(input.elements());
    set_shared_bytes(codes.bytes());
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    auto* const codes = reinterpret_cast<std::byte*>(tensors[shared_]);
    const Range rows = part_range(task, codes_.rows, codes_.part_rows);
    QuantiseCall call = call_;
    call.input = tensors[input_] + rows.first * call.input_stride;
    call.output = codes + rows.first * codes_.pitch * 4;
    call.rows = rows.last - rows.first;
    // One long row is faster than many short ones.
    if (call.input_stride == call.channels && codes_in_row_ == call.channels) {
      call.channels *= call.rows;
      call.rows = 1;
    }
    codes[codes_.code_bytes() + task] = static_cast<std::byte>(quantise_(call) ? 1 : 0);
  }

 private:
  bool (*quantise_)(const QuantiseCall&);
  TensorId input_;
  TensorId shared_;
  Codes codes_;
  std::size_t codes_in_row_;
  QuantiseCall call_;  // what all tasks have in common
};

// Lines of the picture, with their border: codes of 0.
class QuantisePictureOp final : public Op {
 public:
  QuantisePictureOp(const PlannedTensor& input, const PlannedTensor& output, TensorId id, const Codes& codes,
                    const WindowPicture& picture, const Quantisation& quantisation, const OpContext& context)
      : quantise_(context.kernels.int8.quantise),
        input_(id),
        shared_(context.shared()),
        codes_(codes),
        picture_(picture),
        image_lines_(picture.lines_for(static_cast<std::size_t>(output.h))),
        height_(input.h),
        line_floats_(static_cast<std::size_t>(input.w * input.row_stride)),
        call_(quantise_call(input, picture.pixel_bytes() / 4, quantisation)) {
    call_.rows = picture.columns().inside;
    task_count_ = codes.parts;
    operations_ = 2 * kPerElement * static_cast<double>(input.elements());
    set_shared_bytes(codes.bytes());
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    auto* const codes = reinterpret_cast<std::byte*>(tensors[shared_]);
    const WindowPicture::Columns columns = picture_.columns();
    const std::size_t pixel = picture_.pixel_bytes();
    const auto zero = static_cast<int>(call_.zero_point);
    const Range lines = part_range(task, codes_.rows, codes_.part_rows);
    bool has_odd = false;
    for (std::size_t line = lines.first; line < lines.last; ++line) {
      std::byte* const to = codes + line * picture_.line_bytes();
      const std::int64_t h = picture_.first_line(0) + static_cast<std::int64_t>(line % image_lines_);
      if (h < 0 || h >= height_) {
        std::memset(to, zero, picture_.line_bytes());
        continue;
      }
      std::memset(to, zero, columns.before * pixel);
      QuantiseCall call = call_;
      const std::int64_t input_line = static_cast<std::int64_t>(line / image_lines_) * height_ + h;
      call.input = tensors[input_] + static_cast<std::size_t>(input_line) * line_floats_;
      call.output = to + columns.before * pixel;
      has_odd |= quantise_(call);
      std::memset(to + (columns.before + columns.inside) * pixel, zero, columns.after * pixel);
    }
    codes[codes_.code_bytes() + task] = static_cast<std::byte>(has_odd ? 1 : 0);
  }

 private:
  bool (*quantise_)(const QuantiseCall&);
  TensorId input_;
  TensorId shared_;
  Codes codes_;
  WindowPicture picture_;
  std::size_t image_lines_;  // of the picture
  std::int64_t height_;      // of the input
  std::size_t line_floats_;
  QuantiseCall call_;  // what all lines have in common
};

template <class Rows>
class Int8Op final : public Op {
 public:
  // `plain`: the same rows of the input itself. With a `picture` tiles read windows there, and `rows` say nothing.
  Int8Op(Rows rows, Rows plain, const Codes& codes, std::optional<WindowPicture> picture, WeightSource weight)
      : rows_(std::move(rows)),
        plain_rows_(std::move(plain)),
        codes_(codes),
        picture_(std::move(picture)),
        weight_(std::move(weight)) {}

  // False when it cannot be done with codes.
  template <class Step>
  Result<bool> init(const Step& step, std::size_t groups, const Quantisation& quantisation, const OpContext& context) {
    const PlannedTensor& output = context.tensor(step.output);
    shared_ = context.shared();
    input_ = step.input;
    output_ = step.output;
    residual_ = step.epilogue.residual;
    groups_ = groups;
    row_count_ = static_cast<std::size_t>(output.rows());
    outputs_ = static_cast<std::size_t>(output.c) / groups;
    depth_ = rows_.segments() * rows_.segment_length();
    const Int8Kernels& kernels = context.kernels.int8;
    choose_kernels(kernels);
    panels_ = panels_for(outputs_, kernel_.width);
    const std::size_t last_width = last_kernel_.width == kernel_.width ? 0 : last_kernel_.width;
    const Packing of_vectors = kernels.codes_per_unit == 4 ? Packing::int8_bytes : Packing::int8_words;
    const Constant& constant = context.plan.constants[step.weights];
    // Codes of pixels begin with a unit each. A Linear's row is one, whatever was flattened into it.
    const bool is_row = std::is_same_v<Step, LinearStep>;
    const std::size_t tap_codes = round_up(weight_.channels, kernels.codes_per_unit);
    const PackedForm form = picture_ ? picture_->form_of_weights(constant, Packing::int8_strips)
                                     : PackedForm{.constant = constant,
                                                  .packing = tiles_ == nullptr ? of_vectors : Packing::int8_strips,
                                                  .width = kernel_.width,
                                                  .groups = groups,
                                                  .last_width = last_width,
                                                  .tap_operands = is_row ? 0 : tap_codes};
    RUSHLIGHT_TRY_ASSIGN(packed_, context.weights.get(form, context.network));
    if (!packed_->is_usual) return false;
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step.bias, Packing::vector, kernel_.width, groups));
    const Int8Form sizes(form, weight_.outputs, weight_.channels, weight_.pixels);
    const Int8Weights weights(*packed_, sizes);
    tables_ = AlignedBuffer::allocate(2 * sizes.columns * sizeof(float));
    if (tables_.data() == nullptr) return no_memory_for(2 * sizes.columns * sizeof(float), "scales");
    auto* const starts = reinterpret_cast<std::int32_t*>(tables_.floats());
    float* const scales = tables_.floats() + sizes.columns;
    for (std::size_t column = 0; column < sizes.columns; ++column) {
      starts[column] = -static_cast<std::int32_t>(quantisation.zero_point) * weights.sums[column];
      scales[column] = quantisation.scale * weights.scales[column];
    }
    call_.segments = rows_.segments();
    call_.segment_length = rows_.segment_length();
    describe_operands();
    weights_ = weights.units;
    call_.start = starts;
    call_.scale = scales;
    static_cast<Destination&>(call_) = destination_of(step.output, step.epilogue, context.plan);
    activate_ = kernel_of(step.epilogue.activation, context.kernels);

    cut_tasks(context.slots);
    operations_ =
        2.0 * static_cast<double>(row_count_) * static_cast<double>(depth_) * static_cast<double>(groups_ * outputs_);
    return true;
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override {
    return picture_ ? "int8, amx, in place" : tiles_ == nullptr ? "int8" : "int8, amx";
  }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    const Range rows = part_range(task / parts_, row_count_, block_rows_);
    const Range panels = part_range(task % parts_, groups_ * panels_, part_panels_);
    Int8Call call = call_;
    call.row_pitch = rows.last - rows.first;
    call.rows = nullptr;
    if (!is_direct_ && !picture_) call.rows = rows_.fill(tensors[shared_], rows.first, call.row_pitch, scratch);
    TileRows tile_rows{reinterpret_cast<const std::byte*>(tensors[shared_]), codes_.pitch * 4, rows.first,
                       reinterpret_cast<WindowTile*>(scratch + tile_scratch_)};
    if (!picture_) tile_rows.first += rows.first * tile_rows.row_bytes;
    call.output = tensors[output_] + rows.first * call.output_stride;
    if (residual_ != kNone) call.residual = tensors[residual_] + rows.first * call.residual_stride;
    const auto* const odd_parts = reinterpret_cast<const std::byte*>(tensors[shared_]) + codes_.code_bytes();
    const bool has_odd = std::memchr(odd_parts, 1, codes_.parts) != nullptr;
    const float* const* plain = nullptr;
    if (has_odd) plain = plain_rows_.fill(tensors[input_], rows.first, call.row_pitch, scratch + plain_scratch_);
    std::size_t staged_group = groups_;
    for (std::size_t next = panels.first; next < panels.last;) {
      const std::size_t group = next / panels_;
      const std::size_t panel = next % panels_;
      const std::size_t column = group * outputs_ + panel * kernel_.width;
      const bool is_last = panel + 1 == panels_;
      Int8Call part = call;
      part.row_shift = group * call.segment_length;
      // The last panel may have a kernel of its own.
      const bool is_alone = is_last && tiles_ == nullptr;
      const std::size_t panels_left = tiles_ == nullptr ? panels_ - 1 - panel : panels_ - panel;
      part.panel_count = is_alone ? 1 : std::min(panels_left, panels.last - next);
      part.columns = std::min(outputs_ - panel * kernel_.width, part.panel_count * kernel_.width);
      if (tiles_ != nullptr && !is_direct_ && !picture_ && group != staged_group) {
        stage(call, part.row_shift, scratch + staged_scratch_, tile_rows);
        staged_group = group;
      }
      part.weights = weights_ + next * depth_ * kernel_.width;
      part.start = call.start + next * kernel_.width;
      part.scale = call.scale + next * kernel_.width;
      part.bias = bias_ == nullptr ? nullptr : bias_->data() + next * kernel_.width;
      part.output = call.output + column;
      part.residual = call.residual == nullptr ? nullptr : call.residual + column;
      const auto kernel = (is_last ? last_kernel_ : kernel_).run;
      if (has_odd) {
        run_apart(part, kernel, tile_rows, plain, group, column);
      } else {
        multiply(part, kernel, tile_rows, {0, part.row_pitch});
      }
      next += part.panel_count;
    }
    if (activate_ == nullptr) return;
    const auto column_of = [&](std::size_t panel) {
      return panel / panels_ * outputs_ + std::min(panel % panels_ * kernel_.width, outputs_);
    };
    const std::size_t first = column_of(panels.first);
    activate_rows(activate_, call.output + first, call.row_pitch, call.output_stride, column_of(panels.last) - first);
  }

 private:
  // For tiles: where the codes of a block's rows lie, one after the other; or the picture.
  struct TileRows {
    const std::byte* first;
    std::size_t row_bytes;
    std::size_t block_row;  // the first one, among all rows of the output
    WindowTile* tiles;      // room for them
  };

  // By counts of products, padding included. Which kernels a step has is a matter of its shapes alone, though here it
  // would change no bit.
  void choose_kernels(const Int8Kernels& kernels) noexcept {
    const GemmChoice<Int8Kernel> choice = choose_gemm(kernels.gemm, outputs_, groups_ == 1);
    kernel_ = choice.kernel;
    last_kernel_ = choice.last;
    lines_ = parts_of(depth_, kLineWords);
    const auto count = [](std::size_t rows, std::size_t outputs, std::size_t units) {
      return static_cast<double>(rows) * static_cast<double>(outputs) * static_cast<double>(units);
    };
    if (picture_) {
      tiles_ = kernels.tiles;
      kernel_ = last_kernel_ = {kStripOutputs, nullptr};
      lines_ = picture_->operand_lines();
      depth_ = lines_ * kLineWords;
      return;
    }
    const double of_tiles = count(parts_of(row_count_, kTileRows) * kTileRows,
                                  parts_of(outputs_, kStripOutputs) * kStripOutputs, lines_ * kLineWords);
    if (kernels.tiles == nullptr || of_tiles / kTileSpeed >= count(row_count_, outputs_, depth_)) return;
    tiles_ = kernels.tiles;
    kernel_ = last_kernel_ = {kStripOutputs, nullptr};
    // Whole lines can be read where they are.
    is_direct_ = std::is_same_v<Rows, AdjacentRows> && depth_ % kLineWords == 0;
    depth_ = lines_ * kLineWords;
  }

  void describe_operands() {
    if (tiles_ == nullptr) return;
    if (picture_) return picture_->describe(operands_);
    for (std::size_t line = 0; line < lines_; ++line) line_offsets_.push_back(line * kLineBytes);
    operands_.line_offsets = line_offsets_.data();
    operands_.lines = lines_;
  }

  void cut_tasks(std::size_t slots) noexcept {
    std::size_t wanted = kEnoughTasks;
    block_rows_ = std::clamp<std::size_t>(kBlockPointers / plain_rows_.segments() / 8 * 8, 8, kBlockRows);
    const std::size_t staged_bytes = is_direct_ || picture_ ? 0 : (lines_ | 1) * kLineBytes;  // of a row
    if (tiles_ != nullptr) {
      // Staged rows stay in half of L2 while weights pass through the other; each part of them is staged anew.
      wanted = slots <= 1 ? 1 : 2 * slots;
      const std::size_t row_bytes =
          picture_ ? codes_.code_bytes() / std::max<std::size_t>(1, row_count_) : lines_ * kLineBytes;
      const std::size_t fitting = l2_cache_bytes() / 2 / std::max(kLineBytes, row_bytes);
      const std::size_t most =
          std::clamp(fitting, 2 * kTileRows, picture_ ? kMostPictureBlockRows : kMostTileBlockRows);
      const std::size_t blocks =
          std::max(parts_of(row_count_, most), std::min(wanted, parts_of(row_count_, kBlockRows)));
      block_rows_ = parts_of(parts_of(row_count_, std::max<std::size_t>(1, blocks)), 2 * kTileRows) * 2 * kTileRows;
      block_rows_ = std::max(block_rows_, 2 * kTileRows);
    }
    const std::size_t blocks = parts_of(row_count_, block_rows_);
    const std::size_t all_panels = groups_ * panels_;
    const std::size_t wanted_parts = blocks == 0 ? 1 : parts_of(wanted, blocks);
    part_panels_ = parts_of(all_panels, std::min(wanted_parts, all_panels));
    if (tiles_ != nullptr) part_panels_ = parts_of(part_panels_, 2) * 2;
    parts_ = parts_of(all_panels, part_panels_);
    task_count_ = blocks * parts_;
    const auto in_lines = [](std::size_t bytes) { return round_up(bytes, kCacheLine); };
    plain_scratch_ = picture_ ? 0 : in_lines(rows_.scratch_bytes(block_rows_));
    tile_scratch_ = plain_scratch_ + in_lines(plain_rows_.scratch_bytes(block_rows_));
    std::size_t tiles = tiles_ == nullptr ? 0 : parts_of(block_rows_, kTileRows);
    if (picture_) {
      // A block may begin and end inside of a line, and of an image.
      const std::size_t lines = block_rows_ / picture_->line_outputs() + 2;
      tiles = picture_->most_tiles(lines, block_rows_ / picture_->image_outputs() + 2);
    }
    staged_scratch_ = tile_scratch_ + in_lines(tiles * sizeof(WindowTile));
    scratch_bytes_ = staged_scratch_ + (tiles_ == nullptr ? 0 : (block_rows_ + kTileRows) * staged_bytes);
  }

  // The runs of each row behind each other. What lies between their end and that of the last line meets weights of 0.
  void stage(const Int8Call& block, std::size_t shift, std::byte* staged, TileRows& tile_rows) const noexcept {
    // An odd number of lines: rows a power of two apart would fall on the same lines of the cache.
    const std::size_t row_bytes = (lines_ | 1) * kLineBytes;
    const std::size_t run_bytes = block.segment_length * 4;
    for (std::size_t row = 0; row < block.row_pitch; ++row) {
      std::byte* to = staged + row * row_bytes;
      for (std::size_t s = 0; s < block.segments; ++s, to += run_bytes) {
        std::memcpy(to, block.rows[s * block.row_pitch + row] + shift, run_bytes);
      }
    }
    tile_rows.first = staged;
    tile_rows.row_bytes = row_bytes;
  }

  void multiply(const Int8Call& block, void (*kernel)(const Int8Call&), const TileRows& tile_rows,
                Range rows) const noexcept {
    Int8Call some = block;
    some.row_count = rows.last - rows.first;
    some.output += rows.first * some.output_stride;
    if (some.residual != nullptr) some.residual += rows.first * some.residual_stride;
    if (tiles_ == nullptr) {
      some.rows += rows.first;
      return kernel(some);
    }
    Int8TileCall call;
    static_cast<Destination&>(call) = some;
    static_cast<TileOperands&>(call) = operands_;
    call.tiles = tile_rows.tiles;
    call.tile_count =
        picture_ ? place_picture_tiles(block, tile_rows, rows, call) : place_tiles(some, tile_rows, rows, call);
    call.weights = static_cast<const std::byte*>(some.weights);
    call.start = some.start;
    call.scale = some.scale;
    call.bias = some.bias;
    call.columns = some.columns;
    tiles_(call);
  }

  // Rows that lie one after the other.
  std::size_t place_tiles(const Int8Call& some, const TileRows& tile_rows, Range rows,
                          Int8TileCall& call) const noexcept {
    call.row_pitch = tile_rows.row_bytes;
    call.line_rows = call.line_outputs = some.row_count;
    const std::byte* const first =
        tile_rows.first + rows.first * tile_rows.row_bytes + (is_direct_ ? some.row_shift * 4 : 0);
    WindowTile* tile = tile_rows.tiles;
    for (std::size_t row = 0; row < some.row_count; row += kTileRows, ++tile) {
      tile->rows = first + row * tile_rows.row_bytes;
      tile->output = tile->column = row;
      tile->count = std::min(kTileRows, some.row_count - row);
    }
    return static_cast<std::size_t>(tile - tile_rows.tiles);
  }

  // Their outputs are counted from the output's first row.
  std::size_t place_picture_tiles(const Int8Call& block, const TileRows& tile_rows, Range rows,
                                  Int8TileCall& call) const noexcept {
    call.output = block.output - tile_rows.block_row * block.output_stride;
    if (block.residual != nullptr) call.residual = block.residual - tile_rows.block_row * block.residual_stride;
    const std::size_t width = picture_->line_outputs();
    const std::size_t image_outputs = picture_->image_outputs();
    const std::size_t image_bytes = picture_->lines_for(image_outputs / width) * picture_->line_bytes();
    WindowTile* tile = tile_rows.tiles;
    const std::size_t last = tile_rows.block_row + rows.last;
    for (Range piece{tile_rows.block_row + rows.first, 0}; piece.first < last; piece.first = piece.last) {
      const std::size_t image = piece.first / image_outputs;
      piece.last = std::min(last, (image + 1) * image_outputs);
      const std::size_t line = (piece.first - image * image_outputs) / width;
      const std::byte* const picture =
          tile_rows.first + image * image_bytes +
          (picture_->lines_for(line + 1) - picture_->lines_for(1)) * picture_->line_bytes();
      tile = picture_->place_tiles(piece, picture, tile);
    }
    return static_cast<std::size_t>(tile - tile_rows.tiles);
  }

  // Rows of operands that are all finite go to the kernel, the others are told from what is not.
  void run_apart(const Int8Call& all, void (*kernel)(const Int8Call&), const TileRows& tile_rows,
                 const float* const* plain, std::size_t group, std::size_t column) const noexcept {
    const std::size_t shift = group * plain_rows_.segment_length();
    for (std::size_t row = 0; row < all.row_pitch;) {
      std::size_t end = row;
      while (end < all.row_pitch && is_finite(plain + end, all.row_pitch, shift)) ++end;
      if (end > row) multiply(all, kernel, tile_rows, {row, end});
      if (end < all.row_pitch) store_odd(all, end, plain + end, shift, column);
      row = end + 1;
    }
  }

  [[nodiscard]] bool is_finite(const float* const* plain, std::size_t pitch, std::size_t shift) const noexcept {
    for (std::size_t s = 0; s < plain_rows_.segments(); ++s) {
      const float* const x = plain[s * pitch] + shift;
      float sum = 0;  // of zeros, or NaN
      for (std::size_t i = 0; i < plain_rows_.segment_length(); ++i) sum += x[i] * 0.0F;
      if (sum != 0) return false;
    }
    return true;
  }

  // A sum of products with NaN is NaN; beside infinite ones the finite ones do not count.
  void store_odd(const Int8Call& all, std::size_t row, const float* const* plain, std::size_t shift,
                 std::size_t column) const noexcept {
    const std::size_t length = plain_rows_.segment_length();
    bool has_nan = false;
    for (std::size_t s = 0; s < plain_rows_.segments(); ++s) {
      const float* const x = plain[s * all.row_pitch] + shift;
      for (std::size_t i = 0; i < length; ++i) has_nan |= std::isnan(x[i]);
    }
    for (std::size_t o = 0; o < all.columns; ++o) {
      float y = has_nan ? std::numeric_limits<float>::quiet_NaN() : 0.0F;
      for (std::size_t s = 0; s < plain_rows_.segments() && !has_nan; ++s) {
        const float* const x = plain[s * all.row_pitch] + shift;
        for (std::size_t i = 0; i < length; ++i) {
          const std::size_t at = s * length + i;
          if (std::isinf(x[i])) y += x[i] * weight_.at(column + o, at % weight_.channels, at / weight_.channels);
        }
      }
      if (all.bias != nullptr) y += all.bias[o];
      if (all.residual != nullptr) y += all.residual[row * all.residual_stride + o];
      if (all.bounds.active) {
        y = y < all.bounds.low ? all.bounds.low : y;
        y = y > all.bounds.high ? all.bounds.high : y;
      }
      all.output[row * all.output_stride + o] = y;
    }
  }

  Rows rows_;        // of codes
  Rows plain_rows_;  // of the input itself
  Codes codes_;
  std::optional<WindowPicture> picture_;
  WeightSource weight_;
  TensorId shared_ = kNone;
  TensorId input_ = kNone;
  TensorId output_ = kNone;
  TensorId residual_ = kNone;
  std::size_t groups_ = 1;
  std::size_t row_count_ = 0;
  std::size_t outputs_ = 0;  // of one group
  std::size_t depth_ = 0;    // units an output, with tiles up to whole lines
  Int8Kernel kernel_;
  Int8Kernel last_kernel_;
  std::size_t panels_ = 0;  // of one group
  std::size_t block_rows_ = 0;
  std::size_t part_panels_ = 0;
  std::size_t parts_ = 0;
  Int8TileKernel tiles_ = nullptr;  // instead of the kernels, whose width is then a strip's
  bool is_direct_ = false;          // tiles are read from the codes themselves
  std::size_t lines_ = 0;           // of an output, for tiles
  TileOperands operands_;           // what all tasks have in common
  std::vector<std::size_t> line_offsets_;
  std::size_t plain_scratch_ = 0;   // where in the scratch pointers to the input itself lie,
  std::size_t tile_scratch_ = 0;    // tiles
  std::size_t staged_scratch_ = 0;  // and staged rows
  Int8Call call_;                   // what all tasks have in common
  ElementKernel activate_ = nullptr;
  std::shared_ptr<const PackedArray> packed_;
  const float* weights_ = nullptr;  // the units in `packed_`
  std::shared_ptr<const PackedArray> bias_;
  AlignedBuffer tables_;  // starts and scales of all columns
};

Result<Quantisation> quantisation_of(const OpContext& context) {
  const auto& layers = context.options.calibration->layers;
  const auto found = layers.find(context.step_name);
  if (found != layers.end()) return Quantisation(found->second);
  return Error::of(ErrorCode::mismatch,
                   {.category = Category::model,
                    .code = "CALIBRATION-LAYER",
                    .message = "the calibration has no range for layer " + quoted(context.step_name),
                    .hint = "it belongs to another network: calibrate this one"});
}

Codes codes_of(const PlannedTensor& input, const OpContext& context) {
  const std::size_t per_unit = context.kernels.int8.codes_per_unit;
  Codes codes;
  codes.units = codes.pitch = parts_of(static_cast<std::size_t>(input.c), per_unit);
  // Tiles read rows of whole lines where they are: an odd number of them, as in stage().
  if (context.kernels.int8.tiles != nullptr && codes.pitch % kLineWords == 0) codes.pitch |= kLineWords;
  codes.rows = static_cast<std::size_t>(input.rows());
  codes.part_rows = std::max<std::size_t>(1, kQuantisedPart / std::max<std::size_t>(1, codes.pitch * per_unit));
  codes.parts = parts_of(codes.rows, codes.part_rows);
  codes.overrun_bytes = kTileRows * codes.pitch * 4;  // a tile reads rows up to its end
  return codes;
}

Codes codes_of(const WindowPicture& picture, const PlannedTensor& output) {
  Codes codes;
  codes.units = codes.pitch = picture.line_bytes() / 4;
  codes.rows = static_cast<std::size_t>(output.n) * picture.lines_for(static_cast<std::size_t>(output.h));
  codes.part_rows = std::max<std::size_t>(1, kQuantisedPart / picture.line_bytes());
  codes.parts = parts_of(codes.rows, codes.part_rows);
  codes.overrun_bytes = picture.overrun_bytes();
  return codes;
}

template <class Rows, class Step>
Result<Ops> make_ops(Rows rows, Rows plain, const Step& step, std::size_t groups, std::optional<WindowPicture> picture,
                     const OpContext& context) {
  RUSHLIGHT_TRY_ASSIGN(const Quantisation quantisation, quantisation_of(context));
  RUSHLIGHT_TRY_ASSIGN(WeightSource weight, find_weight(context.plan.constants[step.weights], context.network));
  Ops ops;
  const PlannedTensor& input = context.tensor(step.input);
  const PlannedTensor& output = context.tensor(step.output);
  const Codes codes = picture ? codes_of(*picture, output) : codes_of(input, context);
  std::unique_ptr<Op> quantise;
  if (picture) {
    quantise = std::make_unique<QuantisePictureOp>(input, output, step.input, codes, *picture, quantisation, context);
  } else {
    quantise = std::make_unique<QuantiseOp>(input, step.input, codes, quantisation, context);
  }
  auto op =
      std::make_unique<Int8Op<Rows>>(std::move(rows), std::move(plain), codes, std::move(picture), std::move(weight));
  RUSHLIGHT_TRY_ASSIGN(const bool is_usual, op->init(step, groups, quantisation, context));
  if (!is_usual) return ops;
  ops.push_back(std::move(quantise));
  ops.push_back(std::move(op));
  return ops;
}

// Four bytes of padding: the code of 0.
float padding_of(const Quantisation& quantisation, std::size_t codes_per_unit) noexcept {
  const std::uint32_t code = quantisation.zero_point;
  return std::bit_cast<float>(codes_per_unit == 4 ? code * 0x01010101U : code * 0x00010001U);
}

// Windows that tiles read in place, where that is less work than with vectors or staged rows.
std::optional<WindowPicture> picture_of(const ConvStep& step, const WindowRows& rows, const OpContext& context) {
  const Int8Kernels& kernels = context.kernels.int8;
  const PlannedTensor& input = context.tensor(step.input);
  const PlannedTensor& output = context.tensor(step.output);
  if (kernels.tiles == nullptr || step.groups != 1 || output.elements() == 0 || input.elements() == 0) return {};
  WindowPicture picture(step, input, output, kernels.codes_per_unit);
  const auto row_count = static_cast<double>(output.rows());
  const auto outputs = static_cast<std::size_t>(output.c);
  const auto strip_outputs = static_cast<double>(panels_for(outputs, kStripOutputs) * kStripOutputs);
  const auto depth = rows.segments() * rows.segment_length();
  const auto lines = static_cast<double>(parts_of(depth, kLineWords));
  const double in_place =
      static_cast<double>(picture.positions() * picture.operand_lines() * kLineWords) * strip_outputs / kTileSpeed;
  const double staged = row_count * (lines * kLineWords * strip_outputs / kTileSpeed + lines * kStageLine +
                                     static_cast<double>(rows.segments()) * kStageRun);
  const double vectors = row_count * static_cast<double>(depth * outputs);
  if (in_place >= std::min(staged, vectors)) return {};
  return picture;
}

}  // namespace

Result<Ops> make_int8_ops(const ConvStep& step, const OpContext& context) {
  const PlannedTensor& input = context.tensor(step.input);
  const PlannedTensor& output = context.tensor(step.output);
  const std::int64_t channels = input.c / step.groups;
  const auto depth = static_cast<std::size_t>(channels * step.kernel.h * step.kernel.w);
  if (depth > kMostDepth || (step.groups > 1 && channels % kGroupChannels != 0)) return Ops();
  RUSHLIGHT_TRY_ASSIGN(const Quantisation quantisation, quantisation_of(context));
  const Codes codes = codes_of(input, context);
  const auto groups = static_cast<std::size_t>(step.groups);
  const bool pointwise = step.kernel == IntPair{1} && step.stride == IntPair{1} && step.padding == IntPair{0};
  if (pointwise && input.h == output.h && input.w == output.w) {
    const AdjacentRows rows{codes.pitch, codes.units / groups};
    const AdjacentRows plain{static_cast<std::size_t>(input.row_stride), static_cast<std::size_t>(channels)};
    return make_ops(rows, plain, step, groups, std::nullopt, context);
  }
  PlannedTensor units = input;
  units.c = static_cast<std::int64_t>(codes.units);
  units.row_stride = static_cast<std::int64_t>(codes.pitch);
  WindowRows rows;
  WindowRows plain;
  if (!rows.init(step, units, output, padding_of(quantisation, context.kernels.int8.codes_per_unit)) ||
      !plain.init(step, input, output)) {
    return no_memory_for(static_cast<std::uint64_t>(input.c) * 4, "padding");
  }
  std::optional<WindowPicture> picture = picture_of(step, rows, context);
  return make_ops(std::move(rows), std::move(plain), step, groups, std::move(picture), context);
}

Result<Ops> make_int8_ops(const LinearStep& step, const OpContext& context) {
  const PlannedTensor& input = context.tensor(step.input);
  if (static_cast<std::size_t>(input.c) > kMostDepth) return Ops();
  const Codes codes = codes_of(input, context);
  const AdjacentRows rows{codes.pitch, codes.units};
  const AdjacentRows plain{static_cast<std::size_t>(input.row_stride), static_cast<std::size_t>(input.c)};
  return make_ops(rows, plain, step, 1, std::nullopt, context);
}

}  // namespace rushlight::runtime::cpu
