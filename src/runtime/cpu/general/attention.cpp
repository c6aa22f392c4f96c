// Attention in its forms, and embeddings.
//
// A task takes a block of queries of one head: scores against all keys, softmax, weighted sum of the values. Nothing of
// the size queries x keys leaves its scratch, unless the weights are an output.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/cpu/general/products.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// One operand of a head: rows of `size` floats.
struct HeadRows {
  const float* data = nullptr;
  std::ptrdiff_t row = 0;
  std::ptrdiff_t column = 1;
};

class Attention {
 public:
  Attention(const Kernels& kernels, std::size_t keys, std::size_t size, std::size_t value_size, bool zero_masked_rows)
      : softmax_(kernels.softmax),
        score_kernel_(choose_gemm(kernels, keys, false).kernel),
        value_kernel_(choose_gemm(kernels, value_size, false).kernel),
        keys_(keys),
        size_(size),
        value_size_(value_size),
        zero_masked_rows_(zero_masked_rows),
        panel_floats_(rounded(std::max(size * score_kernel_.width, keys * value_kernel_.width))),
        score_floats_(rounded(kProductRows * keys)) {}

  [[nodiscard]] std::size_t scratch_bytes() const noexcept {
    return (panel_floats_ + score_floats_ + kProductRows * size_) * sizeof(float);
  }
  [[nodiscard]] double operations(std::size_t queries) const noexcept {
    return static_cast<double>(queries) * static_cast<double>(keys_) *
           (2.0 * static_cast<double>(size_ + value_size_) + 20);
  }

  // At most kProductRows queries. mask(scores, query) changes the scaled scores of one of them. `weights`: where the
  // softmax is wanted besides, [rows][keys], or null.
  template <class Mask>
  void run(HeadRows q, HeadRows k, HeadRows v, std::size_t rows, float scale, Mask mask, float* output,
           std::size_t output_stride, float* weights, std::byte* scratch) const noexcept {
    float* const panel = reinterpret_cast<float*>(scratch);
    float* const scores = panel + panel_floats_;
    if (q.column != 1) {
      float* const copy = scores + score_floats_;
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = 0; i < size_; ++i) {
          copy[r * size_ + i] =
              q.data[static_cast<std::ptrdiff_t>(r) * q.row + static_cast<std::ptrdiff_t>(i) * q.column];
        }
      }
      q = {copy, static_cast<std::ptrdiff_t>(size_), 1};
    }
    PanelProduct product;
    product.panel = panel;
    product.rows = rows;
    product.a = q.data;
    product.a_stride = q.row;
    product.depth = size_;
    product.output_stride = keys_;
    for (std::size_t first = 0; first < keys_; first += score_kernel_.width) {
      product.columns = std::min(score_kernel_.width, keys_ - first);
      product.output = scores + first;
      pack_panel(k.data + static_cast<std::ptrdiff_t>(first) * k.row, k.column, k.row, size_, product.columns,
                 score_kernel_.width, panel);
      multiply(score_kernel_, product);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      float* const row = scores + r * keys_;
      for (std::size_t i = 0; i < keys_; ++i) row[i] *= scale;
      mask(row, r);
      const bool is_masked =
          zero_masked_rows_ && std::all_of(row, row + keys_, [](float score) { return score == kMinusInfinity; });
      if (is_masked) {
        std::fill_n(row, keys_, 0.0F);
      } else {
        SoftmaxCall call;
        call.input = call.output = row;
        call.axis = keys_;
        call.inner = 1;
        softmax_(call);
      }
      if (weights != nullptr) std::copy_n(row, keys_, weights + r * keys_);
    }
    product.a = scores;
    product.a_stride = static_cast<std::ptrdiff_t>(keys_);
    product.depth = keys_;
    product.output_stride = output_stride;
    for (std::size_t first = 0; first < value_size_; first += value_kernel_.width) {
      product.columns = std::min(value_kernel_.width, value_size_ - first);
      product.output = output + first;
      pack_panel(v.data + static_cast<std::ptrdiff_t>(first) * v.column, v.row, v.column, keys_, product.columns,
                 value_kernel_.width, panel);
      multiply(value_kernel_, product);
    }
  }

 private:
  static std::size_t rounded(std::size_t floats) noexcept { return (floats + 15) / 16 * 16; }

  void (*softmax_)(const SoftmaxCall&);
  GemmKernel score_kernel_;
  GemmKernel value_kernel_;
  std::size_t keys_;
  std::size_t size_;
  std::size_t value_size_;
  bool zero_masked_rows_;
  std::size_t panel_floats_;
  std::size_t score_floats_;
};

