// Attention: projections and the average over heads by the kernels there are, attention itself by its own.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "cuda/general/projections.hpp"

namespace rushlight::cuda {
namespace {

bool is_mask(DType dtype) noexcept {
  return dtype == DType::boolean || dtype == DType::f32;
}

// --- scaled_dot_product_attention ---

bool add_scaled_dot_product(GeneralMaker& maker, const ScaledDotProductAttention& op) {
  const runtime::Operand& q = maker.input(0);
  const runtime::Operand& k = maker.input(1);
  const runtime::Operand& v = maker.input(2);
  const runtime::Operand& out = maker.output();
  const std::size_t rank = q.shape.size();
  AttentionArguments a;
  a.queries = Divisor64(q.shape[rank - 2]);
  a.keys = k.shape[rank - 2];
  a.size = q.shape[rank - 1];
  a.value_size = v.shape[rank - 1];
  if (a.size > kAttentionSize || a.value_size > kAttentionSize) return false;
  a.q = {maker.floats_in(0), q.strides[rank - 2], q.strides[rank - 1]};
  a.k = {maker.floats_in(1), k.strides[rank - 2], k.strides[rank - 1]};
  a.v = {maker.floats_in(2), v.strides[rank - 2], v.strides[rank - 1]};
  a.output = maker.floats_out();
  a.output_row = out.strides[rank - 2];
  a.is_causal = op.is_causal;
  a.zero_masked_rows = true;
  a.scale = static_cast<float>(op.scale.value_or(1 / std::sqrt(static_cast<double>(a.size))));
  Strides mask(rank, 0);
  if (maker.input_count() == 4) {
    if (!is_mask(maker.input(3).dtype)) return false;
    Shape scores = out.shape;
    scores[rank - 1] = a.keys;
    mask = broadcast_strides(maker.input(3), scores);
    a.masks[0] = {maker.input_at(3), element_of(maker.input(3).dtype), true, mask[rank - 2], mask[rank - 1]};
    a.masked_keys = a.keys;
  }
  // Fewer heads of keys: several heads of queries share one. Then a dimension is two: heads, and those that share.
  Shape shape;
  std::array<Strides, 4 + kAttentionMasks> strides;
  const auto push = [&](std::int64_t size, std::array<std::int64_t, 5> each) {
    shape.push_back(size);
    for (std::size_t i = 0; i < each.size(); ++i) strides[i].push_back(each[i]);
    strides[5].push_back(0);
  };
  for (std::size_t d = 0; d + 2 < rank; ++d) {
    const std::int64_t count = out.shape[d];
    const auto stride_of = [&](const runtime::Operand& operand) {
      return operand.shape[d] == 1 ? 0 : operand.strides[d];
    };
    if (!op.enable_gqa || d + 3 != rank) {
      push(count, {out.strides[d], stride_of(q), stride_of(k), stride_of(v), mask[d]});
      continue;
    }
    const std::int64_t own = k.shape[d];
    if (q.shape[d] != count || v.shape[d] != own || own == 0 || count % own != 0) return false;
    const std::int64_t shared = count / own;
    push(own, {shared * out.strides[d], shared * q.strides[d], k.strides[d], v.strides[d], shared * mask[d]});
    push(shared, {out.strides[d], q.strides[d], 0, 0, mask[d]});
  }
  const auto heads = strided(shape, strides);
  if (!heads) return false;
  a.heads = *heads;
  maker.add(a);
  return true;
}

// --- MultiheadAttention ---

// [L, N, E], [N, L, E] or [L, E].
struct Sequence {
  std::int64_t length = 0;
  std::int64_t items = 1;
  std::int64_t item_stride = 0;
  std::int64_t place_stride = 0;

