#!/usr/bin/env bash
# Compares thousands of random objects with a PyTorch of one's choice, and logs what came of it.
#   tests/parity/run.sh COUNT [PYTHON]
# Builds the program first; writes tests/evidence/<date>-parity-torch-<version>.json. With SCRIPT=rewrite.py in the
# environment the objects are written again and read by torch; the evidence is then <date>-rewrite-torch-<version>.json.
# SCRIPT=random_networks.py compares so many networks instead, <date>-random_networks-torch-<version>.json.
# PYTHON (default: /usr/bin/python3) must import torch. FIRST_SEED in the environment goes on where an earlier run
# ended; RUSHLIGHT names another program than build/dev/rushlight, and nothing is built.
# Exits with 1 when anything differed; the files that differ stay in build/parity/torch-<version>.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${1:?usage: tests/parity/run.sh COUNT [PYTHON]}
python=${2:-/usr/bin/python3}
program=${RUSHLIGHT:-build/dev/rushlight}
if [ -z "${RUSHLIGHT:-}" ]; then
  cmake --preset dev >/dev/null
  cmake --build --preset dev --target rushlight_cli
fi
export PYTHONDONTWRITEBYTECODE=1
version=$("$python" -c 'import torch; print(torch.__version__.split("+")[0])')
commit=$(git rev-parse --short HEAD)
modified=false  # what makes the program and the comparison, against the commit
[ -z "$(git status --porcelain -- src include cmake tests/parity)" ] || modified=true

script=${SCRIPT:-compare.py}
what=parity
[ "$script" = compare.py ] || what=${script%.py}
folder=build/parity/$what-torch-$version
mkdir -p tests/evidence "$folder"
log=$folder/outcome.json
rm -f "$log"
status=0
"$python" "tests/parity/$script" "$program" --count "$count" --seed "${FIRST_SEED:-0}" --folder "$folder" \
  --json "$log" || status=$?
[ -f "$log" ] || exit "$status"
"$python" - "$log" "tests/evidence/$(date -u +%F)-$what-torch-$version.json" <<PYTHON
import json, sys
outcome = json.load(open(sys.argv[1]))
head = {"schema": 1, "date": "$(date -u +%FT%TZ)", "commit": "$commit", "modified": "$modified" == "true",
        "command": "${SCRIPT:+SCRIPT=$SCRIPT }tests/parity/run.sh $count"}
with open(sys.argv[2], "w") as file:
    json.dump({**head, **outcome}, file, indent=2)
    file.write("\n")
PYTHON
rm -f "$log"
exit "$status"