// --- scaled_dot_product_attention ---

void add_scaled_dot_product(Builder& b, const ScaledDotProductAttention& op) {
  const Operand& q = b.input(0);
  const Operand& k = b.input(1);
  const Operand& v = b.input(2);
  const std::size_t rank = q.shape.size();
  const std::size_t queries = size_of(q.shape[rank - 2]);
  const std::size_t keys = size_of(k.shape[rank - 2]);
  const std::size_t size = size_of(q.shape[rank - 1]);
  const std::size_t value_size = size_of(v.shape[rank - 1]);
  Strides mask_strides(rank, 0);
  if (b.input_count() == 4) {
    Shape scores = b.output().shape;
    scores[rank - 1] = k.shape[rank - 2];
    mask_strides = broadcast_strides(b.input(3), scores);
  }
  // Batches of each operand. Fewer heads of keys: several heads of queries share one.
  Nest q_batches;
  Nest k_batches;
  Nest v_batches;
  Nest mask_batches;
  for (std::size_t d = 0; d + 2 < rank; ++d) {
    const std::int64_t count = b.output().shape[d];
    const auto push = [&](Nest& nest, const Operand& operand) {
      const std::int64_t own = operand.shape[d];
      const std::int64_t shared = op.enable_gqa && d + 3 == rank && own > 0 ? count / own : own == 1 ? count : 1;
      nest.push(count / std::max<std::int64_t>(shared, 1), operand.strides[d]);
      nest.push(shared, 0);
    };
    push(q_batches, q);
    push(k_batches, k);
    push(v_batches, v);
    mask_batches.push(count, mask_strides[d]);
  }
  const Attention attention(b.kernels(), keys, size, value_size, true);
  const auto scale = static_cast<float>(op.scale.value_or(1 / std::sqrt(static_cast<double>(size))));
  const std::size_t blocks = parts_of(queries, kProductRows);
  const TensorId mask = b.input_count() == 4 ? b.input(3).tensor : kNone;
  const bool is_bool = mask != kNone && b.input(3).dtype == DType::boolean;
  b.add_ranges(
      mask_batches.count * blocks, attention.operations(std::min(queries, kProductRows)),
      [=, is_causal = op.is_causal, q_tensor = q.tensor, k_tensor = k.tensor, v_tensor = v.tensor,
       y = b.output().tensor, q_row = q.strides[rank - 2], q_column = q.strides[rank - 1], k_row = k.strides[rank - 2],
       k_column = k.strides[rank - 1], v_row = v.strides[rank - 2], v_column = v.strides[rank - 1],
       mask_row = mask_strides[rank - 2], mask_column = mask_strides[rank - 1]](Range range, const Frame& frame) {
        for (std::size_t task = range.first; task < range.last; ++task) {
          const std::size_t batch = task / blocks;
          const Range rows = part_range(task % blocks, queries, kProductRows);
          const auto first = static_cast<std::ptrdiff_t>(rows.first);
          const auto apply_mask = [&](float* scores, std::size_t r) {
            const std::size_t query = rows.first + r;
            if (mask != kNone) {
              const std::ptrdiff_t place = mask_batches.at(batch) + static_cast<std::ptrdiff_t>(query) * mask_row;
              for (std::size_t i = 0; i < keys; ++i) {
                const std::ptrdiff_t at = place + static_cast<std::ptrdiff_t>(i) * mask_column;
                if (!is_bool) {
                  scores[i] += frame.at(mask)[at];
                } else if (frame.at<std::uint8_t>(mask)[at] == 0) {
                  scores[i] = kMinusInfinity;
                }
              }
            }
            for (std::size_t i = query + 1; is_causal && i < keys; ++i) scores[i] = kMinusInfinity;
          };
          attention.run({frame.at(q_tensor) + q_batches.at(batch) + first * q_row, q_row, q_column},
                        {frame.at(k_tensor) + k_batches.at(batch), k_row, k_column},
                        {frame.at(v_tensor) + v_batches.at(batch), v_row, v_column}, rows.last - rows.first, scale,
                        apply_mask, frame.at(y) + (batch * queries + rows.first) * value_size, value_size, nullptr,
                        frame.scratch);
        }
      },
      attention.scratch_bytes());
}

