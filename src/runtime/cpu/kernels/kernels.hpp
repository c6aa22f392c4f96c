// The border between ordinary code and code compiled for one instruction set.
//
// Everything that crosses it is a raw pointer, a number or a plain struct. On the far side nothing instantiates a
// template of the standard library or anything else with a name of its own: two object files may both hold such a
// function, the linker keeps either, and the one it keeps may use instructions that this processor lacks. A test looks
// at the symbols (tests/runtime/isa_symbols.cmake).
//
// All tensors are float32. Kernels read only what their structs describe, and never past the end of a row.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight::runtime::cpu {

// Panels and vectors of weights are padded with zeros to a multiple of this many floats: the widest panel.
inline constexpr std::size_t kPanelPadding = 64;

// The longest chain of multiply-adds. The rounding errors of n products summed one after the other grow as sqrt(n); of
// chains of c, summed in turn, as sqrt(c) + sqrt(n / c). The widest panel's weights of one chain are 32 KiB.
inline constexpr std::size_t kGemmChain = 128;

// y = clamp(x, low, high), if `active`. NaN stays.
struct Bounds {
  bool active = false;
  float low = 0;
  float high = 0;
};

// Where rows of outputs go, and what happens to them on the way: y = clamp(x + residual).
struct Destination {
  float* output = nullptr;
  std::size_t output_stride = 0;    // floats from row to row
  const float* residual = nullptr;  // as output, or null; may be the output itself
  std::size_t residual_stride = 0;
  Bounds bounds;
  // Whether outputs may go past the caches, where nobody finds them any more when they are read. Not every kernel does.
  bool streams = false;
};

// Products of rows with panels of weights: convolutions, 1x1 convolutions and Linear alike.
//
//   output[r][o] = clamp(bias[o] + sum over segments s and i < length of rows[s][r][i] * weight[o][s][i] +
//   residual[r][o])
//
// A row's operands lie in `segments` runs of `segment_length` floats, each with a pointer of its own (XNNPACK's
// indirection): the taps of a window, with a run of zeros for those outside the image. Weights come in panels of
// `width` outputs, [segment][i][width]. Every output is a sum over (s, i) in this order, in chains of `chain`
// multiply-adds that are then added up, so it has the same bits whatever the block it is computed in.
struct GemmCall : Destination {
  const float* const* rows = nullptr;  // [segments][row_pitch]
  std::size_t row_pitch = 0;
  std::size_t row_count = 0;
  std::size_t row_shift = 0;  // floats to add to each pointer: where a group's channels begin
  std::size_t segments = 0;
  std::size_t segment_length = 0;
  const void* weights = nullptr;  // the first panel
  const float* bias = nullptr;    // of the first panel, padded; or null
  std::size_t panel_count = 0;
  std::size_t columns = 0;         // outputs to store: at most panel_count * width
  std::size_t chain = kGemmChain;  // products in a chain: kGemmChain, or what divides it
  // Of one row: weights that stand at zeros need not be read. Only where all are finite: zero times infinity is NaN.
  bool skips_zeros = false;
};

// The same products of 8-bit codes, summed in 32 bits without rounding:
//
//   sum = start[o] + sum over s and i of codes[s][r][i] * weight[o][s][i]
//   output[r][o] = clamp(float(sum) * scale[o] + bias[o] + residual[r][o])
//
// A code is q in 0 .. 255 and stands for (q - zero point) * its scale, a weight is in -127 .. 127; `start` takes off
// what the zero point adds. Codes come in units of four bytes, and what GemmCall says about floats holds for units:
// four codes that are neighbours in a row, or two of 16 bits each, whichever Int8Kernels says. The sums are exact (the
// caller keeps them below 2^31), the multiplication and the additions that follow are rounded one by one: every
// instruction set gives the same bits.
struct Int8Call : GemmCall {
  const std::int32_t* start = nullptr;  // of the first panel, padded
  const float* scale = nullptr;         // likewise
};

