#!/bin/sh
# Runs a Python script with an interpreter that can import all of the packages it needs: $RUSHLIGHT_PYTHON where that is
# set, else Debian's, then the one on PATH.
#   with_packages.sh "PACKAGE ..." SCRIPT [ARGUMENT...]
# Without one it prints "SKIPPED: " and the reason, and ends with 77.
# Nothing is written beside the scripts.
export PYTHONDONTWRITEBYTECODE=1
packages=$(echo "$1" | sed 's/ /, /g')
shift
for python in ${RUSHLIGHT_PYTHON:-/usr/bin/python3 python3}; do
  if "$python" -c "import $packages" 2>/dev/null; then
    "$python" "$@"
    exit
  fi
done
echo "SKIPPED: no interpreter (RUSHLIGHT_PYTHON, /usr/bin/python3, python3 on PATH) can import $packages"
exit 77