// --- MultiheadAttention ---

// [L, N, E], [N, L, E] or [L, E].
struct Sequence {
  std::size_t length = 0;
  std::size_t items = 1;
  std::ptrdiff_t item_stride = 0;
  std::ptrdiff_t place_stride = 0;

  Sequence(const Operand& operand, bool batch_first) {
    const Shape& shape = operand.shape;
    if (shape.size() == 2) {
      length = size_of(shape[0]);
      place_stride = static_cast<std::ptrdiff_t>(operand.strides[0]);
      return;
    }
    const std::size_t batch = batch_first ? 0 : 1;
    items = size_of(shape[batch]);
    length = size_of(shape[1 - batch]);
    item_stride = static_cast<std::ptrdiff_t>(operand.strides[batch]);
    place_stride = static_cast<std::ptrdiff_t>(operand.strides[1 - batch]);
  }
};

// A mask over [keys] of one query and item: true or -inf says masked.
void apply(const void* mask, DType dtype, std::size_t place, std::size_t keys, float* scores) noexcept {
  if (dtype == DType::boolean) {
    const auto* masked = static_cast<const std::uint8_t*>(mask) + place;
    for (std::size_t i = 0; i < keys; ++i) scores[i] = masked[i] != 0 ? kMinusInfinity : scores[i];
  } else {
    const float* added = static_cast<const float*>(mask) + place;
    for (std::size_t i = 0; i < keys; ++i) scores[i] += added[i];
  }
}

