// For whatever the compiler targets by itself: 16-byte vectors, which every x86-64 and AArch64 has.
#define RUSHLIGHT_KERNELS baseline_kernels
#define RUSHLIGHT_LANES 4
#define RUSHLIGHT_TILE_ROWS {0, 4, 8}
#include "runtime/cpu/kernels/kernels.inc"
