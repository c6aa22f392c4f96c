#!/usr/bin/env bash
# Fuzzes targets, one after the other, and logs what came of it.
#   tests/fuzz/run.sh MINUTES [TARGET...]       builds the fuzz preset first; writes tests/evidence/<date>-fuzz-<target>.json
# New inputs gather in build/fuzz/corpus-<target>, findings in build/fuzz/findings-<target>: the source tree is only read.
# Exits with 1 when a target found something.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:?usage: tests/fuzz/run.sh MINUTES [TARGET...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(zip pickle checkpoint)
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]/%/_fuzzer}"
# What was compiled, against the commit.
commit=$(git rev-parse --short HEAD)
modified=false
[ -z "$(git status --porcelain -- src include tests/support tests/fuzz/*.cpp tests/fuzz/*.hpp)" ] || modified=true

# The last number behind a word in libFuzzer's log; 0 where there is none.
number_after() {
  sed -nE "s/.*$1 *([0-9]+).*/\\1/p" "$2" | tail -n 1 | grep . || echo 0
}
json_string() {
  sed -E 's/[[:cntrl:]]//g; s/[\\"]/\\&/g' <<<"$1"
}

mkdir -p tests/evidence
outcome=0
for target in "${targets[@]}"; do
  work=build/fuzz/corpus-$target
  found=build/fuzz/findings-$target
  log=build/fuzz/$target.log
  rm -rf "$found"  # findings of earlier runs are not this run's
  mkdir -p "$work" "$found"
  seeds=()
  for folder in "tests/fuzz/corpus/$target" build/fuzz/golden/format/{container,quirks,geometry,dtypes,pickle}; do
    [ -d "$folder" ] && seeds+=("$folder")
  done
  dictionary=()
  [ -f "tests/fuzz/$target.dict" ] && dictionary=("-dict=tests/fuzz/$target.dict")
  max_len=65536
  [ "$target" != checkpoint ] || max_len=16384  # it does much with each byte
  status=0
  "build/fuzz/tests/fuzz/${target}_fuzzer" "$work" "${seeds[@]}" "${dictionary[@]}" -max_total_time=$((minutes * 60)) \
    -timeout=10 -rss_limit_mb=2048 -max_len=$max_len -print_final_stats=1 -artifact_prefix="$found/" \
    >"$log" 2>&1 || status=$?
  executions=$(number_after 'stat::number_of_executed_units:' "$log")
  findings=$(find "$found" -type f | wc -l)
  # A crash prints no final statistics: the count of its input is the last one known.
  [ "$executions" != 0 ] || executions=$(sed -nE 's/^#([0-9]+).*/\1/p' "$log" | tail -n 1 | grep . || echo 0)
  cat >"tests/evidence/$(date -u +%F)-fuzz-$target.json" <<JSON
{
  "schema": 1,
  "date": "$(date -u +%FT%TZ)",
  "commit": "$commit",
  "modified": $modified,
  "command": "tests/fuzz/run.sh $minutes $target",
  "machine": "$(json_string "$(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)")",
  "target": "$target",
  "minutes": $minutes,
  "seconds": $(sed -nE 's/^Done [0-9]+ runs in ([0-9]+) second.*/\1/p' "$log" | tail -n 1 | grep . || echo null),
  "executions": $executions,
  "coverage_edges": $(number_after 'cov:' "$log"),
  "features": $(number_after 'ft:' "$log"),
  "findings": $findings,
  "exit": $status
}
JSON
  echo "$target: $executions executions, $findings findings"
  if [ "$findings" != 0 ] || [ "$status" != 0 ]; then outcome=1; fi
done
exit $outcome
