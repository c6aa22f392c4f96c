// AVX-512: 32 registers of 16 floats. 6 x 64 takes 24 of them; narrower outputs get more rows, as far as there are
// registers for their pointers.
#define RUSHLIGHT_KERNELS avx512_kernels
#define RUSHLIGHT_LANES 16
#define RUSHLIGHT_TILE_ROWS {6, 8, 8}
#define RUSHLIGHT_INT8_ROWS {6, 8, 8}
#define RUSHLIGHT_LINE_GROUPS 4
#include "runtime/cpu/kernels/kernels.inc"
