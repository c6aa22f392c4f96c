#!/bin/sh
# Runs what needs a GPU. From a built tree:  tests/cuda/run_on_gpu.sh [BUILD_DIR]
# From a package of make_gpu_package.sh:     rushlight-gpu/run_on_gpu.sh
#
# Each suite runs in a process of its own, since what fails on a GPU may take the process with it. After a failure it runs
# again without tensor cores' warpgroups and with no early starts, which tells who is to blame. Then comes the benchmark,
# and last, with compute-sanitizer on the PATH, the kernels under each of its tools. The last line is "N passed, N failed,
# N skipped". Exit: 0 when something ran and nothing failed, 1 when something failed, 77 when all was skipped.
# In the environment:
#   EVIDENCE=FILE   the outcome as JSON, written as soon as the suites are done and again at the end
#   COMMIT=...      of what, where nobody knows
#   BENCH=FILE      run the benchmark too, with its samples there (bench/README.md)
#   LOGS=FOLDER     keep what each program said
#   SECONDS_EACH=N  the most that one program may take (300; the benchmark three times that)
#   SANITIZER=off   leave compute-sanitizer out
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
most_seconds=${SECONDS_EACH:-300}
logs=${LOGS:-$(mktemp -d)} || exit 1
mkdir -p "$logs" || exit 1
[ -n "${LOGS:-}" ] || trap 'rm -rf "$logs"' EXIT
log=$logs/log

# count WORD: the number in the summary line "[  WORD  ] N tests..."
count() {
  sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) tests\{0,1\}[.,].*/\1/p" "$log" | head -n 1 | grep . || echo 0
}

# in_time SECONDS COMMAND...: 124 when that was not enough
in_time() {
  seconds=$1
  shift
  timeout -k 10 "$seconds" "$@"
}

# run NAME COMMAND...: a GoogleTest program; true when nothing failed
run() {
  name=$1
  shift
  echo "== $name"
  log=$logs/$(echo "$name" | tr -c 'A-Za-z0-9\n' '_').log
  in_time "$most_seconds" "$@" > "$log" 2>&1
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
    echo "$name ended with status $status in $(sed -n 's/^\[ RUN *\] //p' "$log" | tail -n 1)"
    [ "$status" -ne 124 ] || echo "after $most_seconds s (SECONDS_EACH)"
    f=1
  fi
  if [ $((p + f + s)) -eq 0 ]; then
    echo "no test was found in $name"
    f=1
  fi
  programs="$programs${programs:+,}
    {\"name\": \"$name\", \"passed\": $p, \"failed\": $f, \"skipped\": $s}"
  [ "$f" -eq 0 ]
}

# counted NAME COMMAND...: run(), of which the sums are made
counted() {
  run "$@"
  status=$?
  passed=$((passed + p))
  failed=$((failed + f))
  skipped=$((skipped + s))
  return "$status"
}

write_evidence() {
  [ -n "${EVIDENCE:-}" ] || return 0
  gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -n 1)
  [ "$passed" -eq 0 ] || gpu=${gpu:-a GPU, of which nothing is known without nvidia-smi}
  cat > "$EVIDENCE" << JSON
{
  "schema": 1,
  "date": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "commit": "$COMMIT",
  "command": "tests/cuda/run_on_gpu.sh",
  "machine": "${gpu:-no GPU}",
  "compute_sanitizer": $sanitized,
  "programs": [$programs
  ],
  "passed": $passed,
  "failed": $failed,
  "skipped": $skipped
}
JSON
}
sanitized=false

if [ ! -x "$tests/cuda_gpu_test" ]; then
  echo "$tests/cuda_gpu_test is missing: build with -DRUSHLIGHT_CUDA=ON -DRUSHLIGHT_BUILD_TESTS=ON first"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi

command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for suite in $("$tests/cuda_gpu_test" --gtest_list_tests | sed -n 's/^\([A-Z][A-Za-z/]*\.\).*/\1/p'); do
  if ! counted "$suite" "$tests/cuda_gpu_test" --gtest_filter="$suite*"; then
    RUSHLIGHT_WGMMA=off run "$suite without wgmma" "$tests/cuda_gpu_test" --gtest_filter="$suite*"
    RUSHLIGHT_PDL=off run "$suite without early starts" "$tests/cuda_gpu_test" --gtest_filter="$suite*"
  fi
done
write_evidence

if [ -n "${BENCH:-}" ] && [ "$passed" -gt 0 ]; then
  echo "== benchmark"
  in_time $((3 * most_seconds)) "$bench/bench_cuda" --commit "$COMMIT" --json "$BENCH"
  status=$?
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    echo "bench_cuda ended with status $status"
    failed=$((failed + 1))
  fi
fi

if [ "$passed" -gt 0 ]; then
  if [ "${SANITIZER:-}" = off ]; then
    echo 'not run: compute-sanitizer (SANITIZER=off)'
  elif command -v compute-sanitizer > /dev/null; then
    sanitized=true
    for tool in memcheck racecheck synccheck initcheck; do
      # The same tests once more: they count where they fail.
      run "kernels under $tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "$tests/cuda_gpu_test" --gtest_filter='GpuKernels.*:GpuNetworks.Give*' || failed=$((failed + f))
    done
  else
    echo 'not run: compute-sanitizer is not on the PATH'
  fi
fi
write_evidence
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then echo 'SKIPPED: no test of the GPU ran, for the reasons above'; fi
echo "$passed passed, $failed failed, $skipped skipped"
if [ "$failed" -ne 0 ]; then exit 1; fi
if [ "$passed" -eq 0 ]; then exit 77; fi