// Rows of floats to rows of codes: q = round(clamp(x * inverse_scale, low, high)) + zero_point, ties to even. Rows are
// filled up to whole units, with anything.
struct QuantiseCall {
  const float* input = nullptr;
  std::size_t input_stride = 0;  // in floats
  std::size_t rows = 0;
  std::size_t channels = 0;
  std::byte* output = nullptr;
  std::size_t output_pitch = 0;  // in units
  float inverse_scale = 1;
  float low = 0;   // -zero_point
  float high = 0;  // 255 - zero_point
  unsigned zero_point = 0;
};

// --- Products of narrow numbers: words of 32 bits, each two bfloat16 (or four 8-bit integers) ---
//
// Weights come in strips of 16 outputs whatever the instruction set: [word][16 outputs][4 bytes], the operands of an
// output one after the other through all segments, padded with zeros to whole lines of 16 words. A line of one output
// is then 64 bytes, and a line of a strip 1 KiB: a tile of AMX.
inline constexpr std::size_t kStripOutputs = 16;
inline constexpr std::size_t kLineWords = 16;
inline constexpr std::size_t kLineBytes = 64;
inline constexpr std::size_t kStripLineBytes = kStripOutputs * kLineBytes;

// Rows of floats on their way to such products: run after run of each row, converted, with zeros behind the last
// operand, in groups of 32 rows: [group][line][32 rows][64 bytes]. Memory is for whole groups; nobody reads anything
// into rows that are not there.
inline constexpr std::size_t kStageRows = 32;
struct StageCall {
  const float* const* rows = nullptr;  // [segments][row_pitch], as in GemmCall
  std::size_t row_pitch = 0;
  std::size_t row_count = 0;
  std::size_t row_shift = 0;
  std::size_t segments = 0;
  std::size_t segment_length = 0;
  std::size_t lines = 0;
  bool is_bf16 = false;         // rows are words of two operands already: what counts floats counts words
  std::byte* output = nullptr;  // aligned to a cache line
};

// output[r][o] = clamp(sum over words of rows[r] * weights[o] + bias[o] + residual[r][o]); the order of a sum depends
// on the number of lines alone.
struct NarrowCall : Destination {
  const std::byte* rows = nullptr;  // staged
  std::size_t row_count = 0;
  std::size_t lines = 0;
  const std::byte* weights = nullptr;  // the first strip
  const float* bias = nullptr;         // of the first strip, padded; or null
  std::size_t columns = 0;             // outputs: those of the last strip may be fewer than 16
  // Outputs are rounded to bfloat16, two where a float would be; then there is no residual.
  bool stores_bf16 = false;
};

// Pixels of floats on their way to windows that are read where they lie: each one's channels converted, with zeros up
// to `output_pitch` bytes.
struct ConvertCall {
  const float* input = nullptr;
  std::size_t input_stride = 0;  // floats from pixel to pixel
  std::size_t pixels = 0;
  std::size_t channels = 0;
  std::byte* output = nullptr;
  std::size_t output_pitch = 0;  // bytes from pixel to pixel: whole words
};

// Some positions of windows, neighbours in a line of a picture or past its end in the next one. Whether they are there
// or not, as many as a tile has are read.
struct WindowTile {
  const std::byte* rows = nullptr;  // operands of the first position
  std::size_t output = 0;           // row of the output of the first position that has one
  std::size_t column = 0;           // of the first position
  std::size_t count = 0;            // of positions
};
inline constexpr std::size_t kWindowTileRows = 16;

// What tiles multiply: line l of position p of a tile is at rows + p * row_pitch + line_offsets[l].
struct TileOperands {
  const WindowTile* tiles = nullptr;
  std::size_t tile_count = 0;
  std::size_t row_pitch = 0;                  // bytes
  std::size_t line_rows = 0;                  // positions of a line of the picture,
  std::size_t line_outputs = 0;               // of which the first so many have an output
  const std::size_t* line_offsets = nullptr;  // bytes
  std::size_t lines = 0;
  std::size_t line_bytes = kLineBytes;  // of operands in a line: whole words; weights have lines of full length
  const std::byte* weights = nullptr;   // the first strip
  const float* bias = nullptr;          // of the first strip, padded; or null
  std::size_t columns = 0;              // outputs: those of the last strip may be fewer than 16
};

// The products of NarrowCall.
struct NarrowWindowCall : Destination, TileOperands {
  bool stores_bf16 = false;
};

