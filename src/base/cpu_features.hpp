// What the processor can do, asked once where a kernel is chosen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rushlight {

// The instruction sets kernels are compiled for; each contains the ones before it.
enum class Isa : std::uint8_t {
  baseline,  // what the compiler targets anyway: SSE2 on x86-64, NEON on AArch64
  avx2,      // AVX2 and FMA
  avx512,    // AVX-512 F, BW, DQ and VL
};

// "baseline", "avx2", "avx512".
[[nodiscard]] std::string_view to_string(Isa isa) noexcept;
[[nodiscard]] std::optional<Isa> parse_isa(std::string_view name) noexcept;

// Bits of the processor that are also enabled by the operating system (XCR0).
struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C, which all such processors have
  bool avx512 = false;       // F, BW, DQ, VL
  bool avx512_bf16 = false;  // VDPBF16PS
  bool avx512_vnni = false;  // VPDPBUSD
  bool amx_bf16 = false;     // TDPBF16PS, with AMX-TILE. Linux wants to be asked before tiles are used (ask_for_amx())
  bool amx_int8 = false;     // TDPBUSD, likewise
  bool splits_avx512 = false;  // its units are 256 bits wide and take vectors of 512 in two halves
};
[[nodiscard]] CpuFeatures detect_cpu_features() noexcept;

// The best instruction set for this processor. The environment variable RUSHLIGHT_ISA may name a lower one, for tests
// and comparisons; unknown names and higher ones change nothing.
[[nodiscard]] Isa usable_isa() noexcept;
// The rule by itself: what `features` allow, lowered by `wanted` (the variable's value, or null).
[[nodiscard]] Isa choose_isa(const CpuFeatures& features, const char* wanted) noexcept;

// Asks the system, once a process, to save the tiles of AMX for all of its threads: whether they may be used. Without
// tiles nothing is asked for; a process that never asks pays nothing for them at its task switches and signals.
[[nodiscard]] bool ask_for_amx() noexcept;

// Bytes of one core's second-level cache; 1 MiB where the system does not say.
[[nodiscard]] std::size_t l2_cache_bytes() noexcept;

// Family, model and stepping as CPUID gives them; 0 where there is no such thing. For telling processors apart, never
// for choosing what to compute.
[[nodiscard]] std::uint32_t cpu_model() noexcept;

// "AMD EPYC 9554 64-Core Processor"; empty where the processor does not say.
[[nodiscard]] std::string cpu_brand();

}  // namespace rushlight
