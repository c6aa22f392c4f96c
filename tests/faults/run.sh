#!/usr/bin/env bash
# Kills writers of one file at random moments.
#   tests/faults/run.sh [--evidence] [ROUNDS]    1,000 rounds where no number is given; needs build/dev
# With --evidence it writes tests/evidence/<date>-kill-loop.json, with -2, -3 ... where there is one.
# Exits with 1 when somebody saw a file that was neither the old one nor the new one.
set -euo pipefail
cd "$(dirname "$0")/../.."
usage='usage: tests/faults/run.sh [--evidence] [ROUNDS]'
evidence=false
rounds=1000
for argument in "$@"; do
  case $argument in
    --evidence) evidence=true ;;
    *[!0-9]* | '') echo "$usage" >&2; exit 2 ;;
    *) rounds=$argument ;;
  esac
done
cmake --build --preset dev --target kill_loop >/dev/null
commit=$(git rev-parse --short HEAD)
modified=false
[ -z "$(git status --porcelain -- CMakeLists.txt cmake src include tests/faults)" ] || modified=true
# Another seed each time: what one misses the next may hit.
seed=$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')
status=0
result=$(build/dev/tests/faults/kill_loop "$rounds" "$seed") || status=$?
echo "$result"
if $evidence; then
  mkdir -p tests/evidence
  base=tests/evidence/$(date -u +%F)-kill-loop
  path=$base.json
  count=1
  until (set -o noclobber; : >"$path") 2>/dev/null; do
    count=$((count + 1))
    path=$base-$count.json
  done
  machine=$(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1 | sed -E 's/[[:cntrl:]]//g; s/[\\"]/\\&/g')
  cat >"$path" <<JSON
{
  "schema": 1,
  "date": "$(date -u +%FT%TZ)",
  "commit": "$commit",
  "modified": $modified,
  "command": "tests/faults/run.sh --evidence $rounds",
  "machine": "$machine",
  "file_system": "$(stat -f -c %T "${TMPDIR:-/tmp}")",
  "result": $result,
  "exit": $status
}
JSON
fi
exit $status