// The products of Int8Call.
struct Int8TileCall : Destination, TileOperands {
  const std::int32_t* start = nullptr;  // of the first strip, padded
  const float* scale = nullptr;         // likewise
};
using Int8TileKernel = void (*)(const Int8TileCall&);

// What instructions beyond an instruction set's own offer for one kind of narrow numbers.
struct NarrowKernels {
  void (*stage)(const StageCall&);
  void (*run)(const NarrowCall&);
  std::size_t row_step;  // rows are multiplied as many at a time, whether they are there or not
  // Both or neither: windows that are read where they lie.
  void (*convert)(const ConvertCall&) = nullptr;
  void (*run_windows)(const NarrowWindowCall&) = nullptr;
};

// The same sums without such instructions, with no rows staged: weights widened to float on their way, rows as they
// are. `call.weights` are strips, `call.columns` as above; `panel_count` says nothing.
using WidenKernel = void (*)(const GemmCall& call);

// A panel's weights in the order of a GemmCall: to[(pixel * channels + channel) * width + o] is
// from[(o * channels + channel) * pixels + pixel] * scales[o], in double, rounded once; zeros where there is no output.
struct PackCall {
  const float* from = nullptr;  // of the panel's first output
  std::size_t outputs = 0;      // at most `width`
  std::size_t channels = 0;
  std::size_t pixels = 0;
  const double* scales = nullptr;  // or null: 1
  float* to = nullptr;
  std::size_t width = 0;  // a multiple of the vector's
};

// The same for Winograd's filters: to[(position * channels + channel) * width + o] is (G g G'^T)[position] in double,
// rounded once, g being the 3 x 3 of from[(o * channels + channel) * 9] times scales[o].
struct FilterCall {
  const float* from = nullptr;
  std::size_t outputs = 0;
  std::size_t channels = 0;
  const double* scales = nullptr;
  const double* g_rows = nullptr;     // G: [rows of a tile][3]; not for F(2) of stride 2
  const double* g_columns = nullptr;  // G': [columns of a tile][3]
  std::uint32_t most_bits = 0;        // of the float that results have to stay below
  float* to = nullptr;
  std::size_t width = 0;
};

// One weight for each tap and channel: rows as above, a segment is a tap of `channels` floats.
struct DepthwiseCall : Destination {
  const float* const* rows = nullptr;  // [taps][row_pitch]
  std::size_t row_pitch = 0;
  std::size_t row_count = 0;
  std::size_t taps = 0;
  const float* weights = nullptr;  // [taps][weight_stride]
  std::size_t weight_stride = 0;
  const float* bias = nullptr;  // or null
  std::size_t channels = 0;
};

// The same for neighbours in one line of the output, windows of 3, 5 or 7 adjacent columns with stride 1 or 2 and of at
// most kDepthwiseLines lines.
inline constexpr std::size_t kDepthwiseLines = 8;
struct DepthwiseLineCall : Destination {
  const float* const* lines = nullptr;  // input lines of the window, each its first pixel; null: zeros
  const float* zeros = nullptr;         // a pixel of them
  std::size_t line_count = 0;
  std::ptrdiff_t width = 0;          // of a line, in pixels; what lies beside it is zero
  std::ptrdiff_t column_stride = 0;  // floats from pixel to pixel
  std::ptrdiff_t first_column = 0;   // of the first output's window; may be negative
  std::size_t outputs = 0;
  const float* weights = nullptr;  // [line][column][weight_stride]
  std::size_t weight_stride = 0;
  const float* bias = nullptr;  // or null
  std::size_t channels = 0;
};

// Tiles of a picture on their way to products: output[position][tile][c] = (B^T d B')[position] for each channel c, d
// being the tile's pixels. F(2x2, 3x3) has 4 x 4 of them, F(2x4, 3x3) 4 x 6, F(4x4, 3x3) 6 x 6; as many are the
// positions. Short tiles leave the positions alone that they do without (winograd.hpp).
struct WinogradInputCall {
  const float* const* pixels = nullptr;  // [tile][pixels], rows of `channels` floats
  std::size_t tile_count = 0;
  std::size_t channels = 0;
  float* output = nullptr;
  std::size_t position_pitch = 0;  // floats from one position to the next
  // Per tile: a value is infinite, NaN or so large that its square overflows. Sums of such values tell nothing about
  // the output pixels that do not depend on them.
  bool* odd = nullptr;
};

