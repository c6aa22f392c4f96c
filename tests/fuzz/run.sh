#!/usr/bin/env bash
# Fuzzes targets and logs what came of it.
#   tests/fuzz/run.sh MINUTES [-j N] [TARGET[=MINUTES]...]    all targets, one after the other; with -j N at a time
# Builds the fuzz preset first; writes tests/evidence/<date>-fuzz-<target>.json, with -2, -3 ... where there is one.
# New inputs gather in build/fuzz/corpus-<target>, findings in build/fuzz/findings-<target>: the source tree is only read.
# Exits with 1 when a target found something.
set -euo pipefail
cd "$(dirname "$0")/../.."
usage='usage: tests/fuzz/run.sh MINUTES [-j N] [TARGET[=MINUTES]...]'
all=(zip pickle checkpoint save salvage legacy tar safetensors npz gguf sets spec module calibration tuning image manifest differential)
minutes=${1:?$usage}
shift
jobs=1
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    -j) jobs=${2:?$usage}; shift ;;
    -*) echo "$usage" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
names=("${targets[@]%%=*}")
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${names[@]/%/_fuzzer}"
# What was compiled, against the commit. The programs are copied: somebody may build others while these run.
commit=$(git rev-parse --short HEAD)
modified=false
[ -z "$(git status --porcelain -- CMakeLists.txt cmake src include tests/support tests/fuzz/*.cpp tests/fuzz/*.hpp)" ] ||
  modified=true
programs=$(mktemp -d build/fuzz/programs.XXXXXX)
trap 'rm -rf "$programs"' EXIT
for target in "${names[@]}"; do cp "build/fuzz/tests/fuzz/${target}_fuzzer" "$programs/"; done

# The last number behind a word in libFuzzer's log; 0 where there is none.
number_after() {
  sed -nE "s/.*$1 *([0-9]+).*/\\1/p" "$2" | tail -n 1 | grep . || echo 0
}
json_string() {
  sed -E 's/[[:cntrl:]]//g; s/[\\"]/\\&/g' <<<"$1"
}
# Writes standard input into a file of this day that does not exist yet.
write_evidence() {
  local base path count=1
  base=tests/evidence/$(date -u +%F)-fuzz-$1
  path=$base.json
  until (set -o noclobber; : >"$path") 2>/dev/null; do
    count=$((count + 1))
    path=$base-$count.json
  done
  cat >"$path"
}

fuzz() {
  local target=${1%%=*} minutes=$minutes
  [ "$target" = "$1" ] || minutes=${1#*=}
  local work=build/fuzz/corpus-$target found=build/fuzz/findings-$target log=build/fuzz/$target.log
  local golden=build/fuzz/golden-$target max_len=65536
  case $target in
    checkpoint | save | salvage | differential | legacy | tar | npz | module) max_len=16384 ;;  # they do much with each byte
    spec | calibration | tuning) max_len=4096 ;;
  esac
  rm -rf "$found" "$golden"  # findings of earlier runs are not this run's
  mkdir -p "$work" "$found"
  python3 tests/fuzz/golden_seeds.py "$target" build/fuzz/golden "$golden" "$max_len"
  local seeds=("$golden") dictionary=() status=0
  for folder in tests/fuzz/corpus/"$target" $([ "$target" != save ] || echo tests/fuzz/corpus/{checkpoint,legacy}) \
    $([ "$target" != salvage ] || echo tests/fuzz/corpus/{checkpoint,legacy,safetensors}) $([ "$target" != differential ] ||
    echo tests/fuzz/corpus/{checkpoint,legacy,tar,safetensors,npz,gguf}); do
    [ ! -d "$folder" ] || seeds+=("$folder")
  done
  local words=$target
  case $target in legacy | save | salvage | differential | module) words=checkpoint ;; esac
  [ ! -f "tests/fuzz/$words.dict" ] || dictionary=("-dict=tests/fuzz/$words.dict")
  "$programs/${target}_fuzzer" "$work" "${seeds[@]}" "${dictionary[@]}" -max_total_time=$((minutes * 60)) \
    -timeout=10 -rss_limit_mb=2048 -max_len=$max_len -print_final_stats=1 -print_funcs=0 -artifact_prefix="$found/" \
    >"$log" 2>&1 || status=$?
  local executions findings
  executions=$(number_after 'stat::number_of_executed_units:' "$log")
  findings=$(find "$found" -type f | wc -l)
  # A crash prints no final statistics: the count of its input is the last one known.
  [ "$executions" != 0 ] || executions=$(sed -nE 's/^#([0-9]+).*/\1/p' "$log" | tail -n 1 | grep . || echo 0)
  write_evidence "$target" <<JSON
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
  [ "$findings" = 0 ] && [ "$status" = 0 ]
}

mkdir -p tests/evidence
outcome=0
running=0
for target in "${targets[@]}"; do
  if [ "$running" = "$jobs" ]; then
    wait -n || outcome=1
    running=$((running - 1))
  fi
  fuzz "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || outcome=1
  running=$((running - 1))
done
exit $outcome
