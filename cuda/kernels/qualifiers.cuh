// Where a function may run. Index arithmetic is called by kernels, by launchers and by tests; bodies by kernels and by
// the emulation.
#pragma once

#if defined(__CUDACC__)
#define RUSHLIGHT_HOST_DEVICE __host__ __device__
#define RUSHLIGHT_KERNEL __device__
#define RUSHLIGHT_UNROLL _Pragma("unroll")
#define RUSHLIGHT_NO_UNROLL _Pragma("unroll 1")    // where copies of the body would not fit the registers
#define RUSHLIGHT_UNROLL_BY_4 _Pragma("unroll 4")  // loops that wait for their loads
#else
#define RUSHLIGHT_HOST_DEVICE
#define RUSHLIGHT_KERNEL
#define RUSHLIGHT_UNROLL
#define RUSHLIGHT_NO_UNROLL
#define RUSHLIGHT_UNROLL_BY_4
#endif
