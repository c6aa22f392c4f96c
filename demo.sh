#!/usr/bin/env bash
# One command: installs what is missing (Debian 12), builds the release, and shows what Rushlight does on a real checkpoint.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=.ci/packages.sh
. .ci/packages.sh
# shellcheck disable=SC2086
need_packages $rushlight_build_packages

started=$SECONDS
mkdir -p build
if ! { cmake --preset release $(rushlight_launcher) && cmake --build --preset release; } >build/demo-build.log 2>&1; then
  tail -n 40 build/demo-build.log >&2
  exit 1
fi
rushlight=build/release/rushlight
data=build/demo
mkdir -p "$data"
cmake -E chdir "$data" cmake -E tar xJf "$PWD/tests/golden/fashion.tar.xz"
fashion=$data/fashion
echo "built in $((SECONDS - started)) s: $($rushlight --version | head -n 1), $(du -h --apparent-size "$rushlight" | cut -f1)"

bold() { if [ -t 1 ]; then printf '\033[1m%s\033[0m' "$1"; else printf '%s' "$1"; fi; }
step() { printf '\n%s\n' "$(bold "$1")"; }
run() { printf '$ %s\n' "$*"; "$@"; }

step '1. What is in the file? A CNN that PyTorch trained on Fashion-MNIST, saved with torch.save.'
run $rushlight list "$fashion/fashion_cnn.pt"

step '2. Is every byte what was written?'
run $rushlight verify "$fashion/fashion_cnn.pt"

step '3. One bit flips, as on a bad disk. torch.load reads such a file without a word.'
broken=$data/one_flipped_bit.pt
cp "$fashion/fashion_cnn.pt" "$broken"
# fc1.weight lies in the record data/14; flip bit 6 of the last byte of its 1,000th number.
offset=$($rushlight verify "$fashion/fashion_cnn.pt" --json |
  grep -o '"name":"data/14","offset":[0-9]*' | grep -o '[0-9]*$')
byte=$((offset + 999 * 4 + 3))
value=$(dd if="$broken" bs=1 skip=$byte count=1 status=none | od -An -tu1 | tr -d ' ')
printf "$(printf '\\x%02x' $((value ^ 64)))" | dd of="$broken" bs=1 seek=$byte conv=notrunc status=none
status=0
run $rushlight verify "$broken" || status=$?
[ $status -eq 1 ] || { echo "verify should have found the damage"; exit 1; }

step '4. The other tensors are unhurt and still load; the damaged one is refused.'
run $rushlight show "$broken" conv1.bias --head 6
run $rushlight show "$broken" fc1.weight --head 6 || true

step '5. One picture through the network (the first of the test set).'
picture=$data/ankle_boot.pgm
{ printf 'P5\n28 28\n255\n'; dd if="$fashion/images-1000.idx3-ubyte" bs=1 skip=16 count=784 status=none; } >"$picture"
run $rushlight run "$fashion/fashion_cnn.pt" --spec examples/fashion_cnn.json --image "$picture" --top 10

step '6. A thousand pictures, with accuracy. PyTorch gets the same ones right.'
run $rushlight run "$fashion/fashion_cnn.pt" --spec examples/fashion_cnn.json \
  --idx "$fashion/images-1000.idx3-ubyte" --idx-labels "$fashion/labels-1000.idx1-ubyte"

set_folder=$(dpkg-query -L dataset-fashion-mnist 2>/dev/null | grep 't10k-images-idx3-ubyte' | head -n 1 | xargs -r dirname || true)
if [ -n "$set_folder" ]; then
  step '7. All ten thousand (Debian package dataset-fashion-mnist).'
  for part in t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
    if [ -f "$set_folder/$part.gz" ]; then gzip -dc "$set_folder/$part.gz" >"$data/$part"; else cp "$set_folder/$part" "$data/$part"; fi
  done
  run $rushlight run "$fashion/fashion_cnn.pt" --spec examples/fashion_cnn.json \
    --idx "$data/t10k-images-idx3-ubyte" --idx-labels "$data/t10k-labels-idx1-ubyte"
else
  printf '\n(install dataset-fashion-mnist to run all ten thousand test pictures)\n'
fi
printf '\ndone in %d s. Next: README.md, or %s help\n' $((SECONDS - started)) "$rushlight"
