#!/bin/sh
# headers_alone.sh CXX INCLUDE_DIR HEADER...: each header compiles by itself, with warnings as errors.
set -eu
cxx=$1
include=$2
shift 2
[ $# -ge 15 ] || { echo "only $# headers"; exit 1; }
for header in "$@"; do
  "$cxx" -std=c++20 -Wall -Wextra -Wconversion -Werror -fsyntax-only -I "$include" -x c++ "$header" 2>&1 |
    grep -v 'pragma once in main file' | grep -E 'error|warning: [^#]' && { echo "$header"; exit 1; }
done
for flags in -std=c++23 '-std=c++20 -fno-exceptions -fno-rtti'; do
  # shellcheck disable=SC2086
  "$cxx" $flags -Wall -Wextra -Wconversion -Werror -fsyntax-only -I "$include" -include rushlight/rushlight.hpp -x c++ /dev/null
done
echo "$# headers compile alone"