Status add_multihead(Builder& b, const MultiheadAttention& op) {
  const Sequence query(b.input(0), op.batch_first);
  const Sequence key(b.input(1), op.batch_first);
  const Sequence value(b.input(2), op.batch_first);
  const Sequence out(b.output(), op.batch_first);
  const std::size_t embed = size_of(op.embed_dim);
  const std::size_t heads = size_of(op.num_heads);
  const std::size_t size = embed / heads;
  const std::size_t items = query.items;
  const std::size_t given = key.length;  // keys from outside: masks cover these
  const std::size_t keys = given + (op.add_bias_kv ? 1 : 0) + (op.add_zero_attn ? 1 : 0);

  Projection in[3];
  const std::string bias = op.bias ? "in_proj_bias" : "";
  if (op.kdim || op.vdim) {
    constexpr const char* kNames[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    for (std::size_t i = 0; i < 3; ++i) {
      RUSHLIGHT_TRY_ASSIGN(in[i], Projection::make(b, kNames[i], bias, {.bias_group = i}));
    }
  } else {
    RUSHLIGHT_TRY_ASSIGN(in[0], Projection::make(b, "in_proj_weight", bias, {.groups = 3}));
    in[1] = in[2] = in[0];
  }
  const bool is_packed = !op.kdim && !op.vdim;
  RUSHLIGHT_TRY_ASSIGN(const Projection out_projection,
                       Projection::make(b, "out_proj.weight", op.bias ? "out_proj.bias" : ""));

  const TensorId shared = b.context().shared();
  const auto row = static_cast<std::ptrdiff_t>(embed);
  const auto memory = [&](std::size_t length) {
    return Rows{shared, b.share({items, length, embed}), row, static_cast<std::ptrdiff_t>(length) * row};
  };
  const auto rows_of = [&](std::size_t i, const Sequence& sequence) {
    return Rows{b.input(i).tensor, 0, sequence.place_stride, sequence.item_stride};
  };
  const Rows q = memory(query.length);
  const Rows k = memory(keys);
  const Rows v = memory(keys);
  const Rows joined = memory(query.length);
  add_projection(b, in[0], 0, items, query.length, rows_of(0, query), q);
  add_projection(b, in[1], is_packed ? 1 : 0, items, given, rows_of(1, key), k);
  add_projection(b, in[2], is_packed ? 2 : 0, items, given, rows_of(2, value), v);
  if (keys > given) {
    std::span<const float> bias_k;
    std::span<const float> bias_v;
    if (op.add_bias_kv) {
      RUSHLIGHT_TRY_ASSIGN(bias_k, b.parameter("bias_k"));
      RUSHLIGHT_TRY_ASSIGN(bias_v, b.parameter("bias_v"));
    }
    b.add_ranges(items, 4 * static_cast<double>(embed), [=](Range range, const Frame& frame) {
      for (std::size_t item = range.first; item < range.last; ++item) {
        for (const bool is_value : {false, true}) {
          const Rows& rows = is_value ? v : k;
          const std::span<const float> learnt = is_value ? bias_v : bias_k;
          float* to = frame.at(rows.tensor) + rows.offset + (item * keys + given) * embed;
          if (!learnt.empty()) to = std::copy(learnt.begin(), learnt.end(), to);
          if (given + (learnt.empty() ? 0 : 1) < keys) std::fill_n(to, embed, 0.0F);
        }
      }
    });
  }

  const bool wants_weights = b.output_count() > 1;
  const bool averages = wants_weights && op.average_attn_weights;
  Rows weights;
  if (averages) {
    weights = {shared, b.share({items, heads, query.length, keys}), 0, 0};
  } else if (wants_weights) {
    weights = {b.output(1).tensor, 0, 0, 0};
  }
  const TensorId attn_mask = op.attn_mask ? b.input(3).tensor : kNone;
  const DType attn_type = op.attn_mask ? b.input(3).dtype : DType::f32;
  const bool mask_per_head = op.attn_mask && b.input(3).shape.size() == 3;
  const std::size_t last = b.input_count() - 1;
  const TensorId padding_mask = op.key_padding_mask ? b.input(last).tensor : kNone;
  const DType padding_type = op.key_padding_mask ? b.input(last).dtype : DType::f32;
  const Attention attention(b.kernels(), keys, size, size, !op.need_weights);
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  const std::size_t queries = query.length;
  const std::size_t blocks = parts_of(queries, kProductRows);
  b.add_ranges(
      items * heads * blocks, attention.operations(std::min(queries, kProductRows)),
      [=](Range range, const Frame& frame) {
        for (std::size_t task = range.first; task < range.last; ++task) {
          const std::size_t head = task / blocks % heads;
          const std::size_t item = task / blocks / heads;
          const Range rows = part_range(task % blocks, queries, kProductRows);
          const auto mask = [&](float* scores, std::size_t r) {
            const std::size_t place = (mask_per_head ? (item * heads + head) * queries : 0) + rows.first + r;
            if (attn_mask != kNone) apply(frame.at(attn_mask), attn_type, place * given, given, scores);
            if (padding_mask != kNone) apply(frame.at(padding_mask), padding_type, item * given, given, scores);
          };
          const auto head_rows = [&](const Rows& all, std::size_t length, std::size_t first) {
            return HeadRows{frame.at(all.tensor) + all.offset + (item * length + first) * embed + head * size, row, 1};
          };
          float* const to =
              frame.at(joined.tensor) + joined.offset + (item * queries + rows.first) * embed + head * size;
          float* const weights_to = weights.tensor == kNone ? nullptr
                                                            : frame.at(weights.tensor) + weights.offset +
                                                                  ((item * heads + head) * queries + rows.first) * keys;
          attention.run(head_rows(q, queries, rows.first), head_rows(k, keys, 0), head_rows(v, keys, 0),
                        rows.last - rows.first, scale, mask, to, embed, weights_to, frame.scratch);
        }
      },
      attention.scratch_bytes());
  if (averages) {
    const std::size_t each = queries * keys;
    b.add_ranges(items * each, 2 * static_cast<double>(heads),
                 [=, y = b.output(1).tensor](Range range, const Frame& frame) {
                   for (std::size_t i = range.first; i < range.last; ++i) {
                     const float* from = frame.at(weights.tensor) + weights.offset + i / each * heads * each + i % each;
                     double sum = 0;
                     for (std::size_t head = 0; head < heads; ++head) sum += static_cast<double>(from[head * each]);
                     frame.at(y)[i] = static_cast<float>(sum / static_cast<double>(heads));
                   }
                 });
  }
  add_projection(b, out_projection, 0, items, queries, joined,
                 {b.output().tensor, 0, out.place_stride, out.item_stride});
  return {};
}

// --- ShiftedWindowAttention ---

// More than any memory holds.
constexpr std::int64_t kMostPlaces = std::int64_t{1} << 56;

// What is added to the scores of a window: the position bias, [heads][places][places].
Result<std::vector<float>> position_bias(Builder& b, const ShiftedWindowAttention& op) {
  const std::int64_t height = op.window_size.h;
  const std::int64_t width = op.window_size.w;
  const std::int64_t across = 2 * width - 1;
  const std::size_t heads = size_of(op.num_heads);
  const std::size_t distances = size_of((2 * height - 1) * across);
  const std::int64_t places = height * width;
  RUSHLIGHT_TRY(b.claim_table({heads, size_of(places), size_of(places), sizeof(float)}));
  std::vector<float> table(distances * heads);
  if (!op.v2) {
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> learnt, b.parameter("relative_position_bias_table"));
    std::copy(learnt.begin(), learnt.end(), table.begin());
  } else {
    // A small network over the logarithms of distances, as the table is in the first version.
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> first, b.parameter("cpb_mlp.0.weight"));
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> first_bias, b.parameter("cpb_mlp.0.bias"));
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> second, b.parameter("cpb_mlp.2.weight"));
    const auto scaled = [](std::int64_t distance, std::int64_t size) {
      const double x = 8 * static_cast<double>(distance) / static_cast<double>(size - 1);
      return std::copysign(std::log2(std::abs(x) + 1) / 3, x);
    };
    const std::size_t hidden = first_bias.size();
    std::vector<double> between(hidden);
    for (std::size_t i = 0; i < distances; ++i) {
      const auto place = static_cast<std::int64_t>(i);
      const double h = scaled(place / across - (height - 1), height);
      const double w = scaled(place % across - (width - 1), width);
      for (std::size_t k = 0; k < hidden; ++k) {
        const double sum = h * static_cast<double>(first[2 * k]) + w * static_cast<double>(first[2 * k + 1]) +
                           static_cast<double>(first_bias[k]);
        between[k] = sum < 0 ? 0 : sum;
      }
      for (std::size_t head = 0; head < heads; ++head) {
        double sum = 0;
        for (std::size_t k = 0; k < hidden; ++k) sum += between[k] * static_cast<double>(second[head * hidden + k]);
        table[i * heads + head] = static_cast<float>(16 / (1 + std::exp(-sum)));
      }
    }
  }
  std::vector<float> bias(heads * size_of(places * places));
  for (std::size_t head = 0; head < heads; ++head) {
    for (std::int64_t i = 0; i < places; ++i) {
      for (std::int64_t k = 0; k < places; ++k) {
        const std::int64_t index = (i / width - k / width + height - 1) * across + i % width - k % width + width - 1;
        bias[(head * size_of(places) + size_of(i)) * size_of(places) + size_of(k)] =
            table[size_of(index) * heads + head];
      }
    }
  }
  return bias;
}

