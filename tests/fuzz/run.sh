#!/usr/bin/env bash
# Fuzzes every target and logs what came of it.
#   tests/fuzz/run.sh MINUTES [TARGET...]       builds the fuzz preset first; writes tests/evidence/<date>-fuzz-<target>.json
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:?usage: tests/fuzz/run.sh MINUTES [TARGET...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(zip pickle checkpoint)
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]/%/_fuzzer}"
mkdir -p tests/evidence
for target in "${targets[@]}"; do
  work=build/fuzz/corpus-$target
  log=build/fuzz/$target.log
  mkdir -p "$work" build/fuzz/golden
  seeds=("build/fuzz/golden/format/container" "build/fuzz/golden/format/quirks")
  [ -d "tests/fuzz/corpus/$target" ] && seeds+=("tests/fuzz/corpus/$target")
  dictionary=()
  [ -f "tests/fuzz/$target.dict" ] && dictionary=("-dict=tests/fuzz/$target.dict")
  status=0
  "build/fuzz/tests/fuzz/${target}_fuzzer" "$work" "${seeds[@]}" "${dictionary[@]}" -max_total_time=$((minutes * 60)) \
    -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" \
    >"$log" 2>&1 || status=$?
  executions=$(sed -nE 's/^stat::number_of_executed_units: *([0-9]+)/\1/p' "$log")
  coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+' || echo 0)
  findings=$(find build/fuzz -maxdepth 1 -name "$target-crash-*" -o -maxdepth 1 -name "$target-timeout-*" \
    -o -maxdepth 1 -name "$target-oom-*" | wc -l)
  printf '{"schema":1,"date":"%s","commit":"%s","command":"tests/fuzz/run.sh %s %s","machine":"%s",' \
    "$(date -u +%FT%TZ)" "$(git rev-parse --short HEAD)" "$minutes" "$target" \
    "$(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" >"tests/evidence/$(date -u +%F)-fuzz-$target.json"
  printf '"target":"%s","minutes":%s,"executions":%s,"coverage_edges":%s,"findings":%s,"exit":%s}\n' \
    "$target" "$minutes" "${executions:-0}" "$coverage" "$findings" "$status" \
    >>"tests/evidence/$(date -u +%F)-fuzz-$target.json"
  echo "$target: ${executions:-0} executions, $findings findings"
done
