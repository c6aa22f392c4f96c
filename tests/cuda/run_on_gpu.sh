#!/bin/sh
# Runs what needs a GPU. From a built tree:  tests/cuda/run_on_gpu.sh [BUILD_DIR]
# From a package of make_gpu_package.sh:     rushlight-gpu/run_on_gpu.sh
#
# With compute-sanitizer on the PATH the kernels run again under each of its tools. The last line is "N passed, N failed,
# N skipped". Exit: 0 when something ran and nothing failed, 1 when something failed, 77 when all was skipped.
# EVIDENCE=FILE in the environment writes the outcome there as JSON; COMMIT=... says of what, where nobody knows.
# BENCH=FILE runs the benchmark too, when nothing failed, and has its samples there (bench/README.md).
set -u

here=$(cd "$(dirname "$0")" && pwd)
if [ -d "$here/bin" ]; then
  tests=$here/bin
  bench=$here/bin
  COMMIT=${COMMIT:-$(cat "$here/commit")}
  export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export RUSHLIGHT_TESTDATA="$here/data"
else
  build=${1:-$(cd "$here/../.." && pwd)/build/cuda}
  tests=$build/tests/cuda
  bench=$build/bench
  COMMIT=${COMMIT:-$(git -C "$here" rev-parse HEAD 2> /dev/null)}
fi
passed=0
failed=0
skipped=0
programs=
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# count WORD: the number in the summary line "[  WORD  ] N tests..."
count() {
  sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) tests\{0,1\}[.,].*/\1/p" "$log" | head -n 1 | grep . || echo 0
}

# run NAME COMMAND...: a GoogleTest program
run() {
  name=$1
  shift
  echo "== $name"
  "$@" > "$log" 2>&1
  status=$?
  # One line a test, each reason for skipping once; everything where something failed.
  if [ "$status" -eq 0 ]; then
    grep -A 1 ': Skipped$' "$log" | grep -v -e ': Skipped$' -e '^--$' | sort -u
    grep -E '^\[ +OK \] .* \([0-9]+ ms\)$' "$log"
  else
    cat "$log"
  fi
  p=$(count PASSED)
  f=$(count FAILED)
  s=$(count SKIPPED)
  # A program that ends badly without a summary, or whose sanitizer objects, is a failure even if no test says so.
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    echo "$name ended with status $status"
    f=1
  fi
  if [ $((p + f + s)) -eq 0 ]; then
    echo "no test was found in $name"
    f=1
  fi
  passed=$((passed + p))
  failed=$((failed + f))
  skipped=$((skipped + s))
  programs="$programs${programs:+,}
    {\"name\": \"$name\", \"passed\": $p, \"failed\": $f, \"skipped\": $s}"
}

if [ ! -x "$tests/cuda_gpu_test" ]; then
  echo "$tests/cuda_gpu_test is missing: build with -DRUSHLIGHT_CUDA=ON -DRUSHLIGHT_BUILD_TESTS=ON first"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi

command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
run "memory, kernels, networks and operators" "$tests/cuda_gpu_test"
if command -v compute-sanitizer > /dev/null && [ "$passed" -gt 0 ]; then
  for tool in memcheck racecheck synccheck initcheck; do
    run "kernels under $tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$tests/cuda_gpu_test" --gtest_filter='GpuKernels.*:GpuNetworks.Give*'
  done
elif [ "$passed" -gt 0 ]; then
  echo 'not run: compute-sanitizer is not on the PATH'
fi
if [ -n "${BENCH:-}" ] && [ "$failed" -eq 0 ]; then
  echo "== benchmark"
  "$bench/bench_cuda" --commit "$COMMIT" --json "$BENCH"
  status=$?
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    echo "bench_cuda ended with status $status"
    failed=$((failed + 1))
  fi
fi

if [ -n "${EVIDENCE:-}" ]; then
  gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -n 1)
  sanitizer=$(command -v compute-sanitizer > /dev/null && echo true || echo false)
  cat > "$EVIDENCE" << JSON
{
  "schema": 1,
  "date": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "commit": "$COMMIT",
  "command": "tests/cuda/run_on_gpu.sh",
  "machine": "${gpu:-no GPU}",
  "compute_sanitizer": $sanitizer,
  "programs": [$programs
  ],
  "passed": $passed,
  "failed": $failed,
  "skipped": $skipped
}
JSON
fi
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then echo 'SKIPPED: no test of the GPU ran, for the reasons above'; fi
echo "$passed passed, $failed failed, $skipped skipped"
if [ "$failed" -ne 0 ]; then exit 1; fi
if [ "$passed" -eq 0 ]; then exit 77; fi
