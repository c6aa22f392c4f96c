// Session::run allocates nothing after the first run with a shape: every way to the heap is counted here.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"

// Sanitizers bring allocators of their own; then nothing is replaced and the tests skip.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RUSHLIGHT_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define RUSHLIGHT_COUNTS_ALLOCATIONS 0
#endif
#endif
#if !defined(RUSHLIGHT_COUNTS_ALLOCATIONS)
#if defined(__GLIBC__)
#define RUSHLIGHT_COUNTS_ALLOCATIONS 1
#else
#define RUSHLIGHT_COUNTS_ALLOCATIONS 0
#endif
#endif

namespace {
std::atomic<bool> counting{false};
std::atomic<std::size_t> allocations{0};
std::atomic<std::size_t> allocated_bytes{0};  // as asked for; what is freed again counts too

[[maybe_unused]] void count(std::size_t size) {
  if (!counting) return;
  ++allocations;
  allocated_bytes += size;
}
}  // namespace

#if RUSHLIGHT_COUNTS_ALLOCATIONS
// Visible to libstdc++, whatever the visibility of everything else.
#define RUSHLIGHT_EXPORTED __attribute__((visibility("default")))

// operator new of libstdc++ ends in malloc or aligned_alloc, so these see both; glibc keeps its own under these names.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

RUSHLIGHT_EXPORTED void* malloc(std::size_t size) {
  count(size);
  return __libc_malloc(size);
}
RUSHLIGHT_EXPORTED void* calloc(std::size_t items, std::size_t size) {
  count(items * size);
  return __libc_calloc(items, size);
}
RUSHLIGHT_EXPORTED void* realloc(void* old, std::size_t size) {
  count(size);
  return __libc_realloc(old, size);
}
RUSHLIGHT_EXPORTED void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count(size);
  return __libc_memalign(alignment, size);
}
RUSHLIGHT_EXPORTED int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  count(size);
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}
#endif

