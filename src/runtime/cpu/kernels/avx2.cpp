// AVX2 and FMA: 16 registers of 8 floats. 6 x 16 leaves four of them for weights and operands.
#define RUSHLIGHT_KERNELS avx2_kernels
#define RUSHLIGHT_LANES 8
#define RUSHLIGHT_TILE_ROWS {0, 6, 8}
#define RUSHLIGHT_INT8_ROWS {0, 4, 6}
#define RUSHLIGHT_LINE_GROUPS 2
#include "runtime/cpu/kernels/kernels.inc"
