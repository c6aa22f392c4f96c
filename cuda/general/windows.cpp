// ShiftedWindowAttention: the map is cut into windows, and each is a sequence for the kernels of attention.
#include <cmath>
#include <optional>

#include "base/checked.hpp"
#include "cuda/general/projections.hpp"

namespace rushlight::cuda {
namespace {

// More than any memory holds: of what is padded to whole windows, and of pairs of places.
constexpr std::int64_t kMostPlaces = std::int64_t{1} << 40;

// to[head][query][key] from a table over the distances of two places: strides may be negative, and so no index is
// looked up.
bool add_position_bias(GeneralMaker& maker, const ShiftedWindowAttention& op, const float* table, float* to) {
  const std::int64_t h = op.window_size.h;
  const std::int64_t w = op.window_size.w;
  const std::int64_t heads = op.num_heads;
  const std::int64_t down = (2 * w - 1) * heads;  // from a distance to the next one down
  const std::int64_t places = h * w;
  const Strides none(5, 0);
  const auto shape = strided<4>({heads, h, w, h, w}, {Strides{places * places, w * places, places, w, 1},
                                                      Strides{1, down, heads, -down, -heads}, none, none});
  if (!shape) return false;
  MoveArguments a;
  a.yes = behind(table, (h - 1) * down + (w - 1) * heads);
  a.output = to;
  a.shape = *shape;
  maker.add(a);
  return true;
}

const float* bias_table(GeneralMaker& maker, const ShiftedWindowAttention& op) {
  if (!op.v2) return maker.parameter("relative_position_bias_table");
  constexpr std::int64_t kHidden = 512;  // RUSHLIGHT_PARAMETER's in operators.def
  DistanceBiasArguments a;
  a.first = maker.parameter("cpb_mlp.0.weight");
  a.first_bias = maker.parameter("cpb_mlp.0.bias");
  a.second = maker.parameter("cpb_mlp.2.weight");
  a.hidden = kHidden;
  a.window_h = op.window_size.h;
  a.window_w = op.window_size.w;
  a.across = Divisor64(2 * op.window_size.w - 1);
  a.heads = Divisor64(op.num_heads);
  a.table = maker.scratch(elements_of(a));
  maker.add(a);
  return a.table;
}

MapArguments map_of(MapFunction function, const float* x, const float* y, float* output) {
  MapArguments a;
  a.function = function;
  a.inputs[0] = x;
  a.inputs[1] = y;
  a.output = output;
  return a;
}

// rows[row][head][i] of queries and keys /= its length. Queries are multiplied with their head's learnt scale too, of
// which the logarithm is given, and 100 the largest.
bool add_cosines(GeneralMaker& maker, std::int64_t rows, std::int64_t heads, std::int64_t size, const float* logits,
                 float* queries, float* keys, std::int64_t row_stride) {
  const Strides by_row = {row_stride, size};
  const Strides none = {0, 0};
  const auto kept = strided<3>({rows, heads}, {by_row, by_row, none});
  const auto gone = strided<3>({size}, {Strides{1}, Strides{1}, Strides{0}});
  const auto scales_walk = strided<4>({heads}, {Strides{1}, Strides{1}, Strides{0}, Strides{0}});
  const Strides by_element = {row_stride, size, 1};
  const auto queries_walk =
      strided<4>({rows, heads, size}, {by_element, by_element, Strides{0, 1, 0}, Strides{0, 0, 0}});
  if (!kept || !gone || !scales_walk || !queries_walk) return false;
  for (float* const each : {queries, keys}) {
    NormaliseArguments a;
    a.rule = NormRule::unit;
    a.order = 2;
    a.eps = 1e-12;
    a.input = each;
    a.output = each;
    a.kept = *kept;
    a.gone = *gone;
    a.lanes = lanes_for(kept->elements, gone->elements, false);
    maker.add(a);
  }
  float* const scales = maker.scratch(heads);
  MapArguments exponential = map_of(MapFunction::exp, logits, nullptr, scales);
  exponential.shape = *scales_walk;
  maker.add(exponential);
  MapArguments limited = map_of(MapFunction::minimum, scales, nullptr, scales);
  limited.numbers[1] = 100;
  limited.shape = *scales_walk;
  maker.add(limited);
  MapArguments scaled = map_of(MapFunction::mul, queries, scales, queries);
  scaled.shape = *queries_walk;
  maker.add(scaled);
  return true;
}

}  // namespace

bool make_windows(GeneralMaker& maker) {
  const ShiftedWindowAttention& op = maker.get<ShiftedWindowAttention>();
  const Shape& shape = maker.input().shape;  // [N, H, W, C]
  const std::int64_t channels = shape[3];
  const std::int64_t heads = op.num_heads;
  const std::int64_t size = channels / heads;
  if (size > kAttentionSize) return false;
  // Windows may be larger than the map: what is padded must be countable.
  const IntPair window = op.window_size;
  const auto area = checked_mul(window.h, window.w);
  const auto pairs = area ? checked_mul(*area, *area) : std::nullopt;
  const auto of_heads = pairs ? checked_mul(*pairs, heads) : std::nullopt;
  const auto of_map = area ? checked_mul(*area, maker.input().elements()) : std::nullopt;
  if (!of_heads || !of_map || *of_heads > kMostPlaces || *of_map > kMostPlaces) return false;

  WindowMoveArguments cut;
  cut.images = shape[0];
  cut.channels = Divisor64(channels);
  cut.down = WindowSide(shape[1], window.h, op.shift_size.h);
  cut.across = WindowSide(shape[2], window.w, op.shift_size.w);
  const std::int64_t places = *area;
  const std::int64_t windows = cut.down.windows.divisor() * cut.across.windows.divisor();
  const std::int64_t rows = cut.images * windows * places;
  float* const joined = maker.scratch(rows * channels);  // what goes in, and later what the heads give
  float* const qkv = maker.scratch(3 * rows * channels);
  const std::int64_t row = 3 * channels;
  cut.map = reinterpret_cast<float*>(maker.input_at());
  cut.windows = joined;
  maker.add(cut);

  const float* const weights = maker.parameter("qkv.weight");
  const float* const bias = op.qkv_bias ? maker.parameter("qkv.bias") : nullptr;
  const ItemRows in{joined, channels, 0};
  if (op.v2 && op.qkv_bias) {
    for (std::int64_t i = 0; i < 3; ++i) {  // its keys have no bias, whatever the file holds
      if (!add_projection(maker, 1, rows, in, channels, behind(weights, i * channels * channels),
                          i == 1 ? nullptr : behind(bias, i * channels), {behind(qkv, i * channels), row, 0},
                          channels)) {
        return false;
      }
    }
  } else if (!add_projection(maker, 1, rows, in, channels, weights, bias, {qkv, row, 0}, row)) {
    return false;
  }
  float* const keys = behind(qkv, channels);
  if (op.v2 && !add_cosines(maker, rows, heads, size, maker.parameter("logit_scale"), qkv, keys, row)) return false;

  float* const position_bias = maker.scratch(*of_heads);
  if (!add_position_bias(maker, op, bias_table(maker, op), position_bias)) return false;
  AttentionArguments a;
  a.queries = Divisor64(places);
  a.keys = places;
  a.size = a.value_size = size;
  a.q = {qkv, row, 1};
  a.k = {keys, row, 1};
  a.v = {behind(qkv, 2 * channels), row, 1};
  a.output = joined;
  a.output_row = channels;
  a.scale = op.v2 ? 1.0F : static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  a.masked_keys = places;
  a.masks[0] = {position_bias, Element::float32, false, places, 1};
  const bool is_shifted = cut.down.shift + cut.across.shift > 0;
  if (is_shifted) {
    WindowMaskArguments mask;
    mask.mask = maker.scratch(windows * *pairs);
    mask.places = Divisor64(places);
    mask.down = cut.down;
    mask.across = cut.across;
    maker.add(mask);
    a.masks[1] = {mask.mask, Element::float32, false, places, 1};
  }
  const std::int64_t each = places * row;
  const Strides of_qkv = {windows * each, each, size};
  const auto walk = strided<4 + kAttentionMasks>(
      {cut.images, windows, heads}, {Strides{windows * places * channels, places * channels, size}, of_qkv, of_qkv,
                                     of_qkv, Strides{0, 0, *pairs}, Strides{0, is_shifted ? *pairs : 0, 0}});
  if (!walk) return false;
  a.heads = *walk;
  maker.add(a);

  const float* const out_weights = maker.parameter("proj.weight");
  const float* const out_bias = op.proj_bias ? maker.parameter("proj.bias") : nullptr;
  if (!add_projection(maker, 1, rows, in, channels, out_weights, out_bias, {qkv, channels, 0}, channels)) return false;
  cut.is_back = true;
  cut.map = maker.floats_out();
  cut.windows = qkv;
  maker.add(cut);
  return true;
}

}  // namespace rushlight::cuda
