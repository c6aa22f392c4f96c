#!/bin/sh
# headers_alone.sh CXX INCLUDE_DIR HEADER...: each header compiles by itself, with warnings as errors.
set -eu
cxx=$1
include=$2
shift 2
[ $# -ge 15 ] || { echo "only $# headers"; exit 1; }
for header in "$@"; do
  printf '#include "rushlight/%s"\n' "$(basename "$header")" |
    "$cxx" -std=c++20 -Wall -Wextra -Wconversion -Werror -fsyntax-only -I "$include" -x c++ - || { echo "$header"; exit 1; }
done
# clang 14 knows C++23 by its working title only.
for flags in -std=c++2b '-std=c++20 -fno-exceptions -fno-rtti'; do
  # shellcheck disable=SC2086
  printf '#include "rushlight/rushlight.hpp"\n' |
    "$cxx" $flags -Wall -Wextra -Wconversion -Werror -fsyntax-only -I "$include" -x c++ -
done
echo "$# headers compile alone"