// The regions whose places do not see each other after the shift, as torchvision numbers them. Where one shift is 0 its
// slices are empty or everything, as Python's are.
std::vector<int> shifted_regions(std::int64_t height, std::int64_t width, IntPair window, IntPair shift) {
  struct Slice {
    std::int64_t first;
    std::int64_t last;
  };
  const auto slices = [](std::int64_t size, std::int64_t of_window, std::int64_t of_shift) {
    const std::int64_t third = of_shift == 0 ? 0 : std::max<std::int64_t>(0, size - of_shift);
    return std::vector<Slice>{{0, size - of_window}, {size - of_window, third}, {third, size}};
  };
  std::vector<int> regions(size_of(height * width), 0);
  int count = 0;
  for (const Slice& down : slices(height, window.h, shift.h)) {
    for (const Slice& across : slices(width, window.w, shift.w)) {
      for (std::int64_t h = down.first; h < down.last; ++h) {
        for (std::int64_t w = across.first; w < across.last; ++w) regions[size_of(h * width + w)] = count;
      }
      ++count;
    }
  }
  return regions;
}

Status add_shifted_window(Builder& b, const ShiftedWindowAttention& op) {
  const Shape& shape = b.input().shape;  // [N, H, W, C]
  const std::int64_t height = shape[1];
  const std::int64_t width = shape[2];
  const std::size_t channels = size_of(shape[3]);
  const std::size_t heads = size_of(op.num_heads);
  const std::size_t size = channels / heads;
  const IntPair window = op.window_size;
  // Windows may be larger than the image: what is padded must be countable.
  const auto area = checked_mul(window.h, window.w);
  const auto squared = area ? checked_mul(*area, *area) : std::nullopt;
  const auto per_head = squared ? checked_mul(*squared, op.num_heads) : std::nullopt;
  const auto per_image = area ? checked_mul(*area, height * width) : std::nullopt;
  if (!per_head || !per_image || *per_head > kMostPlaces || *per_image > kMostPlaces) {
    return arena_too_large(std::nullopt, b.context().options.limits);
  }
  const std::int64_t down = (height + window.h - 1) / window.h;
  const std::int64_t across = (width + window.w - 1) / window.w;
  const std::int64_t padded_height = down * window.h;
  const std::int64_t padded_width = across * window.w;
  IntPair shift = op.shift_size;
  if (window.h >= padded_height) shift.h = 0;
  if (window.w >= padded_width) shift.w = 0;
  const bool shifts = shift.h + shift.w > 0;
  const std::size_t places = size_of(window.h * window.w);
  const std::size_t windows = size_of(shape[0] * down * across);
  const std::size_t windows_each = size_of(down * across);

  RUSHLIGHT_TRY_ASSIGN(const Projection qkv,
                       Projection::make(b, "qkv.weight", op.qkv_bias ? "qkv.bias" : "",
                                        {.groups = 3, .zero_group = op.v2 ? std::size_t{1} : std::size_t{3}}));
  RUSHLIGHT_TRY_ASSIGN(const Projection proj, Projection::make(b, "proj.weight", op.proj_bias ? "proj.bias" : ""));
  RUSHLIGHT_TRY_ASSIGN(std::vector<float> bias_values, position_bias(b, op));
  const auto bias = std::make_shared<const std::vector<float>>(std::move(bias_values));
  std::vector<float> scales(heads, static_cast<float>(1 / std::sqrt(static_cast<double>(size))));
  if (op.v2) {
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> logits, b.parameter("logit_scale"));
    for (std::size_t head = 0; head < heads; ++head) {
      scales[head] = static_cast<float>(std::exp(std::min(static_cast<double>(logits[head]), std::log(100.0))));
    }
  }
  // For each window of an image and place in it: the pixel it shows, -1 in the padding; and its region.
  struct Places {
    std::vector<std::int64_t> pixels;
    std::vector<int> regions;
  };
  const std::size_t places_each = windows_each * places;
  RUSHLIGHT_TRY(b.claim_table({places_each, sizeof(std::int64_t) + sizeof(int)}));
  const auto seen = std::make_shared<Places>();
  seen->pixels.reserve(places_each);
  seen->regions.reserve(places_each);
  const std::vector<int> regions = shifted_regions(padded_height, padded_width, window, shift);
  for (std::int64_t i = 0; i < down * across; ++i) {
    for (std::int64_t place = 0; place < window.h * window.w; ++place) {
      const std::int64_t h = i / across * window.h + place / window.w;
      const std::int64_t w = i % across * window.w + place % window.w;
      const std::int64_t from_h = ((h + shift.h) % padded_height + padded_height) % padded_height;
      const std::int64_t from_w = ((w + shift.w) % padded_width + padded_width) % padded_width;
      seen->pixels.push_back(from_h < height && from_w < width ? from_h * width + from_w : -1);
      seen->regions.push_back(regions[size_of(h * padded_width + w)]);
    }
  }

  const TensorId shared = b.context().shared();
  const std::size_t rows = windows * places;
  // Inputs, then what the heads give; queries, keys and values; what the output is made of.
  const std::size_t in = b.share({rows, channels});
  const std::size_t out = b.share({rows, channels});
  std::size_t parts[3];
  for (std::size_t& each : parts) each = b.share({rows, channels});
  const auto row = static_cast<std::ptrdiff_t>(channels);
  const auto image_floats = size_of(height * width) * channels;
  b.add_ranges(rows, static_cast<double>(channels), [=, x = b.input().tensor](Range range, const Frame& frame) {
    for (std::size_t i = range.first; i < range.last; ++i) {
      const std::int64_t pixel = seen->pixels[i % places_each];
      float* const to = frame.at(shared) + in + i * channels;
      if (pixel < 0) {
        std::fill_n(to, channels, 0.0F);
      } else {
        const std::size_t image = i / places_each;
        std::copy_n(frame.at(x) + image * image_floats + size_of(pixel) * channels, channels, to);
      }
    }
  });
  for (std::size_t group = 0; group < 3; ++group) {
    add_projection(b, qkv, group, 1, rows, {shared, in, row, 0}, {shared, parts[group], row, 0});
  }
  if (op.v2) {
    b.add_ranges(2 * rows * heads, 6 * static_cast<double>(size),
                 [=, q = parts[0], k = parts[1]](Range range, const Frame& frame) {
                   for (std::size_t i = range.first; i < range.last; ++i) {
                     float* const x = frame.at(shared) + (i % 2 == 0 ? q : k) + i / 2 * size;
                     double squares = 0;
                     for (std::size_t c = 0; c < size; ++c)
                       squares += static_cast<double>(x[c]) * static_cast<double>(x[c]);
                     const double norm = std::max(std::sqrt(squares), 1e-12);
                     for (std::size_t c = 0; c < size; ++c) x[c] = static_cast<float>(static_cast<double>(x[c]) / norm);
                   }
                 });
  }
  const Attention attention(b.kernels(), places, size, size, false);
  const std::size_t blocks = parts_of(places, kProductRows);
  b.add_ranges(
      windows * heads * blocks, attention.operations(std::min(places, kProductRows)),
      [=, q = parts[0], k = parts[1], v = parts[2]](Range range, const Frame& frame) {
        for (std::size_t task = range.first; task < range.last; ++task) {
          const std::size_t head = task / blocks % heads;
          const std::size_t w = task / blocks / heads;
          const Range queries = part_range(task % blocks, places, kProductRows);
          const int* const region = seen->regions.data() + w % windows_each * places;
          const auto mask = [&](float* scores, std::size_t r) {
            const std::size_t query = queries.first + r;
            const float* const added = bias->data() + (head * places + query) * places;
            for (std::size_t i = 0; i < places; ++i) scores[i] += added[i];
            for (std::size_t i = 0; shifts && i < places; ++i) {
              if (region[i] != region[query]) scores[i] -= 100.0F;
            }
          };
          const auto head_rows = [&](std::size_t offset, std::size_t first) {
            return HeadRows{frame.at(shared) + offset + (w * places + first) * channels + head * size, row, 1};
          };
          attention.run(head_rows(q, queries.first), head_rows(k, 0), head_rows(v, 0), queries.last - queries.first,
                        scales[head], mask,
                        frame.at(shared) + in + (w * places + queries.first) * channels + head * size, channels,
                        nullptr, frame.scratch);
        }
      },
      attention.scratch_bytes());
  add_projection(b, proj, 0, 1, rows, {shared, in, row, 0}, {shared, out, row, 0});
  b.add_ranges(rows, static_cast<double>(channels), [=, y = b.output().tensor](Range range, const Frame& frame) {
    for (std::size_t i = range.first; i < range.last; ++i) {
      const std::int64_t pixel = seen->pixels[i % places_each];
      if (pixel < 0) continue;
      const std::size_t image = i / places_each;
      std::copy_n(frame.at(shared) + out + i * channels, channels,
                  frame.at(y) + image * image_floats + size_of(pixel) * channels);
    }
  });
  return {};
}

