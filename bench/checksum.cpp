// Checksums over memory, beside a plain read of the same bytes, which no checksum can beat, and beside zlib's CRC.
// Sizes: 1 MiB stays in the second-level cache, 64 MiB and 1 GiB do not.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#if defined(RUSHLIGHT_BENCH_ZLIB)
#include <zlib.h>
#endif

#include "checksum/chunks.hpp"
#include "checksum/crc32.hpp"
#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"
#include "rushlight/executor.hpp"

namespace {

using rushlight::ByteSpan;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::size_t kMostBytes = std::size_t{1} << 30;

// One buffer for all of them, touched once so that no run pays for its pages; empty when there is no memory.
ByteSpan bytes(benchmark::State& state) {
  static const std::unique_ptr<std::byte[]> buffer = [] {
    std::unique_ptr<std::byte[]> made(new (std::nothrow) std::byte[kMostBytes]);
    std::uint64_t x = 1;
    for (std::size_t i = 0; made && i < kMostBytes; i += sizeof x) {
      x = x * 6364136223846793005U + 1442695040888963407U;
      std::memcpy(made.get() + i, &x, sizeof x);
    }
    return made;
  }();
  if (!buffer) {
    state.SkipWithError("no memory for the buffer");
    return {};
  }
  return {buffer.get(), static_cast<std::size_t>(state.range(0))};
}

template <class Work>
void measure(benchmark::State& state, const Work& work) {
  const ByteSpan span = bytes(state);
  for ([[maybe_unused]] auto _ : state) {
    auto result = work(span);
    benchmark::DoNotOptimize(result);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// Four sums, so that the additions do not wait for each other.
void plain_read(benchmark::State& state) {
  measure(state, [](ByteSpan span) {
    std::uint64_t sums[4] = {};
    for (std::size_t i = 0; i + sizeof sums <= span.size(); i += sizeof sums) {
      std::uint64_t words[4];
      std::memcpy(words, span.data() + i, sizeof words);
      for (int lane = 0; lane < 4; ++lane) sums[lane] += words[lane];
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
  });
}

void crc32(benchmark::State& state) {
  state.SetLabel(rushlight::checksum::crc32_implementation());
  measure(state, [](ByteSpan span) { return rushlight::checksum::crc32(span); });
}

void crc32_all_processors(benchmark::State& state) {
  const std::unique_ptr<rushlight::Executor> pool = rushlight::make_thread_pool();
  state.SetLabel(std::to_string(pool->concurrency()) + " threads");
  measure(state, [&](ByteSpan span) { return rushlight::checksum::crc32_parallel(span, pool.get()); });
}

void xxh3_128(benchmark::State& state) {
  state.SetLabel(rushlight::checksum::xxh3_implementation());
  measure(state, [](ByteSpan span) { return rushlight::checksum::xxh3_128(span); });
}

// Both of each 4 MiB, as verify() computes them of a file with a manifest.
void crc32_and_xxh3_128(benchmark::State& state) {
  measure(state, [](ByteSpan span) {
    std::uint32_t last = 0;
    constexpr std::size_t kChunk = rushlight::checksum::kChunkBytes;
    for (std::size_t at = 0; at < span.size(); at += kChunk) {
      std::uint32_t crc = 0;
      auto digest =
          rushlight::checksum::hash_chunk(span.subspan(at, std::min(kChunk, span.size() - at)), {.xxh3 = true}, &crc);
      benchmark::DoNotOptimize(digest);
      last ^= crc;
    }
    return last;
  });
}

void sha256(benchmark::State& state) {
  if (!rushlight::checksum::sha256_available()) {
    state.SkipWithError("built without OpenSSL");
    return;
  }
  measure(state, [](ByteSpan span) { return *rushlight::checksum::sha256(span); });
}

#if defined(RUSHLIGHT_BENCH_ZLIB)
void rival_zlib_crc32(benchmark::State& state) {
  state.SetLabel(zlibVersion());
  measure(state,
          [](ByteSpan span) { return ::crc32_z(0, reinterpret_cast<const unsigned char*>(span.data()), span.size()); });
}
BENCHMARK(rival_zlib_crc32)->Arg(kMiB)->Arg(64 * kMiB)->Arg(1024 * kMiB);
#endif

void locate_flipped_bit(benchmark::State& state) {
  std::uint32_t difference = 1;
  for ([[maybe_unused]] auto _ : state) {
    auto place = rushlight::checksum::locate_flipped_bit(difference, (std::uint64_t{1} << 29) - 1);
    benchmark::DoNotOptimize(place);
    difference += 0x9E3779B9U;
  }
}

BENCHMARK(plain_read)->Arg(kMiB)->Arg(64 * kMiB)->Arg(1024 * kMiB);
BENCHMARK(crc32)->Arg(kMiB)->Arg(64 * kMiB)->Arg(1024 * kMiB);
BENCHMARK(crc32_all_processors)->Arg(64 * kMiB)->Arg(1024 * kMiB)->UseRealTime();
BENCHMARK(xxh3_128)->Arg(kMiB)->Arg(64 * kMiB)->Arg(1024 * kMiB);
BENCHMARK(crc32_and_xxh3_128)->Arg(kMiB)->Arg(64 * kMiB)->Arg(1024 * kMiB);
BENCHMARK(sha256)->Arg(64 * kMiB);
BENCHMARK(locate_flipped_bit);

}  // namespace