// Where a tile's output pixels go: the first one, counted in rows of the output, and how many there are.
struct WinogradTile {
  std::size_t pixel = 0;
  unsigned rows = 0;
  unsigned columns = 0;
};

// And back: output[pixel][c] = clamp((A^T m A')[pixel] + bias[c] + residual[pixel][c]), m being
// input[position][tile][c].
struct WinogradOutputCall : Destination {
  const float* input = nullptr;
  std::size_t position_pitch = 0;
  std::size_t width = 0;  // floats from one tile to the next
  const WinogradTile* tiles = nullptr;
  const bool* odd = nullptr;  // tiles to leave out
  std::size_t tile_count = 0;
  std::size_t line = 0;         // output pixels in a line of the picture
  std::size_t columns = 0;      // outputs to store, at most `width`
  const float* bias = nullptr;  // padded; or null
};

// F(m x n, 3x3).
struct WinogradKernels {
  bool (*filters)(const FilterCall&);  // false where a result is too large, or NaN
  struct Transforms {
    void (*input)(const WinogradInputCall&);
    void (*output)(const WinogradOutputCall&);
  } transforms[2][2];  // [short downwards][short across]: tiles with half the outputs or fewer
};

// A line of a plane on its way to products along lines (line_form.hpp). Outputs of a line come in groups of a form's
// outputs, groups in tiles of LineFilters::groups; output[tile][channel][position][group], of which this is one
// channel's part. Reads the columns that whole tiles need, beyond the picture's, which the caller has made zeros.
struct LineTransformCall {
  const float* input = nullptr;  // the first column of the first output's window
  std::size_t tile_count = 0;
  std::size_t channels = 0;  // that a tile has room for
  float* output = nullptr;   // the channel's of the first tile
  // Per tile: becomes true where a value is infinite, NaN or so large that its square overflows.
  bool* odd = nullptr;
};

// The products of a line of outputs:
//
//   sum[p] = sum over lines l, channels c and positions of p of lines[l][tile][c][position][group] *
//   weights[l][c][position][o]
//   output[pixel][o] = clamp((A^T sum)[pixel] + bias[o] + residual[pixel][o])
struct LineFilterCall : Destination {   // of the line's first pixel
  const float* const* lines = nullptr;  // those under the window, transformed
  std::size_t line_count = 0;
  std::size_t channels = 0;
  std::size_t tile_count = 0;
  std::size_t pixels = 0;          // to store: at most those of the tiles
  const float* weights = nullptr;  // [vector of outputs][line][channel][position][LineFilters::width]
  const float* bias = nullptr;     // padded; or null
  std::size_t columns = 0;         // outputs to store
  const bool* odd = nullptr;       // tiles to leave out
};

struct LineKernels {
  void (*transform)(const LineTransformCall&);
  void (*run)(const LineFilterCall&);
};
struct LineFilters {
  std::size_t width = 0;      // outputs in a vector of weights
  std::size_t groups = 0;     // in a tile
  LineKernels taps7_by2_of2;  // 7 taps with stride 2, groups of 2 outputs
  LineKernels taps7_by2_of4;
  LineKernels taps3_of2;
  LineKernels taps3_of4;
};

// One window of a pooling: a grid of places, each a row of `channels` floats.
struct WindowCall {
  const float* first = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t row_stride = 0;     // in floats
  std::size_t column_stride = 0;  // in floats
  std::size_t channels = 0;
  float divisor = 1;  // of the sum; not used by the maximum
  float* output = nullptr;
};

// Rows of `channels` floats.
struct NormCall {
  const float* input = nullptr;
  std::size_t input_stride = 0;
  float* output = nullptr;
  std::size_t output_stride = 0;
  std::size_t rows = 0;
  std::size_t channels = 0;
  const float* mean = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  bool relu = false;
};