// --- embeddings ---

Status add_embedding(Builder& b, const Embedding& op) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> table, b.parameter("weight"));
  const Operand& indices = b.input();
  b.check_indices(indices, op.num_embeddings, false);
  const std::size_t size = size_of(op.embedding_dim);
  b.add_ranges(size_of(indices.elements()), 2 * static_cast<double>(size),
               [=, k = indices.tensor, type = indices.dtype, y = b.output().tensor](Range range, const Frame& frame) {
                 for (std::size_t i = range.first; i < range.last; ++i) {
                   const auto index = size_of(index_at(frame.at(k), type, static_cast<std::int64_t>(i)));
                   std::copy_n(table.data() + index * size, size, frame.at(y) + i * size);
                 }
               });
  return {};
}

// A matrix of indices has a bag in each row; of a vector the second input says where bags begin.
Status add_embedding_bag(Builder& b, const EmbeddingBag& op) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> table, b.parameter("weight"));
  const Operand& indices = b.input();
  const bool is_matrix = indices.shape.size() == 2;
  const std::size_t size = size_of(op.embedding_dim);
  const std::size_t count = size_of(indices.elements());
  const std::size_t bags = size_of(b.output().shape[0]);
  const std::size_t row = is_matrix ? size_of(indices.shape[1]) : 0;
  const TensorId offsets = is_matrix ? kNone : b.input(1).tensor;
  const DType offset_type = is_matrix ? DType::i64 : b.input(1).dtype;
  const std::size_t offset_count = is_matrix ? 0 : size_of(b.input(1).elements());
  const bool is_weighted = b.input_count() == (is_matrix ? 2U : 3U);
  const TensorId weights = is_weighted ? b.input(b.input_count() - 1).tensor : kNone;
  b.check_indices(indices, op.num_embeddings, false);
  if (!is_matrix) b.check_indices(b.input(1), static_cast<std::int64_t>(count) + 1, true);
  std::int64_t padding = op.padding_idx.value_or(-1);
  if (op.padding_idx && padding < 0) padding += op.num_embeddings;
  const double each =
      4 * static_cast<double>(size) * static_cast<double>(count) / static_cast<double>(std::max<std::size_t>(1, bags));
  b.add_ranges(bags, each + 20,
               [=, mode = op.mode, k = indices.tensor, type = indices.dtype, y = b.output().tensor](
                   Range range, const Frame& frame) {
                 const auto offset = [&](std::size_t bag) {
                   return size_of(index_at(frame.at(offsets), offset_type, static_cast<std::int64_t>(bag)));
                 };
                 for (std::size_t bag = range.first; bag < range.last; ++bag) {
                   const std::size_t first = is_matrix ? bag * row : offset(bag);
                   const std::size_t last = is_matrix ? first + row : bag + 1 < offset_count ? offset(bag + 1) : count;
                   constexpr std::size_t kWidth = 64;
                   for (std::size_t column = 0; column < size; column += kWidth) {
                     const std::size_t width = std::min(kWidth, size - column);
                     double sums[kWidth] = {};
                     std::size_t members = 0;
                     for (std::size_t i = first; i < last; ++i) {
                       const std::int64_t index = index_at(frame.at(k), type, static_cast<std::int64_t>(i));
                       if (index == padding) continue;
                       const float* from = table.data() + size_of(index) * size + column;
                       const double weight = weights == kNone ? 1.0 : static_cast<double>(frame.at(weights)[i]);
                       for (std::size_t c = 0; c < width; ++c) {
                         const double value = static_cast<double>(from[c]);
                         if (mode == BagMode::max) {
                           sums[c] = members == 0 || value > sums[c] || std::isnan(value) ? value : sums[c];
                         } else {
                           sums[c] += weight * value;
                         }
                       }
                       ++members;
                     }
                     for (std::size_t c = 0; c < width; ++c) {
                       const bool divides = mode == BagMode::mean && members > 0;
                       frame.at(y)[bag * size + column + c] =
                           static_cast<float>(divides ? sums[c] / static_cast<double>(members) : sums[c]);
                     }
                   }
                 }
               });
  return {};
}

}  // namespace

Status build_attention(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::Embedding:
      return add_embedding(b, b.get<Embedding>());
    case OperatorKind::EmbeddingBag:
      return add_embedding_bag(b, b.get<EmbeddingBag>());
    case OperatorKind::MultiheadAttention:
      return add_multihead(b, b.get<MultiheadAttention>());
    case OperatorKind::ShiftedWindowAttention:
      return add_shifted_window(b, b.get<ShiftedWindowAttention>());
    default:
      add_scaled_dot_product(b, b.get<ScaledDotProductAttention>());
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