namespace rushlight::test {
namespace {

// Allocations of `runs` calls of run() on one set of buffers.
std::size_t allocations_of_runs(Session& session, const Shape& shape, int runs) {
  const std::vector<float> input = values_for("input", shape);
  const Shape out_shape = session.output_shapes(std::span(&shape, 1)).value()[0];
  std::vector<float> output(static_cast<std::size_t>(numel_of(out_shape)));
  const TensorView in{.data = input.data(), .shape = shape};
  const MutableTensorView out{.data = output.data(), .shape = out_shape};
  EXPECT_TRUE(session.run(std::span(&in, 1), std::span(&out, 1)));
  const std::size_t before = allocations;
  counting = true;
  bool good = true;
  for (int i = 0; i < runs; ++i) good = session.run(std::span(&in, 1), std::span(&out, 1)).has_value() && good;
  counting = false;
  EXPECT_TRUE(good);
  return allocations - before;
}

TEST(Allocation, TheCounterCounts) {
  if (!RUSHLIGHT_COUNTS_ALLOCATIONS) GTEST_SKIP() << "allocations cannot be counted in this build";
  counting = true;
  void* const volatile one = std::malloc(10);
  void* const volatile two = ::operator new(10);
  void* const volatile three = ::operator new (128, std::align_val_t{64});
  counting = false;
  std::free(one);
  ::operator delete(two);
  ::operator delete (three, std::align_val_t{64});
  EXPECT_GE(allocations, 3U);
}

TEST(Allocation, RunsAfterTheFirstMakeNone) {
  if (!RUSHLIGHT_COUNTS_ALLOCATIONS) GTEST_SKIP() << "allocations cannot be counted in this build";
  const std::pair<Model, Shape> cases[] = {{made_up_model(mlp_net()), {4, 784}},
                                           {made_up_model(normed_mlp_net()), {4, 12}},
                                           {made_up_model(fashion_net()), {8, 1, 28, 28}},
                                           {made_up_model(vgg_net()), {2, 3, 48, 50}},
                                           {made_up_model(resnet_net()), {2, 3, 65, 63}}};
  for (const auto& [model, shape] : cases) {
    for (const unsigned threads : {1U, 3U}) {
      Session session = model.session(Device::cpu(), {.threads = threads}).value();
      EXPECT_EQ(0U, allocations_of_runs(session, shape, 5)) << threads << " threads";
    }
    Session reference = model.session(Device::cpu(), {.implementation = Implementation::reference}).value();
    EXPECT_EQ(0U, allocations_of_runs(reference, shape, 2)) << "reference";
  }
}

TEST(Allocation, GeneralOperatorsMakeNone) {
  if (!RUSHLIGHT_COUNTS_ALLOCATIONS) GTEST_SKIP() << "allocations cannot be counted in this build";
  GraphBuilder g;
  Edge x = g.apply("patches", Conv2d{3, 32, 4, 4}, g.input("x"));
  x = g.apply("", GELU{}, g.apply("norm", GroupNorm{4, 32}, x));
  x = g.apply("", Upsample{.scale_factor = {1.5}, .mode = InterpolationMode::bicubic}, x);
  x = g.apply("", Roll{.shifts = {1}, .dims = {2}}, g.apply("up", ConvTranspose2d{32, 16, 2, 2}, x));
  x = g.apply("", Flatten{.start_dim = 2}, x);
  x = g.apply("", Transpose{.dim0 = 1, .dim1 = 2}, x);
  const Edge inputs[] = {x, x, x};
  x = g.apply("attention", MultiheadAttention{.embed_dim = 16, .num_heads = 2, .batch_first = true}, inputs);
  x = g.apply("gru", GRU{.input_size = 16, .hidden_size = 8, .batch_first = true}, x);
  g.output("y", g.apply("", TopK{.k = 3}, g.apply("", LogSoftmax{}, x)));
  const Model model = made_up_model(g.build().value());
  for (const unsigned threads : {1U, 3U}) {
    Session session = model.session(Device::cpu(), {.threads = threads}).value();
    EXPECT_EQ(0U, allocations_of_runs(session, {2, 3, 24, 20}, 5)) << threads << " threads";
  }
}

TEST(Allocation, GoingBackAndForthBetweenKnownShapesMakesNone) {
  if (!RUSHLIGHT_COUNTS_ALLOCATIONS) GTEST_SKIP() << "allocations cannot be counted in this build";
  const Model model = made_up_model(mlp_net());
  Session session = model.session().value();
  const Shape shapes[] = {{1, 784}, {8, 784}};
  const std::vector<float> input = values_for("input", {8, 784});
  std::vector<float> output(80);
  const auto run = [&](const Shape& shape) {
    const Shape out_shape{shape[0], 10};
    const TensorView in{.data = input.data(), .shape = shape};
    const MutableTensorView out{.data = output.data(), .shape = out_shape};
    const std::size_t before = allocations;
    counting = true;
    const bool good = session.run(std::span(&in, 1), std::span(&out, 1)).has_value();
    counting = false;
    EXPECT_TRUE(good);
    return allocations - before;
  };
  run(shapes[0]);
  run(shapes[1]);
  EXPECT_EQ(0U, run(shapes[0]));
  EXPECT_EQ(0U, run(shapes[1]));
}

// What a plan says of huge sizes is as short as of small ones.
TEST(Allocation, PlanningToPadAndRollTakesNoMemoryForPlaces) {
  if (!RUSHLIGHT_COUNTS_ALLOCATIONS) GTEST_SKIP() << "allocations cannot be counted in this build";
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;
  const Operator operators[] = {Pad{.pad = {kMost, kMost}},
                                Pad{.pad = {kMost, kMost}, .mode = PadMode::reflect},
                                Pad{.pad = {kMost, kMost}, .mode = PadMode::replicate},
                                Pad{.pad = {kMost, kMost}, .mode = PadMode::circular},
                                Roll{.shifts = {5}, .dims = {2}},
                                Roll{.shifts = {5}}};
  const Shape shape = {1, 1, kMost + 1};
  for (const Operator& op : operators) {
    GraphBuilder g;
    g.output("y", g.apply("", op, g.input("x")));
    const Model model = made_up_model(g.build().value());
    Session session = model.session().value();
    const std::size_t before = allocated_bytes;
    counting = true;
    const bool good = session.prepare(std::span(&shape, 1)).has_value();
    counting = false;
    EXPECT_TRUE(good);
    EXPECT_LT(allocated_bytes - before, 100'000U);
  }
}

}  // namespace
}  // namespace rushlight::test
