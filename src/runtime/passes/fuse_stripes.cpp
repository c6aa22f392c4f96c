#include "runtime/passes/fuse_stripes.hpp"

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

namespace rushlight::runtime {
namespace {

constexpr std::size_t kNoStep = static_cast<std::size_t>(-1);
// Of what lies between two layers: fewer leave no stripes to share among threads. Signals have a single one; how many
// others need was not measured.
constexpr std::int64_t kLeastLines = 16;

// Who makes and who reads each buffer, as long as one does each.
struct BufferUse {
  std::size_t maker = kNoStep;
  std::size_t reader = kNoStep;
  std::size_t count = 0;  // operands that lie in it
};

class Stripes {
 public:
  Stripes(Plan& plan, const PlanOptions& options) : plan_(plan), options_(options), uses_(plan.buffers.size()) {
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const StepTensors tensors = tensors_of(plan.steps[i]);
      for (const TensorId tensor : tensors.inputs) {
        BufferUse& use = uses_[plan.tensors[tensor].buffer];
        use.reader = i;
        ++use.count;
      }
      for (const TensorId tensor : tensors.outputs) {
        BufferUse& use = uses_[plan.tensors[tensor].buffer];
        use.maker = i;
        ++use.count;
      }
    }
  }

  void run() {
    std::vector<bool> erase(plan_.steps.size(), false);
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      if (const auto* pool = std::get_if<MaxPoolStep>(&plan_.steps[i].work)) {
        if (take_quads(i, *pool, erase)) continue;
        const std::size_t before = first_under(pool->input, erase);
        if (before == kNoStep || !may_be_pooled(*conv_at(before), *pool)) continue;
        plan_.steps[i].work = StripeStep{.first = *conv_at(before), .window = *pool, .last = {}, .quads = {}};
        erase[before] = true;
        continue;
      }
      const auto* window = std::get_if<ConvStep>(&plan_.steps[i].work);
      if (window == nullptr || window->epilogue.residual != kNone) continue;
      const bool is_tiled = has_tiles(*window);
      if (!is_tiled && !is_depthwise(*window)) continue;
      const std::size_t before = first_under(window->input, erase);
      const ConvStep* first = conv_at(before);
      if (first == nullptr || has_tiles(*first) || !is_large(first->output)) continue;
      // Of few channels: at the edges of stripes lines are computed twice.
      if (is_tiled && !plan_.tensors[first->input].is_planar) continue;
      StripeStep stripes{.first = *first, .window = *window, .last = {}, .quads = {}};
      erase[before] = true;
      const std::size_t after = is_tiled ? kNoStep : reader_of(window->output);
      const ConvStep* last = conv_at(after);
      if (last != nullptr && is_pointwise(*last) && are_same_pictures(window->output, last->input)) {
        stripes.last = *last;
        erase[i] = true;
        plan_.steps[after].work = std::move(stripes);
      } else {
        plan_.steps[i].work = std::move(stripes);
      }
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      if (erase[i]) continue;
      if (kept != i) plan_.steps[kept] = std::move(plan_.steps[i]);
      ++kept;
    }
    plan_.steps.resize(kept);
  }

 private:
  // Step `i` becomes the stripes whose tiles it pools.
  bool take_quads(std::size_t i, const MaxPoolStep& pool, std::vector<bool>& erase) {
    const std::size_t before = maker_of(pool.input);
    const auto* const stripes = before == kNoStep ? nullptr : std::get_if<StripeStep>(&plan_.steps[before].work);
    const auto* const window = stripes == nullptr ? nullptr : std::get_if<ConvStep>(&stripes->window);
    if (window == nullptr || !has_tiles(*window) || !are_same_pictures(window->output, pool.input) ||
        !pool.is_of_quads(plan_.tensors[window->output], plan_.tensors[pool.output])) {
      return false;
    }
    StripeStep pooled = *stripes;
    pooled.quads = pool;
    plan_.steps[i].work = std::move(pooled);
    erase[before] = true;
    return true;
  }