  Sequence(const runtime::Operand& operand, bool batch_first) {
    if (operand.shape.size() == 2) {
      length = operand.shape[0];
      place_stride = operand.strides[0];
      return;
    }
    const std::size_t batch = batch_first ? 0 : 1;
    items = operand.shape[batch];
    length = operand.shape[1 - batch];
    item_stride = operand.strides[batch];
    place_stride = operand.strides[1 - batch];
  }
};

// The same row of `embed` floats behind the last key of each item; without `learnt` zeros.
bool add_key(GeneralMaker& maker, std::int64_t items, std::int64_t embed, const float* learnt, bool is_learnt,
             const ItemRows& keys, std::int64_t key) {
  const auto walk = strided<4>({items, embed}, {Strides{keys.item, 1}, Strides{0, 1}, Strides{0, 0}, Strides{0, 0}});
  if (!walk) return false;
  float* const to = keys.first == nullptr ? nullptr : keys.first + key * keys.row;
  if (is_learnt) {
    MoveArguments a;
    a.yes = learnt;
    a.output = to;
    a.shape = *walk;
    maker.add(a);
    return true;
  }
  MapArguments a;  // of the number 0
  a.function = MapFunction::abs;
  a.output = to;
  a.shape = *walk;
  maker.add(a);
  return true;
}

bool add_multihead(GeneralMaker& maker, const MultiheadAttention& op) {
  const Sequence query(maker.input(0), op.batch_first);
  const Sequence key(maker.input(1), op.batch_first);
  const Sequence value(maker.input(2), op.batch_first);
  const Sequence out(maker.output(), op.batch_first);
  const std::int64_t embed = op.embed_dim;
  const std::int64_t size = embed / op.num_heads;
  const std::int64_t items = query.items;
  const std::int64_t given = key.length;  // keys from outside: masks cover these
  const std::int64_t keys = given + (op.add_bias_kv ? 1 : 0) + (op.add_zero_attn ? 1 : 0);
  if (size > kAttentionSize) return false;

  const auto memory = [&](std::int64_t length) {
    return ItemRows{maker.scratch(items * length * embed), embed, length * embed};
  };
  const ItemRows q = memory(query.length);
  const ItemRows k = memory(keys);
  const ItemRows v = memory(keys);
  const ItemRows joined = memory(query.length);
  const auto rows_of = [&](std::size_t i, const Sequence& sequence) {
    return ItemRows{reinterpret_cast<float*>(maker.input_at(i)), sequence.place_stride, sequence.item_stride};
  };
  const float* const in_bias = op.bias ? maker.parameter("in_proj_bias") : nullptr;
  const float* weights[3] = {};
  const std::int64_t features[3] = {embed, op.kdim.value_or(embed), op.vdim.value_or(embed)};
  if (op.kdim || op.vdim) {
    constexpr const char* kNames[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    for (std::size_t i = 0; i < 3; ++i) weights[i] = maker.parameter(kNames[i]);
  } else {
    weights[0] = maker.parameter("in_proj_weight");
    for (std::size_t i = 1; i < 3; ++i) {
      weights[i] = weights[0] == nullptr ? nullptr : weights[0] + static_cast<std::int64_t>(i) * embed * embed;
    }
  }
  const Sequence* const sequences[3] = {&query, &key, &value};
  const ItemRows* const targets[3] = {&q, &k, &v};
  for (std::size_t i = 0; i < 3; ++i) {
    const float* const bias = in_bias == nullptr ? nullptr : in_bias + static_cast<std::int64_t>(i) * embed;
    if (!add_projection(maker, items, sequences[i]->length, rows_of(i, *sequences[i]), features[i], weights[i], bias,
                        *targets[i], embed)) {
      return false;
    }
  }
  if (op.add_bias_kv) {
    const float* const bias_k = maker.parameter("bias_k");
    const float* const bias_v = maker.parameter("bias_v");
    if (!add_key(maker, items, embed, bias_k, true, k, given)) return false;
    if (!add_key(maker, items, embed, bias_v, true, v, given)) return false;
  }
  if (op.add_zero_attn) {
    if (!add_key(maker, items, embed, nullptr, false, k, keys - 1)) return false;
    if (!add_key(maker, items, embed, nullptr, false, v, keys - 1)) return false;
  }

  AttentionArguments a;
  a.queries = Divisor64(query.length);
  a.keys = keys;
  a.size = a.value_size = size;
  a.q = {q.first, embed, 1};
  a.k = {k.first, embed, 1};
  a.v = {v.first, embed, 1};
  a.output = joined.first;
  a.output_row = embed;
  a.zero_masked_rows = !op.need_weights;
  a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  a.masked_keys = given;
  Strides mask = {0, 0};
  if (op.attn_mask) {
    const runtime::Operand& input = maker.input(3);
    if (!is_mask(input.dtype)) return false;
    a.masks[0] = {maker.input_at(3), element_of(input.dtype), false, given, 1};
    const std::int64_t each = query.length * given;
    if (input.shape.size() == 3) mask = {op.num_heads * each, each};
  }
  if (op.key_padding_mask) {
    const std::size_t last = maker.input_count() - 1;
    if (!is_mask(maker.input(last).dtype)) return false;
    a.masks[1] = {maker.input_at(last), element_of(maker.input(last).dtype), false, 0, 1};
  }
  const auto heads = strided<4 + kAttentionMasks>({items, op.num_heads},
                                                  {Strides{q.item, size}, Strides{q.item, size}, Strides{k.item, size},
                                                   Strides{v.item, size}, mask, Strides{given, 0}},
                                                  true);
  if (!heads) return false;
  a.heads = *heads;
  const bool wants_weights = maker.output_count() > 1;
  const std::int64_t each = query.length * keys;
  if (wants_weights) {
    a.weights = op.average_attn_weights ? maker.scratch(items * op.num_heads * each) : maker.floats_out(1);
  }
  maker.add(a);
  if (wants_weights && op.average_attn_weights) {
    ReduceArguments mean;
    mean.rule = ReduceRule::mean;
    mean.input = a.weights;
    mean.values = maker.floats_out(1);
    mean.kept = *strided<1>({items, each}, {Strides{op.num_heads * each, 1}}, true);
    mean.gone = *strided<1>({op.num_heads}, {Strides{each}}, true);
    maker.add(mean);
  }
  const float* const out_weights = maker.parameter("out_proj.weight");
  const float* const out_bias = op.bias ? maker.parameter("out_proj.bias") : nullptr;
  return add_projection(maker, items, query.length, joined, embed, out_weights, out_bias,
                        {maker.floats_out(), out.place_stride, out.item_stride}, embed);
}

}  // namespace

bool make_attention(GeneralMaker& maker) {
  if (maker.op().kind() == OperatorKind::MultiheadAttention)
    return add_multihead(maker, maker.get<MultiheadAttention>());
  return add_scaled_dot_product(maker, maker.get<ScaledDotProductAttention>());
}

}  // namespace rushlight::cuda
