# AArch64 Linux from another machine: Debian's cross compiler, and QEMU for programs that the build or ctest starts.
# Libraries of the target are looked for in CMAKE_FIND_ROOT_PATH only, which preset `aarch64` sets and
# tests/cross/aarch64.sh fills.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
# The versioned name, since Debian has packages with nothing but that; another one with -DCMAKE_CXX_COMPILER=.
if(NOT CMAKE_CXX_COMPILER)
  set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)
endif()
# The C library of the cross compiler, by which QEMU starts what is linked with it.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L /usr/aarch64-linux-gnu)

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
