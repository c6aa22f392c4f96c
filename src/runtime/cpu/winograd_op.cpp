// A 3x3 convolution by Winograd's minimal filtering: block after block of tiles through transform, products, transform.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/plain_weights.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Rows of a product come in sixes at best.
constexpr std::size_t kTileStep = 6;
// With fewer of them the weights of a panel are read for too little.
constexpr std::size_t kLeastBlockTiles = 24;
constexpr std::size_t kMostBlockTiles = 384;
// With fewer, a thread that is slower or comes late keeps the others waiting.
constexpr std::size_t kEnoughTasksEach = 8;
// Scratch of a thread.
constexpr std::size_t kMostBlockBytes = std::size_t{8} << 20;
// Arrays in scratch begin a cache line off a multiple of 4 KiB from each other, or all would fall on the same lines.
constexpr std::size_t kSkewFloats = 16;
constexpr std::size_t kMostPositions = 81;
// Of tiles that wait for their pooling in L1.
constexpr std::size_t kPooledPixels = 64;

class WinogradOp final : public RowsOp {
 public:
  WinogradOp(const WinogradForm& form, const OpContext& context)
      : form_(form), kernels_(context.kernels.*form.kernels), tiling_(form.tiling), positions_(tiling_.positions()) {}

  // False where the weights are not usual ones.
  Result<bool> init(const ConvStep& step, const MaxPoolStep* pool, const OpContext& context, std::size_t cache_bytes) {
    const PlannedTensor& input = context.tensor(step.input);
    const PlannedTensor& output = context.tensor(step.output);
    input_ = step.input;
    output_ = pool == nullptr ? step.output : pool->output;
    residual_ = step.epilogue.residual;
    channels_ = static_cast<std::size_t>(input.c);
    outputs_ = static_cast<std::size_t>(output.c);
    chain_ = winograd_chain(form_.algorithm, channels_, context.options.precision);
    gemm_ = choose_gemm(context.kernels, outputs_, false).kernel;
    panels_ = panels_for(outputs_, gemm_.width);
    RUSHLIGHT_TRY_ASSIGN(weights_, context.packed(step.weights, form_.packing, gemm_.width));
    if (!weights_->is_usual) return false;
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step.bias, Packing::vector, gemm_.width));
    RUSHLIGHT_TRY(plain_.init(step, context));
    zeros_ = AlignedBuffer::allocate(channels_ * sizeof(float));
    if (zeros_.data() == nullptr) return no_memory_for(channels_ * sizeof(float), "zeros");
    std::fill_n(zeros_.floats(), channels_, 0.0F);

    in_height_ = input.h;
    in_width_ = input.w;
    in_stride_ = static_cast<std::size_t>(input.row_stride);
    padding_ = step.padding;
    out_height_ = static_cast<std::size_t>(output.h);
    out_width_ = static_cast<std::size_t>(output.w);
    destination_ = destination_of(step.output, step.epilogue, context.plan);
    if (pool != nullptr) {
      max_window_ = context.kernels.max_window;
      pooled_stride_ = static_cast<std::size_t>(context.tensor(pool->output).row_stride);
      pooled_tiles_ = kPooledPixels / tiling_.outputs();
      destination_.output_stride = gemm_.width;
    }
    activate_ = kernel_of(step.epilogue.activation, context.kernels);
    grid_ = {tiling_, out_height_, out_width_};
    for (std::size_t position = 0; position < positions_; ++position) {
      groups_[position] = grid_.groups_for(position);
      order_[position] = position;
    }
    // Those of a filter one after the other: it is near then.
    std::stable_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(positions_),
                     [&](std::size_t a, std::size_t b) { return tiling_.filter_of(a) < tiling_.filter_of(b); });
    tiles_ = static_cast<std::size_t>(output.n) * grid_.down() * grid_.across();
    cut_tasks(context.slots, cache_bytes);
    operations_ = 18.0 * static_cast<double>(output.rows()) * static_cast<double>(channels_ * outputs_);
    return true;
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override { return form_.text; }

  void prepare(std::size_t block, float* const* tensors, std::byte* memory) const noexcept override {
    transform(part_of({0, tiles_}, block, blocks_), tensors[input_], scratch_in(memory));
  }
  void run(std::size_t task, float* const* tensors, std::byte* memory) const noexcept override {
    run_panel(task % panels_, tensors[output_], residual_ == kNone ? nullptr : tensors[residual_], scratch_in(memory));
  }
  // With a pooling, of the convolution's own output: `output` is the pooling's.
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* memory) const noexcept override {
    const Range lines{rows.first / out_width_, rows.last / out_width_};
    const std::size_t tile_row =
        lines.first / out_height_ * grid_.down() + lines.first % out_height_ / tiling_.outputs_down;
    const std::size_t tile_rows = parts_of(lines.last - lines.first, tiling_.outputs_down);
    const Range tiles{tile_row * grid_.across(), (tile_row + tile_rows) * grid_.across()};
    const Scratch scratch = scratch_in(memory);
    const std::size_t blocks = parts_of(tiles.last - tiles.first, block_tiles_);
    for (std::size_t block = 0; block < blocks; ++block) {
      transform(part_of(tiles, block, blocks), input, scratch);
      for (std::size_t panel = 0; panel < panels_; ++panel) run_panel(panel, output, residual, scratch);
    }
  }

 private:
  // Group after group of a block's tiles: where each begins, and the end.
  using GroupBounds = std::array<std::size_t, WinogradGrid::kGroups + 1>;

  // What tasks of a block leave for each other.
  struct Scratch {
    GroupBounds* bounds;
    float* transformed;  // [position][tile][in]
    float* products;     // [position][tile][width]
    float* window;       // [in][tap]
    float* unpooled;     // [tile][pixel][width], or all outputs of one tile's pixels
    const float** pixels;
    const float** rows;
    WinogradTile* tiles;
    bool* odd;
    std::size_t* pooled;  // of each tile: the first pixel of the pooling's output
  };

  void transform(const Range& tiles, const float* input, const Scratch& scratch) const noexcept {
    *scratch.bounds = place_tiles(tiles, input, scratch);
    for_groups(*scratch.bounds,
               [&](const WinogradKernels::Transforms& transforms, std::size_t first, std::size_t tile_count) {
                 transforms.input({.pixels = scratch.pixels + first * positions_,
                                   .tile_count = tile_count,
                                   .channels = channels_,
                                   .output = scratch.transformed + first * channels_,
                                   .position_pitch = transformed_pitch_,
                                   .odd = scratch.odd + first});
               });
    for (std::size_t t = 0; t < tiles.last - tiles.first; ++t) scratch.rows[t] = scratch.transformed + t * channels_;
  }

  // Of the tiles that were transformed.
  void run_panel(std::size_t panel, float* to, const float* residual, const Scratch& scratch) const noexcept {
    const std::size_t column = panel * gemm_.width;
    const GroupBounds& bounds = *scratch.bounds;
    const std::size_t count = bounds.back();
    GemmCall gemm;
    gemm.segments = 1;
    gemm.segment_length = channels_;
    gemm.chain = chain_;
    gemm.panel_count = 1;
    gemm.columns = gemm.output_stride = gemm_.width;
    WinogradOutputCall output;
    output.position_pitch = products_pitch_;
    output.width = gemm_.width;
    output.line = max_window_ == nullptr ? out_width_ : tiling_.outputs_across;
    static_cast<Destination&>(output) = destination_;
    const float* weights = weights_->data() + panel * tiling_.filters() * channels_ * gemm_.width;
    for (std::size_t i = 0; i < positions_; ++i) {
      const std::size_t position = order_[i];
      const std::size_t first = bounds[groups_[position].first];
      gemm.row_pitch = gemm.row_count = bounds[groups_[position].last] - first;
      if (gemm.row_count == 0) continue;
      gemm.rows = scratch.rows + first;
      gemm.row_shift = position * transformed_pitch_;
      gemm.weights = weights + tiling_.filter_of(position) * channels_ * gemm_.width;
      gemm.output = scratch.products + position * products_pitch_ + first * gemm_.width;
      gemm_.run(gemm);
    }
    output.columns = std::min(gemm_.width, outputs_ - column);
    output.bias = bias_ == nullptr ? nullptr : bias_->data() + column;
    output.output = max_window_ == nullptr ? to + column : scratch.unpooled;
    output.residual = residual == nullptr ? nullptr : residual + column;
    for_groups(bounds, [&](const WinogradKernels::Transforms& transforms, std::size_t first, std::size_t tile_count) {
      const std::size_t last = first + tile_count;
      for (std::size_t end = first; first < last; first = end) {
        end = max_window_ == nullptr ? last : std::min(last, first + pooled_tiles_);
        output.input = scratch.products + first * gemm_.width;
        output.tiles = scratch.tiles + first;
        output.odd = scratch.odd + first;
        output.tile_count = end - first;
        transforms.output(output);
        if (max_window_ != nullptr) pool_tiles(scratch, {first, end}, output.columns, to + column);
      }
    });
    for (std::size_t t = 0; t < count; ++t) {
      if (scratch.odd[t]) compute_plainly(scratch, t, {column, column + output.columns}, to, residual);
    }
    if (activate_ == nullptr || max_window_ != nullptr) return;
    for (std::size_t t = 0; t < count; ++t) {
      const WinogradTile& tile = scratch.tiles[t];
      for (std::size_t h = 0; h < tile.rows; ++h) {
        float* const line = to + (tile.pixel + h * out_width_) * destination_.output_stride + column;
        activate_rows(activate_, line, tile.columns, destination_.output_stride, output.columns);
      }
    }
  }

  // Blocks of tiles of about equal size, as many as move the fewest bytes to and from beyond L2: each block reads all
  // weights; what L2 cannot hold of a block, transformed tiles are written once and read by each panel, products are
  // written and read. A task is one panel of a block. Threads that meet in one block each transform its tiles.
  void cut_tasks(std::size_t slots, std::size_t cache_bytes) {
    const std::size_t tile_bytes = positions_ * channels_ * sizeof(float);
    const std::size_t product_bytes = positions_ * gemm_.width * sizeof(float);
    const std::size_t weight_bytes = tiling_.filters() * channels_ * panels_ * gemm_.width * sizeof(float);
    const bool weights_stay = weight_bytes <= cache_bytes / 2;
    const std::size_t fewest =
        parts_of(tiles_, std::clamp<std::size_t>(kMostBlockBytes / tile_bytes, kTileStep, kMostBlockTiles));
    const std::size_t most = std::max(fewest, parts_of(tiles_, kLeastBlockTiles));
    std::size_t least_bytes = SIZE_MAX;
    for (std::size_t count = fewest; count <= most; ++count) {
      const bool stays = parts_of(tiles_, count) * (tile_bytes + product_bytes) <= cache_bytes / 2;
      // Weights come from memory, the others from the next cache.
      const std::size_t weights = 2 * (weights_stay ? weight_bytes : count * weight_bytes);
      const std::size_t moved = tiles_ * ((1 + panels_) * tile_bytes + 2 * panels_ * product_bytes);
      // A transform once more takes about as long as so many bytes that move.
      const std::size_t again = count % slots == 0 ? 0 : 4 * (slots - 1) * parts_of(tiles_, count) * tile_bytes;
      const std::size_t bytes = weights + (stays ? 0 : moved) + again;
      if (bytes < least_bytes) {
        least_bytes = bytes;
        blocks_ = count;
      }
      if (stays) break;
    }
    if (blocks_ * panels_ < slots) blocks_ = std::min(most, parts_of(slots, panels_));
    // Tasks enough where more blocks cost next to nothing, and as many for each thread.
    if (slots > 1 && weights_stay) {
      const std::size_t wanted = std::max(blocks_, parts_of(kEnoughTasksEach * slots, panels_));
      blocks_ = std::max(blocks_, std::min(parts_of(wanted, slots), most / slots) * slots);
    }
    block_tasks_ = panels_;
    task_count_ = blocks_ * panels_;
    block_tiles_ = parts_of(parts_of(tiles_, kTileStep), blocks_) * kTileStep;
    transformed_pitch_ = block_tiles_ * channels_ + kSkewFloats;
    products_pitch_ = block_tiles_ * gemm_.width + kSkewFloats;
    scratch_bytes_ = static_cast<std::size_t>(lay_out(nullptr).second);
  }
  [[nodiscard]] static Range part_of(const Range& tiles, std::size_t block, std::size_t blocks) noexcept {
    const Range part = even_part(block, parts_of(tiles.last - tiles.first, kTileStep), blocks);
    return {tiles.first + part.first * kTileStep, std::min(tiles.last, tiles.first + part.last * kTileStep)};
  }

  // Where the arrays lie from `memory` on, and how many bytes they take.
  [[nodiscard]] std::pair<Scratch, std::uintptr_t> lay_out(std::byte* memory) const noexcept {
    std::uintptr_t used = 0;
    const auto take = [&](std::size_t bytes) {
      const std::uintptr_t at = used;
      used += round_up(bytes, kCacheLine);
      return reinterpret_cast<std::uintptr_t>(memory) + at;
    };
    Scratch scratch;
    scratch.bounds = reinterpret_cast<GroupBounds*>(take(sizeof(GroupBounds)));
    scratch.transformed = reinterpret_cast<float*>(take(positions_ * transformed_pitch_ * sizeof(float)));
    scratch.products = reinterpret_cast<float*>(take(positions_ * products_pitch_ * sizeof(float)));
    scratch.window = reinterpret_cast<float*>(take(9 * channels_ * sizeof(float)));
    scratch.pixels = reinterpret_cast<const float**>(take(block_tiles_ * positions_ * sizeof(float*)));
    scratch.rows = reinterpret_cast<const float**>(take(block_tiles_ * sizeof(float*)));
    scratch.tiles = reinterpret_cast<WinogradTile*>(take(block_tiles_ * sizeof(WinogradTile)));
    scratch.odd = reinterpret_cast<bool*>(take(block_tiles_));
    const std::size_t pixels = pooled_tiles_ * tiling_.outputs() * gemm_.width;
    scratch.unpooled = reinterpret_cast<float*>(
        take(max_window_ == nullptr ? 0 : std::max(pixels, tiling_.outputs() * outputs_) * sizeof(float)));
    scratch.pooled =
        reinterpret_cast<std::size_t*>(take(max_window_ == nullptr ? 0 : block_tiles_ * sizeof(std::size_t)));
    return {scratch, used};
  }
  [[nodiscard]] Scratch scratch_in(std::byte* memory) const noexcept { return lay_out(memory).first; }

  template <class Run>
  void for_groups(const GroupBounds& bounds, const Run& run) const noexcept {
    for (std::size_t g = 0; g < WinogradGrid::kGroups; ++g) {
      if (bounds[g + 1] == bounds[g]) continue;
      const auto group = static_cast<WinogradGrid::Group>(g);
      run(kernels_.transforms[grid_.is_short_down(group)][grid_.is_short_across(group)], bounds[g],
          bounds[g + 1] - bounds[g]);
    }
  }

  // Output pixels of each tile, and pointers to its input pixels.
  GroupBounds place_tiles(const Range& tiles, const float* input, const Scratch& scratch) const noexcept {
    const std::size_t across = grid_.across();
    const std::size_t down = grid_.down();
    GroupBounds bounds{};
    std::size_t placed = 0;
    for (std::size_t g = 0; g < WinogradGrid::kGroups; ++g) {
      const auto group = static_cast<WinogradGrid::Group>(g);
      if (grid_.tiles_in(group) != 0) {
        std::size_t x = tiles.first % across;
        std::size_t y = tiles.first / across % down;
        std::size_t image = tiles.first / across / down;
        for (std::size_t t = tiles.first; t < tiles.last; ++t) {
          if (grid_.group_of(y, x) == group) {
            place_tile({.image = image, .down = y * tiling_.outputs_down, .across = x * tiling_.outputs_across}, input,
                       scratch, placed++);
          }
          if (++x < across) continue;
          x = 0;
          if (++y < down) continue;
          y = 0;
          ++image;
        }
      }
      bounds[g + 1] = placed;
    }
    return bounds;
  }
  // Its first output.
  struct Place {
    std::size_t image;
    std::size_t down;
    std::size_t across;
  };
  void place_tile(const Place& place, const float* input, const Scratch& scratch, std::size_t t) const noexcept {
    std::size_t first = (place.image * out_height_ + place.down) * out_width_ + place.across;
    if (max_window_ != nullptr) {
      first = t % pooled_tiles_ * tiling_.outputs();
      scratch.pooled[t] = (place.image * (out_height_ / 2) + place.down / 2) * (out_width_ / 2) + place.across / 2;
    }
    scratch.tiles[t] = {.pixel = first,
                        .rows = static_cast<unsigned>(std::min(tiling_.outputs_down, out_height_ - place.down)),
                        .columns = static_cast<unsigned>(std::min(tiling_.outputs_across, out_width_ - place.across))};
    const float** pixel = scratch.pixels + t * positions_;
    for (std::size_t y = 0; y < tiling_.rows(); ++y) {
      const std::int64_t h = static_cast<std::int64_t>(place.down * tiling_.stride + y) - padding_.h;
      const bool row_inside = h >= 0 && h < in_height_;
      const std::int64_t line = (static_cast<std::int64_t>(place.image) * in_height_ + h) * in_width_;
      for (std::size_t x = 0; x < tiling_.columns(); ++x) {
        const std::int64_t w = static_cast<std::int64_t>(place.across * tiling_.stride + x) - padding_.w;
        const bool inside = row_inside && w >= 0 && w < in_width_;
        *pixel++ = inside ? input + static_cast<std::size_t>(line + w) * in_stride_ : zeros_.floats();
      }
    }
  }

  // Some tiles of one panel, which lie in `unpooled`.
  void pool_tiles(const Scratch& scratch, Range tiles, std::size_t columns, float* output) const noexcept {
    for (std::size_t t = tiles.first; t < tiles.last; ++t) {
      if (scratch.odd[t]) continue;
      float* const pixels = scratch.unpooled + scratch.tiles[t].pixel * gemm_.width;
      if (activate_ != nullptr) activate_rows(activate_, pixels, tiling_.outputs(), gemm_.width, columns);
      pool_tile(scratch, t, pixels, gemm_.width, columns, output);
    }
  }
  // The tile's pixels lie in lines of a whole tile, `stride` floats from one to the next.
  void pool_tile(const Scratch& scratch, std::size_t t, const float* pixels, std::size_t stride, std::size_t columns,
                 float* output) const noexcept {
    const WinogradTile& tile = scratch.tiles[t];
    WindowCall call;
    call.rows = call.columns = 2;
    call.row_stride = tiling_.outputs_across * stride;
    call.column_stride = stride;
    call.channels = columns;
    for (std::size_t h = 0; h < tile.rows / 2; ++h) {
      for (std::size_t w = 0; w < tile.columns / 2; ++w) {
        call.first = pixels + (2 * h * tiling_.outputs_across + 2 * w) * stride;
        call.output = output + (scratch.pooled[t] + h * (out_width_ / 2) + w) * pooled_stride_;
        max_window_(call);
      }
    }
  }

  // The outputs of a tile with infinities, NaN or enormous values in its input.
  void compute_plainly(const Scratch& scratch, std::size_t t, Range outputs, float* output,
                       const float* residual) const noexcept {
    const WinogradTile& tile = scratch.tiles[t];
    const float* const* pixels = scratch.pixels + t * positions_;
    for (std::size_t h = 0; h < tile.rows; ++h) {
      for (std::size_t w = 0; w < tile.columns; ++w) {
        for (std::size_t tap = 0; tap < 9; ++tap) {
          const float* const x =
              pixels[(h * tiling_.stride + tap / 3) * tiling_.columns() + w * tiling_.stride + tap % 3];
          for (std::size_t c = 0; c < channels_; ++c) scratch.window[c * 9 + tap] = x[c];
        }
        Destination to = destination_;
        if (max_window_ == nullptr) {
          const std::size_t pixel = tile.pixel + h * out_width_ + w;
          to.output = output + pixel * to.output_stride;
          to.residual = residual == nullptr ? nullptr : residual + pixel * to.residual_stride;
        } else {
          to.output = scratch.unpooled + (h * tiling_.outputs_across + w) * outputs_;
        }
        plain_.compute(scratch.window, outputs, bias_ == nullptr ? nullptr : bias_->data(), to);
      }
    }
    if (max_window_ == nullptr) return;
    float* const first = scratch.unpooled + outputs.first;
    const std::size_t count = outputs.last - outputs.first;
    if (activate_ != nullptr) activate_rows(activate_, first, tiling_.outputs(), outputs_, count);
    pool_tile(scratch, t, first, outputs_, count, output + outputs.first);
  }

  const WinogradForm& form_;
  WinogradKernels kernels_;
  WinogradTiling tiling_;
  std::size_t positions_;
  GemmKernel gemm_;
  TensorId input_ = kNone;
  TensorId output_ = kNone;
  TensorId residual_ = kNone;
  std::size_t channels_ = 0;
  std::size_t outputs_ = 0;
  std::size_t chain_ = 0;
  std::size_t panels_ = 0;
  std::int64_t in_height_ = 0, in_width_ = 0;
  std::size_t in_stride_ = 0;
  IntPair padding_;
  std::size_t out_height_ = 0, out_width_ = 0;
  Destination destination_;
  ElementKernel activate_ = nullptr;
  void (*max_window_)(const WindowCall&) = nullptr;  // not null: with a pooling of quads
  std::size_t pooled_stride_ = 0;                    // of the pooling's output
  std::size_t pooled_tiles_ = 0;                     // in `unpooled`
  WinogradGrid grid_{};
  std::array<WinogradGrid::Groups, kMostPositions> groups_{};  // of each position
  std::array<std::size_t, kMostPositions> order_{};            // of the positions' products
  std::size_t tiles_ = 0;
  std::size_t blocks_ = 1;
  std::size_t block_tiles_ = 0;        // of the largest
  std::size_t transformed_pitch_ = 0;  // floats
  std::size_t products_pitch_ = 0;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
  PlainWeights plain_;
  AlignedBuffer zeros_;
};

}  // namespace

MadeOp make_winograd_op(const ConvStep& step, ConvAlgorithm algorithm, const OpContext& context,
                        const MaxPoolStep* pool) {
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, make_winograd_rows_op(step, algorithm, context, pool, l2_cache_bytes()));
  return op;
}

Result<std::unique_ptr<RowsOp>> make_winograd_rows_op(const ConvStep& step, ConvAlgorithm algorithm,
                                                      const OpContext& context, const MaxPoolStep* pool,
                                                      std::size_t cache_bytes) {
  auto op = std::make_unique<WinogradOp>(*winograd_form(algorithm), context);
  RUSHLIGHT_TRY_ASSIGN(const bool is_usual, op->init(step, pool, context, cache_bytes));
  if (!is_usual) return std::unique_ptr<RowsOp>();
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