struct AddCall {
  const float* a = nullptr;
  const float* b = nullptr;
  float* output = nullptr;
  std::size_t count = 0;
  bool relu = false;
};

// Softmax along the middle of [axis][inner].
struct SoftmaxCall {
  const float* input = nullptr;
  float* output = nullptr;
  std::size_t axis = 0;
  std::size_t inner = 0;
};

// output[column][row] = input[row][column] for a part of the columns.
struct TransposeCall {
  const float* input = nullptr;
  float* output = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t first_column = 0;
  std::size_t last_column = 0;  // one past it
};

// A GEMM kernel, the width of its panels and the rows of its tiles; null where the instruction set has none.
struct GemmKernel {
  std::size_t width = 0;
  std::size_t rows = 0;
  void (*run)(const GemmCall&) = nullptr;
};

// What computes with 8-bit codes.
struct Int8Kernel {
  std::size_t width = 0;
  void (*run)(const Int8Call&) = nullptr;
};
struct Int8Kernels {
  std::size_t codes_per_unit = 0;  // 4: bytes. 2: words of 16 bits, for instruction sets that multiply no bytes exactly
  Int8Kernel gemm[3];              // the widest first
  Int8TileKernel tiles = nullptr;  // of AMX, where they may be used: reads what a quantise() for bytes makes
  bool (*quantise)(const QuantiseCall&) = nullptr;  // true where a value is NaN or infinite: its code means nothing
};

// Element by element; the output may be the input.
using ElementKernel = void (*)(const float* input, float* output, std::size_t count);

// Pairs of elements.
using PairKernel = void (*)(const float* a, const float* b, float* output, std::size_t count);

// What one instruction set offers.
struct Kernels {
  GemmKernel gemm[3];  // the widest first
  WidenKernel gemm_bf16;
  Int8Kernels int8;
  bool (*pack)(const PackCall&);  // false where a result is infinite or NaN
  WinogradKernels winograd2;      // F(2x2, 3x3)
  WinogradKernels winograd2x4;    // F(2x4, 3x3): two lines of four
  WinogradKernels winograd4;      // F(4x4, 3x3)
  // F(2x2, 3x3) of stride 2: 5 x 5 pixels and positions, and 4 x 4 filters, the last of a line for two positions of it.
  WinogradKernels winograd2_strided;
  // F(4x4, 3x3) of stride 2: 9 x 9 pixels and positions, and 6 x 6 filters, the last of a line for four positions of
  // it.
  WinogradKernels winograd4_strided;
  LineFilters line_filters;
  void (*depthwise)(const DepthwiseCall&);
  void (*depthwise_line[3][2])(const DepthwiseLineCall&);  // [(columns - 3) / 2][stride - 1]
  void (*max_window)(const WindowCall&);
  void (*mean_window)(const WindowCall&);
  void (*norm)(const NormCall&);
  ElementKernel relu;
  ElementKernel sigmoid;
  ElementKernel silu;
  ElementKernel tanh;
  ElementKernel hardsigmoid;
  ElementKernel hardswish;
  ElementKernel gelu;  // the exact one
  void (*add)(const AddCall&);
  PairKernel multiply;
  void (*softmax)(const SoftmaxCall&);
  void (*transpose)(const TransposeCall&);
  // What the machine can do at most (kernels/speed.inc).
  std::size_t (*multiply_adds)(std::size_t rounds, float* numbers);
  float (*sum)(const float* from, std::size_t count);
};

// One function for each object file; the same code, other flags. Call only what the processor has.
[[nodiscard]] const Kernels& baseline_kernels() noexcept;
#if defined(__x86_64__)
[[nodiscard]] const Kernels& avx2_kernels() noexcept;
[[nodiscard]] const Kernels& avx512_kernels() noexcept;
[[nodiscard]] const NarrowKernels& avx512_bf16_kernels() noexcept;
[[nodiscard]] const NarrowKernels& amx_bf16_kernels() noexcept;
[[nodiscard]] const Int8Kernels& avx512_vnni_kernels() noexcept;  // takes the place of Kernels::int8
[[nodiscard]] Int8TileKernel amx_int8_kernels() noexcept;
#endif

}  // namespace rushlight::runtime::cpu
