#include "base/cpu_features.hpp"

#include <unistd.h>
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define RUSHLIGHT_X86 1
#else
#define RUSHLIGHT_X86 0
#endif

namespace rushlight {
namespace {

#if RUSHLIGHT_X86

struct CpuidRegisters {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero for leaves the processor does not have.
CpuidRegisters cpuid(unsigned leaf, unsigned subleaf = 0) noexcept {
  CpuidRegisters r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

constexpr bool has_bit(unsigned value, unsigned bit) noexcept {
  return (value >> bit & 1U) != 0;
}

// XCR0: the register states the operating system saves (Intel SDM vol. 1, 13.3). Only valid with OSXSAVE.
std::uint64_t enabled_states() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<std::uint64_t>(high) << 32 | low;
}

#endif

}  // namespace

std::string_view to_string(Isa isa) noexcept {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

std::optional<Isa> parse_isa(std::string_view name) noexcept {
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (name == to_string(isa)) return isa;
  }
  return std::nullopt;
}

CpuFeatures detect_cpu_features() noexcept {
  CpuFeatures features;
#if RUSHLIGHT_X86
  // Bits from Intel SDM vol. 2, CPUID.
  const CpuidRegisters leaf1 = cpuid(1);
  const bool osxsave = has_bit(leaf1.ecx, 27);
  if (!osxsave) return features;
  const std::uint64_t states = enabled_states();
  constexpr std::uint64_t kYmm = 0x06;         // XMM and the upper halves of YMM
  constexpr std::uint64_t kZmm = kYmm | 0xE0;  // opmask, upper halves of ZMM0-15, ZMM16-31
  const CpuidRegisters leaf7 = cpuid(7);
  const bool ymm = (states & kYmm) == kYmm;
  const bool zmm = (states & kZmm) == kZmm;
  features.avx2 = ymm && has_bit(leaf1.ecx, 28) /* AVX */ && has_bit(leaf1.ecx, 12) /* FMA */ &&
                  has_bit(leaf1.ecx, 29) /* F16C */ && has_bit(leaf7.ebx, 5) /* AVX2 */;
  features.avx512 = features.avx2 && zmm && has_bit(leaf7.ebx, 16) /* F */ && has_bit(leaf7.ebx, 17) /* DQ */ &&
                    has_bit(leaf7.ebx, 30) /* BW */ && has_bit(leaf7.ebx, 31) /* VL */;
  features.avx512_vnni = features.avx512 && has_bit(leaf7.ecx, 11);
  features.avx512_bf16 = features.avx512 && leaf7.eax >= 1 && has_bit(cpuid(7, 1).eax, 5);
  constexpr std::uint64_t kTiles = 0x60000;  // TILECFG and TILEDATA
  const bool tiles = features.avx512 && (states & kTiles) == kTiles && has_bit(leaf7.edx, 24) /* AMX-TILE */;
  features.amx_bf16 = tiles && has_bit(leaf7.edx, 22);
  features.amx_int8 = tiles && has_bit(leaf7.edx, 25);
  // FP256 and FP512 (AMD APM vol. 3, CPUID 8000001A): how wide units are. Intel's with AVX-512 are 512 bits wide, and
  // that leaf is not there.
  const unsigned widths = cpuid(0x8000001AU).eax;
  features.splits_avx512 = features.avx512 && has_bit(widths, 2) && !has_bit(widths, 3);
#endif
  return features;
}

Isa choose_isa(const CpuFeatures& features, const char* wanted) noexcept {
  const Isa best = features.avx512 ? Isa::avx512 : features.avx2 ? Isa::avx2 : Isa::baseline;
  if (wanted == nullptr) return best;
  return std::min(best, parse_isa(wanted).value_or(best));
}

Isa usable_isa() noexcept {
  return choose_isa(detect_cpu_features(), std::getenv("RUSHLIGHT_ISA"));
}

bool ask_for_amx() noexcept {
#if defined(__linux__) && defined(__x86_64__) && defined(SYS_arch_prctl)
  static const bool granted = [] {
    constexpr long kRequest = 0x1023;  // ARCH_REQ_XCOMP_PERM, Linux 5.16
    constexpr long kTileData = 18;     // XFEATURE_XTILEDATA
    const CpuFeatures features = detect_cpu_features();
    return (features.amx_bf16 || features.amx_int8) && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  }();
  return granted;
#else
  return false;
#endif
}

std::size_t l2_cache_bytes() noexcept {
  constexpr std::size_t kUsual = std::size_t{1} << 20;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return static_cast<std::size_t>(bytes);
#endif
  return kUsual;
}

std::uint32_t cpu_model() noexcept {
#if RUSHLIGHT_X86
  return cpuid(1).eax;
#else
  return 0;
#endif
}

std::string cpu_brand() {
  std::string brand;
#if RUSHLIGHT_X86
  constexpr unsigned kBrandFirst = 0x80000002U;
  constexpr unsigned kBrandLast = 0x80000004U;
  if (cpuid(0x80000000U).eax < kBrandLast) return brand;
  std::array<char, 48> text{};
  for (unsigned leaf = kBrandFirst; leaf <= kBrandLast; ++leaf) {
    const CpuidRegisters r = cpuid(leaf);
    const std::array<unsigned, 4> words{r.eax, r.ebx, r.ecx, r.edx};
    std::memcpy(text.data() + (leaf - kBrandFirst) * sizeof words, words.data(), sizeof words);
  }
  // Padded with spaces in front on some processors, ended with NUL on most.
  brand.assign(text.data(), strnlen(text.data(), text.size()));
  const std::size_t first = brand.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  brand = brand.substr(first, brand.find_last_not_of(' ') - first + 1);
  brand.erase(std::remove_if(brand.begin(), brand.end(), [](char c) { return c < 0x20 || c > 0x7E; }), brand.end());
#endif
  return brand;
}

}  // namespace rushlight
