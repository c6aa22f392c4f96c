// output[head][query] = softmax over keys of (q[head][query] . k[head][key] * scale + masks) times v[head][key]: what
// ScaledDotProductAttention and MultiheadAttention have in common.
//
// One warp takes one query of one head: its lanes share the dot product of each key and the columns of the output. The
// keys are gone through twice, for the largest score and for the sum, and a third time where the weights are wanted.
// Bytes moved: 4 * (size + value_size) for each key and query, most of it from the cache, and 4 * value_size out.
// Accuracy: fp32, the maximum subtracted; the sum of exponentials in double.
// Where all keys are masked the row is 0 or NaN, as torch has it in either place.
// Tests: operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/softmax.cuh"
#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

// Values of a query, and columns of an output, that a lane keeps.
inline constexpr int kAttentionShare = 8;
inline constexpr std::int64_t kAttentionSize = kAttentionShare * kWarpThreads;
inline constexpr int kAttentionThreads = 128;

struct AttentionRows {
  const float* first = nullptr;
  std::int64_t row = 0;
  std::int64_t column = 1;
};

// Added to the scores of the first `keys` keys, or, of bools, telling which of them do not count.
struct AttentionMask {
  const void* first = nullptr;  // or null
  Element element = Element::float32;
  bool true_counts = false;  // bools: true says that the key counts
  std::int64_t row = 0;
  std::int64_t column = 0;
};

inline constexpr int kAttentionMasks = 2;
struct AttentionArguments {
  AttentionRows q;
  AttentionRows k;
  AttentionRows v;
  AttentionMask masks[kAttentionMasks];
  std::int64_t masked_keys = 0;  // keys behind these have no mask
  float* output = nullptr;
  std::int64_t output_row = 0;
  float* weights = nullptr;  // [head][query][key], or null
  bool is_causal = false;
  bool zero_masked_rows = false;
  float scale = 1;
  Divisor64 queries;
  std::int64_t keys = 0;
  std::int64_t size = 0;                    // of a query and a key, at most kAttentionSize
  std::int64_t value_size = 0;              // likewise
  StridedShape<4 + kAttentionMasks> heads;  // output, q, k, v, masks
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const AttentionArguments& a) {
  const std::int64_t wanted =
      ceil_div<std::int64_t>(a.heads.elements * a.queries.divisor(), kAttentionThreads / kWarpThreads);
  return {wanted < kElementBlocks ? wanted : kElementBlocks, kAttentionThreads};
}

// One query of one head, as one warp sees it.
template <class Block>
class AttentionQuery {
 public:
  RUSHLIGHT_KERNEL AttentionQuery(Block& block, const AttentionArguments& a, std::int64_t item)
      : block_(block), a_(a), lane_(block.thread() % kWarpThreads), head_(a.queries.quotient(item)) {
    query_ = a.queries.remainder(item, head_);
    places_ = places_of(a.heads, head_);
    const float* const q = a.q.first + places_.at[1] + query_ * a.q.row;
    RUSHLIGHT_UNROLL
    for (int i = 0; i < kAttentionShare; ++i) {
      const std::int64_t place = lane_ + i * kWarpThreads;
      q_[i] = place < a.size ? q[place * a.q.column] : 0.0F;
    }
  }

  RUSHLIGHT_KERNEL void run() {
    float largest = kMinusInfinity;
    for (std::int64_t key = 0; key < a_.keys; ++key) {
      const float value = score(key);
      // NaN stays.
      largest = value > largest || value != value ? value : largest;
    }
    const bool is_masked = a_.zero_masked_rows && largest == kMinusInfinity;
    double sum = 0;
    float outputs[kAttentionShare] = {};
    for (std::int64_t key = 0; key < a_.keys && !is_masked; ++key) {
      const float weight = exponential(score(key) - largest);
      sum += static_cast<double>(weight);
      const float* const v = a_.v.first + places_.at[3] + key * a_.v.row;
      RUSHLIGHT_UNROLL
      for (int i = 0; i < kAttentionShare; ++i) {
        const std::int64_t place = lane_ + i * kWarpThreads;
        if (place < a_.value_size) outputs[i] = fused(weight, v[place * a_.v.column], outputs[i]);
      }
    }
    float* const output = a_.output + places_.at[0] + query_ * a_.output_row;
    RUSHLIGHT_UNROLL
    for (int i = 0; i < kAttentionShare; ++i) {
      const std::int64_t place = lane_ + i * kWarpThreads;
      if (place < a_.value_size) {
        output[place] = is_masked ? 0.0F : static_cast<float>(static_cast<double>(outputs[i]) / sum);
      }
    }
    if (a_.weights == nullptr) return;
    float* const weights = a_.weights + (head_ * a_.queries.divisor() + query_) * a_.keys;
    for (std::int64_t key = 0; key < a_.keys; ++key) {
      const float value = score(key);
      if (lane_ != key % kWarpThreads) continue;
      weights[key] = is_masked ? 0.0F : static_cast<float>(static_cast<double>(exponential(value - largest)) / sum);
    }
  }

 private:
  // The same bits in all lanes.
  RUSHLIGHT_KERNEL float score(std::int64_t key) {
    if (a_.is_causal && key > query_) return kMinusInfinity;
    const float* const k = a_.k.first + places_.at[2] + key * a_.k.row;
    float own = 0.0F;
    RUSHLIGHT_UNROLL
    for (int i = 0; i < kAttentionShare; ++i) {
      const std::int64_t place = lane_ + i * kWarpThreads;
      if (place < a_.size) own = fused(q_[i], k[place * a_.k.column], own);
    }
    float value = warp_sum(block_, own) * a_.scale;
    for (int i = 0; i < kAttentionMasks; ++i) {
      const AttentionMask& mask = a_.masks[i];
      if (mask.first == nullptr || key >= a_.masked_keys) continue;
      const std::int64_t place = places_.at[4 + i] + query_ * mask.row + key * mask.column;
      if (mask.element == Element::float32) {
        value += static_cast<const float*>(mask.first)[place];
      } else if ((static_cast<const std::uint8_t*>(mask.first)[place] != 0) != mask.true_counts) {
        value = kMinusInfinity;
      }
    }
    return value;
  }

  Block& block_;
  const AttentionArguments& a_;
  const int lane_;
  const std::int64_t head_;
  std::int64_t query_ = 0;
  StridedPlaces<4 + kAttentionMasks> places_;
  float q_[kAttentionShare];
};

template <class Block>
RUSHLIGHT_KERNEL void attention_kernel(Block& block, const AttentionArguments& a) {
  constexpr int kWarps = kAttentionThreads / kWarpThreads;
  const std::int64_t items = a.heads.elements * a.queries.divisor();
  for (std::int64_t item = block.index() * kWarps + block.thread() / kWarpThreads; item < items;
       item += block.count() * kWarps) {
    AttentionQuery<Block>(block, a, item).run();
  }
}

}  // namespace rushlight::cuda
