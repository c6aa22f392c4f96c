#!/bin/sh
# pkg_config.sh PKG_CONFIG CXX PREFIX SOURCE PROGRAM ARGUMENT: builds and runs a program with pkg-config's flags alone.
set -eu
PKG_CONFIG_PATH=$(find "$3" -name pkgconfig -type d | head -n 1)
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
"$2" -std=c++20 "$4" -o "$5" $("$1" --cflags --libs rushlight)
"$5" "$6"
# The runtime's flags resolve too.
"$1" --libs rushlight-runtime