  // The step that makes what only one other step reads, and the other way round; kNoStep otherwise.
  [[nodiscard]] std::size_t maker_of(TensorId tensor) const { return between(tensor) ? use_of(tensor).maker : kNoStep; }
  [[nodiscard]] std::size_t reader_of(TensorId tensor) const {
    return between(tensor) ? use_of(tensor).reader : kNoStep;
  }
  [[nodiscard]] const BufferUse& use_of(TensorId tensor) const { return uses_[plan_.tensors[tensor].buffer]; }
  [[nodiscard]] bool between(TensorId tensor) const {
    const BufferUse& use = use_of(tensor);
    const PlannedTensor& planned = plan_.tensors[tensor];
    return plan_.buffers[planned.buffer].place == Place::arena && use.count == 2 && use.maker != kNoStep &&
           use.reader != kNoStep && planned.begin_bytes == 0 && planned.is_dense();
  }
  // Reshapes are no steps: a reader may see the same memory as other pictures, of which other rows are neighbours.
  [[nodiscard]] bool are_same_pictures(TensorId a, TensorId b) const {
    const PlannedTensor& x = plan_.tensors[a];
    const PlannedTensor& y = plan_.tensors[b];
    return x.n == y.n && x.h == y.h && x.w == y.w && x.c == y.c;
  }
  [[nodiscard]] const ConvStep* conv_at(std::size_t step) const {
    return step == kNoStep ? nullptr : std::get_if<ConvStep>(&plan_.steps[step].work);
  }
  [[nodiscard]] bool is_depthwise(const ConvStep& step) const {
    const PlannedTensor& input = plan_.tensors[step.input];
    return step.groups > 1 && step.groups == input.c && step.groups == plan_.tensors[step.output].c;
  }
  [[nodiscard]] bool is_pointwise(const ConvStep& step) const {
    const PlannedTensor& input = plan_.tensors[step.input];
    const PlannedTensor& output = plan_.tensors[step.output];
    return step.kernel == IntPair{1} && step.stride == IntPair{1} && step.padding == IntPair{0} && step.groups == 1 &&
           input.h == output.h && input.w == output.w;
  }
  // The convolution that makes these pictures for nobody else; kNoStep where there is none that may begin stripes.
  [[nodiscard]] std::size_t first_under(TensorId pictures, const std::vector<bool>& erased) const {
    const std::size_t before = maker_of(pictures);
    const ConvStep* const first = conv_at(before);
    if (first == nullptr || erased[before] || !are_same_pictures(first->output, pictures)) return kNoStep;
    return first->groups == 1 && first->epilogue.residual == kNone ? before : kNoStep;
  }
  [[nodiscard]] std::uint64_t image_bytes(TensorId tensor) const {
    const PlannedTensor& pictures = plan_.tensors[tensor];
    return static_cast<std::uint64_t>(pictures.h * pictures.w * pictures.c) * sizeof(float);
  }
  [[nodiscard]] bool has_tiles(const ConvStep& step) const {
    return options_.has_tiles && options_.has_tiles(step, plan_.tensors[step.input], plan_.tensors[step.output]);
  }
  // Whether stripes are worth their while for what lies between two layers.
  [[nodiscard]] bool is_large(TensorId tensor) const {
    return image_bytes(tensor) > options_.stripe_cache_bytes / 4 && plan_.tensors[tensor].h >= kLeastLines;
  }
  [[nodiscard]] bool may_be_pooled(const ConvStep& first, const MaxPoolStep& pool) const {
    const PlannedTensor& input = plan_.tensors[first.input];
    const PlannedTensor& wide = plan_.tensors[first.output];
    if (has_tiles(first)) return pool.is_of_quads(wide, plan_.tensors[pool.output]);
    // Each stripe reads the weights.
    const auto weights = static_cast<std::uint64_t>(input.c * wide.c * first.kernel.h * first.kernel.w);
    return is_large(first.output) && weights * sizeof(float) <= image_bytes(first.output);
  }

  Plan& plan_;
  const PlanOptions& options_;
  std::vector<BufferUse> uses_;
};

}  // namespace

void fuse_stripes(Plan& plan, const PlanOptions& options) {
  Stripes(plan, options).run();
}

}  // namespace rushlight::runtime
