#!/bin/sh
# Runs a Python script with an interpreter that can import torch and NumPy: Debian's, then the one on PATH.
#   with_torch.sh SCRIPT [ARGUMENT...]
# Without one it prints "SKIPPED: " and the reason, and ends with 77.
# Nothing is written beside the scripts.
export PYTHONDONTWRITEBYTECODE=1
for python in /usr/bin/python3 python3; do
  if version=$("$python" -c 'import numpy, torch; print(torch.__version__)' 2>/dev/null); then
    echo "$(command -v "$python"), torch $version"
    "$python" "$@"
    exit
  fi
done
echo "SKIPPED: neither /usr/bin/python3 nor python3 on PATH can import torch and numpy (Debian: apt install python3-torch)"
exit 77
