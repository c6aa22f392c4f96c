#!/usr/bin/env bash
# One command: installs what is missing (Debian 12), builds, runs every test. Needs no network once the packages are there.
#   ./test.sh [-R REGEX]      further arguments go to ctest
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=.ci/packages.sh
. .ci/packages.sh
# shellcheck disable=SC2086
need_packages $rushlight_build_packages $rushlight_test_packages

started=$SECONDS
cmake --preset dev $(rushlight_launcher)
cmake --build --preset dev
built=$SECONDS

status=0
ctest --test-dir build/dev --output-on-failure -j "$(nproc)" "$@" | tee build/dev/ctest.log || status=$?
# What was skipped, and why: a skip is never silent. GoogleTest prints "FILE:LINE: Skipped" and the reason below.
if grep -q 'Skipped' build/dev/ctest.log; then
  echo
  echo 'skipped, with the reason each test printed:'
  {
    grep -hoE 'SKIPPED: .*' build/dev/Testing/Temporary/LastTest.log || true
    grep -hA1 -E ': Skipped$' build/dev/Testing/Temporary/LastTest.log | grep -vE ': Skipped$|^--$' || true
  } | sort | uniq -c
fi
passed=$(sed -nE 's/.*tests passed, ([0-9]+) tests? failed out of ([0-9]+).*/\1 \2/p' build/dev/ctest.log | tail -n 1)
failed=${passed% *} total=${passed#* }
skipped=$(grep -cE '\*\*\*Skipped' build/dev/ctest.log || true)
printf 'build %d s, tests %d s\n' $((built - started)) $((SECONDS - built))
printf '%d passed, %d failed, %d skipped\n' $((total - failed - skipped)) "$failed" "$skipped"
exit "$status"
