// For whatever the compiler targets by itself: 16-byte vectors, which every x86-64 and AArch64 has.
#define RUSHLIGHT_KERNELS baseline_kernels
#define RUSHLIGHT_LANES 4
#if defined(__aarch64__)
// NEON: 32 registers of 4 floats, and fused multiply-adds. 6 x 16 takes 24 of them for sums.
#define RUSHLIGHT_TILE_ROWS {6, 8, 8}
#define RUSHLIGHT_INT8_ROWS {4, 6, 8}
#define RUSHLIGHT_LINE_GROUPS 4
#else
// SSE2: 16 registers.
#define RUSHLIGHT_TILE_ROWS {0, 4, 8}
#define RUSHLIGHT_INT8_ROWS {0, 4, 6}
#define RUSHLIGHT_LINE_GROUPS 2
#endif
#include "runtime/cpu/kernels/kernels.inc"
